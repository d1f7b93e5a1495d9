/*
 * monitor.h - the monitor: a person or a script talks to a running machine (-monitor, Ctrl-A C).
 */
#ifndef NOVT_VMM_MONITOR_MONITOR_H
#define NOVT_VMM_MONITOR_MONITOR_H

#include <stdbool.h>
#include <stdio.h>

#include "memory/error.h"

struct machine;
struct backend;
struct monitor;

/* Is this a place for a monitor: stdio, pty, unix:PATH,..., null, none? */
bool monitor_accepts(const char *spec);

/*
 * Sessions of the machine, each with a thread of its own: on `line` (-monitor), and behind Ctrl-A C of `console`.
 * Either may be NULL; both outlive the monitor. Errors: -ENOMEM, -EAGAIN (no thread). Free with monitor_destroy,
 * without the machine's lock.
 */
int monitor_create(struct monitor **monitor, struct machine *machine, struct backend *line,
                   struct backend *console, struct error *error);
void monitor_destroy(struct monitor *monitor);

/* Shows every open session a line of text. monitor may be NULL. Any thread, without the machine's lock. */
__attribute__((format(printf, 2, 3))) void monitor_tell(struct monitor *monitor, const char *format, ...);

/* Runs one line and writes what it prints, or one line about its error. Whatever the line holds. On any thread but
   the vCPU's and the event loop's. */
void monitor_run_line(struct machine *machine, const char *line, FILE *to);

#endif
