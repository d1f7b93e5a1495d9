/*
 * flags.c - where the guest's arithmetic flags are while a block is made.
 *
 * Interface: lower.h. A memory access clobbers the host's flags, so they are saved before the first one behind an
 * instruction that sets them, also when nothing will read them: a fault must show them exactly.
 */
#include "translator/lower.h"

void flags_save(struct lower *l)
{
    static const uint8_t lahf_seto[] = {0x9f, 0x0f, 0x90, 0xc0};

    if (l->flags & FLAGS_SAVED)
        return;
    emit_bytes(&l->e, lahf_seto, sizeof lahf_seto);
    emit8(&l->e, 0x66); /* mov gs:[flags], ax */
    emit_op_vcpu(&l->e, false, OP_STORE, H_RAX, H_NONE, TV_OFFSET(flags));
    l->flags |= FLAGS_SAVED;
}

void flags_clobber(struct lower *l)
{
    flags_save(l);
    l->flags = FLAGS_SAVED;
}

void flags_restore(struct lower *l)
{
    static const uint8_t add_sahf[] = {0x04, 0x7f, 0x9e}; /* add al, 127: OF if AL was 1; sahf */

    if (l->flags & FLAGS_HOST)
        return;
    emit8(&l->e, 0x65); /* movzx eax, word gs:[flags] */
    emit8(&l->e, 0x0f);
    emit8(&l->e, 0xb7);
    emit_address(&l->e, H_RAX, H_NONE, H_NONE, 1, TV_OFFSET(flags));
    emit_bytes(&l->e, add_sahf, sizeof add_sahf);
    l->flags |= FLAGS_HOST;
}

/* A shift by CL, or by an immediate that masks to 0, may leave the flags alone. */
static bool is_uncertain_shift(const struct insn *in)
{
    const ZydisDecodedOperand *count = &in->op[in->z.operand_count_visible - 1];

    if (in->z.meta.category != ZYDIS_CATEGORY_SHIFT || in->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    if (count->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return !(count->imm.value.u & (in->z.operand_width == 64 ? 63 : 31));
    return true;
}

uint32_t flags_read(const struct insn *in)
{
    return in->z.cpu_flags ? in->z.cpu_flags->tested & FLAGS_ALL_SIX : 0;
}

uint32_t flags_written(const struct insn *in)
{
    const ZydisAccessedFlags *f = in->z.cpu_flags;

    if (!f)
        return 0;
    return (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ALL_SIX;
}

bool flags_needed(const struct insn *in)
{
    uint32_t written = flags_written(in);

    return flags_read(in) || (written && (written != FLAGS_ALL_SIX || is_uncertain_shift(in)));
}
