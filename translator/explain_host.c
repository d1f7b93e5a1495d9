/*
 * explain_host.c - the host's side of an explanation: the code that was made of each guest instruction, and the
 * block's exits.
 *
 * Interface: explain_internal.h. The block's map tells where the hot code of each instruction ends; t->lower,
 * which has just made it, where each piece of the cold code begins and what it is for.
 */
#include "translator/explain_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "translator/names.h"

struct writer {
    struct explainer *x;
    struct dump *d;
};

static void add(struct writer *w, const struct explain_host *h)
{
    w->x->out->host[w->x->out->host_count++] = *h;
}

/* [from, to) of the executable view */
static void add_code(struct writer *w, const uint8_t *from, const uint8_t *to, uint32_t guest,
                     enum explain_part part, const char *note)
{
    const struct block *b = w->x->made;
    const uint8_t *start = part == EXPLAIN_COLD ? b->cold : b->code;
    uint64_t address = (uintptr_t)from;

    while (from < to) {
        struct explain_host h = {.guest = guest, .part = part, .offset = (uint32_t)(from - start), .note = note};
        size_t size = (size_t)(to - from);
        struct dump_insn insn;

        note = NULL;
        dump_next(w->d, &from, &size, &address, &insn);
        h.size = insn.size;
        memcpy(h.text, insn.text, sizeof h.text);
        add(w, &h);
    }
}

/* --- entry and hot code --- */

static void add_entry(struct writer *w)
{
    const struct block *b = w->x->made;
    const uint8_t *body = w->x->t->lower->body;
    bool saves = b->entry_flags < b->entry_saved;
    const uint8_t *second = saves ? b->entry_saved : b->entry_flags;

    if (second > body)
        second = body;
    add_code(w, b->code, second, EXPLAIN_NO_GUEST, EXPLAIN_ENTRY,
             saves ? "entered with the flags in the host's: they are put away"
                   : "entered with the flags in memory: they are fetched");
    add_code(w, second, body, EXPLAIN_NO_GUEST, EXPLAIN_ENTRY, "before the first instruction");
}

static void add_constants(struct writer *w, const uint8_t *from, unsigned i)
{
    const struct block *b = w->x->made;
    const char *note = "what the return address is compared with";

    for (uint64_t value; from < b->code_end; from += sizeof value, note = NULL) {
        struct explain_host h = {.guest = i, .part = EXPLAIN_HOT, .note = note, .size = sizeof value};

        memcpy(&value, from, sizeof value);
        h.offset = (uint32_t)(from - b->code);
        snprintf(h.text, sizeof h.text, ".quad 0x%llx", (unsigned long long)value);
        add(w, &h);
    }
}

static void add_hot(struct writer *w, unsigned i)
{
    const struct block *b = w->x->made;
    const struct insn_map *map = block_map(b);
    const uint8_t *constants = b->code_end - w->x->t->lower->constant_count * sizeof(uint64_t);
    const uint8_t *from = i ? b->code + map[i - 1].host_end : w->x->t->lower->body;

    add_code(w, from, b->code + map[i].host_end, i, EXPLAIN_HOT, NULL);
    if (i + 1 != w->x->out->guest_count)
        return;
    add_code(w, b->code + map[i].host_end, constants, i, EXPLAIN_HOT, "the block ends: on to what is behind it");
    add_constants(w, constants, i);
}

/* --- cold code --- */

static const char *cold_note(const struct cold *c)
{
    switch (c->kind) {
    case COLD_MEMORY:
        return c->info & MEMORY_GROUP ? "not all in the TLB: C looks, or a block without groups takes over"
                                      : "not in the TLB: C walks the page tables, or the guest faults";
    case COLD_WRAP:
        return "the address wraps: C raises the fault";
    case COLD_DISPATCH:
        return "not in the jump cache: C looks for the block";
    case COLD_EXIT:
        return "an exit not linked yet: C finds or makes the block, and links it";
    case COLD_SIDE:
        return "the way out of a conditional jump";
    case COLD_INTERRUPT:
        return "an interrupt is waiting: it is taken now";
    case COLD_STEP:
        return "another case than this: the interpreter runs the instruction";
    case COLD_LOOP:
        return "a pointer leaves its page: back to the checks";
    }
    return NULL;
}

static void add_cold(struct writer *w, uint32_t guest)
{
    const struct lower *l = w->x->t->lower;
    uint8_t index = guest == EXPLAIN_NO_GUEST ? COLD_ENTRY : (uint8_t)guest;

    for (unsigned i = 0; i < l->cold_count; i++)
        if (l->cold[i].index == index)
            add_code(w, l->cold[i].begin, i + 1 < l->cold_count ? l->cold[i + 1].begin : w->x->made->cold_end,
                     guest, EXPLAIN_COLD, cold_note(&l->cold[i]));
}

/* --- exits --- */

static const char *const exit_names[] = {
    [EXPLAIN_EXIT_PATCHED] = "a jump that is patched: it stays in the page",
    [EXPLAIN_EXIT_CELL] = "through a cell, which a TLB flush resets: it leaves the page",
    [EXPLAIN_EXIT_SITE] = "return site of the call, through a cell",
    [EXPLAIN_EXIT_JUMP_CACHE] = "by the jump cache",
    [EXPLAIN_EXIT_RETURN] = "a host RET on the return stack",
    [EXPLAIN_EXIT_CROSSING] = "to another level: as the last time, or C decides",
    [EXPLAIN_EXIT_CALLOUT] = "a callout: C decides where it goes on",
};

const char *explain_exit_name(enum explain_exit_kind kind)
{
    return exit_names[kind];
}

static const struct cold *cold_of(const struct lower *l, const struct block_exit *exit)
{
    for (unsigned i = 0; i < l->cold_count; i++)
        if (l->cold[i].kind == COLD_EXIT && l->cold[i].exit == exit)
            return &l->cold[i];
    return NULL;
}

/* The last exit of a call that has a return site. */
static bool is_site(const struct explainer *x, unsigned i)
{
    const struct insn *last = &x->t->insns[x->out->guest_count - 1];

    return last->valid && last->category == ZYDIS_CATEGORY_CALL && x->t->options.return_stack &&
           x->t->lower->ended && i + 1 == x->made->exit_count;
}

static void add_direct(struct explainer *x, unsigned i)
{
    const struct block_exit *exit = &x->made->exits[i];
    const struct cold *cold = cold_of(x->t->lower, exit);

    x->out->exit[x->out->exit_count++] = (struct explain_exit){
        .kind = is_site(x, i) ? EXPLAIN_EXIT_SITE
                : exit->cell  ? EXPLAIN_EXIT_CELL
                              : EXPLAIN_EXIT_PATCHED,
        .guest = cold ? cold->index : x->out->guest_count - 1,
        .target = exit->target,
        .linked = x->live && x->live->exit_count == x->made->exit_count && x->live->exits[i].to,
        .can_link = x->t->options.chain};
}

static void add_indirect(struct explainer *x, enum explain_exit_kind kind, uint32_t guest, bool can_link)
{
    x->out->exit[x->out->exit_count++] = (struct explain_exit){.kind = kind, .guest = guest, .can_link = can_link};
}

static int add_exits(struct explainer *x)
{
    const struct lower *l = x->t->lower;
    uint32_t last = x->out->guest_count - 1;
    bool left = false;

    x->out->exit = calloc(x->made->exit_count + 3u, sizeof *x->out->exit);
    if (!x->out->exit)
        return -ENOMEM;
    for (unsigned i = 0; i < x->made->exit_count; i++)
        add_direct(x, i);
    for (unsigned i = 0; i < x->out->exit_count; i++)
        left |= x->out->exit[i].guest == last;
    for (unsigned i = 0; i < l->cold_count; i++)
        if (l->cold[i].kind == COLD_DISPATCH) {
            add_indirect(x, EXPLAIN_EXIT_JUMP_CACHE, l->cold[i].index, x->t->options.jump_cache);
            left = true;
        }
    if (l->returned)
        add_indirect(x, EXPLAIN_EXIT_RETURN, last, true);
    else if (!left)
        add_indirect(x, l->crosses ? EXPLAIN_EXIT_CROSSING : EXPLAIN_EXIT_CALLOUT, last, true);
    return 0;
}

int explain_host_side(struct explainer *x)
{
    struct names names = {x->t, x->made};
    struct dump_names find = {names_find, &names};
    struct writer w = {x, dump_open(64, x->syntax, &find)};
    struct explain_block *out = x->out;

    out->hot_bytes = (unsigned)(x->made->code_end - x->made->code);
    out->cold_bytes = (unsigned)(x->made->cold_end - x->made->cold);
    out->host = w.d ? calloc(out->hot_bytes + out->cold_bytes + 1u, sizeof *out->host) : NULL;
    if (!out->host) {
        dump_close(w.d);
        return -ENOMEM;
    }
    add_entry(&w);
    add_cold(&w, EXPLAIN_NO_GUEST);
    for (unsigned i = 0; i < out->guest_count; i++) {
        add_hot(&w, i);
        add_cold(&w, i);
    }
    dump_close(w.d);
    return add_exits(x);
}
