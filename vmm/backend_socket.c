/*
 * backend_socket.c - a serial backend on a unix socket: server (one client at a time) or client.
 *
 * Interface: backend_internal.h. The server goes on listening when its client leaves. Invariant: the socket's
 * file exists exactly as long as the backend that made it.
 */
#include "vmm/backend_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/text.h"

struct socket_options {
    char path[256];
    bool server, wait;
};

static int parse(struct socket_options *o, const struct backend *b, const char *rest, struct error *error)
{
    char key[256], value[256];
    bool has_value;
    const char *at = rest;

    *o = (struct socket_options){.wait = true};
    if (!text_next_property(&at, key, value, sizeof key, &has_value) || !*key)
        return error_set(error, EINVAL, "%s unix: the path is missing; write unix:PATH,server", b->option);
    snprintf(o->path, sizeof o->path, "%s", has_value && !strcmp(key, "path") ? value : key);
    while (text_next_property(&at, key, value, sizeof key, &has_value)) {
        bool on = true;

        if (has_value && !text_parse_bool(value, &on))
            return error_set(error, EINVAL, "%s unix:%s: %s=%s is neither on nor off", b->option, rest, key,
                             value);
        if (!strcmp(key, "server"))
            o->server = on;
        else if (!strcmp(key, "wait"))
            o->wait = on;
        else if (!strcmp(key, "nowait"))
            o->wait = !on;
        else
            return error_set(error, EINVAL, "%s unix:%s: no property '%s'; there are server and nowait", b->option,
                             rest, key);
    }
    return 0;
}

/* The client has come; the old listening goes on behind it. */
static void take_client(struct backend *b, int fd)
{
    b->in_fd = b->out_fd = fd;
    if (!b->attached)
        return;
    backend_start_input(b);
    if (b->front.opened)
        b->front.opened(b->front.opaque);
}

void backend_drop_client(struct backend *b)
{
    backend_end_input(b);
    if (b->in_fd >= 0)
        close(b->in_fd);
    b->in_fd = b->out_fd = -1;
}

static void listen_ready(void *opaque, uint32_t events)
{
    struct backend *b = opaque;
    int fd;

    if (b->in_fd >= 0 && b->front.closed) { /* the front hangs up on the last one first; this one can wait */
        loop_change(b->host.loop, &b->listen_source, 0);
        return;
    }
    fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (b->in_fd >= 0 && b->input != INPUT_NONE) {
        close(fd); /* busy */
        return;
    }
    backend_drop_client(b);
    take_client(b, fd);
}

/* A socket file that nobody listens on is left over from a crash, and replaced. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    int fd;

    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static int start_server(struct backend *b, const struct sockaddr_un *address, struct error *error)
{
    remove_stale(address);
    b->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    b->listen_source = (struct loop_source){b->listen_fd, listen_ready, b};
    if (b->listen_fd < 0 || bind(b->listen_fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return error_set(error, errno, "%s unix:%s: cannot listen there: %s; choose another path", b->option,
                         address->sun_path, strerror(errno));
    b->socket_path = strdup(address->sun_path);
    if (listen(b->listen_fd, 1) < 0)
        return error_set(error, errno, "%s unix:%s: cannot listen there: %s", b->option, address->sun_path,
                         strerror(errno));
    return 0;
}

/* For the first client, or a signal that ends us. */
static int wait_for_client(struct backend *b, const char *path, struct error *error)
{
    struct pollfd p[2] = {{.fd = b->listen_fd, .events = POLLIN},
                          {.fd = b->host.loop->signal_fd, .events = POLLIN}};

    fprintf(stderr, "novt: waiting for a connection on unix:%s\n", path);
    while (poll(p, 2, -1) < 0 && errno == EINTR)
        continue;
    if (p[1].revents)
        return error_set(error, EINTR, "%s unix:%s: stopped by a signal before a client came", b->option, path);
    listen_ready(b, EPOLLIN);
    return 0;
}

int backend_open_unix(struct backend *b, const char *rest, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct socket_options o;
    int status = parse(&o, b, rest, error);

    if (status)
        return status;
    if (strlen(o.path) >= sizeof address.sun_path)
        return error_set(error, ENAMETOOLONG,
                         "%s unix:%s: the path is longer than the %zu characters of a socket's name; "
                         "use a shorter one",
                         b->option, o.path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, o.path, strlen(o.path) + 1);
    b->owns_fds = true;
    b->drops = true;
    if (!o.server) {
        b->in_fd = b->out_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (b->in_fd < 0 || connect(b->in_fd, (struct sockaddr *)&address, sizeof address) < 0)
            return error_set(error, errno,
                             "%s unix:%s: cannot connect: %s; start the server first, or write "
                             "unix:%s,server",
                             b->option, o.path, strerror(errno), o.path);
        return 0;
    }
    status = start_server(b, &address, error);
    if (!status && o.wait)
        status = wait_for_client(b, o.path, error);
    if (!status)
        loop_add(b->host.loop, &b->listen_source, EPOLLIN);
    return status;
}
