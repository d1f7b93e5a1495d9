/*
 * build.h - a case under construction (generate.c, operands.c, sequence.c, loop.c, control.c).
 */
#ifndef NOVT_TESTS_INSN_BUILD_H
#define NOVT_TESTS_INSN_BUILD_H

#include "tests/insn/forms.h"
#include "tests/insn/state.h"

struct builder {
    const struct insn_forms *forms;
    struct insn_random *r;
    struct insn_case *c;
    uint32_t fixed;  /* start values of these registers may not be changed any more */
    uint32_t known;  /* sequences: these still hold their start value when the next instruction runs */
    uint32_t pinned; /* sequences: no instruction may write these, but for the stack pointer by PUSH and POP */
    bool sequence;
    bool loop;             /* a sequence whose pointers move: its operands lie near them */
    uint16_t seg[S_COUNT]; /* sequences: what the segment registers hold at the instruction being built */
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    uint8_t bytes[15];
    uint64_t ip; /* of the instruction being built */
};

/* Decodes b->bytes; false when it is no instruction that a test may use. */
bool build_decode(struct builder *b);
/* Chooses registers, displacements and memory so that the operands lie in the data area (mostly). False: try
   another encoding. */
bool build_operands(struct builder *b);
void build_append(struct builder *b, const void *bytes, unsigned size);
void build_exit(struct builder *b, unsigned exit);
/* The same from code of another size than the case's. */
void build_exit_mode(struct builder *b, unsigned exit, enum insn_mode mode);
/* The linear address that SS:SP has at the start. */
uint64_t build_stack(const struct builder *b);
uint64_t build_here(const struct builder *b);
void build_set_register(struct builder *b, unsigned reg, uint64_t value);
bool build_poke(struct builder *b, uint64_t linear, uint64_t value);
/* A place in the data area for an operand of `size` bytes. */
uint64_t build_target(struct builder *b, unsigned size);
/* Number of the 64-bit register that contains `reg`, or -1. */
int build_gpr(ZydisRegister reg);
/* A fault in the middle may leave a part of the result behind. */
bool build_is_piecewise(const ZydisDecodedInstruction *i);
/* The same of registers: POPA. */
bool build_fills_registers(const ZydisDecodedInstruction *i);
/* CMPS and MOVS read or write at two places: which page fault comes first is the processor's choice;
   FLDENV, FRSTOR, FXSAVE and FXRSTOR work in pieces. */
bool build_faults_in_any_order(const ZydisDecodedInstruction *i);
bool build_may_reach(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op);
uint32_t build_fault_flags(const ZydisDecodedInstruction *i);
void build_sequence(struct builder *b, unsigned steps);
/* Appends an instruction of this form, with `base` for a memory operand (-1: any of the known registers).
   conditional: it may be jumped over. False: try again. */
bool build_step(struct builder *b, const struct insn_form *form, int base, bool conditional);
/* Outside of 64-bit mode pointers are offsets in the segment that goes with them. */
uint64_t build_offset(const struct builder *b, unsigned seg, uint64_t linear);
/* A loop over memory, in 64- and 32-bit code. */
void build_loop(struct builder *b, unsigned steps);
void build_control(struct builder *b);
/* The same in 16- and 32-bit code. */
void build_control_narrow(struct builder *b);

#endif
