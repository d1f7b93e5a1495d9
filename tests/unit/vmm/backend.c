/*
 * backend.c - tests of the serial backends and the console's escape keys, over real pipes, pty and sockets.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/backend_internal.h"
#include "vmm/mux.h"

/* A device with a given amount of room. */
struct device {
    unsigned room;
    char text[4096];
    unsigned used, breaks;
    struct loop *loop;
    unsigned stop_at;
    bool quit;
};

static unsigned room(void *opaque)
{
    struct device *d = opaque;

    return d->room;
}

static void take(void *opaque, uint8_t byte)
{
    struct device *d = opaque;

    cr_assert_gt(d->room, 0u);
    d->room--;
    d->text[d->used++] = (char)byte;
    if (d->used == d->stop_at)
        loop_stop(d->loop);
}

static void take_break(void *opaque)
{
    struct device *d = opaque;

    d->breaks++;
}

static void quit(void *opaque)
{
    struct device *d = opaque;

    d->quit = true;
    loop_stop(d->loop);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct error error;

Test(mux, escape_keys)
{
    struct mux mux = {false};

    cr_assert_eq(mux_feed(&mux, 'a'), MUX_SEND);
    cr_assert_eq(mux_feed(&mux, 1), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 'x'), MUX_QUIT);
    cr_assert_eq(mux_feed(&mux, 'x'), MUX_SEND);
    cr_assert_eq(mux_feed(&mux, 1), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 1), MUX_SEND);
    cr_assert_eq(mux_feed(&mux, 1), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 'h'), MUX_TEXT);
    cr_assert_not_null(strstr(mux_text('h'), "exit"));
    cr_assert_eq(mux_feed(&mux, 1), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 'C'), MUX_MONITOR);
    cr_assert_eq(mux_feed(&mux, 1), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 'b'), MUX_BREAK);
    cr_assert_eq(mux_feed(&mux, 1), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 'z'), MUX_NOTHING);
    cr_assert_eq(mux_feed(&mux, 'z'), MUX_SEND);
}

/* stdin and stdout replaced by pipes (each Criterion test is its own process). */
static void replace_stdio(int to_guest[2], int from_guest[2])
{
    cr_assert_eq(pipe(to_guest), 0);
    cr_assert_eq(pipe(from_guest), 0);
    dup2(to_guest[0], 0);
    dup2(from_guest[1], 1);
}

static struct backend *make(const char *spec, struct device *d, struct loop *loop)
{
    struct backend_host host = {loop, quit, d};
    struct backend_front front = {.can_receive = room, .receive = take, .receive_break = take_break, .opaque = d};
    struct backend *b;

    d->loop = loop;
    cr_assert_eq(backend_create(&b, "-serial", spec, "serial0", &host, &error), 0, "%s", error.text);
    backend_attach(b, &front);
    return b;
}

static void send_all(int fd, const void *text, size_t size)
{
    cr_assert_eq(write(fd, text, size), (ssize_t)size);
}

Test(backend, stdio_both_ways, .timeout = 10)
{
    struct device d = {.room = 100, .stop_at = 5};
    int to[2], from[2];
    struct loop loop;
    struct backend *b;
    struct chardev c;
    char got[8] = "";

    replace_stdio(to, from);
    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    b = make("mon:stdio", &d, &loop);
    send_all(to[1], "ab\001\001\001bcd", 8);
    loop_run(&loop);
    cr_assert_str_eq(d.text, "ab\001cd");
    cr_assert_eq(d.breaks, 1u);
    c = backend_chardev(b);
    c.write(c.opaque, (const uint8_t *)"hello", 5);
    cr_assert_eq(read(from[0], got, 7), 5);
    cr_assert_str_eq(got, "hello");
    backend_destroy(b);
    loop_destroy(&loop);
}

static void *quit_later(void *opaque)
{
    int *fd = opaque;

    usleep(20000);
    send_all(*fd, "\001x", 2);
    return NULL;
}

Test(backend, quit_key_works_though_the_device_is_full, .timeout = 10)
{
    struct device d = {.room = 0};
    int to[2], from[2];
    struct loop loop;
    pthread_t thread;
    struct backend *b;

    replace_stdio(to, from);
    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    b = make("mon:stdio", &d, &loop);
    send_all(to[1], "waiting", 7);
    pthread_create(&thread, NULL, quit_later, &to[1]);
    loop_run(&loop);
    pthread_join(thread, NULL);
    cr_assert(d.quit);
    cr_assert_eq(d.used, 0u);
    d.room = 3;
    backend_chardev(b).can_receive(b);
    cr_assert_str_eq(d.text, "wai");
    backend_destroy(b);
    loop_destroy(&loop);
}

/* A plain file as stdin: nothing may be lost though the device takes it in small bites, and the end ends it. */
static void *make_room(void *opaque)
{
    struct backend *b = opaque;
    struct device *d = b->front.opaque;

    for (;;) {
        pthread_mutex_lock(&lock);
        bool done = d->used == d->stop_at;

        d->room = 16;
        if (!done)
            backend_chardev(b).can_receive(b);
        pthread_mutex_unlock(&lock);
        if (done)
            return NULL;
        usleep(100);
    }
}

Test(backend, file_as_stdin_with_a_slow_device, .timeout = 10)
{
    struct device d = {.room = 1, .stop_at = 3000};
    char name[] = "/tmp/novt-test-XXXXXX", byte;
    struct loop loop;
    pthread_t thread;
    struct backend *b;
    int fd = mkstemp(name);

    unlink(name);
    for (unsigned i = 0; i < 3000; i++) {
        byte = (char)('a' + i % 26);
        send_all(fd, &byte, 1);
    }
    lseek(fd, 0, SEEK_SET);
    dup2(fd, 0);
    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    b = make("stdio", &d, &loop);
    pthread_create(&thread, NULL, make_room, b);
    loop_run(&loop);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 3000; i++)
        cr_assert_eq(d.text[i], (char)('a' + i % 26));
    backend_destroy(b);
    loop_destroy(&loop);
}

Test(backend, file)
{
    char name[] = "/tmp/novt-test-XXXXXX", spec[64], got[8] = "";
    struct device d = {0};
    struct loop loop;
    struct backend *b;
    int fd = mkstemp(name);

    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    snprintf(spec, sizeof spec, "file:%s", name);
    b = make(spec, &d, &loop);
    backend_chardev(b).write(b, (const uint8_t *)"hello", 5);
    backend_destroy(b);
    cr_assert_eq(read(fd, got, 7), 5);
    cr_assert_str_eq(got, "hello");
    unlink(name);
    loop_destroy(&loop);
}

Test(backend, pty, .timeout = 10)
{
    struct device d = {.room = 100, .stop_at = 3};
    struct loop loop;
    struct backend *b;
    char got[8] = "";
    int slave;

    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    b = make("pty", &d, &loop);
    slave = open(ptsname(b->in_fd), O_RDWR | O_NOCTTY);
    send_all(slave, "abc", 3);
    loop_run(&loop);
    cr_assert_str_eq(d.text, "abc");
    backend_chardev(b).write(b, (const uint8_t *)"hello", 5);
    cr_assert_eq(read(slave, got, 7), 5);
    for (unsigned i = 0; i < 100000; i++) /* nobody reads: must not block */
        backend_chardev(b).write(b, (const uint8_t *)"x", 1);
    backend_destroy(b);
    loop_destroy(&loop);
}

static void *client(void *opaque)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char got[8] = "";

    strcpy(address.sun_path, opaque);
    for (int round = 0; round < 2; round++) { /* comes, leaves, comes again */
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        send_all(fd, "abc", 3);
        if (round == 0)
            cr_assert_eq(read(fd, got, 5), 5);
        usleep(20000);
        close(fd);
        usleep(20000);
    }
    return NULL;
}

Test(backend, unix_server, .timeout = 10)
{
    char name[] = "/tmp/novt-test-XXXXXX", spec[64];
    struct device d = {.room = 100, .stop_at = 3};
    struct loop loop;
    pthread_t thread;
    struct backend *b;

    close(mkstemp(name));
    unlink(name);
    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    snprintf(spec, sizeof spec, "unix:%s,server,nowait", name);
    b = make(spec, &d, &loop);
    pthread_create(&thread, NULL, client, name);
    loop_run(&loop);
    backend_chardev(b).write(b, (const uint8_t *)"hello", 5);
    atomic_store(&loop.stopped, false);
    d.stop_at = 6;
    loop_run(&loop);
    pthread_join(thread, NULL);
    cr_assert_str_eq(d.text, "abcabc");
    backend_destroy(b);
    cr_assert_lt(access(name, F_OK), 0);
    loop_destroy(&loop);
}

Test(backend, mistakes)
{
    static const struct {
        const char *spec, *words;
    } vectors[] = {
        {"stdoi", "did you mean stdio"},
        {"file:", "path"},
        {"file:/nonexistent/x", "cannot write"},
        {"tcp:1.2.3.4:5", "unix:PATH"},
        {"stdio:x", "stdio"},
        {"mon:pty", "mon:stdio"},
        {"unix:", "path"},
        {"unix:/x,sever", "sever"},
        {"unix:/nonexistent/x", "cannot connect"},
        {"unix:/nonexistent/x,server,nowait", "cannot listen"},
        {"pty:x", "pty"},
    };
    struct backend_host host = {0};
    struct backend *b;
    struct loop loop;

    cr_assert_eq(loop_create(&loop, &lock, &error), 0);
    host.loop = &loop;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        cr_assert_lt(backend_create(&b, "-serial", vectors[i].spec, "serial0", &host, &error), 0, "%s",
                     vectors[i].spec);
        cr_assert_null(b);
        cr_assert_not_null(strstr(error.text, vectors[i].words), "%s: %s", vectors[i].spec, error.text);
    }
    loop_destroy(&loop);
}
