/*
 * html.c - an explanation as one page that needs nothing else.
 *
 * Interface: internal.h. page.html is around what is written here: style, and the script that
 * links guest and host code and hides classes. Invariant: what comes from the user or the code is written by
 * put_text.
 */
#include <string.h>

#include "vmm/explain/internal.h"

static const char page[] =
#include "vmm/explain_page.inc"
    ;
#define HOLE "@@EXPLANATION@@\n"

static void put_text(FILE *to, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
}

/* What the elements of one guest instruction, of the block's number, have in common. */
static void put_key(FILE *to, unsigned block, const struct explain_block *b, uint32_t guest)
{
    if (guest == EXPLAIN_NO_GUEST)
        fprintf(to, " data-key=\"b%uentry\"", block);
    else
        fprintf(to, " data-key=\"b%ui%u\" data-class=\"%s\"", block, guest,
                explain_class_word(b->guest[guest].class));
}

static void put_flags(FILE *to, const char *what, uint16_t flags)
{
    char text[32];

    explain_flag_names(flags, "none", text);
    fprintf(to, "%s %s; ", what, text);
}

static void put_sensitive(FILE *to, const struct sensitive *s)
{
    char kind[128];

    explain_sensitive_name(s, kind);
    fprintf(to, "<div class=\"kind\">%s</div><small>%s (%s)</small>", kind, s->reason, s->manual);
}

static void put_guest(FILE *to, unsigned block, const struct explain_block *b, unsigned i)
{
    const struct explain_guest *g = &b->guest[i];

    fputs("<div class=\"guest\" tabindex=\"0\"", to);
    put_key(to, block, b, i);
    fprintf(to, "><code class=\"bytes\">%llx: ", (unsigned long long)g->pc);
    for (unsigned k = 0; k < g->length; k++)
        fprintf(to, "%02x ", g->bytes[k]);
    fputs("</code><br><code class=\"asm\">", to);
    put_text(to, g->text);
    fprintf(to, "</code><div class=\"kind\">%s%s%s</div>", explain_class_name(g->class),
            g->interpreted && g->class != EXPLAIN_INTERPRETED ? "; the interpreter runs it" : "",
            g->lacking ? "; the CPU model lacks it" : "");
    if (g->sensitive)
        put_sensitive(to, g->sensitive);
    fputs("<small>flags: ", to);
    if (g->flags_read)
        put_flags(to, "read", g->flags_read);
    if (g->flags_written)
        put_flags(to, "written", g->flags_written);
    put_flags(to, "live behind it:", g->flags_live);
    if (g->flags_at[0])
        fprintf(to, "before it they are %s", g->flags_at);
    fputs("</small></div>\n", to);
}

static void put_line(FILE *to, const struct explain_host *h, bool cold)
{
    fprintf(to, "<span class=\"at\">%s.%02x</span>", cold ? "cold" : "", h->offset);
    put_text(to, h->text);
    fputc('\n', to);
}

/* The code of an instruction, or the entry, that lies in line. */
static void put_hot(FILE *to, unsigned block, const struct explain_block *b, uint32_t guest)
{
    unsigned lines = 0;

    fputs("<pre class=\"host\"", to);
    put_key(to, block, b, guest);
    fputc('>', to);
    for (unsigned i = 0; i < b->host_count; i++) {
        const struct explain_host *h = &b->host[i];

        if (h->guest != guest || h->part == EXPLAIN_COLD)
            continue;
        if (h->note)
            fprintf(to, "<span class=\"note\">; %s</span>\n", h->note);
        put_line(to, h, false);
        lines++;
    }
    if (!lines)
        fputs(b->translated ? "<span class=\"note\">; nothing</span>"
                            : "<span class=\"note\">; the interpreter</span>",
              to);
    fputs("</pre>", to);
}

static void put_pairs(FILE *to, unsigned block, const struct explain_block *b)
{
    if (b->host_count && b->host[0].guest == EXPLAIN_NO_GUEST) {
        fputs("<div class=\"pair\"><div", to);
        put_key(to, block, b, EXPLAIN_NO_GUEST);
        fputs("><small>the block's entries</small></div>", to);
        put_hot(to, block, b, EXPLAIN_NO_GUEST);
        fputs("</div>\n", to);
    }
    for (unsigned i = 0; i < b->guest_count; i++) {
        fprintf(to, "<div class=\"pair\" data-class=\"%s\">", explain_class_word(b->guest[i].class));
        put_guest(to, block, b, i);
        put_hot(to, block, b, i);
        fputs("</div>\n", to);
    }
}

/* Pieces of cold code: each begins with a note. */
static void put_cold(FILE *to, unsigned block, const struct explain_block *b)
{
    bool open = false;

    for (unsigned i = 0; i < b->host_count; i++) {
        const struct explain_host *h = &b->host[i];

        if (h->part != EXPLAIN_COLD)
            continue;
        if (h->note) {
            fputs(open ? "</pre></div>\n<div class=\"piece\"" : "<h3>Cold code</h3>\n<div class=\"piece\"", to);
            put_key(to, block, b, h->guest);
            fprintf(to, "><small>%s</small><pre>", h->note);
            open = true;
        }
        put_line(to, h, true);
    }
    if (open)
        fputs("</pre></div>\n", to);
}

static void put_exits(FILE *to, unsigned block, const struct explain_block *b)
{
    if (!b->exit_count)
        return;
    fputs("<h3>Exits</h3>\n<ul>\n", to);
    for (unsigned i = 0; i < b->exit_count; i++) {
        const struct explain_exit *x = &b->exit[i];

        fputs("<li", to);
        put_key(to, block, b, x->guest);
        fputc('>', to);
        if (x->kind <= EXPLAIN_EXIT_SITE)
            fprintf(to, "exit%u to <code>%llx</code>: ", i, (unsigned long long)x->target);
        fprintf(to, "%s%s</li>\n", explain_exit_name(x->kind), x->can_link ? "" : " (switched off)");
    }
    fputs("</ul>\n", to);
}

static void put_block(FILE *to, unsigned number, const struct explain_block *b)
{
    char title[128];

    explain_block_title(b, title);
    fprintf(to, "<section>\n<h2>block <code>%llx</code></h2>\n<p class=\"note\">%s", (unsigned long long)b->pc,
            title);
    if (b->translated)
        fprintf(to, "; %u instructions, %u bytes; host code: %u bytes, and %u cold ones</p>\n", b->guest_count,
                b->guest_bytes, b->hot_bytes, b->cold_bytes);
    else
        fprintf(to, "; not translated: %s</p>\n", b->why);
    put_pairs(to, number, b);
    put_cold(to, number, b);
    put_exits(to, number, b);
    fputs("</section>\n", to);
}

static void put_filter(FILE *to, const struct explanation *e)
{
    fputs("<fieldset id=\"filter\">\n", to);
    for (unsigned c = 0; c < EXPLAIN_CLASSES; c++) {
        unsigned count = explain_count(e, (enum explain_class)c);
        const char *word = explain_class_word((enum explain_class)c);

        if (count)
            fprintf(to,
                    "<label data-class=\"%s\"><input type=\"checkbox\" value=\"%s\" checked><span "
                    "class=\"dot\"></span>"
                    "%s (%u)</label>\n",
                    word, word, explain_class_name((enum explain_class)c), count);
    }
    fputs("</fieldset>\n", to);
}

void explain_write_html(const struct explanation *e, FILE *to)
{
    const char *hole = strstr(page, HOLE);

    fwrite(page, 1, (size_t)(hole - page), to);
    fputs("<header><h1>novt explain</h1><code>", to);
    put_text(to, e->code->name);
    fputs("</code><button id=\"dark\">light / dark</button></header>\n<p class=\"note\">Left the guest's "
          "instructions, "
          "right what the translator made of them; hover or click to see what belongs together. In host code "
          "guest RAX "
          "is in R10, guest RSP in R15, guest R10, R11 and R15 in memory; RAX and R11 are scratch, gs: is the "
          "vCPU, fs: a kernel's window; the host's stack predicts returns.</p>\n",
          to);
    put_filter(to, e);
    for (unsigned i = 0; i < e->count; i++)
        put_block(to, i, e->block[i]);
    if (e->has_rest)
        fprintf(to, "<p class=\"note\">The bytes at %llx are only a part of an instruction.</p>\n",
                (unsigned long long)e->rest);
    if (e->more)
        fprintf(to, "<p class=\"note\">There is more: --blocks N shows more than %llu blocks.</p>\n",
                (unsigned long long)e->options->blocks);
    fputs(hole + strlen(HOLE), to);
}
