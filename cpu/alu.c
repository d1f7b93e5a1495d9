/*
 * alu.c - one small function an operation and size, each around the host's own instruction.
 *
 * Interface: alu.h. The flags travel through AH (SAHF/LAHF) and, for OF, through AL: adding 0x7f to 1 overflows.
 * Invariant: no stack use inside the asm, so the red zone is safe.
 */
#include "cpu/alu.h"

#define FLAGS_AH 0xd5u /* SF ZF AF PF CF */

static inline uint64_t pack(uint64_t flags)
{
    return (flags & FLAGS_AH) << 8 | (flags >> 11 & 1);
}

static inline uint64_t unpack(uint64_t flags, uint64_t packed)
{
    return (flags & ~(uint64_t)FLAGS_ARITH) | (packed >> 8 & FLAGS_AH) | (packed & 1) << 11;
}

#define FLAGS_IN "addb $0x7f, %%al\n\tsahf\n\t"
#define FLAGS_OUT "\n\tseto %%al\n\tlahf"

#define BINARY(name, type, text)                                                                                  \
    static uint64_t name(uint64_t a64, uint64_t b64, uint64_t *flags)                                             \
    {                                                                                                             \
        uint64_t f = pack(*flags);                                                                                \
        type a = (type)a64, b = (type)b64;                                                                        \
                                                                                                                  \
        __asm__(FLAGS_IN text FLAGS_OUT : [a] "+r"(a), "+&a"(f) : [b] "r"(b) : "cc");                             \
        *flags = unpack(*flags, f);                                                                               \
        return a;                                                                                                 \
    }
#define UNARY(name, type, text)                                                                                   \
    static uint64_t name(uint64_t a64, uint64_t *flags)                                                           \
    {                                                                                                             \
        uint64_t f = pack(*flags);                                                                                \
        type a = (type)a64;                                                                                       \
                                                                                                                  \
        __asm__(FLAGS_IN text FLAGS_OUT : [a] "+r"(a), "+&a"(f) : : "cc");                                        \
        *flags = unpack(*flags, f);                                                                               \
        return a;                                                                                                 \
    }
#define SHIFT(name, type, text)                                                                                   \
    static uint64_t name(uint64_t a64, uint64_t b64, uint64_t *flags)                                             \
    {                                                                                                             \
        uint64_t f = pack(*flags);                                                                                \
        type a = (type)a64;                                                                                       \
                                                                                                                  \
        __asm__(FLAGS_IN text " %%cl, %[a]" FLAGS_OUT : [a] "+r"(a), "+&a"(f) : "c"(b64) : "cc");                 \
        *flags = unpack(*flags, f);                                                                               \
        return a;                                                                                                 \
    }

#define BINARY_SIZES(name, op)                                                                                    \
    BINARY(name##8, uint8_t, op "b %[b], %[a]")                                                                   \
    BINARY(name##16, uint16_t, op "w %[b], %[a]")                                                                 \
    BINARY(name##32, uint32_t, op "l %[b], %[a]")                                                                 \
    BINARY(name##64, uint64_t, op "q %[b], %[a]")
#define SHIFT_SIZES(name, op)                                                                                     \
    SHIFT(name##8, uint8_t, op "b")                                                                               \
    SHIFT(name##16, uint16_t, op "w")                                                                             \
    SHIFT(name##32, uint32_t, op "l")                                                                             \
    SHIFT(name##64, uint64_t, op "q")
#define UNARY_SIZES(name, op)                                                                                     \
    UNARY(name##8, uint8_t, op "b %[a]")                                                                          \
    UNARY(name##16, uint16_t, op "w %[a]")                                                                        \
    UNARY(name##32, uint32_t, op "l %[a]")                                                                        \
    UNARY(name##64, uint64_t, op "q %[a]")
#define ROW(name)                                                                                                 \
    {                                                                                                             \
        name##8, name##16, name##32, name##64                                                                     \
    }

BINARY_SIZES(add, "add")
BINARY_SIZES(or_, "or")
BINARY_SIZES(adc, "adc")
BINARY_SIZES(sbb, "sbb")
BINARY_SIZES(and_, "and")
BINARY_SIZES(sub, "sub")
BINARY_SIZES(xor_, "xor")
BINARY_SIZES(cmp, "cmp")
alu_binary *const alu_arith[8][4] = {ROW(add),  ROW(or_), ROW(adc),  ROW(sbb),
                                     ROW(and_), ROW(sub), ROW(xor_), ROW(cmp)};

BINARY_SIZES(test, "test")
alu_binary *const alu_test[4] = ROW(test);

SHIFT_SIZES(rol, "rol")
SHIFT_SIZES(ror, "ror")
SHIFT_SIZES(rcl, "rcl")
SHIFT_SIZES(rcr, "rcr")
SHIFT_SIZES(shl, "shl")
SHIFT_SIZES(shr, "shr")
SHIFT_SIZES(sar, "sar")
alu_binary *const alu_shift[8][4] = {ROW(rol), ROW(ror), ROW(rcl), ROW(rcr),
                                     ROW(shl), ROW(shr), ROW(shl), ROW(sar)};

UNARY_SIZES(inc, "inc")
UNARY_SIZES(dec, "dec")
UNARY_SIZES(neg, "neg")
alu_unary *const alu_one[3][4] = {ROW(inc), ROW(dec), ROW(neg)};

#define WORDS(name, op)                                                                                           \
    BINARY(name##16, uint16_t, op "w %[b], %[a]")                                                                 \
    BINARY(name##32, uint32_t, op "l %[b], %[a]")                                                                 \
    BINARY(name##64, uint64_t, op "q %[b], %[a]")
#define ROW_WORDS(name)                                                                                           \
    {                                                                                                             \
        NULL, name##16, name##32, name##64                                                                        \
    }

WORDS(bt, "bt")
WORDS(bts, "bts")
WORDS(btr, "btr")
WORDS(btc, "btc")
alu_binary *const alu_bit[4][4] = {ROW_WORDS(bt), ROW_WORDS(bts), ROW_WORDS(btr), ROW_WORDS(btc)};
WORDS(imul, "imul")
alu_binary *const alu_imul[4] = ROW_WORDS(imul);

#define DOUBLE(name, type, text)                                                                                  \
    static uint64_t name(uint64_t a64, uint64_t b64, uint8_t count, uint64_t *flags)                              \
    {                                                                                                             \
        uint64_t f = pack(*flags);                                                                                \
        type a = (type)a64, b = (type)b64;                                                                        \
                                                                                                                  \
        __asm__(FLAGS_IN text " %%cl, %[b], %[a]" FLAGS_OUT                                                       \
                : [a] "+r"(a), "+&a"(f)                                                                           \
                : [b] "r"(b), "c"(count)                                                                          \
                : "cc");                                                                                          \
        *flags = unpack(*flags, f);                                                                               \
        return a;                                                                                                 \
    }
DOUBLE(shld16, uint16_t, "shldw")
DOUBLE(shld32, uint32_t, "shldl")
DOUBLE(shld64, uint64_t, "shldq")
DOUBLE(shrd16, uint16_t, "shrdw")
DOUBLE(shrd32, uint32_t, "shrdl")
DOUBLE(shrd64, uint64_t, "shrdq")
alu_double *const alu_shld[4] = ROW_WORDS(shld), *const alu_shrd[4] = ROW_WORDS(shrd);

/* One-operand multiply and divide: RAX carries the flags in, is then loaded with the operand, and saved before
   the flags are taken out through it. MOV changes no flags. */
#define WIDE(name, text, modifier)                                                                                \
    static void name(uint64_t *low, uint64_t *high, uint64_t b, uint64_t *flags)                                  \
    {                                                                                                             \
        uint64_t f = pack(*flags), a = *low, d = *high;                                                           \
                                                                                                                  \
        __asm__(FLAGS_IN "movq %[a], %%rax\n\t" text " %" modifier "[b]\n\tmovq %%rax, %[a]" FLAGS_OUT            \
                : [a] "+&r"(a), "+&d"(d), "+&a"(f)                                                                \
                : [b] "r"(b)                                                                                      \
                : "cc");                                                                                          \
        *flags = unpack(*flags, f);                                                                               \
        *low = a;                                                                                                 \
        *high = d;                                                                                                \
    }
#define WIDE_SIZES(name, op)                                                                                      \
    WIDE(name##8, op "b", "b")                                                                                    \
    WIDE(name##16, op "w", "w")                                                                                   \
    WIDE(name##32, op "l", "k")                                                                                   \
    WIDE(name##64, op "q", "q")
WIDE_SIZES(mul, "mul")
WIDE_SIZES(imul1, "imul")
WIDE_SIZES(div_, "div")
WIDE_SIZES(idiv_, "idiv")
alu_wide *const alu_mul1[2][4] = {ROW(mul), ROW(imul1)};
alu_wide *const alu_div1[2][4] = {ROW(div_), ROW(idiv_)};

/* The whole 64-bit destination goes through, since a scan of zero leaves it (or its upper half) as the host does.
 */
#define SCAN(name, op, mod)                                                                                       \
    static uint64_t name(uint64_t a, uint64_t b, uint64_t *flags)                                                 \
    {                                                                                                             \
        uint64_t f = pack(*flags);                                                                                \
                                                                                                                  \
        __asm__(FLAGS_IN op " %" mod "[b], %" mod "[a]" FLAGS_OUT : [a] "+r"(a), "+&a"(f) : [b] "r"(b) : "cc");   \
        *flags = unpack(*flags, f);                                                                               \
        return a;                                                                                                 \
    }
#define SCANS(name, op)                                                                                           \
    SCAN(name##16, op "w", "w")                                                                                   \
    SCAN(name##32, op "l", "k")                                                                                   \
    SCAN(name##64, op "q", "q")
SCANS(bsf, "bsf")
SCANS(bsr, "bsr")
SCANS(tzcnt, "tzcnt")
SCANS(lzcnt, "lzcnt")
SCANS(popcnt, "popcnt")
alu_binary *const alu_bsf[4] = ROW_WORDS(bsf), *const alu_bsr[4] = ROW_WORDS(bsr);
alu_binary *const alu_tzcnt[4] = ROW_WORDS(tzcnt), *const alu_lzcnt[4] = ROW_WORDS(lzcnt);
alu_binary *const alu_popcnt[4] = ROW_WORDS(popcnt);

#define BMI(name, op, order32, order64)                                                                           \
    BINARY(name##32, uint32_t, op "l " order32)                                                                   \
    BINARY(name##64, uint64_t, op "q " order64)
#define ROW_BMI(name)                                                                                             \
    {                                                                                                             \
        NULL, NULL, name##32, name##64                                                                            \
    }
#define VEX_ORDER "%[b], %[a], %[a]" /* a = op(a, b); ANDN inverts a */
BMI(andn, "andn", VEX_ORDER, VEX_ORDER)
BMI(bextr, "bextr", VEX_ORDER, VEX_ORDER)
BMI(bzhi, "bzhi", VEX_ORDER, VEX_ORDER)
BMI(pdep, "pdep", VEX_ORDER, VEX_ORDER)
BMI(pext, "pext", VEX_ORDER, VEX_ORDER)
BMI(adcx, "adcx", "%[b], %[a]", "%[b], %[a]")
BMI(adox, "adox", "%[b], %[a]", "%[b], %[a]")
alu_binary *const alu_andn[4] = ROW_BMI(andn), *const alu_bextr[4] = ROW_BMI(bextr);
alu_binary *const alu_bzhi[4] = ROW_BMI(bzhi), *const alu_pdep[4] = ROW_BMI(pdep);
alu_binary *const alu_pext[4] = ROW_BMI(pext), *const alu_adcx[4] = ROW_BMI(adcx);
alu_binary *const alu_adox[4] = ROW_BMI(adox);

#define BLS(name, op)                                                                                             \
    UNARY(name##32, uint32_t, op "l %[a], %[a]")                                                                  \
    UNARY(name##64, uint64_t, op "q %[a], %[a]")
BLS(blsr, "blsr")
BLS(blsmsk, "blsmsk")
BLS(blsi, "blsi")
alu_unary *const alu_blsr[4] = ROW_BMI(blsr), *const alu_blsmsk[4] = ROW_BMI(blsmsk);
alu_unary *const alu_blsi[4] = ROW_BMI(blsi);

uint32_t alu_crc32(uint32_t crc, uint64_t value, unsigned size)
{
    uint64_t c = crc;

    switch (size) {
    case 1:
        __asm__("crc32b %b1, %k0" : "+r"(c) : "r"(value));
        break;
    case 2:
        __asm__("crc32w %w1, %k0" : "+r"(c) : "r"(value));
        break;
    case 4:
        __asm__("crc32l %k1, %k0" : "+r"(c) : "r"(value));
        break;
    default:
        __asm__("crc32q %1, %0" : "+r"(c) : "r"(value));
    }
    return (uint32_t)c;
}
