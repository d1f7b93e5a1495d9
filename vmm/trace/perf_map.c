/*
 * perf_map.c - writes perf's map of code that has no file: lines of START SIZE NAME, hexadecimal.
 *
 * Interface: perf_map.h. perf reads the file when it reports, takes every line for true of the whole recording,
 * and of two lines that overlap it finds either. So the file must never hold two: blocks are never moved, and
 * where the code cache starts anew, so does the file. It then tells of the code that was there last.
 */
#include "vmm/trace/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct perf_map {
    FILE *file;
};

/* /tmp is everybody's: no link is followed, and a file that is not ours is left alone. */
static int open_safely(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1 &&
        ftruncate(fd, 0) == 0)
        return fd;
    close(fd);
    return -EEXIST;
}

int perf_map_open(struct perf_map **map, struct error *error)
{
    struct perf_map *m = calloc(1, sizeof *m);
    char name[64];
    int fd;

    *map = NULL;
    snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
    fd = m ? open_safely(name) : -ENOMEM;
    if (fd < 0) {
        free(m);
        return error_set(error, -fd, "--perf-map: cannot write %s: %s; remove what is there, or check /tmp", name,
                         strerror(-fd));
    }
    m->file = fdopen(fd, "w");
    if (!m->file) {
        close(fd);
        free(m);
        return error_set(error, ENOMEM, "--perf-map: no memory for its buffer; close other programs");
    }
    setvbuf(m->file, NULL, _IOLBF, 0); /* perf top looks while it runs */
    *map = m;
    return 0;
}

void perf_map_close(struct perf_map *m)
{
    if (!m)
        return;
    fclose(m->file);
    free(m);
}

void perf_map_add(struct perf_map *m, const void *code, size_t size, const char *name)
{
    if (size)
        fprintf(m->file, "%lx %zx %s\n", (unsigned long)code, size, name);
}

void perf_map_restart(struct perf_map *m)
{
    rewind(m->file); /* flushes */
    if (ftruncate(fileno(m->file), 0))
        perror("novt: --perf-map");
}
