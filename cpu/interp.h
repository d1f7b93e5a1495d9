/*
 * interp.h - shared by the interpreter's files: operands of a decoded instruction. Private to cpu/.
 *
 * A handler executes one decoded instruction and returns CPU_OK with i->next as the new RIP, or leaves no trace.
 */
#ifndef NOVT_CPU_INTERP_H
#define NOVT_CPU_INTERP_H

#include <string.h>

#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/decode.h"
#include "cpu/host.h"
#include "cpu/system.h"

#define TRY(expression)                                                                                           \
    do {                                                                                                          \
        enum cpu_status try_status = (expression);                                                                \
        if (__builtin_expect(try_status != CPU_OK, 0))                                                            \
            return try_status;                                                                                    \
    } while (0)

typedef enum cpu_status interp_handler(struct vcpu *v, struct insn *i);

/* By map; NULL entries are tried by native_execute, which gives #UD for what it does not know. */
extern interp_handler *const interp_one_byte[256];
extern interp_handler *const interp_two_byte[256];
interp_handler interp_0f38, interp_vex;
/* Frees the decoded instructions; vcpu_destroy calls it. */
void interp_destroy(struct vcpu *v);

/* --- operands.c --- */

static inline bool insn_code64(const struct vcpu *v)
{
    return (v->mode & MODE_CODE_MASK) == MODE_CODE64;
}

static inline unsigned size_index(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

static inline uint64_t size_mask(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

static inline uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;

    return (uint64_t)((int64_t)(value << shift) >> shift);
}

static inline uint64_t get_gpr(const struct vcpu *v, unsigned n, unsigned size)
{
    return v->gpr[n] & size_mask(size);
}

/* 32-bit results are zero-extended, smaller ones merged (SDM vol. 1, 3.4.1.1). */
static inline void set_gpr(struct vcpu *v, unsigned n, unsigned size, uint64_t value)
{
    if (size == 4)
        v->gpr[n] = (uint32_t)value;
    else if (size == 8)
        v->gpr[n] = value;
    else if (size == 2)
        v->gpr[n] = (v->gpr[n] & ~0xffffull) | (uint16_t)value;
    else
        v->gpr[n] = (v->gpr[n] & ~0xffull) | (uint8_t)value;
}

/* AH, CH, DH, BH without REX. */
static inline bool is_high_byte(const struct insn *i, unsigned n, unsigned size)
{
    return size == 1 && n >= 4 && n < 8 && !i->rex;
}

static inline uint64_t get_reg(const struct vcpu *v, const struct insn *i, unsigned n, unsigned size)
{
    return is_high_byte(i, n, size) ? v->gpr[n - 4] >> 8 & 0xff : get_gpr(v, n, size);
}

static inline void set_reg(struct vcpu *v, const struct insn *i, unsigned n, unsigned size, uint64_t value)
{
    if (is_high_byte(i, n, size))
        v->gpr[n - 4] = (v->gpr[n - 4] & ~0xff00ull) | (value & 0xff) << 8;
    else
        set_gpr(v, n, size, value);
}

/* Offset of the memory operand in its segment. */
static inline uint64_t effective_address(const struct vcpu *v, const struct insn *i)
{
    uint64_t offset = (uint64_t)i->disp;

    if (i->base < 16)
        offset += v->gpr[i->base];
    else if (i->base == BASE_RIP)
        offset += i->next;
    if (i->index != REG_NONE)
        offset += v->gpr[i->index] << i->scale;
    return i->addrsize == 8 ? offset : offset & size_mask(i->addrsize);
}

/* Limit, type and alignment checks, data breakpoints: all that plain 64-bit code does not need. */
enum cpu_status operand_check(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, bool write,
                              gva_t *linear);

static inline enum cpu_status operand_linear(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
                                             bool write, gva_t *linear)
{
    if (__builtin_expect(!insn_code64(v) || v->rflags & FLAG_AC || v->mode & MODE_SINGLE, 0))
        return operand_check(v, seg, offset, size, write, linear);
    *linear = offset + (seg >= SEG_FS ? v->seg[seg].base : 0);
    return CPU_OK;
}

/* #GP(0) of a non-canonical address is #SS(0) through SS. */
static inline enum cpu_status through_segment(struct vcpu *v, unsigned seg, enum cpu_status status)
{
    if (status == CPU_FAULT && seg == SEG_SS && v->fault.vector == EXC_GP)
        v->fault.vector = EXC_SS;
    return status;
}

enum cpu_status mem_read_slow(struct vcpu *v, unsigned seg, gva_t linear, unsigned size, uint64_t *value);

RAM_UNALIGNED /* size 1, 2, 4 or 8 */
    static inline enum cpu_status
    mem_read(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, uint64_t *value)
{
    const uint8_t *host;
    gva_t linear;

    TRY(operand_linear(v, seg, offset, size, false, &linear));
    host = mmu_hit(&v->mmu, v->data_context, linear, size, false);
    if (__builtin_expect(!host, 0))
        return mem_read_slow(v, seg, linear, size, value);
    *value = host_load(host, size);
    return CPU_OK;
}

static inline enum cpu_status mem_write(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
                                        uint64_t value)
{
    gva_t linear;

    TRY(operand_linear(v, seg, offset, size, true, &linear));
    return through_segment(v, seg, cpu_write(v, linear, &value, size));
}

/* Bytes of any number up to 64, and the check before a write. */
enum cpu_status mem_read_bytes(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, void *to);
enum cpu_status mem_write_bytes(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, const void *from);
enum cpu_status mem_check_write(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size);

/* The ModRM.rm operand. */
static inline enum cpu_status rm_read(struct vcpu *v, const struct insn *i, unsigned size, uint64_t *value)
{
    if (i->mod == 3) {
        *value = get_reg(v, i, i->rm, size);
        return CPU_OK;
    }
    return mem_read(v, i->segment, effective_address(v, i), size, value);
}

static inline enum cpu_status rm_write(struct vcpu *v, const struct insn *i, unsigned size, uint64_t value)
{
    if (i->mod == 3) {
        set_reg(v, i, i->rm, size, value);
        return CPU_OK;
    }
    return mem_write(v, i->segment, effective_address(v, i), size, value);
}

/*
 * Read-modify-write of an operand of up to 8 bytes: open, compute from old, close; close returns false when
 * another CPU was faster (LOCK), then compute again from the new old.
 */
struct rmw {
    uint64_t old;
    uint8_t *host; /* RAM in one page; else NULL */
    gva_t linear;
    uint8_t reg, size;
    bool is_reg, lock;
};
enum cpu_status rmw_open_memory(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size, bool lock,
                                struct rmw *r);
bool rmw_close_memory(struct vcpu *v, struct rmw *r, uint64_t value);

static inline enum cpu_status rmw_open(struct vcpu *v, const struct insn *i, unsigned size, struct rmw *r)
{
    if (i->mod == 3) {
        r->is_reg = true;
        r->old = get_reg(v, i, i->rm, size);
        r->size = (uint8_t)size;
        return CPU_OK;
    }
    return rmw_open_memory(v, i->segment, effective_address(v, i), size, i->lock, r);
}

static inline bool rmw_close(struct vcpu *v, const struct insn *i, struct rmw *r, uint64_t value)
{
    if (r->is_reg) {
        set_reg(v, i, i->rm, r->size, value);
        return true;
    }
    return rmw_close_memory(v, r, value);
}

/* --- stack --- */

/* Bytes of a push or pop without an operand-size prefix: 8 in 64-bit mode. */
static inline unsigned push_size(const struct vcpu *v, const struct insn *i)
{
    return insn_code64(v) ? (i->opsize == 2 ? 2 : 8) : i->opsize;
}

static inline uint64_t sp_mask(const struct vcpu *v)
{
    return insn_code64(v) ? ~0ull : v->mode & MODE_SS32 ? 0xffffffffull : 0xffffull;
}

static inline void set_stack_pointer(struct vcpu *v, uint64_t value)
{
    uint64_t mask = sp_mask(v);

    v->gpr[RSP] = mask == 0xffff ? (v->gpr[RSP] & ~mask) | (value & mask) : value & mask;
}

static inline enum cpu_status push_value(struct vcpu *v, unsigned size, uint64_t value)
{
    uint64_t sp = (v->gpr[RSP] - size) & sp_mask(v);

    TRY(mem_write(v, SEG_SS, sp, size, value));
    set_stack_pointer(v, sp);
    return CPU_OK;
}

/* Reads the top without moving the stack pointer. */
static inline enum cpu_status pop_top(struct vcpu *v, unsigned size, uint64_t *value)
{
    return mem_read(v, SEG_SS, v->gpr[RSP] & sp_mask(v), size, value);
}

static inline void pop_release(struct vcpu *v, uint64_t bytes)
{
    set_stack_pointer(v, v->gpr[RSP] + bytes);
}

/* Near transfer target: masks to the operand size, checks canonicality or the CS limit. */
enum cpu_status near_target(struct vcpu *v, struct insn *i, uint64_t target);

static inline enum cpu_status raise_ud(struct vcpu *v)
{
    return cpu_raise(v, EXC_UD);
}

static inline enum cpu_status raise_gp(struct vcpu *v)
{
    return cpu_raise_error(v, EXC_GP, 0);
}

#endif
