/*
 * explain.h - `novt explain`: guest code and its translation side by side, for teaching.
 */
#ifndef NOVT_VMM_EXPLAIN_H
#define NOVT_VMM_EXPLAIN_H

#include "memory/error.h"

/* argv[0] is "explain". Writes to stdout, or the file that --html names. Errors: those of files, -EINVAL (options,
   code), -EFBIG, -ENOMEM, with the whole text of the message. */
int explain_command(int argc, char **argv, struct error *error);

#endif
