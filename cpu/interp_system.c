/*
 * interp_system.c - flags, control registers, tables, MSRs, time, CPUID: decoding the operands of what system.h
 * does.
 *
 * Interface: handlers of interp_tables.h. Invariants: #UD of the mode comes before #GP of the privilege.
 */
#include "cpu/interp_tables.h"

static bool is_protected(const struct vcpu *v)
{
    return v->mode & MODE_PE && !(v->mode & MODE_VM);
}

/* --- flags --- */

static enum cpu_status pushf(struct vcpu *v, struct insn *i)
{
    uint64_t image = v->rflags & ~(uint64_t)(FLAG_RF | FLAG_VM);
    unsigned size = push_size(v, i);

    if (v->mode & MODE_VM && !(v->mode & MODE_IOPL)) {
        if (!(v->cr4 & CR4_VME) || size != 2)
            return raise_gp(v);
        /* IF is seen as VIF, IOPL as 3 (SDM vol. 3, 20.3.2) */
        image = (image & ~(uint64_t)FLAG_IF) | (image & FLAG_VIF ? FLAG_IF : 0) | FLAG_IOPL;
    }
    return push_value(v, size, image);
}

static enum cpu_status popf(struct vcpu *v, struct insn *i)
{
    unsigned size = push_size(v, i);
    uint64_t value;

    if (v->mode & MODE_VM && !(v->mode & MODE_IOPL) && (!(v->cr4 & CR4_VME) || size != 2))
        return raise_gp(v);
    TRY(pop_top(v, size, &value));
    TRY(cpu_popf(v, value, size));
    pop_release(v, size);
    return CPU_OK;
}

#define FLAGS_AH (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF)

static enum cpu_status flags_ah(struct vcpu *v, struct insn *i)
{
    if (insn_code64(v) && !(v->model->f80000001_ecx & 1))
        return raise_ud(v);
    if (i->opcode == 0x9e)
        v->rflags = (v->rflags & ~(uint64_t)FLAGS_AH) | (v->gpr[RAX] >> 8 & FLAGS_AH);
    else
        v->gpr[RAX] = (v->gpr[RAX] & ~0xff00ull) | ((v->rflags & FLAGS_AH) | FLAG_FIXED) << 8;
    return CPU_OK;
}

enum cpu_status interp_flags(struct vcpu *v, struct insn *i)
{
    switch (i->opcode) {
    case 0x9c:
        return pushf(v, i);
    case 0x9d:
        return popf(v, i);
    case 0x9e:
    case 0x9f:
        return flags_ah(v, i);
    case 0xf5:
        v->rflags ^= FLAG_CF;
        return CPU_OK;
    case 0xf8:
        v->rflags &= ~(uint64_t)FLAG_CF;
        return CPU_OK;
    case 0xf9:
        v->rflags |= FLAG_CF;
        return CPU_OK;
    case 0xfa:
        return cpu_cli(v);
    case 0xfb:
        return cpu_sti(v);
    case 0xfc:
        v->rflags &= ~(uint64_t)FLAG_DF;
        return CPU_OK;
    default:
        v->rflags |= FLAG_DF;
        return CPU_OK;
    }
}

enum cpu_status interp_hlt(struct vcpu *v, struct insn *i)
{
    if (v->cpl)
        return raise_gp(v);
    v->rip = i->next;
    v->halted = true;
    v->stats.halts++;
    v->exit = (struct vcpu_exit){.reason = EXIT_HLT};
    return CPU_EXIT;
}

/* --- descriptor tables --- */

/* SLDT, STR, SMSW: whole operand to a register, 16 bits to memory. */
static enum cpu_status store_word(struct vcpu *v, struct insn *i, uint64_t value)
{
    if (v->mode & MODE_UMIP)
        return raise_gp(v);
    return rm_write(v, i, i->mod == 3 ? i->opsize : 2, value);
}

static enum cpu_status load_selector(struct vcpu *v, struct insn *i, bool task)
{
    uint64_t selector;

    if (v->cpl)
        return raise_gp(v);
    TRY(rm_read(v, i, 2, &selector));
    return task ? cpu_load_task(v, (uint16_t)selector) : cpu_load_ldt(v, (uint16_t)selector);
}

static void set_zf(struct vcpu *v, bool on)
{
    v->rflags = (v->rflags & ~(uint64_t)FLAG_ZF) | (on ? FLAG_ZF : 0);
}

/* 0F 00 */
enum cpu_status interp_group6(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;
    uint64_t selector;
    bool ok;

    if (!is_protected(v) || sub > 5)
        return raise_ud(v);
    switch (sub) {
    case 0:
        return store_word(v, i, v->ldtr.selector);
    case 1:
        return store_word(v, i, v->tr.selector);
    case 2:
    case 3:
        return load_selector(v, i, sub == 3);
    default:
        TRY(rm_read(v, i, 2, &selector));
        TRY(cpu_verify(v, (uint16_t)selector, sub == 5, &ok));
        set_zf(v, ok);
        return CPU_OK;
    }
}

/* 0F 02, 0F 03 */
enum cpu_status interp_lar_lsl(struct vcpu *v, struct insn *i)
{
    uint64_t selector;
    uint32_t value;
    bool ok;

    if (!is_protected(v))
        return raise_ud(v);
    TRY(rm_read(v, i, 2, &selector));
    TRY(i->opcode == 2 ? cpu_lar(v, (uint16_t)selector, &value, &ok)
                       : cpu_lsl(v, (uint16_t)selector, &value, &ok));
    set_zf(v, ok);
    if (ok)
        set_gpr(v, i->reg, i->opsize, value);
    return CPU_OK;
}

static uint64_t next_offset(const struct insn *i, uint64_t offset, unsigned by)
{
    offset += by;
    return i->addrsize < 8 ? offset & size_mask(i->addrsize) : offset;
}

static enum cpu_status store_table(struct vcpu *v, struct insn *i, const struct table_register *t)
{
    uint64_t offset = effective_address(v, i);
    unsigned size = insn_code64(v) ? 8 : 4;
    uint8_t image[10];

    if (v->mode & MODE_UMIP)
        return raise_gp(v);
    memcpy(image, &t->limit, 2);
    memcpy(image + 2, &t->base, 8);
    return mem_write_bytes(v, i->segment, offset, 2 + size, image);
}

static enum cpu_status load_table(struct vcpu *v, struct insn *i, struct table_register *t)
{
    uint64_t offset = effective_address(v, i), limit, base;

    if (v->cpl)
        return raise_gp(v);
    TRY(mem_read(v, i->segment, offset, 2, &limit));
    TRY(mem_read(v, i->segment, next_offset(i, offset, 2), insn_code64(v) ? 8 : 4, &base));
    if (!insn_code64(v) && i->opsize == 2)
        base &= 0xffffff;
    if (insn_code64(v) && !cpu_is_canonical(base))
        return raise_gp(v);
    *t = (struct table_register){.base = base, .limit = (uint16_t)limit};
    return CPU_OK;
}

/* --- 0F 01 with a register operand --- */

static enum cpu_status set_ac(struct vcpu *v, bool on)
{
    if (v->cpl || !(v->model->f7_ebx & 1u << 20))
        return raise_ud(v);
    v->rflags = (v->rflags & ~(uint64_t)FLAG_AC) | (on ? FLAG_AC : 0);
    cpu_update_mode(v);
    return CPU_OK;
}

static enum cpu_status xgetbv(struct vcpu *v)
{
    uint64_t value = v->xcr0, in_use;

    if (!(v->cr4 & CR4_OSXSAVE))
        return raise_ud(v);
    if ((uint32_t)v->gpr[RCX] == 1 && v->model->fd_1_eax & 4) {
        if (v->simd_live)
            return CPU_NEED_FULL;
        memcpy(&in_use, v->xsave + 512, 8); /* XSTATE_BV */
        value &= in_use;
    } else if ((uint32_t)v->gpr[RCX]) {
        return raise_gp(v);
    }
    v->gpr[RAX] = (uint32_t)value;
    v->gpr[RDX] = value >> 32;
    return CPU_OK;
}

static enum cpu_status swapgs(struct vcpu *v)
{
    uint64_t base = v->seg[SEG_GS].base;

    if (!insn_code64(v))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v);
    v->seg[SEG_GS].base = v->kernel_gs_base;
    v->kernel_gs_base = base;
    return CPU_OK;
}

static enum cpu_status rdtscp(struct vcpu *v, struct insn *i)
{
    if (!(v->model->f80000001_edx & 1u << 27))
        return raise_ud(v);
    TRY(interp_rdtsc(v, i));
    v->gpr[RCX] = (uint32_t)v->tsc_aux;
    return CPU_OK;
}

static enum cpu_status group7_register(struct vcpu *v, struct insn *i)
{
    switch (i->modrm) {
    case 0xc8:
    case 0xc9: /* MONITOR, MWAIT: hints */
        if (v->cpl || !(v->model->f1_ecx & 8))
            return raise_ud(v);
        return CPU_OK;
    case 0xca:
    case 0xcb:
        return i->rep || i->opsize_prefix ? raise_ud(v) : set_ac(v, i->modrm & 1);
    case 0xd0:
        return i->rep || i->opsize_prefix ? raise_ud(v) : xgetbv(v);
    case 0xd1:
        if (i->rep || i->opsize_prefix)
            return raise_ud(v);
        return cpu_xsetbv(v, (uint32_t)v->gpr[RCX], (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32);
    case 0xe8: /* SERIALIZE */
        return !i->rep && v->model->f7_edx & 1u << 14 ? CPU_OK : raise_ud(v);
    case 0xf8:
        return swapgs(v);
    case 0xf9:
        return rdtscp(v, i);
    default:
        return raise_ud(v);
    }
}

/* 0F 01 */
enum cpu_status interp_group7(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;
    uint64_t value;

    if (sub == 4)
        return store_word(v, i, v->cr0);
    if (sub == 6) {
        TRY(v->cpl ? raise_gp(v) : CPU_OK);
        TRY(rm_read(v, i, 2, &value));
        return cpu_lmsw(v, (uint16_t)value);
    }
    if (i->mod == 3)
        return group7_register(v, i);
    switch (sub) {
    case 0:
        return store_table(v, i, &v->gdtr);
    case 1:
        return store_table(v, i, &v->idtr);
    case 2:
        return load_table(v, i, &v->gdtr);
    case 3:
        return load_table(v, i, &v->idtr);
    case 7:
        value = effective_address(v, i) + (insn_code64(v) && i->segment < SEG_FS ? 0 : v->seg[i->segment].base);
        return cpu_invlpg(v, insn_code64(v) ? value : (uint32_t)value);
    default:
        return raise_ud(v);
    }
}

/* --- control and debug registers --- */

enum cpu_status interp_clts(struct vcpu *v, struct insn *i)
{
    if (v->cpl)
        return raise_gp(v);
    v->cr0 &= ~(uint64_t)CR0_TS;
    cpu_update_mode(v);
    return CPU_OK;
}

enum cpu_status interp_mov_cr(struct vcpu *v, struct insn *i)
{
    unsigned size = insn_code64(v) ? 8 : 4;
    uint64_t value;

    if (i->opcode == 0x22)
        return cpu_write_cr(v, i->reg, get_gpr(v, i->rm, size));
    TRY(cpu_read_cr(v, i->reg, &value));
    set_gpr(v, i->rm, size, value);
    return CPU_OK;
}

enum cpu_status interp_mov_dr(struct vcpu *v, struct insn *i)
{
    unsigned size = insn_code64(v) ? 8 : 4;
    uint64_t value;

    if (i->opcode == 0x23)
        return cpu_write_dr(v, i->reg, get_gpr(v, i->rm, size));
    TRY(cpu_read_dr(v, i->reg, &value));
    set_gpr(v, i->rm, size, value);
    return CPU_OK;
}

/* INVD, WBINVD: caches are coherent here. */
enum cpu_status interp_cache_control(struct vcpu *v, struct insn *i)
{
    return v->cpl ? raise_gp(v) : CPU_OK;
}

/* --- MSRs, time, CPUID --- */

enum cpu_status interp_msr(struct vcpu *v, struct insn *i)
{
    uint32_t msr = (uint32_t)v->gpr[RCX];
    uint64_t value;

    if (v->cpl)
        return raise_gp(v);
    if (i->opcode == 0x30)
        return cpu_write_msr(v, msr, (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32);
    TRY(cpu_read_msr(v, msr, &value));
    v->gpr[RAX] = (uint32_t)value;
    v->gpr[RDX] = value >> 32;
    return CPU_OK;
}

enum cpu_status interp_rdtsc(struct vcpu *v, struct insn *i)
{
    uint64_t tsc;

    if (v->mode & MODE_TSD)
        return raise_gp(v);
    tsc = cpu_current_tsc(v);
    v->gpr[RAX] = (uint32_t)tsc;
    v->gpr[RDX] = tsc >> 32;
    return CPU_OK;
}

/* No counters are offered, so that every index is unknown: #GP, as without CR4.PCE. */
enum cpu_status interp_rdpmc(struct vcpu *v, struct insn *i)
{
    return raise_gp(v);
}

enum cpu_status interp_cpuid(struct vcpu *v, struct insn *i)
{
    uint32_t out[4];

    cpu_cpuid(v, (uint32_t)v->gpr[RAX], (uint32_t)v->gpr[RCX], out);
    v->gpr[RAX] = out[0];
    v->gpr[RBX] = out[1];
    v->gpr[RCX] = out[2];
    v->gpr[RDX] = out[3];
    return CPU_OK;
}

/* --- system calls --- */

enum cpu_status interp_syscall(struct vcpu *v, struct insn *i)
{
    TRY(cpu_syscall(v, i->next));
    i->next = v->rip;
    return CPU_OK;
}

enum cpu_status interp_sysret(struct vcpu *v, struct insn *i)
{
    TRY(cpu_sysret(v, i->rex & REX_W ? 8 : 4));
    i->next = v->rip;
    return CPU_OK;
}

enum cpu_status interp_sysenter(struct vcpu *v, struct insn *i)
{
    TRY(cpu_sysenter(v));
    i->next = v->rip;
    return CPU_OK;
}

enum cpu_status interp_sysexit(struct vcpu *v, struct insn *i)
{
    TRY(cpu_sysexit(v, i->rex & REX_W ? 8 : 4));
    i->next = v->rip;
    return CPU_OK;
}
