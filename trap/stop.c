/*
 * stop.c - what a stop of the child means, and what is done about it.
 *
 * Interface: internal.h. The host's kernel tells little: a signal, and for a page fault the address. What happened
 * is decided by the guest's page tables and by the interpreter, which runs the instruction that stopped, from the
 * state before it. Faults leave RIP there; the traps (INT3, INT n, SYSCALL) have moved it, and are stepped back.
 * Invariant: a signal that somebody else sent is dropped.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cpu/system.h"
#include "trap/internal.h"

#define VSYSCALL_PAGE 0xffffffffff600000ull

int stop_lost(struct trap *t, const struct child *c)
{
    return error_set(
        t->error, ESRCH,
        "-accel trap: the process that runs guest %s code has ended; was it killed, or is the host out "
        "of memory? Use -accel bt to do without",
        c == &t->child[CHILD_USER] ? "user" : "supervisor");
}

/* Steps back over the bytes in front of RIP, if they are these. */
static bool step_back(struct vcpu *v, const uint8_t *bytes, unsigned size)
{
    uint8_t before[2];

    if (trap_read_code(v, v->rip - size, before, size) != size || memcmp(before, bytes, size))
        return false;
    v->rip -= size;
    return true;
}

static bool step_back_1(struct vcpu *v, uint8_t byte)
{
    return step_back(v, &byte, 1);
}

static bool step_back_2(struct vcpu *v, uint8_t first, uint8_t second)
{
    return step_back(v, (const uint8_t[]){first, second}, 2);
}

/* A jump to the stub's page: whatever is there in the guest's page tables. */
static bool step_back_in_stub(struct vcpu *v, unsigned size)
{
    if (v->rip - size - STUB_PAGE >= PAGE_SIZE)
        return false;
    v->rip -= size;
    return true;
}

/* SYSENTER (which an AMD processor does not have in long mode) keeps no address, and needs none unless it faults.
   The host's kernel has put EBP in ESP's place. */
static enum cpu_status emulate_sysenter(struct trap *t)
{
    struct vcpu *v = t->v;
    enum cpu_status status = CPU_EXIT;

    v->exit.reason = EXIT_REQUEST;
    v->gpr[RBP] = v->gpr[RSP];
    t->count[COUNT_OTHER_TRAPS]++;
    if (!state_fetch_simd(t))
        status = cpu_sysenter(v);
    return status == CPU_FAULT ? cpu_deliver_fault(v) : status;
}

/* SYSCALL, INT 0x80, SYSENTER; the host's kernel has not acted on it. */
static void handle_call(struct trap *t, const struct child *c, enum cpu_status *status)
{
    struct vcpu *v = t->v;

    v->gpr[RAX] = v->efer & EFER_LMA ? c->regs.orig_rax : (uint32_t)c->regs.orig_rax;
    if (step_back_2(v, 0x0f, 0x05) || step_back_2(v, 0xcd, 0x80) || step_back_in_stub(v, 2))
        *status = emulate_trapped(t, COUNT_OTHER_TRAPS);
    else
        *status = emulate_sysenter(t);
}

/* INT3, INT1, and TF, which the guest has set by a POPF that nobody saw. */
static int handle_trap(struct trap *t, const siginfo_t *info, enum cpu_status *status)
{
    struct vcpu *v = t->v;

    if (info->si_code == TRAP_TRACE) {
        t->count[COUNT_EXCEPTIONS]++;
        *status = cpu_debug_after(v, true);
        if (*status == CPU_FAULT)
            *status = state_fetch_simd(t) ? CPU_EXIT : cpu_deliver_fault(v);
        return 0;
    }
    if (!step_back_in_stub(v, 1) && !step_back_1(v, 0xcc) && !step_back_2(v, 0xcd, 3))
        step_back_1(v, 0xf1);
    *status = emulate_trapped(t, COUNT_OTHER_TRAPS);
    return 0;
}

/* INTO and INT 4 look like #GP here, but RIP is behind them. If what RIP is at could have given that #GP itself,
   it has. */
static void step_back_overflow(struct vcpu *v)
{
    if (trap_row_at(v) || !(v->rflags & FLAG_OF))
        return;
    if (!step_back_2(v, 0xcd, 4) && (v->mode & MODE_CODE_MASK) == MODE_CODE32)
        step_back_1(v, 0xce);
}

static int handle_gp(struct trap *t, enum cpu_status *status)
{
    step_back_overflow(t->v);
    *status = emulate_trapped(t, COUNT_OTHER_TRAPS);
    return 0;
}

/* Either the child does not have the page yet, or the interpreter raises the guest's page fault, or reaches a
   device. Where it was not clear what the instruction wanted there, it has the page afterwards. */
static int handle_page_fault(struct trap *t, struct child *c, gva_t linear, enum cpu_status *status)
{
    enum mmu_context context = t->v->data_context;
    int mapped = space_resolve(t, c, linear);

    if (mapped == 0) {
        *status = emulate_trapped(t, COUNT_PAGE_FAULTS);
        mapped = space_adopt(t, c, context, linear);
    }
    return mapped < 0 ? stop_lost(t, c) : 0;
}

/* A call into the host's vsyscall page, which the host's kernel has all but emulated: it has popped the return
   address. RAX is lost. */
static void undo_vsyscall(struct vcpu *v, const siginfo_t *info)
{
    static const int numbers[] = {SYS_gettimeofday, SYS_time, SYS_getcpu};

    for (unsigned i = 0; i < 3; i++)
        if (info->si_syscall == numbers[i])
            v->rip = VSYSCALL_PAGE + i * 0x400;
    v->gpr[RSP] -= 8;
}

static bool is_of_instruction(const siginfo_t *info)
{
    return info->si_code > 0;
}

int stop_handle(struct trap *t, struct child *c, int wait_status, enum cpu_status *status)
{
    int number = WSTOPSIG(wait_status);
    siginfo_t info;

    *status = CPU_OK;
    if (number == (SIGTRAP | 0x80)) {
        handle_call(t, c, status);
        return 0;
    }
    if (ptrace(PTRACE_GETSIGINFO, c->pid, NULL, &info))
        return stop_lost(t, c);
    if (!is_of_instruction(&info)) {
        t->count[COUNT_KICKS]++;
        return 0;
    }
    switch (number) {
    case SIGSEGV:
        if (info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR)
            return handle_page_fault(t, c, (uintptr_t)info.si_addr, status);
        return handle_gp(t, status);
    case SIGTRAP:
        return handle_trap(t, &info, status);
    case SIGSYS:
        undo_vsyscall(t->v, &info);
        break;
    case SIGILL:
    case SIGFPE:
    case SIGBUS:
        break;
    default:
        return 0;
    }
    *status = emulate_trapped(t, number == SIGILL ? COUNT_OTHER_TRAPS : COUNT_EXCEPTIONS);
    return 0;
}
