/*
 * alu.h - arithmetic on general registers, done by the very host instruction.
 *
 * Results and flags, defined and undefined ones, are those of the host's CPU by construction: guest flags go in
 * before the instruction and come out behind it. `flags` is an RFLAGS value; only FLAGS_ARITH bits change.
 * Operands and results are zero-extended to 64 bits. The size index is 0, 1, 2, 3 for 8, 16, 32, 64 bits.
 */
#ifndef NOVT_CPU_ALU_H
#define NOVT_CPU_ALU_H

#include "cpu/vcpu.h"

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum { ALU_INC, ALU_DEC, ALU_NEG };
enum { ALU_BT, ALU_BTS, ALU_BTR, ALU_BTC };

typedef uint64_t alu_binary(uint64_t a, uint64_t b, uint64_t *flags);
typedef uint64_t alu_unary(uint64_t a, uint64_t *flags);
typedef uint64_t alu_double(uint64_t a, uint64_t b, uint8_t count, uint64_t *flags);
/* low and high halves in and out; for 8 bits AX is low, high unused */
typedef void alu_wide(uint64_t *low, uint64_t *high, uint64_t b, uint64_t *flags);

extern alu_binary *const alu_arith[8][4]; /* by ALU_ADD...; CMP returns a */
extern alu_binary *const alu_shift[8][4]; /* by ModRM.reg: ROL ROR RCL RCR SHL SHR SAL SAR; b: count */
extern alu_unary *const alu_one[3][4];
extern alu_binary *const alu_test[4];
extern alu_binary *const alu_bit[4][4]; /* b: bit number, taken modulo the size; no 8-bit ones */
extern alu_double *const alu_shld[4], *const alu_shrd[4];
extern alu_binary *const alu_imul[4];
extern alu_wide *const alu_mul1[2][4]; /* MUL, IMUL */
extern alu_wide *const alu_div1[2][4]; /* DIV, IDIV: the caller has made sure that they do not fault */
/* a: old destination, kept where the instruction keeps it; result: the whole register */
extern alu_binary *const alu_bsf[4], *const alu_bsr[4], *const alu_tzcnt[4], *const alu_lzcnt[4],
                                                                                 *const alu_popcnt[4];
/* BMI: 4 and 8 bytes (index 2, 3) */
extern alu_binary *const alu_andn[4],
    *const alu_bextr[4], *const alu_bzhi[4], *const alu_pdep[4], *const alu_pext[4], *const alu_adcx[4],
                                                                                         *const alu_adox[4];
extern alu_unary *const alu_blsr[4], *const alu_blsmsk[4], *const alu_blsi[4];
uint32_t alu_crc32(uint32_t crc, uint64_t value, unsigned size);

/* Jcc, SETcc, CMOVcc condition numbers (SDM vol. 1, appendix B). */
static inline bool alu_condition(uint64_t flags, unsigned cc)
{
    bool r;

    switch (cc >> 1) {
    case 0:
        r = flags & FLAG_OF;
        break;
    case 1:
        r = flags & FLAG_CF;
        break;
    case 2:
        r = flags & FLAG_ZF;
        break;
    case 3:
        r = flags & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        r = flags & FLAG_SF;
        break;
    case 5:
        r = flags & FLAG_PF;
        break;
    case 6:
        r = !(flags & FLAG_SF) != !(flags & FLAG_OF);
        break;
    default:
        r = flags & FLAG_ZF || !(flags & FLAG_SF) != !(flags & FLAG_OF);
        break;
    }
    return r ^ (cc & 1);
}

#endif
