/*
 * lab.h - a guest of the lab: a table of tasks, of which one run does one.
 *
 * The command line is "do=TASK n=NUMBER". The task does n operations in each of LAB_BATCHES batches; the best
 * one's cycles are printed. Lines are those of lab/record.h, behind the word "lab":
 *
 *   lab time task=NAME operations=N batches=N cycles=N empty=N    of a batch: the least, and of a loop without
 * operation lab wrong task=NAME reason=WORD                               the operation did not do what it is to
 * do lab end
 *
 * and those that a task adds.
 */
#ifndef NOVT_LAB_GUEST_LAB_H
#define NOVT_LAB_GUEST_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/machine.h"

/* Many short ones: on a busy machine some of them are not interrupted. */
#define LAB_BATCHES 15u

struct lab_task {
    const char *name;
    uint64_t (*batch)(uint64_t n); /* cycles of n operations, the loop around them included */
    uint64_t (*empty)(uint64_t n); /* to subtract: the same loop without the operation; NULL: 0 */
};

/* The guest's own; a row without a name is the last. */
extern const struct lab_task lab_tasks[];

/* A line: begin, any number of fields, end. Keys and values are single words. */
void lab_begin(const char *kind);
void lab_word(const char *key, const char *value);
void lab_number(const char *key, uint64_t value);
void lab_end(void);

/* A task that finds its own result wrong says so, once. */
void lab_check(bool right, const char *otherwise);
uint64_t lab_empty(uint64_t n);

/* Runs `body`. The vector of the exception that ended it, or LAB_NO_EXCEPTION. */
#define LAB_NO_EXCEPTION 0xffu
unsigned lab_try(void (*body)(void));

#endif
