/*
 * relocate_check.c - is a copied block what translating makes of the same? (-accel bt,relocate-check=on)
 *
 * Interface: internal.h.
 */
#include "translator/relocate.h"

#include <string.h>

/* Bytes at the reloc that need not be alike; and do they lead to the same permanent code? */
static unsigned size_of(const struct block *a, const struct block *b, const struct block_reloc *r, bool *same)
{
    bool cold = r->at & RELOCATE_COLD;
    const uint8_t *x = (cold ? a->cold : a->code) + (r->at & ~RELOCATE_COLD);
    const uint8_t *y = (cold ? b->cold : b->code) + (r->at & ~RELOCATE_COLD);
    int32_t to_x, to_y;

    switch ((enum reloc_kind)r->kind) {
    case RELOC_EXIT:
        return 8;
    case RELOC_OUT:
        memcpy(&to_x, x, 4);
        memcpy(&to_y, y, 4);
        *same &= x + to_x == y + to_y;
        return 4;
    case RELOC_CELL:
    case RELOC_ACROSS:
        return 4;
    default:
        return 0;
    }
}

static void mark(bool *part, size_t at, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        part[at + i] = true;
}

static void mark_displacement(const struct translator *t, bool (*loose)[BLOCK_ROOM], const struct block *a,
                              const uint8_t *writable)
{
    const uint8_t *at = writable + cache_execute_delta(&t->cache);

    if (writable && relocate_inside(a, at, true))
        mark(loose[1], (size_t)(at - a->cold), 4);
    else if (writable)
        mark(loose[0], (size_t)(at - a->code), 4);
}

static bool is_same(const uint8_t *x, const uint8_t *y, size_t size, const bool *loose)
{
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i] && !loose[i])
            return false;
    return true;
}

/* Pointers to the same place of both, or both NULL; `delta` makes them of the executable view. */
static bool is_same_place(const struct block *a, const struct block *b, const uint8_t *x, const uint8_t *y,
                          ptrdiff_t delta)
{
    return x && y ? relocate_offset(a, x + delta) == relocate_offset(b, y + delta) : !x && !y;
}

static bool is_same_exit(const struct translator *t, const struct block *a, const struct block *b, unsigned i)
{
    const struct block_exit *x = &a->exits[i], *y = &b->exits[i];
    ptrdiff_t delta = cache_execute_delta(&t->cache);

    return x->target == y->target && x->flags == y->flags && x->loops == y->loops && !x->cell == !y->cell &&
           !y->to && !y->next_incoming && !y->in_page_list && is_same_place(a, b, x->stub, y->stub, 0) &&
           is_same_place(a, b, x->recipe_stub, y->recipe_stub, 0) &&
           is_same_place(a, b, x->patch, y->patch, delta) &&
           is_same_place(a, b, x->recipe_patch, y->recipe_patch, delta);
}

bool relocate_check(const struct translator *t, const struct block *a, const struct block *b)
{
    static bool loose[2][BLOCK_ROOM];
    size_t hot = (size_t)(a->code_end - a->code), cold = (size_t)(a->cold_end - a->cold);
    bool same = true;

    if (a->again_flags != b->again_flags) /* it depends on how the block was come to first */
        return true;
    if (!a->reloc || a->reloc_count != b->reloc_count || a->exit_count != b->exit_count ||
        hot != (size_t)(b->code_end - b->code) || cold != (size_t)(b->cold_end - b->cold))
        return false;
    memset(loose, 0, sizeof loose);
    for (unsigned i = 0; i < a->reloc_count; i++)
        mark(loose[a->reloc[i].at >= RELOCATE_COLD], a->reloc[i].at & ~RELOCATE_COLD,
             size_of(a, b, &a->reloc[i], &same));
    for (unsigned i = 0; i < a->exit_count; i++) {
        mark_displacement(t, loose, a, a->exits[i].patch);
        mark_displacement(t, loose, a, a->exits[i].recipe_patch);
        same &= is_same_exit(t, a, b, i);
    }
    return same && is_same(a->code, b->code, hot, loose[0]) && is_same(a->cold, b->cold, cold, loose[1]) &&
           is_same_place(a, b, a->entry_saved, b->entry_saved, 0) &&
           is_same_place(a, b, a->entry_flags, b->entry_flags, 0) &&
           is_same_place(a, b, a->entry_either, b->entry_either, 0) && is_same_place(a, b, a->again, b->again, 0);
}
