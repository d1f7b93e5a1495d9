/*
 * info.c - info registers, stats, version.
 *
 * Interface: command.h.
 */
#include "vmm/monitor/command.h"

#include <errno.h>
#include <string.h>

#include "vmm/report.h"
#include "vmm/stats.h"

int info_registers(struct command *c)
{
    char text[REPORT_SIZE], word[8];
    bool vectors = command_read_word(c, word, sizeof word);

    if (vectors && strcmp(word, "-v"))
        return error_set(&c->error, EINVAL, "info registers %s: the only argument is -v, for vector registers",
                         word);
    if (command_expect_end(c))
        return -EINVAL;
    report_registers(c->machine->vcpu, text, sizeof text);
    fputs(text, c->to);
    if (vectors) {
        report_vectors(c->machine->vcpu, text, sizeof text);
        fputs(text, c->to);
    }
    return 0;
}

int info_stats(struct command *c)
{
    struct stats stats;
    int status = command_expect_end(c);

    if (status)
        return status;
    stats_collect(&stats, c->machine);
    stats_print(&stats, false, c->to);
    return 0;
}

int info_version(struct command *c)
{
    int status = command_expect_end(c);

    if (!status)
        fprintf(c->to, "%s\n", NOVT_VERSION);
    return status;
}
