/*
 * table.h - the instructions that matter to trap-and-emulate: those that trap when run deprivileged, and those
 * that are sensitive and do not.
 */
#ifndef NOVT_TRAP_TABLE_H
#define NOVT_TRAP_TABLE_H

#include "cpu/vcpu.h"

enum trap_class {
    TRAP_PRIVILEGED, /* #GP or #UD outside of CPL 0: can be emulated */
    TRAP_SENSITIVE   /* reads or writes privileged state, and does not always trap */
};

struct trap_row {
    const char *name;            /* as in the manual, lower case */
    const char *traps, *differs; /* names of its counters */
    const char *why;             /* one line; NULL for privileged ones */
    uint8_t map, opcode;         /* enum insn_map */
    int8_t reg;                  /* ModRM.reg, or the whole ModRM byte from 0xc0 on; -1: any */
    uint8_t form;                /* enum trap_form */
    uint8_t prefix;              /* 0, or the one that makes it this instruction */
    uint8_t class;               /* enum trap_class */
};

#define TRAP_ROWS 96 /* room for counters */

extern const struct trap_row trap_table[];
extern const unsigned trap_table_size;
/* The last row: any instruction that the guest has switched off. */
#define trap_switched_off trap_table[trap_table_size - 1]

/* Guest code at a linear address, without side effects: how many bytes of `size` there are. */
unsigned trap_read_code(struct vcpu *v, gva_t linear, uint8_t *to, unsigned size);

struct insn;
/* The instruction at CS:RIP, its bytes (DECODE_BUFFER of them) and where it is; bytes that cannot be read are
   zeros. How many there are of it. */
unsigned trap_decode(struct vcpu *v, struct insn *insn, uint8_t *bytes, gva_t *linear);
/* One-byte opcodes that no row has: arithmetic, PUSH and POP, jumps, MOV; most of what any program executes. */
static inline bool trap_is_ordinary(uint8_t opcode)
{
    return (opcode >= 0x20 && opcode < 0x60) || (opcode >= 0x70 && opcode <= 0x8b) ||
           (opcode >= 0xb0 && opcode <= 0xc3);
}
/* Its row, or NULL. */
const struct trap_row *trap_find_row(const struct insn *insn);
const struct trap_row *trap_row_at(struct vcpu *v); /* of the one at CS:RIP */
static inline unsigned trap_code_bits(const struct vcpu *v)
{
    uint32_t code = v->mode & MODE_CODE_MASK;

    return code == MODE_CODE64 ? 64 : code == MODE_CODE32 ? 32 : 16;
}

#endif
