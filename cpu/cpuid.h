/*
 * cpuid.h - the CPU model the guest sees: which features, and the CPUID leaves that tell of them.
 */
#ifndef NOVT_CPU_CPUID_H
#define NOVT_CPU_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/error.h"

#define CPU_MODEL_LEAVES 64

struct cpuid_leaf {
    uint32_t leaf, subleaf;
    bool any_subleaf;
    uint32_t eax, ebx, ecx, edx;
};

struct cpu_model {
    char name[32];
    /* Feature words as in CPUID, after `-cpu` and what the host and novt can do. */
    uint32_t f1_ecx, f1_edx, f7_ebx, f7_ecx, f7_edx, f7_1_eax, f7_2_edx, fd_1_eax, f80000001_ecx, f80000001_edx;
    uint32_t f6_eax, f80000007_edx, f80000008_ebx, f80000021_eax, f80000021_ecx;
    uint64_t xcr0_allowed;
    bool amd; /* the vendor shown, which is the host's */
    uint32_t max_basic, max_extended;
    struct cpuid_leaf leaf[CPU_MODEL_LEAVES];
    unsigned leaf_count;
};

/* spec: "max", "x86-64-v1|v2|v3", each with ",+feature,-feature" (Linux's names, as in QEMU: "-avx2").
   Errors: -EINVAL with a text naming the nearest known word; -ENOTSUP for a feature the host lacks. */
int cpu_model_parse(struct cpu_model *model, const char *spec, struct error *error);

/* By the names of -cpu; false for a name that does not exist. */
bool cpu_model_has(const struct cpu_model *model, const char *feature);

struct vcpu;
/* CPUID as the guest sees it now (OSXSAVE, APIC id, XSAVE sizes follow the state). */
void cpu_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

#endif
