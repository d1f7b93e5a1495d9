/*
 * relocate.c - a block again at another linear address: what address space layout randomization makes of
 * libraries.
 *
 * Interface: lower.h; relocate_copy.c makes the copies. Processes run the same code, in the same pages of RAM, at
 * other linear addresses. What of a block's code follows from its address is noted while it is made, so that
 * another one like it can be had by copying:
 *
 *   a constant      f(linear address), an immediate operand or a displacement: made anew
 *   rel32           to permanent code, or between the block's two parts, which both move: adjusted
 *   an exit         its number, cell and target are the copy's own; it is not linked
 *
 * Invariant: a copy is, but for its place, what translating the bytes at its address would have made.
 * (relocate-check=on does both and compares.) Where a constant would take another encoding, or the window does not
 * allow at the new address what it allowed at the old one, there is no copy. Code at CPL 3 alone moves like this.
 */
#include "translator/relocate.h"

#include <string.h>

/* What a fixed address in an operand does not tell: whether it follows from RIP. */
static bool has_absolute_operand(const struct lower *l)
{
    for (unsigned i = 0; i < l->count; i++)
        for (unsigned k = 0; k < l->t->insns[i].operand_count; k++) {
            const struct operand *op = &l->t->insns[i].op[k];
            bool rip = op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP;

            if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && l->wide &&
                (rip ? place_segment(op) != PLACE_NONE || l->t->insns[i].address_width != 64
                     : op->mem.base == ZYDIS_REGISTER_NONE && place_segment(op) == PLACE_NONE))
                return true;
        }
    return false;
}

static bool is_wanted(const struct lower *l)
{
    const struct translator_options *o = &l->t->options;

    return o->relocate && !o->lockstep && !o->enters && !l->t->breakpoint_count && !l->t->max_instructions &&
           (l->mode & MODE_CPL) == 3 && !l->segmented && l->windowed == !!(l->mode & MODE_WINDOW) &&
           !(l->mode & MODE_NO_GROUP) && !lookup_is_ungrouped(l->t, l->block->pc) &&
           l->block->second.gpa == CACHE_NO_PAGE && l->block->loose[0].to == 0 && !has_absolute_operand(l);
}

void relocate_begin(struct lower *l)
{
    l->reloc_count = l->sites.count = 0;
    l->relocatable = is_wanted(l);
    l->e.sites = l->relocatable ? &l->sites : NULL;
}

static void note(struct lower *l, uint8_t *at, enum reloc_kind kind, int64_t value)
{
    if (!l->relocatable)
        return;
    if (l->reloc_count == RELOC_MAX || value != (int32_t)value) {
        l->relocatable = false;
        return;
    }
    l->reloc[l->reloc_count++] = (struct reloc_note){at, kind, (int32_t)value};
}

static int64_t from_pc(const struct lower *l, gva_t linear)
{
    return l->wide ? (int64_t)(linear - l->block->pc) : (int32_t)(uint32_t)(linear - l->block->pc);
}

void relocate_note(struct lower *l, unsigned size, enum reloc_kind kind, gva_t linear)
{
    note(l, l->e.at - size, kind, from_pc(l, linear));
}

void relocate_note_exit(struct lower *l, unsigned size, enum reloc_kind kind, const struct block_exit *exit)
{
    note(l, l->e.at - size, kind, exit - l->exits);
}

void relocate_mov(struct lower *l, int reg, gva_t linear)
{
    uint8_t *from = l->e.at;

    emit_mov_imm(&l->e, reg, linear);
    if (l->e.at - from > 8)
        relocate_note(l, 8, RELOC_WORD, linear);
    else
        relocate_note(l, 4, linear <= UINT32_MAX ? RELOC_UNSIGNED : RELOC_SIGNED, linear);
}

void relocate_note_fixed(struct lower *l, unsigned size, enum reloc_kind kind, gva_t linear)
{
    if (l->wide)
        relocate_note(l, size, kind, linear);
}

void relocate_mov_fixed(struct lower *l, int reg, gva_t linear)
{
    if (l->wide)
        relocate_mov(l, reg, linear);
    else
        emit_mov_imm(&l->e, reg, linear);
}

void relocate_copied(struct lower *l, const uint8_t *from, const uint8_t *to, const uint8_t *end)
{
    unsigned count = l->reloc_count;

    for (unsigned i = 0; i < count; i++)
        if (l->reloc[i].at >= from && l->reloc[i].at < from + (end - to))
            note(l, l->reloc[i].at + (to - from), l->reloc[i].kind, l->reloc[i].value);
    for (unsigned i = 0; i < l->sites.count && i < EMIT_SITES; i++)
        l->relocatable &= l->sites.at[i] < from || l->sites.at[i] >= from + (end - to);
}

static bool is_exits(const struct lower *l, const uint8_t *at)
{
    for (unsigned i = 0; i < l->exit_count; i++)
        if (l->exits[i].patch == at || l->exits[i].recipe_patch == at)
            return true;
    return false;
}

/* The kind of a displacement; RELOC_NONE: it is good wherever the block is. */
static enum reloc_kind kind_of_site(const struct lower *l, const uint8_t *at)
{
    const struct block *b = l->block;
    const uint8_t *execute = at + l->e.execute_delta, *target;
    bool cold = relocate_inside(b, execute, true);
    int32_t distance;

    memcpy(&distance, at, 4);
    target = execute + 4 + distance;
    if (is_exits(l, at) || relocate_inside(b, target, cold))
        return RELOC_NONE;
    return relocate_inside(b, target, !cold) ? RELOC_ACROSS : RELOC_OUT;
}

void relocate_end(struct lower *l)
{
    struct block *b = l->block;
    struct block_reloc *r;
    unsigned count = 0;

    if (!l->relocatable || l->sites.count > EMIT_SITES)
        return;
    r = cache_allocate(&l->t->cache, (l->reloc_count + l->sites.count) * sizeof *r);
    if (!r)
        return;
    for (unsigned i = 0; i < l->reloc_count; i++)
        r[count++] = (struct block_reloc){relocate_offset(b, l->reloc[i].at + l->e.execute_delta),
                                          (uint8_t)l->reloc[i].kind, l->reloc[i].value};
    for (unsigned i = 0; i < l->sites.count; i++) {
        enum reloc_kind kind = kind_of_site(l, l->sites.at[i]);

        if (kind != RELOC_NONE)
            r[count++] =
                (struct block_reloc){relocate_offset(b, l->sites.at[i] + l->e.execute_delta), (uint8_t)kind, 0};
    }
    cache_shrink(&l->t->cache, r, count * sizeof *r);
    b->reloc = r;
    b->reloc_count = (uint16_t)count;
}
