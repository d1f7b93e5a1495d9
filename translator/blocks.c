/*
 * blocks.c - what a debugger asks the translator for: breakpoints, and which blocks there are.
 *
 * Interface: translator.h. Invariant: no block in the cache holds the address of a breakpoint, so translated code
 * comes back to the run loop in front of it; hence everything is dropped when they change.
 */
#include <errno.h>
#include <string.h>

#include "translator/internal.h"

int translator_set_breakpoints(struct translator *t, struct vcpu *v, const gva_t *address, unsigned count)
{
    if (count > TRANSLATOR_BREAKPOINTS)
        return -E2BIG;
    memcpy(t->breakpoint, address, count * sizeof *address);
    t->breakpoint_count = count;
    translator_flush(t, v);
    translator_of(v)->unlinked = NULL; /* it was an exit of a block that is gone */
    return 0;
}

static unsigned count_links(const struct block *b)
{
    unsigned links = 0;

    for (const struct block_exit *x = b->incoming; x; x = x->next_incoming)
        links++;
    return links;
}

bool translator_next_block(const struct translator *t, size_t *index, struct translator_block *block)
{
    const struct block *b;

    do {
        if (*index >= t->cache.order_count)
            return false;
        b = t->cache.order[(*index)++];
    } while (!b->valid);
    *block = (struct translator_block){
        .pc = b->pc,
        .gpa = b->gpa,
        .mode = b->mode,
        .guest_bytes = b->size,
        .instructions = b->instructions,
        .host_bytes = (unsigned)(b->code_end - b->code),
        .cold_bytes = (unsigned)(b->cold_end - b->cold),
        .links = count_links(b),
        .samples = b->samples,
    };
    return true;
}

void translator_note_sample(struct vcpu *v, intptr_t address)
{
    const struct translator *t = translator_of(v)->translator;
    struct block *b = t ? cache_find_host(&t->cache, (const uint8_t *)address) : NULL;

    if (b)
        b->samples++;
}
