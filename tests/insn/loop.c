/*
 * loop.c - cases that are a loop over memory: a block that jumps back to its own start while its pointers move by
 * a constant, as compilers make them, with something on the way that ends it early.
 *
 * Interface: build.h. Pointers, counters and ends are pinned registers; what lies between is instructions of the
 * table whose memory operands lie near a pointer. A pointer starts so that it comes to the end of a page after
 * some iterations: a page end that operands cross, a page that is not writable, one that is not there. Other ends
 * are those of the instructions (a misaligned operand, say) and a divisor that counts down to zero. Invariant: a
 * pinned register counts the iterations, so that every loop ends.
 */
#include "tests/insn/build.h"

#include <string.h>

#define AREA_END (INSN_DATA + INSN_DATA_SIZE + INSN_DATA_CONST)
#define MAX_POINTERS 3u
#define MAX_ITERATIONS 60u
#define FEW 40u        /* iterations to the end of the page */
#define WAY 0x20000u   /* a pointer does not come farther */
#define START_ROOM 48u /* a start in the slot such that the longest loop has its place behind it */

enum { G_ADD = 0, G_SUB = 5, G_CMP = 7 };                                /* /n of 81 and 83 */
enum { CC_B = 2, CC_Z = 4, CC_NZ = 5, CC_BE = 6, CC_A = 7, CC_NL = 13 }; /* low nibble of Jcc */

struct loop {
    struct builder *b;
    unsigned pointer[MAX_POINTERS], pointers, counter, divisor, end;
    int32_t step[MAX_POINTERS];
    unsigned moved; /* mask of pointers that have moved in this iteration */
    bool divides;
    uint64_t top;
};

/* --- instructions on whole registers --- */

static void append_opcode(struct builder *b, uint8_t opcode, unsigned reg, unsigned rm, unsigned mod)
{
    uint8_t rex = (uint8_t)(0x48 | (reg >> 3) << 2 | rm >> 3),
            modrm = (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7));

    if (b->c->mode == INSN_64)
        build_append(b, &rex, 1);
    build_append(b, &opcode, 1);
    build_append(b, &modrm, 1);
    if (mod != 3 && (rm & 7) == R_SP)
        build_append(b, "\x24", 1);
}

static void append_immediate(struct builder *b, unsigned group, unsigned reg, int32_t value)
{
    bool small = value == (int8_t)value && insn_chance(b->r, 80);

    append_opcode(b, small ? 0x83 : 0x81, group, reg, 3);
    build_append(b, &value, small ? 1 : 4);
    b->c->undefined = 0;
}

static void append_lea(struct builder *b, unsigned reg, int32_t value)
{
    append_opcode(b, 0x8d, reg, reg, 2);
    build_append(b, &value, 4);
}

/* INC and DEC leave CF alone, which may be undefined. */
static bool append_one(struct builder *b, unsigned reg, int32_t value)
{
    if (b->c->undefined & 1 || (value != 1 && value != -1))
        return false;
    append_opcode(b, 0xff, value < 0, reg, 3);
    b->c->undefined = 0;
    return true;
}

static void append_advance(struct builder *b, unsigned reg, int32_t value)
{
    unsigned kind = insn_below(b->r, 4);

    if (kind == 0)
        append_lea(b, reg, value);
    else if (kind == 1)
        append_immediate(b, G_SUB, reg, -value);
    else if (kind == 2 || !append_one(b, reg, value))
        append_immediate(b, G_ADD, reg, value);
}

/* --- the loop --- */

static void move_pointer(struct loop *l, unsigned k)
{
    int32_t step = l->step[k], part = insn_chance(l->b->r, 15) ? (int32_t)insn_below(l->b->r, 40) : 0;

    if (l->moved >> k & 1)
        return;
    l->moved |= 1u << k;
    if (part)
        append_advance(l->b, l->pointer[k], part);
    if (step - part)
        append_advance(l->b, l->pointer[k], step - part);
}

/* MOV EDX, 0; DIV divisor; the divisor counts down, and its SUB defines the flags again. */
static void append_division(struct loop *l)
{
    struct builder *b = l->b;

    build_append(b, "\xba\0\0\0\0", 5);
    append_opcode(b, 0xf7, 6, l->divisor, 3);
    append_immediate(b, G_SUB, l->divisor, 1);
    b->known &= ~(1u << R_AX | 1u << R_DX);
}

static void append_body(struct loop *l)
{
    struct builder *b = l->b;
    const struct insn_form *form = NULL;
    bool memory = insn_chance(b->r, 70);
    unsigned tries = 0;

    if (l->divides && insn_chance(b->r, 50)) {
        append_division(l);
        l->divides = false;
        return;
    }
    do {
        if (tries % 20 == 0)
            form = insn_forms_pick(b->forms, b->r);
        if (memory && form && !form->memory)
            tries |= 15; /* another one */
    } while (form && tries++ < 4000 &&
             !build_step(b, form, (int)l->pointer[insn_below(b->r, l->pointers)], false));
}

/* What decides whether it goes on: the counter, or a pointer that comes to its end. */
static unsigned append_compare(struct loop *l, unsigned iterations)
{
    static const uint8_t up[] = {CC_NZ, CC_B}, down[] = {CC_NZ, CC_A};
    struct builder *b = l->b;
    unsigned kind = insn_below(b->r, 4), first = l->pointer[0];
    int32_t step = l->step[0];
    bool wide = b->c->mode == INSN_64;

    if (kind == 0 && step && first != R_SP) {
        b->c->in.gpr[l->end] = b->c->in.gpr[first] + (uint64_t)((int64_t)step * iterations);
        if (!wide)
            b->c->in.gpr[l->end] = (uint32_t)b->c->in.gpr[l->end];
        append_opcode(b, 0x39, l->end, first, 3);
        b->c->undefined = 0;
        return step > 0 && b->c->in.gpr[l->end] > b->c->in.gpr[first]   ? up[insn_below(b->r, 2)]
               : step < 0 && b->c->in.gpr[l->end] < b->c->in.gpr[first] ? down[insn_below(b->r, 2)]
                                                                        : CC_NZ;
    }
    if (kind == 1) {
        b->c->in.gpr[l->counter] = 0;
        append_advance(b, l->counter, 1);
        append_immediate(b, G_CMP, l->counter, (int32_t)iterations);
        return up[insn_below(b->r, 2)];
    }
    b->c->in.gpr[l->counter] = iterations;
    if (kind == 2 || !append_one(b, l->counter, -1))
        append_immediate(b, G_SUB, l->counter, 1);
    return CC_NZ;
}

static void append_branch(struct loop *l, unsigned condition)
{
    struct builder *b = l->b;
    int64_t distance = (int64_t)(l->top - build_here(b)) - 2;
    uint8_t code[6] = {(uint8_t)(0x70 | condition), (uint8_t)distance};
    bool near = distance < -128 || insn_chance(b->r, 20);
    int32_t rel = (int32_t)distance - 4;

    if (near) {
        code[0] = 0x0f;
        code[1] = (uint8_t)(0x80 | condition);
        memcpy(code + 2, &rel, 4);
    }
    build_append(b, code, near ? 6 : 2);
}

/* A start from which the end of a page comes after a few steps. */
static uint64_t start_of(struct builder *b, int32_t step)
{
    static const uint16_t ends_up[] = {0x1000, 0x2000, 0x3000, 0x4000, 0x4000, 0x5000},
                          ends_down[] = {0x0000, 0x0000, 0x1000, 0x2000, 0x4000, 0x5000};
    uint64_t end = INSN_DATA + (step >= 0 ? ends_up : ends_down)[insn_below(b->r, 6)];
    uint64_t start = end - (uint64_t)((int64_t)step * insn_below(b->r, FEW)) - insn_below(b->r, 48);

    if (insn_chance(b->r, 50))
        start &= ~63ull;
    if (start < INSN_DATA || start >= AREA_END)
        start = INSN_DATA + 0x1800;
    return start;
}

static void set_pointer(struct loop *l, unsigned k)
{
    struct builder *b = l->b;
    unsigned reg = l->pointer[k];
    uint64_t offset = build_offset(b, reg == R_BP ? S_SS : S_DS, start_of(b, l->step[k]));

    /* What wraps at 4 GiB piece by piece is the processor's choice: no way leads there. */
    if (b->c->mode != INSN_64 && (uint32_t)(offset + WAY) < 2 * WAY) {
        l->step[k] = 0;
        offset = 0x100;
    }
    b->c->in.gpr[reg] = offset;
}

static void choose_registers(struct loop *l)
{
    static const uint8_t pointers[2][8] = {{R_BX, R_BP, R_SI, R_DI, R_12, R_13, R_9, R_SP},
                                           {R_BX, R_BP, R_SI, R_DI, R_BX, R_SI, R_DI, R_SP}};
    static const uint8_t others[2][3] = {{R_8, R_14, R_15}, {R_CX, R_CX, R_CX}};
    static const int32_t steps[] = {1, 2, 4, 4, 8, 8, 8, 16, 16, 24, 32, 64, 100, 256, 1000, 0};
    struct builder *b = l->b;
    bool narrow = b->c->mode != INSN_64;
    unsigned wanted = 1 + insn_below(b->r, MAX_POINTERS), reg;

    l->counter = others[narrow][0];
    l->divisor = others[narrow][1];
    l->end = others[narrow][2];
    b->pinned = 1u << R_SP | 1u << l->counter | 1u << l->divisor | 1u << l->end;
    while (l->pointers < wanted) {
        reg = pointers[narrow][insn_below(b->r, 8)];
        l->pointer[l->pointers] = reg;
        l->step[l->pointers] = reg == R_SP || b->pinned >> reg & 1 ? 0 : steps[insn_below(b->r, 16)];
        if (insn_chance(b->r, 25))
            l->step[l->pointers] = -l->step[l->pointers];
        if (reg != R_SP && !(b->pinned >> reg & 1))
            set_pointer(l, l->pointers);
        b->pinned |= 1u << reg;
        l->pointers++;
    }
    b->known = b->pinned & ~(1u << l->counter | 1u << l->divisor);
    b->fixed = 0xffff;
}

void build_loop(struct builder *b, unsigned steps)
{
    struct loop l = {.b = b};
    unsigned iterations = 1 + insn_below(b->r, MAX_ITERATIONS), condition;

    b->sequence = b->loop = true;
    b->c->start = INSN_CODE + INSN_SLOT_AT(b->c->slot) + insn_below(b->r, START_ROOM);
    choose_registers(&l);
    /* The divisor has the counter's register in 32-bit code. */
    l.divides = b->c->mode == INSN_64 && insn_chance(b->r, 15);
    b->c->in.gpr[l.divisor] = insn_below(b->r, FEW);
    if (insn_chance(b->r, 25)) /* it begins in the block before */
        append_body(&l);
    l.top = build_here(b);
    for (unsigned n = 0; n + 1 < steps; n++) {
        append_body(&l);
        if (insn_chance(b->r, 40))
            move_pointer(&l, insn_below(b->r, l.pointers));
    }
    for (unsigned k = 0; k < l.pointers; k++)
        move_pointer(&l, k);
    condition = append_compare(&l, iterations);
    if (insn_chance(b->r, 10)) /* between the compare and its branch */
        append_lea(b, l.pointer[0], 0);
    append_branch(&l, condition);
    b->c->mnemonic = 0;
    b->c->length = b->c->code_length;
    build_exit(b, 0);
}
