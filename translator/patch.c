/*
 * patch.c - code that keeps being patched: an immediate operand that has been written again and again is not made
 * part of the translation. The block loads it from guest RAM when it runs, and stays good when it is written.
 *
 * Interface: internal.h. Such bytes are in block.loose; cache_written leaves the block alone if it is these alone
 * that are written. Invariant: nothing in a block depends on the value of a loose immediate, which shows as an
 * operand of no type.
 */
#include "translator/lower.h"

#define WRITES_TO_PATCH 3 /* that cost a block, before the operand is loose */

static struct patched *slot(struct translator *t, uint64_t offset)
{
    return &t->patched[offset % PATCHED_SLOTS];
}

void patch_note(struct translator *t, uint64_t offset, unsigned size)
{
    struct patched *p = slot(t, offset);

    if (size > 8)
        return;
    if (p->offset != offset || p->size != size)
        *p = (struct patched){offset, (uint8_t)size, 0};
    if (p->count < WRITES_TO_PATCH)
        p->count++;
}

/* Has what lies within [offset, offset + size) been written often? */
static bool is_patched(struct translator *t, uint64_t offset, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        const struct patched *p = slot(t, offset + i);

        if (p->count == WRITES_TO_PATCH && p->offset == offset + i && i + p->size <= size)
            return true;
    }
    return false;
}

/* Of "op r, r/m", or 0. */
static unsigned opcode_of(unsigned mnemonic)
{
    static const struct {
        uint16_t mnemonic;
        uint8_t opcode;
    } table[] = {{ZYDIS_MNEMONIC_MOV, OP_LOAD}, {ZYDIS_MNEMONIC_ADD, OP_ADD}, {ZYDIS_MNEMONIC_OR, 0x0b},
                 {ZYDIS_MNEMONIC_ADC, 0x13},    {ZYDIS_MNEMONIC_SBB, 0x1b},   {ZYDIS_MNEMONIC_AND, 0x23},
                 {ZYDIS_MNEMONIC_SUB, OP_SUB},  {ZYDIS_MNEMONIC_XOR, OP_XOR}, {ZYDIS_MNEMONIC_CMP, OP_CMP}};

    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].mnemonic == mnemonic)
            return table[i].opcode;
    return 0;
}

/* mov r, imm and the arithmetic with an immediate, of 32 or 64 bits */
static bool can_be_loose(const struct insn *in)
{
    bool high;

    return opcode_of(in->mnemonic) && in->row == lower_copy && in->operand_width >= 32 && in->imm_size != 2 &&
           in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[0].size == in->operand_width &&
           guest_register(in->op[0].reg.value, &high) >= 0 && in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static void lower_loose(struct lower *l)
{
    struct insn *in = l->in;
    bool wide = in->operand_width == 64, high;
    unsigned guest = (unsigned)guest_register(in->op[0].reg.value, &high);
    int host = host_register(guest) == NOT_RESIDENT ? H_RAX : host_register(guest);

    if (in->flags_needed)
        flags_restore(l);
    group_clobber_r11(l);
    emit_mov_imm(&l->e, H_R11, (uintptr_t)l->loose_at[l->index]);
    if (in->imm_size == 1) { /* movsx r11, byte [r11] */
        static const uint8_t extend[] = {0x4d, 0x0f, 0xbe, 0x1b};

        emit_bytes(&l->e, extend, sizeof extend);
    } else {
        emit_op_mem(&l->e, true, in->imm_size == 8 ? OP_LOAD : OP_LOAD_SIGNED, H_R11, H_R11, H_NONE, 1, 0);
    }
    if (host == H_RAX && in->mnemonic != ZYDIS_MNEMONIC_MOV)
        load_guest(l, H_RAX, guest);
    emit_op_reg(&l->e, wide, opcode_of(in->mnemonic), host, H_R11);
    if (in->flags_written) {
        l->flags = FLAGS_HOST;
        l->recipe = 0;
    }
    if (host == H_RAX && in->mnemonic != ZYDIS_MNEMONIC_CMP)
        store_guest(l, guest, H_RAX);
}

void patch_loosen(struct lower *l, gpa_t gpa)
{
    struct block *b = l->block;
    const struct ram *ram = l->t->ram;
    gpa_t at = gpa;
    unsigned found = 0;

    if (!l->t->options.patch)
        return;
    for (unsigned i = 0; i < l->count && found < BLOCK_LOOSE; at += l->t->insns[i++].length) {
        struct insn *in = &l->t->insns[i];
        uint64_t offset = ram_offset(ram, at + in->imm_offset);

        if ((at ^ gpa) & PAGE_MASK || ((at + in->length - 1) ^ gpa) & PAGE_MASK)
            return;
        if (!in->imm_size || offset == UINT64_MAX || ram_host_readable(ram, at) != ram_host(ram, at) ||
            !is_patched(l->t, offset, in->imm_size) || !can_be_loose(in))
            continue;
        l->t->stats.loose_operands++;
        in->row = lower_loose;
        in->op[1].type = ZYDIS_OPERAND_TYPE_UNUSED;
        l->loose_at[i] = ram->host + offset;
        b->loose[found].from = (uint16_t)(at - gpa + in->imm_offset);
        b->loose[found++].to = (uint16_t)(at - gpa + in->imm_offset + in->imm_size);
    }
}
