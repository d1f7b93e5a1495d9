/*
 * string.c - LODS, STOS, SCAS and MOVS.
 *
 * Interface: rows of lower.h. DF is nearly always clear: where it is set, the interpreter runs the instruction; so
 * it does repeated ones, in blocks (cpu/interp_string.c). But in a window REP MOVS and REP STOS run as they are,
 * if they are not too long; a page that is missing stops them halfway, as the architecture has it.
 */
#include "translator/lower.h"

static const struct operand *memory_operand(const struct insn *in, bool written)
{
    for (unsigned i = 0; i < in->operand_count; i++)
        if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            !(in->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == !written)
            return &in->op[i];
    return NULL;
}

bool string_is_plain(const struct insn *in)
{
    return in->category == ZYDIS_CATEGORY_STRINGOP && /* MOVSD is an SSE instruction, too */
           !(in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) &&
           (in->address_width == in->width || in->width != 64);
}

/* The host's flags are saved and DF is looked at. The cold path goes on where the caller sets `done`. */
static struct cold *begin(struct lower *l)
{
    flags_clobber(l);
    emit_op_vcpu(&l->e, false, 0xf7, 0, H_NONE, V_OFFSET(rflags)); /* test dword, imm32 */
    emit32(&l->e, FLAG_DF);
    return lower_step_if(l, CC_NE);
}

/* opcode (of more than 8 bits) between a host register and the element */
static void emit_element(struct lower *l, unsigned opcode, int reg, struct pointer p)
{
    unsigned size = l->in->op[0].size;

    if (size == 16)
        emit8(&l->e, 0x66);
    access_emit(l, size == 64, opcode - (size == 8), reg, p);
}

static void step_on(struct lower *l, int reg)
{
    if (l->in->address_width == 16)
        emit8(&l->e, 0x66);
    emit_op_mem(&l->e, l->wide, OP_LEA, reg, reg, H_NONE, 1, l->in->op[0].size / 8);
}

static void end(struct lower *l, struct cold *c)
{
    access_end_store(l);
    c->done = emit_here(&l->e);
    group_end(l);
}

void lower_lods(struct lower *l)
{
    struct cold *c = begin(l);

    emit_element(l, OP_LOAD, H_R10, access_operand(l, memory_operand(l->in, false), POINTER_SUM));
    step_on(l, H_RSI);
    end(l, c);
}

void lower_stos(struct lower *l)
{
    struct cold *c = begin(l);

    emit_element(l, OP_STORE, H_R10, access_operand(l, memory_operand(l->in, true), POINTER_SUM));
    step_on(l, H_RDI);
    end(l, c);
}

void lower_scas(struct lower *l)
{
    struct cold *c = begin(l);

    c->flags_after = FLAGS_HOST;
    emit_element(l, OP_CMP, H_R10, access_operand(l, memory_operand(l->in, false), POINTER_SUM));
    step_on(l, H_RDI);
    l->flags = FLAGS_HOST;
    end(l, c);
}

void lower_movs(struct lower *l)
{
    struct cold *c = begin(l);
    struct pointer to;

    emit_element(l, OP_LOAD, H_RAX, access_operand(l, memory_operand(l->in, false), POINTER_SUM));
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    to = access_operand(l, memory_operand(l->in, true), POINTER_R11);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill));
    emit_element(l, OP_STORE, H_RAX, to);
    step_on(l, H_RSI);
    step_on(l, H_RDI);
    end(l, c);
}

bool string_is_copied(const struct insn *in)
{
    if (in->category != ZYDIS_CATEGORY_STRINGOP || !(in->attributes & ZYDIS_ATTRIB_HAS_REP) ||
        in->address_width != in->width || in->width == 16)
        return false;
    for (unsigned i = 0; i < in->operand_count; i++)
        if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && place_segment(&in->op[i]) != PLACE_NONE)
            return false;
    return true;
}

/* REP MOVS, REP STOS */
void lower_repeated(struct lower *l)
{
    bool moves = memory_operand(l->in, false);
    struct cold *backwards, *far;

    if (!l->window) {
        lower_step(l);
        return;
    }
    backwards = begin(l);
    emit_op_imm(&l->e, l->wide, 7, H_RCX, WINDOW_REACH * 8 / l->in->op[0].size); /* cmp */
    far = lower_step_if(l, CC_A);
    if (l->wide) {
        window_probe(l, H_RDI);
        if (moves)
            window_probe(l, H_RSI);
    }
    emit_mov(&l->e, H_RAX, H_R10);
    l->map[l->index].repeats = true;
    l->map[l->index].flags_saved_work = true;
    if (!l->wide)
        emit8(&l->e, 0x67); /* what is above 32 bits may be anything */
    emit_bytes(&l->e, l->in->bytes, l->in->length);
    end(l, backwards);
    far->done = backwards->done;
}
