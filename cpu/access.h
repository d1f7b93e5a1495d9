/*
 * access.h - guest memory as instructions see it, by linear address.
 *
 * Sizes are in bytes, at most 64 for the plain calls. An access that crosses into a second page is done
 * whole or not at all. Failures: CPU_FAULT (#PF recorded in v->fault; #GP(0) for a non-canonical address,
 * callers that address through SS turn it into #SS), CPU_NEED_FULL (MMIO while SIMD state is live).
 */
#ifndef NOVT_CPU_ACCESS_H
#define NOVT_CPU_ACCESS_H

#include "cpu/vcpu.h"

/* With the rights of the current data context. */
enum cpu_status cpu_read(struct vcpu *v, gva_t linear, void *to, unsigned size);
enum cpu_status cpu_write(struct vcpu *v, gva_t linear, const void *from, unsigned size);
/* Checks that a write would succeed (both pages), without writing; sets A and D. For read-modify-write:
   check first, then read, compute, write. */
enum cpu_status cpu_check_write(struct vcpu *v, gva_t linear, unsigned size);

/* As the processor itself reads descriptor tables, TSS and the IDT: supervisor, whatever the CPL, and
   not subject to EFLAGS.AC (SDM vol. 3, 4.6.1 "implicit supervisor-mode access"). */
enum cpu_status cpu_read_system(struct vcpu *v, gva_t linear, void *to, unsigned size);
enum cpu_status cpu_write_system(struct vcpu *v, gva_t linear, const void *from, unsigned size);
/* With the rights of `context`: pushes onto the stack of the privilege level entered. */
enum cpu_status cpu_write_context(struct vcpu *v, enum mmu_context context, gva_t linear, const void *from,
                                  unsigned size);
enum cpu_status cpu_read_context(struct vcpu *v, enum mmu_context context, gva_t linear, void *to, unsigned size);

/* For a locked read-modify-write: the host address when the operand lies in one page of RAM and may be written,
   else NULL in *host (then cpu_check_write has succeeded, in effect). After storing: cpu_atomic_done, which tells
   of writes to translated code. The caller feeds v->write_log itself. */
enum cpu_status cpu_atomic_host(struct vcpu *v, gva_t linear, unsigned size, uint8_t **host);
void cpu_atomic_done(struct vcpu *v, const uint8_t *host, unsigned size);

/* Instruction bytes: up to `size` from linear, stopping before a page that cannot be fetched. *got: bytes
   read. CPU_FAULT only when the first byte cannot be fetched; to fault on a later one, ask for it. */
enum cpu_status cpu_fetch(struct vcpu *v, gva_t linear, void *to, unsigned size, unsigned *got);

/* True for a canonical 48-bit address. */
static inline bool cpu_is_canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/*
 * Every write goes through this hook when it is set: lock-step mode records what to undo. `host` is where
 * the bytes lie in host memory. Also called for page-table A/D updates when the walk is told to.
 */
struct cpu_write_log {
    void (*before_write)(void *opaque, uint8_t *host, unsigned size);
    void *opaque;
};

#endif
