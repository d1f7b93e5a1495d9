/*
 * signals.c - host signals while an engine runs: what vmm/signals.c does for novt, for one vCPU of a test.
 */
#include "tests/insn/insn.h"

#include "cpu/native.h"
#include "cpu/vcpu.h"
#include "translator/translator.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK 65536u

static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, TRANSLATOR_SIGNAL};
static struct sigaction old_action[6];
static stack_t old_stack;
static uint8_t *stack;
static struct vcpu *current;
static const struct insn_case *current_case;

static void look(int number, siginfo_t *info, void *opaque)
{
    const ucontext_t *context = opaque;

    if (translator_handle_signal(number, info, opaque) || cpu_native_fixup(current, number, opaque))
        return;
    /* A bug; the process cannot go on, but the case is worth more than a core file. */
    signal(number, SIG_DFL);
    printf("CRASH: signal %d at host address %llx touching %p\n", number,
           (unsigned long long)context->uc_mcontext.gregs[REG_RIP], info->si_addr);
    if (current_case)
        insn_report(current_case, &current_case->in, current_case->expected_data, stdout);
    fflush(stdout);
    raise(number);
}

__attribute__((no_stack_protector)) static void handle(int number, siginfo_t *info, void *opaque)
{
    uint64_t fs = translator_signal_enter();

    look(number, info, opaque);
    translator_signal_leave(fs);
}

void insn_signals_case(const struct insn_case *c)
{
    current_case = c;
}

void insn_signals_begin(struct vcpu *v)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    stack_t alternate = {.ss_size = STACK};
    unsigned i;

    if (!stack)
        stack = malloc(STACK);
    alternate.ss_sp = stack;
    current = v;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, TRANSLATOR_SIGNAL);
    sigaltstack(&alternate, &old_stack);
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, &old_action[i]);
}

void insn_signals_end(void)
{
    unsigned i;

    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &old_action[i], NULL);
    sigaltstack(&old_stack, NULL);
}
