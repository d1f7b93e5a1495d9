/*
 * callouts.h - C called from emitted code through thunks.c (callouts.c, compiled without SIMD). Each returns true
 * to leave translated code.
 */
#ifndef NOVT_TRANSLATOR_CALLOUTS_H
#define NOVT_TRANSLATOR_CALLOUTS_H

#include "cache/cache.h"
#include "cpu/vcpu.h"

#define MEMORY_WRITE 0x100u /* in `info`; the low 8 bits are the size, 16-31 the instruction's index */
#define MEMORY_READ_TOO 0x200u
#define MEMORY_GROUP 0x800u    /* a range to check; MEMORY_READ_TOO and bounce buffers do not apply */
#define MEMORY_WRAPS 0x2000u   /* the offset in its segment reaches beyond 4 GiB */
#define MEMORY_BEFORE 0x1000u  /* in front of the block's first instruction: nothing is borrowed yet */
#define MEMORY_STACK 0x400u    /* a non-canonical address gives #SS */
#define STEP_ENDS_BLOCK 0x100u /* in callout_step's `length`: go on with a lookup in any case */
/* Info of callout_dispatch: bytes released by RET in the low half, the instruction's index in the top byte. */
#define DISPATCH_CALL 0x10000u
#define DISPATCH_RETURN 0x20000u
/* The guest's values of what the block has borrowed, if it has at this instruction. gpr as translated code left
 * it. */
void callouts_give_back(struct vcpu *v, const struct block *b, unsigned index);
#define BOUNCE_SKIP 5 /* bytes from a memory callout's return address to the bounced copy */
bool callout_memory(struct vcpu *v, gva_t linear, uint32_t info);
bool callout_commit(struct vcpu *v, uint64_t unused, uint32_t info);
bool callout_step(struct vcpu *v, uint64_t unused, uint32_t length);
bool callout_dispatch(struct vcpu *v, gva_t target, uint32_t info);
/* RET without a matching call; origin: host address in its block. */
bool callout_return(struct vcpu *v, gva_t target, uint64_t origin);
/* SYSCALL, SYSRETQ, SYSENTER, SYSEXIT, IRET at v->rip; info: length of the instruction, operand size in bytes
 * << 8. */
bool callout_syscall(struct vcpu *v, uint64_t unused, uint32_t info);
bool callout_sysret(struct vcpu *v, uint64_t unused, uint32_t info);
bool callout_sysenter(struct vcpu *v, uint64_t unused, uint32_t info);
bool callout_sysexit(struct vcpu *v, uint64_t unused, uint32_t info);
bool callout_iret(struct vcpu *v, uint64_t unused, uint32_t info);
/* IF has just been set and an interrupt waits: goes on at `next` by way of the run loop. */
bool callout_interrupt(struct vcpu *v, gva_t next, uint32_t is_sti);
/* Loads a segment register: number in bits 8-10 of info, length of the instruction below, SEGMENT_POP*. */
#define SEGMENT_POP 0x800u
#define SEGMENT_POP_HALF 0x1000u /* of 16 bits */
bool callout_segment(struct vcpu *v, uint64_t selector, uint32_t info);
bool callout_interpret(struct vcpu *v, gva_t pc, uint32_t unused);
bool callout_link(struct vcpu *v, struct block_exit *exit, uint32_t unused);

#endif
