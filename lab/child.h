/*
 * child.h - runs a guest of the lab in a novt of its own, and gathers what both have to say.
 */
#ifndef NOVT_LAB_CHILD_H
#define NOVT_LAB_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lab/record.h"
#include "memory/error.h"

struct json_object;

#define LAB_SECONDS 30u /* that a run may take */

struct lab_child {
    const char *guest;  /* of lab_guest_find */
    const char *engine; /* for -accel */
    const char *words;  /* for -append */
    const char *cpu;    /* for -cpu; NULL: the default */
};

/* What came of it. */
struct lab_run {
    struct lab_records guest;  /* lines that begin with "lab", of the guest's first serial port */
    struct lab_records map;    /* lines that begin with "map", of --maps */
    struct json_object *stats; /* of --stats=json; NULL: it came to no end */
    char failure[200];         /* "": the guest has ended by itself */
};

/* A guest that fails is no error, but a failure of the run. Errors: -errno, for what the host lacks. Ends with
   lab_run_free in any case. */
int lab_run_start(struct lab_run *run, const struct lab_child *child, struct error *error);
void lab_run_free(struct lab_run *run);

/* A counter of --stats; 0 if there is none of this name. */
uint64_t lab_run_count(const struct lab_run *run, const char *name);

/* Runs `body` in a child process, as an ordinary program on the host, for so many seconds at most; its standard
   output is read as a guest's. */
int lab_run_native(struct lab_run *run, void (*body)(const void *argument), const void *argument, unsigned seconds,
                   struct error *error);

/* An image that is part of the program. */
struct lab_guest {
    const char *name;
    const uint8_t *begin, *end;
};
const struct lab_guest *lab_guest_find(const char *name); /* it is there */

#endif
