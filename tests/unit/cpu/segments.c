/*
 * segments.c - descriptor unpacking, segment loads, LAR, LSL, VERR, VERW. A failure implicates cpu/segments.c.
 */
#include <criterion/criterion.h>

#include "tests/unit/cpu/machine.h"

Test(segments, unpacking)
{
    static const struct {
        uint64_t d[2];
        bool wide;
        uint64_t base;
        uint32_t limit;
        uint16_t attributes;
    } rows[] = {
        {{0x00af9b000000ffff, 0}, false, 0, 0xffffffff, 0xa9b},
        {{0x12cf92345678ffff, 0}, false, 0x12345678, 0xffffffff, 0xc92},
        {{0x00409a1234560abc, 0}, false, 0x00123456, 0xabc, 0x49a},
        {{0x000f920000001234, 0}, false, 0, 0xf1234, 0x092},
        {{0xfe008b4567890067, 0x00000000ffffc900}, true, 0xffffc900fe456789, 0x67, 0x08b},
        {{0x0080920000000000, 0}, false, 0, 0xfff, 0x892},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct segment s;

        cpu_unpack_descriptor(&s, 0x10, rows[i].d, rows[i].wide);
        cr_assert_eq(s.base, rows[i].base, "row %u: base %lx", i, s.base);
        cr_assert_eq(s.limit, rows[i].limit, "row %u: limit %x", i, s.limit);
        cr_assert_eq(s.attributes, rows[i].attributes, "row %u: attributes %x", i, s.attributes);
    }
}

/* Expected: 0 for a load that works, else vector << 16 | error code. */
#define FAULT(vector, error) ((uint32_t)(vector) << 16 | (error))
#define NO_VECTOR 0u

static uint32_t load(struct vcpu *v, unsigned seg, uint16_t selector)
{
    struct segment before = v->seg[seg];
    enum cpu_status status = cpu_load_segment(v, seg, selector);

    if (status == CPU_OK)
        return NO_VECTOR;
    cr_assert_eq(status, CPU_FAULT);
    cr_assert(before.selector == v->seg[seg].selector && before.attributes == v->seg[seg].attributes);
    return FAULT(v->fault.vector, v->fault.error);
}

Test(segments, loads)
{
    static const struct {
        unsigned cpl, seg;
        uint16_t selector;
        uint32_t expected;
    } rows[] = {
        {0, SEG_DS, K_DATA, 0},
        {0, SEG_DS, 0, 0},
        {0, SEG_DS, 3, 0},
        {0, SEG_DS, U_DATA, 0},
        {3, SEG_DS, K_DATA, FAULT(EXC_GP, K_DATA)},
        {3, SEG_ES, U_CODE64, 0},
        {0, SEG_ES, EXECUTE_ONLY, FAULT(EXC_GP, EXECUTE_ONLY)},
        {3, SEG_ES, CONFORMING, 0},
        {0, SEG_FS, ABSENT_DATA, FAULT(EXC_NP, ABSENT_DATA)},
        {0, SEG_GS, S_TSS, FAULT(EXC_GP, S_TSS)},
        {0, SEG_GS, 0x1f0, FAULT(EXC_GP, 0x1f0)},
        {0, SEG_GS, 0x0f, FAULT(EXC_GP, 0x0c)}, /* no LDT */
        {0, SEG_SS, K_DATA, 0},
        {0, SEG_SS, 0, 0},
        {3, SEG_SS, 3, FAULT(EXC_GP, 0)},
        {0, SEG_SS, U_DATA, FAULT(EXC_GP, U_DATA & ~3u)},
        {0, SEG_SS, K_DATA | 1, FAULT(EXC_GP, K_DATA)},
        {0, SEG_SS, READ_ONLY_DATA, FAULT(EXC_GP, READ_ONLY_DATA)},
        {0, SEG_SS, ABSENT_DATA, FAULT(EXC_SS, ABSENT_DATA)},
        {3, SEG_SS, U_DATA, 0},
        {0, SEG_DS, EXPAND_DOWN, 0},
    };
    struct machine *m = machine_create("max");

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t got;

        machine_long_mode(m, rows[i].cpl);
        got = load(m->v, rows[i].seg, rows[i].selector);
        cr_assert_eq(got, rows[i].expected, "row %u: %x", i, got);
        cr_assert_eq(m->v->cpl, rows[i].cpl);
    }
    machine_destroy(m);
}

Test(segments, accessed_bit_is_set)
{
    struct machine *m = machine_create("max");

    machine_long_mode(m, 0);
    machine_write(m, GDT + READ_ONLY_DATA + 5, 0x90, 1);
    cr_assert_eq(load(m->v, SEG_DS, READ_ONLY_DATA), 0);
    cr_assert_eq(machine_read(m, GDT + READ_ONLY_DATA + 5, 1), 0x91);
    machine_destroy(m);
}

Test(segments, lar_lsl_verr_verw)
{
    static const struct {
        unsigned cpl;
        uint16_t selector;
        bool lar, lsl, verr, verw;
        uint32_t access, limit;
    } rows[] = {
        {0, 0, false, false, false, false, 0, 0},
        {0, K_DATA, true, true, true, true, 0xcf9300, 0xffffffff},
        {3, K_DATA, false, false, false, false, 0, 0},
        {0, K_DATA | 3, false, false, false, false, 0, 0},
        {3, U_DATA, true, true, true, true, 0xcff300, 0xffffffff},
        {3, CONFORMING, true, true, true, false, 0xcf9f00, 0xffffffff},
        {0, EXECUTE_ONLY, true, true, false, false, 0xcf9800, 0xffffffff},
        {0, READ_ONLY_DATA, true, true, true, false, 0xcf9100, 0xffffffff},
        {0, ABSENT_DATA, true, true, true, true, 0xcf1300, 0xffffffff},
        {0, S_TSS, true, true, false, false, 0x008900, 0x67},
        {0, S_LDT, true, true, false, false, 0x008200, 0xff},
        {0, CALL_GATE, true, false, false, false, 0x008c00, 0},
        {0, 0x1f0, false, false, false, false, 0, 0},
    };
    struct machine *m = machine_create("max");

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t access = 0, limit = 0;
        bool lar, lsl, verr, verw;

        machine_long_mode(m, rows[i].cpl);
        machine_write(m, GDT + CALL_GATE, machine_descriptor(0, 0, 0x8c, 0), 8);
        cr_assert_eq(cpu_lar(m->v, rows[i].selector, &access, &lar), CPU_OK);
        cr_assert_eq(cpu_lsl(m->v, rows[i].selector, &limit, &lsl), CPU_OK);
        cr_assert_eq(cpu_verify(m->v, rows[i].selector, false, &verr), CPU_OK);
        cr_assert_eq(cpu_verify(m->v, rows[i].selector, true, &verw), CPU_OK);
        cr_assert(lar == rows[i].lar && lsl == rows[i].lsl && verr == rows[i].verr && verw == rows[i].verw,
                  "row %u: %d %d %d %d", i, lar, lsl, verr, verw);
        cr_assert_eq(access, rows[i].access, "row %u: %x", i, access);
        cr_assert_eq(limit, rows[i].limit, "row %u: %x", i, limit);
    }
    m->v->cr0 &= ~(uint64_t)CR0_PE;
    cr_assert_eq(cpu_verify(m->v, K_DATA, false, &(bool){false}), CPU_FAULT);
    cr_assert_eq(m->v->fault.vector, EXC_UD);
    machine_destroy(m);
}

Test(segments, task_and_ldt)
{
    struct machine *m = machine_create("max");

    machine_long_mode(m, 0);
    machine_write(m, GDT + S_LDT + 8, 0xffff8000, 8);
    cr_assert_eq(cpu_load_ldt(m->v, S_LDT), CPU_OK);
    cr_assert_eq(m->v->ldtr.base, 0xffff800000013000);
    cr_assert_eq(cpu_load_task(m->v, S_LDT), CPU_FAULT);
    cr_assert_eq(m->v->fault.error, S_LDT);
    cr_assert_eq(cpu_load_task(m->v, S_TSS), CPU_OK);
    cr_assert_eq(machine_read(m, GDT + S_TSS + 5, 1), 0x8b);
    cr_assert_eq(cpu_load_task(m->v, S_TSS), CPU_FAULT); /* busy now */
    cr_assert_eq(m->v->fault.vector, EXC_GP);
    machine_long_mode(m, 3);
    cr_assert_eq(cpu_load_ldt(m->v, 0), CPU_FAULT);
    cr_assert_eq(m->v->fault.error, 0);
    machine_destroy(m);
}
