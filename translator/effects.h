/*
 * effects.h - what the manual says of an instruction, by Zydis's tables, for those who do not translate it.
 *
 * `bytes` may end early; bits: 16, 32 or 64. An instruction that does not decode has no effects.
 */
#ifndef NOVT_TRANSLATOR_EFFECTS_H
#define NOVT_TRANSLATOR_EFFECTS_H

#include <stdint.h>

/* The arithmetic flags that are undefined behind it. */
uint32_t effects_undefined_flags(const uint8_t *bytes, unsigned size, unsigned bits);

/* How it uses memory, the stack too: EFFECTS_READ and EFFECTS_WRITE, each if some operand is only read, or
   written (read or not). */
#define EFFECTS_READ 1u
#define EFFECTS_WRITE 2u
unsigned effects_memory(const uint8_t *bytes, unsigned size, unsigned bits);

#endif
