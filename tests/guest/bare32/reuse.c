/*
 * reuse.c - the same code again under other circumstances: other bases, limits, stack and code sizes, levels; and
 * code that changes, through every kind of alias.
 */
#include "rt.h"

#define DSEG FREE
#define ESEG (FREE + 8)
#define SSEG (FREE + 16)
#define CSEG (FREE + 24)

/* mov eax, [ebx]; push eax; pop ecx; mov es:[edi], eax; add [ebp + 4], eax; mov edx, cs; int3 */
static const u8 body[] = {0x8b, 0x03, 0x50, 0x59, 0x26, 0x89, 0x07, 0x01, 0x45, 0x04, 0x8c, 0xca};

struct row {
    const char *name;
    u32 ds, es, ss, cs;     /* bases; FLAT for the flat segment */
    u32 ds_limit, ss_limit; /* in bytes */
    bool narrow_stack;
    u8 vector, offset; /* of EIP */
};
#define FLAT 0xffffffffu
#define BIG 0xfffffu

static const struct row rows[] = {
    {"flat", FLAT, FLAT, FLAT, FLAT, BIG, BIG, false, BP, 13},
    {"DS with a base", 0x1000, FLAT, FLAT, FLAT, BIG, BIG, false, BP, 13},
    {"DS with another base", 0x2000, FLAT, FLAT, FLAT, BIG, BIG, false, BP, 13},
    {"flat again", FLAT, FLAT, FLAT, FLAT, BIG, BIG, false, BP, 13},
    {"ES with a base", FLAT, 0x3000, FLAT, FLAT, BIG, BIG, false, BP, 13},
    {"DS and ES with bases", 0x1000, 0x3000, FLAT, FLAT, BIG, BIG, false, BP, 13},
    {"SS with a base", FLAT, FLAT, 0x4000, FLAT, BIG, BIG, false, BP, 13},
    {"a 16-bit stack", FLAT, FLAT, OUTER - 0x8000, FLAT, BIG, 0xffff, true, BP, 13},
    {"CS with a base", FLAT, FLAT, FLAT, 0x10000, BIG, BIG, false, BP, 13},
    {"all with bases", 0x1000, 0x2000, 0x3000, 0x8000, BIG, BIG, false, BP, 13},
    {"DS with a limit that suffices", 0x1000, FLAT, FLAT, FLAT, DATA + 0x1000, BIG, false, BP, 13},
    {"DS with a limit that does not", 0x1000, FLAT, FLAT, FLAT, DATA - 0x1000, BIG, false, GP, 0},
    {"SS with a limit that does not suffice", FLAT, FLAT, 0x4000, FLAT, BIG, OUTER - 0x4005, false, SS, 2},
    {"flat at last", FLAT, FLAT, FLAT, FLAT, BIG, BIG, false, BP, 13},
};

static u16 segment(u16 selector, u32 base, u32 limit, unsigned access, bool big)
{
    if (base == FLAT)
        return access & 8 ? UCS : UDS;
    gdt[selector / 8] =
        descriptor(base, limit == BIG ? BIG : limit, access, (big ? 4 : 0) | (limit == BIG ? 8 : 0));
    return selector | 3;
}

static u32 zero_if_flat(u32 base)
{
    return base == FLAT ? 0 : base;
}

static void run_row(const struct row *r, u32 value)
{
    u32 stack = OUTER - zero_if_flat(r->ss);

    w32(DATA, value);
    w32(DATA + 0x100, 0);
    w32(OUTER + 4, 1000);
    w32(OUTER - 4, 0);
    flat(3);
    in.ds = segment(DSEG, r->ds, r->ds_limit, 0xf2, true);
    in.es = segment(ESEG, r->es, BIG, 0xf2, true);
    in.ss = segment(SSEG, r->ss, r->ss_limit, 0xf2, !r->narrow_stack);
    in.cs = segment(CSEG, r->cs, BIG, 0xfa, true);
    in.eip = CODE - zero_if_flat(r->cs);
    in.ebx = DATA - zero_if_flat(r->ds);
    in.edi = DATA + 0x100 - zero_if_flat(r->es);
    in.ebp = stack;
    in.esp = stack;
    run();
    ended(r->vector, DONT_CARE, r->name);
    equal(last.eip, in.eip + r->offset, "  EIP");
    equal(last.esp & (r->narrow_stack ? 0xffff : ~0u), stack,
          "  ESP, or SP"); /* IRET loads SP only on a 16-bit stack */
    if (r->vector != BP)
        return;
    equal(last.ecx, value, "  the value came by the stack");
    equal(r32(DATA + 0x100), value, "  went to ES");
    equal(r32(OUTER + 4), value + 1000, "  was added in SS");
    equal(r32(OUTER - 4), value, "  lies below the stack");
    equal(last.edx & 0xffff, in.cs, "  CS");
}

static void bases(void)
{
    unsigned i, round;

    memcpy((void *)CODE, body, sizeof body);
    w8(CODE + sizeof body, 0xcc);
    for (round = 0; round < 3; round++)
        for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
            run_row(&rows[i], 0x1000 * round + i);
}

/* The same bytes as 32-bit and as 16-bit code, at the same linear address. */
static void sizes(void)
{
    static const u8 code[] = {0xb8, 0x34, 0x12, 0x43, 0x90,
                              0x40, 0xcc, 0xcc}; /* mov eax, 90431234h; inc eax
or mov ax, 1234h; inc bx; nop; inc ax */
    unsigned round;

    memcpy((void *)CODE, code, sizeof code);
    gdt[CSEG / 8] = descriptor(0x10000, 0xffff, 0xfa, 0);
    for (round = 0; round < 3; round++) {
        flat(3);
        run();
        ended(BP, DONT_CARE, "bytes as 32-bit code");
        equal(last.eax, 0x90431235, "  EAX");
        equal(last.ebx, 0, "  EBX");
        flat(3);
        in.cs = CSEG | 3;
        in.eip = CODE - 0x10000;
        gdt[CSEG / 8] = descriptor(0x18000, 0xffff, 0xfa, 0);
        in.eip = CODE - 0x18000;
        in.eax = 0x55550000;
        run();
        ended(BP, DONT_CARE, "the same as 16-bit code");
        equal(last.eax, 0x55551235, "  EAX");
        equal(last.ebx, 1, "  EBX");
        virtual86(FL_IOPL3);
        in.eax = 0x66660000;
        run();
        ended(BP, DONT_CARE, "the same in virtual-8086 mode");
        equal(last.eax, 0x66661235, "  EAX");
        flat(0);
        run();
        equal(last.eax, 0x90431235, "the same at CPL 0");
    }
}

/* A limit that ends within a block: #GP at the instruction that does not fit, and not before. */
static void code_limit(void)
{
    unsigned limit;

    memcpy((void *)CODE, (const u8[]){0x40, 0x43, 0x81, 0xc1, 1, 0, 0, 0, 0x42, 0xcc}, 10);
    for (limit = 0; limit < 10; limit++) {
        unsigned done = limit >= 8 ? 4 : limit >= 7 ? 3 : limit >= 1 ? 2 : 1;
        static const u8 at[] = {0, 1, 2, 8, 9};

        gdt[CSEG / 8] = descriptor(CODE, limit, 0xfa, 4);
        flat(3);
        in.cs = CSEG | 3;
        in.eip = 0;
        run();
        if (limit == 9)
            ended(BP, DONT_CARE, "a CS limit that suffices");
        else
            ended(GP, 0, "a CS limit within the code");
        equal(last.eax + last.ebx + last.ecx + last.edx, limit == 9 ? 4 : done, "  what lies before it has run");
        equal(last.eip, limit == 9 ? 10 : at[done], "  EIP");
    }
}

/* Code that is changed: by itself, the next instruction; through a segment with a base; by a string instruction.
 */
static void changes(void)
{
    unsigned i;

    for (i = 1; i < 5; i++) {
        flat(3);
        in.eax = i;
        /* mov [CODE + 8], al; add ebx, 0x7f -> imm */
        RUN(0xa2, LE32(CODE + 7), 0x83, 0xc3, 0x7f);
        equal(last.ebx, i, "code that changes its next instruction");
    }
    for (i = 1; i < 5; i++) {
        gdt[DSEG / 8] = descriptor(CODE - 0x100, 0xffff, 0xf2, 4);
        flat(3);
        in.es = DSEG | 3;
        in.eax = i;
        RUN(0x26, 0xa2, LE32(0x100 + 9), 0x90, 0x83, 0xc3, 0x7f);
        equal(last.ebx, i, "through a segment with a base");
    }
    for (i = 1; i < 4; i++) {
        flat(3);
        memset((void *)DATA, i & 1 ? 0x43 : 0x47, 8); /* inc ebx or inc edi */
        in.esi = DATA;
        in.edi = CODE + 7;
        in.ecx = 8;
        RUN(0xf3, 0xa4, 0xb8, LE32(0), 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
        equal(i & 1 ? last.ebx : last.edi - (CODE + 15), 8, "by REP MOVSB");
    }
}

static void changing_loops(void)
{
    /* a loop that rewrites the immediate it adds: 0 + 1 + 2 + ... */
    flat(3);
    in.ecx = 10;
    RUN(0x81, 0xc3, LE32(0), 0xff, 0x05, LE32(CODE + 2), 0x49, 0x75, 0xf1);
    equal(last.ebx, 45, "a loop that changes itself");
    /* the same in 16-bit code with a base */
    gdt[CSEG / 8] = descriptor(CODE, 0xffff, 0xfa, 0);
    gdt[DSEG / 8] = descriptor(CODE, 0xffff, 0xf2, 0);
    flat(3);
    in.cs = CSEG | 3;
    in.ds = DSEG | 3;
    in.eip = 0;
    in.ecx = 10;
    RUN(0x81, 0xc3, LE16(0), 0xff, 0x06, LE16(2), 0x49, 0x75, 0xf5);
    equal(last.ebx & 0xffff, 45, "a 16-bit loop that changes itself");
    /* real mode: 2000:0 and 1fff:10 are the same */
    in = (struct state){.ecx = 10};
    REAL(0xb8, LE16(0x1fff), 0x8e, 0xd8, 0x81, 0xc3, LE16(0), 0xff, 0x06, LE16(0x17), 0x49, 0x75, 0xf5);
    equal(last.ebx & 0xffff, 45, "real mode, by another segment");
}

/* A block that loads a segment register goes on with it, whether or not it was flat before. */
static void loads_within(void)
{
    unsigned i;

    gdt[DSEG / 8] = descriptor(DATA, 0xfff, 0xf2, 4);
    gdt[ESEG / 8] = descriptor(DATA + 0x1000, 0xfff, 0xf2, 4);
    w32(DATA + 0x10, 0xd0d0d0d0);
    w32(DATA + 0x1010, 0xe0e0e0e0);
    for (i = 0; i < 4; i++) {
        flat(3);
        in.eax = i & 1 ? ESEG | 3 : DSEG | 3;
        in.ecx = UDS;
        in.esi = DATA + 0x1010;
        /* mov ds, ax; mov ebx, [10]; mov ds, cx; mov edx, [esi] */
        RUN(0x8e, 0xd8, 0x8b, 0x1d, LE32(0x10), 0x8e, 0xd9, 0x8b, 0x16);
        ended(BP, DONT_CARE, "segment loads within a block");
        equal(last.ebx, i & 1 ? 0xe0e0e0e0 : 0xd0d0d0d0, "  the base counts at once");
        equal(last.edx, 0xe0e0e0e0, "  and the flat one again");
    }
    flat(3);
    in.eax = DSEG | 3;
    RUN(0x8e, 0xd8, 0x8b, 0x1d, LE32(0xffe));
    ended(GP, 0, "  and so does the limit");
    /* SS: from 32 to 16 bits and back */
    gdt[SSEG / 8] = descriptor(DATA, 0xffff, 0xf2, 0);
    flat(3);
    in.eax = SSEG | 3;
    in.ecx = UDS;
    in.esi = OUTER;
    in.edi = 0x12340100;
    in.edx = 0x77777777;
    /* mov ss, ax; mov esp, edi; push edx; mov ebx, esp; mov ss, cx; mov esp, esi; push edx */
    RUN(0x8e, 0xd0, 0x89, 0xfc, 0x52, 0x89, 0xe3, 0x8e, 0xd1, 0x89, 0xf4, 0x52);
    ended(BP, DONT_CARE, "a stack that becomes a 16-bit one and back");
    equal(last.ebx, 0x123400fc, "  only SP moves");
    equal(r32(DATA + 0xfc), 0x77777777, "  within its segment");
    equal(last.esp, OUTER - 4, "  and then ESP");
}

/* A long row of stores across a page end, met by code that begins at different places in front of it, and so ends
   at different places in it. */
static void from_two_places(void)
{
    enum { FRONT = 40, STORES = 60, AT = DATA + 0xfd8 };
    u8 code[FRONT + STORES * 6 + 1];
    unsigned i, turn, wrong = 0;

    memset(code, 0x41, FRONT); /* inc ecx */
    for (i = 0; i < STORES; i++) {
        u8 store[] = {0x89, 0x83, LE32(i * 4)}; /* mov [ebx + disp32], eax */

        memcpy(code + FRONT + i * 6, store, sizeof store);
    }
    for (turn = 0; turn < 8; turn++) {
        unsigned front = turn % 2 ? 0 : 20;

        memset((void *)AT, 0, STORES * 4);
        flat(3);
        in.eip = CODE + front;
        in.eax = 0x1000 + turn;
        in.ebx = AT;
        in.ecx = 0;
        if (turn < 4)
            run_bytes(code, sizeof code - 1);
        else
            run();
        wrong += last.vector != BP || last.ecx != FRONT - front;
        for (i = 0; i < STORES; i++)
            wrong += r32(AT + i * 4) != 0x1000 + turn;
    }
    equal(wrong, 0, "a row of stores entered from two places");
}

void test_main(void)
{
    bases();
    sizes();
    code_limit();
    changes();
    changing_loops();
    loads_within();
    from_two_places();
}
