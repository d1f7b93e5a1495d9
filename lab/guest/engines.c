/*
 * engines.c - the programs of program.c as tasks, and two that only a kernel has.
 *
 * An operation is a round. A program's result is printed as "lab result task=NAME value=N".
 */
#include "lab/guest/lab.h"
#include "lab/guest/program.h"

static uint64_t run(const char *name, uint64_t (*program)(uint64_t), uint64_t n)
{
    static bool said;
    uint64_t begin = guest_tsc(), result = program(n), cycles = guest_tsc() - begin;

    if (said)
        return cycles;
    said = true;
    lab_begin("result");
    lab_word("task", name);
    lab_number("value", result);
    lab_end();
    return cycles;
}

static uint64_t sieve(uint64_t n)
{
    return run("sieve", lab_program_sieve, n);
}

static uint64_t random_access(uint64_t n)
{
    return run("random-access", lab_program_random, n);
}

static uint64_t calls(uint64_t n)
{
    return run("calls", lab_program_calls, n);
}

static uint64_t bytecode(uint64_t n)
{
    return run("bytecode", lab_program_bytecode, n);
}

/* What a kernel does around everything: interrupts off and on, a look at a control register, another CR3. */
static uint64_t kernel(uint64_t n)
{
    uint64_t cr3 = read_cr3();

    return GUEST_TIMED(n, __asm__ volatile("cli; sti; cli" : : : "memory"); write_cr3(cr3); (void)read_cr3());
}

static uint64_t interrupts(uint64_t n)
{
    return GUEST_TIMED(n, __asm__ volatile("int %0" : : "i"(GUEST_INT) : "memory"));
}

/* A system call: from CPL 3 through a gate, and back. */
static uint64_t system_call(uint64_t n)
{
    uint64_t cycles;

    guest_count = 0;
    cycles = guest_at_user(interrupts, n);
    lab_check(guest_count == n, "the-handler-ran-another-number-of-times");
    return cycles;
}

const struct lab_task lab_tasks[] = {
    {"sieve", sieve, NULL},
    {"random-access", random_access, NULL},
    {"calls", calls, NULL},
    {"bytecode", bytecode, NULL},
    {"kernel", kernel, lab_empty},
    {"system-call", system_call, lab_empty},
    {NULL},
};
