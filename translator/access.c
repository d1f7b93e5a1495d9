/*
 * access.c - guest memory operands: effective address, inline TLB lookup, and the way around it.
 *
 * Interface: lower.h. The lookup (memory/mmu.h) is
 *
 *   rorx r11, rax, 7;  and r11d, (SIZE - 1) * 32
 *   add rax, gs:[r11 + table.read]      ; offset in the page
 *   cmp rax, 4096 - size;  ja cold      ; miss, wrong page, no permission, or it crosses the page's end
 *   mov r11, gs:[r11 + table.host]      ; the operand is [rax + r11]
 *
 * or, for a base in a host register without an index,
 *
 *   mov r11, gs:[r11 + table.addend]    ; the operand is [base + r11 + disp]
 *
 * For an address that is known, so is the entry:
 *
 *   cmp qword gs:[entry.read], -page;  jne cold
 *   mov r11, gs:[entry.host]            ; the operand is [r11 + offset]
 *
 * The cold path calls callout_memory, which fills the TLB and gives the host address, or sets up a bounce buffer,
 * or raises the guest's fault. A bounced store is a copy of the instruction's code from here to its end, followed
 * by callout_commit.
 */
#include "translator/segment.h"

_Static_assert(sizeof(struct mmu_tlb_entry) == 32, "the shift by 7 below");

const int8_t lower_host_of_guest[16] = {
    [RAX] = H_R10, [RCX] = H_RCX, [RDX] = H_RDX, [RBX] = H_RBX,        [RSP] = H_R15,        [RBP] = H_RBP,
    [RSI] = H_RSI, [RDI] = H_RDI, [R8] = H_R8,   [R9] = H_R9,          [R10] = NOT_RESIDENT, [R11] = NOT_RESIDENT,
    [R12] = H_R12, [R13] = H_R13, [R14] = H_R14, [R15] = NOT_RESIDENT,
};

#define LEGACY(n, wide, narrow, low)                                                                              \
    [ZYDIS_REGISTER_R##wide] = (n) + 1, [ZYDIS_REGISTER_E##wide] = (n) + 1, [ZYDIS_REGISTER_##narrow] = (n) + 1,  \
    [ZYDIS_REGISTER_##low] = (n) + 1
#define NUMBERED(n)                                                                                               \
    [ZYDIS_REGISTER_R##n] = n + 1, [ZYDIS_REGISTER_R##n##D] = n + 1, [ZYDIS_REGISTER_R##n##W] = n + 1,            \
    [ZYDIS_REGISTER_R##n##B] = n + 1
const uint8_t lower_guest_of[ZYDIS_REGISTER_MAX_VALUE + 1] = {
    LEGACY(RAX, AX, AX, AL),
    LEGACY(RCX, CX, CX, CL),
    LEGACY(RDX, DX, DX, DL),
    LEGACY(RBX, BX, BX, BL),
    LEGACY(RSP, SP, SP, SPL),
    LEGACY(RBP, BP, BP, BPL),
    LEGACY(RSI, SI, SI, SIL),
    LEGACY(RDI, DI, DI, DIL),
    NUMBERED(8),
    NUMBERED(9),
    NUMBERED(10),
    NUMBERED(11),
    NUMBERED(12),
    NUMBERED(13),
    NUMBERED(14),
    NUMBERED(15),
    [ZYDIS_REGISTER_AH] = GUEST_HIGH | (RAX + 1),
    [ZYDIS_REGISTER_CH] = GUEST_HIGH | (RCX + 1),
    [ZYDIS_REGISTER_DH] = GUEST_HIGH | (RDX + 1),
    [ZYDIS_REGISTER_BH] = GUEST_HIGH | (RBX + 1),
};

void load_guest(struct lower *l, int host, unsigned guest)
{
    if (lower_host_of_guest[guest] != NOT_RESIDENT) {
        emit_mov(&l->e, host, lower_host_of_guest[guest]);
        l->r11_guest = host == H_R11 ? -1 : l->r11_guest;
        return;
    }
    if (l->r11_guest == (int)guest) {
        emit_mov(&l->e, host, H_R11);
        return;
    }
    emit_op_vcpu(&l->e, true, OP_LOAD, host, H_NONE, V_OFFSET(gpr) + 8 * (int)guest);
    if (host == H_R11)
        l->r11_guest = (int)guest;
}

void store_guest(struct lower *l, unsigned guest, int host)
{
    if (lower_host_of_guest[guest] != NOT_RESIDENT) {
        emit_mov(&l->e, lower_host_of_guest[guest], host);
        return;
    }
    emit_op_vcpu(&l->e, true, OP_STORE, host, H_NONE, V_OFFSET(gpr) + 8 * (int)guest);
    if (host == H_R11)
        l->r11_guest = (int)guest;
    else if (l->r11_guest == (int)guest)
        l->r11_guest = -1;
}

/* Host register with an address component, loaded into `scratch` where it is not resident. */
static int component(struct lower *l, unsigned reg, int scratch)
{
    bool high;
    int guest = guest_register(reg, &high);

    if (guest < 0)
        return H_NONE;
    if (lower_host_of_guest[guest] != NOT_RESIDENT)
        return lower_host_of_guest[guest];
    if (scratch == H_R11 && l->r11_guest != guest)
        group_clobber_r11(l);
    load_guest(l, scratch, (unsigned)guest);
    return scratch;
}

void access_address(struct lower *l, const struct operand *op, int to)
{
    bool wide = l->in->address_width == 64 && (l->in->row != lower_lea || l->in->operand_width == 64);
    int64_t disp = op->mem.disp;
    int base, index;

    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
        uint64_t linear = l->in->pc + l->in->length + (uint64_t)disp;

        relocate_mov(l, to, wide ? linear : (uint32_t)linear);
        return;
    }
    base = component(l, op->mem.base, H_RAX);
    index = component(l, op->mem.index, H_R11);
    if (base == H_NONE && index == H_NONE)
        emit_mov_imm(&l->e, to, wide ? (uint64_t)disp : (uint32_t)disp);
    else if (index == H_NONE && disp == 0)
        emit_op_reg(&l->e, wide, OP_LOAD, to, base);
    else
        emit_op_mem(&l->e, wide, OP_LEA, to, base, index, op->mem.scale, (int32_t)disp);
}

struct cold *lower_add_cold(struct lower *l, enum cold_kind kind)
{
    struct cold *c = &l->cold[l->cold_count];

    if (l->cold_count == LOWER_MAX_COLD - 1)
        l->e.failed = true;
    else
        l->cold_count++;
    *c = (struct cold){.kind = kind, .index = l->in ? (uint8_t)l->index : COLD_ENTRY};
    return c;
}

static int32_t table_offset(const struct lower *l)
{
    return V_OFFSET(mmu.table[0].entry[0]) + (int32_t)(sizeof(struct mmu_table) * l->context);
}

static int32_t tag_offset(uint32_t info)
{
    return (int32_t)(info & MEMORY_WRITE ? offsetof(struct mmu_tlb_entry, write)
                                         : offsetof(struct mmu_tlb_entry, read));
}

static struct cold *add_memory_cold(struct lower *l, uint32_t info, struct pointer pointer)
{
    struct cold *c = lower_add_cold(l, COLD_MEMORY);

    l->checked = true;
    c->info = info | (uint32_t)l->index << 16;
    c->pointer = pointer;
    c->context = (uint8_t)l->context;
    c->recipe = l->flags == FLAGS_COMPUTED ? l->recipe : 0;
    return c;
}

/* The fast path ends here. */
static void check_done(struct lower *l, struct cold *c)
{
    c->done = emit_here(&l->e);
    c->copy = l->e.at;
    if (c->info & MEMORY_WRITE)
        l->store_cold = (int)(c - l->cold);
}

/* R11 = byte offset of the TLB entry for the address in RAX. */
static void emit_index(struct lower *l)
{
    struct emitter *e = &l->e;
    static const uint8_t rorx[] = {0xc4, 0x63, 0xfb, 0xf0, 0xd8, 7}; /* rorx r11, rax, 7 */

    if (l->t->has_rorx) {
        emit_bytes(e, rorx, sizeof rorx);
    } else {
        emit_mov(e, H_R11, H_RAX);
        emit_shift(e, true, 5, H_R11, 7);
    }
    emit_op_imm(e, false, 4, H_R11, (int32_t)((MMU_TLB_SIZE - 1) * 32));
}

/* The lookup of the address in RAX: "above" if the entry is not of an access as in `info`. Its offset stays in
   R11. */
static void emit_compare(struct lower *l, uint32_t info)
{
    struct emitter *e = &l->e;

    group_clobber_r11(l);
    emit_index(l);
    emit_op_vcpu(e, true, OP_ADD, H_RAX, H_R11, table_offset(l) + tag_offset(info));
    emit8(e, 0x48); /* cmp rax, imm32 */
    emit8(e, 0x3d);
    emit32(e, (uint32_t)PAGE_SIZE - (info & 0xff));
}

/* The same, and the branch to the cold path. */
static void emit_lookup(struct lower *l, struct cold *c)
{
    emit_compare(l, c->info);
    c->from = emit_jcc_forward(&l->e, CC_A);
}

struct pointer access_check(struct lower *l, uint32_t info, enum pointer_form form, int to)
{
    struct emitter *e = &l->e;
    int32_t host = table_offset(l) + (int32_t)offsetof(struct mmu_tlb_entry, host);
    struct pointer p = {form == POINTER_R11 ? to : H_RAX, form == POINTER_SUM ? H_R11 : H_NONE, 0};
    struct cold *c = add_memory_cold(l, info, p);

    emit_lookup(l, c);
    if (p.reg == H_RAX && p.index == H_NONE)
        emit_op_vcpu(e, true, OP_ADD, H_RAX, H_R11, host);
    else
        emit_op_vcpu(e, true, OP_LOAD, form == POINTER_R11 ? to : H_R11, H_R11, host);
    if (form == POINTER_R11)
        emit_op_reg(e, true, OP_ADD, to, H_RAX);
    check_done(l, c);
    return p;
}

struct pointer access_check_base(struct lower *l, int base, int32_t disp, uint32_t info, int to)
{
    struct pointer p = {base, to, disp};
    struct cold *c = add_memory_cold(l, info, p);

    if (disp)
        emit_op_mem(&l->e, true, OP_LEA, H_RAX, base, H_NONE, 1, disp);
    else
        emit_mov(&l->e, H_RAX, base);
    emit_lookup(l, c);
    emit_op_vcpu(&l->e, true, OP_LOAD, to, H_R11,
                 table_offset(l) + (int32_t)offsetof(struct mmu_tlb_entry, addend));
    check_done(l, c);
    return p;
}

struct pointer access_check_fixed(struct lower *l, gva_t linear, uint32_t info, int to)
{
    struct emitter *e = &l->e;
    int32_t entry = table_offset(l) + (int32_t)((linear >> PAGE_SHIFT & (MMU_TLB_SIZE - 1)) * 32);
    uint64_t tag = 0 - (linear & PAGE_MASK);
    struct pointer p = {to, H_NONE, (int32_t)(linear & ~PAGE_MASK)};
    struct cold *c = add_memory_cold(l, info, p);

    c->fixed = true;
    c->linear = linear;
    if (to == H_R11)
        group_clobber_r11(l);
    if ((int64_t)tag == (int32_t)tag) {
        emit_op_vcpu(e, true, 0x81, 7, H_NONE, entry + tag_offset(info)); /* cmp qword gs:[entry], imm32 */
        emit32(e, (uint32_t)tag);
        l->relocatable &= !l->wide;
    } else {
        emit_mov_imm(e, H_RAX, tag);
        relocate_note_fixed(l, 8, RELOC_TAG, linear);
        emit_op_vcpu(e, true, OP_CMP, H_RAX, H_NONE, entry + tag_offset(info));
        relocate_note_fixed(l, 4, RELOC_TLB, linear);
    }
    c->from = emit_jcc_forward(e, CC_NE);
    emit_op_vcpu(e, true, OP_LOAD, to, H_NONE, entry + (int32_t)offsetof(struct mmu_tlb_entry, host));
    relocate_note_fixed(l, 4, RELOC_TLB, linear);
    check_done(l, c);
    return p;
}

void access_emit(struct lower *l, bool wide, unsigned opcode, int reg, struct pointer p)
{
    window_emit_prefixes(&l->e, &p);
    emit_op_mem(&l->e, wide, opcode, reg, p.reg, p.index, p.scale, p.disp);
}

void access_end_store(struct lower *l)
{
    struct cold *c;

    if (l->store_cold < 0)
        return;
    c = &l->cold[l->store_cold];
    c->copy_end = l->e.at;
    c->flags_after = (uint8_t)l->flags;
    c->recipe_after = l->recipe;
    l->store_cold = -1;
}

uint32_t access_info(const struct operand *op)
{
    uint32_t info = op->size / 8;

    if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
        info |= MEMORY_WRITE;
        if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ || op->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
            info |= MEMORY_READ_TOO;
    }
    if (op->mem.segment == ZYDIS_REGISTER_SS)
        info |= MEMORY_STACK;
    return info;
}

void access_add_segment(struct lower *l, unsigned segment, uint32_t info)
{
    if (!l->wide) {
        struct cold *c = add_memory_cold(l, info | MEMORY_WRAPS, (struct pointer){H_RAX, H_NONE, 0});

        c->kind = COLD_WRAP;
        group_clobber_r11(l);
        emit_op_mem(&l->e, true, OP_LEA, H_R11, H_RAX, H_NONE, 1, (int32_t)(info & 0xff));
        emit_op_vcpu(&l->e, true, OP_CMP, H_R11, H_NONE, V_SPAN(info & MEMORY_WRITE, segment));
        c->from = emit_jcc_forward(&l->e, CC_A);
    }
    emit_op_vcpu(&l->e, l->wide, OP_ADD, H_RAX, H_NONE, V_SEGMENT(segment, base));
}

/* Is the operand's address known, and on one page? */
static bool fixed_address(const struct lower *l, const struct operand *op, gva_t *linear)
{
    bool rip = op->mem.base == ZYDIS_REGISTER_RIP;

    if ((!rip && op->mem.base != ZYDIS_REGISTER_NONE) || op->mem.index != ZYDIS_REGISTER_NONE ||
        place_segment(op) != PLACE_NONE || l->in->address_width != l->in->width)
        return false;
    *linear = (uint64_t)op->mem.disp + (rip ? l->in->pc + l->in->length : 0);
    if (!l->wide)
        *linear = (uint32_t)*linear;
    return (*linear & ~PAGE_MASK) + op->size / 8 <= PAGE_SIZE;
}

/* Is the operand [base] or [base + disp] with a base in a host register? */
static bool plain_base(const struct lower *l, const struct operand *op, int *base)
{
    bool high;
    int guest = guest_register(op->mem.base, &high);

    /* 32-bit addresses wrap, so that a base cannot be part of a 64-bit pointer. */
    if (!l->wide || guest < 0 || op->mem.index != ZYDIS_REGISTER_NONE || place_segment(op) != PLACE_NONE ||
        l->in->address_width != 64)
        return false;
    *base = host_register((unsigned)guest);
    /* The cold path subtracts the displacement: it must have a negative. */
    return *base != NOT_RESIDENT && op->mem.disp != INT32_MIN;
}

/* Of the operand, in RAX. */
static void linear_address(struct lower *l, const struct operand *op)
{
    access_address(l, op, H_RAX);
    if (place_segment(op) != PLACE_NONE)
        access_add_segment(l, place_segment(op), access_info(op));
}

struct pointer access_operand(struct lower *l, const struct operand *op, enum pointer_form form)
{
    struct pointer pointer;
    struct place place;
    int32_t disp;
    gva_t linear;
    int base;

    if (l->segmented)
        return segment_operand(l, op, form);
    if (window_operand(l, op, form, &pointer))
        return pointer;
    rsp_settle_for_access(l);
    if (form != POINTER_RAX_ONLY && group_operand(l, l->in, op, &place, &disp) &&
        group_access(l, place, disp, access_info(op), &pointer))
        return pointer;
    flags_clobber(l);
    if (form != POINTER_RAX_ONLY && fixed_address(l, op, &linear))
        return access_check_fixed(l, linear, access_info(op), H_R11);
    if (form != POINTER_RAX_ONLY && plain_base(l, op, &base))
        return access_check_base(l, base, (int32_t)op->mem.disp, access_info(op), H_R11);
    linear_address(l, op);
    if (window_at_rax(l, op, form, &pointer))
        return pointer;
    return access_check(l, access_info(op), form, H_R11);
}

struct pointer access_masked(struct lower *l, const struct operand *op, struct cold **step)
{
    struct pointer pointer;

    *step = NULL;
    if (window_operand(l, op, POINTER_SUM, &pointer))
        return pointer;
    rsp_settle_for_access(l);
    group_end(l);
    flags_save(l);
    l->flags = FLAGS_SAVED;
    l->checked = true;
    linear_address(l, op);
    emit_compare(l, access_info(op));
    *step = lower_step_if(l, CC_A);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_R11,
                 table_offset(l) + (int32_t)offsetof(struct mmu_tlb_entry, host));
    return (struct pointer){H_RAX, H_R11, 0};
}

struct pointer access_stack(struct lower *l, unsigned base, int32_t disp, bool write)
{
    uint32_t info = l->word | MEMORY_STACK | (write ? MEMORY_WRITE : 0);
    struct place place = {(uint8_t)base, PLACE_NONE, 1, PLACE_NONE};
    struct pointer pointer;

    if (window_stack(l, base, disp, &pointer))
        return pointer;
    rsp_settle_for_access(l);
    if (group_access(l, place, disp, info, &pointer))
        return pointer;
    flags_clobber(l);
    if (l->wide)
        return access_check_base(l, host_register(base), disp, info, H_R11);
    emit_op_mem(&l->e, false, OP_LEA, H_RAX, host_register(base), H_NONE, 1, disp);
    return access_check(l, info, POINTER_ONE_REGISTER, H_R11);
}
