/*
 * xstate.c - XSAVE images in the standard format: where components lie, and their initial values.
 */
#include "tests/insn/insn.h"

#include <cpuid.h>
#include <string.h>

#define GUEST_STATE                                                                                               \
    0xe7u /* x87, SSE, AVX, AVX-512: what a guest may be given; AMX and PKRU are the host's alone */

uint64_t insn_xstate_mask(void)
{
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low & GUEST_STATE;
}

static unsigned component(unsigned n, unsigned *size)
{
    static unsigned offset[64], length[64];
    unsigned a, b, c, d;

    if (!length[n]) {
        __cpuid_count(0xd, n, a, b, c, d);
        offset[n] = b;
        length[n] = a;
    }
    *size = length[n];
    return offset[n];
}

unsigned insn_xstate_offset(unsigned n)
{
    unsigned size;

    return component(n, &size);
}

unsigned insn_xsave_size(void)
{
    uint64_t mask = insn_xstate_mask();
    unsigned end = 512 + 64, size;

    for (unsigned n = 2; n < 8; n++) {
        if (mask >> n & 1 && component(n, &size) + size > end)
            end = component(n, &size) + size;
    }
    return end;
}

void insn_xstate_normalise(uint8_t *xsave)
{
    uint64_t have, mask = insn_xstate_mask();
    unsigned n, size, offset;

    memcpy(&have, xsave + 512, 8);
    if (!(have & 1)) {
        memset(xsave, 0, 24);
        xsave[0] = 0x7f;
        xsave[1] = 3;
        memset(xsave + 32, 0, 128);
    }
    if (!(have & 2))
        memset(xsave + 160, 0, 256);
    for (n = 2; n < 63; n++) {
        if (!(mask >> n & 1) || (have >> n & 1))
            continue;
        offset = component(n, &size);
        if (offset + size <= INSN_XSAVE_SIZE)
            memset(xsave + offset, 0, size);
    }
    memcpy(xsave + 512, &mask, 8);
}
