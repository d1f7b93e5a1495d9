/*
 * refuse.c - runs a program where one of the host's calls is not permitted, as in a container.
 *
 * usage: refuse ptrace|fork|seccomp PROGRAM [ARGUMENT...]
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The call is refused if its first argument passes the test. */
static const struct refusal {
    const char *name;
    unsigned call;
    unsigned short test; /* BPF_JEQ or BPF_JSET ... */
    unsigned value;
    unsigned char refused[2]; /* ... and whether it then goes on to the refusal: skip when true, when false */
    int error;
} refusals[] = {
    {"ptrace", SYS_ptrace, BPF_JEQ, 0, {0, 1}, EPERM}, /* PTRACE_TRACEME */
    {"fork", SYS_clone, BPF_JSET, CLONE_THREAD, {1, 0}, EAGAIN},
    {"seccomp", SYS_prctl, BPF_JEQ, PR_SET_SECCOMP, {0, 1}, EINVAL},
};

static int install(const struct refusal *r)
{
    struct sock_filter rows[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | r->test | BPF_K, r->value, r->refused[0], r->refused[1]),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)r->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof rows / sizeof rows[0], .filter = rows};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; argc > 2 && i < sizeof refusals / sizeof refusals[0]; i++)
        if (!strcmp(argv[1], refusals[i].name) && !install(&refusals[i])) {
            execv(argv[2], argv + 2);
            perror(argv[2]);
            return 2;
        }
    fprintf(stderr, "usage: refuse ptrace|fork|seccomp PROGRAM [ARGUMENT...]\n");
    return 2;
}
