/*
 * measure.h - a task of a guest under one engine: cycles and counters of one operation.
 *
 * The guest is run twice, for n and for 2n operations a batch. What grows from one run to the other is due to the
 * operations; loading, starting and printing fall out.
 */
#ifndef NOVT_LAB_MEASURE_H
#define NOVT_LAB_MEASURE_H

#include "lab/report.h"

struct lab_task_spec {
    const char *guest, *engine, *task;
    unsigned operations; /* n */
    bool may_fail;       /* else the report says so, as something that was not expected */
};

struct lab_measured {
    bool right;        /* both runs came to their end, and every check of the guest held */
    char failure[200]; /* why not */
    double cycles;     /* an operation's, of the host's TSC */
    double operations; /* that the second run did more than the first */
    struct lab_run run[2];
};

/* Errors: -errno, of lab_run_start. The runs go into the report. Ends with lab_measured_free in any case. */
int lab_measure(struct lab_measured *measured, const struct lab_task_spec *spec, struct json_object *report,
                struct error *error);
void lab_measured_free(struct lab_measured *measured);

/* How many of what this counter of --stats counts there were for an operation. */
double lab_measured_count(const struct lab_measured *measured, const char *name);

/* How often the guest's code was left for the monitor, for an operation: translated code left for the run loop,
   native code stopped by a trap. The interpreter never enters any: negative. */
double lab_measured_exits(const struct lab_measured *measured, const char *engine);

/* A cell with the number, or an empty one if the measurement went wrong or
   the number is negative. */
void lab_row_measured(struct json_object *row, const struct lab_measured *measured, double value);

#endif
