/*
 * copy_plan.c - which instructions may be copied, and how: what is known once they are decoded.
 *
 * Interface: copy_possible, copy_plan. Invariant: what is not known to be harmless is not copied.
 */
#include "translator/lower.h"

static bool category_allowed(const struct insn *in)
{
    switch (in->category) {
    case ZYDIS_CATEGORY_ADOX_ADCX:
    case ZYDIS_CATEGORY_AES:
    case ZYDIS_CATEGORY_AVX:
    case ZYDIS_CATEGORY_AVX2:
    case ZYDIS_CATEGORY_AVX512:
    case ZYDIS_CATEGORY_AVX512_BITALG:
    case ZYDIS_CATEGORY_AVX512_VBMI:
    case ZYDIS_CATEGORY_BINARY:
    case ZYDIS_CATEGORY_BITBYTE:
    case ZYDIS_CATEGORY_BLEND:
    case ZYDIS_CATEGORY_BMI1:
    case ZYDIS_CATEGORY_BMI2:
    case ZYDIS_CATEGORY_BROADCAST:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_COMPRESS:
    case ZYDIS_CATEGORY_CONFLICT:
    case ZYDIS_CATEGORY_CONVERT:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_EXPAND:
    case ZYDIS_CATEGORY_FCMOV:
    case ZYDIS_CATEGORY_GFNI:
    case ZYDIS_CATEGORY_IFMA:
    case ZYDIS_CATEGORY_KMASK:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_LOGICAL_FP:
    case ZYDIS_CATEGORY_LZCNT:
    case ZYDIS_CATEGORY_MMX:
    case ZYDIS_CATEGORY_PCLMULQDQ:
    case ZYDIS_CATEGORY_RDRAND:
    case ZYDIS_CATEGORY_RDSEED:
    case ZYDIS_CATEGORY_ROTATE:
    case ZYDIS_CATEGORY_SEMAPHORE:
    case ZYDIS_CATEGORY_SETCC:
    case ZYDIS_CATEGORY_SHA:
    case ZYDIS_CATEGORY_SHIFT:
    case ZYDIS_CATEGORY_SSE:
    case ZYDIS_CATEGORY_STTNI:
    case ZYDIS_CATEGORY_VAES:
    case ZYDIS_CATEGORY_VBMI2:
    case ZYDIS_CATEGORY_VFMA:
    case ZYDIS_CATEGORY_VPCLMULQDQ:
    case ZYDIS_CATEGORY_X87_ALU:
        return true;
    default:
        break;
    }
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_CLC:
    case ZYDIS_MNEMONIC_STC:
    case ZYDIS_MNEMONIC_CMC:
    case ZYDIS_MNEMONIC_LAHF:
    case ZYDIS_MNEMONIC_SAHF:
    case ZYDIS_MNEMONIC_LFENCE:
    case ZYDIS_MNEMONIC_MFENCE:
    case ZYDIS_MNEMONIC_SFENCE:
        return true;
    default:
        return false;
    }
}

/* In an allowed category, yet not to be copied: hidden operands, or an image that would show host addresses. */
static bool mnemonic_refused(const struct insn *in)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
        return true;
    default:
        return false;
    }
}

/* Copied into 64-bit code it would mean something else than in 32-bit code (SDM vol. 2, 2.3 and the instructions).
 */
static bool is_other_in_64bit(const struct insn *in)
{
    if (in->width == 64)
        return false;
    if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || in->mnemonic == ZYDIS_MNEMONIC_VZEROALL ||
        in->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER)
        return true;
    if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->opcode == 0x82;
    for (unsigned i = 0; i < in->operand_count; i++)
        if (in->op[i].encoding == ZYDIS_OPERAND_ENCODING_IS4 ||
            (in->vex_w && in->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
             ZydisRegisterGetClass(in->op[i].reg.value) == ZYDIS_REGCLASS_GPR32))
            return true;
    if (in->vex_w && (in->mnemonic == ZYDIS_MNEMONIC_VMOVD || in->mnemonic == ZYDIS_MNEMONIC_VPEXTRD ||
                      in->mnemonic == ZYDIS_MNEMONIC_VPINSRD || in->mnemonic == ZYDIS_MNEMONIC_VCVTSI2SD ||
                      in->mnemonic == ZYDIS_MNEMONIC_VCVTSI2SS))
        return true;
    return in->vex_w && (in->isa_ext == ZYDIS_ISA_EXT_BMI1 || in->isa_ext == ZYDIS_ISA_EXT_BMI2);
}

bool copy_reaches_operand(const struct insn *in)
{
    if (in->width == 64)
        return true;
    for (unsigned i = 0; i < in->operand_count; i++) {
        const struct operand *op = &in->op[i];

        if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
            (in->address_width == 16 || op->mem.segment == ZYDIS_REGISTER_CS))
            return false;
    }
    return true;
}

/* The MODE_* bit an instruction needs (SDM vol. 3, table 2-2 and 13.1), or 0. */
uint32_t copy_mode_needed(const struct insn *in)
{
    if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        return MODE_AVX512;
    if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        if (in->category == ZYDIS_CATEGORY_KMASK)
            return MODE_AVX512;
        return in->isa_ext == ZYDIS_ISA_EXT_BMI1 || in->isa_ext == ZYDIS_ISA_EXT_BMI2 ? 0 : MODE_AVX;
    }
    for (unsigned i = 0; i < in->operand_count; i++) {
        ZydisRegisterClass c;

        if (in->op[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        c = ZydisRegisterGetClass(in->op[i].reg.value);
        if (c == ZYDIS_REGCLASS_XMM || in->op[i].reg.value == ZYDIS_REGISTER_MXCSR)
            return MODE_SSE;
        if (c == ZYDIS_REGCLASS_MMX || c == ZYDIS_REGCLASS_X87)
            return MODE_X87;
    }
    if (in->category == ZYDIS_CATEGORY_X87_ALU || in->isa_ext == ZYDIS_ISA_EXT_X87 ||
        in->isa_ext == ZYDIS_ISA_EXT_MMX)
        return MODE_X87;
    if (in->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || in->mnemonic == ZYDIS_MNEMONIC_STMXCSR)
        return MODE_SSE;
    return 0;
}

static bool operand_allowed(const struct insn *in, const struct operand *op)
{
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
        return op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && op->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
               op->size >= 8 && op->size <= 512 && op->size % 8 == 0 && (!in->masked || in->width == 64);
    if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        ZydisRegisterClass c = ZydisRegisterGetClass(op->reg.value);

        return c != ZYDIS_REGCLASS_SEGMENT && c != ZYDIS_REGCLASS_CONTROL && c != ZYDIS_REGCLASS_DEBUG &&
               c != ZYDIS_REGCLASS_TABLE && c != ZYDIS_REGCLASS_TEST && c != ZYDIS_REGCLASS_BOUND;
    }
    return op->type != ZYDIS_OPERAND_TYPE_POINTER;
}

/* --- the plan --- */

/* Guest registers become host numbers, or wait for a temporary one. */
static int8_t field_of(const struct copy_plan *p, int guest, bool high)
{
    int host = guest == RAX && p->rax ? H_RAX : host_register((unsigned)guest);

    if (high) /* AH CH DH BH: encodings 4-7 */
        return (int8_t)(guest + 4);
    return (int8_t)(host == NOT_RESIDENT ? COPY_AWAY + guest : host);
}

/* May an operand in memory take the place of the register in ModRM.rm? Bit tests by a register would address
   another word, and masks have an opcode for each (SDM vol. 2: BT, KMOVW). */
static bool takes_memory(const struct insn *in, const struct operand *op)
{
    if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        return false;
    return op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && op->actions == ZYDIS_OPERAND_ACTION_READ &&
           in->category != ZYDIS_CATEGORY_KMASK && in->mnemonic != ZYDIS_MNEMONIC_BT;
}

/* BSF and BSR may leave it as it was (SDM vol. 2). Shorter ones leave the upper bits. */
static bool writes_whole(const struct insn *in, const struct operand *op)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(op->reg.value);

    return op->actions == ZYDIS_OPERAND_ACTION_WRITE && in->mnemonic != ZYDIS_MNEMONIC_BSF &&
           in->mnemonic != ZYDIS_MNEMONIC_BSR && (c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64);
}

/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP and MOV of two registers are there in both directions; TEST has none (SDM
   vol. 2, table A-2). */
static bool has_both_directions(const struct insn *in)
{
    return in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
           ((in->opcode < 0x40 && (in->opcode & 4) == 0) || (in->opcode & 0xfc) == 0x88 ||
            in->mnemonic == ZYDIS_MNEMONIC_TEST);
}

/* A source without a host register goes where memory can be. */
static void turn(const struct insn *in, struct copy_plan *p)
{
    int8_t reg = p->reg;

    if (reg < COPY_AWAY || p->rm == COPY_NO_FIELD || (p->rm >= COPY_AWAY && p->rm_read) ||
        in->writes >> (reg - COPY_AWAY) & 1 || !has_both_directions(in))
        return;
    p->reg = p->rm;
    p->rm = reg;
    p->rm_read = p->turned = true;
}

static void plan_fields(const struct insn *in, struct copy_plan *p)
{
    uint16_t looked_at = 0;

    for (unsigned i = 0; i < in->operand_count; i++) {
        const struct operand *op = &in->op[i];
        bool high;
        int guest;

        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || (guest = guest_register(op->reg.value, &high)) < 0)
            continue;
        p->writes_rax |= guest == RAX && op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
        p->rm_read |= takes_memory(in, op);
        if (writes_whole(in, op))
            p->overwritten |= (uint16_t)(1u << guest);
        else
            looked_at |= (uint16_t)(1u << guest);
        switch (op->encoding) {
        case ZYDIS_OPERAND_ENCODING_MODRM_REG:
            p->reg = field_of(p, guest, high);
            break;
        case ZYDIS_OPERAND_ENCODING_MODRM_RM:
            p->rm = field_of(p, guest, high);
            break;
        case ZYDIS_OPERAND_ENCODING_NDSNDD:
            p->vvvv = field_of(p, guest, high);
            break;
        case ZYDIS_OPERAND_ENCODING_OPCODE:
            p->opcode = field_of(p, guest, high);
            break;
        default: /* implied */
            break;
        }
    }
    p->overwritten &= (uint16_t)~looked_at;
    turn(in, p);
    p->away = p->reg >= COPY_AWAY || p->rm >= COPY_AWAY || p->vvvv >= COPY_AWAY || p->opcode >= COPY_AWAY;
}

static bool is_implied(const struct operand *op)
{
    return op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_REG && op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM &&
           op->encoding != ZYDIS_OPERAND_ENCODING_NDSNDD && op->encoding != ZYDIS_OPERAND_ENCODING_OPCODE;
}

/* Does the instruction use RAX by itself, or as AH, so that the guest's has to be moved there? false in *possible:
   registers that it implies are elsewhere, or RSP has no number beside a high byte register. */
static bool wants_rax(const struct insn *in, bool *possible)
{
    bool implied = false, any = false, rsp = false;

    *possible = true;
    for (unsigned i = 0; i < in->operand_count; i++) {
        bool high;
        int guest = guest_operand(&in->op[i]);

        if (guest < 0)
            continue;
        guest_register(in->op[i].reg.value, &high);
        any |= guest == RAX;
        rsp |= guest == RSP && !high;
        if (is_implied(&in->op[i]) && guest == RAX)
            implied = true;
        else if (is_implied(&in->op[i]) && host_register((unsigned)guest) != guest)
            *possible = false;
    }
    if (in->high_byte && rsp)
        *possible = false;
    return implied || (in->high_byte && any);
}

/* The opcode extension of "op AL/AX/EAX/RAX, imm", which has a form with ModRM too, in group 1 or, TEST, 3 (SDM
   vol. 2, table A-6); -1: it is another instruction. */
static int8_t accumulator_immediate(const struct insn *in)
{
    uint8_t opcode = in->opcode;

    if (in->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return -1;
    if (opcode == 0xa8 || opcode == 0xa9)
        return 0;
    if (opcode >= 0x40 || (opcode & 6) != 4)
        return -1;
    return (int8_t)(opcode >> 3);
}

/* 40-4F are prefixes in 64-bit code. */
static bool is_short_count(const struct insn *in)
{
    return in->width != 64 && in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->opcode & 0xf0) == 0x40;
}

static void plan_bytes(const struct insn *in, struct copy_plan *p)
{
    unsigned at = 0;

    for (;; at++) {
        uint8_t c = in->bytes[at];

        if ((c & 0xf0) == 0x40 && in->width == 64)
            p->rex = c;
        else if (insn_is_legacy_prefix(c))
            p->rex = 0;
        else
            break;
    }
    p->opcode_at = (uint8_t)at;
    p->tail = in->imm_size ? in->imm_offset : in->length;
}

void copy_plan(struct insn *in)
{
    struct copy_plan *p = &in->copy;
    bool possible;

    *p = (struct copy_plan){.reg = COPY_NO_FIELD,
                            .rm = COPY_NO_FIELD,
                            .vvvv = COPY_NO_FIELD,
                            .opcode = COPY_NO_FIELD,
                            .memory = -1,
                            .accumulator = accumulator_immediate(in),
                            .short_count = is_short_count(in),
                            .form = POINTER_SUM};
    p->rax = wants_rax(in, &possible) && p->accumulator < 0;
    plan_fields(in, p);
    for (unsigned i = 0; i < in->operand_count; i++)
        if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            p->memory = (int8_t)i;
    p->no_rex_pointer = in->high_byte && p->memory >= 0 && (p->rax || in->flags_needed);
    if (p->rax || in->flags_needed)
        p->form = POINTER_R11;
    else if (in->high_byte)
        p->form = POINTER_RAX_ONLY;
    else if (p->away)
        p->form = POINTER_ONE_REGISTER;
    plan_bytes(in, p);
}

bool copy_possible(const struct insn *in, uint32_t mode)
{
    uint32_t needed = copy_mode_needed(in);
    unsigned memory = 0;
    bool possible;

    if (!category_allowed(in) || mnemonic_refused(in) || is_other_in_64bit(in) ||
        in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || in->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
        in->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW ||
        in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
        return false;
    if ((mode & needed) != needed)
        return false;
    for (unsigned i = 0; i < in->operand_count; i++) {
        memory += in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
        if (!operand_allowed(in, &in->op[i]))
            return false;
    }
    wants_rax(in, &possible);
    return memory <= 1 && possible;
}
