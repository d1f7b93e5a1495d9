/*
 * signals.h - the host's synchronous signals: who of us caused it and what becomes of it.
 */
#ifndef NOVT_VMM_SIGNALS_H
#define NOVT_VMM_SIGNALS_H

#include "cpu/vcpu.h"
#include "memory/error.h"

/* Installs the handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP and SIGABRT for the process, and ignores
   SIGPIPE. Any number of times. */
void signals_install(void);

/* This thread runs v from now on (alternate stack, fixups, reports); NULL at its end. Errors: -ENOMEM. */
int signals_enter(struct vcpu *v, struct error *error);
void signals_leave(void);

#endif
