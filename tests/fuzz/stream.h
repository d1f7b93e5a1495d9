/*
 * stream.h - the fuzz target of the instruction stream: made (stream_make.c), judged (stream_judge.c), run in
 * every engine and compared (stream.c).
 */
#ifndef NOVT_TESTS_FUZZ_STREAM_H
#define NOVT_TESTS_FUZZ_STREAM_H

#include "tests/insn/forms.h"

/* What a run of the interpreter tells about a stream. */
struct judge {
    const struct insn_forms *forms;
    const uint8_t *code; /* the code area of the engine that is watched */
    struct insn_case *c;
    unsigned steps;
    bool may_be_long,
        may_be_cut;  /* the last instruction, which is undefined: more than 15 bytes; beyond the area */
    bool native;     /* the host may run it, and means the same by it */
    bool comparable; /* the result is defined by the manual, and does not depend on the time */
};

/* A stream and its start state; deterministic in seed and index. */
void stream_make(struct insn_generator *g, struct insn_case *c, uint64_t seed, uint64_t index);

/* Before the interpreter runs c; then judge_watch before each of its instructions, with v in *opaque. */
void judge_start(struct judge *j, const struct insn_forms *forms, struct insn_case *c, const uint8_t *code);
bool judge_watch(void *opaque, const struct vcpu *v);
/* Behind it: whether the way it ended rules out the host, and what the comparison must leave alone. */
void judge_end(struct judge *j, const struct insn_state *end);
/* May either of these two exceptions be the one that ends it? */
bool judge_either(const struct judge *j, unsigned a, unsigned b);

#endif
