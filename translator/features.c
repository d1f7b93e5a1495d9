/*
 * features.c - which instructions the guest's CPU model lacks.
 *
 * Interface: internal.h (features_find_lacking). Decoded instructions carry the instruction set they belong to;
 * each set has the names of the CPU features (cpu/features.c) that it needs. What the model lacks, and every set
 * that is not known here, is left to the interpreter, which raises #UD or knows what the bytes mean without the
 * feature (LZCNT is BSR then).
 */
#include "translator/internal.h"

#include <string.h>

#include "cpu/cpuid.h"

/* Always there. */
static const uint8_t base_sets[] = {
    ZYDIS_ISA_SET_I86,          ZYDIS_ISA_SET_I186,          ZYDIS_ISA_SET_I286PROTECTED, ZYDIS_ISA_SET_I286REAL,
    ZYDIS_ISA_SET_I386,         ZYDIS_ISA_SET_I486,          ZYDIS_ISA_SET_I486REAL,      ZYDIS_ISA_SET_LONGMODE,
    ZYDIS_ISA_SET_PENTIUMREAL,  ZYDIS_ISA_SET_PPRO,          ZYDIS_ISA_SET_X87,           ZYDIS_ISA_SET_FAT_NOP,
    ZYDIS_ISA_SET_PAUSE,        ZYDIS_ISA_SET_PREFETCH_NOP,  ZYDIS_ISA_SET_CET,           ZYDIS_ISA_SET_AMD,
    ZYDIS_ISA_SET_SSE_PREFETCH, ZYDIS_ISA_SET_REQUIRED_BITS,
};

static const struct {
    uint8_t first, last; /* enum ZydisISASet; its names are in alphabetical order */
    const char *feature;
} needs[] = {
    {ZYDIS_ISA_SET_CMOV, ZYDIS_ISA_SET_CMOV, "cmov"},
    {ZYDIS_ISA_SET_FCMOV, ZYDIS_ISA_SET_FCMOV, "cmov"},
    {ZYDIS_ISA_SET_PENTIUMMMX, ZYDIS_ISA_SET_PENTIUMMMX, "mmx"},
    {ZYDIS_ISA_SET_FXSAVE, ZYDIS_ISA_SET_FXSAVE64, "fxsr"},
    {ZYDIS_ISA_SET_SSE, ZYDIS_ISA_SET_SSE, "sse"},
    {ZYDIS_ISA_SET_SSEMXCSR, ZYDIS_ISA_SET_SSEMXCSR, "sse"},
    {ZYDIS_ISA_SET_SSE2, ZYDIS_ISA_SET_SSE2MMX, "sse2"},
    {ZYDIS_ISA_SET_SSE3, ZYDIS_ISA_SET_SSE3X87, "sse3"},
    {ZYDIS_ISA_SET_SSSE3, ZYDIS_ISA_SET_SSSE3MMX, "ssse3"},
    {ZYDIS_ISA_SET_SSE4, ZYDIS_ISA_SET_SSE4, "sse4-1"},
    {ZYDIS_ISA_SET_SSE42, ZYDIS_ISA_SET_SSE42, "sse4-2"},
    {ZYDIS_ISA_SET_POPCNT, ZYDIS_ISA_SET_POPCNT, "popcnt"},
    {ZYDIS_ISA_SET_CMPXCHG16B, ZYDIS_ISA_SET_CMPXCHG16B, "cx16"},
    {ZYDIS_ISA_SET_LAHF, ZYDIS_ISA_SET_LAHF, "lahf-lm"},
    {ZYDIS_ISA_SET_LZCNT, ZYDIS_ISA_SET_LZCNT, "lzcnt"},
    {ZYDIS_ISA_SET_BMI1, ZYDIS_ISA_SET_BMI1, "bmi1"},
    {ZYDIS_ISA_SET_BMI2, ZYDIS_ISA_SET_BMI2, "bmi2"},
    {ZYDIS_ISA_SET_ADOX_ADCX, ZYDIS_ISA_SET_ADOX_ADCX, "adx"},
    {ZYDIS_ISA_SET_MOVBE, ZYDIS_ISA_SET_MOVBE, "movbe"},
    {ZYDIS_ISA_SET_AES, ZYDIS_ISA_SET_AES, "aes"},
    {ZYDIS_ISA_SET_PCLMULQDQ, ZYDIS_ISA_SET_PCLMULQDQ, "pclmulqdq"},
    {ZYDIS_ISA_SET_SHA, ZYDIS_ISA_SET_SHA, "sha-ni"},
    {ZYDIS_ISA_SET_GFNI, ZYDIS_ISA_SET_GFNI, "gfni"},
    {ZYDIS_ISA_SET_RDRAND, ZYDIS_ISA_SET_RDRAND, "rdrand"},
    {ZYDIS_ISA_SET_RDSEED, ZYDIS_ISA_SET_RDSEED, "rdseed"},
    {ZYDIS_ISA_SET_RDTSCP, ZYDIS_ISA_SET_RDTSCP, "rdtscp"},
    {ZYDIS_ISA_SET_RDWRFSGS, ZYDIS_ISA_SET_RDWRFSGS, "fsgsbase"},
    {ZYDIS_ISA_SET_SMAP, ZYDIS_ISA_SET_SMAP, "smap"},
    {ZYDIS_ISA_SET_AVX, ZYDIS_ISA_SET_AVX, "avx"},
    {ZYDIS_ISA_SET_F16C, ZYDIS_ISA_SET_F16C, "f16c"},
    {ZYDIS_ISA_SET_FMA, ZYDIS_ISA_SET_FMA, "fma"},
    {ZYDIS_ISA_SET_AVX2, ZYDIS_ISA_SET_AVX2GATHER, "avx2"},
    {ZYDIS_ISA_SET_AVXAES, ZYDIS_ISA_SET_AVXAES, "avx"},
    {ZYDIS_ISA_SET_AVXAES, ZYDIS_ISA_SET_AVXAES, "aes"},
    {ZYDIS_ISA_SET_AVX_GFNI, ZYDIS_ISA_SET_AVX_GFNI, "avx"},
    {ZYDIS_ISA_SET_AVX_GFNI, ZYDIS_ISA_SET_AVX_GFNI, "gfni"},
    {ZYDIS_ISA_SET_AVX_VNNI, ZYDIS_ISA_SET_AVX_VNNI, "avx-vnni"},
    {ZYDIS_ISA_SET_VAES, ZYDIS_ISA_SET_VAES, "vaes"},
    {ZYDIS_ISA_SET_VPCLMULQDQ, ZYDIS_ISA_SET_VPCLMULQDQ, "vpclmulqdq"},
    {ZYDIS_ISA_SET_AVX512BW_128, ZYDIS_ISA_SET_AVX512BW_KOP, "avx512bw"},
    {ZYDIS_ISA_SET_AVX512CD_128, ZYDIS_ISA_SET_AVX512CD_512, "avx512cd"},
    {ZYDIS_ISA_SET_AVX512DQ_128, ZYDIS_ISA_SET_AVX512DQ_SCALAR, "avx512dq"},
    {ZYDIS_ISA_SET_AVX512F_128, ZYDIS_ISA_SET_AVX512F_SCALAR, "avx512f"},
    {ZYDIS_ISA_SET_AVX512_BF16_128, ZYDIS_ISA_SET_AVX512_BF16_512, "avx512-bf16"},
    {ZYDIS_ISA_SET_AVX512_BITALG_128, ZYDIS_ISA_SET_AVX512_BITALG_512, "avx512-bitalg"},
    {ZYDIS_ISA_SET_AVX512_FP16_128, ZYDIS_ISA_SET_AVX512_FP16_SCALAR, "avx512-fp16"},
    {ZYDIS_ISA_SET_AVX512_GFNI_128, ZYDIS_ISA_SET_AVX512_GFNI_512, "avx512f"},
    {ZYDIS_ISA_SET_AVX512_GFNI_128, ZYDIS_ISA_SET_AVX512_GFNI_512, "gfni"},
    {ZYDIS_ISA_SET_AVX512_IFMA_128, ZYDIS_ISA_SET_AVX512_IFMA_512, "avx512ifma"},
    {ZYDIS_ISA_SET_AVX512_VAES_128, ZYDIS_ISA_SET_AVX512_VAES_512, "avx512f"},
    {ZYDIS_ISA_SET_AVX512_VAES_128, ZYDIS_ISA_SET_AVX512_VAES_512, "vaes"},
    {ZYDIS_ISA_SET_AVX512_VBMI2_128, ZYDIS_ISA_SET_AVX512_VBMI2_512, "avx512-vbmi2"},
    {ZYDIS_ISA_SET_AVX512_VBMI_128, ZYDIS_ISA_SET_AVX512_VBMI_512, "avx512vbmi"},
    {ZYDIS_ISA_SET_AVX512_VNNI_128, ZYDIS_ISA_SET_AVX512_VNNI_512, "avx512-vnni"},
    {ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128, ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512, "avx512-vp2intersect"},
    {ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_128, ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_512, "avx512f"},
    {ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_128, ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_512, "vpclmulqdq"},
    {ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_128, ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_512, "avx512-vpopcntdq"},
};
#define NEEDS (sizeof needs / sizeof *needs)

void features_find_lacking(bool lacking[FEATURE_SETS], const struct cpu_model *model)
{
    memset(lacking, true, FEATURE_SETS);
    for (unsigned i = 0; i < sizeof base_sets; i++)
        lacking[base_sets[i]] = false;
    for (unsigned i = 0; i < NEEDS; i++)
        memset(lacking + needs[i].first, false, needs[i].last - needs[i].first + 1u);
    for (unsigned i = 0; i < NEEDS; i++)
        if (!cpu_model_has(model, needs[i].feature))
            memset(lacking + needs[i].first, true, needs[i].last - needs[i].first + 1u);
}
