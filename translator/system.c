/*
 * system.c - the frequent privileged and sensitive instructions, without leaving translated code.
 *
 * Interface: rows of lower.h. Each does in emitted code what the SDM says for the case its block was made for (the
 * mode is part of the block's key), and leaves every other case to the interpreter. With `inline-system=off` the
 * interpreter does them all.
 */
#include "translator/lower.h"

#define RFLAGS V_OFFSET(rflags)
#define IS_KERNEL(l) (((l)->mode & MODE_CPL) == 0)

/* op dword gs:[field], imm32: extension 1 or, 4 and, 7 cmp; 0xf7 /0 is test. */
static void emit_vcpu_imm(struct lower *l, unsigned opcode, unsigned extension, int32_t field, uint32_t value)
{
    emit_op_vcpu(&l->e, false, opcode, (int)extension, H_NONE, field);
    emit32(&l->e, value);
}

static bool left_to_interpreter(struct lower *l, bool possible)
{
    if (possible && l->t->options.inline_system)
        return false;
    lower_step(l);
    return true;
}

/* An interrupt that waits is taken now that IF is set. */
static void check_interrupt(struct lower *l)
{
    struct cold *c = lower_add_cold(l, COLD_INTERRUPT);

    emit_op_vcpu(&l->e, false, 0x80, 7, H_NONE, V_OFFSET(interrupt_line)); /* cmp byte, 0 */
    emit8(&l->e, 0);
    c->from = emit_jcc_forward(&l->e, CC_NE);
    c->in = l->in;
}

void lower_swapgs(struct lower *l)
{
    if (left_to_interpreter(l, IS_KERNEL(l)))
        return;
    group_end(l); /* the GS base changes */
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, V_OFFSET(seg[SEG_GS].base));
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, V_OFFSET(kernel_gs_base));
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, V_OFFSET(kernel_gs_base));
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, V_OFFSET(seg[SEG_GS].base));
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(sure_gs));
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, TV_OFFSET(sure_kernel_gs));
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(sure_kernel_gs));
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, TV_OFFSET(sure_gs));
}

void lower_cli(struct lower *l)
{
    if (left_to_interpreter(l, IS_KERNEL(l)))
        return;
    flags_clobber(l);
    emit_vcpu_imm(l, 0x81, 4, RFLAGS, ~FLAG_IF);
}

void lower_sti(struct lower *l)
{
    uint8_t *already;

    if (left_to_interpreter(l, IS_KERNEL(l)))
        return;
    flags_clobber(l);
    emit_vcpu_imm(l, 0xf7, 0, RFLAGS, FLAG_IF);
    already = emit_jcc_forward(&l->e, CC_NE);
    emit_vcpu_imm(l, 0x81, 1, RFLAGS, FLAG_IF);
    check_interrupt(l);
    emit_bind(&l->e, already);
}

void system_flags_image(struct lower *l)
{
    flags_clobber(l);
    group_clobber_r11(l);
    flags_emit_image(&l->e, H_RAX);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, RFLAGS);
    emit_op_imm(&l->e, false, 4, H_R11, (int32_t) ~(FLAGS_ARITH | FLAG_RF | FLAG_VM));
    emit_op_reg(&l->e, false, OP_OR, H_RAX, H_R11);
}

void lower_pushf(struct lower *l)
{
    struct pointer p;
    int scratch;

    if (left_to_interpreter(l, IS_KERNEL(l)))
        return;
    system_flags_image(l);
    group_end(l);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
    p = access_stack(l, RSP, -(int32_t)l->word, true);
    scratch = p.reg == H_RAX ? H_R11 : H_RAX;
    emit_op_vcpu(&l->e, true, OP_LOAD, scratch, H_NONE, TV_OFFSET(spill));
    access_emit(l, l->wide, OP_STORE, scratch, p);
    emit_op_mem(&l->e, l->wide, OP_LEA, H_R15, H_R15, H_NONE, 1, -(int32_t)l->word);
}

/* Changes of arithmetic flags and IF are done here, any other one by the interpreter. */
void lower_popf(struct lower *l)
{
    struct cold *other;
    uint8_t *no_if;

    if (left_to_interpreter(l, IS_KERNEL(l)))
        return;
    flags_clobber(l);
    access_emit(l, l->wide, OP_LOAD, H_RAX, access_stack(l, RSP, 0, false));
    group_end(l);
    emit_op_vcpu(&l->e, true, OP_LOAD, H_R11, H_NONE, RFLAGS);
    emit_op_reg(&l->e, true, OP_XOR, H_R11, H_RAX);
    emit_rex(&l->e, true, 0, 0, H_R11); /* test r11, simm32 */
    emit8(&l->e, 0xf7);
    emit8(&l->e, 0xc0 | (H_R11 & 7));
    emit32(&l->e, (uint32_t) ~(FLAGS_ARITH | FLAG_IF));
    other = lower_step_if(l, CC_NE);
    emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, RFLAGS);
    emit_op_mem(&l->e, l->wide, OP_LEA, H_R15, H_R15, H_NONE, 1, (int32_t)l->word);
    flags_emit_take(&l->e);
    emit_vcpu_imm(l, 0xf7, 0, RFLAGS, FLAG_IF);
    no_if = emit_jcc_forward(&l->e, CC_E);
    check_interrupt(l);
    emit_bind(&l->e, no_if);
    other->done = emit_here(&l->e);
}

void lower_rdtsc(struct lower *l)
{
    static const uint8_t lfence_rdtsc[] = {0x0f, 0xae, 0xe8, 0x0f, 0x31};
    bool ordered = l->in->mnemonic == ZYDIS_MNEMONIC_RDTSCP; /* behind what is in front of it (SDM vol. 2) */

    if (left_to_interpreter(l, !(l->mode & MODE_TSD)))
        return;
    flags_clobber(l);
    emit_bytes(&l->e, lfence_rdtsc + (ordered ? 0 : 3), ordered ? 5 : 2);
    emit_shift(&l->e, true, 4, H_RDX, 32);
    emit_op_reg(&l->e, true, OP_OR, H_RAX, H_RDX);
    emit_op_vcpu(&l->e, true, OP_ADD, H_RAX, H_NONE, V_OFFSET(tsc_offset));
    emit_mov(&l->e, H_RDX, H_RAX);
    emit_shift(&l->e, true, 5, H_RDX, 32);
    emit_op_reg(&l->e, false, OP_LOAD, H_R10, H_RAX);
    if (ordered)
        emit_op_vcpu(&l->e, false, OP_LOAD, H_RCX, H_NONE, V_OFFSET(tsc_aux));
}

void lower_read_cr(struct lower *l)
{
    static const int32_t fields[] = {V_OFFSET(cr0), 0, V_OFFSET(cr2), V_OFFSET(cr3), V_OFFSET(cr4)};
    bool high;
    unsigned guest = (unsigned)guest_register(l->in->op[0].reg.value, &high);

    if (left_to_interpreter(l, IS_KERNEL(l)))
        return;
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, fields[l->in->op[1].reg.value - ZYDIS_REGISTER_CR0]);
    store_guest(l, guest, H_RAX);
}

void lower_read_base(struct lower *l)
{
    bool high, fs = l->in->mnemonic == ZYDIS_MNEMONIC_RDFSBASE;
    unsigned guest = (unsigned)guest_register(l->in->op[0].reg.value, &high);

    if (left_to_interpreter(l, l->mode & MODE_FSGSBASE && l->in->operand_width == 64))
        return;
    emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE,
                 fs ? V_OFFSET(seg[SEG_FS].base) : V_OFFSET(seg[SEG_GS].base));
    store_guest(l, guest, H_RAX);
}

/* STAC, CLAC: the instructions behind them in the block use the other data context. */
void lower_smap(struct lower *l)
{
    bool set = l->in->mnemonic == ZYDIS_MNEMONIC_STAC;
    uint32_t mode = set ? l->mode | MODE_AC : l->mode & ~MODE_AC;

    if (left_to_interpreter(l, IS_KERNEL(l) && l->mode & MODE_SMAP)) {
        /* The data context may have changed: what follows is another block. */
        flow_exit(l, l->in->pc + l->in->length);
        l->ended = true;
        return;
    }
    group_end(l);
    flags_clobber(l);
    emit_vcpu_imm(l, 0x81, set ? 1 : 4, RFLAGS, set ? FLAG_AC : ~FLAG_AC);
    emit_vcpu_imm(l, 0x81, set ? 1 : 4, V_OFFSET(mode), set ? MODE_AC : ~MODE_AC);
    emit_op_vcpu(&l->e, false, 0xc6, 0, H_NONE, V_OFFSET(data_context)); /* mov byte, imm8 */
    emit8(&l->e, set ? MMU_SUPERVISOR_AC : MMU_SUPERVISOR);
    l->mode = mode;
    l->context = set ? MMU_SUPERVISOR_AC : MMU_SUPERVISOR;
    l->jump_slot = lookup_jump_slot(l->t->vcpu, mode & ~MODE_NO_GROUP);
    if (l->jump_slot == JUMP_MODES) {
        l->e.failed = true;
        return;
    }
    emit_mov_imm(&l->e, H_R11, (uintptr_t)l->tv->jump_cache[l->jump_slot]);
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, TV_OFFSET(jump_base));
}

/* Ends the block in a callout that knows the instruction, or in what may do without (crossing.c). */
static void lower_system_call(struct lower *l, const uint8_t *callout, const uint8_t *crossing)
{
    if (left_to_interpreter(l, true))
        return;
    group_end(l);
    flags_clobber(l);
    relocate_mov(l, H_R11, l->in->pc);
    emit_op_vcpu(&l->e, true, OP_STORE, H_R11, H_NONE, V_OFFSET(rip));
    l->ended = true;
    l->crosses = crossing;
    if (crossing) {
        emit_jmp(&l->e, crossing);
        return;
    }
    emit_mov_imm(&l->e, H_R11, l->in->length | (uint32_t)l->in->operand_width / 8 << 8);
    emit_call(&l->e, callout);
}

void lower_syscall(struct lower *l)
{
    bool plain = l->wide && l->in->length == 2;

    lower_system_call(l, l->t->code.syscall, plain ? l->t->code.crossing[CROSSING_SYSCALL] : NULL);
}

void lower_sysret(struct lower *l)
{
    if (l->in->operand_width == 64)
        lower_system_call(l, l->t->code.sysret, l->t->code.crossing[CROSSING_SYSRET]);
    else
        lower_step(l);
}

void lower_iret(struct lower *l)
{
    lower_system_call(l, l->t->code.iret, NULL);
}

void lower_sysenter(struct lower *l)
{
    lower_system_call(l, l->t->code.sysenter, l->wide ? NULL : l->t->code.crossing[CROSSING_SYSENTER]);
}

void lower_sysexit(struct lower *l)
{
    if (l->in->operand_width == 64)
        lower_step(l);
    else
        lower_system_call(l, l->t->code.sysexit, l->wide ? NULL : l->t->code.crossing[CROSSING_SYSEXIT]);
}

/* CLD, STD: DF is in memory, where string instructions look at it. */
void lower_direction(struct lower *l)
{
    bool set = l->in->mnemonic == ZYDIS_MNEMONIC_STD;

    if (left_to_interpreter(l, true))
        return;
    flags_clobber(l);
    emit_vcpu_imm(l, 0x81, set ? 1 : 4, RFLAGS, set ? FLAG_DF : ~FLAG_DF);
}
