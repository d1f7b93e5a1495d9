/*
 * cpuid.c - the CPUID leaves: made once from the model, looked up when the guest asks.
 *
 * Interface: cpuid.h, leaves.h. Invariants: vendor, family and caches are the host's, features the model's. The
 * XSAVE layout is the host's too, since the host executes the guest's XSAVE. Nothing here runs CPUID on the host
 * after leaves_build.
 */
#include <cpuid.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/leaves.h"
#include "cpu/vcpu.h"

#define XSAVE_SMALLEST 576u /* legacy region and header */
#define HYPERVISOR_LEAF 0x40000000u
#define ADDRESS_SIZES (MMU_PHYS_BITS | 48u << 8)

static const char brand[48] = "novt virtual CPU";
static const char signature[12] = "novtnovtnovt";

void leaves_read_host(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    if (__get_cpuid_max(leaf & 0x80000000, NULL) < leaf) {
        memset(r, 0, 4 * sizeof r[0]);
        return;
    }
    __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
}

static struct cpuid_leaf *add_leaf(struct cpu_model *m, uint32_t leaf, int subleaf, uint32_t eax, uint32_t ebx,
                                   uint32_t ecx, uint32_t edx)
{
    struct cpuid_leaf *l = &m->leaf[m->leaf_count++];

    *l = (struct cpuid_leaf){.leaf = leaf,
                             .subleaf = subleaf < 0 ? 0 : subleaf,
                             .any_subleaf = subleaf < 0,
                             .eax = eax,
                             .ebx = ebx,
                             .ecx = ecx,
                             .edx = edx};
    return l;
}

/* Intel's deterministic cache parameters, for one processor of its own. */
static void add_intel_caches(struct cpu_model *m)
{
    uint32_t r[4];

    add_leaf(m, 2, -1, 0x00feff01, 0, 0, 0); /* "see leaf 4" */
    for (int i = 0; i < 4; i++) {
        leaves_read_host(4, i, r);
        if (!(r[0] & 0x1f))
            break;
        add_leaf(m, 4, i, r[0] & 0x3fff, r[1], r[2], r[3]);
    }
}

static void add_basic(struct cpu_model *m)
{
    uint32_t r[4], signature_eax;

    leaves_read_host(1, 0, r);
    signature_eax = r[0];
    leaves_read_host(0, 0, r);
    m->max_basic = 0xd;
    if (!m->amd && r[0] >= 0x15)
        m->max_basic = r[0] >= 0x16 ? 0x16 : 0x15;
    add_leaf(m, 0, -1, m->max_basic, r[1], r[2], r[3]);
    leaves_read_host(1, 0, r);
    add_leaf(m, 1, -1, signature_eax, (r[1] & 0xff00) | 1u << 16, m->f1_ecx, m->f1_edx);
    if (!m->amd)
        add_intel_caches(m);
    add_leaf(m, 6, -1, m->f6_eax, 0, 0, 0);
    add_leaf(m, 7, 0, m->f7_2_edx ? 2 : 1, m->f7_ebx, m->f7_ecx, m->f7_edx);
    add_leaf(m, 7, 1, m->f7_1_eax, 0, 0, 0);
    if (m->f7_2_edx)
        add_leaf(m, 7, 2, 0, 0, 0, m->f7_2_edx);
    add_leaf(m, 0xb, 0, 0, 1, 1 << 8, 0);
    add_leaf(m, 0xb, 1, 0, 1, 1 | 2 << 8, 0);
    for (uint32_t leaf = 0x15; leaf <= m->max_basic; leaf++) { /* TSC and base frequency */
        leaves_read_host(leaf, 0, r);
        add_leaf(m, leaf, -1, r[0], r[1], r[2], leaf == 0x15 ? 0 : r[3]);
    }
    if (m->f1_ecx & 1u << 31)
        add_leaf(m, HYPERVISOR_LEAF, -1, HYPERVISOR_LEAF, ((const uint32_t *)(const void *)signature)[0],
                 ((const uint32_t *)(const void *)signature)[1], ((const uint32_t *)(const void *)signature)[2]);
}

/* Components of XCR0 (SDM vol. 1, 13.5); sizes and offsets from the host. Leaf 0xd.0 and .1 follow the state. */
static void add_xsave(struct cpu_model *m)
{
    uint64_t host_mask;
    uint32_t r[4];

    leaves_read_host(0xd, 0, r);
    host_mask = r[0] | (uint64_t)r[3] << 32;
    m->xcr0_allowed = 3;
    m->xcr0_allowed |= m->f1_ecx & bit_AVX ? 4 : 0;
    m->xcr0_allowed |= m->f7_ebx & bit_AVX512F ? 0xe0 : 0;
    m->xcr0_allowed &= host_mask;
    if (!(m->f1_ecx & bit_XSAVE)) {
        m->xcr0_allowed = 1;
        return;
    }
    for (int i = 2; i < 8; i++)
        if (m->xcr0_allowed & 1u << i) {
            leaves_read_host(0xd, i, r);
            add_leaf(m, 0xd, i, r[0], r[1], r[2], 0);
        }
}

/* AMD's associativity code 9 says "see leaf 0x8000001d", which is not shown: 16 ways instead. */
static uint32_t plain_associativity(uint32_t cache)
{
    return (cache >> 12 & 0xf) == 9 ? (cache & ~0xf000u) | 0x8000u : cache;
}

#define AMD_REPEATED_EDX 0x0183f3ffu /* bits of leaf 1 that AMD repeats in 0x80000001 */

static void add_extended(struct cpu_model *m)
{
    uint32_t r[4], host[4], words[12];

    m->max_extended = m->amd ? 0x80000021 : 0x80000008;
    leaves_read_host(0x80000000, 0, r);
    add_leaf(m, 0x80000000, -1, m->max_extended, r[1], r[2], r[3]);
    leaves_read_host(0x80000001, 0, host);
    if (m->amd)
        m->f80000001_edx |= m->f1_edx & AMD_REPEATED_EDX;
    else
        m->f80000008_ebx = 0;
    add_leaf(m, 0x80000001, -1, m->amd ? host[0] : 0, m->amd ? host[1] : 0, m->f80000001_ecx, m->f80000001_edx);
    memcpy(words, brand, sizeof words);
    for (unsigned i = 0; i < 3; i++)
        add_leaf(m, 0x80000002 + i, -1, words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
    if (m->amd) {
        leaves_read_host(0x80000005, 0, r);
        add_leaf(m, 0x80000005, -1, r[0], r[1], r[2], r[3]);
    }
    leaves_read_host(0x80000006, 0, r);
    add_leaf(m, 0x80000006, -1, m->amd ? r[0] : 0, m->amd ? r[1] : 0, plain_associativity(r[2]),
             m->amd ? plain_associativity(r[3]) : 0);
    add_leaf(m, 0x80000007, -1, 0, 0, 0, m->f80000007_edx);
    add_leaf(m, 0x80000008, -1, ADDRESS_SIZES, m->f80000008_ebx, 0, 0);
    if (m->amd)
        add_leaf(m, 0x80000021, -1, m->f80000021_eax, 0, m->f80000021_ecx, 0);
    else
        m->f80000021_eax = 0;
}

void leaves_build(struct cpu_model *m)
{
    uint32_t r[4];

    leaves_read_host(0, 0, r);
    m->amd = (r[1] == signature_AMD_ebx && r[2] == signature_AMD_ecx) ||
             (r[1] == 0x6f677948 && r[2] == 0x656e6975); /* HygonGenuine */
    m->leaf_count = 0;
    if (m->amd) {
        m->f7_edx &= ~(1u << 29 | 1u << 26); /* arch-capabilities, spec-ctrl */
        m->f7_2_edx = 0;                     /* bhi-ctrl */
    }
    add_basic(m);
    add_xsave(m);
    add_extended(m);
}

static const struct cpuid_leaf *find_leaf(const struct cpu_model *m, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < m->leaf_count; i++)
        if (m->leaf[i].leaf == leaf && (m->leaf[i].any_subleaf || m->leaf[i].subleaf == subleaf))
            return &m->leaf[i];
    return NULL;
}

/* Bytes of the standard or the compacted format for these components (SDM vol. 1, 13.4.2 and 13.4.3). */
static uint32_t xsave_size(const struct cpu_model *m, uint64_t components, bool compacted)
{
    uint32_t size = XSAVE_SMALLEST;

    for (unsigned i = 2; i < 8; i++) {
        const struct cpuid_leaf *l = components >> i & 1 ? find_leaf(m, 0xd, i) : NULL;

        if (!l)
            continue;
        if (compacted)
            size = (l->ecx & 2 ? (size + 63) & ~63u : size) + l->eax;
        else if (l->ebx + l->eax > size)
            size = l->ebx + l->eax;
    }
    return size;
}

static void xsave_leaf(const struct vcpu *v, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model *m = v->model;

    if (!(m->f1_ecx & bit_XSAVE))
        return;
    if (subleaf == 0) {
        out[0] = m->xcr0_allowed;
        out[1] = xsave_size(m, v->xcr0, false);
        out[2] = xsave_size(m, m->xcr0_allowed, false);
        out[3] = m->xcr0_allowed >> 32;
    } else {
        out[0] = m->fd_1_eax;
        out[1] = m->fd_1_eax & 0xa ? xsave_size(m, v->xcr0, true) : 0;
    }
}

void cpu_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model *m = v->model;
    const struct cpuid_leaf *l;
    bool hypervisor = leaf >> 28 == 4 && m->f1_ecx >> 31;

    out[0] = out[1] = out[2] = out[3] = 0;
    /* Intel answers a leaf that does not exist with the highest basic one (SDM vol. 2, CPUID). */
    if (!m->amd && !hypervisor && leaf > (leaf >> 31 ? m->max_extended : m->max_basic))
        leaf = m->max_basic;
    if (leaf == 0xd && subleaf < 2) {
        xsave_leaf(v, subleaf, out);
        return;
    }
    l = find_leaf(m, leaf, subleaf);
    if (l) {
        out[0] = l->eax;
        out[1] = l->ebx;
        out[2] = l->ecx;
        out[3] = l->edx;
    } else if (leaf == 0xb) {
        out[2] = subleaf & 0xff;
    }
    if (leaf == 1 && v->cr4 & CR4_OSXSAVE && m->f1_ecx & bit_XSAVE)
        out[2] |= bit_OSXSAVE;
}
