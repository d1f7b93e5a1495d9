/*
 * decode.c - guest bytes to decoded instructions.
 *
 * Interface: internal.h. Invariant: a decoded run ends with the instruction that ends the block, or before the
 * first byte that was not available.
 */
#include "translator/internal.h"

#include <string.h>

bool decode_ends_block(const struct insn *in)
{
    if (!in->valid)
        return true;
    switch (in->z.meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_UNCOND_BR:
        return true;
    default:
        break;
    }
    switch (in->z.mnemonic) {
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_LMSW:
        return true;
    case ZYDIS_MNEMONIC_MOV: /* to a control register: the mode may change */
        return in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[0].reg.value >= ZYDIS_REGISTER_CR0 &&
               in->op[0].reg.value <= ZYDIS_REGISTER_CR15;
    default:
        return false;
    }
}

/* A repeat prefix makes it undefined (SDM vol. 2, 3.1.1.2: NP); Zydis 4.0 ignores the prefix. */
static bool is_doubtful(const struct insn *in)
{
    bool repeat = false;

    for (unsigned i = 0; i < in->z.raw.prefix_count; i++)
        repeat |= in->z.raw.prefixes[i].value >= 0xf2 && in->z.raw.prefixes[i].value <= 0xf3;
    switch (in->z.mnemonic) {
    case ZYDIS_MNEMONIC_ADCX:
    case ZYDIS_MNEMONIC_CMPXCHG8B:
    case ZYDIS_MNEMONIC_CMPXCHG16B:
        return repeat;
    default:
        return false;
    }
}

/* Zydis 4.0 takes [disp32 + index] for [r13d + index] under an address-size prefix with REX.B, F3 90 for PAUSE
   even when REX.B makes it XCHG R8, RAX, and knows branches on mask registers that only one processor ever had. */
static void correct(struct insn *in)
{
    if (in->z.mnemonic == ZYDIS_MNEMONIC_PAUSE && in->z.raw.rex.B)
        in->valid = false; /* the interpreter's */
    if (in->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
        in->valid = false;
    if (in->z.address_width != 32 || in->z.raw.modrm.mod != 0 || in->z.raw.modrm.rm != 4 ||
        in->z.raw.sib.base != 5)
        return;
    for (unsigned i = 0; i < in->z.operand_count; i++) {
        ZydisDecodedOperand *op = &in->op[i];

        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.base != ZYDIS_REGISTER_R13D)
            continue;
        op->mem.base = ZYDIS_REGISTER_NONE;
        op->mem.disp.has_displacement = true;
        op->mem.disp.value = in->z.raw.disp.value;
    }
}

const ZydisDecoder *decode_decoder(const struct translator *t, uint32_t mode)
{
    return mode & MODE_CODE64 ? &t->decoder64 : mode & MODE_CODE32 ? &t->decoder32 : &t->decoder16;
}

static ZyanStatus decode_one(struct translator *t, uint32_t mode, struct insn *in, const uint8_t *bytes,
                             unsigned available)
{
    const ZydisDecoder *decoder = decode_decoder(t, mode);
    ZydisDecoderContext context;
    ZyanStatus status = ZydisDecoderDecodeInstruction(decoder, &context, bytes, available, &in->z);

    if (ZYAN_SUCCESS(status)) /* the operands that there are; the whole array would be ten */
        status = ZydisDecoderDecodeOperands(decoder, &context, &in->z, in->op, in->z.operand_count);
    in->valid = ZYAN_SUCCESS(status);
    in->length = in->valid ? in->z.length : 1;
    in->lacking = false;
    if (in->valid) {
        in->lacking = t->lacking[in->z.meta.isa_set] || is_doubtful(in);
        correct(in);
    }
    memcpy(in->bytes, bytes, in->length);
    return status;
}

/* May the block go on behind it, if it does not jump? Behind a jump back, the end of a loop, it may not. */
static bool is_side_exit(const struct insn *in)
{
    return in->valid && in->z.meta.category == ZYDIS_CATEGORY_COND_BR &&
           in->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && in->z.mnemonic != ZYDIS_MNEMONIC_LOOP &&
           in->z.mnemonic != ZYDIS_MNEMONIC_LOOPE && in->z.mnemonic != ZYDIS_MNEMONIC_LOOPNE &&
           in->z.mnemonic != ZYDIS_MNEMONIC_JRCXZ && in->z.mnemonic != ZYDIS_MNEMONIC_JECXZ &&
           in->z.mnemonic != ZYDIS_MNEMONIC_JCXZ && in->z.operand_width == insn_width(in) &&
           in->z.raw.imm[0].value.s > 0;
}

unsigned decode_block(struct translator *t, uint32_t mode, gva_t pc, const uint8_t *bytes, unsigned available,
                      unsigned max, bool *straddles)
{
    unsigned count = 0, at = 0, side_exits = t->options.extend ? 0 : MAX_SIDE_EXITS;

    *straddles = false;
    while (count < max && at < available) {
        struct insn *in = &t->insns[count];
        ZyanStatus status = decode_one(t, mode, in, bytes + at, available - at);

        if (status == ZYDIS_STATUS_NO_MORE_DATA) {
            *straddles = count == 0;
            break;
        }
        in->pc = pc + at;
        at += in->length;
        count++;
        if (decode_ends_block(in) && !(is_side_exit(in) && side_exits++ < MAX_SIDE_EXITS))
            break;
    }
    return count;
}
