/*
 * tasks.c - the hardware task switch, with 16- and 32-bit TSSs (SDM vol. 3, 7.3).
 *
 * Interface: cpu_switch_task in system.h. Up to the commit point a fault belongs to the old task and leaves it
 * unchanged but for A bits; behind it the new task's registers are loaded, and a bad selector of its TSS gives
 * #TS, #NP or #SS in the new task, as the manual has it.
 */
#include "cpu/access.h"
#include "cpu/descriptor.h"
#include "cpu/stack.h"
#include "cpu/system.h"
#include "memory/nosimd.h"

#define TSS_SIZE 104  /* 32-bit format, figure 7-2 */
#define TSS16_SIZE 44 /* 16-bit format, figure 7-10 */
#define TSS_CR3 28
#define TSS_TRAP 100
#define BUSY (2ull << 40)

/* What a task keeps in its TSS, in the order of both formats. */
struct task_state {
    uint32_t eip, eflags, gpr[8];
    uint16_t selectors[SEG_COUNT], ldt;
    uint32_t cr3;
    bool trap;
};

static uint32_t get(const uint8_t *p, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, p, size);
    return value;
}

/* EIP at 32 or 14, then EFLAGS, eight registers, the selectors, LDT. */
static void unpack_tss(struct task_state *t, const uint8_t *tss, bool wide)
{
    unsigned width = wide ? 4 : 2, count = wide ? 6 : 4;
    const uint8_t *p = tss + (wide ? 32 : 14);

    memset(t, 0, sizeof *t);
    t->eip = get(p, width);
    t->eflags = get(p + width, width);
    p += 2 * width;
    for (unsigned i = 0; i < 8; i++, p += width)
        t->gpr[i] = get(p, width);
    for (unsigned i = 0; i < count; i++, p += width)
        t->selectors[i] = get(p, 2);
    t->ldt = get(p, 2);
    t->cr3 = wide ? get(tss + TSS_CR3, 4) : 0;
    t->trap = wide && tss[TSS_TRAP] & 1;
}

static void pack_tss(const struct vcpu *v, uint8_t *tss, bool wide, uint32_t eip, uint32_t eflags)
{
    unsigned width = wide ? 4 : 2, count = wide ? 6 : 4;
    uint8_t *p = tss + (wide ? 32 : 14);

    memcpy(p, &eip, width);
    memcpy(p + width, &eflags, width);
    p += 2 * width;
    for (unsigned i = 0; i < 8; i++, p += width)
        memcpy(p, &v->gpr[i], width);
    for (unsigned i = 0; i < count; i++, p += width)
        memcpy(p, &v->seg[i].selector, 2);
}

static enum cpu_status transfer_tss(struct vcpu *v, uint64_t base, uint8_t *tss, unsigned size, bool write)
{
    enum cpu_status status = CPU_OK;

    for (unsigned done = 0; done < size && status == CPU_OK; done += 4)
        status = write ? cpu_write_system(v, base + done, tss + done, 4)
                       : cpu_read_system(v, base + done, tss + done, 4);
    return status;
}

static enum cpu_status set_busy(struct vcpu *v, uint16_t selector, uint64_t d, bool busy)
{
    uint8_t type = (busy ? d | BUSY : d & ~BUSY) >> 40;

    return cpu_write_system(v, v->gdtr.base + (selector & SELECTOR_INDEX) + 5, &type, 1);
}

struct task_switch {
    enum cpu_task_reason reason;
    uint16_t selector;
    uint64_t descriptor[2];
    struct segment tss;
    uint8_t image[TSS_SIZE];
    bool wide;
};

/* The new task's descriptor: type, presence, limit. */
static enum cpu_status check_new_task(struct vcpu *v, struct task_switch *w)
{
    enum cpu_vector bad = w->reason == TASK_IRET ? EXC_TS : EXC_GP;
    enum cpu_status status;
    unsigned type;

    if (!(w->selector & 0xfffc) || w->selector & SELECTOR_TI)
        return raise_selector(v, bad, w->selector);
    status = cpu_read_descriptor(v, w->selector, w->descriptor, false);
    if (status == CPU_FAULT && v->fault.vector == EXC_GP)
        v->fault.vector = bad;
    if (status != CPU_OK)
        return status;
    cpu_unpack_descriptor(&w->tss, w->selector, w->descriptor, false);
    type = w->tss.attributes & 0x1f;
    w->wide = type & 8;
    if ((type & 0x17) != (w->reason == TASK_IRET ? TYPE_TSS16_BUSY : TYPE_TSS16))
        return raise_selector(v, bad, w->selector);
    if (!(w->tss.attributes & SEGATTR_P))
        return raise_selector(v, EXC_NP, w->selector);
    if (w->tss.limit < (w->wide ? TSS_SIZE : TSS16_SIZE) - 1u)
        return raise_selector(v, EXC_TS, w->selector);
    return transfer_tss(v, w->tss.base, w->image, w->wide ? TSS_SIZE : TSS16_SIZE, false);
}

/* The registers go to the old TSS, and the busy bits are set and cleared. */
static enum cpu_status leave_old_task(struct vcpu *v, const struct task_switch *w, uint32_t eip)
{
    bool wide = v->tr.attributes & 8, nested = w->reason == TASK_CALL || w->reason == TASK_INTERRUPT;
    unsigned size = wide ? TSS_SIZE : TSS16_SIZE;
    uint32_t eflags = v->rflags & ~(w->reason == TASK_IRET ? (uint64_t)FLAG_NT : 0);
    uint8_t image[TSS_SIZE];
    uint64_t old[2];
    enum cpu_status status = transfer_tss(v, v->tr.base, image, size, false);

    if (status == CPU_OK)
        status = cpu_read_descriptor(v, v->tr.selector, old, false);
    if (status != CPU_OK)
        return status;
    pack_tss(v, image, wide, eip, eflags);
    status = transfer_tss(v, v->tr.base, image, size, true);
    if (status == CPU_OK && !nested)
        status = set_busy(v, v->tr.selector, old[0], false);
    if (status == CPU_OK && w->reason != TASK_IRET)
        status = set_busy(v, w->selector, w->descriptor[0], true);
    if (status == CPU_OK && nested)
        status = cpu_write_system(v, w->tss.base, &v->tr.selector, 2);
    return status;
}

static enum cpu_status load_task_ldt(struct vcpu *v, uint16_t selector)
{
    uint64_t d[2];
    enum cpu_status status;

    cpu_null_segment(&v->ldtr, selector, 0);
    if (!(selector & 0xfffc))
        return CPU_OK;
    if (selector & SELECTOR_TI)
        return raise_selector(v, EXC_TS, selector);
    status = cpu_read_descriptor(v, selector, d, false);
    if (status == CPU_FAULT && v->fault.vector == EXC_GP)
        v->fault.vector = EXC_TS;
    if (status != CPU_OK)
        return status;
    if ((descriptor_attributes(d[0]) & (0x1f | SEGATTR_P)) != (TYPE_LDT | SEGATTR_P))
        return raise_selector(v, EXC_TS, selector);
    cpu_unpack_descriptor(&v->ldtr, selector, d, false);
    return CPU_OK;
}

static enum cpu_status check_task_code(struct vcpu *v, uint16_t selector, uint16_t a)
{
    unsigned rpl = selector & 3, dpl = SEGATTR_DPL(a);

    if (!attributes_code(a) || (attributes_conforming(a) ? dpl > rpl : dpl != rpl))
        return raise_selector(v, EXC_TS, selector);
    return a & SEGATTR_P ? CPU_OK : raise_selector(v, EXC_NP, selector);
}

static enum cpu_status check_task_data(struct vcpu *v, unsigned seg, uint16_t selector, uint16_t a, unsigned cpl)
{
    unsigned rpl = selector & 3, dpl = SEGATTR_DPL(a);

    if (seg == SEG_SS ? !attributes_writable_data(a) || dpl != cpl || rpl != cpl
                      : !attributes_readable(a) || (attributes_guarded(a) && (rpl > dpl || cpl > dpl)))
        return raise_selector(v, EXC_TS, selector);
    return a & SEGATTR_P ? CPU_OK : raise_selector(v, seg == SEG_SS ? EXC_SS : EXC_NP, selector);
}

/* One segment register of the new task. The selector is there already. */
static enum cpu_status load_task_segment(struct vcpu *v, unsigned seg, uint16_t selector, unsigned cpl)
{
    uint64_t d[2];
    uint16_t a;
    enum cpu_status status;

    if (!(selector & 0xfffc))
        return seg == SEG_CS || seg == SEG_SS ? cpu_raise_error(v, EXC_TS, 0) : CPU_OK;
    status = cpu_read_descriptor(v, selector, d, false);
    if (status == CPU_FAULT && v->fault.vector == EXC_GP)
        v->fault.vector = EXC_TS;
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(d[0]);
    status = seg == SEG_CS ? check_task_code(v, selector, a) : check_task_data(v, seg, selector, a, cpl);
    if (status == CPU_OK)
        status = cpu_mark_accessed(v, selector, d);
    if (status == CPU_OK)
        cpu_unpack_descriptor(&v->seg[seg], selector, d, false);
    return status;
}

static void load_registers(struct vcpu *v, const struct task_switch *w, const struct task_state *t)
{
    bool nested = w->reason == TASK_CALL || w->reason == TASK_INTERRUPT;

    for (unsigned i = 0; i < 8; i++)
        v->gpr[i] = w->wide ? t->gpr[i] : t->gpr[i] | 0xffff0000u;
    v->rip = t->eip;
    v->rflags = (t->eflags & 0x3f7fd7) | FLAG_FIXED | (nested ? FLAG_NT : 0);
    v->tr = w->tss;
    v->tr.attributes |= 2; /* busy */
    v->cr0 |= CR0_TS;
    v->dr[7] &= ~0x155ull; /* local breakpoints and LE */
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu_null_segment(&v->seg[i], t->selectors[i], i == SEG_SS ? t->selectors[SEG_CS] & 3 : 0);
}

/* SS before the data segments, CS first: a stack for the handler of what the rest may raise. */
static enum cpu_status load_segments(struct vcpu *v, const struct task_state *t)
{
    static const uint8_t order[] = {SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    enum cpu_status status;

    if (v->rflags & FLAG_VM) {
        for (unsigned i = 0; i < SEG_COUNT; i++)
            cpu_load_segment_real(v, i, t->selectors[i]);
        return load_task_ldt(v, t->ldt);
    }
    status = load_task_ldt(v, t->ldt);
    for (unsigned i = 0; i < SEG_COUNT && status == CPU_OK; i++)
        status = load_task_segment(v, order[i], t->selectors[order[i]], t->selectors[SEG_CS] & 3);
    return status;
}

static enum cpu_status enter_new_task(struct vcpu *v, const struct task_switch *w, const uint32_t *error_code)
{
    struct task_state t;
    struct cpu_stack s;
    enum cpu_status status;

    unpack_tss(&t, w->image, w->wide);
    if (w->wide && v->cr0 & CR0_PG) {
        if (v->cr4 & CR4_PAE && !mmu_load_pdptes(&v->mmu, t.cr3))
            return cpu_raise_error(v, EXC_GP, 0);
        v->cr3 = t.cr3;
        mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
        mmu_flush(&v->mmu, false);
    }
    load_registers(v, w, &t);
    status = load_segments(v, &t);
    cpu_update_mode(v);
    if (status == CPU_OK && error_code) {
        stack_current(v, &s);
        status = stack_push(v, &s, *error_code, w->wide ? 4 : 2);
        if (status == CPU_OK)
            stack_commit(v, &s);
    }
    if (status == CPU_OK && v->rip > v->seg[SEG_CS].limit)
        status = cpu_raise_error(v, EXC_GP, 0);
    if (status == CPU_OK && t.trap) {
        cpu_raise(v, EXC_DB);
        v->fault.is_trap = true;
        v->fault.address = 1u << 15; /* BT */
        status = CPU_FAULT;
    }
    return status;
}

enum cpu_status cpu_switch_task(struct vcpu *v, uint16_t selector, enum cpu_task_reason reason, uint64_t next_rip,
                                const uint32_t *error_code)
{
    struct task_switch w = {.reason = reason, .selector = selector};
    enum cpu_status status;

    if (cpu_in_long_mode(v))
        return cpu_raise_error(v, EXC_GP, 0);
    status = check_new_task(v, &w);
    if (status == CPU_OK)
        status = leave_old_task(v, &w, next_rip);
    return status == CPU_OK ? enter_new_task(v, &w, error_code) : status;
}
