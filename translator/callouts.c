/*
 * callouts.c - C called from translated code: memory off the fast path, single instructions, lookups.
 *
 * Interface: internal.h, thunks.c. Compiled without SIMD: the guest's SIMD state is live. Each function finds the
 * guest's general registers in the vCPU and its arithmetic flags in translator_vcpu.flags. It returns false to go
 * on at translator_vcpu.resume; or true to leave translated code, with RIP, RFLAGS and v->exit exact.
 */
#include "translator/tier.h"

#include <string.h>

#include "cpu/access.h"
#include "cpu/system.h"

static bool leave(struct vcpu *v, enum vcpu_exit_reason reason)
{
    v->exit.reason = reason;
    return true;
}

static bool wants_attention(struct vcpu *v)
{
    if (atomic_load_explicit(&v->exit_request, memory_order_relaxed))
        return true;
    return (v->rflags & FLAG_IF && atomic_load_explicit(&v->interrupt_line, memory_order_relaxed)) ||
           atomic_load_explicit(&v->nmi_pending, memory_order_relaxed);
}

/* Host address of the block at v->rip as the jump cache has it, or 0. Behind stack_choose. */
static uint64_t cached_entry(struct vcpu *v)
{
    const struct translator_vcpu *tv = translator_of(v);
    const struct jump_entry *e =
        (const struct jump_entry *)(uintptr_t)tv->jump_base + (v->rip & (JUMP_CACHE_SIZE - 1));

    return e->pc == (v->rip | lookup_mode_tag(tv->stack_mode[tv->stack_used])) &&
                   tv->translator->options.jump_cache
               ? e->host
               : 0;
}

/* The block at v->rip, unless the run loop is to see that it is entered; or NULL. */
static struct block *find_unseen(struct vcpu *v)
{
    struct translator *t = translator_of(v)->translator;

    return lookup_is_seen(t, lookup_linear(v, v->rip)) ? NULL : lookup_block(t, v);
}

/* Goes on at v->rip, whatever is there now. rflags is exact; so is it when this returns true. */
static bool go_on(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);
    struct block *b;

    lookup_catch_up(v);
    bases_follow(v);
    if (wants_attention(v))
        return leave(v, EXIT_REQUEST);
    if (v->mode & MODE_SINGLE)
        return leave(v, EXIT_INTERPRET);
    if (v->cpl == 3 && v->cr3 != tv->tier.entered && tier_is_due(v))
        return leave(v, EXIT_TRANSLATE);
    if (stack_choose(v) && (tv->resume = cached_entry(v))) {
        flags_decompose(v);
        return false;
    }
    b = find_unseen(v);
    if (!b)
        return leave(v, EXIT_TRANSLATE);
    lookup_remember_jump(v, b);
    flags_decompose(v);
    tv->resume = (uintptr_t)b->entry_saved;
    return false;
}

/* Behind a privileged action: delivers its fault, if any, and goes on wherever RIP is. */
static bool finish(struct vcpu *v, enum cpu_status status)
{
    if (status == CPU_FAULT)
        status = cpu_deliver_fault(v);
    if (status == CPU_EXIT)
        return true;
    if (status == CPU_NEED_FULL)
        return leave(v, EXIT_INTERPRET);
    return go_on(v);
}

/* A change of level that C has made, and may be made without it the next time. */
static bool finish_crossing(struct vcpu *v, enum cpu_status status, enum crossing_kind kind, uint32_t mode,
                            uint64_t flags)
{
    if (finish(v, status))
        return true;
    if (status == CPU_OK)
        crossing_note(v, kind, mode, flags);
    return false;
}

bool callout_syscall(struct vcpu *v, uint64_t unused, uint32_t info)
{
    uint32_t mode = v->mode;
    uint64_t flags;

    flags_compose(v);
    flags = v->rflags;
    return finish_crossing(v, cpu_syscall(v, v->rip + (info & 0xff)), CROSSING_SYSCALL, mode, flags);
}

bool callout_sysret(struct vcpu *v, uint64_t unused, uint32_t info)
{
    uint32_t mode = v->mode;
    uint64_t flags = v->gpr[R11];

    flags_compose(v);
    return finish_crossing(v, cpu_sysret(v, 8), CROSSING_SYSRET, mode, flags);
}

bool callout_sysenter(struct vcpu *v, uint64_t unused, uint32_t info)
{
    uint32_t mode = v->mode;
    uint64_t flags;

    flags_compose(v);
    flags = v->rflags;
    return finish_crossing(v, cpu_sysenter(v), CROSSING_SYSENTER, mode, flags);
}

bool callout_sysexit(struct vcpu *v, uint64_t unused, uint32_t info)
{
    uint32_t mode = v->mode;
    uint64_t flags;

    flags_compose(v);
    flags = v->rflags;
    return finish_crossing(v, cpu_sysexit(v, 4), CROSSING_SYSEXIT, mode, flags);
}

bool callout_iret(struct vcpu *v, uint64_t unused, uint32_t info)
{
    flags_compose(v);
    if (v->rflags & FLAG_NT)
        return leave(v, EXIT_INTERPRET);
    if (!finish(v, cpu_iret(v, info >> 8)))
        return false;
    translator_of(v)->came_with_flags = true; /* as is likely where an interrupt has come */
    return true;
}

bool callout_interrupt(struct vcpu *v, gva_t next, uint32_t is_sti)
{
    flags_compose(v);
    v->rip = next;
    v->interrupt_shadow = is_sti;
    return leave(v, EXIT_REQUEST);
}

bool callout_interpret(struct vcpu *v, gva_t pc, uint32_t unused)
{
    flags_compose(v);
    v->rip = pc;
    return leave(v, EXIT_INTERPRET);
}

bool callout_link(struct vcpu *v, struct block_exit *exit, uint32_t unused)
{
    struct translator_vcpu *tv = translator_of(v);
    struct block *b;

    flags_compose(v);
    v->rip = exit->target;
    if (!stack_fits(v))
        return go_on(v);
    lookup_catch_up(v);
    if (wants_attention(v))
        return leave(v, EXIT_REQUEST);
    b = find_unseen(v);
    if (!b) {
        tv->came_with_flags = exit->flags != BLOCK_FLAGS_SAVED;
        tv->unlinked = lookup_is_seen(tv->translator, lookup_linear(v, v->rip)) ? NULL : exit;
        return leave(v, EXIT_TRANSLATE);
    }
    lookup_link(v, exit, b);
    tv->resume = (uintptr_t)b->entry_saved;
    return false;
}

/* Goes on in the block, behind the callout, unless something waits. rflags is exact; so is it when this returns
 * true. */
static bool go_on_here(struct vcpu *v)
{
    lookup_catch_up(v);
    bases_follow(v);
    if (wants_attention(v))
        return leave(v, EXIT_REQUEST);
    if (!stack_fits(v))
        return go_on(v);
    flags_decompose(v);
    return false;
}

/* One instruction by the interpreter at v->rip. false: RIP moved, state exact; true: leave. */
static bool step(struct vcpu *v)
{
    switch (cpu_step(v)) {
    case CPU_OK:
        return false;
    case CPU_EXIT:
        return true;
    default:
        return leave(v, EXIT_INTERPRET);
    }
}

bool callout_step(struct vcpu *v, uint64_t unused, uint32_t info)
{
    struct translator_vcpu *tv = translator_of(v);
    uint64_t next = v->rip + (info & 0xff);
    uint32_t mode = v->mode;
    struct segment cs = v->seg[SEG_CS];
    uint64_t invalidated = tv->translator->cache.stats.invalidated;

    tv->translator->stats.callouts++;
    crossing_forget(tv);
    flags_compose(v);
    if (step(v))
        return true;
    if (info & STEP_ENDS_BLOCK || v->rip != next || v->mode != mode || v->seg[SEG_CS].base != cs.base ||
        v->seg[SEG_CS].limit != cs.limit || tv->translator->cache.stats.invalidated != invalidated)
        return go_on(v);
    return go_on_here(v);
}

/* The selector's descriptor has just been loaded: from now on emitted code knows it. */
static void remember_descriptor(struct vcpu *v, uint16_t selector, unsigned loaded)
{
    const struct segment *s = &v->seg[loaded];
    struct descriptor_entry *e = &translator_of(v)->descriptor[v->cpl == 3][selector >> 3 & (DESCRIPTORS - 1)];
    gva_t linear = v->gdtr.base + (selector & 0xfff8u);
    bool flat = s->base == 0 && s->limit == UINT32_MAX &&
                (s->attributes & (SEGATTR_P | SEGATTR_S | 0xe)) == (SEGATTR_P | SEGATTR_S | 2);
    uint8_t *host;
    gpa_t gpa;

    e->selector = e->flat_selector = DESCRIPTOR_NONE;
    if (selector & 4 || !(selector & 0xfffc) || (v->cpl && v->cpl != 3) || v->write_log ||
        (v->mode & (MODE_PE | MODE_VM)) != MODE_PE || (linear & ~PAGE_MASK) + 8 > PAGE_SIZE ||
        mmu_translate(&v->mmu, MMU_SUPERVISOR, linear, MMU_READ, &host, &gpa) != MMU_OK)
        return;
    translator_of(v)->descriptors_known = true;
    cpu_update_span(v, loaded);
    *e = (struct descriptor_entry){.selector = selector,
                                   .flat_selector = flat ? selector : DESCRIPTOR_NONE,
                                   .host = host,
                                   .segment = *s,
                                   .span = {v->span[0][loaded], v->span[1][loaded]},
                                   .closed = v->closed[loaded]};
    memcpy(&e->raw, host, 8);
}

/* The stack pointer moves by the address size of the stack (SDM vol. 3, 6.2.3). */
static void move_stack(struct vcpu *v, int distance)
{
    uint64_t sp = v->gpr[RSP], moved = sp + (uint64_t)(int64_t)distance;

    v->gpr[RSP] = v->mode & MODE_SS32 ? (uint32_t)moved : (sp & ~0xffffull) | (moved & 0xffff);
}

bool callout_segment(struct vcpu *v, uint64_t selector, uint32_t info)
{
    unsigned segment = info >> 8 & 7;
    uint32_t mode = v->mode;
    enum cpu_status status;

    flags_compose(v);
    status = cpu_load_segment(v, segment, (uint16_t)selector);
    if (status != CPU_OK) {
        if (info & SEGMENT_POP)
            move_stack(v, info & SEGMENT_POP_HALF ? -2 : -4);
        return finish(v, status);
    }
    remember_descriptor(v, (uint16_t)selector, segment);
    v->rip = (uint32_t)(v->rip + (info & 0xff));
    v->rflags &= ~(uint64_t)FLAG_RF;
    return v->mode != mode ? go_on(v) : go_on_here(v);
}

/* Guest address of instruction `index` of the block. */
static gva_t instruction_address(const struct block *b, unsigned index)
{
    const struct insn_map *map = block_map(b);
    gva_t pc = b->pc;

    for (unsigned i = 0; i < index; i++)
        pc += map[i].length;
    return pc;
}

static struct block *current_block(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);

    return cache_find_host(&tv->translator->cache, (const uint8_t *)(uintptr_t)tv->resume);
}

/* In a loop (loop.c) a pointer that has moved tells that it is not the first iteration, and how the flags are to
   be computed if they are those of its start. */
void callouts_give_back(struct vcpu *v, const struct block *b, unsigned index)
{
    const struct insn_map *map = block_map(b);
    struct translator_vcpu *tv = translator_of(v);
    unsigned k = 0;

    for (unsigned guest = 0; map[index].borrowing && guest < 16; guest++) {
        if (!(b->borrowed >> guest & 1))
            continue;
        if (b->loop_recipe && v->gpr[guest] != tv->loop_pointer[k])
            tv->flags = (uint32_t)b->loop_recipe << 16;
        v->gpr[guest] = tv->borrowed_value[k++];
    }
}

/* To the address in RAX; `info` tells how to undo the jump when #GP must come before it (SDM vol. 2, JMP). */
bool callout_dispatch(struct vcpu *v, gva_t target, uint32_t info)
{
    flags_compose(v);
    v->rip = v->mode & MODE_CODE64 ? target : (uint32_t)target;
    if (__builtin_expect(cpu_is_canonical(v->rip), 1))
        return go_on(v);
    v->rip = instruction_address(current_block(v), info >> 24);
    if (info & DISPATCH_CALL)
        v->gpr[RSP] += 8;
    else if (info & DISPATCH_RETURN)
        v->gpr[RSP] -= 8 + (info & 0xffff);
    return leave(v, EXIT_INTERPRET);
}

bool callout_return(struct vcpu *v, gva_t target, uint64_t origin)
{
    const struct block *b;

    flags_compose(v);
    v->rip = v->mode & MODE_CODE64 ? target : (uint32_t)target;
    if (__builtin_expect(cpu_is_canonical(v->rip), 1))
        return go_on(v);
    b = cache_find_host(&translator_of(v)->translator->cache, (const uint8_t *)(uintptr_t)origin);
    v->rip = instruction_address(b, b->instructions - 1);
    v->gpr[RSP] -= 8;
    return leave(v, EXIT_INTERPRET);
}

/* Of an earlier x87 instruction: if this one is an x87 instruction too, #MF comes before its page fault. */
static bool x87_exception_pending(void)
{
    uint16_t status;

    __asm__ volatile("fnstsw %0" : "=a"(status));
    return status & 0x80;
}

/* The access at `linear` cannot be done: a page fault at `address` is delivered, the rest (MMIO, non-canonical) is
   left to the interpreter; and it knows whether #MF, or #GP of a misaligned operand, comes first. */
static bool access_failed(struct vcpu *v, gva_t linear, gva_t address, uint32_t info, enum mmu_result why)
{
    const struct block *b = current_block(v);
    uint32_t size = info & 0xff;
    bool misaligned = size >= 16 && linear & (size - 1);

    v->rip = instruction_address(b, info >> 16);
    callouts_give_back(v, b, info >> 16);
    flags_compose(v);
    if (why == MMU_FAULT && !misaligned && !x87_exception_pending()) {
        cpu_raise_error(v, EXC_PF, v->mmu.error_code);
        v->fault.address = address;
        return finish(v, CPU_FAULT);
    }
    if (step(v))
        return true;
    return go_on(v);
}

/* Makes the guest's bytes at the two parts of the bounce buffer's place known. */
static enum mmu_result bounce_part(struct vcpu *v, unsigned k, gva_t linear, uint32_t size, bool write)
{
    struct translator_vcpu *tv = translator_of(v);
    gpa_t gpa;
    enum mmu_result r =
        mmu_translate(&v->mmu, v->data_context, linear, write ? MMU_WRITE : MMU_READ, &tv->bounce_host[k], &gpa);

    tv->bounce_part[k] = size;
    return r == MMU_CODE ? MMU_OK : r;
}

/* The instruction works on the bounce buffer, at the guest's alignment. */
static void bounce(struct vcpu *v, gva_t linear, uint32_t info)
{
    struct translator_vcpu *tv = translator_of(v);
    uint8_t *at = tv->bounce + (linear & 63);

    tv->translator->stats.memory_bounce++;
    tv->value = (uintptr_t)at;
    /* A store may leave bytes alone too: masked ones, or all of an x87 store that notes an unmasked exception. */
    memcpy(at, tv->bounce_host[0], tv->bounce_part[0]);
    memcpy(at + tv->bounce_part[0], tv->bounce_host[1], tv->bounce_part[1]);
    if (info & MEMORY_WRITE) {
        tv->bounce_at = at;
        v->rip = instruction_address(current_block(v), info >> 16); /* for a host fault in the copy */
        tv->resume += BOUNCE_SKIP;
    }
}

/* Is the range in one page that the TLB gives? For a write the page must be dirty already: the store that will
   make it so may not be reached. */
static bool range_good(struct vcpu *v, gva_t linear, uint32_t info)
{
    bool write = info & MEMORY_WRITE;
    uint8_t *host;
    gpa_t gpa;

    if ((linear & ~PAGE_MASK) + (info & 0xff) > PAGE_SIZE || info & MEMORY_WRAPS ||
        mmu_translate(&v->mmu, v->data_context, linear, MMU_READ, &host, &gpa) != MMU_OK)
        return false;
    translator_of(v)->value = (uintptr_t)host;
    return !write || mmu_hit(&v->mmu, v->data_context, linear, 1, true);
}

/* A checked range, or the block goes on without groups. */
static bool group_check(struct vcpu *v, gva_t linear, uint32_t info)
{
    struct translator_vcpu *tv = translator_of(v);
    struct block *from = current_block(v), *b;

    if (range_good(v, linear, info))
        return false;
    tv->translator->stats.group_failures++;
    v->rip = instruction_address(from, info >> 16);
    if (!(info & MEMORY_BEFORE))
        callouts_give_back(v, from, info >> 16);
    flags_compose(v);
    lookup_group_failed(tv->translator, from);
    if (!stack_fits(v))
        return go_on(v);
    tv->no_group = true;
    b = find_unseen(v);
    if (!b)
        return leave(v, EXIT_TRANSLATE);
    tv->no_group = false;
    flags_decompose(v); /* the version without groups may want them in the host's, which a recipe is not for */
    tv->resume = (uintptr_t)b->entry_saved;
    return false;
}

static bool reach_memory(struct vcpu *v, gva_t linear, uint32_t info)
{
    struct translator_vcpu *tv = translator_of(v);
    uint32_t size = info & 0xff, first = (uint32_t)(PAGE_SIZE - (linear & ~PAGE_MASK));
    bool write = info & MEMORY_WRITE;
    enum mmu_result r;
    gpa_t gpa;

    tv->translator->stats.memory_slow++;
    if (info & MEMORY_GROUP)
        return group_check(v, linear, info);
    if (info & MEMORY_WRAPS)
        return access_failed(v, linear, linear, info, MMU_NONCANONICAL);
    if (linear + size > 1ull << 32 && (v->mode & MODE_CODE_MASK) != MODE_CODE64)
        return access_failed(v, linear, linear, info, MMU_NONCANONICAL); /* wraps */
    if (size > first) {
        r = bounce_part(v, 0, linear, first, write);
        if (r != MMU_OK)
            return access_failed(v, linear, linear, info, r);
        r = bounce_part(v, 1, linear + first, size - first, write);
        if (r != MMU_OK)
            return access_failed(v, linear, linear + first, info, r);
        bounce(v, linear, info);
        return false;
    }
    r = mmu_translate(&v->mmu, v->data_context, linear, write ? MMU_WRITE : MMU_READ, &tv->bounce_host[0], &gpa);
    if (r == MMU_CODE) {
        tv->bounce_part[0] = size;
        tv->bounce_part[1] = 0;
        bounce(v, linear, info);
        return false;
    }
    if (r != MMU_OK)
        return access_failed(v, linear, linear, info, r);
    tv->value = (uintptr_t)tv->bounce_host[0];
    return false;
}

bool callout_memory(struct vcpu *v, gva_t linear, uint32_t info)
{
    uint8_t before = activity_begin(&v->activity, ACTIVITY_MEMORY);
    bool leaves = reach_memory(v, linear, info);

    v->activity = before;
    return leaves;
}

static void write_part(struct vcpu *v, const uint8_t *from, unsigned k)
{
    struct translator_vcpu *tv = translator_of(v);
    struct ram *ram = v->mmu.ram;
    uint64_t offset = (uint64_t)(tv->bounce_host[k] - ram->host);

    if (!tv->bounce_part[k])
        return;
    memcpy(tv->bounce_host[k], from, tv->bounce_part[k]);
    if (ram->page_flags[offset >> PAGE_SHIFT] & RAM_PAGE_CODE)
        ram->code_written(ram->code_written_opaque, offset, tv->bounce_part[k]);
}

bool callout_commit(struct vcpu *v, uint64_t unused, uint32_t info)
{
    struct translator_vcpu *tv = translator_of(v);
    struct block *b = current_block(v);
    unsigned index = info >> 16;

    tv->translator->stats.code_writes++;
    write_part(v, tv->bounce_at, 0);
    write_part(v, tv->bounce_at + tv->bounce_part[0], 1);
    if (b->valid || index + 1 == b->instructions)
        return false;
    /* The block has overwritten itself: what follows is to be looked at anew. */
    v->rip = instruction_address(b, index + 1);
    callouts_give_back(v, b, index);
    flags_compose(v);
    return go_on(v);
}
