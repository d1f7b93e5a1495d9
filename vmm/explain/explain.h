/*
 * explain.h - `novt explain`: guest code and its translation side by side, for teaching.
 */
#ifndef NOVT_VMM_EXPLAIN_EXPLAIN_H
#define NOVT_VMM_EXPLAIN_EXPLAIN_H

#include <stdio.h>

#include "memory/error.h"
#include "translator/explain.h"

/* argv[0] is "explain". Writes to stdout, or the file that --html names. Errors: those of files, -EINVAL (options,
   code), -EFBIG, -ENOMEM, with the whole text of the message. */
int explain_command(int argc, char **argv, struct error *error);

/* One block as text, without colours, fitted to COLUMNS or the terminal. For a running machine's blocks. */
void explain_print_block(const struct explain_block *block, FILE *to);

#endif
