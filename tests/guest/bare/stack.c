/*
 * stack.c - what 64-bit user code does with RSP besides calling and returning: it sets it to any address, by every
 * instruction that can, and uses it there; it counts with it; it has large frames and many stacks; and the kernel
 * gives it another one between SYSCALL and SYSRET. Where nothing is mapped each access faults as it should,
 * wherever novt is (SDM vol. 1, 6.2; vol. 3, 6.15).
 */
#include "rt.h"

#define LSTAR 0xc0000082
#define CALLS 100u
#define STACKS 0x60000000ull /* one in the middle of each of so many pages, every 64 KiB */
#define STACK_COUNT 16u
#define STACK(n) (STACKS + 0x10000 * (n) + 0x800)
#define FRAMES 0x62000000ull /* so many pages below it */
#define FRAME_PAGES 64u

/* The ways to RSP = RBX, and an access there: at RSP, or where PUSH and CALL make it. */
SNIPPET(mov_load, "mov %rbx, %rsp\nmov (%rsp), %rax");
SNIPPET(mov_push, "mov %rbx, %rsp\npush %rax");
SNIPPET(mov_call, "mov %rbx, %rsp\ncall 1f\n1: nop");
SNIPPET(mov_ret, "mov %rbx, %rsp\nret");
SNIPPET(mov_jump, "mov %rbx, %rsp\njmp 1f\n1: pop %rax");
SNIPPET(xchg_pop, "xchg %rbx, %rsp\npop %rax");
SNIPPET(lea_store, "lea (%rbx), %rsp\nmov %al, (%rsp)");
SNIPPET(lea_far, "lea 0x10000(%rbx), %rsp\nmov -0x10000(%rsp), %rax");
SNIPPET(add_load, "sub %rsp, %rbx\nadd %rbx, %rsp\nmov (%rsp), %rax");
SNIPPET(pop_load, "push %rbx\npop %rsp\nmov (%rsp), %rax");
SNIPPET(leave_there, "mov %rbx, %rbp\nleave");
SNIPPET(memory_load, "push %rbx\nmov (%rsp), %rsp\nmov (%rsp), %rax");
SNIPPET(cmov_load, "test %ebp, %ebp\ncmove %rbx, %rsp\nmov (%rsp), %rax");
SNIPPET(indirect_call, "mov %rbx, %rsp\nlea 1f(%rip), %rcx\ncall *%rcx\n1: nop");
SNIPPET(add_push_all, "lea 48(%rbx), %rsp\nsub $40, %rsp\npush %rax\npush %rax");

static const struct {
    const u8 *code;
    int at; /* of the access, from RBX */
    bool write;
    const char *name;
} ways[] = {
    {mov_load, 0, false, "MOV"},           {mov_push, -8, true, "MOV, PUSH"},
    {mov_call, -8, true, "MOV, CALL"},     {mov_ret, 0, false, "MOV, RET"},
    {mov_jump, 0, false, "MOV, JMP, POP"}, {xchg_pop, 0, false, "XCHG"},
    {lea_store, 0, true, "LEA"},           {lea_far, 0, false, "LEA, far away"},
    {add_load, 0, false, "ADD"},           {pop_load, 0, false, "POP"},
    {leave_there, 0, false, "LEAVE"},      {memory_load, 0, false, "MOV from memory"},
    {cmov_load, 0, false, "CMOV"},         {indirect_call, -8, true, "MOV, CALL through a register"},
    {add_push_all, 0, true, "LEA, SUB"},
};
#define WAYS (sizeof ways / sizeof *ways)

/* Copies of a way: code that has faulted a few times may be made in another way. */
#define COPY_SIZE 32u
#define COPIES 0x48000000ull
#define COPIES_SIZE 0x100000ull

static void copy(const u8 *snippet)
{
    for (u64 at = 0; at < COPIES_SIZE; at += COPY_SIZE)
        memcpy((void *)(COPIES + at), snippet, COPY_SIZE);
}

static u64 next_copy(void)
{
    static u64 next;

    return COPIES + next++ % (COPIES_SIZE / COPY_SIZE) * COPY_SIZE;
}

static bool is_canonical(u64 address)
{
    return (u64)((long)(address << 16) >> 16) == address;
}

/* Nothing is mapped at RBX = `to`, and near it. */
static bool faults(unsigned way, u64 rip, u64 to)
{
    u64 at = to + (u64)ways[way].at;
    unsigned vector;

    in.rbx = to;
    in.rbp = 0;
    in.rax = 7;
    vector = run_at(rip, 3);
    if (!is_canonical(at))
        return vector == SS && last.error == 0;
    return vector == PF && last_cr2 == at &&
           (last.error & ~(u64)PFEC_P) == (ways[way].write ? PFEC_U | PFEC_W : PFEC_U);
}

/* novt begins its mappings, guest RAM among them, a third of the way up the host's user half, at a place that
   changes. RAM has 64 MiB. */
#define THEIRS 0x2aaa00000000
#define THEIRS_SIZE 0x10200000000
#define THEIRS_STEP (60ull << 20)

static void where_nothing_is(void)
{
    static const u64 ends[] = {0x7ffffffff000,     0x800000000000,     0x7fffffff7000, 0xffff7fffffff0000,
                               0xffff800000008000, 0x4000000000000000, 0x123456789abc, 0xfffffffffffff000};

    for (unsigned way = 0; way < WAYS; way++) {
        unsigned wrong = 0;

        copy(ways[way].code);
        for (u64 at = THEIRS + way * 0x1000; at < THEIRS + THEIRS_SIZE; at += THEIRS_STEP)
            wrong += !faults(way, next_copy(), at);
        equal(wrong, 0, ways[way].name);
        wrong = 0;
        for (u64 at = 0x300000000; at >> 47 == 0; at += 1ull << 38)
            wrong += !faults(way, next_copy(), at);
        for (unsigned turn = 0; turn < 8; turn++)
            for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
                wrong += !faults(way, turn & 1 ? USER(ways[way].code) : next_copy(), ends[i]);
        equal(wrong, 0, "  all over the address space");
    }
}

static void where_something_is(void)
{
    unsigned wrong = 0;

    for (unsigned turn = 0; turn < 4; turn++)
        for (unsigned i = 0; i < STACK_COUNT; i++) {
            volatile u64 *stack = (volatile u64 *)STACK(i);

            stack[0] = 100 + i;
            in.rbx = STACK(i);
            in.rbp = 0;
            wrong += run(mov_load, 3) != BP || last.rax != 100 + i || last.rsp != STACK(i);
            in.rax = turn + 10 * i;
            wrong += run(mov_push, 3) != BP || stack[-1] != turn + 10 * i || last.rsp != STACK(i) - 8;
            wrong += run(xchg_pop, 3) != BP || last.rax != 100 + i || last.rsp != STACK(i) + 8;
            wrong += run(pop_load, 3) != BP || last.rax != 100 + i;
            wrong += run(memory_load, 3) != BP || last.rax != 100 + i;
            wrong += run(cmov_load, 3) != BP || last.rax != 100 + i;
            wrong += run(leave_there, 3) != BP || last.rbp != 100 + i || last.rsp != STACK(i) + 8;
            wrong += run(indirect_call, 3) != BP || last.rsp != STACK(i) - 8;
        }
    equal(wrong, 0, "many stacks");
}

/* Here RSP is a number like others. */
SNIPPET(count_with,
        "mov %rsp, %r8\nmov $1, %esp\n1: add %rsp, %rsp\nadd $3, %rsp\nxor %rcx, %rsp\ntest $1, %cl\njz 2f\n"
        "not %rsp\n2: dec %rcx\njnz 1b\nmov %rsp, %rax\nmov %r8, %rsp\npush %rax\npop %rbx\n"
        "call 3f\npush %rcx\npop %rdx\njmp 4f\n3: ret\n4: nop");
SNIPPET(count_calls, "xor %eax, %eax\n1: mov %rsp, %r8\nmov $0x123456789, %rsp\nadd %rsp, %rax\nmov %r8, %rsp\n"
                     "call 2f\ndec %rcx\njnz 1b\njmp 3f\n2: push %rcx\nmov %rsp, %r9\nimul %rcx, %rsp\n"
                     "mov %r9, %rsp\npop %rdx\nadd %rdx, %rax\nret\n3: nop");

static u64 counted(u64 n)
{
    u64 x = 1;

    for (; n; n--) {
        x = 2 * x + 3;
        x ^= n;
        if (n & 1)
            x = ~x;
    }
    return x;
}

static void a_number(void)
{
    unsigned wrong = 0;

    for (unsigned n = 1; n < 200; n++) {
        in.rcx = n;
        wrong += run(count_with, 3) != BP || last.rax != counted(n) || last.rbx != last.rax || last.rdx != 0 ||
                 last.rsp != USER_STACK - 64;
        in.rcx = n;
        wrong += run(count_calls, 3) != BP || last.rax != n * 0x123456789ull + n * (n + 1ull) / 2;
    }
    equal(wrong, 0, "RSP as a number");
}

/* RCX frames, each as large as [rdi] says; their first words are put in and added up. */
SNIPPET(frames, "mov %rsp, %r8\nmov %rcx, %r9\n1: sub %rdi, %rsp\nmov %rcx, (%rsp)\ndec %rcx\njnz 1b\n"
                "2: add (%rsp), %rax\nadd %rdi, %rsp\ndec %r9\njnz 2b\nsub %rsp, %r8\n"
                "sub $0x4000, %rsp\ntest %eax, %eax\njz 3f\nmov %rax, 8(%rsp)\n3: sub $0x3000, %rsp\n"
                "mov 0x3008(%rsp), %rdx\nlea 0x7000(%rsp), %rsp\npush %rdx\npop %rsi");
/* And one that goes through an unmapped page. */
SNIPPET(too_deep, "1: sub $0x800, %rsp\ndec %rcx\njnz 1b\nmov %rax, (%rsp)");
SNIPPET(pushes, "1: push %rcx\nloop 1b");

static void large_frames(void)
{
    unsigned wrong = 0;

    for (u64 size = 8; size <= 0x8000; size *= 2)
        for (u64 n = 1; n * size <= 0x8000 * 4 && n < 2000; n = 2 * n + 1) {
            in.rsp = FRAMES;
            in.rcx = n;
            in.rdi = size;
            in.rax = 0;
            wrong += run(frames, 3) != BP || last.rax != n * (n + 1) / 2 || last.r8 != 0 || last.rsp != FRAMES ||
                     last.rdx != last.rax || last.rsi != last.rax;
        }
    equal(wrong, 0, "large frames");
    for (unsigned turn = 0; turn < 3; turn++) {
        in.rsp = FRAMES;
        in.rcx = 2 * FRAME_PAGES + 1;
        expect(too_deep, 3, PF, PFEC_U | PFEC_W, -1, "a frame too many");
        equal(last_cr2, FRAMES - 4096 * FRAME_PAGES - 0x800, "  faults there");
        equal(last.rsp, last_cr2, "  with RSP there");
        in.rsp = FRAMES;
        in.rcx = 512 * FRAME_PAGES + 100;
        expect(pushes, 3, PF, PFEC_U | PFEC_W, 0, "a push too many");
        equal(last_cr2, FRAMES - 4096 * FRAME_PAGES - 8, "  faults there");
        equal(last.rsp, last_cr2 + 8, "  with RSP in front of it");
    }
}

/* The kernel exchanges RSP and RDX; what it finds at the latter is added up. */
extern u8 entry_exchange[];
__asm__(".text\nentry_exchange: xchgq %rdx, %rsp\nsysretq\n");
SNIPPET(many_calls, "1: syscall\npop %rsi\nadd %rsi, %r12\npush %rsi\ndec %rbx\njnz 1b");
SNIPPET(call_and_load,
        "mov $3, %ebx\n1: syscall\nsyscall\ndec %ebx\njnz 1b\nmov %rdi, %rdx\nsyscall\nmov (%rsp), %rax");
SNIPPET(call_and_push, "mov $3, %ebx\n1: syscall\nsyscall\ndec %ebx\njnz 1b\nmov %rdi, %rdx\nsyscall\npush %rax");

static unsigned to_stack(u64 rip, u64 stack)
{
    in.rsp = STACK(1);
    in.rdx = STACK(2);
    in.rdi = stack;
    return run_at(rip, 3);
}

static void other_stacks(void)
{
    u64 before = rdmsr(LSTAR);
    unsigned wrong = 0;

    wrmsr(LSTAR, (u64)entry_exchange);
    for (unsigned turn = 0; turn < 3; turn++) {
        *(volatile u64 *)STACK(1) = 1;
        *(volatile u64 *)STACK(2) = 1000;
        in.rsp = STACK(1);
        in.rdx = STACK(2);
        in.rbx = CALLS;
        in.r12 = 0;
        expect(many_calls, 3, BP, -1, -1, "SYSRET to another stack each time");
        equal(last.r12, CALLS / 2 * 1001, "  it is that one");
    }
    for (unsigned push = 0; push < 2; push++) {
        copy(push ? call_and_push : call_and_load);
        for (u64 at = THEIRS; at < THEIRS + THEIRS_SIZE; at += THEIRS_STEP) {
            u64 rip = next_copy();

            for (unsigned turn = 0; turn < 3; turn++) /* so that all of the code is there, and known */
                wrong += to_stack(rip, STACK(3)) != BP;
            wrong += to_stack(rip, at) != PF || last_cr2 != at - 8 * push ||
                     last.error != (push ? PFEC_U | PFEC_W : PFEC_U);
        }
    }
    equal(wrong, 0, "SYSRET to where nothing is");
    wrmsr(LSTAR, before);
}

void test_main(void)
{
    for (unsigned i = 0; i < STACK_COUNT; i++)
        map(STACK(i) & ~0xfffull, page_alloc(), P_P | P_W | P_U);
    for (unsigned i = 1; i <= FRAME_PAGES; i++)
        map(FRAMES - 4096 * i, page_alloc(), P_P | P_W | P_U);
    for (u64 at = 0; at < COPIES_SIZE; at += 4096)
        map(COPIES + at, page_alloc(), P_P | P_W | P_U);
    where_something_is();
    a_number();
    large_frames();
    other_stacks();
    where_nothing_is();
    where_something_is();
}
