/*
 * lab.h - `novt lab`: experiments about virtual machines (docs/lab/).
 */
#ifndef NOVT_LAB_LAB_H
#define NOVT_LAB_LAB_H

#include "memory/error.h"

/* The command: argv[0] is "lab". 0: all went as expected; else -errno, with the whole text of the message. */
int lab_main(int argc, char **argv, struct error *error);

#endif
