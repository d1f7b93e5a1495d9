/*
 * state.h - random start states and data images with the values that break things.
 */
#ifndef NOVT_TESTS_INSN_STATE_H
#define NOVT_TESTS_INSN_STATE_H

#include "tests/insn/insn.h"

uint64_t state_random_value(struct insn_random *r);
void state_random(struct insn_random *r, enum insn_mode mode, struct insn_state *s);
void state_random_image(struct insn_random *r, uint8_t *image, unsigned size);
/* One lane of a vector register, size 4 or 8; nothing when the host's registers are not that wide. */
void state_set_lane(struct insn_state *s, unsigned reg, unsigned lane, unsigned size, uint64_t value);

#endif
