/*
 * native_save.c - group 15 (0F AE) and XSAVEC: FXSAVE, XSAVE and their kin, MXCSR, FS and GS bases, fences,
 * CLFLUSH.
 *
 * Interface: interp_group15. The save areas are worked on by the host's instruction in the bounce buffer: the
 * guest's area is copied in (what the instruction leaves alone stays as it is), then copied back. In 64-bit code
 * that works with the guest's state in the host's registers, too. Invariant: all of the area is known to be
 * accessible before any of it changes.
 */
#include "cpu/native_internal.h"

#define F1_XSAVE (1u << 26)
#define F1_FXSR (1u << 24) /* EDX */
#define FD_XSAVEOPT 1u
#define FD_XSAVEC 2u
#define HEADER 512u
#define POINTERS_AT 6u
#define XCOMP_COMPACT (1ull << 63)

#define MXCSR_AT 24u
#define XMM_AT 160u

enum save_kind { FXSAVE, FXRSTOR, XSAVE, XRSTOR, XSAVEOPT, XSAVEC };

/* 0F AE /n of each, and /4 of 0F C7 for XSAVEC */
static const uint8_t save_opcode[] = {0xae, 0xae, 0xae, 0xae, 0xae, 0xc7};
static const uint8_t save_extension[] = {0, 1, 4, 5, 6, 4};

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;

    __builtin_memcpy(&value, p, 8);
    return value;
}

/* An area is accessed in pieces, each of which may lie on the other side of a wrap at 4 GiB. */
static uint64_t piece_at(const struct vcpu *v, const struct insn *i, uint64_t offset, unsigned at)
{
    return insn_code64(v) || i->addrsize == 2 ? offset + at : (uint32_t)(offset + at);
}

/* Bytes of the piece at `at`: up to the page's end in 64-bit code, where nothing wraps and no limit is. */
static unsigned piece_size(const struct vcpu *v, const struct insn *i, uint64_t offset, unsigned at, unsigned size)
{
    gva_t linear = offset + at + (i->segment < SEG_FS ? 0 : v->seg[i->segment].base);
    unsigned most = insn_code64(v) && !v->write_log ? (unsigned)(PAGE_SIZE - (linear & ~PAGE_MASK)) : 64;

    return size - at < most ? size - at : most;
}

static enum cpu_status check_area(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size)
{
    for (unsigned at = 0, part; at < size; at += part) {
        part = piece_size(v, i, offset, at, size);
        TRY(mem_check_write(v, i->segment, piece_at(v, i, offset, at), part));
    }
    return CPU_OK;
}

static enum cpu_status read_area(struct vcpu *v, struct insn *i, uint64_t offset, unsigned from, unsigned size)
{
    for (unsigned at = from, part; at < size; at += part) {
        part = piece_size(v, i, offset, at, size);
        TRY(mem_read_bytes(v, i->segment, piece_at(v, i, offset, at), part, v->native->bounce + at));
    }
    return CPU_OK;
}

static enum cpu_status write_area(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size)
{
    for (unsigned at = 0, part; at < size; at += part) {
        part = piece_size(v, i, offset, at, size);
        TRY(mem_write_bytes(v, i->segment, piece_at(v, i, offset, at), part, v->native->bounce + at));
    }
    return CPU_OK;
}

/* Those that are not the guest's own are of the host's code and data: they read as zero. */
static void hide_pointers(struct cpu_native *n, const uint8_t before[NATIVE_POINTERS])
{
    uint8_t *now = n->bounce + POINTERS_AT;

    if (memcmp(now, before, NATIVE_POINTERS) && memcmp(now, n->pointers, NATIVE_POINTERS))
        memset(now, 0, NATIVE_POINTERS);
}

/* What XRSTOR and FXRSTOR have left in the pointers, from the image. */
static void note_pointers(struct cpu_native *n, enum save_kind kind, uint64_t mask)
{
    uint64_t have = get64(n->bounce + HEADER);

    if (kind == FXRSTOR || (mask & have & 1))
        memcpy(n->pointers, n->bounce + POINTERS_AT, NATIVE_POINTERS);
    else if (mask & 1)
        memset(n->pointers, 0, NATIVE_POINTERS);
}

/* Does the host take this image? What it refuses (#GP) is left to native_run. */
static bool is_plain(const uint8_t *image, enum save_kind kind)
{
    uint32_t mxcsr;

    memcpy(&mxcsr, image + MXCSR_AT, 4);
    if (mxcsr & ~0xffffu)
        return false;
    for (unsigned at = HEADER + 16; kind == XRSTOR && at < HEADER + 64; at += 8)
        if (get64(image + at))
            return false;
    return true;
}

/* With REX.W pointers have 64 bits. */
#define LIVE(name)                                                                                                \
    do {                                                                                                          \
        if (wide)                                                                                                 \
            __asm__ volatile(name "64 %0" : "+m"(n->bounce) : "a"(low), "d"(high) : "memory");                    \
        else                                                                                                      \
            __asm__ volatile(name " %0" : "+m"(n->bounce) : "a"(low), "d"(high) : "memory");                      \
    } while (0)

/* Runs the host's instruction on the bounce buffer with the guest's state in the host's registers, where it stays.
 */
static enum cpu_status run_live(struct vcpu *v, enum save_kind kind, uint64_t mask, bool wide)
{
    struct cpu_native *n = v->native;
    uint32_t low = (uint32_t)mask, high = (uint32_t)(mask >> 32);

    if ((kind == FXRSTOR || kind == XRSTOR) && !is_plain(n->bounce, kind))
        return CPU_NEED_FULL;
    switch (kind) {
    case FXSAVE:
        LIVE("fxsave");
        break;
    case FXRSTOR:
        LIVE("fxrstor");
        break;
    case XRSTOR:
        LIVE("xrstor");
        break;
    case XSAVEC:
        LIVE("xsavec");
        break;
    case XSAVEOPT: /* which remembers what it has saved where: nothing is in the bounce buffer for long */
    case XSAVE:
        LIVE("xsave");
    }
    return CPU_OK;
}

/* The same with that state in v->xsave. */
static enum cpu_status run_kept(struct vcpu *v, enum save_kind kind, uint64_t mask, bool wide)
{
    struct native_frame f = {.rax = (uint32_t)mask, .rdx = mask >> 32};
    uint8_t code[4] = {0x48, 0x0f, save_opcode[kind], (uint8_t)(save_extension[kind] << 3 | RBX)};

    v->native->operand = v->native->bounce;
    return native_run(v, wide ? code : code + 1, wide ? 4 : 3, &f, true);
}

/* Either, for the components in `mask`. */
static enum cpu_status run_whole(struct vcpu *v, const struct insn *i, enum save_kind kind, uint64_t mask)
{
    struct cpu_native *n = v->native;
    uint8_t before[NATIVE_POINTERS];
    bool wide = i->rex & REX_W;

    memcpy(before, n->bounce + POINTERS_AT, NATIVE_POINTERS);
    TRY(v->simd_live ? run_live(v, kind, mask, wide) : run_kept(v, kind, mask, wide));
    if (kind != FXRSTOR && kind != XRSTOR)
        hide_pointers(n, before);
    else if (v->simd_live)
        note_pointers(n, kind, mask);
    else
        memcpy(n->pointers, v->xsave + POINTERS_AT, NATIVE_POINTERS);
    return CPU_OK;
}

/* Registers 8 to 15 in an image with the components AVX and ZMM_Hi256 at the given offsets (0: not there). */
struct upper {
    unsigned avx_at, zmm_at;
    uint8_t xmm[128], ymm[128], zmm[256];
};

static void keep_upper(struct upper *u, const uint8_t *image)
{
    memcpy(u->xmm, image + XMM_AT + 128, sizeof u->xmm);
    if (u->avx_at)
        memcpy(u->ymm, image + u->avx_at + 128, sizeof u->ymm);
    if (u->zmm_at)
        memcpy(u->zmm, image + u->zmm_at + 256, sizeof u->zmm);
}

static void put_upper(const struct upper *u, uint8_t *image)
{
    memcpy(image + XMM_AT + 128, u->xmm, sizeof u->xmm);
    if (u->avx_at)
        memcpy(image + u->avx_at + 128, u->ymm, sizeof u->ymm);
    if (u->zmm_at)
        memcpy(image + u->zmm_at + 256, u->zmm, sizeof u->zmm);
}

/* A component that is in its initial state has nothing in its place. */
static void fill_initial(struct vcpu *v)
{
    const struct cpu_native *n = v->native;
    uint64_t have = get64(v->xsave + HEADER);

    if (!(have & 2))
        memset(v->xsave + XMM_AT, 0, 256);
    if (v->simd_mask & ~have & 4)
        memset(v->xsave + n->avx_at, 0, 256);
    if (v->simd_mask & ~have & 0x40)
        memset(v->xsave + n->zmm_at, 0, 512);
    have |= v->simd_mask & 0x46;
    memcpy(v->xsave + HEADER, &have, 8);
}

static enum cpu_status restore_lower(struct vcpu *v, const struct insn *i, enum save_kind kind, uint64_t mask)
{
    struct upper u = {.avx_at = v->simd_mask & 4 ? v->native->avx_at : 0,
                      .zmm_at = v->simd_mask & 0x40 ? v->native->zmm_at : 0};

    fill_initial(v);
    keep_upper(&u, v->xsave);
    TRY(run_whole(v, i, kind, mask));
    fill_initial(v);
    put_upper(&u, v->xsave);
    return CPU_OK;
}

static unsigned area_size(struct vcpu *v, uint64_t mask, bool compact);

/* Offset of a component that is saved; 0: it is not. */
static unsigned saved_at(struct vcpu *v, unsigned component, enum save_kind kind, uint64_t mask, unsigned standard)
{
    uint32_t out[4];

    if (kind == FXSAVE || !(mask >> component & 1))
        return 0;
    if (kind != XSAVEC)
        return standard;
    cpu_cpuid(v, 0xd, component, out);
    return area_size(v, mask & ((2ull << component) - 1), true) - out[0];
}

/* Outside of 64-bit mode registers 8 to 15 and their places in an image stay as they are (SDM vol. 1, 13.7). */
static enum cpu_status run_save(struct vcpu *v, const struct insn *i, enum save_kind kind, uint64_t mask)
{
    struct upper u;

    if (insn_code64(v))
        return run_whole(v, i, kind, mask);
    if (kind == FXRSTOR || kind == XRSTOR)
        return restore_lower(v, i, kind, mask);
    u.avx_at = saved_at(v, 2, kind, mask, v->native->avx_at);
    u.zmm_at = saved_at(v, 6, kind, mask, v->native->zmm_at);
    keep_upper(&u, v->native->bounce);
    TRY(run_whole(v, i, kind, mask));
    put_upper(&u, v->native->bounce);
    return CPU_OK;
}

enum cpu_status native_zero_lower(struct vcpu *v, struct insn *i)
{
    fill_initial(v);
    if (i->vl)
        memset(v->xsave + XMM_AT, 0, 128);
    memset(v->xsave + v->native->avx_at, 0, 128);
    if (v->simd_mask & 0x40)
        memset(v->xsave + v->native->zmm_at, 0, 256);
    return CPU_OK;
}

static enum cpu_status check_usable(struct vcpu *v, bool xsave)
{
    if (xsave && !(v->cr4 & CR4_OSXSAVE))
        return raise_ud(v);
    if (!xsave && v->cr0 & CR0_EM)
        return cpu_raise(v, EXC_NM);
    return v->cr0 & CR0_TS ? cpu_raise(v, EXC_NM) : CPU_OK;
}

/* A limit counts before the alignment does. */
static enum cpu_status check_alignment(struct vcpu *v, const struct insn *i, uint64_t offset, unsigned align)
{
    gva_t linear;

    TRY(operand_linear(v, i->segment, offset, 1, false, &linear));
    if (!(linear & (align - 1)))
        return CPU_OK;
    /* not canonical in the stack segment: processors tell of that first */
    return cpu_raise_error(v, i->segment == SEG_SS && !cpu_is_canonical(linear) ? EXC_SS : EXC_GP, 0);
}

static enum cpu_status fxsave(struct vcpu *v, struct insn *i, bool restore)
{
    uint64_t offset = effective_address(v, i);

    if (!(v->model->f1_edx & F1_FXSR))
        return raise_ud(v);
    TRY(check_usable(v, false));
    TRY(check_alignment(v, i, offset, 16));
    if (!native_state(v))
        return raise_ud(v);
    if (!restore)
        TRY(check_area(v, i, offset, 512));
    TRY(read_area(v, i, offset, 0, 512));
    if (restore)
        return run_save(v, i, FXRSTOR, 0);
    TRY(run_save(v, i, FXSAVE, 0));
    return write_area(v, i, offset, 512);
}

static unsigned measure_area(struct vcpu *v, uint64_t mask, bool compact)
{
    uint32_t out[4];
    unsigned end = HEADER + 64;

    for (unsigned n = 2; n < 63; n++) {
        if (!(mask >> n & 1))
            continue;
        cpu_cpuid(v, 0xd, n, out);
        if (compact)
            end = (out[2] & 2 ? (end + 63) & ~63u : end) + out[0];
        else if (out[1] + out[0] > end)
            end = out[1] + out[0];
    }
    return end < NATIVE_BOUNCE ? end : NATIVE_BOUNCE;
}

/* Bytes of the area that components of `mask` may reach. */
static unsigned area_size(struct vcpu *v, uint64_t mask, bool compact)
{
    struct cpu_native *n = native_state(v);

    if (!n)
        return measure_area(v, mask, compact);
    if (!n->area_size[compact] || n->area_mask[compact] != mask) {
        n->area_mask[compact] = mask;
        n->area_size[compact] = measure_area(v, mask, compact);
    }
    return n->area_size[compact];
}

static uint64_t requested(const struct vcpu *v)
{
    return ((v->gpr[RDX] << 32) | (uint32_t)v->gpr[RAX]) & v->xcr0;
}

static enum cpu_status xsave(struct vcpu *v, struct insn *i, enum save_kind kind)
{
    uint64_t offset = effective_address(v, i), mask = requested(v);
    unsigned size = area_size(v, mask, kind == XSAVEC);

    TRY(check_usable(v, true));
    TRY(check_alignment(v, i, offset, 64));
    if (!native_state(v))
        return raise_ud(v);
    TRY(check_area(v, i, offset, size));
    TRY(read_area(v, i, offset, 0, size));
    TRY(run_save(v, i, kind, mask));
    return write_area(v, i, offset, size);
}

/* What the host would accept because it has more components than the guest may know of. */
static bool header_valid(const struct vcpu *v, const uint8_t *image)
{
    uint64_t bv = get64(image + HEADER), compact = get64(image + HEADER + 8);

    if (bv & ~v->xcr0)
        return false;
    if (!(compact & XCOMP_COMPACT))
        return compact == 0;
    return v->model->fd_1_eax & FD_XSAVEC && !(compact & ~XCOMP_COMPACT & ~v->xcr0) && !(bv & ~compact);
}

static enum cpu_status xrstor(struct vcpu *v, struct insn *i)
{
    uint64_t offset = effective_address(v, i), mask = requested(v), compact;
    unsigned size;

    TRY(check_usable(v, true));
    TRY(check_alignment(v, i, offset, 64));
    if (!native_state(v))
        return raise_ud(v);
    TRY(read_area(v, i, offset, 0, HEADER + 64));
    if (!header_valid(v, v->native->bounce))
        return raise_gp(v);
    compact = get64(v->native->bounce + HEADER + 8);
    size = compact ? area_size(v, compact & ~XCOMP_COMPACT, true)
                   : area_size(v, mask & get64(v->native->bounce + HEADER), false);
    TRY(read_area(v, i, offset, HEADER + 64, size));
    return run_save(v, i, XRSTOR, mask);
}

/* LDMXCSR, STMXCSR work on the image: XRSTOR takes MXCSR from there whatever XSTATE_BV says. */
static enum cpu_status mxcsr(struct vcpu *v, struct insn *i, bool store)
{
    uint64_t value, mask = 0;

    if (i->vex ? !(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & 6) != 6 : v->cr0 & CR0_EM || !(v->cr4 & CR4_OSFXSR))
        return raise_ud(v);
    if (v->cr0 & CR0_TS)
        return cpu_raise(v, EXC_NM);
    if (store) {
        memcpy(&mask, v->xsave + 24, 4);
        return rm_write(v, i, 4, mask);
    }
    TRY(rm_read(v, i, 4, &value));
    memcpy(&mask, v->xsave + 28, 4);
    if (value & ~(mask ? mask : 0xffff))
        return raise_gp(v);
    memcpy(v->xsave + 24, &value, 4);
    return CPU_OK;
}

/* CLFLUSH, CLFLUSHOPT, CLWB: only the faults of a load, and execute-only segments are allowed. */
static enum cpu_status flush_line(struct vcpu *v, struct insn *i)
{
    const struct segment *s = &v->seg[i->segment];
    uint64_t value, offset = effective_address(v, i);

    if (!insn_code64(v) && s->attributes & SEGATTR_P && s->attributes & 8)
        return offset > s->limit ? raise_gp(v) : cpu_read(v, (uint32_t)(s->base + offset), &value, 1);
    return mem_read(v, i->segment, offset, 1, &value);
}

static enum cpu_status segment_base(struct vcpu *v, struct insn *i, unsigned sub)
{
    struct segment *s = &v->seg[sub & 1 ? SEG_GS : SEG_FS];
    unsigned size = i->opsize == 8 ? 8 : 4;

    if (!(v->mode & MODE_FSGSBASE) || !insn_code64(v))
        return raise_ud(v);
    if (sub < 2) {
        set_gpr(v, i->rm, size, s->base);
        return CPU_OK;
    }
    if (!cpu_is_canonical(get_gpr(v, i->rm, size)))
        return raise_gp(v);
    s->base = get_gpr(v, i->rm, size);
    return CPU_OK;
}

static enum cpu_status group15_memory(struct vcpu *v, struct insn *i, unsigned sub)
{
    const struct cpu_model *m = v->model;
    bool has_xsave = m->f1_ecx & F1_XSAVE;

    if (sub == 7 && !i->rep) {
        bool known = i->opsize_prefix ? m->f7_ebx >> 23 & 1 : m->f1_edx >> 19 & 1;

        return known ? flush_line(v, i) : raise_ud(v);
    }
    if (sub == 6 && i->opsize_prefix && !i->rep)
        return m->f7_ebx >> 24 & 1 ? flush_line(v, i) : raise_ud(v);
    if (i->opsize_prefix || i->rep)
        return raise_ud(v);
    if (v->simd_live && (!insn_code64(v) || (sub & 6) == 2))
        return CPU_NEED_FULL;
    switch (sub) {
    case 0:
    case 1:
        return fxsave(v, i, sub);
    case 2:
    case 3:
        return mxcsr(v, i, sub == 3);
    case 4:
        return has_xsave ? xsave(v, i, XSAVE) : raise_ud(v);
    case 5:
        return has_xsave ? xrstor(v, i) : raise_ud(v);
    default:
        return has_xsave && m->fd_1_eax & FD_XSAVEOPT ? xsave(v, i, XSAVEOPT) : raise_ud(v);
    }
}

enum cpu_status interp_group15(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;

    if (i->vex) {
        if (i->mod == 3 || (sub & 6) != 2 || i->pp || i->vl || i->vvvv || !(v->model->f1_ecx >> 28 & 1))
            return raise_ud(v);
        return v->simd_live ? CPU_NEED_FULL : mxcsr(v, i, sub == 3);
    }
    if (i->opcode == 0xc7) {
        if (!(v->model->f1_ecx & F1_XSAVE) || !(v->model->fd_1_eax & FD_XSAVEC) || i->opsize_prefix || i->rep)
            return raise_ud(v);
        return v->simd_live && !insn_code64(v) ? CPU_NEED_FULL : xsave(v, i, XSAVEC);
    }
    if (i->mod != 3)
        return group15_memory(v, i, sub);
    if (i->rep == 0xf3 && sub < 4)
        return segment_base(v, i, sub);
    return sub > 4 && !i->rep && !i->opsize_prefix ? CPU_OK : raise_ud(v); /* fences */
}
