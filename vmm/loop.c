/*
 * loop.c - the main thread's event loop over epoll, timerfd and signalfd.
 *
 * Interface: loop.h. Invariant: callbacks run one at a time on the thread of loop_run; adding, changing and
 * arming are single system calls, which is what makes them safe from any thread.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BATCH 16

static void timer_ready(struct loop *loop)
{
    uint64_t rings;

    /* Nothing to read: it was rearmed meanwhile. */
    if (read(loop->timer_fd, &rings, sizeof rings) == (ssize_t)sizeof rings && loop->on_timer)
        loop->on_timer(loop->opaque);
}

static void signal_ready(struct loop *loop)
{
    struct signalfd_siginfo info;

    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (loop->on_signal)
            loop->on_signal(loop->opaque, (int)info.ssi_signo, (int)info.ssi_pid);
}

/* The loop's own files are told apart by the address of their field. */
static int add_own(struct loop *loop, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};

    return *fd < 0 ? -1 : epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, *fd, &event);
}

int loop_create(struct loop *loop, pthread_mutex_t *lock, struct error *error)
{
    sigset_t set;

    memset(loop, 0, sizeof *loop);
    loop->lock = lock;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll_fd >= 0 && !add_own(loop, &loop->timer_fd) && !add_own(loop, &loop->signal_fd) &&
        !add_own(loop, &loop->stop_fd))
        return 0;
    error_set(error, errno, "the event loop cannot be set up: %s; raise the limit of open files (ulimit -n)",
              strerror(errno));
    loop_destroy(loop);
    return -EMFILE;
}

void loop_destroy(struct loop *loop)
{
    int *const own[] = {&loop->epoll_fd, &loop->timer_fd, &loop->signal_fd, &loop->stop_fd};

    for (unsigned i = 0; i < 4; i++) {
        if (*own[i] >= 0)
            close(*own[i]);
        *own[i] = -1;
    }
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void loop_arm(struct loop *loop, uint64_t deadline_ns)
{
    struct itimerspec when = {0};

    if (deadline_ns != UINT64_MAX) {
        /* Zero would disarm. */
        when.it_value.tv_sec = (time_t)(deadline_ns / 1000000000u);
        when.it_value.tv_nsec = (long)(deadline_ns % 1000000000u) | (deadline_ns == 0);
    }
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
    struct loop_source *source = event->data.ptr;

    if (event->data.ptr == &loop->signal_fd) {
        signal_ready(loop);
        return;
    }
    if (event->data.ptr == &loop->stop_fd)
        return;
    pthread_mutex_lock(loop->lock);
    if (event->data.ptr == &loop->timer_fd)
        timer_ready(loop);
    else
        source->ready(source->opaque, event->events);
    pthread_mutex_unlock(loop->lock);
}

void loop_run(struct loop *loop)
{
    struct epoll_event event[BATCH];

    while (!atomic_load(&loop->stopped)) {
        int n = epoll_wait(loop->epoll_fd, event, BATCH, -1);

        for (int i = 0; i < n && !atomic_load(&loop->stopped); i++)
            dispatch(loop, &event[i]);
    }
}

void loop_stop(struct loop *loop)
{
    uint64_t one = 1;

    atomic_store(&loop->stopped, true);
    if (write(loop->stop_fd, &one, sizeof one) < 0)
        return; /* it is full: the loop is woken already */
}
