/*
 * command.h - what the files of monitor commands share: the table's rows, and one line being run.
 */
#ifndef NOVT_VMM_MONITOR_COMMAND_H
#define NOVT_VMM_MONITOR_COMMAND_H

#include <stdio.h>

#include "vmm/machine.h"
#include "vmm/monitor/expr.h"
#include "vmm/monitor/format.h"

/* One command being run. */
struct command {
    struct machine *machine;
    FILE *to;         /* its output */
    const char *rest; /* of the line: what has not been read yet */
    bool has_format;
    const char *format; /* behind a slash, if has_format */
    struct error error;
};

enum command_argument { ARGUMENT_NONE, ARGUMENT_INFO, ARGUMENT_COMMAND, ARGUMENT_EXPRESSION };

struct command_row {
    const char *name, *alias; /* alias: NULL for none */
    const char *arguments;    /* for the help; "" for none */
    const char *help;
    /* 0, or a negative errno with command->error. On the vCPU's thread, unless anywhere is set. */
    int (*run)(struct command *command);
    enum command_argument argument; /* for completion */
    bool takes_format;
    bool anywhere; /* needs nothing that belongs to the vCPU's thread */
};

/* The tables end with a row without a name. */
extern const struct command_row monitor_command_table[];
extern const struct command_row monitor_info_table[];

const struct command_row *monitor_find_row(const struct command_row *table, const char *name);

/* Readers of arguments; they move command->rest. Errors: -EINVAL, with the text. */
int command_read_expression(struct command *command, uint64_t *value);
/* false: there is nothing more. The word is cut at size. */
bool command_read_word(struct command *command, char *word, size_t size);
bool command_is_at_end(struct command *command);
/* Nothing more may follow. */
int command_expect_end(struct command *command);

/* Bits of the code that the vCPU runs: 16, 32, 64. */
unsigned command_code_bits(const struct command *command);
/* Prints up to `count` instructions from this linear address. Errors: -EFAULT. */
int command_disassemble(struct command *command, gva_t at, unsigned count);
int command_cannot_access(struct command *command, uint64_t address);

/* The commands, by file. */
int command_help(struct command *command); /* table.c */
int command_info(struct command *command);
int command_x(struct command *command); /* memory.c */
int command_xp(struct command *command);
int command_print(struct command *command);
int command_disassemble_at(struct command *command);
int command_stop(struct command *command); /* run.c */
int command_cont(struct command *command);
int command_step(struct command *command);
int command_break(struct command *command);
int command_delete(struct command *command);
int command_system_reset(struct command *command);
int command_system_powerdown(struct command *command);
int command_quit(struct command *command);
int info_breakpoints(struct command *command);
int info_status(struct command *command);
int info_registers(struct command *command); /* info.c */
int info_stats(struct command *command);
int info_version(struct command *command);
int command_explain(struct command *command); /* blocks.c */
int info_blocks(struct command *command);
int info_mem(struct command *command); /* paging.c */
int info_tlb(struct command *command);
int info_irq(struct command *command); /* irq.c */
int info_pic(struct command *command);
int info_lapic(struct command *command);

#endif
