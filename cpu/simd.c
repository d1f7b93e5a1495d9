/*
 * simd.c - moves the guest's x87, SSE and AVX state between the host's registers and vcpu->xsave.
 *
 * Interface: simd.h. Invariants: xsave[] is a standard-format image (XCOMP_BV zero) of the components in
 * vcpu->simd_mask, whatever XCR0 the guest has set; the format's offsets are the host's. CPUID is never run
 * here but at reset (it traps, and is slow, where the host is itself a guest).
 */
#include <assert.h>
#include <cpuid.h>

#include "cpu/simd.h"
#include "memory/nosimd.h"

#define XCR0_SUPPORTED 0xe7u /* x87, SSE, AVX, AVX-512 */
#define XSAVE_MXCSR 24       /* offsets in the legacy region: SDM vol. 1, 10.5.1 */
#define XSAVE_FCW 0
#define XSAVE_BV 512 /* in the header: 13.4.2 */

static uint64_t host_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static bool host_has_xsave(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_OSXSAVE;
}

uint32_t simd_area_size(void)
{
    uint32_t size = 512 + 64, mask = XCR0_SUPPORTED;

    if (!host_has_xsave())
        return size;
    mask &= host_xcr0();
    for (unsigned i = 2; i < 8; i++) {
        unsigned a, b, c, d;

        if (!(mask & 1u << i))
            continue;
        __cpuid_count(0xd, i, a, b, c, d);
        if (b + a > size)
            size = b + a;
    }
    return size;
}

void simd_discard(struct vcpu *v)
{
    const uint32_t mxcsr = 0x1f80;

    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
    v->simd_live = false;
}

void simd_save(struct vcpu *v)
{
    if (!v->simd_live)
        return;
    __asm__ volatile("xsave64 %0" : "+m"(v->xsave) : "a"((uint32_t)v->simd_mask), "d"(0u) : "memory");
    simd_discard(v);
}

void simd_load(struct vcpu *v)
{
    if (v->simd_live)
        return;
    __asm__ volatile("xrstor64 %0" : : "m"(v->xsave), "a"((uint32_t)v->simd_mask), "d"(0u) : "memory");
    v->simd_live = true;
}

void simd_reset(struct vcpu *v)
{
    if (!v->simd_mask) {
        assert(simd_area_size() <= XSAVE_AREA_SIZE);
        v->simd_mask = host_has_xsave() ? host_xcr0() & XCR0_SUPPORTED : 3;
    }
    v->simd_live = false;
    memset(v->xsave, 0, sizeof v->xsave);
    v->xsave[XSAVE_FCW] = 0x7f;
    v->xsave[XSAVE_FCW + 1] = 0x03;
    v->xsave[XSAVE_MXCSR] = 0x80;
    v->xsave[XSAVE_MXCSR + 1] = 0x1f;
    v->xsave[XSAVE_BV] = 3; /* x87 and SSE from the image, the rest in its initial state */
}

void simd_tell(void *opaque, enum trace_kind kind, const uint64_t value[TRACE_VALUES])
{
    struct vcpu *v = opaque;
    _Alignas(64) uint8_t aside[XSAVE_AREA_SIZE];
    const uint32_t mxcsr = 0x1f80;

    if (!v->ops->tell)
        return;
    memset(aside + XSAVE_BV, 0, 64); /* XSAVE leaves the rest of the header as it is, and XRSTOR wants zeros */
    __asm__ volatile("xsave64 %0" : "+m"(aside) : "a"((uint32_t)v->simd_mask), "d"(0u) : "memory");
    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
    v->ops->tell(v->ops_opaque, kind, value);
    __asm__ volatile("xrstor64 %0" : : "m"(aside), "a"((uint32_t)v->simd_mask), "d"(0u) : "memory");
}
