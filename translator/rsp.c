/*
 * rsp.c - RSP moved late: pushes and pops of a block in a row move R15 once.
 *
 * Interface: lower.h. In code with a window a stack access is [R15 + disp], so that the displacement can say how
 * far the guest's RSP is from R15, and the additions are made at once. Invariant: the guest's RSP is
 * R15 + lower.rsp_lag; insn_map.rsp_lag says the same of each guest instruction from its first host instruction to
 * its last fault. It is 0 wherever a block is left.
 */
#include "translator/lower.h"

#define LAG_MAX 4096
#define DISP_MAX (1 << 20)

void rsp_settle(struct lower *l)
{
    if (l->rsp_lag)
        emit_op_mem(&l->e, l->wide, OP_LEA, H_R15, H_R15, H_NONE, 1, l->rsp_lag);
    l->rsp_lag = 0;
}

void rsp_move(struct lower *l, int32_t delta)
{
    l->rsp_lag += delta;
    if (!l->windowed || !l->t->options.late_rsp || l->rsp_lag > LAG_MAX || l->rsp_lag < -LAG_MAX)
        rsp_settle(l);
}

static bool is_rsp(unsigned reg)
{
    bool high;

    return guest_register(reg, &high) == RSP;
}

/* No operand but the base of an address, which takes the lag in its displacement. */
static bool takes_lag(const struct insn *in, unsigned operands)
{
    for (unsigned i = 0; i < operands; i++) {
        const struct operand *op = &in->op[i];

        if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && is_rsp(op->reg.value))
            return false;
        if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && is_rsp(op->mem.base) &&
            (op->mem.index != ZYDIS_REGISTER_NONE || place_segment(op) != PLACE_NONE || op->mem.disp > DISP_MAX ||
             op->mem.disp < -DISP_MAX || in->address_width != in->width))
            return false;
    }
    return true;
}

static bool may_lag(const struct lower *l)
{
    const struct insn *in = l->in;

    if (in->row == lower_copy)
        return in->copy.form != POINTER_RAX_ONLY && takes_lag(in, in->operand_count);
    if (in->row == lower_push || in->row == lower_pop)
        return takes_lag(in, 1);
    if (in->row == lower_call)
        return in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    if (in->row == lower_lea || in->row == lower_absolute)
        return !(in->uses >> RSP & 1);
    return in->row == lower_return || in->row == lower_pc_load || in->row == lower_leave ||
           in->row == lower_nothing;
}

/* So that nothing comes between a compare and its branch, which the host runs as one. */
static bool branches_next(const struct lower *l)
{
    return l->index + 1 < l->count && l->in[1].row == lower_branch && l->in->row == lower_copy;
}

void rsp_prepare(struct lower *l)
{
    if (!may_lag(l) || branches_next(l))
        rsp_settle(l);
    l->map[l->index].rsp_lag = (int16_t)l->rsp_lag;
}

void rsp_settle_for_access(struct lower *l)
{
    rsp_settle(l);
    l->map[l->index].rsp_lag = 0;
}
