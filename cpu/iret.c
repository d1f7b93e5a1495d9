/*
 * iret.c - IRET in every mode: long, protected, real, virtual-8086, and from a nested task.
 *
 * Interface: cpu_iret in system.h. Invariants: as transfer.c; NMIs are unblocked and flags change only when all
 * checks have passed. The 64-bit case pops its five words with one read.
 */
#include "cpu/access.h"
#include "cpu/descriptor.h"
#include "cpu/stack.h"
#include "cpu/system.h"

struct frame {
    uint64_t rip, cs, flags, rsp, ss;
};

/* The flags that IRET takes from the image (SDM vol. 2, IRET). */
static uint64_t merged_flags(const struct vcpu *v, uint64_t image, unsigned size)
{
    uint64_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT, flags;

    if (size > 2)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (v->mode & MODE_IOPL)
        mask |= FLAG_IF;
    if (v->cpl == 0) {
        mask |= FLAG_IOPL;
        if (size > 2 && v->cr0 & CR0_PE)
            mask |= FLAG_VIF | FLAG_VIP;
    }
    flags = (v->rflags & ~(mask | FLAG_RF)) | (image & mask) | FLAG_FIXED;
    /* RF only matters to instruction breakpoints; without any it would stay set for long, since only single
       steps clear it, and be seen by SYSCALL's R11. */
    return v->dr[7] & 0xff ? flags : flags & ~(uint64_t)FLAG_RF;
}

struct return_code {
    uint64_t descriptor[2];
    struct segment cs;
    bool code64;
};

static enum cpu_status check_code(struct vcpu *v, const struct frame *f, struct return_code *c)
{
    uint16_t selector = f->cs, a;
    unsigned rpl = selector & 3;
    enum cpu_status status;

    if (!(selector & 0xfffc))
        return cpu_raise_error(v, EXC_GP, 0);
    status = cpu_read_descriptor(v, selector, c->descriptor, false);
    if (status != CPU_OK)
        return status;
    a = descriptor_attributes(c->descriptor[0]);
    if (!attributes_code(a) || rpl < v->cpl ||
        (attributes_conforming(a) ? SEGATTR_DPL(a) > rpl : SEGATTR_DPL(a) != rpl) ||
        (cpu_in_long_mode(v) && (a & (SEGATTR_L | SEGATTR_DB)) == (SEGATTR_L | SEGATTR_DB)))
        return raise_selector(v, EXC_GP, selector);
    if (!(a & SEGATTR_P))
        return raise_selector(v, EXC_NP, selector);
    status = cpu_mark_accessed(v, selector, c->descriptor);
    cpu_unpack_descriptor(&c->cs, selector, c->descriptor, false);
    c->code64 = cpu_in_long_mode(v) && a & SEGATTR_L;
    return status;
}

static enum cpu_status check_offset(struct vcpu *v, const struct frame *f, const struct return_code *c)
{
    if (c->code64 ? !cpu_is_canonical(f->rip) : f->rip > c->cs.limit)
        return cpu_raise_error(v, EXC_GP, 0);
    return CPU_OK;
}

/* Everything is checked: the frame becomes the state. ss NULL: the stack segment stays. */
static void finish(struct vcpu *v, const struct frame *f, const struct return_code *c, const struct segment *ss,
                   unsigned size)
{
    unsigned cpl = f->cs & 3;

    v->rflags = merged_flags(v, f->flags, size);
    if (cpl != v->cpl)
        cpu_drop_inner_segments(v, cpl);
    if (ss)
        v->seg[SEG_SS] = *ss;
    v->seg[SEG_CS] = c->cs;
    v->rip = f->rip;
    v->nmi_blocked = false;
    cpu_update_level(v);
}

/* From 64-bit mode SS:RSP is popped even within a level. */
static enum cpu_status pop_long_frame(struct vcpu *v, unsigned size, struct frame *f)
{
    uint64_t rsp = v->gpr[RSP];
    uint32_t words[5];
    uint16_t halves[5];
    enum cpu_status status;

    if (!cpu_is_canonical(rsp) || !cpu_is_canonical(rsp + 5 * size - 1))
        return cpu_raise_error(v, EXC_SS, 0);
    if (size == 8)
        return cpu_read(v, rsp, f, sizeof *f);
    if (size == 4) {
        status = cpu_read(v, rsp, words, sizeof words);
        *f = (struct frame){words[0], words[1], words[2], words[3], words[4]};
    } else {
        status = cpu_read(v, rsp, halves, sizeof halves);
        *f = (struct frame){halves[0], halves[1], halves[2], halves[3], halves[4]};
    }
    return status;
}

static enum cpu_status iret_from_code64(struct vcpu *v, unsigned size)
{
    struct return_code c;
    struct segment ss;
    struct frame f;
    enum cpu_status status = pop_long_frame(v, size, &f);

    if (status == CPU_OK)
        status = check_code(v, &f, &c);
    if (status == CPU_OK)
        status = cpu_check_return_stack(v, f.ss, f.cs & 3, c.code64, &ss);
    if (status == CPU_OK)
        status = check_offset(v, &f, &c);
    if (status != CPU_OK)
        return status;
    if (c.code64 || ss.attributes & SEGATTR_DB)
        v->gpr[RSP] = c.code64 ? f.rsp : (uint32_t)f.rsp;
    else
        v->gpr[RSP] = (v->gpr[RSP] & ~0xffffull) | (f.rsp & 0xffff);
    finish(v, &f, &c, &ss, size);
    return CPU_OK;
}

/* To virtual-8086 mode: six more words (SDM vol. 2, IRET, RETURN-TO-VIRTUAL-8086-MODE). */
static enum cpu_status iret_to_vm(struct vcpu *v, struct cpu_stack *s, const struct frame *f)
{
    static const uint8_t order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint64_t esp, selectors[5];
    enum cpu_status status = stack_pop(v, s, &esp, 4);

    for (unsigned i = 0; i < 5 && status == CPU_OK; i++)
        status = stack_pop(v, s, &selectors[i], 4);
    if (status == CPU_OK && f->rip > 0xffff)
        status = cpu_raise_error(v, EXC_GP, 0);
    if (status != CPU_OK)
        return status;
    v->rflags = (f->flags & 0x3f7fd7) | FLAG_FIXED | FLAG_VM;
    if (!(v->dr[7] & 0xff))
        v->rflags &= ~(uint64_t)FLAG_RF;
    for (unsigned i = 0; i < 5; i++)
        cpu_load_segment_real(v, order[i], selectors[i]);
    cpu_load_segment_real(v, SEG_CS, f->cs);
    v->gpr[RSP] = (uint32_t)esp;
    v->rip = f->rip;
    v->nmi_blocked = false;
    cpu_update_mode(v);
    return CPU_OK;
}

/* SS:SP of an outer level, or just the words popped. */
static enum cpu_status finish_protected(struct vcpu *v, struct cpu_stack *s, struct frame *f,
                                        struct return_code *c, unsigned size)
{
    struct segment ss;
    struct cpu_stack outer;
    enum cpu_status status;

    if ((f->cs & 3) == v->cpl) {
        status = check_offset(v, f, c);
        if (status != CPU_OK)
            return status;
        stack_commit(v, s);
        finish(v, f, c, NULL, size);
        return CPU_OK;
    }
    status = stack_pop(v, s, &f->rsp, size);
    if (status == CPU_OK)
        status = stack_pop(v, s, &f->ss, size);
    if (status == CPU_OK)
        status = cpu_check_return_stack(v, f->ss, f->cs & 3, c->code64, &ss);
    if (status == CPU_OK)
        status = check_offset(v, f, c);
    if (status != CPU_OK)
        return status;
    stack_set_segment(&outer, &ss, f->rsp);
    outer.mask = c->code64 ? ~0ull : outer.mask;
    stack_commit(v, &outer);
    finish(v, f, c, &ss, size);
    return CPU_OK;
}

static enum cpu_status pop_frame(struct vcpu *v, struct cpu_stack *s, unsigned size, struct frame *f)
{
    enum cpu_status status;

    stack_current(v, s);
    status = stack_pop(v, s, &f->rip, size);
    if (status == CPU_OK)
        status = stack_pop(v, s, &f->cs, size);
    if (status == CPU_OK)
        status = stack_pop(v, s, &f->flags, size);
    return status;
}

static enum cpu_status iret_protected(struct vcpu *v, unsigned size)
{
    struct return_code c;
    struct cpu_stack s;
    struct frame f;
    enum cpu_status status = pop_frame(v, &s, size, &f);

    if (status != CPU_OK)
        return status;
    if (size == 4 && f.flags & FLAG_VM && v->cpl == 0 && !cpu_in_long_mode(v))
        return iret_to_vm(v, &s, &f);
    status = check_code(v, &f, &c);
    return status == CPU_OK ? finish_protected(v, &s, &f, &c, size) : status;
}

/* Real mode, and virtual-8086 mode with IOPL 3. */
static enum cpu_status iret_real(struct vcpu *v, unsigned size)
{
    struct cpu_stack s;
    struct frame f;
    uint64_t flags;
    enum cpu_status status = pop_frame(v, &s, size, &f);

    if (status == CPU_OK && f.rip > v->seg[SEG_CS].limit)
        status = cpu_raise_error(v, EXC_GP, 0);
    if (status != CPU_OK)
        return status;
    flags = merged_flags(v, f.flags, size);
    v->rflags = flags;
    stack_commit(v, &s);
    v->rip = f.rip;
    v->nmi_blocked = false;
    cpu_load_segment_real(v, SEG_CS, f.cs);
    return CPU_OK;
}

/* Virtual-8086 mode below IOPL 3 with CR4.VME: IF of the image is VIF (SDM vol. 3, 20.3.3.4). */
static enum cpu_status iret_virtual(struct vcpu *v)
{
    uint64_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;
    struct cpu_stack s;
    struct frame f;
    enum cpu_status status = pop_frame(v, &s, 2, &f);

    if (status != CPU_OK)
        return status;
    if (f.flags & FLAG_TF || (f.flags & FLAG_IF && v->rflags & FLAG_VIP) || f.rip > v->seg[SEG_CS].limit)
        return cpu_raise_error(v, EXC_GP, 0);
    v->rflags = (v->rflags & ~(mask | FLAG_VIF | FLAG_RF)) | (f.flags & mask) | (f.flags & FLAG_IF ? FLAG_VIF : 0);
    stack_commit(v, &s);
    v->rip = f.rip;
    v->nmi_blocked = false;
    cpu_load_segment_real(v, SEG_CS, f.cs);
    return CPU_OK;
}

bool cpu_task_is_nested(const struct vcpu *v)
{
    return v->rflags & FLAG_NT && !cpu_in_real_style(v) && !cpu_in_long_mode(v);
}

enum cpu_status cpu_return_task(struct vcpu *v, uint64_t next_rip)
{
    uint16_t link;
    enum cpu_status status;

    status = cpu_read_system(v, v->tr.base, &link, 2);
    if (status != CPU_OK)
        return status;
    status = cpu_switch_task(v, link, TASK_IRET, next_rip, NULL);
    if (status == CPU_OK)
        v->nmi_blocked = false;
    return status;
}

enum cpu_status cpu_iret(struct vcpu *v, unsigned size)
{
    if (cpu_in_code64(v) && !(v->rflags & FLAG_NT))
        return iret_from_code64(v, size);
    if (!(v->cr0 & CR0_PE))
        return iret_real(v, size);
    if (v->rflags & FLAG_VM) {
        if (v->mode & MODE_IOPL)
            return iret_real(v, size);
        return v->cr4 & CR4_VME && size == 2 ? iret_virtual(v) : cpu_raise_error(v, EXC_GP, 0);
    }
    if (!(v->rflags & FLAG_NT))
        return iret_protected(v, size);
    return cpu_in_long_mode(v) ? cpu_raise_error(v, EXC_GP, 0) : cpu_return_task(v, v->rip);
}
