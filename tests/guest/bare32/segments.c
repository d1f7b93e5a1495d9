/*
 * segments.c - descriptors: what a load checks and which error code it gives, limits and directions of growth, the
 * accessed bit, far transfers to code segments, LAR, LSL, VERR and VERW.
 */
#include "rt.h"

#define A FREE

struct load_row {
    const char *name;
    unsigned cpl;
    u16 selector;
    u8 access; /* of the descriptor at A, or of A's place in the LDT */
    u8 opcode; /* the ModRM register of 8E: ES 0, SS 2, DS 3 */
    u8 vector;
    u32 error;
};

static const struct load_row loads[] = {
    {"DS: writable data", 0, A, 0x92, 3, BP, 0},
    {"DS: read-only data", 0, A, 0x90, 3, BP, 0},
    {"DS: readable code", 0, A, 0x9a, 3, BP, 0},
    {"DS: execute-only code", 0, A, 0x98, 3, GP, A},
    {"DS: a system descriptor", 0, A, 0x89, 3, GP, A},
    {"DS: absent", 0, A, 0x12, 3, NP, A},
    {"DS: absent and not readable is #GP", 0, A, 0x18, 3, GP, A},
    {"DS: null", 0, 0, 0x92, 3, BP, 0},
    {"DS: null with an RPL", 3, 3, 0x92, 3, BP, 0},
    {"DS: DPL 0 from CPL 3", 3, A | 3, 0x92, 3, GP, A},
    {"DS: DPL 0 from CPL 3 with RPL 0", 3, A, 0x92, 3, GP, A},
    {"DS: RPL 3 above DPL 0", 0, A | 3, 0x92, 3, GP, A},
    {"DS: conforming code of DPL 0 from CPL 3", 3, A | 3, 0x9e, 3, BP, 0},
    {"DS: non-conforming readable code of DPL 0 from CPL 3", 3, A | 3, 0x9a, 3, GP, A},
    {"DS: behind the end of the GDT", 0, 0x100, 0x92, 3, GP, 0x100},
    {"DS: of the LDT", 0, 4, 0x92, 3, BP, 0},
    {"DS: behind the end of the LDT", 0, 0x84, 0x92, 3, GP, 0x84},
    {"SS: writable data", 0, A, 0x92, 2, BP, 0},
    {"SS: null", 0, 0, 0x92, 2, GP, 0},
    {"SS: read-only data", 0, A, 0x90, 2, GP, A},
    {"SS: code", 0, A, 0x9a, 2, GP, A},
    {"SS: RPL is not CPL", 0, A | 1, 0x92, 2, GP, A},
    {"SS: DPL is not CPL", 0, A, 0xf2, 2, GP, A},
    {"SS: absent", 0, A, 0x12, 2, SS, A},
    {"SS: DPL 3 at CPL 3", 3, A | 3, 0xf2, 2, BP, 0},
    {"CS cannot be loaded by MOV", 0, A, 0x9a, 1, UD, 0},
};

static void check_loads(void)
{
    unsigned i;

    __asm__ volatile("lldt %w0" : : "r"(KLDT));
    for (i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        const struct load_row *r = &loads[i];

        gdt[A / 8] = ldt[0] = descriptor(0, 0xfffff, r->access, 12);
        flat(r->cpl);
        in.eax = r->selector;
        RUN(0x8e, (u8)(0xc0 | r->opcode << 3));
        ended(r->vector, r->error, r->name);
        if (r->vector == BP && r->selector & 0xfffc)
            ok((r->selector & 4 ? ldt[0] : gdt[A / 8]) >> 40 & 1, "  marks the descriptor accessed");
        else if (r->vector != BP)
            ok(!(gdt[A / 8] >> 40 & 1) || r->access & 1, "  leaves the descriptor alone");
    }
    /* a null LDT */
    __asm__ volatile("lldt %w0" : : "r"(0));
    flat(0);
    in.eax = 4;
    RUN(0x8e, 0xd8);
    ended(GP, 4, "DS: no LDT is loaded");
}

struct access_row {
    const char *name;
    u32 base, limit;
    u8 access, flags; /* flags: G 8, B 4 */
    u32 offset;
    u8 code[3]; /* on [eax] through ES */
    u8 vector;
};

#define READ32                                                                                                    \
    {                                                                                                             \
        0x26, 0x8b, 0x18                                                                                          \
    }
#define WRITE32                                                                                                   \
    {                                                                                                             \
        0x26, 0x89, 0x18                                                                                          \
    }
#define READ8                                                                                                     \
    {                                                                                                             \
        0x26, 0x8a, 0x18                                                                                          \
    }

static const struct access_row accesses[] = {
    {"a dword ends at the limit", DATA, 0xfff, 0x92, 4, 0xffc, READ32, BP},
    {"a dword crosses the limit", DATA, 0xfff, 0x92, 4, 0xffd, READ32, GP},
    {"a byte at the limit", DATA, 0xfff, 0x92, 4, 0xfff, READ8, BP},
    {"a byte behind the limit", DATA, 0xfff, 0x92, 4, 0x1000, READ8, GP},
    {"granularity: the limit is 1fff", DATA, 1, 0x92, 12, 0x1ffc, READ32, BP},
    {"granularity: behind 1fff", DATA, 1, 0x92, 12, 0x1ffd, READ32, GP},
    {"a store to read-only data", DATA, 0xfff, 0x90, 4, 0, WRITE32, GP},
    {"a store to code", DATA, 0xfff, 0x9a, 4, 0, WRITE32, GP},
    {"a load from readable code", DATA, 0xfff, 0x9a, 4, 0, READ32, BP},
    {"expand-down: at the limit", DATA, 0xfff, 0x96, 4, 0xfff, READ8, GP},
    {"expand-down: above the limit", DATA, 0xfff, 0x96, 4, 0x1000, READ32, BP},
    {"expand-down: across the limit", DATA, 0xfff, 0x96, 4, 0xffe, READ32, GP},
    {"expand-down, B clear: ffff is the last byte", DATA - 0x8000, 0xfff, 0x96, 0, 0xfffc, READ32, BP},
    {"expand-down, B clear: behind ffff", DATA, 0xfff, 0x96, 0, 0xfffd, READ32, GP},
    {"expand-down with limit ffff and B set", DATA, 0xffff, 0x96, 4, 0x10000, READ32, BP},
    {"the base wraps at 4 GiB", DATA + 0x1000, 0xfffff, 0x92, 12, 0xfffff000, READ32, BP},
};

static void check_accesses(void)
{
    unsigned i;

    for (i = 0; i < sizeof accesses / sizeof accesses[0]; i++) {
        const struct access_row *r = &accesses[i];
        u8 code[] = {0x8e, 0xc1, r->code[0], r->code[1], r->code[2]};

        gdt[A / 8] = descriptor(r->base, r->limit, r->access, r->flags);
        w32(r->base + r->offset, 0x600dc0de);
        flat(0);
        in.eax = r->offset;
        in.ecx = A;
        run_bytes(code, sizeof code);
        ended(r->vector, 0, r->name);
        if (r->vector == BP)
            equal(last.ebx & (r->code[1] == 0x8a ? 0xff : ~0u), r->code[1] == 0x8a ? 0xde : 0x600dc0de,
                  "  reads what is there");
        else
            equal(last.eip, CODE + 2, "  at the instruction");
    }
    /* the same through SS is #SS(0) */
    gdt[A / 8] = descriptor(DATA, 0xfff, 0xf2, 4);
    flat(3);
    in.ss = A | 3;
    in.esp = 0xf00;
    in.ebp = 0x1000;
    RUN(0x90, 0x8a, 0x4d, 0x00);
    ended(SS, 0, "a byte behind the limit of SS");
    equal(last.eip, CODE + 1, "  at the instruction");
}

/* Null and never loaded: no access. */
static void check_null(void)
{
    flat(3);
    RUN(0x31, 0xc0, 0x8e, 0xd8, 0x8b, 0x00); /* DS null; mov eax, [eax] */
    ended(GP, 0, "an access through a null DS");
    flat(3);
    in.ebx = DATA;
    RUN(0x31, 0xc0, 0x8e, 0xd8, 0x2e, 0x8b, 0x03); /* cs: */
    ended(BP, DONT_CARE, "CS is readable all the same");
    flat(3);
    RUN(0x68, LE32(0x2b), 0x1f, 0xbb, LE32(DATA), 0x8b, 0x03); /* 2b is the TSS with RPL 3 */
    ended(GP, KTSS, "POP DS of a TSS");
    equal(last.esp, OUTER - 4, "  leaves ESP behind the PUSH");
}

/* A stack with B clear uses SP only. */
static void check_stack_size(void)
{
    gdt[A / 8] = descriptor(DATA, 0xffff, 0xf2, 0);
    flat(3);
    in.ss = A | 3;
    in.esp = 0x12340000;
    in.eax = 0x55667788;
    RUN(0x50);
    ended(BP, DONT_CARE, "PUSH on a 16-bit stack");
    equal(last.esp & 0xffff, 0xfffc, "  wraps SP at 64 KiB");
    equal(r32(DATA + 0xfffc), 0x55667788, "  and stores there");
    flat(3);
    in.ss = A | 3;
    in.esp = 2;
    RUN(0x50);
    ended(SS, 0, "a PUSH across the end of the segment");
    gdt[A / 8] = descriptor(DATA, 0xfff, 0xf6, 0); /* expand-down, 16-bit */
    flat(3);
    in.ss = A | 3;
    in.esp = 0x1004;
    RUN(0x50, 0x50);
    ended(SS, 0, "expand-down stack: the PUSH that reaches the limit");
    equal(last.eip, CODE + 1, "  is the second");
}

struct jump_row {
    const char *name;
    unsigned cpl;
    u16 selector;
    u8 access, flags;
    u32 limit;
    u8 vector;
    u32 error;
    u16 cs; /* afterwards */
};

static const struct jump_row jumps[] = {
    {"JMP far: the same level", 0, A, 0x9a, 12, 0xfffff, BP, 0, A},
    {"JMP far: RPL below CPL is no matter", 3, A, 0xfa, 12, 0xfffff, BP, 0, A | 3},
    {"JMP far: RPL above CPL", 0, A | 3, 0x9a, 12, 0xfffff, GP, A, 0},
    {"JMP far: to an inner level", 3, A | 3, 0x9a, 12, 0xfffff, GP, A, 0},
    {"JMP far: to an outer level", 0, A, 0xfa, 12, 0xfffff, GP, A, 0},
    {"JMP far: conforming, inner", 3, A | 3, 0x9e, 12, 0xfffff, BP, 0, A | 3},
    {"JMP far: conforming, outer", 0, A, 0xfe, 12, 0xfffff, GP, A, 0},
    {"JMP far: data", 0, A, 0x92, 12, 0xfffff, GP, A, 0},
    {"JMP far: absent", 0, A, 0x1a, 12, 0xfffff, NP, A, 0},
    {"JMP far: null", 0, 0, 0x9a, 12, 0xfffff, GP, 0, 0},
    {"JMP far: behind the GDT", 0, 0x200, 0x9a, 12, 0xfffff, GP, 0x200, 0},
    {"JMP far: behind the limit", 0, A, 0x9a, 4, 0xfff, GP, 0, 0},
    {"JMP far: an LDT", 0, A, 0x82, 0, 0xfff, GP, A, 0},
    {"JMP far: an interrupt gate", 0, A, 0x8e, 0, 0xfff, GP, A, 0},
};

static void check_jumps(void)
{
    unsigned i;

    for (i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        const struct jump_row *r = &jumps[i];

        gdt[A / 8] = descriptor(0, r->limit, r->access, r->flags);
        flat(r->cpl);
        RUN(0x90, 0xea, LE32(CODE + 8), LE16(r->selector));
        ended(r->vector, r->error, r->name);
        if (r->vector == BP)
            equal(last.cs, r->cs, "  CS has the CPL as its RPL");
        else
            equal(last.eip, CODE + 1, "  at the instruction");
    }
    /* RETF outwards; then the data segments of the inner level are null */
    flat(0);
    in.fs = UDS;
    in.es = KDS;
    RUN(0x68, LE32(UDS), 0x68, LE32(OUTER), 0x68, LE32(UCS), 0x68, LE32(CODE + 21), 0xcb);
    ended(BP, DONT_CARE, "RETF to an outer level");
    equal(last.cs, UCS, "  CS");
    equal(last.ss, UDS, "  SS");
    equal(last.esp, OUTER, "  ESP");
    equal(last.es, 0, "  ES of the inner level is null now");
    equal(last.fs, UDS, "  FS of the outer level stays");
    flat(3);
    RUN(0x6a, KCS, 0x68, LE32(CODE), 0xcb);
    ended(GP, KCS, "RETF to an inner level");
    equal(last.esp, OUTER - 8, "  pops nothing");
    flat(0);
    RUN(0x6a, KDS, 0x68, LE32(OUTER), 0x68, LE32(UCS), 0x68, LE32(CODE + 17), 0xcb);
    ended(GP, KDS, "RETF to an outer level with an inner SS");
}

struct ask_row {
    const char *name;
    unsigned cpl;
    u16 selector;
    u8 access;
    bool lar, lsl, verr, verw;
};

static const struct ask_row asks[] = {
    {"null", 0, 0, 0x92, false, false, false, false},
    {"data", 0, A, 0x92, true, true, true, true},
    {"read-only data", 0, A, 0x90, true, true, true, false},
    {"code", 0, A, 0x9a, true, true, true, false},
    {"execute-only code", 0, A, 0x98, true, true, false, false},
    {"absent data", 0, A, 0x12, true, true, true, true},
    {"DPL 0 from CPL 3", 3, A | 3, 0x92, false, false, false, false},
    {"RPL 3 at CPL 0", 0, A | 3, 0x92, false, false, false, false},
    {"conforming code from CPL 3", 3, A | 3, 0x9e, true, true, true, false},
    {"TSS", 0, A, 0x89, true, true, false, false},
    {"busy TSS", 0, A, 0x8b, true, true, false, false},
    {"16-bit TSS", 0, A, 0x81, true, true, false, false},
    {"LDT", 0, A, 0x82, true, true, false, false},
    {"call gate", 0, A, 0x8c, true, false, false, false},
    {"16-bit call gate", 0, A, 0x84, true, false, false, false},
    {"task gate", 0, A, 0x85, true, false, false, false},
    {"interrupt gate", 0, A, 0x8e, false, false, false, false},
    {"trap gate", 0, A, 0x8f, false, false, false, false},
    {"reserved type", 0, A, 0x80, false, false, false, false},
    {"behind the GDT", 0, 0x300, 0x92, false, false, false, false},
};

static void check_asks(void)
{
    unsigned i;

    for (i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        const struct ask_row *r = &asks[i];
        u32 zf;

        gdt[A / 8] = descriptor(0x1000, 0x12, r->access, 8);
        flat(r->cpl);
        in.eax = r->selector;
        in.ebx = in.ecx = 0x77777777;
        /* lar ebx, eax; setz dl; lsl ecx, eax; setz dh; verr ax; setz al... ZFs in EDX and ESI */
        RUN(0x0f, 0x02, 0xd8, 0x0f, 0x94, 0xc2, 0x0f, 0x03, 0xc8, 0x0f, 0x94, 0xc6, 0x0f, 0x00, 0xe0, 0x9c, 0x5e,
            0x0f, 0x00, 0xe8, 0x9c, 0x5f);
        zf = (last.edx & 1) | (last.edx >> 7 & 2) | (last.esi >> 4 & 4) | (last.edi >> 3 & 8);
        equal(zf, r->lar | r->lsl << 1 | r->verr << 2 | r->verw << 3, r->name);
        equal(last.ebx & 0xf0ff00, r->lar ? 0x800000u | (u32)r->access << 8 : 0x777700 & 0xf0ff00, "  LAR");
        equal(last.ecx, r->lsl ? 0x12fff : 0x77777777, "  LSL");
    }
}

static void check_tables(void)
{
    /* SGDT with a 16-bit operand stores all of the base; LGDT with one loads 24 bits of it */
    flat(0);
    in.edi = DATA;
    RUN(0x66, 0x0f, 0x01, 0x07);
    equal(r16(DATA), 0xff, "SGDT: limit");
    equal(r32(DATA + 2), (u32)gdt, "SGDT: base, whatever the operand size");
    w16(DATA + 8, 0x7ff);
    w32(DATA + 10, (u32)idt | 0xff000000);
    flat(0);
    in.edi = DATA;
    RUN(0x66, 0x0f, 0x01, 0x5f, 0x08, 0x0f, 0x01, 0x4f, 0x10); /* lidt [edi + 8]; sidt [edi + 16] */
    ended(BP, DONT_CARE, "LIDT with a 16-bit operand");
    equal(r32(DATA + 18), (u32)idt, "  loads 24 bits of the base");
    flat(3);
    in.edi = DATA;
    RUN(0x0f, 0x01, 0x17);
    ended(GP, 0, "LGDT at CPL 3");
    flat(0);
    in.eax = A;
    gdt[A / 8] = descriptor(0, 0xff, 0x02, 0);
    RUN(0x0f, 0x00, 0xd0);
    ended(NP, A, "LLDT of an absent LDT");
    flat(0);
    in.eax = 4;
    RUN(0x0f, 0x00, 0xd0);
    ended(GP, 4, "LLDT of a selector in the LDT");
    flat(0);
    in.eax = KTSS;
    RUN(0x0f, 0x00, 0xd8);
    ended(GP, KTSS, "LTR of a busy TSS");
    flat(0);
    in.eax = A;
    gdt[A / 8] = descriptor(0, 0x67, 0x09, 0);
    RUN(0x0f, 0x00, 0xd8);
    ended(NP, A, "LTR of an absent TSS");
}

/* mov fs, ecx; mov ebx, fs:[eax] */
static u32 through_fs(u16 selector, u32 offset)
{
    flat(0);
    in.ecx = selector;
    in.eax = offset;
    RUN(0x8e, 0xe1, 0x64, 0x8b, 0x18);
    return last.ebx;
}

static void load_gdtr(u64 *table)
{
    struct {
        u16 limit;
        u64 *base;
    } __attribute__((packed)) gdtr = {0xff, table};

    __asm__ volatile("lgdt %0" : : "m"(gdtr));
}

/* A selector that was loaded before gives what its descriptor is now. */
static void check_reload(void)
{
    static u64 other[32];
    unsigned i;

    w32(DATA, 0x11111111);
    w32(DATA + 0x100, 0x22222222);
    for (i = 0; i < 3; i++) {
        gdt[A / 8] = descriptor(DATA, 0xfff, 0x93, 4);
        equal(through_fs(A, 0), 0x11111111, "FS is loaded");
        equal(through_fs(A, 0), 0x11111111, "FS is loaded once more");
        gdt[A / 8] = descriptor(DATA + 0x100, 0xfff, 0x93, 4);
        equal(through_fs(A, 0), 0x22222222, "FS: its descriptor has another base");
        gdt[A / 8] = descriptor(DATA, 2, 0x93, 4);
        through_fs(A, 0);
        ended(GP, 0, "FS: its descriptor has another limit");
        gdt[A / 8] = descriptor(DATA, 0xfff, 0x13, 4);
        through_fs(A, 0);
        ended(NP, A, "FS: its descriptor is absent now");
        gdt[A / 8] = descriptor(DATA, 0xfff, 0x93, 4);
        through_fs(A, 0);
        through_fs(0, 0);
        ended(GP, 0, "FS is null");
        memcpy(other, gdt, sizeof other);
        other[A / 8] = descriptor(DATA + 0x100, 0xfff, 0x93, 4);
        load_gdtr(other);
        equal(through_fs(A, 0), 0x22222222, "FS from another table");
        load_gdtr(gdt);
        equal(through_fs(A, 0), 0x11111111, "FS from the first table");
    }
}

void test_main(void)
{
    set_idt(DF, 0x8e);
    check_loads();
    check_accesses();
    check_null();
    check_reload();
    check_stack_size();
    check_jumps();
    check_asks();
    check_tables();
}
