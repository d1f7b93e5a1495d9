/*
 * real.c - transfers of real-mode code from one 64 KiB code segment to another: far jumps, calls and returns, INT
 * and IRET.
 *
 * Interface: real_find. Invariants: as cpu_load_segment_real does it, CS gets a base from its selector,
 * and keeps its limit; translated code is then of another mode (MODE_CODE_SEGMENT), which stack_mode must say. A
 * direct target is reached through a cell; a return takes the number of its code segment from the vCPU's
 * real_segment[].
 */
#include "translator/segment.h"

#define CODE_ATTRIBUTES (SEGATTR_P | SEGATTR_S | 11)

static void emit_attributes(struct lower *l)
{
    emit_op_vcpu(&l->e, false, 0xc6, 0, H_NONE, V_SEGMENT(SEG_CS, attributes)); /* mov byte */
    emit8(&l->e, CODE_ATTRIBUTES);
}

static void emit_store_imm(struct lower *l, bool wide, int32_t field, uint32_t value)
{
    emit_op_vcpu(&l->e, wide, 0xc7, 0, H_NONE, field);
    emit32(&l->e, value);
}

/* CS and IP of the instruction behind, as one word: either both are pushed, or none. */
static void push_far(struct lower *l)
{
    struct pointer p;

    selector_read(l, H_RAX, ZYDIS_REGISTER_CS);
    emit_shift(&l->e, false, 4, H_RAX, 16);
    emit_op_imm(&l->e, false, 1, H_RAX, (int32_t)(flow_next(l->in) & 0xffff)); /* or */
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    p = segment_frame(l, -4, 4 | MEMORY_WRITE);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill));
    access_emit(l, false, OP_STORE, H_R11, p);
    segment_set_sp(l, H_R15, -4);
    access_end_store(l);
}

/* CALL and JMP to a selector and offset in the instruction. */
static void lower_far_call(struct lower *l)
{
    const struct operand *to = &l->in->op[0];
    uint32_t base = (uint32_t)to->ptr.segment << 4, number = lookup_code_segment(l->tv, base, 0xffff);

    if (!number) {
        lower_step(l);
        return;
    }
    l->ended = true;
    flags_clobber(l);
    if (l->in->mnemonic == ZYDIS_MNEMONIC_CALL)
        push_far(l);
    emit8(&l->e, 0x66);
    emit_op_vcpu(&l->e, false, 0xc7, 0, H_NONE, V_SEGMENT(SEG_CS, selector)); /* mov word */
    emit_bytes(&l->e, &to->ptr.segment, 2);
    emit_attributes(l);
    emit_store_imm(l, true, V_SEGMENT(SEG_CS, base), base);
    emit_store_imm(l, false, TV_OFFSET(stack_mode[0]),
                   (l->mode & ~(MODE_CODE_SEGMENT | MODE_NO_GROUP)) | number << MODE_CODE_SEGMENT_SHIFT);
    flow_far(l, to->ptr.offset & 0xffff);
}

/* The code segment that CS:IP in EAX (selector above) are of becomes the current one; RAX is then what its blocks
   are known by. */
static void enter_segment(struct lower *l)
{
    struct emitter *e = &l->e;

    emit_op_vcpu(e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    emit_op_reg(e, false, OP_LOAD, H_R11, H_RAX);
    emit_shift(e, false, 5, H_R11, 16);
    emit_op_reg(e, false, OP_LOAD, H_RAX, H_R11);
    emit_shift(e, false, 5, H_RAX, 8);
    emit_op_reg(e, false, OP_XOR, H_RAX, H_R11);
    emit_op_imm(e, false, 4, H_RAX, REAL_SEGMENTS - 1);
    emit_shift(e, false, 4, H_RAX, 3);
    emit_op_vcpu(e, false, OP_CMP, H_R11, H_RAX, TV_OFFSET(real_segment[0].selector));
    lower_step_if(l, CC_NE);
    emit_op_vcpu(e, false, OP_LOAD, H_RAX, H_RAX, TV_OFFSET(real_segment[0].number));
    emit_op_imm(e, false, 1, H_RAX, (int32_t)(l->mode & ~(MODE_CODE_SEGMENT | MODE_NO_GROUP))); /* or */
    emit_op_vcpu(e, false, OP_STORE, H_RAX, H_NONE, TV_OFFSET(stack_mode[0]));
    emit8(e, 0x66);
    emit_op_vcpu(e, false, OP_STORE, H_R11, H_NONE, V_SEGMENT(SEG_CS, selector));
    emit_shift(e, false, 4, H_R11, 4);
    emit_op_vcpu(e, true, OP_STORE, H_R11, H_NONE, V_SEGMENT(SEG_CS, base));
    emit_attributes(l);
    emit_shift(e, true, 4, H_RAX, 32);
    emit_op_vcpu(e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill));
    segment_truncate(l, H_R11);
    emit_op_reg(e, true, OP_OR, H_RAX, H_R11);
}

static void lower_far_return(struct lower *l)
{
    bool releases = l->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    struct pointer p;

    l->ended = true;
    p = segment_frame(l, 0, 4);
    access_emit(l, false, OP_LOAD, H_RAX, p);
    enter_segment(l);
    segment_set_sp(l, H_R15, 4 + (releases ? (int32_t)(l->in->op[0].imm.u & 0xffff) : 0));
    if (flow_predicts(l))
        flow_far_return(l);
    else
        flow_dispatch_tagged(l);
}

/* test dword gs:[rflags], imm32 */
static void test_rflags(struct lower *l, uint32_t flags)
{
    emit_op_vcpu(&l->e, false, 0xf7, 0, H_NONE, V_OFFSET(rflags));
    emit32(&l->e, flags);
}

/* Offset and selector of the vector in EAX. */
static void read_vector(struct lower *l, unsigned vector)
{
    struct pointer p;

    emit8(&l->e, 0x66);
    emit_op_vcpu(&l->e, false, 0x81, 7, H_NONE, V_OFFSET(idtr.limit)); /* cmp word, imm16 */
    emit8(&l->e, (4 * vector + 3) & 0xff);
    emit8(&l->e, (4 * vector + 3) >> 8);
    lower_step_if(l, CC_B);
    test_rflags(l, FLAG_TF | FLAG_AC | FLAG_RF);
    lower_step_if(l, CC_NE);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, V_OFFSET(idtr.base));
    emit_op_imm(&l->e, true, 0, H_RAX, (int32_t)(4 * vector)); /* add */
    p = access_check(l, 4, POINTER_ONE_REGISTER, H_R11);
    access_emit(l, false, OP_LOAD, H_RAX, p);
}

/* FLAGS, CS and IP, or none of them. */
static void push_interrupt_frame(struct lower *l)
{
    struct pointer p;

    system_flags_image(l);
    emit_shift(&l->e, true, 4, H_RAX, 32);
    selector_read(l, H_R11, ZYDIS_REGISTER_CS);
    emit_shift(&l->e, false, 4, H_R11, 16);
    emit_op_imm(&l->e, false, 1, H_R11, (int32_t)(flow_next(l->in) & 0xffff)); /* or */
    emit_op_reg(&l->e, true, OP_OR, H_RAX, H_R11);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    p = segment_frame(l, -6, 6 | MEMORY_WRITE);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill));
    access_emit(l, false, OP_STORE, H_R11, p);
    emit_shift(&l->e, true, 5, H_R11, 32);
    p.disp += 4;
    emit8(&l->e, 0x66);
    access_emit(l, false, OP_STORE, H_R11, p);
    access_end_store(l);
}

/* INT n (SDM vol. 3, 20.1.4). A handler in a segment that is not known yet has the interpreter do it again. */
static void lower_real_interrupt(struct lower *l)
{
    l->ended = true;
    flags_clobber(l);
    read_vector(l, l->in->op[0].imm.u & 0xff);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    push_interrupt_frame(l);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    enter_segment(l);
    segment_set_sp(l, H_R15, -6);
    emit_op_vcpu(&l->e, false, 0x81, 4, H_NONE, V_OFFSET(rflags)); /* and */
    emit32(&l->e, ~FLAG_IF);
    flow_dispatch_tagged(l);
}

/* IRET, where it changes no flags but arithmetic ones and IF, and nothing waits for it. */
static void lower_real_iret(struct lower *l)
{
    struct emitter *e = &l->e;
    struct pointer p;

    l->ended = true;
    flags_clobber(l);
    emit_op_vcpu(e, false, 0x80, 7, H_NONE, V_OFFSET(interrupt_line)); /* cmp byte, 0 */
    emit8(e, 0);
    lower_step_if(l, CC_NE);
    emit_op_vcpu(e, false, 0x80, 7, H_NONE, V_OFFSET(nmi_blocked));
    emit8(e, 0);
    lower_step_if(l, CC_NE);
    test_rflags(l, FLAG_RF);
    lower_step_if(l, CC_NE);
    p = segment_frame(l, 0, 6);
    access_emit(l, false, OP_LOAD, H_R11, p);
    emit_op_vcpu(e, true, OP_STORE, H_R11, H_NONE, TV_OFFSET(spill[1]));
    p.disp += 4;
    emit8(e, 0x66);
    access_emit(l, false, OP_LOAD, H_R11, p);
    segment_truncate(l, H_R11);
    emit_op_vcpu(e, true, OP_STORE, H_R11, H_NONE, TV_OFFSET(spill[2]));
    emit_op_vcpu(e, false, OP_XOR, H_R11, H_NONE, V_OFFSET(rflags));
    emit_op_imm(e, false, 4, H_R11, (int32_t)(0xffff & ~(FLAGS_ARITH | FLAG_IF))); /* and */
    lower_step_if(l, CC_NE);
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    enter_segment(l);
    emit_op_vcpu(e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill[2]));
    emit8(e, 0x66);
    emit_op_vcpu(e, false, OP_STORE, H_RAX, H_NONE, V_OFFSET(rflags));
    flags_emit_take(e);
    segment_set_sp(l, H_R15, 6);
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill[1]));
    flow_dispatch_tagged(l);
}

lower_function *real_find(const struct translator *t, const struct insn *in, uint32_t mode)
{
    bool far = in->branch_type == ZYDIS_BRANCH_TYPE_FAR;

    if (mode & MODE_PE || t->vcpu->seg[SEG_CS].limit != 0xffff || in->operand_width != 16 ||
        !t->options.inline_system)
        return NULL;
    if (far && in->op[0].type == ZYDIS_OPERAND_TYPE_POINTER)
        return lower_far_call;
    if (far && in->mnemonic == ZYDIS_MNEMONIC_RET)
        return lower_far_return;
    if (in->mnemonic == ZYDIS_MNEMONIC_IRET)
        return lower_real_iret;
    if (in->mnemonic == ZYDIS_MNEMONIC_INT && !(t->vcpu->log_topics & VCPU_LOG_INT))
        return lower_real_interrupt;
    return NULL;
}
