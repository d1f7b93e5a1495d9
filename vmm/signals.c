/*
 * signals.c - the host's synchronous signals: fixups of native stubs, else a crash with a report.
 *
 * Interface: signals.h. Order of the chain: the translator (it knows its own code), the interpreter's native
 * stubs, and then it is a bug of ours: print what a developer needs, give the terminal back, die of the signal.
 * Invariant: on the way to a fixup nothing locks, allocates or touches anything but the thread's vCPU.
 */
#include "vmm/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "cpu/native.h"
#include "translator/dump.h"
#include "translator/translator.h"
#include "vmm/aftermath.h"
#include "vmm/report.h"
#include "vmm/terminal.h"

#define SIGNAL_STACK (64u << 10)

/* The handler has no other way to find the machine whose vCPU the thread that it interrupts runs. */
static _Thread_local struct machine *current;
static _Thread_local void *stack;

static void put(const char *text, size_t size)
{
    while (size) {
        ssize_t n = write(STDERR_FILENO, text, size);

        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void put_host(int number, const siginfo_t *info, const ucontext_t *context)
{
    static const struct {
        const char *name;
        int index;
    } registers[] = {{"rax", REG_RAX}, {"rbx", REG_RBX}, {"rcx", REG_RCX}, {"rdx", REG_RDX}, {"rsi", REG_RSI},
                     {"rdi", REG_RDI}, {"rbp", REG_RBP}, {"rsp", REG_RSP}, {"r8", REG_R8},   {"r9", REG_R9},
                     {"r10", REG_R10}, {"r11", REG_R11}, {"r12", REG_R12}, {"r13", REG_R13}, {"r14", REG_R14},
                     {"r15", REG_R15}, {"rip", REG_RIP}, {"efl", REG_EFL}};
    char text[2048];
    int used;

    used = snprintf(text, sizeof text, "\nnovt: a bug of novt's: %s at host address %p, touching %p\nhost:\n",
                    strsignal(number), (void *)context->uc_mcontext.gregs[REG_RIP], info->si_addr);
    for (unsigned i = 0; i < sizeof registers / sizeof registers[0]; i++)
        used +=
            snprintf(text + used, sizeof text - (size_t)used, "%s=%016llx%c", registers[i].name,
                     (unsigned long long)context->uc_mcontext.gregs[registers[i].index], i % 4 == 3 ? '\n' : ' ');
    used += snprintf(text + used, sizeof text - (size_t)used, "\n");
    put(text, (size_t)used);
}

/* Of the block in whose translation it has happened. Allocates, so it comes last: a crash in here loses nothing
 * else. */
static void put_code(const struct machine *m, intptr_t at)
{
    struct translator_made made;
    char name[TRACER_NAME];

    if (!translator_find_code(m->vcpu, at, &made))
        return;
    fprintf(stderr, "novt: it was in the translation of the guest's code at %016" PRIx64 "%s:\n", made.linear,
            tracer_name(&m->tracer, made.linear, name));
    if (made.guest)
        dump_code(stderr, made.guest, made.guest_size, made.linear, tracer_bits(made.mode));
    fprintf(stderr, "host code:\n");
    dump_code(stderr, made.hot, made.hot_size, (uintptr_t)made.hot, 64);
    fprintf(stderr, "seldom run:\n");
    dump_code(stderr, made.cold, made.cold_size, (uintptr_t)made.cold, 64);
}

static void crash(int number, const siginfo_t *info, const ucontext_t *context)
{
    static const char advice[] =
        "novt: please report this with the lines above. The same command with -accel interp tells whether\n"
        "novt: translation is at fault; with -d int,exec,ring=64K the last lines before this are below.\n";
    char text[REPORT_SIZE], more[AFTERMATH_SIZE];

    terminal_restore();
    put_host(number, info, context);
    if (current) {
        put("guest:\n", 7);
        put(text, report_vcpu(current->vcpu, text, sizeof text));
        put(more, aftermath_events(current, more, sizeof more));
    }
    put(more, aftermath_command(more, sizeof more));
    put(advice, sizeof advice - 1);
    if (!current)
        return;
    log_dump_crashed(&current->log);
    put_code(current, context->uc_mcontext.gregs[REG_RIP]);
}

static bool is_claimed(int number, siginfo_t *info, void *context)
{
    if (info->si_code <= 0 && number != TRANSLATOR_SIGNAL) /* by kill(): no fault of an instruction */
        return false;
    if (translator_handle_signal(number, info, context))
        return true;
    return cpu_native_fixup(current->vcpu, number, context);
}

static void handle_in_thread(int number, siginfo_t *info, void *context)
{
    struct sigaction fallback = {.sa_handler = SIG_DFL};
    int saved = errno;

    if ((current && number != SIGABRT && is_claimed(number, info, context)) || number == TRANSLATOR_SIGNAL) {
        errno = saved;
        return;
    }
    /* A crash while reporting dies at once. */
    sigaction(number, &fallback, NULL);
    crash(number, info, context);
    raise(number);
}

__attribute__((no_stack_protector)) static void handle(int number, siginfo_t *info, void *context)
{
    uint64_t fs = translator_signal_enter();

    handle_in_thread(number, info, context);
    translator_signal_leave(fs);
}

void signals_install(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, TRANSLATOR_SIGNAL};
    struct sigaction action = {.sa_sigaction = handle,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, TRANSLATOR_SIGNAL);
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int signals_enter(struct machine *machine, struct error *error)
{
    stack_t alternate = {.ss_size = SIGNAL_STACK};

    stack = mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return error_set(error, ENOMEM, "no memory for a signal stack of %u bytes; close other programs",
                         SIGNAL_STACK);
    alternate.ss_sp = stack;
    sigaltstack(&alternate, NULL);
    current = machine;
    return 0;
}

void signals_leave(void)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    current = NULL;
    sigaltstack(&none, NULL);
    munmap(stack, SIGNAL_STACK);
}
