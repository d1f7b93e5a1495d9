/*
 * cpuid.c - reading -cpu, and the leaves made of it. A failure implicates cpu/model.c, cpu/features.c or
 * cpu/cpuid.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "cpu/simd.h"
#include "tests/unit/cpu/machine.h"

Test(cpuid, errors_name_what_is_wrong)
{
    static const struct {
        const char *spec;
        int result;
        const char *text;
    } rows[] = {
        {"mx", -EINVAL, "'max'"},
        {"x86-64-v9", -EINVAL, "'x86-64-v1'"},
        {"max,+avx3", -EINVAL, "'avx'"},
        {"max,-sse5", -EINVAL, "'sse"},
        {"max,+vmx", -ENOTSUP, "'vmx'"},
        {"max,,+avx", -EINVAL, "empty"},
        {"max,+", -EINVAL, "empty"},
        {"max,a-name-that-is-much-longer-than-any-feature-has", -EINVAL, "unknown"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cpu_model model;
        struct error error = {""};
        int result = cpu_model_parse(&model, rows[i].spec, &error);

        cr_assert_eq(result, rows[i].result, "%s: %d", rows[i].spec, result);
        cr_assert(strstr(error.text, rows[i].text), "%s: %s", rows[i].spec, error.text);
    }
}

Test(cpuid, models_and_options)
{
    struct cpu_model model;

    cr_assert_eq(cpu_model_parse(&model, NULL, NULL), 0);
    cr_assert_eq(model.f7_ebx >> 16 & 1, 0); /* AVX-512 only with max */
    cr_assert_eq(cpu_model_parse(&model, "x86-64-v1", NULL), 0);
    cr_assert(!(model.f1_ecx & 1) && model.f1_edx & 1u << 26 && model.f80000001_edx & 1u << 20);
    cr_assert_eq(model.xcr0_allowed, 1);
    cr_assert_eq(cpu_model_parse(&model, "x86-64-v2,-SSE4_2", NULL), 0);
    cr_assert(model.f1_ecx & 1u << 19 && !(model.f1_ecx & 1u << 20));
    cr_assert_eq(cpu_model_parse(&model, "max,-xsave", NULL), 0);
    cr_assert(!(model.f1_ecx & 1u << 28) && !(model.f7_ebx & (1u << 5 | 1u << 16)) && !model.fd_1_eax);
    cr_assert_eq(cpu_model_parse(&model, "max,hypervisor=off", NULL), 0);
    cr_assert(!(model.f1_ecx >> 31));
}

Test(cpuid, leaves_follow_the_state)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint32_t r[4], first[4];

    cpu_cpuid(v, 1, 0, r);
    cr_assert(r[2] >> 31 && !(r[2] & 1u << 27));
    cpu_cpuid(v, 0x40000000, 0, r);
    cr_assert_eq(memcmp(&r[1], "novtnovtnovt", 12), 0);
    cpu_cpuid(v, 0x80000008, 0, r);
    cr_assert_eq(r[0], MMU_PHYS_BITS | 48 << 8);
    cpu_cpuid(v, 0x7fffffff, 5, r);
    cr_assert(!m->model.amd || !(r[0] | r[1] | r[2] | r[3]));
    if (m->model.f1_ecx & 1u << 26) {
        cpu_cpuid(v, 0xd, 0, first);
        cr_assert_eq(first[1], 576);
        v->cr4 |= CR4_OSXSAVE;
        cr_assert_eq(cpu_xsetbv(v, 0, 3), CPU_OK);
        cr_assert_eq(cpu_xsetbv(v, 0, m->model.xcr0_allowed), CPU_OK);
        cr_assert_eq(cpu_xsetbv(v, 0, 2), CPU_FAULT);
        cr_assert_eq(cpu_xsetbv(v, 0, 0x10001), CPU_FAULT);
        cpu_cpuid(v, 0xd, 0, r);
        cr_assert_eq(r[1], r[2]);
        cr_assert(r[2] <= simd_area_size());
        cpu_cpuid(v, 1, 0, r);
        cr_assert(r[2] & 1u << 27);
    }
    machine_destroy(m);
}

Test(cpuid, simd_round_trip)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    for (unsigned i = 0; i < 256; i++)
        v->xsave[160 + i] = (uint8_t)(i * 7); /* XMM0-15 */
    v->xsave[0] = 0x7a;                       /* x87: invalid and zero-divide unmasked */
    simd_load(v);
    for (unsigned i = 0; i < 416; i++) /* nothing here may use the registers that are live */
        ((volatile uint8_t *)v->xsave)[i] = 0x55;
    simd_save(v);
    cr_assert(!v->simd_live && v->xsave[0] == 0x7a);
    for (unsigned i = 0; i < 256; i++)
        cr_assert_eq(v->xsave[160 + i], (uint8_t)(i * 7));
    machine_destroy(m);
}
