/*
 * walls.c - what keeps guest code in its process: each of the walls by itself.
 */
#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory/ram.h"
#include "trap/internal.h"

#define CODE 0x10000000ull

static struct ram ram;
static struct child child = {.pidfd = -1};

static void start(void)
{
    struct error error = {"?"};

    cr_assert_eq(ram_create(&ram, 1 << 20, &error), 0, "%s", error.text);
    cr_assert_eq(child_start(&child, ram.fd, &error), 0, "%s", error.text);
}

static void end(void)
{
    child_end(&child);
    ram_destroy(&ram);
}

/* Puts code into the child, with RIP there; CS of 64-bit code. */
static void load(const void *code, size_t size)
{
    const uint64_t arguments[6] = {
        CODE, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, (uint64_t)ram.fd, 0};

    memcpy(ram.host, code, size);
    cr_assert_eq(child_call(&child, SYS_mmap, arguments), (long)CODE);
    child.regs =
        (struct child_registers){.rip = CODE, .orig_rax = ~0ull, .eflags = 2, .cs = HOST_CS64, .ss = HOST_DS};
}

static int run(int request)
{
    int status;

    cr_assert_eq(child_run(&child, request, &status), 0);
    return WSTOPSIG(status);
}

Test(walls, nothing_is_mapped_but_the_stub, .init = start, .fini = end)
{
    char path[64], line[256];
    unsigned stubs = 0, others = 0;
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%d/maps", child.pid);
    maps = fopen(path, "re");
    cr_assert(maps);
    while (fgets(line, sizeof line, maps)) {
        if (!strncmp(line, "7fffffffe000-7ffffffff000 r-xp", 30))
            stubs++;
        else if (!strstr(line, "[vsyscall]")) /* of the host's kernel, in every process */
            others++;
    }
    fclose(maps);
    cr_assert_eq(stubs, 1);
    cr_assert_eq(others, 0);
}

Test(walls, no_file_is_open_but_guest_ram, .init = start, .fini = end)
{
    unsigned good = 0, others = 0;
    struct dirent *entry;
    char path[64];
    DIR *files;

    snprintf(path, sizeof path, "/proc/%d/fd", child.pid);
    files = opendir(path);
    cr_assert(files);
    while ((entry = readdir(files)))
        if (entry->d_name[0] != '.')
            *(atoi(entry->d_name) == ram.fd ? &good : &others) += 1;
    closedir(files);
    cr_assert_eq(good, 1);
    cr_assert_eq(others, 0);
}

static const uint8_t getpid_64[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xcc}; /* mov $39, %eax; syscall; int3 */
static const uint8_t getpid_32[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcc}; /* mov $20, %eax; int $0x80; int3 */
static const uint8_t to_stub[] = {0xb8, 39, 0, 0, 0, 0xff, 0xe7};         /* mov $39, %eax; jmp *%rdi */
static const uint8_t unmap[] = {0xb8, 11, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05, 0xcc}; /* munmap(0, rsi) */

Test(walls, the_tracer_lets_no_system_call_through, .init = start, .fini = end)
{
    load(getpid_64, sizeof getpid_64);
    cr_assert_eq(run(PTRACE_SYSEMU), SIGTRAP | 0x80);
    cr_assert_eq(child.regs.orig_rax, 39);
    cr_assert_eq(run(PTRACE_SYSEMU), SIGTRAP, "and goes on behind it");
    cr_assert_neq(child.regs.rax, (uint64_t)child.pid);
    load(getpid_32, sizeof getpid_32);
    cr_assert_neq(run(PTRACE_SYSEMU), SIGSYS);
    cr_assert_neq(child.regs.rax, (uint64_t)child.pid);
}

Test(walls, nor_does_the_filter, .init = start, .fini = end)
{
    load(getpid_64, sizeof getpid_64);
    cr_assert_eq(run(PTRACE_CONT), SIGSYS);
    load(unmap, sizeof unmap);
    child.regs.rsi = STUB_PAGE;
    cr_assert_eq(run(PTRACE_CONT), SIGSYS, "not even munmap, from anywhere but the stub");
    cr_assert_eq(run(PTRACE_CONT), SIGTRAP, "the code is still there");
}

Test(walls, nor_by_way_of_the_stub, .init = start, .fini = end)
{
    load(to_stub, sizeof to_stub);
    child.regs.rdi = STUB_SYSCALL;
    cr_assert_eq(run(PTRACE_SYSEMU), SIGTRAP | 0x80);
    load(to_stub, sizeof to_stub);
    child.regs.rdi = STUB_SYSCALL;
    cr_assert_eq(run(PTRACE_CONT), SIGSYS);
    for (uint64_t at = 0; at < PAGE_SIZE; at += 97) {
        child.regs = (struct child_registers){
            .rip = STUB_PAGE + at, .orig_rax = ~0ull, .eflags = 2, .cs = HOST_CS64, .ss = HOST_DS};
        cr_assert_eq(run(PTRACE_SYSEMU), SIGTRAP);
    }
}

Test(walls, the_stub_does_only_what_the_tracer_needs, .init = start, .fini = end)
{
    const uint64_t none[6] = {0};

    cr_assert_neq(child_call(&child, SYS_getpid, none), child.pid);
    cr_assert_eq(child_call(&child, SYS_munmap, none), -EINVAL, "which is munmap's own");
}

Test(walls, a_dead_child_is_noticed, .init = start, .fini = end)
{
    const uint64_t none[6] = {0};

    kill(child.pid, SIGKILL);
    cr_assert_eq(child_call(&child, SYS_munmap, none), -ESRCH);
    child_kill(&child);
    cr_assert_eq(child.pid, 0);
}

Test(walls, it_dies_with_its_tracer)
{
    int pipe_ends[2], status;
    pid_t parent, pid = 0;

    cr_assert_eq(pipe(pipe_ends), 0);
    parent = fork();
    if (!parent) {
        start();
        status = (int)write(pipe_ends[1], &child.pid, sizeof child.pid);
        raise(SIGKILL);
    }
    cr_assert_eq(read(pipe_ends[0], &pid, sizeof pid), (ssize_t)sizeof pid);
    waitpid(parent, &status, 0);
    for (unsigned i = 0; i < 2000 && !kill(pid, 0); i++) {
        char path[64], state = 'Z';
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/stat",
                 pid); /* whoever has inherited it may not have waited for it */
        file = fopen(path, "re");
        if (file && fscanf(file, "%*d %*s %c", &state) != 1)
            state = 'Z';
        if (file)
            fclose(file);
        if (state == 'Z')
            return;
        usleep(1000);
    }
    cr_assert(kill(pid, 0) && errno == ESRCH);
}
