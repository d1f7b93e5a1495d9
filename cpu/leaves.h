/*
 * leaves.h - the CPUID leaves made from a model's feature words. Within cpu/.
 */
#ifndef NOVT_CPU_LEAVES_H
#define NOVT_CPU_LEAVES_H

#include "cpu/cpuid.h"

/* The host's own leaf: EAX, EBX, ECX, EDX; zeros when it has no such leaf. */
void leaves_read_host(uint32_t leaf, uint32_t subleaf, uint32_t r[4]);
/* Fills xcr0_allowed, amd, max_basic, max_extended and leaf[]. */
void leaves_build(struct cpu_model *m);

#endif
