/*
 * measure.c - two runs of a task, and what they differ in.
 *
 * Interface: measure.h.
 */
#include "lab/measure.h"

#include <stdio.h>
#include <string.h>

/* The first thing that went wrong, in words. */
static void note_failure(struct lab_measured *m, const struct lab_run *run)
{
    const struct lab_record *r;
    size_t at = 0;

    if (m->failure[0])
        return;
    snprintf(m->failure, sizeof m->failure, "%s", run->failure);
    if ((r = lab_records_next(&run->guest, "wrong", &at)))
        snprintf(m->failure, sizeof m->failure, "%.100s",
                 lab_record_text(r, "reason") ? lab_record_text(r, "reason") : "wrong");
    at = 0;
    if ((r = lab_records_next(&run->guest, "exception", &at)))
        snprintf(m->failure, sizeof m->failure, "exception %u", (unsigned)lab_record_number(r, "vector"));
}

static double cycles_of(const struct lab_record *time)
{
    double all = (double)lab_record_number(time, "cycles"), empty = (double)lab_record_number(time, "empty");
    double n = (double)lab_record_number(time, "operations");

    return n > 0 && all > empty ? (all - empty) / n : 0;
}

/* From the larger run, whose share of fixed costs is the smaller. */
static void join(struct lab_measured *m)
{
    const struct lab_record *time[2];

    for (unsigned i = 0; i < 2; i++) {
        size_t at = 0;

        time[i] = lab_records_next(&m->run[i].guest, "time", &at);
        note_failure(m, &m->run[i]);
    }
    m->right = time[0] && time[1] && !m->failure[0];
    if (!m->right && !m->failure[0])
        snprintf(m->failure, sizeof m->failure, "nothing was measured");
    m->cycles = cycles_of(time[1]);
    m->operations = (double)(lab_record_number(time[1], "operations") - lab_record_number(time[0], "operations")) *
                    (double)lab_record_number(time[1], "batches");
}

int lab_measure(struct lab_measured *m, const struct lab_task_spec *spec, struct json_object *report,
                struct error *error)
{
    char words[100];
    struct lab_child child = {spec->guest, spec->engine, words, NULL};
    int status = 0;

    *m = (struct lab_measured){.right = false};
    for (unsigned i = 0; i < 2 && !status; i++) {
        snprintf(words, sizeof words, "do=%s n=%u", spec->task, spec->operations << i);
        status = lab_run_start(&m->run[i], &child, error);
        if (!status)
            lab_run_add(report, &child, &m->run[i]);
    }
    if (status)
        return status;
    join(m);
    if (!m->right && !spec->may_fail)
        lab_expect(report, false, "the guest %s does %s under %s, but: %s", spec->guest, spec->task, spec->engine,
                   m->failure);
    return 0;
}

void lab_measured_free(struct lab_measured *m)
{
    lab_run_free(&m->run[0]);
    lab_run_free(&m->run[1]);
}

double lab_measured_count(const struct lab_measured *m, const char *name)
{
    double difference = (double)lab_run_count(&m->run[1], name) - (double)lab_run_count(&m->run[0], name);

    return m->operations > 0 && difference > 0 ? difference / m->operations : 0;
}

double lab_measured_exits(const struct lab_measured *m, const char *engine)
{
    if (!strncmp(engine, "bt", 2))
        return lab_measured_count(m, "entries");
    return !strcmp(engine, "trap") ? lab_measured_count(m, "trap_native_runs") : -1;
}

void lab_row_measured(struct json_object *row, const struct lab_measured *m, double value)
{
    if (m->right && value >= 0)
        lab_row_number(row, value);
    else
        lab_row_none(row);
}
