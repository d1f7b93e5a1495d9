/*
 * copy.c - the instruction copied, with its general registers renamed and its memory operand replaced.
 *
 * Interface: lower_copy, copy_possible. Works on the bytes: prefixes, REX/VEX/EVEX and ModRM are rebuilt with
 * other register numbers, opcode and immediates stay (SDM vol. 2, chapter 2). So every instruction whose registers
 * and memory operand are encoded in the usual fields is covered, without knowing what it does.
 */
#include "translator/lower.h"

#define NO_FIELD (-1)

/* Plan of one copy: new numbers for the encoded register fields. */
struct plan {
    int reg, rm, vvvv, opcode; /* host numbers of GPR fields, NO_FIELD where the field is not a GPR */
    bool memory;
    enum pointer_form form;
    struct pointer pointer; /* of the memory operand */
    bool keep_r11;          /* a group's pointer is there */
    bool rax;               /* the instruction uses RAX by itself, or AH: the guest's RAX is moved there */
    bool no_rex;
    bool no_rex_pointer; /* nor can the pointer be in R11, and RAX is taken */
};

static const struct operand *memory_operand(const struct insn *in)
{
    for (unsigned i = 0; i < in->operand_count; i++)
        if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            return &in->op[i];
    return NULL;
}

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
    case ZYDIS_MNEMONIC_PAUSE:
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
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
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
    if (in->vex_w && (in->mnemonic == ZYDIS_MNEMONIC_VMOVD || in->mnemonic == ZYDIS_MNEMONIC_VCVTSI2SD ||
                            in->mnemonic == ZYDIS_MNEMONIC_VCVTSI2SS))
        return true;
    return in->vex_w &&
           (in->isa_ext == ZYDIS_ISA_EXT_BMI1 || in->isa_ext == ZYDIS_ISA_EXT_BMI2);
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
static uint32_t mode_needed(const struct insn *in)
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

/* Masked EVEX memory operands do not fault on masked elements: the interpreter's business. */
static bool is_masked_memory(const struct insn *in)
{
    return in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && in->mask != ZYDIS_REGISTER_NONE &&
           in->mask != ZYDIS_REGISTER_K0;
}

static bool operand_allowed(const struct insn *in, const struct operand *op)
{
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
        return op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && op->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
               op->size >= 8 && op->size <= 512 && op->size % 8 == 0 && !is_masked_memory(in);
    if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        ZydisRegisterClass c = ZydisRegisterGetClass(op->reg.value);

        return c != ZYDIS_REGCLASS_SEGMENT && c != ZYDIS_REGCLASS_CONTROL && c != ZYDIS_REGCLASS_DEBUG &&
               c != ZYDIS_REGCLASS_TABLE && c != ZYDIS_REGCLASS_TEST && c != ZYDIS_REGCLASS_BOUND;
    }
    return op->type != ZYDIS_OPERAND_TYPE_POINTER;
}

static bool is_away(int field)
{
    return field != NO_FIELD && !(field & 16) && host_register((unsigned)field) == NOT_RESIDENT;
}

/* A guest register of the instruction lives in memory. */
static bool wants_temporary(const struct plan *p)
{
    return is_away(p->reg) || is_away(p->rm) || is_away(p->vvvv) || is_away(p->opcode);
}

static bool make_plan(const struct insn *in, struct plan *p)
{
    bool rsp_like = false, rax_operand = false;

    *p = (struct plan){.reg = NO_FIELD, .rm = NO_FIELD, .vvvv = NO_FIELD, .opcode = NO_FIELD, .form = POINTER_SUM};
    for (unsigned i = 0; i < in->operand_count; i++) {
        const struct operand *op = &in->op[i];
        bool high;
        int guest;

        if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
            p->memory = true;
        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || (guest = guest_register(op->reg.value, &high)) < 0)
            continue;
        p->no_rex |= high;
        rax_operand |= guest == RAX;
        rsp_like |= guest == RSP && !high;
        switch (op->encoding) {
        case ZYDIS_OPERAND_ENCODING_MODRM_REG:
            p->reg = guest | (high ? 16 : 0);
            break;
        case ZYDIS_OPERAND_ENCODING_MODRM_RM:
            p->rm = guest | (high ? 16 : 0);
            break;
        case ZYDIS_OPERAND_ENCODING_NDSNDD:
            p->vvvv = guest;
            break;
        case ZYDIS_OPERAND_ENCODING_OPCODE:
            p->opcode = guest | (high ? 16 : 0);
            break;
        default: /* implied */
            if (guest == RAX)
                p->rax = true;
            else if (host_register((unsigned)guest) != guest)
                return false;
            break;
        }
    }
    if (p->no_rex && rax_operand)
        p->rax = true;
    if (p->no_rex && rsp_like)
        return false;
    p->no_rex_pointer = p->no_rex && p->memory && (p->rax || in->flags_needed);
    if (p->rax || in->flags_needed)
        p->form = POINTER_R11;
    else if (p->no_rex)
        p->form = POINTER_RAX_ONLY;
    else if (wants_temporary(p))
        p->form = POINTER_ONE_REGISTER;
    return true;
}

bool copy_possible(const struct insn *in, uint32_t mode)
{
    uint32_t needed = mode_needed(in);
    unsigned memory = 0;
    struct plan p;

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
    return memory <= 1 && make_plan(in, &p);
}

/* --- registers that are not resident --- */

struct temporaries {
    int host[3], guest[3]; /* guest register `guest` is in `host` for this instruction */
    unsigned count;
    int borrowed[3];
    unsigned borrowed_count;
};

static bool is_used(const struct plan *p, const struct temporaries *t, int host)
{
    static const int8_t fixed[] = {H_RCX, H_RDX, H_RSP, H_R10, H_R15}; /* may be implied operands */

    for (unsigned i = 0; i < sizeof fixed; i++)
        if (fixed[i] == host)
            return true;
    for (unsigned i = 0; i < t->count; i++)
        if (t->host[i] == host)
            return true;
    return p->reg == host || p->rm == host || p->vvvv == host || p->opcode == host ||
           (p->memory && (p->pointer.reg == host || p->pointer.index == host)) || (p->rax && host == H_RAX) ||
           (p->keep_r11 && host == H_R11);
}

/* Finds a host register for a guest register that has none, or returns the one it has. */
static int place(struct lower *l, const struct plan *p, struct temporaries *t, int field)
{
    static const uint8_t candidates[] = {H_R11, H_RAX, H_RBP, H_RSI, H_RDI, H_RBX};
    int guest = field & 15, host;

    if (field == NO_FIELD)
        return NO_FIELD;
    if (field & 16) /* AH CH DH BH: encodings 4-7 */
        return guest + 4;
    if (guest == RAX && p->rax)
        return H_RAX;
    host = host_register((unsigned)guest);
    if (host != NOT_RESIDENT)
        return host;
    for (unsigned i = 0; i < t->count; i++)
        if (t->guest[i] == guest)
            return t->host[i];
    for (unsigned i = 0;; i++) {
        host = candidates[i];
        if (!is_used(p, t, host))
            break;
    }
    if (host != H_R11 && host != H_RAX) {
        emit_op_vcpu(&l->e, true, OP_STORE, host, H_NONE, TV_OFFSET(spill) + 8 * (int)t->borrowed_count);
        l->map[l->index].borrowed[t->borrowed_count] = (uint8_t)host; /* its guest register has the same number */
        t->borrowed[t->borrowed_count++] = host;
    }
    t->host[t->count] = host;
    t->guest[t->count++] = guest;
    load_guest(l, host, (unsigned)guest);
    return host;
}

/* Guest numbers in the plan's fields become host numbers. Resident ones first, so that none of them is borrowed.
 */
static void place_fields(struct lower *l, struct plan *p, struct temporaries *t)
{
    int *field[] = {&p->reg, &p->rm, &p->vvvv, &p->opcode};
    int waiting[4];

    for (unsigned i = 0; i < 4; i++) {
        bool resident = !is_away(*field[i]);

        waiting[i] = resident ? NO_FIELD : *field[i];
        *field[i] = resident ? place(l, p, t, *field[i]) : NO_FIELD;
    }
    for (unsigned i = 0; i < 4; i++)
        if (waiting[i] != NO_FIELD)
            *field[i] = place(l, p, t, waiting[i]);
}

/* The pointer moves to a register that can be encoded without a REX prefix. */
static void move_pointer(struct lower *l, struct plan *p, struct temporaries *t)
{
    static const uint8_t candidates[] = {H_RBP, H_RSI, H_RDI};
    int host;

    for (unsigned i = 0; is_used(p, t, host = candidates[i]); i++)
        ;
    emit_op_vcpu(&l->e, true, OP_STORE, host, H_NONE, TV_OFFSET(spill) + 8 * (int)t->borrowed_count);
    l->map[l->index].borrowed[t->borrowed_count] = (uint8_t)host;
    t->borrowed[t->borrowed_count++] = host;
    emit_op_mem(&l->e, true, OP_LEA, host, p->pointer.reg, p->pointer.index, 1, p->pointer.disp);
    p->pointer = (struct pointer){host, H_NONE, 0};
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

struct bytes {
    unsigned opcode, modrm, tail; /* offsets in the instruction; modrm 0: none */
    uint8_t rex;
};

static struct bytes split(const struct insn *in)
{
    struct bytes b = {0};
    unsigned at = 0;

    for (;; at++) {
        uint8_t c = in->bytes[at];

        if ((c & 0xf0) == 0x40 && in->width == 64)
            b.rex = c;
        else if (c == 0x66 || c == 0x67 || c == 0xf2 || c == 0xf3 || c == 0xf0 || c == 0x2e || c == 0x36 ||
                 c == 0x3e || c == 0x26 || c == 0x64 || c == 0x65)
            b.rex = 0;
        else
            break;
    }
    b.opcode = at;
    b.modrm = in->modrm;
    b.tail = in->length;
    if (in->imm_size)
        b.tail = in->imm_offset;
    return b;
}

static void emit_modrm(struct lower *l, const struct plan *p, const struct bytes *b, int reg, int rm)
{
    uint8_t old = l->in->bytes[b->modrm];
    int r = reg == NO_FIELD ? old >> 3 & 7 : reg & 7;

    if (p->memory && l->in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && p->pointer.disp)
        emit_address_long(&l->e, r, p->pointer.reg, p->pointer.index,
                          p->pointer.disp); /* a disp8 would be scaled */
    else if (p->memory)
        emit_address(&l->e, r, p->pointer.reg, p->pointer.index, 1, p->pointer.disp);
    else
        emit8(&l->e, 0xc0u | (unsigned)r << 3 | (unsigned)(rm == NO_FIELD ? old & 7 : rm & 7));
}

static void emit_legacy(struct lower *l, const struct plan *p, const struct bytes *b)
{
    const struct insn *in = l->in;
    unsigned rex = b->rex & 0x48u; /* W stays */
    unsigned opcode_end = b->modrm ? b->modrm : b->tail;
    bool byte_rex = b->rex != 0, bits16 = in->width == 16;

    if (bits16 && in->operand_width == 16)
        emit8(&l->e, 0x66);
    for (unsigned i = 0; i < b->opcode; i++) {
        uint8_t c = in->bytes[i];

        if ((c == 0x66 && !bits16) || c == 0xf2 || c == 0xf3 || c == 0xf0)
            emit8(&l->e, c);
    }
    rex |= p->reg != NO_FIELD ? (p->reg & 8 ? 4u : 0) : b->rex & 4u;
    if (p->memory)
        rex |= (p->pointer.reg & 8 ? 1u : 0) | (p->pointer.index > 7 ? 2u : 0);
    else if (p->rm != NO_FIELD)
        rex |= p->rm & 8 ? 1u : 0;
    else if (p->opcode != NO_FIELD)
        rex |= p->opcode & 8 ? 1u : 0;
    else
        rex |= b->rex & 1u;
    if ((rex & 0xf) || byte_rex)
        emit8(&l->e, 0x40u | rex);
    for (unsigned i = b->opcode; i < opcode_end; i++) {
        uint8_t c = in->bytes[i];

        if (p->opcode != NO_FIELD && i == opcode_end - 1)
            c = (uint8_t)((c & 0xf8) | (p->opcode & 7));
        emit8(&l->e, c);
    }
    if (b->modrm)
        emit_modrm(l, p, b, p->reg, p->rm);
    emit_bytes(&l->e, in->bytes + b->tail, in->length - b->tail);
}

static void emit_vex(struct lower *l, const struct plan *p, const struct bytes *b)
{
    const uint8_t *v = l->in->bytes + b->opcode;
    bool three = v[0] == 0xc4;
    unsigned b1 = three ? v[1] : (v[1] & 0x80u) | 0x61u; /* ~R ~X ~B mmmmm */
    unsigned b2 = three ? v[2] : v[1] & 0x7fu;           /* W ~vvvv L pp */

    if (p->reg != NO_FIELD)
        b1 = (b1 & ~0x80u) | (p->reg & 8 ? 0 : 0x80u);
    if (p->memory)
        b1 = (b1 & ~0x60u) | (p->pointer.index > 7 ? 0 : 0x40u) | (p->pointer.reg & 8 ? 0 : 0x20u);
    else if (p->rm != NO_FIELD)
        b1 = (b1 & ~0x60u) | 0x40u | (p->rm & 8 ? 0 : 0x20u);
    if (p->vvvv != NO_FIELD)
        b2 = (b2 & ~0x78u) | (~(unsigned)p->vvvv & 15) << 3;
    emit8(&l->e, 0xc4);
    emit8(&l->e, b1);
    emit8(&l->e, b2);
    emit8(&l->e, l->in->bytes[b->modrm ? b->modrm - 1u : b->opcode + (three ? 3u : 2u)]);
    if (b->modrm)
        emit_modrm(l, p, b, p->reg, p->rm);
    emit_bytes(&l->e, l->in->bytes + b->tail, l->in->length - b->tail);
}

static void emit_evex(struct lower *l, const struct plan *p, const struct bytes *b)
{
    const uint8_t *v = l->in->bytes + b->opcode;
    unsigned p0 = v[1], p1 = v[2], p2 = v[3]; /* ~R ~X ~B ~R' 0mmm; W ~vvvv 1 pp; z L'L b ~V' aaa */

    if (p->reg != NO_FIELD)
        p0 = (p0 & ~0x90u) | 0x10u | (p->reg & 8 ? 0 : 0x80u);
    if (p->memory)
        p0 = (p0 & ~0x60u) | (p->pointer.index > 7 ? 0 : 0x40u) | (p->pointer.reg & 8 ? 0 : 0x20u);
    else if (p->rm != NO_FIELD)
        p0 = (p0 & ~0x60u) | 0x40u | (p->rm & 8 ? 0 : 0x20u);
    if (p->vvvv != NO_FIELD) {
        p1 = (p1 & ~0x78u) | (~(unsigned)p->vvvv & 15) << 3;
        p2 |= 8;
    }
    emit8(&l->e, 0x62);
    emit8(&l->e, p0);
    emit8(&l->e, p1);
    emit8(&l->e, p2);
    emit8(&l->e, l->in->bytes[b->modrm - 1u]);
    emit_modrm(l, p, b, p->reg, p->rm);
    emit_bytes(&l->e, l->in->bytes + b->tail, l->in->length - b->tail);
}

/* The group-1 extension of "op AL/AX/EAX/RAX, imm", which has a form with ModRM too (SDM vol. 2, table A-6); -1:
   it is another instruction. */
static int accumulator_immediate(const struct insn *in)
{
    uint8_t opcode = in->opcode;

    if (in->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || opcode >= 0x40 || (opcode & 6) != 4)
        return -1;
    return opcode >> 3;
}

/* It, of guest RAX where that lives. */
static void emit_accumulator_immediate(struct lower *l, int extension)
{
    const struct insn *in = l->in;
    struct bytes b = split(in);

    if (in->operand_width == 16)
        emit8(&l->e, 0x66);
    emit_rex(&l->e, in->operand_width == 64, 0, 0, H_R10);
    emit8(&l->e, 0x80 | (in->opcode & 1));
    emit8(&l->e, 0xc0u | (unsigned)extension << 3 | (H_R10 & 7));
    emit_bytes(&l->e, in->bytes + b.tail, in->length - b.tail);
}

/* 40-4F are prefixes in 64-bit code. */
static bool is_short_count(const struct insn *in)
{
    return in->width != 64 && in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->opcode & 0xf0) == 0x40;
}

/* INC or DEC of the register in the opcode. */
static void emit_short_count(struct lower *l, int host)
{
    if (l->in->operand_width == 16)
        emit8(&l->e, 0x66);
    emit_op_reg(&l->e, false, 0xff, l->in->opcode >> 3 & 1, host);
}

static void emit_copy(struct lower *l, const struct plan *p)
{
    struct bytes b = split(l->in);

    if (l->in->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        emit_vex(l, p, &b);
    else if (l->in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        emit_evex(l, p, &b);
    else
        emit_legacy(l, p, &b);
}

static bool writes_rax(const struct insn *in)
{
    bool high;

    for (unsigned i = 0; i < in->operand_count; i++)
        if (in->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            guest_register(in->op[i].reg.value, &high) == RAX)
            return true;
    return false;
}

void lower_copy(struct lower *l)
{
    const struct insn *in = l->in;
    struct temporaries t = {.count = 0};
    struct plan p;

    make_plan(in, &p);
    if (accumulator_immediate(in) >= 0)
        p.rax = false;
    if (p.memory)
        p.pointer = access_operand(l, memory_operand(in), p.form);
    p.keep_r11 = group_in_r11(l);
    if (in->flags_needed)
        flags_restore(l);
    if (p.rax)
        emit_mov(&l->e, H_RAX, H_R10);
    place_fields(l, &p, &t);
    if (p.no_rex_pointer)
        move_pointer(l, &p, &t);
    l->map[l->index].flags_saved_work = !(l->flags & FLAGS_HOST);
    l->map[l->index].recipe = l->flags == FLAGS_COMPUTED ? (uint16_t)l->recipe : 0;
    if (accumulator_immediate(in) >= 0)
        emit_accumulator_immediate(l, accumulator_immediate(in));
    else if (is_short_count(in))
        emit_short_count(l, p.opcode);
    else
        emit_copy(l, &p);
    release(l, &t);
    if (p.rax && writes_rax(in))
        emit_mov(&l->e, H_R10, H_RAX);
    if (in->flags_written)
        l->flags = FLAGS_HOST;
}
