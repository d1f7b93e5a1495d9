/*
 * guard.h - protection keys around the one mapping through which code can be written (pkeys(7); SDM vol.
 * 3, 4.6.2).
 *
 * Guest code that got past all checks could still not change what the host runs: a thread may write to the code
 * cache between guard_open and guard_close only. Reading of the executable view needs no key.
 */
#ifndef NOVT_CACHE_GUARD_H
#define NOVT_CACHE_GUARD_H

#include "cache/cache.h"

/* From now on the writable view is closed. Without keys, on the host or left, it stays open. */
void guard_begin(struct cache *cache);
void guard_end(struct cache *cache); /* gives the key back */

/* The rights to memory of that key, in PKRU. */
static inline uint32_t guard_rights(const struct cache *cache)
{
    return 3u << 2 * cache->key;
}

static inline void guard_set(uint32_t rights)
{
    __asm__ volatile("wrpkru" : : "a"(rights), "c"(0), "d"(0) : "memory");
}

/* Opens the writable view to this thread. Gives what guard_close is to get. They nest, and the inner ones change
   nothing, which takes no time. */
static inline uint32_t guard_open(const struct cache *cache)
{
    uint32_t rights, high;

    if (!cache->key)
        return 0;
    __asm__ volatile("rdpkru" : "=a"(rights), "=d"(high) : "c"(0));
    if (rights & guard_rights(cache))
        guard_set(rights & ~guard_rights(cache));
    return rights;
}

static inline void guard_close(const struct cache *cache, uint32_t rights)
{
    if (rights & guard_rights(cache))
        guard_set(rights);
}

#endif
