/*
 * signals.h - the host's synchronous signals: who of us caused it and what becomes of it.
 */
#ifndef NOVT_VMM_SIGNALS_H
#define NOVT_VMM_SIGNALS_H

#include "memory/error.h"

struct machine;

/* Installs the handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP and SIGABRT for the process, and ignores
   SIGPIPE. Any number of times. */
void signals_install(void);

/* This thread runs the machine's vCPU from now on (alternate stack, fixups, reports). Errors: -ENOMEM. */
int signals_enter(struct machine *machine, struct error *error);
void signals_leave(void);

#endif
