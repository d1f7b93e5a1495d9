/*
 * v86.c - virtual-8086 mode: entry and exit, IOPL-sensitive instructions, interrupts through the monitor, the
 * mode extensions (VIF, VIP, redirection bitmap), I/O permissions, what is not allowed there; and the
 * protected-mode virtual interrupts.
 */
#include "rt.h"

#define CR4_VME 1u
#define CR4_PVI 2u

/* Runs in virtual-8086 mode; the handlers' frames tell the rest. */
static void run86(u32 eflags, const u8 *code, unsigned size)
{
    virtual86(eflags);
    in.eax = 0x1111;
    in.edx = 0x80;
    run_bytes(code, size);
}
#define V86(eflags, ...) run86(eflags, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void entry_and_exit(void)
{
    virtual86(FL_IOPL3);
    in.ds = 0x3100;
    in.es = 0x3200;
    in.fs = 0x3300;
    in.gs = 0x3400;
    w16(0x31010, 0xd5d5);
    w16(0x34010, 0x6565);
    /* mov ax, [10]; mov bx, gs:[10]; mov es:[20], ax; push ax */
    RUN(0xa1, LE16(0x10), 0x65, 0x8b, 0x1e, LE16(0x10), 0x26, 0xa3, LE16(0x20), 0x50);
    ended(BP, 0, "virtual-8086 code runs");
    equal(last.eax & 0xffff, 0xd5d5, "  DS");
    equal(last.ebx & 0xffff, 0x6565, "  GS");
    equal(r16(0x32020), 0xd5d5, "  ES");
    equal(r16(0x3ffee), 0xd5d5, "  SS");
    equal(last.cs, 0x2000, "frame: CS");
    equal(last.eip, 0x0e, "frame: IP behind INT3");
    equal(last.ss, 0x3000, "frame: SS");
    equal(last.esp, 0xffee, "frame: SP");
    equal(last.ds, 0x3100, "frame: DS");
    equal(last.es, 0x3200, "frame: ES");
    equal(last.fs, 0x3300, "frame: FS");
    equal(last.gs, 0x3400, "frame: GS");
    equal(last.eflags & (FL_VM | FL_IOPL3), FL_VM | FL_IOPL3, "frame: EFLAGS with VM");
    virtual86(FL_IOPL3);
    in.esp = 0x1fff0;
    RUN(0x54);
    equal(last.esp, 0x1ffee, "PUSH leaves the upper half of ESP");
}

struct row {
    const char *name;
    u8 code[8];
    u8 size;
    u8 iopl0, iopl3; /* vectors; BP: it runs */
};

/* With VME off. */
static const struct row plain[] = {
    {"CLI", {0xfa}, 1, GP, BP},
    {"STI", {0xfb}, 1, GP, BP},
    {"PUSHF", {0x9c}, 1, GP, BP},
    {"POPF", {0x6a, 0x02, 0x9d}, 3, GP, BP},
    {"PUSHFD", {0x66, 0x9c}, 2, GP, BP},
    {"POPFD", {0x66, 0x6a, 0x02, 0x66, 0x9d}, 5, GP, BP},
    {"IRET", {0x6a, 0x02, 0x0e, 0x6a, 0x06, 0xcf}, 6, GP, BP},
    {"INT n", {0xcd, 0x40}, 2, GP, 0x40},
    {"INT 3 in two bytes", {0xcd, 0x03}, 2, GP, BP},
    {"INT3", {0xcc}, 1, BP, BP},
    {"INTO", {0xb0, 0x7f, 0x04, 0x01, 0xce}, 5, OF, OF},
    {"BOUND", {0xb8, 0x00, 0x7f, 0x62, 0x06, 0x00, 0x50}, 7, BR, BR},
    {"HLT", {0xf4}, 1, GP, GP},
    {"MOV from CR0", {0x0f, 0x20, 0xc0}, 3, GP, GP},
    {"CLTS", {0x0f, 0x06}, 2, GP, GP},
    {"LMSW", {0x0f, 0x01, 0xf0}, 3, GP, GP},
    {"LGDT", {0x0f, 0x01, 0x16, 0, 0}, 5, GP, GP},
    {"RDMSR", {0x0f, 0x32}, 2, GP, GP},
    {"MOV to DR7", {0x0f, 0x23, 0xf8}, 3, GP, GP},
    {"INVLPG", {0x0f, 0x01, 0x3e, 0, 0}, 5, GP, GP},
    {"SLDT", {0x0f, 0x00, 0xc0}, 3, UD, UD},
    {"STR", {0x0f, 0x00, 0xc8}, 3, UD, UD},
    {"LLDT", {0x0f, 0x00, 0xd0}, 3, UD, UD},
    {"VERR", {0x0f, 0x00, 0xe0}, 3, UD, UD},
    {"LAR", {0x0f, 0x02, 0xc0}, 3, UD, UD},
    {"LSL", {0x0f, 0x03, 0xc0}, 3, UD, UD},
    {"ARPL", {0x63, 0xc0}, 2, UD, UD},
    {"VADDPS", {0xc5, 0xf8, 0x58, 0xc0}, 4, UD, UD},
    {"LOCK NOP", {0xf0, 0x90}, 2, UD, UD},
    {"SGDT", {0x0f, 0x01, 0x06, 0, 0x60}, 5, BP, BP},
    {"SMSW", {0x0f, 0x01, 0xe0}, 3, BP, BP},
    {"a word at ffff", {0x8b, 0x06, 0xff, 0xff}, 4, GP, GP},
    {"a word of the stack at ffff", {0xbd, 0xff, 0xff, 0x8b, 0x46, 0}, 6, SS, SS},
    {"LDS", {0xc5, 0x06, 0, 0x50}, 4, BP, BP},
    {"a far JMP", {0xea, 0x10, 0, 0, 0x20}, 5, BP, BP},
    {"a far JMP with a wide offset", {0x66, 0xea, 0, 0, 1, 0, 0, 0x20}, 8, GP, GP},
};

static void sensitive(void)
{
    unsigned i;

    w32(0x35000, 0x00010000);
    w8(CODE + 0x10, 0xcc);
    for (i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        const struct row *r = &plain[i];

        w8(CODE + 0x10, 0xcc);
        run86(0, r->code, r->size);
        ended(r->iopl0, DONT_CARE, r->name);
        ok(last.eflags & FL_VM, "  from virtual-8086 mode");
        run86(FL_IOPL3, r->code, r->size);
        ended(r->iopl3, DONT_CARE, "  and with IOPL 3");
    }
    V86(0, 0xcd, 0x40);
    equal(last.error, 0, "INT n with IOPL 0: the error code is 0");
    equal(last.eip, 0, "  at the instruction");
    idt[0x40] = 0;
    V86(FL_IOPL3, 0xcd, 0x40);
    ended(GP, 0x40 * 8 + 2, "INT n with IOPL 3 and no gate");
    set_idt(0x40, 0xce);
    V86(FL_IOPL3, 0xcd, 0x40);
    ended(GP, 0x40 * 8 + 2, "  and a gate of DPL 2");
    set_idt(0x40, 0xee);
    gdt[FREE / 8] = descriptor(0, 0xfffff, 0xfa, 12);
    idt[0x40] = gate(FREE, 0, 0xee, 0);
    V86(FL_IOPL3, 0xcd, 0x40);
    ended(GP, FREE, "  and a handler that is not at CPL 0");
    set_idt(0x40, 0xee);
    V86(FL_IOPL3, 0xfa, 0x9c, 0x5b, 0xfb); /* cli; pushf; pop bx; sti */
    equal(last.ebx & FL_IF, 0, "CLI with IOPL 3 clears IF");
    equal(last.eflags & FL_IF, FL_IF, "  STI sets it");
    V86(FL_IOPL3, 0x68, LE16(0x202), 0x9d); /* popf with IOPL 0 in the image */
    equal(last.eflags & (FL_IOPL3 | FL_IF), FL_IOPL3 | FL_IF, "POPF with IOPL 3 sets IF, leaves IOPL");
    V86(FL_IOPL3, 0x66, 0x68, LE32(FL_CF | 2), 0x66, 0x9d);
    ok(last.eflags & FL_VM, "POPFD leaves VM");
    V86(FL_IOPL3, 0x66, 0x9c, 0x66, 0x5b);
    equal(last.ebx & (FL_VM | FL_RF), 0, "PUSHFD shows neither VM nor RF");
}

/* IN and OUT look at the bitmap whatever IOPL. */
static void ports(void)
{
    static const u8 read[] = {0xec};
    static const u8 word[] = {0xed};

    memset(tss.map + 32, 0xff, 8192);
    run86(FL_IOPL3, read, 1);
    ended(GP, 0, "IN of a port whose bit is set, with IOPL 3");
    tss.map[32 + 16] = 0xfe; /* port 80 */
    run86(0, read, 1);
    ended(BP, DONT_CARE, "IN of a port whose bit is clear, with IOPL 0");
    run86(0, word, 1);
    ended(GP, 0, "IN of two ports, one of them allowed");
    tss.map[32 + 16] = 0xfc;
    run86(0, word, 1);
    ended(BP, DONT_CARE, "IN of two ports that are allowed");
    memset(tss.map + 32, 0xff, 8192);
}

/* The guest's vector `n` in the real-mode table is 2000:0040, which does NOP; INT3. */
static void real_vector(unsigned n)
{
    w16(4 * n, 0x40);
    w16(4 * n + 2, 0x2000);
    w16(CODE + 0x40, 0xcc90);
}

static void redirect(unsigned n, bool to_program)
{
    if (to_program)
        tss.map[n / 8] &= (u8) ~(1u << (n & 7));
    else
        tss.map[n / 8] |= (u8)(1u << (n & 7));
}

static void extensions(void)
{
    u32 cr4 = read_cr4();

    write_cr4(cr4 | CR4_VME);
    V86(FL_VIF, 0xfa);
    ended(BP, DONT_CARE, "VME: CLI with IOPL 0");
    equal(last.eflags & (FL_VIF | FL_IF), 0, "  clears VIF");
    V86(FL_IF, 0xfb);
    ended(BP, DONT_CARE, "VME: STI with IOPL 0");
    equal(last.eflags & (FL_VIF | FL_IF), FL_VIF | FL_IF, "  sets VIF");
    V86(FL_VIP, 0xfb);
    ended(GP, 0, "VME: STI with VIP");
    equal(last.eflags & FL_VIF, 0, "  sets nothing");
    V86(FL_VIF, 0x9c, 0x5b);
    equal(last.ebx & (FL_IF | FL_IOPL3), FL_IF | FL_IOPL3, "VME: PUSHF shows VIF as IF, and IOPL 3");
    V86(FL_IF, 0x9c, 0x5b);
    equal(last.ebx & FL_IF, 0, "  and not IF");
    V86(0, 0x66, 0x9c);
    ended(GP, 0, "VME: PUSHFD");
    V86(0, 0x68, LE16(0x203), 0x9d);
    ended(BP, DONT_CARE, "VME: POPF");
    equal(last.eflags & (FL_VIF | FL_IF | FL_CF), FL_VIF | FL_CF, "  sets VIF, not IF");
    V86(FL_VIP, 0x68, LE16(0x203), 0x9d);
    ended(GP, 0, "VME: POPF of IF with VIP");
    V86(0, 0x68, LE16(0x103), 0x9d);
    ended(GP, 0, "VME: POPF of TF");
    V86(0, 0x68, LE16(0x203), 0x0e, 0x6a, 0x08, 0xcf, 0x90);
    ended(BP, DONT_CARE, "VME: IRET");
    equal(last.eip, 9, "  goes on");
    equal(last.eflags & (FL_VIF | FL_IF | FL_CF), FL_VIF | FL_CF, "  sets VIF, not IF");
    V86(FL_VIP, 0x68, LE16(0x203), 0x0e, 0x6a, 0x08, 0xcf);
    ended(GP, 0, "VME: IRET of IF with VIP");
    V86(0, 0x66, 0xcf);
    ended(GP, 0, "VME: a 32-bit IRET");
    write_cr4(cr4);
}

static void redirection(void)
{
    u32 cr4 = read_cr4();
    u16 iomap = tss.iomap;

    write_cr4(cr4 | CR4_VME);
    real_vector(0x40);
    redirect(0x40, true);
    V86(FL_VIF, 0xf9, 0xcd, 0x40);
    ended(BP, 0, "VME: a redirected INT n with IOPL 0");
    equal(last.eip, 0x42, "  goes to the program's own handler");
    ok(last.eflags & FL_VM, "  in virtual-8086 mode");
    equal(last.eflags & FL_VIF, 0, "  with VIF clear");
    equal(last.esp, 0xffea, "  three words are pushed");
    equal(r16(0x3ffea), 3, "  IP");
    equal(r16(0x3ffec), 0x2000, "  CS");
    equal(r16(0x3ffee) & (FL_IF | FL_IOPL3 | FL_CF), FL_IF | FL_IOPL3 | FL_CF, "  FLAGS: VIF as IF, IOPL 3");
    V86(FL_IOPL3 | FL_IF | FL_VIF, 0xcd, 0x40);
    equal(last.eip, 0x42, "VME: a redirected INT n with IOPL 3");
    equal(last.eflags & (FL_IF | FL_VIF), FL_VIF, "  clears IF, not VIF");
    redirect(0x40, false);
    V86(0, 0xcd, 0x40);
    ended(GP, 0, "VME: INT n that is not redirected, with IOPL 0");
    V86(FL_IOPL3, 0xcd, 0x40);
    ended(0x40, DONT_CARE, "  and with IOPL 3");
    real_vector(3);
    redirect(3, true);
    V86(0, 0xcd, 0x03);
    equal(last.eip, 0x42, "VME: INT 3 in two bytes is redirected");
    V86(0, 0xcc);
    equal(last.eip, 1, "  INT3 in one is not");
    tss.iomap = 0;
    V86(0, 0xcd, 0x40);
    ended(GP, 0, "VME: no redirection bitmap");
    tss.iomap = iomap;
    write_cr4(cr4);
}

/* CR4.PVI: CLI and STI at CPL 3 with IOPL below 3. */
static void protected_virtual(void)
{
    u32 cr4 = read_cr4();

    flat(3);
    RUN(0xfa);
    ended(GP, 0, "CLI at CPL 3 with IOPL 0");
    write_cr4(cr4 | CR4_PVI);
    flat(3);
    in.eflags |= FL_VIF;
    RUN(0xfa);
    ended(BP, DONT_CARE, "PVI: CLI");
    equal(last.eflags & FL_VIF, 0, "  clears VIF");
    flat(3);
    RUN(0xfb);
    equal(last.eflags & (FL_VIF | FL_IF), FL_VIF, "PVI: STI sets VIF");
    flat(3);
    in.eflags |= FL_VIP;
    RUN(0xfb);
    ended(GP, 0, "PVI: STI with VIP");
    flat(3);
    in.eflags |= FL_VIF;
    RUN(0x9c, 0x58);
    equal(last.eax & (FL_IF | FL_VIF), FL_VIF, "PVI: PUSHFD shows IF and VIF as they are");
    flat(3);
    RUN(0x68, LE32(0x202), 0x9d);
    equal(last.eflags & (FL_IF | FL_VIF), 0, "PVI: POPFD touches neither");
    flat(0);
    RUN(0x0f, 0x20, 0xe0, 0xfb, 0xfa);
    ended(BP, DONT_CARE, "PVI: nothing changes at CPL 0");
    write_cr4(cr4);
}

/* Single steps, and a return to protected mode by a handler that pops what it likes. */
static void steps(void)
{
    V86(FL_TF, 0x90, 0x90);
    ended(DB, DONT_CARE, "TF in virtual-8086 mode");
    equal(last.eip, 1, "  after one instruction");
    V86(FL_TF | FL_IOPL3, 0xcd, 0x40);
    equal(last.eip, 2, "INT n with TF");
    equal(last.vector, 0x40, "  no step between");
}

void test_main(void)
{
    set_idt(0x40, 0xee);
    set_idt(OF, 0xee);
    entry_and_exit();
    sensitive();
    ports();
    extensions();
    redirection();
    protected_virtual();
    steps();
}
