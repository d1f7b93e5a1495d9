/*
 * child.c - one run: a process, its output in files that have no name, and a limit of time.
 *
 * Interface: child.h. The child is this very program (/proc/self/exe), its -kernel a memfd, so that no file is
 * needed beside the program. Invariants: whatever happens, the child is waited for, and no descriptor stays open.
 */
#include "lab/child.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (4u << 20) /* bytes of each file that are looked at */
#define ARGUMENTS 24u

struct files {
    int image, output, errors;
};

struct text {
    char *data;
    size_t size;
};

static int open_files(struct files *f, const struct lab_guest *guest, struct error *error)
{
    *f = (struct files){memfd_create("lab-guest", 0), memfd_create("lab-output", MFD_CLOEXEC),
                        memfd_create("lab-errors", MFD_CLOEXEC)};
    size_t size = guest ? (size_t)(guest->end - guest->begin) : 0;

    if (f->image < 0 || f->output < 0 || f->errors < 0 ||
        (guest && write(f->image, guest->begin, size) != (ssize_t)size))
        return error_set(error, errno, "lab: cannot make a file in memory: %s; close other programs",
                         strerror(errno));
    return 0;
}

static void close_files(struct files *f)
{
    for (unsigned i = 0; i < 3; i++) {
        int fd = i == 0 ? f->image : i == 1 ? f->output : f->errors;

        if (fd >= 0)
            close(fd);
    }
}

/* All of a file, with a NUL behind it; no data: it could not be read. */
static struct text read_file(int fd)
{
    struct text t = {NULL, 0};
    struct stat st;

    if (fstat(fd, &st) || !(t.data = malloc(OUTPUT_MAX + 1)))
        return t;
    t.size = st.st_size > OUTPUT_MAX ? OUTPUT_MAX : (size_t)st.st_size;
    if (pread(fd, t.data, t.size, 0) != (ssize_t)t.size)
        t.size = 0;
    t.data[t.size] = '\0';
    return t;
}

/* --- the child process --- */

/* Behind fork. It must not outlive the lab. */
static void become_child(const struct files *f)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, STDIN_FILENO);
    dup2(f->output, STDOUT_FILENO);
    dup2(f->errors, STDERR_FILENO);
}

static void start_novt(const struct lab_child *c, const struct files *f)
{
    const char *cpu = c->cpu ? c->cpu : "max";
    char kernel[32];
    const char *argv[ARGUMENTS] = {
        "novt",           "-accel",    c->engine,        "-m",         "32",           "-cpu",  cpu,
        "-kernel",        kernel,      "-append",        c->words,     "-serial",      "stdio", "-serial",
        "file:/dev/null", "-debugcon", "file:/dev/null", "-no-reboot", "--stats=json", "--maps"};

    snprintf(kernel, sizeof kernel, "/proc/self/fd/%d", f->image);
    become_child(f);
    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
}

/* True: it has ended in time. Else it is killed. (Where the host has no pidfd_open, it is waited for without
 * limit.) */
static bool wait_for(pid_t pid, unsigned seconds, int *status)
{
    int fd = pidfd_open(pid, 0);
    struct pollfd p = {fd, POLLIN, 0};
    bool ended = fd < 0 || poll(&p, 1, (int)seconds * 1000) > 0;

    if (!ended)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        close(fd);
    return ended;
}

/* The line by which novt says why it ends. */
static void copy_reason(const struct text *errors, int status, char *line, size_t size)
{
    const char *at = errors->data ? strstr(errors->data, "novt: ") : NULL;

    if (at)
        snprintf(line, size, "%.*s", (int)strcspn(at, "\n"), at);
    else
        snprintf(line, size, "it ended with status %d", status);
}

static void judge_end(struct lab_run *run, bool ended, unsigned seconds, int status, const struct text *errors)
{
    size_t at = 0;

    if (!ended)
        snprintf(run->failure, sizeof run->failure, "it had not ended after %u seconds", seconds);
    else if (WIFSIGNALED(status))
        snprintf(run->failure, sizeof run->failure, "it was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        copy_reason(errors, WEXITSTATUS(status), run->failure, sizeof run->failure);
    else if (!lab_records_next(&run->guest, "end", &at))
        snprintf(run->failure, sizeof run->failure, "the guest stopped before its end");
}

/* --stats=json is a line of its own on stderr. */
static struct json_object *find_stats(const struct text *errors)
{
    const char *at = errors->data ? strstr(errors->data, "{\"wall_us\"") : NULL;

    return at ? json_tokener_parse(at) : NULL;
}

static int gather(struct lab_run *run, pid_t pid, unsigned seconds, const struct files *f, struct error *error)
{
    int status = 0;
    bool ended = wait_for(pid, seconds, &status);
    struct text output = read_file(f->output), errors = read_file(f->errors);
    bool fine = output.data && errors.data && lab_records_parse(&run->guest, output.data, output.size, "lab") &&
                lab_records_parse(&run->map, errors.data, errors.size, "map");

    if (fine) {
        judge_end(run, ended, seconds, status, &errors);
        run->stats = find_stats(&errors);
    }
    free(output.data);
    free(errors.data);
    return fine ? 0 : error_set(error, ENOMEM, "lab: out of memory");
}

static int begin(struct files *f, const char *guest, pid_t *pid, struct error *error)
{
    int status = open_files(f, guest ? lab_guest_find(guest) : NULL, error);

    if (status)
        return status;
    fflush(NULL);
    *pid = fork();
    if (*pid < 0)
        return error_set(error, errno, "lab: cannot start a process: %s; raise the limit (ulimit -u)",
                         strerror(errno));
    return 0;
}

int lab_run_start(struct lab_run *run, const struct lab_child *child, struct error *error)
{
    struct files f;
    pid_t pid = -1;
    int status;

    *run = (struct lab_run){.stats = NULL};
    status = begin(&f, child->guest, &pid, error);
    if (!status && pid == 0) {
        start_novt(child, &f);
        perror("novt: lab: cannot start /proc/self/exe; is /proc mounted?");
        _exit(1); /* lint: exit, of the child */
    }
    if (!status)
        status = gather(run, pid, LAB_SECONDS, &f, error);
    close_files(&f);
    return status;
}

int lab_run_native(struct lab_run *run, void (*body)(const void *argument), const void *argument, unsigned seconds,
                   struct error *error)
{
    struct files f;
    pid_t pid = -1;
    int status;

    *run = (struct lab_run){.stats = NULL};
    status = begin(&f, NULL, &pid, error);
    if (!status && pid == 0) {
        become_child(&f);
        body(argument);
        fflush(stdout);
        _exit(0); /* lint: exit, of the child */
    }
    if (!status)
        status = gather(run, pid, seconds, &f, error);
    close_files(&f);
    return status;
}

void lab_run_free(struct lab_run *run)
{
    lab_records_free(&run->guest);
    lab_records_free(&run->map);
    json_object_put(run->stats);
    run->stats = NULL;
}

uint64_t lab_run_count(const struct lab_run *run, const char *name)
{
    struct json_object *value;

    return json_object_object_get_ex(run->stats, name, &value) ? json_object_get_uint64(value) : 0;
}
