/*
 * control_narrow.c - cases of control flow in 16- and 32-bit code: near jumps of both operand sizes, far jumps,
 * calls and returns between the code segments of host and guest, IRET within the level.
 *
 * Layout as in control.c: the instruction, exit 0, padding, the target with exit 1. A far transfer may change the
 * size of the code; the target then is written for the new one.
 */
#include "tests/insn/build.h"

#include <string.h>

enum { TO_REL8, TO_REL, TO_REGISTER, TO_MEMORY, TO_STACK, TO_FAR, TO_FAR_MEMORY, TO_FAR_STACK, TO_IRET };

struct narrow_form {
    uint8_t head[2], length, target;
    bool condition, counts; /* low nibble of the opcode is random; CX matters */
    uint8_t immediate;
};

static const struct narrow_form table[] = {
    {{0x70}, 1, TO_REL8, true, false, 0},           {{0x0f, 0x80}, 2, TO_REL, true, false, 0},
    {{0xeb}, 1, TO_REL8, false, false, 0},          {{0xe9}, 1, TO_REL, false, false, 0},
    {{0xe8}, 1, TO_REL, false, false, 0},           {{0xe0}, 1, TO_REL8, false, true, 0},
    {{0xe1}, 1, TO_REL8, false, true, 0},           {{0xe2}, 1, TO_REL8, false, true, 0},
    {{0xe3}, 1, TO_REL8, false, true, 0},           {{0xff, 2}, 1, TO_REGISTER, false, false, 0},
    {{0xff, 4}, 1, TO_REGISTER, false, false, 0},   {{0xff, 2}, 1, TO_MEMORY, false, false, 0},
    {{0xff, 4}, 1, TO_MEMORY, false, false, 0},     {{0xc3}, 1, TO_STACK, false, false, 0},
    {{0xc2}, 1, TO_STACK, false, false, 2},         {{0xea}, 1, TO_FAR, false, false, 0},
    {{0x9a}, 1, TO_FAR, false, false, 0},           {{0xff, 3}, 1, TO_FAR_MEMORY, false, false, 0},
    {{0xff, 5}, 1, TO_FAR_MEMORY, false, false, 0}, {{0xcb}, 1, TO_FAR_STACK, false, false, 0},
    {{0xca}, 1, TO_FAR_STACK, false, false, 2},     {{0xcf}, 1, TO_IRET, false, false, 0},
};

#define LONGEST 22u /* an instruction and the jump to exit 0 */

/* What the transfer goes to. */
struct place {
    unsigned opsize, addrsize;
    uint64_t linear;
    uint16_t selector;
    enum insn_mode mode;
};

static uint64_t offset_in(uint16_t selector, uint64_t linear)
{
    return (uint32_t)((uint32_t)linear - insn_segment_base(selector));
}

static void pick_selector(struct builder *b, struct place *p)
{
    p->selector = b->c->in.seg[S_CS];
    p->mode = b->c->mode;
    if (insn_chance(b->r, 75))
        p->selector = insn_code_selector_pick(b->r, &p->mode);
    else if (insn_chance(b->r, 50))
        p->selector = insn_selector_pick(b->r, b->forms->long_mode);
    if (p->selector == 0x33)
        p->mode = INSN_64;
    else
        p->mode = insn_segment_big(p->selector) ? INSN_32 : INSN_16;
}

/* [register + displacement] of either address size; false when the place is out of reach. */
static bool append_memory(struct builder *b, unsigned extension, const struct place *p, uint64_t at)
{
    static const uint8_t base16[] = {R_SI, R_DI, R_BP, R_BX};
    unsigned n = insn_below(b->r, 4), reg = p->addrsize == 2 ? base16[n] : (n == R_SP ? R_BP : n);
    uint64_t offset = offset_in(b->c->in.seg[reg == R_BP ? S_SS : S_DS], at), disp = insn_below(b->r, 0x1000);
    uint8_t modrm = (uint8_t)(0x80 | extension << 3 | (p->addrsize == 2 ? 4 + n : reg));

    if (p->addrsize == 2 && offset > 0xffff)
        return false;
    build_append(b, &modrm, 1);
    build_append(b, &disp, p->addrsize);
    offset -= disp;
    if (p->addrsize == 2)
        offset = (offset & 0xffff) | (insn_random(b->r) & 0xffff0000);
    build_set_register(b, reg, (uint32_t)offset);
    return true;
}

static bool indirect(struct builder *b, const struct narrow_form *f, const struct place *p)
{
    uint64_t at = INSN_DATA + 0x1100 + insn_below(b->r, 0x2000), offset = offset_in(p->selector, p->linear);
    unsigned reg = insn_below(b->r, 8);
    uint8_t modrm = (uint8_t)(0xc0 | f->head[1] << 3 | reg);

    build_append(b, f->head, 1);
    if (f->target == TO_REGISTER) {
        if (reg == R_SP)
            return false;
        build_append(b, &modrm, 1);
        build_set_register(b, reg, p->opsize == 2 ? (uint32_t)(offset | insn_random(b->r) << 16) : offset);
        return true;
    }
    if (!append_memory(b, f->head[1], p, at))
        return false;
    if (f->target == TO_FAR_MEMORY)
        offset = (p->opsize == 2 ? offset & 0xffff : offset) | (uint64_t)p->selector << 8 * p->opsize;
    return build_poke(b, at, offset);
}

static bool from_stack(struct builder *b, const struct narrow_form *f, const struct place *p)
{
    uint64_t offset = offset_in(p->selector, p->linear), sp = build_stack(b);
    uint64_t flags = insn_random(b->r) & (FL_ARITH | FL_DF | 0x20f000 | 0x202);
    uint8_t imm[2] = {(uint8_t)insn_random(b->r), 0};

    build_append(b, f->head, 1);
    build_append(b, imm, f->immediate);
    if (f->target == TO_STACK)
        return build_poke(b, sp, offset);
    offset &= p->opsize == 2 ? 0xffff : 0xffffffff;
    offset |= (uint64_t)p->selector << 8 * p->opsize;
    if (f->target == TO_IRET && p->opsize == 2)
        offset |= flags << 32;
    return build_poke(b, sp, offset) && (p->opsize == 2 || build_poke(b, sp + 8, flags));
}

static bool direct(struct builder *b, const struct narrow_form *f, const struct place *p)
{
    uint8_t head[2] = {f->head[0], f->head[1]};
    uint64_t offset = offset_in(p->selector, p->linear);
    unsigned size = f->target == TO_REL8 ? 1 : p->opsize;

    if (f->condition)
        head[f->length - 1] |= insn_random(b->r) & 15;
    build_append(b, head, f->length);
    if (f->target == TO_FAR) {
        build_append(b, &offset, p->opsize);
        build_append(b, &p->selector, 2);
    } else {
        offset = p->linear - build_here(b) - size;
        build_append(b, &offset, size);
    }
    return true;
}

static void prefixes(struct builder *b, struct place *p)
{
    unsigned natural = b->c->mode == INSN_32 ? 4 : 2;

    p->opsize = p->addrsize = natural;
    if (insn_chance(b->r, 20)) {
        p->opsize = 6 - natural;
        build_append(b, "\x66", 1);
    }
    if (insn_chance(b->r, 15)) {
        p->addrsize = 6 - natural;
        build_append(b, "\x67", 1);
    }
}

static bool try_control(struct builder *b, const struct narrow_form *f, struct place *p)
{
    b->fixed = 0;
    b->c->pokes = 0;
    b->c->code_length = 0;
    prefixes(b, p);
    if (f->counts && insn_chance(b->r, 75)) {
        uint64_t high = insn_chance(b->r, 40) ? insn_random(b->r) & 0xffff0000 : 0;

        build_set_register(b, R_CX, insn_below(b->r, 4) | high);
    }
    if (f->target >= TO_FAR)
        pick_selector(b, p);
    switch (f->target) {
    case TO_REL8:
    case TO_REL:
    case TO_FAR:
        return direct(b, f, p);
    case TO_REGISTER:
    case TO_MEMORY:
    case TO_FAR_MEMORY:
        return indirect(b, f, p);
    default:
        return from_stack(b, f, p);
    }
}

void build_control_narrow(struct builder *b)
{
    const struct narrow_form *f;
    struct place p;

    do {
        do
            f = &table[insn_below(b->r, sizeof table / sizeof *table)];
        while (b->c->v86 && f->target >= TO_FAR);
        p = (struct place){.selector = b->c->in.seg[S_CS], .mode = b->c->mode};
        p.linear = b->c->start + LONGEST + insn_below(b->r, 20);
    } while (!try_control(b, f, &p));
    b->c->length = b->c->code_length;
    /* A transfer that fails late may have pushed. */
    b->c->partial = true;
    /* the target's limit and the push: either may be looked at first */
    b->c->cr2_free = f->target == TO_FAR || f->target == TO_FAR_MEMORY || f->head[0] == 0xe8 || f->head[1] == 2;
    build_exit(b, 0);
    while (build_here(b) < p.linear)
        build_append(b, "\xcc", 1);
    build_exit_mode(b, 1, p.mode);
}
