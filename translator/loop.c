/*
 * loop.c - a block that jumps back to its own start: its memory checks are done before the loop.
 *
 * Interface: lower.h. When every access of the block is at a place (group.c) that moves by a constant an
 * iteration, the places are checked once, and each gets a host register, borrowed from a guest register that the
 * block does not use; an iteration then adds its constant and compares with the end of the page:
 *
 *   entry:  check each place; note its pointer and limit; put the borrowed registers aside; jmp top
 *   next:   lea p, [p + constant];  cmp p, gs:[limit];  ja cold    ; for each place that moves
 *   top:    the instructions;  jcc next
 *           the borrowed registers again; on behind the loop
 *   cold:   the borrowed registers again; jmp entry
 *
 * Nothing in the loop calls C, so the TLB cannot change under it. Host faults and polls give the borrowed
 * registers back (signals.c, block.borrowed). A place whose range is not in one page: the version without groups
 * runs.
 */
#include "translator/lower.h"

static struct loop_place *find_place(struct loop *loop, struct place place)
{
    for (unsigned i = 0; i < loop->count; i++)
        if (group_same_place(loop->place[i].place, place))
            return &loop->place[i];
    return NULL;
}

/* What one iteration adds to the place; false if that is not known. */
static bool whole_delta(const struct lower *l, struct place place, int32_t *delta)
{
    int32_t step;

    *delta = 0;
    for (unsigned i = 0; i < l->count; i++) {
        if (!group_place_effect(&l->t->insns[i], place, &step))
            return false;
        *delta += step;
    }
    return true;
}

static bool add_access(struct lower *l, const struct insn *in, const struct operand *op, unsigned index)
{
    struct loop *loop = &l->loop;
    int32_t disp, delta = 0, step;
    struct loop_place *p;
    struct place place;

    /* A pointer that moves is compared with its page's end, not with its segment's. */
    if (!group_operand(l, in, op, &place, &disp) || (!l->wide && place.segment != PLACE_NONE))
        return false;
    for (unsigned i = 0; i < index; i++) {
        if (!group_place_effect(&l->t->insns[i], place, &step))
            return false;
        delta += step;
    }
    disp += delta;
    p = find_place(loop, place);
    if (!p) {
        if (loop->count == LOOP_MAX)
            return false;
        p = &loop->place[loop->count++];
        *p = (struct loop_place){.place = place, .low = disp, .high = disp};
        if (!whole_delta(l, place, &p->delta))
            return false;
    }
    if (disp < p->low)
        p->low = disp;
    if (disp + (int32_t)(op->size / 8) > p->high)
        p->high = disp + (int32_t)(op->size / 8);
    p->write |= op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    return (int64_t)p->high - p->low <= GROUP_MAX_SPAN;
}

static bool add_instruction(struct lower *l, const struct insn *in, unsigned index)
{
    if (in->row == lower_nothing || in->row == lower_lea)
        return true;
    if (in->row != lower_copy || in->masked || (in->memory && in->high_byte))
        return false;
    for (unsigned i = 0; in->memory && i < in->operand_count; i++)
        if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && !add_access(l, in, &in->op[i], index))
            return false;
    return true;
}

/* Gives each place a register. */
static bool borrow(struct lower *l)
{
    uint16_t spare = group_spare_registers(l);
    unsigned k = 0;

    for (unsigned guest = 0; guest < 16 && k < l->loop.count; guest++)
        if (spare >> guest & 1) {
            l->loop.place[k++].reg = (uint8_t)guest;
            l->block->borrowed |= (uint16_t)(1u << guest);
        }
    return k == l->loop.count;
}

static bool is_loop(struct lower *l)
{
    if (!l->grouping || !l->t->options.loop || l->seen || !flow_loops(l) || !flags_look_ahead(l, 0).overwritten)
        return false;
    for (unsigned i = 0; i + 1 < l->count; i++)
        if (!add_instruction(l, &l->t->insns[i], i))
            return false;
    return l->loop.count && borrow(l);
}

void loop_find(struct lower *l)
{
    l->loop.count = 0;
    l->loop.active = is_loop(l);
    if (!l->loop.active)
        l->block->borrowed = 0;
}

static void emit_borrowed(struct lower *l, unsigned opcode, int32_t from)
{
    for (unsigned k = 0; k < l->loop.count; k++)
        emit_op_vcpu(&l->e, true, opcode, l->loop.place[k].reg, H_NONE, from + 8 * (int32_t)k);
}

/* Checks place k and notes its pointer and how far it may move. */
static void emit_check(struct lower *l, unsigned k)
{
    struct loop_place *p = &l->loop.place[k];
    int32_t span = p->high - p->low;
    struct pointer at = group_check_range(
        l, p->place, p->low, (uint32_t)span | (p->write ? MEMORY_WRITE : 0) | MEMORY_GROUP | MEMORY_BEFORE, H_R11);

    l->store_cold = -1;
    emit_op_mem(&l->e, true, OP_LEA, H_RAX, at.reg, at.index, 1, at.disp);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(loop_pointer) + 8 * (int32_t)k);
    if (!p->delta)
        return;
    if (p->delta > 0) {
        emit_op_imm(&l->e, true, 1, H_RAX, PAGE_SIZE - 1); /* or */
        emit_op_imm(&l->e, true, 5, H_RAX, span - 1);
    } else {
        emit_op_imm(&l->e, true, 4, H_RAX, -(int32_t)PAGE_SIZE);
    }
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(loop_limit) + 8 * (int32_t)k);
}

static void emit_next(struct lower *l)
{
    if (!l->loop_recipe) {
        l->flags = FLAGS_HOST;
        l->recipe = 0;
        flags_save(l);
        l->flags = FLAGS_SAVED;
    }
    for (unsigned k = 0; k < l->loop.count; k++) {
        const struct loop_place *p = &l->loop.place[k];
        struct cold *c;

        if (!p->delta)
            continue;
        if (l->loop_recipe)
            l->block->loop_recipe = (uint16_t)l->loop_recipe;
        emit_op_mem(&l->e, true, OP_LEA, p->reg, p->reg, H_NONE, 1, p->delta);
        emit_op_vcpu(&l->e, true, OP_CMP, p->reg, H_NONE, TV_OFFSET(loop_limit) + 8 * (int32_t)k);
        c = lower_add_cold(l, COLD_LOOP);
        c->from = emit_jcc_forward(&l->e, p->delta > 0 ? CC_A : CC_B);
    }
}

void loop_enter(struct lower *l)
{
    uint8_t *top;

    if (!l->loop.active)
        return;
    l->loop_recipe = flow_loop_recipe(l);
    for (unsigned k = 0; k < l->loop.count; k++)
        emit_check(l, k);
    group_clobber_r11(l);
    emit_borrowed(l, OP_STORE, TV_OFFSET(borrowed_value));
    emit_borrowed(l, OP_LOAD, TV_OFFSET(loop_pointer));
    l->borrowing = true;
    top = emit_jmp_forward(&l->e);
    l->loop.next = emit_here(&l->e);
    emit_next(l);
    emit_bind(&l->e, top);
}

bool loop_access(const struct lower *l, struct place place, int32_t disp, struct pointer *pointer)
{
    for (unsigned k = 0; k < l->loop.count; k++) {
        const struct loop_place *p = &l->loop.place[k];

        if (group_same_place(p->place, place)) {
            *pointer = (struct pointer){p->reg, H_NONE, disp + p->now - p->low};
            return true;
        }
    }
    return false;
}

void loop_advance(struct lower *l)
{
    int32_t step;

    for (unsigned k = 0; l->loop.active && k < l->loop.count; k++)
        if (group_place_effect(l->in, l->loop.place[k].place, &step))
            l->loop.place[k].now += step;
}

void loop_branch(struct lower *l, unsigned condition)
{
    l->stops = true;
    emit_jcc(&l->e, condition, l->loop.next);
    group_give_back(l);
}

void loop_again(struct lower *l)
{
    if (l->block->loop_recipe)
        flags_save_recipe(l, l->block->loop_recipe);
    group_emit_back(l);
    emit_jmp(&l->e, l->block->entry_saved);
}
