/*
 * debug.c - single steps and breakpoints in 16- and 32-bit code, system calls of 32-bit code: SYSENTER and
 * SYSEXIT, SYSCALL and SYSRET as the vendor has them.
 */
#include "rt.h"

#define CR4_DE 8u
#define DR6_BS 0x4000u
#define DR6_BD 0x2000u
#define DR7_GD 0x2000u
#define DR7(n, kind, length) (1u << (2 * (n)) | (kind) << (16 + 4 * (n)) | (length) << (18 + 4 * (n)))
enum { EXECUTE, WRITE, IO, READ_WRITE };
#define ENTRY 0x21000u

static u32 dr6(void)
{
    u32 value;

    __asm__ volatile("movl %%db6, %0" : "=r"(value));
    __asm__ volatile("movl %0, %%db6" : : "r"(0xffff0ff0));
    return value;
}

static void set(unsigned n, u32 address, u32 dr7)
{
    if (n == 0)
        __asm__ volatile("movl %0, %%db0" : : "r"(address));
    else
        __asm__ volatile("movl %0, %%db1" : : "r"(address));
    __asm__ volatile("movl %0, %%db7" : : "r"(dr7 | 0x400));
}

static void clear(void)
{
    set(0, 0, 0);
}

static void hit(u32 bits, u32 eip, const char *name)
{
    ended(DB, DONT_CARE, name);
    equal(dr6() & 0xf00f, bits, "  DR6");
    equal(last.eip, eip, "  EIP");
}

static void single_steps(void)
{
    dr6();
    flat(3);
    in.eflags |= FL_TF;
    RUN(0x40, 0x40);
    hit(DR6_BS, CODE + 1, "TF: a trap after one instruction");
    ok(last.eflags & FL_TF, "  the image has TF");
    flat(0);
    in.ecx = 3;
    in.edi = DATA;
    in.eflags |= FL_TF;
    RUN(0xf3, 0xaa);
    hit(DR6_BS, CODE, "TF: REP STOSB stops after each element");
    equal(last.ecx, 2, "  ECX");
    flat(3);
    in.eflags |= FL_TF;
    RUN(0xcd, BP);
    ended(BP, DONT_CARE, "TF: INT n is not stepped into");
    equal(dr6() & DR6_BS, 0, "  no BS");
    flat(3);
    in.eflags |= FL_TF;
    RUN(0x0f, 0x0b);
    ended(UD, DONT_CARE, "TF: a fault comes instead of the step");
    flat(3);
    in.eflags |= FL_TF;
    RUN(0x8c, 0xd0, 0x8e, 0xd0, 0x40, 0x40);
    hit(DR6_BS, CODE + 2, "TF: after MOV from SS");
    flat(3);
    RUN(0x9c, 0x80, 0x4c, 0x24, 0x01, 0x01, 0x9d, 0x40, 0x40); /* pushfd; or byte [esp + 1], 1; popfd; inc; inc */
    hit(DR6_BS, CODE + 8, "POPFD of TF: a trap after the next instruction");
}

static void more_steps(void)
{
    flat(3);
    in.eflags |= FL_TF;
    RUN(0xeb, 0x02);
    hit(DR6_BS, CODE + 4, "TF: after a jump, at its target");
    gdt[FREE / 8] = descriptor(CODE, 0xffff, 0xfa, 0);
    flat(3);
    in.cs = FREE | 3;
    in.eip = 0;
    in.eflags |= FL_TF;
    RUN(0xb8, LE16(0x1234), 0x40);
    hit(DR6_BS, 3, "TF in 16-bit code");
    flat(3);
    in.ecx = UDS;
    in.eflags |= FL_TF;
    RUN(0x8e, 0xd1, 0x40, 0x40);
    hit(DR6_BS, CODE + 3, "TF: MOV to SS holds the trap off for an instruction");
}

static void breakpoints(void)
{
    flat(3);
    set(0, CODE + 1, DR7(0, EXECUTE, 0));
    RUN(0x40, 0x40, 0x40);
    hit(1, CODE + 1, "an instruction breakpoint");
    equal(last.eax, 1, "  before the instruction");
    equal(last.eflags & FL_RF, 0, "  RF is clear in the image: the handler sets it");
    in = last;
    in.eflags |= FL_RF;
    run();
    ended(BP, DONT_CARE, "  which lets it go on");
    gdt[FREE / 8] = descriptor(CODE - 0x10, 0xffff, 0xfa, 4);
    flat(3);
    in.cs = FREE | 3;
    in.eip = 0x10;
    RUN(0x40, 0x40, 0x40);
    hit(1, 0x11, "  by linear address: CS with a base");
}

static void data_breakpoints(void)
{
    set(1, DATA + 4, DR7(1, WRITE, 3));
    flat(3);
    in.ebx = DATA;
    RUN(0x8b, 0x43, 0x04, 0x89, 0x43, 0x04, 0x90); /* mov eax, [ebx + 4]; mov [ebx + 4], eax */
    hit(2, CODE + 6, "a write breakpoint: behind the store, not at the load");
    flat(3);
    in.ebx = DATA;
    RUN(0x88, 0x43, 0x07, 0x90);
    hit(2, CODE + 3, "  by any of its four bytes");
    flat(3);
    in.ebx = DATA;
    RUN(0x88, 0x43, 0x08, 0x88, 0x43, 0x03);
    ended(BP, DONT_CARE, "  not by its neighbours");
    set(1, DATA + 4, DR7(1, READ_WRITE, 3));
    flat(3);
    in.ebx = DATA;
    RUN(0x8b, 0x43, 0x01, 0x90);
    hit(2, CODE + 3, "a read-write breakpoint: a load that reaches into it");
    gdt[FREE / 8] = descriptor(DATA - 0x1000, 0xffff, 0xf2, 4);
    flat(3);
    in.es = FREE | 3;
    in.ebx = 0x1004;
    RUN(0x26, 0x8a, 0x03, 0x90);
    hit(2, CODE + 3, "  through a segment with a base");
    set(1, OUTER - 4, DR7(1, WRITE, 3));
    flat(3);
    RUN(0x50, 0x90);
    hit(2, CODE + 1, "  by PUSH");
}

static void other_breakpoints(void)
{
    set(0, 0x80, DR7(0, IO, 0));
    write_cr4(read_cr4() | CR4_DE);
    flat(0);
    RUN(0xe6, 0x80, 0x90);
    hit(1, CODE + 2, "an I/O breakpoint");
    write_cr4(read_cr4() & ~CR4_DE);
    clear();
    set(0, 0, DR7_GD);
    flat(0);
    RUN(0x0f, 0x21, 0xc0);
    hit(DR6_BD, CODE, "DR7.GD: a MOV from DR0");
    __asm__ volatile("movl %%db7, %0" : "=r"(in.eax));
    equal(in.eax & DR7_GD, 0, "  clears GD");
    clear();
    flat(3);
    RUN(0x0f, 0x21, 0xf8);
    ended(GP, 0, "MOV from DR7 at CPL 3");
    write_cr4(read_cr4() | CR4_DE);
    flat(0);
    RUN(0x0f, 0x21, 0xe0);
    ended(UD, DONT_CARE, "MOV from DR4 with CR4.DE");
    write_cr4(read_cr4() & ~CR4_DE);
    flat(0);
    RUN(0x0f, 0x21, 0xe0);
    equal(last.eax & 0xffff0ff0, 0xffff0ff0, "  without it DR4 is DR6");
    flat(3);
    RUN(0xf1);
    ended(DB, DONT_CARE, "INT1");
    equal(last.eip, CODE + 1, "  is a trap");
}

static void put_code(u32 at, const u8 *code, unsigned size)
{
    memcpy((void *)at, code, size);
}
#define PUT(at, ...) put_code(at, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* The GDT order that SYSENTER wants: KCS, KDS, UCS, UDS. */
static void sysenter(void)
{
    wrmsr(0x174, KCS);
    wrmsr(0x175, 0x60000);
    wrmsr(0x176, ENTRY);
    PUT(ENTRY, 0x9c, 0x58, 0x8c, 0xce, 0x8c, 0xd7, 0x89, 0xe5, 0x0f, 0x35); /* pushfd; pop eax; mov esi, cs; mov
        edi, ss; mov ebp, esp; sysexit */
    flat(3);
    in.eflags |= FL_IF;
    in.ecx = OUTER - 0x100;
    in.edx = CODE + 2;
    RUN(0x0f, 0x34);
    ended(BP, DONT_CARE, "SYSENTER and SYSEXIT");
    equal(last.eax & FL_IF, 0, "  IF is clear inside");
    equal(last.esi & 0xffff, KCS, "  CS inside");
    equal(last.edi & 0xffff, KDS, "  SS inside");
    equal(last.ebp, 0x60000, "  ESP inside");
    equal(last.cs, UCS, "  CS outside");
    equal(last.ss, UDS, "  SS outside");
    equal(last.esp, OUTER - 0x100, "  ESP outside is ECX");
    equal(last.eip, CODE + 3, "  EIP is EDX");
    PUT(ENTRY, 0xcc);
    virtual86(FL_IOPL3);
    RUN(0x0f, 0x34);
    ended(BP, DONT_CARE, "SYSENTER from virtual-8086 mode");
    equal(last.cs, KCS, "  CS");
    equal(last.eflags & FL_VM, 0, "  VM is clear");
    flat(3);
    RUN(0x0f, 0x35);
    ended(GP, 0, "SYSEXIT at CPL 3");
    wrmsr(0x174, 0);
    flat(3);
    RUN(0x0f, 0x34);
    ended(GP, 0, "SYSENTER with a null CS");
    flat(0);
    RUN(0x0f, 0x35);
    ended(GP, 0, "SYSEXIT with a null CS");
}

static void syscall(void)
{
    u32 r[4];

    cpuid(0, r);
    wrmsr(0xc0000081, (u64)((UCS & ~3u) << 16 | KCS) << 32 | ENTRY);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
    PUT(ENTRY, 0x9c, 0x58, 0x8c, 0xce, 0x8c, 0xd7, 0x0f,
        0x07); /* pushfd; pop eax; mov esi, cs; mov edi, ss; sysret */
    flat(3);
    in.eflags |= FL_IF | FL_CF;
    RUN(0x0f, 0x05);
    if (r[1] == 0x756e6547) { /* Intel: in 64-bit mode only */
        ended(UD, DONT_CARE, "SYSCALL in protected mode, Intel");
        flat(0);
        RUN(0x0f, 0x07);
        ended(UD, DONT_CARE, "SYSRET in protected mode, Intel");
        return;
    }
    ended(BP, DONT_CARE, "SYSCALL and SYSRET in protected mode, AMD");
    equal(last.eax & (FL_IF | FL_CF), FL_CF, "  IF is clear inside");
    equal(last.esi & 0xffff, KCS, "  CS inside");
    equal(last.edi & 0xffff, KDS, "  SS inside");
    equal(last.cs, UCS, "  CS outside");
    equal(last.ss, UDS, "  SS outside");
    equal(last.eip, CODE + 3, "  EIP is ECX");
    ok(last.eflags & FL_IF, "  SYSRET sets IF");
    flat(3);
    RUN(0x0f, 0x07);
    ended(GP, 0, "SYSRET at CPL 3");
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ull);
    flat(3);
    RUN(0x0f, 0x05);
    ended(UD, DONT_CARE, "SYSCALL without EFER.SCE");
}

void test_main(void)
{
    single_steps();
    more_steps();
    breakpoints();
    data_breakpoints();
    other_breakpoints();
    sysenter();
    syscall();
}
