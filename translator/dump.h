/*
 * dump.h - code for people: guest and host disassembly.
 */
#ifndef NOVT_TRANSLATOR_DUMP_H
#define NOVT_TRANSLATOR_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum dump_syntax { DUMP_INTEL, DUMP_ATT };

/* Numbers in operands that may have a name. */
enum dump_number {
    DUMP_TARGET,   /* of a direct jump or call */
    DUMP_GS,       /* the displacement of a memory operand with a GS prefix, sign-extended */
    DUMP_IMMEDIATE /* of 64 bits */
};

/* Writes the number's name; false: it has none, and is printed as it is. */
struct dump_names {
    bool (*name)(void *opaque, enum dump_number kind, uint64_t value, char *text, size_t size);
    void *opaque;
};

#define DUMP_TEXT 240
struct dump_insn {
    uint64_t address;
    unsigned size;        /* bytes */
    bool valid;           /* false: it does not decode, size is 1 */
    char text[DUMP_TEXT]; /* mnemonic and operands */
};

struct dump;

/* bits: 16, 32 or 64. names: NULL for none; kept. NULL: out of memory. Free with dump_close. */
struct dump *dump_open(unsigned bits, enum dump_syntax syntax, const struct dump_names *names);
void dump_close(struct dump *d); /* or NULL */
/* The next instruction of the code, which moves on; false at its end. */
bool dump_next(struct dump *d, const uint8_t **bytes, size_t *size, uint64_t *address, struct dump_insn *insn);

/* One line an instruction: address, bytes, text; in Intel's syntax. */
void dump_code(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits);
/* The first one alone; how many bytes it has. */
size_t dump_instruction(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits);

#endif
