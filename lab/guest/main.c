/*
 * main.c - runs one task of the guest's table, and prints what came of it.
 *
 * Interface: lab.h; boot.S calls guest_main. Invariant: an exception that a task does not expect ends the run,
 * with a line that says so.
 */
#include "lab/guest/lab.h"

void guest_main(void);

static const struct lab_task *task;
static bool wrong;
static void *resume[5];         /* of __builtin_setjmp */
static volatile unsigned tried; /* the vector that lab_try's body has raised */
static volatile bool trying;

/* --- lines --- */

void lab_begin(const char *kind)
{
    guest_put("lab ");
    guest_put(kind);
}

void lab_word(const char *key, const char *value)
{
    guest_put(" ");
    guest_put(key);
    guest_put("=");
    guest_put(value);
}

void lab_number(const char *key, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    char text[19] = "0x";
    unsigned i;

    for (i = 0; i < 16; i++)
        text[2 + i] = digits[value >> (60 - 4 * i) & 15];
    lab_word(key, text);
}

void lab_end(void)
{
    guest_put("\n");
}

void lab_check(bool right, const char *otherwise)
{
    if (right || wrong)
        return;
    wrong = true;
    lab_begin("wrong");
    lab_word("task", task ? task->name : "-");
    lab_word("reason", otherwise);
    lab_end();
}

__attribute__((noreturn)) static void finish(void)
{
    guest_put("lab end\n");
    guest_power_off();
}

/* An exception arrives at guest_unexpected, which does not return to where it was raised. */
unsigned lab_try(void (*body)(void))
{
    tried = LAB_NO_EXCEPTION;
    trying = true;
    if (!__builtin_setjmp(resume))
        body();
    trying = false;
    return tried;
}

void guest_unexpected(unsigned vector)
{
    if (trying) {
        tried = vector;
        __builtin_longjmp(resume, 1);
    }
    lab_begin("exception");
    lab_word("task", task ? task->name : "-");
    lab_number("vector", vector);
    lab_end();
    finish();
}

/* --- the command line --- */

static bool same_word(const char *a, const char *b)
{
    for (; *a && *a != ' ' && *a == *b; a++, b++)
        ;
    return (!*a || *a == ' ') && !*b;
}

/* What follows KEY and "=" at the beginning of a word; "" where there is none. */
static const char *value_of(const char *line, const char *key)
{
    const char *at, *k;

    for (at = line; *at; at++) {
        const char *c = at;

        if (at != line && at[-1] != ' ')
            continue;
        for (k = key; *k && *c == *k; k++, c++)
            ;
        if (!*k && *c == '=')
            return c + 1;
    }
    return "";
}

static uint64_t number_of(const char *text)
{
    uint64_t value = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

static const struct lab_task *find_task(const char *name)
{
    const struct lab_task *t;

    for (t = lab_tasks; t->name; t++)
        if (same_word(name, t->name))
            return t;
    return NULL;
}

/* --- measuring --- */

uint64_t lab_empty(uint64_t n)
{
    return GUEST_TIMED(n, (void)0);
}

static uint64_t least(uint64_t (*batch)(uint64_t n), uint64_t n)
{
    uint64_t best = UINT64_MAX, cycles;
    unsigned i;

    for (i = 0; i < LAB_BATCHES; i++) {
        cycles = batch(n);
        best = cycles < best ? cycles : best;
    }
    return best;
}

static void measure(uint64_t n)
{
    uint64_t empty = task->empty ? least(task->empty, n) : 0, cycles = least(task->batch, n);

    lab_begin("time");
    lab_word("task", task->name);
    lab_number("operations", n);
    lab_number("batches", LAB_BATCHES);
    lab_number("cycles", cycles);
    lab_number("empty", empty);
    lab_end();
}

void guest_main(void)
{
    const char *line = guest_command_line();
    uint64_t n = number_of(value_of(line, "n"));

    guest_start_console();
    guest_start_traps();
    guest_put("\n"); /* firmware may have left a line unfinished */
    task = find_task(value_of(line, "do"));
    lab_check(task, "no-such-task");
    if (task)
        measure(n ? n : 1);
    finish();
}
