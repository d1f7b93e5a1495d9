/*
 * tracer.c - blocks in words: guest code, host code, entries; and perf's map of them.
 *
 * Interface: tracer.h. What memory tells is in tracer_tell.c. Invariant: nothing here changes the guest's state.
 */
#include "vmm/trace/tracer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "translator/dump.h"
#include "vmm/report.h"

static int open_symbols(struct tracer *t, const struct tracer_options *o, struct error *error)
{
    const char *why;
    int status = symbols_open(&t->symbols, o->symbols, &why);

    if (status)
        return error_set(error, -status, "-symbols %s: %s", o->symbols, why);
    symbols_move(t->symbols, o->symbols_offset);
    return 0;
}

/* A kernel may well have none. */
void tracer_find_symbols(struct tracer *t)
{
    const char *why;

    if (!t->symbols && t->kernel)
        symbols_open(&t->symbols, t->kernel, &why);
    t->kernel = NULL;
}

int tracer_open(struct tracer *t, const struct tracer_options *o, struct log *log, const char *kernel,
                struct error *error)
{
    int status = 0;

    *t = (struct tracer){.options = o, .log = log, .kernel = kernel};
    t->in_asm = log_wants(log, "in_asm");
    t->out_asm = log_wants(log, "out_asm");
    t->exec = log_wants(log, "exec");
    t->cpu = log_wants(log, "cpu");
    t->mmu = log_wants(log, "mmu");
    t->smc = log_wants(log, "smc");
    if (o->symbols)
        status = open_symbols(t, o, error);
    else if (log->topics || o->perf_map)
        tracer_find_symbols(t);
    if (!status && o->perf_map)
        status = perf_map_open(&t->perf, error);
    return status;
}

void tracer_close(struct tracer *t)
{
    symbols_close(t->symbols);
    perf_map_close(t->perf);
    t->symbols = NULL;
    t->perf = NULL;
}

const char *tracer_name(const struct tracer *t, gva_t address, char text[TRACER_NAME])
{
    uint64_t offset;
    const char *name = t->symbols ? symbols_at(t->symbols, address, &offset) : NULL;

    text[0] = '\0';
    if (name)
        snprintf(text, TRACER_NAME, " <%.200s+0x%" PRIx64 ">", name, offset);
    return text;
}

unsigned tracer_bits(uint32_t mode)
{
    return mode & MODE_CODE64 ? 64 : mode & MODE_CODE32 ? 32 : 16;
}

/* Where a line of dump_code ends in the target of a branch, its name is put behind it. */
static void put_named_line(const struct tracer *t, FILE *to, const char *line, int length)
{
    char name[TRACER_NAME] = "", text[256];
    const char *operand;

    snprintf(text, sizeof text, "%.*s", length, line);
    operand = strrchr(text, ' ');
    if (operand && !strncmp(operand, " 0x", 3) && operand[-1] != ',')
        tracer_name(t, strtoull(operand, NULL, 16), name);
    fprintf(to, "%.*s%s\n", length, line, name);
}

static void put_named(const struct tracer *t, FILE *to, const char *text)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1)
        put_named_line(t, to, text, (int)(end - text));
}

/* Disassembly, below a first line. named: guest code. */
static void log_code(const struct tracer *t, const char *topic, const char *first, const uint8_t *code,
                     size_t size, uint64_t address, unsigned bits, bool named)
{
    char *dump = NULL, *text = NULL;
    size_t length;
    FILE *to = open_memstream(&dump, &length);

    if (!to)
        return;
    dump_code(to, code, size, address, bits);
    fclose(to);
    to = dump ? open_memstream(&text, &length) : NULL;
    if (to) {
        fprintf(to, "%s\n", first);
        if (named)
            put_named(t, to, dump);
        else
            fputs(dump, to);
        fclose(to);
        text[length - 1] = '\0'; /* the last newline is the log's */
        log_write(t->log, topic, text);
    }
    free(text);
    free(dump);
}

static void log_made(const struct tracer *t, const struct translator_made *m)
{
    unsigned bits = tracer_bits(m->mode);
    char first[TRACER_NAME + 96], name[TRACER_NAME];

    snprintf(first, sizeof first, "%016" PRIx64 "%s cpl %u, %u-bit, %u instructions", m->linear,
             tracer_name(t, m->linear, name), m->mode & MODE_CPL, bits, m->instructions);
    if (t->in_asm)
        log_code(t, "in_asm", first, m->guest, m->guest_size, m->linear, bits, true);
    if (!t->out_asm)
        return;
    log_code(t, "out_asm", first, m->hot, m->hot_size, (uintptr_t)m->hot, 64, false);
    if (m->cold_size)
        log_code(t, "out_asm", "seldom run:", m->cold, m->cold_size, (uintptr_t)m->cold, 64, false);
}

/* "name+0x10", or "guest:64:3:401000": code size, CPL, linear address. */
static void map_made(const struct tracer *t, const struct translator_made *m)
{
    char text[TRACER_NAME], cold[TRACER_NAME + 8];
    uint64_t offset;
    const char *name = t->symbols ? symbols_at(t->symbols, m->linear, &offset) : NULL;

    if (name)
        snprintf(text, sizeof text, "%.200s+0x%" PRIx64, name, offset);
    else
        snprintf(text, sizeof text, "guest:%u:%u:%" PRIx64, tracer_bits(m->mode), m->mode & MODE_CPL, m->linear);
    perf_map_add(t->perf, m->hot, m->hot_size, text);
    snprintf(cold, sizeof cold, "%s [cold]", text);
    perf_map_add(t->perf, m->cold, m->cold_size, cold);
}

void tracer_made(void *opaque, const struct translator_made *made)
{
    const struct tracer *t = opaque;

    if (t->perf)
        map_made(t, made);
    if (ranges_hold(&t->options->filter, made->linear))
        log_made(t, made);
}

void tracer_flushed(void *opaque)
{
    const struct tracer *t = opaque;

    if (!t->perf)
        return;
    perf_map_restart(t->perf);
    perf_map_add(t->perf, t->permanent, t->permanent_size, "novt:permanent");
}

void tracer_permanent(struct tracer *t, const void *code, size_t size)
{
    t->permanent = code;
    t->permanent_size = size;
    tracer_flushed(t);
}

static void log_registers(const struct tracer *t, const struct vcpu *v)
{
    char text[REPORT_SIZE + 1];
    size_t length;

    text[0] = '\n';
    length = report_vcpu(v, text + 1, sizeof text - 1);
    text[length] = '\0'; /* the last newline is the log's */
    log_write(t->log, "cpu", text);
}

void tracer_enters(void *opaque, const struct vcpu *v)
{
    const struct tracer *t = opaque;
    gva_t linear = v->mode & MODE_CODE64 ? v->rip : (uint32_t)(v->seg[SEG_CS].base + v->rip);
    char text[TRACER_NAME + 96], name[TRACER_NAME];

    if (!ranges_hold(&t->options->filter, linear))
        return;
    if (t->exec) {
        snprintf(text, sizeof text, "%016" PRIx64 "%s cpl %u mode %x", linear, tracer_name(t, linear, name),
                 v->cpl, v->mode);
        log_write(t->log, "exec", text);
    }
    if (t->cpu)
        log_registers(t, v);
}
