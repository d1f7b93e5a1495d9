/*
 * perf_map.h - /tmp/perf-PID.map, which tells perf(1) what translated code is: --perf-map.
 */
#ifndef NOVT_VMM_TRACE_PERF_MAP_H
#define NOVT_VMM_TRACE_PERF_MAP_H

#include <stddef.h>

#include "memory/error.h"

struct perf_map;

/* Errors: those of open, -EEXIST (the name is taken by somebody else's file), -ENOMEM. Free with perf_map_close;
   the file stays, since perf reads it later. */
int perf_map_open(struct perf_map **map, struct error *error);
void perf_map_close(struct perf_map *map); /* or NULL */

/* Host code of this name; the name must have no newline. */
void perf_map_add(struct perf_map *map, const void *code, size_t size, const char *name);
/* All that has been added is gone, and its addresses will be others'. */
void perf_map_restart(struct perf_map *map);

#endif
