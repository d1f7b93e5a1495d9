/*
 * files.h - temporary files for tests that open what an option names.
 */
#ifndef NOVT_TESTS_FILES_H
#define NOVT_TESTS_FILES_H

#include <stddef.h>

/* A file of these bytes; its name is valid until the fourth call from now. The caller unlinks it. */
const char *files_make(const void *data, size_t size);

#endif
