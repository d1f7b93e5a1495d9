/*
 * files.c - temporary files. Interface: files.h.
 */
#include "tests/unit/vmm/files.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *files_make(const void *data, size_t size)
{
    static char names[4][32];
    static unsigned next;
    char *name = names[next++ % 4];
    int fd;

    strcpy(name, "/tmp/novt-test-XXXXXX");
    fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
    return name;
}
