/*
 * control.c - control and debug registers, MSRs, flags, I/O permission. A failure implicates the file of that name
 * in cpu/.
 */
#include <criterion/criterion.h>

#include "tests/unit/cpu/machine.h"

#define EFER 0xc0000080u

static bool refused(struct machine *m, unsigned cr, uint64_t value)
{
    uint64_t cr0 = m->v->cr0, cr3 = m->v->cr3, cr4 = m->v->cr4;
    enum cpu_status status = cpu_write_cr(m->v, cr, value);

    if (status == CPU_OK)
        return false;
    cr_assert(m->v->fault.vector == EXC_GP && m->v->fault.error == 0);
    cr_assert(cr0 == m->v->cr0 && cr3 == m->v->cr3 && cr4 == m->v->cr4);
    return true;
}

Test(control, checks_of_cr_writes)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 0);
    cr_assert(refused(m, 0, v->cr0 | 1ull << 32));
    cr_assert(refused(m, 0, v->cr0 & ~(uint64_t)CR0_PE));
    cr_assert(refused(m, 0, v->cr0 & ~(uint64_t)CR0_PG)); /* in 64-bit code */
    cr_assert(refused(m, 0, v->cr0 | CR0_NW));
    cr_assert(!refused(m, 0, v->cr0 | CR0_TS));
    cr_assert(v->mode & MODE_TS && !(v->mode & MODE_SSE));
    cr_assert(!refused(m, 0, v->cr0 & ~(uint64_t)CR0_TS));
    cr_assert(v->mode & MODE_SSE);
    cr_assert(refused(m, 3, v->cr3 | 1ull << 63)); /* no PCIDs */
    cr_assert(refused(m, 3, 1ull << MMU_PHYS_BITS));
    cr_assert(refused(m, 4, v->cr4 & ~(uint64_t)CR4_PAE));
    cr_assert(refused(m, 4, v->cr4 | 1u << 12)); /* LA57 */
    cr_assert(refused(m, 4, v->cr4 | 1u << 13)); /* VMXE */
    cr_assert(refused(m, 8, 16));
    v->cr3 |= 0x18;
    cr_assert(refused(m, 4, v->cr4 | CR4_PCIDE)); /* CR3 bits 11-0 are not 0 */
    v->cr3 &= ~0xfffull;
    cr_assert(!refused(m, 4, v->cr4 | CR4_PCIDE));
    cr_assert(!refused(m, 3, v->cr3 | 1ull << 63 | 5));
    cr_assert_eq(v->cr3, 0x1005);
    v->seg[SEG_CS].attributes ^= SEGATTR_L | SEGATTR_DB;
    cpu_update_mode(v);
    cr_assert(refused(m, 0, v->cr0 & ~(uint64_t)CR0_PG)); /* PCIDE is set */
    machine_long_mode(m, 3);
    cr_assert(refused(m, 0, v->cr0));
    cr_assert(cpu_write_cr(v, 5, 0) == CPU_FAULT && v->fault.vector == EXC_UD);
    machine_destroy(m);
}

/* As a boot loader does it: PAE, LME, PG, then a far jump. */
Test(control, into_long_mode)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint64_t efer;

    machine_protected_mode(m, 0);
    cr_assert(!refused(m, 0, v->cr0 & ~(uint64_t)CR0_PG));
    cr_assert_eq(cpu_write_msr(v, EFER, EFER_LME | EFER_NXE | EFER_SCE), CPU_OK);
    cr_assert(refused(m, 0, v->cr0 | CR0_PG)); /* without PAE */
    cr_assert(!refused(m, 4, CR4_PAE));
    cr_assert(!refused(m, 3, 0x1000));
    cr_assert(!refused(m, 0, v->cr0 | CR0_PG));
    cr_assert_eq(cpu_read_msr(v, EFER, &efer), CPU_OK);
    cr_assert_eq(efer, EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    cr_assert_eq(cpu_write_msr(v, EFER, EFER_NXE), CPU_FAULT); /* LME under paging */
    cr_assert(v->mode & MODE_LMA && !(v->mode & MODE_CODE64));
    cr_assert_eq(cpu_far_jump(v, K_CODE64, 0x1234, 4, CODE + 7), CPU_OK);
    cr_assert(v->mode & MODE_CODE64 && v->rip == 0x1234);
    machine_destroy(m);
}

Test(control, msrs)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint64_t value;

    machine_long_mode(m, 0);
    cr_assert_eq(cpu_write_msr(v, 0xc0000100, 0x7f0000001000), CPU_OK);
    cr_assert_eq(v->seg[SEG_FS].base, 0x7f0000001000);
    cr_assert_eq(cpu_write_msr(v, 0xc0000102, 0x800000000000), CPU_FAULT);
    cr_assert_eq(cpu_write_msr(v, 0xc0000082, 0x800000000000), CPU_FAULT);
    cr_assert_eq(cpu_write_msr(v, EFER, 1 << 1), CPU_FAULT);
    cr_assert_eq(cpu_write_msr(v, 0x277, 0x0007040600070402), CPU_FAULT); /* type 2 */
    cr_assert_eq(cpu_write_msr(v, 0x277, 0x0007040600070401), CPU_OK);
    cr_assert_eq(cpu_write_msr(v, 0x259, 0x0606060606060606), CPU_OK);
    cr_assert(cpu_read_msr(v, 0x259, &value) == CPU_OK && value == 0x0606060606060606 &&
              v->mtrr_fixed[2] == value);
    cr_assert_eq(cpu_read_msr(v, 0x4a, &value), CPU_FAULT);
    cr_assert_eq(cpu_read_msr(v, 0x49, &value), CPU_FAULT);
    cr_assert(v->fault.vector == EXC_GP && v->fault.error == 0);
    cr_assert_eq(cpu_read_msr(v, 0xc0011029, &value), m->model.amd ? CPU_OK : CPU_FAULT);
    v->simd_live = true;
    cr_assert_eq(cpu_write_msr(v, 0x6e0, 0), CPU_NEED_FULL);
    v->simd_live = false;
    cr_assert_eq(cpu_write_msr(v, 0x10, 1000), CPU_OK);
    cr_assert(cpu_read_msr(v, 0x10, &value) == CPU_OK && value >= 1000 && value < 1000 + (1ull << 36));
    machine_long_mode(m, 3);
    cr_assert_eq(cpu_read_msr(v, 0x10, &value), CPU_FAULT);
    machine_destroy(m);
}

Test(control, popf_cli_sti)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 3);
    cr_assert_eq(cpu_popf(v, FLAG_IOPL | FLAG_CF | FLAG_AC | FLAG_VM | FLAG_RF, 8), CPU_OK);
    cr_assert_eq(v->rflags, FLAG_FIXED | FLAG_IF | FLAG_CF | FLAG_AC);
    cr_assert_eq(cpu_cli(v), CPU_FAULT);
    v->rflags |= FLAG_IOPL;
    cpu_update_mode(v);
    cr_assert_eq(cpu_cli(v), CPU_OK);
    cr_assert(cpu_sti(v) == CPU_OK && v->interrupt_shadow && v->rflags & FLAG_IF);
    v->interrupt_shadow = false;
    cr_assert(cpu_sti(v) == CPU_OK && !v->interrupt_shadow);
    machine_long_mode(m, 0);
    cr_assert_eq(cpu_popf(v, FLAG_TF | FLAG_ID | 0x3000, 8), CPU_OK);
    cr_assert_eq(v->rflags, FLAG_FIXED | FLAG_TF | FLAG_ID | FLAG_IOPL);
    cr_assert(v->mode & MODE_SINGLE);
    cr_assert_eq(cpu_popf(v, 0, 2), CPU_OK);
    cr_assert_eq(v->rflags, FLAG_FIXED | FLAG_ID);
    machine_destroy(m);
}

Test(control, io_permission)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 0);
    cr_assert_eq(cpu_check_io(v, 0x60, 1), CPU_OK);
    machine_long_mode(m, 3);
    machine_write(m, TSS + 0x66, 0x68, 2);
    cr_assert_eq(cpu_check_io(v, 0x60, 1), CPU_FAULT); /* the TSS ends before the bitmap */
    v->tr.limit = 0x67 + 0x20;
    for (unsigned i = 0; i < 0x20; i++)
        machine_write(m, TSS + 0x68 + i, i == 0x0c ? 0x10 : 0, 1);
    cr_assert_eq(cpu_check_io(v, 0x60, 4), CPU_OK);
    cr_assert_eq(cpu_check_io(v, 0x61, 4), CPU_FAULT);
    cr_assert_eq(cpu_check_io(v, 0x64, 1), CPU_FAULT);
    cr_assert_eq(cpu_check_io(v, 0xf8, 1), CPU_FAULT); /* its second byte is outside */
    machine_destroy(m);
}

Test(control, debug_registers)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint64_t value;

    machine_long_mode(m, 0);
    cr_assert_eq(cpu_write_dr(v, 0, CODE), CPU_OK);
    cr_assert_eq(cpu_write_dr(v, 7, 1ull << 32), CPU_FAULT);
    cr_assert_eq(cpu_write_dr(v, 7, 0x1), CPU_OK);
    cr_assert(cpu_read_dr(v, 7, &value) == CPU_OK && value == 0x401);
    cr_assert(v->mode & MODE_SINGLE);
    cr_assert(cpu_debug_before(v) == CPU_FAULT && v->fault.vector == EXC_DB && v->fault.address == 1);
    v->rflags |= FLAG_RF;
    cr_assert(cpu_debug_before(v) == CPU_OK && !(v->rflags & FLAG_RF));
    cr_assert_eq(cpu_write_dr(v, 7, 1 | 0xd << 16), CPU_OK); /* write, 4 bytes */
    cpu_debug_access(v, CODE + 4, 4, true);
    cr_assert_eq(cpu_debug_after(v, false), CPU_OK);
    cpu_debug_access(v, CODE + 3, 1, false);
    cr_assert_eq(cpu_debug_after(v, false), CPU_OK);
    cpu_debug_access(v, CODE - 1, 2, true);
    v->debug_shadow = true;
    cr_assert_eq(cpu_debug_after(v, false), CPU_OK);
    v->debug_shadow = false;
    cr_assert(cpu_debug_after(v, true) == CPU_FAULT && v->fault.is_trap && v->fault.address == (1u << 14 | 1));
    machine_gate(m, EXC_DB, K_CODE64, 14, 0, 0);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->dr[6], 0xffff4ff1);
    cr_assert_eq(cpu_write_dr(v, 7, 1u << 13), CPU_OK);
    cr_assert(cpu_read_dr(v, 0, &value) == CPU_FAULT && v->fault.vector == EXC_DB && v->fault.address == 1u << 13);
    machine_destroy(m);
}
