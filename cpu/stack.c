/*
 * stack.c - stacks for far transfers and event delivery, and the stack pointers of the TSS.
 *
 * Interface: stack.h. Invariant: no register changes here but in stack_commit.
 */
#include "cpu/access.h"
#include "cpu/descriptor.h"
#include "cpu/stack.h"
#include "cpu/system.h"

void stack_set_segment(struct cpu_stack *s, const struct segment *ss, uint64_t sp)
{
    s->ss = *ss;
    s->sp = sp;
    s->mask = ss->attributes & SEGATTR_DB ? 0xffffffffu : 0xffffu;
    s->flat = false;
    s->inner = false;
}

void stack_current(const struct vcpu *v, struct cpu_stack *s)
{
    stack_set_segment(s, &v->seg[SEG_SS], v->gpr[RSP]);
    if (cpu_in_code64(v)) {
        s->flat = true;
        s->mask = ~0ull;
    }
    s->context = v->data_context;
}

static enum cpu_status stack_fault(struct vcpu *v, const struct cpu_stack *s)
{
    return raise_selector(v, EXC_SS, s->inner ? s->ss.selector : 0);
}

/* Where `size` bytes at `sp` lie: linear, or #SS. */
static enum cpu_status stack_linear(struct vcpu *v, const struct cpu_stack *s, uint64_t sp, unsigned size,
                                    gva_t *linear)
{
    if (s->flat) {
        *linear = sp;
        return cpu_is_canonical(sp) && cpu_is_canonical(sp + size - 1) ? CPU_OK : stack_fault(v, s);
    }
    if (!segment_contains(&s->ss, sp & s->mask, size))
        return stack_fault(v, s);
    *linear = (uint32_t)(s->ss.base + (sp & s->mask));
    return CPU_OK;
}

enum cpu_status stack_push(struct vcpu *v, struct cpu_stack *s, uint64_t value, unsigned size)
{
    uint64_t sp = s->sp - size;
    gva_t linear;
    enum cpu_status status = stack_linear(v, s, sp, size, &linear);

    if (status == CPU_OK)
        status = cpu_write_context(v, s->context, linear, &value, size);
    if (status == CPU_OK)
        s->sp = sp;
    return status;
}

enum cpu_status stack_pop(struct vcpu *v, struct cpu_stack *s, uint64_t *value, unsigned size)
{
    gva_t linear;
    enum cpu_status status = stack_linear(v, s, s->sp, size, &linear);

    *value = 0;
    if (status == CPU_OK)
        status = cpu_read_context(v, s->context, linear, value, size);
    if (status == CPU_OK)
        s->sp += size;
    return status;
}

enum cpu_status stack_push_list(struct vcpu *v, struct cpu_stack *s, const uint64_t *values, unsigned count,
                                unsigned size)
{
    for (unsigned i = 0; i < count; i++) {
        enum cpu_status status = stack_push(v, s, values[i], size);

        if (status != CPU_OK)
            return status;
    }
    return CPU_OK;
}

void stack_commit(struct vcpu *v, const struct cpu_stack *s)
{
    if (s->mask == 0xffff)
        v->gpr[RSP] = (v->gpr[RSP] & ~0xffffull) | (s->sp & 0xffff);
    else
        v->gpr[RSP] = s->sp & s->mask;
}

enum cpu_status stack_read_tss_pointer(struct vcpu *v, unsigned offset, uint64_t *rsp)
{
    if (offset + 7 > v->tr.limit)
        return raise_selector(v, EXC_TS, v->tr.selector);
    return cpu_read_system(v, v->tr.base + offset, rsp, 8);
}

/* SS:ESP of a 16- or 32-bit TSS (SDM vol. 3, 7.2.1 and 7.6). */
static enum cpu_status read_legacy_pointer(struct vcpu *v, unsigned cpl, uint16_t *selector, uint64_t *sp)
{
    bool wide = v->tr.attributes & 8;
    unsigned width = wide ? 4 : 2, offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    enum cpu_status status;

    *sp = 0;
    if (offset + width + 1 > v->tr.limit)
        return raise_selector(v, EXC_TS, v->tr.selector);
    status = cpu_read_system(v, v->tr.base + offset, sp, width);
    if (status == CPU_OK)
        status = cpu_read_system(v, v->tr.base + offset + width, selector, 2);
    return status;
}

enum cpu_status stack_inner(struct vcpu *v, unsigned cpl, struct cpu_stack *s)
{
    uint64_t d[2] = {0, 0}, sp;
    uint16_t selector, a;
    enum cpu_status status;

    s->context = stack_context(v, cpl);
    s->inner = true;
    if (cpu_in_long_mode(v)) {
        cpu_null_segment(&s->ss, cpl, cpl);
        s->flat = true;
        s->mask = ~0ull;
        return stack_read_tss_pointer(v, 4 + 8 * cpl, &s->sp);
    }
    status = read_legacy_pointer(v, cpl, &selector, &sp);
    if (status != CPU_OK)
        return status;
    if (!(selector & 0xfffc))
        return cpu_raise_error(v, EXC_TS, 0);
    status = cpu_read_descriptor(v, selector, d, false);
    if (status == CPU_FAULT && v->fault.vector == EXC_GP)
        v->fault.vector = EXC_TS;
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(d[0]);
    if ((selector & 3) != cpl || SEGATTR_DPL(a) != cpl || !attributes_writable_data(a))
        return raise_selector(v, EXC_TS, selector);
    if (!(a & SEGATTR_P))
        return raise_selector(v, EXC_SS, selector);
    status = cpu_mark_accessed(v, selector, d);
    if (status != CPU_OK)
        return status;
    cpu_unpack_descriptor(&s->ss, selector, d, false);
    stack_set_segment(s, &s->ss, sp);
    s->inner = true;
    return CPU_OK;
}
