/*
 * emit.h - appends host instructions to a code buffer.
 *
 * Writes that do not fit set the sticky `failed` flag, checked once when the block is done. Registers are host
 * register numbers (0-15); only 64-bit host code is made. Operand sizes: `wide` selects REX.W.
 */
#ifndef NOVT_TRANSLATOR_EMIT_H
#define NOVT_TRANSLATOR_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    H_RAX,
    H_RCX,
    H_RDX,
    H_RBX,
    H_RSP,
    H_RBP,
    H_RSI,
    H_RDI,
    H_R8,
    H_R9,
    H_R10,
    H_R11,
    H_R12,
    H_R13,
    H_R14,
    H_R15
};
#define H_NONE (-1)

/* One-byte opcodes of the form "op r, r/m" (SDM vol. 2, appendix A). */
enum {
    OP_ADD = 0x03,
    OP_OR = 0x0b,
    OP_AND = 0x23,
    OP_SUB = 0x2b,
    OP_XOR = 0x33,
    OP_CMP = 0x3b,
    OP_LOAD = 0x8b,
    OP_STORE = 0x89,
    OP_LOAD_SIGNED = 0x63, /* of 32 bits, to 64 */
    OP_LEA = 0x8d
};
/* Condition codes */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

#define EMIT_SITES 1024u
/* Where displacements of 32 bits lie, from the instruction pointer to other code (writable view). */
struct emit_sites {
    unsigned count; /* more than EMIT_SITES: not all are here */
    uint8_t *at[EMIT_SITES];
};

struct emitter {
    uint8_t *start, *at, *end; /* through the writable view */
    struct emit_sites *sites;  /* or NULL */
    ptrdiff_t execute_delta;   /* executable view - writable view */
    bool failed;
};

static inline void emit8(struct emitter *e, unsigned byte)
{
    if (e->at >= e->end)
        e->failed = true;
    else
        *e->at++ = (uint8_t)byte;
}

static inline void emit_bytes(struct emitter *e, const void *bytes, size_t n)
{
    if ((size_t)(e->end - e->at) < n) {
        e->failed = true;
        return;
    }
    memcpy(e->at, bytes, n);
    e->at += n;
}

static inline void emit32(struct emitter *e, uint32_t value)
{
    emit_bytes(e, &value, 4);
}

static inline void emit64(struct emitter *e, uint64_t value)
{
    emit_bytes(e, &value, 8);
}

/* Address of the next byte in the executable view. */
static inline uint8_t *emit_here(const struct emitter *e)
{
    return e->at + e->execute_delta;
}

static inline void emit_rex(struct emitter *e, bool wide, int reg, int index, int base)
{
    unsigned rex = 0x40u | (wide ? 8u : 0) | (reg > 7 ? 4u : 0) | (index > 7 ? 2u : 0) | (base > 7 ? 1u : 0);

    if (rex != 0x40)
        emit8(e, rex);
}

/* ModRM, SIB and displacement of [base + index * scale + disp]; base or index may be H_NONE. */
void emit_address(struct emitter *e, int reg, int base, int index, unsigned scale, int32_t disp);

/* The same with a displacement of 32 bits or none: where 8 bits would be scaled (EVEX). */
void emit_address_long(struct emitter *e, int reg, int base, int index, unsigned scale, int32_t disp);

static inline void emit_op_mem(struct emitter *e, bool wide, unsigned opcode, int reg, int base, int index,
                               unsigned scale, int32_t disp)
{
    emit_rex(e, wide, reg, index == H_NONE ? 0 : index, base == H_NONE ? 0 : base);
    emit8(e, opcode);
    emit_address(e, reg, base, index, scale, disp);
}

/* op reg, gs:[base + disp]; base may be H_NONE. The vCPU ends at the GS base. */
static inline void emit_op_vcpu(struct emitter *e, bool wide, unsigned opcode, int reg, int base, int32_t disp)
{
    emit8(e, 0x65);
    emit_op_mem(e, wide, opcode, reg, base, H_NONE, 1, disp);
}

static inline void emit_op_reg(struct emitter *e, bool wide, unsigned opcode, int reg, int rm)
{
    emit_rex(e, wide, reg, 0, rm);
    emit8(e, opcode);
    emit8(e, 0xc0u | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

static inline void emit_mov(struct emitter *e, int to, int from)
{
    if (to != from)
        emit_op_reg(e, true, OP_LOAD, to, from);
}

/* The shortest of mov r32,imm32, mov r64,simm32 and mov r64,imm64. */
void emit_mov_imm(struct emitter *e, int reg, uint64_t value);
/* op r, imm32: extension is the ModRM.reg digit of opcode 0x81 (0 add, 4 and, 5 sub, 7 cmp). */
void emit_op_imm(struct emitter *e, bool wide, unsigned extension, int reg, int32_t value);
/* Logical shifts by an immediate: extension 4 shl, 5 shr, 7 sar. */
void emit_shift(struct emitter *e, bool wide, unsigned extension, int reg, unsigned count);
void emit_jmp(struct emitter *e, const uint8_t *target); /* target in the executable view */
void emit_call(struct emitter *e, const uint8_t *target);

/* So many bytes of NOPs, as few as possible. */
void emit_nops(struct emitter *e, unsigned bytes);

/* Forward jumps: return where the 32-bit displacement lies, for emit_bind. */
uint8_t *emit_jcc_forward(struct emitter *e, unsigned cc);
uint8_t *emit_jmp_forward(struct emitter *e);
/* Makes the forward jump end here. NULL is ignored. */
void emit_bind(struct emitter *e, uint8_t *displacement);
/* Aims a 32-bit displacement (writable view) at a target (executable view). */
void emit_bind_to(struct emitter *e, uint8_t *displacement, const uint8_t *target);
void emit_jcc(struct emitter *e, unsigned cc, const uint8_t *target);

#endif
