/*
 * syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT: level changes without memory.
 *
 * Interface: system.h. Invariant: CS and SS get fixed flat descriptor caches; the tables are not looked at. Where
 * Intel and AMD differ (compatibility mode, non-canonical return addresses) the vendor in CPUID decides.
 */
#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/descriptor.h"
#include "cpu/system.h"

#define FLAT_CODE (SEGATTR_P | SEGATTR_S | 11 | SEGATTR_G)
#define FLAT_DATA (SEGATTR_P | SEGATTR_S | 3 | SEGATTR_G | SEGATTR_DB)
#define SYSRET_FLAGS 0x3c7fd7u /* all defined flags but RF and VM */

static void set_flat(struct vcpu *v, uint16_t cs, uint16_t ss, bool code64, unsigned dpl)
{
    uint16_t level = dpl << 5;

    v->seg[SEG_CS] = (struct segment){
        .selector = cs, .attributes = FLAT_CODE | level | (code64 ? SEGATTR_L : SEGATTR_DB), .limit = 0xffffffff};
    v->seg[SEG_SS] = (struct segment){.selector = ss, .attributes = FLAT_DATA | level, .limit = 0xffffffff};
    cpu_update_flat_level(v);
}

/* AMD's SYSCALL outside of long mode (APM vol. 3). */
static enum cpu_status legacy_syscall(struct vcpu *v, uint64_t next_rip)
{
    uint16_t cs = (v->star >> 32) & 0xfffc;

    v->gpr[RCX] = (uint32_t)next_rip;
    v->rip = (uint32_t)v->star;
    v->rflags &= ~(uint64_t)(FLAG_IF | FLAG_VM | FLAG_RF);
    set_flat(v, cs, cs + 8, false, 0);
    return CPU_OK;
}

enum cpu_status cpu_syscall(struct vcpu *v, uint64_t next_rip)
{
    bool code64 = cpu_in_code64(v);
    uint16_t cs = (v->star >> 32) & 0xfffc;

    if (!(v->efer & EFER_SCE) || (!code64 && (!v->model->amd || !(v->cr0 & CR0_PE))))
        return cpu_raise(v, EXC_UD);
    v->stats.syscalls++;
    if (!cpu_in_long_mode(v))
        return legacy_syscall(v, next_rip);
    v->gpr[RCX] = next_rip;
    v->gpr[R11] = v->rflags & ~(uint64_t)FLAG_RF;
    v->rip = code64 ? v->lstar : v->cstar;
    v->rflags = (v->rflags & ~(v->fmask | FLAG_RF)) | FLAG_FIXED;
    set_flat(v, cs, cs + 8, true, 0);
    return CPU_OK;
}

enum cpu_status cpu_sysret(struct vcpu *v, unsigned size)
{
    uint16_t base = v->star >> 48;
    bool to_code64 = size == 8;

    if (!(v->efer & EFER_SCE) || !(v->cr0 & CR0_PE) || (!cpu_in_code64(v) && !v->model->amd))
        return cpu_raise(v, EXC_UD);
    if (v->cpl)
        return cpu_raise_error(v, EXC_GP, 0);
    if (!cpu_in_long_mode(v)) {
        v->rip = (uint32_t)v->gpr[RCX];
        v->rflags |= FLAG_IF;
        set_flat(v, base | 3, (base + 8) | 3, false, 3);
        return CPU_OK;
    }
    /* Intel faults still at CPL 0; AMD only when it fetches at CPL 3. */
    if (to_code64 && !v->model->amd && !cpu_is_canonical(v->gpr[RCX]))
        return cpu_raise_error(v, EXC_GP, 0);
    v->rip = to_code64 ? v->gpr[RCX] : (uint32_t)v->gpr[RCX];
    v->rflags = (v->gpr[R11] & SYSRET_FLAGS) | FLAG_FIXED;
    set_flat(v, (to_code64 ? base + 16 : base) | 3, (base + 8) | 3, to_code64, 3);
    return CPU_OK;
}

enum cpu_status cpu_sysenter(struct vcpu *v)
{
    bool long_mode = cpu_in_long_mode(v);
    uint16_t cs = v->sysenter_cs & 0xfffc;

    if (long_mode && v->model->amd)
        return cpu_raise(v, EXC_UD);
    if (!(v->cr0 & CR0_PE) || !cs)
        return cpu_raise_error(v, EXC_GP, 0);
    v->stats.syscalls++;
    v->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    v->gpr[RSP] = long_mode ? v->sysenter_esp : (uint32_t)v->sysenter_esp;
    v->rip = long_mode ? v->sysenter_eip : (uint32_t)v->sysenter_eip;
    set_flat(v, cs, cs + 8, long_mode, 0);
    return CPU_OK;
}

enum cpu_status cpu_sysexit(struct vcpu *v, unsigned size)
{
    bool to_code64 = size == 8;
    uint16_t cs = v->sysenter_cs & 0xfffc;

    if (cpu_in_long_mode(v) && v->model->amd)
        return cpu_raise(v, EXC_UD);
    if (!(v->cr0 & CR0_PE) || !cs || v->cpl)
        return cpu_raise_error(v, EXC_GP, 0);
    if (to_code64 && (!cpu_is_canonical(v->gpr[RCX]) || !cpu_is_canonical(v->gpr[RDX])))
        return cpu_raise_error(v, EXC_GP, 0);
    v->gpr[RSP] = to_code64 ? v->gpr[RCX] : (uint32_t)v->gpr[RCX];
    v->rip = to_code64 ? v->gpr[RDX] : (uint32_t)v->gpr[RDX];
    set_flat(v, (cs + (to_code64 ? 32 : 16)) | 3, (cs + (to_code64 ? 40 : 24)) | 3, to_code64, 3);
    return CPU_OK;
}
