/*
 * interp_legacy.c - what 64-bit mode has dropped: BCD arithmetic, BOUND, PUSHA, POPA, ARPL, SALC.
 *
 * Interface: handlers of interp_tables.h. Undefined flags: as recent processors leave them, where known.
 */
#include "cpu/interp_tables.h"

static void set_result_flags(struct vcpu *v, uint8_t value)
{
    v->rflags &= ~(uint64_t)(FLAG_SF | FLAG_ZF | FLAG_PF);
    v->rflags |= (value & 0x80 ? FLAG_SF : 0) | (value ? 0 : FLAG_ZF) |
                 (__builtin_parity(value) ? 0 : FLAG_PF);
}

static void set_carries(struct vcpu *v, bool carry, bool adjust)
{
    v->rflags &= ~(uint64_t)(FLAG_CF | FLAG_AF | FLAG_OF);
    v->rflags |= (carry ? FLAG_CF : 0) | (adjust ? FLAG_AF : 0);
}

/* DAA, DAS */
static void adjust_packed(struct vcpu *v, bool subtract)
{
    uint8_t old = (uint8_t)v->gpr[RAX], al = old;
    bool carry = v->rflags & FLAG_CF;
    bool low = (old & 15) > 9 || v->rflags & FLAG_AF, high = old > 0x99 || carry;
    bool borrow = carry;

    if (low) {
        borrow = carry || (subtract ? old < 6 : old > 0xf9);
        al = (uint8_t)(subtract ? al - 6 : al + 6);
    }
    if (high)
        al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
    set_gpr(v, RAX, 1, al);
    set_carries(v, high || (subtract && low && borrow), low);
    set_result_flags(v, al);
}

/* AAA, AAS */
static void adjust_unpacked(struct vcpu *v, bool subtract)
{
    uint16_t ax = (uint16_t)v->gpr[RAX];
    bool adjust = (ax & 15) > 9 || v->rflags & FLAG_AF;

    if (adjust)
        ax = (uint16_t)(subtract ? ax - 0x106 : ax + 0x106);
    ax &= 0xff0f;
    set_gpr(v, RAX, 2, ax);
    set_carries(v, adjust, adjust);
    set_result_flags(v, (uint8_t)ax);
}

static enum cpu_status aam(struct vcpu *v, uint8_t base)
{
    uint8_t al = (uint8_t)v->gpr[RAX];

    if (!base)
        return cpu_raise(v, EXC_DE);
    set_gpr(v, RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    set_carries(v, false, false);
    set_result_flags(v, al % base);
    return CPU_OK;
}

static enum cpu_status aad(struct vcpu *v, uint8_t base)
{
    uint8_t al = (uint8_t)(v->gpr[RAX] + (v->gpr[RAX] >> 8) * base);

    set_gpr(v, RAX, 2, al);
    set_carries(v, false, false);
    set_result_flags(v, al);
    return CPU_OK;
}

enum cpu_status interp_bcd(struct vcpu *v, struct insn *i)
{
    if (insn_code64(v))
        return raise_ud(v);
    switch (i->opcode) {
    case 0x27: case 0x2f:
        adjust_packed(v, i->opcode == 0x2f);
        return CPU_OK;
    case 0x37: case 0x3f:
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
    struct rmw r;
    uint64_t rpl = v->gpr[i->reg] & 3, value;
    bool adjust;

    if (!(v->mode & MODE_PE) || v->mode & MODE_VM)
        return raise_ud(v);
    TRY(rmw_open(v, i, 2, &r));
    adjust = (r.old & 3) < rpl;
    value = adjust ? (r.old & ~3ull) | rpl : r.old;
    rmw_close(v, i, &r, value);
    v->rflags = (v->rflags & ~(uint64_t)FLAG_ZF) | (adjust ? FLAG_ZF : 0);
    return CPU_OK;
}
