/*
 * crossing.c - SYSCALL and SYSRET again and again, with what decides their effect changed in between: flags, MSRs,
 * segments, SMAP, interrupts that wait (SDM vol. 2, SYSCALL and SYSRET; vol. 3, 5.8.8).
 */
#include "rt.h"

#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define FMASK 0xc0000084
#define ARITHMETIC 0x8d5u
#define FLAG_DF 0x400u
#define FLAG_IF 0x200u
#define FLAG_AC 0x40000u
#define FLAG_ID 0x200000u
#define IOPL 0x3000u
#define CALLS 200u
#define LAPIC 0xfee00000ull
#define VECTOR 0x55u

struct frame { /* as common, below, pushes it */
    u64 rax, rdx, rsi, rdi, r8, r9, r10, r11, rcx, which, flags;
};

/* Two entries; which one it was is in the frame. */
extern u8 entry_a[], entry_b[];
__asm__(".text\n"
        "entry_a: movq %rsp, user_rsp\nmovq $kernel_stack_top, %rsp\npushfq\npushq $0\njmp common\n"
        "entry_b: movq %rsp, user_rsp\nmovq $kernel_stack_top, %rsp\npushfq\npushq $1\n"
        "common: pushq %rcx\npushq %r11\npushq %r10\npushq %r9\npushq %r8\npushq %rdi\npushq %rsi\npushq %rdx\n"
        "pushq %rax\ncld\nmovq %rsp, %rdi\ncall on_call\n"
        "popq %rax\npopq %rdx\npopq %rsi\npopq %rdi\npopq %r8\npopq %r9\npopq %r10\npopq %r11\npopq %rcx\n"
        "movq user_rsp, %rsp\n"
        ".globl back\nback: sysretq\n"
        ".bss\n.balign 16\n.skip 4096\nkernel_stack_top:\nuser_rsp: .skip 8\n.text\n");
extern u8 back[];

/* RBX calls; call n has the arithmetic flags of [rsi + 2 n], AH as for SAHF and OF in AL. R12 gathers in which of
   these bits they changed over the call, R13 the selectors of CS and SS behind it. Nothing here takes an
   interpreter. */
SNIPPET(calls, "1: movzwl (%rsi,%rbx,2), %ebp\nmov %ebp, %eax\nadd $127, %al\nsahf\nsyscall\nafter_call: lahf\n"
               "seto %al\nmovzwl %ax, %eax\nxor %ebp, %eax\nor %rax, %r12\n"
               "mov %cs, %eax\nmov %ss, %edx\nshl $16, %edx\nor %edx, %eax\nor %rax, %r13\n"
               "dec %rbx\njnz 1b");
/* CLI after each eighth call. */
SNIPPET(with_cli, "1: syscall\ntest $7, %bl\njnz 2f\ncli\n2: dec %rbx\njnz 1b");
extern u8 after_call[];

static u16 *const pattern = (u16 *)USER_DATA; /* [1, CALLS] */
static unsigned seen[2], wrong, faults;
static u64 fmask, system_flags; /* those that the last call has left to the user, but for the arithmetic ones */
static void (*action)(struct frame *f, unsigned call);

static u64 arithmetic(u16 pattern)
{
    return (pattern >> 8 & 0xd5) | (u64)(pattern & 1) << 11;
}

__attribute__((used)) void on_call(struct frame *f)
{
    unsigned call = seen[0] + seen[1];

    seen[f->which & 1]++;
    wrong += f->flags != ((f->r11 & ~fmask) | 2);
    wrong += (f->r11 & ~(u64)ARITHMETIC) != system_flags;
    if (action)
        action(f, call);
    else
        wrong += (f->r11 & ARITHMETIC) != arithmetic(pattern[CALLS - call]);
    system_flags = f->r11 & ~(u64)ARITHMETIC;
}

static void make_patterns(void)
{
    for (unsigned i = 1; i <= CALLS; i++)
        pattern[i] = (u16)((i * 0x4d7 & 0xd501) | 0x200);
}

static void begin(u64 mask, void (*what)(struct frame *, unsigned))
{
    fmask = mask;
    wrmsr(FMASK, mask);
    wrmsr(LSTAR, (u64)entry_a);
    action = what;
    seen[0] = seen[1] = wrong = faults = 0;
    system_flags = in.rflags;
    make_patterns();
    in.rbx = CALLS;
    in.rsi = (u64)pattern;
    in.r12 = in.r13 = 0;
}

static void finish_calls(const char *name)
{
    expect(calls, 3, BP, -1, -1, name);
    equal(seen[0] + seen[1], CALLS, "all calls come in");
    equal(wrong, 0, "R11 and the masked flags in each");
    equal(out.r12, 0, "the flags behind SYSRET are those in front of SYSCALL");
    equal(out.r13, (u64)UDS << 16 | UCS, "CS and SS");
}

static void change_flags(struct frame *f, unsigned call)
{
    if (call % 4 == 0)
        f->r11 ^= FLAG_ID | (call & 8 ? FLAG_DF : FLAG_AC);
}

static void flags(void)
{
    static const u64 masks[] = {0x257fd5, 0x700, 0x700 | 0x45, 0x300};

    for (unsigned i = 0; i < sizeof masks / sizeof *masks; i++) {
        begin(masks[i], NULL);
        finish_calls("calls with arithmetic flags of all kinds");
        begin(masks[i], change_flags);
        finish_calls("those of the system change every few calls");
    }
}

static void change_entry(struct frame *f, unsigned call)
{
    wrong += f->which != (call / 4 & 1);
    if (call % 4 == 3)
        wrmsr(LSTAR, (u64)((call + 1) / 4 & 1 ? entry_b : entry_a));
}

static void change_mask(struct frame *f, unsigned call)
{
    (void)f;
    if (call % 4)
        return;
    fmask = call / 4 & 1 ? 0x700 : 0x257fd5;
    wrmsr(FMASK, fmask);
}

/* CS and SS do not come from the table. */
static void change_selectors(struct frame *f, unsigned call)
{
    (void)f;
    if (call % 16 == 15)
        wrmsr(STAR, (u64)KCS << 32 | (call & 16 ? 0x1003ull : 0x23ull) << 48);
}

static void registers(void)
{
    begin(0x257fd5, change_entry);
    finish_calls("LSTAR changes every few calls");
    equal(seen[1], CALLS / 2, "half of the calls come in by the other entry");
    begin(0x257fd5, change_mask);
    finish_calls("FMASK changes every few calls");
    begin(0x257fd5, change_selectors);
    expect(calls, 3, BP, -1, -1, "STAR changes");
    equal(out.r13, 0x1013ull | UCS | (0x100bull | UDS) << 16, "CS and SS are made of it");
    wrmsr(STAR, (u64)KCS << 32 | 0x23ull << 48);
}

static bool skip_cli(struct trap *t)
{
    if (t->vector != GP || t->cs != UCS)
        return false;
    faults++;
    t->rip++;
    return true;
}

static void change_iopl(struct frame *f, unsigned call)
{
    f->r11 = call & 16 ? f->r11 | IOPL : f->r11 & ~(u64)IOPL;
}

static void privilege(void)
{
    begin(0x257fd5, change_iopl);
    trap_hook = skip_cli;
    expect(with_cli, 3, BP, -1, -1, "R11 gives the user IOPL 3, and takes it away");
    trap_hook = NULL;
    equal(faults, 13, "CLI faults while it is away");
}

/* The supervisor reads a page of the user. */
static bool skip_load(struct trap *t)
{
    if (t->vector != PF || (t->cs & 3))
        return false;
    faults++;
    t->rip += 3; /* mov (%rax), %rax */
    return true;
}

static void read_user(struct frame *f, unsigned call)
{
    if (call % 4 == 0)
        f->r11 ^= FLAG_AC;
    __asm__ volatile("mov (%0), %%rax" : : "a"(USER_DATA) : "memory");
}

static void smap(void)
{
    if (!HAS_SMAP) {
        skip("SMAP", "not in CPUID");
        return;
    }
    begin(0x700, read_user);
    write_cr4(read_cr4() | 1 << 21);
    trap_hook = skip_load;
    run(calls, 3);
    trap_hook = NULL;
    write_cr4(read_cr4() & ~(1ull << 21));
    equal(seen[0], CALLS, "SMAP, and AC that the user has every few calls");
    equal(wrong, 0, "it comes in with the flags");
    equal(faults, CALLS / 2, "a user page faults while it is clear");
}

static unsigned interrupts, late;

static bool on_interrupt(struct trap *t)
{
    if (t->vector != VECTOR)
        return false;
    interrupts++;
    late += t->rip != USER(after_call) || t->cs != UCS;
    *(volatile u32 *)(LAPIC + 0xb0) = 0;
    return true;
}

static void interrupt_self(struct frame *f, unsigned call)
{
    (void)f;
    if (call % 3 == 0)
        *(volatile u32 *)(LAPIC + 0x300) = 0x40000 | VECTOR;
}

static void waiting_interrupts(void)
{
    map(LAPIC, LAPIC, P_P | P_W | 0x10);
    *(volatile u32 *)(LAPIC + 0xf0) = 0x1ff;
    in.rflags = FLAG_IF | 2;
    begin(0x257fd5, interrupt_self);
    interrupts = late = 0;
    trap_hook = on_interrupt;
    run(calls, 3);
    in.rflags = 2;
    trap_hook = NULL;
    equal(interrupts, (CALLS + 2) / 3, "interrupts that the supervisor has held back");
    equal(late, 0, "come behind SYSRET");
}

static void leave_canonical(struct frame *f, unsigned call)
{
    if (call == CALLS / 2)
        f->rcx = 1ull << 62;
}

static void addresses(void)
{
    begin(0x257fd5, leave_canonical);
    run(calls, 3);
    ok(last.vector == GP && (last.cs == KCS ? last.rip == (u64)back : last.rip == 1ull << 62),
       "SYSRET to an address that is not canonical, after good ones");
    equal(seen[0], CALLS / 2 + 1, "it is the one");
}

void test_main(void)
{
    flags();
    registers();
    privilege();
    smap();
    waiting_interrupts();
    addresses();
}
