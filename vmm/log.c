/*
 * log.c - the log of -d TOPIC and -D FILE: one line of text an event, under a topic.
 *
 * Interface: log.h. Invariant: `topics` does not change after log_open, so that any thread may ask without a
 * lock; stdio's own lock keeps lines whole.
 */
#include "vmm/log.h"

#include <errno.h>
#include <string.h>

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
    {"exec", "every block entered"},
};
#define TOPICS (sizeof topic_table / sizeof topic_table[0])

static int find_topic(const char *name)
{
    for (unsigned i = 0; i < TOPICS; i++)
        if (!strcmp(topic_table[i].name, name))
            return (int)i;
    return -1;
}

int log_parse_topics(uint32_t *topics, const char *text, struct error *error)
{
    char name[32], value[32];
    bool has_value;

    while (text_next_property(&text, name, value, sizeof name, &has_value)) {
        int i = find_topic(name);

        if (!strcmp(name, "all") && !has_value) {
            *topics = (1u << TOPICS) - 1;
        } else if (i < 0 || has_value) {
            const char *near = text_nearest(name, topic_table, TOPICS, sizeof topic_table[0]);

            return error_set(error, EINVAL, "-d %s: no such topic%s%s; '-d help' lists them", name,
                             near ? "; did you mean " : "", near ? near : "");
        } else {
            *topics |= 1u << i;
        }
    }
    return 0;
}

void log_print_topics(FILE *to)
{
    fprintf(to, "Topics of -d (several with commas, or all):\n");
    for (unsigned i = 0; i < TOPICS; i++)
        fprintf(to, "  %-14s %s\n", topic_table[i].name, topic_table[i].help);
}

int log_open(struct log *log, uint32_t topics, const char *path, struct error *error)
{
    log->topics = topics;
    log->file = stderr;
    if (!path)
        return 0;
    log->file = fopen(path, "we");
    if (!log->file)
        return error_set(error, errno, "-D %s: cannot write the log there: %s", path, strerror(errno));
    setvbuf(log->file, NULL, _IOLBF, 0);
    return 0;
}

void log_close(struct log *log)
{
    if (log->file && log->file != stderr)
        fclose(log->file);
    log->file = NULL;
}

bool log_wants(const struct log *log, const char *topic)
{
    int i = log->topics ? find_topic(topic) : -1;

    return log->topics && (i < 0 || (log->topics >> i & 1));
}

void log_write(const struct log *log, const char *topic, const char *text)
{
    if (log->file && log_wants(log, topic))
        fprintf(log->file, "%s: %s\n", topic, text);
}
