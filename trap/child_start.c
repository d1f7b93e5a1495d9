/*
 * child_start.c - the first steps of a child process: from a copy of novt to an empty process that can do nothing.
 *
 * Interface: child_become_guest of internal.h. Three walls, each enough by itself: nothing of novt's is mapped,
 * the tracer lets no system call through (PTRACE_SYSEMU), and a seccomp filter allows only what the tracer itself
 * asks for, mmap and munmap, from the stub page. Order matters: the tracer first, so that nothing of this runs
 * untraced; the filter last.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trap/internal.h"

/* The kernel would go on writing to this thread's rseq area, which will not be there. */
static bool leave_rseq(void)
{
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

    if (!__rseq_size)
        return true;
    return !syscall(SYS_rseq, area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) ||
           !syscall(SYS_rseq, area, sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

/* The first stack's end may lie there; this thread is on another. */
static bool make_stub(void)
{
    static const uint8_t code[] = {0x0f, 0x05};
    uint8_t *page =
        mmap((void *)STUB_PAGE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (page != (void *)STUB_PAGE)
        return false;
    memset(page, 0xcc, PAGE_SIZE);
    memcpy((void *)STUB_SYSCALL, code, sizeof code);
    return !mprotect(page, PAGE_SIZE, PROT_READ | PROT_EXEC);
}

/* What fails gives SIGSYS, which the tracer sees. */
static bool filter_calls(void)
{
    struct sock_filter rows[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 8),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(STUB_PAGE >> 32), 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)STUB_SYSCALL + 2, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {.len = sizeof rows / sizeof rows[0], .filter = rows};

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Every signal reaches the tracer; no file but guest RAM stays open. */
static bool give_up(int ram_fd)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (ram_fd > 0)
        syscall(SYS_close_range, 0u, (unsigned)ram_fd - 1, 0u);
    syscall(SYS_close_range, (unsigned)ram_fd + 1, ~0u, 0u);
    prctl(PR_SET_NAME, "novt-guest");
    return leave_rseq() && make_stub() && filter_calls();
}

_Noreturn void child_become_guest(int ram_fd, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
        _exit(CHILD_TRACED | ESRCH); /* lint: exit */
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(errno); /* lint: exit */
    if (!give_up(ram_fd))
        _exit(CHILD_TRACED | errno); /* lint: exit */
    __asm__ volatile("int3");        /* the tracer takes over, and unmaps this code */
    __builtin_unreachable();
}
