/*
 * window_loop.c - a block in a window that jumps back to its own start: what moves by a constant an iteration is
 * probed once.
 *
 *   entry:  probe each such place
 *   again:  the instructions;  jcc again
 *
 * Interface: lower.h. An access that has been made was to a page of the window, and around the places that a
 * window may not have there is WINDOW_GUARD of nothing. So the access that one iteration makes proves the next
 * one's address, as long as both are in reach of each other. Invariant: such a place has an access in each
 * iteration that is surely made, and [low, high) of its accesses and its step an iteration are each a quarter of
 * the guard at most.
 *
 * The jump back is an exit like any other (block.again): if the block is invalidated, it leaves. So it does where
 * the interpreter has run an instruction, which may have been to an address that is not the window's.
 */
#include "translator/lower.h"

#define REACH ((int32_t)(WINDOW_GUARD / 4))

static bool in_reach(int64_t distance)
{
    return distance <= REACH && distance >= -REACH;
}

/* Where the instruction's operand is, if it is at the place; else 0. */
static int32_t offset_of(const struct lower *l, const struct insn *in, struct place place)
{
    struct place other;
    int32_t at;

    for (unsigned k = 0; in->memory && k < in->operand_count; k++)
        if (in->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY && group_operand(l, in, &in->op[k], &other, &at) &&
            group_same_place(place, other))
            return at;
    return 0;
}

static bool stays_in_reach(const struct lower *l, struct place place)
{
    int32_t moved = 0, step;

    for (unsigned i = 0; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];

        if (!in_reach((int64_t)moved + offset_of(l, in, place)) || !group_place_effect(in, place, &step) ||
            !in_reach(moved += step))
            return false;
    }
    return true;
}

static void add_place(struct lower *l, struct place place)
{
    struct window_loop *ahead = &l->ahead;

    for (unsigned k = 0; k < ahead->count; k++)
        if (group_same_place(ahead->place[k], place))
            return;
    if (l->rsp.kept && place.base == RSP && place.index == PLACE_NONE)
        return; /* sure anyway */
    if (ahead->count < WINDOW_LOOP_MAX && place.base < PLACE_FIXED && place.segment == PLACE_NONE &&
        stays_in_reach(l, place))
        ahead->place[ahead->count++] = place;
}

/* lower_copy's operands, which are reached in each iteration, unless something masks them. */
static void find_places(struct lower *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];
        struct place place;
        int32_t at;

        for (unsigned k = 0; in->row == lower_copy && in->memory && !in->masked && k < in->operand_count; k++)
            if (in->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY && group_operand(l, in, &in->op[k], &place, &at))
                add_place(l, place);
    }
}

static bool is_loop(const struct lower *l)
{
    const struct insn *last = &l->t->insns[l->count - 1];

    if (!l->windowed || !l->wide || !l->t->options.loop || l->seen || !flow_loops(l))
        return false;
    for (unsigned i = 0; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];

        if (!lower_keeps_registers(in) || in->row == lower_call ||
            (in != last && in->row == lower_branch && flow_target(in) == l->block->pc))
            return false; /* an iteration has to be whole */
    }
    return true;
}

void window_loop_enter(struct lower *l)
{
    l->ahead.count = 0;
    if (!is_loop(l))
        return;
    find_places(l);
    for (unsigned k = 0; k < l->ahead.count; k++) {
        struct place p = l->ahead.place[k];
        int at = p.index == PLACE_NONE ? host_register(p.base) : NOT_RESIDENT;

        if (at == NOT_RESIDENT) {
            group_clobber_r11(l);
            group_emit_place(l, p, 0, 0);
            at = H_RAX;
        }
        window_probe(l, at);
        window_note_probed(l, p, 0);
    }
    if (l->ahead.count)
        l->block->again = emit_here(&l->e);
}
