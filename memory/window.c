/*
 * window.c - a window's pages.
 *
 * Interface: window.h. Invariants: every page that is mapped in an allowed part is in slot[], and lies in its
 * part's [low, high); a page of RAM with RAM_PAGE_CODE is not mapped writable, and one that is has
 * RAM_PAGE_WINDOW.
 */
#include "memory/window.h"

#include "memory/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct window_part narrow_part = {.from = WINDOW_LOWEST, .to = WINDOW_NARROW_SIZE};

/* The bytes of the probe table that stand for an allowed part are readable; they share one page of zeros. */
static bool open_table(const struct window *w)
{
    for (unsigned i = 0; i < w->part_count; i++) {
        uint64_t from = (w->part[i].from >> WINDOW_PROBE_SHIFT) & PAGE_MASK;
        uint64_t to = ((w->part[i].to - 1) >> WINDOW_PROBE_SHIFT | ~PAGE_MASK) + 1;

        if (host_protect(w->table + from, to - from, PROT_READ))
            return false;
    }
    return true;
}

bool window_close_range(void *from, uint64_t size)
{
    return !size ||
           !host_map(from, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

bool window_reserve(uint64_t at, uint64_t size)
{
    return !host_map((void *)(uintptr_t)at, size, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

void window_give_back(uint64_t at, uint64_t size)
{
    if (host_unmap((void *)(uintptr_t)at, size))
        abort(); /* what the guest may not reach any more must not stay */
}

bool window_reserve_lowest(void)
{
    return window_reserve(WINDOW_LOWEST, WINDOW_LOWEST_END - WINDOW_LOWEST);
}

void window_give_back_lowest(void)
{
    window_give_back(WINDOW_LOWEST, WINDOW_LOWEST_END - WINDOW_LOWEST);
}

int window_create(struct window **window, struct ram *ram, uint8_t *table)
{
    struct window *w = host_allocate(sizeof *w);

    *window = NULL;
    if (!w)
        return -ENOMEM;
    w->ram = ram;
    w->table = table;
    w->owner = WINDOW_NO_OWNER;
    w->narrow = true;
    w->limit = WINDOW_PAGES;
    w->generation = 1;
    w->part_count = 1;
    w->part[0] = narrow_part;
    window_find_parts(w);
    *window = w;
    return 0;
}

void window_release(struct window *w)
{
    window_flush(w);
    w->owner = WINDOW_NO_OWNER;
    w->active = false;
}

static void choose_parts(struct window *w)
{
    w->part_count = w->narrow ? 1 : w->wide_count;
    w->part[0] = narrow_part;
    if (!w->narrow)
        memcpy(w->part, w->wide, sizeof w->wide);
}

bool window_forbid(struct window *w, uint64_t from, uint64_t to)
{
    window_release(w);
    if (!window_parts_split(w, from, to) ||
        (!w->narrow &&
         !window_close_range(w->table + (from >> WINDOW_PROBE_SHIFT), (to - from) >> WINDOW_PROBE_SHIFT)))
        w->spoiled = true;
    choose_parts(w);
    return !w->spoiled;
}

static bool take_lowest(struct window *w, bool wanted)
{
    if (wanted && !w->reserved)
        w->reserved = window_reserve_lowest();
    else if (!wanted && w->reserved) {
        window_give_back_lowest();
        w->reserved = false;
    }
    return w->reserved == wanted;
}

bool window_take(struct window *w, bool narrow)
{
    window_release(w);
    if ((!narrow && (!w->wide_count || w->spoiled)) || !take_lowest(w, narrow))
        return false;
    if (w->narrow != narrow) {
        w->narrow = narrow;
        choose_parts(w);
        if (!window_close_range(w->table, WINDOW_NARROW_SIZE) || (!narrow && !open_table(w)))
            w->spoiled = true;
    }
    w->spoiled |= !narrow && !window_is_ours(w);
    return !w->spoiled || narrow;
}

gva_t window_linear(const struct window *w, const void *host)
{
    return !w->narrow || (uintptr_t)host < WINDOW_NARROW_SIZE ? (uintptr_t)host : UINT64_MAX;
}

static void *host_of(gva_t linear)
{
    return (void *)(uintptr_t)linear;
}

void window_destroy(struct window *w)
{
    if (!w)
        return;
    window_flush(w);
    take_lowest(w, false);
    host_unmap(w, sizeof *w);
}

/* Index of the allowed part that holds it, or part_count. */
static unsigned part_of(const struct window *w, gva_t linear)
{
    unsigned i = 0;

    while (i < w->part_count && (linear < w->part[i].from || linear >= w->part[i].to))
        i++;
    return i;
}

bool window_allows(const struct window *w, gva_t linear)
{
    return part_of(w, linear) < w->part_count;
}

static uint32_t home(gva_t page)
{
    return (uint32_t)((page >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 48);
}

static bool is_used(const struct window *w, const struct window_page *slot)
{
    return (slot->page & ~PAGE_MASK) == w->generation;
}

/* The slot that holds the page, or the free one where it would go. */
static struct window_page *find(struct window *w, gva_t page)
{
    uint32_t i = home(page);

    while (is_used(w, &w->slot[i]) && (w->slot[i].page & PAGE_MASK) != page)
        i = (i + 1) % WINDOW_SLOTS;
    return &w->slot[i];
}

/* All slots are free. */
static void forget_all(struct window *w)
{
    w->count = 0;
    if (++w->generation < PAGE_SIZE)
        return;
    w->generation = 1;
    memset(w->slot, 0, sizeof w->slot);
}

static void forget(struct window *w, struct window_page *page)
{
    uint32_t hole = (uint32_t)(page - w->slot);

    for (uint32_t i = (hole + 1) % WINDOW_SLOTS; is_used(w, &w->slot[i]); i = (i + 1) % WINDOW_SLOTS)
        if ((i - home(w->slot[i].page)) % WINDOW_SLOTS >= (i - hole) % WINDOW_SLOTS) {
            w->slot[hole] = w->slot[i];
            hole = i;
        }
    w->slot[hole].page = 0;
    w->count--;
}

/* Makes room: everything goes. Gives the page's slot. */
static struct window_page *evict(struct window *w, gva_t page)
{
    window_flush(w);
    w->stats.evictions++;
    return find(w, page);
}

int window_map(struct window *w, gva_t page, const uint8_t *host_page, bool writable)
{
    uint64_t offset = (uint64_t)(host_page - w->ram->host);
    struct window_part *part = &w->part[part_of(w, page)];
    struct window_page *slot = find(w, page);
    void *address = host_of(page);
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    int flags = MAP_SHARED | MAP_POPULATE | (is_used(w, slot) || w->narrow ? MAP_FIXED : MAP_FIXED_NOREPLACE);
    int status;

    if (!window_allows(w, page) || offset >= w->ram->size ||
        (writable && w->ram->page_flags[offset >> PAGE_SHIFT] & RAM_PAGE_CODE))
        return -EFAULT;
    if (!is_used(w, slot) && w->count >= w->limit)
        slot = evict(w, page);
    status = host_map(address, PAGE_SIZE, protection, flags, w->ram->fd, offset);
    if (status == -ENOMEM && w->count) { /* the process has no more mappings to give */
        slot = evict(w, page);
        status = host_map(address, PAGE_SIZE, protection, flags, w->ram->fd, offset);
    }
    if (status)
        return status;
    w->count += !is_used(w, slot);
    *slot = (struct window_page){page | w->generation, offset | (writable ? WINDOW_WRITABLE : 0)};
    if (writable)
        w->ram->page_flags[offset >> PAGE_SHIFT] |= RAM_PAGE_WINDOW;
    if (part->low == part->high) {
        part->low = page;
        part->high = page + PAGE_SIZE;
    }
    part->low = page < part->low ? page : part->low;
    part->high = page + PAGE_SIZE > part->high ? page + PAGE_SIZE : part->high;
    w->stats.fills++;
    trace_tell(&w->ram->trace, TRACE_WINDOW_MAP, page, offset, writable, 0);
    return 0;
}

static bool unmap(const struct window *w, gva_t from, gva_t to)
{
    if (w->narrow)
        return window_close_range(host_of(from), to - from);
    return from == to || !host_unmap(host_of(from), to - from);
}

void window_flush_page(struct window *w, gva_t page)
{
    struct window_page *slot = find(w, page);

    if (!is_used(w, slot))
        return;
    w->stats.page_flushes++;
    trace_tell(&w->ram->trace, TRACE_WINDOW_DROP, page, 0, 0, 0);
    if (unmap(w, page, page + PAGE_SIZE))
        forget(w, slot);
    else /* it would be one mapping too many */
        window_flush(w);
}

void window_flush(struct window *w)
{
    if (!w->count)
        return;
    trace_tell(&w->ram->trace, TRACE_WINDOW_EMPTY, w->count, 0, 0, 0);
    for (unsigned i = 0; i < w->part_count; i++) {
        if (!unmap(w, w->part[i].low, w->part[i].high))
            abort(); /* what the guest may not reach any more must not stay */
        w->part[i].low = w->part[i].high = 0;
    }
    forget_all(w);
    w->stats.flushes++;
}

void window_protect(struct window *w, uint64_t offset)
{
    uint8_t *flags = &w->ram->page_flags[offset >> PAGE_SHIFT];

    if (!(*flags & RAM_PAGE_WINDOW))
        return;
    *flags &= (uint8_t)~RAM_PAGE_WINDOW;
    for (uint32_t i = 0; i < WINDOW_SLOTS; i++)
        while (is_used(w, &w->slot[i]) && w->slot[i].offset == (offset | WINDOW_WRITABLE))
            window_flush_page(w, w->slot[i].page & PAGE_MASK);
}
