/*
 * ring.c - a buffer in which the newest text overwrites the oldest.
 *
 * Interface: ring.h. Invariant: the bytes [end - kept, end) of all that was ever written are in bytes[], each at
 * its number modulo size; kept <= size.
 */
#include "vmm/trace/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ring {
    size_t size, kept;
    uint64_t end;
    char bytes[];
};

struct ring *ring_create(size_t size)
{
    struct ring *r = malloc(sizeof *r + size);

    if (r)
        *r = (struct ring){.size = size};
    return r;
}

void ring_destroy(struct ring *r)
{
    free(r);
}

void ring_write(struct ring *r, const char *text, size_t size)
{
    if (size > r->size) { /* its start would not stay */
        r->end += size - r->size;
        text += size - r->size;
        size = r->size;
    }
    while (size) {
        size_t at = r->end % r->size, part = r->size - at < size ? r->size - at : size;

        memcpy(r->bytes + at, text, part);
        text += part;
        size -= part;
        r->end += part;
        r->kept = r->kept + part < r->size ? r->kept + part : r->size;
    }
}

static void put(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t n = write(fd, text, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

/* Where the first whole line starts. */
static uint64_t first_line(const struct ring *r)
{
    uint64_t at = r->end - r->kept;

    if (at)
        while (at < r->end && r->bytes[at++ % r->size] != '\n')
            ;
    return at;
}

void ring_dump(struct ring *r, int fd)
{
    uint64_t from = first_line(r);
    size_t at = from % r->size, size = (size_t)(r->end - from);
    size_t part = r->size - at < size ? r->size - at : size;

    put(fd, r->bytes + at, part);
    put(fd, r->bytes, size - part);
    r->kept = 0;
    r->end = 0;
}
