/*
 * index.c - finding blocks, linking their exits, and invalidating what a write has touched.
 *
 * Interface: cache.h. Invariants: a valid block is in its bucket and in page_blocks of each of its RAM pages; an
 * invalid one is in neither and nothing links to it, but it waits in page_dead of its first page to be revived.
 */
#include "cache/guard.h"

#include <string.h>
#include <xxhash.h>

#define REVIVE_TRIES 16

static unsigned bucket_of(uint64_t gpa, uint64_t pc, uint32_t mode)
{
    uint64_t x = (gpa ^ (pc >> 12 << 20) ^ mode) * 0x9e3779b97f4a7c15ull;

    return (unsigned)(x >> (64 - CACHE_BUCKET_BITS));
}

struct block *cache_lookup(const struct cache *cache, uint64_t gpa, uint64_t pc, uint32_t mode)
{
    struct block *b = cache->bucket[bucket_of(gpa, pc, mode)];

    while (b && !(b->gpa == gpa && b->pc == pc && b->mode == mode))
        b = b->bucket_next;
    return b;
}

static unsigned twin_of(uint64_t gpa, uint32_t mode)
{
    return (unsigned)((gpa ^ (uint64_t)mode << 40) * 0x9e3779b97f4a7c15ull >> (64 - CACHE_TWIN_BITS));
}

struct block *cache_find_twin(const struct cache *cache, uint64_t gpa, uint32_t mode)
{
    struct block *b = cache->twin[twin_of(gpa, mode)];

    return b && b->valid && b->gpa == gpa && b->mode == mode ? b : NULL;
}

void cache_note_twin(struct cache *cache, struct block *b)
{
    cache->twin[twin_of(b->gpa, b->mode)] = b;
}

uint64_t cache_hash(const void *bytes, size_t size)
{
    return XXH64(bytes, size, 0);
}

static void enter(struct cache *cache, struct block *b)
{
    struct block **head = &cache->bucket[bucket_of(b->gpa, b->pc, b->mode)];

    b->bucket_next = *head;
    *head = b;
    for (unsigned k = 0; k < 2; k++)
        if (b->page[k] != CACHE_NO_PAGE) {
            b->page_next[k] = cache->page_blocks[b->page[k]];
            cache->page_blocks[b->page[k]] = b;
        }
    b->valid = true;
}

bool cache_insert(struct cache *cache, struct block *b)
{
    if (cache->order_count == cache->order_capacity)
        return false;
    cache->order[cache->order_count++] = b;
    cache->code_used = (size_t)(b->code_end - cache->execute_view);
    cache->cold_used = (size_t)(b->cold_end - cache->execute_view);
    enter(cache, b);
    cache->stats.blocks++;
    return true;
}

/* The link of b in the list of page number `page`: which of its two it is. */
static struct block **page_link(struct block *b, uint64_t page)
{
    return &b->page_next[b->page[0] == page ? 0 : 1];
}

static void remove_from_page(struct cache *cache, struct block *b, uint64_t page)
{
    struct block **at = &cache->page_blocks[page];

    while (*at && *at != b)
        at = page_link(*at, page);
    if (*at)
        *at = *page_link(b, page);
}

static void aim_jump(const struct cache *cache, uint8_t *patch, const uint8_t *host)
{
    int32_t distance = (int32_t)(host - (patch + cache_execute_delta(cache) + 4));
    uint32_t rights = guard_open(cache);

    memcpy(patch, &distance, 4);
    guard_close(cache, rights);
}

static void aim(const struct cache *cache, const struct block_exit *exit, uint8_t *host)
{
    if (exit->cell)
        *exit->cell = (uintptr_t)host;
    else
        aim_jump(cache, exit->patch, host);
}

/* Does the exit come from an iteration of the loop that the block is, with the flags where one finds them? */
static bool goes_again(const struct block_exit *exit, const struct block *to)
{
    bool own = exit >= to->exits && exit < to->exits + to->exit_count;

    return to->again && (own || exit->loops == to->instructions) &&
           (to->again_flags == BLOCK_FLAGS_EITHER || exit->flags == BLOCK_FLAGS_EITHER ||
            exit->flags == to->again_flags);
}

/* Where a linked exit jumps to. */
static uint8_t *entry_for(const struct cache *cache, const struct block_exit *exit, const struct block *to)
{
    if (goes_again(exit, to))
        return to->again;
    if (exit->flags == BLOCK_FLAGS_SAVED)
        return to->entry_saved;
    if (exit->flags == BLOCK_FLAGS_EITHER)
        return to->entry_either;
    if (!exit->has_recipe || !to->takes_recipe || exit->recipe_registers & to->entry_changes)
        return to->entry_flags;
    if (!exit->recipe_stub)
        return to->entry_saved;
    aim_jump(cache, exit->recipe_patch, to->entry_saved);
    return exit->recipe_stub;
}

void cache_divert(const struct cache *cache, const struct block_exit *exit)
{
    aim(cache, exit, exit->stub);
    if (exit->recipe_stub)
        aim_jump(cache, exit->recipe_patch, exit->stub);
}

void cache_undivert(const struct cache *cache, const struct block_exit *exit)
{
    if (exit->to)
        aim(cache, exit, entry_for(cache, exit, exit->to));
}

void cache_link(struct cache *cache, struct block_exit *exit, struct block *to)
{
    if (exit->to)
        cache_unlink(cache, exit);
    exit->to = to;
    exit->next_incoming = to->incoming;
    exit->incoming_at = &to->incoming;
    if (to->incoming)
        to->incoming->incoming_at = &exit->next_incoming;
    to->incoming = exit;
    aim(cache, exit, entry_for(cache, exit, to));
    cache->stats.links++;
}

void cache_unlink(struct cache *cache, struct block_exit *exit)
{
    if (!exit->to)
        return;
    *exit->incoming_at = exit->next_incoming;
    if (exit->next_incoming)
        exit->next_incoming->incoming_at = exit->incoming_at;
    exit->to = NULL;
    aim(cache, exit, exit->stub);
    cache->stats.unlinks++;
}

void cache_invalidate(struct cache *cache, struct block *b)
{
    struct block **at = &cache->bucket[bucket_of(b->gpa, b->pc, b->mode)];

    if (!b->valid)
        return;
    while (*at && *at != b)
        at = &(*at)->bucket_next;
    if (*at)
        *at = b->bucket_next;
    while (b->incoming)
        cache_unlink(cache, b->incoming);
    for (unsigned k = 0; k < 2; k++)
        if (b->page[k] != CACHE_NO_PAGE)
            remove_from_page(cache, b, b->page[k]);
    b->valid = false;
    if (b->page[0] != CACHE_NO_PAGE) {
        b->bucket_next = cache->page_dead[b->page[0]];
        cache->page_dead[b->page[0]] = b;
    }
    cache->stats.invalidated++;
}

/* Does [from, from + size) of RAM page `page` hold bytes of b? */
static bool overlaps(const struct block *b, uint64_t page, uint64_t from, unsigned size)
{
    uint64_t start = b->gpa & 0xfff, second = b->second.gpa & 0xfff;

    if (b->page[0] == page && from < start + b->size && from + size > start)
        return true;
    return b->second.gpa != CACHE_NO_PAGE && (b->page[0] != page || b->page[1] == CACHE_NO_PAGE) &&
           from < second + b->second.size && from + size > second;
}

/* Are the bytes written no part of the translation? */
static bool is_loose(const struct block *b, uint64_t page, uint64_t from, unsigned size)
{
    uint64_t at = from - (b->gpa & 0xfff);

    for (unsigned i = 0; i < BLOCK_LOOSE; i++)
        if (b->page[0] == page && from >= (b->gpa & 0xfff) && at >= b->loose[i].from &&
            at + size <= b->loose[i].to)
            return true;
    return false;
}

unsigned cache_written(struct cache *cache, uint64_t offset, unsigned size,
                       void (*invalidate)(void *opaque, struct block *block), void *opaque, bool *page_empty)
{
    uint64_t page = offset >> 12;
    struct block *b = cache->page_blocks[page], *next;
    unsigned count = 0;

    for (; b; b = next) {
        next = *page_link(b, page);
        if (overlaps(b, page, offset & 0xfff, size) && !is_loose(b, page, offset & 0xfff, size)) {
            invalidate(opaque, b);
            count++;
        }
    }
    *page_empty = !cache->page_blocks[page];
    return count;
}

struct block *cache_revive(struct cache *cache, uint64_t page, uint64_t gpa, uint64_t pc, uint32_t mode,
                           const uint8_t *bytes, uint64_t available)
{
    struct block **at = &cache->page_dead[page];
    struct block *b;

    for (unsigned tries = 0; (b = *at); at = &b->bucket_next) {
        if (++tries > REVIVE_TRIES) {
            *at = NULL; /* the others are too old to come back */
            return NULL;
        }
        if (b->gpa == gpa && b->pc == pc && b->mode == mode && b->size <= available &&
            b->second.gpa == CACHE_NO_PAGE && cache_hash(bytes, b->size) == b->hash) {
            *at = b->bucket_next;
            enter(cache, b);
            cache->stats.revived++;
            return b;
        }
    }
    return NULL;
}
