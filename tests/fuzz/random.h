/*
 * random.h - the pseudo-random numbers of fuzz targets (xorshift64): the same ones in each run of the same seed.
 */
#ifndef NOVT_TESTS_FUZZ_RANDOM_H
#define NOVT_TESTS_FUZZ_RANDOM_H

#include <stdint.h>

#define RANDOM_START 0x9e3779b97f4a7c15ull

/* *state: never 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
