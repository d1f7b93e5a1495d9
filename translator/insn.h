/*
 * insn.h - one decoded guest instruction, as the translator looks at it.
 *
 * What of Zydis's kilobyte an instruction matters here, in under 400 bytes; values are Zydis's enumerators.
 * The template cache (template.c) keeps them by the bytes in front of displacement and immediate.
 */
#ifndef NOVT_TRANSLATOR_INSN_H
#define NOVT_TRANSLATOR_INSN_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/ram.h"

#define INSN_MAX_LENGTH 15u

struct lower;
typedef void lower_function(struct lower *l);

/* 66, 67, F0, F2, F3 and the segment overrides (SDM vol. 2, 2.1.1). */
static inline bool insn_is_legacy_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return false;
    }
}

struct operand {
    uint8_t type;     /* ZydisOperandType */
    uint8_t actions;  /* ZYDIS_OPERAND_ACTION_* */
    uint8_t encoding; /* ZydisOperandEncoding */
    uint16_t size;    /* bits */
    union {
        struct {
            uint16_t value; /* ZydisRegister */
        } reg;
        struct {
            int64_t disp;
            uint16_t segment, base, index; /* ZydisRegister */
            uint8_t scale;
            uint8_t type; /* ZydisMemoryOperandType */
        } mem;
        struct {
            uint16_t segment;
            uint32_t offset;
        } ptr;
        union {
            uint64_t u;
            int64_t s;
        } imm;
    };
};

/* How an instruction is copied (copy_plan.c). */
struct copy_plan {
    int8_t reg, rm, vvvv, opcode; /* host numbers of register fields; COPY_AWAY + guest register: it has none */
    uint8_t opcode_at, tail;      /* offsets in the bytes: behind the prefixes, behind ModRM and displacement */
    uint8_t rex;                  /* the one that counts, or 0 */
    uint8_t form;                 /* enum pointer_form of the memory operand */
    int8_t memory;                /* which operand, or -1 */
    int8_t accumulator;           /* the opcode extension of "op RAX, imm"; -1: it is something else */
    uint16_t overwritten;         /* guest registers that it writes as a whole, and does not look at */
    bool rax : 1;                 /* it uses RAX by itself, or AH: the guest's RAX is moved there */
    bool writes_rax : 1;
    bool away : 1;           /* there are fields at COPY_AWAY */
    bool rm_read : 1;        /* the register in ModRM.rm is only read, and memory could be there instead */
    bool turned : 1;         /* reg and rm have changed places; bit 1 of the opcode says so, but for TEST */
    bool no_rex_pointer : 1; /* the pointer cannot be in R11, and RAX is taken */
    bool short_count : 1;    /* INC or DEC in one byte, which are prefixes in 64-bit code */
};
#define COPY_NO_FIELD (-1) /* not a general register */
#define COPY_AWAY 16

struct insn {
    gva_t pc;
    uint8_t bytes[16];
    /* From here on what template.c keeps. */
    lower_function *row; /* how it is lowered */
    uint64_t attributes; /* ZYDIS_ATTRIB_* */
    int64_t imm;         /* the first immediate, extended as the instruction does */
    uint16_t mnemonic;
    uint8_t length, width /* of the mode: 64, 32 or 16 */, operand_width, address_width;
    uint8_t category, isa_ext, branch_type, encoding, opcode_map, opcode;
    uint8_t operand_count, visible_count;
    uint8_t modrm, disp_offset, imm_offset, disp_size, imm_size; /* in bytes of the instruction; 0: none */
    bool imm_signed, two_immediates;
    bool vex_w;
    bool ends;      /* a block ends with it, ... */
    bool side_exit; /* ... or may go on behind it, if it does not jump back */
    bool valid;     /* false: does not decode; the interpreter raises the fault */
    bool lacking;   /* the guest's CPU model does not have it, or means something else by it */
    /* Arithmetic flags that it reads, and surely writes (RFLAGS format); it needs those before it in the host's:
       it reads some, or writes only a part. */
    bool flags_needed;
    uint16_t flags_read, flags_written;
    uint16_t writes; /* general registers, bit per guest register */
    uint16_t uses;   /* those read, written or in an address */
    bool high_byte;  /* AH, CH, DH or BH is an operand */
    bool memory;     /* has a memory operand */
    bool masked;     /* ... of which elements may be left out, which do not fault then */
    struct copy_plan copy;
    struct operand op[ZYDIS_MAX_OPERAND_COUNT];
};

#endif
