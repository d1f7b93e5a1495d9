/*
 * group.c - one TLB check for a run of accesses through the same base register.
 *
 * Interface: lower.h. When several accesses of a block go through one register, with no index and only known
 * changes to the register between them (pushes and pops, say), the first one checks the whole range [low, high)
 * around the register's value, and R11 keeps the host address of `low` for the others. If the range is not in one
 * page that the TLB gives in full, nothing has happened yet: the rest of the block runs in a version translated
 * without groups (MODE_NO_GROUP). Invariant: while l->group.valid, R11 is not used for anything else.
 */
#include "translator/lower.h"

void group_end(struct lower *l)
{
    l->group.valid = false;
    l->r11_guest = -1;
}

static bool is_register(const ZydisDecodedOperand *op, unsigned guest)
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
    ZydisMnemonic m = in->z.mnemonic;
    bool written = false;

    *delta = 0;
    for (unsigned i = 0; i < in->z.operand_count; i++)
        written |= in->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && is_register(&in->op[i], guest);
    if (!written)
        return true;
    if (in->z.operand_width != 64)
        return false;
    if (guest == RSP && m == ZYDIS_MNEMONIC_PUSH) {
        *delta = -8;
        return true;
    }
    if (guest == RSP && m == ZYDIS_MNEMONIC_POP) {
        *delta = 8;
        return !is_register(&in->op[0], RSP);
    }
    if ((m == ZYDIS_MNEMONIC_INC || m == ZYDIS_MNEMONIC_DEC) && is_register(&in->op[0], guest)) {
        *delta = m == ZYDIS_MNEMONIC_INC ? 1 : -1;
        return true;
    }
    if (m == ZYDIS_MNEMONIC_LEA && is_same_register(in->op[1].mem.base, guest) &&
        in->op[1].mem.index == ZYDIS_REGISTER_NONE && in->z.address_width == 64 &&
        in->op[1].mem.disp.value >= -0x10000 && in->op[1].mem.disp.value <= 0x10000) {
        *delta = (int32_t)in->op[1].mem.disp.value;
        return true;
    }
    if ((m == ZYDIS_MNEMONIC_ADD || m == ZYDIS_MNEMONIC_SUB) && is_register(&in->op[0], guest) &&
        in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && in->op[1].imm.value.s >= -0x10000 &&
        in->op[1].imm.value.s <= 0x10000) {
        *delta = (int32_t)(m == ZYDIS_MNEMONIC_ADD ? in->op[1].imm.value.s : -in->op[1].imm.value.s);
        return true;
    }
    return false;
}

/* What an instruction adds to a place; false if that is unknown. */
bool group_place_effect(const struct insn *in, struct place place, int32_t *delta)
{
    int32_t base = 0, index = 0;

    if (place.segment != PLACE_NONE && in->z.meta.category == ZYDIS_CATEGORY_RDWRFSGS)
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

    if (!l->group.valid)
        return;
    if (group_place_effect(l->in, l->group.place, &delta))
        l->group.delta += delta;
    else
        l->group.valid = false;
}

bool group_same_place(struct place a, struct place b)
{
    return a.base == b.base && a.index == b.index && a.scale == b.scale && a.segment == b.segment;
}

bool group_operand(const struct lower *l, const struct insn *in, const ZydisDecodedOperand *op,
                   struct place *place, int32_t *disp)
{
    bool high;
    int base = guest_register(op->mem.base, &high), index = guest_register(op->mem.index, &high);
    int64_t at = op->mem.disp.has_displacement ? op->mem.disp.value : 0;

    if (in->z.address_width != 64)
        return false;
    if (op->mem.base == ZYDIS_REGISTER_RIP || base < 0) {
        if (op->mem.base == ZYDIS_REGISTER_RIP)
            at += (int64_t)(in->pc + in->length);
        at -= (int64_t)l->block->pc;
        if (index >= 0 || at != (int32_t)at)
            return false;
        base = PLACE_FIXED;
    }
    place->base = (uint8_t)base;
    place->index = index < 0 ? PLACE_NONE : (uint8_t)index;
    place->scale = index < 0 ? 1 : op->mem.scale;
    place->segment = op->mem.segment == ZYDIS_REGISTER_FS   ? SEG_FS
                     : op->mem.segment == ZYDIS_REGISTER_GS ? SEG_GS
                                                            : PLACE_NONE;
    *disp = (int32_t)at;
    return true;
}

/* The single access of an instruction that groups know: place, displacement, size, direction. */
struct reach {
    struct place place;
    int32_t disp;
    uint32_t size;
    bool write, found, stop;
};

static struct reach stack_reach(unsigned base, int32_t disp, bool write, bool stop)
{
    return (struct reach){{(uint8_t)base, PLACE_NONE, 1, PLACE_NONE}, disp, 8, write, true, stop};
}

static struct reach reach_of(const struct lower *l, const struct insn *in)
{
    struct reach none = {.stop = false}, end = {.stop = true};

    if (in->row == lower_nothing || in->row == lower_lea || in->row == lower_branch)
        return none;
    if (in->row == lower_push && in->z.operand_width == 64 && in->op[0].type != ZYDIS_OPERAND_TYPE_MEMORY)
        return stack_reach(RSP, -8, true, false);
    if (in->row == lower_pop && in->z.operand_width == 64 && in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
        return stack_reach(RSP, 0, false, false);
    if (in->row == lower_return)
        return stack_reach(RSP, 0, false, true);
    if (in->row == lower_leave)
        return stack_reach(RBP, 0, false, true);
    if (in->row == lower_call && in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return stack_reach(RSP, -8, true, true);
    if (in->row != lower_copy)
        return end;
    for (unsigned i = 0; i < in->z.operand_count; i++) {
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

/* Looks ahead from the current instruction for accesses to share a check with; widens *low, *high, *write. */
static unsigned look_ahead(const struct lower *l, struct place place, int32_t *low, int32_t *high, bool *write)
{
    bool may_write = true; /* a write that a side exit may prevent does not make the page dirty */
    unsigned found = 1;
    int32_t delta = 0, step;

    if (!group_place_effect(l->in, place, &delta))
        return found;
    for (unsigned i = l->index + 1; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];
        struct reach r = reach_of(l, in);

        may_write &= in->row != lower_branch || *write;
        if (r.found && group_same_place(r.place, place) && (may_write || !r.write)) {
            int32_t from = delta + r.disp, to = from + (int32_t)r.size;
            int32_t new_low = from < *low ? from : *low, new_high = to > *high ? to : *high;

            if ((int64_t)new_high - new_low > GROUP_MAX_SPAN)
                break;
            *low = new_low;
            *high = new_high;
            *write |= r.write;
            found++;
        } else if (r.found || r.stop) {
            break;
        }
        if (r.stop || !group_place_effect(in, place, &step))
            break;
        delta += step;
    }
    return found;
}

/* Address of place + low in RAX. */
static void emit_place(struct lower *l, struct place place, int32_t low)
{
    int base = H_RAX, index = H_NONE;

    if (place.base == PLACE_FIXED) {
        emit_mov_imm(&l->e, H_RAX, l->block->pc + (uint64_t)(int64_t)low);
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
        emit_op_mem(&l->e, true, OP_LEA, H_RAX, base, index, place.scale, low);
    }
    if (place.segment != PLACE_NONE)
        access_add_segment(l, place.segment);
}

struct pointer group_check_range(struct lower *l, struct place place, int32_t low, uint32_t info)
{
    gva_t linear = l->block->pc + (uint64_t)(int64_t)low;

    if (place.base == PLACE_FIXED && place.segment == PLACE_NONE &&
        (linear & ~PAGE_MASK) + (info & 0xff) <= PAGE_SIZE)
        return access_check_fixed(l, linear, info);
    if (place.base < PLACE_FIXED && place.index == PLACE_NONE && place.segment == PLACE_NONE &&
        host_register(place.base) != NOT_RESIDENT)
        return access_check_base(l, host_register(place.base), low, info);
    group_end(l);
    emit_place(l, place, low);
    return access_check(l, info, POINTER_R11);
}

bool group_access(struct lower *l, struct place place, int32_t disp, uint32_t info, struct pointer *pointer)
{
    struct group *g = &l->group;
    int32_t at = disp + g->delta, low = disp, high = disp + (int32_t)(info & 0xff);
    bool write = info & MEMORY_WRITE;

    if (!l->grouping)
        return false;
    if (l->loop.active)
        return loop_access(l, place, disp, pointer);
    if (g->valid && group_same_place(g->place, place) && at >= g->low && at + (int32_t)(info & 0xff) <= g->high &&
        (!write || g->write)) {
        *pointer = g->pointer;
        /* A pointer that is made of the base follows it; the other one stays where the place was at the check. */
        pointer->disp += (pointer->index == H_NONE ? at : disp) - g->low;
        return true;
    }
    if (look_ahead(l, place, &low, &high, &write) < 2)
        return false;
    flags_clobber(l);
    *pointer = group_check_range(l, place, low, (uint32_t)(high - low) | (write ? MEMORY_WRITE : 0) | MEMORY_GROUP);
    l->store_cold = -1;
    *g = (struct group){true, write, place, low, high, 0, *pointer};
    pointer->disp += disp - low;
    return true;
}
