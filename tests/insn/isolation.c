/*
 * isolation.c - user code that walks over memory of the process that runs it: of the guest's, it may have whatever
 * its page tables say; of the process's own it must see and change nothing.
 *
 * A machine with all user code in a window runs loops whose pointer, or RSP, moves by a constant, from addresses
 * that a window may have to where an array of this test is and beyond. The guest's page tables map all of these
 * addresses to pages of its data. Writes TAP.
 */
#include "tests/insn/insn.h"

#include "translator/translator.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE 0x200000ull
#define FAR 0x124000000ull /* beyond what a window leaves free around the process's memory */
#define PATTERN 0x5ec2e75ec2e75ec2ull
#define WRITTEN 0x1111111111111111ull

struct insn_layout insn_layout = {INSN_DATA_HIGH, INSN_CODE_HIGH};
#define WORDS (3 * 4096 / 8)
static uint64_t *secret; /* far from all else that the process has */

struct walk {
    const char *name;
    uint8_t code[32]; /* accesses memory at RDI or RSP, moves that, counts RCX down; ends with a jump back */
    uint8_t length, step_at;
    bool by_rsp;
    int8_t moved;      /* what else moves it */
    uint16_t own_step; /* how far it moves without an operand for that (step_at 0); then RDI is where no window
                          serves */
};

static const struct walk walks[] = {
    /* 1: mov rax,[rdi]; mov [rdi],rsi; add rdi,imm32; dec rcx; jnz 1b */
    {"read and write",
     {0x48, 0x8b, 0x07, 0x48, 0x89, 0x37, 0x48, 0x81, 0xc7, 0, 0, 0, 0, 0xff, 0xc9, 0x75},
     17,
     9},
    /* 1: add rdi,imm32; add [rdi+rdx],rsi; dec ecx; jnz 1b */
    {"an index", {0x48, 0x81, 0xc7, 0, 0, 0, 0, 0x48, 0x01, 0x34, 0x17, 0xff, 0xc9, 0x75, 0, 0}, 15, 3},
    /* 1: add rsp,imm32; dec ecx; jnz 1b */
    {"RSP moves", {0x48, 0x81, 0xc4, 0, 0, 0, 0, 0xff, 0xc9, 0x75}, 11, 3, true, 0},
    /* 1: push rsi; add rsp,imm32; dec ecx; jnz 1b */
    {"pushes", {0x56, 0x48, 0x81, 0xc4, 0, 0, 0, 0, 0xff, 0xc9, 0x75}, 12, 4, true, -8},
    /* 1: pop rax; add rsp,imm32; dec ecx; jnz 1b */
    {"pops", {0x58, 0x48, 0x81, 0xc4, 0, 0, 0, 0, 0xff, 0xc9, 0x75}, 12, 4, true, 8},
    /* 1: lea rsp,[rsp+imm32]; mov [rsp],rsi; dec ecx; jnz 1b */
    {"writes at RSP",
     {0x48, 0x8d, 0xa4, 0x24, 0, 0, 0, 0, 0x48, 0x89, 0x34, 0x24, 0xff, 0xc9, 0x75},
     16,
     4,
     true,
     0},
    /* 1: call 2f; 2: add rsp,imm32; dec ecx; jnz 1b */
    {"calls", {0xe8, 0, 0, 0, 0, 0x48, 0x81, 0xc4, 0, 0, 0, 0, 0xff, 0xc9, 0x75}, 16, 8, true, -8},
    /* 1: add rdi,imm32; mov rsp,rdi; push rsi; push rsi; dec ecx; jnz 1b */
    {"RSP from a register",
     {0x48, 0x81, 0xc7, 0, 0, 0, 0, 0x48, 0x89, 0xfc, 0x56, 0x56, 0xff, 0xc9, 0x75},
     16,
     3,
     false,
     0},
    /* 1: mov rbx,[rdi]; ret 0xff0; dec ecx; jnz 1b; all of the stack leads behind RET */
    {"RET releases, beside an access without the window",
     {0x48, 0x8b, 0x1f, 0xc2, 0xf0, 0x0f, 0xff, 0xc9, 0x75},
     10,
     0,
     true,
     0,
     0xff8},
    /* 1: add rdi,imm32; lea rbp,[rdi-2]; leavew; push rsi; dec ecx; jnz 1b */
    {"LEAVE of 16 bits",
     {0x48, 0x81, 0xc7, 0, 0, 0, 0, 0x48, 0x8d, 0x6f, 0xfe, 0x66, 0xc9, 0x56, 0xff, 0xc9, 0x75},
     18,
     3,
     false,
     0},
    /* 1: add rdi,imm32; lea rbp,[rdi-16]; leave; push rsi; dec ecx; jnz 1b */
    {"LEAVE",
     {0x48, 0x81, 0xc7, 0, 0, 0, 0, 0x48, 0x8d, 0x6f, 0xf0, 0xc9, 0x56, 0xff, 0xc9, 0x75},
     17,
     3,
     false,
     0},
};

static unsigned failures, number, first_number; /* of the machine's first case */

static void result(bool good, const char *what, const char *name, int32_t step)
{
    printf("%s %u - %s: %s, step %d\n", good ? "ok" : "not ok", ++number, what, name, step);
    failures += !good;
}

/* A NOP in front, so that the first iteration is in another block than the others; the jump back, and a last write
   through RDI or RSP, and the exit. */
static void make_case(struct insn_case *c, const struct walk *w, uint64_t start, int32_t step, bool nop)
{
    uint64_t exit = INSN_EXIT;
    unsigned n = w->length + nop;
    int32_t distance;

    memset(c, 0, sizeof *c);
    c->mode = INSN_64;
    /* Code that a window has not served is not tried again: each case has its place. */
    c->slot = (number - first_number) / 3;
    c->start = INSN_CODE + INSN_SLOT_AT(c->slot);
    c->code[0] = 0x90;
    memcpy(c->code + nop, w->code, w->length);
    if (w->step_at)
        memcpy(c->code + nop + w->step_at, &(int32_t){step - w->moved}, 4);
    c->code[n - 1] = (uint8_t)-w->length;
    /* mov [rdi],rsi or mov [rsp],rsi; nop; jmp exit */
    memcpy(c->code + n,
           w->by_rsp ? (const uint8_t[]){0x48, 0x89, 0x34, 0x24} : (const uint8_t[]){0x48, 0x89, 0x37, 0x90}, 4);
    c->code[n + 4] = 0xe9;
    n += 5;
    distance = (int32_t)(exit - (c->start + n + 4));
    memcpy(c->code + n, &distance, 4);
    c->code_length = (uint8_t)(n + 4);
    c->in.gpr[R_SP] = start;
    c->in.gpr[R_SI] = WRITTEN;
    c->in.rflags = 0x202;
    c->in.seg[S_CS] = 0x33;
    c->in.seg[S_SS] = 0x2b;
}

/* All that a walk comes to, to one and the same large page. */
static void map_all(struct insn_engine *e)
{
    uint64_t middle = (uint64_t)(uintptr_t)secret;

    for (uint64_t at = middle - FAR - LARGE; at < middle + FAR + LARGE; at += LARGE)
        insn_engine_map_large(e, at);
}

static bool is_untouched(void)
{
    for (unsigned i = 0; i < WORDS; i++)
        if (secret[i] != PATTERN)
            return false;
    return true;
}

/* Where a walk ends: at the array; beyond it; at it, when that code has been beyond it before; or, in one step to
   where RDI says, there. */
enum walk_end { TO_IT, OVER_IT, BACK_TO_IT, AT_ONCE, WALK_ENDS };

/* Does it come to its end? words: what memory is full of; 0: of whatever it was. */
static bool run_walk(struct insn_engine *e, struct insn_case *c, uint64_t count, uint64_t words)
{
    static struct insn_state out;
    static uint8_t image[INSN_DATA_SIZE];
    uint8_t *data;

    for (unsigned i = 0; words && i < LARGE; i += 8)
        memcpy(insn_engine_large(e) + i, &words, 8);
    c->in.gpr[R_CX] = count;
    memset(&out, 0, sizeof out);
    insn_engine_run(e, c, image, &out, &data);
    return !out.hung && out.vector == INSN_NO_FAULT;
}

static void walk_over(struct insn_engine *e, const struct walk *w, int32_t step, bool nop)
{
    static struct insn_case c;
    uint64_t target = (uint64_t)(uintptr_t)&secret[WORDS / 2], count = FAR / (uint64_t)(step < 0 ? -step : step);
    uint64_t start = target - (uint64_t)((int64_t)step * (int64_t)count), last, words;
    bool good;

    for (enum walk_end end = TO_IT; end < (w->by_rsp ? AT_ONCE : WALK_ENDS); end++) {
        make_case(&c, w, start, step, nop);
        insn_engine_place(e, &c);
        insn_engine_placed(e);
        words = w->own_step ? c.start + nop + 6 : 0;
        c.in.gpr[R_DI] = w->own_step ? (uintptr_t)secret : start;
        for (unsigned i = 0; i < 3; i++)
            run_walk(e, &c, 3,
                     words); /* a few steps, so that all of the code is there, as it will be, and linked */
        if (end == AT_ONCE)
            c.in.gpr[R_DI] = target - (uint64_t)(int64_t)step;
        for (unsigned i = 0; i < 3 && end == BACK_TO_IT; i++)
            run_walk(e, &c, 2 * count, words);
        good = run_walk(e, &c, end == AT_ONCE ? 1 : end == OVER_IT ? 2 * count : count, words);
        last = end == OVER_IT ? 2 * target - start : target;
        result(good, "comes to its end", w->name, step);
        result(is_untouched(), "changes nothing of the process", w->name, step);
        result(!memcmp(insn_engine_large(e) + last % LARGE, &(uint64_t){WRITTEN}, 8),
               "its write is in the guest's memory", w->name, step);
    }
}

/* On a machine of their own: it has a place for each case. */
static bool all_walks(const char *options, bool nop)
{
    static const int32_t steps[] = {0x10000, -0x10000, 0x9000, 0x20000};
    static const uint8_t const_page[INSN_DATA_CONST];
    struct insn_engine *e = insn_engine_open(INSN_BT, INSN_LONG, NULL, options);

    if (!e)
        return false;
    first_number = number;
    map_all(e);
    insn_engine_begin(e, const_page);
    for (unsigned i = 0; i < sizeof walks / sizeof *walks; i++)
        for (unsigned k = 0; k < (walks[i].own_step ? 1 : sizeof steps / sizeof *steps); k++)
            walk_over(e, &walks[i], walks[i].own_step ? walks[i].own_step : steps[k], nop);
    result(insn_engine_stats(e)->window_signals > 0, "there was a window", "all", 0);
    insn_engine_end(e);
    insn_engine_close(e);
    return true;
}

/* argument: options of -accel bt */
int main(int argc, char **argv)
{
    const char *options = argc > 1 ? argv[1] : "tier=window";

    secret = mmap((void *)0x123400000000, WORDS * 8, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (secret == MAP_FAILED)
        return 1;
    for (unsigned i = 0; i < WORDS; i++)
        secret[i] = PATTERN;
    if (!all_walks(options, false) || !all_walks(options, true))
        return 1;
    printf("1..%u\n", number);
    return failures != 0;
}
