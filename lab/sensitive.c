/*
 * sensitive.c - the experiment `sensitive`: instructions that tell or change the state of the machine, one by one,
 * under the three engines.
 *
 * Interface: experiments.h; its guest is guest/sensitive.c, which says what is right.
 */
#include "lab/experiments.h"
#include "lab/measure.h"

#include <stdio.h>
#include <string.h>

#define OPERATIONS 40u
#define NO_EXCEPTION 0xffu /* LAB_NO_EXCEPTION of guest/lab.h */

enum { TRAP, BT, INTERP, ENGINES };
static const char *const engines[ENGINES] = {[TRAP] = "trap", [BT] = "bt", [INTERP] = "interp"};

/* What is expected of trap-and-emulate: that depends on whether the processor traps, outside of CPL 0, what goes
   beyond what user code may know. */
enum expected {
    WRONG, /* it does not trap, and does or shows something else */
    RIGHT, /* it traps, or is the same for all */
};

static const struct instruction {
    const char *task, *label;
    enum expected under_trap;
    bool raises; /* what is got is the vector of an exception */
} instructions[] = {
    {"sgdt", "SGDT", WRONG},
    {"sidt", "SIDT", WRONG},
    {"sldt", "SLDT", WRONG},
    {"smsw", "SMSW", WRONG},
    {"str", "STR", WRONG},
    {"pushf", "PUSHF", WRONG},
    {"popf", "POPF", WRONG},
    {"lar", "LAR", WRONG},
    {"lsl", "LSL", WRONG},
    {"verr", "VERR", WRONG},
    {"verw", "VERW", WRONG},
    {"mov_from_cs", "MOV r, CS", WRONG},
    {"mov_to_fs", "MOV FS, r", WRONG},
    {"push_fs", "PUSH FS", WRONG},
    {"pop_fs", "POP FS", WRONG},
    {"far_jmp", "JMP far", WRONG, true},
    {"far_call", "CALL far", WRONG, true},
    {"far_ret", "RET far", WRONG, true},
    {"iret", "IRET", WRONG, true},
    {"int_n", "INT n", RIGHT},
    {"cpuid", "CPUID", WRONG},
    {"cli_sti", "CLI, STI", RIGHT},
    {"mov_from_cr0", "MOV r, CR0", RIGHT},
    {"rdmsr_lstar", "RDMSR", RIGHT},
};
#define INSTRUCTIONS (sizeof instructions / sizeof *instructions)

struct result {
    bool right, shown; /* shown: it has told what it got */
    double cycles, exits;
    char verdict[80];
};

static void put_value(char *text, size_t size, const struct instruction *i, unsigned long long value)
{
    if (!i->raises)
        snprintf(text, size, "%llx", value);
    else if (value == NO_EXCEPTION)
        snprintf(text, size, "no exception");
    else
        snprintf(text, size, value == 13 ? "#GP" : value == 6 ? "#UD" : "exception %llu", value);
}

/* "right", or how it went wrong. */
static void judge_result(struct result *r, const struct instruction *i, const struct lab_measured *m)
{
    size_t at = 0;
    const struct lab_record *saw = lab_records_next(&m->run[1].guest, "saw", &at);
    unsigned long long got = lab_record_number(saw, "got"), want = lab_record_number(saw, "want");
    char got_text[32], want_text[32];

    put_value(got_text, sizeof got_text, i, got);
    put_value(want_text, sizeof want_text, i, want);
    r->shown = saw && m->right;
    r->right = r->shown && got == want;
    if (r->right)
        snprintf(r->verdict, sizeof r->verdict, "right");
    else if (r->shown)
        snprintf(r->verdict, sizeof r->verdict, "%s, not %s", got_text, want_text);
    else
        snprintf(r->verdict, sizeof r->verdict, "%.70s", m->failure);
}

static int measure(const struct instruction *i, const char *engine, struct json_object *report, struct result *r,
                   struct error *error)
{
    const struct lab_task_spec spec = {"sensitive", engine, i->task, OPERATIONS, true};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);

    if (!status) {
        *r = (struct result){.cycles = m.cycles, .exits = lab_measured_exits(&m, engine)};
        judge_result(r, i, &m);
    }
    lab_measured_free(&m);
    return status;
}

static void put_number(struct json_object *row, const struct result *r, double value)
{
    if (r->shown && value >= 0)
        lab_row_number(row, value);
    else
        lab_row_none(row);
}

static void add_row(struct json_object *table, const struct instruction *i, const struct result r[ENGINES])
{
    struct json_object *row = lab_row_add(table, i->label);

    for (unsigned e = 0; e < ENGINES; e++)
        lab_row_text(row, r[e].verdict);
    put_number(row, &r[TRAP], r[TRAP].exits);
    for (unsigned e = 0; e < ENGINES; e++)
        put_number(row, &r[e], r[e].cycles);
}

/* Adds the instruction's name to those that are not as expected. */
static void note(char *names, size_t size, const struct instruction *i, bool expected)
{
    size_t at = strlen(names);

    if (!expected)
        snprintf(names + at, size - at, "%s%s", at ? ", " : "; but not: ", i->label);
}

static void judge(struct json_object *report, struct result (*r)[ENGINES])
{
    char exact[300] = "", wrong[300] = "", trapped[300] = "";

    for (unsigned k = 0; k < INSTRUCTIONS; k++) {
        const struct instruction *i = &instructions[k];
        const struct result *trap = &r[k][TRAP];

        note(exact, sizeof exact, i, r[k][BT].right && r[k][INTERP].right);
        if (i->under_trap == WRONG)
            note(wrong, sizeof wrong, i, trap->shown && !trap->right && (i->raises || trap->exits < 1));
        else
            note(trapped, sizeof trapped, i, trap->right && trap->exits >= 1);
    }
    lab_expect(report, !exact[0], "under bt and interp each of them is right%s", exact);
    lab_expect(report, !wrong[0], "under trap the sensitive ones do not trap, and are wrong%s", wrong);
    lab_expect(report, !trapped[0], "under trap CLI, MOV from CR0, RDMSR and INT n trap, and are right%s",
               trapped);
}

static void tell(struct json_object *report, struct result (*r)[ENGINES])
{
    unsigned right[ENGINES] = {0}, silent = 0, count = 0;
    double cycles[ENGINES] = {0};

    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        for (unsigned e = 0; e < ENGINES; e++)
            right[e] += r[i][e].right;
        silent += r[i][TRAP].shown && !r[i][TRAP].right && r[i][TRAP].exits < 1;
        if (instructions[i].under_trap == RIGHT && r[i][TRAP].right && r[i][BT].right) {
            count++;
            cycles[TRAP] += r[i][TRAP].cycles;
            cycles[BT] += r[i][BT].cycles;
        }
    }
    lab_say(report, "Of %zu instructions %u are right under trap, %u under bt and %u under interp.", INSTRUCTIONS,
            right[TRAP], right[BT], right[INTERP]);
    lab_say(report,
            "%u of those that are wrong under trap never trapped: the monitor was not asked. A machine is "
            "virtualizable by trapping alone only if no sensitive instruction does that (Popek and Goldberg).",
            silent);
    if (count && cycles[BT] > 0)
        lab_say(report,
                "Where a trap gets it right, it costs %.0f cycles in the mean; translated, the same cost %.0f.",
                cycles[TRAP] / count, cycles[BT] / count);
}

static int run(struct json_object *report, struct error *error)
{
    static const char *const columns[] = {"instruction", "trap",           "bt", "interp", "traps", "cycles: trap",
                                          "cycles: bt",  "cycles: interp", NULL};
    struct json_object *table = lab_table_add(report, "What came of it at CPL 0 (hexadecimal)", columns);
    struct result r[INSTRUCTIONS][ENGINES] = {0};
    int status = 0;

    for (unsigned i = 0; i < INSTRUCTIONS && !status; i++) {
        for (unsigned e = 0; e < ENGINES && !status; e++)
            status = measure(&instructions[i], engines[e], report, &r[i][e], error);
        add_row(table, &instructions[i], r[i]);
    }
    lab_plot_add(report, "Cycles each", "cycles", 5, 7);
    judge(report, r);
    tell(report, r);
    return status;
}

const struct lab_experiment lab_sensitive = {
    .name = "sensitive",
    .title = "the sensitive instructions, one by one",
    .question = "Trap-and-emulate runs the guest's kernel without privilege, and emulates what traps. Which "
                "instructions tell or change the machine's state without trapping, and what does a guest get "
                "that uses them?",
    .run = run,
};
