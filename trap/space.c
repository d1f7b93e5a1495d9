/*
 * space.c - the guest pages that a child has mapped.
 *
 * Interface: internal.h. The mappings are a TLB (SDM vol. 3, 4.10): filled page by page behind the faults of the
 * child, with the rights that the access needed and that the guest's page tables give by now, so that A and D are
 * set as the processor sets them; emptied when the guest flushes. Invariants: a mapped page is in slot[] with its
 * rights; it is mapped writable only if the mmu's TLB allowed that, and nothing lies at or above STUB_PAGE.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "cpu/decode.h"
#include "trap/internal.h"

#define RUN_SIZE 0x200000ull /* mapped at once at most */

int space_create(struct child *c)
{
    c->space = mmap(NULL, sizeof *c->space, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->space == MAP_FAILED) {
        c->space = NULL;
        return -ENOMEM;
    }
    c->space->generation = 1;
    return 0;
}

void space_destroy(struct child *c)
{
    if (c->space)
        munmap(c->space, sizeof *c->space);
    c->space = NULL;
}

/* The page's slot, or the free one where it would go. */
static struct space_slot *find(const struct space *s, gva_t page)
{
    uint32_t i = (uint32_t)((page >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 48);

    while ((s->slot[i].page & ~PAGE_MASK) == s->generation && (s->slot[i].page & PAGE_MASK) != page)
        i = (i + 1) % SPACE_SLOTS;
    return (struct space_slot *)&s->slot[i];
}

static bool is_used(const struct space *s, const struct space_slot *slot)
{
    return (slot->page & ~PAGE_MASK) == s->generation;
}

unsigned space_rights(const struct child *c, gva_t page)
{
    const struct space_slot *slot = find(c->space, page & PAGE_MASK);

    return is_used(c->space, slot) ? slot->value & ~PAGE_MASK : 0;
}

static int flush(struct trap *t, struct child *c)
{
    const uint64_t everything[6] = {0, STUB_PAGE};
    struct space *s = c->space;

    if (!s->count)
        return 0;
    t->count[COUNT_FLUSHES]++;
    s->count = 0;
    if (++s->generation == PAGE_SIZE) {
        s->generation = 1;
        memset(s->slot, 0, sizeof s->slot);
    }
    return child_call(c, SYS_munmap, everything) ? -ESRCH : 0;
}

static int flush_page(struct trap *t, struct child *c, gva_t page)
{
    const uint64_t arguments[6] = {page, PAGE_SIZE};
    struct space_slot *slot = find(c->space, page);

    if (!is_used(c->space, slot) || !(slot->value & ~PAGE_MASK))
        return 0;
    slot->value = 0;
    t->count[COUNT_PAGE_FLUSHES]++;
    if (child_call(c, SYS_munmap, arguments) == 0)
        return 0;
    return flush(t, c); /* it would have made one mapping too many */
}

int space_follow(struct trap *t, struct child *c)
{
    const struct mmu *mmu = &t->v->mmu;
    struct space *s = c->space;
    uint32_t pages = mmu->page_flush_count - s->seen_page_flush;
    bool all = mmu->flush_count != s->seen_flush || pages > MMU_FLUSHED_PAGES;
    int status = 0;

    if (all)
        status = flush(t, c);
    else
        for (uint32_t i = 0; i < pages && !status; i++)
            status = flush_page(t, c, mmu->flushed_page[(s->seen_page_flush + i) % MMU_FLUSHED_PAGES]);
    s->seen_flush = mmu->flush_count;
    s->seen_page_flush = mmu->page_flush_count;
    return status;
}

static long call_mmap(struct trap *t, struct child *c, const struct mmu_run *run, unsigned rights)
{
    const uint64_t arguments[6] = {run->from,
                                   run->to - run->from,
                                   PROT_READ | (rights & RIGHT_WRITE ? PROT_WRITE : 0) |
                                       (rights & RIGHT_EXECUTE ? PROT_EXEC : 0),
                                   MAP_SHARED | MAP_FIXED,
                                   (uint64_t)t->v->mmu.ram->fd,
                                   run->offset};

    return child_call(c, SYS_mmap, arguments);
}

static void note(struct space *s, gva_t page, uint64_t value)
{
    struct space_slot *slot = find(s, page);

    s->count += !is_used(s, slot);
    *slot = (struct space_slot){page | s->generation, value};
}

/* 1: done. 0: the host does not want to. */
static int map(struct trap *t, struct child *c, const struct mmu_run *run, unsigned rights)
{
    struct space *s = c->space;
    long got;

    if (s->count >= SPACE_PAGES && flush(t, c))
        return -ESRCH;
    got = call_mmap(t, c, run, rights);
    if (got == -ENOMEM && s->count) { /* no more mappings for this process */
        if (flush(t, c))
            return -ESRCH;
        got = call_mmap(t, c, run, rights);
    }
    if (got != (long)run->from)
        return got == -ESRCH ? -ESRCH : 0;
    for (gva_t page = run->from; page < run->to; page += PAGE_SIZE)
        note(s, page, (run->offset + (page - run->from)) | rights);
    t->count[COUNT_MAPPED] += (run->to - run->from) / PAGE_SIZE;
    return 1;
}

/* What the instruction at RIP wanted at `linear` that it was not allowed; 0: that does not show. */
static unsigned find_want(struct trap *t, gva_t linear, unsigned rights)
{
    uint8_t bytes[DECODE_BUFFER];
    struct insn insn;
    unsigned size, effects;
    gva_t start;

    size = trap_decode(t->v, &insn, bytes, &start);
    if (!(rights & RIGHT_EXECUTE) && linear - start < insn.length)
        return RIGHT_EXECUTE;
    effects = t->options.memory_effects(bytes, size, trap_code_bits(t->v));
    if (rights & RIGHT_READ)
        return effects & 2 ? RIGHT_WRITE : 0;
    return effects == 3 ? 0 : effects == 2 ? RIGHT_WRITE : RIGHT_READ;
}

static bool translate(struct vcpu *v, enum mmu_context context, gva_t linear, enum mmu_access access)
{
    uint8_t *host;
    gpa_t gpa;

    return mmu_translate(&v->mmu, context, linear, access, &host, &gpa) == MMU_OK;
}

/* Do the guest's page tables allow that? A page that may be fetched from but not read (SMAP without SMEP) is left
   to the interpreter, because the host cannot map it. */
static bool is_allowed(struct vcpu *v, gva_t linear, unsigned want)
{
    if (want == RIGHT_EXECUTE && !translate(v, v->fetch_context, linear, MMU_FETCH))
        return false;
    return want && translate(v, v->data_context, linear, want == RIGHT_WRITE ? MMU_WRITE : MMU_READ);
}

/* The page, and those around it that the guest's page tables map just like it: one call of the host does for all.
 */
static struct mmu_run find_run(struct mmu *mmu, enum mmu_context context, gva_t page, uint64_t offset)
{
    struct mmu_run run, one = {.from = page, .to = page + PAGE_SIZE, .offset = offset};
    gva_t first = page & ~(RUN_SIZE - 1), last = first + RUN_SIZE;

    if (mmu->ram->log_dirty || !mmu_find_run(mmu, context, page, &run) || run.from > page || run.to <= page)
        return one;
    first = first < LOWEST_PAGE ? LOWEST_PAGE : first;
    last = last > STUB_PAGE ? STUB_PAGE : last;
    one.from = run.from > first ? run.from : first;
    one.to = run.to < last ? run.to : last;
    one.offset = offset - (page - one.from);
    return one;
}

/* Maps the page as the TLB has it, with `right` beside. 0: nothing to map, or nothing new. */
static int map_from_tlb(struct trap *t, struct child *c, enum mmu_context context, gva_t page, unsigned right)
{
    struct mmu *mmu = &t->v->mmu;
    const uint8_t *host = mmu_hit(mmu, context, page, 1, false);
    uint64_t offset = (uint64_t)(host - mmu->ram->host);
    unsigned old = space_rights(c, page), rights = right | RIGHT_READ;
    struct mmu_run run;

    if (page < LOWEST_PAGE || page >= STUB_PAGE || !host || offset >= mmu->ram->size)
        return 0;
    if (mmu_hit(mmu, context, page, 1, true))
        rights |= RIGHT_WRITE;
    if (old && (find(c->space, page)->value & PAGE_MASK) == offset) { /* else the tables have changed */
        if ((old | rights) == old)
            return 0;
        rights |= old;
    }
    run = find_run(mmu, context, page, offset);
    return map(t, c, &run, rights);
}

int space_resolve(struct trap *t, struct child *c, gva_t linear)
{
    unsigned want = find_want(t, linear, space_rights(c, linear));

    if (linear < LOWEST_PAGE || linear >= STUB_PAGE || !is_allowed(t->v, linear, want))
        return 0;
    return map_from_tlb(t, c, t->v->data_context, linear & PAGE_MASK, want);
}

int space_adopt(struct trap *t, struct child *c, enum mmu_context context, gva_t linear)
{
    int status = space_follow(t, c);

    return status ? status : map_from_tlb(t, c, context, linear & PAGE_MASK, 0);
}
