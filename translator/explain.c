/*
 * explain.c - the block at an address, and its translation.
 *
 * Interface: explain.h. Invariant: what making a block leaves behind in the translator (counters, the arena, what
 * it was told of the block's entry) is put back, so that a machine that goes on afterwards does not notice.
 */
#include "translator/explain_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "translator/tier.h"

/* What making a block changes. */
struct before {
    struct translator_stats stats;
    size_t arena_used;
    uint64_t rip;
    unsigned max_instructions;
    bool came_with_flags;
};

static void keep(struct before *b, const struct translator *t, struct vcpu *v)
{
    *b = (struct before){t->stats, t->cache.arena_used, v->rip, t->max_instructions,
                         translator_of(v)->came_with_flags};
}

static void put_back(const struct before *b, struct translator *t, struct vcpu *v)
{
    t->stats = b->stats;
    t->cache.arena_used = b->arena_used;
    v->rip = b->rip;
    t->max_instructions = b->max_instructions;
    translator_of(v)->came_with_flags = b->came_with_flags;
}

/* The machine's own block at RIP, or NULL. */
static const struct block *find_live(const struct translator *t, struct vcpu *v)
{
    gpa_t gpa;

    if (!mmu_probe(&v->mmu, lookup_linear(v, v->rip), &gpa))
        return NULL;
    return cache_lookup(&t->cache, gpa, v->rip, translator_block_mode(v));
}

static int why_nothing(const struct translator *t, struct vcpu *v, unsigned count, struct error *error)
{
    unsigned long long rip = v->rip;
    gpa_t gpa;

    if (lookup_beyond_limit(v))
        return error_set(error, ERANGE, "address 0x%llx: outside of the code segment, which ends at 0x%x", rip,
                         v->seg[SEG_CS].limit);
    if (!mmu_probe(&v->mmu, lookup_linear(v, v->rip), &gpa) || !ram_host_readable(t->ram, gpa))
        return error_set(error, EFAULT, "address 0x%llx: no memory of the guest is mapped there", rip);
    if (!count)
        return error_set(error, ENODATA,
                         "address 0x%llx: only a part of an instruction is there: the bytes end, or the next page "
                         "is not mapped",
                         rip);
    return error_set(error, ENOSPC,
                     "address 0x%llx: no room in the code cache; try again when the guest has run on", rip);
}

static const char *tier_name(const struct lower *l)
{
    if (!l->windowed)
        return "software TLB";
    return l->window ? "window" : "kernel window";
}

static void compare_live(struct explainer *x)
{
    const struct block *a = x->live, *b = x->made;

    if (!a || !b)
        return;
    x->out->differs =
        a->code_end - a->code != b->code_end - b->code || a->cold_end - a->cold != b->cold_end - b->cold;
    x->out->cached = !x->out->differs;
}

static int describe(struct explainer *x, const struct vcpu *v, unsigned count)
{
    struct explain_block *out = x->out;
    int status;

    out->pc = v->rip;
    out->bits = v->mode & MODE_CODE64 ? 64 : v->mode & MODE_CODE32 ? 32 : 16;
    out->cpl = v->cpl;
    out->translated = x->made != NULL;
    out->why = x->made ? "" : "segments=off: the interpreter runs 16-bit code, and segments that are not flat";
    out->tier = x->made ? tier_name(x->t->lower) : "interpreter";
    status = explain_guest_side(x, count);
    if (!status && x->made)
        status = explain_host_side(x);
    compare_live(x);
    return status;
}

static int explain(struct explainer *x, struct vcpu *v, uint64_t most, struct error *error)
{
    unsigned count;
    int status;

    x->live = find_live(x->t, v);
    if (x->live)
        translator_of(v)->came_with_flags = x->live->again_flags == BLOCK_FLAGS_HOST;
    x->made = translator_build_aside(x->t, v, most, &count);
    if (!count || (!x->made && translator_handles(x->t, v->mode)))
        return why_nothing(x->t, v, count, error);
    x->out = calloc(1, sizeof *x->out);
    status = x->out ? describe(x, v, count) : -ENOMEM;
    return status ? error_set(error, -status, "out of memory") : 0;
}

int explain_block(struct explain_block **block, struct translator *t, struct vcpu *v, uint64_t rip, uint64_t most,
                  enum dump_syntax syntax, struct error *error)
{
    struct explainer x = {.t = t, .syntax = syntax};
    struct before before;
    int status;

    keep(&before, t, v);
    v->rip = rip;
    t->max_instructions = 0;
    status = explain(&x, v, most, error);
    put_back(&before, t, v);
    if (status) {
        explain_free(x.out);
        return status;
    }
    *block = x.out;
    return 0;
}

void explain_free(struct explain_block *block)
{
    if (!block)
        return;
    free(block->guest);
    free(block->host);
    free(block->exit);
    free(block);
}

void explain_take_window(struct translator *t, struct vcpu *v)
{
    tier_catch_up(v);
    if (t->options.tier == TIER_WINDOW)
        tier_force(v);
}
