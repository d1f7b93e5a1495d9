/*
 * signals.c - host faults in translated code.
 *
 * Interface: translator_handle_signal, called by the process's handlers. A fault at the poll page ends the run for
 * a request; any other one in a block is the guest's own (#DE, a misaligned SSE operand, an x87 or SIMD
 * exception): the guest's state is made exact at the start of the instruction, and the interpreter runs it, which
 * raises the architectural exception. Invariant: reads only what does not change while translated code runs.
 */
#include "translator/internal.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

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

/* A copied instruction was at work: what it has put aside is the guest's value. */
static void give_back(struct vcpu *v, const struct insn_map *map)
{
    for (unsigned i = 0; i < 2; i++)
        if (map->borrowed[i])
            v->gpr[map->borrowed[i]] = translator_of(v)->spill[i];
}

/* RIP, what is put aside and the place of the flags, from the host address. */
static void locate(struct vcpu *v, const struct block *b, uint32_t offset, bool poll, uint64_t host_flags)
{
    const struct insn_map *map = (const struct insn_map *)(const void *)b->map;
    gva_t pc = b->pc;

    for (unsigned i = 0; i < b->instructions; i++) {
        if (offset < map[i].host_end) {
            bool saved = poll ? map[i].flags_saved_start : map[i].flags_saved_work;

            v->rip = pc;
            if (!poll)
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
    for (unsigned i = 0; i < b->instructions && !poll; pc += map[i++].length)
        if (pc == v->rip) {
            give_back(v, &map[i]);
            callouts_give_back(v, b, i);
        }
    flags_compose(v);
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
    bool poll;

    if (!v)
        return false;
    tv = translator_of(v);
    if (number == SIGSEGV && stack_overflow(tv, info->si_addr)) {
        regs[REG_RSP] = (greg_t)stack_overflow(tv, info->si_addr);
        return true;
    }
    if (!cache_holds(&tv->translator->cache, host) || !(b = cache_find_host(&tv->translator->cache, host)))
        return false;
    tv->return_stack = (uint64_t)regs[REG_RSP];
    poll = number == SIGSEGV && info->si_addr == (void *)&tv->poll;
    /* The memory of the guest's accesses is mapped; what is not is a bug (a #GP has the code SI_KERNEL). */
    if (!poll && number == SIGSEGV && (info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR))
        return false;
    for (unsigned i = 0; i < sizeof resident / sizeof *resident; i++)
        v->gpr[resident[i].guest] = (uint64_t)regs[resident[i].context];
    locate(v, b, (uint32_t)(host - b->code), poll, (uint64_t)regs[REG_EFL]);
    if (poll)
        mprotect(&tv->poll, PAGE_SIZE, PROT_READ | PROT_WRITE);
    v->exit.reason = poll ? EXIT_REQUEST : EXIT_INTERPRET;
    tv->translator->stats.signals++;
    regs[REG_RIP] = (greg_t)tv->translator->code.leave;
    return true;
}
