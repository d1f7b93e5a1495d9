/*
 * log.h - the log of -d TOPIC and -D FILE.
 */
#ifndef NOVT_VMM_LOG_H
#define NOVT_VMM_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "memory/error.h"

struct log {
    uint32_t topics; /* bit i: topic i of the table in log.c */
    FILE *file;      /* -D, or stderr */
};

/* "int,guest_errors". Errors: -EINVAL with the nearest known topic. */
int log_parse_topics(uint32_t *topics, const char *text, struct error *error);
void log_print_topics(FILE *to);

/* path: NULL for stderr. Close with log_close. */
int log_open(struct log *log, uint32_t topics, const char *path, struct error *error);
void log_close(struct log *log);

bool log_wants(const struct log *log, const char *topic);
/* One line; dropped unless the topic was asked for. Any thread. A topic that the table does not know is
   written whenever anything is. */
void log_write(const struct log *log, const char *topic, const char *text);

#endif
