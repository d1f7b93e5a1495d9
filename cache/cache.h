/*
 * cache.h - the code cache: translated blocks, their index, links between them, and invalidation.
 *
 * Emitted code lives in shared memory that is mapped twice, writable and executable, so no page is both. Blocks
 * are laid one behind the other and never moved or reused; when the buffer is full, everything is dropped
 * (cache_flush). Where the host has protection keys the writable mapping is closed but while C writes there
 * (guard.h). What a block seldom runs lies apart from the rest, in the buffer's second part, so that the first
 * is dense.
 *
 * A block is keyed by guest-physical address, linear address and mode. Blocks of RAM pages also hang on a list
 * of each page they lie in, so that a write finds them.
 */
#ifndef NOVT_CACHE_CACHE_H
#define NOVT_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_NO_PAGE UINT64_MAX
#define CACHE_BUCKET_BITS 18
#define CACHE_BUCKETS (1u << CACHE_BUCKET_BITS)
#define CACHE_TWIN_BITS 16

struct block;

/* Where an exit has the guest's arithmetic flags, and so which entry of the target fits. */
enum block_flags { BLOCK_FLAGS_HOST, BLOCK_FLAGS_SAVED, BLOCK_FLAGS_EITHER };

/* A direct exit of a block: a jump whose target is known. */
struct block_exit {
    uint64_t target; /* linear address */
    uint8_t *patch;  /* writable view: rel32 of the jump to patch; NULL if it goes through a cell */
    uint64_t *cell;  /* holds the host address to jump to, for exits that leave the page */
    uint8_t *stub;   /* executable view: where an unlinked exit goes */
    enum block_flags flags;
    /* It jumps back into its block, of which it ends the last so many instructions: a block of these, if it is a
       loop, has been run once. 0: it does not. */
    uint8_t loops;
    /* An exit with the flags in the host's may also tell how to compute them: the registers that takes, and the
       code that writes it down (executable view) and jumps on (rel32, writable view); NULL: it is written down. */
    bool has_recipe;
    uint16_t recipe_registers;
    uint8_t *recipe_stub, *recipe_patch;
    struct block *to;
    struct block_exit *next_incoming, **incoming_at; /* the list of `to`, and what points to this one in it */
    struct block_exit *next_in_page;                 /* the translator's: exits that a flush unlinks, by target */
    bool in_page_list;
    uint64_t page; /* then: linear page of the target */
};

#define BLOCK_LOOSE 2

/* What has to change in a copy of a block for another linear address (the translator's: relocate.c). */
struct block_reloc {
    uint16_t at; /* where */
    uint8_t kind;
    int32_t value;
};

/* Guest bytes at another place that a block is made from as well: behind the end of its page, or those of a
   function that it calls. */
struct block_part {
    uint64_t linear, gpa; /* where they start; gpa == CACHE_NO_PAGE: there are none */
    uint32_t size;        /* bytes, in one page */
};

struct block {
    /* key */
    uint64_t gpa, pc;
    uint32_t mode;
    /* guest side */
    uint32_t size; /* bytes */
    uint32_t instructions;
    uint64_t page[2]; /* page numbers in guest RAM (offset >> 12), or CACHE_NO_PAGE */
    struct block_part second;
    uint64_t hash; /* of the guest bytes */
    /* Offsets of guest bytes, in the first page, that it reads when it runs; to == 0: none. */
    struct {
        uint16_t from, to;
    } loose[BLOCK_LOOSE];
    /* host side, executable view */
    uint8_t *entry_flags;  /* entered with the guest's arithmetic flags in the host's */
    uint8_t *entry_saved;  /* entered with them saved in memory */
    uint8_t *entry_either; /* the cheaper one when they are in both places */
    /* Entered by its own jump back to its start, and where another block has just done all that it does, if they
       have the flags at again_flags; NULL: as by any other. */
    uint8_t *again;
    enum block_flags again_flags;
    uint8_t *code, *code_end;
    uint8_t *cold, *cold_end; /* in the second part */
    const uint8_t *map;       /* per instruction: guest length, host length, kind (translator's format) */
    /* links */
    struct block *bucket_next;
    struct block *page_next[2];
    struct block_exit *exits;
    unsigned exit_count;
    struct block_exit *incoming;
    const struct block_reloc *reloc; /* NULL: it cannot be copied */
    uint16_t reloc_count;
    bool takes_recipe; /* entry_saved may find a recipe that needs none of the registers entry_changes */
    uint16_t entry_changes;
    uint16_t borrowed; /* guest registers that the translator keeps elsewhere while the block's instructions run */
    uint16_t loop_recipe; /* of the flags at the start of each iteration but the first; 0: they are written down */
    bool valid;
    bool no_simd;      /* the translator's: nothing in it looks at SIMD state (known in lock-step only) */
    uint32_t samples;  /* the translator's: times that a sampler found it running */
    uint32_t failures; /* the translator's: of its assumptions, since the time `failing` (TSC) */
    uint64_t failing;
};

struct cache_stats {
    uint64_t blocks, links, unlinks, invalidated, revived, flushes;
};

struct cache {
    uint8_t *write_view, *execute_view;
    int key;                                /* of the writable view: guard.h */
    size_t code_size, code_used, code_base; /* code_base: behind the permanent code (thunks) */
    size_t cold_base, cold_used;            /* offsets: the second part, its end */
    uint8_t *arena;                         /* blocks, exits, maps */
    size_t arena_size, arena_used;
    struct block **order; /* by host address */
    size_t order_count, order_capacity;
    struct block *bucket[CACHE_BUCKETS];
    struct block *twin[1u << CACHE_TWIN_BITS]; /* by guest-physical address and mode: one that can be copied */
    struct block **page_blocks;                /* per RAM page: live blocks */
    struct block **page_dead;                  /* per RAM page: invalidated ones that may come back */
    uint64_t page_count;
    struct cache_stats stats;
};

/* code_size: bytes of emitted code; page_count: pages of guest RAM. 0 or a negative errno. */
int cache_create(struct cache *cache, size_t code_size, uint64_t page_count);
void cache_destroy(struct cache *cache);
/* Fixes what has been emitted so far as permanent. */
void cache_keep(struct cache *cache);
/* Drops every block. */
void cache_flush(struct cache *cache);

/* Space for data that goes with blocks (arena), not cleared, or NULL when full. Freed by cache_flush. */
void *cache_allocate(struct cache *cache, size_t size);
/* Gives back the end of what was allocated last: `size` bytes stay. */
void cache_shrink(struct cache *cache, void *last, size_t size);

struct block *cache_lookup(const struct cache *cache, uint64_t gpa, uint64_t pc, uint32_t mode);
/* A finished block (allocated with cache_allocate, code emitted up to code_end and cold_end) becomes findable. */
bool cache_insert(struct cache *cache, struct block *block);
/* A dead block of this key, in this RAM page, whose guest bytes hash alike comes back to life; NULL if there is
   none. `bytes`: what is at gpa now, `available` of them. */
struct block *cache_revive(struct cache *cache, uint64_t page, uint64_t gpa, uint64_t pc, uint32_t mode,
                           const uint8_t *bytes, uint64_t available);
/* A live block of these bytes and this mode at any linear address, or NULL; and that b is to be found so. */
struct block *cache_find_twin(const struct cache *cache, uint64_t gpa, uint32_t mode);
void cache_note_twin(struct cache *cache, struct block *b);
uint64_t cache_hash(const void *bytes, size_t size);
/* The block whose code holds this address of the executable view, or NULL. */
struct block *cache_find_host(const struct cache *cache, const uint8_t *host);

/* Links an exit to a block, or back to its stub. */
void cache_link(struct cache *cache, struct block_exit *exit, struct block *to);
void cache_unlink(struct cache *cache, struct block_exit *exit);
/* For a while, or as long as it is not linked, an exit goes to its stub; and from now on as it is linked again. */
void cache_divert(const struct cache *cache, const struct block_exit *exit);
void cache_undivert(const struct cache *cache, const struct block_exit *exit);

/* Guest RAM [offset, offset + size) was written, within one page: calls `invalidate` (which calls
   cache_invalidate) for the blocks made from these bytes. Returns how many; *page_empty: the page has no live
   block any more. */
unsigned cache_written(struct cache *cache, uint64_t offset, unsigned size,
                       void (*invalidate)(void *opaque, struct block *block), void *opaque, bool *page_empty);
void cache_invalidate(struct cache *cache, struct block *block);

static inline ptrdiff_t cache_execute_delta(const struct cache *cache)
{
    return cache->execute_view - cache->write_view;
}

static inline bool cache_holds(const struct cache *cache, const uint8_t *host)
{
    return (size_t)(host - cache->execute_view) < cache->code_size;
}

#endif
