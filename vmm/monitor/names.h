/*
 * names.h - what names mean in the monitor's expressions, and how words are completed.
 */
#ifndef NOVT_VMM_MONITOR_NAMES_H
#define NOVT_VMM_MONITOR_NAMES_H

#include "vmm/monitor/expr.h"

struct machine;

/* For expr_read, on the vCPU's thread. */
struct expr_names monitor_names(struct machine *machine);

/* The i-th register, without the $; NULL behind the last. */
const char *monitor_register_name(size_t i);

#define COMPLETIONS_MAX 128

struct completions {
    size_t typed;                      /* characters in front of the cursor that belong to the word */
    const char *word[COMPLETIONS_MAX]; /* whole words */
    unsigned count;                    /* may be more than there is room for */
};

/* What the word in front of the cursor, at line[length], can become. Any thread. */
void monitor_complete(const char *line, size_t length, struct completions *completions);

#endif
