/*
 * cache.c - memory of the code cache: the two views of the code, the arena, and dropping it all.
 *
 * Interface: cache.h. Invariants: [0, code_base) is permanent code; blocks in `order` ascend by host address, by
 * that of their cold part too.
 */
#include "cache/guard.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_PER_CODE 3 /* metadata takes less than this many times the code */
#define CODE_PER_BLOCK 64
/* Where the second part begins, in eighths of the buffer. */
#define COLD_FROM 4
#define COLD_FROM_PARTS 8

static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

/* Memory that is mapped twice, but without a file: a memfd has a name, and perf(1) does not look into its map
   (--perf-map) for what has one. */
static void map_code(struct cache *cache)
{
    size_t size = cache->code_size;
    void *write = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *execute =
        write == MAP_FAILED ? write : mremap(write, 0, size, MREMAP_MAYMOVE); /* 0: the old one stays */

    if (execute != MAP_FAILED && mprotect(execute, size, PROT_READ | PROT_EXEC)) {
        munmap(execute, size);
        execute = MAP_FAILED;
    }
    cache->write_view = write == MAP_FAILED ? NULL : write;
    cache->execute_view = execute == MAP_FAILED ? NULL : execute;
}

int cache_create(struct cache *cache, size_t code_size, uint64_t page_count)
{
    int status = 0;

    memset(cache, 0, sizeof *cache);
    cache->code_size = code_size;
    cache->cold_base = cache->cold_used = code_size / COLD_FROM_PARTS * COLD_FROM;
    cache->arena_size = code_size * ARENA_PER_CODE;
    cache->order_capacity = code_size / CODE_PER_BLOCK;
    cache->page_count = page_count;
    map_code(cache);
    cache->arena = reserve(cache->arena_size);
    cache->order = reserve(cache->order_capacity * sizeof *cache->order);
    cache->page_blocks = reserve(page_count * sizeof *cache->page_blocks);
    cache->page_dead = reserve(page_count * sizeof *cache->page_dead);
    if (!cache->write_view || !cache->execute_view || !cache->arena || !cache->order || !cache->page_blocks ||
        !cache->page_dead)
        status = -ENOMEM;
    else
        madvise(cache->arena, cache->arena_size,
                MADV_HUGEPAGE); /* a TLB entry for many blocks; or not: no matter */
    if (status)
        cache_destroy(cache);
    return status;
}

void cache_destroy(struct cache *cache)
{
    release(cache->write_view, cache->code_size);
    guard_end(cache);
    release(cache->execute_view, cache->code_size);
    release(cache->arena, cache->arena_size);
    release(cache->order, cache->order_capacity * sizeof *cache->order);
    release(cache->page_blocks, cache->page_count * sizeof *cache->page_blocks);
    release(cache->page_dead, cache->page_count * sizeof *cache->page_dead);
    memset(cache, 0, sizeof *cache);
}

void cache_keep(struct cache *cache)
{
    cache->code_base = cache->code_used;
}

void cache_flush(struct cache *cache)
{
    for (size_t i = 0; i < cache->order_count; i++)
        for (unsigned k = 0; k < 2; k++)
            if (cache->order[i]->page[k] != CACHE_NO_PAGE) {
                cache->page_blocks[cache->order[i]->page[k]] = NULL;
                cache->page_dead[cache->order[i]->page[k]] = NULL;
            }
    memset(cache->bucket, 0, sizeof cache->bucket);
    memset(cache->twin, 0, sizeof cache->twin);
    cache->code_used = cache->code_base;
    cache->cold_used = cache->cold_base;
    cache->arena_used = 0;
    cache->order_count = 0;
    cache->stats.flushes++;
}

void *cache_allocate(struct cache *cache, size_t size)
{
    uint8_t *p = cache->arena + cache->arena_used;

    size = (size + 15) & ~(size_t)15;
    if (cache->arena_size - cache->arena_used < size)
        return NULL;
    cache->arena_used += size;
    return p;
}

void cache_shrink(struct cache *cache, void *last, size_t size)
{
    cache->arena_used = (size_t)((uint8_t *)last - cache->arena) + ((size + 15) & ~(size_t)15);
}

struct block *cache_find_host(const struct cache *cache, const uint8_t *host)
{
    size_t low = 0, high = cache->order_count;
    bool cold = host >= cache->execute_view + cache->cold_base;

    while (low < high) {
        size_t middle = (low + high) / 2;
        struct block *b = cache->order[middle];

        if (host < (cold ? b->cold : b->code))
            high = middle;
        else if (host >= (cold ? b->cold_end : b->code_end))
            low = middle + 1;
        else
            return b;
    }
    return NULL;
}
