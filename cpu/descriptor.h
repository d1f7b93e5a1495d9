/*
 * descriptor.h - segment descriptors taken apart (SDM vol. 3, 3.4.5 and 3.5), within cpu/.
 *
 * `attributes` is laid out as in struct segment: descriptor bits 40-47 in 0-7, 52-55 in 8-11.
 */
#ifndef NOVT_CPU_DESCRIPTOR_H
#define NOVT_CPU_DESCRIPTOR_H

#include "cpu/vcpu.h"

#define SELECTOR_TI 4u
#define SELECTOR_INDEX 0xfff8u
#define ATTR_CODE 0x8u       /* type bit 3 of a code or data segment */
#define ATTR_CONFORMING 0x4u /* of code; expand-down of data */
#define ATTR_READ_WRITE 0x2u /* readable code, writable data */
#define ATTR_ACCESSED 0x1u

/* System descriptor types (SDM vol. 3, table 3-2), as the low five bits of the attributes. */
enum system_type {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL16 = 4,
    TYPE_TASK_GATE = 5,
    TYPE_INTERRUPT16 = 6,
    TYPE_TRAP16 = 7,
    TYPE_TSS = 9,
    TYPE_TSS_BUSY = 11,
    TYPE_CALL = 12,
    TYPE_INTERRUPT = 14,
    TYPE_TRAP = 15
};

static inline uint16_t descriptor_attributes(uint64_t d)
{
    return ((d >> 40) & 0xff) | ((d >> 44) & 0xf00);
}

static inline bool attributes_code(uint16_t a)
{
    return (a & (SEGATTR_S | ATTR_CODE)) == (SEGATTR_S | ATTR_CODE);
}

static inline bool attributes_conforming(uint16_t a)
{
    return attributes_code(a) && a & ATTR_CONFORMING;
}

static inline bool attributes_writable_data(uint16_t a)
{
    return (a & (SEGATTR_S | ATTR_CODE | ATTR_READ_WRITE)) == (SEGATTR_S | ATTR_READ_WRITE);
}

static inline bool attributes_readable(uint16_t a)
{
    return a & SEGATTR_S && (!(a & ATTR_CODE) || a & ATTR_READ_WRITE);
}

/* Data segments and non-conforming code: those whose DPL shuts out outer levels. */
static inline bool attributes_guarded(uint16_t a)
{
    return a & SEGATTR_S && !attributes_conforming(a);
}

/* Whether [offset, offset + size) lies in the segment (SDM vol. 3, 5.3). */
static inline bool segment_contains(const struct segment *s, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;

    if ((s->attributes & (SEGATTR_S | ATTR_CODE | ATTR_CONFORMING)) == (SEGATTR_S | ATTR_CONFORMING))
        return offset > s->limit && last <= (s->attributes & SEGATTR_DB ? 0xffffffffu : 0xffffu);
    return last <= s->limit;
}

static inline bool cpu_in_long_mode(const struct vcpu *v)
{
    return v->efer & EFER_LMA;
}

static inline bool cpu_in_code64(const struct vcpu *v)
{
    return (v->mode & MODE_CODE64) != 0;
}

/* Real-address mode or virtual-8086 mode: selectors are paragraphs. */
static inline bool cpu_in_real_style(const struct vcpu *v)
{
    return !(v->cr0 & CR0_PE) || v->rflags & FLAG_VM;
}

static inline enum cpu_status raise_selector(struct vcpu *v, enum cpu_vector vector, uint16_t selector)
{
    return cpu_raise_error(v, vector, selector & 0xfffcu);
}

/* segments.c: sets the accessed bit of a code or data descriptor in memory and in *descriptor. */
enum cpu_status cpu_mark_accessed(struct vcpu *v, uint16_t selector, uint64_t *descriptor);
/* segments.c: a null selector loaded; dpl: CPL that an SS so loaded stands for. */
void cpu_null_segment(struct segment *s, uint16_t selector, unsigned dpl);
/* segments.c: after a return to an outer level, data segments that are now out of reach become null. */
void cpu_drop_inner_segments(struct vcpu *v, unsigned cpl);
/* segments.c: checks of an SS loaded by a far return or IRET to level `cpl`; fills *out. */
enum cpu_status cpu_check_return_stack(struct vcpu *v, uint16_t selector, unsigned cpl, bool to_code64,
                                       struct segment *out);

#endif
