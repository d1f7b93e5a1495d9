/*
 * segment.h - what the files about segments share: code whose segments are not flat (segment.c, segload.c,
 * real.c), and segment registers in any code (selector.c).
 */
#ifndef NOVT_TRANSLATOR_SEGMENT_H
#define NOVT_TRANSLATOR_SEGMENT_H

#include "translator/lower.h"

/* --- segment.c --- */
/* The row of an instruction in segmented code. */
lower_function *segment_find(const struct translator *t, const struct insn *in, uint32_t mode);
struct pointer segment_operand(struct lower *l, const struct operand *op, enum pointer_form form);
/* What `info` tells of [SS:base + disp], the offset in SP's or ESP's width. */
struct pointer segment_stack(struct lower *l, int base, int32_t disp, uint32_t info);
/* The same of several words at [SS:SP + disp], each of which wraps by itself: if they do, the interpreter runs the
   instruction, which must end its block. */
struct pointer segment_frame(struct lower *l, int32_t disp, uint32_t info);
void segment_set_sp(struct lower *l, int base, int32_t disp); /* SP or ESP = base + disp */
void segment_truncate(struct lower *l, int reg);              /* to 16 bits */

/* --- segload.c --- */
/* The row of what loads or reads a segment register in segmented code; NULL: none. */
lower_function *segload_find(const struct insn *in, uint32_t mode);

/* --- real.c --- */
/* The row of a transfer to another code segment of real mode; NULL: none. */
lower_function *real_find(const struct translator *t, const struct insn *in, uint32_t mode);

/* --- selector.c --- */
int selector_operand(const struct operand *op);                       /* SEG_*; -1: another operand */
void selector_read(struct lower *l, int host, ZydisRegister segment); /* zero-extended */
/* In flat 32-bit code: MOV of a general register and a segment register, and POP of one; but for SS, which holds
   interrupts off. */
bool selector_is_read(const struct insn *in);
bool selector_is_loaded(const struct insn *in);
/* Loads a data segment register with the selector in RAX; RIP moves by C alone. info: SEGMENT_POP*. */
void selector_call(struct lower *l, unsigned segment, uint32_t info);

#endif
