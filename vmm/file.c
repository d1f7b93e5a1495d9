/*
 * file.c - an image file that an option names, and its bytes.
 *
 * Interface: file.h. The descriptor stays open, so that a guest's reset loads the same file again even if its
 * name has gone. Invariant: what image_file_read gives has exactly the size that image_file_open found.
 */
#include "vmm/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const struct image_file *file, int errnum, const char *what, struct error *error)
{
    return error_set(error, errnum, "%s %s: cannot %s: %s; check the path and its permissions", file->option,
                     file->name, what, strerror(errnum));
}

/* A pipe can be read only once: keep what it gives. */
static int read_pipe(struct image_file *file, uint64_t limit, struct error *error)
{
    uint64_t room = 0;

    for (;;) {
        ssize_t got;

        if (file->size == room) {
            uint8_t *more = realloc(file->data, room += 1 << 20);

            if (!more)
                return failed(file, ENOMEM, "read", error);
            file->data = more;
        }
        got = read(file->fd, file->data + file->size, room - file->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(file, errno, "read", error);
        if (got == 0)
            return 0;
        file->size += (uint64_t)got;
        if (file->size > limit)
            return error_set(error, EFBIG, "%s %s: more than the guest's memory of %llu MiB; give more with -m",
                             file->option, file->name, (unsigned long long)(limit >> 20));
    }
}

static int find_size(struct image_file *file, uint64_t limit, struct error *error)
{
    struct stat st;
    off_t end;

    if (fstat(file->fd, &st) < 0)
        return failed(file, errno, "ask for its size", error);
    if (S_ISDIR(st.st_mode))
        return error_set(error, EISDIR, "%s %s: a directory; name a file", file->option, file->name);
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
        int status = read_pipe(file, limit, error);

        if (status)
            return status;
    } else if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) {
        end = lseek(file->fd, 0, SEEK_END);
        if (end < 0)
            return failed(file, errno, "ask for its size", error);
        file->size = (uint64_t)end;
    } else {
        return error_set(error, EINVAL, "%s %s: neither a file nor a pipe; name a file", file->option, file->name);
    }
    if (!file->size)
        return error_set(error, EINVAL, "%s %s: the file is empty; name another one", file->option, file->name);
    return 0;
}

int image_file_open(struct image_file *file, const char *option, const char *name, uint64_t limit,
                    struct error *error)
{
    int status;

    *file = (struct image_file){.option = option, .name = name};
    file->fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file->fd < 0)
        return failed(file, errno, "open", error);
    status = find_size(file, limit, error);
    if (status)
        image_file_close(file);
    return status;
}

void image_file_close(struct image_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    free(file->data);
    file->fd = -1;
    file->data = NULL;
}

int image_file_read(const struct image_file *file, void *to, struct error *error)
{
    return image_file_read_part(file, to, file->size, error);
}

int image_file_read_part(const struct image_file *file, void *to, uint64_t size, struct error *error)
{
    return image_file_read_at(file, to, 0, size, error);
}

int image_file_read_at(const struct image_file *file, void *to, uint64_t offset, uint64_t size,
                       struct error *error)
{
    uint64_t done = 0;

    if (file->data) {
        memcpy(to, file->data + offset, size);
        return 0;
    }
    while (done < size) {
        ssize_t got = pread(file->fd, (uint8_t *)to + done, size - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(file, errno, "read", error);
        if (got == 0)
            return error_set(error, EIO, "%s %s: became shorter while it was read; leave it alone and try again",
                             file->option, file->name);
        done += (uint64_t)got;
    }
    return 0;
}
