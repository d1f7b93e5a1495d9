/*
 * bases.c - accesses through FS in user code, and through GS in a supervisor's, whose bases change in every way
 * there is: WRMSR, WRFSBASE, WRGSBASE, SWAPGS, loads of a selector, in a snippet and between SYSCALL and SYSRET;
 * bases at the ends of what may be reached, and at and around all that may not (SDM vol. 3, 3.4.4, 5.8.8; vol. 2,
 * SWAPGS). Built with -DUPPER for the supervisor's part, which is about kernels that live in the upper half.
 */
#include "rt.h"

#define FS_BASE 0xc0000100
#define GS_BASE 0xc0000101
#define KERNEL_GS_BASE 0xc0000102
#define LSTAR 0xc0000082
#define FSGSBASE (1ull << 16)
#define CALLS 100u

SNIPPET(fs_all, "mov %fs:0, %rax\nmov %fs:8, %rcx\nmov %fs:-8, %rdx\nadd %rbx, %fs:16\nmov %fs:16, %rsi");
SNIPPET(fs_far,
        "mov %fs:0xff000-8, %rax\nmov %fs:-0xff000, %rcx\nmov %fs:0x100000, %rdx\nmov %fs:-0x100000, %rsi\n"
        "mov %fs:0x7ffff000, %rdi");
SNIPPET(fs_forms, "mov %fs:0, %ah\nmov %fs:8, %bl\nlock incq %fs:16\nmovups %fs:0, %xmm0\nmovups %xmm0, %fs:32\n"
                  "pushq %fs:0\npopq %fs:48\nmov $1, %ecx\nmov %fs:(,%rcx,8), %rdx\nxor %eax, %eax\n"
                  "cmpxchg %rdx, %fs:56\nmov %fs:56, %r10\nmov %fs:56, %r11\nmov %fs:48, %r15\nmov %fs:32, %rsi");
SNIPPET(fs_written, "mov %fs:0, %rax\nwrfsbase %rbx\nmov %fs:0, %rcx\nwrfsbase %rdi\nmov %fs:0, %rdx");
SNIPPET(fs_loaded, "mov %fs:0, %rax\nmov %bx, %fs\nmov %fs:8, %rcx");
SNIPPET(fs_load, "mov %fs:0, %rax");
SNIPPET(fs_load_up, "mov %fs:0x1000, %rax");
SNIPPET(fs_load_far, "mov %fs:0x7ffff000, %rax");
SNIPPET(fs_store, "mov %rax, %fs:0");
/* RDX is the base for the time behind the call. */
SNIPPET(fs_calls, "1: mov %fs:0, %rax\nadd %rax, %r12\nxchg %rdx, %rsi\nsyscall\ndec %rbx\njnz 1b");

static u64 word_at(unsigned page, unsigned n)
{
    return 0x1000 * (page + 1) + n;
}

static u64 page_of(unsigned page)
{
    return USER_DATA + 4096 * page;
}

static void fill(u64 page, unsigned number)
{
    for (unsigned i = 0; i < 512; i++)
        ((volatile u64 *)page)[i] = word_at(number, i);
}

static void bases_take_turns(void)
{
    unsigned wrong = 0;

    for (unsigned turn = 0; turn < 40; turn++) {
        unsigned page = turn % 4, n = turn % 7 + 1;

        fill(page_of(page), page);
        wrmsr(FS_BASE, page_of(page) + 8 * n);
        in.rbx = turn;
        wrong += run(fs_all, 3) != BP || last.rax != word_at(page, n) || last.rcx != word_at(page, n + 1) ||
                 last.rdx != word_at(page, n - 1) || last.rsi != word_at(page, n + 2) + turn;
    }
    equal(wrong, 0, "bases that WRMSR sets take turns");
}

static void forms(void)
{
    fill(page_of(1), 0);
    *(volatile u64 *)(page_of(1) + 56) = 0;
    wrmsr(FS_BASE, page_of(1));
    in.rbx = 0;
    expect(fs_forms, 3, BP, -1, -1, "all sorts of operands");
    equal(last.rdx, word_at(0, 1), "  an index");
    equal(last.r10, word_at(0, 1), "  CMPXCHG");
    equal(last.r11, last.r10, "  into R11");
    equal(last.r15, word_at(0, 0), "  PUSH and POP, into R15");
    equal(last.rsi, word_at(0, 0), "  a vector");
    equal(*(volatile u64 *)(page_of(1) + 16), word_at(0, 2) + 1, "  LOCK INC");
    equal(last.rbx & 0xff, word_at(0, 1) & 0xff, "  a byte");
}

static void changes_in_between(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < 4; i++)
        fill(page_of(i), i);
    for (unsigned turn = 0; turn < 20; turn++) {
        wrmsr(FS_BASE, page_of(0));
        in.rbx = page_of(1 + turn % 3);
        in.rdi = page_of(turn % 4) + 8;
        wrong += run(fs_written, 3) != BP || last.rax != word_at(0, 0) || last.rcx != word_at(1 + turn % 3, 0) ||
                 last.rdx != word_at(turn % 4, 1);
    }
    equal(wrong, 0, "WRFSBASE in user code");
    wrong = 0;
    for (unsigned turn = 0; turn < 20; turn++) {
        wrmsr(FS_BASE, page_of(2));
        in.rbx = turn % 2 ? UDS : 0;
        wrong += run(fs_loaded, 3) != PF || last.rax != word_at(2, 0) || last_cr2 != 8 ||
                 last.error != (PFEC_U | PFEC_P);
        wrmsr(FS_BASE, page_of(turn % 4));
        wrong += run(fs_load, 3) != BP || last.rax != word_at(turn % 4, 0);
    }
    equal(wrong, 0, "a selector's base is 0, until the next WRMSR");
}

static void distances(void)
{
    u64 base = 0x60000000, page = page_alloc();

    fill(page, 0);
    map(base + 0xff000 - 4096, page, P_P | P_U);
    map(base - 0xff000, page, P_P | P_U);
    map(base + 0x100000, page, P_P | P_U);
    map(base - 0x100000, page, P_P | P_U);
    map(base + 0x7ffff000, page, P_P | P_U);
    wrmsr(FS_BASE, base);
    for (unsigned turn = 0; turn < 3; turn++) {
        expect(fs_far, 3, BP, -1, -1, "far from the base");
        equal(last.rax - last.rcx, 511, "  a mebibyte at most");
        equal(last.rdx + last.rsi + last.rdi, 3 * word_at(0, 0), "  and more");
    }
}

static bool is_user(u64 address)
{
    return address >> 47 == 0;
}

/* Where nothing is mapped, wherever novt is. */
static void where_nothing_is(void)
{
    unsigned wrong = 0;

    for (u64 base = 0; base < 1ull << 47; base += 1ull << 34)
        for (unsigned k = 0; k < 3; k++) {
            u64 at = base + (k == 1 ? 0x3fff8000ull : k == 2 ? (1ull << 34) - 4096 : 0x10000);

            wrmsr(FS_BASE, at);
            wrong += run(k & 1 ? fs_store : fs_load, 3) != PF || last_cr2 != at ||
                     (last.error & ~(u64)PFEC_P) != (k & 1 ? PFEC_U | PFEC_W : PFEC_U);
            at += 4096;
            wrong += k == 2 && (run(fs_load_up, 3) != (is_user(at) ? PF : GP) || (is_user(at) && last_cr2 != at));
        }
    equal(wrong, 0, "bases all over the user's half, with nothing there");
    wrong = 0;
    for (u64 base = 0xffff800000000000; base; base += 1ull << 38) {
        wrmsr(FS_BASE, base);
        wrong += run(fs_load, 3) != PF || last_cr2 != base || (last.error & ~(u64)PFEC_P) != PFEC_U;
    }
    wrmsr(FS_BASE, 0xfffffffffffff000);
    wrong += run(fs_load_up, 3) != PF || last_cr2 != 0 || (last.error & ~(u64)PFEC_P) != PFEC_U;
    equal(wrong, 0, "bases in the kernel's half");
    wrmsr(FS_BASE, page_of(3));
    fill(page_of(3), 3);
    expect(fs_load, 3, BP, -1, -1, "and where something is");
    equal(last.rax, word_at(3, 0), "  again");
}

/* Copies of a snippet: code that has faulted a few times is made in another way, and this is about how it is made
   at first. */
#define COPY_SIZE 16u
#define COPIES 0x48000000ull
#define COPIES_SIZE 0x100000ull

static void make_copies(void)
{
    for (u64 at = 0; at < COPIES_SIZE; at += 4096) {
        u64 page = page_alloc();

        map(COPIES + at, page, P_P | P_W | P_U);
        map(HALF + 0x48000000 + at, page, HALF ? P_P | P_W : P_P | P_W | P_U);
    }
}

static void copy(const u8 *snippet)
{
    for (u64 at = 0; at < COPIES_SIZE; at += COPY_SIZE)
        memcpy((void *)(COPIES + at), snippet, COPY_SIZE);
}

/* novt begins its mappings, guest RAM among them, a third of the way up the host's user half, at a place that
   changes. RAM has 64 MiB. */
#define THEIRS 0x2aaa00000000
#define THEIRS_SIZE 0x10200000000
#define THEIRS_STEP (32ull << 20)

/* The copied snippet's access goes to `offset` from the base: that is to be each of these addresses, `moved`. */
static void where_novt_is(unsigned cpl, u32 msr, u64 offset, u64 moved, const char *name)
{
    u64 next = 0;
    unsigned wrong = 0;

    for (u64 at = THEIRS; at < THEIRS + THEIRS_SIZE; at += THEIRS_STEP) {
        wrmsr(msr, at + moved - offset);
        wrong +=
            run_at((cpl ? COPIES : HALF + 0x48000000) + next++ % (COPIES_SIZE / COPY_SIZE) * COPY_SIZE, cpl) != PF;
        wrong += last_cr2 != at + moved || last.error != (cpl ? PFEC_U : 0);
    }
    equal(wrong, 0, name);
}

/* The supervisor changes the base between SYSCALL and SYSRET; RSP stays the user's. */
extern u8 entry_write[], entry_wrmsr[], entry_load[];
__asm__(".text\nentry_write: wrfsbase %rdx\nsysretq\n"
        "entry_wrmsr: movq %rcx, %r8\nmovq %rdx, %r9\nmovl %edx, %eax\nshrq $32, %rdx\nmovl $0xc0000100, %ecx\n"
        "wrmsr\nmovq %r8, %rcx\nmovq %r9, %rdx\nsysretq\n"
        "entry_load: xorl %eax, %eax\nmovw %ax, %fs\nwrfsbase %rdx\ncmpl $50, %ebx\njne 1f\nmovw %ax, %fs\n"
        "1: sysretq\n");

static void between_syscalls(void)
{
    u64 before = rdmsr(LSTAR);

    fill(page_of(0), 0);
    fill(page_of(1), 1);
    for (unsigned turn = 0; turn < 3; turn++) {
        wrmsr(LSTAR, (u64)entry_write);
        wrmsr(FS_BASE, page_of(0));
        in.rbx = CALLS;
        in.rdx = page_of(0);
        in.rsi = page_of(1);
        in.r12 = 0;
        expect(fs_calls, 3, BP, -1, -1, "WRFSBASE between SYSCALL and SYSRET");
        equal(last.r12, CALLS / 2 * (word_at(0, 0) + word_at(1, 0)), "  takes effect each time");
        wrmsr(LSTAR, (u64)entry_wrmsr);
        wrmsr(FS_BASE, page_of(0));
        expect(fs_calls, 3, BP, -1, -1, "WRMSR there");
        equal(last.r12, CALLS / 2 * (word_at(0, 0) + word_at(1, 0)), "  takes effect each time, too");
        wrmsr(LSTAR, (u64)entry_load);
        wrmsr(FS_BASE, page_of(0));
        expect(fs_calls, 3, PF, PFEC_U | PFEC_P, 0, "a null selector in one of the calls");
        equal(last_cr2, 0, "  makes the base 0");
        equal(last.rbx, 49, "  from that one on");
    }
    wrmsr(LSTAR, before);
}

#ifdef UPPER
SNIPPET(gs_all, "mov %gs:0, %rax\nmov %gs:8, %rcx\nmov %gs:-8, %rdx\nadd %rbx, %gs:16\nmov %gs:16, %rsi");
SNIPPET(gs_swapped, "mov %gs:0, %rax\nswapgs\nmov %gs:0, %rdx\nswapgs\nmov %gs:0, %rsi\nswapgs\nmov %gs:8, %rdi\n"
                    "mov $0xc0000102, %ecx\nmov %rbx, %rax\nmov %rbx, %rdx\nshr $32, %rdx\nwrmsr\nswapgs\n"
                    "mov %gs:0, %rbp");
SNIPPET(gs_written, "mov %gs:0, %rax\nwrgsbase %rbx\nmov %gs:0, %rcx\nmov %gs:8, %rdx\nmov %r8w, %gs\n"
                    "mov %gs:8, %rsi");
SNIPPET(gs_load, "mov %gs:0, %rax");
SNIPPET(gs_load_far, "mov %gs:0x7ffff000, %rax");
SNIPPET(gs_store, "mov %rax, %gs:0");

#define UPPER_DATA (HALF + 0x51000000ull)

static void supervisor(void)
{
    static const u64 far[] = {0xffffa00000000000, 0xffff880000000000, 0xffffe90000000000, 0xffffffff80000000};
    u64 low = 8; /* the runtime's */
    unsigned wrong = 0;

    for (unsigned i = 0; i < 4; i++)
        map(UPPER_DATA + 4096 * i, *pte_of(page_of(i), 1) & 0xffffffffff000, P_P | P_W);
    for (unsigned turn = 0; turn < 40; turn++) {
        unsigned page = turn % 4, n = turn % 7 + 1;

        fill(page_of(page), page);
        wrmsr(GS_BASE, UPPER_DATA + 4096 * page + 8 * n);
        in.rbx = turn;
        wrong += run(gs_all, 0) != BP || last.rax != word_at(page, n) || last.rcx != word_at(page, n + 1) ||
                 last.rdx != word_at(page, n - 1) || last.rsi != word_at(page, n + 2) + turn;
    }
    equal(wrong, 0, "a supervisor's bases that WRMSR sets take turns");
    wrong = 0;
    for (unsigned i = 0; i < 4; i++)
        fill(page_of(i), i);
    for (unsigned turn = 0; turn < 40; turn++) {
        unsigned a = turn % 4, b = turn / 4 % 4;

        wrmsr(GS_BASE, UPPER_DATA + 4096 * a);
        wrmsr(KERNEL_GS_BASE, UPPER_DATA + 4096 * b);
        in.rbx = UPPER_DATA + 4096 * ((a + b) % 4);
        wrong += run(gs_swapped, 0) != BP || last.rsi != word_at(a, 0) || last.rdi != word_at(b, 1) ||
                 last.rbp != word_at((a + b) % 4, 0);
        wrong += rdmsr(KERNEL_GS_BASE) != UPPER_DATA + 4096 * b;
    }
    equal(wrong, 0, "SWAPGS, and WRMSR in between");
    wrong = 0;
    for (unsigned turn = 0; turn < 40; turn++) {
        wrmsr(GS_BASE, UPPER_DATA);
        in.rbx = UPPER_DATA + 4096 * (turn % 4);
        in.r8 = turn % 2 ? KDS : 0;
        wrong += run(gs_written, 0) != BP || last.rsi != *(volatile u64 *)low || last.rax != word_at(0, 0) ||
                 last.rcx != word_at(turn % 4, 0) || last.rdx != word_at(turn % 4, 1);
    }
    equal(wrong, 0, "WRGSBASE, and a selector");
    wrong = 0;
    for (unsigned i = 0; i < 4; i++) {
        map(far[i] + 0x5000, *pte_of(page_of(i), 1) & 0xffffffffff000, P_P | P_W);
        for (unsigned turn = 0; turn < 6; turn++) {
            wrmsr(GS_BASE, far[i] + 0x5000);
            wrong += run(gs_load, 0) != BP || last.rax != word_at(i, 0);
            wrmsr(GS_BASE, far[i] + 0x6000);
            wrong += run(gs_store, 0) != PF || last_cr2 != far[i] + 0x6000 || last.error != PFEC_W;
        }
    }
    equal(wrong, 0, "bases in parts that were not reached before");
    wrong = 0;
    for (u64 base = 0x8000000000; base < 1ull << 47; base += 1ull << 36) {
        wrmsr(GS_BASE, base);
        wrong += run(gs_load, 0) != PF || last_cr2 != base || last.error;
    }
    equal(wrong, 0, "bases all over the user's half");
    copy(gs_load);
    where_novt_is(0, GS_BASE, 0, 0 - 0x7c0000000000, "bases that novt would move to its mappings");
    copy(gs_load_far);
    where_novt_is(0, GS_BASE, 0x7ffff000, 0 - 0x7c0000000000, "  and far from them");
    wrmsr(GS_BASE, 0);
    wrmsr(KERNEL_GS_BASE, 0);
}
#endif

void test_main(void)
{
    u64 cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | FSGSBASE));
    bases_take_turns();
    forms();
    changes_in_between();
    distances();
    where_nothing_is();
    make_copies();
    copy(fs_load);
    where_novt_is(3, FS_BASE, 0, 0, "bases at novt's mappings");
    copy(fs_load_far);
    where_novt_is(3, FS_BASE, 0x7ffff000, 0, "  and far from them");
    between_syscalls();
#ifdef UPPER
    supervisor();
#endif
}
