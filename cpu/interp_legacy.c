/*
 * interp_legacy.c - what 64-bit mode has dropped: BCD arithmetic, BOUND, PUSHA, POPA, ARPL, SALC.
 *
 * Interface: handlers of interp_tables.h.
 */
#include "cpu/alu.h"
#include "cpu/interp_tables.h"

/* Flags but CF and AF are those of the addition or subtraction behind the adjustment, also where the SDM leaves
   them undefined: as AMD's processors do it. */
static uint64_t adjust(struct vcpu *v, bool subtract, unsigned size, uint64_t by)
{
    return alu_arith[subtract ? ALU_SUB : ALU_ADD][size_index(size)](get_gpr(v, RAX, size), by, &v->rflags);
}

static void set_carries(struct vcpu *v, bool carry, bool half)
{
    v->rflags &= ~(uint64_t)(FLAG_CF | FLAG_AF);
    v->rflags |= (carry ? FLAG_CF : 0) | (half ? FLAG_AF : 0);
}

/* DAA, DAS */
static void adjust_packed(struct vcpu *v, bool subtract)
{
    uint8_t al = (uint8_t)v->gpr[RAX];
    bool carry = v->rflags & FLAG_CF;
    bool low = (al & 15) > 9 || v->rflags & FLAG_AF, high = al > 0x99 || carry;
    bool borrow = subtract && low && al < 6;

    set_gpr(v, RAX, 1, adjust(v, subtract, 1, (low ? 6 : 0) + (high ? 0x60 : 0)));
    set_carries(v, high || borrow, low);
}

/* AAA, AAS */
static void adjust_unpacked(struct vcpu *v, bool subtract)
{
    bool half = (v->gpr[RAX] & 15) > 9 || v->rflags & FLAG_AF;

    set_gpr(v, RAX, 2, adjust(v, subtract, 2, half ? 0x106 : 0) & 0xff0f);
    set_carries(v, half, half);
}

static enum cpu_status aam(struct vcpu *v, uint8_t base)
{
    uint8_t al = (uint8_t)v->gpr[RAX];

    if (!base)
        return cpu_raise(v, EXC_DE);
    set_gpr(v, RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    adjust(v, false, 1, 0);
    return CPU_OK;
}

static enum cpu_status aad(struct vcpu *v, uint8_t base)
{
    set_gpr(v, RAX, 2, adjust(v, false, 1, (v->gpr[RAX] >> 8 & 0xff) * base));
    return CPU_OK;
}

enum cpu_status interp_bcd(struct vcpu *v, struct insn *i)
{
    if (insn_code64(v))
        return raise_ud(v);
    switch (i->opcode) {
    case 0x27:
    case 0x2f:
        adjust_packed(v, i->opcode == 0x2f);
        return CPU_OK;
    case 0x37:
    case 0x3f:
        adjust_unpacked(v, i->opcode == 0x3f);
        return CPU_OK;
    case 0xd4:
        return aam(v, (uint8_t)i->imm);
    case 0xd5:
        return aad(v, (uint8_t)i->imm);
    default: /* SALC */
        set_gpr(v, RAX, 1, v->rflags & FLAG_CF ? 0xff : 0);
        return CPU_OK;
    }
}

enum cpu_status interp_bound(struct vcpu *v, struct insn *i)
{
    uint64_t address = effective_address(v, i), low, high;
    int64_t index = (int64_t)sign_extend(v->gpr[i->reg], i->opsize);

    if (insn_code64(v) || i->mod == 3)
        return raise_ud(v);
    TRY(mem_read(v, i->segment, address, i->opsize, &low));
    TRY(mem_read(v, i->segment, (address + i->opsize) & size_mask(i->addrsize), i->opsize, &high));
    if (index < (int64_t)sign_extend(low, i->opsize) || index > (int64_t)sign_extend(high, i->opsize))
        return cpu_raise(v, EXC_BR);
    return CPU_OK;
}

enum cpu_status interp_pusha(struct vcpu *v, struct insn *i)
{
    uint64_t sp = v->gpr[RSP];

    if (insn_code64(v))
        return raise_ud(v);
    for (unsigned n = 0; n < 8; n++) {
        sp = (sp - i->opsize) & sp_mask(v);
        TRY(mem_write(v, SEG_SS, sp, i->opsize, v->gpr[n]));
    }
    set_stack_pointer(v, sp);
    return CPU_OK;
}

enum cpu_status interp_popa(struct vcpu *v, struct insn *i)
{
    uint64_t value[8], sp = v->gpr[RSP];

    if (insn_code64(v))
        return raise_ud(v);
    for (unsigned n = 8; n-- > 0;) {
        TRY(mem_read(v, SEG_SS, sp & sp_mask(v), i->opsize, &value[n]));
        sp += i->opsize;
    }
    for (unsigned n = 0; n < 8; n++)
        if (n != RSP)
            set_gpr(v, n, i->opsize, value[n]);
    set_stack_pointer(v, sp);
    return CPU_OK;
}

enum cpu_status interp_arpl(struct vcpu *v, struct insn *i)
{
    uint64_t rpl = v->gpr[i->reg] & 3, value;
    bool adjust;

    if (!(v->mode & MODE_PE) || v->mode & MODE_VM)
        return raise_ud(v);
    TRY(rm_read(v, i, 2, &value));
    adjust = (value & 3) < rpl;
    if (adjust) /* else nothing is written, and nothing need be writable */
        TRY(rm_write(v, i, 2, (value & ~3ull) | rpl));
    v->rflags = (v->rflags & ~(uint64_t)FLAG_ZF) | (adjust ? FLAG_ZF : 0);
    return CPU_OK;
}
