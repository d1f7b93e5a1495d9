/*
 * flags.c - where the guest's arithmetic flags are while a block is made.
 *
 * Interface: lower.h. A memory access clobbers the host's flags. If an instruction further on may read them, they
 * are saved before. If none will, only a fault could show them: then they are dropped where they can be computed
 * again (recipe.c) from registers that stay as they are up to the last place that may fault; else saved all the
 * same, since a fault must show them exactly.
 */
#include "translator/lower.h"

void flags_save(struct lower *l)
{
    static const uint8_t lahf_seto[] = {0x9f, 0x0f, 0x90, 0xc0};

    if (l->flags & FLAGS_SAVED)
        return;
    if (l->flags == FLAGS_COMPUTED) {
        flags_save_recipe(l, l->recipe);
        return;
    }
    emit_bytes(&l->e, lahf_seto, sizeof lahf_seto);
    emit8(&l->e, 0x66); /* mov gs:[flags], ax */
    emit_op_vcpu(&l->e, false, OP_STORE, H_RAX, H_NONE, TV_OFFSET(flags));
    l->flags |= FLAGS_SAVED;
}

void flags_clobber(struct lower *l)
{
    if (!(l->flags & FLAGS_SAVED) && l->recipe) {
        struct flags_outlook ahead = flags_look_ahead(l, l->index);

        if (ahead.overwritten && !(ahead.changed & recipe_registers(l->t, l->recipe))) {
            l->flags = FLAGS_COMPUTED;
            return;
        }
    }
    flags_save(l);
    l->flags = FLAGS_SAVED;
}

void flags_save_recipe(struct lower *l, uint32_t recipe)
{
    emit_op_vcpu(&l->e, false, 0xc7, 0, H_NONE, TV_OFFSET(flags)); /* mov dword gs:[flags], imm32 */
    emit32(&l->e, recipe << 16);
}

/* movzx reg, word gs:[flags]; not R8 to R15. */
static void emit_word(struct emitter *e, int reg)
{
    emit8(e, 0x65);
    emit8(e, 0x0f);
    emit8(e, 0xb7);
    emit_address(e, reg, H_NONE, H_NONE, 1, TV_OFFSET(flags));
}

void flags_restore(struct lower *l)
{
    static const uint8_t add_sahf[] = {0x04, 0x7f, 0x9e}; /* add al, 127: OF if AL was 1; sahf */

    if (l->flags & FLAGS_HOST)
        return;
    emit_word(&l->e, H_RAX);
    emit_bytes(&l->e, add_sahf, sizeof add_sahf);
    l->flags |= FLAGS_HOST;
}

void flags_emit_image(struct emitter *e, int reg)
{
    emit_word(e, reg);
    emit_op_reg(e, false, OP_LOAD, H_R11, reg);
    emit_op_imm(e, false, 4, H_R11, 1);
    emit_shift(e, false, 4, H_R11, 11);
    emit_shift(e, false, 5, reg, 8);
    emit_op_imm(e, false, 4, reg, (int32_t)(FLAGS_ARITH & 0xff));
    emit_op_reg(e, false, OP_OR, reg, H_R11);
}

void flags_emit_take(struct emitter *e)
{
    emit_op_reg(e, false, OP_LOAD, H_R11, H_RAX);
    emit_shift(e, false, 5, H_R11, 11);
    emit_op_imm(e, false, 4, H_R11, 1);
    emit_shift(e, false, 4, H_RAX, 8);
    emit_op_reg(e, false, OP_OR, H_RAX, H_R11);
    emit_op_imm(e, false, 1, H_RAX, FLAGS_WORD_PLAIN); /* or */
    emit8(e, 0x66);
    emit_op_vcpu(e, false, OP_STORE, H_RAX, H_NONE, TV_OFFSET(flags));
}

/* A shift by CL, or by an immediate that masks to 0, may leave the flags alone. */
static bool is_uncertain_shift(const struct insn *in)
{
    const struct operand *count = &in->op[in->visible_count - 1];

    if (in->category != ZYDIS_CATEGORY_SHIFT || in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    if (count->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return !(count->imm.u & (in->operand_width == 64 ? 63 : 31));
    return true;
}

void flags_look(struct insn *in)
{
    in->flags_needed =
        in->flags_read || (in->flags_written && (in->flags_written != FLAGS_ALL_SIX || is_uncertain_shift(in)));
}

bool flags_observer(const struct insn *in)
{
    if (in->row == lower_nothing || in->row == lower_lea)
        return false;
    if (in->row != lower_copy || in->memory)
        return true;
    switch (in->category) {
    case ZYDIS_CATEGORY_BITBYTE:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_ROTATE:
    case ZYDIS_CATEGORY_SETCC:
    case ZYDIS_CATEGORY_SHIFT:
        return false;
    case ZYDIS_CATEGORY_BINARY:
        return in->mnemonic == ZYDIS_MNEMONIC_DIV || in->mnemonic == ZYDIS_MNEMONIC_IDIV;
    default:
        return true;
    }
}

/* Rows that do not leave the block but by a fault, and do not look at the flags but by lower_copy's way. */
static bool is_plain(const struct insn *in)
{
    return in->row == lower_copy || in->row == lower_nothing || in->row == lower_lea || in->row == lower_push ||
           in->row == lower_pop || in->row == lower_absolute || in->row == lower_pc_load;
}

struct flags_outlook flags_look_ahead(const struct lower *l, unsigned from)
{
    struct flags_outlook ahead = {false, 0};
    uint16_t changed = 0;

    for (unsigned i = from; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];

        if (!is_plain(in) || (in->row == lower_copy && in->flags_needed))
            return ahead;
        /* A store into translated code may end the block behind its instruction. */
        if (flags_observer(in))
            ahead.changed |= changed | in->writes;
        if (in->row == lower_copy && in->flags_written) {
            ahead.overwritten = true;
            return ahead;
        }
        changed |= in->writes;
    }
    return ahead;
}

enum block_flags flags_natural_entry(const struct lower *l)
{
    /* Of a block that does nothing with the flags, or that a fault may show them before it does. In code with a
       window the end of a loop leaves them in the host's. */
    bool in_host = l->tv->came_with_flags || (l->windowed && flow_loops(l));
    enum block_flags as_they_come = in_host ? BLOCK_FLAGS_HOST : BLOCK_FLAGS_SAVED;
    bool shown = false;

    for (unsigned i = 0; i < l->count; i++) {
        const struct insn *in = &l->t->insns[i];

        if (in->row == lower_nothing || in->row == lower_lea)
            continue;
        if (in->row == lower_branch || in->row == lower_loop)
            return BLOCK_FLAGS_HOST;
        if (in->row == lower_copy && in->flags_needed)
            return BLOCK_FLAGS_HOST;
        if (l->windowed && window_keeps_flags(in)) {
            shown = true;
            if (in->row == lower_copy && in->flags_written)
                return as_they_come;
            continue;
        }
        if (l->windowed && flow_hands_on_flags(in))
            return as_they_come;
        if (in->row != lower_copy || in->memory)
            return BLOCK_FLAGS_SAVED;
        if (flags_observer(in))
            return BLOCK_FLAGS_HOST;
        if (in->flags_written)
            return shown ? as_they_come : BLOCK_FLAGS_EITHER;
    }
    return as_they_come;
}

static bool recipe_operand(const struct operand *op, uint8_t *guest)
{
    bool high;
    int g = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? guest_register(op->reg.value, &high) : -1;

    if (g < 0 || high)
        return false;
    *guest = (uint8_t)g;
    return true;
}

static uint8_t size_index(const struct operand *op)
{
    return op->size == 64 ? 3 : op->size == 32 ? 2 : op->size == 16 ? 1 : 0;
}

/* How to compute what the instruction leaves in the flags; false if its operands do not tell any more. */
static bool recipe_for(const struct insn *in, struct flags_recipe *r)
{
    bool operand;

    *r = (struct flags_recipe){.size = size_index(&in->op[0])};
    if (!recipe_operand(&in->op[0], &r->result))
        return false;
    operand = in->operand_count > 1 && recipe_operand(&in->op[1], &r->other);
    if (in->operand_count > 1 && in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        operand = true;
        r->other = RECIPE_IMMEDIATE;
        r->immediate = (int32_t)in->op[1].imm.s;
    }
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
        r->kind = RECIPE_ADD;
        return operand && r->other != r->result;
    case ZYDIS_MNEMONIC_SUB:
        r->kind = r->other == r->result ? RECIPE_CMP : RECIPE_SUB;
        return operand;
    case ZYDIS_MNEMONIC_CMP:
        r->kind = RECIPE_CMP;
        return operand;
    case ZYDIS_MNEMONIC_TEST:
        r->kind = RECIPE_TEST;
        return operand;
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
        r->kind = RECIPE_TEST;
        r->other = r->result;
        return true;
    case ZYDIS_MNEMONIC_NEG:
        r->kind = RECIPE_NEG;
        r->other = RECIPE_IMMEDIATE;
        return true;
    default:
        return false;
    }
}

uint32_t flags_recipe(const struct lower *l, const struct insn *in)
{
    struct flags_recipe recipe;

    if (in->flags_needed || !l->t->options.lazy_flags || !recipe_for(in, &recipe))
        return 0;
    return recipe_number(l->t, &recipe);
}

void flags_advance(struct lower *l)
{
    const struct insn *in = l->in;

    if (in->row == lower_copy && in->flags_written)
        l->recipe = flags_recipe(l, in);
    else if (l->recipe && in->row != lower_branch &&
             (!is_plain(in) || in->writes & recipe_registers(l->t, l->recipe)))
        l->recipe = 0;
}
