/*
 * decode.h - one x86 instruction taken apart: prefixes, opcode, ModRM, displacement, immediate.
 *
 * The interpreter's own decoder, independent of the translator's, so that each can check the other.
 */
#ifndef NOVT_CPU_DECODE_H
#define NOVT_CPU_DECODE_H

#include "cpu/vcpu.h"

#define INSN_MAX 15      /* bytes; longer gives #GP (SDM vol. 2, 2.3.11) */
#define DECODE_BUFFER 40 /* bytes that insn_decode may look at */
#define REG_NONE 0xffu   /* no base or index register */
#define BASE_RIP 0xfeu   /* RIP-relative */

enum insn_map { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A, MAP_EVEX5 = 5, MAP_EVEX6 };

#define REX_B 1u
#define REX_X 2u
#define REX_R 4u
#define REX_W 8u

struct insn {
    uint64_t next; /* RIP when the instruction is done; handlers of transfers change it */
    uint64_t imm;  /* immediate, sign-extended; or the offset of a far pointer or of a moffs */
    int64_t disp;
    uint16_t imm2; /* selector of a far pointer, nesting level of ENTER */
    uint8_t length, map, opcode;
    uint8_t modrm, mod, reg, rm; /* reg, rm with REX/VEX extension */
    uint8_t base, index, scale;  /* of the memory operand */
    uint8_t sib;
    uint8_t opsize, addrsize; /* bytes: 2, 4, 8 */
    uint8_t segment;          /* of the memory operand */
    uint8_t rep;              /* 0, 0xf2 or 0xf3: the last one */
    bool lock, opsize_prefix, segment_override, has_modrm;
    uint8_t rex;          /* 0x40-0x4f, 0 for none; VEX and EVEX set the low four bits only */
    uint8_t vex;          /* 0, 2, 3: VEX of that many bytes; 4: EVEX */
    uint8_t vvvv, vl, pp; /* vl: 0 128, 1 256, 2 512 bits; pp: 0, 0x66, 0xf3, 0xf2 */
    uint8_t evex[3];      /* payload bytes P0-P2 */
    uint8_t opcode_at, modrm_at, imm_size;
};

/*
 * Takes apart the instruction at `bytes` (DECODE_BUFFER of them must be readable; those behind what could be
 * fetched may hold anything). `mode` is vcpu->mode. Never fails: an unknown opcode has whatever length the
 * tables give. i->next is left to the caller. A length above INSN_MAX means #GP.
 */
void insn_decode(struct insn *i, const uint8_t *bytes, uint32_t mode);

#endif
