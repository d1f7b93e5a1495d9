/*
 * thunks.c - permanent code: entering and leaving translated code, and calling C from it.
 *
 * Interface: struct translator_code. A callout is reached by `call` with RAX and R11 as arguments; it stores the
 * guest's registers in the vCPU, calls a C function (compiled without SIMD) with (vcpu, RAX, R11D), and goes on at
 * translator_vcpu.resume (the return address unless the function changed it) with RAX = translator_vcpu.value and
 * the guest's registers loaded again; or leaves translated code if the function returns true.
 * Invariants: C runs on its own stack, translated code on a return stack (stack.c); a callout is left by RET, so
 * that the host's prediction of returns stays in step.
 */
#include "translator/internal.h"

/* Which host register holds which guest register while translated code runs. */
static const struct {
    uint8_t host, guest;
} resident[] = {{H_RCX, RCX}, {H_RDX, RDX}, {H_RBX, RBX}, {H_RBP, RBP}, {H_RSI, RSI}, {H_RDI, RDI}, {H_R8, R8},
                {H_R9, R9},   {H_R10, RAX}, {H_R12, R12}, {H_R13, R13}, {H_R14, R14}, {H_R15, RSP}};
static const uint8_t callee_saved[] = {H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15};

static void move_guest_registers(struct emitter *e, unsigned opcode)
{
    for (unsigned i = 0; i < sizeof resident / sizeof *resident; i++)
        emit_op_vcpu(e, true, opcode, resident[i].host, H_NONE, V_OFFSET(gpr) + 8 * resident[i].guest);
}

static void emit_push(struct emitter *e, int reg)
{
    emit_rex(e, false, 0, 0, reg);
    emit8(e, 0x50u + (unsigned)(reg & 7));
}

static void emit_pop(struct emitter *e, int reg)
{
    emit_rex(e, false, 0, 0, reg);
    emit8(e, 0x58u + (unsigned)(reg & 7));
}

/* From C's stack to the return stack, and on at `resume`. */
static void emit_resume(struct emitter *e)
{
    emit_op_vcpu(e, true, OP_LOAD, H_RSP, H_NONE, TV_OFFSET(return_stack));
    emit_op_vcpu(e, false, 0xff, 6, H_NONE, TV_OFFSET(resume)); /* push */
    emit8(e, 0xc3);
}

/* What stops translated code is seen to before it goes on: anew if a signal comes meanwhile. */
static void emit_stop(struct emitter *e)
{
    const uint8_t *again;
    uint8_t *go_on;

    emit_op_vcpu(e, false, 0x80, 7, H_NONE, TV_OFFSET(stopping)); /* cmp byte, 0 */
    emit8(e, 0);
    go_on = emit_jcc_forward(e, CC_E);
    again = emit_here(e);
    emit_op_vcpu(e, true, OP_LOAD, H_RDI, H_NONE, TV_OFFSET(self));
    emit_mov_imm(e, H_RAX, (uintptr_t)(const void *)(uintptr_t)stop_go_on);
    emit8(e, 0xff); /* call rax */
    emit8(e, 0xd0);
    emit_op_vcpu(e, false, 0xf6, 0, H_NONE, TV_OFFSET(stopping)); /* test byte */
    emit8(e, STOPPING_SIGNALLED);
    emit_jcc(e, CC_NE, again);
    emit_bind(e, go_on);
}

/* void enter(struct vcpu *, const void *host) */
static const uint8_t *emit_enter(struct emitter *e)
{
    const uint8_t *entry = emit_here(e);

    for (unsigned i = 0; i < sizeof callee_saved; i++)
        emit_push(e, callee_saved[i]);
    emit_op_imm(e, true, 5, H_RSP, 8);
    emit_op_vcpu(e, true, OP_STORE, H_RSP, H_NONE, TV_OFFSET(c_stack));
    emit_op_vcpu(e, true, OP_STORE, H_RSI, H_NONE, TV_OFFSET(resume));
    emit_stop(e);
    move_guest_registers(e, OP_LOAD);
    emit_resume(e);
    return entry;
}

/* Returns from `enter`; the guest's registers are in the vCPU already. */
static const uint8_t *emit_leave(struct emitter *e)
{
    const uint8_t *entry = emit_here(e);

    emit_op_vcpu(e, true, OP_LOAD, H_RSP, H_NONE, TV_OFFSET(c_stack));
    emit_op_imm(e, true, 0, H_RSP, 8);
    for (unsigned i = sizeof callee_saved; i-- > 0;)
        emit_pop(e, callee_saved[i]);
    emit8(e, 0xc3);
    return entry;
}

static const uint8_t *emit_callout(struct emitter *e, const uint8_t *leave, const void *function)
{
    const uint8_t *entry = emit_here(e);

    move_guest_registers(e, OP_STORE);
    emit_op_vcpu(e, false, 0x8f, 0, H_NONE, TV_OFFSET(resume)); /* pop: the return address */
    emit_op_vcpu(e, true, OP_STORE, H_RSP, H_NONE, TV_OFFSET(return_stack));
    emit_op_vcpu(e, true, OP_LOAD, H_RSP, H_NONE, TV_OFFSET(c_stack));
    emit_op_vcpu(e, true, OP_LOAD, H_RDI, H_NONE, TV_OFFSET(self));
    emit_mov(e, H_RSI, H_RAX);
    emit_op_reg(e, true, OP_LOAD, H_RDX, H_R11);
    emit_mov_imm(e, H_RAX, (uintptr_t)function);
    emit8(e, 0xff); /* call rax */
    emit8(e, 0xd0);
    emit8(e, 0x84); /* test al, al */
    emit8(e, 0xc0);
    emit_jcc(e, CC_NE, leave);
    emit_stop(e);
    move_guest_registers(e, OP_LOAD);
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(value));
    emit_resume(e);
    return entry;
}

#define DESCRIPTOR(user, field)                                                                                   \
    (TV_OFFSET(descriptor[0][0].field) + (int32_t)((user) * sizeof(struct descriptor_entry) * DESCRIPTORS))

static void copy_word(struct emitter *e, int32_t from, int32_t to)
{
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_R11, from);
    emit_op_vcpu(e, true, OP_STORE, H_RAX, H_NONE, to);
}

/* Loads a data segment register with the selector in RAX where struct descriptor_entry tells how (`flat`: only of
   flat descriptors). R11 is the info of callout_segment, which does it otherwise. */
static const uint8_t *emit_segment(struct emitter *e, unsigned seg, unsigned user, bool flat,
                                   const uint8_t *otherwise)
{
    const uint8_t *entry = emit_here(e);
    uint8_t *unknown, *changed;

    emit_op_vcpu(e, true, OP_STORE, H_R11, H_NONE, TV_OFFSET(spill[1]));
    emit_op_imm(e, false, 4, H_RAX, 0xffff);
    emit_op_reg(e, false, OP_LOAD, H_R11, H_RAX);
    emit_op_imm(e, false, 4, H_R11, (DESCRIPTORS - 1) << 3);
    emit_shift(e, false, 4, H_R11, 3);
    emit_op_vcpu(e, false, OP_CMP, H_RAX, H_R11,
                 flat ? DESCRIPTOR(user, flat_selector) : DESCRIPTOR(user, selector));
    unknown = emit_jcc_forward(e, CC_NE);
    emit_op_vcpu(e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill[0]));
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_R11, DESCRIPTOR(user, host));
    emit_op_mem(e, true, OP_LOAD, H_RAX, H_RAX, H_NONE, 1, 0);
    emit_op_vcpu(e, true, OP_CMP, H_RAX, H_R11, DESCRIPTOR(user, raw));
    changed = emit_jcc_forward(e, CC_NE);
    copy_word(e, DESCRIPTOR(user, segment), V_SEGMENT(seg, selector));
    copy_word(e, DESCRIPTOR(user, segment.base), V_SEGMENT(seg, base));
    copy_word(e, DESCRIPTOR(user, span[0]), V_SPAN(false, seg));
    copy_word(e, DESCRIPTOR(user, span[1]), V_SPAN(true, seg));
    copy_word(e, DESCRIPTOR(user, closed), V_CLOSED(seg));
    emit8(e, 0xc3);
    emit_bind(e, changed);
    emit_op_vcpu(e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill[0]));
    emit_bind(e, unknown);
    emit_op_vcpu(e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill[1]));
    emit_jmp(e, otherwise);
    return entry;
}

/* RET to the address in RAX without a matching call: by the jump cache, else by C. R11: where from. */
static void emit_return(struct translator *t, struct emitter *e)
{
    uint8_t *miss = NULL, *stop = NULL;

    t->code.return_empty = emit_here(e);
    emit_op_mem(e, true, OP_LEA, H_RSP, H_RSP, H_NONE, 1, -8); /* the sentinel stays */
    t->code.return_other = emit_here(e);
    if (t->options.jump_cache) {
        emit_op_vcpu(e, false, 0x80, 7, H_NONE, TV_OFFSET(stopping)); /* cmp byte, 0 */
        emit8(e, 0);
        stop = emit_jcc_forward(e, CC_NE);
        emit_op_vcpu(e, true, OP_STORE, H_R11, H_NONE, TV_OFFSET(spill));
        emit_op_reg(e, false, OP_LOAD, H_R11, H_RAX);
        emit_op_imm(e, false, 4, H_R11, JUMP_CACHE_SIZE - 1);
        emit_shift(e, false, 4, H_R11, 4);
        emit_op_vcpu(e, true, OP_ADD, H_R11, H_NONE, TV_OFFSET(jump_base));
        emit_op_mem(e, true, OP_CMP, H_RAX, H_R11, H_NONE, 1, 0);
        miss = emit_jcc_forward(e, CC_NE);
        emit_op_mem(e, false, 0xff, 4, H_R11, H_NONE, 1, 8);
        emit_bind(e, miss);
        emit_op_vcpu(e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(spill));
        emit_bind(e, stop);
    }
    emit_call(e, t->code.return_c);
}

bool thunks_emit(struct translator *t)
{
    struct translator_code *c = &t->code;
    struct emitter e = {.start = t->cache.write_view,
                        .at = t->cache.write_view,
                        .end = t->cache.write_view + t->cache.code_size,
                        .execute_delta = cache_execute_delta(&t->cache)};

    c->enter = (void (*)(struct vcpu *, const void *))(uintptr_t)emit_enter(&e);
    c->leave = emit_leave(&e);
    c->memory = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_memory);
    c->commit = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_commit);
    c->return_c = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_return);
    emit_return(t, &e);
    c->step = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_step);
    c->dispatch = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_dispatch);
    c->interpret = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_interpret);
    c->link = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_link);
    c->syscall = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_syscall);
    c->sysret = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_sysret);
    c->iret = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_iret);
    c->sysenter = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_sysenter);
    c->sysexit = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_sysexit);
    c->crossing[CROSSING_SYSCALL] = crossing_emit(&e, CROSSING_SYSCALL, c->syscall);
    c->crossing[CROSSING_SYSRET] = crossing_emit(&e, CROSSING_SYSRET, c->sysret);
    c->crossing[CROSSING_SYSENTER] = crossing_emit(&e, CROSSING_SYSENTER, c->sysenter);
    c->crossing[CROSSING_SYSEXIT] = crossing_emit(&e, CROSSING_SYSEXIT, c->sysexit);
    c->load_segment = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_segment);
    for (unsigned seg = 0; seg < SEG_COUNT; seg++)
        for (unsigned user = 0; user < 2; user++)
            for (unsigned flat = 0; flat < 2; flat++)
                c->segment[seg][user][flat] = emit_segment(&e, seg, user, flat, c->load_segment);
    c->interrupt = emit_callout(&e, c->leave, (const void *)(uintptr_t)callout_interrupt);
    t->cache.code_used = (size_t)(e.at - e.start);
    cache_keep(&t->cache);
    return !e.failed;
}
