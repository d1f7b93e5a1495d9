/*
 * transfer.c - far jumps, calls, returns, call gates, SYSCALL and SYSRET, task switches. A failure implicates
 * cpu/transfer.c, cpu/syscall.c or cpu/tasks.c.
 */
#include <criterion/criterion.h>

#include "tests/unit/cpu/machine.h"

#define SYSCALL_ENTRY 0xffffffff81000000

static void set_syscall(struct vcpu *v)
{
    v->star = (uint64_t)(U_CODE32) << 48 | (uint64_t)K_CODE64 << 32;
    v->lstar = SYSCALL_ENTRY;
    v->fmask = FLAG_IF | FLAG_TF | FLAG_DF | FLAG_AC | FLAG_NT;
}

Test(transfer, syscall_and_sysret)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 3);
    set_syscall(v);
    v->rflags |= FLAG_CF | FLAG_DF;
    cr_assert_eq(cpu_syscall(v, CODE + 2), CPU_OK);
    cr_assert(v->rip == SYSCALL_ENTRY && v->gpr[RCX] == CODE + 2 && v->cpl == 0);
    cr_assert_eq(v->gpr[R11], FLAG_FIXED | FLAG_IF | FLAG_CF | FLAG_DF);
    cr_assert_eq(v->rflags, FLAG_FIXED | FLAG_CF);
    cr_assert(v->seg[SEG_CS].selector == K_CODE64 && v->seg[SEG_SS].selector == K_DATA);
    cr_assert(v->mode & MODE_CODE64);
    v->gpr[R11] = ~0ull;
    cr_assert_eq(cpu_sysret(v, 8), CPU_OK);
    cr_assert(v->rip == CODE + 2 && v->cpl == 3);
    cr_assert_eq(v->rflags, 0x3c7fd7);
    cr_assert_eq(v->seg[SEG_CS].selector, (U_CODE32 & ~3) + 16 + 3);
    cr_assert_eq(v->seg[SEG_SS].selector, U_DATA);

    machine_long_mode(m, 0);
    v->gpr[RCX] = 0x8000000000001234;
    v->gpr[R11] = FLAG_FIXED;
    if (m->model.amd) {
        cr_assert(cpu_sysret(v, 8) == CPU_OK && v->rip == 0x8000000000001234 && v->cpl == 3);
    } else {
        cr_assert(cpu_sysret(v, 8) == CPU_FAULT && v->fault.vector == EXC_GP && v->cpl == 0);
    }
    machine_long_mode(m, 0);
    cr_assert_eq(cpu_sysret(v, 4), CPU_OK);
    cr_assert(v->rip == 0x1234 && v->seg[SEG_CS].selector == U_CODE32 && !(v->mode & MODE_CODE64));
    machine_long_mode(m, 3);
    cr_assert(cpu_sysret(v, 8) == CPU_FAULT && v->fault.vector == EXC_GP && v->fault.error == 0);
    v->efer &= ~(uint64_t)EFER_SCE;
    cr_assert(cpu_syscall(v, CODE + 2) == CPU_FAULT && v->fault.vector == EXC_UD);
    machine_destroy(m);
}

Test(transfer, vendors_differ)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    for (unsigned amd = 0; amd < 2; amd++) {
        m->model.amd = amd;
        machine_long_mode(m, 0);
        v->gpr[RCX] = 0x8000000000001234;
        v->gpr[R11] = FLAG_FIXED;
        cr_assert_eq(cpu_sysret(v, 8), amd ? CPU_OK : CPU_FAULT);
        cr_assert(amd ? v->cpl == 3 : v->cpl == 0 && v->fault.vector == EXC_GP);

        machine_long_mode(m, 3);
        set_syscall(v);
        v->cstar = 0x5000;
        cr_assert_eq(cpu_far_jump(v, U_CODE32, CODE, 4, CODE + 7), CPU_OK);
        cr_assert_eq(cpu_syscall(v, CODE + 2), amd ? CPU_OK : CPU_FAULT);
        cr_assert(amd ? v->rip == 0x5000 && v->mode & MODE_CODE64 : v->fault.vector == EXC_UD);

        machine_long_mode(m, 3);
        v->sysenter_cs = K_CODE64;
        v->sysenter_esp = STACK0;
        v->sysenter_eip = SYSCALL_ENTRY;
        cr_assert_eq(cpu_sysenter(v), amd ? CPU_FAULT : CPU_OK);
        if (amd)
            continue;
        cr_assert(v->rip == SYSCALL_ENTRY && v->gpr[RSP] == STACK0 && v->cpl == 0 && !(v->rflags & FLAG_IF));
        v->gpr[RCX] = STACK3;
        v->gpr[RDX] = CODE;
        cr_assert_eq(cpu_sysexit(v, 4), CPU_OK);
        cr_assert(v->cpl == 3 && v->seg[SEG_CS].selector == (K_CODE64 + 16) + 3 && !(v->mode & MODE_CODE64));
    }
    machine_protected_mode(m, 3);
    v->sysenter_cs = 0;
    cr_assert(cpu_sysenter(v) == CPU_FAULT && v->fault.vector == EXC_GP);
    machine_destroy(m);
}

static uint32_t jump(struct machine *m, unsigned cpl, bool long_mode, uint16_t selector, uint64_t offset)
{
    if (long_mode)
        machine_long_mode(m, cpl);
    else
        machine_protected_mode(m, cpl);
    if (cpu_far_jump(m->v, selector, offset, long_mode ? 8 : 4, CODE + 7) == CPU_OK)
        return 0;
    cr_assert(m->v->rip == CODE && m->v->cpl == cpl);
    return (uint32_t)m->v->fault.vector << 16 | m->v->fault.error;
}

Test(transfer, far_jumps)
{
    static const struct {
        unsigned cpl;
        bool long_mode;
        uint16_t selector;
        uint64_t offset;
        uint32_t expected;
    } rows[] = {
        {0, true, K_CODE64, 0x1000, 0},
        {0, true, K_CODE32, 0x1000, 0},
        {0, true, U_CODE64, 0x1000, EXC_GP << 16 | (U_CODE64 & ~3u)},
        {3, true, K_CODE64, 0x1000, EXC_GP << 16 | K_CODE64},
        {3, true, U_CODE32, 0x1000, 0},
        {3, true, CONFORMING, 0x1000, 0},
        {0, true, 0, 0, EXC_GP << 16},
        {0, true, K_DATA, 0, EXC_GP << 16 | K_DATA},
        {0, true, BOTH_L_AND_D, 0, EXC_GP << 16 | BOTH_L_AND_D},
        {0, true, ABSENT_CODE64, 0, EXC_NP << 16 | ABSENT_CODE64},
        {0, true, K_CODE64, 0x800000000000, EXC_GP << 16},
        {0, true, S_TSS, 0, EXC_GP << 16 | S_TSS},
        {0, false, K_CODE32, 0x1000, 0},
        {0, false, CONFORMING | 3, 0x1000, 0},
        {3, false, CONFORMING, 0x1000, 0},
    };
    struct machine *m = machine_create("max");

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t got = jump(m, rows[i].cpl, rows[i].long_mode, rows[i].selector, rows[i].offset);

        cr_assert_eq(got, rows[i].expected, "row %u: %x", i, got);
        cr_assert_eq(m->v->cpl, rows[i].cpl, "row %u", i);
        if (!got)
            cr_assert_eq(m->v->seg[SEG_CS].selector, (rows[i].selector & ~3u) | rows[i].cpl);
    }
    machine_destroy(m);
}

Test(transfer, call_gate_and_return_in_long_mode)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint64_t rsp;

    machine_long_mode(m, 3);
    machine_write(m, GDT + CALL_GATE, 0x5678 | K_CODE64 << 16 | (uint64_t)0xec << 40 | 0x1234ull << 48, 8);
    machine_write(m, GDT + CALL_GATE + 8, 0xffff8000, 8);
    rsp = v->gpr[RSP];
    cr_assert_eq(cpu_far_call(v, CALL_GATE | 3, 0, 4, CODE + 7), CPU_OK);
    cr_assert(v->rip == 0xffff800012345678 && v->cpl == 0 && v->gpr[RSP] == STACK0 - 32);
    cr_assert_eq(machine_read(m, STACK0 - 32, 8), CODE + 7);
    cr_assert_eq(machine_read(m, STACK0 - 24, 8), U_CODE64);
    cr_assert_eq(machine_read(m, STACK0 - 16, 8), rsp);
    cr_assert_eq(machine_read(m, STACK0 - 8, 8), U_DATA);
    cr_assert_eq(cpu_far_return(v, 8, 0), CPU_OK);
    cr_assert(v->rip == CODE + 7 && v->cpl == 3 && v->gpr[RSP] == rsp && v->seg[SEG_CS].selector == U_CODE64);
    machine_write(m, GDT + CALL_GATE + 5, 0x8c, 1); /* DPL 0 */
    cr_assert_eq(cpu_far_call(v, CALL_GATE | 3, 0, 4, CODE + 7), CPU_FAULT);
    cr_assert_eq(v->fault.error, CALL_GATE);
    machine_destroy(m);
}

Test(transfer, call_gate_copies_parameters)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint64_t esp;

    machine_protected_mode(m, 3);
    machine_write(m, GDT + CALL_GATE, 0x5678 | K_CODE32 << 16 | 2ull << 32 | (uint64_t)0xec << 40, 8);
    esp = v->gpr[RSP];
    machine_write(m, esp, 0x11111111, 4);
    machine_write(m, esp + 4, 0x22222222, 4);
    cr_assert_eq(cpu_far_call(v, CALL_GATE | 3, 0, 4, CODE + 7), CPU_OK);
    cr_assert(v->rip == 0x5678 && v->cpl == 0 && v->gpr[RSP] == STACK0 - 24);
    cr_assert_eq(machine_read(m, STACK0 - 16, 4), 0x11111111);
    cr_assert_eq(machine_read(m, STACK0 - 12, 4), 0x22222222);
    cr_assert_eq(machine_read(m, STACK0 - 8, 4), esp);
    cr_assert_eq(cpu_far_return(v, 4, 8), CPU_OK);
    cr_assert(v->cpl == 3 && v->gpr[RSP] == esp + 8 && v->rip == CODE + 7);
    machine_destroy(m);
}

Test(transfer, task_switch_and_back)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint32_t other = TSS + 0x800;

    machine_protected_mode(m, 0);
    machine_write(m, GDT + S_TSS, machine_descriptor(TSS, 0x67, 0x8b, 0), 8);
    machine_write(m, GDT + CALL_GATE, machine_descriptor(other, 0x67, 0x89, 0), 8);
    machine_write(m, other + 28, v->cr3, 4);
    machine_write(m, other + 32, 0x7000, 4);
    machine_write(m, other + 36, FLAG_FIXED, 4);
    machine_write(m, other + 56, STACK0 - 0x400, 4);
    for (unsigned i = 0; i < 6; i++)
        machine_write(m, other + 72 + 4 * i, i == SEG_CS ? K_CODE32 : K_DATA, 4);
    machine_write(m, TSS + 28, v->cr3, 4);
    v->gpr[RBX] = 0x12345678;
    cr_assert_eq(cpu_far_call(v, CALL_GATE, 0, 4, CODE + 7), CPU_OK);
    cr_assert(v->rip == 0x7000 && v->gpr[RSP] == STACK0 - 0x400 && v->rflags == (FLAG_FIXED | FLAG_NT));
    cr_assert(v->tr.selector == CALL_GATE && v->cr0 & CR0_TS && v->cpl == 0);
    cr_assert_eq(machine_read(m, other, 2), S_TSS);
    cr_assert_eq(machine_read(m, TSS + 52, 4), 0x12345678);
    cr_assert_eq(machine_read(m, GDT + CALL_GATE + 5, 1), 0x8b);
    v->gpr[RBX] = 0;
    cr_assert_eq(cpu_iret(v, 4), CPU_OK);
    cr_assert(v->rip == CODE + 7 && v->gpr[RBX] == 0x12345678 && v->tr.selector == S_TSS);
    cr_assert(!(v->rflags & FLAG_NT));
    cr_assert_eq(machine_read(m, GDT + CALL_GATE + 5, 1), 0x89);
    machine_destroy(m);
}
