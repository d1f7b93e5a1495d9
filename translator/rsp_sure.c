/*
 * rsp_sure.c - RSP of 64-bit user code in a window: accesses near it need no probe.
 *
 * Interface: lower.h. Invariant: wherever such code enters or leaves a block, RSP is within WINDOW_SLACK of an
 * address that the window may have. C sees to it where it comes from C (translator_mode: else other code runs,
 * which does without the window), and SYSRET without C goes back to the RSP of the last SYSCALL (crossing.c). Here
 * it is kept: lower.rsp says of an address how far it is from RSP; it is one that has been probed, or that an
 * access has been made to, through the window, by now. (An access in reach of an allowed address does not come to
 * what novt has there, as for a probe; so where it has been made, the window has a page.) Where RSP has moved away
 * from it by more than the slack, or in a way that is not known, an instruction that may leave the block begins
 * with a probe. The state in front of it is that of the guest's instruction, so that a fault there is like any
 * other of a probe.
 */
#include "translator/lower.h"

static bool changes_rsp(const struct insn *in)
{
    return in->writes >> RSP & 1;
}

/* What the instruction adds to RSP. false: that is not known, or it is too far. */
static bool effect(const struct insn *in, int32_t *delta)
{
    return group_place_effect(in, (struct place){RSP, PLACE_NONE, 1, PLACE_NONE}, delta) &&
           *delta <= WINDOW_SLACK / 2 && *delta >= -WINDOW_SLACK / 2;
}

static bool releases_much(const struct insn *in)
{
    return in->row == lower_return && in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
           in->op[0].imm.u > WINDOW_SLACK / 2;
}

void rsp_sure_begin(struct lower *l)
{
    struct insn *last = &l->t->insns[l->count - 1];
    int32_t delta;

    l->rsp.kept = l->wide && translator_in_user_window(l->mode) && l->t->options.sure_rsp;
    rsp_sure_note(l, 0, WINDOW_SLACK);
    if (!l->rsp.kept)
        return;
    if (last->ends ? releases_much(last) : changes_rsp(last) && !effect(last, &delta))
        last->row = lower_step; /* C looks where it comes to */
}

void rsp_sure_note(struct lower *l, int64_t at, int32_t slack)
{
    l->rsp.known = at <= WINDOW_REACH && at >= -WINDOW_REACH;
    l->rsp.at = (int32_t)at;
    l->rsp.slack = slack;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a < b ? b - a : a - b;
}

bool rsp_sure_reaches(const struct lower *l, int64_t disp)
{
    return l->rsp.known && distance(disp, l->rsp.at) + l->rsp.slack <= WINDOW_REACH;
}

void rsp_sure_accessed(struct lower *l, int64_t disp)
{
    if (!l->rsp.known || distance(disp, 0) < distance(l->rsp.at, 0) + l->rsp.slack)
        rsp_sure_note(l, disp, 0);
}

/* By an access of its own, or in C. */
static bool keeps_itself(const struct lower *l)
{
    return (l->windowed && (l->in->row == lower_call || l->in->row == lower_return)) || l->in->row == lower_step;
}

void rsp_sure_prove(struct lower *l)
{
    int32_t delta;

    if (!l->rsp.kept || keeps_itself(l) || !(l->in->ends || l->in->side_exit || l->index + 1 == l->count))
        return;
    if (effect(l->in, &delta) && l->rsp.known && distance(l->rsp.at, delta) + l->rsp.slack <= WINDOW_SLACK)
        return; /* CALL and RET without the window move it unseen */
    window_probe(l, H_R15);
    rsp_sure_note(l, -l->rsp_lag, 0);
}

void rsp_sure_advance(struct lower *l)
{
    int32_t delta;

    if (l->map[l->index].by_interpreter)
        rsp_sure_note(l, 0, WINDOW_SLACK);
    else if (l->windowed && (l->in->row == lower_call || l->in->row == lower_leave))
        rsp_sure_note(l, -(int32_t)l->word, 0); /* RET, LEAVE have read there */
    else if (!group_place_effect(l->in, (struct place){RSP, PLACE_NONE, 1, PLACE_NONE}, &delta))
        l->rsp.known = false;
    else if (l->rsp.known)
        rsp_sure_note(l, (int64_t)l->rsp.at - delta, l->rsp.slack);
}
