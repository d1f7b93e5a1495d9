/*
 * segload.c - segment registers in segmented code: MOV and POP, LDS and the like, and what reads them.
 *
 * Interface: segload_find. In real-address and virtual-8086 mode a load only sets selector and base; limit and
 * access rights stay, unless the register was null (SDM vol. 3, 20.1.1), which the interpreter repairs. So spans
 * and mode stay as well. In protected mode it is a call of permanent code (selector.c). SS holds interrupts off
 * for one instruction: whoever takes one looks at interrupt_shadow, which may stay set for longer, but delays an
 * interrupt by no more than one instruction.
 */
#include "translator/segment.h"

static bool is_real_style(uint32_t mode)
{
    return !(mode & MODE_PE) || mode & MODE_VM;
}

static int general(const struct operand *op)
{
    return host_register((unsigned)guest_operand(op));
}

static unsigned word_size(const struct lower *l)
{
    return l->in->operand_width / 8u;
}

/* movzx r32, word [p] */
static void load16(struct lower *l, int reg, struct pointer p)
{
    emit_rex(&l->e, false, reg, p.index == H_NONE ? 0 : p.index, p.reg);
    emit8(&l->e, 0x0f);
    emit8(&l->e, 0xb7);
    emit_address(&l->e, reg, p.reg, p.index, 1, p.disp);
}

/* The selector in EAX is loaded; NULL: in any case. */
static struct cold *load_real(struct lower *l, unsigned segment)
{
    struct cold *c = NULL;

    if (!(l->mode & MODE_PE)) {
        emit_op_vcpu(&l->e, false, 0xf6, 0, H_NONE, V_SEGMENT(segment, attributes)); /* test byte, imm8 */
        emit8(&l->e, SEGATTR_P);
        c = lower_step_if(l, CC_E);
    }
    emit8(&l->e, 0x66);
    emit_op_vcpu(&l->e, false, OP_STORE, H_RAX, H_NONE, V_SEGMENT(segment, selector));
    emit_shift(&l->e, false, 4, H_RAX, 4);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, V_SEGMENT(segment, base));
    if (segment == SEG_SS) {
        emit_op_vcpu(&l->e, false, 0xc6, 0, H_NONE, V_OFFSET(interrupt_shadow)); /* mov byte, imm8 */
        emit8(&l->e, 1);
    }
    return c;
}

/* The selector that MOV or POP has as its operand, into EAX. */
static void load_operand(struct lower *l)
{
    const struct operand *from = &l->in->op[1];

    if (l->in->mnemonic == ZYDIS_MNEMONIC_POP)
        load16(l, H_RAX, segment_stack(l, H_R15, 0, word_size(l)));
    else if (from->type == ZYDIS_OPERAND_TYPE_MEMORY)
        load16(l, H_RAX, access_operand(l, from, POINTER_SUM));
    else
        emit_op_reg(&l->e, false, OP_LOAD, H_RAX, general(from));
    segment_truncate(l, H_RAX);
}

static void lower_selector(struct lower *l)
{
    unsigned segment = (unsigned)selector_operand(&l->in->op[0]);
    bool pop = l->in->mnemonic == ZYDIS_MNEMONIC_POP;
    struct cold *c;

    flags_clobber(l);
    load_operand(l);
    group_end(l);
    if (!is_real_style(l->mode)) {
        if (pop)
            segment_set_sp(l, H_R15, (int32_t)word_size(l));
        selector_call(l, segment, !pop ? 0 : word_size(l) == 2 ? SEGMENT_POP | SEGMENT_POP_HALF : SEGMENT_POP);
        return;
    }
    c = load_real(l, segment);
    if (pop)
        segment_set_sp(l, H_R15, (int32_t)word_size(l));
    if (c)
        c->done = emit_here(&l->e);
}

static unsigned pointer_segment(const struct insn *in)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_LES:
        return SEG_ES;
    case ZYDIS_MNEMONIC_LDS:
        return SEG_DS;
    case ZYDIS_MNEMONIC_LSS:
        return SEG_SS;
    case ZYDIS_MNEMONIC_LFS:
        return SEG_FS;
    default:
        return SEG_GS;
    }
}

/* Both parts are read at once: a pointer that wraps between them is the interpreter's. */
static void lower_pointer(struct lower *l)
{
    const struct operand *from = &l->in->op[1];
    struct cold *wraps = NULL, *c;
    struct pointer p;

    flags_clobber(l);
    if (l->in->address_width == 16) {
        access_address(l, from, H_RAX);
        segment_truncate(l, H_RAX);
        emit8(&l->e, 0x3d); /* cmp eax, imm32 */
        emit32(&l->e, 0x10000 - (access_info(from) & 0xff));
        wraps = lower_step_if(l, CC_A);
    }
    p = access_operand(l, from, POINTER_R11);
    p.disp += (int32_t)word_size(l);
    load16(l, H_RAX, p);
    p.disp -= (int32_t)word_size(l);
    c = load_real(l, pointer_segment(l->in));
    if (word_size(l) == 2)
        emit8(&l->e, 0x66);
    access_emit(l, false, OP_LOAD, general(&l->in->op[0]), p);
    group_end(l);
    if (c)
        c->done = emit_here(&l->e);
    if (wraps)
        wraps->done = emit_here(&l->e);
}

/* MOV of a segment register into a general one or into memory. */
static void lower_read(struct lower *l)
{
    const struct operand *to = &l->in->op[0];
    struct pointer p;
    int scratch;

    if (to->type != ZYDIS_OPERAND_TYPE_MEMORY) {
        selector_read(l, H_RAX, l->in->op[1].reg.value);
        if (to->size == 16)
            emit8(&l->e, 0x66);
        emit_op_reg(&l->e, false, OP_LOAD, general(to), H_RAX);
        return;
    }
    p = access_operand(l, to, POINTER_ONE_REGISTER);
    scratch = p.reg == H_RAX ? H_R11 : H_RAX;
    selector_read(l, scratch, l->in->op[1].reg.value);
    emit8(&l->e, 0x66);
    access_emit(l, false, OP_STORE, scratch, p);
}

lower_function *segload_find(const struct insn *in, uint32_t mode)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (selector_operand(&in->op[1]) >= 0)
            return lower_read;
        /* fall through */
    case ZYDIS_MNEMONIC_POP:
        if (selector_operand(&in->op[0]) < 0 || selector_operand(&in->op[0]) == SEG_CS)
            return NULL;
        return selector_operand(&in->op[0]) == SEG_SS && !is_real_style(mode) ? lower_step : lower_selector;
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
        return in->memory && is_real_style(mode) ? lower_pointer : lower_step;
    default:
        return NULL;
    }
}
