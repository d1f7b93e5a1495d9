/*
 * session.c - a session of the monitor: lines in, text out.
 *
 * Interface: session.h. A session is a thread that reads lines, has them run and writes the answer; it
 * waits for its client as long as it takes, which nobody else ever does. Its input comes from the event loop
 * through a ring; the backend holds the rest back. Invariants: what struct session has under the lock is only
 * touched under the machine's; a client's answers are written before the next client is let in.
 */
#include "vmm/monitor/session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine.h"
#include "vmm/monitor/edit.h"

#define PROMPT "(novt) "
#define LINE_LIMIT 2048u
#define WRITE_POLL_MS 20 /* how late the end may be seen while a client does not read */

static void lock(struct session *s)
{
    pthread_mutex_lock(&s->machine->lock);
}

static void unlock(struct session *s)
{
    pthread_mutex_unlock(&s->machine->lock);
}

static bool is_over(const struct session *s)
{
    return s->ending || atomic_load(&s->machine->loop.stopped);
}

/* --- output --- */

/* Without the lock. Gives up when the machine ends. */
static void write_raw(struct session *s, const char *text, size_t size)
{
    while (size) {
        struct pollfd p = {.events = POLLOUT};
        size_t done;

        lock(s);
        done = s->open && !is_over(s) ? backend_write_some(s->backend, text, size) : size;
        p.fd = backend_output(s->backend);
        unlock(s);
        text += done;
        size -= done;
        if (!done)
            poll(&p, 1, WRITE_POLL_MS);
    }
}

/* A terminal's lines end in \r\n. */
static void write_text(void *opaque, const char *text, size_t size)
{
    struct session *s = opaque;

    while (size) {
        const char *end = s->editor ? memchr(text, '\n', size) : NULL;
        size_t part = end ? (size_t)(end - text) : size;

        write_raw(s, text, part);
        if (end) {
            write_raw(s, "\r\n", 2);
            part++;
        }
        text += part;
        size -= part;
    }
}

static void say(struct session *s, const char *text)
{
    write_text(s, text, strlen(text));
}

/* --- input --- */

/* What others want to be shown, in between. Called with the lock, which it gives up meanwhile. */
static void show_news(struct session *s)
{
    char text[SESSION_NEWS];

    memcpy(text, s->news, sizeof text);
    s->news[0] = '\0';
    s->turned_to = false;
    unlock(s);
    if (s->away) {
        say(s, "\n");
        say(s, text);
    } else if (s->editor) {
        editor_redraw(s->editor, text);
    } else {
        say(s, "\n");
        say(s, text);
        say(s, PROMPT);
    }
    lock(s);
}

/* The next byte, or -1: the client sends no more, or the machine ends. */
static int next_byte(void *opaque)
{
    struct session *s = opaque;
    struct chardev chardev = backend_chardev(s->backend);
    int byte = -1;

    lock(s);
    for (;;) {
        if (s->count == 0 && s->has_line && !is_over(s))
            chardev.can_receive(chardev.opaque); /* what the backend has held back */
        if (is_over(s) || (s->count == 0 && s->at_end))
            break;
        if (s->news[0] || s->turned_to) {
            show_news(s);
        } else if (s->count) {
            byte = s->ring[s->head];
            s->head = (s->head + 1) % SESSION_RING;
            s->count--;
            break;
        } else {
            pthread_cond_wait(&s->changed, &s->machine->lock);
        }
    }
    unlock(s);
    return byte;
}

/* False: no more. One that is cut off by the client's end is dropped. */
static bool read_plain(struct session *s, char *line)
{
    size_t length = 0;
    int byte;

    say(s, PROMPT);
    while ((byte = next_byte(s)) >= 0 && byte != '\n')
        if (byte != '\r' && length++ < LINE_LIMIT)
            line[length - 1] = (char)(byte ? byte : '?');
    line[length < LINE_LIMIT ? length : LINE_LIMIT] = '\0';
    if (byte >= 0 && length > LINE_LIMIT) {
        say(s, "the line is too long; it is left out\n");
        line[0] = '\0';
    }
    return byte >= 0;
}

static bool read_edited(struct session *s, char *line)
{
    const char *text = editor_read_line(s->editor);

    if (!text) { /* Ctrl-D, or the end */
        say(s, "\n");
        text = "";
    }
    snprintf(line, LINE_LIMIT + 1, "%s", text);
    return true;
}

/* --- a session --- */

static void run_line(struct session *s, const char *line)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to) {
        say(s, "out of memory\n");
        return;
    }
    monitor_run_line(s->machine, line, to);
    fclose(to);
    if (text)
        write_text(s, text, size);
    free(text);
}

/* From its coming to its end. */
static void serve(struct session *s)
{
    char line[LINE_LIMIT + 1];
    bool more = true;

    if (!s->has_line)
        say(s, "\n"); /* behind what the guest has written */
    say(s, "novt " NOVT_VERSION " monitor - type 'help' for more information\n");
    while (more) {
        more = s->editor ? read_edited(s, line) : read_plain(s, line);
        if (more)
            run_line(s, line);
        lock(s);
        more &= !is_over(s) && !(s->editor && s->at_end && s->count == 0);
        unlock(s);
    }
}

static bool wait_for_client(struct session *s)
{
    bool over;

    lock(s);
    while (!s->open && !is_over(s))
        pthread_cond_wait(&s->changed, &s->machine->lock);
    over = is_over(s);
    unlock(s);
    return !over;
}

static void *session_thread(void *opaque)
{
    struct session *s = opaque;

    while (wait_for_client(s)) {
        serve(s);
        lock(s);
        s->open = false;
        s->count = 0;
        if (s->has_line && !is_over(s))
            backend_hang_up(s->backend);
        unlock(s);
    }
    return NULL;
}

/* --- its life --- */

void session_create(struct session *s, struct machine *m, struct backend *backend, bool has_line)
{
    *s = (struct session){.machine = m, .backend = backend, .has_line = has_line};
    pthread_cond_init(&s->changed, NULL);
}

bool session_start(struct session *s)
{
    const struct editor_io io = {next_byte, write_text, monitor_complete, s};

    if (s->started)
        return true;
    if (backend_is_interactive(s->backend))
        s->editor = editor_create(&io, PROMPT);
    s->started = !pthread_create(&s->thread, NULL, session_thread, s);
    return s->started;
}

void session_destroy(struct session *s)
{
    lock(s);
    s->ending = true;
    pthread_cond_broadcast(&s->changed);
    unlock(s);
    if (s->started)
        pthread_join(s->thread, NULL);
    editor_destroy(s->editor);
    pthread_cond_destroy(&s->changed);
}
