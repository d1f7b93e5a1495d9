/*
 * ways_out.c - every way in which novt can end, on a terminal: exit status, what it says, and that the terminal is
 * as it was before.
 *
 * usage: ways_out NOVT ENGINE. Prints TAP. The guests are a few bytes of 64-bit code in the synthetic bzImage of
 * the unit tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/vmm/images.h"

#define CODE_AT (1536 + 0x200)
#define CODE(bytes) bytes, sizeof(bytes) - 1

struct way {
    const char *name;
    const char *code;
    size_t code_size;
    const char *options[5];
    const char *wait_for; /* on the console before anything is sent */
    const char *keys;     /* typed then */
    int signal;           /* or sent then */
    int status;           /* expected exit status; negative: the signal it dies of */
    const char *output;   /* expected on the console; when that was seen, Ctrl-A X is typed */
    const char *message;  /* expected on stderr */
    unsigned idle_ms;     /* let it run that long first, and expect hardly any CPU time */
};

/* mov dx, 0x3f8; mov al, 'A'; out dx, al */
#define SAY_A                                                                                                     \
    "\x66\xba\xf8\x03\xb0"                                                                                        \
    "A"                                                                                                           \
    "\xee"
#define HANG "\xeb\xfe"
#define HALT "\xfa\xf4\xeb\xfd"
/* Polls the UART and echoes. */
#define ECHO_LOOP "\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x66\xba\xf8\x03\xec\xee\xeb\xef"

static const struct way way_table[] = {
    {"Ctrl-A X", CODE(SAY_A HANG), {NULL}, "A", "\001x", 0, 0, NULL, NULL, 0},
    {"Ctrl-A X while halted", CODE(SAY_A HALT), {NULL}, "A", "\001x", 0, 0, NULL, NULL, 0},
    {"Ctrl-C goes to the guest", CODE(SAY_A ECHO_LOOP), {"-nographic"}, "A", "\003\001x", 0, 0, NULL, NULL, 0},
    {"help and monitor keys", CODE(SAY_A ECHO_LOOP), {NULL}, "A", "\001h\001c", 0, 0, "print this help", NULL, 0},
    {"keys reach the guest", CODE(SAY_A ECHO_LOOP), {NULL}, "A", "hi\001\001you", 0, 0, "hi\001you", NULL, 0},
    {"SIGTERM", CODE(SAY_A HANG), {NULL}, "A", NULL, SIGTERM, 0, NULL, "terminating on signal 15", 0},
    {"SIGINT while halted", CODE(SAY_A HALT), {NULL}, "A", NULL, SIGINT, 0, NULL, "terminating on signal 2", 0},
    {"SIGHUP", CODE(SAY_A HANG), {NULL}, "A", NULL, SIGHUP, 0, NULL, "terminating on signal 1", 0},
    {"Ctrl-C with -serial stdio",
     CODE(SAY_A HANG),
     {"-serial", "stdio"},
     "A",
     "\003",
     0,
     0,
     NULL,
     "terminating on signal 2",
     0},
    {"a crash of novt's", CODE(SAY_A HANG), {NULL}, "A", NULL, SIGSEGV, -SIGSEGV, NULL, "a bug of novt's", 0},
    {"triple fault, -no-reboot",
     CODE("\x0f\x0b"),
     {"-no-reboot"},
     NULL,
     NULL,
     0,
     0,
     NULL,
     "RIP=0000000001000200",
     0},
    {"page tables where there is no RAM",
     CODE("\xb8\x00\x00\x00\x80\x0f\x22\xd8" HANG),
     {"-no-reboot"},
     NULL,
     NULL,
     0,
     0,
     NULL,
     "CR3=0000000080000000",
     0},
    {"code where there is no RAM",
     CODE("\xb8\x00\x00\x00\x7f\xff\xe0"),
     {"-no-reboot"},
     NULL,
     NULL,
     0,
     0,
     NULL,
     "RIP=000000007f000000",
     0},
    {"INIT to itself",
     CODE(SAY_A "\xba\x00\x03\xe0\xfe\xc7\x42\x10\x00\x00\x00\x00\xc7\x02\x00\x45\x00\x00" HANG),
     {NULL},
     "A",
     "\001x",
     0,
     0,
     NULL,
     NULL,
     0},
    {"isa-debug-exit",
     CODE("\xb0\x10\xe6\xf4" HANG),
     {"-device", "isa-debug-exit,iobase=0xf4,iosize=4"},
     NULL,
     NULL,
     0,
     33,
     NULL,
     NULL,
     0},
    {"ACPI power-off",
     CODE("\x66\xba\x04\x06\x66\xb8\x00\x34\x66\xef" HANG),
     {NULL},
     NULL,
     NULL,
     0,
     0,
     NULL,
     NULL,
     0},
    {"i8042 reset, -no-reboot", CODE("\xb0\xfe\xe6\x64" HANG), {"-no-reboot"}, NULL, NULL, 0, 0, NULL, NULL, 0},
    {"port 0x92 reset, -no-reboot",
     CODE("\xb0\x01\xe6\x92" HANG),
     {"-no-reboot"},
     NULL,
     NULL,
     0,
     0,
     NULL,
     NULL,
     0},
    {"port 0xcf9 reset, -no-reboot",
     CODE("\x66\xba\xf9\x0c\xb0\x06\xee" HANG),
     {"-no-reboot"},
     NULL,
     NULL,
     0,
     0,
     NULL,
     NULL,
     0},
    {"reset reboots", CODE(SAY_A "\xb0\xfe\xe6\x64" HANG), {NULL}, "AAA", "\001x", 0, 0, NULL, NULL, 0},
    {"triple fault reboots", CODE(SAY_A "\x0f\x0b"), {NULL}, "AAA", "\001x", 0, 0, NULL, "triple fault", 0},
    {"an idle guest takes no CPU time", CODE(SAY_A HALT), {NULL}, "A", "\001x", 0, 0, NULL, NULL, 1000},
    {"paused, nothing runs", CODE(SAY_A HANG), {"-S"}, NULL, "\001x", 0, 0, NULL, NULL, 300},
};
#define WAYS (sizeof way_table / sizeof way_table[0])

struct run {
    int terminal, slave, errors; /* errors: read end of stderr */
    bool errors_open;
    pid_t pid;
    char console[8192], messages[16384];
    size_t console_size, messages_size;
};

static const char *write_kernel(const struct way *way)
{
    static char name[32];
    uint8_t image[IMAGE_BZIMAGE_SIZE];
    int fd;

    image_make_bzimage(image);
    memcpy(image + CODE_AT, way->code, way->code_size);
    strcpy(name, "/tmp/novt-test-XXXXXX");
    fd = mkstemp(name);
    if (fd < 0 || write(fd, image, sizeof image) != (ssize_t)sizeof image)
        exit(1);
    close(fd);
    return name;
}

static void start(struct run *r, const struct way *way, const char *novt, const char *engine, const char *kernel)
{
    const char *argv[16] = {novt, "-accel", engine, "-m", "20", "-kernel", kernel};
    int errors[2], n = 7;

    for (unsigned i = 0; i < 5 && way->options[i]; i++)
        argv[n++] = way->options[i];
    if (pipe(errors))
        exit(1);
    fflush(stdout);
    r->pid = fork();
    if (r->pid == 0) {
        setsid();
        dup2(open(ptsname(r->terminal), O_RDWR), 0);
        dup2(0, 1);
        dup2(errors[1], 2);
        closefrom(3);
        execv(novt, (char *const *)(void *)argv);
        _exit(127);
    }
    close(errors[1]);
    r->errors = errors[0];
    r->errors_open = true;
}

static void collect(int fd, char *to, size_t *used, size_t size)
{
    ssize_t n = read(fd, to + *used, size - 1 - *used);

    if (n > 0)
        *used += (size_t)n;
    if (*used >= size - 1)
        *used = size / 2; /* a flood of resets: keep going */
    to[*used] = '\0';
}

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads both streams for so long, or until the console shows `text`. */
static bool pump(struct run *r, const char *text, unsigned ms)
{
    long end = now_ms() + (long)ms;

    while (now_ms() < end) {
        struct pollfd p[2] = {{.fd = r->terminal, .events = POLLIN},
                              {.fd = r->errors_open ? r->errors : -1, .events = POLLIN}};

        if (text && strstr(r->console, text))
            return true;
        if (poll(p, 2, 10) > 0) {
            if (p[0].revents & POLLIN)
                collect(r->terminal, r->console, &r->console_size, sizeof r->console);
            if (p[1].revents & POLLIN)
                collect(r->errors, r->messages, &r->messages_size, sizeof r->messages);
            else if (p[1].revents)
                r->errors_open = false;
        }
    }
    return !text;
}

/* The wait status, or -1 after ten seconds; what it still says is read. */
static int finish(struct run *r, struct rusage *usage)
{
    int status = -1;

    for (unsigned i = 0; i < 1000; i++) {
        pid_t pid = wait4(r->pid, &status, WNOHANG, usage);

        pump(r, NULL, 10);
        if (pid == r->pid) {
            pump(r, NULL, 50);
            return status;
        }
    }
    kill(r->pid, SIGKILL);
    waitpid(r->pid, &status, 0);
    return -1;
}

static const char *judge(const struct way *way, const struct run *r, int status, const struct termios *before,
                         const struct rusage *usage)
{
    static char text[128];
    struct termios after;
    long cpu_ms = (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
                  (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;

    if (status == -1)
        return "did not end";
    if (way->status < 0 ? !WIFSIGNALED(status) || WTERMSIG(status) != -way->status
                        : !WIFEXITED(status) || WEXITSTATUS(status) != way->status) {
        snprintf(text, sizeof text, "wait status 0x%x", (unsigned)status);
        return text;
    }
    if (way->message && !strstr(r->messages, way->message))
        return "stderr does not say what it should";
    /* Starting takes some 20 ms; of the idle second at most 2 % */
    if (way->idle_ms && cpu_ms > 100 + way->idle_ms / 50) {
        snprintf(text, sizeof text, "%ld ms of CPU time in %u ms of idling", cpu_ms, way->idle_ms);
        return text;
    }
    tcgetattr(r->slave, &after);
    if (after.c_iflag != before->c_iflag || after.c_oflag != before->c_oflag || after.c_lflag != before->c_lflag)
        return "the terminal was not restored";
    return NULL;
}

static bool try_way(const struct way *way, unsigned number, const char *novt, const char *engine)
{
    static struct run r;
    const char *kernel = write_kernel(way), *wrong = NULL;
    struct termios before;
    struct rusage usage = {0};
    int status;

    memset(&r, 0, sizeof r);
    r.terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    grantpt(r.terminal);
    unlockpt(r.terminal);
    r.slave = open(ptsname(r.terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    tcgetattr(r.slave, &before);
    start(&r, way, novt, engine, kernel);
    if (way->wait_for && !pump(&r, way->wait_for, 10000))
        wrong = "the guest said nothing";
    pump(&r, NULL, way->idle_ms);
    if (way->keys && write(r.terminal, way->keys, strlen(way->keys)) < 0)
        wrong = "cannot type";
    if (way->output && (!pump(&r, way->output, 5000) || write(r.terminal, "\001x", 2) < 0))
        wrong = "the console does not show what it should";
    if (way->signal)
        kill(r.pid, way->signal);
    status = finish(&r, &usage);
    if (!wrong)
        wrong = judge(way, &r, status, &before, &usage);
    printf("%s %u - %s: %s\n", wrong ? "not ok" : "ok", number, engine, way->name);
    if (wrong)
        printf("# %s; stderr: %.2000s\n", wrong, r.messages);
    close(r.terminal);
    close(r.slave);
    close(r.errors);
    unlink(kernel);
    return !wrong;
}

int main(int argc, char **argv)
{
    bool ok = true;

    if (argc < 3)
        return 1;
    printf("1..%zu\n", WAYS);
    for (unsigned i = 0; i < WAYS; i++)
        ok &= try_way(&way_table[i], i + 1, argv[1], argv[2]);
    return !ok;
}
