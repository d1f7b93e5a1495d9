/*
 * rows.c - the remaining rows of the lowering table, and the table.
 *
 * Interface: lower.h. A mnemonic without a row is copied if lower_copy can do it, else the interpreter runs it
 * (lower_step): so whatever is not known to be harmless never runs natively.
 */
#include "translator/segment.h"

#include <string.h>

void lower_call_step(struct lower *l, const struct insn *in)
{
    relocate_mov(l, H_R11, in->pc);
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, V_OFFSET(rip));
    emit_mov_imm(&l->e, H_R11, in->length | (in->ends ? STEP_ENDS_BLOCK : 0));
    emit_call(&l->e, l->t->code.step);
}

struct cold *lower_step_if(struct lower *l, unsigned cc)
{
    struct cold *c = lower_add_cold(l, COLD_STEP);

    c->in = l->in;
    c->flags_after = FLAGS_SAVED;
    c->from = emit_jcc_forward(&l->e, cc);
    c->done = emit_here(&l->e);
    return c;
}

/* The interpreter runs the instruction, as a call from translated code. */
void lower_step(struct lower *l)
{
    bool ends = l->in->ends;

    group_end(l);
    flags_clobber(l);
    l->map[l->index].by_interpreter = true;
    lower_call_step(l, l->in);
    l->ended = ends;
}

/* The run loop has the interpreter run it: ends the block. */
void lower_leave_to_run_loop(struct lower *l)
{
    l->map[l->index].to_run_loop = true;
    flags_clobber(l);
    relocate_mov(l, H_RAX, l->in->pc);
    emit_call(&l->e, l->t->code.interpret);
    l->ended = true;
}

void lower_nothing(struct lower *l)
{
    (void)l;
}

/* The interpreter's PAUSE knows when to sleep. */
static void lower_pause(struct lower *l)
{
    static const uint8_t pause[] = {0xf3, 0x90};

    if (l->t->options.pause)
        lower_step(l);
    else
        emit_bytes(&l->e, pause, sizeof pause);
}

void lower_lea(struct lower *l)
{
    static const uint8_t operand_size = 0x66;
    const struct operand *to = &l->in->op[0];
    bool high;
    unsigned guest = (unsigned)guest_register(to->reg.value, &high);
    int host = host_register(guest);

    if (l->in->operand_width != 16 && host != NOT_RESIDENT) {
        access_address(l, &l->in->op[1], host);
        return;
    }
    access_address(l, &l->in->op[1], H_RAX);
    if (l->in->operand_width == 16) {
        if (host == NOT_RESIDENT) {
            group_clobber_r11(l);
            load_guest(l, H_R11, guest);
        }
        emit8(&l->e, operand_size);
        emit_op_reg(&l->e, false, OP_LOAD, host == NOT_RESIDENT ? H_R11 : host, H_RAX);
        if (host == NOT_RESIDENT)
            store_guest(l, guest, H_R11);
        return;
    }
    store_guest(l, guest, H_RAX);
}

void lower_push(struct lower *l)
{
    const struct operand *op = &l->in->op[0];
    int value, scratch;
    struct pointer p;
    bool high;

    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        access_emit(l, l->wide, OP_LOAD, H_RAX, access_operand(l, op, POINTER_SUM));
        emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    }
    p = access_stack(l, RSP, -(int32_t)l->word, true);
    value = scratch = p.reg == H_RAX ? H_R11 : H_RAX;
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        emit_op_vcpu(&l->e, true, OP_LOAD, scratch, H_NONE, TV_OFFSET(spill));
    } else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        emit_mov_imm(&l->e, scratch, (uint64_t)op->imm.s);
    } else if (guest_register(op->reg.value, &high) < 0) {
        selector_read(l, scratch, op->reg.value);
    } else {
        unsigned guest = (unsigned)guest_register(op->reg.value, &high);

        if (host_register(guest) == NOT_RESIDENT)
            load_guest(l, scratch, guest);
        else
            value = host_register(guest);
    }
    access_emit(l, l->wide, OP_STORE, value, p);
    rsp_move(l, -(int32_t)l->word);
}

void lower_pop(struct lower *l)
{
    bool high;
    int guest = guest_register(l->in->op[0].reg.value, &high);
    int host = guest == RSP ? NOT_RESIDENT : host_register((unsigned)guest);
    struct pointer p = access_stack(l, RSP, 0, false);

    access_emit(l, l->wide, OP_LOAD, host == NOT_RESIDENT ? H_RAX : host, p);
    if (guest != RSP)
        rsp_move(l, (int32_t)l->word);
    if (host == NOT_RESIDENT)
        store_guest(l, (unsigned)guest, H_RAX);
}

void lower_leave(struct lower *l)
{
    access_emit(l, l->wide, OP_LOAD, H_RAX, access_stack(l, RBP, 0, false));
    emit_op_mem(&l->e, l->wide, OP_LEA, H_R15, H_RBP, H_NONE, 1, (int32_t)l->word);
    l->rsp_lag = 0;
    emit_mov(&l->e, H_RBP, H_RAX);
}

void lower_absolute(struct lower *l)
{
    bool store = l->in->opcode & 2, byte = !(l->in->opcode & 1), wide = l->in->operand_width == 64;
    const struct operand *op = &l->in->op[store ? 0 : 1];
    struct pointer p = access_operand(l, op, POINTER_SUM);

    if (l->in->operand_width == 16 && !byte)
        emit8(&l->e, 0x66);
    access_emit(l, wide, (unsigned)(store ? OP_STORE : OP_LOAD) - byte, H_R10, p);
}

/* BT, BTS, BTR, BTC of memory by a register: the bit offset reaches beyond the operand (SDM vol. 2, BT). */
void lower_bit_memory(struct lower *l)
{
    const struct operand *op = &l->in->op[0];
    bool high, wide = l->in->operand_width == 64;
    unsigned guest;

    if (l->in->operand_width == 16 || op->mem.segment == ZYDIS_REGISTER_FS ||
        l->in->address_width != l->in->width) {
        lower_step(l);
        return;
    }
    guest = (unsigned)guest_register(l->in->op[1].reg.value, &high);
    group_clobber_r11(l);
    flags_clobber(l);
    access_address(l, op, H_RAX);
    if (op->mem.segment == ZYDIS_REGISTER_GS)
        access_add_segment(l, SEG_GS, access_info(op));
    load_guest(l, H_R11, guest);
    if (!wide)
        emit_op_reg(&l->e, true, 0x63, H_R11, H_R11); /* movsxd */
    emit_shift(&l->e, true, 7, H_R11, wide ? 6 : 5);
    emit_shift(&l->e, true, 4, H_R11, wide ? 3 : 2);
    emit_op_reg(&l->e, l->wide, OP_ADD, H_RAX, H_R11);
    access_check(l, access_info(op), POINTER_R11, H_R11);
    load_guest(l, H_RAX, guest);
    emit_op_imm(&l->e, false, 4, H_RAX, wide ? 63 : 31);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    flags_restore(l);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill));
    if (l->in->attributes & ZYDIS_ATTRIB_HAS_LOCK)
        emit8(&l->e, 0xf0);
    emit_rex(&l->e, wide, H_RAX, 0, H_R11);
    emit8(&l->e, 0x0f);
    emit8(&l->e, l->in->opcode);
    emit_address(&l->e, H_RAX, H_R11, H_NONE, 1, 0);
    l->flags = FLAGS_HOST;
}

/* VZEROUPPER, VZEROALL outside of 64-bit mode leave registers 8 and up alone (SDM vol. 2): 0 to 7 are moved to
   themselves, or cleared, which both clear what is above 128 bits. Outside of long mode that part of the others is
   undefined (vol. 1, 3.4.1.1), and the host's VZEROUPPER does. */
static void lower_clear_vectors(struct lower *l)
{
    bool all = l->in->mnemonic == ZYDIS_MNEMONIC_VZEROALL;

    if (!(l->mode & MODE_AVX)) {
        lower_step(l);
        return;
    }
    if (!all && !(l->mode & MODE_LMA)) {
        emit_bytes(&l->e, "\xc5\xf8\x77", 3);
        return;
    }
    for (unsigned n = 0; n < 8; n++) {
        emit8(&l->e, 0xc5);
        emit8(&l->e, all ? 0x81 | (~n & 15) << 3 : 0xf8); /* vpxor or vmovaps xmm, xmm */
        emit8(&l->e, all ? 0xef : 0x28);
        emit8(&l->e, 0xc0 | n << 3 | n);
    }
}

static bool is_narrow(const struct insn *in)
{
    return in->width != 64;
}

static bool is_near(const struct insn *in)
{
    return in->operand_width == in->width &&
           (in->branch_type == ZYDIS_BRANCH_TYPE_NEAR || in->branch_type == ZYDIS_BRANCH_TYPE_SHORT);
}

/* PUSH or POP of a whole word; POP into memory and of segment registers is not of these rows. */
static bool is_wide_stack(const struct insn *in)
{
    if (in->operand_width != in->width)
        return false;
    if (in->mnemonic == ZYDIS_MNEMONIC_PUSH)
        return true;
    return guest_operand(&in->op[0]) >= 0;
}

static bool is_wide(const struct insn *in)
{
    return in->operand_width == in->width;
}

static bool is_wide_counter(const struct insn *in)
{
    return in->operand_width == in->width && in->address_width != 16;
}

static bool is_wide_address(const struct insn *in)
{
    return in->address_width != 16;
}

/* MOV of AL, AX, EAX or RAX from or to an address in the instruction (SDM vol. 2, MOV, A0-A3). */
static bool is_absolute(const struct insn *in)
{
    return in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->opcode & 0xfc) == 0xa0 &&
           in->address_width == in->width;
}

static bool is_bit_string(const struct insn *in)
{
    return in->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && in->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

/* MOV from CR0, CR2, CR3 or CR4. */
static bool is_cr_read(const struct insn *in)
{
    return in->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[1].reg.value >= ZYDIS_REGISTER_CR0 &&
           in->op[1].reg.value <= ZYDIS_REGISTER_CR4 && in->op[1].reg.value != ZYDIS_REGISTER_CR1;
}

static bool is_near_return(const struct insn *in)
{
    return is_near(in) && in->mnemonic == ZYDIS_MNEMONIC_RET;
}

/* By mnemonic, rows of one together; then by category. `only` tells which forms the row takes (NULL: all). */
static const struct {
    ZydisMnemonic mnemonic;
    lower_function *lower;
    bool (*only)(const struct insn *in);
} mnemonic_rows[] = {
    {ZYDIS_MNEMONIC_LEA, lower_lea, is_wide_address},
    {ZYDIS_MNEMONIC_LEA, lower_step, NULL},
    {ZYDIS_MNEMONIC_PUSH, lower_push, is_wide_stack},
    {ZYDIS_MNEMONIC_POP, lower_pop, is_wide_stack},
    {ZYDIS_MNEMONIC_POP, lower_load_segment, selector_is_loaded},
    {ZYDIS_MNEMONIC_LEAVE, lower_leave, is_wide},
    {ZYDIS_MNEMONIC_BT, lower_bit_memory, is_bit_string},
    {ZYDIS_MNEMONIC_BTS, lower_bit_memory, is_bit_string},
    {ZYDIS_MNEMONIC_BTR, lower_bit_memory, is_bit_string},
    {ZYDIS_MNEMONIC_BTC, lower_bit_memory, is_bit_string},
    {ZYDIS_MNEMONIC_LOOP, lower_loop, is_wide_counter},
    {ZYDIS_MNEMONIC_LOOP, lower_step, NULL},
    {ZYDIS_MNEMONIC_LOOPE, lower_loop, is_wide_counter},
    {ZYDIS_MNEMONIC_LOOPE, lower_step, NULL},
    {ZYDIS_MNEMONIC_LOOPNE, lower_loop, is_wide_counter},
    {ZYDIS_MNEMONIC_LOOPNE, lower_step, NULL},
    {ZYDIS_MNEMONIC_JRCXZ, lower_loop, is_wide_counter},
    {ZYDIS_MNEMONIC_JECXZ, lower_loop, is_wide_counter},
    {ZYDIS_MNEMONIC_JECXZ, lower_step, NULL},
    {ZYDIS_MNEMONIC_JCXZ, lower_step, NULL},
    {ZYDIS_MNEMONIC_LODSB, lower_lods, string_is_plain},
    {ZYDIS_MNEMONIC_LODSW, lower_lods, string_is_plain},
    {ZYDIS_MNEMONIC_LODSD, lower_lods, string_is_plain},
    {ZYDIS_MNEMONIC_LODSQ, lower_lods, string_is_plain},
    {ZYDIS_MNEMONIC_STOSB, lower_stos, string_is_plain},
    {ZYDIS_MNEMONIC_STOSB, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_STOSW, lower_stos, string_is_plain},
    {ZYDIS_MNEMONIC_STOSW, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_STOSD, lower_stos, string_is_plain},
    {ZYDIS_MNEMONIC_STOSD, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_STOSQ, lower_stos, string_is_plain},
    {ZYDIS_MNEMONIC_STOSQ, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_SCASB, lower_scas, string_is_plain},
    {ZYDIS_MNEMONIC_SCASW, lower_scas, string_is_plain},
    {ZYDIS_MNEMONIC_SCASD, lower_scas, string_is_plain},
    {ZYDIS_MNEMONIC_SCASQ, lower_scas, string_is_plain},
    {ZYDIS_MNEMONIC_MOVSB, lower_movs, string_is_plain},
    {ZYDIS_MNEMONIC_MOVSB, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_MOVSW, lower_movs, string_is_plain},
    {ZYDIS_MNEMONIC_MOVSW, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_MOVSD, lower_movs, string_is_plain},
    {ZYDIS_MNEMONIC_MOVSD, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_MOVSQ, lower_movs, string_is_plain},
    {ZYDIS_MNEMONIC_MOVSQ, lower_repeated, string_is_copied},
    {ZYDIS_MNEMONIC_SWAPGS, lower_swapgs, NULL},
    {ZYDIS_MNEMONIC_CLI, lower_cli, NULL},
    {ZYDIS_MNEMONIC_STI, lower_sti, NULL},
    {ZYDIS_MNEMONIC_PUSHFQ, lower_pushf, NULL},
    {ZYDIS_MNEMONIC_PUSHFD, lower_pushf, is_wide},
    {ZYDIS_MNEMONIC_POPFQ, lower_popf, NULL},
    {ZYDIS_MNEMONIC_POPFD, lower_popf, is_wide},
    {ZYDIS_MNEMONIC_PAUSE, lower_pause, NULL},
    {ZYDIS_MNEMONIC_RDTSC, lower_rdtsc, NULL},
    {ZYDIS_MNEMONIC_RDTSCP, lower_rdtsc, NULL},
    {ZYDIS_MNEMONIC_MOV, lower_absolute, is_absolute},
    {ZYDIS_MNEMONIC_MOV, lower_read_cr, is_cr_read},
    {ZYDIS_MNEMONIC_MOV, lower_load_segment, selector_is_loaded},
    {ZYDIS_MNEMONIC_MOV, lower_read_segment, selector_is_read},
    {ZYDIS_MNEMONIC_STAC, lower_smap, NULL},
    {ZYDIS_MNEMONIC_CLAC, lower_smap, NULL},
    {ZYDIS_MNEMONIC_SYSCALL, lower_syscall, NULL},
    {ZYDIS_MNEMONIC_SYSRET, lower_sysret, NULL},
    {ZYDIS_MNEMONIC_SYSENTER, lower_sysenter, NULL},
    {ZYDIS_MNEMONIC_SYSEXIT, lower_sysexit, NULL},
    {ZYDIS_MNEMONIC_CLD, lower_direction, NULL},
    {ZYDIS_MNEMONIC_STD, lower_direction, NULL},
    {ZYDIS_MNEMONIC_IRETQ, lower_iret, NULL},
    {ZYDIS_MNEMONIC_IRETD, lower_iret, is_wide},
    {ZYDIS_MNEMONIC_RDFSBASE, lower_read_base, NULL},
    {ZYDIS_MNEMONIC_RDGSBASE, lower_read_base, NULL},
    {ZYDIS_MNEMONIC_ENDBR64, lower_nothing, NULL},
    {ZYDIS_MNEMONIC_ENDBR32, lower_nothing, NULL},
    {ZYDIS_MNEMONIC_VZEROALL, lower_clear_vectors, is_narrow},
    {ZYDIS_MNEMONIC_VZEROUPPER, lower_clear_vectors, is_narrow},
};

static const struct {
    ZydisInstructionCategory category;
    lower_function *lower;
    bool (*only)(const struct insn *in);
} category_rows[] = {
    {ZYDIS_CATEGORY_NOP, lower_nothing, NULL},          {ZYDIS_CATEGORY_WIDENOP, lower_nothing, NULL},
    {ZYDIS_CATEGORY_PREFETCH, lower_nothing, NULL},     {ZYDIS_CATEGORY_COND_BR, lower_branch, is_near},
    {ZYDIS_CATEGORY_UNCOND_BR, lower_jump, is_near},    {ZYDIS_CATEGORY_CALL, lower_call, is_near},
    {ZYDIS_CATEGORY_RET, lower_return, is_near_return},
};

#define ROWS (sizeof mnemonic_rows / sizeof *mnemonic_rows)
_Static_assert(ROWS < UINT8_MAX, "first_row");

void lower_index_rows(uint8_t first_row[MNEMONICS])
{
    memset(first_row, 0, MNEMONICS);
    for (unsigned i = (unsigned)ROWS; i-- > 0;)
        first_row[mnemonic_rows[i].mnemonic] = (uint8_t)(i + 1);
}

lower_function *lower_find(const struct translator *t, const struct insn *in, uint32_t mode)
{
    unsigned row = t->first_row[in->valid ? in->mnemonic : 0];

    if (translator_segmented(mode))
        return segment_find(t, in, mode);
    if (!in->valid || in->lacking || !copy_reaches_operand(in))
        return lower_step;
    for (; row && row <= ROWS && mnemonic_rows[row - 1].mnemonic == in->mnemonic; row++)
        if (!mnemonic_rows[row - 1].only || mnemonic_rows[row - 1].only(in))
            return mnemonic_rows[row - 1].lower;
    for (unsigned i = 0; i < sizeof category_rows / sizeof *category_rows; i++)
        if (category_rows[i].category == in->category)
            return !category_rows[i].only || category_rows[i].only(in) ? category_rows[i].lower : lower_step;
    return copy_possible(in, mode) ? lower_copy : lower_step;
}
