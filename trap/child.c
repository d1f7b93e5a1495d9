/*
 * child.c - a child process as its tracer sees it: start, run, system calls in its name, end.
 *
 * Interface: internal.h. All of it belongs to one thread, the vCPU's: to ptrace the thread that forked is the
 * tracer. Invariant: between calls the child is stopped, or pid is 0.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap/internal.h"

static int wait_for(struct child *c, int *status)
{
    pid_t got;

    do
        got = waitpid(c->pid, status, __WALL);
    while (got < 0 && errno == EINTR);
    if (got == c->pid && WIFSTOPPED(*status))
        return 0;
    if (got != c->pid)
        *status = 0;
    c->pid = 0;
    return -ESRCH;
}

static int trace(int request, const struct child *c, void *data)
{
    return ptrace(request, c->pid, NULL, data) ? -ESRCH : 0;
}

int child_run(struct child *c, int request, int *status)
{
    *status = 0;
    if (trace(PTRACE_SETREGS, c, &c->regs) || trace(request, c, NULL) || wait_for(c, status))
        return -ESRCH;
    return trace(PTRACE_GETREGS, c, &c->regs);
}

static struct child_registers call_registers(long number, const uint64_t a[6])
{
    return (struct child_registers){.rax = (uint64_t)number,
                                    .orig_rax = ~0ull,
                                    .rdi = a[0],
                                    .rsi = a[1],
                                    .rdx = a[2],
                                    .r10 = a[3],
                                    .r8 = a[4],
                                    .r9 = a[5],
                                    .rip = STUB_SYSCALL,
                                    .eflags = 2,
                                    .cs = HOST_CS64,
                                    .ss = HOST_DS};
}

/* Signals that are not the stub's INT3 may come in between: a kick, or somebody else's. They are dropped; who
   kicks has set a flag that is looked at later. */
long child_call(struct child *c, long number, const uint64_t arguments[6])
{
    struct child_registers regs = call_registers(number, arguments);
    int status;

    if (trace(PTRACE_SETREGS, c, &regs))
        return -ESRCH;
    do {
        if (trace(PTRACE_CONT, c, NULL) || wait_for(c, &status) || trace(PTRACE_GETREGS, c, &regs))
            return -ESRCH;
    } while (regs.rip != STUB_SYSCALL + 3);
    return (long)regs.rax;
}

/* Everything but the stub goes. */
static bool empty(struct child *c)
{
    const uint64_t below[6] = {0, STUB_PAGE}; /* there is nothing above */

    return child_call(c, SYS_munmap, below) == 0;
}

static int refused(int code, struct error *error)
{
    int number = code & ~CHILD_TRACED;

    if (code & CHILD_TRACED)
        return error_set(error, number ? number : EIO,
                         "-accel trap: a child process cannot be prepared: %s; allow seccomp filters and 64-bit "
                         "mappings, or use -accel bt",
                         strerror(number));
    return error_set(
        error, number ? number : EPERM,
        "-accel trap: ptrace is not permitted here: %s; allow it (sysctl kernel.yama.ptrace_scope=1, a "
        "container's seccomp profile), or use -accel bt",
        strerror(number));
}

int child_start(struct child *c, int ram_fd, struct error *error)
{
    pid_t parent = getpid();
    int status;

    c->pid = fork();
    if (c->pid < 0) {
        c->pid = 0;
        return error_set(error, errno,
                         "-accel trap: cannot start a process: %s; raise the limit of processes (ulimit -u)",
                         strerror(errno));
    }
    if (!c->pid)
        child_become_guest(ram_fd, parent);
    if (wait_for(c, &status))
        return refused(WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_TRACED, error);
    if (trace(PTRACE_SETOPTIONS, c, (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)) || !empty(c))
        return refused(CHILD_TRACED | EIO, error);
    c->pidfd = pidfd_open(c->pid, 0);
    if (c->pidfd < 0)
        return error_set(error, errno, "-accel trap: no file descriptor for a process: %s; raise ulimit -n",
                         strerror(errno));
    return 0;
}

void child_kill(struct child *c)
{
    struct rusage usage;

    if (!c->pid)
        return;
    kill(c->pid, SIGKILL);
    if (wait4(c->pid, NULL, __WALL, &usage) == c->pid)
        c->user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000 + (uint64_t)usage.ru_utime.tv_usec;
    c->pid = 0;
}

void child_end(struct child *c)
{
    child_kill(c);
    if (c->pidfd >= 0)
        close(c->pidfd);
    c->pidfd = -1;
}
