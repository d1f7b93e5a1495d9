/*
 * rows.c - the remaining rows of the lowering table, and the table.
 *
 * Interface: lower.h. A mnemonic without a row is copied if lower_copy can do it, else the interpreter runs it
 * (lower_step): so whatever is not known to be harmless never runs natively.
 */
#include "translator/lower.h"

/* The interpreter runs the instruction, as a call from translated code. */
void lower_step(struct lower *l)
{
    bool ends = decode_ends_block(l->in);

    flags_clobber(l);
    emit_mov_imm(&l->e, H_R11, l->in->pc);
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, V_OFFSET(rip));
    emit_mov_imm(&l->e, H_R11, l->in->length | (ends ? STEP_ENDS_BLOCK : 0));
    emit_call(&l->e, l->t->code.step);
    l->ended = ends;
}

/* The run loop has the interpreter run it: ends the block. */
void lower_leave_to_run_loop(struct lower *l)
{
    flags_clobber(l);
    emit_mov_imm(&l->e, H_RAX, l->in->pc);
    emit_call(&l->e, l->t->code.interpret);
    l->ended = true;
}

void lower_nothing(struct lower *l)
{
    (void)l;
}

void lower_lea(struct lower *l)
{
    static const uint8_t operand_size = 0x66;
    const ZydisDecodedOperand *to = &l->in->op[0];
    bool high, wide = l->in->z.operand_width == 64;
    unsigned guest = (unsigned)guest_register(to->reg.value, &high);
    int host = host_register(guest);

    access_address(l, &l->in->op[1], H_RAX);
    if (l->in->z.operand_width == 16) {
        if (host == NOT_RESIDENT)
            load_guest(l, H_R11, guest);
        emit8(&l->e, operand_size);
        emit_op_reg(&l->e, false, OP_LOAD, host == NOT_RESIDENT ? H_R11 : host, H_RAX);
        if (host == NOT_RESIDENT)
            store_guest(l, guest, H_R11);
        return;
    }
    if (host == NOT_RESIDENT) {
        emit_op_reg(&l->e, wide, OP_LOAD, H_RAX, H_RAX);
        store_guest(l, guest, H_RAX);
    } else {
        emit_op_reg(&l->e, wide, OP_LOAD, host, H_RAX);
    }
}

void lower_push(struct lower *l)
{
    const ZydisDecodedOperand *op = &l->in->op[0];
    int value = H_R11;
    bool high;

    if (l->in->z.operand_width != 64 || (op->type == ZYDIS_OPERAND_TYPE_REGISTER && guest_register(op->reg.value, &high) < 0)) {
        lower_step(l);
        return;
    }
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        access_operand(l, op, false);
        emit_op_mem(&l->e, true, OP_LOAD, H_RAX, H_RAX, H_NONE, 1, 0);
        emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    }
    flags_clobber(l);
    emit_op_mem(&l->e, true, OP_LEA, H_RAX, H_R15, H_NONE, 1, -8);
    access_check(l, 8 | MEMORY_WRITE | MEMORY_STACK, false);
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill));
    } else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        emit_mov_imm(&l->e, H_R11, (uint64_t)op->imm.value.s);
    } else {
        unsigned guest = (unsigned)guest_register(op->reg.value, &high);

        if (host_register(guest) == NOT_RESIDENT)
            load_guest(l, H_R11, guest);
        else
            value = host_register(guest);
    }
    emit_op_mem(&l->e, true, OP_STORE, value, H_RAX, H_NONE, 1, 0);
    emit_op_mem(&l->e, true, OP_LEA, H_R15, H_R15, H_NONE, 1, -8);
}

void lower_pop(struct lower *l)
{
    const ZydisDecodedOperand *op = &l->in->op[0];
    bool high;
    int guest = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? guest_register(op->reg.value, &high) : -1;

    if (l->in->z.operand_width != 64 || guest < 0) {
        lower_step(l);
        return;
    }
    flags_clobber(l);
    emit_mov(&l->e, H_RAX, H_R15);
    access_check(l, 8 | MEMORY_STACK, false);
    emit_op_mem(&l->e, true, OP_LOAD, H_RAX, H_RAX, H_NONE, 1, 0);
    emit_op_mem(&l->e, true, OP_LEA, H_R15, H_R15, H_NONE, 1, 8);
    store_guest(l, (unsigned)guest, H_RAX);
}

void lower_leave(struct lower *l)
{
    if (l->in->z.operand_width != 64) {
        lower_step(l);
        return;
    }
    flags_clobber(l);
    emit_mov(&l->e, H_RAX, H_RBP);
    access_check(l, 8 | MEMORY_STACK, false);
    emit_op_mem(&l->e, true, OP_LOAD, H_RAX, H_RAX, H_NONE, 1, 0);
    emit_op_mem(&l->e, true, OP_LEA, H_R15, H_RBP, H_NONE, 1, 8);
    emit_mov(&l->e, H_RBP, H_RAX);
}

/* BT, BTS, BTR, BTC of memory by a register: the bit offset reaches beyond the operand (SDM vol. 2, BT). */
void lower_bit_memory(struct lower *l)
{
    const ZydisDecodedOperand *op = &l->in->op[0];
    bool high, wide = l->in->z.operand_width == 64;
    unsigned guest;

    if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || l->in->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER) {
        if (copy_possible(l->in, l->mode))
            lower_copy(l);
        else
            lower_step(l);
        return;
    }
    if (l->in->z.operand_width == 16 || op->mem.segment == ZYDIS_REGISTER_FS || l->in->z.address_width != 64) {
        lower_step(l);
        return;
    }
    guest = (unsigned)guest_register(l->in->op[1].reg.value, &high);
    flags_clobber(l);
    access_address(l, op, H_RAX);
    if (op->mem.segment == ZYDIS_REGISTER_GS)
        emit_op_vcpu(&l->e, true, OP_ADD, H_RAX, H_NONE, V_OFFSET(seg[SEG_GS].base));
    load_guest(l, H_R11, guest);
    if (!wide)
        emit_op_reg(&l->e, true, 0x63, H_R11, H_R11); /* movsxd */
    emit_shift(&l->e, true, 7, H_R11, wide ? 6 : 5);
    emit_shift(&l->e, true, 4, H_R11, wide ? 3 : 2);
    emit_op_reg(&l->e, true, OP_ADD, H_RAX, H_R11);
    access_check(l, access_info(op), true);
    load_guest(l, H_RAX, guest);
    emit_op_imm(&l->e, false, 4, H_RAX, wide ? 63 : 31);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    flags_restore(l);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill));
    if (l->in->z.attributes & ZYDIS_ATTRIB_HAS_LOCK)
        emit8(&l->e, 0xf0);
    emit_rex(&l->e, wide, H_RAX, 0, H_R11);
    emit8(&l->e, 0x0f);
    emit8(&l->e, l->in->z.opcode);
    emit_address(&l->e, H_RAX, H_R11, H_NONE, 1, 0);
    l->flags = FLAGS_HOST;
}

static const struct {
    ZydisMnemonic mnemonic;
    lower_function *lower;
} rows[] = {
    {ZYDIS_MNEMONIC_LEA, lower_lea},
    {ZYDIS_MNEMONIC_PUSH, lower_push},
    {ZYDIS_MNEMONIC_POP, lower_pop},
    {ZYDIS_MNEMONIC_LEAVE, lower_leave},
    {ZYDIS_MNEMONIC_BT, lower_bit_memory},
    {ZYDIS_MNEMONIC_BTS, lower_bit_memory},
    {ZYDIS_MNEMONIC_BTR, lower_bit_memory},
    {ZYDIS_MNEMONIC_BTC, lower_bit_memory},
    {ZYDIS_MNEMONIC_LOOP, lower_loop},
    {ZYDIS_MNEMONIC_LOOPE, lower_loop},
    {ZYDIS_MNEMONIC_LOOPNE, lower_loop},
    {ZYDIS_MNEMONIC_JRCXZ, lower_loop},
    {ZYDIS_MNEMONIC_JECXZ, lower_loop},
};

static bool is_near(const struct insn *in)
{
    return in->z.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR || in->z.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT;
}

lower_function *lower_find(const struct insn *in)
{
    if (!in->valid)
        return lower_step;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].mnemonic == in->z.mnemonic)
            return rows[i].lower;
    switch (in->z.meta.category) {
    case ZYDIS_CATEGORY_NOP:
    case ZYDIS_CATEGORY_WIDENOP:
    case ZYDIS_CATEGORY_PREFETCH:
        return lower_nothing;
    case ZYDIS_CATEGORY_COND_BR:
        return is_near(in) && in->z.operand_width == 64 ? lower_branch : lower_step;
    case ZYDIS_CATEGORY_UNCOND_BR:
        return is_near(in) && in->z.operand_width == 64 ? lower_jump : lower_step;
    case ZYDIS_CATEGORY_CALL:
        return is_near(in) && in->z.operand_width == 64 ? lower_call : lower_step;
    case ZYDIS_CATEGORY_RET:
        return is_near(in) && in->z.operand_width == 64 && in->z.mnemonic == ZYDIS_MNEMONIC_RET ? lower_return : lower_step;
    default:
        break;
    }
    if (in->z.mnemonic == ZYDIS_MNEMONIC_ENDBR64 || in->z.mnemonic == ZYDIS_MNEMONIC_ENDBR32)
        return lower_nothing;
    return NULL;
}
