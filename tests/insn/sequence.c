/*
 * sequence.c - cases of several instructions in a row: flags live across them, blocks that are chained.
 *
 * Some registers hold pointers from the start and are never written (RBX, RBP, RSP but for push and pop, R12, R13)
 * or a small index (R14), so that every memory operand can be placed when it is generated.
 */
#include "tests/insn/build.h"

#include <string.h>

#define POINTERS (1u << R_BX | 1u << R_BP | 1u << R_SP | 1u << R_12 | 1u << R_13 | 1u << R_14)
#define STRINGS (1u << R_SI | 1u << R_DI | 1u << R_CX)

uint64_t build_offset(const struct builder *b, unsigned seg, uint64_t linear)
{
    uint64_t offset = (uint32_t)linear - insn_segment_base(b->c->in.seg[seg]);

    return b->c->mode == INSN_64 ? linear : b->c->mode == INSN_16 ? offset & 0xffff : (uint32_t)offset;
}

static void set_pointers(struct builder *b)
{
    uint64_t *gpr = b->c->in.gpr;

    gpr[R_BX] = INSN_DATA + 0x800 + insn_below(b->r, 0x1000);
    gpr[R_12] = INSN_DATA + 0x1000 + 16 * insn_below(b->r, 0x100);
    gpr[R_13] = INSN_DATA + 0x1800 + 64 * insn_below(b->r, 0x40);
    gpr[R_14] = insn_below(b->r, 64);
    gpr[R_SI] = INSN_DATA + 0x800 + insn_below(b->r, 0x800);
    gpr[R_DI] = INSN_DATA + 0x1800 + insn_below(b->r, 0x800);
    if (insn_chance(b->r, 60))
        gpr[R_CX] = insn_below(b->r, 70);
    gpr[R_BX] = build_offset(b, S_DS, gpr[R_BX]);
    gpr[R_SI] = build_offset(b, S_DS, gpr[R_SI]);
    gpr[R_DI] = build_offset(b, S_ES, gpr[R_DI]);
    b->pinned = POINTERS;
    b->fixed = POINTERS | STRINGS;
    b->known = POINTERS | STRINGS;
}

/* Registers written, as a mask; explicit ones that must not be are refused by the caller. */
static uint32_t written(const struct builder *b, bool *stack_only)
{
    uint32_t mask = 0;
    unsigned n;

    *stack_only = true;
    for (n = 0; n < b->i.operand_count; n++) {
        int reg;

        if (b->op[n].type != ZYDIS_OPERAND_TYPE_REGISTER ||
            !(b->op[n].actions & (ZYDIS_OPERAND_ACTION_MASK_WRITE)))
            continue;
        reg = build_gpr(b->op[n].reg.value);
        if (reg < 0)
            continue;
        mask |= 1u << reg;
        if (b->op[n].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
            *stack_only = false;
    }
    return mask;
}

static bool uses_unknown(const struct builder *b)
{
    unsigned n;

    for (n = 0; n < b->i.operand_count; n++) {
        const ZydisDecodedOperand *op = &b->op[n];
        int base, index;

        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
            continue;
        base = op->mem.base == ZYDIS_REGISTER_NONE ? -1 : build_gpr(op->mem.base);
        index = op->mem.index == ZYDIS_REGISTER_NONE ? -1 : build_gpr(op->mem.index);
        if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB || (base >= 0 && !(b->known >> base & 1)) ||
            (index >= 0 && !(b->known >> index & 1)) ||
            (b->c->mode == INSN_64 &&
             (op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)))
            return true;
    }
    return (b->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) &&
           (!(b->known >> R_CX & 1) || b->c->in.gpr[R_CX] > 70);
}

static bool refused_here(const struct builder *b)
{
    unsigned n;

    /* VPBROADCAST from RSP a few instructions behind a PUSH has been seen to give the old RSP on a host. */
    for (n = 0; n < b->i.operand_count && b->i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX; n++)
        if (b->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER && build_gpr(b->op[n].reg.value) == R_SP)
            return true;
    for (n = 0; n < b->i.operand_count; n++) /* what the operands were placed by */
        if (b->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER && b->op[n].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            ZydisRegisterGetClass(b->op[n].reg.value) == ZYDIS_REGCLASS_SEGMENT)
            return true;
    /* These move pointers, too; PAUSE with a REX.B is an exchange with R8. */
    if (b->loop && (b->i.meta.category == ZYDIS_CATEGORY_STRINGOP || b->i.mnemonic == ZYDIS_MNEMONIC_PAUSE))
        return true;
    switch (b->i.mnemonic) {
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_XLAT:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_FXSAVE: /* stores the x87 pointers, which a step before may have set */
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
        return true;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
        return b->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && b->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
        return b->i.operand_width == 16 && b->op[2].type != ZYDIS_OPERAND_TYPE_IMMEDIATE;
    default:
        return false;
    }
}

/* What an undefined flag would do to the rest: read by a later instruction, it makes the case useless. */
static bool flags_fit(struct builder *b, bool conditional)
{
    const ZydisAccessedFlags *f = b->i.cpu_flags;
    uint32_t defined;
    bool may_skip = conditional || b->i.meta.category == ZYDIS_CATEGORY_SHIFT ||
                    b->i.meta.category == ZYDIS_CATEGORY_ROTATE || b->i.meta.category == ZYDIS_CATEGORY_STRINGOP;

    if (!f)
        return true;
    if ((f->tested & b->c->undefined & FL_ARITH) ||
        (b->c->undefined && (b->i.mnemonic == ZYDIS_MNEMONIC_PUSHF || b->i.mnemonic == ZYDIS_MNEMONIC_PUSHFD ||
                             b->i.mnemonic == ZYDIS_MNEMONIC_PUSHFQ || b->i.mnemonic == ZYDIS_MNEMONIC_LAHF)))
        return false;
    defined = (f->modified | f->set_0 | f->set_1) & ~f->undefined;
    if (!may_skip)
        b->c->undefined &= ~defined;
    b->c->undefined |= f->undefined;
    b->c->undefined_fault |= f->undefined; /* what defines them again may not be reached */
    return true;
}

bool build_step(struct builder *b, const struct insn_form *form, int base, bool conditional)
{
    uint32_t mask;
    bool hidden;

    insn_form_encode(b->forms, form, b->r, b->bytes, base);
    if (!build_decode(b) || b->i.mnemonic != form->mnemonic || refused_here(b) || uses_unknown(b))
        return false;
    mask = written(b, &hidden);
    if ((mask & b->pinned) && !((mask & b->pinned) == 1u << R_SP && hidden))
        return false;
    b->ip = build_here(b);
    b->c->vector |= form->class != CLASS_GENERAL || form->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B;
    b->fixed |= 0xffff;
    if (!build_operands(b) || !flags_fit(b, conditional))
        return false;
    if (!(hidden && (mask & STRINGS)) || b->i.meta.category != ZYDIS_CATEGORY_STRINGOP)
        b->known &= ~(mask & ~b->pinned);
    b->c->partial |= build_is_piecewise(&b->i);
    b->c->partial_registers |= build_fills_registers(&b->i);
    b->c->cr2_free |= build_faults_in_any_order(&b->i);
    b->c->reaching_free |= build_may_reach(&b->i, b->op);
    b->c->undefined_fault |= build_fault_flags(&b->i);
    build_append(b, b->bytes, b->i.length);
    return true;
}

static bool try_step(struct builder *b, const struct insn_form *form, bool conditional)
{
    static const uint8_t bases[2][8] = {{R_BX, R_BP, R_SP, R_12, R_13, R_12, R_13, R_BX},
                                        {R_BX, R_BP, R_SP, R_BX, R_BP, R_BX, R_SI, R_DI}};
    int base = insn_chance(b->r, 85) ? bases[b->c->mode != INSN_64][insn_below(b->r, 8)] : -1;

    return build_step(b, form, base, conditional);
}

/* PUSH imm and POP sreg: what follows in the sequence goes through the new segment. */
static void load_segment(struct builder *b)
{
    static const uint8_t pops[][2] = {{0x07}, {0x1f}, {0x0f, 0xa1}, {0x0f, 0xa9}};
    static const uint8_t segments[] = {S_ES, S_DS, S_FS, S_GS};
    unsigned n = insn_below(b->r, 4), length = n < 2 ? 1 : 2;
    uint16_t fresh[S_COUNT];
    uint32_t selector;

    insn_segments_pick(b->r, b->c->mode, true, fresh);
    selector = fresh[segments[n]];
    build_append(b, "\x68", 1);
    build_append(b, &selector, b->c->mode == INSN_32 ? 4 : 2);
    build_append(b, pops[n], length);
    b->seg[segments[n]] = (uint16_t)selector;
}

/* DEC byte and JNZ to the start: the sequence runs a few times. Only CF may be undefined at the end of it. */
static void close_loop(struct builder *b)
{
    static const uint8_t absolute[] = {0xfe, 0x0c, 0x25};
    uint8_t code[8] = {0x67, 0xfe, 0x0d};
    uint64_t counter = INSN_DATA + 0x3f00;
    uint32_t offset = (uint32_t)counter - insn_segment_base(b->seg[S_DS]);
    unsigned length = 7, back;

    if (b->c->mode == INSN_32)
        memmove(code, code + 1, length--);
    if (b->c->mode == INSN_64)
        memcpy(code, absolute, sizeof absolute);
    memcpy(code + length - 4, &offset, 4);
    back = b->c->code_length + length + 2;
    if (b->c->undefined & 1 || back > 128 || !build_poke(b, counter, 1 + insn_below(b->r, 3)))
        return;
    build_append(b, code, length);
    build_append(b, (const uint8_t[]){0x75, (uint8_t)(0x100 - back)}, 2);
    b->c->undefined &= ~(uint32_t)FL_ARITH;
}

void build_sequence(struct builder *b, unsigned steps)
{
    const struct insn_form *form = NULL;
    unsigned n, tries, jump_end = 0;

    b->sequence = true;
    set_pointers(b);
    for (n = 0; n < steps; n++) {
        bool conditional = false;

        if (b->c->mode != INSN_64 && !b->c->v86 && insn_chance(b->r, 6)) {
            load_segment(b);
            continue;
        }

        if (n + 1 < steps && !b->c->undefined && insn_chance(b->r, 12)) { /* Jcc over the next one */
            uint8_t jump[2] = {(uint8_t)(0x70 | (insn_random(b->r) & 15)), 0};

            build_append(b, jump, 2);
            jump_end = b->c->code_length;
            conditional = true;
            n++;
        }
        tries = 0;
        do {
            if (tries++ % 20 == 0)
                form = insn_forms_pick(b->forms, b->r);
        } while (form && tries < 4000 && !try_step(b, form, conditional));
        if (!n)
            b->c->mnemonic = (uint16_t)b->i.mnemonic;
        if (conditional)
            b->c->code[jump_end - 1] = (uint8_t)(b->c->code_length - jump_end);
    }
    if (insn_chance(b->r, 20))
        close_loop(b);
    b->c->length = b->c->code_length;
    build_exit(b, 0);
}
