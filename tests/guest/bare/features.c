/*
 * features.c - what CPUID does not show is not there: #UD, or the older instruction that the same bytes are. Run
 * with several CPU models (SDM vol. 1, 5 and chapters of the extensions; vol. 2, LZCNT and TZCNT).
 */
#include "rt.h"

SNIPPET(sse3, "haddps %xmm0, %xmm0");
SNIPPET(pclmulqdq, "pclmulqdq $1, %xmm0, %xmm0");
SNIPPET(ssse3, "pabsb %xmm0, %xmm1");
SNIPPET(ssse3_mmx, "pabsb %mm0, %mm1");
SNIPPET(fma, "vfmadd132ss %xmm0, %xmm0, %xmm0");
SNIPPET(cx16, "cmpxchg16b (%rbx)");
SNIPPET(sse41, "pmulld %xmm0, %xmm1");
SNIPPET(sse41_extract, "pextrd $1, %xmm0, %eax");
SNIPPET(sse42, "pcmpgtq %xmm0, %xmm1");
SNIPPET(sse42_crc, "crc32l %ecx, %eax");
SNIPPET(movbe, "movbe (%rbx), %eax");
SNIPPET(popcnt, "popcnt %ecx, %eax");
SNIPPET(aes, "aesenc %xmm0, %xmm1");
SNIPPET(avx, "vaddps %xmm0, %xmm0, %xmm1");
SNIPPET(f16c, "vcvtph2ps %xmm0, %xmm1");
SNIPPET(rdrand, "rdrand %eax");
SNIPPET(bmi1, "andn %eax, %ecx, %edx");
SNIPPET(avx2, "vpaddd %ymm0, %ymm0, %ymm1");
SNIPPET(avx2_broadcast, "vpbroadcastb %xmm0, %xmm1");
SNIPPET(bmi2, "rorx $3, %ecx, %edx");
SNIPPET(bmi2_shift, "shlx %ecx, %eax, %edx");
SNIPPET(rdseed, "rdseed %eax");
SNIPPET(adx, "adcx %ecx, %eax");
SNIPPET(sha, "sha1nexte %xmm0, %xmm1");
SNIPPET(gfni, "gf2p8mulb %xmm0, %xmm1");
SNIPPET(vaes, "vaesenc %ymm0, %ymm0, %ymm1");
SNIPPET(vpclmulqdq, "vpclmulqdq $0, %ymm0, %ymm0, %ymm1");
SNIPPET(avx512, ".byte 0x62, 0xf1, 0x7d, 0x48, 0xfe, 0xc8"); /* vpaddd %zmm0, %zmm0, %zmm1 */
SNIPPET(lahf, "lahf");
SNIPPET(sse4a, ".byte 0x66, 0x0f, 0x79, 0xc1"); /* extrq %xmm1, %xmm0 */
SNIPPET(sse41_load, "pmulld (%rbx), %xmm1");
SNIPPET(avx2_load, "vpaddd (%rbx), %ymm0, %ymm1");
SNIPPET(bmi2_load, "rorx $3, (%rbx), %edx");
SNIPPET(popcnt_load, "popcnt (%rbx), %eax");
SNIPPET(do_lzcnt, "lzcnt %ecx, %eax");
SNIPPET(do_tzcnt, "tzcnt %ecx, %eax");

static const struct {
    u32 leaf;
    u8 reg, bit; /* EAX is 0 */
    const u8 *snippet;
    const char *name;
} rows[] = {
    {1, 2, 0, sse3, "SSE3"},
    {1, 2, 1, pclmulqdq, "PCLMULQDQ"},
    {1, 2, 9, ssse3, "SSSE3"},
    {1, 2, 9, ssse3_mmx, "SSSE3, MMX registers"},
    {1, 2, 12, fma, "FMA"},
    {1, 2, 13, cx16, "CMPXCHG16B"},
    {1, 2, 19, sse41, "SSE4.1"},
    {1, 2, 19, sse41_extract, "SSE4.1, PEXTRD"},
    {1, 2, 20, sse42, "SSE4.2"},
    {1, 2, 20, sse42_crc, "CRC32"},
    {1, 2, 22, movbe, "MOVBE"},
    {1, 2, 23, popcnt, "POPCNT"},
    {1, 2, 25, aes, "AES"},
    {1, 2, 28, avx, "AVX"},
    {1, 2, 29, f16c, "F16C"},
    {1, 2, 30, rdrand, "RDRAND"},
    {7, 1, 3, bmi1, "BMI1"},
    {7, 1, 5, avx2, "AVX2"},
    {7, 1, 5, avx2_broadcast, "AVX2, VPBROADCASTB"},
    {7, 1, 8, bmi2, "BMI2"},
    {7, 1, 8, bmi2_shift, "BMI2, SHLX"},
    {7, 1, 18, rdseed, "RDSEED"},
    {7, 1, 19, adx, "ADX"},
    {7, 1, 29, sha, "SHA"},
    {7, 2, 8, gfni, "GFNI"},
    {7, 2, 9, vaes, "VAES"},
    {7, 2, 10, vpclmulqdq, "VPCLMULQDQ"},
    {7, 1, 16, avx512, "AVX-512"},
    {0x80000001, 2, 0, lahf, "LAHF"},
    {0x80000001, 2, 6, sse4a, "SSE4A"},
};

static const struct {
    u32 leaf;
    u8 reg, bit;
    const u8 *snippet;
    const char *name;
} loads[] = {
    {1, 2, 19, sse41_load, "SSE4.1 of a missing page"},
    {1, 2, 23, popcnt_load, "POPCNT of a missing page"},
    {7, 1, 5, avx2_load, "AVX2 of a missing page"},
    {7, 1, 8, bmi2_load, "BMI2 of a missing page"},
};

/* All of the vector state that CPUID offers. */
static void enable_vectors(void)
{
    u32 r[4];

    if (!HAS_XSAVE)
        return;
    write_cr4(read_cr4() | 1 << 18);
    cpuid(0xd, 0, r);
    __asm__ volatile("xsetbv" : : "c"(0), "a"(r[0] & 0xe7), "d"(0));
}

static void there_or_not(unsigned cpl)
{
    unsigned i;

    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool there = has(rows[i].leaf, rows[i].reg, rows[i].bit);

        in.rbx = USER_DATA;
        in.rcx = 5;
        expect(rows[i].snippet, cpl, there ? BP : UD, -1, there ? -1 : 0, rows[i].name);
    }
    for (i = 0; i < sizeof loads / sizeof *loads; i++) {
        in.rbx = 0x123456789000;
        expect(loads[i].snippet, cpl, has(loads[i].leaf, loads[i].reg, loads[i].bit) ? PF : UD, -1, 0,
               loads[i].name);
    }
}

/* LZCNT and TZCNT are BSR and BSF where they are not known. */
static void counts(unsigned cpl)
{
    bool lzcnt = has(0x80000001, 2, 5), tzcnt = has(7, 1, 3);

    in.rcx = 0x10;
    expect(do_lzcnt, cpl, BP, -1, -1, "LZCNT or BSR");
    equal(out.rax, lzcnt ? 27 : 4, lzcnt ? "counts the zeros" : "gives the place of the bit");
    in.rcx = 0;
    in.rax = 77;
    expect(do_tzcnt, cpl, BP, -1, -1, "TZCNT or BSF of zero");
    equal(out.rflags & 0x41, tzcnt ? 1 : out.rflags & 1 ? 0x41 : 0x40, tzcnt ? "sets CF" : "sets ZF");
    if (tzcnt)
        equal(out.rax, 32, "gives the operand size");
}

void test_main(void)
{
    enable_vectors();
    there_or_not(0);
    there_or_not(3);
    there_or_not(3); /* known code, this time */
    counts(0);
    counts(3);
}
