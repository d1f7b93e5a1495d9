/*
 * sensitive.c - the instructions that make the x86 hard to virtualize (Robin and Irvine's list): what they show
 * and do at CPL 0 and 3 (SDM vol. 2, each instruction; vol. 3, 5 and 6).
 */
#include "rt.h"

SNIPPET(do_sgdt, "sgdt (%rbx)");
SNIPPET(do_sidt, "sidt (%rbx)");
SNIPPET(do_sldt, "sldt %eax");
SNIPPET(do_str, "str %eax");
SNIPPET(do_smsw, "smsw %rax");
SNIPPET(do_smsw_mem, "smsw (%rbx)");
SNIPPET(do_pushf, "pushfq\npop %rax");
SNIPPET(do_popf, "push %rax\npopfq\npushfq\npop %rdx");
SNIPPET(do_popf16, "pushw %ax\npopfw\npushfq\npop %rdx");
SNIPPET(do_lar, "lar %ecx, %eax");
SNIPPET(do_lsl, "lsl %ecx, %eax");
SNIPPET(do_verr, "verr %cx");
SNIPPET(do_verw, "verw %cx");
SNIPPET(do_mov_ds, "mov %ecx, %ds\nmov %ds, %eax");
SNIPPET(do_mov_ss, "mov %ecx, %ss\nmov %ss, %eax");
SNIPPET(do_mov_cs, ".byte 0x8e, 0xc9");
SNIPPET(do_read_cs, "mov %cs, %eax\nmov %ss, %edx\npush %fs\npop %rsi");
SNIPPET(do_pop_fs, "push %rcx\npop %fs\nmov %fs, %eax");
SNIPPET(do_pop_gs, "push %rcx\npop %gs\nmov %gs, %eax");
SNIPPET(do_int80, "int $0x80");
SNIPPET(do_int81, "int $0x81");
SNIPPET(do_int3_long, ".byte 0xcd, 3");
SNIPPET(do_ljmp, "ljmpl *(%rbx)");
SNIPPET(do_ljmp64, "rex.w ljmpl *(%rbx)");
SNIPPET(do_lcall, "lcall *(%rbx)");
SNIPPET(do_lret, "rex.w lret");
SNIPPET(do_lret8, "rex.w lret $16");
SNIPPET(do_iretq, "iretq");
SNIPPET(land32, ".code32\nmov $0x12345678, %eax\npush %eax\npop %edx\nint3\n.code64");
SNIPPET(land_call,
        "mov %cs, %eax\nmov %ss, %edx\nmov (%rsp), %r8\nmov 8(%rsp), %r9\nmov 16(%rsp), %r10\nmov 24(%rsp), %r11");
SNIPPET(land_same, "mov %cs, %eax");
SNIPPET(gate_return, "rex.w lret");
SNIPPET(gate_call, "lcall *(%rbx)\nmov %cs, %eax\nmov %ss, %edx");

static u8 *const data = (u8 *)USER_DATA;

static u64 data64(unsigned offset)
{
    u64 v;

    memcpy(&v, data + offset, 8);
    return v;
}

static void put64(unsigned offset, u64 v)
{
    memcpy(data + offset, &v, 8);
}

static void stores(unsigned cpl)
{
    bool user = cpl == 3;

    in.rbx = USER_DATA;
    memset(data, 0x5a, 16);
    expect(do_sgdt, cpl, BP, -1, -1, user ? "SGDT at CPL 3" : "SGDT at CPL 0");
    equal(data64(2), (u64)gdt, "SGDT stores the base");
    expect(do_sidt, cpl, BP, -1, -1, user ? "SIDT at CPL 3" : "SIDT at CPL 0");
    equal(data[0] | data[1] << 8, 4095, "SIDT stores the limit");
    equal(data64(2), (u64)idt, "SIDT stores the base");
    equal(data[10], 0x5a, "SIDT stores ten bytes");
    in.rax = ~0ull;
    expect(do_sldt, cpl, BP, -1, -1, user ? "SLDT at CPL 3" : "SLDT at CPL 0");
    equal(out.rax, 0, "SLDT gives the null selector");
    in.rax = ~0ull;
    expect(do_str, cpl, BP, -1, -1, user ? "STR at CPL 3" : "STR at CPL 0");
    equal(out.rax, TSS_SEL, "STR gives the task register's selector");
    expect(do_smsw, cpl, BP, -1, -1, user ? "SMSW at CPL 3" : "SMSW at CPL 0");
    equal(out.rax & 0xffff, read_cr0() & 0xffff, "SMSW gives CR0");
    memset(data, 0x5a, 16);
    run(do_smsw_mem, cpl);
    equal(data64(0) >> 16, 0x5a5a5a5a5a5a, "SMSW to memory stores two bytes");
}

static void with_umip(void)
{
    static const u8 *const snippet[] = {do_sgdt, do_sidt, do_sldt, do_str, do_smsw};
    static const char *const name[] = {"SGDT with UMIP", "SIDT with UMIP", "SLDT with UMIP", "STR with UMIP",
                                       "SMSW with UMIP"};
    unsigned i;

    if (!HAS_UMIP) {
        skip("UMIP", "not in CPUID");
        return;
    }
    write_cr4(read_cr4() | 1 << 11);
    for (i = 0; i < 5; i++) {
        in.rbx = USER_DATA;
        expect(snippet[i], 3, GP, 0, 0, name[i]);
        expect(snippet[i], 0, BP, -1, -1, "the same at CPL 0 is allowed");
    }
    write_cr4(read_cr4() & ~(1ull << 11));
}

static void popf_case(unsigned cpl, u64 start, u64 value, u64 want, const char *name)
{
    in.rflags = start;
    in.rax = value;
    run(do_popf, cpl);
    equal(out.rdx, want, name);
    in.rflags = 2;
}

static void flags(void)
{
    in.rflags = 0x202;
    run(do_pushf, 3);
    equal(out.rax, 0x202, "PUSHF at CPL 3 shows IF");
    in.rflags = 0x10ad7; /* with RF: pushed as 0 */
    run(do_pushf, 3);
    equal(out.rax, 0xad7, "PUSHF shows the arithmetic flags and DF, not RF");
    in.rflags = 0x3002;
    run(do_pushf, 3);
    equal(out.rax, 0x3002, "PUSHF shows IOPL");
    popf_case(3, 0x202, 2, 0x202, "POPF at CPL 3, IOPL 0 leaves IF set");
    popf_case(3, 0x2, 0x202, 0x2, "POPF at CPL 3, IOPL 0 leaves IF clear");
    popf_case(3, 0x202, 0x3202, 0x202, "POPF at CPL 3 leaves IOPL");
    popf_case(3, 0x3002, 0x202, 0x3202, "POPF at CPL 3, IOPL 3 changes IF and leaves IOPL");
    popf_case(0, 0x2, 0x3002, 0x3002, "POPF at CPL 0 changes IOPL");
    popf_case(3, 0x2, 0x240cd5 | 2, 0x240cd7, "POPF changes ID, AC, OF, DF and the arithmetic flags");
    popf_case(0, 0x2, 0x1b0002, 0x2, "POPF leaves VM, RF, VIF and VIP clear");
    popf_case(0, 0x2, 0x4002, 0x4002, "POPF changes NT");
    in.rflags = 0x240002;
    in.rax = 1;
    run(do_popf16, 3);
    equal(out.rdx, 0x240003, "POPF of 16 bits leaves the upper flags");
    in.rflags = 2;
}

static void probe(const u8 *snippet, u16 selector, bool zf, u64 value, const char *name)
{
    in.rcx = selector;
    in.rax = 0x1111;
    run(snippet, 3);
    if (snippet == do_lar && zf) { /* bits 16-19 are undefined */
        out.rax &= 0xf0ff00;
        value &= 0xf0ff00;
    }
    ok(last.vector == BP && !!(out.rflags & 0x40) == zf &&
           (snippet == do_verr || snippet == do_verw || out.rax == (zf ? value : 0x1111)),
       name);
    if (zf && (snippet == do_lar || snippet == do_lsl) && out.rax != value)
        equal(out.rax, value, "value of the above");
}

static void verify(void)
{
    probe(do_lar, UDS, true, 0xcff300, "LAR of the user's data segment");
    probe(do_lar, UCS, true, 0xaffb00, "LAR of the user's code segment");
    probe(do_lar, KDS, false, 0, "LAR of a DPL 0 segment from CPL 3");
    probe(do_lar, 0, false, 0, "LAR of null");
    probe(do_lar, 0xfff8 | 3, false, 0, "LAR beyond the limit");
    probe(do_lar, 0x58 | 3, true, 0xcf7300, "LAR of a segment that is not present");
    probe(do_lar, TSS_SEL | 3, false, 0, "LAR of a DPL 0 TSS");
    probe(do_lsl, UDS, true, 0xffffffff, "LSL with granularity");
    probe(do_lsl, 0x8b, true, 0xf0fff, "LSL in bytes");
    probe(do_lsl, KDS, false, 0, "LSL of a DPL 0 segment from CPL 3");
    probe(do_verr, UDS, true, 0, "VERR of data");
    probe(do_verr, 0x68 | 3, false, 0, "VERR of execute-only code");
    probe(do_verr, UCS, true, 0, "VERR of readable code");
    probe(do_verr, 0x70, true, 0, "VERR of conforming readable code of DPL 0");
    probe(do_verr, TSS_SEL, false, 0, "VERR of a system descriptor");
    probe(do_verw, UDS, true, 0, "VERW of writable data");
    probe(do_verw, 0x60 | 3, false, 0, "VERW of read-only data");
    probe(do_verw, UCS, false, 0, "VERW of code");
}

static void load(const u8 *snippet, unsigned cpl, u16 selector, unsigned vector, long error, const char *name)
{
    in.rcx = selector;
    expect(snippet, cpl, vector, error, -1, name);
    if (vector == BP)
        equal(out.rax, selector, "and it reads back");
}

static void segments(void)
{
    run(do_read_cs, 3);
    ok(out.rax == UCS && out.rdx == UDS && out.rsi == 0, "CS, SS and FS at CPL 3");
    run(do_read_cs, 0);
    ok(out.rax == KCS && out.rdx == KDS, "CS and SS at CPL 0");
    load(do_mov_ds, 3, UDS, BP, -1, "MOV DS, user data");
    load(do_mov_ds, 3, 0, BP, -1, "MOV DS, null");
    load(do_mov_ds, 3, 3, BP, -1, "MOV DS, null with RPL 3");
    load(do_mov_ds, 3, KDS, GP, KDS, "MOV DS of DPL 0 from CPL 3");
    load(do_mov_ds, 3, 0x58 | 3, NP, 0x58, "MOV DS not present");
    load(do_mov_ds, 3, 0x68 | 3, GP, 0x68, "MOV DS execute-only code");
    load(do_mov_ds, 3, UCS, BP, -1, "MOV DS readable code");
    load(do_mov_ds, 0, TSS_SEL, GP, TSS_SEL, "MOV DS with a TSS");
    load(do_mov_ds, 0, 0xfff8, GP, 0xfff8, "MOV DS beyond the limit");
    load(do_mov_ds, 0, 0xc, GP, 0xc, "MOV DS from a missing LDT");
    load(do_mov_ss, 3, UDS, BP, -1, "MOV SS, user data");
    load(do_mov_ss, 3, 0, GP, 0, "MOV SS, null at CPL 3");
    load(do_mov_ss, 0, 0, BP, -1, "MOV SS, null at CPL 0");
    load(do_mov_ss, 0, UDS, GP, UDS & ~3, "MOV SS of DPL 3 at CPL 0");
    load(do_mov_ss, 3, 0x58 | 3, SS, 0x58, "MOV SS not present");
    load(do_mov_ss, 3, 0x60 | 3, GP, 0x60, "MOV SS read-only");
    load(do_mov_ss, 3, UCS, GP, UCS & ~3, "MOV SS code");
    load(do_mov_cs, 3, UCS, UD, -1, "MOV CS");
    load(do_pop_fs, 3, UDS, BP, -1, "POP FS");
    load(do_pop_gs, 3, 0x58 | 3, NP, 0x58, "POP GS not present");
}

static void interrupts(void)
{
    expect(do_int80, 3, 0x80, 0, 2, "INT n through a DPL 3 gate");
    ok(last.cs == UCS && last.ss == UDS, "its frame holds the user's CS and SS");
    expect(do_int81, 3, GP, 0x81 * 8 + 2, 0, "INT n through a DPL 0 gate from CPL 3");
    expect(do_int81, 0, 0x81, -1, 2, "INT n at CPL 0");
    expect(do_int3_long, 3, BP, -1, 2, "INT 3 by its long form");
    idt[2 * 0x80] &= ~(1ull << 47);
    expect(do_int80, 3, NP, 0x80 * 8 + 2, 0, "INT n through a gate that is not present");
    idt[2 * 0x80] |= 1ull << 47;
}

static void far_pointer(u64 offset, u16 selector, bool wide)
{
    put64(0, 0);
    put64(8, 0);
    put64(0, offset);
    data[wide ? 8 : 4] = (u8)selector;
    data[wide ? 9 : 5] = (u8)(selector >> 8);
}

static void far_jumps(void)
{
    in.rbx = USER_DATA;
    far_pointer(USER(land_same), UCS, false);
    run(do_ljmp, 3);
    ok(last.vector == BP && out.rax == UCS, "far JMP within 64-bit code");
    far_pointer(USER(land32), UCS32, false);
    run(do_ljmp, 3);
    ok(last.vector == BP && last.cs == UCS32 && out.rdx == 0x12345678, "far JMP to 32-bit code");
    far_pointer(USER(land_same), KCS, false);
    expect(do_ljmp, 3, GP, KCS, 0, "far JMP to DPL 0 code from CPL 3");
    far_pointer(USER(land_same), 0, false);
    expect(do_ljmp, 3, GP, 0, 0, "far JMP to null");
    far_pointer(USER(land_same), UDS, false);
    expect(do_ljmp, 3, GP, UDS & ~3, 0, "far JMP to data");
    far_pointer(USER(land_same), 0x70, false);
    run(do_ljmp, 3);
    ok(last.vector == BP && out.rax == 0x73, "far JMP to conforming code keeps the CPL");
    far_pointer(USER(land_call), UCS, false);
    run(do_lcall, 3);
    ok(last.vector == BP && out.rax == UCS && (u32)out.r8 == (u32)(USER(do_lcall) + 2) &&
           (u32)(out.r8 >> 32) == UCS,
       "far CALL pushes CS and RIP of four bytes each");
}

static void call_gate(void)
{
    u64 target = (u64)land_call, user_rsp = USER_STACK - 256;

    gdt[9] = (target & 0xffff) | (u64)KCS << 16 | 0xecull << 40 | (target >> 16 & 0xffff) << 48;
    gdt[10] = target >> 32;
    in.rbx = USER_DATA;
    in.rsp = user_rsp;
    far_pointer(0, 0x48 | 3, false);
    run(do_lcall, 3);
    ok(last.vector == BP && out.rax == KCS && out.rdx == 0, "call gate to CPL 0: CS and a null SS");
    ok(out.r8 == USER(do_lcall) + 2 && out.r9 == UCS && out.r10 == user_rsp && out.r11 == UDS,
       "call gate pushes RIP, CS, RSP and SS on the stack of the TSS");
    target = (u64)gate_return;
    gdt[9] = (target & 0xffff) | (u64)KCS << 16 | 0xecull << 40 | (target >> 16 & 0xffff) << 48;
    in.rsp = user_rsp;
    run(gate_call, 3);
    ok(last.vector == BP && out.rax == UCS && out.rdx == UDS && last.rsp == user_rsp, "far RET from a call gate");
    gdt[9] &= ~(3ull << 45); /* DPL 0 */
    expect(do_lcall, 3, GP, 0x48, 0, "call gate with DPL 0 from CPL 3");
    gdt[9] = gdt[10] = 0;
}

static void far_returns(void)
{
    u64 *stack = (u64 *)(USER_STACK - 256);

    stack[0] = USER(land_same);
    stack[1] = UCS;
    in.rsp = (u64)stack;
    run(do_lret, 3);
    ok(last.vector == BP && out.rax == UCS && last.rsp == (u64)stack + 16, "far RET at CPL 3");
    in.rsp = (u64)stack;
    run(do_lret8, 3);
    ok(last.vector == BP && last.rsp == (u64)stack + 32, "far RET releases stack");
    stack[1] = KCS;
    in.rsp = (u64)stack;
    expect(do_lret, 3, GP, KCS, 0, "far RET to a lower level");
    equal(last.rsp, (u64)stack, "leaves RSP");
    stack[0] = 1ull << 60;
    stack[1] = UCS;
    in.rsp = (u64)stack;
    expect(do_lret, 3, GP, 0, 0, "far RET to a non-canonical address");
    stack[0] = USER(land_same);
    stack[1] = UCS;
    stack[2] = USER_STACK - 512;
    stack[3] = UDS;
    in.rsp = (u64)stack;
    run(do_lret, 0);
    ok(last.vector == BP && last.cs == UCS && last.rsp == USER_STACK - 512, "far RET from CPL 0 to CPL 3");
}

static void irets(void)
{
    u64 *stack = (u64 *)(USER_STACK - 256);

    stack[0] = USER(land_same);
    stack[1] = UCS;
    stack[2] = 0x3202 | 0x400;
    stack[3] = USER_STACK - 1024;
    stack[4] = UDS;
    in.rflags = 2;
    in.rsp = (u64)stack;
    run(do_iretq, 3);
    ok(last.vector == BP && last.rsp == USER_STACK - 1024, "IRET at CPL 3 pops RSP and SS too");
    equal(last.rflags & ~0x10000ull, 0x402, "IRET at CPL 3 leaves IF and IOPL");
    in.rflags = 0x4002;
    in.rsp = (u64)stack;
    expect(do_iretq, 3, GP, 0, 0, "IRET with NT in long mode");
    in.rflags = 2;
    stack[0] = 1ull << 55;
    in.rsp = (u64)stack;
    expect(do_iretq, 3, GP, 0, 0, "IRET to a non-canonical address");
    stack[0] = USER(land_same);
    stack[1] = KCS;
    in.rsp = (u64)stack;
    expect(do_iretq, 3, GP, KCS, 0, "IRET to a lower level");
    stack[1] = UCS32;
    stack[0] = USER(land32);
    in.rsp = (u64)stack;
    run(do_iretq, 0);
    ok(last.vector == BP && last.cs == UCS32 && out.rdx == 0x12345678, "IRET from CPL 0 to 32-bit code at CPL 3");
}

void test_main(void)
{
    stores(0);
    stores(3);
    with_umip();
    flags();
    verify();
    segments();
    interrupts();
    far_jumps();
    call_gate();
    far_returns();
    irets();
}
