/*
 * isolation.c - user code that walks over memory of the process that runs it: of the guest's, it may have whatever
 * its page tables say; of the process's own it must see and change nothing.
 *
 * A machine with all user code in a window runs loops whose pointer moves by a constant, from addresses that a
 * window may have to where an array of this test is and beyond. The guest's page tables map all of these addresses
 * to pages of its data. Writes TAP.
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
    uint8_t code[32]; /* accesses memory at RDI, moves RDI, counts RCX down; ends with a jump back */
    uint8_t length, step_at;
};

static const struct walk walks[] = {
    /* 1: mov rax,[rdi]; mov [rdi],rsi; add rdi,imm32; dec rcx; jnz 1b */
    {"read and write",
     {0x48, 0x8b, 0x07, 0x48, 0x89, 0x37, 0x48, 0x81, 0xc7, 0, 0, 0, 0, 0xff, 0xc9, 0x75},
     17,
     9},
    /* 1: add rdi,imm32; add [rdi+rdx],rsi; dec ecx; jnz 1b */
    {"an index", {0x48, 0x81, 0xc7, 0, 0, 0, 0, 0x48, 0x01, 0x34, 0x17, 0xff, 0xc9, 0x75, 0, 0}, 15, 3},
};

static unsigned failures, number;

static void result(bool good, const char *what, const char *name, int32_t step)
{
    printf("%s %u - %s: %s, step %d\n", good ? "ok" : "not ok", ++number, what, name, step);
    failures += !good;
}

/* The jump back, and a last write through RDI, and the exit. */
static void make_case(struct insn_case *c, const struct walk *w, uint64_t start, int32_t step, uint64_t count)
{
    uint64_t exit = INSN_EXIT;
    unsigned n = w->length;
    int32_t distance;

    memset(c, 0, sizeof *c);
    c->mode = INSN_64;
    c->slot = number / 3; /* code that a window has not served is not tried again: each case has its place */
    c->start = INSN_CODE + INSN_SLOT_AT(c->slot);
    memcpy(c->code, w->code, sizeof w->code);
    memcpy(c->code + w->step_at, &step, 4);
    c->code[n - 1] = (uint8_t)-n;
    memcpy(c->code + n, (const uint8_t[]){0x48, 0x89, 0x37, 0xe9}, 4); /* mov [rdi],rsi; jmp exit */
    n += 4;
    distance = (int32_t)(exit - (c->start + n + 4));
    memcpy(c->code + n, &distance, 4);
    c->code_length = (uint8_t)(n + 4);
    c->in.gpr[R_DI] = start;
    c->in.gpr[R_SI] = WRITTEN;
    c->in.gpr[R_CX] = count;
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

static void walk_over(struct insn_engine *e, const struct walk *w, int32_t step)
{
    static struct insn_case c;
    static struct insn_state out;
    static uint8_t image[INSN_DATA_SIZE];
    uint64_t target = (uint64_t)(uintptr_t)&secret[WORDS / 2], count = FAR / (uint64_t)(step < 0 ? -step : step);
    uint64_t last, start = target - (uint64_t)((int64_t)step * (int64_t)count);
    uint8_t *data;

    for (unsigned round = 0; round < 2; round++) { /* to the array, and over it */
        make_case(&c, w, start, step, round ? 2 * count : count);
        insn_engine_place(e, &c);
        insn_engine_placed(e);
        memset(&out, 0, sizeof out);
        insn_engine_run(e, &c, image, &out, &data);
        result(!out.hung && out.vector == INSN_NO_FAULT, "comes to its end", w->name, step);
        result(is_untouched(), "changes nothing of the process", w->name, step);
        last = start + (uint64_t)((int64_t)step * (int64_t)(round ? 2 * count : count));
        result(!memcmp(insn_engine_large(e) + last % LARGE, &(uint64_t){WRITTEN}, 8),
               "its write is in the guest's memory", w->name, step);
    }
}

int main(void)
{
    static const int32_t steps[] = {0x10000, -0x10000, 0x9000, 0x20000};
    static const uint8_t const_page[INSN_DATA_CONST];
    struct insn_engine *e;

    secret = mmap((void *)0x123400000000, WORDS * 8, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (secret == MAP_FAILED)
        return 1;
    for (unsigned i = 0; i < WORDS; i++)
        secret[i] = PATTERN;
    e = insn_engine_open(INSN_BT, INSN_LONG, NULL, "tier=window");
    if (!e)
        return 1;
    map_all(e);
    insn_engine_begin(e, const_page);
    for (unsigned i = 0; i < sizeof walks / sizeof *walks; i++)
        for (unsigned k = 0; k < sizeof steps / sizeof *steps; k++)
            walk_over(e, &walks[i], steps[k]);
    result(insn_engine_stats(e)->window_signals > 0, "there was a window", "all", 0);
    insn_engine_end(e);
    insn_engine_close(e);
    printf("1..%u\n", number);
    return failures != 0;
}
