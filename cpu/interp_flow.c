/*
 * interp_flow.c - the stack, jumps, calls, returns, segment registers and software interrupts.
 *
 * Interface: handlers of interp_tables.h. Invariants: the target is checked before anything is pushed; RSP moves
 * last, so that a fault leaves it.
 */
#include "cpu/alu.h"
#include "cpu/interp_tables.h"

/* Near transfers have 64-bit operands in 64-bit mode whatever the prefixes (SDM vol. 1, 6.2.2). */
static inline unsigned near_size(const struct vcpu *v, const struct insn *i)
{
    return insn_code64(v) ? 8 : i->opsize;
}

static inline unsigned short_reg(const struct insn *i)
{
    return (i->opcode & 7u) | (i->rex & REX_B ? 8u : 0u);
}

enum cpu_status interp_push_reg(struct vcpu *v, struct insn *i)
{
    return push_value(v, push_size(v, i), v->gpr[short_reg(i)]);
}

enum cpu_status interp_pop_reg(struct vcpu *v, struct insn *i)
{
    unsigned size = push_size(v, i);
    uint64_t value;

    TRY(pop_top(v, size, &value));
    pop_release(v, size);
    set_gpr(v, short_reg(i), size, value);
    return CPU_OK;
}

enum cpu_status interp_push_imm(struct vcpu *v, struct insn *i)
{
    return push_value(v, push_size(v, i), i->imm);
}

/* The address of the destination is computed with the new RSP (SDM vol. 2, POP). */
enum cpu_status interp_pop_rm(struct vcpu *v, struct insn *i)
{
    unsigned size = push_size(v, i);
    uint64_t value, old = v->gpr[RSP];
    enum cpu_status status;

    if (i->modrm & 0x38)
        return raise_ud(v); /* XOP among others */
    TRY(pop_top(v, size, &value));
    pop_release(v, size);
    status = rm_write(v, i, size, value);
    if (status != CPU_OK)
        v->gpr[RSP] = old;
    return status;
}

enum cpu_status interp_jcc(struct vcpu *v, struct insn *i)
{
    if (!alu_condition(v->rflags, i->opcode & 15))
        return CPU_OK;
    return near_target(v, i, i->next + i->imm);
}

enum cpu_status interp_jmp(struct vcpu *v, struct insn *i)
{
    return near_target(v, i, i->next + i->imm);
}

static enum cpu_status call(struct vcpu *v, struct insn *i, uint64_t target)
{
    uint64_t back = i->next;
    enum cpu_status status;

    TRY(near_target(v, i, target));
    status = push_value(v, near_size(v, i), back);
    if (status != CPU_OK)
        i->next = back;
    return status;
}

enum cpu_status interp_call(struct vcpu *v, struct insn *i)
{
    return call(v, i, i->next + i->imm);
}

enum cpu_status interp_ret(struct vcpu *v, struct insn *i)
{
    unsigned size = near_size(v, i);
    uint64_t target;

    TRY(pop_top(v, size, &target));
    TRY(near_target(v, i, target));
    pop_release(v, size + (i->imm & 0xffff));
    return CPU_OK;
}

/* E0-E3: LOOPNE, LOOPE, LOOP, JCXZ */
enum cpu_status interp_loop(struct vcpu *v, struct insn *i)
{
    uint64_t count = get_gpr(v, RCX, i->addrsize);
    bool taken;

    if (i->opcode == 0xe3)
        return count ? CPU_OK : near_target(v, i, i->next + i->imm);
    count = (count - 1) & size_mask(i->addrsize);
    taken = count != 0;
    if (i->opcode != 0xe2)
        taken = taken && !(v->rflags & FLAG_ZF) == (i->opcode == 0xe0);
    if (taken)
        TRY(near_target(v, i, i->next + i->imm));
    set_gpr(v, RCX, i->addrsize, count);
    return CPU_OK;
}

static enum cpu_status read_far_pointer(struct vcpu *v, struct insn *i, uint16_t *selector, uint64_t *offset)
{
    uint64_t address = effective_address(v, i), value;

    if (i->mod == 3)
        return raise_ud(v);
    TRY(mem_read(v, i->segment, address, i->opsize, offset));
    address += i->opsize;
    if (i->addrsize < 8)
        address &= size_mask(i->addrsize);
    TRY(mem_read(v, i->segment, address, 2, &value));
    *selector = (uint16_t)value;
    return CPU_OK;
}

static enum cpu_status far_transfer(struct vcpu *v, struct insn *i, bool is_call, uint16_t selector,
                                    uint64_t offset)
{
    TRY(is_call ? cpu_far_call(v, selector, offset, i->opsize, i->next)
                : cpu_far_jump(v, selector, offset, i->opsize, i->next));
    i->next = v->rip;
    return CPU_OK;
}

/* 9A, EA: CALL and JMP ptr16:16/32; CA, CB: far RET */
enum cpu_status interp_far(struct vcpu *v, struct insn *i)
{
    if (i->opcode == 0x9a || i->opcode == 0xea) {
        if (insn_code64(v))
            return raise_ud(v);
        return far_transfer(v, i, i->opcode == 0x9a, i->imm2, i->imm);
    }
    TRY(cpu_far_return(v, i->opsize, (uint16_t)i->imm));
    i->next = v->rip;
    return CPU_OK;
}

enum cpu_status interp_iret(struct vcpu *v, struct insn *i)
{
    TRY(cpu_task_is_nested(v) ? cpu_return_task(v, i->next) : cpu_iret(v, i->opsize));
    i->next = v->rip;
    return CPU_OK;
}

/* FF */
enum cpu_status interp_group5(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;
    uint64_t value;
    uint16_t selector;

    switch (sub) {
    case 0:
    case 1:
        return interp_inc_dec(v, i);
    case 2:
    case 4:
        TRY(rm_read(v, i, near_size(v, i), &value));
        return sub == 2 ? call(v, i, value) : near_target(v, i, value);
    case 3:
    case 5:
        TRY(read_far_pointer(v, i, &selector, &value));
        return far_transfer(v, i, sub == 3, selector, value);
    case 6:
        TRY(rm_read(v, i, push_size(v, i), &value));
        return push_value(v, push_size(v, i), value);
    default:
        return raise_ud(v);
    }
}

/* SDM vol. 2, ENTER. On a 16-bit stack the frame pointer is still all of ESP. */
enum cpu_status interp_enter(struct vcpu *v, struct insn *i)
{
    unsigned size = push_size(v, i), level = i->imm2 & 31;
    uint64_t mask = sp_mask(v), sp = (v->gpr[RSP] - size) & mask, bp = v->gpr[RBP], value;
    uint64_t frame = (v->gpr[RSP] & ~mask) | sp;

    TRY(mem_write(v, SEG_SS, sp, size, v->gpr[RBP]));
    for (unsigned n = 1; n < level; n++) {
        bp -= size;
        TRY(mem_read(v, SEG_SS, bp & mask, size, &value));
        sp = (sp - size) & mask;
        TRY(mem_write(v, SEG_SS, sp, size, value));
    }
    if (level) {
        sp = (sp - size) & mask;
        TRY(mem_write(v, SEG_SS, sp, size, frame));
    }
    sp = (sp - i->imm) & mask;
    TRY(mem_check_write(v, SEG_SS, sp, size));
    set_gpr(v, RBP, size, frame);
    set_stack_pointer(v, sp);
    return CPU_OK;
}

enum cpu_status interp_leave(struct vcpu *v, struct insn *i)
{
    unsigned size = push_size(v, i);
    uint64_t sp = v->gpr[RBP] & sp_mask(v), value;

    TRY(mem_read(v, SEG_SS, sp, size, &value));
    set_stack_pointer(v, sp + size);
    set_gpr(v, RBP, size, value);
    return CPU_OK;
}

/* LES, LDS, LSS, LFS, LGS */
enum cpu_status interp_load_far(struct vcpu *v, struct insn *i)
{
    static const uint8_t segments[8] = {0, 0, SEG_SS, 0, SEG_FS, SEG_GS, 0, 0};
    unsigned seg = i->map == MAP_0F ? segments[i->opcode & 7] : i->opcode == 0xc4 ? SEG_ES : SEG_DS;
    uint16_t selector;
    uint64_t offset;

    TRY(read_far_pointer(v, i, &selector, &offset));
    TRY(cpu_load_segment(v, seg, selector));
    set_gpr(v, i->reg, i->opsize, offset);
    return CPU_OK;
}

/* After MOV SS and POP SS (SDM vol. 3, 6.8.3). */
static void shadow_after_ss(struct vcpu *v, unsigned seg)
{
    if (seg == SEG_SS)
        v->interrupt_shadow = v->debug_shadow = true;
}

/* PUSH and POP of ES, CS, SS, DS, FS, GS */
enum cpu_status interp_segment_stack(struct vcpu *v, struct insn *i)
{
    unsigned seg = i->opcode >> 3 & 7, size = push_size(v, i);
    uint64_t value, sp = (v->gpr[RSP] + size), mask = sp_mask(v);

    if (i->map == MAP_1 && insn_code64(v))
        return raise_ud(v);
    if (!(i->opcode & 1))
        return push_value(v, size, v->seg[seg].selector);
    TRY(pop_top(v, size, &value));
    TRY(cpu_load_segment(v, seg, (uint16_t)value));
    /* RSP moves by the address size of the old SS */
    v->gpr[RSP] = mask == 0xffff ? (v->gpr[RSP] & ~mask) | (sp & mask) : sp & mask;
    shadow_after_ss(v, seg);
    return CPU_OK;
}

/* 8C, 8E */
enum cpu_status interp_segment_move(struct vcpu *v, struct insn *i)
{
    unsigned seg = i->modrm >> 3 & 7;
    uint64_t value;

    if (seg > SEG_GS || (seg == SEG_CS && i->opcode == 0x8e))
        return raise_ud(v);
    if (i->opcode == 0x8c)
        return rm_write(v, i, i->mod == 3 ? i->opsize : 2, v->seg[seg].selector);
    TRY(rm_read(v, i, 2, &value));
    TRY(cpu_load_segment(v, seg, (uint16_t)value));
    shadow_after_ss(v, seg);
    return CPU_OK;
}

/* INT3, INT n, INTO, INT1 */
enum cpu_status interp_interrupt(struct vcpu *v, struct insn *i)
{
    uint8_t vector = EXC_BP;

    if (i->opcode == 0xf1) {
        v->rip = i->next;
        cpu_raise(v, EXC_DB);
        v->fault.is_trap = true;
        v->fault.address = 0;
        return CPU_FAULT;
    }
    if (i->opcode == 0xce) {
        if (insn_code64(v))
            return raise_ud(v);
        if (!(v->rflags & FLAG_OF))
            return CPU_OK;
        vector = EXC_OF;
    }
    TRY(i->opcode == 0xcd ? cpu_software_interrupt(v, (uint8_t)i->imm, i->next)
                          : cpu_trap_interrupt(v, vector, i->next));
    i->next = v->rip;
    return CPU_OK;
}
