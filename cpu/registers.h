/*
 * registers.h - numbers and bits of the architecture's registers, exception vectors, and segment registers.
 */
#ifndef NOVT_CPU_REGISTERS_H
#define NOVT_CPU_REGISTERS_H

#include <stdint.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* RFLAGS (SDM vol. 1, 3.4.3) */
#define FLAG_CF 0x1u
#define FLAG_PF 0x4u
#define FLAG_AF 0x10u
#define FLAG_ZF 0x40u
#define FLAG_SF 0x80u
#define FLAG_TF 0x100u
#define FLAG_IF 0x200u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u
#define FLAG_IOPL 0x3000u
#define FLAG_NT 0x4000u
#define FLAG_RF 0x10000u
#define FLAG_VM 0x20000u
#define FLAG_AC 0x40000u
#define FLAG_VIF 0x80000u
#define FLAG_VIP 0x100000u
#define FLAG_ID 0x200000u
#define FLAG_FIXED 0x2u
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* CR0, CR4, EFER (SDM vol. 3, 2.5 and 2.2.1) */
#define CR0_PE 0x1u
#define CR0_MP 0x2u
#define CR0_EM 0x4u
#define CR0_TS 0x8u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_AM 0x40000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR3_NO_FLUSH (1ull << 63) /* in what MOV to CR3 writes, with CR4.PCIDE */
#define CR4_VME 0x1u
#define CR4_PVI 0x2u
#define CR4_TSD 0x4u
#define CR4_DE 0x8u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_MCE 0x40u
#define CR4_PGE 0x80u
#define CR4_PCE 0x100u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define CR4_UMIP 0x800u
#define CR4_FSGSBASE 0x10000u
#define CR4_PCIDE 0x20000u
#define CR4_OSXSAVE 0x40000u
#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define EFER_SCE 0x1u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define EFER_NXE 0x800u

enum cpu_vector {
    EXC_DE,
    EXC_DB,
    EXC_NMI,
    EXC_BP,
    EXC_OF,
    EXC_BR,
    EXC_UD,
    EXC_NM,
    EXC_DF,
    EXC_TS = 10,
    EXC_NP,
    EXC_SS,
    EXC_GP,
    EXC_PF,
    EXC_MF = 16,
    EXC_AC,
    EXC_MC,
    EXC_XM
};

/* A segment register with its descriptor cache (SDM vol. 3, 3.4.3). */
struct segment {
    uint16_t selector;
    uint16_t attributes; /* descriptor bits 40-47 in 0-7, 52-55 in 8-11: see SEGATTR_* */
    uint32_t limit;      /* in bytes, granularity applied */
    uint64_t base;
};
#define SEGATTR_TYPE 0xfu
#define SEGATTR_S 0x10u
#define SEGATTR_DPL(a) (((a) >> 5) & 3u)
#define SEGATTR_P 0x80u
#define SEGATTR_AVL 0x100u
#define SEGATTR_L 0x200u
#define SEGATTR_DB 0x400u
#define SEGATTR_G 0x800u

struct table_register {
    uint64_t base;
    uint16_t limit;
};

#endif
