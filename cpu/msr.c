/*
 * msr.c - model-specific registers: one row each.
 *
 * Interface: system.h. Invariants: what is not in the table gives #GP(0), and is logged once; rows of one vendor
 * exist only when CPUID shows that vendor; MSRs that belong to devices go to vcpu->ops with SIMD state saved.
 */
#include <stddef.h>
#include <stdio.h>

#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/descriptor.h"
#include "cpu/system.h"

enum msr_kind {
    FIELD,     /* 64 bits in struct vcpu; `value` holds the bits that may be set */
    CANONICAL, /* a linear address in struct vcpu */
    IGNORED,   /* reads give `value`, writes do nothing */
    READ_ONLY, /* reads give `value`, writes give #GP */
    DEVICE,    /* vcpu->ops */
    SPECIAL    /* functions of its own */
};

enum msr_vendor { ANY, INTEL, AMD };

struct msr_row {
    uint32_t first, last;
    uint8_t vendor, kind;
    uint32_t offset; /* of the first one's field */
    uint64_t value;
    bool (*read)(struct vcpu *v, uint32_t msr, uint64_t *value); /* false: #GP(0) */
    bool (*write)(struct vcpu *v, uint32_t msr, uint64_t value);
};

#define MSR_TSC 0x10u
#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_ADJUST 0x3bu
#define EFER_AIBRSE (1u << 21) /* accepted where CPUID shows automatic IBRS, without effect */
#define MSR_EFER 0xc0000080u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

static bool read_tsc(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = msr == MSR_TSC ? cpu_current_tsc(v) : (uint64_t)v->tsc_adjust;
    return true;
}

/* Either register moves the other by the same amount (SDM vol. 3, 17.17.3). */
static bool write_tsc(struct vcpu *v, uint32_t msr, uint64_t value)
{
    int64_t delta = (int64_t)(value - (msr == MSR_TSC ? cpu_current_tsc(v) : (uint64_t)v->tsc_adjust));

    v->tsc_offset += delta;
    v->tsc_adjust += delta;
    return true;
}

static bool read_efer(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = v->efer;
    return true;
}

/* SPEC_CTRL (IBRS, STIBP, SSBD, BHI_DIS_S) and PRED_CMD (IBPB, only written). Nothing follows from them. */
static bool read_spec(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = v->spec_ctrl;
    return msr == 0x48 && v->model->f7_edx >> 26 & 1;
}

static bool write_spec(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t allowed = msr == 0x49 ? 1 : v->model->f7_2_edx >> 4 & 1 ? 0x407 : 7;

    if (!(v->model->f7_edx >> 26 & 1) || value & ~allowed)
        return false;
    if (msr == 0x48)
        v->spec_ctrl = value;
    return true;
}

static bool write_efer(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct cpu_model *m = v->model;
    uint64_t allowed = EFER_LMA, old = v->efer;

    allowed |= m->f80000001_edx & 1u << 11 ? EFER_SCE : 0;
    allowed |= m->f80000001_edx & 1u << 29 ? EFER_LME : 0;
    allowed |= m->f80000001_edx & 1u << 20 ? EFER_NXE : 0;
    allowed |= m->f80000021_eax & 1u << 8 ? EFER_AIBRSE : 0;
    if (value & ~allowed || (v->cr0 & CR0_PG && (value ^ old) & EFER_LME))
        return false;
    v->efer = (value & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
    if ((old ^ v->efer) & EFER_NXE)
        mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
    return true;
}

static bool read_base(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = msr == MSR_FS_BASE   ? v->seg[SEG_FS].base
             : msr == MSR_GS_BASE ? v->seg[SEG_GS].base
                                  : v->kernel_gs_base;
    return true;
}

static bool write_base(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (!cpu_is_canonical(value))
        return false;
    if (msr == MSR_KERNEL_GS_BASE)
        v->kernel_gs_base = value;
    else
        v->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base = value;
    return true;
}

/* Memory types 0, 1, 4, 5, 6 and, in PAT, 7 (SDM vol. 3, tables 11-8 and 11-10). */
static bool valid_types(uint64_t value, unsigned types)
{
    for (unsigned i = 0; i < 64; i += 8)
        if ((value >> i & 0xff) > 7 || !(types >> (value >> i & 7) & 1))
            return false;
    return true;
}

static bool read_pat(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = v->pat;
    return true;
}

static bool write_pat(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (!valid_types(value, 0xf3))
        return false;
    v->pat = value;
    return true;
}

/* 0x250, 0x258-0x259, 0x268-0x26f */
static unsigned fixed_index(uint32_t msr)
{
    return msr == 0x250 ? 0 : msr < 0x260 ? msr - 0x258 + 1 : msr - 0x268 + 3;
}

static bool read_fixed_mtrr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = v->mtrr_fixed[fixed_index(msr)];
    return true;
}

static bool write_fixed_mtrr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (!valid_types(value, 0x73))
        return false;
    v->mtrr_fixed[fixed_index(msr)] = value;
    return true;
}

#define AT(name) offsetof(struct vcpu, name)
#define PHYSICAL ((1ull << MMU_PHYS_BITS) - 1)

/* Linux reads some of these unguarded on the vendor's processors; their names are Linux's. */
static const struct msr_row rows[] = {
    {0x0, 0x1, ANY, IGNORED}, /* P5_MC_ADDR, P5_MC_TYPE */
    {MSR_TSC, MSR_TSC, ANY, SPECIAL, .read = read_tsc, .write = write_tsc},
    {0x17, 0x17, INTEL, READ_ONLY}, /* PLATFORM_ID */
    {MSR_APIC_BASE, MSR_APIC_BASE, ANY, DEVICE},
    {0x34, 0x34, INTEL, READ_ONLY},             /* SMI_COUNT */
    {0x3a, 0x3a, INTEL, READ_ONLY, .value = 1}, /* FEAT_CTL: locked, nothing enabled */
    {MSR_TSC_ADJUST, MSR_TSC_ADJUST, ANY, SPECIAL, .read = read_tsc, .write = write_tsc},
    {0x48, 0x49, INTEL, SPECIAL, .read = read_spec, .write = write_spec},
    {0x79, 0x79, INTEL, IGNORED},                      /* UCODE_WRITE */
    {0x8b, 0x8b, INTEL, IGNORED, .value = 1ull << 32}, /* UCODE_REV */
    {0x8b, 0x8b, AMD, IGNORED, .value = 0x01000065},   /* AMD64_PATCH_LEVEL */
    {0xfe, 0xfe, ANY, READ_ONLY, .value = 0x508},      /* MTRRcap: 8 variable, fixed, WC */
    /* ARCH_CAPABILITIES: RDCL, SSB, MDS, PSCHANGE_MC, TAA, SBDR_SSDP, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS, ITS "not
       affected", and IBRS for all. Privilege is checked in software here, so what leaks past a processor's own
       check does not apply; and the remedies (page-table isolation, buffer clearing, thunks for jumps and returns)
       would remedy nothing. */
    {0x10a, 0x10a, INTEL, READ_ONLY, .value = 0x400000000d10e17b},
    {0x174, 0x174, ANY, FIELD, AT(sysenter_cs), 0xffffffff},
    {0x175, 0x175, ANY, CANONICAL, AT(sysenter_esp)},
    {0x176, 0x176, ANY, CANONICAL, AT(sysenter_eip)},
    {0x179, 0x179, ANY, READ_ONLY}, /* MCG_CAP: no banks */
    {0x17a, 0x17a, ANY, FIELD, AT(mcg_status), 7},
    {0x1a0, 0x1a0, INTEL, FIELD, AT(misc_enable), ~0ull},
    {0x1d9, 0x1d9, ANY, IGNORED}, /* DEBUGCTL: no branch records */
    {0x200, 0x20f, ANY, FIELD, AT(mtrr_variable), PHYSICAL},
    {0x250, 0x250, ANY, SPECIAL, .read = read_fixed_mtrr, .write = write_fixed_mtrr},
    {0x258, 0x259, ANY, SPECIAL, .read = read_fixed_mtrr, .write = write_fixed_mtrr},
    {0x268, 0x26f, ANY, SPECIAL, .read = read_fixed_mtrr, .write = write_fixed_mtrr},
    {0x277, 0x277, ANY, SPECIAL, .read = read_pat, .write = write_pat},
    {0x2ff, 0x2ff, ANY, FIELD, AT(mtrr_def_type), 0xcff},
    {0x6e0, 0x6e0, ANY, DEVICE}, /* TSC_DEADLINE */
    {0x800, 0x8ff, ANY, DEVICE}, /* x2APIC */
    {MSR_EFER, MSR_EFER, ANY, SPECIAL, .read = read_efer, .write = write_efer},
    {0xc0000081, 0xc0000081, ANY, FIELD, AT(star), ~0ull},
    {0xc0000082, 0xc0000082, ANY, CANONICAL, AT(lstar)},
    {0xc0000083, 0xc0000083, ANY, CANONICAL, AT(cstar)},
    {0xc0000084, 0xc0000084, ANY, FIELD, AT(fmask), 0xffffffff},
    {MSR_FS_BASE, MSR_KERNEL_GS_BASE, ANY, SPECIAL, .read = read_base, .write = write_base},
    {0xc0000103, 0xc0000103, ANY, FIELD, AT(tsc_aux), 0xffffffff},
    {0xc0010010, 0xc0010010, AMD, IGNORED}, /* SYSCFG: no TOM2, no encryption */
    {0xc0010015, 0xc0010015, AMD, FIELD, AT(hwcr), ~0ull},
    {0xc001001a, 0xc001001a, AMD, IGNORED},                  /* TOP_MEM */
    {0xc001001d, 0xc001001d, AMD, IGNORED},                  /* TOP_MEM2 */
    {0xc001001f, 0xc001001f, AMD, IGNORED},                  /* NB_CFG */
    {0xc0010020, 0xc0010020, AMD, IGNORED},                  /* PATCH_LOADER */
    {0xc0010055, 0xc0010055, AMD, IGNORED},                  /* INT_PENDING_MSG */
    {0xc0010058, 0xc0010058, AMD, IGNORED},                  /* MMIO_CONF_BASE */
    {0xc0010112, 0xc0010113, AMD, IGNORED},                  /* SMM TSEG */
    {0xc0010114, 0xc0010114, AMD, READ_ONLY, .value = 0x18}, /* VM_CR: SVM locked off */
    {0xc0011020, 0xc0011023, AMD, IGNORED},                  /* LS_CFG, IC_CFG, DC_CFG, TW_CFG */
    {0xc0011028, 0xc0011028, AMD, IGNORED},                  /* FP_CFG */
    {0xc0011029, 0xc0011029, AMD, IGNORED, .value = 2},      /* DE_CFG: LFENCE serialises */
    {0xc001102a, 0xc001102a, AMD, IGNORED},                  /* BU_CFG2 */
    {0xc001102c, 0xc001102e, AMD, IGNORED},                  /* EX_CFG and its neighbours */
};

static const struct msr_row *find_row(const struct vcpu *v, uint32_t msr)
{
    enum msr_vendor vendor = v->model->amd ? AMD : INTEL;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (msr <= rows[i].last) { /* the rows are sorted */
            if (msr >= rows[i].first && (rows[i].vendor == ANY || rows[i].vendor == vendor))
                return &rows[i];
            if (msr < rows[i].first)
                return NULL;
        }
    return NULL;
}

static uint64_t *field_of(struct vcpu *v, const struct msr_row *row, uint32_t msr)
{
    return (uint64_t *)(void *)((char *)v + row->offset) + (msr - row->first);
}

/* Tells of an MSR once; CPU_NEED_FULL before that when the log must not be called now. */
static enum cpu_status refuse(struct vcpu *v, uint32_t msr, bool write)
{
    char text[64];

    if (!(v->log_topics & VCPU_LOG_GUEST_ERRORS) || v->msr_logged_count >= VCPU_MSR_LOGGED)
        return cpu_raise_error(v, EXC_GP, 0);
    for (unsigned i = 0; i < v->msr_logged_count; i++)
        if (v->msr_logged[i] == msr)
            return cpu_raise_error(v, EXC_GP, 0);
    if (v->simd_live)
        return CPU_NEED_FULL;
    v->msr_logged[v->msr_logged_count++] = msr;
    snprintf(text, sizeof text, "%s of unknown MSR 0x%x: #GP", write ? "write" : "read", msr);
    v->ops->log(v->ops_opaque, "guest_errors", text);
    return cpu_raise_error(v, EXC_GP, 0);
}

static enum cpu_status device_msr(struct vcpu *v, uint32_t msr, uint64_t *value, bool write)
{
    bool ok;

    if (v->simd_live)
        return CPU_NEED_FULL;
    if (!v->ops || !v->ops->msr_read || !v->ops->msr_write)
        return cpu_raise_error(v, EXC_GP, 0);
    ok = write ? v->ops->msr_write(v->ops_opaque, msr, *value) : v->ops->msr_read(v->ops_opaque, msr, value);
    return ok ? CPU_OK : cpu_raise_error(v, EXC_GP, 0);
}

enum cpu_status cpu_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const struct msr_row *row;

    if (v->cpl)
        return cpu_raise_error(v, EXC_GP, 0);
    row = find_row(v, msr);
    if (!row)
        return refuse(v, msr, false);
    switch ((enum msr_kind)row->kind) {
    case FIELD:
    case CANONICAL:
        *value = *field_of(v, row, msr);
        return CPU_OK;
    case IGNORED:
    case READ_ONLY:
        *value = row->value;
        return CPU_OK;
    case DEVICE:
        return device_msr(v, msr, value, false);
    case SPECIAL:
        break;
    }
    return row->read(v, msr, value) ? CPU_OK : cpu_raise_error(v, EXC_GP, 0);
}

static bool write_row(struct vcpu *v, const struct msr_row *row, uint32_t msr, uint64_t value)
{
    switch ((enum msr_kind)row->kind) {
    case FIELD:
        if (value & ~row->value)
            return false;
        *field_of(v, row, msr) = value;
        return true;
    case CANONICAL:
        if (!cpu_is_canonical(value))
            return false;
        *field_of(v, row, msr) = value;
        return true;
    case IGNORED:
        return true;
    case SPECIAL:
        return row->write(v, msr, value);
    default:
        return false;
    }
}

enum cpu_status cpu_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct msr_row *row;

    if (v->cpl)
        return cpu_raise_error(v, EXC_GP, 0);
    if (msr >= MSR_FS_BASE && msr <= MSR_KERNEL_GS_BASE) /* hot: every process switch */
        return write_base(v, msr, value) ? CPU_OK : cpu_raise_error(v, EXC_GP, 0);
    row = find_row(v, msr);
    if (!row)
        return refuse(v, msr, true);
    if (row->kind == DEVICE)
        return device_msr(v, msr, &value, true);
    return write_row(v, row, msr, value) ? CPU_OK : cpu_raise_error(v, EXC_GP, 0);
}
