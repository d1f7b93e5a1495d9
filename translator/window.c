/*
 * window.c - memory operands of code that has a window (memory/window.h): the guest's own address, behind a probe
 * that faults unless a window may be there.
 *
 *   rorx r11, base, 16;  movzx r11d, byte gs:[r11d]     ; the probe
 *   the instruction, with [base + disp]                 ; a kernel's: fs: in both (memory/kwindow.h)
 *
 * Interface: lower.h. Nothing here touches the host's flags. A fault of the probe or of the access is resolved in
 * signals.c: the page is mapped and the access tried again, or the interpreter runs the instruction. So nothing of
 * an instruction may have happened before its last access through a window; and at each of them the flags are as
 * they were at its start, in memory or in the host's. This holds for the rows in window_row. (REP MOVS and STOS
 * are the exception: insn_map.repeats.)
 *
 * What has been probed needs no other probe while it moves less than WINDOW_GUARD.
 */
#include "translator/lower.h"
#include "translator/tier.h"

#include <string.h>

bool window_row(const struct insn *in)
{
    return in->row == lower_copy || in->row == lower_push || in->row == lower_pop || in->row == lower_leave ||
           in->row == lower_absolute || in->row == lower_pc_load || in->row == lower_jump ||
           in->row == lower_call || in->row == lower_return;
}

bool window_keeps_flags(const struct insn *in)
{
    return (in->row == lower_copy && in->memory) || in->row == lower_push || in->row == lower_pop ||
           in->row == lower_leave || in->row == lower_absolute || in->row == lower_pc_load;
}

static bool wanted(const struct lower *l)
{
    return l->windowed && !l->checked && window_row(l->in);
}

/* Intel's processors store 80 bits as 64 and 16: at a page's end they may leave the first of them behind when the
   second faults. */
static bool is_stored_in_parts(const struct operand *op)
{
    return op->size == 80 && op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

bool window_is_probe(const uint8_t *host)
{
    return memcmp(host, WINDOW_PROBE, sizeof WINDOW_PROBE - 1) == 0 ||
           memcmp(host, KWINDOW_PROBE, sizeof KWINDOW_PROBE - 1) == 0;
}

void window_probe(struct lower *l, int reg)
{
    const uint8_t rorx[] = {0xc4, reg > 7 ? 0x43 : 0x63,       0xfb,
                            0xf0, (uint8_t)(0xd8 | (reg & 7)), WINDOW_PROBE_SHIFT};

    group_clobber_r11(l);
    emit_bytes(&l->e, rorx, sizeof rorx);
    emit_bytes(&l->e, l->kwindow ? KWINDOW_PROBE : WINDOW_PROBE, sizeof WINDOW_PROBE - 1);
}

/* Has an address been probed that place + disp is in reach of? */
static bool is_probed(const struct lower *l, struct place place, int64_t disp)
{
    for (unsigned i = 0; i < PROBED_MAX; i++) {
        const struct probed *p = &l->probed[i];

        if (p->valid && group_same_place(p->place, place) && disp - p->at <= WINDOW_REACH &&
            disp - p->at >= -WINDOW_REACH)
            return true;
    }
    return false;
}

void window_note_probed(struct lower *l, struct place place, int32_t at)
{
    l->probed[l->next_probed++ % PROBED_MAX] = (struct probed){true, place, at};
}

/* How far a resident guest register is from its host register. */
static int32_t lag_of(const struct lower *l, unsigned base)
{
    return base == RSP ? l->rsp_lag : 0;
}

static void near_rsp(struct lower *l, int64_t disp)
{
    if (!rsp_sure_reaches(l, disp)) {
        window_probe(l, H_R15);
        rsp_sure_note(l, -l->rsp_lag, 0);
    }
    rsp_sure_accessed(l, disp);
}

/* base is a guest register that is resident. */
static bool by_base(struct lower *l, unsigned base, int64_t disp, struct pointer *pointer)
{
    struct place place = {(uint8_t)base, PLACE_NONE, 1, PLACE_NONE};
    int32_t lag = lag_of(l, base);

    if (disp > WINDOW_REACH || disp < -WINDOW_REACH)
        return false;
    if (base == RSP && l->rsp.kept) {
        near_rsp(l, disp);
    } else if (!is_probed(l, place, disp)) {
        window_probe(l, host_register(base));
        window_note_probed(l, place, -lag);
    }
    *pointer = (struct pointer){host_register(base), H_NONE, (int32_t)disp + lag};
    return true;
}

static bool by_fixed(struct lower *l, gva_t linear, enum pointer_form form, struct pointer *pointer)
{
    int to = form == POINTER_RAX_ONLY ? H_RAX : H_R11;

    if (l->kwindow ? !kwindow_allows(l->kwindow, linear) : !window_allows(l->window, linear))
        return false;
    if (l->window)
        tier_note_fixed(l->t, linear);
    if ((int64_t)linear == (int32_t)linear) {
        *pointer = (struct pointer){H_NONE, H_NONE, (int32_t)linear};
        l->relocatable = false;
        return true;
    }
    if (to == H_R11)
        group_clobber_r11(l);
    relocate_mov(l, to, linear);
    relocate_note(l, 0, RELOC_WINDOW, linear);
    *pointer = (struct pointer){to, H_NONE, 0};
    return true;
}

void window_emit_prefixes(struct emitter *e, const struct pointer *p)
{
    if (p->prefixes & POINTER_GS)
        emit8(e, 0x65);
    if (p->prefixes & POINTER_FS)
        emit8(e, 0x64);
    if (p->prefixes & POINTER_32)
        emit8(e, 0x67);
}

/* Of an address that may have any number of bits, in a narrow window: the supervisor's may have moved. */
static uint8_t narrow_prefixes(const struct lower *l)
{
    return l->kwindow && l->kwindow->base ? POINTER_GS : 0;
}

/* In the lowest 4 GiB: base + offset, below 2 GiB, and v->closed. Where that would have to wrap it lies outside,
   and the interpreter runs the instruction. */
static void in_low_segment(struct lower *l, unsigned segment, int32_t disp, enum pointer_form form, int to,
                           struct pointer *pointer)
{
    emit_op_vcpu(&l->e, false, OP_LOAD, H_R11, H_NONE, V_SEGMENT(segment, base));
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, V_CLOSED(segment));
    *pointer = (struct pointer){H_RAX, H_R11, disp};
    if (form == POINTER_SUM)
        return;
    emit_op_mem(&l->e, true, OP_LEA, to, H_RAX, H_R11, 1, disp);
    *pointer = (struct pointer){to, H_NONE, 0};
}

/* Through FS or GS, at an offset that is known and does not reach beyond 4 GiB: the linear address is computed, in
   32 bits. v->closed lets no access through if the segment has a limit below 4 GiB. */
static bool in_segment(struct lower *l, const struct operand *op, enum pointer_form form, struct pointer *pointer)
{
    unsigned segment = place_segment(op);
    int to = form == POINTER_R11 ? H_R11 : H_RAX;

    if (op->mem.base != ZYDIS_REGISTER_NONE || op->mem.index != ZYDIS_REGISTER_NONE ||
        (uint64_t)(uint32_t)op->mem.disp + op->size / 8 > 1ull << 32)
        return false;
    group_clobber_r11(l);
    if (!narrow_prefixes(l) && (int32_t)op->mem.disp >= 0) {
        in_low_segment(l, segment, (int32_t)op->mem.disp, form, to, pointer);
        return true;
    }
    emit_op_vcpu(&l->e, false, OP_LOAD, H_R11, H_NONE, V_SEGMENT(segment, base));
    emit_op_mem(&l->e, false, OP_LEA, H_RAX, H_R11, H_NONE, 1, (int32_t)op->mem.disp);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, V_CLOSED(segment));
    emit_op_mem(&l->e, true, OP_LEA, to, H_RAX, H_R11, 1, 0);
    *pointer = (struct pointer){to, H_NONE, 0, .prefixes = narrow_prefixes(l)};
    return true;
}

static int host_or_none(unsigned reg)
{
    bool high;
    int guest = guest_register(reg, &high);

    return guest < 0 ? H_NONE : host_register((unsigned)guest);
}

/* The operand as it is, with the registers renamed. */
static bool narrow_operand(struct lower *l, const struct operand *op, enum pointer_form form,
                           struct pointer *pointer)
{
    struct pointer p = {host_or_none(op->mem.base), host_or_none(op->mem.index), (int32_t)op->mem.disp,
                        narrow_prefixes(l) | POINTER_32, op->mem.scale};

    if (l->in->address_width != 32)
        return false;
    if (place_segment(op) != PLACE_NONE)
        return in_segment(l, op, form, pointer);
    if (form == POINTER_RAX_ONLY && (p.reg > 7 || p.index > 7)) {
        access_address(l, op, H_RAX);
        p = (struct pointer){H_RAX, H_NONE, 0, .prefixes = narrow_prefixes(l) | POINTER_32};
    }
    if (p.reg == H_R15)
        p.disp += l->rsp_lag;
    *pointer = p;
    return true;
}

/* The operand's own address, if its registers are all in the host's. */
static bool as_it_is(const struct lower *l, const struct operand *op, enum pointer_form form,
                     struct pointer *pointer)
{
    int base = host_or_none(op->mem.base), index = host_or_none(op->mem.index);

    if (l->in->address_width != 64 || op->mem.base == ZYDIS_REGISTER_RIP ||
        (op->mem.base != ZYDIS_REGISTER_NONE && base < 0) || (op->mem.index != ZYDIS_REGISTER_NONE && index < 0) ||
        (form == POINTER_RAX_ONLY && (base > 7 || index > 7)))
        return false;
    *pointer = (struct pointer){base, index, (int32_t)op->mem.disp, .scale = op->mem.scale};
    return true;
}

/* Near FS in user code, near GS in a supervisor's: bases.c. */
static bool near_base(struct lower *l, const struct operand *op, enum pointer_form form, struct pointer *pointer)
{
    int to = form == POINTER_RAX_ONLY ? H_RAX : H_R11;

    if (!l->t->options.bases || place_segment(op) != (l->kwindow ? SEG_GS : SEG_FS) ||
        l->in->address_width != 64 || op->mem.base != ZYDIS_REGISTER_NONE ||
        op->mem.index != ZYDIS_REGISTER_NONE || op->mem.disp > WINDOW_REACH || op->mem.disp < -WINDOW_REACH)
        return false;
    if (to == H_R11)
        group_clobber_r11(l);
    emit_op_vcpu(&l->e, true, OP_LOAD, to, H_NONE, l->kwindow ? TV_OFFSET(sure_gs) : TV_OFFSET(sure_fs));
    *pointer = (struct pointer){to, H_NONE, (int32_t)op->mem.disp};
    return true;
}

static bool wide_operand(struct lower *l, const struct operand *op, enum pointer_form form,
                         struct pointer *pointer)
{
    bool segment = place_segment(op) != PLACE_NONE, high;
    bool whole = l->in->address_width == 64 && !segment && op->mem.index == ZYDIS_REGISTER_NONE;
    int64_t disp = op->mem.disp;
    int base = guest_register(op->mem.base, &high);
    struct place place;
    bool known;
    int32_t at;

    if (segment && near_base(l, op, form, pointer))
        return true;
    if (whole && op->mem.base == ZYDIS_REGISTER_RIP)
        return by_fixed(l, l->in->pc + l->in->length + (uint64_t)disp, form, pointer);
    if (whole && op->mem.base == ZYDIS_REGISTER_NONE)
        return by_fixed(l, (uint64_t)disp, form, pointer);
    if (whole && base >= 0 && host_register((unsigned)base) != NOT_RESIDENT &&
        (form != POINTER_RAX_ONLY || host_register((unsigned)base) < 8) &&
        by_base(l, (unsigned)base, disp, pointer))
        return true;
    known = group_operand(l, l->in, op, &place, &at);
    if (!segment && known && as_it_is(l, op, form, pointer)) {
        if (!is_probed(l, place, at)) {
            access_address(l, op, H_RAX);
            window_probe(l, H_RAX);
            window_note_probed(l, place, at);
        }
        return true;
    }
    access_address(l, op, H_RAX);
    if (segment) {
        group_clobber_r11(l);
        emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, V_SEGMENT(place_segment(op), base));
        emit_op_mem(&l->e, true, OP_LEA, H_RAX, H_RAX, H_R11, 1, 0);
    }
    if (!known || !is_probed(l, place, at)) {
        window_probe(l, H_RAX);
        if (known)
            window_note_probed(l, place, at);
    }
    if (form == POINTER_R11)
        group_clobber_r11(l);
    *pointer = (struct pointer){form == POINTER_R11 ? H_R11 : H_RAX, H_NONE, 0};
    emit_mov(&l->e, pointer->reg, H_RAX);
    return true;
}

/* The pointer is to an address of the guest's. */
static bool in_wide(const struct lower *l, bool found, struct pointer *pointer)
{
    pointer->prefixes = l->kwindow ? POINTER_FS : 0;
    return found;
}

bool window_operand(struct lower *l, const struct operand *op, enum pointer_form form, struct pointer *pointer)
{
    if (!wanted(l) || is_stored_in_parts(op))
        return false;
    if (!l->wide)
        return narrow_operand(l, op, form, pointer);
    return in_wide(l, wide_operand(l, op, form, pointer), pointer);
}

bool window_at_rax(struct lower *l, const struct operand *op, enum pointer_form form, struct pointer *pointer)
{
    struct insn_map *m = &l->map[l->index];

    if (!l->windowed || l->wide || l->in->row != lower_copy || is_stored_in_parts(op))
        return false;
    m->flags_saved_start = true;
    m->recipe = l->flags == FLAGS_COMPUTED ? (uint16_t)l->recipe : 0;
    if (form == POINTER_R11) {
        group_clobber_r11(l);
        emit_mov(&l->e, H_R11, H_RAX);
    }
    *pointer = (struct pointer){form == POINTER_R11 ? H_R11 : H_RAX, H_NONE, 0,
                                .prefixes = narrow_prefixes(l) | POINTER_32};
    return true;
}

bool window_stack(struct lower *l, unsigned base, int32_t disp, struct pointer *pointer)
{
    if (!wanted(l))
        return false;
    if (!l->wide) {
        *pointer = (struct pointer){host_register(base), H_NONE, disp + lag_of(l, base),
                                    .prefixes = narrow_prefixes(l) | POINTER_32};
        return true;
    }
    return in_wide(l, by_base(l, base, disp, pointer), pointer);
}

void window_advance(struct lower *l)
{
    bool known = lower_keeps_registers(l->in) && l->in->row != lower_call;

    for (unsigned i = 0; l->wide && i < PROBED_MAX; i++) {
        struct probed *p = &l->probed[i];
        int32_t delta = 0;

        p->valid = p->valid && known && group_place_effect(l->in, p->place, &delta) &&
                   p->at - delta <= WINDOW_REACH && p->at - delta >= -WINDOW_REACH;
        p->at -= delta;
    }
    /* Where a call returns to in the block, RET has just read the word below RSP, through the window. */
    if (l->wide && l->in->row == lower_call && !l->ended)
        window_note_probed(l, (struct place){RSP, PLACE_NONE, 1, PLACE_NONE}, -(int32_t)l->word);
}
