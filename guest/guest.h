/*
 * guest.h - what measured code needs, in a guest as in a native program: the clock, a loop that is timed, and a
 * way out for text.
 */
#ifndef NOVT_GUEST_GUEST_H
#define NOVT_GUEST_GUEST_H

#include <stdint.h>

/* The program's part: a piece of a line, on its way out. */
void guest_put(const char *text);

static inline uint64_t guest_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return low | (uint64_t)high << 32;
}

/* Cycles of a loop of n > 0 rounds. The compiler may not know that the loop counts only, or it would go. */
#define GUEST_TIMED(n, operation)                                                                                 \
    ({                                                                                                            \
        uint64_t left_ = (n), begin_ = guest_tsc();                                                               \
        do {                                                                                                      \
            operation;                                                                                            \
            __asm__ volatile("" : "+r"(left_));                                                                   \
        } while (--left_);                                                                                        \
        guest_tsc() - begin_;                                                                                     \
    })

#endif
