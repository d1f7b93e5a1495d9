/*
 * explain_internal.h - what the files that explain a block share.
 */
#ifndef NOVT_TRANSLATOR_EXPLAIN_INTERNAL_H
#define NOVT_TRANSLATOR_EXPLAIN_INTERNAL_H

#include "translator/explain.h"
#include "translator/lower.h"

struct explainer {
    struct translator *t;
    const struct block *made; /* aside; NULL: there is no translation */
    const struct block *live; /* the machine's own, if it has the block; else NULL */
    enum dump_syntax syntax;
    struct explain_block *out;
};

/* Both return 0 or -ENOMEM. */
int explain_guest_side(struct explainer *x, unsigned count);
int explain_host_side(struct explainer *x);

#endif
