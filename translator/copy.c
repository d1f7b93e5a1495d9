/*
 * copy.c - the instruction copied, with its general registers renamed and its memory operand replaced.
 *
 * Interface: lower_copy. Works on the bytes: prefixes, REX/VEX/EVEX and ModRM are rebuilt with other register
 * numbers, opcode and immediates stay (SDM vol. 2, chapter 2). So every instruction whose registers and memory
 * operand are encoded in the usual fields is covered, without knowing what it does.
 */
#include "translator/lower.h"

/* The fields of one copy, host numbers or COPY_NO_FIELD. */
struct fields {
    int reg, rm, vvvv, opcode;
    bool memory;
    struct pointer pointer; /* of the memory operand */
    bool keep_r11;          /* a group's pointer is there */
};

/* --- registers that are not resident --- */

struct temporaries {
    int host[3], guest[3]; /* guest register `guest` is in `host` for this instruction */
    unsigned count;
    int borrowed[3];
    unsigned borrowed_count;
};

static bool is_used(const struct copy_plan *c, const struct fields *p, const struct temporaries *t, int host)
{
    static const int8_t fixed[] = {H_RCX, H_RDX, H_RSP, H_R10, H_R15}; /* may be implied operands */

    for (unsigned i = 0; i < sizeof fixed; i++)
        if (fixed[i] == host)
            return true;
    for (unsigned i = 0; i < t->count; i++)
        if (t->host[i] == host)
            return true;
    return p->reg == host || p->rm == host || p->vvvv == host || p->opcode == host ||
           (p->memory && (p->pointer.reg == host || p->pointer.index == host)) || (c->rax && host == H_RAX) ||
           (p->keep_r11 && host == H_R11);
}

/* A host register for a guest register that has none, for this instruction. */
static int find_temporary(struct lower *l, const struct fields *p, struct temporaries *t, int guest)
{
    static const uint8_t candidates[] = {H_R11, H_RAX, H_RBP, H_RSI, H_RDI, H_RBX};
    int host;

    for (unsigned i = 0; i < t->count; i++)
        if (t->guest[i] == guest)
            return t->host[i];
    for (unsigned i = 0; is_used(&l->in->copy, p, t, host = candidates[i]); i++)
        ;
    if (host != H_R11 && host != H_RAX) {
        emit_op_vcpu(&l->e, true, OP_STORE, host, H_NONE, TV_OFFSET(spill) + 8 * (int)t->borrowed_count);
        l->map[l->index].borrowed[t->borrowed_count] = (uint8_t)host; /* its guest register has the same number */
        t->borrowed[t->borrowed_count++] = host;
    }
    t->host[t->count] = host;
    t->guest[t->count++] = guest;
    if (!(l->in->copy.overwritten >> guest & 1))
        load_guest(l, host, (unsigned)guest);
    else if (host == H_R11)
        group_clobber_r11(l);
    return host;
}

/* An operand that is only read, and could be in memory, is: it stays where it is. */
static void place_in_memory(const struct lower *l, struct fields *p)
{
    int guest = p->rm - COPY_AWAY;

    if (!l->in->copy.rm_read || guest < 0 || l->r11_guest == guest)
        return;
    p->rm = COPY_NO_FIELD;
    p->memory = true;
    p->pointer = (struct pointer){H_NONE, H_NONE, V_OFFSET(gpr) + 8 * guest, .prefixes = POINTER_GS};
}

/* The registers that are away get temporary ones, none of which is another field's. */
static void place_fields(struct lower *l, struct fields *p, struct temporaries *t)
{
    int *field[] = {&p->reg, &p->rm, &p->vvvv, &p->opcode};

    place_in_memory(l, p);
    for (unsigned i = 0; i < 4; i++)
        if (*field[i] >= COPY_AWAY)
            *field[i] = find_temporary(l, p, t, *field[i] - COPY_AWAY);
}

/* The pointer moves to a register that can be encoded without a REX prefix. */
static void move_pointer(struct lower *l, struct fields *p, struct temporaries *t)
{
    static const uint8_t candidates[] = {H_RBP, H_RSI, H_RDI};
    int host;

    for (unsigned i = 0; is_used(&l->in->copy, p, t, host = candidates[i]); i++)
        ;
    emit_op_vcpu(&l->e, true, OP_STORE, host, H_NONE, TV_OFFSET(spill) + 8 * (int)t->borrowed_count);
    l->map[l->index].borrowed[t->borrowed_count] = (uint8_t)host;
    t->borrowed[t->borrowed_count++] = host;
    emit_op_mem(&l->e, true, OP_LEA, host, p->pointer.reg, p->pointer.index, p->pointer.scale, p->pointer.disp);
    p->pointer = (struct pointer){host, H_NONE, 0, .prefixes = p->pointer.prefixes};
}

static void release(struct lower *l, const struct temporaries *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        bool written = false, high;

        for (unsigned k = 0; k < l->in->operand_count; k++) {
            const struct operand *op = &l->in->op[k];

            written |= op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
                       guest_register(op->reg.value, &high) == t->guest[i];
        }
        if (written)
            store_guest(l, (unsigned)t->guest[i], t->host[i]);
    }
    for (unsigned i = 0; i < t->borrowed_count; i++)
        emit_op_vcpu(&l->e, true, OP_LOAD, t->borrowed[i], H_NONE, TV_OFFSET(spill) + 8 * (int)i);
}

/* --- encoding --- */

static void emit_modrm(struct lower *l, const struct fields *p, int reg, int rm)
{
    uint8_t old = l->in->bytes[l->in->modrm];
    int r = reg == COPY_NO_FIELD ? old >> 3 & 7 : reg & 7;

    if (p->memory && l->in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) /* a disp8 would be scaled */
        emit_address_long(&l->e, r, p->pointer.reg, p->pointer.index, p->pointer.scale, p->pointer.disp);
    else if (p->memory)
        emit_address(&l->e, r, p->pointer.reg, p->pointer.index, p->pointer.scale, p->pointer.disp);
    else
        emit8(&l->e, 0xc0u | (unsigned)r << 3 | (unsigned)(rm == COPY_NO_FIELD ? old & 7 : rm & 7));
}

static void emit_legacy(struct lower *l, const struct fields *p)
{
    const struct insn *in = l->in;
    const struct copy_plan *plan = &in->copy;
    unsigned rex = plan->rex & 0x48u; /* W stays */
    unsigned opcode_end = in->modrm ? in->modrm : plan->tail;
    bool byte_rex = plan->rex != 0, bits16 = in->width == 16;

    if (bits16 && in->operand_width == 16)
        emit8(&l->e, 0x66);
    for (unsigned i = 0; i < plan->opcode_at; i++) {
        uint8_t c = in->bytes[i];

        if ((c == 0x66 && !bits16) || c == 0xf2 || c == 0xf3 || c == 0xf0)
            emit8(&l->e, c);
    }
    rex |= p->reg != COPY_NO_FIELD ? (p->reg & 8 ? 4u : 0) : plan->rex & 4u;
    if (p->memory)
        rex |= (p->pointer.reg > 7 ? 1u : 0) | (p->pointer.index > 7 ? 2u : 0);
    else if (p->rm != COPY_NO_FIELD)
        rex |= p->rm & 8 ? 1u : 0;
    else if (p->opcode != COPY_NO_FIELD)
        rex |= p->opcode & 8 ? 1u : 0;
    else
        rex |= plan->rex & 1u;
    if ((rex & 0xf) || byte_rex)
        emit8(&l->e, 0x40u | rex);
    for (unsigned i = plan->opcode_at; i < opcode_end; i++) {
        uint8_t c = in->bytes[i];

        if (p->opcode != COPY_NO_FIELD && i == opcode_end - 1)
            c = (uint8_t)((c & 0xf8) | (p->opcode & 7));
        if (plan->turned && in->mnemonic != ZYDIS_MNEMONIC_TEST)
            c ^= 2;
        emit8(&l->e, c);
    }
    if (in->modrm)
        emit_modrm(l, p, p->reg, p->rm);
    emit_bytes(&l->e, in->bytes + plan->tail, in->length - plan->tail);
}

static void emit_vex(struct lower *l, const struct fields *p)
{
    const uint8_t *v = l->in->bytes + l->in->copy.opcode_at;
    bool three = v[0] == 0xc4;
    unsigned b1 = three ? v[1] : (v[1] & 0x80u) | 0x61u; /* ~R ~X ~B mmmmm */
    unsigned b2 = three ? v[2] : v[1] & 0x7fu;           /* W ~vvvv L pp */

    if (p->reg != COPY_NO_FIELD)
        b1 = (b1 & ~0x80u) | (p->reg & 8 ? 0 : 0x80u);
    if (p->memory)
        b1 = (b1 & ~0x60u) | (p->pointer.index > 7 ? 0 : 0x40u) | (p->pointer.reg > 7 ? 0 : 0x20u);
    else if (p->rm != COPY_NO_FIELD)
        b1 = (b1 & ~0x60u) | 0x40u | (p->rm & 8 ? 0 : 0x20u);
    if (p->vvvv != COPY_NO_FIELD)
        b2 = (b2 & ~0x78u) | (~(unsigned)p->vvvv & 15) << 3;
    emit8(&l->e, 0xc4);
    emit8(&l->e, b1);
    emit8(&l->e, b2);
    emit8(&l->e, l->in->bytes[l->in->modrm ? l->in->modrm - 1u : l->in->copy.opcode_at + (three ? 3u : 2u)]);
    if (l->in->modrm)
        emit_modrm(l, p, p->reg, p->rm);
    emit_bytes(&l->e, l->in->bytes + l->in->copy.tail, l->in->length - l->in->copy.tail);
}

static void emit_evex(struct lower *l, const struct fields *p)
{
    const uint8_t *v = l->in->bytes + l->in->copy.opcode_at;
    unsigned p0 = v[1], p1 = v[2], p2 = v[3]; /* ~R ~X ~B ~R' 0mmm; W ~vvvv 1 pp; z L'L b ~V' aaa */

    if (p->reg != COPY_NO_FIELD)
        p0 = (p0 & ~0x80u) | (p->reg & 8 ? 0 : 0x80u);
    if (p->memory)
        p0 = (p0 & ~0x60u) | (p->pointer.index > 7 ? 0 : 0x40u) | (p->pointer.reg > 7 ? 0 : 0x20u);
    else if (p->rm != COPY_NO_FIELD)
        p0 = (p0 & ~0x60u) | 0x40u | (p->rm & 8 ? 0 : 0x20u);
    if (p->vvvv != COPY_NO_FIELD) {
        p1 = (p1 & ~0x78u) | (~(unsigned)p->vvvv & 15) << 3;
        p2 |= 8;
    }
    emit8(&l->e, 0x62);
    emit8(&l->e, p0);
    emit8(&l->e, p1);
    emit8(&l->e, p2);
    emit8(&l->e, l->in->bytes[l->in->modrm - 1u]);
    emit_modrm(l, p, p->reg, p->rm);
    emit_bytes(&l->e, l->in->bytes + l->in->copy.tail, l->in->length - l->in->copy.tail);
}

/* It, of guest RAX where that lives. */
static void emit_accumulator_immediate(struct lower *l, int extension)
{
    const struct insn *in = l->in;

    if (in->operand_width == 16)
        emit8(&l->e, 0x66);
    emit_rex(&l->e, in->operand_width == 64, 0, 0, H_R10);
    emit8(&l->e, (in->mnemonic == ZYDIS_MNEMONIC_TEST ? 0xf6u : 0x80u) | (in->opcode & 1u));
    emit8(&l->e, 0xc0u | (unsigned)extension << 3 | (H_R10 & 7));
    emit_bytes(&l->e, in->bytes + in->copy.tail, in->length - in->copy.tail);
}

/* INC or DEC of the register in the opcode. */
static void emit_short_count(struct lower *l, int host)
{
    if (l->in->operand_width == 16)
        emit8(&l->e, 0x66);
    emit_op_reg(&l->e, false, 0xff, l->in->opcode >> 3 & 1, host);
}

/* INC or DEC of a register in 32-bit code, and behind it only a branch by the carry in front of it sees its flags,
   with the block going on to overwrite both: long additions, and string functions that look for a zero byte in
   words. */
static bool may_count_wide(const struct lower *l)
{
    const struct insn *in = l->in, *branch = in + 1, *next = in + 2;

    return l->t->options.wide_count && !l->wide && !l->segmented && !l->loop.active && l->index + 2 < l->count &&
           !in->memory && (in->mnemonic == ZYDIS_MNEMONIC_INC || in->mnemonic == ZYDIS_MNEMONIC_DEC) &&
           in->operand_width == 32 && branch->row == lower_branch && branch->flags_read == FLAG_CF &&
           next->row == lower_copy && !next->memory && next->operand_width == 32 && !next->flags_needed &&
           next->flags_written == FLAGS_ALL_SIX && !flags_observer(next) &&
           guest_operand(&next->op[0]) == guest_operand(&in->op[0]) && next->writes & in->writes;
}

/* Of 64 bits: processors from Golden Cove on do additions of small numbers while they rename registers, but in
   64-bit mode only of 64 bits. The branch makes it good where it leaves (flow.c). */
static void emit_wide_count(struct lower *l)
{
    emit_op_reg(&l->e, true, 0xff, l->in->mnemonic == ZYDIS_MNEMONIC_DEC,
                host_register((unsigned)guest_operand(&l->in->op[0])));
    l->counted = l->in;
}

static void emit_copy(struct lower *l, const struct fields *p)
{
    if (p->memory)
        window_emit_prefixes(&l->e, &p->pointer);
    if (l->in->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        emit_vex(l, p);
    else if (l->in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        emit_evex(l, p);
    else
        emit_legacy(l, p);
}

void lower_copy(struct lower *l)
{
    const struct insn *in = l->in;
    const struct copy_plan *c = &in->copy;
    struct cold *step = NULL;
    struct temporaries t;
    struct fields p = {c->reg, c->rm, c->vvvv, c->opcode, .memory = c->memory >= 0};

    t.count = t.borrowed_count = 0;
    if (in->masked)
        p.pointer = access_masked(l, &in->op[c->memory], &step);
    else if (p.memory)
        p.pointer = access_operand(l, &in->op[c->memory], c->form);
    p.keep_r11 = group_in_r11(l);
    if (in->flags_needed)
        flags_restore(l);
    if (c->rax)
        emit_mov(&l->e, H_RAX, H_R10);
    if (c->away)
        place_fields(l, &p, &t);
    if (c->no_rex_pointer)
        move_pointer(l, &p, &t);
    l->map[l->index].flags_saved_work = !(l->flags & FLAGS_HOST);
    l->map[l->index].recipe = l->flags == FLAGS_COMPUTED ? (uint16_t)l->recipe : 0;
    if (may_count_wide(l))
        emit_wide_count(l);
    else if (c->accumulator >= 0)
        emit_accumulator_immediate(l, c->accumulator);
    else if (c->short_count)
        emit_short_count(l, p.opcode);
    else
        emit_copy(l, &p);
    release(l, &t);
    if (c->rax && c->writes_rax)
        emit_mov(&l->e, H_R10, H_RAX);
    if (in->flags_written)
        l->flags = FLAGS_HOST;
    if (step)
        step->done = emit_here(&l->e);
}
