/*
 * count.c - INC and DEC between a carry and the branch on it, behind which their register and flags are
 * overwritten (SDM vol. 2, INC: CF is not affected).
 */
#include "rt.h"

#define ARITHMETIC 0x8d5u

static const u32 values[] = {0, 1, 2, 0xf, 0x10, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

/* What INC or DEC leaves in the flags. */
static u32 flags_of(u32 value, bool dec, bool carry)
{
    u32 result = dec ? value - 1 : value + 1, parity = result & 0xff;

    parity ^= parity >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return (carry ? FL_CF : 0) | (parity & 1 ? 0 : 4u) | ((value ^ result) & 0x10) | (result ? 0 : FL_ZF) |
           (result >> 31 ? 0x80u : 0) | (result == (dec ? 0x7fffffff : 0x80000000) ? FL_OF : 0);
}

/* JB, JAE, which look at the carry alone, JE, JBE, JS. */
static const u8 conditions[] = {2, 3, 4, 6, 8};

static bool holds(unsigned condition, u32 flags)
{
    bool carry = flags & FL_CF, zero = flags & FL_ZF;

    return condition == 2   ? carry
           : condition == 3 ? !carry
           : condition == 4 ? zero
           : condition == 6 ? carry || zero
                            : flags >> 7 & 1;
}

/* With the carry clear and set: inc or dec reg; jcc away; xor reg, esi; int3. away: int3. Not for ESP and ESI. */
static void count(unsigned reg, bool dec, unsigned condition, bool near)
{
    unsigned wrong_stay = 0, wrong_away = 0;

    for (unsigned i = 0; i < 2 * sizeof values / sizeof values[0]; i++) {
        u32 value = values[i / 2], result = dec ? value - 1 : value + 1;
        bool carry = i & 1, away = holds(condition, flags_of(value, dec, carry));
        u32 *to[] = {&in.eax, &in.ecx, &in.edx, &in.ebx, 0, &in.ebp, 0, &in.edi};
        u32 *from[] = {&last.eax, &last.ecx, &last.edx, &last.ebx, 0, &last.ebp, 0, &last.edi};
        u8 jump = (u8)(0x70 + condition), modrm = (u8)(0xc0 | (dec ? 8 : 0) | reg);

        flat(3);
        *to[reg] = value;
        in.esi = 0x55aa55aa;
        in.eflags |= carry ? FL_CF : 0;
        if (near)
            RUN((u8)((dec ? 0x48 : 0x40) + reg), jump, 3, 0x31, (u8)(0xf0 | reg), 0xcc, 0x90);
        else
            RUN(0xff, modrm, 0x0f, (u8)(jump + 0x10), LE32(0x2000), 0x31, (u8)(0xf0 | reg));
        if (away)
            wrong_away += *from[reg] != result || (last.eflags & ARITHMETIC) != flags_of(value, dec, carry);
        else
            wrong_stay += *from[reg] != (result ^ in.esi);
    }
    equal(wrong_away, 0, dec ? "DEC, and the branch is taken" : "INC, and the branch is taken");
    equal(wrong_stay, 0, "  and is not");
}

void test_main(void)
{
    memset((void *)(CODE + 0x2000), 0xcc, 0x100);
    for (unsigned i = 0; i < 4 * sizeof conditions; i++)
        for (unsigned reg = 0; reg < 8; reg++)
            if (reg != 4 && reg != 6)
                count(reg, i & 1, conditions[i / 4], i & 2);
}
