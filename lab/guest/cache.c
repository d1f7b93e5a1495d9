/*
 * cache.c - code that is new, known, chained, called, and changed: what a translator's code cache makes of it.
 *
 * Functions are FUNCTION_ADDS times ADD EAX, imm32, and RET. Invariants: what they add up to is compared with what
 * their immediate operands say; each batch of `cold` has functions where none was executed before.
 */
#include "lab/guest/lab.h"

#define CODE ((uint8_t *)0x1000000) /* 16 MiB: beyond the image */
#define CODE_SIZE 0xf00000u
#define STRIDE 128u
#define FUNCTION_ADDS 15u
#define KNOWN 64u
#define RING 32
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define ADD_EAX 0x05
#define RET 0xc3

static uint64_t used;

static uint8_t *put_function(uint8_t *at, uint32_t value)
{
    unsigned i;

    for (i = 0; i < FUNCTION_ADDS; i++) {
        *at = ADD_EAX;
        __builtin_memcpy(at + 1, &value, 4);
        at += 5;
    }
    *at = RET;
    return at;
}

static uint8_t *put_functions(uint64_t n)
{
    uint8_t *first = CODE + used;
    uint64_t i;

    lab_check(used + n * STRIDE <= CODE_SIZE, "no-memory-for-so-many-functions");
    for (i = 0; i < n; i++)
        put_function(first + i * STRIDE, (uint32_t)i + 1);
    used += n * STRIDE;
    return first;
}

/* Calls functions that lie one behind the other, n calls in all, beginning anew behind `many` of them. */
static uint64_t call_all(const uint8_t *first, uint64_t many, uint64_t n, uint32_t *sum)
{
    const uint8_t *at = first, *end = first + many * STRIDE;
    uint32_t total = 0;
    uint64_t cycles = GUEST_TIMED(n, __asm__ volatile("call *%1"
                                                      : "+a"(total)
                                                      : "r"(at)
                                                      : "cc", "memory");
                                  at += STRIDE; at = at == end ? first : at);

    *sum = total;
    return cycles;
}

static uint64_t cold(uint64_t n)
{
    uint32_t sum;
    uint64_t cycles = call_all(put_functions(n), n, n, &sum);

    lab_check(sum == (uint32_t)(FUNCTION_ADDS * (n * (n + 1) / 2)), "a-function-computed-something-else");
    return cycles;
}

static uint64_t warm(uint64_t n)
{
    static const uint8_t *known;
    uint64_t rounds = (n + KNOWN - 1) / KNOWN;
    uint32_t sum;

    if (!known) {
        known = put_functions(KNOWN);
        call_all(known, KNOWN, KNOWN, &sum);
    }
    n = call_all(known, KNOWN, rounds * KNOWN, &sum);
    lab_check(sum == (uint32_t)(FUNCTION_ADDS * rounds * (KNOWN * (KNOWN + 1) / 2)),
              "a-function-computed-something-else");
    return n;
}

/* Direct jumps from block to block; RING of them are an operation. */
static uint64_t ring(uint64_t n)
{
    uint64_t sum = 0, cycles = GUEST_TIMED(n, __asm__ volatile(".rept " TEXT(RING) "\n"
                                                                                   "jmp 1f\n"
                                                                                   ".balign 16\n"
                                                                                   "1: incq %0\n"
                                                                                   ".endr"
                                                               : "+r"(sum)
                                                               :
                                                               : "cc"));

    lab_check(sum == n * RING, "jumps-are-missing");
    return cycles;
}

/* A function that is called through a register: alternates, so that no single target is right. */
static uint64_t indirect(uint64_t n)
{
    static const uint8_t *known;
    uint64_t cycles;
    uint32_t sum;

    if (!known)
        known = put_functions(2);
    n += n & 1;
    cycles = call_all(known, 2, n, &sum);
    lab_check(sum == (uint32_t)(FUNCTION_ADDS * 3 * (n / 2)), "a-function-computed-something-else");
    return cycles;
}

static uint64_t direct_call(uint64_t n)
{
    uint64_t sum = 0, cycles = GUEST_TIMED(n, __asm__ volatile("call 2f\n"
                                                               "jmp 3f\n"
                                                               ".balign 16\n"
                                                               "2: incq %0\n"
                                                               "ret\n"
                                                               ".balign 16\n"
                                                               "3:"
                                                               : "+r"(sum)
                                                               :
                                                               : "cc", "memory"));

    lab_check(sum == n, "calls-are-missing");
    return cycles;
}

/* Before each call the operand of the function's first instruction is written: `change` is added to it. */
static uint64_t written(uint64_t n, uint32_t change)
{
    static uint8_t *function;
    uint32_t value = 1, sum = 0;
    uint64_t cycles, i;

    if (!function)
        function = put_functions(1);
    cycles = guest_tsc();
    for (i = 0; i < n; i++) {
        *(volatile uint32_t *)(void *)(function + 1) = value;
        __asm__ volatile("call *%1" : "+a"(sum) : "r"(function) : "cc", "memory");
        value += change;
    }
    cycles = guest_tsc() - cycles;
    lab_check(sum == (uint32_t)(n + change * (n * (n - 1) / 2) + (FUNCTION_ADDS - 1) * n),
              "an-old-instruction-was-executed");
    return cycles;
}

static uint64_t smc_new(uint64_t n)
{
    return written(n, 1);
}

static uint64_t smc_same(uint64_t n)
{
    return written(n, 0);
}

/* A word behind the function, in its page, is written before each call. */
static uint64_t smc_data(uint64_t n)
{
    static uint8_t *function;
    uint32_t sum = 0, data = 0;
    uint64_t cycles;

    if (!function)
        function = put_functions(1);
    cycles = GUEST_TIMED(n, *(volatile uint32_t *)(void *)(function + STRIDE - 4) = ++data;
                         __asm__ volatile("call *%1"
                                          : "+a"(sum)
                                          : "r"(function)
                                          : "cc", "memory"));
    lab_check(sum == (uint32_t)(n * FUNCTION_ADDS), "the-function-computed-something-else");
    return cycles;
}

const struct lab_task lab_tasks[] = {
    {"cold", cold, lab_empty},
    {"warm", warm, lab_empty},
    {"ring", ring, lab_empty},
    {"indirect", indirect, lab_empty},
    {"direct-call", direct_call, lab_empty},
    {"smc-new", smc_new, lab_empty},
    {"smc-same", smc_same, lab_empty},
    {"smc-data", smc_data, lab_empty},
    {NULL},
};
