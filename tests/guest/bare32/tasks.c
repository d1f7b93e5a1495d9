/*
 * tasks.c - the hardware task switch with both TSS formats: JMP, CALL, task gates and IRET with NT; busy bits,
 * back link, saved and loaded registers, LDT, CR3, the T bit, and what a bad TSS gives.
 */
#include "rt.h"

#define OTHER FREE       /* the other task's TSS */
#define TGATE (FREE + 8) /* a task gate to it */
#define OTHER_LDT (FREE + 16)
#define SPARE (FREE + 24)
#define ENTRY 0x21000u
#define TASK_STACK 0x60000u
#define BUSY(selector) (gdt[(selector) / 8] >> 41 & 1)

static struct tss32 other;
static struct tss16 narrow;
static u32 plain_cr0;

static void put_code(u32 at, const u8 *code, unsigned size)
{
    memcpy((void *)at, code, size);
}
#define PUT(at, ...) put_code(at, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* Two tasks: the running one (KTSS) and `other`, which does INC EBX, and IRET; then INC ECX and a JMP to itself.
 */
static void usual(unsigned access)
{
    static const u16 segments[6] = {KDS, KCS, KDS, KDS, 0, KDS};
    unsigned i;

    memset(&other, 0, 104);
    other.eip = ENTRY;
    other.eflags = 2;
    other.iomap = 104;
    for (i = 0; i < 8; i++)
        other.gpr[i] = 0x10101010 * i;
    other.gpr[4] = TASK_STACK;
    for (i = 0; i < 6; i++)
        other.seg[i] = segments[i];
    gdt[OTHER / 8] = descriptor((u32)&other, 103, access, 0);
    gdt[TGATE / 8] = gate(OTHER, 0, 0xe5, 0);
    gdt[OTHER_LDT / 8] = descriptor((u32)ldt, sizeof ldt - 1, 0x82, 0);
    gdt[KTSS / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x8b, 0);
    PUT(ENTRY, 0x43, 0xcf, 0x41, 0xcf); /* inc ebx; iret; inc ecx; iret */
    write_cr0(plain_cr0);
}

static void call_and_return(void)
{
    usual(0x89);
    tss.trap = 0;
    flat(0);
    in.eax = 0xa1a1a1a1;
    in.ebx = 0xb1b1b1b1;
    in.ecx = 0;
    in.ebp = 0xe1e1e1e1;
    in.eflags = 2 | FL_CF;
    in.es = UDS;
    RUN(0x9a, LE32(0), LE16(OTHER), 0x9c, 0x5a, 0x0f, 0x20, 0xc6); /* pushfd; pop edx; mov esi, cr0 */
    ended(BP, DONT_CARE, "CALL to a TSS and IRET back");
    equal(last.eax, 0xa1a1a1a1, "  EAX of this task is back");
    equal(last.ebx, 0xb1b1b1b1, "  EBX too");
    equal(last.ebp, 0xe1e1e1e1, "  EBP too");
    equal(last.esp, STACK, "  ESP too");
    equal(last.es, UDS, "  ES too");
    equal(last.edx & (FL_CF | FL_NT), FL_CF, "  EFLAGS too, NT clear");
    ok(last.esi >> 3 & 1, "  CR0.TS is set");
    equal(other.gpr[3], 0x30303031, "  the other task has run, its EBX is saved");
    equal(other.eip, ENTRY + 2, "  and its EIP behind IRET");
    equal(other.gpr[4], TASK_STACK, "  and its ESP");
    equal(other.eflags & FL_NT, 0, "  and its EFLAGS, NT clear after IRET");
    equal(other.link & 0xffff, KTSS, "  its back link led here");
    equal(other.seg[1], KCS, "  its CS");
    equal(BUSY(OTHER), 0, "  it is not busy any more");
    equal(BUSY(KTSS), 1, "  and this one is");
    equal(tss.eip, CODE + 7, "  this task's EIP was saved behind the CALL");
    equal(tss.eflags & (FL_CF | FL_NT), FL_CF, "  its EFLAGS");
    flat(0);
    in.ecx = 0;
    write_cr0(plain_cr0);
    RUN(0x9a, LE32(0), LE16(TGATE));
    ended(BP, DONT_CARE, "CALL through a task gate");
    equal(other.gpr[1], 0x10101011, "  goes on where the task was left");
    equal(other.eip, ENTRY + 4, "  behind its second IRET");
}

/* JMP there, and JMP back. */
static void jump(void)
{
    usual(0x89);
    PUT(ENTRY, 0x9c, 0x58, 0x43, 0xea, LE32(0), LE16(KTSS), 0x47, 0xea, LE32(0), LE16(KTSS)); /* pushfd; pop eax;
        inc ebx; jmp; inc edi; jmp */
    flat(0);
    RUN(0xea, LE32(0), LE16(OTHER), 0x0f, 0x00, 0xca, 0xea, LE32(0), LE16(OTHER)); /* jmp; str edx; jmp */
    ended(BP, DONT_CARE, "JMP to a TSS and back, twice");
    equal(last.edx & 0xffff, KTSS, "  TR");
    equal(other.gpr[0] & FL_NT, 0, "  without NT");
    equal(other.gpr[3], 0x30303031, "  it has run");
    equal(other.gpr[7], 0x70707071, "  and gone on behind its JMP");
    equal(other.eip, ENTRY + 18, "  EIP behind the second JMP");
    equal(other.link, 0, "  JMP leaves no link");
    equal(BUSY(OTHER), 0, "  it is free");
    equal(BUSY(KTSS), 1, "  this one is busy");
    usual(0x89);
    gdt[KTSS / 8] &= ~(2ull << 40); /* from a task that is not marked: nothing to clear */
    PUT(ENTRY, 0x0f, 0x00, 0xc9, 0xcc);
    flat(0);
    RUN(0xea, LE32(0), LE16(OTHER));
    ended(BP, DONT_CARE, "JMP to a TSS");
    equal(last.ecx & 0xffff, OTHER, "  TR is the new TSS");
    equal(BUSY(OTHER), 1, "  which is busy");
    equal(last.ebx, 0x30303030, "  registers come from it");
    equal(last.esp, TASK_STACK, "  ESP too");
    gdt[KTSS / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(KTSS));
}

static void narrow_task(void)
{
    static const u16 segments[4] = {KDS, KCS16, KDS16, KDS};
    unsigned i;

    usual(0x89);
    memset(&narrow, 0, sizeof narrow);
    narrow.ip = 0x7000;
    narrow.flags = 2;
    for (i = 0; i < 8; i++)
        narrow.gpr[i] = (u16)(0x1111 * i);
    narrow.gpr[4] = 0x6000;
    for (i = 0; i < 4; i++)
        narrow.seg[i] = segments[i];
    gdt[SPARE / 8] = descriptor((u32)&narrow, 43, 0x81, 0);
    PUT(0x7000, 0x43, 0x66, 0x89, 0x06, LE16(0x6100), 0x8c, 0xe1,
        0xcf); /* inc bx; mov [6100], eax; mov cx, fs; iret */
    flat(0);
    in.fs = UDS;
    in.eax = 0xa5a5a5a5;
    RUN(0x9a, LE32(0), LE16(SPARE));
    ended(BP, DONT_CARE, "CALL to a 16-bit TSS and IRET back");
    equal(last.eax, 0xa5a5a5a5, "  the 32-bit registers are back");
    equal(narrow.gpr[3], 0x3334, "  it has run");
    equal(narrow.gpr[1], 0, "  FS is null in it");
    equal(narrow.link, KTSS, "  its link");
    equal(narrow.ip, 0x7009, "  its IP");
    equal(r16(0x6100), 0, "  AX comes from the TSS");
    equal(last.fs, UDS, "  FS of this task is back");
}

struct bad_row {
    const char *name;
    u16 selector;
    u8 access;
    u32 limit;
    u8 vector;
    u32 error;
};

static const struct bad_row bad[] = {
    {"a busy TSS", OTHER, 0x8b, 103, GP, OTHER},
    {"an absent TSS", OTHER, 0x09, 103, NP, OTHER},
    {"a TSS that is too short", OTHER, 0x89, 102, TS, OTHER},
    {"a 16-bit TSS that is too short", OTHER, 0x81, 42, TS, OTHER},
    {"a gate to a busy TSS", TGATE, 0x8b, 103, GP, OTHER},
    {"a gate to something else", TGATE, 0x82, 103, GP, OTHER},
};

static void bad_tss(void)
{
    unsigned i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct bad_row *r = &bad[i];

        usual(0x89);
        gdt[OTHER / 8] = descriptor((u32)&other, r->limit, r->access, 0);
        flat(0);
        RUN(0x90, 0x9a, LE32(0), LE16(r->selector));
        ended(r->vector, r->error, r->name);
        equal(last.eip, CODE + 1, "  in the old task");
        equal(BUSY(KTSS), 1, "  which is busy still");
    }
    usual(0x89);
    flat(3);
    RUN(0x9a, LE32(0), LE16(OTHER | 3));
    ended(GP, OTHER, "a TSS of DPL 0 from CPL 3");
    usual(0xe9);
    gdt[TGATE / 8] = gate(OTHER, 0, 0x65, 0);
    flat(3);
    RUN(0x9a, LE32(0), LE16(TGATE | 3));
    ended(NP, TGATE, "an absent task gate");
    usual(0xe9);
    gdt[TGATE / 8] = gate(4, 0, 0xe5, 0);
    flat(0);
    RUN(0x9a, LE32(0), LE16(TGATE));
    ended(GP, 4, "a task gate to the LDT");
    usual(0x89);
    tss.link = KDS;
    flat(0);
    in.eflags |= FL_NT;
    RUN(0xcf);
    ended(TS, KDS, "IRET with NT to something that is no TSS");
    tss.link = OTHER;
    usual(0x89);
    flat(0);
    in.eflags |= FL_NT;
    RUN(0xcf);
    ended(TS, OTHER, "IRET with NT to a TSS that is not busy");
    tss.link = 0;
}

struct segment_row {
    const char *name;
    u8 index; /* in seg[], 6 for the LDT */
    u16 selector;
    u8 access; /* of the descriptor at SPARE */
    u8 vector;
    u32 error;
};

/* Faults of the new task's selectors are raised in the new task. */
static const struct segment_row segments[] = {
    {"new CS: null", 1, 0, 0x9a, TS, 0},
    {"new CS: data", 1, SPARE, 0x92, TS, SPARE},
    {"new CS: absent", 1, SPARE, 0x1a, NP, SPARE},
    {"new CS: DPL is not RPL", 1, SPARE, 0xfa, TS, SPARE},
    {"new SS: null", 2, 0, 0x92, TS, 0},
    {"new SS: read-only", 2, SPARE, 0x90, TS, SPARE},
    {"new SS: absent", 2, SPARE, 0x12, SS, SPARE},
    {"new SS: RPL is not CPL", 2, SPARE | 3, 0x92, TS, SPARE},
    {"new DS: execute-only", 3, SPARE, 0x98, TS, SPARE},
    {"new ES: absent", 0, SPARE, 0x12, NP, SPARE},
    {"new GS: behind the GDT", 5, 0x600, 0x92, TS, 0x600},
    {"new LDT: data", 6, SPARE, 0x92, TS, SPARE},
    {"new LDT: absent", 6, SPARE, 0x02, TS, SPARE},
    {"new LDT: in the LDT", 6, 4, 0x82, TS, 4},
};

/* The handlers are tasks themselves: the new task may have no stack. The one of the fault notes EDX = error code.
 */
static void bad_selectors(void)
{
    static struct tss32 handler;
    static const u8 vectors[] = {TS, NP, SS};
    unsigned i, v;

    for (i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        const struct segment_row *r = &segments[i];

        usual(0x89);
        gdt[SPARE / 8] = descriptor((u32)ldt, 0xfffff, r->access, 12);
        if (r->index < 6)
            other.seg[r->index] = r->selector;
        else
            other.ldt = r->selector;
        memset(&handler, 0, 104);
        handler.eflags = 2;
        handler.gpr[4] = 0x70000;
        handler.eip = 0x22000;
        for (v = 0; v < 4; v++)
            handler.seg[v] = v == 1 ? KCS : KDS;
        handler.iomap = 104;
        PUT(0x22000, 0x5a, 0xcc); /* pop edx */
        gdt[(SPARE + 8) / 8] = descriptor((u32)&handler, 103, 0x89, 0);
        for (v = 0; v < 3; v++)
            idt[vectors[v]] = gate(SPARE + 8, 0, 0x85, 0);
        w8(0x22002, 0xcc);
        flat(0);
        RUN(0xea, LE32(0), LE16(OTHER));
        ended(BP, DONT_CARE, r->name);
        equal(last.edx, r->error, "  error code, on the stack of the handler's task");
        equal(handler.link & 0xffff, OTHER, "  in the new task");
        for (v = 0; v < 3; v++)
            set_idt(vectors[v], 0x8e);
        gdt[KTSS / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
        __asm__ volatile("ltr %w0" : : "r"(KTSS));
    }
    __asm__ volatile("lldt %w0" : : "r"(0));
}

static void interrupt_task(void)
{
    usual(0x89);
    PUT(ENTRY, 0x43, 0x9c, 0x58, 0xcf, 0x43, 0xcf); /* inc ebx; pushfd; pop eax; iret; inc ebx; iret */
    idt[0x30] = gate(OTHER, 0, 0xe5, 0);
    flat(3);
    in.ebx = 0x1234;
    RUN(0xcd, 0x30, 0xcd, 0x30);
    ended(BP, DONT_CARE, "INT n through a task gate, twice, from CPL 3");
    equal(last.cs, UCS, "  back at CPL 3");
    equal(last.ebx, 0x1234, "  with its registers");
    equal(other.gpr[3], 0x30303032, "  the task has run twice");
    ok(other.gpr[0] & FL_NT, "  with NT set");
    equal(other.link & 0xffff, KTSS, "  and a link");
    /* an exception with an error code: it is on the new task's stack */
    usual(0x89);
    PUT(ENTRY, 0x5b, 0xff, 0x05, LE32((u32)&tss.eip), 0xff, 0x05, LE32((u32)&tss.eip),
        0xcf); /* pop ebx; inc [tss.eip] twice; iret */
    idt[GP] = gate(OTHER, 0, 0x85, 0);
    flat(3);
    RUN(0xcd, 0x41); /* DPL 0 */
    ended(BP, DONT_CARE, "#GP through a task gate");
    equal(other.gpr[3], 0x41 * 8 + 2, "  its error code is on the task's stack");
    equal(last.eip, CODE + 3, "  EIP in the TSS is the instruction's");
    set_idt(GP, 0x8e);
    set_idt(0x30, 0x8e);
}

static _Alignas(4096) u32 directory[1024], second[1024];

static void address_spaces(void)
{
    u32 cr4 = read_cr4();
    unsigned i;

    for (i = 0; i < 1024; i++)
        directory[i] = second[i] = i << 22 | 0x83;
    second[1] = 0x00000083 | 2 << 22; /* another page at 4 MiB */
    usual(0x89);
    w32(0x400000, 0x11112222);
    w32(0x800000, 0x33334444);
    write_cr4(cr4 | 0x10);
    write_cr3((u32)directory);
    write_cr0(plain_cr0 | 0x80000000u);
    other.cr3 = (u32)second;
    tss.cr3 = (u32)directory;
    PUT(ENTRY, 0x8b, 0x1d, LE32(0x400000), 0xcf); /* mov ebx, [400000]; iret */
    flat(0);
    RUN(0x8b, 0x35, LE32(0x400000), 0x9a, LE32(0), LE16(OTHER), 0x8b, 0x3d, LE32(0x400000));
    ended(BP, DONT_CARE, "a task with its own CR3");
    equal(other.gpr[3], 0x33334444, "  sees its own page");
    equal(last.esi, 0x11112222, "  this one its own, before");
    equal(last.edi, 0x11112222, "  and after");
    write_cr0(plain_cr0);
    write_cr4(cr4);
}

static void own_ldt(void)
{
    usual(0x89);
    ldt[1] = descriptor(DATA, 0xfff, 0x92, 4);
    w32(DATA + 4, 0xabcdef01);
    other.ldt = OTHER_LDT;
    other.seg[5] = 0x0c;                                           /* GS: LDT entry 1 */
    PUT(ENTRY, 0x65, 0x8b, 0x1d, LE32(4), 0x0f, 0x00, 0xc0, 0xcf); /* mov ebx, gs:[4]; sldt eax; iret */
    flat(0);
    RUN(0x9a, LE32(0), LE16(OTHER), 0x0f, 0x00, 0xc1);
    ended(BP, DONT_CARE, "a task with an LDT of its own");
    equal(other.gpr[3], 0xabcdef01, "  reaches its segment");
    equal(other.gpr[0] & 0xffff, OTHER_LDT, "  SLDT there");
    equal(last.ecx & 0xffff, 0, "  and none here");
}

static void trap_bit(void)
{
    usual(0x89);
    other.trap = 1;
    other.eflags = 2;
    PUT(ENTRY, 0x43, 0xcf);
    flat(0);
    RUN(0x9a, LE32(0), LE16(OTHER));
    ended(DB, DONT_CARE, "the T bit of a TSS gives #DB");
    equal(last.eip, ENTRY, "  before the first instruction of the task");
    equal(last.ebx, 0x30303030, "  with its registers");
    __asm__ volatile("movl %%db6, %0" : "=r"(in.eax));
    ok(in.eax >> 15 & 1, "  DR6.BT");
    gdt[KTSS / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(KTSS));
}

/* A task in virtual-8086 mode. */
static void virtual_task(void)
{
    usual(0x89);
    other.eflags = 2 | FL_VM | FL_IOPL3;
    other.eip = 0x100;
    other.seg[0] = other.seg[3] = other.seg[2] = 0x3000;
    other.seg[1] = 0x2100;
    other.seg[4] = other.seg[5] = 0x1234;
    other.gpr[4] = 0x800;
    PUT(0x21100, 0x8c, 0xe3, 0x90, 0xcc); /* mov bx, fs */
    flat(0);
    tss.esp0 = (u32)trap_stack_top;
    other.esp0 = (u32)trap_stack_top;
    other.ss0 = KDS;
    RUN(0xea, LE32(0), LE16(OTHER));
    ended(BP, DONT_CARE, "a task in virtual-8086 mode");
    equal(last.cs, 0x2100, "  CS");
    equal(last.ebx & 0xffff, 0x1234, "  FS");
    ok(last.eflags & FL_VM, "  VM");
    gdt[KTSS / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(KTSS));
}

void test_main(void)
{
    plain_cr0 = read_cr0() & ~8u;
    call_and_return();
    jump();
    narrow_task();
    bad_tss();
    bad_selectors();
    interrupt_task();
    address_spaces();
    own_ldt();
    trap_bit();
    virtual_task();
}
