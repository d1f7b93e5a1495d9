/*
 * program.c - four small programs, each of another character: arithmetic on bytes, memory at random, calls, and
 * indirect jumps.
 *
 * Interface: program.h. Compiled once, without vector registers and position-independent, so that nothing but the
 * engine differs from one run to the other.
 */
#include "lab/guest/program.h"

#define SIEVE 4096u
#define TABLE 8192u /* of 8 bytes */
#define STEPS 1024u
#define FIB 14u
#define CODE_LENGTH 8u
#define CODE_LOOPS 128u

uint64_t lab_program_sieve(uint64_t n)
{
    static uint8_t composite[SIEVE];
    uint64_t primes = 0;

    for (; n; n--) {
        for (unsigned i = 0; i < SIEVE; i++)
            composite[i] = 0;
        for (unsigned i = 2; i < SIEVE; i++) {
            if (composite[i])
                continue;
            primes++;
            for (unsigned k = 2 * i; k < SIEVE; k += i)
                composite[k] = 1;
        }
    }
    return primes;
}

/* A xorshift generator chooses the places. */
uint64_t lab_program_random(uint64_t n)
{
    static uint64_t table[TABLE];
    uint64_t x = 88172645463325252u, sum = 0;

    for (unsigned i = 0; i < TABLE; i++)
        table[i] = i;
    for (n *= STEPS; n; n--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum += table[x % TABLE];
        table[x % TABLE] = sum;
    }
    return sum;
}

__attribute__((noinline)) static uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

uint64_t lab_program_calls(uint64_t n)
{
    uint64_t sum = 0;

    for (; n; n--)
        sum += fib(FIB);
    return sum;
}

enum operation { ADD, DOUBLE, FLIP, ROTATE, LESS, NEXT };

/* A machine of one register. */
static uint64_t interpret(const uint8_t *code, uint64_t x)
{
    for (unsigned loop = 0; loop < CODE_LOOPS; loop++)
        for (const uint8_t *at = code; *at != NEXT; at++)
            switch (*at) {
            case ADD:
                x += loop;
                break;
            case DOUBLE:
                x *= 2;
                break;
            case FLIP:
                x ^= 0x5555;
                break;
            case ROTATE:
                x = x << 7 | x >> 57;
                break;
            default:
                x -= 3;
            }
    return x;
}

uint64_t lab_program_bytecode(uint64_t n)
{
    uint8_t code[CODE_LENGTH];
    uint64_t x = 1;

    for (unsigned i = 0; i < CODE_LENGTH - 1; i++)
        code[i] = (uint8_t)(i * 3 % NEXT);
    code[CODE_LENGTH - 1] = NEXT;
    for (; n; n--)
        x = interpret(code, x);
    return x;
}
