/*
 * relocate_copy.c - a block for one linear address made of one for another.
 *
 * Interface: internal.h. What is copied is a twin: a live block of the same bytes and mode (cache_find_twin). A
 * copy is itself a block like any other, and can be a twin.
 */
#include "cache/guard.h"
#include "translator/relocate.h"
#include "translator/tier.h"

#include <string.h>

struct move {
    struct translator *t;
    struct translator_vcpu *tv;
    const struct block *from;
    struct block *to;
    ptrdiff_t hot, cold; /* how far the parts have moved */
    uint32_t cells_used;
};

static bool is_wide(const struct move *m)
{
    return (m->from->mode & MODE_CODE_MASK) == MODE_CODE64;
}

static gva_t linear_at(const struct move *m, const struct block *b, int64_t offset)
{
    gva_t linear = b->pc + (uint64_t)offset;

    return is_wide(m) ? linear : (uint32_t)linear;
}

static bool is_signed32(const struct move *m, uint64_t value)
{
    return !is_wide(m) || (int64_t)value == (int32_t)value;
}

static uint32_t tlb_entry(gva_t linear)
{
    return (uint32_t)(linear >> PAGE_SHIFT & (MMU_TLB_SIZE - 1)) * (uint32_t)sizeof(struct mmu_tlb_entry);
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
}

static void add32(uint8_t *at, uint32_t value)
{
    uint32_t old;

    memcpy(&old, at, 4);
    put32(at, old + value);
}

static bool put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, 8);
    return value > UINT32_MAX && (int64_t)value != (int32_t)value;
}

/* false: the code would be another one. */
static bool apply(struct move *m, const struct block_reloc *r)
{
    bool cold = r->at & RELOCATE_COLD;
    uint8_t *at =
        (cold ? m->to->cold : m->to->code) + (r->at & ~RELOCATE_COLD) - cache_execute_delta(&m->t->cache);
    gva_t linear = linear_at(m, m->to, r->value);
    uint64_t tag = 0 - (linear & PAGE_MASK);

    switch ((enum reloc_kind)r->kind) {
    case RELOC_UNSIGNED:
        put32(at, (uint32_t)linear);
        return linear <= UINT32_MAX;
    case RELOC_SIGNED:
        put32(at, (uint32_t)linear);
        return is_signed32(m, linear) && (!is_wide(m) || linear > UINT32_MAX);
    case RELOC_NEXT:
        put32(at, (uint32_t)linear);
        return is_signed32(m, linear);
    case RELOC_WORD:
        return put64(at, linear);
    case RELOC_TAG:
        return put64(at, tag);
    case RELOC_TLB:
        add32(at, tlb_entry(linear) - tlb_entry(linear_at(m, m->from, r->value)));
        return (int64_t)tag != (int32_t)tag;
    case RELOC_WINDOW:
        return window_allows(m->tv->vcpu->mmu.window, linear);
    case RELOC_EXIT:
        put64(at, (uintptr_t)&m->to->exits[r->value]);
        return true;
    case RELOC_CELL:
        add32(at, (uint32_t)((m->to->exits[r->value].cell - m->from->exits[r->value].cell) * 8));
        return true;
    case RELOC_OUT:
        add32(at, (uint32_t) - (cold ? m->cold : m->hot));
        return true;
    case RELOC_ACROSS:
        add32(at, (uint32_t)(cold ? m->hot - m->cold : m->cold - m->hot));
        return true;
    case RELOC_SITE:
    case RELOC_NONE:
        break;
    }
    return true;
}

/* A pointer into the block that is copied: executable view, and writable. */
static uint8_t *moved(const struct move *m, uint8_t *p)
{
    return !p ? NULL : relocate_inside(m->from, p, true) ? p + m->cold : p + m->hot;
}

static uint8_t *moved_writable(const struct move *m, uint8_t *p)
{
    ptrdiff_t delta = cache_execute_delta(&m->t->cache);

    return p ? moved(m, p + delta) - delta : NULL;
}

static bool copy_exit(struct move *m, struct block_exit *to, const struct block_exit *from)
{
    *to = *from;
    to->target = linear_at(m, m->to, (int64_t)(from->target - m->from->pc));
    to->to = NULL;
    to->next_incoming = to->next_in_page = NULL;
    to->in_page_list = false;
    to->patch = moved_writable(m, from->patch);
    to->stub = moved(m, from->stub);
    to->recipe_stub = moved(m, from->recipe_stub);
    to->recipe_patch = moved_writable(m, from->recipe_patch);
    if (!from->cell)
        return true;
    if (m->cells_used == CELL_COUNT)
        return false;
    to->cell = &m->tv->cells[m->cells_used++];
    return true;
}

static bool copy_block(struct move *m, gva_t pc)
{
    const struct block *from = m->from;
    struct block *b = m->to;

    *b = *from;
    b->pc = pc;
    b->incoming = NULL;
    b->samples = b->failures = 0;
    b->exits = cache_allocate(&m->t->cache, from->exit_count * sizeof *b->exits);
    if (!b->exits)
        return false;
    b->entry_flags = moved(m, from->entry_flags);
    b->entry_saved = moved(m, from->entry_saved);
    b->entry_either = moved(m, from->entry_either);
    b->again = moved(m, from->again);
    b->code += m->hot;
    b->code_end += m->hot;
    b->cold += m->cold;
    b->cold_end += m->cold;
    for (unsigned i = 0; i < from->exit_count; i++)
        if (!copy_exit(m, &b->exits[i], &from->exits[i]))
            return false;
    return true;
}

static bool copy_code(struct move *m)
{
    ptrdiff_t delta = cache_execute_delta(&m->t->cache);
    struct block *b = m->to;

    memcpy(b->code - delta, m->from->code, (size_t)(b->code_end - b->code));
    memcpy(b->cold - delta, m->from->cold, (size_t)(b->cold_end - b->cold));
    for (unsigned i = 0; i < b->reloc_count; i++)
        if (!apply(m, &b->reloc[i]))
            return false;
    for (unsigned i = 0; i < b->exit_count; i++)
        cache_divert(&m->t->cache, &b->exits[i]);
    return true;
}

/* Room for the parts, and where they go. */
static bool place(struct move *m)
{
    struct cache *cache = &m->t->cache;
    size_t hot = lower_hot_start(cache, translator_in_user_window(m->from->mode));

    m->hot = cache->execute_view + hot - m->from->code;
    m->cold = cache->execute_view + cache->cold_used - m->from->cold;
    return hot + (size_t)(m->from->code_end - m->from->code) <= cache->cold_base &&
           cache->cold_used + (size_t)(m->from->cold_end - m->from->cold) <= cache->code_size;
}

static void note_places(const struct move *m)
{
    for (unsigned i = 0; i < m->to->reloc_count; i++) {
        const struct block_reloc *r = &m->to->reloc[i];

        if (r->kind == RELOC_SITE)
            lookup_note_site(m->tv, linear_at(m, m->to, r->value));
        else if (r->kind == RELOC_WINDOW)
            tier_note_fixed(m->t, linear_at(m, m->to, r->value));
    }
}

struct block *relocate(struct translator *t, struct vcpu *v, gpa_t gpa, unsigned available)
{
    struct move m = {.t = t, .tv = translator_of(v), .cells_used = translator_of(v)->cells_used};
    bool done;

    if (v->cpl != 3 || !(m.from = cache_find_twin(&t->cache, gpa, translator_block_mode(v))) ||
        m.from->size > available || !place(&m) || !(m.to = cache_allocate(&t->cache, sizeof *m.to)))
        return NULL;
    done = copy_block(&m, v->rip);
    if (done) {
        uint32_t rights = guard_open(&t->cache);

        done = copy_code(&m);
        guard_close(&t->cache, rights);
    }
    if (!done || !cache_insert(&t->cache, m.to)) {
        cache_shrink(&t->cache, m.to, 0);
        return NULL;
    }
    m.tv->cells_used = m.cells_used;
    note_places(&m);
    t->stats.relocated++;
    return m.to;
}
