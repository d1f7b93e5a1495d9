/* memory.c - compute benchmarks that live on memory: trees, lists, hash table, copying, scanning, new code. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* --- binary trees from malloc --- */
struct node {
    struct node *left, *right;
};

static struct node *tree_make(unsigned depth)
{
    struct node *n = malloc(sizeof *n);

    if (!n)
        abort();
    n->left = depth ? tree_make(depth - 1) : NULL;
    n->right = depth ? tree_make(depth - 1) : NULL;
    return n;
}

static unsigned tree_count(const struct node *n)
{
    return n ? 1 + tree_count(n->left) + tree_count(n->right) : 0;
}

static void tree_free(struct node *n)
{
    if (n) {
        tree_free(n->left);
        tree_free(n->right);
        free(n);
    }
}

static uint64_t tree(void)
{
    enum { DEPTH = 15 };
    struct node *n = tree_make(DEPTH);
    unsigned count = tree_count(n);

    tree_free(n);
    return count == (2u << DEPTH) - 1 ? count : 0;
}

/* --- following pointers in one random cycle: in the first-level cache, and far beyond the last --- */
#define CHASE_SHORT 1024u   /* pointers: 8 KiB */
#define CHASE_LONG 8388608u /* 64 MiB */

static void **chase_make(size_t count)
{
    void **cell = malloc(count * sizeof *cell);
    uint32_t *order = malloc(count * sizeof *order);
    uint32_t random = 1;

    if (!cell || !order)
        abort();
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (size_t i = count - 1; i; i--) {
        size_t j = next_random(&random) % (i + 1);
        uint32_t swap = order[i];

        order[i] = order[j];
        order[j] = swap;
    }
    for (size_t i = 0; i < count; i++)
        cell[order[i]] = &cell[order[(i + 1) % count]];
    free(order);
    return cell;
}

/* A walk of one whole cycle ends where it began. */
static uint64_t chase(void **start, size_t steps, size_t cycle)
{
    void **p = start;

    for (size_t i = 0; i < steps; i++)
        p = *p;
    KEEP(p);
    return steps % cycle || p == start ? steps : 0;
}

static uint64_t chase_short(void)
{
    static void **start;

    if (!start)
        start = chase_make(CHASE_SHORT);
    return chase(start, CHASE_SHORT * 4096ull, CHASE_SHORT);
}

static uint64_t chase_long(void)
{
    static void **start, **at;

    if (!start)
        at = start = chase_make(CHASE_LONG);
    for (size_t i = 0; i < 131072; i++)
        at = *at;
    return at >= start && at < start + CHASE_LONG ? 131072 : 0;
}

/* --- a hash table with open addressing: insert, find, find what is not there --- */
static uint64_t hash(void)
{
    enum { SLOTS = 1 << 17, KEYS = 1 << 16 };
    static uint32_t slot[SLOTS];
    uint32_t random = 77, found = 0;

    memset(slot, 0, sizeof slot);
    for (int i = 0; i < KEYS; i++) {
        uint32_t key = next_random(&random), h = key * 2654435761u >> 15;

        while (slot[h])
            h = (h + 1) % SLOTS;
        slot[h] = key;
    }
    random = 77;
    for (int i = 0; i < 2 * KEYS; i++) {
        uint32_t key = next_random(&random), h = key * 2654435761u >> 15;

        while (slot[h] && slot[h] != key)
            h = (h + 1) % SLOTS;
        found += slot[h] == key;
    }
    return found == KEYS ? 3 * KEYS : 0; /* xorshift does not repeat a key that soon */
}

/* --- libc's memcpy and strlen; REP MOVSB --- */
#define COPY_SIZE 65536u
#define COPY_ROUNDS 1500u

static char copy_from[COPY_SIZE + 1], copy_to[COPY_SIZE + 1];

static void copy_prepare(void)
{
    for (size_t i = 0; i < COPY_SIZE; i++)
        copy_from[i] = (char)('a' + i % 26);
    memset(copy_to, 0, sizeof copy_to);
}

static uint64_t copy(void)
{
    const char *from = copy_from;
    char *to = copy_to;

    copy_prepare();
    for (unsigned i = 0; i < COPY_ROUNDS; i++) {
        KEEP(to);
        memcpy(to, from + i % 16, COPY_SIZE - 16);
    }
    return memcmp(to, from + (COPY_ROUNDS - 1) % 16, COPY_SIZE - 16) ? 0 : COPY_ROUNDS * (COPY_SIZE - 16ull);
}

static uint64_t string_length(void)
{
    const char *from = copy_from;
    uint64_t sum = 0;

    copy_prepare();
    for (unsigned i = 0; i < COPY_ROUNDS; i++) {
        KEEP(from);
        sum += strlen(from + i % 16);
    }
    for (unsigned i = 0; i < COPY_ROUNDS; i++)
        sum += i % 16;
    return sum == (uint64_t)COPY_ROUNDS * COPY_SIZE ? sum : 0;
}

static uint64_t rep_movs(void)
{
    copy_prepare();
    for (unsigned i = 0; i < COPY_ROUNDS; i++) {
        const void *from = copy_from;
        void *to = copy_to;
        size_t n = COPY_SIZE;

        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
    }
    return memcmp(copy_from, copy_to, COPY_SIZE) ? 0 : (uint64_t)COPY_ROUNDS * COPY_SIZE;
}

/* --- code that is rewritten before each call: mov eax, imm32; ret --- */
static uint64_t self_modifying(void)
{
    enum { CALLS = 2000 };
    static uint8_t *code;
    uint64_t sum = 0;

    if (!code) {
        code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (code == MAP_FAILED)
            abort();
        code[0] = 0xb8;
        code[5] = 0xc3;
    }
    for (uint32_t i = 0; i < CALLS; i++) {
        unsigned (*function)(void) = (unsigned (*)(void))(uintptr_t)code;

        memcpy(code + 1, &i, sizeof i);
        KEEP(function);
        sum += function();
    }
    return sum == CALLS * (CALLS - 1ull) / 2 ? CALLS : 0;
}

const struct bench bench_memory[] = {
    {"tree", "compute", tree, 200, NULL},
    {"chase-short", "compute", chase_short, 50, NULL},
    {"chase-long", "compute", chase_long, 10, NULL},
    {"hash", "compute", hash, 120, NULL},
    {"memcpy", "compute", copy, 100, NULL},
    {"strlen", "compute", string_length, 300, NULL},
    {"rep-movs", "compute", rep_movs, 100, NULL},
    {"self-modifying", "smc", self_modifying, 1500, NULL},
    {NULL, NULL, NULL, 0, NULL},
};
