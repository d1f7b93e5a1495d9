/*
 * access.c - guest memory operands: effective address, inline TLB lookup, and the way around it.
 *
 * Interface: lower.h. The lookup (memory/mmu.h) is
 *
 *   mov r11, rax;  shr r11, 7;  and r11d, (SIZE - 1) * 32
 *   add rax, gs:[r11 + table.read]      ; offset in the page
 *   cmp rax, 4096 - size;  ja cold      ; miss, wrong page, no permission, or it crosses the page's end
 *   add rax, gs:[r11 + table.host]
 *
 * The cold path calls callout_memory, which fills the TLB and gives the host address, or sets up a bounce buffer,
 * or raises the guest's fault. A bounced store is a copy of the instruction's code from here to its end, followed
 * by callout_commit.
 */
#include "translator/lower.h"

_Static_assert(sizeof(struct mmu_tlb_entry) == 32, "the shift by 7 below");

static const int8_t host_of_guest[16] = {
    [RAX] = H_R10, [RCX] = H_RCX, [RDX] = H_RDX, [RBX] = H_RBX,        [RSP] = H_R15,        [RBP] = H_RBP,
    [RSI] = H_RSI, [RDI] = H_RDI, [R8] = H_R8,   [R9] = H_R9,          [R10] = NOT_RESIDENT, [R11] = NOT_RESIDENT,
    [R12] = H_R12, [R13] = H_R13, [R14] = H_R14, [R15] = NOT_RESIDENT,
};

int host_register(unsigned guest)
{
    return host_of_guest[guest];
}

int guest_register(ZydisRegister reg, bool *high)
{
    *high = false;
    if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
        return (int)(reg - ZYDIS_REGISTER_RAX);
    if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
        return (int)(reg - ZYDIS_REGISTER_EAX);
    if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
        return (int)(reg - ZYDIS_REGISTER_AX);
    if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
        return (int)(reg - ZYDIS_REGISTER_AL);
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
        *high = true;
        return (int)(reg - ZYDIS_REGISTER_AH);
    }
    if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
        return (int)(reg - ZYDIS_REGISTER_SPL) + 4;
    return -1;
}

void load_guest(struct lower *l, int host, unsigned guest)
{
    if (host_of_guest[guest] != NOT_RESIDENT) {
        emit_mov(&l->e, host, host_of_guest[guest]);
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
    if (host_of_guest[guest] != NOT_RESIDENT) {
        emit_mov(&l->e, host_of_guest[guest], host);
        return;
    }
    emit_op_vcpu(&l->e, true, OP_STORE, host, H_NONE, V_OFFSET(gpr) + 8 * (int)guest);
    if (host == H_R11)
        l->r11_guest = (int)guest;
    else if (l->r11_guest == (int)guest)
        l->r11_guest = -1;
}

/* Host register with an address component, loaded into `scratch` where it is not resident. */
static int component(struct lower *l, ZydisRegister reg, int scratch)
{
    bool high;
    int guest = guest_register(reg, &high);

    if (guest < 0)
        return H_NONE;
    if (host_of_guest[guest] != NOT_RESIDENT)
        return host_of_guest[guest];
    if (scratch == H_R11)
        l->group.valid = false;
    load_guest(l, scratch, (unsigned)guest);
    return scratch;
}

void access_address(struct lower *l, const ZydisDecodedOperand *op, int to)
{
    bool wide = l->in->z.address_width == 64 && (l->in->row != lower_lea || l->in->z.operand_width == 64);
    int64_t disp = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
    int base, index;

    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
        uint64_t linear = l->in->pc + l->in->length + (uint64_t)disp;

        emit_mov_imm(&l->e, to, wide ? linear : (uint32_t)linear);
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
    *c = (struct cold){.kind = kind};
    return c;
}

void access_check(struct lower *l, uint32_t info, bool pointer_in_r11)
{
    struct emitter *e = &l->e;
    unsigned size = info & 0xff;
    int32_t table = V_OFFSET(mmu.table[0].entry[0]) + (int32_t)(sizeof(struct mmu_table) * l->context);
    int32_t host = table + (int32_t)offsetof(struct mmu_tlb_entry, host);
    struct cold *c = lower_add_cold(l, COLD_MEMORY);

    table += (int32_t)(info & MEMORY_WRITE ? offsetof(struct mmu_tlb_entry, write)
                                           : offsetof(struct mmu_tlb_entry, read));
    group_end(l);
    emit_mov(e, H_R11, H_RAX);
    emit_shift(e, true, 5, H_R11, 7);
    emit_op_imm(e, false, 4, H_R11, (int32_t)((MMU_TLB_SIZE - 1) * 32));
    emit_op_vcpu(e, true, OP_ADD, H_RAX, H_R11, table);
    emit8(e, 0x48); /* cmp rax, imm32 */
    emit8(e, 0x3d);
    emit32(e, (uint32_t)PAGE_SIZE - size);
    c->from = emit_jcc_forward(e, CC_A);
    if (pointer_in_r11) {
        emit_op_vcpu(e, true, OP_LOAD, H_R11, H_R11, host);
        emit_op_reg(e, true, OP_ADD, H_R11, H_RAX);
    } else {
        emit_op_vcpu(e, true, OP_ADD, H_RAX, H_R11, host);
    }
    c->done = emit_here(e);
    c->copy = e->at;
    c->info = info | (uint32_t)l->index << 16;
    c->pointer_in_r11 = pointer_in_r11;
    c->context = (uint8_t)l->context;
    if (info & MEMORY_WRITE)
        l->store_cold = (int)(c - l->cold);
}

uint32_t access_info(const ZydisDecodedOperand *op)
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

void access_add_segment(struct lower *l, unsigned segment)
{
    emit_op_vcpu(&l->e, true, OP_ADD, H_RAX, H_NONE,
                 V_OFFSET(seg[0].base) + (int32_t)(sizeof(struct segment) * segment));
}

struct pointer access_operand(struct lower *l, const ZydisDecodedOperand *op, bool in_r11)
{
    struct pointer pointer = {in_r11 ? H_R11 : H_RAX, 0};
    struct place place;
    int32_t disp;

    if (group_operand(l, l->in, op, &place, &disp) && group_access(l, place, disp, access_info(op), &pointer))
        return pointer;
    flags_clobber(l);
    access_address(l, op, H_RAX);
    if (op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
        access_add_segment(l, op->mem.segment == ZYDIS_REGISTER_FS ? SEG_FS : SEG_GS);
    access_check(l, access_info(op), in_r11);
    return pointer;
}

struct pointer access_stack(struct lower *l, unsigned base, int32_t disp, bool write)
{
    uint32_t info = 8 | MEMORY_STACK | (write ? MEMORY_WRITE : 0);
    struct place place = {(uint8_t)base, PLACE_NONE, 1, PLACE_NONE};
    struct pointer pointer = {H_RAX, 0};

    if (group_access(l, place, disp, info, &pointer))
        return pointer;
    flags_clobber(l);
    if (disp)
        emit_op_mem(&l->e, true, OP_LEA, H_RAX, host_register(base), H_NONE, 1, disp);
    else
        emit_mov(&l->e, H_RAX, host_register(base));
    access_check(l, info, false);
    return pointer;
}
