/*
 * interp_integer.c - moves, arithmetic, logic, shifts, multiplication and division: opcodes 00-FF.
 *
 * Interface: the handlers in the table at the end (interp.h). Invariants: as there.
 */
#include "cpu/alu.h"
#include "cpu/interp_tables.h"

static inline unsigned byte_or_word(const struct insn *i)
{
    return i->opcode & 1 ? i->opsize : 1;
}

/* op Eb,Gb and op Ev,Gv */
enum cpu_status interp_alu_rm_reg(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i), op = i->opcode >> 3;
    alu_binary *alu = alu_arith[op][size_index(size)];
    uint64_t b = get_reg(v, i, i->reg, size), a, flags;
    struct rmw r;

    if (op == ALU_CMP) {
        TRY(rm_read(v, i, size, &a));
        alu(a, b, &v->rflags);
        return CPU_OK;
    }
    TRY(rmw_open(v, i, size, &r));
    do {
        flags = v->rflags;
        a = alu(r.old, b, &flags);
    } while (!rmw_close(v, i, &r, a));
    v->rflags = flags;
    return CPU_OK;
}

/* op Gb,Eb and op Gv,Ev */
enum cpu_status interp_alu_reg_rm(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i), op = i->opcode >> 3;
    uint64_t a = get_reg(v, i, i->reg, size), b;

    TRY(rm_read(v, i, size, &b));
    a = alu_arith[op][size_index(size)](a, b, &v->rflags);
    if (op != ALU_CMP)
        set_reg(v, i, i->reg, size, a);
    return CPU_OK;
}

/* op AL,Ib and op eAX,Iz */
enum cpu_status interp_alu_acc(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i), op = i->opcode >> 3;
    uint64_t a = get_gpr(v, RAX, size);

    a = alu_arith[op][size_index(size)](a, i->imm, &v->rflags);
    if (op != ALU_CMP)
        set_gpr(v, RAX, size, a);
    return CPU_OK;
}

/* 80-83: op Eb,Ib; op Ev,Iz; op Ev,Ib */
static enum cpu_status group1(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i), op = i->modrm >> 3 & 7;
    alu_binary *alu = alu_arith[op][size_index(size)];
    uint64_t a, flags;
    struct rmw r;

    if (i->opcode == 0x82 && insn_code64(v))
        return raise_ud(v);
    if (op == ALU_CMP) {
        TRY(rm_read(v, i, size, &a));
        alu(a, i->imm, &v->rflags);
        return CPU_OK;
    }
    TRY(rmw_open(v, i, size, &r));
    do {
        flags = v->rflags;
        a = alu(r.old, i->imm, &flags);
    } while (!rmw_close(v, i, &r, a));
    v->rflags = flags;
    return CPU_OK;
}

static enum cpu_status test_rm_reg(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);
    uint64_t a;

    TRY(rm_read(v, i, size, &a));
    alu_test[size_index(size)](a, get_reg(v, i, i->reg, size), &v->rflags);
    return CPU_OK;
}

static enum cpu_status test_acc(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);

    alu_test[size_index(size)](get_gpr(v, RAX, size), i->imm, &v->rflags);
    return CPU_OK;
}

static enum cpu_status one_operand(struct vcpu *v, struct insn *i, unsigned op, unsigned size)
{
    uint64_t a, flags;
    struct rmw r;

    TRY(rmw_open(v, i, size, &r));
    do {
        flags = v->rflags;
        a = alu_one[op][size_index(size)](r.old, &flags);
    } while (!rmw_close(v, i, &r, a));
    v->rflags = flags;
    return CPU_OK;
}

/* 40-4F outside of 64-bit mode */
static enum cpu_status inc_dec_short(struct vcpu *v, struct insn *i)
{
    unsigned n = i->opcode & 7, op = i->opcode & 8 ? ALU_DEC : ALU_INC;

    set_gpr(v, n, i->opsize, alu_one[op][size_index(i->opsize)](get_gpr(v, n, i->opsize), &v->rflags));
    return CPU_OK;
}

static enum cpu_status not_rm(struct vcpu *v, struct insn *i, unsigned size)
{
    struct rmw r;

    TRY(rmw_open(v, i, size, &r));
    while (!rmw_close(v, i, &r, ~r.old))
        ;
    return CPU_OK;
}

static enum cpu_status multiply(struct vcpu *v, struct insn *i, unsigned size)
{
    uint64_t b, low = get_gpr(v, RAX, size), high = 0;

    TRY(rm_read(v, i, size, &b));
    alu_mul1[i->modrm >> 3 & 1][size_index(size)](&low, &high, b, &v->rflags);
    if (size == 1) {
        set_gpr(v, RAX, 2, low);
        return CPU_OK;
    }
    set_gpr(v, RAX, size, low);
    set_gpr(v, RDX, size, high);
    return CPU_OK;
}

/* Whether the quotient of high:low by b fits (size 8). */
static bool divides64(bool is_signed, uint64_t low, uint64_t high, uint64_t b)
{
    uint64_t q, r;
    bool negative = false;

    if (b == 0)
        return false;
    if (!is_signed)
        return high < b;
    if ((int64_t)high < 0) {
        negative = true;
        high = ~high + (low == 0);
        low = 0 - low;
    }
    if ((int64_t)b < 0) {
        negative = !negative;
        b = 0 - b;
    }
    if (high >= b)
        return false;
    __asm__("divq %[b]" : "=a"(q), "=d"(r) : "a"(low), "d"(high), [b] "r"(b) : "cc");
    return q <= 0x7fffffffffffffffull + negative;
}

static bool divides(bool is_signed, unsigned size, uint64_t low, uint64_t high, uint64_t b)
{
    int64_t dividend, divisor, quotient, limit;

    if (size == 8)
        return divides64(is_signed, low, high, b);
    if (b == 0)
        return false;
    dividend = (int64_t)(size == 1 ? low : low | high << (8 * size));
    if (!is_signed)
        return (uint64_t)dividend / b <= size_mask(size);
    dividend = (int64_t)sign_extend((uint64_t)dividend, 2 * size);
    divisor = (int64_t)sign_extend(b, size);
    limit = (int64_t)(size_mask(size) >> 1);
    if (divisor == -1)
        return dividend >= -limit && dividend <= limit + 1;
    quotient = dividend / divisor;
    return quotient >= -limit - 1 && quotient <= limit;
}

static enum cpu_status divide(struct vcpu *v, struct insn *i, unsigned size)
{
    uint64_t b, low = get_gpr(v, RAX, size == 1 ? 2 : size), high = get_gpr(v, RDX, size);
    bool is_signed = i->modrm >> 3 & 1;

    TRY(rm_read(v, i, size, &b));
    if (!divides(is_signed, size, low, high, b))
        return cpu_raise(v, EXC_DE);
    alu_div1[is_signed][size_index(size)](&low, &high, b, &v->rflags);
    if (size == 1) {
        set_gpr(v, RAX, 2, low);
        return CPU_OK;
    }
    set_gpr(v, RAX, size, low);
    set_gpr(v, RDX, size, high);
    return CPU_OK;
}

/* F6, F7 */
static enum cpu_status group3(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);
    uint64_t a;

    switch (i->modrm >> 3 & 7) {
    case 0:
    case 1:
        TRY(rm_read(v, i, size, &a));
        alu_test[size_index(size)](a, i->imm, &v->rflags);
        return CPU_OK;
    case 2:
        return not_rm(v, i, size);
    case 3:
        return one_operand(v, i, ALU_NEG, size);
    case 4:
    case 5:
        return multiply(v, i, size);
    default:
        return divide(v, i, size);
    }
}

static enum cpu_status inc_dec_byte(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;

    return sub < 2 ? one_operand(v, i, sub, 1) : raise_ud(v);
}

enum cpu_status interp_inc_dec(struct vcpu *v, struct insn *i)
{
    return one_operand(v, i, i->modrm >> 3 & 7, i->opsize);
}

static enum cpu_status shift(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);
    uint64_t count = i->opcode < 0xd0 ? i->imm & 0xff : i->opcode < 0xd2 ? 1 : v->gpr[RCX] & 0xff;
    uint64_t flags = v->rflags, a;
    struct rmw r;

    TRY(rmw_open(v, i, size, &r));
    a = alu_shift[i->modrm >> 3 & 7][size_index(size)](r.old, count, &flags);
    rmw_close(v, i, &r, a);
    v->rflags = flags;
    return CPU_OK;
}

static enum cpu_status imul3(struct vcpu *v, struct insn *i)
{
    uint64_t a;

    TRY(rm_read(v, i, i->opsize, &a));
    set_gpr(v, i->reg, i->opsize, alu_imul[size_index(i->opsize)](a, i->imm, &v->rflags));
    return CPU_OK;
}

static enum cpu_status mov_rm_reg(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);

    return rm_write(v, i, size, get_reg(v, i, i->reg, size));
}

static enum cpu_status mov_reg_rm(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);
    uint64_t value;

    TRY(rm_read(v, i, size, &value));
    set_reg(v, i, i->reg, size, value);
    return CPU_OK;
}

static enum cpu_status mov_rm_imm(struct vcpu *v, struct insn *i)
{
    if (i->modrm & 0x38)
        return raise_ud(v); /* XABORT and XBEGIN too: RTM is not offered */
    return rm_write(v, i, byte_or_word(i), i->imm);
}

static enum cpu_status mov_reg_imm(struct vcpu *v, struct insn *i)
{
    unsigned n = (i->opcode & 7u) | (i->rex & REX_B ? 8u : 0u);

    set_reg(v, i, n, i->opcode < 0xb8 ? 1 : i->opsize, i->imm);
    return CPU_OK;
}

static enum cpu_status mov_moffs(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);
    uint64_t value;

    if (i->opcode & 2)
        return mem_write(v, i->segment, i->imm, size, get_gpr(v, RAX, size));
    TRY(mem_read(v, i->segment, i->imm, size, &value));
    set_gpr(v, RAX, size, value);
    return CPU_OK;
}

static enum cpu_status lea(struct vcpu *v, struct insn *i)
{
    if (i->mod == 3)
        return raise_ud(v);
    set_gpr(v, i->reg, i->opsize, effective_address(v, i));
    return CPU_OK;
}

/* 63 in 64-bit mode */
static enum cpu_status movsxd(struct vcpu *v, struct insn *i)
{
    unsigned size = i->opsize == 2 ? 2 : 4;
    uint64_t value;

    if (!insn_code64(v))
        return interp_arpl(v, i);
    TRY(rm_read(v, i, size, &value));
    set_gpr(v, i->reg, i->opsize, sign_extend(value, size));
    return CPU_OK;
}

static enum cpu_status xchg_rm(struct vcpu *v, struct insn *i)
{
    unsigned size = byte_or_word(i);
    struct rmw r;
    uint64_t value = get_reg(v, i, i->reg, size);

    i->lock = true; /* implied with memory (SDM vol. 2, XCHG) */
    TRY(rmw_open(v, i, size, &r));
    while (!rmw_close(v, i, &r, value))
        ;
    set_reg(v, i, i->reg, size, r.old);
    return CPU_OK;
}

/* 90-97; 90 without REX.B is NOP, or PAUSE */
static enum cpu_status xchg_acc(struct vcpu *v, struct insn *i)
{
    unsigned n = (i->opcode & 7u) | (i->rex & REX_B ? 8u : 0u);
    uint64_t value;

    if (n == RAX) {
        if (i->rep == 0xf3)
            cpu_pause(v);
        return CPU_OK;
    }
    value = get_gpr(v, n, i->opsize);
    set_gpr(v, n, i->opsize, get_gpr(v, RAX, i->opsize));
    set_gpr(v, RAX, i->opsize, value);
    return CPU_OK;
}

static enum cpu_status cbw(struct vcpu *v, struct insn *i)
{
    set_gpr(v, RAX, i->opsize, sign_extend(v->gpr[RAX], i->opsize / 2));
    return CPU_OK;
}

static enum cpu_status cwd(struct vcpu *v, struct insn *i)
{
    set_gpr(v, RDX, i->opsize, (int64_t)sign_extend(v->gpr[RAX], i->opsize) < 0 ? ~0ull : 0);
    return CPU_OK;
}

static enum cpu_status xlat(struct vcpu *v, struct insn *i)
{
    uint64_t offset = v->gpr[RBX] + (v->gpr[RAX] & 0xff), value;

    if (i->addrsize < 8)
        offset &= size_mask(i->addrsize);
    TRY(mem_read(v, i->segment, offset, 1, &value));
    set_gpr(v, RAX, 1, value);
    return CPU_OK;
}

/* The arithmetic block repeats its six forms for eight operations. */
#define ALU_ROW(base)                                                                                             \
    [base... base + 1] = interp_alu_rm_reg, [base + 2 ... base + 3] = interp_alu_reg_rm,                          \
                    [base + 4 ... base + 5] = interp_alu_acc

interp_handler *const interp_one_byte[256] = {
    ALU_ROW(0x00),
    ALU_ROW(0x08),
    ALU_ROW(0x10),
    ALU_ROW(0x18),
    ALU_ROW(0x20),
    ALU_ROW(0x28),
    ALU_ROW(0x30),
    ALU_ROW(0x38),
    [0x06 ... 0x07] = interp_segment_stack,
    [0x0e] = interp_segment_stack,
    [0x16 ... 0x17] = interp_segment_stack,
    [0x1e ... 0x1f] = interp_segment_stack,
    [0x27] = interp_bcd,
    [0x2f] = interp_bcd,
    [0x37] = interp_bcd,
    [0x3f] = interp_bcd,
    [0x40 ... 0x4f] = inc_dec_short,
    [0x50 ... 0x57] = interp_push_reg,
    [0x58 ... 0x5f] = interp_pop_reg,
    [0x60] = interp_pusha,
    [0x61] = interp_popa,
    [0x62] = interp_bound,
    [0x63] = movsxd,
    [0x68] = interp_push_imm,
    [0x69] = imul3,
    [0x6a] = interp_push_imm,
    [0x6b] = imul3,
    [0x6c ... 0x6f] = interp_ins_outs,
    [0x70 ... 0x7f] = interp_jcc,
    [0x80 ... 0x83] = group1,
    [0x84 ... 0x85] = test_rm_reg,
    [0x86 ... 0x87] = xchg_rm,
    [0x88 ... 0x89] = mov_rm_reg,
    [0x8a ... 0x8b] = mov_reg_rm,
    [0x8c] = interp_segment_move,
    [0x8d] = lea,
    [0x8e] = interp_segment_move,
    [0x8f] = interp_pop_rm,
    [0x90 ... 0x97] = xchg_acc,
    [0x98] = cbw,
    [0x99] = cwd,
    [0x9a] = interp_far,
    [0x9c ... 0x9f] = interp_flags,
    [0xa0 ... 0xa3] = mov_moffs,
    [0xa4 ... 0xa7] = interp_string,
    [0xa8 ... 0xa9] = test_acc,
    [0xaa ... 0xaf] = interp_string,
    [0xb0 ... 0xbf] = mov_reg_imm,
    [0xc0 ... 0xc1] = shift,
    [0xc2 ... 0xc3] = interp_ret,
    [0xc4 ... 0xc5] = interp_load_far,
    [0xc6 ... 0xc7] = mov_rm_imm,
    [0xc8] = interp_enter,
    [0xc9] = interp_leave,
    [0xca ... 0xcb] = interp_far,
    [0xcc ... 0xce] = interp_interrupt,
    [0xcf] = interp_iret,
    [0xd0 ... 0xd3] = shift,
    [0xd4 ... 0xd6] = interp_bcd,
    [0xd7] = xlat,
    [0xe0 ... 0xe3] = interp_loop,
    [0xe4 ... 0xe7] = interp_io,
    [0xe8] = interp_call,
    [0xe9] = interp_jmp,
    [0xea] = interp_far,
    [0xeb] = interp_jmp,
    [0xec ... 0xef] = interp_io,
    [0xf1] = interp_interrupt,
    [0xf4] = interp_hlt,
    [0xf5] = interp_flags,
    [0xf6 ... 0xf7] = group3,
    [0xf8 ... 0xfd] = interp_flags,
    [0xfe] = inc_dec_byte,
    [0xff] = interp_group5,
};
