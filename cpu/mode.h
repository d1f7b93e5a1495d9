/*
 * mode.h - what translated code depends on besides the address, as bits of vcpu->mode: part of a block's key.
 * cpu_update_mode (vcpu.h) keeps them.
 */
#ifndef NOVT_CPU_MODE_H
#define NOVT_CPU_MODE_H

#define MODE_CPL 0x3u    /* current privilege level; 3 in virtual-8086 mode */
#define MODE_CODE16 0x0u /* CS default size */
#define MODE_CODE32 0x4u
#define MODE_CODE64 0x8u
#define MODE_CODE_MASK 0xcu
#define MODE_SS32 0x10u /* SS.B (or 64-bit mode) */
#define MODE_PE 0x20u   /* protected mode */
#define MODE_VM 0x40u   /* virtual-8086 mode */
#define MODE_AC 0x80u   /* MMU_SUPERVISOR_AC is the data context */
#define MODE_X87 0x100u /* x87/MMX do not give #NM or #UD (CR0.EM, CR0.TS) */
#define MODE_SSE 0x200u /* SSE usable (CR4.OSFXSR, CR0.EM, CR0.TS) */
#define MODE_AVX 0x400u /* AVX usable (CR4.OSXSAVE, XCR0, CR0.TS) */
#define MODE_AVX512 0x800u
#define MODE_TSD 0x1000u  /* RDTSC gives #GP here (CR4.TSD and CPL > 0) */
#define MODE_IOPL 0x2000u /* CPL <= IOPL: CLI and STI allowed */
#define MODE_FSGSBASE 0x4000u
#define MODE_UMIP 0x8000u /* UMIP set and CPL > 0: SGDT and friends give #GP */
/* 32-bit protected mode whose CS, DS, ES and SS have base 0, no limit below 4 GiB, and are usable, DS ES SS
   writable; or 64-bit mode. */
#define MODE_FLAT 0x10000u
#define MODE_FLAT32 (MODE_PE | MODE_CODE32 | MODE_SS32 | MODE_FLAT) /* together: flat 32-bit code */
#define MODE_LMA 0x20000u                                           /* long mode active */
#define MODE_SINGLE                                                                                               \
    0x40000u /* TF, DR7, alignment checks or a debugger: one instruction at a time, by the interpreter */
#define MODE_SMAP 0x100000u /* CR4.SMAP: STAC and CLAC change the data context */
#define MODE_TS 0x80000u    /* CR0.TS: #NM rather than #UD where usable otherwise */

#endif
