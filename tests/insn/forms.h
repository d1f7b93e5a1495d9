/*
 * forms.h - the table of instruction forms, found by walking the opcode maps.
 */
#ifndef NOVT_TESTS_INSN_FORMS_H
#define NOVT_TESTS_INSN_FORMS_H

#include "tests/insn/insn.h"

#include <Zydis/Zydis.h>

enum form_encoding { FORM_LEGACY, FORM_VEX, FORM_EVEX };
enum form_class { CLASS_GENERAL, CLASS_X87, CLASS_MMX_SSE, CLASS_VEX, CLASS_EVEX, CLASS_COUNT };

struct insn_form {
    uint64_t mask; /* ModRM: with a register operand bit reg * 8 + rm, with memory bit reg */
    uint16_t mnemonic;
    /* map 0: none, 1: 0F, 2: 0F38, 3: 0F3A; pp: none, 66, F3, F2, 66 F3, 66 F2 */
    uint8_t encoding, map, pp, w, l, b, opcode;
    bool has_modrm, memory, lockable;
    uint8_t class;
};

struct form_group { /* the forms of one mnemonic in one class */
    unsigned first, count;
};

struct insn_forms {
    enum insn_mode mode;
    bool long_mode; /* of the guest: it has 64-bit code, too */
    bool v86;
    struct insn_form *form;
    unsigned count;
    struct form_group *group;
    unsigned class_first[CLASS_COUNT + 1]; /* groups of a class */
    ZydisDecoder decoder;
};

/* The generator's, for those who make code of their own. */
const struct insn_forms *insn_generator_table(const struct insn_generator *g);
int insn_forms_build(struct insn_forms *f, const char *only, enum insn_mode mode, enum insn_machine machine);
/* After forms were taken out (count of a form's mask 0). */
void insn_forms_index(struct insn_forms *f);
void insn_forms_free(struct insn_forms *f);
/* May this decoded instruction be run natively as a user, and mean the same in the guest? */
bool insn_form_accepts(const struct insn_forms *f, const ZydisDecodedInstruction *i);
const struct insn_form *insn_forms_pick(const struct insn_forms *f, struct insn_random *r);
/* Random bytes of this form up to and with ModRM and SIB, then random bytes to 15. Not always valid. */
unsigned insn_form_encode(const struct insn_forms *f, const struct insn_form *form, struct insn_random *r,
                          uint8_t bytes[15], int base);

#endif
