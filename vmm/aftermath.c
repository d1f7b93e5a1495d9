/*
 * aftermath.c - how a vCPU came to where it is, in words.
 *
 * Interface: aftermath.h. Invariant: nothing is allocated, locked or changed.
 */
#include "vmm/aftermath.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "vmm/writer.h"

static void put_event(struct writer *w, const struct tracer *t, const struct recent_event *e)
{
    static const char *const exits[] = {[EXIT_NONE] = "?",
                                        [EXIT_REQUEST] = "request or interrupt",
                                        [EXIT_HLT] = "HLT",
                                        [EXIT_TRIPLE_FAULT] = "triple fault",
                                        [EXIT_TRANSLATE] = "to a block that is not linked",
                                        [EXIT_INTERPRET] = "an instruction for the interpreter",
                                        [EXIT_CHAIN] = "not linked",
                                        [EXIT_STEP] = "step",
                                        [EXIT_LIMIT] = "limit"};
    char name[TRACER_NAME];

    if (e->kind == RECENT_EXCEPTION)
        writer_put(w, "exception %02x error %04x", e->number, e->detail);
    else if (e->kind == RECENT_INTERRUPT)
        writer_put(w, "interrupt %02x", e->number);
    else
        writer_put(w, "left translated code: %s",
                   e->number < sizeof exits / sizeof exits[0] ? exits[e->number] : "for another reason");
    writer_put(w, ", cpl %u at %016" PRIx64 "%s", e->cpl, e->rip, tracer_name(t, e->rip, name));
    if (e->times > 1)
        writer_put(w, ", %u times", e->times);
    writer_put(w, "\n");
}

size_t aftermath_events(const struct machine *m, char *text, size_t size)
{
    const struct recent *r = &m->vcpu->recent;
    struct writer w = {text, size, 0};
    char name[TRACER_NAME];

    text[0] = '\0';
    if (*tracer_name(&m->tracer, m->vcpu->rip, name))
        writer_put(&w, "RIP is in%s\n", name);
    writer_put(&w, "Last events, oldest first:\n");
    for (uint32_t i = 0; i < RECENT_EVENTS; i++) {
        const struct recent_event *e = &r->event[(r->count + i) % RECENT_EVENTS];

        if (e->kind != RECENT_NONE)
            put_event(&w, &m->tracer, e);
    }
    return w.used;
}

/* One argument, quoted if a shell would see anything in it but a word. */
static void put_argument(struct writer *w, const char *argument)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+.,:/@%";
    bool quoted = !*argument || argument[strspn(argument, plain)];

    writer_put(w, quoted ? " '" : " ");
    for (; *argument; argument++)
        writer_put(w, *argument == '\'' ? "'\\''" : "%c", (unsigned char)*argument >= ' ' ? *argument : '?');
    writer_put(w, quoted ? "'" : "");
}

size_t aftermath_command(char *text, size_t size)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    struct writer w = {text, size, 0};
    char arguments[2048];
    ssize_t length = fd < 0 ? -1 : read(fd, arguments, sizeof arguments - 1);

    text[0] = '\0';
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return 0;
    arguments[length] = '\0';
    writer_put(&w, "Command:");
    for (const char *at = arguments; at < arguments + length; at += strlen(at) + 1)
        put_argument(&w, at);
    writer_put(&w, "\n");
    return w.used;
}
