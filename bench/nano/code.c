/*
 * code.c - nanobenchmarks of code that is new, and of code that changes.
 *
 * Interface: nano_code[] (nano.h); the functions are made in nano_code_memory.
 * Invariants: a batch's functions lie where none was executed before, until the memory is used up and begins anew;
 * while functions are made, their effect is computed in C (struct state), and what they did is compared with it.
 */
#include "nano.h"

#define REGISTERS 4 /* RAX, RCX, RDX, RBX */
#define SLOTS 8
#define INSTRUCTIONS 16 /* of a function, with its RET */
#define STRIDE 128      /* its bytes: 15 of at most 7, and 1 */
#define MOST 2048
#define FIRST 4096 /* a page that is smc's own lies before them */

struct state {
    uint64_t reg[REGISTERS], slot[SLOTS];
};

/* An instruction on one register, REX.W before it: where its number goes in ModRM, and what follows. */
struct form {
    uint8_t opcode, modrm;
    bool source, rm;    /* the register is ModRM.reg, ModRM.rm */
    uint8_t immediates; /* bytes */
    void (*effect)(struct state *s, unsigned r, int32_t immediate);
};

static void add(struct state *s, unsigned r, int32_t immediate)
{
    s->reg[r] += (uint64_t)immediate;
}

static void flip(struct state *s, unsigned r, int32_t immediate)
{
    s->reg[r] ^= (uint64_t)immediate;
}

static void cmp(struct state *s, unsigned r, int32_t immediate)
{
    (void)s, (void)r, (void)immediate;
}

static void imul(struct state *s, unsigned r, int32_t immediate)
{
    s->reg[r] *= (uint64_t)immediate;
}

static void load(struct state *s, unsigned r, int32_t displacement)
{
    s->reg[r] = s->slot[displacement / 8];
}

static void store(struct state *s, unsigned r, int32_t displacement)
{
    s->slot[displacement / 8] = s->reg[r];
}

static const struct form forms[] = {
    {0x81, 0xc0, false, true, 4, add},   {0x81, 0xf0, false, true, 4, flip},  {0x81, 0xf8, false, true, 4, cmp},
    {0x69, 0xc0, true, true, 4, imul},   {0x8b, 0x47, true, false, 1, load},  {0x8b, 0x47, true, false, 1, load},
    {0x89, 0x47, true, false, 1, store}, {0x89, 0x47, true, false, 1, store},
};

static struct state expected, actual;
static uint64_t used = FIRST;
static uint32_t seed = 1;

/* A linear congruential generator; its high bits are the good ones. */
static uint32_t number(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static uint8_t *put_instruction(uint8_t *at)
{
    const struct form *f = &forms[number(sizeof forms / sizeof *forms)];
    unsigned r = number(REGISTERS);
    int32_t immediate = f->immediates == 1 ? (int32_t)(8 * number(SLOTS)) : (int32_t)(number(1 << 24) << 8 | 1);

    *at++ = 0x48;
    *at++ = f->opcode;
    *at++ = (uint8_t)(f->modrm | (f->source ? r << 3 : 0) | (f->rm ? r : 0));
    __builtin_memcpy(at, &immediate, 4); /* of one byte: what follows is overwritten */
    f->effect(&expected, r, immediate);
    return at + f->immediates;
}

static void put_function(uint8_t *at)
{
    unsigned i;

    for (i = 1; i < INSTRUCTIONS; i++)
        at = put_instruction(at);
    *at = 0xc3;
}

static uint8_t *put_functions(uint64_t n)
{
    uint8_t *first;
    uint64_t i;

    if (used + n * STRIDE > NANO_CODE_SIZE)
        used = FIRST;
    first = nano_code_memory + used;
    used += n * STRIDE;
    for (i = 0; i < n; i++)
        put_function(first + i * STRIDE);
    return first;
}

static bool as_expected(void)
{
    unsigned i;
    bool same = true;

    for (i = 0; i < REGISTERS; i++)
        same &= actual.reg[i] == expected.reg[i];
    for (i = 0; i < SLOTS; i++)
        same &= actual.slot[i] == expected.slot[i];
    return same;
}

static uint64_t cold_code(uint64_t n)
{
    const uint8_t *at = put_functions(n);
    uint64_t a = actual.reg[0], c = actual.reg[1], d = actual.reg[2], b = actual.reg[3], cycles;

    cycles = GUEST_TIMED(n, __asm__ volatile("call *%4\n"
                                             "addq %6, %4"
                                             : "+a"(a), "+c"(c), "+d"(d), "+b"(b), "+r"(at)
                                             : "D"(actual.slot), "i"(STRIDE)
                                             : "cc", "memory"));
    actual.reg[0] = a;
    actual.reg[1] = c;
    actual.reg[2] = d;
    actual.reg[3] = b;
    nano_check(as_expected(), "a function computed something else");
    return cycles;
}

/* MOV ECX, imm32 and RET; the immediate is written before each call. */
static uint64_t smc(uint64_t n)
{
    uint8_t *function = nano_code_memory;
    uint64_t sum = 0, value = 0, cycles;

    function[0] = 0xb9;
    function[5] = 0xc3;
    cycles = GUEST_TIMED(n, __asm__ volatile("movl %k1, 1(%2)\n"
                                             "call *%2\n"
                                             "addq %%rcx, %0\n"
                                             "incq %1"
                                             : "+r"(sum), "+r"(value)
                                             : "r"(function)
                                             : "rcx", "cc", "memory"));
    nano_check(sum == n * (n - 1) / 2, "an old instruction was executed");
    return cycles;
}

const struct nano_bench nano_code[] = {
    {"cold-code", cold_code, nano_empty, .most = MOST},
    {"cold-code-instruction", cold_code, nano_empty, .most = MOST, .operations = INSTRUCTIONS},
    {"smc", smc, nano_empty},
    {NULL},
};
