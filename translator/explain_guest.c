/*
 * explain_guest.c - the guest's side of an explanation: each instruction, what it is to a translator, its flags.
 *
 * Interface: explain_internal.h. What the translator knows of the instructions is in t->insns, as it was decoded.
 */
#include "translator/explain_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word, *name;
} classes[EXPLAIN_CLASSES] = {
    [EXPLAIN_COPIED] = {"copied", "copied"},
    [EXPLAIN_REPLACED] = {"replaced", "replaced"},
    [EXPLAIN_MEMORY] = {"memory", "memory operand rewritten"},
    [EXPLAIN_INTERPRETED] = {"interpreted", "handed to the interpreter"},
    [EXPLAIN_FLOW] = {"flow", "control flow"},
    [EXPLAIN_SENSITIVE] = {"sensitive", "sensitive, but does not trap"},
    [EXPLAIN_PRIVILEGED] = {"privileged", "privileged"},
};

const char *explain_class_name(enum explain_class class)
{
    return classes[class].name;
}

const char *explain_class_word(enum explain_class class)
{
    return classes[class].word;
}

static bool is_flow(const struct insn *in)
{
    return in->category == ZYDIS_CATEGORY_COND_BR || in->category == ZYDIS_CATEGORY_UNCOND_BR ||
           in->category == ZYDIS_CATEGORY_CALL || in->category == ZYDIS_CATEGORY_RET;
}

static enum explain_class classify(const struct insn *in, const struct explain_guest *g)
{
    if (g->sensitive)
        return g->sensitive->privileged ? EXPLAIN_PRIVILEGED : EXPLAIN_SENSITIVE;
    if (in->valid && is_flow(in))
        return EXPLAIN_FLOW;
    if (g->interpreted)
        return EXPLAIN_INTERPRETED;
    if (in->row == lower_nothing || in->mnemonic == ZYDIS_MNEMONIC_LEA)
        return EXPLAIN_REPLACED;
    if (in->memory)
        return EXPLAIN_MEMORY;
    return in->row == lower_copy ? EXPLAIN_COPIED : EXPLAIN_REPLACED;
}

/* --- flags --- */

static void describe_recipe(const struct flags_recipe *r, char *text, size_t size)
{
    static const char *const kinds[] = {[RECIPE_ADD] = "ADD",
                                        [RECIPE_SUB] = "SUB",
                                        [RECIPE_CMP] = "CMP",
                                        [RECIPE_TEST] = "TEST",
                                        [RECIPE_NEG] = "NEG"};

    snprintf(text, size, "nowhere; a fault would compute them as %s left them", kinds[r->kind]);
}

/* In front of the instruction's host code. */
static void describe_place(const struct explainer *x, unsigned i, struct explain_guest *g)
{
    const struct insn_map *m = &block_map(x->made)[i];

    if (!m->flags_saved_start)
        snprintf(g->flags_at, sizeof g->flags_at, "in the host's");
    else if (m->recipe)
        describe_recipe(&x->t->recipe[m->recipe], g->flags_at, sizeof g->flags_at);
    else
        snprintf(g->flags_at, sizeof g->flags_at, "in memory");
}

/* It may leave all of them as they were: a shift by a count that may be 0. */
static bool may_keep_flags(const struct insn *in)
{
    return in->flags_needed && !in->flags_read && in->flags_written == FLAGS_ALL_SIX;
}

/* Control may go from here to where nothing is known, in the middle of the block too. */
static bool is_way_out(const struct insn *in)
{
    if (!in->valid || in->category == ZYDIS_CATEGORY_COND_BR)
        return true;
    return in->ends && !is_flow(in);
}

/* From the last to the first: what is live in front of an instruction follows from what is live behind it. */
static void find_live_flags(const struct insn *insns, struct explain_guest *guest, unsigned count)
{
    uint16_t live = FLAGS_ALL_SIX;

    for (unsigned i = count; i-- > 0;) {
        const struct insn *in = &insns[i];

        guest[i].flags_live = live;
        if (is_way_out(in)) {
            live = FLAGS_ALL_SIX;
            continue;
        }
        if (!may_keep_flags(in))
            live &= (uint16_t)~in->flags_written;
        live |= in->flags_read;
    }
}

/* --- instructions --- */

static void disassemble(struct dump *d, const struct insn *in, struct explain_guest *g)
{
    const uint8_t *bytes = in->bytes;
    struct dump_insn insn;
    size_t size = in->length;
    uint64_t address = in->pc;

    if (!in->valid || !dump_next(d, &bytes, &size, &address, &insn))
        snprintf(g->text, sizeof g->text, "(does not decode)");
    else
        memcpy(g->text, insn.text, sizeof g->text);
}

static void take(struct explainer *x, struct dump *d, unsigned i)
{
    const struct insn *in = &x->t->insns[i];
    struct explain_guest *g = &x->out->guest[i];

    g->pc = in->pc;
    g->length = in->length;
    memcpy(g->bytes, in->bytes, in->length);
    disassemble(d, in, g);
    g->sensitive = sensitive_find(in);
    g->lacking = in->valid && in->lacking;
    g->interpreted = true;
    if (x->made) {
        const struct insn_map *m = &block_map(x->made)[i];

        g->interpreted = m->by_interpreter || m->to_run_loop;
        describe_place(x, i, g);
    }
    g->class = classify(in, g);
    g->flags_read = in->valid ? in->flags_read : 0;
    g->flags_written = in->valid ? in->flags_written : 0;
    x->out->guest_bytes += in->length;
}

/* An instruction that ends the block in spite of what was decoded has no one behind it. */
static unsigned count_made(const struct explainer *x, unsigned count)
{
    const struct insn_map *map = block_map(x->made);
    unsigned made = 1;

    while (made < count && map[made].length)
        made++;
    return made;
}

int explain_guest_side(struct explainer *x, unsigned count)
{
    struct explain_block *out = x->out;
    struct dump *d = dump_open(out->bits, x->syntax, NULL);

    if (x->made)
        count = count_made(x, count);
    out->guest = d ? calloc(count + 1, sizeof *out->guest) : NULL;
    if (!out->guest) {
        dump_close(d);
        return -ENOMEM;
    }
    out->guest_count = count;
    for (unsigned i = 0; i < count; i++)
        take(x, d, i);
    find_live_flags(x->t->insns, out->guest, count);
    dump_close(d);
    return 0;
}
