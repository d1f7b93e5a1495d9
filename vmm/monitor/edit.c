/*
 * edit.c - line editing by libedit.
 *
 * Interface: edit.h. libedit wants a terminal whose modes it can set; ours may be a console that the guest
 * shares, or the far end of a pseudo-terminal. So it gets a pseudo-terminal of its own to play with, while the
 * bytes come and go through functions. libedit and terminfo below it keep static state: hence the one static lock
 * of this file, held by whoever is inside of them, and released while he waits for a key.
 */
#include "vmm/monitor/edit.h"

#include <fcntl.h>
#include <histedit.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define LINE_LIMIT 2048 /* characters of a line; more are not taken */
#define HISTORY_LINES 500
#define OUTPUT_SIZE 65536 /* more than one key can make of the longest line */

static pthread_mutex_t inside = PTHREAD_MUTEX_INITIALIZER;

struct editor {
    struct editor_io io;
    const char *prompt;
    int master, slave; /* the pseudo-terminal that libedit believes in */
    FILE *out;
    char text[OUTPUT_SIZE]; /* written by libedit, not shown yet */
    size_t used, typed;
    EditLine *el;
    History *history;
    HistEvent event;
    char *line;
};

/* --- libedit's side --- */

static char *prompt_of(EditLine *el)
{
    struct editor *e;

    el_get(el, EL_CLIENTDATA, &e);
    return (char *)(uintptr_t)e->prompt;
}

/* Called with the lock, which it gives up meanwhile. Not from inside of libedit. */
static void show(struct editor *e)
{
    size_t size = e->used;

    e->used = 0;
    pthread_mutex_unlock(&inside);
    e->io.write(e->io.opaque, e->text, size);
    pthread_mutex_lock(&inside);
}

static ssize_t take_output(void *cookie, const char *data, size_t size)
{
    struct editor *e = cookie;
    size_t room = sizeof e->text - e->used, part = size < room ? size : room;

    memcpy(e->text + e->used, data, part);
    e->used += part;
    return (ssize_t)size;
}

/* Bytes that are no characters of the C locale are left out; of a line that is too long, what can only make it
   longer. */
static bool is_welcome(struct editor *e, int byte)
{
    if (byte > 0x7f || byte == 0)
        return false;
    if (byte < ' ' || byte == 0x7f)
        return true;
    return e->typed < LINE_LIMIT;
}

static int next_character(EditLine *el, wchar_t *to)
{
    struct editor *e;
    int byte;

    el_get(el, EL_CLIENTDATA, &e);
    fflush(e->out);
    show(e);
    pthread_mutex_unlock(&inside);
    do
        byte = e->io.read(e->io.opaque);
    while (byte >= 0 && !is_welcome(e, byte));
    pthread_mutex_lock(&inside);
    e->typed++;
    if (byte < 0)
        return 0;
    *to = (wchar_t)byte;
    return 1;
}

/* --- completion --- */

/* How many characters all the words have in common. */
static size_t common_length(const struct completions *c, unsigned count)
{
    size_t length = strlen(c->word[0]), same;

    for (unsigned i = 1; i < count; i++) {
        for (same = 0; same < length && c->word[i][same] == c->word[0][same]; same++)
            continue;
        length = same;
    }
    return length;
}

static void list_words(struct editor *e, const struct completions *c, unsigned count)
{
    fputc('\n', e->out);
    for (unsigned i = 0; i < count; i++)
        fprintf(e->out, "%s%s", c->word[i], i + 1 < count ? "  " : "\n");
    if (c->count > count)
        fprintf(e->out, "(and %u more)\n", c->count - count);
}

static unsigned char complete(EditLine *el, int key)
{
    const LineInfo *at = el_line(el);
    struct completions c;
    struct editor *e;
    char insert[256];
    unsigned count;
    size_t common;

    (void)key;
    el_get(el, EL_CLIENTDATA, &e);
    e->io.complete(at->buffer, (size_t)(at->cursor - at->buffer), &c);
    count = c.count < COMPLETIONS_MAX ? c.count : COMPLETIONS_MAX;
    if (!count)
        return CC_REFRESH_BEEP;
    common = common_length(&c, count);
    snprintf(insert, sizeof insert, "%.*s%s", (int)(common - c.typed), c.word[0] + c.typed, count == 1 ? " " : "");
    if (*insert)
        return el_insertstr(el, insert) ? CC_ERROR : CC_REFRESH;
    list_words(e, &c, count);
    return CC_REDISPLAY;
}

/* --- the interface --- */

static bool open_terminal(struct editor *e)
{
    const char *name;

    e->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    e->slave = -1;
    if (e->master < 0 || grantpt(e->master) < 0 || unlockpt(e->master) < 0 || !(name = ptsname(e->master)))
        return false;
    e->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return e->slave >= 0;
}

/* As large as the terminal that we are started on, if any. */
static void fit_size(struct editor *e)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    ioctl(e->slave, TIOCSWINSZ, &size);
}

static bool open_libedit(struct editor *e)
{
    static const cookie_io_functions_t functions = {.write = take_output};

    e->out = fopencookie(e, "w", functions);
    e->history = history_init();
    if (!e->out || !e->history)
        return false;
    fit_size(e);
    e->el = el_init_fd("novt", stdin, e->out, e->out, e->slave, e->slave, e->slave);
    if (!e->el)
        return false;
    history(e->history, &e->event, H_SETSIZE, HISTORY_LINES);
    history(e->history, &e->event, H_SETUNIQUE, 1);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_GETCFN, next_character);
    el_set(e->el, EL_PROMPT, prompt_of);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_SIGNAL, 0);
    el_set(e->el, EL_HIST, history, e->history);
    el_set(e->el, EL_ADDFN, "novt-complete", "completes the word", complete);
    el_set(e->el, EL_BIND, "^I", "novt-complete", NULL);
    return true;
}

struct editor *editor_create(const struct editor_io *io, const char *prompt)
{
    struct editor *e = calloc(1, sizeof *e);
    bool ok;

    if (!e)
        return NULL;
    e->io = *io;
    e->prompt = prompt;
    pthread_mutex_lock(&inside);
    ok = open_terminal(e) && open_libedit(e);
    pthread_mutex_unlock(&inside);
    if (ok)
        return e;
    editor_destroy(e);
    return NULL;
}

void editor_destroy(struct editor *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&inside);
    if (e->el)
        el_end(e->el);
    if (e->history)
        history_end(e->history);
    if (e->out)
        fclose(e->out);
    pthread_mutex_unlock(&inside);
    if (e->slave >= 0)
        close(e->slave);
    if (e->master >= 0)
        close(e->master);
    free(e->line);
    free(e);
}

const char *editor_read_line(struct editor *e)
{
    const char *line;
    int count = 0;

    pthread_mutex_lock(&inside);
    e->typed = 0;
    fit_size(e);
    el_resize(e->el);
    line = el_gets(e->el, &count);
    free(e->line);
    e->line = line && count > 0 ? strndup(line, strcspn(line, "\r\n")) : NULL;
    if (e->line && e->line[0])
        history(e->history, &e->event, H_ENTER, e->line);
    fflush(e->out);
    show(e);
    pthread_mutex_unlock(&inside);
    return e->line;
}

void editor_redraw(struct editor *e, const char *text)
{
    pthread_mutex_lock(&inside);
    fprintf(e->out, "\n%s", text);
    el_set(e->el, EL_REFRESH);
    fflush(e->out);
    show(e);
    pthread_mutex_unlock(&inside);
}
