/*
 * loop.h - the main thread's event loop: files that become ready, the host timer, signals.
 */
#ifndef NOVT_VMM_LOOP_H
#define NOVT_VMM_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/error.h"

/* One file; its owner keeps it in place while it is added. */
struct loop_source {
    int fd;
    void (*ready)(void *opaque, uint32_t events); /* EPOLLIN ...; with the lock held */
    void *opaque;
};

struct loop {
    int epoll_fd, timer_fd, signal_fd, stop_fd;
    pthread_mutex_t *lock; /* held around every callback but on_signal */
    void (*on_timer)(void *opaque);
    void (*on_signal)(void *opaque, int signal, int pid); /* without the lock: it may be held for long */
    void *opaque;
    atomic_bool stopped;
};

/* Blocks SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGUSR2 in this thread (and those it starts) and reads them in the
 * loop. */
int loop_create(struct loop *loop, pthread_mutex_t *lock, struct error *error);
void loop_destroy(struct loop *loop);

/* Any thread. events: EPOLLIN, EPOLLOUT; 0 keeps the source but is deaf. loop_add: -EPERM for files that
   cannot be waited for (plain ones). */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);

/* When on_timer is due, CLOCK_MONOTONIC; UINT64_MAX: never. Any thread. */
void loop_arm(struct loop *loop, uint64_t deadline_ns);

/* Returns when loop_stop is called, from any thread. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
