/*
 * call.h - work for the vCPU's thread between two instructions of the guest, from other threads.
 *
 * So whoever wants to see or change the vCPU's state, the MMU or translated code does it where nothing of it is in
 * use, and the guest goes on afterwards.
 */
#ifndef NOVT_VMM_CALL_H
#define NOVT_VMM_CALL_H

#include <pthread.h>
#include <stdbool.h>

struct machine;
struct call;

/* Of a machine; under its lock. */
struct call_queue {
    struct call *first;
    pthread_cond_t done;
    bool closed; /* the vCPU's thread has ended, or is about to */
};

void call_queue_create(struct call_queue *queue);
void call_queue_destroy(struct call_queue *queue);

/* Has run(opaque) done by the vCPU's thread, without the lock, and waits until it is. false: the machine has ended
   instead. On any thread but the vCPU's and the event loop's, without the lock. */
bool machine_call(struct machine *machine, void (*run)(void *opaque), void *opaque);

/* The vCPU thread's part: does what is waiting; and its end, after which nothing will be. */
void call_serve(struct machine *machine);
void call_close(struct machine *machine);

#endif
