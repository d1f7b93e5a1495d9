/*
 * operands.c - the slow halves of the interpreter's operand access: segment checks, page crossings, locked
 * updates.
 *
 * Interface: interp.h. Invariant: a failure leaves no trace.
 */
#include "cpu/interp.h"

static enum cpu_status raise_limit(struct vcpu *v, unsigned seg)
{
    return cpu_raise_error(v, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

/* SDM vol. 3, 5.3 to 5.5 */
static enum cpu_status check_segment(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, bool write)
{
    const struct segment *s = &v->seg[seg];
    uint64_t last = offset + size - 1;
    unsigned type = s->attributes & SEGATTR_TYPE;

    if (v->mode & MODE_PE && !(v->mode & MODE_VM)) {
        if (!(s->attributes & SEGATTR_P))
            return raise_limit(v, seg); /* null selector */
        if (type & 8 ? write || !(type & 2) : write && !(type & 2))
            return raise_limit(v, seg);
    }
    if ((type & 0xc) == 4) { /* expand-down data: valid above the limit */
        uint64_t top = s->attributes & SEGATTR_DB ? 0xffffffffu : 0xffffu;

        return offset > s->limit && last <= top ? CPU_OK : raise_limit(v, seg);
    }
    return last <= s->limit ? CPU_OK : raise_limit(v, seg);
}

enum cpu_status operand_check(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, bool write,
                              gva_t *linear)
{
    if (insn_code64(v)) {
        *linear = offset + (seg >= SEG_FS ? v->seg[seg].base : 0);
    } else {
        TRY(check_segment(v, seg, offset, size, write));
        *linear = (uint32_t)(v->seg[seg].base + offset);
    }
    if (v->rflags & FLAG_AC && v->cpl == 3 && v->cr0 & CR0_AM && size <= 8 && *linear & (size - 1) &&
        !(size & (size - 1)))
        return cpu_raise_error(v, EXC_AC, 0);
    if (v->mode & MODE_SINGLE)
        cpu_debug_access(v, *linear, size, write);
    return CPU_OK;
}

enum cpu_status mem_read_slow(struct vcpu *v, unsigned seg, gva_t linear, unsigned size, uint64_t *value)
{
    uint64_t buffer = 0;

    TRY(through_segment(v, seg, cpu_read(v, linear, &buffer, size)));
    *value = buffer;
    return CPU_OK;
}

enum cpu_status mem_read_bytes(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, void *to)
{
    gva_t linear;

    TRY(operand_linear(v, seg, offset, size, false, &linear));
    return through_segment(v, seg, cpu_read(v, linear, to, size));
}

enum cpu_status mem_write_bytes(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, const void *from)
{
    gva_t linear;

    TRY(operand_linear(v, seg, offset, size, true, &linear));
    return through_segment(v, seg, cpu_write(v, linear, from, size));
}

enum cpu_status mem_check_write(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size)
{
    gva_t linear;

    TRY(operand_linear(v, seg, offset, size, true, &linear));
    return through_segment(v, seg, cpu_check_write(v, linear, size));
}

enum cpu_status rmw_open_memory(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, bool lock,
                                struct rmw *r)
{
    r->is_reg = false;
    r->size = (uint8_t)size;
    r->lock = lock;
    TRY(operand_linear(v, seg, offset, size, true, &r->linear));
    TRY(through_segment(v, seg, cpu_atomic_host(v, r->linear, size, &r->host)));
    if (r->host) {
        r->old = host_load(r->host, size);
        return CPU_OK;
    }
    return mem_read_slow(v, seg, r->linear, size, &r->old);
}

bool rmw_close_memory(struct vcpu *v, struct rmw *r, uint64_t value)
{
    if (!r->host) {
        /* cannot fail: opening has checked it */
        cpu_write(v, r->linear, &value, r->size);
        return true;
    }
    if (v->write_log)
        v->write_log->before_write(v->write_log->opaque, r->host, r->size);
    if (r->lock) {
        if (!host_exchange(r->host, r->size, &r->old, value))
            return false;
    } else {
        host_store(r->host, r->size, value);
    }
    cpu_atomic_done(v, r->host, r->size);
    return true;
}

enum cpu_status near_target(struct vcpu *v, struct insn *i, uint64_t target)
{
    if (insn_code64(v)) {
        if (!cpu_is_canonical(target))
            return raise_gp(v);
    } else {
        target &= size_mask(i->opsize);
        if (target > v->seg[SEG_CS].limit)
            return raise_gp(v);
    }
    i->next = target;
    return CPU_OK;
}
