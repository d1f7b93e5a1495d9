/*
 * file.h - an image file that an option names, and its bytes.
 */
#ifndef NOVT_VMM_FILE_H
#define NOVT_VMM_FILE_H

#include <stdint.h>

#include "memory/error.h"

struct image_file {
    const char *option, *name; /* "-kernel", "path": for errors */
    int fd;                    /* -1: not open */
    uint8_t *data;             /* only of what cannot be read twice (a pipe); else NULL */
    uint64_t size;
};

/* Opens; nothing is read yet, except from a pipe, of which at most `limit` bytes are taken.
   Errors: those of open, -EISDIR, -EINVAL (empty, no plain file), -EFBIG. Close with image_file_close. */
int image_file_open(struct image_file *file, const char *option, const char *name, uint64_t limit,
                    struct error *error);
void image_file_close(struct image_file *file);
/* Copies all `size` bytes. Errors: -EIO and those of read. */
int image_file_read(const struct image_file *file, void *to, struct error *error);
/* The first `size` of them, which must be there. */
int image_file_read_part(const struct image_file *file, void *to, uint64_t size, struct error *error);
/* `size` of them from `offset` on, which must be there. */
int image_file_read_at(const struct image_file *file, void *to, uint64_t offset, uint64_t size,
                       struct error *error);

#endif
