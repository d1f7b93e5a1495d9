/*
 * table.c - the monitor's commands: one table row each; from a line of text to the function that runs it.
 *
 * Interface: monitor.h, command.h. Names and formats are those of QEMU's monitor where it has the command.
 * Invariant: whatever the line is, there is one line of text for its error, and the guest goes on.
 */
#include "vmm/monitor/command.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/monitor/names.h"
#include "vmm/text.h"

const struct command_row monitor_command_table[] = {
    {"help", "?", "[COMMAND]", "lists the commands, or tells of one", command_help, ARGUMENT_COMMAND,
     .anywhere = true},
    {"info", NULL, "SUBJECT", "shows the state of something; 'help info' lists the subjects", command_info,
     ARGUMENT_INFO},
    {"x", NULL, "/FORMAT ADDRESS", "memory at a linear address: x/[COUNT][xduocis][bhwg]", command_x,
     ARGUMENT_EXPRESSION, .takes_format = true},
    {"xp", NULL, "/FORMAT ADDRESS", "memory at a physical address", command_xp, ARGUMENT_EXPRESSION,
     .takes_format = true},
    {"print", "p", "/FORMAT EXPRESSION", "the value of an expression, as $rsp+8", command_print,
     ARGUMENT_EXPRESSION, .takes_format = true},
    {"disassemble", NULL, "[ADDRESS [COUNT]]", "instructions at a linear address, or where the CPU is",
     command_disassemble_at, ARGUMENT_EXPRESSION},
    {"explain", NULL, "[ADDRESS]", "the block at an instruction pointer and its translation, side by side",
     command_explain, ARGUMENT_EXPRESSION},
    {"stop", NULL, "", "stops the CPU", command_stop},
    {"cont", "c", "", "lets it go on", command_cont},
    {"step", "s", "[COUNT]", "runs instructions, one by one, without interrupts, and stops", command_step,
     ARGUMENT_EXPRESSION},
    {"break", "b", "ADDRESS", "stops the CPU in front of the instruction at a linear address", command_break,
     ARGUMENT_EXPRESSION},
    {"delete", NULL, "NUMBER", "removes a breakpoint", command_delete},
    {"system_reset", NULL, "", "resets the machine", command_system_reset},
    {"system_powerdown", NULL, "", "presses the power button", command_system_powerdown},
    {"quit", "q", "", "ends novt", command_quit, .anywhere = true},
    {NULL},
};

const struct command_row monitor_info_table[] = {
    {"blocks", NULL, "[COUNT | FROM TO]", "translated code: the busiest blocks, or those of a range", info_blocks},
    {"breakpoints", NULL, "", "breakpoints, and how often each was hit", info_breakpoints},
    {"irq", NULL, "", "interrupt controllers", info_irq},
    {"lapic", NULL, "", "the local APIC", info_lapic},
    {"mem", NULL, "", "linear memory: ranges with the same rights", info_mem},
    {"pic", NULL, "", "the 8259 pair and the I/O APIC", info_pic},
    {"registers", NULL, "[-v]", "the CPU's registers; -v: vector registers too", info_registers},
    {"stats", NULL, "", "counters, as --stats prints them at the end", info_stats},
    {"status", NULL, "", "running or paused", info_status},
    {"tlb", NULL, "[FROM]", "linear memory: page by page, with the page tables' bits", info_tlb},
    {"version", NULL, "", "novt's version", info_version},
    {NULL},
};

const struct command_row *monitor_find_row(const struct command_row *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name) || (table->alias && !strcmp(table->alias, name)))
            return table;
    return NULL;
}

/* --- arguments --- */

bool command_is_at_end(struct command *c)
{
    c->rest += strspn(c->rest, " \t");
    return !*c->rest;
}

bool command_read_word(struct command *c, char *word, size_t size)
{
    size_t length;

    if (command_is_at_end(c))
        return false;
    length = strcspn(c->rest, " \t");
    snprintf(word, size, "%.*s", (int)(length < size ? length : size - 1), c->rest);
    c->rest += length;
    return true;
}

int command_read_expression(struct command *c, uint64_t *value)
{
    const struct expr_names names = monitor_names(c->machine);

    return expr_read(&c->rest, &names, value, &c->error);
}

int command_expect_end(struct command *c)
{
    if (command_is_at_end(c))
        return 0;
    return error_set(&c->error, EINVAL, "'%.40s': there is an argument too many", c->rest);
}

/* --- help, info --- */

static void print_row(FILE *to, const char *before, const struct command_row *row)
{
    char left[48];

    snprintf(left, sizeof left, "%s%s%s%s%s%s", before, row->name, row->alias ? "|" : "",
             row->alias ? row->alias : "", row->takes_format || !*row->arguments ? "" : " ", row->arguments);
    fprintf(to, "%-34s %s\n", left, row->help);
}

static int unknown(struct command *c, const char *what, const char *word, const struct command_row *table)
{
    size_t count = 0;
    const char *near;

    while (table[count].name)
        count++;
    near = text_nearest(word, table, count, sizeof *table);
    return error_set(&c->error, EINVAL, "unknown %s: '%s'%s%s; 'help%s' lists them", what, word,
                     near ? "; did you mean " : "", near ? near : "", table == monitor_info_table ? " info" : "");
}

int command_help(struct command *c)
{
    const struct command_row *row = NULL;
    char word[32];

    if (command_read_word(c, word, sizeof word)) {
        row = monitor_find_row(monitor_command_table, word);
        if (!row)
            return unknown(c, "command", word, monitor_command_table);
    }
    if (command_expect_end(c))
        return -EINVAL;
    if (row)
        print_row(c->to, "", row);
    if (row && row->argument != ARGUMENT_INFO)
        return 0;
    for (const struct command_row *i = row ? monitor_info_table : monitor_command_table; i->name; i++)
        print_row(c->to, row ? "info " : "", i);
    return 0;
}

/* Which function the line asks for. */
static const struct command_row *find_info(struct command *c)
{
    const struct command_row *row;
    char word[32];

    if (!command_read_word(c, word, sizeof word)) {
        error_set(&c->error, EINVAL, "info: the subject is missing; 'help info' lists them");
        return NULL;
    }
    row = monitor_find_row(monitor_info_table, word);
    if (!row)
        unknown(c, "subject", word, monitor_info_table);
    return row;
}

int command_info(struct command *c)
{
    const struct command_row *row = find_info(c);

    return row ? row->run(c) : -EINVAL;
}

/* --- a line --- */

/* "x/10i $rip": the row of x; format is what follows the slash. */
static const struct command_row *find_command(struct command *c)
{
    size_t length = strcspn(c->rest, " \t/");
    const struct command_row *row;
    char word[32];

    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), c->rest);
    row = monitor_find_row(monitor_command_table, word);
    if (!row) {
        unknown(c, "command", word, monitor_command_table);
        return NULL;
    }
    c->rest += length;
    c->rest += strspn(c->rest, " \t");
    if (*c->rest != '/')
        return row;
    c->has_format = true;
    c->format = c->rest + 1;
    c->rest += strcspn(c->rest, " \t");
    if (row->takes_format)
        return row;
    error_set(&c->error, EINVAL, "%s takes no format; write '%s %s'", row->name, row->name, row->arguments);
    return NULL;
}

/* A command on its way to the vCPU's thread. */
struct errand {
    struct command *command;
    const struct command_row *row;
    int status;
};

static void run_errand(void *opaque)
{
    struct errand *errand = opaque;

    errand->status = errand->row->run(errand->command);
}

static int run_row(struct command *c, const struct command_row *row)
{
    struct errand errand = {c, row, 0};

    if (row->anywhere)
        return row->run(c);
    if (!machine_call(c->machine, run_errand, &errand))
        return error_set(&c->error, ECANCELED, "the machine has ended");
    return errand.status;
}

/* What cannot be printed is replaced: it may be meant for the terminal, not for us. */
static char *clean_copy(const char *line)
{
    char *copy = strdup(line);

    for (char *at = copy; at && *at; at++)
        if (!isprint((unsigned char)*at) && *at != '\t')
            *at = '?';
    return copy;
}

void monitor_run_line(struct machine *m, const char *line, FILE *to)
{
    char *copy = clean_copy(line);
    struct command c = {.machine = m, .to = to, .rest = copy};
    const struct command_row *row;

    if (!copy)
        fputs("out of memory\n", to);
    else if (!command_is_at_end(&c) && (!(row = find_command(&c)) || run_row(&c, row)))
        fprintf(to, "%s\n", c.error.text);
    free(copy);
}
