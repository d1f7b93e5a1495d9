/*
 * exceptions.c - events reach the guest: exceptions, INT n, external interrupts and NMI, through the IDT of
 * long and protected mode or the interrupt vectors of real mode (SDM vol. 3, chapter 6).
 *
 * Interface: system.h. Invariants: a delivery that faults leaves the registers as they were; the frame is written
 * whole before the first register changes. What a fault while delivering leads to is table 6-5.
 */
#include <stdio.h>

#include "cpu/access.h"
#include "cpu/descriptor.h"
#include "cpu/stack.h"
#include "cpu/system.h"

struct event {
    uint8_t vector;
    bool software; /* INT n: the gate's DPL is checked, EXT is clear in error codes */
    bool has_error;
    uint32_t error;
    uint64_t rip;   /* saved */
    uint64_t flags; /* saved */
};

/* Where a gate leads. */
struct handler {
    uint16_t selector;
    uint64_t rip;
    uint64_t descriptor[2];
    uint16_t attributes; /* of the code segment */
    uint8_t type;        /* of the gate */
    uint8_t ist;
    unsigned cpl;
};

#define IDT_ERROR(vector) ((uint32_t)(vector)*8 + 2)

/* Table 6-5: what an exception counts as when a second one meets it. */
enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT_CLASS, DOUBLE_FAULT };

static enum fault_class classify(unsigned vector)
{
    static const uint8_t classes[32] = {
        [EXC_DE] = CONTRIBUTORY,     [EXC_TS] = CONTRIBUTORY, [EXC_NP] = CONTRIBUTORY,
        [EXC_SS] = CONTRIBUTORY,     [EXC_GP] = CONTRIBUTORY, [21] = CONTRIBUTORY,
        [EXC_PF] = PAGE_FAULT_CLASS, [20] = PAGE_FAULT_CLASS, [EXC_DF] = DOUBLE_FAULT};

    return vector < 32 ? (enum fault_class)classes[vector] : BENIGN;
}

/* The gate's code segment: checks of SDM vol. 2, INT, and the level it runs at. */
static enum cpu_status check_handler(struct vcpu *v, struct handler *h)
{
    enum cpu_status status;
    uint16_t a;

    if (!(h->selector & 0xfffc))
        return cpu_raise_error(v, EXC_GP, 0);
    status = cpu_read_descriptor(v, h->selector, h->descriptor, false);
    if (status != CPU_OK)
        return status;
    h->attributes = a = descriptor_attributes(h->descriptor[0]);
    if (!attributes_code(a) || SEGATTR_DPL(a) > v->cpl)
        return raise_selector(v, EXC_GP, h->selector);
    if (cpu_in_long_mode(v) && (a & (SEGATTR_L | SEGATTR_DB)) != SEGATTR_L)
        return raise_selector(v, EXC_GP, h->selector);
    if (!(a & SEGATTR_P))
        return raise_selector(v, EXC_NP, h->selector);
    h->cpl = attributes_conforming(a) ? v->cpl : SEGATTR_DPL(a);
    if (v->rflags & FLAG_VM && h->cpl != 0)
        return raise_selector(v, EXC_GP, h->selector);
    return cpu_mark_accessed(v, h->selector, h->descriptor);
}

/* What is common to the gates of both sizes: limit, type, privilege, presence. */
static enum cpu_status read_gate(struct vcpu *v, const struct event *e, uint64_t gate[2], uint32_t types,
                                 struct handler *h)
{
    unsigned size = cpu_in_long_mode(v) ? 16 : 8, offset = e->vector * size;
    enum cpu_status status;
    uint16_t a;

    if (offset + size - 1 > v->idtr.limit)
        return cpu_raise_error(v, EXC_GP, IDT_ERROR(e->vector));
    status = cpu_read_system(v, v->idtr.base + offset, gate, size);
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(gate[0]);
    if (a & SEGATTR_S || !(types & 1u << (a & SEGATTR_TYPE)))
        return cpu_raise_error(v, EXC_GP, IDT_ERROR(e->vector));
    if (e->software && SEGATTR_DPL(a) < v->cpl)
        return cpu_raise_error(v, EXC_GP, IDT_ERROR(e->vector));
    if (!(a & SEGATTR_P))
        return cpu_raise_error(v, EXC_NP, IDT_ERROR(e->vector));
    h->type = a & SEGATTR_TYPE;
    h->selector = gate[0] >> 16;
    h->rip = (gate[0] & 0xffff) | ((gate[0] >> 32) & 0xffff0000);
    return CPU_OK;
}

static void enter_handler(struct vcpu *v, const struct handler *h)
{
    uint64_t clear = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM;

    if (!(h->type & 1)) /* interrupt gate */
        clear |= FLAG_IF;
    v->rflags &= ~clear;
    cpu_unpack_descriptor(&v->seg[SEG_CS], (h->selector & 0xfffc) | h->cpl, h->descriptor, false);
    v->rip = h->rip;
    cpu_update_level(v);
}

/* The frame lies at `bottom`; words[0] is the word pushed last. One write where it stays in a page. */
static enum cpu_status write_long_frame(struct vcpu *v, enum mmu_context context, uint64_t bottom,
                                        const uint64_t *words, unsigned count)
{
    uint64_t top = bottom + count * 8;
    enum cpu_status status = CPU_OK;

    if (!cpu_is_canonical(bottom) || !cpu_is_canonical(top - 1))
        return cpu_raise_error(v, EXC_SS, 0);
    if (((bottom ^ (top - 1)) & PAGE_MASK) == 0) {
        status = cpu_write_context(v, context, bottom, words, count * 8);
        if (status == CPU_FAULT && v->fault.vector == EXC_PF)
            v->fault.address = top - 8; /* SS is pushed first */
        return status;
    }
    while (count-- && status == CPU_OK)
        status = cpu_write_context(v, context, bottom + count * 8, &words[count], 8);
    return status;
}

static enum cpu_status deliver_long(struct vcpu *v, const struct event *e)
{
    uint64_t gate[2], rsp = v->gpr[RSP], words[6];
    unsigned count = 0;
    struct handler h;
    enum cpu_status status = read_gate(v, e, gate, 1u << TYPE_INTERRUPT | 1u << TYPE_TRAP, &h);

    if (status == CPU_OK)
        status = check_handler(v, &h);
    if (status != CPU_OK)
        return status;
    h.rip |= gate[1] << 32;
    h.ist = (gate[0] >> 32) & 7;
    if (h.ist)
        status = stack_read_tss_pointer(v, 28 + 8 * h.ist, &rsp);
    else if (h.cpl < v->cpl)
        status = stack_read_tss_pointer(v, 4 + 8 * h.cpl, &rsp);
    if (status != CPU_OK)
        return status;
    if (!cpu_is_canonical(h.rip))
        return cpu_raise_error(v, EXC_GP, 0);
    if (e->has_error)
        words[count++] = e->error;
    words[count++] = e->rip;
    words[count++] = v->seg[SEG_CS].selector;
    words[count++] = e->flags;
    words[count++] = v->gpr[RSP];
    words[count++] = v->seg[SEG_SS].selector;
    rsp = (rsp & ~15ull) - count * 8;
    status = write_long_frame(v, stack_context(v, h.cpl), rsp, words, count);
    if (status != CPU_OK)
        return status;
    if (h.cpl < v->cpl)
        cpu_null_segment(&v->seg[SEG_SS], h.cpl, h.cpl);
    v->gpr[RSP] = rsp;
    enter_handler(v, &h);
    return CPU_OK;
}

/* The words below the error code, on an inner stack or the current one. */
static enum cpu_status push_legacy_frame(struct vcpu *v, const struct event *e, struct cpu_stack *s, bool inner,
                                         unsigned size)
{
    uint64_t words[10];
    unsigned count = 0;

    if (v->rflags & FLAG_VM) {
        static const uint8_t order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

        for (unsigned i = 0; i < 4; i++)
            words[count++] = v->seg[order[i]].selector;
    }
    if (inner) {
        words[count++] = v->seg[SEG_SS].selector;
        words[count++] = v->gpr[RSP];
    }
    words[count++] = e->flags;
    words[count++] = v->seg[SEG_CS].selector;
    words[count++] = e->rip;
    if (e->has_error)
        words[count++] = e->error;
    return stack_push_list(v, s, words, count, size);
}

#define PROTECTED_GATES                                                                                           \
    (1u << TYPE_TASK_GATE | 1u << TYPE_INTERRUPT16 | 1u << TYPE_TRAP16 | 1u << TYPE_INTERRUPT | 1u << TYPE_TRAP)

static enum cpu_status deliver_protected(struct vcpu *v, const struct event *e)
{
    bool from_vm = v->rflags & FLAG_VM;
    uint64_t gate[2];
    struct cpu_stack s;
    struct segment cs;
    struct handler h;
    enum cpu_status status = read_gate(v, e, gate, PROTECTED_GATES, &h);

    if (status != CPU_OK)
        return status;
    if (h.type == TYPE_TASK_GATE)
        return cpu_switch_task(v, h.selector, TASK_INTERRUPT, e->rip, e->has_error ? &e->error : NULL);
    status = check_handler(v, &h);
    if (status != CPU_OK)
        return status;
    if (!(h.type & 8))
        h.rip &= 0xffff;
    if (h.cpl < v->cpl)
        status = stack_inner(v, h.cpl, &s);
    else
        stack_current(v, &s);
    if (status == CPU_OK)
        status = push_legacy_frame(v, e, &s, h.cpl < v->cpl, h.type & 8 ? 4 : 2);
    if (status != CPU_OK)
        return status;
    cpu_unpack_descriptor(&cs, h.selector, h.descriptor, false);
    if (h.rip > cs.limit)
        return cpu_raise_error(v, EXC_GP, 0);
    if (from_vm)
        for (unsigned seg = 0; seg < SEG_COUNT; seg++)
            if (seg != SEG_CS && seg != SEG_SS)
                cpu_null_segment(&v->seg[seg], 0, 0);
    v->seg[SEG_SS] = s.ss;
    stack_commit(v, &s);
    enter_handler(v, &h);
    return CPU_OK;
}

/* SDM vol. 3, 20.1.4. `table`: linear address of the vectors. */
static enum cpu_status deliver_real(struct vcpu *v, const struct event *e, gva_t table)
{
    uint64_t words[3] = {e->flags & 0xffff, v->seg[SEG_CS].selector, e->rip & 0xffff};
    uint16_t entry[2];
    struct cpu_stack s;
    enum cpu_status status;

    status = cpu_read_system(v, table + e->vector * 4, entry, 4);
    if (status != CPU_OK)
        return status;
    stack_current(v, &s);
    status = stack_push_list(v, &s, words, 3, 2);
    if (status != CPU_OK)
        return status;
    stack_commit(v, &s);
    v->rip = entry[0];
    v->rflags &= ~(uint64_t)(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    cpu_load_segment_real(v, SEG_CS, entry[1]);
    return CPU_OK;
}

static enum cpu_status deliver(struct vcpu *v, const struct event *e)
{
    v->interrupt_shadow = v->debug_shadow = false; /* the instruction it was for is over */
    if (cpu_in_long_mode(v))
        return deliver_long(v, e);
    if (v->cr0 & CR0_PE)
        return deliver_protected(v, e);
    if (e->vector * 4u + 3 > v->idtr.limit)
        return cpu_raise_error(v, EXC_GP, IDT_ERROR(e->vector));
    return deliver_real(v, e, v->idtr.base);
}

/* Real mode pushes no error code, protected mode does. */
static struct event event_of_fault(const struct vcpu *v)
{
    const struct cpu_fault *f = &v->fault;
    struct event e = {
        .vector = f->vector, .has_error = f->has_error, .error = f->error, .rip = v->rip, .flags = v->rflags};

    /* SDM vol. 3, 17.3.1.1: RF is set in the image so that an instruction breakpoint does not hit again. */
    if (!f->is_trap && f->vector != EXC_DF && (f->vector != EXC_DB || f->address & 1u << 13))
        e.flags |= FLAG_RF;
    return e;
}

/* CR2 and DR6 tell of the exception when it is delivered, not when it is found. */
static void note_fault(struct vcpu *v)
{
    v->debug_pending = 0;
    if (v->fault.vector == EXC_PF) {
        v->cr2 = v->fault.address;
    } else if (v->fault.vector == EXC_DB) {
        v->dr[6] = (v->dr[6] & ~0xfull) | v->fault.address | 0xffff0ff0;
        if (v->dr[7] & 1u << 13) { /* GD, so that the handler may look */
            v->dr[7] &= ~(1ull << 13);
            cpu_update_mode(v);
        }
    }
}

static enum cpu_status shut_down(struct vcpu *v, unsigned vector)
{
    v->exit = (struct vcpu_exit){.reason = EXIT_TRIPLE_FAULT, .detail = vector};
    return CPU_EXIT;
}

static void log_event(struct vcpu *v, const struct event *e)
{
    gva_t linear = v->mode & MODE_CODE64 ? e->rip : (uint32_t)(v->seg[SEG_CS].base + e->rip);
    char text[400];

    snprintf(text, sizeof text, "v=%02x e=%04x cpl=%u ip=%04x:%016llx%s sp=%04x:%016llx cr2=%016llx", e->vector,
             e->has_error ? e->error : 0, v->cpl, v->seg[SEG_CS].selector, (unsigned long long)e->rip,
             v->ops->name ? v->ops->name(v->ops_opaque, linear) : "", v->seg[SEG_SS].selector,
             (unsigned long long)v->gpr[RSP], (unsigned long long)v->cr2);
    v->ops->log(v->ops_opaque, "int", text);
}

static void note_event(struct vcpu *v, const struct event *e, enum recent_kind kind)
{
    recent_note(&v->recent, kind, e->vector, e->has_error ? e->error : 0, e->rip, v->cpl);
    if (v->log_topics & VCPU_LOG_INT)
        log_event(v, e);
}

/* Whatever faults meanwhile is delivered instead, or as a double fault, or ends the guest. */
static enum cpu_status deliver_escalating(struct vcpu *v, struct event e, enum recent_kind kind)
{
    for (;;) {
        enum fault_class first = classify(e.vector), second;
        enum cpu_status status;

        note_event(v, &e, kind);
        status = deliver(v, &e);
        if (status == CPU_NEED_FULL)
            v->fault = (struct cpu_fault){.vector = e.vector,
                                          .has_error = e.has_error,
                                          .error = e.error,
                                          .is_trap = !(e.flags & FLAG_RF),
                                          .address = e.vector == EXC_PF ? v->cr2 : 0};
        if (status != CPU_FAULT)
            return status;
        second = classify(v->fault.vector);
        if (first == DOUBLE_FAULT && second != BENIGN)
            return shut_down(v, e.vector);
        if ((first == CONTRIBUTORY && second == CONTRIBUTORY) || (first == PAGE_FAULT_CLASS && second != BENIGN)) {
            if (v->fault.vector == EXC_PF)
                v->cr2 = v->fault.address;
            cpu_raise_error(v, EXC_DF, 0);
        } else if (v->fault.vector >= EXC_TS && v->fault.vector <= EXC_GP) {
            v->fault.error |= 1; /* EXT */
        }
        note_fault(v);
        v->stats.exceptions[v->fault.vector & 31]++;
        e = event_of_fault(v);
        kind = RECENT_EXCEPTION;
    }
}

enum cpu_status cpu_deliver_fault(struct vcpu *v)
{
    struct cpu_fault fault = v->fault;

    if (v->log_topics & VCPU_LOG_INT && v->simd_live)
        return CPU_NEED_FULL;
    note_fault(v);
    v->stats.exceptions[fault.vector & 31]++;
    return deliver_escalating(v, event_of_fault(v), RECENT_EXCEPTION);
}

enum cpu_status cpu_deliver_interrupt(struct vcpu *v, uint8_t vector)
{
    struct event e = {.vector = vector, .rip = v->rip, .flags = v->rflags};

    if (v->log_topics & VCPU_LOG_INT && v->simd_live)
        return CPU_NEED_FULL;
    v->halted = false;
    v->stats.interrupts++;
    if (vector == EXC_NMI)
        v->nmi_blocked = true;
    return deliver_escalating(v, e, RECENT_INTERRUPT);
}

/* Virtual-8086 mode extensions: the redirection bitmap below the I/O bitmap says whether the guest's own
   real-mode handler is called (SDM vol. 3, 20.3.3). */
static enum cpu_status check_redirection(struct vcpu *v, uint8_t vector, bool *redirect)
{
    uint16_t map;
    uint8_t bits;
    enum cpu_status status;

    *redirect = false;
    if (v->tr.limit < 0x67)
        return cpu_raise_error(v, EXC_GP, 0);
    status = cpu_read_system(v, v->tr.base + 0x66, &map, 2);
    if (status != CPU_OK)
        return status;
    if (map < 32 || map - 32u + vector / 8 > v->tr.limit)
        return cpu_raise_error(v, EXC_GP, 0);
    status = cpu_read_system(v, v->tr.base + map - 32 + vector / 8, &bits, 1);
    *redirect = !(bits >> (vector & 7) & 1);
    return status;
}

static enum cpu_status redirected_interrupt(struct vcpu *v, struct event *e)
{
    bool virtual_if = (v->rflags & FLAG_IOPL) != FLAG_IOPL;
    uint64_t keep = v->rflags & (FLAG_IF | FLAG_VIF);
    enum cpu_status status;

    if (virtual_if) /* the image shows VIF as IF, and IOPL 3 */
        e->flags = (e->flags & ~(uint64_t)FLAG_IF) | FLAG_IOPL | (v->rflags & FLAG_VIF ? FLAG_IF : 0);
    status = deliver_real(v, e, 0);
    if (status == CPU_OK && virtual_if)
        v->rflags = (v->rflags & ~(uint64_t)FLAG_VIF) | (keep & FLAG_IF);
    return status;
}

static enum cpu_status software_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip, bool sensitive)
{
    struct event e = {
        .vector = vector, .software = true, .rip = next_rip, .flags = v->rflags & ~(uint64_t)FLAG_RF};

    if (v->log_topics & VCPU_LOG_INT && v->simd_live)
        return CPU_NEED_FULL;
    if (v->rflags & FLAG_VM && sensitive) {
        bool redirect = false;
        enum cpu_status status = v->cr4 & CR4_VME ? check_redirection(v, vector, &redirect) : CPU_OK;

        if (status != CPU_OK)
            return status;
        if (redirect)
            return redirected_interrupt(v, &e);
        if ((v->rflags & FLAG_IOPL) != FLAG_IOPL)
            return cpu_raise_error(v, EXC_GP, 0);
    }
    note_event(v, &e, RECENT_INTERRUPT);
    return deliver(v, &e);
}

enum cpu_status cpu_software_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip)
{
    return software_interrupt(v, vector, next_rip, true);
}

enum cpu_status cpu_trap_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip)
{
    return software_interrupt(v, vector, next_rip, false);
}

static bool nmi_ready(const struct vcpu *v)
{
    return atomic_load_explicit(&v->nmi_pending, memory_order_acquire) && !v->nmi_blocked;
}

bool cpu_interrupt_ready(const struct vcpu *v)
{
    if (v->interrupt_shadow)
        return false;
    return nmi_ready(v) || (v->rflags & FLAG_IF && atomic_load_explicit(&v->interrupt_line, memory_order_acquire));
}

enum cpu_status cpu_take_interrupts(struct vcpu *v, bool *taken)
{
    enum cpu_status status;
    int vector;

    *taken = false;
    if (!cpu_interrupt_ready(v))
        return CPU_OK;
    if (nmi_ready(v)) {
        atomic_store(&v->nmi_pending, false);
        vector = EXC_NMI;
    } else {
        vector = v->ops->interrupt_acknowledge(v->ops_opaque);
        if (vector < 0)
            return CPU_OK;
    }
    status = cpu_deliver_interrupt(v, vector);
    *taken = status == CPU_OK;
    return status;
}
