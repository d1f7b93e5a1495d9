/*
 * talk.c - runs a program that has a console and holds a scripted conversation with it.
 *
 * Used by the boot tests, tools/demo --check and bench/: one small program in place of expect(1).
 *
 *   talk [-p] [-l LOG] [-q] [-f SCRIPT] [-e LINE]... -- COMMAND ARGUMENT...
 *     -p  on a pseudo-terminal (else pipes)    -l  copy the output to LOG     -q  do not show the output
 *     -f, -e  where the script comes from, in order
 *
 * A script has one order a line; # begins a comment. TEXT may hold \n \r \t \\ \xHH.
 *   timeout S       of each expect and wait from here on (default 60)
 *   expect TEXT     until TEXT comes, behind what was matched last
 *   refuse TEXT     fail if TEXT ever comes, anywhere
 *   send TEXT       types it
 *   sleep S         reads on meanwhile
 *   idle PCT S      fails if the program uses more than PCT % of one CPU during S seconds
 *   mark NAME       prints NAME, seconds since the start, CPU seconds, and KiB resident besides guest RAM
 *   host COMMAND    runs a command on the host, which must succeed
 *   signal N, eof   sends a signal; closes the program's input
 *   wait STATUS     until the program ends, which must be with this exit status
 *
 * Invariants: the program is dead when talk ends; exit status 0 means that every order was met.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_REFUSED 32
#define MAX_OUTPUT (64u << 20)

struct talk {
    pid_t pid;
    int in, out; /* the program's standard input and output; -1 when closed */
    FILE *log;
    bool quiet, reaped;
    int status;
    char *text; /* all output so far, always ends in 0; other 0 bytes become spaces */
    size_t length, matched, checked;
    double start, last_input, timeout;
    char *refused[MAX_REFUSED];
    unsigned refused_count;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void stop_program(struct talk *t)
{
    if (t->pid > 0 && !t->reaped) {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, &t->status, 0);
        t->reaped = true;
    }
}

__attribute__((noreturn, format(printf, 2, 3))) static void fail(struct talk *t, const char *format, ...)
{
    va_list ap;
    size_t tail = t->length > 3000 ? t->length - 3000 : 0;

    stop_program(t);
    fflush(stdout);
    if (t->quiet && t->length)
        fprintf(stderr, "--- the end of the output:\n%s\n---\n", t->text + tail);
    fprintf(stderr, "talk: after %.1f s: ", now() - t->start);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static void start_program(struct talk *t, char **argv, bool pty)
{
    int in[2], out[2];

    if (pty) {
        t->pid = forkpty(&t->out, NULL, NULL, NULL);
        t->in = t->out;
    } else {
        if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
            fail(t, "pipe: %s", strerror(errno));
        t->pid = fork();
        t->in = in[1];
        t->out = out[0];
    }
    if (t->pid < 0)
        fail(t, "fork: %s", strerror(errno));
    if (t->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!pty) {
            dup2(in[0], 0);
            dup2(out[1], 1);
            dup2(out[1], 2);
        }
        execvp(argv[0], argv);
        fprintf(stderr, "talk: cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (!pty) {
        close(in[0]);
        close(out[1]);
    }
}

static void take_output(struct talk *t, char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!bytes[i])
            bytes[i] = ' ';
    if (t->length + n > MAX_OUTPUT)
        fail(t, "more than %u MiB of output", MAX_OUTPUT >> 20);
    t->text = realloc(t->text, t->length + n + 1);
    if (!t->text)
        abort();
    memcpy(t->text + t->length, bytes, n);
    t->length += n;
    t->text[t->length] = 0;
    t->last_input = now();
    if (t->log) {
        fwrite(bytes, 1, n, t->log);
        fflush(t->log);
    }
    if (!t->quiet) {
        fwrite(bytes, 1, n, stdout);
        fflush(stdout);
    }
}

static void check_refused(struct talk *t)
{
    for (unsigned i = 0; i < t->refused_count; i++) {
        size_t back = strlen(t->refused[i]);
        size_t from = t->checked > back ? t->checked - back : 0;

        if (t->length && strstr(t->text + from, t->refused[i]))
            fail(t, "the output has \"%s\", which it must not", t->refused[i]);
    }
    t->checked = t->length;
}

/* Reads once, waiting at most `seconds`. False when nothing more will come. */
static bool read_output(struct talk *t, double seconds)
{
    struct pollfd p = {.fd = t->out, .events = POLLIN};
    char bytes[65536];
    ssize_t n;

    if (t->out < 0)
        return false;
    if (poll(&p, 1, seconds > 0 ? (int)(seconds * 1000) + 1 : 0) <= 0)
        return true;
    n = read(t->out, bytes, sizeof bytes);
    if (n > 0) {
        take_output(t, bytes, (size_t)n);
        check_refused(t);
        return true;
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (t->in != t->out)
        close(t->out);
    t->out = -1;
    return false;
}

static void order_expect(struct talk *t, const char *text)
{
    double end = now() + t->timeout;

    for (;;) {
        char *found = t->length ? strstr(t->text + t->matched, text) : NULL;

        if (found) {
            t->matched = (size_t)(found - t->text) + strlen(text);
            return;
        }
        if (now() >= end)
            fail(t, "waited %.0f s for \"%s\"", t->timeout, text);
        if (!read_output(t, end - now()))
            fail(t, "the program ended while \"%s\" was awaited", text);
    }
}

static void order_send(struct talk *t, const char *text)
{
    size_t n = strlen(text);

    while (n) {
        ssize_t done = write(t->in, text, n);

        if (done < 0 && errno != EINTR)
            fail(t, "cannot write to the program: %s", strerror(errno));
        if (done > 0) {
            text += done;
            n -= (size_t)done;
        }
    }
}

static void order_sleep(struct talk *t, double seconds)
{
    double end = now() + seconds;

    while (now() < end)
        if (!read_output(t, end - now()))
            usleep(10000);
}

/* CPU seconds of the program so far, all its threads. */
static double cpu_seconds(struct talk *t)
{
    char path[64], line[1024], *rest;
    unsigned long user = 0, system = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)t->pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    if (fgets(line, sizeof line, f) && (rest = strrchr(line, ')')))
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* KiB resident outside of guest RAM, by Pss: what is mapped twice (the code cache is) counts once. RAM is a memfd
   named for it. */
static unsigned long resident_kib(struct talk *t)
{
    char path[64], line[1024];
    unsigned long from, to, kib, sum = 0;
    bool is_ram = false;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps", (int)t->pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
            is_ram = strstr(line, "guest-ram") || strstr(line, "novt-ram");
        else if (!is_ram && sscanf(line, "Pss: %lu kB", &kib) == 1)
            sum += kib;
    }
    fclose(f);
    return sum;
}

static void order_idle(struct talk *t, const char *argument)
{
    double percent, seconds, before, used, begin;

    if (sscanf(argument, "%lf %lf", &percent, &seconds) != 2)
        fail(t, "idle: two numbers are due, not \"%s\"", argument);
    before = cpu_seconds(t);
    begin = now();
    order_sleep(t, seconds);
    used = 100 * (cpu_seconds(t) - before) / (now() - begin);
    printf("%sidle: %.2f %% of a CPU over %.1f s\n", t->quiet ? "" : "\n", used, seconds);
    if (used > percent)
        fail(t, "idle, the program uses %.2f %% of a CPU, more than %.2f %%", used, percent);
}

static void order_mark(struct talk *t, const char *name)
{
    printf("%smark %s wall %.3f cpu %.2f rss_kib %lu\n", t->quiet ? "" : "\n", name, t->last_input - t->start,
           cpu_seconds(t), resident_kib(t));
    fflush(stdout);
}

static void order_wait(struct talk *t, int expected)
{
    double end = now() + t->timeout;

    while (waitpid(t->pid, &t->status, WNOHANG) == 0) {
        if (now() >= end)
            fail(t, "waited %.0f s for the program to end", t->timeout);
        if (!read_output(t, 0.05))
            usleep(10000);
    }
    t->reaped = true;
    for (size_t before = t->length + 1; before != t->length && t->out >= 0;) { /* what is still in the pipe */
        before = t->length;
        read_output(t, 0.01);
    }
    if (WIFSIGNALED(t->status))
        fail(t, "the program died of signal %d (%s)", WTERMSIG(t->status), strsignal(WTERMSIG(t->status)));
    if (WEXITSTATUS(t->status) != expected)
        fail(t, "the program ended with status %d, not %d", WEXITSTATUS(t->status), expected);
}

static void order_host(struct talk *t, const char *command)
{
    int status = system(command);

    if (status)
        fail(t, "the host's \"%s\" ended with %d", command, status);
}

/* Backslash escapes, in place. */
static void unescape(char *s)
{
    char *to = s;
    unsigned hex;

    for (; *s; s++) {
        if (*s != '\\' || !s[1]) {
            *to++ = *s;
            continue;
        }
        s++;
        if (*s == 'x' && sscanf(s + 1, "%2x", &hex) == 1) {
            *to++ = (char)hex;
            s += 2;
        } else {
            *to++ = *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s == 't' ? '\t' : *s;
        }
    }
    *to = 0;
}

static void obey(struct talk *t, char *line)
{
    char *argument;

    line += strspn(line, " \t");
    line[strcspn(line, "\n")] = 0;
    if (!*line || *line == '#')
        return;
    argument = line + strcspn(line, " ");
    if (*argument)
        *argument++ = 0;
    unescape(argument);
    if (!strcmp(line, "expect"))
        order_expect(t, argument);
    else if (!strcmp(line, "send"))
        order_send(t, argument);
    else if (!strcmp(line, "timeout"))
        t->timeout = atof(argument);
    else if (!strcmp(line, "sleep"))
        order_sleep(t, atof(argument));
    else if (!strcmp(line, "idle"))
        order_idle(t, argument);
    else if (!strcmp(line, "mark"))
        order_mark(t, argument);
    else if (!strcmp(line, "wait"))
        order_wait(t, atoi(argument));
    else if (!strcmp(line, "host"))
        order_host(t, argument);
    else if (!strcmp(line, "signal"))
        kill(t->pid, atoi(argument));
    else if (!strcmp(line, "eof") && t->in != t->out)
        close(t->in);
    else if (!strcmp(line, "refuse") && t->refused_count < MAX_REFUSED)
        t->refused[t->refused_count++] = strdup(argument);
    else
        fail(t, "no such order in the script: %s", line);
    t->checked = strcmp(line, "refuse") ? t->checked : 0;
    check_refused(t);
}

static void obey_file(struct talk *t, const char *path)
{
    char line[4096];
    FILE *f = fopen(path, "r");

    if (!f)
        fail(t, "cannot read the script %s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, f))
        obey(t, line);
    fclose(f);
}

int main(int argc, char **argv)
{
    struct talk t = {.in = -1, .out = -1, .timeout = 60};
    bool pty = false;
    int option;

    signal(SIGPIPE, SIG_IGN);
    t.text = strdup("");
    while ((option = getopt(argc, argv, "+pql:f:e:")) >= 0)
        switch (option) {
        case 'p':
            pty = true;
            break;
        case 'q':
            t.quiet = true;
            break;
        case 'l':
            t.log = fopen(optarg, "w");
            if (!t.log) {
                fprintf(stderr, "talk: cannot write %s: %s\n", optarg, strerror(errno));
                return 1;
            }
            break;
        case 'f':
        case 'e':
            break; /* second pass */
        default:
            return 1;
        }
    if (optind >= argc) {
        fprintf(stderr, "usage: talk [-p] [-q] [-l LOG] [-f SCRIPT] [-e LINE]... -- COMMAND...\n");
        return 1;
    }
    t.start = now();
    start_program(&t, argv + optind, pty);
    optind = 1;
    while ((option = getopt(argc, argv, "+pql:f:e:")) >= 0) {
        if (option == 'f')
            obey_file(&t, optarg);
        if (option == 'e') {
            char *line = strdup(optarg);

            obey(&t, line);
            free(line);
        }
    }
    stop_program(&t);
    return 0;
}
