/*
 * explain.c - `novt explain`: finds the blocks of the code, has the translator explain each, and writes it all.
 *
 * Interface: explain.h. Blocks are found from the first byte on, by where exits lead; then at the first byte that
 * is in none yet. They are shown in the order of their addresses.
 */
#include "vmm/explain/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/explain/internal.h"

/* --- for the writers --- */

unsigned explain_count(const struct explanation *e, enum explain_class class)
{
    unsigned count = 0;

    for (unsigned b = 0; b < e->count; b++)
        for (unsigned i = 0; i < e->block[b]->guest_count; i++)
            count += e->block[b]->guest[i].class == class;
    return count;
}

void explain_flag_names(uint16_t flags, const char *none, char *text)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } names[] = {{FLAG_OF, "OF"}, {FLAG_SF, "SF"}, {FLAG_ZF, "ZF"},
                 {FLAG_AF, "AF"}, {FLAG_PF, "PF"}, {FLAG_CF, "CF"}};
    char *at = text;

    strcpy(text, flags ? "" : none);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (flags & names[i].flag)
            at += sprintf(at, "%s%s", at == text ? "" : " ", names[i].name);
}

void explain_sensitive_name(const struct sensitive *s, char *text)
{
    bool both = s->kinds == (SENSITIVE_CONTROL | SENSITIVE_BEHAVIOUR);

    snprintf(text, 128, "%s sensitive (Popek-Goldberg)%s%s",
             both                           ? "control and behaviour"
             : s->kinds & SENSITIVE_CONTROL ? "control"
                                            : "behaviour",
             s->robin ? ", on Robin-Irvine's list: " : "", s->robin ? s->robin : "");
}

void explain_block_title(const struct explain_block *b, char *text)
{
    snprintf(text, 128, "%s-bit code at CPL %u, memory by the %s",
             b->bits == 64   ? "64"
             : b->bits == 32 ? "32"
                             : "16",
             b->cpl, b->tier);
}

/* --- finding the blocks --- */

struct finder {
    struct explanation *e;
    struct explain_machine *m;
    uint64_t *queue; /* instruction pointers that exits lead to */
    unsigned queued, next;
    uint8_t *covered; /* by byte of the code: it is in a block */
    uint64_t first;   /* those in front of it are */
};

static uint64_t offset_of(const struct finder *f, uint64_t rip)
{
    return f->m->base + rip - f->e->code->address;
}

static bool is_known(const struct explanation *e, uint64_t rip)
{
    for (unsigned i = 0; i < e->count; i++)
        if (e->block[i]->pc == rip)
            return true;
    return false;
}

/* The next address to explain; false: there is none. */
static bool next_address(struct finder *f, uint64_t *rip)
{
    const struct explain_code *code = f->e->code;

    while (f->next < f->queued) {
        *rip = f->queue[f->next++];
        if (offset_of(f, *rip) < code->size && !is_known(f->e, *rip))
            return true;
    }
    while (f->first < code->size && f->covered[f->first])
        f->first++;
    *rip = code->address + f->first - f->m->base;
    return f->first < code->size;
}

static int keep_block(struct finder *f, struct explain_block *b)
{
    struct explanation *e = f->e;
    struct explain_block **blocks = reallocarray(e->block, e->count + 1, sizeof *blocks);
    uint64_t *queue = reallocarray(f->queue, f->queued + b->exit_count, sizeof *queue);

    e->block = blocks ? blocks : e->block;
    f->queue = queue ? queue : f->queue;
    if (!blocks || (!queue && f->queued + b->exit_count)) {
        explain_free(b);
        return -ENOMEM;
    }
    e->block[e->count++] = b;
    memset(f->covered + offset_of(f, b->pc), 1, b->guest_bytes);
    for (unsigned i = 0; i < b->exit_count; i++)
        if (b->exit[i].kind <= EXPLAIN_EXIT_SITE)
            f->queue[f->queued++] = b->exit[i].target;
    return 0;
}

/* Bytes that are no whole instruction are told of, unless there is nothing else. */
static int explain_one(struct finder *f, uint64_t rip, struct error *error)
{
    uint64_t offset = offset_of(f, rip), most = f->e->code->size - offset;
    struct explain_block *b;
    int status = explain_block(&b, f->m->translator, f->m->vcpu, rip, most, f->e->options->syntax, error);

    if (status == -ENODATA && f->e->count) {
        f->e->rest = rip;
        f->e->has_rest = true;
        memset(f->covered + offset, 1, most);
        return 0;
    }
    if (status)
        return status;
    status = keep_block(f, b);
    return status ? error_set(error, ENOMEM, "out of memory") : 0;
}

static int compare(const void *one, const void *other)
{
    const struct explain_block *a = *(struct explain_block *const *)one,
                               *b = *(struct explain_block *const *)other;

    return a->pc < b->pc ? -1 : a->pc > b->pc;
}

static int find_blocks(struct explanation *e, struct explain_machine *m, struct error *error)
{
    struct finder f = {.e = e, .m = m, .covered = calloc(1, e->code->size)};
    uint64_t rip;
    int status = 0;

    if (!f.covered)
        return error_set(error, ENOMEM, "out of memory");
    while (!status && next_address(&f, &rip)) {
        e->more = e->count == e->options->blocks;
        if (e->more)
            break;
        status = explain_one(&f, rip, error);
    }
    free(f.covered);
    free(f.queue);
    if (e->count)
        qsort(e->block, e->count, sizeof *e->block, compare);
    return status;
}

/* --- the command --- */

static int write_page(const struct explanation *e, struct error *error)
{
    const char *path = e->options->html;
    FILE *to = fopen(path, "we");

    if (!to)
        return error_set(error, errno, "explain: --html %s: cannot open: %s; check the path and its permissions",
                         path, strerror(errno));
    explain_write_html(e, to);
    if (ferror(to) | fclose(to))
        return error_set(error, EIO, "explain: --html %s: cannot be written; is there room for it?", path);
    return 0;
}

static int write_all(const struct explanation *e, struct error *error)
{
    int status = e->options->html ? write_page(e, error) : 0;

    if (!status && e->options->json)
        status = explain_write_json(e, stdout, error);
    else if (!status && !e->options->html)
        explain_write_text(e, stdout);
    if (!status && fflush(stdout))
        status = error_set(error, errno, "explain: cannot write to stdout: %s", strerror(errno));
    return status;
}

static int explain_code(const struct explain_options *o, const struct explain_code *code, struct error *error)
{
    struct explanation e = {.options = o, .code = code};
    struct explain_machine m;
    int status = explain_machine_open(&m, code, o, error);

    if (!status)
        status = find_blocks(&e, &m, error);
    if (!status)
        status = write_all(&e, error);
    for (unsigned i = 0; i < e.count; i++)
        explain_free(e.block[i]);
    free(e.block);
    explain_machine_close(&m);
    return status;
}

int explain_command(int argc, char **argv, struct error *error)
{
    struct explain_options o;
    struct explain_code code;
    int status = explain_options_parse(&o, argc, argv, error);

    if (status)
        return status;
    if (o.help) {
        explain_options_help(stdout);
        return 0;
    }
    status = explain_load(&code, &o, error);
    if (status)
        return status;
    status = explain_code(&o, &code, error);
    free(code.bytes);
    return status;
}
