/*
 * backend_open.c - opens the kinds of serial backends that are files: stdio, file, pty, null.
 *
 * Interface: backend_internal.h. Invariant: on an error nothing stays open (backend_destroy closes what the
 * struct names) and the terminal is as it was.
 */
#include "vmm/backend_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/terminal.h"

static int open_terminal(struct backend *b, bool has_mux)
{
    b->in_fd = STDIN_FILENO;
    b->out_fd = STDOUT_FILENO;
    b->has_mux = has_mux;
    b->is_terminal = isatty(STDIN_FILENO);
    terminal_make_raw(!has_mux);
    return 0;
}

int backend_open_stdio(struct backend *b, const char *rest, struct error *error)
{
    if (*rest)
        return error_set(error, EINVAL, "%s stdio:%s: nothing may follow stdio; use stdio", b->option, rest);
    return open_terminal(b, false);
}

int backend_open_mon(struct backend *b, const char *rest, struct error *error)
{
    if (strcmp(rest, "stdio"))
        return error_set(error, EINVAL, "%s mon:%s: escape keys are only for the terminal; use mon:stdio",
                         b->option, rest);
    return open_terminal(b, true);
}

int backend_open_file(struct backend *b, const char *rest, struct error *error)
{
    const char *path = !strncmp(rest, "path=", 5) ? rest + 5 : rest;

    if (!*path)
        return error_set(error, EINVAL, "%s file: the path is missing; write file:PATH", b->option);
    b->owns_fds = true;
    b->out_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (b->out_fd < 0)
        return error_set(error, errno, "%s file:%s: cannot write there: %s; choose another path", b->option, path,
                         strerror(errno));
    return 0;
}

int backend_open_null(struct backend *b, const char *rest, struct error *error)
{
    return *rest ? error_set(error, EINVAL, "%s null:%s: nothing may follow null; use null", b->option, rest) : 0;
}

/* The slave end in raw mode, so that nothing is echoed before somebody opens it. */
static int prepare_slave(struct backend *b)
{
    const char *name = ptsname(b->in_fd);
    struct termios t;

    if (!name)
        return -1;
    b->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (b->slave_fd < 0 || tcgetattr(b->slave_fd, &t) < 0)
        return -1;
    cfmakeraw(&t);
    tcsetattr(b->slave_fd, TCSANOW, &t);
    fprintf(stderr, "novt: char device redirected to %s (label %s)\n", name, b->label);
    return 0;
}

int backend_open_pty(struct backend *b, const char *rest, struct error *error)
{
    if (*rest)
        return error_set(error, EINVAL, "%s pty:%s: nothing may follow pty; use pty", b->option, rest);
    b->owns_fds = true;
    b->drops = true;
    b->in_fd = b->out_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (b->in_fd < 0 || grantpt(b->in_fd) < 0 || unlockpt(b->in_fd) < 0 || prepare_slave(b) < 0)
        return error_set(error, errno, "%s pty: cannot make a pseudo-terminal: %s; is /dev/pts mounted?",
                         b->option, strerror(errno));
    return 0;
}
