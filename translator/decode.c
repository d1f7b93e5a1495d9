/*
 * decode.c - guest bytes to decoded instructions, and what the lowering wants to know of each.
 *
 * Interface: internal.h. Invariant: a decoded run ends with the instruction that ends the block, or before the
 * first byte that was not available.
 */
#include "translator/lockstep.h"
#include "translator/lower.h"

#include <string.h>

static bool ends_block(const struct insn *in)
{
    if (!in->valid)
        return true;
    switch (in->category) {
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
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_LMSW:
    case ZYDIS_MNEMONIC_RDTSC: /* so that what comes behind it is translated at a time that it does not tell */
    case ZYDIS_MNEMONIC_RDTSCP:
        return true;
    case ZYDIS_MNEMONIC_MOV: /* to a control register: the mode may change */
        return in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[0].reg.value >= ZYDIS_REGISTER_CR0 &&
               in->op[0].reg.value <= ZYDIS_REGISTER_CR15;
    default:
        return false;
    }
}

/* May the block go on behind it, if it does not jump? Behind a jump back, the end of a loop, it may not. */
static bool is_side_exit(const struct insn *in)
{
    return in->valid && in->category == ZYDIS_CATEGORY_COND_BR && in->branch_type != ZYDIS_BRANCH_TYPE_NONE &&
           in->mnemonic != ZYDIS_MNEMONIC_LOOP && in->mnemonic != ZYDIS_MNEMONIC_LOOPE &&
           in->mnemonic != ZYDIS_MNEMONIC_LOOPNE && in->mnemonic != ZYDIS_MNEMONIC_JRCXZ &&
           in->mnemonic != ZYDIS_MNEMONIC_JECXZ && in->mnemonic != ZYDIS_MNEMONIC_JCXZ &&
           in->operand_width == in->width;
}

/* --- from what Zydis says --- */

/* A repeat prefix makes it undefined (SDM vol. 2, 3.1.1.2: NP); Zydis 4.0 ignores the prefix. */
static bool is_doubtful(const ZydisDecodedInstruction *z)
{
    bool repeat = false;

    for (unsigned i = 0; i < z->raw.prefix_count; i++)
        repeat |= z->raw.prefixes[i].value >= 0xf2 && z->raw.prefixes[i].value <= 0xf3;
    switch (z->mnemonic) {
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
static bool is_mistaken(const ZydisDecodedInstruction *z)
{
    return (z->mnemonic == ZYDIS_MNEMONIC_PAUSE && z->raw.rex.B) ||
           (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE);
}

static void correct_base(const ZydisDecodedInstruction *z, ZydisDecodedOperand *op)
{
    if (z->address_width != 32 || z->raw.modrm.mod != 0 || z->raw.modrm.rm != 4 || z->raw.sib.base != 5 ||
        op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.base != ZYDIS_REGISTER_R13D)
        return;
    op->mem.base = ZYDIS_REGISTER_NONE;
    op->mem.disp.has_displacement = true;
    op->mem.disp.value = z->raw.disp.value;
}

static void take_operand(struct operand *op, const ZydisDecodedOperand *z)
{
    *op = (struct operand){
        .type = (uint8_t)z->type, .actions = z->actions, .encoding = (uint8_t)z->encoding, .size = z->size};
    switch (z->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        op->reg.value = (uint16_t)z->reg.value;
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        op->mem.disp = z->mem.disp.has_displacement ? z->mem.disp.value : 0;
        op->mem.segment = (uint16_t)z->mem.segment;
        op->mem.base = (uint16_t)z->mem.base;
        op->mem.index = (uint16_t)z->mem.index;
        op->mem.scale = z->mem.scale;
        op->mem.type = (uint8_t)z->mem.type;
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        op->ptr.segment = z->ptr.segment;
        op->ptr.offset = z->ptr.offset;
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        op->imm.u = z->imm.value.u;
        break;
    default:
        break;
    }
}

static void take_values(struct insn *in, const ZydisDecodedInstruction *z)
{
    in->modrm = z->attributes & ZYDIS_ATTRIB_HAS_MODRM ? z->raw.modrm.offset : 0;
    in->disp_size = z->raw.disp.size / 8;
    in->disp_offset = in->disp_size ? z->raw.disp.offset : 0;
    in->imm_size = z->raw.imm[0].size / 8;
    in->imm_offset = in->imm_size ? z->raw.imm[0].offset : 0;
    in->imm_signed = in->imm_size && z->raw.imm[0].is_signed;
    in->two_immediates = z->raw.imm[1].size != 0;
    in->imm = in->imm_size ? z->raw.imm[0].value.s : 0;
}

/* Without RFLAGS at the end, which the flags tell of. */
static uint8_t count_operands(const ZydisDecodedOperand *op, unsigned count)
{
    while (count && op[count - 1].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
           op[count - 1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(op[count - 1].reg.value) == ZYDIS_REGCLASS_FLAGS)
        count--;
    return (uint8_t)count;
}

static void take_instruction(struct insn *in, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op)
{
    const ZydisAccessedFlags *f = z->cpu_flags;

    in->attributes = z->attributes;
    in->mnemonic = (uint16_t)z->mnemonic;
    in->operand_width = z->operand_width;
    in->address_width = z->address_width;
    in->category = (uint8_t)z->meta.category;
    in->isa_ext = (uint8_t)z->meta.isa_ext;
    in->branch_type = (uint8_t)z->meta.branch_type;
    in->encoding = (uint8_t)z->encoding;
    in->opcode_map = (uint8_t)z->opcode_map;
    in->opcode = z->opcode;
    in->operand_count = count_operands(op, z->operand_count);
    in->visible_count = z->operand_count_visible;
    in->vex_w = z->raw.vex.W;
    in->flags_read = f ? f->tested & FLAGS_ALL_SIX : 0;
    in->flags_written = f ? (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ALL_SIX : 0;
    take_values(in, z);
}

/* --- what follows from it --- */

static uint16_t register_bit(struct insn *in, unsigned reg)
{
    bool high;
    int guest = guest_register(reg, &high);

    in->high_byte |= guest >= 0 && high;
    return guest < 0 ? 0 : (uint16_t)(1u << guest);
}

/* By a mask register or, VMASKMOVPS and its like, by a vector (SDM vol. 2, 2.7.5 and VMASKMOV). */
static bool is_masked(const struct insn *in, const ZydisDecodedInstruction *z)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
        return true;
    default:
        return in->memory && in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
               z->avx.mask.reg != ZYDIS_REGISTER_NONE && z->avx.mask.reg != ZYDIS_REGISTER_K0;
    }
}

static void look_at_operands(struct insn *in)
{
    for (unsigned i = 0; i < in->operand_count; i++) {
        const struct operand *op = &in->op[i];

        if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            in->memory = true;
            in->uses |= register_bit(in, op->mem.base) | register_bit(in, op->mem.index);
        } else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            in->uses |= register_bit(in, op->reg.value);
            if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
                in->writes |= register_bit(in, op->reg.value);
        }
    }
}

static void choose_row(const struct translator *t, uint32_t mode, struct insn *in)
{
    in->row = lower_find(t, in, mode);
    if (t->options.lockstep && in->valid && lockstep_unrepeatable(in))
        in->row = lower_leave_to_run_loop;
    if (in->row == lower_copy)
        copy_plan(in);
}

const ZydisDecoder *decode_decoder(const struct translator *t, uint32_t mode)
{
    return mode & MODE_CODE64 ? &t->decoder64 : mode & MODE_CODE32 ? &t->decoder32 : &t->decoder16;
}

static ZyanStatus decode_anew(const struct translator *t, uint32_t mode, gva_t pc, struct insn *in,
                              const uint8_t *bytes, unsigned available)
{
    const ZydisDecoder *decoder = decode_decoder(t, mode);
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction z;
    ZydisDecoderContext context;
    ZyanStatus status = ZydisDecoderDecodeInstruction(decoder, &context, bytes, available, &z);

    if (ZYAN_SUCCESS(status)) /* the operands that there are; the whole array would be ten */
        status = ZydisDecoderDecodeOperands(decoder, &context, &z, op, z.operand_count);
    memset(in, 0, offsetof(struct insn, op));
    in->pc = pc;
    in->width = mode & MODE_CODE64 ? 64 : mode & MODE_CODE32 ? 32 : 16;
    in->valid = ZYAN_SUCCESS(status) && !is_mistaken(&z);
    in->length = ZYAN_SUCCESS(status) ? z.length : 1;
    memcpy(in->bytes, bytes, in->length);
    if (in->valid) {
        take_instruction(in, &z, op);
        for (unsigned i = 0; i < in->operand_count; i++) {
            correct_base(&z, &op[i]);
            take_operand(&in->op[i], &op[i]);
        }
        in->lacking = t->lacking[z.meta.isa_set] || is_doubtful(&z);
        look_at_operands(in);
        in->masked = is_masked(in, &z);
        flags_look(in);
    }
    in->ends = ends_block(in);
    in->side_exit = is_side_exit(in);
    choose_row(t, mode, in);
    return status;
}

void decode_learn(struct translator *t)
{
    static const uint8_t tries[] = {0x00, 0x08, 0xc0, 0xc8}; /* some ModRM byte may be undefined */

    for (unsigned i = 0; i < 2 * 256 * sizeof tries; i++) {
        unsigned map = i / (256 * sizeof tries), opcode = i / sizeof tries % 256;
        uint8_t bytes[16] = {map ? 0x0f : (uint8_t)opcode, map ? (uint8_t)opcode : tries[i % sizeof tries]};
        ZydisDecodedInstruction z;

        if (map)
            bytes[2] = tries[i % sizeof tries];
        if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&t->decoder64, NULL, bytes, sizeof bytes, &z)))
            t->has_modrm[map][opcode] |= (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    }
}

/* One that begins like another, or anew; `place` moves on to the next one. */
static ZyanStatus decode_next(struct translator *t, uint32_t mode, struct template_place *place, struct insn *in,
                              const uint8_t *bytes, unsigned available)
{
    struct template_place here = *place;
    unsigned length = template_length(&here, mode, bytes);
    ZyanStatus status;

    if (length) {
        template_seek(t, mode, bytes + length, available - length, place);
        template_take(&here, in, bytes);
        return ZYAN_STATUS_SUCCESS;
    }
    status = decode_anew(t, mode, in->pc, in, bytes, available);
    if (!ZYAN_SUCCESS(status))
        return status;
    template_keep(t, mode, in);
    template_seek(t, mode, bytes + in->length, available - in->length, place);
    return status;
}

unsigned decode_block(struct translator *t, uint32_t mode, gva_t pc, const uint8_t *bytes, unsigned available,
                      unsigned max, bool *straddles, struct callee *callee)
{
    bool alike = t->options.templates && !translator_segmented(mode); /* the row does not depend on addresses */
    unsigned count = 0, at = 0, side_exits = t->options.extend ? 0 : MAX_SIDE_EXITS;
    struct template_place place = {.head = 0};
    ZyanStatus status;

    *straddles = false;
    if (alike)
        template_seek(t, mode, bytes, available, &place);
    while (count < max && at < available) {
        struct insn *in = &t->insns[count];

        in->pc = pc + at;
        status = alike ? decode_next(t, mode, &place, in, bytes + at, available - at)
                       : decode_anew(t, mode, in->pc, in, bytes + at, available - at);
        if (status == ZYDIS_STATUS_NO_MORE_DATA) {
            *straddles = count == 0;
            break;
        }
        at += in->length;
        count++;
        if (callee && pc_load_find(t, mode, callee, in))
            continue;
        if (in->ends &&
            !(((in->side_exit && in->imm > 0) || flow_continues(t, mode, in)) && side_exits++ < MAX_SIDE_EXITS))
            break;
    }
    return count;
}
