/*
 * kwindow.c - the runs of the supervisor's window.
 *
 * Interface: kwindow.h. Invariants: while the window is active, what is mapped from WINDOW_LOWEST up to
 * KWINDOW_END, or in the claimed units, is the runs, and between them nothing that can be reached; a page of RAM
 * that ram_may_write does not allow is in no writable run.
 */
#include "memory/kwindow.h"

#include "memory/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int kwindow_create(struct kwindow **window, struct ram *ram, const uint8_t *table, bool wide)
{
    struct kwindow *w = host_allocate(sizeof *w);

    *window = NULL;
    if (!w)
        return -ENOMEM;
    w->ram = ram;
    w->limit = KWINDOW_RUNS;
    w->table = (uintptr_t)table;
    w->has_table = wide && window_reserve(KWINDOW_BASE, WINDOW_NARROW_SIZE);
    *window = w;
    return 0;
}

void kwindow_destroy(struct kwindow *w)
{
    if (!w)
        return;
    kwindow_close(w);
    if (w->has_table)
        window_give_back(KWINDOW_BASE, WINDOW_NARROW_SIZE);
    host_unmap(w, sizeof *w);
}

static void *host_of(const struct kwindow *w, uint64_t page)
{
    return (void *)(uintptr_t)((page << PAGE_SHIFT) + w->base);
}

bool kwindow_open(struct kwindow *w)
{
    if (w->active)
        return true;
    w->active = w->base || window_reserve_lowest();
    if (w->active)
        trace_tell(&w->ram->trace, TRACE_KERNEL_OPEN, false, 0, 0, 0);
    return w->active;
}

/* Index behind the last run that is in one unit with the i-th; a narrow window is one unit. */
static unsigned end_of_unit(const struct kwindow *w, unsigned i)
{
    unsigned end = i + 1;

    if (!w->wide)
        return w->count;
    while (end < w->count &&
           w->run[end].from / (KWINDOW_UNIT >> PAGE_SHIFT) == w->run[i].from / (KWINDOW_UNIT >> PAGE_SHIFT))
        end++;
    return end;
}

void kwindow_flush(struct kwindow *w)
{
    if (!w->count)
        return;
    trace_tell(&w->ram->trace, TRACE_KERNEL_EMPTY, w->count, 0, 0, 0);
    for (unsigned i = 0, end; i < w->count; i = end) {
        end = end_of_unit(w, i);
        if (!window_close_range(host_of(w, w->run[i].from), (w->run[end - 1].to - w->run[i].from) << PAGE_SHIFT))
            abort(); /* what the guest may not reach any more must not stay */
    }
    w->count = 0;
    w->local = false;
    w->stats.flushes++;
}

void kwindow_close(struct kwindow *w)
{
    if (w->active && !w->base)
        window_give_back_lowest();
    else if (!w->wide)
        kwindow_flush(w);
    for (unsigned i = 0; i < w->claim_count; i++)
        window_give_back(w->claim[i] + w->base, KWINDOW_UNIT);
    w->active = false;
    w->count = w->claim_count = 0;
}

bool kwindow_move(struct kwindow *w)
{
    bool active = w->active;

    if (w->base)
        return false;
    kwindow_close(w);
    w->base = w->table;
    if (active)
        kwindow_open(w);
    return true;
}

void kwindow_flush_local(struct kwindow *w)
{
    if (!w->local)
        return;
    w->local_flushes++;
    kwindow_flush(w);
}

/* Index of the first run that ends behind the page. */
static unsigned find(const struct kwindow *w, uint64_t page)
{
    unsigned low = 0, high = w->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (w->run[middle].to > page)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool kwindow_holds(const struct kwindow *w, gva_t linear)
{
    unsigned i = find(w, linear >> PAGE_SHIFT);

    return i < w->count && w->run[i].from <= linear >> PAGE_SHIFT;
}

static void insert(struct kwindow *w, unsigned at, struct kwindow_run run)
{
    memmove(&w->run[at + 1], &w->run[at], (w->count - at) * sizeof run);
    w->run[at] = run;
    w->count++;
}

static void drop(struct kwindow *w, unsigned at, unsigned count)
{
    memmove(&w->run[at], &w->run[at + count], (w->count - at - count) * sizeof *w->run);
    w->count -= count;
}

/* Takes pages out of the list. Needs room for one more run. Gives the index where they would be. */
static unsigned cut(struct kwindow *w, uint64_t from, uint64_t to)
{
    unsigned i = find(w, from), end;

    if (i < w->count && w->run[i].from < from) {
        struct kwindow_run rest = w->run[i];

        w->run[i++].to = from;
        if (rest.to > to) {
            rest.page += (uint32_t)(to - rest.from);
            rest.from = to;
            insert(w, i, rest);
            return i;
        }
    }
    for (end = i; end < w->count && w->run[end].to <= to; end++)
        ;
    drop(w, i, end - i);
    if (i < w->count && w->run[i].from < to) {
        w->run[i].page += (uint32_t)(to - w->run[i].from);
        w->run[i].from = to;
    }
    return i;
}

static bool continues(const struct kwindow_run *a, const struct kwindow_run *b)
{
    return a->to == b->from && a->page + (a->to - a->from) == b->page && a->writable == b->writable;
}

static void note(struct kwindow *w, struct kwindow_run run)
{
    unsigned i = cut(w, run.from, run.to);

    insert(w, i, run);
    if (i + 1 < w->count && continues(&w->run[i], &w->run[i + 1])) {
        w->run[i].to = w->run[i + 1].to;
        drop(w, i + 1, 1);
    }
    if (i && continues(&w->run[i - 1], &w->run[i])) {
        w->run[i - 1].to = w->run[i].to;
        drop(w, i, 1);
    }
}

/* Two more runs: what one call can add to the list. */
static bool is_full(const struct kwindow *w)
{
    return w->count + 2 > w->limit;
}

static void evict(struct kwindow *w)
{
    kwindow_flush(w);
    w->stats.evictions++;
}

static int map_host(const struct kwindow *w, struct kwindow_run run)
{
    size_t size = (size_t)(run.to - run.from) << PAGE_SHIFT;
    int flags = MAP_SHARED | MAP_FIXED | (size == PAGE_SIZE ? MAP_POPULATE : 0);

    return host_map(host_of(w, run.from), size, PROT_READ | (run.writable ? PROT_WRITE : 0), flags, w->ram->fd,
                    (uint64_t)run.page << PAGE_SHIFT);
}

static int map_run(struct kwindow *w, struct kwindow_run run)
{
    int status;

    if (is_full(w))
        evict(w);
    status = map_host(w, run);
    if (status) { /* the process may have no more mappings to give */
        evict(w);
        status = map_host(w, run);
    }
    if (status)
        return status;
    note(w, run);
    w->stats.maps++;
    w->stats.pages += run.to - run.from;
    trace_tell(&w->ram->trace, TRACE_KERNEL_MAP, (gva_t)run.from << PAGE_SHIFT, (gva_t)run.to << PAGE_SHIFT,
               (uint64_t)run.page << PAGE_SHIFT, run.writable);
    return 0;
}

int kwindow_map(struct kwindow *w, gva_t from, gva_t to, uint64_t offset, bool writable, bool global)
{
    gva_t first = from < WINDOW_LOWEST ? WINDOW_LOWEST : from;
    struct kwindow_run run = {first >> PAGE_SHIFT, 0, (uint32_t)((offset + first - from) >> PAGE_SHIFT), 0};
    int status = 0;

    while (!status && run.from < to >> PAGE_SHIFT) {
        run.writable = writable && ram_may_write(w->ram, run.page);
        run.to = run.from + 1;
        while (run.to < to >> PAGE_SHIFT &&
               (writable && ram_may_write(w->ram, run.page + (uint32_t)(run.to - run.from))) == run.writable)
            run.to++;
        status = map_run(w, run);
        run.page += (uint32_t)(run.to - run.from);
        run.from = run.to;
    }
    w->local |= !global; /* now: what has made room has made it false */
    return status;
}

static unsigned slot_of(gva_t page)
{
    return (unsigned)(page >> PAGE_SHIFT) % (sizeof((struct kwindow *)NULL)->flushed);
}

static bool is_volatile(const struct kwindow *w, gva_t page)
{
    return w->flushed[slot_of(page)] >= KWINDOW_VOLATILE;
}

bool kwindow_is_volatile(const struct kwindow *w, gva_t linear, bool global)
{
    return is_volatile(w, linear) || (!global && w->local_flushes >= KWINDOW_LOCAL_FLUSHES);
}

void kwindow_flush_page(struct kwindow *w, gva_t page)
{
    if (!kwindow_holds(w, page))
        return;
    w->stats.page_flushes++;
    trace_tell(&w->ram->trace, TRACE_KERNEL_DROP, page, 0, 0, 0);
    w->flushed[slot_of(page)] += !is_volatile(w, page);
    if (is_full(w) || !window_close_range(host_of(w, page >> PAGE_SHIFT), PAGE_SIZE))
        evict(w); /* it would be one too many */
    else
        cut(w, page >> PAGE_SHIFT, (page >> PAGE_SHIFT) + 1);
}

/* The first writable run that holds the page of RAM, or NULL. */
static const struct kwindow_run *writer_of(const struct kwindow *w, uint32_t page)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->run[i].writable && page - w->run[i].page < w->run[i].to - w->run[i].from)
            return &w->run[i];
    return NULL;
}

void kwindow_protect(struct kwindow *w, uint64_t offset)
{
    uint32_t page = (uint32_t)(offset >> PAGE_SHIFT);
    const struct kwindow_run *run;

    while ((run = writer_of(w, page))) {
        uint64_t at = run->from + (page - run->page);

        if (is_full(w) || host_protect(host_of(w, at), PAGE_SIZE, PROT_READ))
            evict(w); /* it would be one too many */
        else
            note(w, (struct kwindow_run){at, at + 1, page, false});
    }
}
