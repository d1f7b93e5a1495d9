/*
 * tier.c - which address space has the window, and what to do about a page that it lacks.
 *
 * Interface: tier.h. An address space gets the window when time ticks keep finding it in user code; from then on
 * whenever its turn comes, unless turns are short. It loses it when ticks keep finding that it is being filled
 * rather than used. Compiled without SIMD.
 */
#include "translator/tier.h"

#include <string.h>
#include <x86intrin.h>

#include "cpu/simd.h"

#define PROMOTE_SCORE 3  /* ticks in user code */
#define HIGHEST_SCORE 16 /* remembered */
#define FEW_SWITCHES 2   /* of user code's address space, from one tick to the next */
#define BUSY_FILLS 64u   /* pages mapped from one tick to the next that cost more than they are worth */
#define BUSY_FLUSHES 16u /* likewise, pages flushed; a flush of all is FLUSH_WEIGHT of them */
#define FLUSH_WEIGHT 4u
#define DEMOTE_SCORE 16     /* such ticks */
#define BUSY_FLUSH_TICKS 4u /* of them, when it is the flushes */
/* What a turn with the window costs, and each page, in cycles of the TSC; and how many times as long it has to
   last to be worth that. */
#define TURN_CYCLES 500000u
#define FILL_CYCLES 25000u
#define GAIN 2u
#define MAX_LOSSES 3u    /* waiting 24 ticks costs little; and another process may have got the CR3 */
#define MISPLACED 100u   /* accesses from one tick to the next to where novt itself is: 3 microseconds each */
#define BACKOFF 250      /* ticks until a demoted address space may have the window again */
#define UNSUITABLE_MAX 4 /* accesses of a block that no window serves before it does without */
#define CODE_MAX 8       /* of them, stores into pages with translated code, in so many cycles of the TSC */
#define CODE_CYCLES 40000000u

static bool is_narrow(const struct vcpu *v)
{
    return !(v->mode & MODE_CODE64);
}

/* User code of a kind that a window serves. */
static bool in_user_code(const struct vcpu *v)
{
    return v->cpl == 3 && v->mmu.paging && !translator_segmented(v->mode);
}

static void note_seen(struct vcpu *v)
{
    struct tier *tier = &translator_of(v)->tier;
    const struct window_stats *s = &v->mmu.window->stats;

    tier->seen_fills = s->fills;
    tier->seen_flushes = s->flushes;
    tier->seen_page_flushes = s->page_flushes;
    tier->misplaced = 0;
}

static uint32_t hash_of(uint64_t address)
{
    return (uint32_t)(address * 0x9e3779b97f4a7c15ull >> 40);
}

/* Of a CR3, without PCID and flags; PDPTs of PAE paging have 32 bytes. */
static uint64_t root_of(const struct vcpu *v, uint64_t cr3)
{
    return cr3 & (v->mmu.pae && !v->mmu.long_mode ? ~(uint64_t)31 : PAGE_MASK);
}

static struct tier_space *space_of(struct vcpu *v, uint64_t cr3)
{
    struct tier *tier = &translator_of(v)->tier;
    uint64_t root = root_of(v, cr3);
    struct tier_space *s = &tier->space[hash_of(root) % TIER_SPACES];

    if (s->root != root)
        *s = (struct tier_space){.root = root};
    return s;
}

/* Of the top-level entries for user code (SDM vol. 3, 4.3 to 4.5), but for A and D. */
static uint64_t fingerprint(const struct vcpu *v, uint64_t root)
{
    const uint8_t *host = ram_host(v->mmu.ram, root & v->mmu.ram->a20_mask);
    unsigned words = v->mmu.long_mode || !v->mmu.pae ? 256 : 3;
    uint64_t sum = 0, word;

    for (unsigned i = 0; host && i < words; i++) {
        memcpy(&word, host + i * sizeof word, sizeof word);
        sum = (sum ^ (word & ~0x6000000060ull)) * 0x9e3779b97f4a7c15ull;
    }
    return sum;
}

static void make_wait(struct vcpu *v, struct tier_space *s, int ticks)
{
    s->score = -ticks;
    s->fingerprint = fingerprint(v, s->root);
}

/* One that waits for what its predecessor has done, which had the page of its top-level table before it, need not.
 */
static void forgive(struct vcpu *v, struct tier_space *s)
{
    if (s->score < 0 && s->fingerprint != fingerprint(v, s->root))
        *s = (struct tier_space){.root = s->root};
}

/* The owner's turn is over: has the window been worth its filling? If not, it has to wait, each time longer. */
static void settle(struct vcpu *v)
{
    struct tier *tier = &translator_of(v)->tier;
    const struct window *w = v->mmu.window;
    uint64_t fills = w->stats.fills - tier->taken_fills;
    struct tier_space *s;

    if (w->owner == WINDOW_NO_OWNER)
        return;
    s = space_of(v, w->owner);
    if (__rdtsc() - tier->taken >= (TURN_CYCLES + fills * FILL_CYCLES) * GAIN) {
        s->losses = 0;
        return;
    }
    s->losses += s->losses < MAX_LOSSES;
    make_wait(v, s, (1 << s->losses) * PROMOTE_SCORE);
}

/* The supervisor's narrow window is where the user's is to be, narrow or with its probe table. */
static void make_way(struct vcpu *v)
{
    struct kwindow *k = v->mmu.kwindow;

    if (!k || k->wide)
        return;
    if (!is_narrow(v))
        kwindow_close(k);
    else if (kwindow_move(k))
        translator_flush(translator_of(v)->translator, v); /* it is of code for the other place */
}

static void promote(struct vcpu *v)
{
    struct window *w = v->mmu.window;
    const struct mmu_table *t = &v->mmu.table[MMU_USER];

    settle(v);
    simd_save(v);
    make_way(v);
    if (!window_take(w, is_narrow(v)))
        return;
    trace_tell(&w->ram->trace, TRACE_PROMOTE, v->cr3, w->narrow, 0, 0);
    w->owner = v->cr3;
    w->active = true;
    w->stats.promotions++;
    translator_of(v)->tier.taken = __rdtsc();
    translator_of(v)->tier.taken_fills = w->stats.fills;
    note_seen(v);
    for (unsigned i = 0; i < MMU_TLB_SIZE; i++) {
        const struct mmu_tlb_entry *e = &t->entry[i];

        if (e->read != MMU_TLB_NEVER(i) && window_allows(w, 0 - e->read))
            window_map(w, 0 - e->read, (const uint8_t *)(uintptr_t)e->host, e->write == e->read);
    }
}

static void demote(struct vcpu *v, const char *why)
{
    struct window *w = v->mmu.window;

    trace_tell(&w->ram->trace, TRACE_DEMOTE, w->owner, (uintptr_t)why, 0, 0);
    settle(v);
    window_release(w);
    w->stats.demotions++;
}

/* The current address space, which has the window, is not to get it back soon. */
static void give_up(struct vcpu *v, const char *why)
{
    demote(v, why);
    make_wait(v, space_of(v, v->cr3), BACKOFF);
}

/* Pages that are filled once are an investment; those that are flushed and filled again are not. */
static void watch_fills(struct vcpu *v)
{
    struct tier *tier = &translator_of(v)->tier;
    const struct window_stats *s = &v->mmu.window->stats;
    uint64_t fills = s->fills - tier->seen_fills;
    uint64_t flushes =
        (s->flushes - tier->seen_flushes) * FLUSH_WEIGHT + s->page_flushes - tier->seen_page_flushes;

    note_seen(v);
    if (flushes > BUSY_FLUSHES)
        tier->busy += DEMOTE_SCORE / BUSY_FLUSH_TICKS;
    else if (fills > BUSY_FILLS)
        tier->busy++;
    else if (tier->busy)
        tier->busy--;
    if (tier->busy < DEMOTE_SCORE)
        return;
    give_up(v, "filled or flushed too often");
    tier->busy = 0;
}

static void count_tick(struct tier_space *s, bool in_user)
{
    if (in_user || s->score < 0)
        s->score += s->score < HIGHEST_SCORE;
    else if (s->score)
        s->score--;
}

void tier_tick(struct vcpu *v)
{
    struct tier *tier = &translator_of(v)->tier;
    struct tier_space *s = space_of(v, v->cr3);
    bool restless = tier->switches > FEW_SWITCHES;

    if (v->mmu.kwindow && v->mmu.kwindow->local_flushes)
        v->mmu.kwindow->local_flushes--;
    tier->switches = 0;
    if (!v->mmu.window || translator_of(v)->translator->options.tier != TIER_AUTO)
        return;
    forgive(v, s);
    count_tick(s, in_user_code(v) && !restless);
    if (restless && v->mmu.window->owner != WINDOW_NO_OWNER)
        demote(v, "address spaces change too often"); /* without tags, each switch empties it; and filling it again
                                                         is dear */
    else if (v->mmu.window->active)
        watch_fills(v);
    else if (s->score >= PROMOTE_SCORE && in_user_code(v))
        promote(v);
}

bool tier_is_due(struct vcpu *v)
{
    struct tier *tier = &translator_of(v)->tier;

    tier->entered = v->cr3;
    tier->switches++;
    tier->due = v->mmu.window && !v->mmu.window->active && tier->switches <= FEW_SWITCHES && in_user_code(v) &&
                translator_of(v)->translator->options.tier == TIER_AUTO &&
                space_of(v, v->cr3)->score >= PROMOTE_SCORE;
    return tier->due;
}

void tier_take_turn(struct vcpu *v)
{
    struct tier *tier = &translator_of(v)->tier;

    tier->due = false;
    if (tier->misplaced <= MISPLACED) {
        if (!v->mmu.window->active && in_user_code(v))
            promote(v);
        return;
    }
    tier->misplaced = 0;
    if (v->mmu.window->active)
        give_up(v, "where novt itself is");
}

void tier_force(struct vcpu *v)
{
    if (v->mmu.window && !v->mmu.window->active && in_user_code(v))
        promote(v);
}

enum tier_fault tier_translate(struct vcpu *v, gva_t linear, bool write, uint8_t **host)
{
    gpa_t gpa;

    switch (mmu_translate(&v->mmu, v->data_context, linear, write ? MMU_WRITE : MMU_READ, host, &gpa)) {
    case MMU_OK:
        return TIER_MAPPED;
    case MMU_FAULT:
        return TIER_GUEST_FAULT;
    case MMU_CODE:
        return TIER_CODE;
    default:
        return TIER_UNSUITABLE;
    }
}

enum tier_fault tier_resolve(struct vcpu *v, gva_t linear, bool write)
{
    struct window *w = v->mmu.window;
    gva_t page = linear & PAGE_MASK;
    enum tier_fault fault;
    uint8_t *host;

    if (!window_allows(w, page))
        return TIER_MISPLACED;
    fault = tier_translate(v, linear, write, &host);
    if (fault != TIER_MAPPED)
        return fault;
    return window_map(w, page, host - (linear & ~PAGE_MASK), mmu_entry(&v->mmu, MMU_USER, page)->write == 0 - page)
               ? TIER_UNSUITABLE
               : TIER_MAPPED;
}

static bool is_over(const struct tier_unsuitable *u)
{
    return u->count >= UNSUITABLE_MAX || u->code >= CODE_MAX;
}

/* The block's slot; else the one that it may have, of a block that is not unsuitable if there is one. */
static unsigned unsuitable_slot(const struct tier *tier, gpa_t gpa)
{
    unsigned first = hash_of(gpa) % TIER_UNSUITABLE_SLOTS & ~(TIER_UNSUITABLE_WAYS - 1);
    unsigned worst = first + (unsigned)(gpa % TIER_UNSUITABLE_WAYS);

    for (unsigned i = first; i < first + TIER_UNSUITABLE_WAYS; i++) {
        if (tier->unsuitable[i].gpa == gpa)
            return i;
        if (is_over(&tier->unsuitable[worst]) && !is_over(&tier->unsuitable[i]))
            worst = i;
    }
    return worst;
}

bool tier_is_unsuitable(const struct translator_vcpu *tv, gpa_t gpa)
{
    const struct tier_unsuitable *u = &tv->tier.unsuitable[unsuitable_slot(&tv->tier, gpa)];

    return u->gpa == gpa && is_over(u);
}

void tier_note_unsuitable(struct vcpu *v, struct block *b, enum tier_fault fault)
{
    struct translator_vcpu *tv = translator_of(v);
    struct tier_unsuitable *u = &tv->tier.unsuitable[unsuitable_slot(&tv->tier, b->gpa)];

    tv->translator->stats.window_unsuitable++;
    if (fault == TIER_MISPLACED && v->cpl == 3 && tv->translator->options.tier == TIER_AUTO) {
        tv->tier.due |=
            ++tv->tier.misplaced > MISPLACED; /* the address space's fault: others run the block, too */
        return;
    }
    if (u->gpa != b->gpa)
        *u = (struct tier_unsuitable){.gpa = b->gpa};
    if (fault == TIER_CODE) {
        uint64_t now = __rdtsc();

        if (now - u->since > CODE_CYCLES) {
            u->since = now;
            u->code = 0;
        }
        u->code++;
    } else {
        u->count++;
    }
    if (tier_is_unsuitable(tv, b->gpa))
        lookup_invalidate(tv->translator, b);
}

void tier_forget(struct translator_vcpu *tv)
{
    memset(tv->tier.unsuitable, 0, sizeof tv->tier.unsuitable);
}
