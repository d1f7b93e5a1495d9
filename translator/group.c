/*
 * group.c - one TLB check for several accesses through the same registers.
 *
 * Interface: lower.h. When several accesses of a block are at one place (the same base, index and segment) with
 * only known changes to it between them (pushes and pops, say), the first one checks the whole range [low, high)
 * around it, and a register keeps the host address for the others. If the range is not in one page that the TLB
 * gives in full, nothing has happened yet: the rest of the block runs in a version translated without groups
 * (MODE_NO_GROUP).
 *
 * That register is R11; or, where accesses at different places alternate, some that are borrowed from guest
 * registers which the block does not use: their values are put aside at the block's start (block.borrowed) and
 * given back where it is left. Invariant: while a group is valid, its register is not used for anything else.
 */
#include "translator/lower.h"

/* Sums of a displacement and all that a block may add to a place stay within 32 bits. */
#define GROUP_MAX_DISP (1 << 29)
_Static_assert(GROUPS_MAX <= LOOP_MAX, "borrowed_value");
#define WORTH_BORROWING 3 /* checks that it must save */

void group_end(struct lower *l)
{
    for (unsigned k = 0; k < l->group_count; k++)
        l->group[k].valid = false;
    l->r11_guest = -1;
}

bool group_in_r11(const struct lower *l)
{
    return l->group_count && l->group[0].reg == H_R11 && l->group[0].valid;
}

void group_clobber_r11(struct lower *l)
{
    if (group_in_r11(l))
        l->group[0].valid = false;
    l->r11_guest = -1;
}

static bool is_register(const struct operand *op, unsigned guest)
{
    bool high;

    return op->type == ZYDIS_OPERAND_TYPE_REGISTER && guest_register(op->reg.value, &high) == (int)guest;
}

static bool is_same_register(ZydisRegister reg, unsigned guest)
{
    bool high;

    return guest_register(reg, &high) == (int)guest;
}

/* What an instruction does to a register: true if it adds *delta (0: leaves it alone), false if it is unknown. */
static bool effect_on(const struct insn *in, unsigned guest, int32_t *delta)
{
    ZydisMnemonic m = in->mnemonic;

    *delta = 0;
    if (!(in->writes >> guest & 1))
        return true;
    if (in->operand_width != in->width)
        return false;
    if (guest == RSP && m == ZYDIS_MNEMONIC_PUSH) {
        *delta = -(int32_t)in->width / 8;
        return true;
    }
    if (guest == RSP && m == ZYDIS_MNEMONIC_POP) {
        *delta = (int32_t)in->width / 8;
        return !is_register(&in->op[0], RSP);
    }
    if ((m == ZYDIS_MNEMONIC_INC || m == ZYDIS_MNEMONIC_DEC) && is_register(&in->op[0], guest)) {
        *delta = m == ZYDIS_MNEMONIC_INC ? 1 : -1;
        return true;
    }
    if (m == ZYDIS_MNEMONIC_LEA && is_same_register(in->op[1].mem.base, guest) &&
        in->op[1].mem.index == ZYDIS_REGISTER_NONE && in->address_width == in->width &&
        in->op[1].mem.disp >= -0x10000 && in->op[1].mem.disp <= 0x10000) {
        *delta = (int32_t)in->op[1].mem.disp;
        return true;
    }
    if ((m == ZYDIS_MNEMONIC_ADD || m == ZYDIS_MNEMONIC_SUB) && is_register(&in->op[0], guest) &&
        in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && in->op[1].imm.s >= -0x10000 &&
        in->op[1].imm.s <= 0x10000) {
        *delta = (int32_t)(m == ZYDIS_MNEMONIC_ADD ? in->op[1].imm.s : -in->op[1].imm.s);
        return true;
    }
    return false;
}

/* What an instruction adds to a place; false if that is unknown. */
bool group_place_effect(const struct insn *in, struct place place, int32_t *delta)
{
    int32_t base = 0, index = 0;

    *delta = 0;
    if (!(in->writes & (1u << place.base | 1u << place.index)) && place.segment == PLACE_NONE)
        return true;
    if (place.segment != PLACE_NONE && in->category == ZYDIS_CATEGORY_RDWRFSGS)
        return false;
    if (place.base < PLACE_FIXED && !effect_on(in, place.base, &base))
        return false;
    if (place.index < PLACE_FIXED && !effect_on(in, place.index, &index))
        return false;
    *delta = base + index * place.scale;
    return true;
}

void group_advance(struct lower *l)
{
    int32_t delta;

    for (unsigned k = 0; k < l->group_count; k++) {
        struct group *g = &l->group[k];

        if (g->valid && group_place_effect(l->in, g->place, &delta))
            g->delta += delta;
        else
            g->valid = false;
    }
}

bool group_same_place(struct place a, struct place b)
{
    return a.base == b.base && a.index == b.index && a.scale == b.scale && a.segment == b.segment;
}

bool group_operand(const struct lower *l, const struct insn *in, const struct operand *op, struct place *place,
                   int32_t *disp)
{
    bool high;
    int base = guest_register(op->mem.base, &high), index = guest_register(op->mem.index, &high);
    int64_t at = op->mem.disp;

    if (in->address_width != in->width)
        return false;
    if (op->mem.base == ZYDIS_REGISTER_RIP || base < 0) {
        if (op->mem.base == ZYDIS_REGISTER_RIP)
            at += (int64_t)(in->pc + in->length);
        if (in->width == 32)
            at = (uint32_t)at;
        at -= (int64_t)l->block->pc;
        if (index >= 0)
            return false;
        base = PLACE_FIXED;
    }
    if (at > GROUP_MAX_DISP || at < -GROUP_MAX_DISP)
        return false;
    place->base = (uint8_t)base;
    place->index = index < 0 ? PLACE_NONE : (uint8_t)index;
    place->scale = index < 0 ? 1 : op->mem.scale;
    place->segment = place_segment(op);
    *disp = (int32_t)at;
    return true;
}

static struct reach stack_reach(const struct insn *in, unsigned base, bool write, bool stop)
{
    int32_t size = (int32_t)in->width / 8;

    return (struct reach){
        {(uint8_t)base, PLACE_NONE, 1, PLACE_NONE}, write ? -size : 0, (uint32_t)size, true, write, true, stop};
}

static struct reach find_reach(const struct lower *l, const struct insn *in)
{
    struct reach none = {.stop = false}, end = {.stop = true};

    if (in->row == lower_nothing || in->row == lower_lea || in->row == lower_branch)
        return none;
    if (in->row == lower_push && in->op[0].type != ZYDIS_OPERAND_TYPE_MEMORY)
        return stack_reach(in, RSP, true, false);
    if (in->row == lower_pop)
        return stack_reach(in, RSP, false, false);
    if (in->row == lower_return)
        return stack_reach(in, RSP, false, true);
    if (in->row == lower_leave)
        return stack_reach(in, RBP, false, true);
    if (in->row == lower_call && in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return stack_reach(in, RSP, true, true);
    if (in->row != lower_copy || in->masked)
        return end;
    for (unsigned i = 0; i < in->operand_count; i++) {
        struct reach r = {.found = true};

        if (in->op[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        if (!group_operand(l, in, &in->op[i], &r.place, &r.disp))
            return end;
        r.size = in->op[i].size / 8;
        r.write = in->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
        return r;
    }
    return none;
}

static const struct reach *reach_of(struct lower *l, unsigned index)
{
    struct reach *r = &l->reach[index];

    if (!r->known) {
        *r = find_reach(l, &l->t->insns[index]);
        r->known = true;
    }
    return r;
}

/* Looks ahead from the current instruction for accesses to share a check with; widens *low, *high, *write. *last:
   the last of their instructions. */
static unsigned look_ahead(struct lower *l, struct place place, int32_t *low, int32_t *high, bool *write,
                           unsigned *last)
{
    bool may_write = true; /* a write that a side exit may prevent does not make the page dirty */
    unsigned found = 1;
    int32_t delta = 0, step;

    *last = l->index;
    if (!group_place_effect(l->in, place, &delta))
        return found;
    for (unsigned i = l->index + 1; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];
        struct reach r = *reach_of(l, i);

        may_write &= in->row != lower_branch || *write;
        if (r.found && group_same_place(r.place, place) && (may_write || !r.write)) {
            int32_t from = delta + r.disp, to = from + (int32_t)r.size;
            int32_t new_low = from < *low ? from : *low, new_high = to > *high ? to : *high;

            if ((int64_t)new_high - new_low > GROUP_MAX_SPAN)
                break;
            *low = new_low;
            *high = new_high;
            *write |= r.write;
            *last = i;
            found++;
        } else if (r.stop || (r.found && !l->borrowing)) {
            break;
        }
        if (r.stop || !group_place_effect(in, place, &step))
            break;
        delta += step;
    }
    return found;
}

static gva_t fixed_linear(const struct lower *l, int32_t low)
{
    gva_t linear = l->block->pc + (uint64_t)(int64_t)low;

    return l->wide ? linear : (uint32_t)linear;
}

void group_emit_place(struct lower *l, struct place place, int32_t low, uint32_t info)
{
    int base = H_RAX, index = H_NONE;

    if (place.base == PLACE_FIXED && place.segment == PLACE_NONE) {
        relocate_mov_fixed(l, H_RAX, fixed_linear(l, low));
    } else if (place.base == PLACE_FIXED) { /* an offset */
        emit_mov_imm(&l->e, H_RAX, fixed_linear(l, low));
    } else {
        if (host_register(place.base) == NOT_RESIDENT)
            load_guest(l, H_RAX, place.base);
        else
            base = host_register(place.base);
        if (place.index != PLACE_NONE) {
            index = host_register(place.index);
            if (index == NOT_RESIDENT) {
                load_guest(l, H_R11, place.index);
                index = H_R11;
            }
        }
        emit_op_mem(&l->e, l->wide, OP_LEA, H_RAX, base, index, place.scale, low);
    }
    if (place.segment != PLACE_NONE)
        access_add_segment(l, place.segment, info);
}

struct pointer group_check_range(struct lower *l, struct place place, int32_t low, uint32_t info, int to)
{
    gva_t linear = fixed_linear(l, low);

    if (place.base == PLACE_FIXED && place.segment == PLACE_NONE &&
        (linear & ~PAGE_MASK) + (info & 0xff) <= PAGE_SIZE)
        return access_check_fixed(l, linear, info, to);
    if (l->wide && place.base < PLACE_FIXED && place.index == PLACE_NONE && place.segment == PLACE_NONE &&
        host_register(place.base) != NOT_RESIDENT)
        return access_check_base(l, host_register(place.base), low, info, to);
    group_clobber_r11(l);
    group_emit_place(l, place, low, info);
    return access_check(l, info, POINTER_R11, to);
}

static bool covers(const struct group *g, struct place place, int32_t disp, uint32_t info)
{
    int32_t at = disp + g->delta;

    return g->valid && group_same_place(g->place, place) && at >= g->low &&
           at + (int32_t)(info & 0xff) <= g->high && (!(info & MEMORY_WRITE) || g->write);
}

/* A group whose register may be taken; NULL if all are still wanted. */
static struct group *choose_group(struct lower *l)
{
    for (unsigned k = 0; k < l->group_count; k++)
        if (!l->group[k].valid || l->group[k].last < l->index || l->group[k].reg == H_R11)
            return &l->group[k];
    return NULL;
}

bool group_access(struct lower *l, struct place place, int32_t disp, uint32_t info, struct pointer *pointer)
{
    int32_t low = disp, high = disp + (int32_t)(info & 0xff);
    bool write = info & MEMORY_WRITE;
    struct group *g;
    unsigned last;

    if (!l->grouping)
        return false;
    if (l->loop.active)
        return loop_access(l, place, disp, pointer);
    for (unsigned k = 0; k < l->group_count; k++) {
        g = &l->group[k];
        if (covers(g, place, disp, info)) {
            *pointer = g->pointer;
            /* A pointer that is made of the base follows it; the other one stays where the place was at the check.
             */
            pointer->disp += (pointer->index == H_NONE ? disp + g->delta : disp) - g->low;
            return true;
        }
    }
    if (look_ahead(l, place, &low, &high, &write, &last) < 2 || !(g = choose_group(l)))
        return false;
    flags_clobber(l);
    *pointer = group_check_range(l, place, low, (uint32_t)(high - low) | (write ? MEMORY_WRITE : 0) | MEMORY_GROUP,
                                 g->reg);
    l->store_cold = -1;
    *g = (struct group){g->reg, last, true, write, place, low, high, 0, *pointer};
    pointer->disp += disp - low;
    return true;
}

/* --- borrowed registers --- */

uint16_t group_spare_registers(const struct lower *l)
{
    uint16_t spare = 0;

    for (unsigned guest = 0; guest < 16; guest++)
        if (host_register(guest) == (int)guest)
            spare |= (uint16_t)(1u << guest);
    for (unsigned i = 0; i < l->count; i++)
        spare &= (uint16_t)~l->t->insns[i].uses;
    return spare;
}

/* How many places are come back to with others in between, and how often. */
static unsigned count_returns(struct lower *l, unsigned *returns)
{
    struct seen {
        struct place place;
        unsigned runs;
    } seen[GROUPS_MAX + 3];
    unsigned count = 0, places = 0, at = UINT32_MAX;

    *returns = 0;
    for (unsigned i = 0; i < l->count; i++) {
        struct reach r = *reach_of(l, i);
        unsigned k;
        int32_t step;

        for (k = 0; r.found && k < count && !group_same_place(seen[k].place, r.place); k++)
            ;
        if (r.found && k < sizeof seen / sizeof *seen) {
            if (k == count)
                seen[count++] = (struct seen){r.place, 0};
            if (k != at && seen[k].runs++) {
                places += seen[k].runs == 2;
                ++*returns;
            }
        }
        if (r.found)
            at = k;
        for (k = 0; k < count; k++) /* a place that moves to where nobody knows is another one from now on */
            if (!group_place_effect(&l->t->insns[i], seen[k].place, &step))
                seen[k].runs = 0;
    }
    return places;
}

/* As many accesses as it takes to come back to one of two places often enough. */
static bool has_many_accesses(const struct lower *l)
{
    unsigned count = 0;

    for (unsigned i = 0; i < l->count; i++)
        count += l->t->insns[i].memory;
    return count >= WORTH_BORROWING + 2;
}

static void borrow(struct lower *l)
{
    uint16_t spare;
    unsigned returns, places;

    if (!has_many_accesses(l) || !(spare = group_spare_registers(l)))
        return;
    places = count_returns(l, &returns);
    if (returns < WORTH_BORROWING)
        return;
    for (unsigned guest = 0; guest < 16 && l->group_count < places && l->group_count < GROUPS_MAX; guest++)
        if (spare >> guest & 1) {
            emit_op_vcpu(&l->e, true, OP_STORE, (int)guest, H_NONE,
                         TV_OFFSET(borrowed_value) + 8 * (int32_t)l->group_count);
            l->group[l->group_count++].reg = (uint8_t)guest;
            l->block->borrowed |= (uint16_t)(1u << guest);
            l->borrowing = true;
        }
}

static void use_r11(struct lower *l)
{
    l->group[0] = (struct group){.reg = H_R11};
    l->group_count = 1;
    l->r11_guest = -1;
}

void group_start(struct lower *l)
{
    l->group_count = 0;
    if (l->grouping && !l->loop.active && l->t->options.borrow)
        borrow(l);
    if (!l->group_count)
        use_r11(l);
    group_end(l);
}

void group_emit_back(struct lower *l)
{
    int32_t from = TV_OFFSET(borrowed_value);

    for (unsigned guest = 0; guest < 16; guest++)
        if (l->block->borrowed >> guest & 1) {
            emit_op_vcpu(&l->e, true, OP_LOAD, (int)guest, H_NONE, from);
            from += 8;
        }
}

void group_give_back(struct lower *l)
{
    if (!l->borrowing)
        return;
    group_emit_back(l);
    l->borrowing = false;
    use_r11(l);
}
