/*
 * features.c - the table of CPU features.
 *
 * Interface: features.h. Names are Linux's (/proc/cpuinfo) or QEMU's; a second row of the same bit is another name
 * of it. What is not here is never shown to the guest.
 */
#include "cpu/features.h"

#include "cpu/words.h"

#define W(field) offsetof(struct cpu_model, field)

const struct feature features[] = {
    /* CPUID 1, EDX */
    {"fpu", W(f1_edx), 0, LEVEL_V1, NATIVE},
    {"vme", W(f1_edx), 1, LEVEL_V1, EMULATED},
    {"de", W(f1_edx), 2, LEVEL_V1, EMULATED},
    {"pse", W(f1_edx), 3, LEVEL_V1, EMULATED},
    {"tsc", W(f1_edx), 4, LEVEL_V1, EMULATED},
    {"msr", W(f1_edx), 5, LEVEL_V1, EMULATED},
    {"pae", W(f1_edx), 6, LEVEL_V1, EMULATED},
    {"mce", W(f1_edx), 7, LEVEL_V1, EMULATED},
    {"cx8", W(f1_edx), 8, LEVEL_V1, NATIVE},
    {"apic", W(f1_edx), 9, LEVEL_V1, EMULATED},
    {"sep", W(f1_edx), 11, LEVEL_V1, EMULATED},
    {"mtrr", W(f1_edx), 12, LEVEL_V1, EMULATED},
    {"pge", W(f1_edx), 13, LEVEL_V1, EMULATED},
    {"mca", W(f1_edx), 14, LEVEL_V1, EMULATED},
    {"cmov", W(f1_edx), 15, LEVEL_V1, NATIVE},
    {"pat", W(f1_edx), 16, LEVEL_V1, EMULATED},
    {"pse36", W(f1_edx), 17, LEVEL_V1, EMULATED},
    {"clflush", W(f1_edx), 19, LEVEL_V1, NATIVE},
    {"mmx", W(f1_edx), 23, LEVEL_V1, NATIVE},
    {"fxsr", W(f1_edx), 24, LEVEL_V1, NATIVE},
    {"sse", W(f1_edx), 25, LEVEL_V1, NATIVE},
    {"sse2", W(f1_edx), 26, LEVEL_V1, NATIVE},
    {"ht", W(f1_edx), 28, LEVEL_OPTION, NOT_SUPPORTED},
    /* CPUID 1, ECX */
    {"sse3", W(f1_ecx), 0, LEVEL_V2, NATIVE},
    {"pni", W(f1_ecx), 0, LEVEL_V2, NATIVE},
    {"pclmulqdq", W(f1_ecx), 1, LEVEL_DEFAULT, NATIVE},
    {"monitor", W(f1_ecx), 3, LEVEL_OPTION, NOT_SUPPORTED},
    {"vmx", W(f1_ecx), 5, LEVEL_OPTION, NOT_SUPPORTED},
    {"ssse3", W(f1_ecx), 9, LEVEL_V2, NATIVE},
    {"fma", W(f1_ecx), 12, LEVEL_V3, NATIVE},
    {"cx16", W(f1_ecx), 13, LEVEL_V2, NATIVE},
    {"pdcm", W(f1_ecx), 15, LEVEL_OPTION, NOT_SUPPORTED},
    {"pcid", W(f1_ecx), 17, LEVEL_V1, EMULATED},
    {"sse4-1", W(f1_ecx), 19, LEVEL_V2, NATIVE},
    {"sse4-2", W(f1_ecx), 20, LEVEL_V2, NATIVE},
    {"x2apic", W(f1_ecx), 21, LEVEL_V1, EMULATED},
    {"movbe", W(f1_ecx), 22, LEVEL_V3, NATIVE},
    {"popcnt", W(f1_ecx), 23, LEVEL_V2, NATIVE},
    {"tsc-deadline", W(f1_ecx), 24, LEVEL_V1, EMULATED},
    {"tsc-deadline-timer", W(f1_ecx), 24, LEVEL_V1, EMULATED},
    {"aes", W(f1_ecx), 25, LEVEL_DEFAULT, NATIVE},
    {"xsave", W(f1_ecx), 26, LEVEL_V3, NATIVE},
    {"avx", W(f1_ecx), 28, LEVEL_V3, NATIVE},
    {"f16c", W(f1_ecx), 29, LEVEL_V3, NATIVE},
    {"rdrand", W(f1_ecx), 30, LEVEL_DEFAULT, NATIVE},
    {"hypervisor", W(f1_ecx), 31, LEVEL_V1, EMULATED},
    /* CPUID 6, EAX */
    {"arat", W(f6_eax), 2, LEVEL_V1, EMULATED},
    /* CPUID 7.0, EBX */
    {"fsgsbase", W(f7_ebx), 0, LEVEL_V1, EMULATED},
    {"tsc-adjust", W(f7_ebx), 1, LEVEL_V1, EMULATED},
    {"sgx", W(f7_ebx), 2, LEVEL_OPTION, NOT_SUPPORTED},
    {"bmi1", W(f7_ebx), 3, LEVEL_V3, NATIVE},
    {"hle", W(f7_ebx), 4, LEVEL_OPTION, NOT_SUPPORTED},
    {"avx2", W(f7_ebx), 5, LEVEL_V3, NATIVE},
    {"smep", W(f7_ebx), 7, LEVEL_V1, EMULATED},
    {"bmi2", W(f7_ebx), 8, LEVEL_V3, NATIVE},
    {"erms", W(f7_ebx), 9, LEVEL_DEFAULT, NATIVE},
    {"invpcid", W(f7_ebx), 10, LEVEL_V1, EMULATED},
    {"rtm", W(f7_ebx), 11, LEVEL_OPTION, NOT_SUPPORTED},
    {"mpx", W(f7_ebx), 14, LEVEL_OPTION, NOT_SUPPORTED},
    {"avx512f", W(f7_ebx), 16, LEVEL_MAX, NATIVE},
    {"avx512dq", W(f7_ebx), 17, LEVEL_MAX, NATIVE},
    {"rdseed", W(f7_ebx), 18, LEVEL_DEFAULT, NATIVE},
    {"adx", W(f7_ebx), 19, LEVEL_DEFAULT, NATIVE},
    {"smap", W(f7_ebx), 20, LEVEL_V1, EMULATED},
    {"avx512ifma", W(f7_ebx), 21, LEVEL_MAX, NATIVE},
    {"clflushopt", W(f7_ebx), 23, LEVEL_DEFAULT, NATIVE},
    {"clwb", W(f7_ebx), 24, LEVEL_DEFAULT, NATIVE},
    {"intel-pt", W(f7_ebx), 25, LEVEL_OPTION, NOT_SUPPORTED},
    {"avx512cd", W(f7_ebx), 28, LEVEL_MAX, NATIVE},
    {"sha-ni", W(f7_ebx), 29, LEVEL_DEFAULT, NATIVE},
    {"avx512bw", W(f7_ebx), 30, LEVEL_MAX, NATIVE},
    {"avx512vl", W(f7_ebx), 31, LEVEL_MAX, NATIVE},
    /* CPUID 7.0, ECX */
    {"avx512vbmi", W(f7_ecx), 1, LEVEL_MAX, NATIVE},
    {"umip", W(f7_ecx), 2, LEVEL_V1, EMULATED},
    {"pku", W(f7_ecx), 3, LEVEL_OPTION, NOT_SUPPORTED},
    {"waitpkg", W(f7_ecx), 5, LEVEL_OPTION, NOT_SUPPORTED},
    {"avx512-vbmi2", W(f7_ecx), 6, LEVEL_MAX, NATIVE},
    {"shstk", W(f7_ecx), 7, LEVEL_OPTION, NOT_SUPPORTED},
    {"gfni", W(f7_ecx), 8, LEVEL_DEFAULT, NATIVE},
    {"vaes", W(f7_ecx), 9, LEVEL_DEFAULT, NATIVE},
    {"vpclmulqdq", W(f7_ecx), 10, LEVEL_DEFAULT, NATIVE},
    {"avx512-vnni", W(f7_ecx), 11, LEVEL_MAX, NATIVE},
    {"avx512-bitalg", W(f7_ecx), 12, LEVEL_MAX, NATIVE},
    {"avx512-vpopcntdq", W(f7_ecx), 14, LEVEL_MAX, NATIVE},
    {"la57", W(f7_ecx), 16, LEVEL_OPTION, NOT_SUPPORTED},
    {"rdpid", W(f7_ecx), 22, LEVEL_DEFAULT, EMULATED},
    /* CPUID 7.0, EDX */
    {"fsrm", W(f7_edx), 4, LEVEL_DEFAULT, NATIVE},
    {"avx512-vp2intersect", W(f7_edx), 8, LEVEL_MAX, NATIVE},
    {"avx512-fp16", W(f7_edx), 23, LEVEL_OPTION, NOT_SUPPORTED},
    {"spec-ctrl", W(f7_edx), 26, LEVEL_V1, EMULATED},         /* Intel only, and so is the next */
    {"arch-capabilities", W(f7_edx), 29, LEVEL_V1, EMULATED}, /* Intel only; see below and msr.c */
    /* CPUID 7.1, EAX */
    {"avx-vnni", W(f7_1_eax), 4, LEVEL_DEFAULT, NATIVE},
    {"avx512-bf16", W(f7_1_eax), 5, LEVEL_MAX, NATIVE},
    {"fzrm", W(f7_1_eax), 10, LEVEL_DEFAULT, NATIVE},
    {"fsrs", W(f7_1_eax), 11, LEVEL_DEFAULT, NATIVE},
    {"fsrc", W(f7_1_eax), 12, LEVEL_DEFAULT, NATIVE},
    /* CPUID 7.2, EDX; Intel only */
    {"bhi-ctrl", W(f7_2_edx), 4, LEVEL_V1, EMULATED},
    /* CPUID 0xd.1, EAX */
    {"xsaveopt", W(fd_1_eax), 0, LEVEL_DEFAULT, NATIVE},
    {"xsavec", W(fd_1_eax), 1, LEVEL_DEFAULT, NATIVE},
    {"xgetbv1", W(fd_1_eax), 2, LEVEL_DEFAULT, NATIVE},
    {"xsaves", W(fd_1_eax), 3, LEVEL_OPTION, NOT_SUPPORTED},
    /* CPUID 0x80000001, ECX and EDX */
    {"lahf-lm", W(f80000001_ecx), 0, LEVEL_V2, NATIVE},
    {"svm", W(f80000001_ecx), 2, LEVEL_OPTION, NOT_SUPPORTED},
    {"abm", W(f80000001_ecx), 5, LEVEL_V3, NATIVE},
    {"lzcnt", W(f80000001_ecx), 5, LEVEL_V3, NATIVE},
    {"sse4a", W(f80000001_ecx), 6, LEVEL_OPTION, NOT_SUPPORTED},
    {"misalignsse", W(f80000001_ecx), 7, LEVEL_DEFAULT, NATIVE},
    {"3dnowprefetch", W(f80000001_ecx), 8, LEVEL_DEFAULT, NATIVE},
    {"topoext", W(f80000001_ecx), 22, LEVEL_OPTION, NOT_SUPPORTED},
    {"syscall", W(f80000001_edx), 11, LEVEL_V1, EMULATED},
    {"nx", W(f80000001_edx), 20, LEVEL_V1, EMULATED},
    {"mmxext", W(f80000001_edx), 22, LEVEL_DEFAULT, NATIVE},
    {"fxsr-opt", W(f80000001_edx), 25, LEVEL_DEFAULT, NATIVE},
    {"pdpe1gb", W(f80000001_edx), 26, LEVEL_V1, EMULATED},
    {"rdtscp", W(f80000001_edx), 27, LEVEL_V1, EMULATED},
    {"lm", W(f80000001_edx), 29, LEVEL_V1, EMULATED},
    /* CPUID 0x80000007, 0x80000008, 0x80000021 */
    {"invtsc", W(f80000007_edx), 8, LEVEL_V1, NATIVE},
    {"nonstop-tsc", W(f80000007_edx), 8, LEVEL_V1, NATIVE},
    {"xsaveerptr", W(f80000008_ebx), 2, LEVEL_DEFAULT, NATIVE},
    {"lfence-always-serializing", W(f80000021_eax), 2, LEVEL_V1, EMULATED},
    {"null-sel-clr-base", W(f80000021_eax), 6, LEVEL_V1, EMULATED},
    /*
     * Returns and indirect jumps of the guest are rewritten, and privilege is checked in software: the sequences
     * by which a kernel guards real processors of this family would not guard anything here, and cost much (a VERW
     * on each return to user mode, a thunk for each return). So those that depend on the family alone are told to
     * be unneeded; and with (automatic) IBRS there are no retpolines.
     */
    {"btc-no", W(f80000008_ebx), 29, LEVEL_V1, EMULATED},
    {"srso-no", W(f80000021_eax), 29, LEVEL_V1, EMULATED},
    {"amd-ssb-no", W(f80000008_ebx), 26, LEVEL_V1, EMULATED},
    {"tsa-sq-no", W(f80000021_ecx), 1, LEVEL_V1, EMULATED},
    {"tsa-l1-no", W(f80000021_ecx), 2, LEVEL_V1, EMULATED},
    {"auto-ibrs", W(f80000021_eax), 8, LEVEL_V1, EMULATED},
};
const unsigned feature_count = sizeof features / sizeof features[0];

/* A parent comes before its own children, so that one pass settles them all. */
const struct feature_need feature_needs[] = {
    {"sse2", "sse"},
    {"sse3", "sse2"},
    {"ssse3", "sse3"},
    {"sse4-1", "ssse3"},
    {"sse4-2", "sse4-1"},
    {"pclmulqdq", "sse2"},
    {"aes", "sse2"},
    {"sha-ni", "sse2"},
    {"gfni", "sse2"},
    {"xsave", "fxsr"},
    {"xsaveopt", "xsave"},
    {"xsavec", "xsave"},
    {"xgetbv1", "xsave"},
    {"xsaveerptr", "xsave"},
    {"avx", "xsave"},
    {"avx", "sse4-2"},
    {"fma", "avx"},
    {"f16c", "avx"},
    {"avx2", "avx"},
    {"vaes", "aes"},
    {"vaes", "avx2"},
    {"vpclmulqdq", "pclmulqdq"},
    {"vpclmulqdq", "avx2"},
    {"avx-vnni", "avx2"},
    {"avx512f", "avx2"},
    {"avx512f", "fma"},
    {"avx512f", "f16c"},
    {"avx512dq", "avx512f"},
    {"avx512ifma", "avx512f"},
    {"avx512cd", "avx512f"},
    {"avx512bw", "avx512f"},
    {"avx512vl", "avx512f"},
    {"avx512vbmi", "avx512bw"},
    {"avx512-vbmi2", "avx512bw"},
    {"avx512-vnni", "avx512f"},
    {"avx512-bitalg", "avx512bw"},
    {"avx512-vpopcntdq", "avx512f"},
    {"avx512-vp2intersect", "avx512f"},
    {"avx512-fp16", "avx512bw"},
    {"avx512-bf16", "avx512bw"},
    {"bhi-ctrl", "spec-ctrl"},
    {"x2apic", "apic"},
    {"tsc-deadline", "apic"},
    {"arat", "apic"},
    {"lm", "pae"},
    {"pcid", "lm"},
    {"invpcid", "pcid"},
    {"pdpe1gb", "lm"},
    {"mca", "mce"},
};
const unsigned feature_need_count = sizeof feature_needs / sizeof feature_needs[0];

const struct feature *feature_find(const char *name, size_t length)
{
    for (unsigned i = 0; i < feature_count; i++)
        if (words_equal(features[i].name, name, length))
            return &features[i];
    return NULL;
}
