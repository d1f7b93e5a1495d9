/*
 * emit.c - the longer parts of the host code emitter.
 *
 * Interface: emit.h. Invariant: nothing is written past `end`.
 */
#include "translator/emit.h"

static void emit_any_address(struct emitter *e, int reg, int base, int index, unsigned scale, int32_t disp,
                             bool short_disp)
{
    unsigned r = (unsigned)(reg & 7) << 3;
    unsigned shift = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
    unsigned mod;

    if (base == H_NONE) {
        emit8(e, r | 4);
        emit8(e, shift << 6 | (index == H_NONE ? 4u : (unsigned)(index & 7)) << 3 | 5);
        emit32(e, (uint32_t)disp);
        return;
    }
    mod = disp == 0 && (base & 7) != 5 ? 0 : short_disp && disp == (int8_t)disp ? 1 : 2;
    if (index == H_NONE && (base & 7) != 4) {
        emit8(e, mod << 6 | r | (unsigned)(base & 7));
    } else {
        emit8(e, mod << 6 | r | 4);
        emit8(e, shift << 6 | (index == H_NONE ? 4u : (unsigned)(index & 7)) << 3 | (unsigned)(base & 7));
    }
    if (mod == 1)
        emit8(e, (uint8_t)disp);
    else if (mod == 2)
        emit32(e, (uint32_t)disp);
}

void emit_address(struct emitter *e, int reg, int base, int index, unsigned scale, int32_t disp)
{
    emit_any_address(e, reg, base, index, scale, disp, true);
}

void emit_address_long(struct emitter *e, int reg, int base, int index, unsigned scale, int32_t disp)
{
    emit_any_address(e, reg, base, index, scale, disp, false);
}

void emit_mov_imm(struct emitter *e, int reg, uint64_t value)
{
    if (value <= 0xffffffff) {
        emit_rex(e, false, 0, 0, reg);
        emit8(e, 0xb8u | (unsigned)(reg & 7));
        emit32(e, (uint32_t)value);
    } else if ((int64_t)value == (int32_t)value) {
        emit_rex(e, true, 0, 0, reg);
        emit8(e, 0xc7);
        emit8(e, 0xc0u | (unsigned)(reg & 7));
        emit32(e, (uint32_t)value);
    } else {
        emit_rex(e, true, 0, 0, reg);
        emit8(e, 0xb8u | (unsigned)(reg & 7));
        emit64(e, value);
    }
}

void emit_op_imm(struct emitter *e, bool wide, unsigned extension, int reg, int32_t value)
{
    emit_rex(e, wide, 0, 0, reg);
    emit8(e, value == (int8_t)value ? 0x83 : 0x81);
    emit8(e, 0xc0u | extension << 3 | (unsigned)(reg & 7));
    if (value == (int8_t)value)
        emit8(e, (uint8_t)value);
    else
        emit32(e, (uint32_t)value);
}

void emit_shift(struct emitter *e, bool wide, unsigned extension, int reg, unsigned count)
{
    emit_rex(e, wide, 0, 0, reg);
    emit8(e, 0xc1);
    emit8(e, 0xc0u | extension << 3 | (unsigned)(reg & 7));
    emit8(e, count);
}

/* Behind a displacement. */
static void note_site(struct emitter *e)
{
    struct emit_sites *s = e->sites;

    if (!s)
        return;
    if (s->count < EMIT_SITES)
        s->at[s->count] = e->at - 4;
    s->count++;
}

static void emit_rel32(struct emitter *e, const uint8_t *target)
{
    emit32(e, (uint32_t)(target - (emit_here(e) + 4)));
    note_site(e);
}

void emit_jmp(struct emitter *e, const uint8_t *target)
{
    emit8(e, 0xe9);
    emit_rel32(e, target);
}

void emit_call(struct emitter *e, const uint8_t *target)
{
    emit8(e, 0xe8);
    emit_rel32(e, target);
}

void emit_jcc(struct emitter *e, unsigned cc, const uint8_t *target)
{
    emit8(e, 0x0f);
    emit8(e, 0x80u | cc);
    emit_rel32(e, target);
}

uint8_t *emit_jcc_forward(struct emitter *e, unsigned cc)
{
    emit8(e, 0x0f);
    emit8(e, 0x80u | cc);
    emit32(e, 0);
    note_site(e);
    return e->at - 4;
}

uint8_t *emit_jmp_forward(struct emitter *e)
{
    emit8(e, 0xe9);
    emit32(e, 0);
    note_site(e);
    return e->at - 4;
}

void emit_bind(struct emitter *e, uint8_t *displacement)
{
    int32_t distance;

    if (!displacement || e->failed)
        return;
    distance = (int32_t)(e->at - (displacement + 4));
    memcpy(displacement, &distance, 4);
}

void emit_bind_to(struct emitter *e, uint8_t *displacement, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - (displacement + e->execute_delta + 4));

    memcpy(displacement, &distance, 4);
}

/* SDM vol. 2, NOP: table 4-12. */
void emit_nops(struct emitter *e, unsigned bytes)
{
    static const uint8_t nop[9][9] = {{0x90},
                                      {0x66, 0x90},
                                      {0x0f, 0x1f, 0x00},
                                      {0x0f, 0x1f, 0x40, 0},
                                      {0x0f, 0x1f, 0x44, 0, 0},
                                      {0x66, 0x0f, 0x1f, 0x44, 0, 0},
                                      {0x0f, 0x1f, 0x80, 0, 0, 0, 0},
                                      {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
                                      {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}};

    while (bytes) {
        unsigned n = bytes < sizeof nop[0] ? bytes : sizeof nop[0];

        emit_bytes(e, nop[n - 1], n);
        bytes -= n;
    }
}
