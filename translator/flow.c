/*
 * flow.c - control flow: direct and indirect jumps, calls, returns, and the code off the main path.
 *
 * Interface: lower.h. A direct exit within the linear page is a jump that gets patched to the target block; one
 * that leaves the page jumps through a cell of the vCPU, because the mapping of the other page may change: a TLB
 * flush resets the cells. Indirect jumps look the address up in the vCPU's jump cache of this mode. Nothing here
 * looks for interrupts (stop.c).
 */
#include "translator/lower.h"

static gva_t in_mode(const struct insn *in, gva_t address)
{
    return in->width == 64 ? address : (uint32_t)address;
}

gva_t flow_target(const struct insn *in)
{
    gva_t target = in_mode(in, in->pc + in->length + (uint64_t)in->imm);

    return in->width != 64 && in->operand_width == 16 ? target & 0xffff : target;
}

gva_t flow_next(const struct insn *in)
{
    return in_mode(in, in->pc + in->length);
}

/* The last instruction, if it jumps back on a condition. */
static const struct insn *loop_branch_of(const struct lower *l)
{
    const struct insn *last = &l->t->insns[l->count - 1];

    return last->row == lower_branch && flow_target(last) <= last->pc ? last : NULL;
}

bool flow_loops(const struct lower *l)
{
    const struct insn *branch = loop_branch_of(l);

    return branch && flow_target(branch) == l->block->pc;
}

uint32_t flow_loop_recipe(const struct lower *l)
{
    const struct insn *compare = l->count < 2 ? NULL : &l->t->insns[l->count - 2];
    uint32_t recipe;

    if (!compare || !flow_loops(l) || !l->block->takes_recipe || compare->row != lower_copy ||
        flags_observer(compare))
        return 0;
    recipe = flags_recipe(l, compare);
    return recipe && recipe_registers(l->t, recipe) & l->block->entry_changes ? 0 : recipe;
}

void flow_prepare_branch(struct lower *l)
{
    if (l->index + 2 != l->count || !loop_branch_of(l) || l->in->row != lower_copy || flags_observer(l->in))
        return;
    l->loop_recipe = flow_loop_recipe(l);
    if (l->loop_recipe && !l->block->loop_recipe)
        flags_save_recipe(l, l->loop_recipe);
}

/* Is the exit's flag state good for entry_flags, entry_saved, or either? */
static enum block_flags exit_flags(const struct lower *l)
{
    return l->flags == FLAGS_BOTH   ? BLOCK_FLAGS_EITHER
           : l->flags == FLAGS_HOST ? BLOCK_FLAGS_HOST
                                    : BLOCK_FLAGS_SAVED;
}

static struct block_exit *add_exit(struct lower *l, gva_t target)
{
    struct block_exit *x = &l->exits[l->exit_count++];
    struct cold *c = lower_add_cold(l, COLD_EXIT);

    *x = (struct block_exit){.target = target, .flags = exit_flags(l)};
    c->exit = x;
    c->flags_after = (uint8_t)l->flags;
    if (l->flags == FLAGS_HOST && l->recipe) {
        x->has_recipe = true;
        x->recipe_registers = recipe_registers(l->t, l->recipe);
        c->recipe_after = l->loop_recipe ? 0 : l->recipe;
    }
    return x;
}

/* May a jump to the target be patched, or must it go through a cell? */
static bool is_patchable(const struct lower *l, gva_t target)
{
    gva_t from = l->block->pc;

    if (l->segmented) {
        from = (uint32_t)(l->code_base + from);
        target = (uint32_t)(l->code_base + target);
    }
    return (target ^ from) >> PAGE_SHIFT == 0 && (target & ~PAGE_MASK) <= PAGE_SIZE - INSN_MAX_LENGTH;
}

static void take_cell(struct lower *l, struct block_exit *x)
{
    if (l->cells_used == CELL_COUNT)
        l->e.failed = true;
    else
        x->cell = &l->tv->cells[l->cells_used++];
}

/* Through the exit's cell: `extension` 4 jumps, 2 calls. */
static void emit_cell(struct lower *l, const struct block_exit *x, int extension)
{
    if (!x->cell)
        return;
    emit_op_vcpu(&l->e, false, 0xff, extension, H_NONE, TV_OFFSET(cells) + 8 * (int32_t)(x->cell - l->tv->cells));
    relocate_note_exit(l, 4, RELOC_CELL, x);
}

#define DIRECT_CALL_SIZE 5u
#define PADDING_PREFIXES 8u
#define SITE_ALIGNMENT 16u /* bytes; the two instructions of a return site have 13 at most */

/* In front of a host CALL of so many bytes: RET comes back to where both instructions of the return site are
   fetched at once. (At a cache line's last byte a call and its return take a third longer.) A CALL that has no
   prefix of its own takes some that do nothing, CS, in place of a NOP. */
static void align_site(struct lower *l, unsigned call_size)
{
    unsigned at = (unsigned)(emit_here(&l->e) - l->block->code + call_size) % SITE_ALIGNMENT;
    unsigned missing = l->window && at ? SITE_ALIGNMENT - at : 0, prefixes = 0;

    if (call_size == DIRECT_CALL_SIZE)
        prefixes = missing < PADDING_PREFIXES ? missing : PADDING_PREFIXES;
    emit_nops(&l->e, missing - prefixes);
    while (prefixes--)
        emit8(&l->e, 0x2e);
}

static void emit_exit(struct lower *l, gva_t target, bool call)
{
    struct block_exit *x = add_exit(l, target);

    group_give_back(l);
    if (call)
        align_site(l, is_patchable(l, target) ? DIRECT_CALL_SIZE : 8);
    if (is_patchable(l, target)) {
        emit8(&l->e, call ? 0xe8 : 0xe9);
        x->patch = l->e.at;
        emit32(&l->e, 0);
    } else {
        take_cell(l, x);
        emit_cell(l, x, call ? 2 : 4);
    }
}

void flow_exit(struct lower *l, gva_t target)
{
    emit_exit(l, target, false);
}

/* How many instructions of the block's end are a whole iteration of the loop that its last jump leads to; or 0.
   All accesses of one have been made through the window then, as window_loop.c wants it. */
static uint8_t iteration_of(const struct lower *l, gva_t target)
{
    unsigned first = 1;

    if (!l->windowed || !l->wide || l->index + 1 != l->count || target <= l->block->pc || target > l->in->pc)
        return 0;
    while (l->t->insns[first].pc < target)
        first++;
    return l->t->insns[first].pc == target ? (uint8_t)(l->count - first) : 0;
}

void flow_exit_if(struct lower *l, unsigned cc, gva_t target)
{
    uint8_t *taken = emit_jcc_forward(&l->e, cc);
    struct block_exit *x = add_exit(l, target);
    bool count = l->counted && l->counted + 1 == l->in;
    struct cold *c;

    x->loops = iteration_of(l, target);
    if (is_patchable(l, target) && !l->borrowing && !count) {
        x->patch = taken; /* the conditional jump itself is what gets patched */
        return;
    }
    c = lower_add_cold(l, COLD_SIDE);
    if (!is_patchable(l, target))
        take_cell(l, x);
    c->from = taken;
    c->exit = x;
    c->give_back = l->borrowing;
    c->in = count ? l->counted : NULL;
}

/* Are calls host calls here? Code with SMAP off makes hardly any; and a return site is of one mode. */
static bool predicts(const struct translator *t, uint32_t mode)
{
    return t->options.return_stack && !(mode & MODE_AC);
}

bool flow_predicts(const struct lower *l)
{
    return predicts(l->t, l->mode);
}

bool flow_continues(const struct translator *t, uint32_t mode, const struct insn *in)
{
    return in->row == lower_call && translator_in_user_window(mode) && predicts(t, mode) &&
           t->options.inline_return && !t->options.lockstep && !lookup_is_seen(t, flow_next(in));
}

bool flow_hands_on_flags(const struct insn *in)
{
    return (in->row == lower_jump || in->row == lower_call) && in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static bool fits(const struct lower *l, gva_t address)
{
    return !l->wide || (int64_t)address == (int32_t)address;
}

/* Is RAX the return address? R11 stays: it is where from. */
static void compare(struct lower *l, gva_t next)
{
    struct emitter *e = &l->e;

    if (!l->segmented && fits(l, next)) {
        emit_rex(e, l->wide, 0, 0, 0); /* cmp rax, imm32 */
        emit8(e, 0x3d);
        emit32(e, (uint32_t)next);
        relocate_note(l, 4, RELOC_NEXT, next);
    } else {
        emit8(e, 0x48); /* cmp rax, [rip + disp32] */
        emit8(e, OP_CMP);
        emit8(e, 0x05);
        l->constant[l->constant_count++] = (struct constant){e->at, next | l->tag};
        emit32(e, 0);
    }
    emit_jcc(e, CC_NE, l->t->code.return_other);
}

void flow_constants(struct lower *l)
{
    for (unsigned i = 0; i < l->constant_count; i++) {
        emit_bind(&l->e, l->constant[i].displacement);
        emit64(&l->e, l->constant[i].value);
        relocate_note(l, 8, RELOC_WORD, l->constant[i].value);
    }
}

/* Behind a host CALL: where a host RET comes to, with the guest's return address in RAX (stack.c). */
static void return_site(struct lower *l, gva_t next)
{
    struct block_exit *x;

    l->recipe = 0;
    l->flags = FLAGS_SAVED;
    compare(l, next);
    if (!l->ended) {
        group_end(l); /* R11 */
        lookup_note_site(l->tv, next);
        relocate_note(l, 0, RELOC_SITE, next);
        return;
    }
    x = add_exit(l, next);
    take_cell(l, x);
    emit_cell(l, x, 4);
}

static uint32_t dispatch_info(const struct lower *l)
{
    const struct operand *op = &l->in->op[0];
    uint32_t info = (uint32_t)l->index << 24;

    if (l->in->category == ZYDIS_CATEGORY_CALL)
        return info | DISPATCH_CALL;
    if (l->in->category != ZYDIS_CATEGORY_RET)
        return info;
    return info | DISPATCH_RETURN | (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? op->imm.u & 0xffff : 0);
}

/* The address in RAX becomes what the jump cache knows it by. */
static void add_tag(struct lower *l)
{
    if (!l->tag)
        return;
    emit_mov_imm(&l->e, H_R11, l->tag);
    emit_op_reg(&l->e, true, OP_OR, H_RAX, H_R11);
}

/* op reg, gs:[r11 * 8 + disp] */
static void emit_entry(struct lower *l, bool wide, unsigned opcode, int reg, int32_t disp)
{
    emit8(&l->e, 0x65);
    emit_op_mem(&l->e, wide, opcode, reg, H_NONE, H_R11, 8, disp);
}

static void emit_dispatch(struct lower *l, bool call)
{
    int32_t cache = TV_OFFSET(jump_cache) + (int32_t)(l->jump_slot * sizeof(struct jump_entry) * JUMP_CACHE_SIZE);
    struct cold *c = lower_add_cold(l, COLD_DISPATCH);

    l->stops = true;
    group_give_back(l);
    c->info = dispatch_info(l);
    c->call = call;
    if (!l->t->options.jump_cache) {
        c->from = emit_jmp_forward(&l->e);
        c->done = emit_here(&l->e);
        return;
    }
    /* An entry is twice as large as a scale can be. */
    emit_op_mem(&l->e, false, OP_LEA, H_R11, H_RAX, H_RAX, 1, 0);
    emit_op_imm(&l->e, false, 4, H_R11, (JUMP_CACHE_SIZE - 1) * 2);
    emit_entry(l, true, OP_CMP, H_RAX, cache);
    c->from = emit_jcc_forward(&l->e, CC_NE);
    if (call)
        align_site(l, 9);
    emit_entry(l, false, 0xff, call ? 2 : 4, cache + 8);
    c->done = emit_here(&l->e);
}

void flow_dispatch(struct lower *l)
{
    add_tag(l);
    emit_dispatch(l, false);
}

void flow_dispatch_tagged(struct lower *l)
{
    emit_dispatch(l, false);
}

void flow_call(struct lower *l, gva_t target)
{
    emit_exit(l, target, flow_predicts(l));
    if (flow_predicts(l))
        return_site(l, flow_next(l->in));
}

void flow_call_dispatch(struct lower *l)
{
    add_tag(l);
    emit_dispatch(l, flow_predicts(l));
    if (flow_predicts(l))
        return_site(l, flow_next(l->in));
}

void flow_far(struct lower *l, gva_t target)
{
    bool call = l->in->mnemonic == ZYDIS_MNEMONIC_CALL && flow_predicts(l);
    struct block_exit *x = add_exit(l, target);

    take_cell(l, x);
    emit_cell(l, x, call ? 2 : 4);
    if (call)
        return_site(l, flow_next(l->in));
}

void flow_far_return(struct lower *l)
{
    static const uint8_t origin_ret[] = {0x4c, 0x8d, 0x1d, 0, 0, 0, 0, 0xc3}; /* lea r11, [rip]; ret */

    emit_bytes(&l->e, origin_ret, sizeof origin_ret);
    l->returned = l->stops = true;
}

void flow_return(struct lower *l)
{
    group_give_back(l);
    add_tag(l);
    flow_far_return(l);
}

/* --- rows --- */

/* The operand of an indirect jump or call, in RAX. */
static void load_target(struct lower *l, const struct operand *op)
{
    unsigned guest;
    bool high;

    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        access_emit(l, l->wide, OP_LOAD, H_RAX, access_operand(l, op, POINTER_SUM));
        return;
    }
    guest = (unsigned)guest_register(op->reg.value, &high);
    if (l->wide)
        load_guest(l, H_RAX, guest);
    else /* its upper half may be anything */
        emit_op_reg(&l->e, false, OP_LOAD, H_RAX, host_register(guest));
}

void lower_jump(struct lower *l)
{
    const struct operand *op = &l->in->op[0];

    l->ended = true;
    if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        flow_exit(l, flow_target(l->in));
        return;
    }
    flags_clobber(l);
    load_target(l, op);
    flow_dispatch(l);
}

void lower_branch(struct lower *l)
{
    gva_t target = flow_target(l->in);

    flags_restore(l);
    if (l->loop.active) {
        l->ended = true;
        loop_branch(l, l->in->opcode & 15u);
        flow_exit(l, flow_next(l->in));
        return;
    }
    flow_exit_if(l, l->in->opcode & 15u, target);
    if (l->index + 1 == l->count) {
        l->ended = true;
        flow_exit(l, flow_next(l->in));
    }
}

/* LOOP, LOOPE, LOOPNE, JRCXZ, JECXZ: RCX is resident, so they are copied, with a short displacement. */
void lower_loop(struct lower *l)
{
    uint8_t *around;

    if (l->in->flags_read)
        flags_restore(l);
    if (l->in->address_width == 32)
        emit8(&l->e, 0x67);
    emit8(&l->e, l->in->opcode);
    emit8(&l->e, 5); /* over the jump behind it */
    around = emit_jmp_forward(&l->e);
    flow_exit(l, flow_target(l->in));
    emit_bind(&l->e, around);
    flow_exit(l, flow_next(l->in));
    l->ended = true;
}

/* Pushes RAX-independent `value` (an address); RSP changes behind the store. */
static void push_address(struct lower *l, gva_t value)
{
    struct pointer p = access_stack(l, RSP, -(int32_t)l->word, true);

    if (!l->wide || (int64_t)value == (int32_t)value) {
        access_emit(l, l->wide, 0xc7, 0, p); /* mov [p], imm32 */
        emit32(&l->e, (uint32_t)value);
        relocate_note(l, 4, RELOC_NEXT, value);
    } else {
        int scratch = p.reg == H_RAX ? H_R11 : H_RAX;

        relocate_mov(l, scratch, value);
        access_emit(l, true, OP_STORE, scratch, p);
    }
    rsp_move(l, -(int32_t)l->word);
    rsp_settle(l);
    access_end_store(l); /* before control leaves */
}

void lower_call(struct lower *l)
{
    const struct operand *op = &l->in->op[0];
    gva_t next = flow_next(l->in);

    l->ended = l->index + 1 == l->count;
    if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        push_address(l, next);
        flow_call(l, flow_target(l->in));
        return;
    }
    flags_clobber(l);
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY || !l->windowed || guest_operand(op) == RSP) {
        load_target(l, op);
        emit_op_vcpu(&l->e, true, OP_STORE, H_RAX, H_NONE, TV_OFFSET(spill));
        push_address(l, next);
        emit_op_vcpu(&l->e, true, OP_LOAD, H_RAX, H_NONE, TV_OFFSET(spill));
    } else { /* the push leaves registers alone, but RSP and scratch */
        push_address(l, next);
        load_target(l, op);
    }
    flow_call_dispatch(l);
}

/* What has read its return address without the window must not come to a site, which relies on where RSP is. */
static bool may_return(const struct lower *l)
{
    return flow_predicts(l) && (l->windowed || !(l->mode & MODE_WINDOW));
}

void lower_return(struct lower *l)
{
    bool releases = l->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    bool returns = may_return(l) && !releases;

    flags_clobber(l);
    access_emit(l, l->wide, OP_LOAD, H_RAX, access_stack(l, RSP, 0, false));
    rsp_move(l, (int32_t)l->word + (releases ? (int32_t)(l->in->op[0].imm.u & 0xffff) : 0));
    rsp_settle(l);
    if (returns)
        flow_return(l);
    else
        flow_dispatch(l);
    l->ended = true;
}

/* --- off the main path --- */

/* RAX is the host address: makes of it what the fast path leaves. */
static void cold_pointer(struct lower *l, const struct cold *c)
{
    struct pointer p = c->pointer;
    int to = p.index == H_NONE ? p.reg : p.index;

    if (to == H_RAX)
        return;
    if (p.disp)
        emit_op_mem(&l->e, true, OP_LEA, to, H_RAX, H_NONE, 1, -p.disp);
    else
        emit_mov(&l->e, to, H_RAX);
    if (p.index != H_NONE)
        emit_op_reg(&l->e, true, OP_SUB, to, p.reg);
}

/* The store again, into the bounce buffer, and its way to memory. */
static void cold_bounce(struct lower *l, const struct cold *c)
{
    struct emitter *e = &l->e;
    uint8_t *to;

    cold_pointer(l, c);
    to = e->at;
    emit_bytes(e, c->copy, (size_t)(c->copy_end - c->copy));
    relocate_copied(l, c->copy, to, e->at);
    l->flags = c->flags_after;
    l->recipe = c->recipe_after;
    flags_save(l);
    emit_mov_imm(e, H_R11, c->info);
    emit_call(e, l->t->code.commit);
    if (c->flags_after & FLAGS_HOST) {
        l->flags = FLAGS_SAVED;
        flags_restore(l);
    }
    emit_jmp(e, c->copy_end + e->execute_delta);
}

static void cold_memory(struct lower *l, struct cold *c)
{
    struct emitter *e = &l->e;
    int32_t table = V_OFFSET(mmu.table[0].entry[0]) + (int32_t)(sizeof(struct mmu_table) * c->context);
    uint8_t *direct;

    emit_bind(e, c->from);
    table += (int32_t)(c->info & MEMORY_WRITE ? offsetof(struct mmu_tlb_entry, write)
                                              : offsetof(struct mmu_tlb_entry, read));
    if (c->fixed)
        relocate_mov_fixed(l, H_RAX, c->linear);
    else
        emit_op_vcpu(e, true, OP_SUB, H_RAX, H_R11, table); /* the linear address again */
    if (c->recipe)
        flags_save_recipe(l, c->recipe);
    emit_mov_imm(e, H_R11, c->info);
    emit_call(e, l->t->code.memory);
    if (c->info & MEMORY_WRITE && c->copy_end && !e->failed) {
        direct = emit_jmp_forward(e); /* BOUNCE_SKIP bytes: callout_memory resumes behind it */
        cold_bounce(l, c);
        emit_bind(e, direct);
    }
    cold_pointer(l, c);
    emit_jmp(e, c->done);
}

/* Notes how to compute the flags, and goes on to a block that only a fault could have show them. */
static void cold_recipe(struct lower *l, const struct cold *c)
{
    c->exit->recipe_stub = emit_here(&l->e);
    flags_save_recipe(l, c->recipe_after);
    c->exit->recipe_patch = emit_jmp_forward(&l->e);
}

/* Undone, and done again with the 32 bits that it has. The carry stays. */
static void emit_count_again(struct lower *l, const struct insn *in)
{
    int host = host_register((unsigned)guest_operand(&in->op[0]));
    bool dec = in->mnemonic == ZYDIS_MNEMONIC_DEC;

    emit_op_mem(&l->e, false, OP_LEA, host, host, H_NONE, 1, dec ? 1 : -1);
    emit_op_reg(&l->e, false, 0xff, dec, host);
}

/* Where a conditional jump leaves the block by more than its own target. */
static void cold_side(struct lower *l, const struct cold *c)
{
    if (c->in)
        emit_count_again(l, c->in);
    if (c->give_back)
        group_emit_back(l);
    if (c->exit->cell)
        emit_cell(l, c->exit, 4);
    else
        emit_bind_to(&l->e, c->exit->patch = emit_jmp_forward(&l->e), c->exit->stub);
}

static void cold_exit(struct lower *l, struct cold *c)
{
    struct emitter *e = &l->e;

    if (c->recipe_after)
        cold_recipe(l, c);
    c->exit->stub = emit_here(e);
    l->flags = c->flags_after;
    flags_save(l);
    emit_mov_imm(e, H_RAX, (uintptr_t)c->exit);
    relocate_note_exit(l, 8, RELOC_EXIT, c->exit);
    emit_call(e, l->t->code.link);
    if (e->failed)
        return;
    if (c->exit->cell)
        *c->exit->cell = (uintptr_t)c->exit->stub;
    else if (c->exit->patch)
        emit_bind_to(e, c->exit->patch, c->exit->stub);
}

static void cold_dispatch(struct lower *l, const struct cold *c)
{
    static const uint8_t over_jump[] = {0xe8, 5, 0, 0, 0};

    if (c->call) { /* leaves the address of the jump to the return site on the return stack */
        emit_bytes(&l->e, over_jump, sizeof over_jump);
        emit_jmp(&l->e, c->done);
    }
    emit_mov_imm(&l->e, H_R11, c->info);
    emit_call(&l->e, l->t->code.dispatch);
    emit8(&l->e, 0xcc); /* keeps the return address in the block */
}

static void cold_wrap(struct lower *l, const struct cold *c)
{
    if (c->recipe)
        flags_save_recipe(l, c->recipe);
    emit_mov_imm(&l->e, H_R11, c->info);
    emit_call(&l->e, l->t->code.memory);
    emit8(&l->e, 0xcc);
}

/* What lower_sti and lower_popf leave to C. */
static void cold_system(struct lower *l, const struct cold *c)
{
    if (c->kind == COLD_INTERRUPT) {
        relocate_mov(l, H_RAX, c->in->pc + c->in->length);
        emit_mov_imm(&l->e, H_R11, c->in->mnemonic == ZYDIS_MNEMONIC_STI);
        emit_call(&l->e, l->t->code.interrupt);
        return;
    }
    lower_call_step(l, c->in);
    if (c->flags_after & FLAGS_HOST) {
        l->flags = FLAGS_SAVED;
        flags_restore(l);
    }
    emit_jmp(&l->e, c->done);
}

void flow_cold(struct lower *l)
{
    for (unsigned i = 0; i < l->cold_count; i++) {
        struct cold *c = &l->cold[i];

        c->begin = emit_here(&l->e);
        if (c->kind == COLD_MEMORY) {
            cold_memory(l, c);
        } else if (c->kind == COLD_EXIT) {
            cold_exit(l, c);
        } else {
            emit_bind(&l->e, c->from);
            if (c->kind == COLD_DISPATCH)
                cold_dispatch(l, c);
            else if (c->kind == COLD_WRAP)
                cold_wrap(l, c);
            else if (c->kind == COLD_LOOP)
                loop_again(l);
            else if (c->kind == COLD_SIDE)
                cold_side(l, c);
            else
                cold_system(l, c);
        }
    }
}
