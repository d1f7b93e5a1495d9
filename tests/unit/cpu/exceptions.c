/*
 * exceptions.c - frames of delivered events, double and triple faults, interrupts, IRET. A failure implicates
 * cpu/exceptions.c, cpu/stack.c or cpu/iret.c.
 */
#include <criterion/criterion.h>

#include "tests/unit/cpu/machine.h"

#define INTERRUPT_GATE 14
#define TRAP_GATE 15

static void all_gates(struct machine *m, uint16_t selector)
{
    for (unsigned vector = 0; vector < 64; vector++)
        machine_gate(m, vector, selector, INTERRUPT_GATE, 0, 0);
}

/* The quadword n of the frame at RSP. */
static uint64_t word(struct machine *m, unsigned n)
{
    return machine_read(m, m->v->gpr[RSP] + 8 * n, 8);
}

static uint32_t word32(struct machine *m, unsigned n)
{
    return machine_read(m, m->v->gpr[RSP] + 4 * n, 4);
}

Test(exceptions, page_fault_from_user_in_long_mode)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 3);
    all_gates(m, K_CODE64);
    v->rflags |= FLAG_TF | FLAG_NT | FLAG_AC;
    cpu_raise_error(v, EXC_PF, 6);
    v->fault.address = 0x123456789;
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->cr2, 0x123456789);
    cr_assert_eq(v->rip, HANDLER + 16 * EXC_PF);
    cr_assert_eq(v->gpr[RSP], STACK0 - 48);
    cr_assert_eq(v->cpl, 0);
    cr_assert_eq(v->seg[SEG_CS].selector, K_CODE64);
    cr_assert_eq(v->seg[SEG_SS].selector, 0);
    cr_assert_eq(v->rflags, FLAG_FIXED | FLAG_AC);
    cr_assert_eq(word(m, 0), 6);
    cr_assert_eq(word(m, 1), CODE);
    cr_assert_eq(word(m, 2), U_CODE64);
    cr_assert_eq(word(m, 3), FLAG_FIXED | FLAG_IF | FLAG_TF | FLAG_NT | FLAG_AC | FLAG_RF);
    cr_assert_eq(word(m, 4), STACK3 - 0x100);
    cr_assert_eq(word(m, 5), U_DATA);
    /* and back */
    v->gpr[RSP] += 8;
    machine_write(m, v->gpr[RSP] + 16, FLAG_FIXED | FLAG_IF, 8);
    cr_assert_eq(cpu_iret(v, 8), CPU_OK);
    cr_assert(v->rip == CODE && v->cpl == 3 && v->gpr[RSP] == STACK3 - 0x100 && v->seg[SEG_SS].selector == U_DATA);
    cr_assert_eq(v->rflags, FLAG_FIXED | FLAG_IF);
    machine_destroy(m);
}

Test(exceptions, same_level_aligns_the_stack)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 0);
    all_gates(m, K_CODE64);
    machine_gate(m, EXC_UD, K_CODE64, TRAP_GATE, 0, 0);
    v->gpr[RSP] = STACK0 - 0x107;
    cpu_raise(v, EXC_UD);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->gpr[RSP], STACK0 - 0x110 - 40);
    cr_assert_eq(word(m, 3), STACK0 - 0x107);
    cr_assert_eq(word(m, 4), K_DATA);
    cr_assert_eq(v->seg[SEG_SS].selector, K_DATA);
    cr_assert(v->rflags & FLAG_IF); /* a trap gate */
    machine_gate(m, EXC_NM, K_CODE64, INTERRUPT_GATE, 0, 1);
    cpu_raise(v, EXC_NM);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->gpr[RSP], STACK_IST - 40);
    machine_destroy(m);
}

Test(exceptions, frames_in_protected_mode)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_protected_mode(m, 3);
    all_gates(m, K_CODE32);
    cpu_raise_error(v, EXC_GP, 0x18);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert(v->cpl == 0 && v->gpr[RSP] == STACK0 - 24 && v->seg[SEG_SS].selector == K_DATA);
    cr_assert_eq(word32(m, 0), 0x18);
    cr_assert_eq(word32(m, 1), CODE);
    cr_assert_eq(word32(m, 2), U_CODE32);
    cr_assert_eq(word32(m, 3), FLAG_FIXED | FLAG_IF | FLAG_RF);
    cr_assert_eq(word32(m, 4), STACK3 - 0x100);
    cr_assert_eq(word32(m, 5), U_DATA);
    v->gpr[RSP] += 4;
    cr_assert_eq(cpu_iret(v, 4), CPU_OK);
    cr_assert(v->cpl == 3 && v->rip == CODE && v->gpr[RSP] == STACK3 - 0x100);
    cr_assert_eq(v->seg[SEG_DS].selector, U_DATA);

    machine_protected_mode(m, 0);
    cpu_raise(v, EXC_DE);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->gpr[RSP], STACK0 - 0x100 - 12);
    machine_gate(m, EXC_BR, K_CODE32, 6, 0, 0); /* 16-bit interrupt gate */
    v->gpr[RSP] = STACK0;
    v->rip = 0x1234;
    cpu_raise(v, EXC_BR);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->gpr[RSP], STACK0 - 6);
    cr_assert_eq(machine_read(m, STACK0 - 6, 2), 0x1234);
    cr_assert_eq(v->rip, (HANDLER + 16 * EXC_BR) & 0xffff);
    machine_destroy(m);
}

Test(exceptions, real_mode)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    vcpu_reset(v);
    cpu_load_segment_real(v, SEG_CS, 0x1000);
    cpu_load_segment_real(v, SEG_SS, 0x2000);
    v->rip = 0x100;
    v->gpr[RSP] = 0xffff0002; /* the high half stays */
    v->rflags |= FLAG_IF;
    machine_write(m, 0x10 * 4, 0x00204567, 4);
    cr_assert_eq(cpu_software_interrupt(v, 0x10, 0x102), CPU_OK);
    cr_assert(v->rip == 0x4567 && v->seg[SEG_CS].selector == 0x20 && v->seg[SEG_CS].base == 0x200);
    cr_assert_eq(v->gpr[RSP], 0xfffffffc);
    cr_assert_eq(machine_read(m, 0x2fffc, 2), 0x102);
    cr_assert_eq(machine_read(m, 0x2fffe, 2), 0x1000);
    cr_assert_eq(machine_read(m, 0x20000, 2), FLAG_FIXED | FLAG_IF);
    cr_assert_eq(v->rflags, FLAG_FIXED);
    cr_assert_eq(cpu_iret(v, 2), CPU_OK);
    cr_assert(v->rip == 0x102 && v->seg[SEG_CS].base == 0x10000 && v->rflags == (FLAG_FIXED | FLAG_IF));
    cr_assert_eq(v->gpr[RSP], 0xffff0002);
    machine_destroy(m);
}

/* What a first exception, whose delivery meets a second one, becomes (SDM vol. 3, table 6-5). */
Test(exceptions, escalation)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 0);
    all_gates(m, K_CODE64);
    machine_write(m, IDT + 16 * EXC_UD + 5, 0x0e, 1); /* #UD's gate is absent: benign, then #NP */
    cpu_raise(v, EXC_UD);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->rip, HANDLER + 16 * EXC_NP);
    cr_assert_eq(word(m, 0), EXC_UD * 8 + 2 + 1);

    machine_long_mode(m, 0);
    machine_write(m, IDT + 16 * EXC_GP + 5, 0x0e, 1); /* contributory twice */
    cpu_raise_error(v, EXC_GP, 0);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->rip, HANDLER + 16 * EXC_DF);
    cr_assert_eq(word(m, 0), 0);
    cr_assert_eq(word(m, 1), CODE);

    machine_long_mode(m, 0);
    v->gpr[RSP] = UNMAPPED + 0x800; /* #PF while delivering #PF; #DF has an IST */
    machine_gate(m, EXC_DF, K_CODE64, INTERRUPT_GATE, 0, 1);
    cpu_raise_error(v, EXC_PF, 0);
    v->fault.address = 0x1000;
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->rip, HANDLER + 16 * EXC_DF);
    cr_assert_eq(v->cr2, UNMAPPED + 0x7f8);

    machine_long_mode(m, 0);
    v->gpr[RSP] = UNMAPPED;
    machine_gate(m, EXC_DF, K_CODE64, INTERRUPT_GATE, 0, 0);
    cpu_raise_error(v, EXC_PF, 0);
    cr_assert_eq(cpu_deliver_fault(v), CPU_EXIT);
    cr_assert_eq(v->exit.reason, EXIT_TRIPLE_FAULT);
    cr_assert(v->rip == CODE && v->gpr[RSP] == UNMAPPED && v->cpl == 0);

    machine_long_mode(m, 3);
    v->idtr.limit = 0;
    cpu_raise(v, EXC_UD);
    cr_assert_eq(cpu_deliver_fault(v), CPU_EXIT);
    machine_destroy(m);
}

Test(exceptions, software_interrupts)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 3);
    all_gates(m, K_CODE64);
    cr_assert_eq(cpu_software_interrupt(v, 0x20, CODE + 2), CPU_FAULT);
    cr_assert(v->fault.vector == EXC_GP && v->fault.error == 0x20 * 8 + 2 && v->rip == CODE && v->cpl == 3);
    machine_gate(m, 0x20, K_CODE64, INTERRUPT_GATE, 3, 0);
    cr_assert_eq(cpu_software_interrupt(v, 0x20, CODE + 2), CPU_OK);
    cr_assert_eq(word(m, 0), CODE + 2);
    cr_assert_eq(word(m, 2), FLAG_FIXED | FLAG_IF);
    machine_long_mode(m, 0);
    machine_gate(m, 0x21, BOTH_L_AND_D, INTERRUPT_GATE, 3, 0);
    cr_assert_eq(cpu_software_interrupt(v, 0x21, CODE + 2), CPU_FAULT);
    cr_assert_eq(v->fault.error, BOTH_L_AND_D);
    machine_gate(m, 0x21, ABSENT_CODE64, INTERRUPT_GATE, 3, 0);
    cr_assert_eq(cpu_software_interrupt(v, 0x21, CODE + 2), CPU_FAULT);
    cr_assert(v->fault.vector == EXC_NP && v->fault.error == ABSENT_CODE64);
    machine_gate(m, 0x21, 0, INTERRUPT_GATE, 3, 0);
    cr_assert_eq(cpu_software_interrupt(v, 0x21, CODE + 2), CPU_FAULT);
    cr_assert(v->fault.vector == EXC_GP && v->fault.error == 0);
    machine_destroy(m);
}

static int acknowledge(void *opaque)
{
    return *(int *)opaque;
}

Test(exceptions, interrupts)
{
    static const struct vcpu_ops ops = {.interrupt_acknowledge = acknowledge};
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    int vector = 0x30;
    bool taken;

    machine_long_mode(m, 0);
    all_gates(m, K_CODE64);
    v->ops = &ops;
    v->ops_opaque = &vector;
    v->halted = true;
    v->interrupt_shadow = true;
    atomic_store(&v->interrupt_line, true);
    cr_assert(cpu_take_interrupts(v, &taken) == CPU_OK && !taken && v->halted);
    v->interrupt_shadow = false;
    v->rflags &= ~(uint64_t)FLAG_IF;
    cr_assert(cpu_take_interrupts(v, &taken) == CPU_OK && !taken);
    v->rflags |= FLAG_IF;
    atomic_store(&v->nmi_pending, true);
    cr_assert(cpu_take_interrupts(v, &taken) == CPU_OK && taken && !v->halted);
    cr_assert(v->rip == HANDLER + 16 * EXC_NMI && v->nmi_blocked);
    cr_assert_eq(word(m, 2), FLAG_FIXED | FLAG_IF);
    atomic_store(&v->nmi_pending, true);
    cr_assert(!cpu_interrupt_ready(v)); /* blocked, and IF is clear */
    cr_assert_eq(cpu_iret(v, 8), CPU_OK);
    cr_assert(!v->nmi_blocked && cpu_interrupt_ready(v));
    atomic_store(&v->nmi_pending, false);
    cr_assert(cpu_take_interrupts(v, &taken) == CPU_OK && taken);
    cr_assert_eq(v->rip, HANDLER + 16 * 0x30);
    v->rflags |= FLAG_IF;
    vector = -1;
    cr_assert(cpu_take_interrupts(v, &taken) == CPU_OK && !taken);
    machine_destroy(m);
}

Test(exceptions, iret_checks)
{
    static const struct {
        uint16_t cs, ss;
        uint64_t rip;
        unsigned vector;
        uint32_t error;
    } rows[] = {
        {0, K_DATA, CODE, EXC_GP, 0},
        {K_DATA, K_DATA, CODE, EXC_GP, K_DATA},
        {K_CODE64, U_DATA, CODE, EXC_GP, U_DATA & ~3u},
        {K_CODE64, ABSENT_DATA, CODE, EXC_SS, ABSENT_DATA},
        {K_CODE64, K_DATA, 0x800000000000, EXC_GP, 0},
        {U_CODE64, 3, CODE, EXC_GP, 0},
        {U_CODE32, U_DATA, 0x100000000, EXC_GP, 0},
        {BOTH_L_AND_D, K_DATA, CODE, EXC_GP, BOTH_L_AND_D},
        {ABSENT_CODE64, K_DATA, CODE, EXC_NP, ABSENT_CODE64},
        {0x1f8, K_DATA, CODE, EXC_GP, 0x1f8},
    };
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t rsp = STACK0 - 0x200;

        machine_long_mode(m, 0);
        v->gpr[RSP] = rsp;
        machine_write(m, rsp, rows[i].rip, 8);
        machine_write(m, rsp + 8, rows[i].cs, 8);
        machine_write(m, rsp + 16, FLAG_FIXED, 8);
        machine_write(m, rsp + 24, STACK3, 8);
        machine_write(m, rsp + 32, rows[i].ss, 8);
        cr_assert_eq(cpu_iret(v, 8), CPU_FAULT, "row %u", i);
        cr_assert(v->fault.vector == rows[i].vector && v->fault.error == rows[i].error, "row %u: %u(%x)", i,
                  v->fault.vector, v->fault.error);
        cr_assert(v->rip == CODE && v->gpr[RSP] == rsp && v->seg[SEG_CS].selector == K_CODE64 &&
                  v->rflags & FLAG_IF);
    }
    machine_long_mode(m, 0);
    v->rflags |= FLAG_NT;
    cr_assert(cpu_iret(v, 8) == CPU_FAULT && v->fault.vector == EXC_GP);
    machine_destroy(m);
}
