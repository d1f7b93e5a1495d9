/*
 * log.c - the log of -d TOPIC and -D FILE: one line of text an event, under a topic.
 *
 * Interface: log.h. Invariant: `topics` does not change after log_open, so that any thread may ask without a
 * lock; stdio's own lock keeps lines whole, or that of the ring.
 */
#include "vmm/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "vmm/trace/ring.h"
#include "vmm/text.h"

struct topic {
    const char *name, *help;
};

static const struct topic topic_table[] = {
    {"int", "exceptions and interrupts delivered to the guest"},
    {"guest_errors", "what the guest did that a real machine would not take kindly"},
    {"unimp", "registers and functions of devices that are not there"},
    {"reset", "resets, power-off and their reason"},
    {"io", "every port and MMIO access"},
    {"boot", "what the loader put where"},
    {"in_asm", "guest code as it is translated"},
    {"out_asm", "the host code made from it"},
    {"exec", "every block entered; turns chaining off"},
    {"cpu", "the registers at each of them"},
    {"mmu", "TLB fills, page faults found by walks, flushes; what windows map and drop"},
    {"smc", "stores into translated code, and what became of it"},
};
#define TOPICS (sizeof topic_table / sizeof topic_table[0])

static int find_topic(const char *name)
{
    for (unsigned i = 0; i < TOPICS; i++)
        if (!strcmp(topic_table[i].name, name))
            return (int)i;
    return -1;
}

static int set_ring(struct log_options *o, const char *value, struct error *error)
{
    if (!text_parse_size(value, 1, &o->ring) || o->ring < RING_LEAST || o->ring > RING_MOST)
        return error_set(error, EINVAL, "-d ring=%s: not a size of a ring; write 4K to 1G, as ring=1M", value);
    return 0;
}

int log_parse_topics(struct log_options *o, const char *text, struct error *error)
{
    char name[32], value[32];
    bool has_value;

    while (text_next_property(&text, name, value, sizeof name, &has_value)) {
        int i = find_topic(name), status;

        if (!strcmp(name, "all") && !has_value) {
            o->topics = (1u << TOPICS) - 1;
        } else if (!strcmp(name, "ring") && has_value) {
            status = set_ring(o, value, error);
            if (status)
                return status;
        } else if (i < 0 || has_value) {
            const char *near = text_nearest(name, topic_table, TOPICS, sizeof topic_table[0]);

            return error_set(error, EINVAL, "-d %s: no such topic%s%s; '-d help' lists them", name,
                             near ? "; did you mean " : "", near ? near : "");
        } else {
            o->topics |= 1u << i;
        }
    }
    return 0;
}

void log_print_topics(FILE *to)
{
    fprintf(to, "Topics of -d (several with commas, or all):\n");
    for (unsigned i = 0; i < TOPICS; i++)
        fprintf(to, "  %-14s %s\n", topic_table[i].name, topic_table[i].help);
    fprintf(to, "  %-14s %s\n", "ring=SIZE",
            "keep the last SIZE bytes in memory; write them at a crash, a triple fault or SIGUSR2");
}

/* As in QEMU: one "%d", and no other percent sign. */
static bool name_file(char *name, size_t size, const char *template)
{
    const char *percent = strchr(template, '%');

    if (!percent)
        return snprintf(name, size, "%s", template) < (int)size;
    if (percent[1] != 'd' || strchr(percent + 1, '%'))
        return false;
    return snprintf(name, size, "%.*s%d%s", (int)(percent - template), template, (int)getpid(), percent + 2) <
           (int)size;
}

static int open_file(struct log *log, const char *template, struct error *error)
{
    char name[PATH_MAX];

    if (!name_file(name, sizeof name, template))
        return error_set(error, EINVAL,
                         "-D %s: not a name of a file; of percent signs only one, as %%d, may be there", template);
    log->file = fopen(name, "we");
    if (!log->file)
        return error_set(error, errno, "-D %s: cannot write the log there: %s", name, strerror(errno));
    setvbuf(log->file, NULL, _IOLBF, 0);
    return 0;
}

int log_open(struct log *log, const struct log_options *o, struct error *error)
{
    int status = o->file ? open_file(log, o->file, error) : 0;

    if (status)
        return status;
    if (!log->file)
        log->file = stderr;
    log->topics = o->topics;
    pthread_mutex_init(&log->lock, NULL);
    if (o->ring && o->topics && !(log->ring = ring_create(o->ring)))
        return error_set(error, ENOMEM, "-d ring=%llu: no memory for it; give less", (unsigned long long)o->ring);
    return 0;
}

void log_close(struct log *log)
{
    if (!log->file)
        return;
    if (log->file != stderr)
        fclose(log->file);
    log->file = NULL;
    ring_destroy(log->ring);
    pthread_mutex_destroy(&log->lock);
}

bool log_wants(const struct log *log, const char *topic)
{
    int i = log->topics ? find_topic(topic) : -1;

    return log->topics && (i < 0 || (log->topics >> i & 1));
}

static void keep(struct log *log, const char *topic, const char *text)
{
    pthread_mutex_lock(&log->lock);
    ring_write(log->ring, topic, strlen(topic));
    ring_write(log->ring, ": ", 2);
    ring_write(log->ring, text, strlen(text));
    ring_write(log->ring, "\n", 1);
    pthread_mutex_unlock(&log->lock);
}

void log_write(struct log *log, const char *topic, const char *text)
{
    if (!log->file || !log_wants(log, topic))
        return;
    if (log->ring)
        keep(log, topic, text);
    else
        fprintf(log->file, "%s: %s\n", topic, text);
}

void log_dump(struct log *log, const char *why)
{
    if (!log->ring)
        return;
    fprintf(log->file, "novt: the last lines of -d, at %s:\n", why);
    fflush(log->file);
    pthread_mutex_lock(&log->lock);
    ring_dump(log->ring, fileno(log->file));
    pthread_mutex_unlock(&log->lock);
}

void log_dump_crashed(struct log *log)
{
    if (log->ring)
        ring_dump(log->ring, fileno(log->file));
}
