/*
 * native_masked.c - vector registers in the XSAVE image, and what is done element by element: masked transfers,
 * gathers, scatters, MASKMOVQ and MASKMOVDQU.
 *
 * Interface: native_internal.h. Invariants: works on vcpu->xsave (simd_live is false); a component that XSTATE_BV
 * calls initial reads as zero, and is cleared before a part of it is written.
 */
#include "cpu/native_internal.h"

#define XMM_AT 160u
#define MMX_AT 32u

static uint64_t components(const struct vcpu *v)
{
    uint64_t bv;

    __builtin_memcpy(&bv, v->xsave + 512, 8);
    return bv;
}

/* Makes the component's bytes in the image valid. */
static void use_component(struct vcpu *v, unsigned bit, unsigned at, unsigned size)
{
    uint64_t bv = components(v);

    if (bv >> bit & 1)
        return;
    memset(v->xsave + at, 0, size);
    bv |= 1ull << bit;
    __builtin_memcpy(v->xsave + 512, &bv, 8);
}

static void use_vectors(struct vcpu *v)
{
    const struct cpu_native *n = v->native;

    use_component(v, 1, XMM_AT, 256);
    if (v->simd_mask & 4)
        use_component(v, 2, n->avx_at, 256);
    if (v->simd_mask & 0x80) {
        use_component(v, 6, n->zmm_at, 512);
        use_component(v, 7, n->hi16_at, 1024);
    }
}

void native_get_vector(struct vcpu *v, unsigned n, uint8_t out[64])
{
    const struct cpu_native *s = v->native;

    memset(out, 0, 64);
    use_vectors(v);
    if (n >= 16) {
        memcpy(out, v->xsave + s->hi16_at + 64 * (n - 16), 64);
        return;
    }
    memcpy(out, v->xsave + XMM_AT + 16 * n, 16);
    if (v->simd_mask & 4)
        memcpy(out + 16, v->xsave + s->avx_at + 16 * n, 16);
    if (v->simd_mask & 0x80)
        memcpy(out + 32, v->xsave + s->zmm_at + 32 * n, 32);
}

static void set_vector(struct vcpu *v, unsigned n, const uint8_t in[64])
{
    const struct cpu_native *s = v->native;

    use_vectors(v);
    if (n >= 16) {
        memcpy(v->xsave + s->hi16_at + 64 * (n - 16), in, 64);
        return;
    }
    memcpy(v->xsave + XMM_AT + 16 * n, in, 16);
    if (v->simd_mask & 4)
        memcpy(v->xsave + s->avx_at + 16 * n, in + 16, 16);
    if (v->simd_mask & 0x80)
        memcpy(v->xsave + s->zmm_at + 32 * n, in + 32, 32);
}

uint64_t native_get_mask(struct vcpu *v, unsigned k)
{
    uint64_t mask = 0;

    if (components(v) >> 5 & 1)
        memcpy(&mask, v->xsave + v->native->opmask_at + 8 * k, 8);
    return mask;
}

static void set_mask(struct vcpu *v, unsigned k, uint64_t mask)
{
    use_component(v, 5, v->native->opmask_at, 64);
    memcpy(v->xsave + v->native->opmask_at + 8 * k, &mask, 8);
}

uint64_t native_sign_mask(struct vcpu *v, unsigned n, unsigned size)
{
    uint8_t vector[64];
    uint64_t mask = 0;

    native_get_vector(v, n, vector);
    for (unsigned e = 0; e < 64 / size; e++)
        mask |= (uint64_t)(vector[e * size + size - 1] >> 7) << e;
    return mask;
}

enum cpu_status native_read_masked(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size, unsigned count,
                                   uint64_t mask)
{
    memset(v->native->operand, 0, 64);
    for (unsigned e = 0; e < count; e++)
        if (mask >> e & 1)
            TRY(mem_read_bytes(v, i->segment, offset + e * size, size, v->native->operand + e * size));
    return CPU_OK;
}

enum cpu_status native_write_masked(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size, unsigned count,
                                    uint64_t mask)
{
    for (unsigned e = 0; e < count; e++)
        if (mask >> e & 1)
            TRY(mem_write_bytes(v, i->segment, offset + e * size, size, v->native->operand + e * size));
    return CPU_OK;
}

/* --- gathers and scatters (SDM vol. 2, VGATHERDPS and others) --- */

struct vsib {
    unsigned data, index; /* sizes of elements */
    unsigned count, vector;
    unsigned target, index_reg;
    uint8_t indices[64], values[64];
};

static void vsib_begin(struct vcpu *v, const struct insn *i, struct vsib *s)
{
    s->data = i->rex & REX_W ? 8 : 4;
    s->index = i->opcode & 1 ? 8 : 4;
    s->vector = 16u << i->vl;
    s->count = s->vector / (s->data > s->index ? s->data : s->index);
    s->target = i->reg;
    s->index_reg = (i->sib >> 3 & 7u) | (i->rex & REX_X ? 8u : 0u);
    if (i->vex == 4) {
        s->target |= i->evex[0] & 0x10 ? 0 : 16;
        s->index_reg |= i->evex[2] & 8 ? 0 : 16;
    }
    native_get_vector(v, s->index_reg, s->indices);
    native_get_vector(v, s->target, s->values);
}

static uint64_t vsib_address(const struct vcpu *v, struct insn *i, const struct vsib *s, unsigned e)
{
    struct insn base = *i;
    int32_t narrow;
    int64_t index;
    uint64_t offset;

    base.index = REG_NONE;
    if (s->index == 4) {
        memcpy(&narrow, s->indices + 4 * e, 4);
        index = narrow;
    } else {
        memcpy(&index, s->indices + 8 * e, 8);
    }
    if (i->vex == 4 && i->mod == 1)
        base.disp *= s->data;
    base.disp += (int64_t)((uint64_t)index << i->scale);
    offset = effective_address(v, &base);
    return offset;
}

/* The mask as bits; and where it goes back. */
static uint64_t gather_mask(struct vcpu *v, const struct insn *i, const struct vsib *s)
{
    uint64_t mask = i->vex == 4 ? native_get_mask(v, i->evex[2] & 7) : native_sign_mask(v, i->vvvv, s->data);

    return mask & ~0ull >> (64 - s->count);
}

static void put_gather_mask(struct vcpu *v, const struct insn *i, const struct vsib *s, uint64_t mask)
{
    uint8_t vector[64] = {0};

    if (i->vex == 4) {
        set_mask(v, i->evex[2] & 7, mask);
        return;
    }
    for (unsigned e = 0; e < s->count; e++)
        if (mask >> e & 1)
            memset(vector + e * s->data, 0xff, s->data);
    set_vector(v, i->vvvv, vector);
}

static bool vsib_valid(const struct insn *i, const struct vsib *s)
{
    if (i->mod == 3 || (i->modrm & 7) != 4 || i->addrsize == 2)
        return false;
    if (i->vex == 4)
        return i->evex[2] & 7 && i->vl < 3 && !(i->evex[2] & 0x90) && (i->vvvv & 15) == 0 &&
               (s->target != s->index_reg || i->opcode >= 0xa0);
    return s->target != s->index_reg && s->target != i->vvvv && s->index_reg != i->vvvv;
}

/* A fault in the middle leaves the elements done in the destination and their mask bits clear. */
enum cpu_status native_gather(struct vcpu *v, struct insn *i)
{
    enum cpu_status status = CPU_OK;
    unsigned e, width;
    struct vsib s;
    uint64_t mask;

    vsib_begin(v, i, &s);
    if (!vsib_valid(i, &s))
        return raise_ud(v);
    mask = gather_mask(v, i, &s);
    for (e = 0; e < s.count && status == CPU_OK; e++) {
        if (!(mask >> e & 1))
            continue;
        status = mem_read_bytes(v, i->segment, vsib_address(v, i, &s, e), s.data, s.values + e * s.data);
        if (status == CPU_OK)
            mask &= ~(1ull << e);
    }
    if (status == CPU_NEED_FULL)
        return status;
    if (status == CPU_OK) {
        width = s.count * s.data;
        memset(s.values + width, 0, 64 - width);
    }
    set_vector(v, s.target, s.values);
    put_gather_mask(v, i, &s, mask);
    return status;
}

enum cpu_status native_scatter(struct vcpu *v, struct insn *i)
{
    enum cpu_status status = CPU_OK;
    struct vsib s;
    uint64_t mask;

    vsib_begin(v, i, &s);
    if (!vsib_valid(i, &s))
        return raise_ud(v);
    mask = gather_mask(v, i, &s);
    for (unsigned e = 0; e < s.count && status == CPU_OK; e++) {
        if (!(mask >> e & 1))
            continue;
        status = mem_write_bytes(v, i->segment, vsib_address(v, i, &s, e), s.data, s.values + e * s.data);
        if (status == CPU_OK)
            mask &= ~(1ull << e);
    }
    put_gather_mask(v, i, &s, mask);
    return status;
}

/* --- MASKMOVQ, MASKMOVDQU: bytes to DS:rDI --- */

/* Any MMX instruction marks the x87 registers as in use and sets TOP to 0: MOVQ [RBX], MM0 does. */
static enum cpu_status enter_mmx(struct vcpu *v)
{
    static const uint8_t movq[] = {0x0f, 0x7f, 0x03};
    struct native_frame f = {0};

    v->native->operand = v->native->bounce;
    return native_run(v, movq, sizeof movq, &f, true);
}

/* The image holds ST0 first, MMX registers are the physical ones. */
static void get_mmx(const struct vcpu *v, unsigned n, uint8_t out[8])
{
    unsigned top = components(v) & 1 ? v->xsave[3] >> 3 & 7 : 0;

    memcpy(out, v->xsave + MMX_AT + 16 * ((n - top) & 7), 8);
}

enum cpu_status native_maskmov(struct vcpu *v, struct insn *i)
{
    bool mmx = !i->opsize_prefix && !i->vex;
    unsigned count = mmx ? 8 : 16;
    uint64_t offset = v->gpr[RDI];
    uint8_t data[64], mask[64];

    if (i->mod != 3 || i->vl || (i->vex && i->vvvv))
        return raise_ud(v);
    if (i->addrsize < 8)
        offset &= size_mask(i->addrsize);
    if (mmx) {
        TRY(enter_mmx(v)); /* even if the store faults */
        get_mmx(v, i->modrm >> 3 & 7, data);
        get_mmx(v, i->modrm & 7, mask);
    } else {
        native_get_vector(v, i->reg, data);
        native_get_vector(v, i->rm, mask);
    }
    /* all of it, whatever the mask: what processors do and the SDM allows */
    TRY(mem_check_write(v, i->segment, offset, count));
    for (unsigned n = 0; n < count; n++)
        if (mask[n] & 0x80)
            TRY(mem_write_bytes(v, i->segment, offset + n, 1, &data[n]));
    return CPU_OK;
}
