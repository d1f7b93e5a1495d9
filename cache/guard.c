/*
 * guard.c - the protection key of the code cache's writable view.
 *
 * Interface: guard.h. Invariant: cache.key is 0, which is everybody's, or a key that no other memory has.
 */
#include <sys/mman.h>

#include "cache/guard.h"

void guard_begin(struct cache *cache)
{
    int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);

    if (key <= 0)
        return;
    if (pkey_mprotect(cache->write_view, cache->code_size, PROT_READ | PROT_WRITE, key))
        pkey_free(key);
    else
        cache->key = key;
}

void guard_end(struct cache *cache)
{
    if (cache->key)
        pkey_free(cache->key);
    cache->key = 0;
}
