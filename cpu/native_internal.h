/*
 * native_internal.h - shared by the native*.c files: the rows that describe SIMD instructions, the vCPU's stubs,
 * vector registers in the XSAVE image. Private to cpu/.
 */
#ifndef NOVT_CPU_NATIVE_INTERNAL_H
#define NOVT_CPU_NATIVE_INTERNAL_H

#include "cpu/interp_tables.h"
#include "cpu/native.h"
#include "cpu/simd.h"

/* Size of the memory operand. VEC is the vector length; W is 4 or 8 by REX.W, VEX.W or EVEX.W. */
enum native_size {
    N_NONE,
    N_1,
    N_2,
    N_4,
    N_8,
    N_10,
    N_16,
    N_32,
    N_VEC,
    N_HALF,
    N_QUARTER,
    N_EIGHTH,
    N_W,
    N_DUP,
    N_HALF_W0,
    N_K,
    N_ENV,
    N_SAVE
};

/* Which encodings a row is for, what it does, which registers are general ones. */
enum {
    N_L = 1,
    N_V = 2,
    N_E = 4,
    N_LV = N_L | N_V,
    N_LVE = N_LV | N_E,
    N_VE = N_V | N_E,
    N_STORE = 0x10,
    N_GREG = 0x20,    /* ModRM.reg is a general register, the destination */
    N_GRM = 0x40,     /* ModRM.rm is one when mod is 3: destination if N_STORE, else source */
    N_ALIGNED = 0x80, /* memory aligned to its size in VEX and EVEX too */
    N_ANY = 0x100,    /* memory may be unaligned in the legacy encoding too */
    N_INT = 0x200,    /* 256 bits need AVX2 */
    N_STRING = 0x400, /* PCMPxSTRx: EAX, EDX in, ECX out */
    N_IMM = 0x800,
    N_MMX = 0x1000,
    N_X87 = 0x2000,
    N_GATHER = 0x4000,
    N_SCATTER = 0x8000,
    N_MASKED = 0x10000, /* VMASKMOV, VPMASKMOV */
    N_MASKMOV = 0x20000,
    N_PACK = 0x40000, /* compress, expand: the elements in memory are contiguous */
    N_ELEMENT1 = 0x100000,
    N_ELEMENT2 = 0x200000,
    N_ELEMENT4 = 0x400000,
    N_ELEMENT8 = 0x800000,
    N_BYTEWORD = 0x1000000, /* elements of 1 or 2 bytes by EVEX.W */
    N_KEEP_FIP = 0x2000000,
    N_RAX_OUT = 0x4000000,
    N_ZERO = 0x8000000 /* VZEROUPPER, VZEROALL */
};

struct native_row {
    uint8_t map, first, last, pp;
    uint8_t size;    /* enum native_size */
    uint8_t feature; /* enum native_feature */
    uint32_t flags;
};

enum native_feature {
    F_NONE,
    F_MMX,
    F_SSE,
    F_SSE2,
    F_SSE3,
    F_SSSE3,
    F_SSE41,
    F_SSE42,
    F_PCLMUL,
    F_AES,
    F_SHA,
    F_AVX,
    F_AVX2,
    F_FMA,
    F_F16C,
    F_GFNI,
    F_VNNI,
    F_AVX512,
    F_COUNT
};

/* The row for an instruction, NULL for none. */
const struct native_row *native_find(struct vcpu *v, const struct insn *i);
/* The row of an x87 instruction with a memory operand; NULL: #UD. */
const struct native_row *native_find_x87(const struct insn *i);
extern const struct native_row native_x87_register;
bool native_has(const struct vcpu *v, const struct native_row *row, const struct insn *i);
unsigned native_operand_size(const struct native_row *row, const struct insn *i);
unsigned native_element_size(const struct native_row *row, const struct insn *i);

#define NATIVE_SLOTS 2048u
#define NATIVE_SLOT 32u
#define NATIVE_BOUNCE 4096u
#define NATIVE_POINTERS 18u /* bytes, at offset 6 of the legacy region (SDM vol. 1, 10.5.1) */

struct cpu_native {
    _Alignas(4096) uint8_t code[NATIVE_SLOTS * NATIVE_SLOT]; /* executable: the instruction and RET */
    uint8_t key[NATIVE_SLOTS][16];
    bool defined[NATIVE_SLOTS]; /* the host takes the instruction in the slot */
    _Alignas(64) uint8_t bounce[NATIVE_BOUNCE];
    uint64_t area_mask[2];             /* of the save area that was measured last, standard and compact */
    unsigned area_size[2];             /* its bytes; 0: none was */
    uint8_t pointers[NATIVE_POINTERS]; /* FOP, FIP and FDP as FXRSTOR or XRSTOR has left them */
    uint8_t *operand;                  /* where in the bounce buffer [RBX] points */
    uint32_t avx_at, opmask_at, zmm_at, hi16_at; /* offsets of the components in the XSAVE image */
    const struct native_row *row[3][4][4][256];  /* cache of native_find: encoding, map, prefix, opcode */
};

/* Registers of a stub run; the layout is known to native_call. */
struct native_frame {
    uint64_t rax, rcx, rdx, rbx, rflags;
    const void *stub;
    uint64_t fault; /* 1 + vector */
};

/* NULL when the host has no memory for it. */
struct cpu_native *native_state(struct vcpu *v);
/* Runs `code` (an instruction of up to 15 bytes; its memory operand is [RBX], the bounce buffer) with the guest's
   SIMD state. Faults: CPU_FAULT with #UD, #GP(0), #MF or #XM. */
enum cpu_status native_run(struct vcpu *v, const uint8_t *code, unsigned length, struct native_frame *f, bool x87);
/* Offset of the memory operand: disp8 is scaled in EVEX (SDM vol. 2, 2.7.5). */
uint64_t native_address(const struct vcpu *v, struct insn *i, unsigned scale);

/* #NM, #UD by CR0, CR4, XCR0. */
enum cpu_status native_check_mode(struct vcpu *v, const struct native_row *row, const struct insn *i);

/* --- native_save.c --- */
/* VZEROUPPER and VZEROALL outside of 64-bit mode: registers 8 and up stay. */
enum cpu_status native_zero_lower(struct vcpu *v, struct insn *i);

/* --- native_masked.c --- */
void native_get_vector(struct vcpu *v, unsigned n, uint8_t out[64]);
uint64_t native_get_mask(struct vcpu *v, unsigned k);
enum cpu_status native_gather(struct vcpu *v, struct insn *i);
enum cpu_status native_scatter(struct vcpu *v, struct insn *i);
enum cpu_status native_maskmov(struct vcpu *v, struct insn *i);
/* Elements of `size` bytes whose bit is set in mask, between memory and the bounce buffer; others read as zero. */
enum cpu_status native_read_masked(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size, unsigned count,
                                   uint64_t mask);
enum cpu_status native_write_masked(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size, unsigned count,
                                    uint64_t mask);
/* Sign bits of the elements of a vector register. */
uint64_t native_sign_mask(struct vcpu *v, unsigned n, unsigned size);

#endif
