/*
 * call.c - work for the vCPU's thread from other threads.
 *
 * Interface: call.h. Invariant: a call is in the queue as long as it is neither done nor given up, and its caller
 * waits; so it can live on the caller's stack.
 */
#include "vmm/call.h"

#include "vmm/machine.h"

struct call {
    void (*run)(void *opaque);
    void *opaque;
    bool done, dropped;
    struct call *next;
};

void call_queue_create(struct call_queue *queue)
{
    *queue = (struct call_queue){.first = NULL};
    pthread_cond_init(&queue->done, NULL);
}

void call_queue_destroy(struct call_queue *queue)
{
    pthread_cond_destroy(&queue->done);
}

static void append(struct call_queue *queue, struct call *call)
{
    struct call **at = &queue->first;

    while (*at)
        at = &(*at)->next;
    *at = call;
}

bool machine_call(struct machine *m, void (*run)(void *opaque), void *opaque)
{
    struct call call = {.run = run, .opaque = opaque};

    pthread_mutex_lock(&m->lock);
    call.dropped = m->calls.closed;
    if (!call.dropped) {
        append(&m->calls, &call);
        machine_request(m, REQUEST_CALL);
    }
    while (!call.done && !call.dropped)
        pthread_cond_wait(&m->calls.done, &m->lock);
    pthread_mutex_unlock(&m->lock);
    return call.done;
}

void call_serve(struct machine *m)
{
    struct call *call;

    pthread_mutex_lock(&m->lock);
    atomic_fetch_and(&m->requests, ~(unsigned)REQUEST_CALL);
    while ((call = m->calls.first)) {
        m->calls.first = call->next;
        pthread_mutex_unlock(&m->lock);
        call->run(call->opaque);
        pthread_mutex_lock(&m->lock);
        call->done = true;
        pthread_cond_broadcast(&m->calls.done);
    }
    pthread_mutex_unlock(&m->lock);
}

void call_close(struct machine *m)
{
    pthread_mutex_lock(&m->lock);
    m->calls.closed = true;
    for (struct call *call = m->calls.first; call; call = call->next)
        call->dropped = true;
    m->calls.first = NULL;
    pthread_cond_broadcast(&m->calls.done);
    pthread_mutex_unlock(&m->lock);
}
