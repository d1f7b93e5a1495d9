/*
 * terminal.h - raw mode of the terminal on stdin, and giving it back.
 */
#ifndef NOVT_VMM_TERMINAL_H
#define NOVT_VMM_TERMINAL_H

#include <stdbool.h>

/* Raw mode, if stdin is a terminal. keep_signals: Ctrl-C and friends still make signals. */
void terminal_make_raw(bool keep_signals);
/* As it was before. May be called at any time, any number of times, also from a signal handler. */
void terminal_restore(void);

#endif
