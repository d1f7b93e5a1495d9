/*
 * log.h - the log of -d TOPIC and -D FILE.
 */
#ifndef NOVT_VMM_LOG_H
#define NOVT_VMM_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "memory/error.h"

struct log_options {
    uint32_t topics;  /* bit i: topic i of the table in log.c */
    uint64_t ring;    /* bytes; 0: lines are written as they come */
    const char *file; /* NULL: stderr */
};

struct log {
    uint32_t topics;
    FILE *file; /* -D, or stderr; NULL: not open */
    struct ring *ring;
    pthread_mutex_t lock; /* of the ring */
};

/* "int,guest_errors,ring=1M". Errors: -EINVAL with the nearest known topic. */
int log_parse_topics(struct log_options *options, const char *text, struct error *error);
void log_print_topics(FILE *to);

/* "%d" in the file's name is the process's number. Close with log_close. */
int log_open(struct log *log, const struct log_options *options, struct error *error);
void log_close(struct log *log);

bool log_wants(const struct log *log, const char *topic);
/* One line; dropped unless the topic was asked for. Any thread. A topic that the table does not know is
   written whenever anything is. */
void log_write(struct log *log, const char *topic, const char *text);
/* Writes what the ring keeps, under a line that says why, and empties it; nothing without a ring. */
void log_dump(struct log *log, const char *why);
/* The same from a signal handler, in which the lock may never come. */
void log_dump_crashed(struct log *log);

#endif
