/*
 * monitor.c - the monitor of a running novt, from outside: on a socket, on a terminal behind Ctrl-A C, on a pipe
 * and on a pseudo-terminal; and clients that misbehave.
 *
 * usage: monitor NOVT ENGINE. Prints TAP. The guest counts in R12, copies that to R13, and echoes what is typed on
 * its serial line: so what the monitor shows can be compared with what must be, and a guest that stands still is
 * found out.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/vmm/images.h"

#define CODE_AT (1536 + 0x200)
#define PATIENCE_MS 10000

/* 1000200: inc r12; 1000203: mov r13, r12; 1000206: mov dx, 0x3fd; in al, dx; test al, 1; jz 1000200;
   mov dx, 0x3f8; in al, dx; out dx, al; jmp 1000200 */
static const char guest_code[] = "\x49\xff\xc4"
                                 "\x4d\x89\xe5"
                                 "\x66\xba\xfd\x03"
                                 "\xec\xa8\x01\x74\xf1"
                                 "\x66\xba\xf8\x03"
                                 "\xec\xee\xeb\xe9";

/* A stream that is talked to: what has come is kept until it is matched. */
struct stream {
    int in, out;
    char text[1 << 20];
    size_t used;
};

struct novt {
    pid_t pid;
    struct stream console; /* its terminal, or pipes */
    int errors;
    char socket[64];
};

static const char *program, *engine;
static char kernel[32];
static unsigned number;
static struct novt novt;
static struct stream client;

static void result(bool ok, const char *name)
{
    printf("%sok %u - %s: %s\n", ok ? "" : "not ", ++number, engine, name);
    if (!ok)
        printf("# monitor: '%.1500s' console: '%.500s'\n", client.text, novt.console.text);
    fflush(stdout);
}

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- streams --- */

/* False at the end. */
static bool read_more(struct stream *s, int ms)
{
    struct pollfd p = {.fd = s->in, .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, ms) <= 0)
        return true;
    if (s->used > sizeof s->text / 2)
        s->used = 0;
    n = read(s->in, s->text + s->used, sizeof s->text - 1 - s->used);
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n; i++)
        if (!s->text[s->used + (size_t)i])
            s->text[s->used + (size_t)i] = ' ';
    s->used += (size_t)n;
    s->text[s->used] = '\0';
    return true;
}

/* Waits for the words; what came up to them is forgotten. */
static bool expect(struct stream *s, const char *words)
{
    long end = now_ms() + PATIENCE_MS;

    for (;;) {
        char *found = strstr(s->text, words);

        if (found) {
            found += strlen(words);
            s->used -= (size_t)(found - s->text);
            memmove(s->text, found, s->used + 1);
            return true;
        }
        if (now_ms() > end || !read_more(s, 100))
            return false;
    }
}

static void send_bytes(struct stream *s, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        ssize_t n = write(s->out, at, size);

        if (n <= 0)
            return;
        at += n;
        size -= (size_t)n;
    }
}

static void send_text(struct stream *s, const char *text)
{
    send_bytes(s, text, strlen(text));
}

/* A command, and what its answer begins with or has on its way to the next prompt. */
static bool ask(struct stream *s, const char *line, const char *words)
{
    send_text(s, line);
    send_text(s, "\n");
    return expect(s, words) && expect(s, "(novt) ");
}

static unsigned long long ask_number(struct stream *s, const char *line)
{
    unsigned long long value;

    send_text(s, line);
    send_text(s, "\n");
    if (!expect(s, "0x"))
        return 0;
    while (!strchr(s->text, '\n') && read_more(s, 100))
        continue;
    value = strtoull(s->text, NULL, 16);
    expect(s, "(novt) ");
    return value;
}

/* --- novt --- */

static void write_kernel(void)
{
    uint8_t image[IMAGE_BZIMAGE_SIZE];
    int fd;

    image_make_bzimage(image);
    memcpy(image + CODE_AT, guest_code, sizeof guest_code - 1);
    strcpy(kernel, "/tmp/novt-test-XXXXXX");
    fd = mkstemp(kernel);
    if (fd < 0 || write(fd, image, sizeof image) != (ssize_t)sizeof image)
        exit(1);
    close(fd);
}

static void run_child(const char **argv, int in, int out, int errors)
{
    setsid();
    dup2(in, 0);
    dup2(out, 1);
    dup2(errors, 2);
    closefrom(3);
    execv(program, (char *const *)(void *)argv);
    _exit(127);
}

/* So that what comes back is what novt and the guest write. */
static void make_raw(int terminal)
{
    struct termios t;

    tcgetattr(terminal, &t);
    cfmakeraw(&t);
    tcsetattr(terminal, TCSANOW, &t);
}

/* Options end with NULL. terminal: on a pseudo-terminal, else on pipes. */
static void start(bool terminal, ...)
{
    const char *argv[24] = {program, "-accel", engine, "-m", "20", "-kernel", kernel};
    int in[2], out[2], errors[2], n = 7;
    va_list ap;

    va_start(ap, terminal);
    while (n < 23 && (argv[n] = va_arg(ap, const char *)))
        n++;
    va_end(ap);
    novt.console.used = 0;
    novt.console.text[0] = '\0';
    if (pipe(errors) || pipe(in) || pipe(out))
        exit(1);
    if (terminal) {
        novt.console.in = novt.console.out = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        grantpt(novt.console.in);
        unlockpt(novt.console.in);
        in[0] = out[1] = open(ptsname(novt.console.in), O_RDWR | O_NOCTTY);
        make_raw(in[0]);
    } else {
        novt.console.in = out[0];
        novt.console.out = in[1];
    }
    fflush(stdout);
    novt.pid = fork();
    if (novt.pid == 0)
        run_child(argv, in[0], out[1], errors[1]);
    close(errors[1]);
    close(in[0]);
    close(out[1]);
    novt.errors = errors[0];
}

/* The exit status, or -1. */
static int wait_for_end(void)
{
    long end = now_ms() + PATIENCE_MS;
    int status;

    while (waitpid(novt.pid, &status, WNOHANG) == 0) {
        if (now_ms() > end) {
            kill(novt.pid, SIGKILL);
            waitpid(novt.pid, &status, 0);
            break;
        }
        read_more(&novt.console, 10);
    }
    close(novt.errors);
    close(novt.console.in);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    long end = now_ms() + PATIENCE_MS;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, novt.socket);
    while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        if (now_ms() > end)
            return false;
        usleep(2000);
    }
    client.in = client.out = fd;
    client.used = 0;
    client.text[0] = '\0';
    return true;
}

static bool greet(void)
{
    return connect_client() && expect(&client, "monitor - type 'help' for more information\n(novt) ");
}

static void disconnect(void)
{
    close(client.in);
}

/* The guest is running: it answers at its console. */
static bool guest_echoes(char key)
{
    char words[2] = {key, 0};

    send_text(&novt.console, words);
    return expect(&novt.console, words);
}

/* --- on a socket --- */

static void check_state(void)
{
    unsigned long long rip, r12, r13;

    result(ask(&client, "stop", "") && ask(&client, "info status", "VM status: paused"), "stop");
    rip = ask_number(&client, "p $rip");
    r12 = ask_number(&client, "p $r12");
    r13 = ask_number(&client, "p $r13");
    result(rip >= 0x1000200 && rip < 0x1000217 && r12 && r13 + (rip == 0x1000203) == r12,
           "registers are the guest's");
    result(ask(&client, "x/xw 0x1000200", ": 0x4dc4ff49") && ask(&client, "xp/2xb 0x1000200", ": 0x49 0xff"),
           "memory is the guest's");
    result(ask(&client, "x/i 0x1000203", "mov r13, r12"), "code is the guest's");
}

static void check_breakpoints(void)
{
    unsigned long long first, second;

    result(ask(&client, "break 0x1000203", "Breakpoint 1 at 0x1000203"), "break");
    send_text(&client, "cont\n");
    result(expect(&client, "Breakpoint 1 at 0x1000203\n(novt) "), "the breakpoint is hit, and told of");
    first = ask_number(&client, "p $r12");
    send_text(&client, "c\n");
    expect(&client, "Breakpoint 1 at 0x1000203\n(novt) ");
    second = ask_number(&client, "p $r12");
    result(first && second == first + 1 && ask_number(&client, "p $r13") == first, "once in each round");
    result(ask(&client, "step", "mov dx, 0x3fd") && ask_number(&client, "p $r13") == second, "step");
    result(ask(&client, "step 4", "inc r12"), "step 4");
    result(ask(&client, "delete 1", "") && ask(&client, "c", "") && ask(&client, "info status", "running") &&
               guest_echoes('b'),
           "without it the guest goes on");
}

static void check_hostile_lines(void)
{
    static char bytes[200000];

    memset(bytes, 'x', 100000);
    send_bytes(&client, bytes, 100000);
    result(ask(&client, "", "too long") && ask(&client, "info status", "running"), "a line of 100000 characters");
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7919 >> 3);
    bytes[sizeof bytes - 1] = '\n';
    send_bytes(&client, bytes, sizeof bytes);
    result(ask(&client, "p 0x1234+1", "0x1235"), "all kinds of bytes");
    send_text(&client, "qu");
    disconnect();
    result(greet() && ask(&client, "it", "unknown command: 'it'"), "half a line is dropped with its client");
    disconnect();
}

static void check_many_clients(void)
{
    bool ok = true;

    for (unsigned i = 0; i < 1000 && ok; i++) {
        ok = connect_client();
        if (i % 3 == 0)
            send_text(&client, "info status\n");
        disconnect();
    }
    result(ok && greet() && ask(&client, "info status", "running"), "1000 clients that come and go");
    disconnect();
}

/* Reads nothing: the guest and novt do not wait for it. */
static void check_dead_client(void)
{
    greet();
    for (unsigned i = 0; i < 200; i++)
        send_text(&client, "info irq\n");
    usleep(200000);
    result(guest_echoes('d'), "a client that does not read does not hold up the guest");
    disconnect();
}

/* As `echo info status | socat - UNIX:...`. */
static void check_half_closed(void)
{
    bool ok = connect_client();

    send_text(&client, "info status\ninfo version\n");
    shutdown(client.out, SHUT_WR);
    ok &= expect(&client, "VM status: running\n(novt) ") && expect(&client, "\n(novt) ");
    while (ok && read_more(&client, PATIENCE_MS))
        continue;
    result(ok, "a client that only asks gets its answers, and the end");
    disconnect();
}

static void try_socket(void)
{
    char spec[128];

    snprintf(novt.socket, sizeof novt.socket, "/tmp/novt-test-%d", (int)getpid());
    snprintf(spec, sizeof spec, "unix:%s,server,nowait", novt.socket);
    start(true, "-monitor", spec, NULL);
    result(greet() && guest_echoes('a'), "socket: greeting");
    check_state();
    check_breakpoints();
    check_hostile_lines();
    check_many_clients();
    check_dead_client();
    check_half_closed();
    greet();
    send_text(&client, "quit\n");
    result(wait_for_end() == 0 && access(novt.socket, F_OK) < 0, "quit");
    disconnect();
}

/* --- elsewhere --- */

static void try_keys(void)
{
    struct stream *s = &novt.console;

    start(true, "-nographic", NULL);
    result(guest_echoes('a'), "Ctrl-A C: the console first");
    send_text(s, "\001c");
    result(expect(s, "(novt) "), "then the monitor");
    send_text(s, "info stat\t\tus\r");
    result(expect(s, "stats  status") && expect(s, "VM status: running"), "completion");
    send_text(s, "p $r1\t2\r");
    result(expect(s, "r10d  r11") && expect(s, "0x"), "completion of registers");
    send_text(s, "\033[A\033[A\r");
    result(expect(s, "VM status: running"), "history");
    send_text(s, "\004\r");
    result(expect(s, "(novt) ") && expect(s, "(novt) "), "Ctrl-D is no end");
    send_text(s, "\001c");
    usleep(100000);
    result(guest_echoes('k') && guest_echoes('~'), "and the console again");
    send_text(s, "\001c");
    result(expect(s, "(novt) "), "and the monitor again");
    send_text(s, "quit\r");
    result(wait_for_end() == 0, "quit from there");
}

static void try_pipe(void)
{
    start(false, "-monitor", "stdio", "-serial", "none", NULL);
    send_text(&novt.console, "info status\nstop\ninfo status\n");
    result(expect(&novt.console, "VM status: running\n") && expect(&novt.console, "VM status: paused\n"),
           "-monitor stdio on pipes");
    close(novt.console.out);
    usleep(100000);
    result(waitpid(novt.pid, NULL, WNOHANG) == 0, "the end of its input does not end the guest");
    kill(novt.pid, SIGTERM);
    result(wait_for_end() == 0, "SIGTERM does");
}

static void try_pty(void)
{
    char line[256] = "", *name;
    ssize_t n;

    start(false, "-monitor", "pty", "-serial", "none", NULL);
    n = read(novt.errors, line, sizeof line - 1);
    name = n > 0 ? strstr(line, "/dev/pts/") : NULL;
    if (!name) {
        result(false, "-monitor pty: its name");
        return;
    }
    name[strcspn(name, " \n")] = '\0';
    client.in = client.out = open(name, O_RDWR | O_NOCTTY);
    client.used = 0;
    client.text[0] = '\0';
    send_text(&client, "info version\r");
    result(expect(&client, "(novt) ") && expect(&client, "0.1.0\r\n"), "-monitor pty");
    disconnect();
    client.in = client.out = open(name, O_RDWR | O_NOCTTY);
    send_text(&client, "quit\r");
    result(wait_for_end() == 0, "quit from a second opening of it");
    disconnect();
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: monitor NOVT ENGINE\n");
        return 2;
    }
    program = argv[1];
    engine = argv[2];
    signal(SIGPIPE, SIG_IGN);
    write_kernel();
    try_socket();
    try_keys();
    try_pipe();
    try_pty();
    unlink(kernel);
    printf("1..%u\n", number);
    return 0;
}
