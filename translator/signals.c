/*
 * signals.c - host faults in translated code.
 *
 * Interface: translator_handle_signal, called by the process's handlers. An INT3 of stop.c's ends the run for a
 * request; any other one in a block is the guest's own (#DE, a misaligned SSE operand, an x87 or SIMD
 * exception): the guest's state is made exact at the start of the instruction, and the interpreter runs it, which
 * raises the architectural exception. Invariant: reads only what does not change while translated code runs.
 */
#include "translator/tier.h"

#include <asm/hwcap2.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#define ERROR_WRITE 2 /* of a page fault's error code */

static _Thread_local struct vcpu *current;

void signals_set_current(struct vcpu *v)
{
    current = v;
}

static const struct {
    int context;
    uint8_t guest;
} resident[] = {{REG_RCX, RCX}, {REG_RDX, RDX}, {REG_RBX, RBX}, {REG_RBP, RBP}, {REG_RSI, RSI},
                {REG_RDI, RDI}, {REG_R8, R8},   {REG_R9, R9},   {REG_R10, RAX}, {REG_R12, R12},
                {REG_R13, R13}, {REG_R14, R14}, {REG_R15, RSP}};

bool signals_host_has_fsgsbase(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

__attribute__((no_stack_protector)) uint64_t translator_signal_enter(void)
{
    uint64_t fs, host;

    if (!signals_host_has_fsgsbase())
        return 0;
    __asm__ volatile("rdfsbase %0" : "=r"(fs));
    if (fs != KWINDOW_BASE)
        return 0;
    __asm__ volatile("mov %%gs:%c1, %0" : "=r"(host) : "i"(TV_OFFSET(host_fs)));
    __asm__ volatile("wrfsbase %0" : : "r"(host) : "memory");
    return fs;
}

__attribute__((no_stack_protector)) void translator_signal_leave(uint64_t fs)
{
    if (fs)
        __asm__ volatile("wrfsbase %0" : : "r"(fs) : "memory");
}

/* A copied instruction was at work: what it has put aside is the guest's value. */
static void give_back(struct vcpu *v, const struct insn_map *map)
{
    for (unsigned i = 0; i < 2; i++)
        if (map->borrowed[i])
            v->gpr[map->borrowed[i]] = translator_of(v)->spill[i];
}

static void add_lag(struct vcpu *v, const struct block *b, const struct insn_map *map)
{
    if (!map->rsp_lag)
        return;
    v->gpr[RSP] += (uint64_t)map->rsp_lag;
    if ((b->mode & MODE_CODE_MASK) != MODE_CODE64)
        v->gpr[RSP] = (uint32_t)v->gpr[RSP];
}

/* How far the instruction has come. */
enum stage {
    STAGE_START,
    STAGE_PROBE,  /* of a window; flags: insn_map.repeats */
    STAGE_ACCESS, /* in a window; likewise */
    STAGE_WORK
};

/* RIP, what is put aside and the place of the flags, from the host address. */
static void locate(struct vcpu *v, const struct block *b, uint32_t offset, enum stage stage, uint64_t host_flags)
{
    const struct insn_map *map = block_map(b);
    gva_t pc = b->pc;

    for (unsigned i = 0; i < b->instructions; i++) {
        if (offset < map[i].host_end) {
            bool work = stage == STAGE_WORK || (stage != STAGE_START && map[i].repeats);
            bool saved = work ? map[i].flags_saved_work : map[i].flags_saved_start;

            v->rip = pc;
            add_lag(v, b, &map[i]);
            if (stage == STAGE_ACCESS || stage == STAGE_WORK)
                give_back(v, &map[i]);
            callouts_give_back(v, b, i);
            if (saved && map[i].recipe)
                translator_of(v)->flags = (uint32_t)map[i].recipe << 16;
            if (saved)
                flags_compose(v);
            else
                v->rflags = (v->rflags & ~(uint64_t)FLAGS_ARITH) | (host_flags & FLAGS_ARITH);
            return;
        }
        pc += map[i].length;
    }
    /* In the copy of a bounced store: callout_memory has set RIP, and the saved flags are those before it. */
    pc = b->pc;
    for (unsigned i = 0; i < b->instructions && stage == STAGE_WORK; pc += map[i++].length)
        if (pc == v->rip) {
            give_back(v, &map[i]);
            callouts_give_back(v, b, i);
        }
    flags_compose(v);
}

static bool is_windowed(const struct vcpu *v, const struct block *b)
{
    if (!(b->mode & MODE_WINDOW))
        return false;
    return (b->mode & MODE_CPL) == 3 ? v->mmu.window && v->mmu.window->active
                                     : v->mmu.kwindow && v->mmu.kwindow->active;
}

/* Of the access that has faulted; UINT64_MAX: none that a window has. */
static gva_t linear_of(const struct vcpu *v, const struct block *b, const void *host)
{
    return (b->mode & MODE_CPL) == 3 ? window_linear(v->mmu.window, host) : (uintptr_t)host - v->mmu.kwindow->base;
}

/* A fault in a window. false: the access can be tried again; else the interpreter has to run the instruction. */
static bool leave_window(struct vcpu *v, struct block *b, const uint8_t *host, const void *address, bool write,
                         enum stage *stage)
{
    gva_t linear = linear_of(v, b, address);
    enum tier_fault fault = TIER_MISPLACED;
    uint8_t before;

    translator_of(v)->translator->stats.window_signals++;
    *stage = window_is_probe(host) ? STAGE_PROBE : STAGE_ACCESS;
    before = activity_begin(&v->activity, ACTIVITY_MEMORY);
    if (*stage == STAGE_ACCESS)
        fault = (b->mode & MODE_CPL) == 3 ? tier_resolve(v, linear, write) : tier_resolve_kernel(v, linear, write);
    v->activity = before;
    if (fault >= TIER_CODE && !(*stage == STAGE_PROBE && tier_wants_claim(v, address)))
        tier_note_unsuitable(v, b, fault);
    return fault != TIER_MAPPED;
}

/* A #GP, which has the code SI_KERNEL and no address, is the guest's own; or v->closed shows, or BASE_UNSURE. */
static void note_uncanonical(struct vcpu *v, struct block *b, const greg_t *regs)
{
    bool unsure =
        (uint64_t)regs[REG_R11] >> 32 == BASE_UNSURE >> 32 || (uint64_t)regs[REG_RAX] >> 32 == BASE_UNSURE >> 32;
    enum tier_fault fault = unsure ? bases_resolve(v) : TIER_UNSUITABLE;

    if (fault != TIER_MAPPED)
        tier_note_unsuitable(v, b, fault);
}

/* Translated code is left, with the guest's state as it is there. */
static void leave_block(struct vcpu *v, const struct block *b, greg_t *regs, uint32_t offset, enum stage stage)
{
    struct translator *t = translator_of(v)->translator;

    for (unsigned i = 0; i < sizeof resident / sizeof *resident; i++)
        v->gpr[resident[i].guest] = (uint64_t)regs[resident[i].context];
    locate(v, b, offset, stage, (uint64_t)regs[REG_EFL]);
    t->stats.signals++;
    regs[REG_RIP] = (greg_t)t->code.leave;
}

/* At an INT3 of stop.c's, RIP is behind it. */
static bool stop_at_place(struct vcpu *v, greg_t *regs)
{
    const uint8_t *host = (const uint8_t *)regs[REG_RIP] - 1;
    const struct insn_map *place = stop_place(translator_of(v), host);
    const struct block *b = translator_of(v)->barred;

    if (!place)
        return false;
    translator_of(v)->return_stack = (uint64_t)regs[REG_RSP];
    leave_block(v, b, regs, (uint32_t)(host - b->code), STAGE_START);
    v->interrupt_shadow = place->in_shadow;
    v->exit.reason = EXIT_REQUEST;
    return true;
}

bool translator_handle_signal(int number, void *information, void *context)
{
    const siginfo_t *info = information;
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    struct vcpu *v = current;
    struct translator_vcpu *tv;
    const uint8_t *host = (const uint8_t *)regs[REG_RIP];
    struct block *b;
    bool missed;
    enum stage stage = STAGE_WORK;

    if (!v)
        return false;
    tv = translator_of(v);
    if (number == TRANSLATOR_SIGNAL || (number == SIGTRAP && info->si_code == TRAP_TRACE)) {
        stop_signalled(v, context);
        return true;
    }
    if (number == SIGSEGV && stack_overflow(tv, info->si_addr) && !window_is_probe(host)) {
        regs[REG_RSP] = (greg_t)stack_overflow(tv, info->si_addr);
        return true;
    }
    if (number == SIGTRAP && stop_at_place(v, regs))
        return true;
    if (!cache_holds(&tv->translator->cache, host) || !(b = cache_find_host(&tv->translator->cache, host)))
        return false;
    tv->return_stack = (uint64_t)regs[REG_RSP];
    missed = number == SIGSEGV && (info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR);
    if (missed && !is_windowed(v, b))
        return false; /* outside of windows the memory of the guest's accesses is mapped: it is a bug */
    if (missed && !leave_window(v, b, host, info->si_addr, regs[REG_ERR] & ERROR_WRITE, &stage)) {
        regs[REG_RSP] = (greg_t)tv->return_stack;
        return true;
    }
    if (number == SIGSEGV && info->si_code == SI_KERNEL && is_windowed(v, b))
        note_uncanonical(v, b, regs);
    leave_block(v, b, regs, (uint32_t)(host - b->code), stage);
    v->exit.reason = EXIT_INTERPRET;
    return true;
}

bool translator_holds_code(struct vcpu *v, intptr_t address)
{
    const struct translator_vcpu *tv = translator_of(v);

    return tv->translator && cache_holds(&tv->translator->cache, (const uint8_t *)address);
}

bool translator_find_code(struct vcpu *v, intptr_t address, struct translator_made *made)
{
    const struct translator *t = translator_of(v)->translator;
    const uint8_t *host = (const uint8_t *)address;
    const struct block *b = t && cache_holds(&t->cache, host) ? cache_find_host(&t->cache, host) : NULL;
    uint64_t room;

    if (!b)
        return false;
    room = PAGE_SIZE - (b->gpa & ~PAGE_MASK);
    *made = (struct translator_made){.linear = lookup_linear(v, b->pc),
                                     .rip = b->pc,
                                     .mode = b->mode,
                                     .guest = ram_host(t->ram, b->gpa),
                                     .hot = b->code,
                                     .cold = b->cold,
                                     .guest_size = b->size < room ? b->size : room,
                                     .hot_size = (size_t)(b->code_end - b->code),
                                     .cold_size = (size_t)(b->cold_end - b->cold),
                                     .instructions = b->instructions};
    return true;
}
