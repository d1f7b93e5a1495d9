/*
 * relocate.c - the same code at many linear addresses, as libraries are under address space layout randomization:
 * what it computes from where it is, where it goes, and where it faults. (With relocate-check novt compares each
 * block that it copies with what it would have translated.)
 */
#include "rt.h"

/* Two pages of code, then one of data. RAX and what the data tell follow from the address; RDI says how it ends.
 */
extern u8 image[], after_call[], after_second[], at_div[], at_load[], at_end[], in_second[], data[], immediate[];
__asm__(".pushsection .snip,\"ax\"\n.balign 4096\n"
        "image: leaq image(%rip), %rax\nmovq data(%rip), %rcx\nmovq %rax, data+8(%rip)\nincq data+16(%rip)\n"
        "movq $4, %rdx\n"
        "1: addq data(%rip), %rcx\naddl $1, data+24(%rip)\ndecq %rdx\njnz 1b\n"
        "call 3f\n"
        "after_call: movq %rbx, data+32(%rip)\n"
        "leaq 3f(%rip), %rdx\ncall *%rdx\n"
        "after_second: movq %rbx, data+40(%rip)\n"
        "call in_second\nmovq %rbx, data+48(%rip)\n"
        "immediate: movl $0x11, %esi\n"
        "cmpl $1, %edi\nje 4f\ncmpl $2, %edi\nje 5f\ncmpl $3, %edi\nje in_second\n"
        "pushq $-1\npopq %rdx\n"
        "at_end: int3\n"
        "3: movq (%rsp), %rbx\nret\n"
        "4: xorl %ebx, %ebx\n"
        "at_div: divl %ebx\n"
        "5: addq $8, %rbx\n"
        "at_load: movq 0x3ffff0(%rax), %rbx\n"
        ".org image + 4096\n"
        "in_second: movq (%rsp), %rbx\ncmpl $3, %edi\njne 6f\nleaq data+56(%rip), %rsi\nmovb $7, (%rsi)\n6: ret\n"
        ".org image + 8192\n"
        "data: .fill 4096, 1, 0\n.popsection\n");

/* Where addresses fit 31 and 32 bits, between others in different parts of the user half. */
static const u64 places[] = {0x555555554000, 0x7f1234567000, 0x7fffff000000, 0x2aaaaaaab000,
                             0x50000000,     0x80000000,     0xffffe000,     0x2fff00000000,
                             0x555577778000, 0x7f12345ff000, 0xffffffff000,  0x7f123456a000};
#define PLACES (sizeof places / sizeof places[0])

static u64 frame; /* of the data */

static u64 word(unsigned n)
{
    return ((volatile u64 *)frame)[n];
}

static u64 at(u64 place, const u8 *label)
{
    return place + (u64)(label - image);
}

static void map_at(u64 place)
{
    for (unsigned i = 0; i < 2; i++)
        map(place + i * 0x1000, (u64)image + i * 0x1000, P_P | P_U);
    map(place + 0x2000, frame, P_P | P_W | P_U);
}

static void start(u64 place, unsigned end)
{
    memset((void *)frame, 0, 4096);
    *(volatile u64 *)frame = 0x100;
    in.rdi = end;
    in.rbx = 0;
    run_at(place, 3);
}

/* What is the same however it ends. */
static unsigned wrong_results(u64 place)
{
    return (last.rax != place) + (last.rcx != 0x500) + (word(1) != place) + (word(2) != 1) + (word(3) != 4) +
           (word(4) != at(place, after_call)) + (word(5) != at(place, after_second)) +
           (word(6) != at(place, immediate) - 7);
}

static void ends_everywhere(const char *name, u32 value)
{
    unsigned wrong = 0, wrong_end = 0, wrong_div = 0, wrong_load = 0;

    for (unsigned turn = 0; turn < 3; turn++)
        for (unsigned i = 0; i < PLACES; i++) {
            u64 place = places[i];

            start(place, 0);
            wrong += wrong_results(place);
            wrong_end += last.vector != BP || last.rip != at(place, at_end) + 1 || last.rsi != value;
            start(place, 1);
            wrong += wrong_results(place) - (last.rcx != 0x500);
            wrong_div += last.vector != DE || last.rip != at(place, at_div) || last.rbx;
            start(place, 2);
            wrong += wrong_results(place);
            wrong_load += last.vector != PF || last.rip != at(place, at_load) || last_cr2 != place + 0x3ffff0 ||
                          last.rbx != at(place, immediate) + 1;
        }
    equal(wrong, 0, name);
    equal(wrong_end, 0, "  it ends where it is");
    equal(wrong_div, 0, "  divides by zero where it is");
    equal(wrong_load, 0, "  misses a page where it is");
}

/* One that has been taken away, and another data page at one of them. */
static void moves(void)
{
    u64 other = page_alloc(), place = places[1];

    start(place, 0);
    *(volatile u64 *)other = 0x200;
    map(place + 0x2000, other, P_P | P_W | P_U);
    run_at(place, 3);
    equal(last.rcx, 0xa00, "other data at one address");
    equal(((volatile u64 *)other)[1], place, "  are written");
    start(places[0], 0);
    equal(wrong_results(places[0]), 0, "  and not at another");
    map(place, 0, 0);
    start(place, 0);
    equal(last.vector, PF, "code that is gone at one address");
    equal(last.rip, place, "  faults there");
    start(places[0], 0);
    equal(last.vector, BP, "  and not at another");
    map_at(place);
}

void test_main(void)
{
    frame = page_alloc();
    for (unsigned i = 0; i < PLACES; i++)
        map_at(places[i]);
    ends_everywhere("code at many addresses", 0x11);
    immediate[1] = 0x22;
    ends_everywhere("it is changed at all of them", 0x22);
    moves();
    ends_everywhere("and again", 0x22);
}
