/*
 * text.c - an explanation as text: two columns fitted to the terminal, coloured on one.
 *
 * Interface: internal.h. The left column holds a guest instruction and what is known of it, the right one
 * the host instructions made of it: the hot ones, and behind them the cold ones. Both are collected as lines of
 * the columns' widths, then printed side by side (columns.h).
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/explain/explain.h"
#include "vmm/explain/columns.h"
#include "vmm/explain/internal.h"

#define PIPE_WIDTH 120
#define LEAST_WIDTH 60
#define LEFT_MOST 52

static const char *const class_colors[EXPLAIN_CLASSES] = {
    [EXPLAIN_COPIED] = "\033[32m",      [EXPLAIN_REPLACED] = "\033[36m", [EXPLAIN_MEMORY] = "\033[33m",
    [EXPLAIN_INTERPRETED] = "\033[35m", [EXPLAIN_FLOW] = "\033[34m",     [EXPLAIN_SENSITIVE] = "\033[1;31m",
    [EXPLAIN_PRIVILEGED] = "\033[31m"};
#define BOLD "\033[1m"
#define DIM "\033[2m"

struct text {
    FILE *to;
    bool color;
    unsigned width;
    struct column left, right;
};

/* --- the guest's side --- */

static void add_bytes(struct column *c, const struct explain_guest *g)
{
    char bytes[3 * 16 + 1] = "";

    for (unsigned i = 0; i < g->length; i++)
        sprintf(bytes + 3 * i, "%02x ", g->bytes[i]);
    column_add(c, DIM, 2, "%llx: %s", (unsigned long long)g->pc, bytes);
}

static void add_flags(struct column *c, const struct explain_guest *g)
{
    char read[32], written[32], live[32];

    explain_flag_names(g->flags_read, "none", read);
    explain_flag_names(g->flags_written, "none", written);
    explain_flag_names(g->flags_live, "none", live);
    if (g->flags_read)
        column_add(c, "", 4, "  flags read: %s", read);
    if (g->flags_written)
        column_add(c, "", 4, "  flags written: %s", written);
    column_add(c, "", 4, "  flags live behind it: %s", live);
    if (g->flags_at[0])
        column_add(c, "", 4, "  flags before it: %s", g->flags_at);
}

static void add_guest(struct column *c, const struct explain_guest *g)
{
    char kind[128];

    add_bytes(c, g);
    column_add(c, BOLD, 4, "  %s", g->text);
    column_add(c, class_colors[g->class], 4, "  %s%s", explain_class_name(g->class),
               g->interpreted && g->class != EXPLAIN_INTERPRETED ? "; the interpreter runs it" : "");
    if (g->lacking)
        column_add(c, "", 4, "  the CPU model lacks it");
    if (g->sensitive) {
        explain_sensitive_name(g->sensitive, kind);
        column_add(c, class_colors[g->class], 4, "  %s", kind);
        column_add(c, "", 4, "  %s (%s)", g->sensitive->reason, g->sensitive->manual);
    }
    add_flags(c, g);
}

/* --- the host's side --- */

static void add_host(struct column *c, const struct explain_host *h)
{
    bool cold = h->part == EXPLAIN_COLD;
    char at[24];

    if (h->note)
        column_add(c, DIM, 4, "  ; %s", h->note);
    snprintf(at, sizeof at, "%s.%02x", cold ? "cold" : "", h->offset);
    column_add(c, cold ? DIM : "", 10, "%-*s %s", cold ? 8 : 5, at, h->text);
}

static void add_hosts(struct column *c, const struct explain_block *b, uint32_t guest)
{
    for (unsigned i = 0; i < b->host_count; i++)
        if (b->host[i].guest == guest)
            add_host(c, &b->host[i]);
    if (!c->count && b->translated)
        column_add(c, DIM, 0, "  ; nothing");
}

/* --- blocks --- */

static void print_exit(const struct text *t, const struct explain_block *b, unsigned i)
{
    const struct explain_exit *x = &b->exit[i];
    bool direct = x->kind <= EXPLAIN_EXIT_SITE;

    fprintf(t->to, "  %s", direct ? "exit" : "out ");
    if (direct)
        fprintf(t->to, "%u to %llx", i, (unsigned long long)x->target);
    fprintf(t->to, " of %s: %s", b->guest[x->guest].text, explain_exit_name(x->kind));
    if (!x->can_link)
        fputs(" (switched off)", t->to);
    else if (b->cached && direct)
        fputs(x->linked ? " (linked)" : " (not linked yet)", t->to);
    fputc('\n', t->to);
}

static void print_block(struct text *t, const struct explain_block *b)
{
    char title[128];

    explain_block_title(b, title);
    fprintf(t->to, "\n%sblock %llx%s: %s\n", t->color ? BOLD : "", (unsigned long long)b->pc,
            t->color ? COLUMN_PLAIN : "", title);
    fprintf(t->to, "%u instruction%s, %u byte%s; ", b->guest_count, b->guest_count == 1 ? "" : "s", b->guest_bytes,
            b->guest_bytes == 1 ? "" : "s");
    if (b->translated)
        fprintf(t->to, "host code: %u bytes, and %u cold ones\n\n", b->hot_bytes, b->cold_bytes);
    else
        fprintf(t->to, "not translated: %s\n\n", b->why);
    if (b->differs)
        fputs("the machine's own block was made in other circumstances\n\n", t->to);
    if (b->host_count && b->host[0].guest == EXPLAIN_NO_GUEST) {
        column_add(&t->left, "", 0, "(the block's entries)");
        add_hosts(&t->right, b, EXPLAIN_NO_GUEST);
        column_print(&t->left, &t->right, t->color, t->to);
    }
    for (unsigned i = 0; i < b->guest_count; i++) {
        add_guest(&t->left, &b->guest[i]);
        add_hosts(&t->right, b, i);
        column_print(&t->left, &t->right, t->color, t->to);
    }
    if (b->exit_count)
        fputc('\n', t->to);
    for (unsigned i = 0; i < b->exit_count; i++)
        print_exit(t, b, i);
}

static unsigned terminal_width(FILE *to)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    unsigned width = 0;

    if (columns)
        width = (unsigned)strtoul(columns, NULL, 10);
    else if (!ioctl(fileno(to), TIOCGWINSZ, &size))
        width = size.ws_col;
    if (!width)
        width = PIPE_WIDTH;
    return width < LEAST_WIDTH ? LEAST_WIDTH : width > COLUMN_MOST ? COLUMN_MOST : width;
}

static void print_end(const struct text *t, const struct explanation *e)
{
    fputc('\n', t->to);
    for (unsigned c = 0; c < EXPLAIN_CLASSES; c++) {
        unsigned count = explain_count(e, (enum explain_class)c);

        if (count)
            fprintf(t->to, "%5u %s%s%s\n", count, t->color ? class_colors[c] : "",
                    explain_class_name((enum explain_class)c), t->color ? COLUMN_PLAIN : "");
    }
    if (e->has_rest)
        fprintf(t->to, "the bytes at %llx are only a part of an instruction\n", (unsigned long long)e->rest);
    if (e->more)
        fprintf(t->to, "there is more: --blocks N shows more than %llu blocks\n",
                (unsigned long long)e->options->blocks);
}

static void start(struct text *t, FILE *to, enum explain_color color)
{
    *t = (struct text){.to = to, .width = terminal_width(to)};
    t->color = color == EXPLAIN_COLOR_ALWAYS || (color == EXPLAIN_COLOR_AUTO && isatty(fileno(to)));
    t->left.width = t->width * 2 / 5 < LEFT_MOST ? t->width * 2 / 5 : LEFT_MOST;
    t->right.width = t->width - t->left.width - 3;
}

static void finish(struct text *t)
{
    free(t->left.line);
    free(t->right.line);
}

void explain_write_text(const struct explanation *e, FILE *to)
{
    struct text t;

    start(&t, to, e->options->color);
    fprintf(to, "%s\n", e->code->name);
    fputs("In host code guest RAX is in R10, guest RSP in R15, guest R10, R11 and R15 in memory; RAX and R11 are\n"
          "scratch, gs: is the vCPU, fs: a kernel's window; the host's stack predicts returns; \"cold\" code is "
          "seldom "
          "run.\n",
          to);
    for (unsigned i = 0; i < e->count; i++)
        print_block(&t, e->block[i]);
    print_end(&t, e);
    finish(&t);
}

void explain_print_block(const struct explain_block *block, FILE *to)
{
    struct text t;

    start(&t, to, EXPLAIN_COLOR_NEVER);
    print_block(&t, block);
    finish(&t);
}
