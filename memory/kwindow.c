/*
 * kwindow.c - the runs of the supervisor's window.
 *
 * Interface: kwindow.h. Invariants: while the window is active, what is mapped from WINDOW_LOWEST up to
 * KWINDOW_END is the runs, and between them nothing that can be reached; a page of RAM that ram_may_write does not
 * allow is in no writable run.
 */
#include "memory/kwindow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVED (WINDOW_TABLE_SIZE - WINDOW_LOWEST) /* bytes; with a guard for an access at the end */

int kwindow_create(struct kwindow **window, struct ram *ram)
{
    struct kwindow *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *window = NULL;
    if (w == MAP_FAILED)
        return -errno;
    w->ram = ram;
    w->limit = KWINDOW_RUNS;
    *window = w;
    return 0;
}

void kwindow_destroy(struct kwindow *w)
{
    if (!w)
        return;
    kwindow_close(w);
    munmap(w, sizeof *w);
}

static void *host_of(uint64_t page)
{
    return (void *)(uintptr_t)(page << PAGE_SHIFT);
}

bool kwindow_open(struct kwindow *w)
{
    void *lowest = (void *)(uintptr_t)WINDOW_LOWEST, *got;

    if (w->active)
        return true;
    got = mmap(lowest, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
               0);
    w->active = got == lowest;
    if (got != MAP_FAILED && got != lowest) /* a kernel that does not know MAP_FIXED_NOREPLACE */
        munmap(got, RESERVED);
    return w->active;
}

void kwindow_close(struct kwindow *w)
{
    if (w->active && munmap((void *)(uintptr_t)WINDOW_LOWEST, RESERVED))
        abort(); /* what the guest may not reach any more must not stay */
    w->active = false;
    w->count = 0;
}

void kwindow_flush(struct kwindow *w)
{
    if (!w->count)
        return;
    if (!window_close_range(host_of(w->run[0].from), (uint64_t)(w->run[w->count - 1].to - w->run[0].from)
                                                         << PAGE_SHIFT))
        abort(); /* as above */
    w->count = 0;
    w->local = false;
    w->stats.flushes++;
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
static unsigned cut(struct kwindow *w, uint32_t from, uint32_t to)
{
    unsigned i = find(w, from), end;

    if (i < w->count && w->run[i].from < from) {
        struct kwindow_run rest = w->run[i];

        w->run[i++].to = from;
        if (rest.to > to) {
            rest.page += to - rest.from;
            rest.from = to;
            insert(w, i, rest);
            return i;
        }
    }
    for (end = i; end < w->count && w->run[end].to <= to; end++)
        ;
    drop(w, i, end - i);
    if (i < w->count && w->run[i].from < to) {
        w->run[i].page += to - w->run[i].from;
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

static bool map_host(const struct kwindow *w, struct kwindow_run run)
{
    size_t size = (size_t)(run.to - run.from) << PAGE_SHIFT;
    int flags = MAP_SHARED | MAP_FIXED | (size == PAGE_SIZE ? MAP_POPULATE : 0);

    return mmap(host_of(run.from), size, PROT_READ | (run.writable ? PROT_WRITE : 0), flags, w->ram->fd,
                (off_t)run.page << PAGE_SHIFT) != MAP_FAILED;
}

static int map_run(struct kwindow *w, struct kwindow_run run)
{
    if (is_full(w))
        evict(w);
    if (!map_host(w, run)) { /* the process may have no more mappings to give */
        evict(w);
        if (!map_host(w, run))
            return -errno;
    }
    note(w, run);
    w->stats.maps++;
    w->stats.pages += run.to - run.from;
    return 0;
}

int kwindow_map(struct kwindow *w, gva_t from, gva_t to, uint64_t offset, bool writable, bool global)
{
    gva_t first = from < WINDOW_LOWEST ? WINDOW_LOWEST : from;
    struct kwindow_run run = {(uint32_t)(first >> PAGE_SHIFT), 0,
                              (uint32_t)((offset + first - from) >> PAGE_SHIFT), 0};
    int status = 0;

    while (!status && run.from < to >> PAGE_SHIFT) {
        run.writable = writable && ram_may_write(w->ram, run.page);
        run.to = run.from + 1;
        while (run.to < to >> PAGE_SHIFT &&
               (writable && ram_may_write(w->ram, run.page + (run.to - run.from))) == run.writable)
            run.to++;
        status = map_run(w, run);
        run.page += run.to - run.from;
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
    w->flushed[slot_of(page)] += !is_volatile(w, page);
    if (is_full(w) || !window_close_range(host_of(page >> PAGE_SHIFT), PAGE_SIZE))
        evict(w); /* it would be one too many */
    else
        cut(w, (uint32_t)(page >> PAGE_SHIFT), (uint32_t)(page >> PAGE_SHIFT) + 1);
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
        uint32_t at = run->from + (page - run->page);

        if (is_full(w) || mprotect(host_of(at), PAGE_SIZE, PROT_READ))
            evict(w); /* it would be one too many */
        else
            note(w, (struct kwindow_run){at, at + 1, page, false});
    }
}
