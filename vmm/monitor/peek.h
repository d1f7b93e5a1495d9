/*
 * peek.h - a look at guest memory, for people: no rights are asked for, no A and D bits set, no device touched.
 */
#ifndef NOVT_VMM_MONITOR_PEEK_H
#define NOVT_VMM_MONITOR_PEEK_H

#include <stddef.h>

#include "memory/ram.h"

struct machine;

/* Copies up to `size` bytes of RAM or ROM; how many, before the first that is not there. On the vCPU's thread. */
size_t peek_linear(const struct machine *machine, gva_t from, void *to, size_t size);
size_t peek_physical(const struct machine *machine, gpa_t from, void *to, size_t size);

#endif
