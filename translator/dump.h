/*
 * dump.h - code for people: guest and host disassembly.
 */
#ifndef NOVT_TRANSLATOR_DUMP_H
#define NOVT_TRANSLATOR_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* bits: 16, 32 or 64. One line an instruction: address, bytes, text. */
void dump_code(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits);
/* The first one alone; how many bytes it has. */
size_t dump_instruction(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits);

#endif
