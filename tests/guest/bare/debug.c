/*
 * debug.c - single-stepping, breakpoints, ICEBP and INT3, RF (SDM vol. 3, 17.2 and 17.3).
 */
#include "rt.h"

SNIPPET(plain, "nop\nmov %rax, %rax\njmp 1f\nnop\n1: nop");
SNIPPET(calls, "call 1f\nnop\nint3\n1: ret");
SNIPPET(repeat, "rep movsb\nnop");
SNIPPET(popf_clear, "pushq $2\npopfq\nnop\nnop");
SNIPPET(popf_set, "pushq $0x102\npopfq\nnop\nnop");
SNIPPET(push_flags, "pushfq\npop %rax");
SNIPPET(load_ss, "mov %ss, %ecx\nmov %ecx, %ss\nnop\nnop");
SNIPPET(do_int80, "int $0x80\nnop");
SNIPPET(do_syscall, "syscall");
SNIPPET(do_icebp, ".byte 0xf1");
SNIPPET(do_int3, "int3");
SNIPPET(undefined, "ud2");
SNIPPET(load, "mov (%rbx), %rax");
SNIPPET(nops, "nop\nnop\nnop");
SNIPPET(stores, "nop\nmovl $1, (%rbx)\nnop\nnop");
SNIPPET(loads, "nop\nmov (%rbx), %eax\nnop\nnop");
SNIPPET(modifies, "nop\nincb (%rbx)\nnop");
SNIPPET(pushes, "push %rax\nnop\npop %rax");
SNIPPET(rep_stos, "rep stosb\nnop");
SNIPPET(out80, "nop\nout %al, $0x80\nnop");
SNIPPET(divide, "nop\ndiv %ecx\nnop");
SNIPPET(cpuid_step, "cpuid\nnop");

#define MAX_STEPS 40

static u64 rip[MAX_STEPS], dr6[MAX_STEPS], flags_seen[MAX_STEPS];
static unsigned steps;

static u64 read_dr6(void)
{
    u64 value;

    __asm__ volatile("mov %%dr6, %0" : "=r"(value));
    return value;
}

static void write_dr6(u64 value)
{
    __asm__ volatile("mov %0, %%dr6" : : "r"(value));
}

static void write_dr7(u64 value)
{
    __asm__ volatile("mov %0, %%dr7" : : "r"(value | 0x400));
}

static void write_dr0(u64 value)
{
    __asm__ volatile("mov %0, %%dr0" : : "r"(value));
}

static void write_dr1(u64 value)
{
    __asm__ volatile("mov %0, %%dr1" : : "r"(value));
}

static bool on_debug(struct trap *t)
{
    if (t->vector != DB)
        return false;
    if (steps < MAX_STEPS) {
        rip[steps] = t->rip;
        flags_seen[steps] = t->rflags;
        dr6[steps++] = read_dr6();
    }
    write_dr6(0xffff0ff0);
    if (!(read_dr6() & 0x4000) && (dr6[steps - 1] & 1)) /* an instruction breakpoint: step over it */
        t->rflags |= 0x10000;
    return steps < MAX_STEPS;
}

/* The trap is the last one. */
static bool on_debug_once(struct trap *t)
{
    if (t->vector != DB || !on_debug(t))
        return false;
    t->rflags &= ~0x100ull;
    return true;
}

static void stepping(const u8 *snippet, unsigned cpl, u64 flags, unsigned vector, const char *offsets,
                     const char *name)
{
    u64 base = cpl ? USER(snippet) : (u64)snippet;
    unsigned i, n = 0;
    bool good;

    while (offsets[n])
        n++;
    steps = 0;
    in.rflags = flags;
    run(snippet, cpl);
    good = last.vector == vector && steps == n;
    for (i = 0; i < steps && i < n; i++)
        good &= rip[i] - base == (u64)(offsets[i] - '0') && (dr6[i] & 0x400f) == 0x4000;
    ok(good, name);
    if (!good) {
        put("#   vector 0x");
        put_hex(last.vector);
        put(", traps at");
        for (i = 0; i < steps; i++) {
            put(" 0x");
            put_hex(rip[i] - base);
            put("/0x");
            put_hex(dr6[i]);
        }
        put("\n");
    }
    in.rflags = 2;
}

static void single_step(unsigned cpl)
{
    stepping(plain, cpl, 0x102, BP, "1478", "single-step: NOP, MOV, JMP, NOP");
    stepping(calls, cpl, 0x102, BP, "756", "single-step: CALL, RET, NOP");
    in.rsi = USER_DATA;
    in.rdi = USER_DATA + 256;
    in.rcx = 3;
    stepping(repeat, cpl, 0x102, BP, "0023", "single-step: every iteration of REP MOVSB");
    stepping(popf_clear, cpl, 0x102, BP, "23", "single-step: the trap behind the POPF that clears TF");
    stepping(popf_set, cpl, 2, BP, "78", "single-step: POPF that sets TF; the trap comes after one more");
    stepping(push_flags, cpl, 0x102, BP, "12", "single-step: PUSHF");
    equal(out.rax, 0x102, "PUSHF shows TF");
    stepping(load_ss, cpl, 0x102, BP, "256", "single-step: none behind MOV SS");
    in.rax = in.rcx = 0;
    stepping(cpuid_step, cpl, 0x102, BP, "23", "single-step: CPUID");
}

static void single_step_more(void)
{
    u64 fmask = rdmsr(0xc0000084);

    stepping(do_int80, 3, 0x102, 0x80, "", "single-step: INT n clears TF");
    equal(last.rflags & 0x100, 0x100, "and saves it");
    wrmsr(0xc0000084, 0x300);
    stepping(do_syscall, 3, 0x102, SYSCALLED, "", "single-step: SYSCALL that masks TF");
    equal(out.r11 & 0x100, 0x100, "R11 has TF");
    wrmsr(0xc0000084, 0x200);
    trap_hook = on_debug_once;
    steps = 0;
    in.rflags = 0x102;
    run(do_syscall, 3);
    ok(steps == 1 && rip[0] == (u64)syscall_entry && last.vector == SYSCALLED,
       "single-step: SYSCALL that leaves TF: the trap comes at the entry");
    equal(flags_seen[0] & 0x100, 0x100, "with TF");
    trap_hook = on_debug;
    in.rflags = 2;
    wrmsr(0xc0000084, fmask);
    in.rcx = 0;
    stepping(divide, 3, 0x102, DE, "1", "single-step: a fault comes without a trap");
    equal(last.rflags & 0x100, 0x100, "its frame has TF");
}

static void traps(void)
{
    u64 gate3 = idt[6];

    trap_hook = NULL;
    write_dr6(0xffff0ff0);
    expect(do_icebp, 3, DB, -1, 1, "ICEBP");
    equal(read_dr6() & 0x400f, 0, "leaves DR6");
    idt[6] &= ~(3ull << 45);
    expect(do_int3, 3, GP, 3 * 8 + 2, 0, "INT3 through a DPL 0 gate");
    idt[6] = gate3;
    expect(do_int3, 3, BP, -1, 1, "INT3");
    equal(last.rflags & 0x10000, 0, "no RF in the frame of a trap");
    expect(undefined, 3, UD, -1, 0, "UD2");
    equal(last.rflags & 0x10000, 0x10000, "RF in the frame of a fault");
    in.rbx = 0x123456789000;
    expect(load, 3, PF, -1, 0, "#PF");
    equal(last.rflags & 0x10000, 0x10000, "RF in the frame of a page fault");
}

static void instruction_breakpoint(void)
{
    trap_hook = NULL;
    write_dr6(0xffff0ff0);
    write_dr0(USER(nops) + 1);
    write_dr7(1);
    expect(nops, 3, DB, -1, 1, "instruction breakpoint");
    equal(read_dr6() & 0x400f, 1, "DR6 says which");
    equal(last.rflags & 0x10000, 0, "RF is clear in its frame, unlike other faults'");
    trap_hook = on_debug;
    steps = 0;
    write_dr6(0xffff0ff0);
    run(nops, 3);
    ok(last.vector == BP && steps == 1 && rip[0] == USER(nops) + 1, "RF in the returned frame steps over it");
    write_dr7(0);
    steps = 0;
    run(nops, 3);
    equal(steps, 0, "disabled by DR7");
    write_dr0((u64)nops + 2);
    write_dr7(2);
    run(nops, 0);
    ok(steps == 1 && rip[0] == (u64)nops + 2, "global enable, at CPL 0");
    write_dr7(0);
}

/* RW and LEN of DR1. */
static void watch(const u8 *snippet, u64 where, unsigned rw, unsigned length, int offset, const char *name)
{
    trap_hook = on_debug;
    steps = 0;
    write_dr6(0xffff0ff0);
    write_dr1(where);
    write_dr7(4 | rw << 20 | length << 22);
    run(snippet, 3);
    write_dr7(0);
    if (offset < 0)
        ok(last.vector == BP && steps == 0, name);
    else
        ok(last.vector == BP && steps == 1 && rip[0] == USER(snippet) + (u64)offset && (dr6[0] & 0x400f) == 2,
           name);
    if (offset >= 0 && (steps != 1 || rip[0] != USER(snippet) + (u64)offset)) {
        equal(steps, 1, "traps of the above");
        equal(rip[0] - USER(snippet), (u64)offset, "place of the above");
    }
}

static void data_breakpoints(void)
{
    in.rbx = USER_DATA + 0x40;
    watch(stores, USER_DATA + 0x40, 1, 3, 7, "write breakpoint, behind the store");
    watch(stores, USER_DATA + 0x42, 1, 1, 7, "two of the four bytes");
    watch(stores, USER_DATA + 0x44, 1, 3, -1, "the next four bytes");
    watch(loads, USER_DATA + 0x40, 1, 3, -1, "a load is no write");
    watch(loads, USER_DATA + 0x40, 3, 3, 3, "read-write breakpoint, a load");
    watch(stores, USER_DATA + 0x43, 3, 0, 7, "read-write breakpoint of one byte, a store");
    watch(modifies, USER_DATA + 0x40, 1, 0, 3, "read-modify-write");
    watch(pushes, USER_STACK - 64 - 8, 1, 2, 1, "PUSH, eight bytes");
    in.rdi = USER_DATA + 0x3e;
    in.rcx = 2;
    watch(rep_stos, USER_DATA + 0x40, 1, 3, -1, "REP STOSB that ends in front");
    in.rdi = USER_DATA + 0x3e;
    in.rcx = 3;
    watch(rep_stos, USER_DATA + 0x40, 1, 3, 2, "REP STOSB that reaches it in the last turn");
}

static void io_breakpoint(void)
{
    u64 cr4 = read_cr4();

    write_cr4(cr4 | 8);
    in.rflags = 0x3002;
    watch(out80, 0x80, 2, 0, 3, "I/O breakpoint");
    watch(out80, 0x81, 2, 0, -1, "another port");
    in.rflags = 2;
    write_cr4(cr4);
}

void test_main(void)
{
    trap_hook = on_debug;
    write_dr6(0xffff0ff0);
    single_step(3);
    single_step(0);
    single_step_more();
    traps();
    instruction_breakpoint();
    data_breakpoints();
    io_breakpoint();
}
