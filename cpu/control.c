/*
 * control.c - control registers, XCR0, TLB invalidation, I/O permission, and the IF family of instructions.
 *
 * Interface: system.h. Invariants: a write that faults has changed nothing; a write that succeeds leaves the MMU
 * configured, stale translations gone and v->mode right. The TLB is not tagged with PCIDs: every CR3 write empties
 * it, and only the current PCID ever has entries; a window (memory/window.h) is.
 */
#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/descriptor.h"
#include "cpu/system.h"

static enum cpu_status gp(struct vcpu *v)
{
    return cpu_raise_error(v, EXC_GP, 0);
}

static void reconfigure(struct vcpu *v)
{
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
}

enum cpu_status cpu_read_cr(struct vcpu *v, unsigned cr, uint64_t *value)
{
    if (cr > 8 || cr == 1 || (cr > 4 && cr < 8))
        return cpu_raise(v, EXC_UD);
    if (v->cpl)
        return gp(v);
    switch (cr) {
    case 0:
        *value = v->cr0;
        break;
    case 2:
        *value = v->cr2;
        break;
    case 3:
        *value = v->cr3;
        break;
    case 4:
        *value = v->cr4;
        break;
    case 8:
        if (v->simd_live)
            return CPU_NEED_FULL;
        *value = v->ops && v->ops->cr8_read ? v->ops->cr8_read(v->ops_opaque) : 0;
        break;
    }
    return CPU_OK;
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LME);
}

/* SDM vol. 2, MOV to CR0. */
static enum cpu_status write_cr0(struct vcpu *v, uint64_t value)
{
    uint64_t changed, efer = v->efer;

    if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        return gp(v);
    value = (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)) |
            CR0_ET;
    changed = value ^ v->cr0;
    if (changed & CR0_PG && value & CR0_PG && efer & EFER_LME) {
        if (!(v->cr4 & CR4_PAE) || v->seg[SEG_CS].attributes & SEGATTR_L ||
            (v->tr.attributes & SEGATTR_P && !(v->tr.attributes & 8)))
            return gp(v);
        efer |= EFER_LMA;
    }
    if (changed & CR0_PG && !(value & CR0_PG)) {
        if (cpu_in_code64(v) || v->cr4 & CR4_PCIDE)
            return gp(v);
        efer &= ~(uint64_t)EFER_LMA;
    }
    if (changed & (CR0_PG | CR0_CD | CR0_NW) && pae_paging(value, v->cr4, efer) &&
        !mmu_load_pdptes(&v->mmu, v->cr3))
        return gp(v);
    v->cr0 = value;
    v->efer = efer;
    if (changed & (CR0_PE | CR0_PG | CR0_WP))
        reconfigure(v);
    else
        cpu_update_mode(v);
    return CPU_OK;
}

/* Hot: a process switch, and with page-table isolation every kernel entry. */
static enum cpu_status write_cr3(struct vcpu *v, uint64_t value)
{
    bool keep = false;

    if (cpu_in_long_mode(v)) {
        if (v->cr4 & CR4_PCIDE) {
            keep = value & CR3_NO_FLUSH;
            value &= ~CR3_NO_FLUSH;
        }
        if (value >> MMU_PHYS_BITS)
            return gp(v);
    } else {
        value = (uint32_t)value;
        if (pae_paging(v->cr0, v->cr4, v->efer) && !mmu_load_pdptes(&v->mmu, value))
            return gp(v);
    }
    v->cr3 = value;
    mmu_configure(&v->mmu, v->cr0, value, v->cr4, v->efer);
    mmu_flush_for_cr3(&v->mmu, value, keep);
    return CPU_OK;
}

/* The CR4 bits that exist, and what CPUID must show for those that may not. */
static uint64_t cr4_allowed(const struct cpu_model *m)
{
    uint64_t allowed = CR4_TSD | CR4_MCE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    allowed |= m->f1_edx & 1u << 1 ? CR4_VME | CR4_PVI : 0;
    allowed |= m->f1_edx & 1u << 2 ? CR4_DE : 0;
    allowed |= m->f1_edx & 1u << 3 ? CR4_PSE : 0;
    allowed |= m->f1_edx & 1u << 6 ? CR4_PAE : 0;
    allowed |= m->f1_edx & 1u << 13 ? CR4_PGE : 0;
    allowed |= m->f1_ecx & 1u << 17 ? CR4_PCIDE : 0;
    allowed |= m->f1_ecx & 1u << 26 ? CR4_OSXSAVE : 0;
    allowed |= m->f7_ebx & 1u << 0 ? CR4_FSGSBASE : 0;
    allowed |= m->f7_ebx & 1u << 7 ? CR4_SMEP : 0;
    allowed |= m->f7_ebx & 1u << 20 ? CR4_SMAP : 0;
    allowed |= m->f7_ecx & 1u << 2 ? CR4_UMIP : 0;
    return allowed;
}

#define CR4_PAGING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)

/* SDM vol. 3, 4.10.4.1 says which changes invalidate the TLB. */
static enum cpu_status write_cr4(struct vcpu *v, uint64_t value)
{
    uint64_t changed = value ^ v->cr4;

    if (value & ~cr4_allowed(v->model))
        return gp(v);
    if (cpu_in_long_mode(v) && !(value & CR4_PAE))
        return gp(v);
    if (changed & value & CR4_PCIDE && (!cpu_in_long_mode(v) || v->cr3 & 0xfff))
        return gp(v);
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && pae_paging(v->cr0, value, v->efer) &&
        !mmu_load_pdptes(&v->mmu, v->cr3))
        return gp(v);
    v->cr4 = value;
    if (changed & CR4_PAGING)
        reconfigure(v);
    else
        cpu_update_mode(v);
    return CPU_OK;
}

static enum cpu_status write_cr8(struct vcpu *v, uint64_t value)
{
    if (value > 15)
        return gp(v);
    if (v->simd_live)
        return CPU_NEED_FULL;
    if (v->ops && v->ops->cr8_write)
        v->ops->cr8_write(v->ops_opaque, value);
    return CPU_OK;
}

enum cpu_status cpu_write_cr(struct vcpu *v, unsigned cr, uint64_t value)
{
    if (cr > 8 || cr == 1 || (cr > 4 && cr < 8))
        return cpu_raise(v, EXC_UD);
    if (v->cpl)
        return gp(v);
    switch (cr) {
    case 0:
        return write_cr0(v, value);
    case 3:
        return write_cr3(v, value);
    case 4:
        return write_cr4(v, value);
    case 8:
        return write_cr8(v, value);
    }
    v->cr2 = value;
    return CPU_OK;
}

/* LMSW sets PE but never clears it (SDM vol. 2). */
enum cpu_status cpu_lmsw(struct vcpu *v, uint16_t value)
{
    if (v->cpl)
        return gp(v);
    return write_cr0(v, (v->cr0 & ~(uint64_t)(CR0_MP | CR0_EM | CR0_TS)) | (value & 0xf));
}

enum cpu_status cpu_xsetbv(struct vcpu *v, uint32_t index, uint64_t value)
{
    bool avx512 = value & 0xe0;

    if (!(v->cr4 & CR4_OSXSAVE))
        return cpu_raise(v, EXC_UD);
    if (v->cpl || index || !(value & 1) || value & ~v->model->xcr0_allowed)
        return gp(v);
    if ((value & 4 && !(value & 2)) || (avx512 && ((value & 0xe0) != 0xe0 || !(value & 4))))
        return gp(v);
    v->xcr0 = value;
    cpu_update_mode(v);
    return CPU_OK;
}

enum cpu_status cpu_invlpg(struct vcpu *v, gva_t linear)
{
    if (v->cpl)
        return gp(v);
    mmu_flush_page(&v->mmu, linear);
    return CPU_OK;
}

/* SDM vol. 2, INVPCID. */
enum cpu_status cpu_invpcid(struct vcpu *v, uint64_t type, uint64_t pcid, gva_t linear)
{
    uint64_t current = v->cr4 & CR4_PCIDE ? v->cr3 & 0xfff : 0;

    if (v->cpl || type > 3 || (type < 2 && (pcid > 0xfff || (pcid && !(v->cr4 & CR4_PCIDE)))))
        return gp(v);
    if (type == 0) {
        if (!cpu_is_canonical(linear))
            return gp(v);
        if (pcid == current)
            mmu_flush_page(&v->mmu, linear);
        else
            mmu_flush_other_pcid(&v->mmu, pcid, &linear);
    } else if (type > 1 || pcid == current) {
        mmu_flush(&v->mmu, type == 2);
    } else {
        mmu_flush_other_pcid(&v->mmu, pcid, NULL);
    }
    return CPU_OK;
}

/* SDM vol. 1, 19.5.2: the bitmap lies in a 32- or 64-bit TSS; two bytes are read whatever the size. */
enum cpu_status cpu_check_io(struct vcpu *v, uint16_t port, unsigned size)
{
    uint16_t map, bits;
    uint32_t offset;
    enum cpu_status status;

    if (!(v->cr0 & CR0_PE) || (v->mode & MODE_IOPL && !(v->rflags & FLAG_VM)))
        return CPU_OK;
    if (!(v->tr.attributes & SEGATTR_P) || !(v->tr.attributes & 8) || v->tr.limit < 0x67)
        return gp(v);
    status = cpu_read_system(v, v->tr.base + 0x66, &map, 2);
    if (status != CPU_OK)
        return status;
    offset = map + port / 8u;
    if (offset + 1 > v->tr.limit)
        return gp(v);
    status = cpu_read_system(v, v->tr.base + offset, &bits, 2);
    if (status != CPU_OK)
        return status;
    return bits >> (port & 7) & ((1u << size) - 1) ? gp(v) : CPU_OK;
}

#define POPF_ALWAYS (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

/* Virtual-8086 mode below IOPL 3: IF of the image is VIF, under CR4.VME (SDM vol. 2, POPF). */
static enum cpu_status popf_virtual(struct vcpu *v, uint64_t value, unsigned size)
{
    uint64_t mask = (POPF_ALWAYS & 0xffff) | FLAG_RF | FLAG_VIF;

    if (!(v->cr4 & CR4_VME) || size != 2 || value & FLAG_TF || (value & FLAG_IF && v->rflags & FLAG_VIP))
        return gp(v);
    v->rflags =
        (v->rflags & ~mask) | (value & POPF_ALWAYS & 0xffff) | (value & FLAG_IF ? FLAG_VIF : 0) | FLAG_FIXED;
    return CPU_OK;
}

enum cpu_status cpu_popf(struct vcpu *v, uint64_t value, unsigned size)
{
    uint64_t mask = POPF_ALWAYS, old = v->rflags;

    if (v->mode & MODE_IOPL)
        mask |= FLAG_IF;
    else if (v->rflags & FLAG_VM)
        return popf_virtual(v, value, size);
    if (v->cpl == 0)
        mask |= FLAG_IOPL;
    if (size == 2)
        mask &= 0xffff;
    v->rflags = (old & ~(mask | FLAG_RF)) | (value & mask) | FLAG_FIXED;
    if ((old ^ v->rflags) & (FLAG_TF | FLAG_IOPL | FLAG_AC))
        cpu_update_mode(v);
    return CPU_OK;
}

/* CLI and STI where IOPL forbids them: VME and PVI give the virtual interrupt flag (SDM vol. 3, 20.3 and 20.4). */
static bool virtual_interrupt_flag(const struct vcpu *v)
{
    if (v->rflags & FLAG_VM)
        return v->cr4 & CR4_VME;
    return v->cpl == 3 && v->cr4 & CR4_PVI;
}

enum cpu_status cpu_cli(struct vcpu *v)
{
    if (v->mode & MODE_IOPL)
        v->rflags &= ~(uint64_t)FLAG_IF;
    else if (virtual_interrupt_flag(v))
        v->rflags &= ~(uint64_t)FLAG_VIF;
    else
        return gp(v);
    return CPU_OK;
}

enum cpu_status cpu_sti(struct vcpu *v)
{
    if (v->mode & MODE_IOPL) {
        if (!(v->rflags & FLAG_IF))
            v->interrupt_shadow = true;
        v->rflags |= FLAG_IF;
    } else if (virtual_interrupt_flag(v) && !(v->rflags & FLAG_VIP)) {
        v->rflags |= FLAG_VIF;
    } else {
        return gp(v);
    }
    return CPU_OK;
}
