/*
 * state.c - random start states: general registers, flags, x87, vectors; and images of the data area.
 *
 * Values are a mix of plain random bits and corners: 0, 1, -1, extremes of every width, infinities, NaNs,
 * denormals, and small numbers.
 */
#include "tests/insn/state.h"

#include <string.h>

static const uint64_t corner[] = {
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    31,
    32,
    63,
    64,
    0x7f,
    0x80,
    0x81,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0x8001,
    0xffff,
    0x10000,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xffffffff,
    0x100000000,
    0x7fffffffffffffff,
    0x8000000000000000,
    0x8000000000000001,
    0xffffffffffffffff,
    0xfffffffffffffffe,
    0xffffffff80000000,
    0xffffffffffffff80,
    0x5555555555555555,
    0xaaaaaaaaaaaaaaaa,
    0x0123456789abcdef,
    0x00ff00ff00ff00ff,
};

static const uint32_t corner_f32[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
    0xffffffff, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0x4f000000,
    0xcf000000, 0x5f000000, 0x4effffff, 0x40490fdb, 0x3effffff, 0x33800000, 0x4b000001,
};

static const uint64_t corner_f64[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0xffffffffffffffff, 0x0000000000000001,
    0x800fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0x3fe0000000000000, 0x41e0000000000000,
    0xc1e0000000000000, 0x43e0000000000000, 0x41dfffffffc00000, 0x400921fb54442d18, 0x3fdfffffffffffff,
    0x4330000000000001, 0x3810000000000000, 0x47f0000000000000,
};

#define PICK(r, table) ((table)[insn_below((r), sizeof(table) / sizeof *(table))])

uint64_t state_random_value(struct insn_random *r)
{
    uint64_t bits = insn_random(r);

    switch (bits & 7) {
    case 0:
    case 1:
        return PICK(r, corner);
    case 2:
        return bits >> 8 & 0xff;
    case 3:
        return (uint64_t)(int64_t)(int32_t)(bits >> 32);
    case 4:
        return PICK(r, corner) + (bits >> 60) - 8;
    default:
        return insn_random(r);
    }
}

static void fill(struct insn_random *r, uint8_t *to, unsigned size)
{
    unsigned kind = insn_below(r, 8), i;
    uint64_t value;

    for (i = 0; i < size; i += 8) {
        switch (kind) {
        case 0:
        case 1:
            value = (uint64_t)PICK(r, corner_f32) << 32 | PICK(r, corner_f32);
            break;
        case 2:
        case 3:
            value = PICK(r, corner_f64);
            break;
        case 4:
            value = state_random_value(r);
            break;
        case 5: /* reasonable numbers of both widths */
            value = insn_random(r);
            value = (value & 0x83ffffff83ffffff) | (value & 1 ? 0x3c0000003c000000 : 0x4000000040000000);
            break;
        case 6:
            value = (int64_t)insn_random(r) < 0 ? ~0ull : 0;
            break;
        default:
            value = insn_random(r);
        }
        memcpy(to + i, &value, 8);
    }
}

/* 80-bit: sign and exponent in the last two bytes. */
static void fill_x87(struct insn_random *r, uint8_t *st)
{
    static const uint16_t exponents[] = {0, 0, 1, 0x3fff, 0x3ffe, 0x4000, 0x401e, 0x403e, 0x7fff, 0x7ffe, 0x3fbf};
    uint64_t mantissa = insn_chance(r, 30) ? PICK(r, corner) : insn_random(r);
    uint16_t exponent = insn_chance(r, 60) ? PICK(r, exponents) : (uint16_t)(0x3fff - 70 + insn_below(r, 140));

    if (!insn_chance(r, 6)) /* else perhaps an unnormal */
        mantissa = exponent ? mantissa | 1ull << 63 : mantissa & ~(1ull << 63);
    if (insn_chance(r, 50))
        exponent |= 0x8000;
    memcpy(st, &mantissa, 8);
    memcpy(st + 8, &exponent, 2);
}

static void random_x87(struct insn_random *r, uint8_t *area)
{
    uint16_t cw = 0x37f, sw = (uint16_t)(insn_random(r) & 0x7f00);
    uint8_t tags = (uint8_t)insn_random(r);
    unsigned i;

    if (insn_chance(r, 50))
        cw = (uint16_t)((cw & ~0xf00) | (insn_random(r) & 0xf00));
    if (insn_chance(r, 12))
        cw = (uint16_t)((cw & ~0x3f) | (insn_random(r) & 0x3f));
    if (insn_chance(r, 20))
        sw |= (uint16_t)(insn_random(r) & 0x7f);
    if (sw & ~cw & 0x3f)
        sw |= 0x8080; /* ES and B */
    if (insn_chance(r, 25))
        tags = 0xff;
    if (insn_chance(r, 15))
        tags = 0;
    memcpy(area, &cw, 2);
    memcpy(area + 2, &sw, 2);
    area[4] = tags;
    for (i = 0; i < 8; i++)
        fill_x87(r, area + 32 + 16 * i);
}

static void random_mxcsr(struct insn_random *r, uint8_t *area)
{
    uint32_t mxcsr = 0x1f80;

    if (insn_chance(r, 50))
        mxcsr ^= (uint32_t)insn_random(r) & 0xe07f; /* rounding, FTZ, DAZ, flags */
    if (insn_chance(r, 6))
        mxcsr ^= (uint32_t)insn_random(r) & 0x1f80;
    memcpy(area + 24, &mxcsr, 4);
}

static void random_xsave(struct insn_random *r, uint8_t *area)
{
    uint64_t mask = insn_xstate_mask();
    unsigned i;

    memset(area, 0, insn_xsave_size());
    random_x87(r, area);
    random_mxcsr(r, area);
    for (i = 0; i < 16; i++)
        fill(r, area + 160 + 16 * i, 16);
    if (mask & 4)
        for (i = 0; i < 16; i++)
            fill(r, area + insn_xstate_offset(2) + 16 * i, 16);
    if (mask & 0x20)
        for (i = 0; i < 8; i++)
            fill(r, area + insn_xstate_offset(5) + 8 * i, 8);
    if (mask & 0x40)
        for (i = 0; i < 16; i++)
            fill(r, area + insn_xstate_offset(6) + 32 * i, 32);
    if (mask & 0x80)
        for (i = 0; i < 16; i++)
            fill(r, area + insn_xstate_offset(7) + 64 * i, 64);
    memcpy(area + 512, &mask, 8);
}

/* The stack lies in the data area; with a 16-bit stack the upper half of ESP means nothing. */
static uint64_t stack_offset(struct insn_random *r, const struct insn_state *s, uint64_t linear)
{
    uint64_t offset = (uint32_t)linear - insn_segment_base(s->seg[S_SS]);

    if (insn_segment_big(s->seg[S_SS]))
        return (uint32_t)offset;
    return (offset & 0xffff) | (insn_chance(r, 50) ? insn_random(r) & 0xffff0000 : 0);
}

static void narrow_registers(struct insn_random *r, struct insn_state *s)
{
    unsigned i;

    for (i = 0; i < 8; i++)
        s->gpr[i] = (uint32_t)s->gpr[i];
    for (; i < 16; i++)
        s->gpr[i] = 0;
    s->gpr[R_SP] = stack_offset(r, s, s->gpr[R_SP]);
    s->gpr[R_BP] = stack_offset(r, s, s->gpr[R_BP]);
}

/* Above 128 bits registers 8 and up are undefined outside of long mode: VZEROUPPER may clear them (rows.c). */
static void narrow_vectors(uint8_t *area)
{
    uint64_t mask = insn_xstate_mask();

    if (mask & 4)
        memset(area + insn_xstate_offset(2) + 8 * 16, 0, 8 * 16);
    if (mask & 0x40)
        memset(area + insn_xstate_offset(6) + 8 * 32, 0, 8 * 32);
}

/* s->seg has been chosen. */
void state_random(struct insn_random *r, enum insn_mode mode, struct insn_state *s)
{
    unsigned i;

    for (i = 0; i < 16; i++)
        s->gpr[i] = state_random_value(r);
    s->gpr[R_SP] = INSN_DATA + 0x2000 + 8 * insn_below(r, 128) + (insn_chance(r, 10) ? insn_below(r, 8) : 0);
    s->gpr[R_BP] = INSN_DATA + 0x2800 + 8 * insn_below(r, 128);
    if (mode != INSN_64)
        narrow_registers(r, s);
    s->rflags = 0x202 | (insn_random(r) & FL_ARITH);
    if (insn_chance(r, 12))
        s->rflags |= FL_DF;
    s->fs_base = 0x08000000 + (insn_random(r) & 0x3ffffff);
    s->gs_base = 0x04000000 + (insn_random(r) & 0x3ffffff);
    s->vector = INSN_NO_FAULT;
    random_xsave(r, s->xsave);
    if (mode != INSN_64)
        narrow_vectors(s->xsave);
}

void state_random_image(struct insn_random *r, uint8_t *image, unsigned size)
{
    unsigned i, run;

    for (i = 0; i < size; i += run) {
        run = 64;
        if (insn_chance(r, 6)) { /* equal bytes, for SCAS and CMPS */
            run = i + 512 <= size ? 512 : 64;
            memset(image + i, insn_chance(r, 50) ? 0 : (int)insn_below(r, 256), run);
        } else {
            fill(r, image + i, run);
            if (insn_chance(r, 20)) { /* 80-bit numbers at the starts of 16 */
                fill_x87(r, image + i);
                fill_x87(r, image + i + 16);
            }
        }
    }
}

void state_set_lane(struct insn_state *s, unsigned reg, unsigned lane, unsigned size, uint64_t value)
{
    static const uint8_t component_of[] = {1, 2, 6, 6};
    unsigned byte = lane * size, at;

    if (!(insn_xstate_mask() >> (reg >= 16 ? 7 : component_of[byte / 16]) & 1))
        return; /* the host has no such part; offset 0 would be that of the x87 control word */
    if (reg >= 16)
        at = insn_xstate_offset(7) + 64 * (reg - 16) + byte;
    else if (byte < 16)
        at = 160 + 16 * reg + byte;
    else if (byte < 32)
        at = insn_xstate_offset(2) + 16 * reg + byte - 16;
    else
        at = insn_xstate_offset(6) + 32 * reg + byte - 32;
    memcpy(s->xsave + at, &value, size);
}
