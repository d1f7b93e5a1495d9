/*
 * lockstep.h - every block run by both engines and compared.
 */
#ifndef NOVT_TRANSLATOR_LOCKSTEP_H
#define NOVT_TRANSLATOR_LOCKSTEP_H

#include "translator/internal.h"

struct lockstep;

struct lockstep *lockstep_create(void);
void lockstep_destroy(struct lockstep *s);
/* Runs the interpreter over the instructions of b, keeps what it did, and takes it back. */
void lockstep_before(struct lockstep *s, struct vcpu *v, const struct block *b);
/* v has run b translated: compares. false: they differ; the report is in *text. */
bool lockstep_after(struct translator *t, struct vcpu *v, const struct block *b, const char **text);

/* Instructions that the last comparison was about. */
unsigned lockstep_compared(const struct lockstep *s);

/* How many instructions of b lie at or behind rip. */
unsigned lockstep_instructions_left(const struct block *b, gva_t rip);
/* Prints the difference, the block and its host code, and ends the process: nothing after it can be trusted. */
_Noreturn void lockstep_report(struct translator *t, struct vcpu *v, const struct block *b, const char *text);

/* An instruction whose result depends on when it runs: both engines leave it to the run loop. */
bool lockstep_unrepeatable(const struct insn *in);

#endif
