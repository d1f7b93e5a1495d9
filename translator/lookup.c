/*
 * lookup.c - from a guest state to its block, and the vCPU's caches of such lookups.
 *
 * Interface: internal.h. Compiled without SIMD: runs inside callouts. Invariant: a jump cache entry, and a linked
 * cell, is good as long as the page of its target is mapped as it was; every MMU flush is followed here
 * (lookup_catch_up) before translated code goes on.
 */
#include "translator/internal.h"

#define IRRELEVANT (MODE_SINGLE | MODE_IOPL | MODE_UMIP | MODE_TS)
#define IRRELEVANT64 (IRRELEVANT | MODE_SS32 | MODE_FLAT)

uint32_t lookup_code_segment(struct translator_vcpu *tv, uint32_t base, uint32_t limit)
{
    uint32_t i;

    for (i = 1; i < tv->code_segments; i++)
        if (tv->code_segment[i].base == base && tv->code_segment[i].limit == limit)
            return i;
    if (i == CODE_SEGMENTS)
        return 0;
    tv->code_segment[i].base = base;
    tv->code_segment[i].limit = limit;
    tv->code_segments = i + 1;
    return i;
}

void lookup_forget_code_segments(struct translator_vcpu *tv)
{
    tv->code_segments = 1;
    tv->code_segment_last = 0;
    memset(tv->real_segment, 0xff, sizeof tv->real_segment); /* no selector */
}

/* What far returns in translated code may go back to. */
static void remember_real_segment(struct vcpu *v, uint32_t number)
{
    const struct segment *cs = &v->seg[SEG_CS];

    if (!(v->mode & MODE_PE) && cs->limit == 0xffff && cs->base == (uint32_t)cs->selector << 4)
        translator_of(v)->real_segment[(cs->selector ^ cs->selector >> 8) & (REAL_SEGMENTS - 1)] =
            (struct real_segment){cs->selector, number << MODE_CODE_SEGMENT_SHIFT};
}

/* The number of the current code segment; 0 until a full table is emptied. */
static uint32_t code_segment(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);
    uint32_t base = (uint32_t)v->seg[SEG_CS].base, limit = v->seg[SEG_CS].limit, i = tv->code_segment_last;

    if (i && tv->code_segment[i].base == base && tv->code_segment[i].limit == limit)
        return i;
    i = lookup_code_segment(tv, base, limit);
    if (i)
        remember_real_segment(v, i);
    return tv->code_segment_last = i;
}

bool translator_segmented(uint32_t mode)
{
    return !(mode & MODE_CODE64) &&
           (mode & (MODE_CODE_MASK | MODE_PE | MODE_SS32 | MODE_FLAT | MODE_VM)) != MODE_FLAT32;
}

/* Where RSP is not, code that relies on it (rsp_sure.c) must not run. */
static bool window_near(const struct window *w, gva_t linear)
{
    return window_allows(w, linear) || window_allows(w, linear - WINDOW_SLACK) ||
           window_allows(w, linear + WINDOW_SLACK);
}

static uint32_t window_mode(const struct vcpu *v, bool narrow)
{
    const struct window *w = v->mmu.window;
    const struct kwindow *k = v->mmu.kwindow;

    if (v->cpl < 3)
        return k && k->active && k->wide != narrow ? MODE_WINDOW : 0;
    return w && w->active && w->narrow == narrow && (narrow || window_near(w, v->gpr[RSP])) ? MODE_WINDOW : 0;
}

uint32_t translator_mode(struct vcpu *v)
{
    if (v->mode & MODE_CODE64)
        return (v->mode & ~IRRELEVANT64) | window_mode(v, false);
    if (!translator_segmented(v->mode))
        return (v->mode & ~IRRELEVANT) | window_mode(v, true);
    return (v->mode & ~(IRRELEVANT | MODE_FLAT)) | code_segment(v) << MODE_CODE_SEGMENT_SHIFT;
}

bool translator_handles(const struct translator *t, uint32_t mode)
{
    return t->options.segments || !translator_segmented(mode);
}

uint32_t translator_block_mode(struct vcpu *v)
{
    return translator_mode(v) | (translator_of(v)->no_group ? MODE_NO_GROUP : 0);
}

static unsigned page_bit(gva_t linear)
{
    return (unsigned)(linear >> PAGE_SHIFT) & 4095u;
}

static void mark_page(uint8_t *pages, gva_t linear)
{
    pages[page_bit(linear) >> 3] |= (uint8_t)(1u << (page_bit(linear) & 7));
}

static bool page_marked(const uint8_t *pages, gva_t linear)
{
    return pages[page_bit(linear) >> 3] >> (page_bit(linear) & 7) & 1;
}

static void clear_jump_entry(struct translator_vcpu *tv, unsigned slot, unsigned index)
{
    tv->jump_cache[slot][index].pc = index ^ 1u; /* no address with this index */
}

static void clear_jump_cache(struct translator_vcpu *tv, unsigned slot)
{
    struct jump_mode *m = &tv->jump_mode[slot];

    for (unsigned i = 0; i < JUMP_CACHE_SIZE; i++)
        clear_jump_entry(tv, slot, i);
    m->log_count[0] = m->log_count[1] = 0;
    memset(m->pages, 0, sizeof m->pages);
}

unsigned lookup_jump_slot(struct vcpu *v, uint32_t mode)
{
    struct translator_vcpu *tv = translator_of(v);

    mode = lookup_slot_mode(mode);
    for (unsigned i = 0; i < JUMP_MODES; i++) {
        if (tv->jump_mode[i].used && tv->jump_mode[i].mode == mode)
            return i;
        if (!tv->jump_mode[i].used) {
            tv->jump_mode[i].used = true;
            tv->jump_mode[i].mode = mode;
            clear_jump_cache(tv, i);
            return i;
        }
    }
    return JUMP_MODES;
}

static void drop_page_jumps(struct translator_vcpu *tv, unsigned slot, gva_t page)
{
    struct jump_mode *m = &tv->jump_mode[slot];

    if (!m->used || !page_marked(m->pages, page))
        return;
    if (m->log_count[0] > JUMP_LOG_SIZE || m->log_count[1] > JUMP_LOG_SIZE || m->mode == MODE_CODE_SEGMENT) {
        clear_jump_cache(tv, slot); /* a segmented address does not tell the page */
        return;
    }
    for (unsigned global = 0; global < 2; global++)
        for (uint32_t i = 0; i < m->log_count[global]; i++)
            if ((tv->jump_cache[slot][m->log[global][i]].pc & PAGE_MASK) == page)
                clear_jump_entry(tv, slot, m->log[global][i]);
}

/* Entries of one kind of page. One that has been filled again with the other kind is dropped too: no harm. */
static void drop_jumps(struct translator_vcpu *tv, unsigned slot, unsigned global)
{
    struct jump_mode *m = &tv->jump_mode[slot];

    if (m->log_count[global] > JUMP_LOG_SIZE) {
        clear_jump_cache(tv, slot);
        return;
    }
    for (uint32_t i = 0; i < m->log_count[global]; i++)
        clear_jump_entry(tv, slot, m->log[global][i]);
    m->log_count[global] = 0;
}

static void drop_page_cells(struct translator_vcpu *tv, gva_t page)
{
    for (struct block_exit *x = tv->cell_pages[page_bit(page)]; x; x = x->next_in_page)
        if (x->to && x->page == page)
            cache_unlink(&tv->translator->cache, x);
}

static void drop_cells(struct translator_vcpu *tv, unsigned global)
{
    for (uint32_t i = 0; i < tv->linked_count[global]; i++)
        if (tv->linked[global][i]->to)
            cache_unlink(&tv->translator->cache, tv->linked[global][i]);
    tv->linked_count[global] = 0;
}

static void drop_all(struct translator_vcpu *tv, unsigned global)
{
    stack_forget_user(tv);
    for (unsigned i = 0; i < JUMP_MODES; i++)
        if (tv->jump_mode[i].used)
            drop_jumps(tv, i, global);
    drop_cells(tv, global);
}

void lookup_note_site(struct translator_vcpu *tv, gva_t pc)
{
    mark_page(tv->site_pages, pc);
}

void lookup_note_callee(struct translator_vcpu *tv, const struct block *b)
{
    if (b->second.gpa != CACHE_NO_PAGE && (b->gpa & ~PAGE_MASK) + b->size <= PAGE_SIZE)
        mark_page(tv->callee_pages, b->second.linear);
}

static void drop_page(struct translator_vcpu *tv, gva_t page)
{
    if (page_marked(tv->callee_pages, page)) {
        drop_all(tv, 0);
        drop_all(tv, 1);
        return;
    }
    if (page_marked(tv->site_pages, page))
        stack_forget_user(tv);
    for (unsigned i = 0; i < JUMP_MODES; i++)
        drop_page_jumps(tv, i, page);
    drop_page_cells(tv, page);
}

void lookup_invalidate(struct translator *t, struct block *b)
{
    struct translator_vcpu *tv = t->vcpu ? translator_of(t->vcpu) : NULL;
    unsigned index = b->pc & (JUMP_CACHE_SIZE - 1);

    for (unsigned i = 0; tv && i < JUMP_MODES; i++)
        if (tv->jump_mode[i].used && tv->jump_cache[i][index].host == (uintptr_t)b->entry_saved)
            clear_jump_entry(tv, i, index);
    if (tv && translator_in_user_window(b->mode))
        stack_forget_user(tv);
    cache_invalidate(&t->cache, b);
}

void lookup_forget_all(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);

    for (unsigned i = 0; i < JUMP_MODES; i++)
        if (tv->jump_mode[i].used)
            clear_jump_cache(tv, i);
}

void lookup_forget_descriptors(struct vcpu *v)
{
    static const uint64_t no_descriptor;
    struct translator_vcpu *tv = translator_of(v);

    for (unsigned user = 0; user < 2; user++) {
        for (unsigned i = 0; i < DESCRIPTORS; i++)
            tv->descriptor[user][i].selector = tv->descriptor[user][i].flat_selector = DESCRIPTOR_NONE;
        tv->descriptor[user][0] =
            (struct descriptor_entry){.flat_selector = DESCRIPTOR_NONE, .host = (const uint8_t *)&no_descriptor};
    }
    tv->descriptors_known = false;
    tv->seen_gdtr = v->gdtr;
}

void lookup_catch_up(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);
    struct mmu *mmu = &v->mmu;
    uint32_t pages = mmu->page_flush_count - tv->seen_page_flush;
    bool flushed = mmu->flush_count != tv->seen_flush || pages;

    if ((flushed && tv->descriptors_known) || v->gdtr.base != tv->seen_gdtr.base ||
        v->gdtr.limit != tv->seen_gdtr.limit)
        lookup_forget_descriptors(v);
    if (!flushed)
        return;
    crossing_forget(tv);
    if (mmu->flush_count != tv->seen_flush || pages > MMU_FLUSHED_PAGES) {
        drop_all(tv, 0);
        if (mmu->global_flush_count != tv->seen_global_flush || pages)
            drop_all(tv, 1);
    } else {
        for (uint32_t i = 0; i < pages; i++) {
            gva_t page = mmu->flushed_page[(tv->seen_page_flush + i) % MMU_FLUSHED_PAGES];

            drop_page(tv, page);
            drop_page(tv, page - PAGE_SIZE); /* blocks that reach into it */
        }
    }
    tv->seen_flush = mmu->flush_count;
    tv->seen_global_flush = mmu->global_flush_count;
    tv->seen_page_flush = mmu->page_flush_count;
}

/* Where execution of `linear` fetches from, if that needs no fault. */
static bool fetch_address(struct vcpu *v, gva_t linear, gpa_t *gpa)
{
    uint8_t *host;

    return mmu_translate(&v->mmu, v->fetch_context, linear, MMU_FETCH, &host, gpa) == MMU_OK;
}

struct block *lookup_block(struct translator *t, struct vcpu *v)
{
    struct block *b;
    gpa_t gpa, second;

    t->stats.lookups++;
    if (lookup_beyond_limit(v) || !fetch_address(v, lookup_linear(v, v->rip), &gpa))
        return NULL;
    b = cache_lookup(&t->cache, gpa, v->rip, translator_block_mode(v));
    if (b && b->second.gpa != CACHE_NO_PAGE &&
        (!fetch_address(v, b->second.linear, &second) || second != b->second.gpa)) {
        lookup_invalidate(t, b);
        return NULL;
    }
    return b;
}

static bool is_global(const struct vcpu *v, gva_t linear)
{
    const struct mmu_fetch_entry *f = mmu_fetch_hit(&v->mmu, v->fetch_context, linear & PAGE_MASK);

    return f && f->flags & MMU_ENTRY_GLOBAL;
}

/* Is all that b was made from, and that has just been looked up, in global pages? */
static unsigned in_global(const struct vcpu *v, const struct block *b)
{
    return is_global(v, lookup_linear(v, b->pc)) &&
           (b->second.gpa == CACHE_NO_PAGE || is_global(v, b->second.linear));
}

void lookup_remember_jump(struct vcpu *v, const struct block *b)
{
    struct translator_vcpu *tv = translator_of(v);
    unsigned slot = lookup_jump_slot(v, b->mode), index = b->pc & (JUMP_CACHE_SIZE - 1);
    struct jump_mode *m = &tv->jump_mode[slot];

    gva_t linear = lookup_linear(v, b->pc);
    unsigned global = in_global(v, b);

    if (slot == JUMP_MODES || lookup_is_seen(tv->translator, linear))
        return;
    if (m->log_count[global] < JUMP_LOG_SIZE)
        m->log[global][m->log_count[global]] = (uint16_t)index;
    if (m->log_count[global] <= JUMP_LOG_SIZE)
        m->log_count[global]++;
    mark_page(m->pages, linear);
    tv->jump_cache[slot][index] =
        (struct jump_entry){b->pc | lookup_mode_tag(b->mode & ~MODE_NO_GROUP), (uintptr_t)b->entry_saved};
    tv->translator->stats.jump_cache_fills++;
}

/* A flush of the target's page is to find the exit. */
static void log_link(struct vcpu *v, struct block_exit *exit, const struct block *to)
{
    struct translator_vcpu *tv = translator_of(v);
    gva_t linear = lookup_linear(v, to->pc);
    unsigned global = in_global(v, to);

    exit->page = linear & PAGE_MASK;
    if (tv->linked_count[global] == LINK_LOG_SIZE)
        drop_cells(tv, global);
    tv->linked[global][tv->linked_count[global]++] = exit;
    if (!exit->in_page_list) {
        exit->next_in_page = tv->cell_pages[page_bit(linear)];
        tv->cell_pages[page_bit(linear)] = exit;
        exit->in_page_list = true;
    }
}

void lookup_link(struct vcpu *v, struct block_exit *exit, struct block *to)
{
    struct translator_vcpu *tv = translator_of(v);

    if (!tv->translator->options.chain || lookup_is_seen(tv->translator, lookup_linear(v, to->pc)))
        return;
    if (exit->cell || to->second.gpa != CACHE_NO_PAGE)
        log_link(v, exit, to);
    cache_link(&tv->translator->cache, exit, to);
    tv->translator->stats.chained++;
}

#define FAILURES_COUNTED 256u
#define FAILING_FAST (4000u * FAILURES_COUNTED) /* TSC ticks for them */

static unsigned ungrouped_bit(gva_t pc)
{
    return (unsigned)(pc * 0x9e3779b97f4a7c15ull >> 32) % (8 * UNGROUPED_BYTES);
}

bool lookup_is_ungrouped(const struct translator *t, gva_t pc)
{
    return t->ungrouped[ungrouped_bit(pc) / 8] >> ungrouped_bit(pc) % 8 & 1;
}

void lookup_group_failed(struct translator *t, struct block *b)
{
    uint64_t now = __builtin_ia32_rdtsc();

    if (b->failures++ == 0)
        b->failing = now;
    if (b->failures < FAILURES_COUNTED)
        return;
    b->failures = 0;
    if (now - b->failing > FAILING_FAST)
        return;
    t->ungrouped[ungrouped_bit(b->pc) / 8] |= (uint8_t)(1u << ungrouped_bit(b->pc) % 8);
    lookup_invalidate(t, b);
}
