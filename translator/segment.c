/*
 * segment.c - 16-bit code, and 32-bit code whose segments have bases and limits.
 *
 * Interface: segment_find (which row), segment_operand. A block is made for one base and limit of CS. The other
 * segments may hold anything: each access compares the offset with the segment's span (vcpu->span), adds its base,
 * and goes on as any other access. What a span does not allow, the interpreter does or refuses. Groups and loops
 * are not made here. Near jumps are checked against the limit of CS before anything changes.
 */
#include "translator/segment.h"

/* Operand size prefix of host code. */
static void emit_size(struct lower *l, unsigned bits)
{
    if (bits == 16)
        emit8(&l->e, 0x66);
}

void segment_truncate(struct lower *l, int reg)
{
    emit_rex(&l->e, false, reg, 0, reg); /* movzx r32, r16 */
    emit8(&l->e, 0x0f);
    emit8(&l->e, 0xb7);
    emit8(&l->e, 0xc0u | (unsigned)(reg & 7) << 3 | (unsigned)(reg & 7));
}

static void offset(struct lower *l, const struct operand *op)
{
    access_address(l, op, H_RAX);
    if (l->in->address_width == 16)
        segment_truncate(l, H_RAX);
}

struct pointer segment_operand(struct lower *l, const struct operand *op, enum pointer_form form)
{
    flags_clobber(l);
    offset(l, op);
    access_add_segment(l, (unsigned)(op->mem.segment - ZYDIS_REGISTER_ES), access_info(op));
    return access_check(l, access_info(op), form, H_R11);
}

/* --- the stack --- */

static bool stack32(const struct lower *l)
{
    return l->mode & MODE_SS32;
}

/* The offset, into EAX. */
static void stack_offset(struct lower *l, int base, int32_t disp)
{
    flags_clobber(l);
    emit_op_mem(&l->e, false, OP_LEA, H_RAX, base, H_NONE, 1, disp);
    if (!stack32(l))
        segment_truncate(l, H_RAX);
}

static struct pointer stack_pointer(struct lower *l, uint32_t info)
{
    access_add_segment(l, SEG_SS, info);
    return access_check(l, info | MEMORY_STACK, POINTER_ONE_REGISTER, H_R11);
}

struct pointer segment_stack(struct lower *l, int base, int32_t disp, uint32_t info)
{
    stack_offset(l, base, disp);
    return stack_pointer(l, info);
}

struct pointer segment_frame(struct lower *l, int32_t disp, uint32_t info)
{
    stack_offset(l, H_R15, disp);
    if (!stack32(l)) {
        emit8(&l->e, 0x3d); /* cmp eax, imm32 */
        emit32(&l->e, 0x10000 - (info & 0xff));
        lower_step_if(l, CC_A);
    }
    return stack_pointer(l, info);
}

/* SP or ESP = base + disp. */
void segment_set_sp(struct lower *l, int base, int32_t disp)
{
    emit_size(l, stack32(l) ? 32 : 16);
    emit_op_mem(&l->e, false, OP_LEA, H_R15, base, H_NONE, 1, disp);
}

static void push_register(struct lower *l, int host, unsigned bits)
{
    struct pointer p = segment_stack(l, H_R15, -(int32_t)(bits / 8), bits / 8 | MEMORY_WRITE);

    emit_size(l, bits);
    access_emit(l, false, OP_STORE, host, p);
    segment_set_sp(l, H_R15, -(int32_t)(bits / 8));
}

static void push_spilled(struct lower *l, unsigned bits)
{
    struct pointer p;

    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    p = segment_stack(l, H_R15, -(int32_t)(bits / 8), bits / 8 | MEMORY_WRITE);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill));
    emit_size(l, bits);
    access_emit(l, false, OP_STORE, H_R11, p);
    segment_set_sp(l, H_R15, -(int32_t)(bits / 8));
}

static void segment_push(struct lower *l)
{
    const struct operand *op = &l->in->op[0];
    unsigned bits = l->in->operand_width;

    if (guest_operand(op) >= 0) {
        push_register(l, host_register((unsigned)guest_operand(op)), bits);
        return;
    }
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        struct pointer p = access_operand(l, op, POINTER_SUM);

        emit_size(l, bits);
        access_emit(l, false, OP_LOAD, H_RAX, p);
    } else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        emit_mov_imm(&l->e, H_RAX, (uint32_t)op->imm.s);
    } else {
        selector_read(l, H_RAX, op->reg.value);
    }
    push_spilled(l, bits);
}

static void segment_pop(struct lower *l)
{
    unsigned bits = l->in->operand_width;
    int host = host_register((unsigned)guest_operand(&l->in->op[0]));
    struct pointer p = segment_stack(l, H_R15, 0, bits / 8);

    emit_size(l, bits);
    access_emit(l, false, OP_LOAD, host, p);
    segment_set_sp(l, H_R15, (int32_t)(bits / 8));
}

static void segment_leave(struct lower *l)
{
    unsigned bits = l->in->operand_width;
    struct pointer p = segment_stack(l, H_RBP, 0, bits / 8);

    emit_size(l, bits);
    access_emit(l, false, OP_LOAD, H_R11, p);
    segment_set_sp(l, H_RBP, (int32_t)(bits / 8));
    emit_size(l, bits);
    emit_op_reg(&l->e, false, OP_LOAD, H_RBP, H_R11);
}

/* --- near transfers --- */

/* The offset in EAX must lie in the code segment; the interpreter raises #GP. */
static void check_target(struct lower *l, unsigned bits)
{
    if (bits == 16)
        segment_truncate(l, H_RAX);
    if (l->code_limit >= (bits == 16 ? 0xffffu : UINT32_MAX))
        return;
    emit8(&l->e, 0x3d); /* cmp eax, imm32 */
    emit32(&l->e, l->code_limit);
    lower_step_if(l, CC_A);
}

/* What an indirect jump or call goes to, in EAX. */
static void load_target(struct lower *l)
{
    const struct operand *op = &l->in->op[0];
    unsigned bits = l->in->operand_width;

    flags_clobber(l);
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        struct pointer p = access_operand(l, op, POINTER_SUM);

        emit_size(l, bits);
        access_emit(l, false, OP_LOAD, H_RAX, p);
    } else {
        emit_op_reg(&l->e, false, OP_LOAD, H_RAX, host_register((unsigned)guest_operand(op)));
    }
    check_target(l, bits);
}

static void segment_jump(struct lower *l)
{
    l->ended = true;
    if (l->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        flow_exit(l, flow_target(l->in));
        return;
    }
    load_target(l);
    flow_dispatch(l);
}

static void segment_call(struct lower *l)
{
    unsigned bits = l->in->operand_width;
    bool direct = l->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

    l->ended = true;
    if (direct) {
        emit_mov_imm(&l->e, H_RAX, flow_next(l->in));
        push_spilled(l, bits);
        access_end_store(l);
        flow_call(l, flow_target(l->in));
        return;
    }
    load_target(l);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    emit_mov_imm(&l->e, H_RAX, flow_next(l->in));
    push_spilled(l, bits);
    access_end_store(l);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    flow_call_dispatch(l);
}

static void segment_return(struct lower *l)
{
    bool releases = l->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    bool returns = flow_predicts(l) && !releases;
    unsigned bits = l->in->operand_width;
    struct pointer p;

    l->ended = true;
    p = segment_stack(l, H_R15, 0, bits / 8);
    emit_size(l, bits);
    access_emit(l, false, OP_LOAD, H_RAX, p);
    check_target(l, bits);
    segment_set_sp(l, H_R15, (int32_t)(bits / 8 + (releases ? l->in->op[0].imm.u & 0xffff : 0)));
    if (returns)
        flow_return(l);
    else
        flow_dispatch(l);
}

/* LOOP, JCXZ, JECXZ. */
static void segment_loop(struct lower *l)
{
    bool loop = l->in->mnemonic == ZYDIS_MNEMONIC_LOOP;

    flags_clobber(l);
    emit_size(l, l->in->address_width);
    if (loop)
        emit_op_reg(&l->e, false, 0xff, 1, H_RCX); /* dec */
    else
        emit_op_reg(&l->e, false, 0x85, H_RCX, H_RCX); /* test */
    flow_exit_if(l, loop ? CC_NE : CC_E, flow_target(l->in));
    flow_exit(l, flow_next(l->in));
    l->ended = true;
}

/* --- the rest --- */

static void segment_lea(struct lower *l)
{
    offset(l, &l->in->op[1]);
    emit_size(l, l->in->operand_width);
    emit_op_reg(&l->e, false, OP_LOAD, host_register((unsigned)guest_operand(&l->in->op[0])), H_RAX);
}

/* MOV of AL, AX or EAX from or to an address in the instruction. */
static void segment_absolute(struct lower *l)
{
    bool store = l->in->opcode & 2, byte = !(l->in->opcode & 1);
    struct pointer p = access_operand(l, &l->in->op[store ? 0 : 1], POINTER_SUM);

    emit_size(l, byte ? 8 : l->in->operand_width);
    access_emit(l, false, (unsigned)(store ? OP_STORE : OP_LOAD) - byte, H_R10, p);
}

/* --- which row --- */

/* Near ones whose direct target is in the code segment; the interpreter raises #GP for others. */
static bool is_near_within(const struct translator *t, const struct insn *in, uint32_t mode)
{
    if (in->branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return false;
    return in->op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || in->category == ZYDIS_CATEGORY_RET ||
           flow_target(in) <= t->vcpu->seg[SEG_CS].limit;
}

static bool is_near_return(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return in->mnemonic == ZYDIS_MNEMONIC_RET && is_near_within(t, in, mode);
}

static bool pops_general(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return guest_operand(&in->op[0]) >= 0 && in->op[0].reg.value != ZYDIS_REGISTER_SP &&
           in->op[0].reg.value != ZYDIS_REGISTER_ESP;
}

static bool fits_stack(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return (in->operand_width == 32) == !!(mode & MODE_SS32);
}

static bool is_absolute(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->opcode & 0xfc) == 0xa0;
}

static bool is_plain_string(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return string_is_plain(in);
}

static bool not_virtual(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return !(mode & MODE_VM);
}

static bool is_protected(const struct translator *t, const struct insn *in, uint32_t mode)
{
    return mode & MODE_PE;
}

struct row {
    ZydisMnemonic mnemonic; /* or ZYDIS_MNEMONIC_INVALID: by category */
    ZydisInstructionCategory category;
    lower_function *lower;
    bool (*only)(const struct translator *t, const struct insn *in, uint32_t mode); /* NULL: all forms */
};
#define M(name) ZYDIS_MNEMONIC_##name, ZYDIS_CATEGORY_INVALID
#define C(name) ZYDIS_MNEMONIC_INVALID, ZYDIS_CATEGORY_##name

static const struct row rows[] = {
    {M(PUSH), segment_push, NULL},
    {M(POP), segment_pop, pops_general},
    {M(LEAVE), segment_leave, fits_stack},
    {M(LOOP), segment_loop, is_near_within},
    {M(JCXZ), segment_loop, is_near_within},
    {M(JECXZ), segment_loop, is_near_within},
    {M(LOOPE), lower_step, NULL},
    {M(LOOPNE), lower_step, NULL},
    {M(LEA), segment_lea, NULL},
    {M(MOV), segment_absolute, is_absolute},
    {M(IRET), lower_iret, is_protected},
    {M(IRETD), lower_iret, NULL},
    {M(CLI), lower_cli, not_virtual},
    {M(STI), lower_sti, not_virtual},
    {M(CLD), lower_direction, NULL},
    {M(STD), lower_direction, NULL},
    {M(LODSB), lower_lods, is_plain_string},
    {M(LODSW), lower_lods, is_plain_string},
    {M(LODSD), lower_lods, is_plain_string},
    {M(STOSB), lower_stos, is_plain_string},
    {M(STOSW), lower_stos, is_plain_string},
    {M(STOSD), lower_stos, is_plain_string},
    {M(SCASB), lower_scas, is_plain_string},
    {M(SCASW), lower_scas, is_plain_string},
    {M(SCASD), lower_scas, is_plain_string},
    {M(MOVSB), lower_movs, is_plain_string},
    {M(MOVSW), lower_movs, is_plain_string},
    {M(MOVSD), lower_movs, is_plain_string},
    {C(NOP), lower_nothing, NULL},
    {C(WIDENOP), lower_nothing, NULL},
    {C(COND_BR), lower_branch, is_near_within},
    {C(UNCOND_BR), segment_jump, is_near_within},
    {C(CALL), segment_call, is_near_within},
    {C(RET), segment_return, is_near_return},
};

static lower_function *row_of(const struct translator *t, const struct insn *in, uint32_t mode)
{
    lower_function *row = real_find(t, in, mode);

    if (row)
        return row;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        bool fits =
            r->mnemonic == ZYDIS_MNEMONIC_INVALID ? r->category == in->category : r->mnemonic == in->mnemonic;

        if (fits && (!r->only || r->only(t, in, mode)))
            return r->lower;
    }
    return segload_find(in, mode);
}

/* Copied, a 16-bit instruction gets an operand size prefix, which some take for another instruction. */
static bool is_copied(const struct insn *in, uint32_t mode)
{
    if (!copy_possible(in, mode))
        return false;
    if (in->width != 16)
        return true;
    switch (in->category) {
    case ZYDIS_CATEGORY_BINARY:
    case ZYDIS_CATEGORY_BITBYTE:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_ROTATE:
    case ZYDIS_CATEGORY_SEMAPHORE:
    case ZYDIS_CATEGORY_SETCC:
    case ZYDIS_CATEGORY_SHIFT:
    case ZYDIS_CATEGORY_X87_ALU:
        return in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
               (in->isa_ext == ZYDIS_ISA_EXT_BASE || in->isa_ext == ZYDIS_ISA_EXT_X87);
    default:
        return in->mnemonic == ZYDIS_MNEMONIC_CLC || in->mnemonic == ZYDIS_MNEMONIC_STC ||
               in->mnemonic == ZYDIS_MNEMONIC_CMC || in->mnemonic == ZYDIS_MNEMONIC_LAHF ||
               in->mnemonic == ZYDIS_MNEMONIC_SAHF;
    }
}

/* BT and its like reach beyond the operand with an offset in a register (SDM vol. 2, BT). */
static bool is_bit_string(const struct insn *in)
{
    return in->category == ZYDIS_CATEGORY_BITBYTE && in->memory && guest_operand(&in->op[1]) >= 0;
}

lower_function *segment_find(const struct translator *t, const struct insn *in, uint32_t mode)
{
    lower_function *row;

    if (!in->valid || in->lacking || is_bit_string(in))
        return lower_step;
    row = row_of(t, in, mode);
    if (row)
        return row;
    return is_copied(in, mode) ? lower_copy : lower_step;
}
