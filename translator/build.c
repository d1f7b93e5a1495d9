/*
 * build.c - one block from guest bytes to findable host code: fetch, decode, lower, commit.
 *
 * Interface: translator_build. A block begins with its entries: where the first thing that concerns the flags is a
 * memory access, the flags are saved at once, and callers that have them saved enter behind that (entry_saved);
 * else callers that have them saved get them restored first.
 */
#include "cache/guard.h"
#include "translator/lockstep.h"
#include "translator/lower.h"
#include "translator/tier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(BLOCK_ROOM <= STOP_NOWHERE, "insn_map.stop_at");

struct source {
    fetch_function *fetch;
    uint64_t most; /* bytes at RIP that may be looked at */
    const uint8_t *bytes;
    unsigned available; /* to the page's end */
    gpa_t gpa;
    struct block_part second;
    uint8_t across[32]; /* an instruction that crosses the page's end */
};

static bool fetch_page(struct vcpu *v, gva_t linear, const uint8_t **host, gpa_t *gpa)
{
    uint8_t *bytes;

    if (mmu_translate(&v->mmu, v->fetch_context, linear, MMU_FETCH, &bytes, gpa) != MMU_OK)
        return false;
    *host = bytes;
    return true;
}

/* The same without a trace in the guest's page tables and the TLB, whatever the rights to the page. */
static bool peek_page(struct vcpu *v, gva_t linear, const uint8_t **host, gpa_t *gpa)
{
    if (!mmu_probe(&v->mmu, linear, gpa))
        return false;
    *host = ram_host_readable(v->mmu.ram, *gpa);
    return *host != NULL;
}

/* How many of the bytes at RIP the code segment holds, and may be looked at. */
static unsigned within_segment(const struct vcpu *v, const struct source *s, unsigned bytes)
{
    uint64_t room = v->mode & MODE_CODE64 ? bytes : (uint64_t)v->seg[SEG_CS].limit + 1 - v->rip;

    if (room > s->most)
        room = s->most;
    return room < bytes ? (unsigned)room : bytes;
}

/* The bytes at both sides of a page end, as one run. */
static bool fetch_across(struct vcpu *v, struct source *s)
{
    const uint8_t *second;

    s->second = (struct block_part){.linear = lookup_page_behind(v), .size = INSN_MAX_LENGTH};
    if (!s->fetch(v, s->second.linear, &second, &s->second.gpa))
        return false;
    memcpy(s->across, s->bytes, s->available);
    memcpy(s->across + s->available, second, INSN_MAX_LENGTH);
    s->bytes = s->across;
    s->available = within_segment(v, s, s->available + INSN_MAX_LENGTH);
    return true;
}

static uint64_t page_number(const struct translator *t, gpa_t gpa)
{
    uint64_t offset = ram_offset(t->ram, gpa);

    return offset == UINT64_MAX ? CACHE_NO_PAGE : offset >> PAGE_SHIFT;
}

/* From now on writes to the page are seen. */
static void protect(struct translator *t, struct vcpu *v, uint64_t page)
{
    if (page == CACHE_NO_PAGE || t->ram->page_flags[page] & RAM_PAGE_CODE)
        return;
    t->ram->page_flags[page] |= RAM_PAGE_CODE;
    mmu_protect_host_page(&v->mmu, t->ram->host + (page << PAGE_SHIFT));
}

static void lower_entries(struct lower *l)
{
    enum block_flags natural = l->loop.active ? BLOCK_FLAGS_SAVED : flags_natural_entry(l);
    struct block *b = l->block;

    b->code = emit_here(&l->e);
    b->again_flags = natural;
    if (natural == BLOCK_FLAGS_SAVED) {
        struct flags_outlook ahead = flags_look_ahead(l, 0);

        b->takes_recipe = ahead.overwritten;
        b->entry_changes = ahead.changed;
        b->entry_flags = emit_here(&l->e);
        l->flags = FLAGS_HOST;
        flags_clobber(l);
        b->entry_saved = b->entry_either = emit_here(&l->e);
        return;
    }
    l->flags = FLAGS_SAVED;
    b->entry_saved = emit_here(&l->e);
    if (natural == BLOCK_FLAGS_HOST)
        flags_restore(l);
    b->entry_flags = b->entry_either = emit_here(&l->e);
    l->flags = natural == BLOCK_FLAGS_HOST ? FLAGS_HOST : FLAGS_COMPUTED;
}

/* At the first host instruction of the current guest instruction, or where its work is done. */
static void note_flags(struct lower *l)
{
    struct insn_map *m = &l->map[l->index];

    m->flags_saved_start = m->flags_saved_work = !(l->flags & FLAGS_HOST);
    m->recipe = l->flags == FLAGS_COMPUTED ? (uint16_t)l->recipe : 0;
}

bool lower_keeps_registers(const struct insn *in)
{
    return window_row(in) || in->row == lower_nothing || in->row == lower_lea || in->row == lower_branch;
}

static void lower_one(struct lower *l)
{
    const uint8_t *at;

    rsp_prepare(l);
    note_flags(l);
    rsp_sure_prove(l);
    l->store_cold = -1;
    l->checked = false;
    if (l->borrowing && (!lower_keeps_registers(l->in) || l->in->masked))
        group_give_back(l);
    l->map[l->index].borrowing = l->borrowing;
    l->stops = false;
    at = emit_here(&l->e);
    flow_prepare_branch(l);
    l->in->row(l);
    l->map[l->index].stop_at = l->stops ? (uint16_t)(at - l->block->code) & 0x7fffu : STOP_NOWHERE;
    l->map[l->index].in_shadow = l->index > 0 && l->in[-1].mnemonic == ZYDIS_MNEMONIC_STI;
    flags_advance(l);
    if (l->store_cold >= 0) {
        l->r11_guest = -1; /* the way by the bounce buffer does not keep it */
        access_end_store(l);
    }
    l->map[l->index].host_end = (uint32_t)(emit_here(&l->e) - l->block->code);
    l->map[l->index].length = l->in->length;
    group_advance(l);
    if (l->windowed)
        window_advance(l);
    rsp_sure_advance(l);
    loop_advance(l);
}

/* From now on code goes to [from, limit) of the buffer, as much of it as a block may take. */
static void open_room(struct lower *l, size_t from, size_t limit)
{
    l->e.at = l->t->cache.write_view + from;
    l->e.end = l->e.at + (limit - from < BLOCK_ROOM ? limit - from : BLOCK_ROOM);
}

static bool lower_all(struct lower *l)
{
    for (unsigned i = 0; i < l->count; i++)
        l->reach[i].known = false;
    if (!l->segmented && !l->windowed && !l->rsp.kept)
        loop_find(l);
    lower_entries(l);
    l->index = 0;
    loop_enter(l);
    window_loop_enter(l);
    group_start(l);
    l->body = emit_here(&l->e);
    for (l->index = 0; l->index < l->count && !l->ended; l->index++) {
        l->in = &l->t->insns[l->index];
        lower_one(l);
    }
    if (!l->ended) {
        l->index = l->count - 1;
        rsp_settle(l);
        flow_exit(l, flow_next(l->in));
    }
    flow_constants(l);
    l->block->code_end = emit_here(&l->e);
    open_room(l, l->t->cache.cold_used, l->t->cache.code_size);
    l->block->cold = emit_here(&l->e);
    flow_cold(l);
    l->block->cold_end = emit_here(&l->e);
    return !l->e.failed;
}

static struct block *new_block(struct lower *l, const struct source *s, struct vcpu *v)
{
    struct cache *cache = &l->t->cache;
    struct block *b = cache_allocate(cache, sizeof *b);

    l->map = cache_allocate(cache, l->count * sizeof *l->map);
    l->exits = cache_allocate(cache, LOWER_MAX_EXITS * sizeof *l->exits);
    if (!b || !l->exits || !l->map)
        return NULL;
    memset(l->map, 0, l->count * sizeof *l->map);
    for (unsigned i = 0; i < l->count; i++)
        l->map[i].stop_at = STOP_NOWHERE; /* so it stays for those behind the one that ends the block */
    *b = (struct block){.gpa = s->gpa,
                        .pc = v->rip,
                        .mode = l->mode,
                        .instructions = l->count,
                        .second = s->second,
                        .exits = l->exits,
                        .map = (const uint8_t *)l->map};
    for (unsigned i = 0; i < l->count; i++)
        b->size += l->t->insns[i].length;
    b->page[0] = page_number(l->t, s->gpa);
    b->page[1] = s->second.gpa == CACHE_NO_PAGE ? CACHE_NO_PAGE : page_number(l->t, s->second.gpa);
    if (b->page[1] == b->page[0])
        b->page[1] = CACHE_NO_PAGE;
    return b;
}

/* Or may, as whatever the interpreter runs. */
static bool touches_simd(const struct lower *l)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->map[i].by_interpreter || l->map[i].to_run_loop || copy_mode_needed(&l->t->insns[i]))
            return true;
    return false;
}

/* 64-bit supervisor code that has SMAP off is about to reach user pages, which its window never holds. */
static bool reaches_user(const struct lower *l)
{
    return l->wide && l->mode & MODE_AC;
}

/* How many of the instructions a block takes that does without the window after all: no more than a call. */
static unsigned up_to_call(const struct lower *l)
{
    unsigned count = 0;

    while (count < l->count && l->t->insns[count++].row != lower_call)
        ;
    return count;
}

/* The block is made, in t->lower and the free part of the cache, which is open. */
static struct block *lower_into_cache(struct translator *t, struct vcpu *v, const struct source *s, unsigned count)
{
    struct cache *cache = &t->cache;
    struct lower *l = t->lower;
    uint32_t mode;

    memset(l, 0, offsetof(struct lower, cold));
    l->cold_count = l->exit_count = l->constant_count = 0;
    l->ended = l->returned = l->crosses = false;
    l->t = t;
    l->tv = translator_of(v);
    l->count = count;
    mode = translator_mode(v);
    l->mode = translator_block_mode(v);
    l->wide = (l->mode & MODE_CODE_MASK) == MODE_CODE64;
    l->word = l->wide ? 8 : 4;
    l->segmented = translator_segmented(v->mode);
    l->code_base = (uint32_t)v->seg[SEG_CS].base;
    l->code_limit = v->seg[SEG_CS].limit;
    l->seen = lookup_is_seen(t, lookup_linear(v, v->rip));
    l->tag = lookup_mode_tag(mode);
    l->windowed = l->mode & MODE_WINDOW && !reaches_user(l) && !tier_is_unsuitable(l->tv, s->gpa);
    l->window = l->windowed && v->cpl == 3 ? v->mmu.window : NULL;
    l->kwindow = l->windowed && v->cpl < 3 ? v->mmu.kwindow : NULL;
    if (l->mode & MODE_WINDOW && !l->windowed)
        l->count = up_to_call(l);
    l->rsp_lag = 0;
    rsp_sure_begin(l);
    l->grouping = t->options.group && !l->windowed && !l->segmented && !l->rsp.kept &&
                  !(l->mode & MODE_NO_GROUP) && !lookup_is_ungrouped(t, v->rip);
    l->r11_guest = -1;
    l->context = v->data_context;
    l->jump_slot = lookup_jump_slot(v, mode);
    l->cells_used = l->tv->cells_used;
    l->e.failed = false;
    open_room(l, lower_hot_start(cache, l->window), cache->cold_base);
    l->e.execute_delta = cache_execute_delta(cache);
    l->block = new_block(l, s, v);
    if (l->block) {
        patch_loosen(l, s->gpa);
        relocate_begin(l);
    }
    if (!l->block || l->jump_slot == JUMP_MODES || (l->segmented && !l->tag) || !lower_all(l))
        return NULL;
    l->block->exit_count = l->exit_count;
    l->block->no_simd = t->options.lockstep && !touches_simd(l);
    cache_shrink(cache, l->exits, l->exit_count * sizeof *l->exits);
    relocate_end(l);
    l->block->hash = cache_hash(s->bytes, l->block->size);
    return l->block;
}

static struct block *lower_block(struct translator *t, struct vcpu *v, const struct source *s, unsigned count)
{
    uint32_t rights = guard_open(&t->cache);
    struct block *b = lower_into_cache(t, v, s, count);

    guard_close(&t->cache, rights);
    return b;
}

/* And findable. */
static struct block *commit_block(struct translator *t, struct vcpu *v, const struct source *s, unsigned count)
{
    struct block *b = lower_block(t, v, s, count);

    if (!b || !cache_insert(&t->cache, b))
        return NULL;
    if (b->reloc)
        cache_note_twin(&t->cache, b);
    t->lower->tv->cells_used = t->lower->cells_used;
    lookup_note_callee(t->lower->tv, b);
    return b;
}

static void count_block(struct translator *t, const struct block *b)
{
    t->stats.blocks++;
    t->stats.guest_instructions += b->instructions;
    t->stats.guest_bytes += b->size;
    t->stats.host_bytes += (uint64_t)(b->code_end - b->code);
    t->stats.cold_bytes += (uint64_t)(b->cold_end - b->cold);
}

static void tell_made(const struct translator *t, const struct vcpu *v, const struct block *b,
                      const uint8_t *guest)
{
    const struct translator_made made = {.linear = lookup_linear(v, b->pc),
                                         .rip = b->pc,
                                         .mode = v->mode,
                                         .guest = guest,
                                         .hot = b->code,
                                         .cold = b->cold,
                                         .guest_size = b->size,
                                         .hot_size = (size_t)(b->code_end - b->code),
                                         .cold_size = (size_t)(b->cold_end - b->cold),
                                         .instructions = b->instructions};

    if (t->options.made)
        t->options.made(t->options.hooks_opaque, &made);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct block *revive(struct translator *t, struct vcpu *v, const struct source *s)
{
    uint64_t page = page_number(t, s->gpa);
    struct block *b;

    if (page == CACHE_NO_PAGE || !t->cache.page_dead[page])
        return NULL;
    b = cache_revive(&t->cache, page, s->gpa, v->rip, translator_block_mode(v), s->bytes, s->available);
    if (b)
        trace_tell(&t->ram->trace, TRACE_CODE_BACK, lookup_linear(v, b->pc), page << PAGE_SHIFT, 0, 0);
    return b;
}

/* How many of the instructions decoded lie in front of the next breakpoint; the first one is run in any case. */
static unsigned before_breakpoint(const struct translator *t, const struct vcpu *v, unsigned count)
{
    for (unsigned i = 1; t->breakpoint_count && i < count; i++)
        if (translator_breaks_at(t, lookup_linear(v, t->insns[i].pc)))
            return i;
    return count;
}

static bool find_source(struct vcpu *v, struct source *s)
{
    if (lookup_beyond_limit(v) || !s->fetch(v, lookup_linear(v, v->rip), &s->bytes, &s->gpa))
        return false;
    s->available = within_segment(v, s, (unsigned)(PAGE_SIZE - (lookup_linear(v, v->rip) & ~PAGE_MASK)));
    return true;
}

/* Into t->insns; how many, or 0: the first one reaches beyond what there is. */
static unsigned decode_source(struct translator *t, struct vcpu *v, struct source *s)
{
    struct callee callee = {.v = v, .caller = s->gpa, .fetch = s->fetch, .part.gpa = CACHE_NO_PAGE};
    unsigned max = t->options.single ? 1 : BLOCK_MAX_INSNS, count;
    bool straddles;

    if (t->max_instructions)
        max = t->max_instructions;
    count = decode_block(t, translator_block_mode(v), v->rip, s->bytes, s->available, max, &straddles, &callee);
    s->second = callee.part;
    if (!straddles)
        return before_breakpoint(t, v, count);
    if (!fetch_across(v, s))
        return 0;
    count = decode_block(t, translator_block_mode(v), v->rip, s->bytes, s->available, 1, &straddles, NULL);
    return straddles ? 0 : count;
}

static struct block *build_anew(struct translator *t, struct vcpu *v, struct source *s)
{
    unsigned count = decode_source(t, v, s);
    struct block *b = count ? commit_block(t, v, s, count) : NULL;

    if (!b && count) { /* out of room: start anew */
        translator_flush(t, v);
        b = commit_block(t, v, s, count);
    }
    if (!b)
        return NULL;
    count_block(t, b);
    tell_made(t, v, b, s->bytes);
    return b;
}

/* relocate-check: b, a copy, against what translating makes of the same. */
static void check_copy(struct translator *t, struct vcpu *v, struct source *s, const struct block *b)
{
    unsigned count = decode_source(t, v, s);
    const struct block *a = count ? lower_block(t, v, s, count) : NULL;

    if (!a || relocate_check(t, a, b))
        return;
    fprintf(stderr, "novt: relocate-check: the block at %#llx, copied, is not what translating makes of it\n",
            (unsigned long long)b->pc);
    abort();
}

/* From one that was made before: it comes back to life, or is copied. NULL where there is none, or by now another
   would be made. */
static struct block *build_again(struct translator *t, struct vcpu *v, struct source *s)
{
    struct block *b;

    if (t->max_instructions || lookup_is_ungrouped(t, v->rip) || tier_is_unsuitable(translator_of(v), s->gpa))
        return NULL;
    b = revive(t, v, s);
    if (b || !(b = relocate(t, v, s->gpa, s->available)))
        return b;
    tell_made(t, v, b, s->bytes);
    if (t->options.relocate_check)
        check_copy(t, v, s, b);
    return b;
}

static struct block *build(struct translator *t, struct vcpu *v)
{
    struct source s = {.fetch = fetch_page, .most = UINT64_MAX, .second.gpa = CACHE_NO_PAGE};
    struct block *b;

    if (!translator_handles(t, v->mode) || !find_source(v, &s))
        return NULL;
    b = build_again(t, v, &s);
    if (!b)
        b = build_anew(t, v, &s);
    if (!b)
        return NULL;
    protect(t, v, b->page[0]);
    protect(t, v, b->page[1]);
    return b;
}

struct block *translator_build(struct translator *t, struct vcpu *v)
{
    uint8_t before = activity_begin(&v->activity, ACTIVITY_TRANSLATOR);
    uint64_t begin = now_ns();
    struct block *b = build(t, v);

    t->stats.translation_ns += now_ns() - begin;
    v->activity = before;
    return b;
}

struct block *translator_build_aside(struct translator *t, struct vcpu *v, uint64_t most, unsigned *count)
{
    struct source s = {.fetch = peek_page, .most = most, .second.gpa = CACHE_NO_PAGE};
    struct block *b;

    *count = find_source(v, &s) ? decode_source(t, v, &s) : 0;
    b = *count && translator_handles(t, v->mode) ? lower_block(t, v, &s, *count) : NULL;
    if (b)
        *count = b->instructions;
    return b;
}

unsigned translator_translate(struct translator *t, struct vcpu *v)
{
    const struct block *b = translator_build(t, v);

    return b ? b->size : 0;
}
