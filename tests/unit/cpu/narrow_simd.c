/*
 * narrow_simd.c - registers 8 to 15 do not exist outside of 64-bit mode: save areas and VZEROALL leave them alone.
 * A failure implicates cpu/native_save.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/simd.h"
#include "tests/unit/cpu/machine.h"

#define AREA 0x70000u
#define XMM 160u

static unsigned avx_at(struct machine *m)
{
    uint32_t out[4];

    cpu_cpuid(m->v, 0xd, 2, out);
    return out[1];
}

/* A machine in 32-bit code whose XMM and YMM registers hold a pattern; NULL when the host has no AVX. */
static struct machine *machine_with_avx(void)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    if ((m->model.xcr0_allowed & 7) != 7) {
        machine_destroy(m);
        return NULL;
    }
    machine_protected_mode(m, 0);
    v->cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
    v->xcr0 = 7;
    cpu_update_mode(v);
    for (unsigned i = 0; i < 256; i++) {
        v->xsave[XMM + i] = (uint8_t)(i + 1);
        v->xsave[avx_at(m) + i] = (uint8_t)(i + 101);
    }
    v->xsave[512] = 7;
    v->gpr[RBX] = AREA;
    v->gpr[RAX] = 7;
    v->gpr[RDX] = 0;
    for (unsigned i = 0; i < 1024; i++)
        machine_write(m, AREA + i, 0xee, 1);
    return m;
}

static void run(struct machine *m, const uint8_t *code, unsigned size)
{
    cr_assert(ram_copy_to(&m->ram, CODE, code, size));
    m->v->rip = CODE;
    cr_assert(cpu_step(m->v) == CPU_OK && m->v->rip == CODE + size, "%02x %02x %02x", code[0], code[1], code[2]);
}

Test(narrow_simd, save_areas_hold_eight_registers)
{
    static const uint8_t instructions[][3] = {{0x0f, 0xae, 0x03}, {0x0f, 0xae, 0x23}}; /* FXSAVE, XSAVE */
    struct machine *m = machine_with_avx();

    if (!m)
        return;
    for (unsigned n = 0; n < 2; n++) {
        run(m, instructions[n], 3);
        for (unsigned i = 0; i < 256; i++) {
            cr_assert_eq(machine_read(m, AREA + XMM + i, 1), i < 128 ? i + 1 : 0xee, "xmm byte %u", i);
            if (n)
                cr_assert_eq(machine_read(m, AREA + avx_at(m) + i, 1), i < 128 ? (i + 101) & 0xff : 0xee,
                             "ymm byte %u", i);
        }
    }
    machine_destroy(m);
}

Test(narrow_simd, restores_load_eight_registers)
{
    static const uint8_t instructions[][3] = {{0x0f, 0xae, 0x0b}, {0x0f, 0xae, 0x2b}}; /* FXRSTOR, XRSTOR */
    struct machine *m = machine_with_avx();
    uint8_t header[64] = {7};

    if (!m)
        return;
    machine_write(m, AREA, 0x37f, 8);
    machine_write(m, AREA + 24, 0x1f80, 8);
    cr_assert(ram_copy_to(&m->ram, AREA + 512, header, sizeof header));
    for (unsigned n = 0; n < 2; n++) {
        run(m, instructions[n], 3);
        simd_save(m->v);
        for (unsigned i = 0; i < 256; i++) {
            cr_assert_eq(m->v->xsave[XMM + i], i < 128 ? 0xee : (i + 1) & 0xff, "xmm byte %u", i);
            cr_assert_eq(m->v->xsave[avx_at(m) + i], i < 128 && n ? 0xee : (i + 101) & 0xff, "ymm byte %u", i);
        }
    }
    /* components in their initial state: the lower registers become zero, the upper ones stay */
    header[0] = 0;
    cr_assert(ram_copy_to(&m->ram, AREA + 512, header, sizeof header));
    run(m, instructions[1], 3);
    for (unsigned i = 0; i < 256; i++) {
        cr_assert_eq(m->v->xsave[XMM + i], i < 128 ? 0 : (i + 1) & 0xff, "xmm byte %u", i);
        cr_assert_eq(m->v->xsave[avx_at(m) + i], i < 128 ? 0 : (i + 101) & 0xff, "ymm byte %u", i);
    }
    machine_destroy(m);
}

Test(narrow_simd, vzero_clears_eight_registers)
{
    static const uint8_t instructions[][3] = {{0xc5, 0xf8, 0x77}, {0xc5, 0xfc, 0x77}}; /* VZEROUPPER, VZEROALL */
    struct machine *m = machine_with_avx();

    if (!m)
        return;
    for (unsigned n = 0; n < 2; n++) {
        run(m, instructions[n], 3);
        for (unsigned i = 0; i < 256; i++) {
            cr_assert_eq(m->v->xsave[XMM + i], i < 128 && n ? 0 : (i + 1) & 0xff, "xmm byte %u", i);
            cr_assert_eq(m->v->xsave[avx_at(m) + i], i < 128 ? 0 : (i + 101) & 0xff, "ymm byte %u", i);
        }
    }
    machine_destroy(m);
}
