/*
 * stack.h - a stack that far transfers and event delivery push to or pop from, within cpu/.
 *
 * Works on a copy of the stack pointer, so that a fault in the middle leaves no register changed;
 * stack_commit takes the result over.
 */
#ifndef NOVT_CPU_STACK_H
#define NOVT_CPU_STACK_H

#include "cpu/vcpu.h"

struct cpu_stack {
    struct segment ss;
    uint64_t sp, mask; /* mask: by the stack address size */
    bool flat;         /* 64-bit mode: no base, no limit */
    bool inner;        /* another stack than the current one: #SS tells its selector */
    enum mmu_context context;
};

/* The stack of the current mode and CPL. */
void stack_current(const struct vcpu *v, struct cpu_stack *s);
/* SS:ESP or RSP for level `cpl` out of the TSS, checked (#TS, #SS). Long mode: a null SS. */
enum cpu_status stack_inner(struct vcpu *v, unsigned cpl, struct cpu_stack *s);
/* The 64-bit stack pointer at `offset` of the TSS. */
enum cpu_status stack_read_tss_pointer(struct vcpu *v, unsigned offset, uint64_t *rsp);
/* Mask for a stack segment of protected or real mode. */
void stack_set_segment(struct cpu_stack *s, const struct segment *ss, uint64_t sp);

enum cpu_status stack_push(struct vcpu *v, struct cpu_stack *s, uint64_t value, unsigned size);
enum cpu_status stack_pop(struct vcpu *v, struct cpu_stack *s, uint64_t *value, unsigned size);
/* Pushes values[0] first. */
enum cpu_status stack_push_list(struct vcpu *v, struct cpu_stack *s, const uint64_t *values, unsigned count,
                                unsigned size);
/* Takes over SP, within the bits of the stack's address size. */
void stack_commit(struct vcpu *v, const struct cpu_stack *s);

/* Supervisor rights for a push onto the stack of level `cpl`. */
static inline enum mmu_context stack_context(const struct vcpu *v, unsigned cpl)
{
    if (cpl == 3)
        return MMU_USER;
    return v->cpl < 3 ? (enum mmu_context)v->data_context : MMU_SUPERVISOR;
}

#endif
