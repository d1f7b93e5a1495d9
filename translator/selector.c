/*
 * selector.c - segment registers: reading a selector; in protected mode, loading one.
 *
 * Interface: segment.h; rows of lower.h for flat 32-bit code. A load is a call of permanent code (thunks.c), which
 * knows the descriptors that were loaded lately and leaves the others, with all checks, to callout_segment.
 */
#include "translator/segment.h"

void selector_read(struct lower *l, int host, ZydisRegister segment)
{
    emit8(&l->e, 0x65); /* movzx r32, word gs:[selector] */
    emit_rex(&l->e, false, host, 0, 0);
    emit8(&l->e, 0x0f);
    emit8(&l->e, 0xb7);
    emit_address(&l->e, host, H_NONE, H_NONE, 1, V_SEGMENT(segment - ZYDIS_REGISTER_ES, selector));
}

int selector_operand(const struct operand *op)
{
    if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || op->reg.value < ZYDIS_REGISTER_ES ||
        op->reg.value > ZYDIS_REGISTER_GS)
        return -1;
    return (int)(op->reg.value - ZYDIS_REGISTER_ES); /* in the order of SEG_* */
}

bool selector_is_read(const struct insn *in)
{
    return in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[0].size >= 32 &&
           selector_operand(&in->op[1]) >= 0;
}

bool selector_is_loaded(const struct insn *in)
{
    int segment = selector_operand(&in->op[0]);

    if (in->width != 32 || segment < 0 || segment == SEG_SS || segment == SEG_CS)
        return false;
    return in->mnemonic == ZYDIS_MNEMONIC_POP ? in->operand_width == 32 : in->mnemonic == ZYDIS_MNEMONIC_MOV;
}

void lower_read_segment(struct lower *l)
{
    selector_read(l, H_RAX, l->in->op[1].reg.value);
    store_guest(l, (unsigned)guest_operand(&l->in->op[0]), H_RAX);
}

/* The selector, into RAX. */
static void load_selector(struct lower *l)
{
    const struct operand *from = &l->in->op[1];

    flags_clobber(l);
    if (l->in->mnemonic == ZYDIS_MNEMONIC_POP) {
        access_emit(l, false, OP_LOAD, H_RAX, access_stack(l, RSP, 0, false));
        emit_op_mem(&l->e, false, OP_LEA, H_R15, H_R15, H_NONE, 1, 4); /* SEGMENT_POP: a fault takes it back */
    } else if (from->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        struct pointer p = access_operand(l, from, POINTER_SUM);

        emit8(&l->e, 0x66); /* a 16-bit load: the callouts look at no more */
        access_emit(l, false, OP_LOAD, H_RAX, p);
    } else {
        load_guest(l, H_RAX, (unsigned)guest_operand(from));
    }
}

void selector_call(struct lower *l, unsigned segment, uint32_t info)
{
    uint32_t cpl = l->mode & MODE_CPL;
    /* In flat code only flat descriptors keep the mode in DS and ES; in segmented code any does, where they cannot
       make it flat. */
    bool flat = segment < SEG_FS && !l->segmented;
    bool c_alone = (cpl != 0 && cpl != 3) || (segment < SEG_FS && l->segmented &&
                                              (l->mode & (MODE_CODE32 | MODE_SS32)) == (MODE_CODE32 | MODE_SS32));

    relocate_mov(l, H_R11, l->in->pc);
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, V_OFFSET(rip));
    emit_mov_imm(&l->e, H_R11, l->in->length | segment << 8 | info);
    emit_call(&l->e, c_alone ? l->t->code.load_segment : l->t->code.segment[segment][cpl == 3][flat]);
}

void lower_load_segment(struct lower *l)
{
    load_selector(l);
    group_end(l);
    selector_call(l, (unsigned)selector_operand(&l->in->op[0]),
                  l->in->mnemonic == ZYDIS_MNEMONIC_POP ? SEGMENT_POP : 0);
}
