/*
 * irq.c - interrupts: shadows of STI, HLT, NMI and its blocking, IST, double fault, task priority, port
 * permissions (SDM vol. 3, 6.7, 6.8, 6.14, 10; vol. 1, 18.5). Uses the PIT through the 8259, and the local APIC.
 */
#include "rt.h"

SNIPPET(sti_inc, "sti\ninc %rax\ninc %rax\ninc %rax\ncli");
SNIPPET(sti_cli, "sti\ncli\ninc %rax");
SNIPPET(popf_inc, "push $0x202\npopfq\ninc %rax\ncli");
SNIPPET(sti_hlt, "sti\nhlt\ninc %rax\ncli");
SNIPPET(sti_hlt_late, "sti\nhlt\nnop\ncli");
SNIPPET(loop_forever, "sti\n1: jmp 1b");
SNIPPET(loop_calls, "sti\n1: call 2f\njmp 1b\n2: ret");
SNIPPET(loop_user, "1: jmp 1b");
SNIPPET(do_nop, "nop");
SNIPPET(out80, "outb %al, $0x80");
SNIPPET(out81, "outb %al, $0x81");
SNIPPET(outw80, "outw %ax, $0x80");
SNIPPET(in_dx, "inl %dx, %eax");
SNIPPET(do_insb, "insb");
SNIPPET(do_rep_outsb, "rep outsb");
SNIPPET(do_cli, "cli\npushfq\npop %rax\nsti");
SNIPPET(user_sti, "sti");
SNIPPET(load, "mov (%rbx), %rax");
SNIPPET(undefined, "ud2");
SNIPPET(push_bad, "push %rax");

#define LAPIC 0xfee00000ull
#define ICR 0x300

static volatile unsigned count, nested, deepest, vector_seen;
static volatile u64 seen_rip, seen_rsp, seen_frame, seen_cs;
static _Alignas(16) u8 ist_stack[2][4096];

static u32 apic_read(unsigned reg)
{
    return *(volatile u32 *)(LAPIC + reg);
}

static void apic_write(unsigned reg, u32 value)
{
    *(volatile u32 *)(LAPIC + reg) = value;
}

static void start_pic(void)
{
    static const u8 command[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1},    {0xa0, 0x11},
                                    {0xa1, 0x28}, {0xa1, 2},    {0xa1, 1}, {0x21, 0xff}, {0xa1, 0xff}};
    unsigned i;

    for (i = 0; i < sizeof command / 2; i++)
        outb(command[i][0], command[i][1]);
}

/* Mode 2 at 1000 Hz; only the line to the PIC is masked and unmasked. */
static void start_pit(void)
{
    outb(0x43, 0x34);
    outb(0x40, 1193 & 0xff);
    outb(0x40, 1193 >> 8);
}

static void start_apic(void)
{
    map(LAPIC, LAPIC, P_P | P_W | 0x10);
    apic_write(0xf0, 0x1ff);  /* enabled, spurious 0xff */
    apic_write(0x350, 0x700); /* LINT0: ExtINT, the 8259 */
    apic_write(0x360, 0x400); /* LINT1: NMI */
    apic_write(0x80, 0);
}

/* Counts, notes where it came from, acknowledges. */
static bool on_interrupt(struct trap *t)
{
    if (t->vector < 0x20 && t->vector != NMI)
        return false;
    if (t->vector == BP || t->vector == 0xff)
        return t->vector == 0xff;
    count++;
    vector_seen = (unsigned)t->vector;
    seen_rip = t->rip;
    seen_rsp = t->rsp;
    seen_cs = t->cs;
    seen_frame = (u64)(t + 1);
    if (t->vector == 0x20) {
        outb(0x21, 0xff);
        outb(0x20, 0x20);
    } else if (t->vector >= 0x40) {
        apic_write(0xb0, 0);
    }
    return true;
}

/* Leaves the loop it interrupts, by letting it run into INT3. */
static const u8 *loop_end;
static bool leave_loop(struct trap *t)
{
    if (!on_interrupt(t))
        return false;
    t->rip = (t->cs & 3) ? USER(loop_end) : (u64)loop_end;
    return true;
}

static void wait(void)
{
    u64 start, now;

    __asm__ volatile("rdtsc; shl $32, %%rdx; or %%rdx, %%rax" : "=a"(start) : : "rdx");
    do
        __asm__ volatile("rdtsc; shl $32, %%rdx; or %%rdx, %%rax" : "=a"(now) : : "rdx");
    while (now - start < 20000000);
}

/* Leaves one timer interrupt pending at the CPU. */
static void make_pending(void)
{
    count = 0;
    seen_rip = 0;
    outb(0x21, 0xfe);
    outb(0x20, 0x0a); /* read the request register */
    while (!(inb(0x20) & 1))
        ;
    in.rax = 0;
    in.rflags = 2;
}

static void shadows(void)
{
    trap_hook = on_interrupt;
    make_pending();
    run(sti_inc, 0);
    equal(count, 1, "STI lets a pending interrupt in");
    equal(seen_rip, (u64)sti_inc + 4, "behind the instruction that follows");
    equal(seen_frame & 15, 0, "the frame is aligned to 16");
    make_pending();
    run(sti_cli, 0);
    equal(count, 0, "STI, CLI lets nothing in");
    make_pending();
    run(popf_inc, 0);
    equal(seen_rip, (u64)popf_inc + 6, "POPF has no shadow");
    make_pending();
    run(sti_hlt, 0);
    equal(seen_rip, (u64)sti_hlt + 2, "STI, HLT with one pending: HLT ends at once");
    equal(count, 1, "once");
    count = 0;
    in.rflags = 2;
    outb(0x21, 0xfe);
    run(sti_hlt_late, 0);
    equal(count, 1, "HLT is woken by the PIT");
    equal(seen_rip, (u64)sti_hlt_late + 2, "RIP is behind HLT");
}

static void loops(void)
{
    static const u8 *const snippet[] = {loop_forever, loop_calls, loop_user};
    unsigned i;

    loop_end = do_nop;
    trap_hook = leave_loop;
    for (i = 0; i < 3; i++) {
        count = 0;
        in.rflags = 0x202;
        outb(0x21, 0xfe);
        run(snippet[i], i == 2 ? 3 : 0);
        equal(count, 1, i == 2 ? "a loop at CPL 3 is interrupted" : "a loop at CPL 0 is interrupted");
    }
    equal(seen_cs, UCS, "from CPL 3");
    in.rflags = 2;
}

static void self_ipi(u32 low)
{
    apic_write(ICR + 0x10, apic_read(0x20) & 0xff000000);
    apic_write(ICR, low);
    while (apic_read(ICR) & 0x1000)
        ;
}

static void enable(void)
{
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void local_apic(void)
{
    trap_hook = on_interrupt;
    count = 0;
    self_ipi(0x4040);
    equal(count, 0, "an IPI waits for IF");
    enable();
    ok(count == 1 && vector_seen == 0x40, "an IPI to itself");
    count = 0;
    write_cr8(4);
    self_ipi(0x4040);
    enable();
    equal(count, 0, "CR8 holds off its class");
    equal(apic_read(0x80) >> 4 & 15, 4, "CR8 is the task priority");
    self_ipi(0x4050);
    enable();
    ok(count == 1 && vector_seen == 0x50, "and lets a higher one through");
    write_cr8(0);
    enable();
    ok(count == 2 && vector_seen == 0x40, "the held one comes when CR8 is lowered");
    count = 0;
    self_ipi(0x4043);
    self_ipi(0x4061);
    enable();
    ok(count == 2 && vector_seen == 0x43, "the higher one comes first");
    count = 0;
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x41);
    apic_write(0x380, 100000);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    ok(count == 1 && vector_seen == 0x41, "the APIC timer wakes HLT");
    apic_write(0x320, 0x10041);
}

static bool on_nmi(struct trap *t)
{
    if (t->vector != NMI)
        return on_interrupt(t);
    nested++;
    if (nested > deepest)
        deepest = nested;
    count++;
    seen_rsp = (u64)t;
    if (count < 3)
        self_ipi(0x4400);
    wait();
    nested--;
    return true;
}

static void nmis(void)
{
    trap_hook = on_nmi;
    count = nested = deepest = 0;
    tss.ist[0] = (u64)ist_stack[0] + 4096;
    gate(NMI, (u64)trap_stubs + 16 * NMI, 0, 1, 14);
    self_ipi(0x4400);
    wait();
    equal(count, 3, "NMI with IF clear, each raised in the handler of the one before");
    equal(deepest, 1, "NMIs are blocked until IRET");
    ok(seen_rsp > (u64)ist_stack[0] && seen_rsp < (u64)ist_stack[0] + 4096, "the NMI runs on its IST stack");
    gate(NMI, (u64)trap_stubs + 16 * NMI, 0, 0, 14);
}

static void ports(void)
{
    trap_hook = NULL;
    in.rflags = 2;
    expect(out80, 3, GP, 0, 0, "OUT at CPL 3, IOPL 0, bitmap set");
    tss.bitmap[0x80 / 8] &= (u8)~1;
    expect(out80, 3, BP, -1, 3, "OUT with its bit clear");
    expect(out81, 3, GP, 0, 0, "OUT to the next port");
    expect(outw80, 3, GP, 0, 0, "OUT of two bytes needs both bits clear");
    tss.bitmap[0x80 / 8] &= (u8)~2;
    expect(outw80, 3, BP, -1, -1, "and then is allowed");
    in.rdx = 0x7e;
    expect(in_dx, 3, GP, 0, 0, "IN of four bytes across an allowed pair");
    in.rdi = USER_DATA;
    in.rdx = 0x82;
    expect(do_insb, 3, GP, 0, 0, "INS without permission");
    in.rdx = 0x80;
    in.rsi = USER_DATA;
    in.rcx = 4;
    expect(do_rep_outsb, 3, BP, -1, -1, "REP OUTS with permission");
    ok(out.rcx == 0 && out.rsi == USER_DATA + 4, "runs to the end");
    tss.bitmap[0x80 / 8] = 0xff;
    in.rflags = 0x3002;
    expect(out80, 3, BP, -1, 3, "OUT at CPL 3, IOPL 3");
    expect(do_cli, 3, BP, -1, -1, "CLI and STI at CPL 3, IOPL 3");
    equal(out.rax & 0x200, 0, "CLI clears IF");
    equal(out.rflags & 0x200, 0x200, "STI sets it");
    in.rflags = 0x2002;
    expect(user_sti, 3, GP, 0, 0, "STI at CPL 3, IOPL 2");
    in.rflags = 2;
    tss.iomap = 0xffff;
    expect(out80, 3, GP, 0, 0, "OUT with the bitmap beyond the TSS limit");
    tss.iomap = offsetof(struct tss, bitmap);
}

static void double_faults(void)
{
    u64 low = idt[2 * PF];

    tss.ist[1] = (u64)ist_stack[1] + 4096;
    gate(DF, (u64)trap_stubs + 16 * DF, 0, 2, 14);
    idt[2 * PF] &= ~(1ull << 47);
    in.rbx = 0x123456789000;
    expect(load, 3, DF, 0, 0, "#NP in delivering #PF gives #DF");
    equal(last_cr2, 0x123456789000, "CR2 is the page fault's");
    idt[2 * PF] = low;
    in.rsp = 0x123456789008;
    expect(push_bad, 0, DF, 0, 0, "a page fault on a missing stack at CPL 0");
    idt[2 * GP] &= ~(1ull << 47);
    in.rbx = 1ull << 63;
    expect(load, 0, DF, 0, 0, "#NP in delivering #GP gives #DF");
    idt[2 * GP] |= 1ull << 47;
    idt[2 * UD] &= ~(1ull << 47);
    expect(undefined, 0, NP, UD * 8 + 3, 0, "#NP in delivering #UD stays #NP");
    idt[2 * UD] |= 1ull << 47;
}

void test_main(void)
{
    start_pic();
    start_pit();
    start_apic();
    shadows();
    loops();
    local_apic();
    nmis();
    ports();
    double_faults();
}
