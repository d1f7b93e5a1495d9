/*
 * simd.h - the guest's x87, SSE and AVX state, in the host's registers or in vcpu->xsave.
 */
#ifndef NOVT_CPU_SIMD_H
#define NOVT_CPU_SIMD_H

#include "cpu/vcpu.h"

/* Host registers -> v->xsave, and back. No-ops when simd_live says that it is there already. After
   simd_save the host runs with default MXCSR and x87 control word, so that C code may compute. */
void simd_save(struct vcpu *v);
void simd_load(struct vcpu *v);
/* The host's registers are forgotten: v->xsave holds what counts. */
void simd_discard(struct vcpu *v);
/* Initial state (FINIT, MXCSR 0x1f80, all else zero) in v->xsave. */
void simd_reset(struct vcpu *v);
/* As a trace_hook's tell, opaque being the vCPU: has its ops told, with what is in the host's registers put aside,
   whoever's it is. */
void simd_tell(void *v, enum trace_kind kind, const uint64_t value[TRACE_VALUES]);
/* Bytes the standard-format image needs for all that the host saves. */
uint32_t simd_area_size(void);

#endif
