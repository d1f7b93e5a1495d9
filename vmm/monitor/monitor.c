/*
 * monitor.c - the monitor of a machine: its sessions, and what connects them with their backends.
 *
 * Interface: monitor.h. Invariant: what backends call runs under the machine's lock, and so never waits; it only
 * fills the session's ring and wakes its thread.
 */
#include "vmm/monitor/monitor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine.h"
#include "vmm/monitor/session.h"

struct monitor {
    struct machine *machine;
    struct session line, console; /* -monitor; behind Ctrl-A C */
};

/* --- the backend's side; the lock is held --- */

static unsigned room(void *opaque)
{
    struct session *s = opaque;

    return SESSION_RING - s->count;
}

static void receive(void *opaque, uint8_t byte)
{
    struct session *s = opaque;

    s->ring[(s->head + s->count++) % SESSION_RING] = byte;
    pthread_cond_broadcast(&s->changed);
}

static void client_came(void *opaque)
{
    struct session *s = opaque;

    s->open = true;
    s->at_end = false;
    s->news[0] = '\0';
    pthread_cond_broadcast(&s->changed);
}

static void client_ended(void *opaque)
{
    struct session *s = opaque;

    s->at_end = true;
    pthread_cond_broadcast(&s->changed);
}

/* Ctrl-A C, to the monitor. */
static void turned_to(void *opaque)
{
    struct session *s = opaque;

    s->turned_to = s->open;
    s->open = true;
    s->away = false;
    if (!session_start(s))
        fprintf(stderr, "novt: the monitor gets no thread; raise the limit of processes (ulimit -u)\n");
    pthread_cond_broadcast(&s->changed);
}

static void turned_away(void *opaque)
{
    struct session *s = opaque;

    s->away = true;
    backend_write_some(s->backend, "\r\n", 2);
}

/* --- the monitor --- */

bool monitor_accepts(const char *spec)
{
    static const char *const kinds[] = {"stdio", "pty", "unix", "null", "none"};

    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcspn(spec, ":") == strlen(kinds[i]) && !strncmp(spec, kinds[i], strlen(kinds[i])))
            return true;
    return false;
}

int monitor_create(struct monitor **monitor, struct machine *m, struct backend *line, struct backend *console,
                   struct error *error)
{
    static const struct backend_front line_front = {
        .can_receive = room, .receive = receive, .opened = client_came, .closed = client_ended};
    static const struct backend_front console_front = {
        .can_receive = room, .receive = receive, .opened = turned_to, .closed = turned_away};
    struct backend_front front;

    *monitor = calloc(1, sizeof **monitor);
    if (!*monitor)
        return error_set(error, ENOMEM, "out of memory");
    (*monitor)->machine = m;
    session_create(&(*monitor)->line, m, line, true);
    session_create(&(*monitor)->console, m, console, false);
    if (console) {
        front = console_front;
        front.opaque = &(*monitor)->console;
        backend_attach_monitor(console, &front);
    }
    if (line) {
        front = line_front;
        front.opaque = &(*monitor)->line;
        if (!session_start(&(*monitor)->line))
            return error_set(error, EAGAIN,
                             "the monitor gets no thread; raise the limit of processes (ulimit -u)");
        pthread_mutex_lock(&m->lock);
        backend_attach(line, &front);
        pthread_mutex_unlock(&m->lock);
    }
    return 0;
}

void monitor_destroy(struct monitor *monitor)
{
    if (!monitor)
        return;
    call_close(monitor->machine);
    session_destroy(&monitor->line);
    session_destroy(&monitor->console);
    free(monitor);
}

static void tell(struct session *s, const char *text)
{
    size_t used;

    if (!s->open)
        return;
    used = strlen(s->news);
    snprintf(s->news + used, sizeof s->news - used, "%s\n", text);
    pthread_cond_broadcast(&s->changed);
}

void monitor_tell(struct monitor *monitor, const char *format, ...)
{
    char text[SESSION_NEWS / 2];
    va_list ap;

    if (!monitor)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    pthread_mutex_lock(&monitor->machine->lock);
    tell(&monitor->line, text);
    tell(&monitor->console, text);
    pthread_mutex_unlock(&monitor->machine->lock);
}
