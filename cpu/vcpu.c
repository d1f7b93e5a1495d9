/*
 * vcpu.c - life of a vCPU, its power-on state, and what is derived from the control registers.
 *
 * Interface: vcpu.h. Invariants: mode, cpl and the contexts are what cpu_update_mode makes of the architectural
 * state; CPL is SS.DPL (as in the SDM's VMX chapters: exact in every mode), so whatever loads SS, a null
 * selector too, keeps the level there.
 */
#include <assert.h>
#include <stddef.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "cpu/interp.h"
#include "cpu/native.h"
#include "cpu/simd.h"
#include "cpu/vcpu.h"

/* Emitted code addresses the fields by 32-bit displacements, and XSAVE wants 64 bytes of alignment. */
_Static_assert(sizeof(struct vcpu) < 1u << 30, "displacements");
_Static_assert(offsetof(struct vcpu, xsave) % 64 == 0, "XSAVE alignment");
_Static_assert(sizeof(struct vcpu) % PAGE_SIZE == 0, "what begins behind it is mapped by pages");

struct vcpu *vcpu_create(struct ram *ram, const struct cpu_model *model)
{
    struct vcpu *v = mmap(NULL, VCPU_RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (v == MAP_FAILED)
        return NULL;
    if (mprotect(v, sizeof *v, PROT_READ | PROT_WRITE) || !mmu_init(&v->mmu, ram)) {
        munmap(v, VCPU_RESERVED);
        return NULL;
    }
    v->model = model;
    vcpu_reset(v);
    return v;
}

void vcpu_destroy(struct vcpu *v)
{
    if (!v)
        return;
    native_destroy(v);
    interp_destroy(v);
    mmu_destroy(&v->mmu);
    munmap(v, VCPU_RESERVED);
}

static void reset_segments(struct vcpu *v)
{
    const uint16_t data = SEGATTR_P | SEGATTR_S | 3; /* read/write, accessed */

    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->seg[i] = (struct segment){.selector = 0, .attributes = data, .limit = 0xffff, .base = 0};
    v->seg[SEG_CS] =
        (struct segment){.selector = 0xf000, .attributes = data | 8, .limit = 0xffff, .base = 0xffff0000};
    v->ldtr = (struct segment){.attributes = SEGATTR_P | 2, .limit = 0xffff};
    v->tr = (struct segment){.attributes = SEGATTR_P | 11, .limit = 0xffff};
    v->gdtr = v->idtr = (struct table_register){.base = 0, .limit = 0xffff};
}

/* SDM vol. 3, table 9-1. The TSC keeps counting from 0. */
void vcpu_reset(struct vcpu *v)
{
    for (unsigned i = 0; i < 16; i++)
        v->gpr[i] = 0;
    for (unsigned i = 0; i < v->model->leaf_count; i++)
        if (v->model->leaf[i].leaf == 1)
            v->gpr[RDX] = v->model->leaf[i].eax; /* family, model, stepping */
    v->rip = 0xfff0;
    v->rflags = FLAG_FIXED;
    reset_segments(v);
    v->cr0 = CR0_CD | CR0_NW | CR0_ET;
    v->cr2 = v->cr3 = v->cr4 = v->efer = 0;
    v->xcr0 = 1;
    for (unsigned i = 0; i < 8; i++)
        v->dr[i] = 0;
    v->dr[6] = 0xffff0ff0;
    v->dr[7] = 0x400;
    v->star = v->lstar = v->cstar = v->fmask = v->kernel_gs_base = 0;
    v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = 0;
    v->pat = 0x0007040600070406;
    v->tsc_aux = v->mtrr_def_type = v->mcg_status = 0;
    v->misc_enable = 1; /* fast strings */
    v->hwcr = 1u << 24; /* AMD: the TSC counts at P0's rate; Linux complains otherwise */
    for (unsigned i = 0; i < 11; i++)
        v->mtrr_fixed[i] = 0;
    for (unsigned i = 0; i < 16; i++)
        v->mtrr_variable[i] = 0;
    v->tsc_adjust = 0;
    v->tsc_offset = -(int64_t)__builtin_ia32_rdtsc();
    v->interrupt_shadow = v->debug_shadow = v->nmi_blocked = v->halted = false;
    v->debug_pending = 0;
    v->exit = (struct vcpu_exit){.reason = EXIT_NONE};
    atomic_store(&v->nmi_pending, false);
    simd_reset(v);
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    mmu_flush(&v->mmu, true);
    cpu_update_mode(v);
}

/* SSE, AVX: SDM vol. 1, 13.5 and 14.3; #NM and #UD conditions of vol. 3, 2.5. */
static uint32_t simd_mode(const struct vcpu *v, bool vex)
{
    uint32_t mode = 0;

    if (v->cr0 & CR0_TS)
        return MODE_TS;
    if (!(v->cr0 & CR0_EM))
        mode |= MODE_X87 | (v->cr4 & CR4_OSFXSR ? MODE_SSE : 0);
    if (vex && v->cr4 & CR4_OSXSAVE && (v->xcr0 & 6) == 6)
        mode |= MODE_AVX | ((v->xcr0 & 0xe0) == 0xe0 ? MODE_AVX512 : 0);
    return mode;
}

/* Base 0, limit 4 GiB, present, not expand-down; `type` bits that must be set. */
static bool segment_is_flat(const struct segment *s, uint16_t type)
{
    return s->base == 0 && s->limit == 0xffffffffu && (s->attributes & (SEGATTR_P | type)) == (SEGATTR_P | type) &&
           (s->attributes & 0xc) != 4;
}

static bool is_flat(const struct vcpu *v, uint32_t control)
{
    if ((control & (MODE_PE | MODE_VM)) != MODE_PE ||
        !(v->seg[SEG_CS].attributes & v->seg[SEG_SS].attributes & SEGATTR_DB))
        return false;
    return segment_is_flat(&v->seg[SEG_CS], SEGATTR_S | 8) && segment_is_flat(&v->seg[SEG_SS], SEGATTR_S | 2) &&
           segment_is_flat(&v->seg[SEG_DS], SEGATTR_S | 2) && !(v->seg[SEG_DS].attributes & 8) &&
           segment_is_flat(&v->seg[SEG_ES], SEGATTR_S | 2) && !(v->seg[SEG_ES].attributes & 8);
}

/* The part that SMAP, AM, TSD, IOPL and UMIP make depend on the level. */
static uint32_t level_mode(const struct vcpu *v, unsigned cpl)
{
    uint32_t mode = cpl;

    if (cpl <= (v->rflags & FLAG_IOPL) >> 12)
        mode |= MODE_IOPL;
    if (cpl) {
        mode |= v->cr4 & CR4_TSD ? MODE_TSD : 0;
        mode |= v->cr4 & CR4_UMIP ? MODE_UMIP : 0;
    }
    if (v->rflags & FLAG_AC) {
        if (cpl < 3)
            mode |= v->cr4 & CR4_SMAP ? MODE_AC : 0;
        else if (v->cr0 & CR0_AM) /* alignment checks: only the interpreter makes them */
            mode |= MODE_SINGLE;
    }
    return mode;
}

/* SDM vol. 3, 5.3 to 5.5; types are not looked at in real and virtual-8086 mode. */
void cpu_update_span(struct vcpu *v, unsigned seg)
{
    uint16_t a = v->seg[seg].attributes;
    uint64_t size = (uint64_t)v->seg[seg].limit + 1;
    bool readable = true, writable = true;

    if ((v->mode & (MODE_PE | MODE_VM)) == MODE_PE) {
        readable = a & SEGATTR_P && (!(a & 8) || a & 2);
        writable = a & SEGATTR_P && (a & 0xa) == 2;
    }
    if ((a & 0xc) == 4) /* expand-down */
        size = 0;
    v->span[0][seg] = readable ? size : 0;
    v->span[1][seg] = writable ? size : 0;
    v->closed[seg] = readable && writable && size > UINT32_MAX ? 0 : VCPU_CLOSED;
}

/* What the control registers, XCR0 and VM decide. */
#define CONTROL_BITS                                                                                              \
    (MODE_PE | MODE_VM | MODE_X87 | MODE_SSE | MODE_AVX | MODE_AVX512 | MODE_TS | MODE_FSGSBASE | MODE_SMAP |     \
     MODE_LMA)

static uint32_t control_mode(const struct vcpu *v)
{
    bool pe = v->cr0 & CR0_PE, vm = v->rflags & FLAG_VM;
    uint32_t mode = simd_mode(v, pe && !vm);

    mode |= pe ? MODE_PE : 0;
    mode |= vm ? MODE_VM : 0;
    mode |= v->cr4 & CR4_FSGSBASE ? MODE_FSGSBASE : 0;
    mode |= v->cr4 & CR4_SMAP ? MODE_SMAP : 0;
    return mode | (v->efer & EFER_LMA ? MODE_LMA : 0);
}

/* Segments do not matter in 64-bit mode: FLAT is constant there, so that blocks are not made twice. */
static uint32_t segment_mode(const struct vcpu *v, uint32_t control)
{
    uint16_t cs = v->seg[SEG_CS].attributes;

    if (control & MODE_LMA && cs & SEGATTR_L)
        return MODE_CODE64 | MODE_SS32 | MODE_FLAT;
    return (cs & SEGATTR_DB ? MODE_CODE32 : 0) | (v->seg[SEG_SS].attributes & SEGATTR_DB ? MODE_SS32 : 0) |
           (is_flat(v, control) ? MODE_FLAT : 0);
}

/* `fixed` is what the control registers and the segments decide. */
static void update(struct vcpu *v, uint32_t fixed)
{
    unsigned cpl = !(fixed & MODE_PE) ? 0 : fixed & MODE_VM ? 3 : SEGATTR_DPL(v->seg[SEG_SS].attributes);
    uint32_t mode = fixed | level_mode(v, cpl);

    mode |= v->rflags & FLAG_TF || v->dr[7] & 0xff ? MODE_SINGLE : 0;
    v->mode = mode;
    v->cpl = cpl;
    v->fetch_context = cpl == 3 ? MMU_USER : MMU_SUPERVISOR;
    v->data_context = cpl == 3 ? MMU_USER : mode & MODE_AC ? MMU_SUPERVISOR_AC : MMU_SUPERVISOR;
}

void cpu_update_mode(struct vcpu *v)
{
    uint32_t control = control_mode(v);

    update(v, control | segment_mode(v, control));
    if (!(v->mode & MODE_CODE64))
        for (unsigned seg = 0; seg < SEG_COUNT; seg++)
            cpu_update_span(v, seg);
}

/* Like cpu_update_mode, but for what the control registers decide. */
static bool update_quickly(struct vcpu *v)
{
    uint32_t old = v->mode;

    if ((old ^ v->rflags >> 11) & MODE_VM) /* FLAG_VM */
        return false;
    update(v, (old & CONTROL_BITS) | segment_mode(v, old & CONTROL_BITS));
    return !((old ^ v->mode) & MODE_CODE64);
}

void cpu_update_level(struct vcpu *v)
{
    if (!update_quickly(v)) {
        cpu_update_mode(v);
    } else if (!(v->mode & MODE_CODE64) && (v->mode & (MODE_FLAT32 | MODE_VM)) != MODE_FLAT32) {
        cpu_update_span(v, SEG_CS);
        cpu_update_span(v, SEG_SS);
    }
}

void cpu_update_flat_level(struct vcpu *v)
{
    uint32_t cs = v->seg[SEG_CS].attributes & SEGATTR_L ? MODE_CODE64 : MODE_CODE32;

    if ((v->mode & (MODE_CODE64 | MODE_FLAT32 | MODE_VM)) == (MODE_PE | cs | MODE_SS32 | MODE_FLAT))
        update(v, v->mode & (CONTROL_BITS | MODE_CODE64 | MODE_FLAT32));
    else
        cpu_update_level(v);
}

/* Real mode keeps the attributes that the mode is made of. */
void cpu_update_segment(struct vcpu *v, unsigned seg)
{
    bool flat = v->mode & MODE_FLAT;

    if ((v->mode & MODE_PE || v->cr0 & CR0_PE) && (!update_quickly(v) || (flat && !(v->mode & MODE_FLAT))))
        cpu_update_mode(v); /* of all segments, CS and SS too */
    else
        cpu_update_span(v, seg);
}

enum cpu_status cpu_raise(struct vcpu *v, enum cpu_vector vector)
{
    v->fault = (struct cpu_fault){.vector = vector};
    return CPU_FAULT;
}

enum cpu_status cpu_raise_error(struct vcpu *v, enum cpu_vector vector, uint32_t error)
{
    v->fault = (struct cpu_fault){.vector = vector, .has_error = true, .error = error};
    return CPU_FAULT;
}
