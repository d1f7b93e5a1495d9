/*
 * backend.c - the host's side of a serial line: the bytes' way in and out, and the table of kinds.
 *
 * Interface: backend.h. Invariants: input is read only as far as the device takes it, so nothing is ever
 * lost and whoever writes to us is slowed down; output that nobody reads is waited for on stdio and files, and
 * dropped on pty and socket, as a serial cable without a reader does.
 */
#include "vmm/backend_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/terminal.h"
#include "vmm/text.h"

#define OUTPUT_CHUNK 512  /* a pipe that polls writable takes this much without blocking */
#define OUTPUT_POLL_MS 50 /* how long a full output may hold up a stop */

struct kind {
    const char *name;
    int (*open)(struct backend *b, const char *rest, struct error *error); /* NULL: no backend */
};

static const struct kind kind_table[] = {
    {"stdio", backend_open_stdio},
    {"mon", backend_open_mon},
    {"file", backend_open_file},
    {"pty", backend_open_pty},
    {"unix", backend_open_unix},
    {"null", backend_open_null},
    {"none", NULL},
};
#define KINDS (sizeof kind_table / sizeof kind_table[0])

bool backend_is_stdio(const char *spec)
{
    return !strcmp(spec, "stdio") || !strcmp(spec, "mon:stdio");
}

static const struct kind *find_kind(const char *spec, const char **rest)
{
    size_t length = strcspn(spec, ":");

    *rest = spec[length] ? spec + length + 1 : "";
    for (unsigned i = 0; i < KINDS; i++)
        if (strlen(kind_table[i].name) == length && !memcmp(kind_table[i].name, spec, length))
            return &kind_table[i];
    return NULL;
}

int backend_create(struct backend **backend, const char *option, const char *spec, const char *label,
                   const struct backend_host *host, struct error *error)
{
    const char *rest, *near;
    const struct kind *kind = find_kind(spec, &rest);
    struct backend *b;
    int status;

    *backend = NULL;
    if (!kind) {
        near = text_nearest(spec, kind_table, KINDS, sizeof kind_table[0]);
        return error_set(error, EINVAL,
                         "%s %s: unknown kind%s%s; use stdio, mon:stdio, file:PATH, pty, "
                         "unix:PATH,server, null or none",
                         option, spec, near ? "; did you mean " : "", near ? near : "");
    }
    if (!kind->open)
        return 0;
    b = calloc(1, sizeof *b);
    if (!b)
        return error_set(error, ENOMEM, "%s %s: out of memory", option, spec);
    b->option = option;
    b->label = label;
    b->host = *host;
    b->in_fd = b->out_fd = b->slave_fd = b->listen_fd = b->event_fd = -1;
    status = kind->open(b, rest, error);
    if (status) {
        backend_destroy(b);
        return status;
    }
    *backend = b;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void backend_destroy(struct backend *b)
{
    if (!b)
        return;
    backend_end_input(b);
    if (b->is_terminal)
        terminal_restore();
    if (b->owns_fds) {
        close_fd(b->in_fd);
        if (b->out_fd != b->in_fd)
            close_fd(b->out_fd);
    }
    close_fd(b->slave_fd);
    close_fd(b->event_fd);
    if (b->listen_fd >= 0) {
        loop_remove(b->host.loop, &b->listen_source);
        close(b->listen_fd);
    }
    if (b->socket_path)
        unlink(b->socket_path);
    free(b->socket_path);
    free(b);
}

/* --- output --- */

/* False: it does not take anything, and waiting is over. */
static bool wait_writable(struct backend *b)
{
    struct pollfd p = {.fd = b->out_fd, .events = POLLOUT};

    for (;;) {
        int n = poll(&p, 1, b->drops ? 0 : OUTPUT_POLL_MS);

        if (n > 0)
            return !(p.revents & (POLLERR | POLLNVAL));
        if (b->drops || (n < 0 && errno != EINTR) || atomic_load(&b->host.loop->stopped))
            return false;
    }
}

static void write_out(void *opaque, const uint8_t *data, size_t size)
{
    struct backend *b = opaque;

    while (size && b->out_fd >= 0) {
        size_t chunk = size < OUTPUT_CHUNK ? size : OUTPUT_CHUNK;
        ssize_t done = wait_writable(b) ? write(b->out_fd, data, chunk) : -1;

        if (done < 0 && (errno == EINTR || (errno == EAGAIN && !b->drops)) && !atomic_load(&b->host.loop->stopped))
            continue;
        if (done < 0)
            return;
        data += done;
        size -= (size_t)done;
    }
}

size_t backend_write_some(struct backend *b, const void *data, size_t size)
{
    struct pollfd p = {.fd = b->out_fd, .events = POLLOUT};
    ssize_t done;

    if (b->out_fd < 0)
        return size;
    if (poll(&p, 1, 0) <= 0)
        return 0;
    done = write(b->out_fd, data, size < OUTPUT_CHUNK ? size : OUTPUT_CHUNK);
    if (done < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : size;
    return (size_t)done;
}

int backend_output(const struct backend *b)
{
    return b->out_fd;
}

/* --- input --- */

/* pending[] -> device, as far as it takes it. */
static void flush_pending(struct backend *b)
{
    while (b->pending_count && b->front.can_receive(b->front.opaque)) {
        uint8_t byte = b->pending[b->pending_head];

        b->pending_head = (b->pending_head + 1) % BACKEND_PENDING;
        b->pending_count--;
        b->front.receive(b->front.opaque, byte);
    }
}

static void device_has_room(void *opaque)
{
    struct backend *b = opaque;

    if (!b->attached)
        return;
    flush_pending(b);
    if (b->input == INPUT_IDLE) {
        b->input = INPUT_OPEN;
        loop_add(b->host.loop, &b->source, EPOLLIN);
    }
}

static void keep(struct backend *b, uint8_t byte)
{
    if (b->pending_count == BACKEND_PENDING)
        return; /* only a terminal gets here: see input_ready */
    b->pending[(b->pending_head + b->pending_count++) % BACKEND_PENDING] = byte;
}

/* Ctrl-A C. */
static void turn_to_monitor(struct backend *b)
{
    if (!b->has_monitor)
        return;
    b->in_monitor = !b->in_monitor;
    if (b->in_monitor)
        b->monitor.opened(b->monitor.opaque);
    else
        b->monitor.closed(b->monitor.opaque);
}

static void send_to_front(struct backend *b, uint8_t byte)
{
    if (!b->in_monitor)
        keep(b, byte);
    else if (b->monitor.can_receive(b->monitor.opaque))
        b->monitor.receive(b->monitor.opaque, byte);
}

/* One byte typed or piped in. */
static void feed(struct backend *b, uint8_t byte)
{
    enum mux_action action = b->has_mux ? mux_feed(&b->mux, byte) : MUX_SEND;

    if (action == MUX_SEND) {
        send_to_front(b, byte);
    } else if (action == MUX_MONITOR) {
        turn_to_monitor(b);
    } else if (action == MUX_TEXT) {
        const char *text = mux_text(byte);

        write_out(b, (const uint8_t *)text, strlen(text));
    } else if (action == MUX_BREAK && b->front.receive_break) {
        b->front.receive_break(b->front.opaque);
    } else if (action == MUX_QUIT) {
        b->host.quit(b->host.opaque);
    }
}

/* A terminal with escape keys is read even when nothing fits any more, or Ctrl-A X could not be typed at a
   guest that hangs; what else is typed then is lost, as it would be on a real line. */
static void input_ready(void *opaque, uint32_t events)
{
    struct backend *b = opaque;
    uint8_t data[BACKEND_PENDING];
    size_t room = BACKEND_PENDING - b->pending_count;
    ssize_t got;

    if (room == 0 && b->is_terminal && b->has_mux)
        room = BACKEND_PENDING;
    if (room == 0) {
        b->input = INPUT_IDLE;
        loop_remove(b->host.loop, &b->source); /* even one that is deaf would hear of the end, again and again */
        return;
    }
    got = read(b->in_fd, data, room);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        backend_end_input(b);
        if (b->front.closed)
            b->front.closed(b->front.opaque);
        return;
    }
    for (ssize_t i = 0; i < got; i++)
        feed(b, data[i]);
    flush_pending(b);
}

void backend_start_input(struct backend *b)
{
    if (b->in_fd < 0 || !b->front.receive)
        return;
    b->source = (struct loop_source){b->in_fd, input_ready, b};
    if (loop_add(b->host.loop, &b->source, EPOLLIN) == -EPERM) {
        if (b->event_fd < 0)
            b->event_fd = eventfd(1, EFD_CLOEXEC);
        b->source.fd = b->event_fd;
        loop_add(b->host.loop, &b->source, EPOLLIN);
    }
    b->input = INPUT_OPEN;
}

void backend_end_input(struct backend *b)
{
    if (b->input == INPUT_OPEN)
        loop_remove(b->host.loop, &b->source);
    b->input = INPUT_NONE;
}

struct chardev backend_chardev(struct backend *b)
{
    return b ? (struct chardev){write_out, device_has_room, b} : (struct chardev){0};
}

void backend_attach(struct backend *b, const struct backend_front *front)
{
    b->front = *front;
    b->attached = true;
    backend_start_input(b);
    if (b->in_fd >= 0 && front->opened)
        front->opened(front->opaque);
}

bool backend_attach_monitor(struct backend *b, const struct backend_front *front)
{
    if (!b->has_mux)
        return false;
    b->monitor = *front;
    b->has_monitor = true;
    return true;
}

bool backend_is_interactive(const struct backend *b)
{
    return b->slave_fd >= 0 || (b->is_terminal && isatty(STDOUT_FILENO));
}

void backend_hang_up(struct backend *b)
{
    if (b->listen_fd < 0)
        return;
    backend_drop_client(b);
    b->pending_count = 0;
    loop_change(b->host.loop, &b->listen_source, EPOLLIN);
}
