/*
 * gates.c - call gates and interrupt gates that are wrong in every way the manual lists, gates that are right,
 * IST, LDT descriptors, alignment checks (SDM vol. 3, 5.8.3 to 5.8.6, 6.12 to 6.14; vol. 2, CALL, JMP, INT n).
 */
#include "rt.h"

SNIPPET(call_it, "lcall *(%rbx)");
SNIPPET(jump_it, "ljmp *(%rbx)");
SNIPPET(landing, "mov %cs, %eax\nmov %rsp, %rdx");
SNIPPET(do_int, "int $0x90");
SNIPPET(do_ds, "mov %ecx, %ds\nmov %ds, %eax");
SNIPPET(do_lar, "lar %ecx, %eax");
SNIPPET(do_lsl, "lsl %ecx, %eax");
SNIPPET(do_iret, "iretq");
SNIPPET(load4, "mov (%rbx), %eax");
SNIPPET(load2, "mov (%rbx), %ax");
SNIPPET(load1, "mov (%rbx), %al");
SNIPPET(store8, "mov %rax, (%rbx)");
SNIPPET(push8, "push %rax");
SNIPPET(do_rdpmc, "rdpmc");

#define GATE 0x48
#define LDT 0x78
#define CODE32 0x90
#define CONFORMING 0x70

static u8 *const data = (u8 *)USER_DATA;

/* Type 12 is the 64-bit call gate. */
static void call_gate(u64 target, u16 selector, unsigned dpl, unsigned type, bool present)
{
    gdt[GATE / 8] = (target & 0xffff) | (u64)selector << 16 | (u64)((present ? 0x80 : 0) | dpl << 5 | type) << 40 |
                    (target >> 16 & 0xffff) << 48;
    gdt[GATE / 8 + 1] = target >> 32;
}

static void far_pointer(u16 selector)
{
    memset(data, 0, 16);
    memcpy(data + 4, &selector, 2);
    in.rbx = USER_DATA;
}

static void bad_gate(const u8 *snippet, unsigned cpl, u16 selector, unsigned vector, long error, const char *name)
{
    far_pointer(selector);
    expect(snippet, cpl, vector, error, 0, name);
}

static void bad_call_gates(void)
{
    u64 kernel = (u64)landing, user = USER(landing);

    call_gate(kernel, KCS, 3, 12, false);
    bad_gate(call_it, 3, GATE | 3, NP, GATE, "call gate, not present");
    call_gate(kernel, 0, 3, 12, true);
    bad_gate(call_it, 3, GATE | 3, GP, 0, "call gate with a null code selector");
    call_gate(kernel, KDS, 3, 12, true);
    bad_gate(call_it, 3, GATE | 3, GP, KDS, "call gate to data");
    call_gate(kernel, CODE32, 3, 12, true);
    bad_gate(call_it, 3, GATE | 3, GP, CODE32, "call gate to 32-bit code");
    call_gate(user, UCS, 3, 12, true);
    bad_gate(call_it, 0, GATE, GP, UCS & ~3, "call gate to code of less privilege");
    call_gate(kernel, 0xfff8, 3, 12, true);
    bad_gate(call_it, 3, GATE | 3, GP, 0xfff8, "call gate to a selector beyond the limit");
    call_gate(kernel, KCS, 3, 12, true);
    gdt[GATE / 8 + 1] |= 1ull << 40;
    bad_gate(call_it, 3, GATE | 3, GP, GATE, "call gate with a type in its upper half");
    call_gate(1ull << 60, KCS, 3, 12, true);
    bad_gate(call_it, 3, GATE | 3, GP, 0, "call gate to an address that is not canonical");
    call_gate(kernel, KCS, 2, 12, true);
    bad_gate(call_it, 3, GATE | 3, GP, GATE, "call gate of DPL 2 from CPL 3");
    call_gate(kernel, KCS, 3, 4, true);
    bad_gate(call_it, 3, GATE | 3, GP, GATE, "a 16-bit call gate in long mode");
    call_gate(kernel, KCS, 3, 5, true);
    bad_gate(call_it, 3, GATE | 3, GP, GATE, "a task gate in long mode");
    bad_gate(call_it, 0, TSS_SEL, GP, TSS_SEL, "far CALL to a TSS in long mode");
    call_gate(kernel, KCS, 3, 12, true);
    bad_gate(jump_it, 3, GATE | 3, GP, KCS, "far JMP through a gate to more privilege");
}

static void good_call_gates(void)
{
    call_gate(USER(landing), UCS, 3, 12, true);
    far_pointer(GATE | 3);
    run(jump_it, 3);
    ok(last.vector == BP && out.rax == UCS, "far JMP through a gate of the same level");
    far_pointer(GATE | 3);
    in.rsp = USER_STACK - 256;
    run(call_it, 3);
    ok(last.vector == BP && out.rax == UCS && out.rdx == USER_STACK - 256 - 16,
       "far CALL through a gate of the same level pushes CS and RIP of eight bytes each");
    equal(*(u64 *)(USER_STACK - 256 - 16), USER(call_it) + 2, "the return address");
    call_gate(USER(landing), CONFORMING, 3, 12, true);
    far_pointer(GATE | 3);
    run(call_it, 3);
    ok(last.vector == BP && out.rax == (CONFORMING | 3), "a gate to conforming code keeps the level");
    call_gate((u64)landing, KCS, 0, 12, true);
    far_pointer(GATE);
    run(call_it, 0);
    ok(last.vector == BP && out.rax == KCS, "a gate at CPL 0");
    gdt[GATE / 8] = gdt[GATE / 8 + 1] = 0;
}

/* The gate of INT 0x90, spoilt one way; the fault tells of the gate or of its selector. */
static void bad_interrupt(u64 low, u64 high, unsigned cpl, unsigned vector, long error, const char *name)
{
    u64 old[2] = {idt[2 * 0x90], idt[2 * 0x90 + 1]};

    idt[2 * 0x90] = low;
    idt[2 * 0x90 + 1] = high;
    expect(do_int, cpl, vector, error, 0, name);
    idt[2 * 0x90] = old[0];
    idt[2 * 0x90 + 1] = old[1];
}

static u64 with_selector(u64 low, u16 selector)
{
    return (low & ~0xffff0000ull) | (u64)selector << 16;
}

static void interrupt_gates(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        u64 base;
    } shorter = {16 * 0x90 - 1, (u64)idt}, whole = {4095, (u64)idt};
    u64 low, high;

    gate(0x90, (u64)trap_stubs + 16 * 0x90, 3, 0, 14);
    low = idt[2 * 0x90];
    high = idt[2 * 0x90 + 1];
    expect(do_int, 3, 0x90, -1, 2, "INT n");
    bad_interrupt(low & ~(1ull << 47), high, 3, NP, 0x90 * 8 + 2, "interrupt gate, not present");
    bad_interrupt(low & ~(3ull << 45), high, 3, GP, 0x90 * 8 + 2, "interrupt gate of DPL 0 from CPL 3");
    bad_interrupt((low & ~(15ull << 40)) | 5ull << 40, high, 3, GP, 0x90 * 8 + 2, "a task gate in the IDT");
    bad_interrupt((low & ~(15ull << 40)) | 6ull << 40, high, 3, GP, 0x90 * 8 + 2, "a 16-bit gate in the IDT");
    bad_interrupt((low & ~(15ull << 40)) | 12ull << 40, high, 3, GP, 0x90 * 8 + 2, "a call gate in the IDT");
    bad_interrupt(with_selector(low, 0), high, 3, GP, 0, "interrupt gate with a null selector");
    bad_interrupt(with_selector(low, KDS), high, 3, GP, KDS, "interrupt gate to data");
    bad_interrupt(with_selector(low, CODE32), high, 3, GP, CODE32, "interrupt gate to 32-bit code");
    bad_interrupt(with_selector(low, 0xfff8), high, 3, GP, 0xfff8, "interrupt gate beyond the GDT");
    bad_interrupt(with_selector(low, UCS), high, 0, GP, UCS & ~3, "interrupt gate to code of less privilege");
    bad_interrupt(low, 1ull << 20 | high, 3, GP, 0, "interrupt gate to an address that is not canonical");
    __asm__ volatile("lidt %0" : : "m"(shorter));
    expect(do_int, 0, GP, 0x90 * 8 + 2, 0, "INT n beyond the IDT");
    __asm__ volatile("lidt %0" : : "m"(whole));
}

static u64 handler_flags, handler_frame;

static bool watch_handler(struct trap *t)
{
    if (t->vector != 0x90)
        return false;
    __asm__ volatile("pushfq; pop %0" : "=r"(handler_flags));
    handler_frame = (u64)&t->rip;
    return true;
}

static void kinds_of_gates(void)
{
    static _Alignas(16) u8 stack[4096];

    trap_hook = watch_handler;
    in.rflags = 0x202;
    run(do_int, 3);
    equal(handler_flags & 0x200, 0, "an interrupt gate clears IF");
    gate(0x90, (u64)trap_stubs + 16 * 0x90, 3, 0, 15);
    run(do_int, 3);
    equal(handler_flags & 0x200, 0x200, "a trap gate leaves it");
    in.rflags = 0x4202;
    run(do_int, 3);
    equal(handler_flags & 0x4000, 0, "and clears NT");
    in.rflags = 2;
    tss.ist[4] = (u64)stack + 4096 - 8;
    gate(0x90, (u64)trap_stubs + 16 * 0x90, 3, 5, 14);
    run(do_int, 3);
    equal(handler_frame, (u64)stack + 4096 - 16 - 40, "IST 5 from CPL 3: its stack, aligned to 16");
    run(do_int, 0);
    equal(handler_frame, (u64)stack + 4096 - 16 - 40, "IST 5 from CPL 0 changes the stack, too");
    gate(0x90, (u64)trap_stubs + 16 * 0x90, 3, 0, 14);
    in.rsp = (u64)snippet_stack_top - 61;
    run(do_int, 0);
    equal(handler_frame & 15, 8, "without IST the frame is aligned to 16");
    tss.ist[4] = 1ull << 60;
    gate(0x90, (u64)trap_stubs + 16 * 0x90, 3, 5, 14);
    trap_hook = NULL;
    run(do_int, 3);
    equal(last.vector, SS, "an IST stack that is not canonical");
    equal(last.error, 0, "its error code");
    tss.ist[4] = 0;
    gate(0x90, (u64)trap_stubs + 16 * 0x90, 3, 0, 14);
}

static void start_ldt(u64 base, u32 limit)
{
    gdt[LDT / 8] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x82ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[LDT / 8 + 1] = base >> 32;
    __asm__ volatile("lldt %w0" : : "r"(LDT));
}

static void local_descriptors(void)
{
    u64 *ldt = (u64 *)(USER_DATA + 4096), cr4 = read_cr4();

    ldt[0] = 0;
    ldt[1] = 0x00cff2000000ffff; /* data, not accessed */
    ldt[2] = 0x00cff3000000ffff;
    start_ldt((u64)ldt, 15);
    in.rcx = 0xf;
    expect(do_ds, 3, BP, -1, -1, "MOV DS from the LDT");
    equal(ldt[1], 0x00cff3000000ffff, "sets the accessed bit");
    in.rcx = 0x17;
    expect(do_ds, 3, GP, 0x14, 0, "MOV DS beyond the LDT");
    in.rcx = LDT;
    run(do_lar, 0);
    ok((out.rflags & 0x40) && (out.rax & 0xff00) == 0x8200, "LAR of an LDT");
    in.rcx = LDT;
    run(do_lsl, 0);
    ok((out.rflags & 0x40) && out.rax == 15, "LSL of an LDT");
    call_gate((u64)landing, KCS, 3, 12, true);
    in.rcx = GATE;
    run(do_lar, 3);
    ok((out.rflags & 0x40) && (out.rax & 0xff00) == 0xec00, "LAR of a call gate");
    in.rcx = GATE;
    run(do_lsl, 3);
    ok(!(out.rflags & 0x40), "LSL of a call gate");
    gdt[GATE / 8] = gdt[GATE / 8 + 1] = 0;
    if (HAS_SMAP) {
        write_cr4(cr4 | 1 << 21);
        in.rcx = 0xf;
        expect(do_ds, 3, PF, 1, 0, "SMAP: a descriptor in a user page is read by the supervisor");
        in.rcx = 0xf;
        in.rflags = 0x40002;
        expect(do_ds, 3, PF, 1, 0, "SMAP: AC does not help there");
        in.rflags = 2;
        write_cr4(cr4);
    }
    __asm__ volatile("lldt %w0" : : "r"(0));
}

static void returns(void)
{
    u64 *stack = (u64 *)(USER_STACK - 256);

    stack[0] = USER(landing);
    stack[1] = UCS;
    stack[2] = 2;
    stack[3] = USER_STACK - 1024;
    stack[4] = 3;
    in.rsp = (u64)stack;
    expect(do_iret, 0, GP, 0, 0, "IRET to CPL 3 with a null SS");
    stack[4] = KDS | 3;
    in.rsp = (u64)stack;
    expect(do_iret, 0, GP, KDS, 0, "IRET to CPL 3 with an SS of DPL 0");
    stack[4] = 0x58 | 3;
    in.rsp = (u64)stack;
    expect(do_iret, 0, SS, 0x58, 0, "IRET with an SS that is not present");
    stack[4] = UDS;
    stack[1] = UDS;
    in.rsp = (u64)stack;
    expect(do_iret, 0, GP, UDS & ~3, 0, "IRET to data");
    stack[1] = 0;
    in.rsp = (u64)stack;
    expect(do_iret, 0, GP, 0, 0, "IRET to a null CS");
    in.rsp = 0x123456789000;
    in.rflags = 2;
    run(do_iret, 3);
    ok(last.vector == PF && last.error == 4 && last_cr2 == 0x123456789000 && last.rsp == 0x123456789000,
       "IRET from a stack that is not there");
}

static void alignment(void)
{
    in.rflags = 0x40002;
    in.rbx = USER_DATA + 2;
    expect(load4, 3, AC, 0, 0, "alignment check: four bytes at CPL 3");
    in.rbx = USER_DATA + 2;
    expect(load2, 3, BP, -1, -1, "alignment check: aligned");
    in.rbx = USER_DATA + 1;
    expect(load2, 3, AC, 0, 0, "alignment check: two bytes");
    in.rbx = USER_DATA + 1;
    expect(load1, 3, BP, -1, -1, "alignment check: a byte");
    in.rbx = USER_DATA + 4;
    expect(store8, 3, AC, 0, 0, "alignment check: a store of eight bytes");
    in.rsp = USER_STACK - 60;
    expect(push8, 3, AC, 0, 0, "alignment check: PUSH");
    in.rbx = USER_DATA + 1;
    expect(load4, 0, BP, -1, -1, "alignment check: not at CPL 0");
    write_cr0(read_cr0() & ~(1ull << 18));
    in.rbx = USER_DATA + 1;
    expect(load4, 3, BP, -1, -1, "alignment check: not without AM");
    write_cr0(read_cr0() | 1 << 18);
    in.rflags = 2;
    in.rbx = USER_DATA + 1;
    expect(load4, 3, BP, -1, -1, "alignment check: not without AC");
}

static void performance_counters(void)
{
    u64 cr4 = read_cr4();
    unsigned vector;

    in.rcx = 0;
    vector = run(do_rdpmc, 0);
    write_cr4(cr4 | 1 << 8);
    in.rcx = 0;
    equal(run(do_rdpmc, 3), vector, "RDPMC with PCE does at CPL 3 what it does at CPL 0");
    in.rcx = 0x3fffffff;
    expect(do_rdpmc, 3, GP, 0, 0, "RDPMC of a counter that there is not");
    write_cr4(cr4);
}

void test_main(void)
{
    write_cr0(read_cr0() | 1 << 18);
    bad_call_gates();
    good_call_gates();
    interrupt_gates();
    kinds_of_gates();
    local_descriptors();
    returns();
    alignment();
    performance_counters();
}
