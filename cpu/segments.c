/*
 * segments.c - segment registers and descriptor tables: loads with every check, LAR, LSL, VERR, VERW.
 *
 * Interface: system.h, and descriptor.h for the rest of cpu/. Invariants: a descriptor cache is written only
 * after the last check; a null selector leaves attributes without P (unusable) but SS keeps the CPL as its DPL.
 */
#include "cpu/access.h"
#include "cpu/descriptor.h"
#include "cpu/system.h"

enum cpu_status cpu_read_descriptor(struct vcpu *v, uint16_t selector, uint64_t descriptor[2], bool wide)
{
    unsigned size = wide ? 16 : 8, index = selector & SELECTOR_INDEX;
    uint64_t base = v->gdtr.base, limit = v->gdtr.limit;

    if (selector & SELECTOR_TI) {
        if (!(v->ldtr.attributes & SEGATTR_P))
            return raise_selector(v, EXC_GP, selector);
        base = v->ldtr.base;
        limit = v->ldtr.limit;
    }
    if (index + size - 1 > limit)
        return raise_selector(v, EXC_GP, selector);
    descriptor[1] = 0;
    return cpu_read_system(v, base + index, descriptor, size);
}

void cpu_unpack_descriptor(struct segment *s, uint16_t selector, const uint64_t descriptor[2], bool wide)
{
    uint64_t d = descriptor[0];
    uint32_t limit = (d & 0xffff) | ((d >> 32) & 0xf0000);

    s->selector = selector;
    s->attributes = descriptor_attributes(d);
    s->limit = s->attributes & SEGATTR_G ? (limit << 12) | 0xfff : limit;
    s->base = ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000);
    if (wide)
        s->base |= descriptor[1] << 32;
}

enum cpu_status cpu_mark_accessed(struct vcpu *v, uint16_t selector, uint64_t *descriptor)
{
    uint64_t base = selector & SELECTOR_TI ? v->ldtr.base : v->gdtr.base;
    uint8_t type;

    if (*descriptor & 1ull << 40)
        return CPU_OK;
    *descriptor |= 1ull << 40;
    type = *descriptor >> 40;
    return cpu_write_system(v, base + (selector & SELECTOR_INDEX) + 5, &type, 1);
}

void cpu_null_segment(struct segment *s, uint16_t selector, unsigned dpl)
{
    *s = (struct segment){.selector = selector, .attributes = dpl << 5};
}

/* The access rights survive in real mode (SDM vol. 3, 20.1.1); limit too, which makes "unreal" mode work. */
void cpu_load_segment_real(struct vcpu *v, unsigned seg, uint16_t selector)
{
    struct segment *s = &v->seg[seg];

    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (v->rflags & FLAG_VM) {
        s->limit = 0xffff;
        s->attributes = SEGATTR_P | 3u << 5 | SEGATTR_S | 3;
    } else if (seg == SEG_CS) {
        s->attributes = (s->attributes & (SEGATTR_DB | SEGATTR_G)) | SEGATTR_P | SEGATTR_S | 11;
    }
    if (!(s->attributes & SEGATTR_P)) { /* null since protected mode: usable again */
        s->attributes = SEGATTR_P | SEGATTR_S | 3;
        s->limit = 0xffff;
    }
    if (seg == SEG_CS) /* transfers change FLAGS before it */
        cpu_update_level(v);
    else
        cpu_update_segment(v, seg);
}

/* SDM vol. 2, MOV: the checks for SS. */
static enum cpu_status check_stack_segment(struct vcpu *v, uint16_t selector, uint16_t a)
{
    if ((selector & 3) != v->cpl || !attributes_writable_data(a) || SEGATTR_DPL(a) != v->cpl)
        return raise_selector(v, EXC_GP, selector);
    return a & SEGATTR_P ? CPU_OK : raise_selector(v, EXC_SS, selector);
}

static enum cpu_status check_data_segment(struct vcpu *v, uint16_t selector, uint16_t a)
{
    unsigned dpl = SEGATTR_DPL(a);

    if (!attributes_readable(a) || (attributes_guarded(a) && ((selector & 3u) > dpl || v->cpl > dpl)))
        return raise_selector(v, EXC_GP, selector);
    return a & SEGATTR_P ? CPU_OK : raise_selector(v, EXC_NP, selector);
}

static enum cpu_status load_null(struct vcpu *v, unsigned seg, uint16_t selector)
{
    if (seg == SEG_SS && (!cpu_in_code64(v) || v->cpl == 3 || (selector & 3) != v->cpl))
        return cpu_raise_error(v, EXC_GP, 0);
    cpu_null_segment(&v->seg[seg], selector, seg == SEG_SS ? v->cpl : 0);
    cpu_update_segment(v, seg);
    return CPU_OK;
}

enum cpu_status cpu_load_segment(struct vcpu *v, unsigned seg, uint16_t selector)
{
    uint64_t d[2];
    uint16_t a;
    enum cpu_status status;

    if (seg == SEG_CS || seg >= SEG_COUNT)
        return cpu_raise(v, EXC_UD);
    if (cpu_in_real_style(v)) {
        cpu_load_segment_real(v, seg, selector);
        return CPU_OK;
    }
    if (!(selector & 0xfffc))
        return load_null(v, seg, selector);
    status = cpu_read_descriptor(v, selector, d, false);
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(d[0]);
    status = seg == SEG_SS ? check_stack_segment(v, selector, a) : check_data_segment(v, selector, a);
    if (status == CPU_OK)
        status = cpu_mark_accessed(v, selector, d);
    if (status != CPU_OK)
        return status;
    cpu_unpack_descriptor(&v->seg[seg], selector, d, false);
    cpu_update_segment(v, seg);
    return CPU_OK;
}

enum cpu_status cpu_check_return_stack(struct vcpu *v, uint16_t selector, unsigned cpl, bool to_code64,
                                       struct segment *out)
{
    uint64_t d[2];
    uint16_t a;
    enum cpu_status status;

    if (!(selector & 0xfffc)) {
        if (!to_code64 || cpl == 3 || (selector & 3u) != cpl)
            return cpu_raise_error(v, EXC_GP, 0);
        cpu_null_segment(out, selector, cpl);
        return CPU_OK;
    }
    status = cpu_read_descriptor(v, selector, d, false);
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(d[0]);
    if ((selector & 3u) != cpl || !attributes_writable_data(a) || SEGATTR_DPL(a) != cpl)
        return raise_selector(v, EXC_GP, selector);
    if (!(a & SEGATTR_P))
        return raise_selector(v, EXC_SS, selector);
    status = cpu_mark_accessed(v, selector, d);
    if (status == CPU_OK)
        cpu_unpack_descriptor(out, selector, d, false);
    return status;
}

/* SDM vol. 2, RET: "segment register <- 0 when CPL > DPL". A register that is null already keeps its base. */
void cpu_drop_inner_segments(struct vcpu *v, unsigned cpl)
{
    static const uint8_t order[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};

    for (unsigned i = 0; i < sizeof order; i++) {
        struct segment *s = &v->seg[order[i]];

        if (s->attributes & SEGATTR_P && attributes_guarded(s->attributes) && SEGATTR_DPL(s->attributes) < cpl) {
            cpu_null_segment(s, 0, 0);
            cpu_update_span(v, order[i]);
        }
    }
}

/* LLDT and LTR: privilege, then the selector's table. */
static enum cpu_status check_system_load(struct vcpu *v)
{
    if (cpu_in_real_style(v))
        return cpu_raise(v, EXC_UD);
    return v->cpl ? cpu_raise_error(v, EXC_GP, 0) : CPU_OK;
}

enum cpu_status cpu_load_ldt(struct vcpu *v, uint16_t selector)
{
    bool wide = cpu_in_long_mode(v);
    uint64_t d[2];
    enum cpu_status status = check_system_load(v);

    if (status != CPU_OK)
        return status;
    if (!(selector & 0xfffc)) {
        cpu_null_segment(&v->ldtr, selector, 0);
        return CPU_OK;
    }
    if (selector & SELECTOR_TI)
        return raise_selector(v, EXC_GP, selector);
    status = cpu_read_descriptor(v, selector, d, wide);
    if (status != CPU_OK)
        return status;
    if ((descriptor_attributes(d[0]) & 0x1f) != TYPE_LDT)
        return raise_selector(v, EXC_GP, selector);
    if (!(descriptor_attributes(d[0]) & SEGATTR_P))
        return raise_selector(v, EXC_NP, selector);
    cpu_unpack_descriptor(&v->ldtr, selector, d, wide);
    return CPU_OK;
}

enum cpu_status cpu_load_task(struct vcpu *v, uint16_t selector)
{
    bool wide = cpu_in_long_mode(v);
    uint64_t d[2];
    uint8_t type;
    enum cpu_status status = check_system_load(v);

    if (status != CPU_OK)
        return status;
    if (!(selector & 0xfffc))
        return cpu_raise_error(v, EXC_GP, 0);
    if (selector & SELECTOR_TI)
        return raise_selector(v, EXC_GP, selector);
    status = cpu_read_descriptor(v, selector, d, wide);
    if (status != CPU_OK)
        return status;
    type = descriptor_attributes(d[0]) & 0x1f;
    if (type != TYPE_TSS && (wide || type != TYPE_TSS16))
        return raise_selector(v, EXC_GP, selector);
    if (!(descriptor_attributes(d[0]) & SEGATTR_P))
        return raise_selector(v, EXC_NP, selector);
    d[0] |= 2ull << 40; /* busy */
    type = d[0] >> 40;
    status = cpu_write_system(v, v->gdtr.base + (selector & SELECTOR_INDEX) + 5, &type, 1);
    if (status == CPU_OK)
        cpu_unpack_descriptor(&v->tr, selector, d, wide);
    return status;
}

/* The system types that LAR and LSL accept: bit n for type n (SDM vol. 2, tables 3-52 and 3-56). */
#define LAR_TYPES 0x1a3eu      /* 1 2 3 4 5 9 11 12 */
#define LAR_TYPES_LONG 0x1a04u /* 2 9 11 12 */
#define LSL_TYPES 0x0a0eu      /* 1 2 3 9 11 */
#define LSL_TYPES_LONG 0x0a04u /* 2 9 11 */

/* What LAR, LSL, VERR and VERW have in common. *ok false: not accessible, ZF is cleared. */
static enum cpu_status inspect(struct vcpu *v, uint16_t selector, uint32_t system_types, uint64_t d[2], bool *ok)
{
    enum cpu_status status;
    unsigned dpl;
    uint16_t a;

    *ok = false;
    if (cpu_in_real_style(v))
        return cpu_raise(v, EXC_UD);
    if (!(selector & 0xfffc))
        return CPU_OK;
    status = cpu_read_descriptor(v, selector, d, false);
    if (status == CPU_FAULT && v->fault.vector == EXC_GP)
        return CPU_OK; /* outside of the table, no exception here */
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(d[0]);
    dpl = SEGATTR_DPL(a);
    if (!(a & SEGATTR_S) && !(system_types & 1u << (a & SEGATTR_TYPE)))
        return CPU_OK;
    if (!attributes_conforming(a) && (v->cpl > dpl || (selector & 3u) > dpl))
        return CPU_OK;
    *ok = true;
    return CPU_OK;
}

enum cpu_status cpu_lar(struct vcpu *v, uint16_t selector, uint32_t *access, bool *ok)
{
    uint64_t d[2];
    enum cpu_status status = inspect(v, selector, cpu_in_long_mode(v) ? LAR_TYPES_LONG : LAR_TYPES, d, ok);

    if (status == CPU_OK && *ok)
        *access = (d[0] >> 32) & 0x00ffff00; /* bits 16-19 are undefined: as AMD's processors do it */
    return status;
}

enum cpu_status cpu_lsl(struct vcpu *v, uint16_t selector, uint32_t *limit, bool *ok)
{
    struct segment s;
    uint64_t d[2];
    enum cpu_status status = inspect(v, selector, cpu_in_long_mode(v) ? LSL_TYPES_LONG : LSL_TYPES, d, ok);

    if (status == CPU_OK && *ok) {
        cpu_unpack_descriptor(&s, selector, d, false);
        *limit = s.limit;
    }
    return status;
}

enum cpu_status cpu_verify(struct vcpu *v, uint16_t selector, bool write, bool *ok)
{
    uint64_t d[2];
    enum cpu_status status = inspect(v, selector, 0, d, ok);
    uint16_t a;

    if (status != CPU_OK || !*ok)
        return status;
    a = descriptor_attributes(d[0]);
    *ok = write ? attributes_writable_data(a) : attributes_readable(a);
    return CPU_OK;
}
