/* integer.c - compute benchmarks of integer code and control flow. */
#include <string.h>

#include "bench.h"

/* --- sieve of Eratosthenes --- */
#define SIEVE_LIMIT 1000000u
#define PRIMES_BELOW_A_MILLION 78498u

static uint64_t sieve(void)
{
    static uint8_t composite[SIEVE_LIMIT];
    unsigned count = 0;

    memset(composite, 0, sizeof composite);
    for (unsigned i = 2; i < SIEVE_LIMIT; i++) {
        if (composite[i])
            continue;
        count++;
        for (unsigned j = 2 * i; j < SIEVE_LIMIT; j += i)
            composite[j] = 1;
    }
    return count == PRIMES_BELOW_A_MILLION ? SIEVE_LIMIT : 0;
}

/* --- SHA-256 (FIPS 180-4) of a million times 'a', whose digest the standard's examples give --- */
static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static NOINLINE void sha_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], s[8];

    for (int i = 0; i < 16; i++)
        w[i] =
            (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + (rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                      ((e & s[5]) ^ (~e & s[6])) + sha_k[i] + w[i];
        uint32_t t2 = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
                      ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

        s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + t1;
        s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
}

static uint64_t sha256(void)
{
    enum { LENGTH = 1000000 };
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t block[64];

    memset(block, 'a', sizeof block);
    for (int i = 0; i < LENGTH / 64; i++)
        sha_block(h, block);
    /* A million is 15625 blocks exactly: the last one is padding and the length in bits. */
    memset(block, 0, sizeof block);
    block[0] = 0x80;
    for (int i = 0; i < 4; i++)
        block[60 + i] = (uint8_t)((uint32_t)LENGTH * 8 >> (24 - 8 * i));
    sha_block(h, block);
    return h[0] == 0xcdc76e5c && h[7] == 0xc7112cd0 ? LENGTH : 0;
}

/* --- an LZ77 compressor with a hash of the last positions, and its inverse --- */
#define TEXT_SIZE 262144u

static uint8_t text[TEXT_SIZE], packed[TEXT_SIZE + TEXT_SIZE / 8], unpacked[TEXT_SIZE];

static void make_text(void)
{
    static const char *const words[] = {"guest ", "host ",     "page ", "block ", "fault ",  "translate ",
                                        "cache ", "the ",      "a ",    "of ",    "memory ", "table, ",
                                        "jump ",  "register ", "to ",   "is\n"};
    uint32_t random = 12345;
    size_t n = 0;

    while (n < TEXT_SIZE) {
        const char *w;

        random = random * 1664525u + 1013904223u;
        for (w = words[random >> 28]; *w && n < TEXT_SIZE; w++)
            text[n++] = (uint8_t)*w;
    }
}

static NOINLINE size_t lz_pack(void)
{
    static uint32_t last[8192];
    size_t in = 0, out = 0, control = 0;
    unsigned bit = 8;

    memset(last, 0xff, sizeof last);
    while (in + 4 <= TEXT_SIZE) {
        uint32_t hash =
            ((text[in] | (uint32_t)text[in + 1] << 8 | (uint32_t)text[in + 2] << 16) * 2654435761u) >> 19;
        uint32_t from = last[hash];
        unsigned length = 0;

        last[hash] = (uint32_t)in;
        if (from < in && in - from < 65536)
            while (length < 255 && in + length < TEXT_SIZE && text[from + length] == text[in + length])
                length++;
        if (bit == 8) {
            control = out++;
            packed[control] = 0;
            bit = 0;
        }
        if (length >= 4) {
            packed[control] |= (uint8_t)(1u << bit);
            packed[out++] = (uint8_t)length;
            packed[out++] = (uint8_t)(in - from);
            packed[out++] = (uint8_t)((in - from) >> 8);
            in += length;
        } else {
            packed[out++] = text[in++];
        }
        bit++;
    }
    while (in < TEXT_SIZE) { /* the last few bytes, as they are */
        if (bit == 8) {
            control = out++;
            packed[control] = 0;
            bit = 0;
        }
        packed[out++] = text[in++];
        bit++;
    }
    return out;
}

static NOINLINE size_t lz_unpack(size_t size)
{
    size_t in = 0, out = 0;
    unsigned control = 0, bit = 8;

    while (in < size) {
        if (bit == 8) {
            control = packed[in++];
            bit = 0;
        }
        if (control >> bit++ & 1) {
            size_t length = packed[in], back = packed[in + 1] | (size_t)packed[in + 2] << 8;

            in += 3;
            for (size_t i = 0; i < length; i++, out++)
                unpacked[out] = unpacked[out - back];
        } else {
            unpacked[out++] = packed[in++];
        }
    }
    return out;
}

static uint64_t compress(void)
{
    size_t size;

    if (!text[0])
        make_text();
    size = lz_pack();
    if (size > TEXT_SIZE / 2 || lz_unpack(size) != TEXT_SIZE)
        return 0;
    return memcmp(text, unpacked, TEXT_SIZE) ? 0 : TEXT_SIZE;
}

/* --- recursion --- */
static NOINLINE unsigned fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t fib(void)
{
    return fibonacci(29) == 514229 ? 832040 : 0;
}

/* --- indirect calls through a table, in an order that the branch predictor cannot learn whole --- */
#define HANDLER(name, expression)                                                                                 \
    static NOINLINE uint32_t name(uint32_t x)                                                                     \
    {                                                                                                             \
        return expression;                                                                                        \
    }
HANDLER(handler_add, x + 7)
HANDLER(handler_xor, x ^ 0x5bd1e995u)
HANDLER(handler_rotate, x << 5 | x >> 27)
HANDLER(handler_multiply, x * 3)
HANDLER(handler_not, ~x)
HANDLER(handler_subtract, x - 11)
HANDLER(handler_swap, __builtin_bswap32(x))
HANDLER(handler_shift, x ^ x >> 3)

#define INDIRECT_RESULT 0xca3c085au

static uint64_t indirect(void)
{
    static uint32_t (*const handlers[8])(uint32_t) = {handler_add,      handler_xor,  handler_rotate,
                                                      handler_multiply, handler_not,  handler_subtract,
                                                      handler_swap,     handler_shift};
    enum { CALLS = 1000000 };
    uint32_t value = 1, random = 1;

    for (int i = 0; i < CALLS; i++) {
        random = random * 1664525u + 1013904223u;
        value = handlers[random >> 29](value);
    }
    return value == INDIRECT_RESULT ? CALLS : 0;
}

/* --- a bytecode interpreter: a stack machine that sums primes by trial division --- */
#define SUM_OF_PRIMES_BELOW_4000 1013507

enum opcode { PUSH, LOAD, STORE, ADD, MOD, LESS, EQUAL, JUMP, JUMP_IF, SQUARE, HALT };

/* for (n = 2; n < 4000; n++) { for (d = 2; n >= d * d; d++) if (n % d == 0) goto next; sum += n; next:; } */
static const int16_t program[] = {
    PUSH, 2, STORE, 0,                                                  /*  0 n = 2 */
    LOAD, 0, PUSH,  4000, LESS,   JUMP_IF, 13,      JUMP,  60,          /*  4 while n < 4000 */
    PUSH, 2, STORE, 1,                                                  /* 13 d = 2 */
    LOAD, 0, LOAD,  1,    SQUARE, LESS,    JUMP_IF, 44,                 /* 17 n < d * d: a prime */
    LOAD, 0, LOAD,  1,    MOD,    PUSH,    0,       EQUAL, JUMP_IF, 51, /* 25 d divides n: next */
    LOAD, 1, PUSH,  1,    ADD,    STORE,   1,       JUMP,  17,          /* 35 d++ */
    LOAD, 2, LOAD,  0,    ADD,    STORE,   2,                           /* 44 sum += n */
    LOAD, 0, PUSH,  1,    ADD,    STORE,   0,       JUMP,  4,           /* 51 next: n++ */
    HALT,                                                               /* 60 */
};

static NOINLINE int64_t interpret(const int16_t *code, int64_t *count)
{
    int64_t stack[16], variable[4] = {0}, executed = 0;
    unsigned sp = 0, pc = 0;

    for (;;) {
        executed++;
        switch (code[pc++]) {
        case PUSH:
            stack[sp++] = code[pc++];
            break;
        case LOAD:
            stack[sp++] = variable[code[pc++]];
            break;
        case STORE:
            variable[code[pc++]] = stack[--sp];
            break;
        case ADD:
            sp--;
            stack[sp - 1] += stack[sp];
            break;
        case MOD:
            sp--;
            stack[sp - 1] %= stack[sp];
            break;
        case LESS:
            sp--;
            stack[sp - 1] = stack[sp - 1] < stack[sp];
            break;
        case EQUAL:
            sp--;
            stack[sp - 1] = stack[sp - 1] == stack[sp];
            break;
        case SQUARE:
            stack[sp - 1] *= stack[sp - 1];
            break;
        case JUMP:
            pc = (unsigned)code[pc];
            break;
        case JUMP_IF:
            pc = stack[--sp] ? (unsigned)code[pc] : pc + 1;
            break;
        default:
            *count = executed;
            return variable[2];
        }
    }
}

static uint64_t interpreter(void)
{
    const int16_t *code = program;
    int64_t executed = 0;

    KEEP(code);
    return interpret(code, &executed) == SUM_OF_PRIMES_BELOW_4000 ? (uint64_t)executed : 0;
}

const struct bench bench_integer[] = {
    {"sieve", "compute", sieve, 100, NULL},
    {"sha256", "compute", sha256, 80, NULL},
    {"compress", "compute", compress, 200, NULL},
    {"fib", "compute", fib, 200, NULL},
    {"indirect", "compute", indirect, 40, NULL},
    {"interpreter", "compute", interpreter, 300, NULL},
    {NULL, NULL, NULL, 0, NULL},
};
