/*
 * aftermath.h - what is said besides a vCPU's state when something has gone wrong: how it came to this, and how to
 * see it again.
 */
#ifndef NOVT_VMM_AFTERMATH_H
#define NOVT_VMM_AFTERMATH_H

#include "vmm/machine.h"

#define AFTERMATH_SIZE 8192

/* RIP by name, and the vCPU's last exceptions, interrupts and ends of translated code, oldest first, as lines of
   text; cut at size. Returns the length. Takes no lock and allocates nothing, so that a crash handler may call it.
 */
size_t aftermath_events(const struct machine *machine, char *text, size_t size);
/* The command line of this process, as one line that a shell understands; likewise. */
size_t aftermath_command(char *text, size_t size);

#endif
