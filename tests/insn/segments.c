/*
 * segments.c - the LDT of 16- and 32-bit cases, and which segments a case starts with.
 *
 * Interface: insn.h. The host's LDT (native.c) and the guest's (engine.c) are made from the table here. Most
 * segments reach a part of the data area; each has something of its own that can go wrong: a limit, the direction
 * of growth, missing rights, a wrap at 64 KiB or 4 GiB.
 */
#include "tests/insn/insn.h"

#include <stddef.h>

enum {
    FAR_BASE,
    WINDOW16,
    SMALL32,
    DOWN32,
    DOWN16,
    READ_ONLY,
    STACK16,
    WRAP,
    EDGE_OPEN,
    EDGE_CLOSED,
    CODE16,
    CODE16_LONG,
    CODE32,
    CODE32_BLIND,
    ABSENT,
    ABSENT_CODE,
    CODE_DATA,
    /* what a virtual-8086 segment is: 64 KiB, at a multiple of 16 */
    REAL_DATA,
    REAL_EDGE = REAL_DATA + 4, /* offset 0xffff lies in the data area */
    REAL_CODE,
    REAL_END = REAL_CODE + 2
};

#define D INSN_DATA_HIGH
#define C INSN_CODE_HIGH

static const struct insn_segment table[] = {
    [FAR_BASE] = {.base = D - 0x08001234, .limit = 0xfffff, .big = true, .pages = true},
    [WINDOW16] = {.base = D - 0x3210, .limit = 0xffff},
    [SMALL32] = {.base = D - 0x400, .limit = 0x2fff, .big = true},
    [DOWN32] = {.base = D - 0x1000, .limit = 0x1bff, .big = true, .expand_down = true},
    [DOWN16] = {.base = D - 0x8000, .limit = 0x93ff, .expand_down = true},
    [READ_ONLY] = {.base = D - 0x1000, .limit = 0x7fff, .big = true, .exec_only_or_read_only = true},
    [STACK16] = {.base = D - 0x5678, .limit = 0xffff},
    /* the lower half of the data area lies at offsets just below 4 GiB */
    [WRAP] = {.base = D + 0x2000, .limit = 0xfffff, .big = true, .pages = true},
    /* offset 0xffff lies in the middle; behind it the segment goes on, or not */
    [EDGE_OPEN] = {.base = D + 0x2000 - 0x10000, .limit = 0x1ffff},
    [EDGE_CLOSED] = {.base = D + 0x2000 - 0x10000, .limit = 0xffff},
    [CODE16] = {.base = C, .limit = 0xffff, .code = true},
    [CODE16_LONG] = {.base = C, .limit = 0x1ff, .code = true, .pages = true},
    [CODE32] = {.base = C, .limit = 0x1ff, .code = true, .big = true, .pages = true},
    [CODE32_BLIND] = {.limit = 0xfffff, .code = true, .big = true, .pages = true, .exec_only_or_read_only = true},
    [ABSENT] = {.base = D, .limit = 0xffff, .absent = true},
    [ABSENT_CODE] = {.limit = 0xfffff, .code = true, .big = true, .pages = true, .absent = true},
    [CODE_DATA] = {.base = D - 0x2000, .limit = 0x7fff, .code = true},
    [REAL_DATA] = {.base = INSN_DATA_LOW - 0x8000, .limit = 0xffff},
    [REAL_DATA + 1] = {.base = INSN_DATA_LOW - 0x10, .limit = 0xffff},
    [REAL_DATA + 2] = {.base = INSN_DATA_LOW, .limit = 0xffff},
    [REAL_DATA + 3] = {.base = INSN_DATA_LOW - 0x6660, .limit = 0xffff},
    [REAL_EDGE] = {.base = INSN_DATA_LOW + 0x1000 - 0x10000, .limit = 0xffff},
    [REAL_CODE] = {.base = INSN_CODE_LOW, .limit = 0xffff, .code = true},
    [REAL_CODE + 1] = {.base = INSN_CODE_LOW - 0x10, .limit = 0xffff, .code = true},
};

#define LDT(index) ((uint16_t)((index) << 3 | 7))
#define FLAT_CODE 0x23u
#define FLAT_DATA 0x2bu
#define PICK(r, list) ((list)[insn_below((r), sizeof(list) / sizeof *(list))])

const struct insn_segment *insn_ldt_entry(unsigned index)
{
    return index < sizeof table / sizeof *table ? &table[index] : NULL;
}

static const struct insn_segment *entry_of(uint16_t selector)
{
    return selector & 4 ? insn_ldt_entry(selector >> 3) : NULL;
}

uint32_t insn_segment_base(uint16_t selector)
{
    const struct insn_segment *s = entry_of(selector);

    return s ? s->base : 0;
}

bool insn_segment_big(uint16_t selector)
{
    const struct insn_segment *s = entry_of(selector);

    return s ? s->big : true;
}

static uint16_t data_pick(struct insn_random *r, bool wide, bool plain)
{
    static const uint16_t plain32[] = {FLAT_DATA, FLAT_DATA, LDT(FAR_BASE), LDT(WRAP), LDT(WINDOW16)},
                          plain16[] = {LDT(WINDOW16), LDT(STACK16), LDT(WINDOW16), LDT(EDGE_OPEN), LDT(CODE_DATA)},
                          any[] = {LDT(FAR_BASE),
                                   LDT(WINDOW16),
                                   LDT(SMALL32),
                                   LDT(DOWN32),
                                   LDT(DOWN16),
                                   LDT(READ_ONLY),
                                   LDT(EDGE_OPEN),
                                   LDT(EDGE_CLOSED),
                                   LDT(WRAP),
                                   LDT(CODE_DATA),
                                   FLAT_DATA,
                                   FLAT_CODE,
                                   0};

    if (!insn_chance(r, plain ? 90 : 60))
        return PICK(r, any);
    return wide ? PICK(r, plain32) : PICK(r, plain16);
}

static uint16_t stack_pick(struct insn_random *r, bool wide, bool plain)
{
    static const uint16_t any[] = {LDT(FAR_BASE), LDT(WINDOW16), LDT(SMALL32),   LDT(DOWN32),      LDT(DOWN16),
                                   LDT(STACK16),  LDT(WRAP),     LDT(EDGE_OPEN), LDT(EDGE_CLOSED), FLAT_DATA};

    if (!insn_chance(r, plain ? 85 : 65))
        return PICK(r, any);
    return wide ? FLAT_DATA : LDT(STACK16);
}

void insn_segments_pick(struct insn_random *r, enum insn_mode mode, bool plain, uint16_t seg[S_COUNT])
{
    static const uint16_t code32[] = {FLAT_CODE, FLAT_CODE, FLAT_CODE, LDT(CODE32), LDT(CODE32_BLIND)},
                          code16[] = {LDT(CODE16), LDT(CODE16), LDT(CODE16_LONG)};
    bool wide = mode == INSN_32;
    unsigned i;

    for (i = 0; i < S_COUNT; i++)
        seg[i] = 0;
    seg[S_SS] = FLAT_DATA;
    seg[S_CS] = 0x33;
    if (mode == INSN_64)
        return;
    seg[S_CS] = wide ? PICK(r, code32) : PICK(r, code16);
    seg[S_SS] = stack_pick(r, wide, plain);
    seg[S_DS] = data_pick(r, wide, plain);
    seg[S_ES] = data_pick(r, wide, plain);
    seg[S_FS] = data_pick(r, wide, plain);
    seg[S_GS] = data_pick(r, wide, plain);
    if (wide && insn_chance(r, 50)) /* as operating systems have it */
        seg[S_DS] = seg[S_ES] = seg[S_SS] = FLAT_DATA;
}

void insn_segments_pick_v86(struct insn_random *r, uint16_t seg[S_COUNT])
{
    unsigned i;

    for (i = 0; i < S_COUNT; i++)
        seg[i] = LDT(REAL_DATA + (insn_chance(r, 85) ? insn_below(r, 4) : REAL_EDGE - REAL_DATA));
    seg[S_CS] = LDT(REAL_CODE + insn_below(r, 2));
}

uint16_t insn_paragraph(uint16_t selector)
{
    return (uint16_t)(insn_segment_base(selector) >> 4);
}

uint16_t insn_selector_of_paragraph(uint16_t paragraph)
{
    unsigned i;

    for (i = REAL_DATA; i < REAL_END; i++)
        if (table[i].base >> 4 == paragraph)
            return LDT(i);
    return 0;
}

uint16_t insn_selector_pick(struct insn_random *r, bool code64)
{
    static const uint16_t flat[] = {FLAT_DATA, FLAT_CODE, 0, 1, 2, 3, 0x28, 0x29, 0x2a, 0x10, 0x18, 0x20, 0x33};

    if (insn_chance(r, 35))
        return flat[insn_below(r, sizeof flat / sizeof *flat - !code64)];
    return (uint16_t)(insn_below(r, REAL_END + 3) << 3 | 4 | (insn_chance(r, 80) ? 3 : insn_below(r, 4)));
}

uint16_t insn_code_selector_pick(struct insn_random *r, enum insn_mode *mode)
{
    static const uint16_t code[] = {FLAT_CODE, LDT(CODE32), LDT(CODE32_BLIND), LDT(CODE16), LDT(CODE16_LONG)};
    uint16_t selector = PICK(r, code);

    *mode = insn_segment_big(selector) ? INSN_32 : INSN_16;
    return selector;
}
