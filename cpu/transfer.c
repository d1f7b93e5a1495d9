/*
 * transfer.c - far jumps, calls and returns, call gates, and IRET in every mode.
 *
 * Interface: system.h. Invariants: every check and every push or pop comes before the first register changes, so
 * a fault leaves nothing but bytes below the stack pointer. Order of the checks: SDM vol. 2, JMP, CALL, RET, IRET.
 */
#include "cpu/access.h"
#include "cpu/descriptor.h"
#include "cpu/stack.h"
#include "cpu/system.h"

/* A code segment about to become CS. */
struct target {
    uint16_t selector;
    uint64_t rip;
    uint64_t descriptor[2];
    uint16_t attributes;
    unsigned cpl;
};

static uint64_t truncate_offset(uint64_t value, unsigned size)
{
    return size == 8 ? value : size == 4 ? (uint32_t)value : (uint16_t)value;
}

static bool target_is_64(const struct vcpu *v, const struct target *t)
{
    return cpu_in_long_mode(v) && t->attributes & SEGATTR_L;
}

/* The descriptor behind a far pointer: null, table limits; t->attributes. */
static enum cpu_status read_target(struct vcpu *v, struct target *t)
{
    enum cpu_status status;

    if (!(t->selector & 0xfffc))
        return cpu_raise_error(v, EXC_GP, 0);
    status = cpu_read_descriptor(v, t->selector, t->descriptor, false);
    t->attributes = descriptor_attributes(t->descriptor[0]);
    return status;
}

/* Presence, L and D, then whether the offset is inside. Marks the descriptor accessed. */
static enum cpu_status check_target(struct vcpu *v, struct target *t)
{
    struct segment cs;

    if (cpu_in_long_mode(v) && (t->attributes & (SEGATTR_L | SEGATTR_DB)) == (SEGATTR_L | SEGATTR_DB))
        return raise_selector(v, EXC_GP, t->selector);
    if (!(t->attributes & SEGATTR_P))
        return raise_selector(v, EXC_NP, t->selector);
    cpu_unpack_descriptor(&cs, t->selector, t->descriptor, false);
    if (target_is_64(v, t) ? !cpu_is_canonical(t->rip) : t->rip > cs.limit)
        return cpu_raise_error(v, EXC_GP, 0);
    return cpu_mark_accessed(v, t->selector, t->descriptor);
}

/* SS must have been set before: it holds the level. */
static void enter_target(struct vcpu *v, const struct target *t)
{
    cpu_unpack_descriptor(&v->seg[SEG_CS], (t->selector & 0xfffc) | t->cpl, t->descriptor, false);
    v->rip = t->rip;
    cpu_update_mode(v);
}

static enum cpu_status real_transfer(struct vcpu *v, uint16_t selector, uint64_t offset)
{
    if (offset > v->seg[SEG_CS].limit)
        return cpu_raise_error(v, EXC_GP, 0);
    cpu_load_segment_real(v, SEG_CS, selector);
    v->rip = offset;
    return CPU_OK;
}

/* A direct JMP or CALL to a code segment: the level stays. */
static enum cpu_status check_direct(struct vcpu *v, struct target *t)
{
    unsigned dpl = SEGATTR_DPL(t->attributes);

    t->cpl = v->cpl;
    if (attributes_conforming(t->attributes) ? dpl > v->cpl : (t->selector & 3u) > v->cpl || dpl != v->cpl)
        return raise_selector(v, EXC_GP, t->selector);
    return check_target(v, t);
}

/* JMP and CALL through a gate look at the gate first; *t becomes the code segment it leads to. */
static enum cpu_status follow_gate(struct vcpu *v, struct target *t, unsigned *size, unsigned *parameters)
{
    uint16_t gate_selector = t->selector, a = t->attributes, type = a & SEGATTR_TYPE;
    bool long_mode = cpu_in_long_mode(v);
    uint64_t gate[2];
    enum cpu_status status;

    if (SEGATTR_DPL(a) < v->cpl || SEGATTR_DPL(a) < (gate_selector & 3u))
        return raise_selector(v, EXC_GP, gate_selector);
    if (!(a & SEGATTR_P))
        return raise_selector(v, EXC_NP, gate_selector);
    status = cpu_read_descriptor(v, gate_selector, gate, long_mode);
    if (status != CPU_OK)
        return status;
    if (long_mode && gate[1] >> 40 & 0x1f)
        return raise_selector(v, EXC_GP, gate_selector);
    *size = long_mode ? 8 : type == TYPE_CALL ? 4 : 2;
    *parameters = long_mode ? 0 : (gate[0] >> 32) & 0x1f;
    t->selector = gate[0] >> 16;
    t->rip = (gate[0] & 0xffff) | ((gate[0] >> 32) & 0xffff0000);
    t->rip = long_mode ? t->rip | gate[1] << 32 : truncate_offset(t->rip, *size);
    status = read_target(v, t);
    if (status != CPU_OK)
        return status;
    if (!attributes_code(t->attributes) || SEGATTR_DPL(t->attributes) > v->cpl ||
        (long_mode && (t->attributes & (SEGATTR_L | SEGATTR_DB)) != SEGATTR_L))
        return raise_selector(v, EXC_GP, t->selector);
    t->cpl = attributes_conforming(t->attributes) ? v->cpl : SEGATTR_DPL(t->attributes);
    return CPU_OK;
}

enum far_kind { FAR_CODE, FAR_GATE, FAR_TASK, FAR_BAD };

static enum far_kind classify_target(const struct vcpu *v, uint16_t a)
{
    if (a & SEGATTR_S)
        return a & ATTR_CODE ? FAR_CODE : FAR_BAD;
    switch (a & SEGATTR_TYPE) {
    case TYPE_CALL:
        return FAR_GATE;
    case TYPE_CALL16:
        return cpu_in_long_mode(v) ? FAR_BAD : FAR_GATE;
    case TYPE_TASK_GATE:
    case TYPE_TSS16:
    case TYPE_TSS:
        return cpu_in_long_mode(v) ? FAR_BAD : FAR_TASK;
    }
    return FAR_BAD;
}

/* A TSS, or a task gate that leads to one. */
static enum cpu_status far_task(struct vcpu *v, const struct target *t, enum cpu_task_reason reason,
                                uint64_t next_rip)
{
    uint16_t selector = t->selector;

    if (SEGATTR_DPL(t->attributes) < v->cpl || SEGATTR_DPL(t->attributes) < (t->selector & 3u))
        return raise_selector(v, EXC_GP, t->selector);
    if (!(t->attributes & SEGATTR_P))
        return raise_selector(v, EXC_NP, t->selector);
    if ((t->attributes & SEGATTR_TYPE) == TYPE_TASK_GATE)
        selector = t->descriptor[0] >> 16;
    return cpu_switch_task(v, selector, reason, next_rip, NULL);
}

enum cpu_status cpu_far_jump(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip)
{
    struct target t = {.selector = selector, .rip = truncate_offset(offset, size)};
    unsigned parameters;
    enum cpu_status status;

    if (cpu_in_real_style(v))
        return real_transfer(v, selector, t.rip);
    status = read_target(v, &t);
    if (status != CPU_OK)
        return status;
    switch (classify_target(v, t.attributes)) {
    case FAR_CODE:
        status = check_direct(v, &t);
        break;
    case FAR_GATE:
        status = follow_gate(v, &t, &size, &parameters);
        if (status == CPU_OK && t.cpl != v->cpl) /* a jump cannot go inwards */
            status = raise_selector(v, EXC_GP, t.selector);
        if (status == CPU_OK)
            status = check_target(v, &t);
        break;
    case FAR_TASK:
        return far_task(v, &t, TASK_JUMP, next_rip);
    default:
        return raise_selector(v, EXC_GP, selector);
    }
    if (status == CPU_OK)
        enter_target(v, &t);
    return status;
}

static enum cpu_status push_return(struct vcpu *v, struct cpu_stack *s, uint64_t next_rip, unsigned size)
{
    const uint64_t words[2] = {v->seg[SEG_CS].selector, next_rip};

    return stack_push_list(v, s, words, 2, size);
}

/* The outer SS:SP and the parameters, copied from the outer stack. */
static enum cpu_status push_outer(struct vcpu *v, struct cpu_stack *s, unsigned size, unsigned parameters)
{
    const uint64_t words[2] = {v->seg[SEG_SS].selector, v->gpr[RSP]};
    uint64_t copied[32];
    struct cpu_stack outer;
    enum cpu_status status = stack_push_list(v, s, words, 2, size);

    stack_current(v, &outer);
    for (unsigned i = 0; i < parameters && status == CPU_OK; i++)
        status = stack_pop(v, &outer, &copied[i], size);
    while (parameters-- && status == CPU_OK)
        status = stack_push(v, s, copied[parameters], size);
    return status;
}

static enum cpu_status call_gate(struct vcpu *v, struct target *t, uint64_t next_rip)
{
    unsigned size, parameters;
    struct cpu_stack s;
    enum cpu_status status = follow_gate(v, t, &size, &parameters);

    if (status == CPU_OK)
        status = check_target(v, t);
    if (status != CPU_OK)
        return status;
    if (t->cpl < v->cpl) {
        status = stack_inner(v, t->cpl, &s);
        if (status == CPU_OK)
            status = push_outer(v, &s, size, parameters);
    } else {
        stack_current(v, &s);
    }
    if (status == CPU_OK)
        status = push_return(v, &s, next_rip, size);
    if (status != CPU_OK)
        return status;
    v->seg[SEG_SS] = s.ss;
    stack_commit(v, &s);
    enter_target(v, t);
    return CPU_OK;
}

static enum cpu_status real_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size,
                                 uint64_t next_rip)
{
    struct cpu_stack s;
    enum cpu_status status;

    stack_current(v, &s);
    status = push_return(v, &s, next_rip, size);
    if (status == CPU_OK)
        status = real_transfer(v, selector, offset);
    if (status == CPU_OK)
        stack_commit(v, &s);
    return status;
}

enum cpu_status cpu_far_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip)
{
    struct target t = {.selector = selector, .rip = truncate_offset(offset, size)};
    struct cpu_stack s;
    enum cpu_status status;

    if (cpu_in_real_style(v))
        return real_call(v, selector, t.rip, size, next_rip);
    status = read_target(v, &t);
    if (status != CPU_OK)
        return status;
    switch (classify_target(v, t.attributes)) {
    case FAR_CODE:
        break;
    case FAR_GATE:
        return call_gate(v, &t, next_rip);
    case FAR_TASK:
        return far_task(v, &t, TASK_CALL, next_rip);
    default:
        return raise_selector(v, EXC_GP, selector);
    }
    stack_current(v, &s);
    status = check_direct(v, &t);
    if (status == CPU_OK && target_is_64(v, &t)) { /* pushed in the new mode already, as AMD's processors do it */
        s.flat = true;
        s.mask = ~0ull;
    }
    if (status == CPU_OK)
        status = push_return(v, &s, next_rip, size);
    if (status != CPU_OK)
        return status;
    stack_commit(v, &s);
    enter_target(v, &t);
    return CPU_OK;
}

/* CS of a RET or IRET: its RPL is the level returned to. */
static enum cpu_status check_return_target(struct vcpu *v, struct target *t)
{
    unsigned rpl = t->selector & 3, dpl;
    enum cpu_status status = read_target(v, t);

    if (status != CPU_OK)
        return status;
    dpl = SEGATTR_DPL(t->attributes);
    if (!attributes_code(t->attributes) || rpl < v->cpl ||
        (attributes_conforming(t->attributes) ? dpl > rpl : dpl != rpl))
        return raise_selector(v, EXC_GP, t->selector);
    t->cpl = rpl;
    return check_target(v, t);
}

/* Where the popped stack pointer goes: the outer one whole, or as wide as its segment is. */
static void load_outer_stack(struct vcpu *v, const struct segment *ss, uint64_t sp, bool to_code64)
{
    struct cpu_stack s;

    stack_set_segment(&s, ss, sp);
    if (to_code64)
        s.mask = ~0ull;
    v->seg[SEG_SS] = *ss;
    stack_commit(v, &s);
}

static enum cpu_status real_return(struct vcpu *v, unsigned size, uint16_t release)
{
    uint64_t rip, cs;
    struct cpu_stack s;
    enum cpu_status status;

    stack_current(v, &s);
    status = stack_pop(v, &s, &rip, size);
    if (status == CPU_OK)
        status = stack_pop(v, &s, &cs, size);
    if (status == CPU_OK)
        status = real_transfer(v, cs, rip);
    if (status != CPU_OK)
        return status;
    s.sp += release;
    stack_commit(v, &s);
    return CPU_OK;
}

enum cpu_status cpu_far_return(struct vcpu *v, unsigned size, uint16_t release)
{
    struct target t;
    struct cpu_stack s;
    struct segment ss;
    uint64_t cs, sp, ss_selector;
    enum cpu_status status;

    if (cpu_in_real_style(v))
        return real_return(v, size, release);
    stack_current(v, &s);
    status = stack_pop(v, &s, &t.rip, size);
    if (status == CPU_OK)
        status = stack_pop(v, &s, &cs, size);
    t.selector = cs;
    if (status == CPU_OK)
        status = check_return_target(v, &t);
    if (status != CPU_OK)
        return status;
    s.sp += release;
    if (t.cpl == v->cpl) {
        stack_commit(v, &s);
        enter_target(v, &t);
        return CPU_OK;
    }
    status = stack_pop(v, &s, &sp, size);
    if (status == CPU_OK)
        status = stack_pop(v, &s, &ss_selector, size);
    if (status == CPU_OK)
        status = cpu_check_return_stack(v, ss_selector, t.cpl, target_is_64(v, &t), &ss);
    if (status != CPU_OK)
        return status;
    cpu_drop_inner_segments(v, t.cpl);
    load_outer_stack(v, &ss, sp + release, target_is_64(v, &t));
    enter_target(v, &t);
    return CPU_OK;
}
