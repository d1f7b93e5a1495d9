/*
 * ring.h - the last bytes of a text that nobody has asked to see yet: -d TOPIC,ring=SIZE.
 */
#ifndef NOVT_VMM_TRACE_RING_H
#define NOVT_VMM_TRACE_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_LEAST (4u << 10)
#define RING_MOST (1ull << 30)

/* NULL: out of memory. size: bytes kept. Free with ring_destroy. */
struct ring *ring_create(size_t size);
void ring_destroy(struct ring *ring); /* or NULL */
/* One writer at a time. */
void ring_write(struct ring *ring, const char *text, size_t size);
/* Writes what is kept, from the first whole line on, and empties the ring. Takes no lock and allocates nothing, so
   that a crash handler may call it. Errors of writing are ignored. */
void ring_dump(struct ring *ring, int fd);

#endif
