/*
 * blocks.c - translated code: info blocks, explain.
 *
 * Interface: command.h. Blocks do not count how often they run, which would cost them time; which are busy
 * is known from samples, one a millisecond of CPU time, that are taken from the first question on.
 */
#include "vmm/monitor/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/explain/explain.h"

#define SHOWN 20u

struct list {
    struct translator_block *block;
    size_t count, room;
};

static bool append(struct list *l, const struct translator_block *b)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 1024;
        struct translator_block *more = realloc(l->block, room * sizeof *more);

        if (!more)
            return false;
        l->block = more;
        l->room = room;
    }
    l->block[l->count++] = *b;
    return true;
}

/* Those that begin in [from, to). */
static bool collect(const struct machine *m, uint64_t from, uint64_t to, struct list *l)
{
    struct translator_block b;
    size_t index = 0;

    *l = (struct list){.count = 0};
    while (m->engine->next_block(m, &index, &b))
        if (b.pc >= from && b.pc <= to && !append(l, &b))
            return false;
    return true;
}

static int by_business(const void *left, const void *right)
{
    const struct translator_block *a = left, *b = right;

    if (a->samples != b->samples)
        return a->samples < b->samples ? 1 : -1;
    return a->links < b->links ? 1 : a->links > b->links ? -1 : 0;
}

static int by_address(const void *left, const void *right)
{
    const struct translator_block *a = left, *b = right;

    return a->pc > b->pc ? 1 : a->pc < b->pc ? -1 : 0;
}

static const char *code_name(uint32_t mode)
{
    uint32_t code = mode & MODE_CODE_MASK;

    return code == MODE_CODE64 ? "64" : code == MODE_CODE32 ? "32" : "16";
}

static void print_list(FILE *to, const struct list *l, size_t count)
{
    uint64_t guest = 0, host = 0, cold = 0;

    for (size_t i = 0; i < l->count; i++) {
        guest += l->block[i].guest_bytes;
        host += l->block[i].host_bytes;
        cold += l->block[i].cold_bytes;
    }
    fprintf(to, "%zu blocks of %" PRIu64 " bytes; host code: %" PRIu64 " bytes, and %" PRIu64 " that seldom run\n",
            l->count, guest, host, cold);
    if (l->count)
        fprintf(to, "%-16s %-16s bits cpl insns bytes  host  cold links samples\n", "linear", "physical");
    for (size_t i = 0; i < l->count && i < count; i++) {
        const struct translator_block *b = &l->block[i];

        fprintf(to, "%016" PRIx64 " %016" PRIx64 " %4s %3u %5u %5u %5u %5u %5u %7u\n", b->pc, b->gpa,
                code_name(b->mode), (unsigned)(b->mode & MODE_CPL), b->instructions, b->guest_bytes, b->host_bytes,
                b->cold_bytes, b->links, b->samples);
    }
}

/* COUNT, or FROM TO. */
static int read_arguments(struct command *c, uint64_t *count, uint64_t *from, uint64_t *to)
{
    uint64_t first, second;
    int status;

    if (command_is_at_end(c))
        return 0;
    status = command_read_expression(c, &first);
    if (status)
        return status;
    *count = first;
    if (command_is_at_end(c))
        return 0;
    status = command_read_expression(c, &second);
    if (status)
        return status;
    *count = UINT64_MAX;
    *from = first;
    *to = second;
    return command_expect_end(c);
}

static void start_sampling(struct command *c)
{
    struct machine *m = c->machine;

    if (m->sampler.started)
        return;
    sample_start(&m->sampler, m->vcpu);
    fprintf(c->to, "samples are taken from now on; links tell meanwhile\n");
}

int info_blocks(struct command *c)
{
    uint64_t count = SHOWN, from = 0, to = UINT64_MAX;
    struct list list;
    int status = read_arguments(c, &count, &from, &to);

    if (status)
        return status;
    if (!c->machine->engine->next_block)
        return error_set(&c->error, ENOTSUP, "-accel %s has no translated blocks", c->machine->engine->name);
    start_sampling(c);
    if (collect(c->machine, from, to, &list)) {
        if (list.count)
            qsort(list.block, list.count, sizeof *list.block, count == UINT64_MAX ? by_address : by_business);
        print_list(c->to, &list, count);
    } else {
        status = error_set(&c->error, ENOMEM, "out of memory: give a smaller range");
    }
    free(list.block);
    return status;
}

/* What the translator makes of the code there in the CPU's present mode: made anew, and not kept. */
int command_explain(struct command *c)
{
    struct machine *m = c->machine;
    uint64_t at = m->vcpu->rip;
    struct explain_block *block;
    int status = command_is_at_end(c) ? 0 : command_read_expression(c, &at);

    if (!status)
        status = command_expect_end(c);
    if (!status && m->engine != &engine_bt)
        status = error_set(&c->error, ENOTSUP, "-accel %s translates nothing; use -accel bt", m->engine->name);
    if (!status)
        status = explain_block(&block, m->engine_state, m->vcpu, at, UINT64_MAX, DUMP_INTEL, &c->error);
    if (status)
        return status;
    explain_print_block(block, c->to);
    explain_free(block);
    return 0;
}
