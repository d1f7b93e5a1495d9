/*
 * run.c - the vCPU's thread: requests, interrupts, sleep, and the engine in between.
 *
 * Interface: machine.h. Invariants: v's architectural state belongs to this thread; others only set v's atomics
 * and machine->requests, then exit_request, or have this thread do it for them (call.h). A halted vCPU sleeps on
 * machine->wake and, so that a timer need not cross threads to reach it, waits for the earliest timer itself.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "cpu/system.h"
#include "vmm/call.h"
#include "vmm/debug.h"
#include "vmm/aftermath.h"
#include "vmm/report.h"
#include "vmm/sample.h"
#include "vmm/signals.h"

#define TIMER_SLACK_NS 1000ul /* of the vCPU's sleeps: timers, cpu_pause */

void machine_fail(struct machine *m, const char *text)
{
    if (text)
        error_set(&m->error, EIO, "%s", text);
    atomic_store(&m->failed, true);
    machine_stop(m, 1, "failure");
}

/* A reset of the guest's own doing. */
static void do_reset(struct machine *m)
{
    atomic_fetch_and(&m->requests, ~(unsigned)REQUEST_RESET);
    if (machine_reset(m, &m->error))
        machine_fail(m, NULL);
}

/* SDM vol. 3, 6.15: the processor shuts down, and the board answers with RESET. */
static void triple_fault(struct machine *m, struct vcpu *v)
{
    char text[REPORT_SIZE], events[AFTERMATH_SIZE];

    report_vcpu(v, text, sizeof text);
    fprintf(stderr, "\nnovt: triple fault: the guest has no way to handle an exception; %s. Its state:\n%s",
            m->options->no_reboot ? "it ends here" : "it is reset", text);
    tracer_find_symbols(&m->tracer);
    aftermath_events(m, events, sizeof events);
    fputs(events, stderr);
    log_dump(&m->log, "a triple fault");
    if (m->options->no_reboot)
        machine_stop(m, 0, "triple fault, with -no-reboot");
    else
        machine_request(m, REQUEST_RESET);
}

static bool must_stay_asleep(struct machine *m, struct vcpu *v)
{
    return !cpu_interrupt_ready(v) && !atomic_load(&m->requests);
}

static void wait_until(struct machine *m, uint64_t deadline)
{
    struct timespec t = {(time_t)(deadline / 1000000000u), (long)(deadline % 1000000000u)};

    if (deadline == TIMER_NEVER)
        pthread_cond_wait(&m->wake, &m->lock);
    else
        pthread_cond_timedwait(&m->wake, &m->lock, &t);
}

/* HLT: until something wakes it. The main thread's host timer is off meanwhile. */
static void sleep_halted(struct machine *m, struct vcpu *v)
{
    pthread_mutex_lock(&m->lock);
    if (must_stay_asleep(m, v)) {
        loop_arm(&m->loop, TIMER_NEVER);
        m->asleep = true;
        while (must_stay_asleep(m, v)) {
            uint64_t now = timer_now(&m->board->timers);

            if (m->deadline <= now)
                timer_run_expired(&m->board->timers, now);
            else
                wait_until(m, m->deadline);
        }
        m->asleep = false;
        loop_arm(&m->loop, m->deadline);
    }
    pthread_mutex_unlock(&m->lock);
}

void machine_interpret(struct machine *m)
{
    if (cpu_step(m->vcpu) == CPU_EXIT && m->vcpu->exit.reason == EXIT_TRIPLE_FAULT)
        triple_fault(m, m->vcpu);
}

void machine_handle_exit(struct machine *m)
{
    switch (m->vcpu->exit.reason) {
    case EXIT_TRIPLE_FAULT:
        triple_fault(m, m->vcpu);
        break;
    case EXIT_INTERPRET:
        machine_interpret(m);
        break;
    case EXIT_LIMIT:
        machine_stop(m, 0, "lock-step has reached its limit");
        break;
    default: /* EXIT_REQUEST, EXIT_HLT, EXIT_STEP: the loop looks at what changed */
        break;
    }
}

/* The guest is stopped. Timers go on: the main thread sees to them. */
static void wait_for_request(struct machine *m)
{
    pthread_mutex_lock(&m->lock);
    while (!atomic_load(&m->requests))
        pthread_cond_wait(&m->wake, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

/* One turn: everything that can be due at an instruction boundary, then guest code. */
static void turn(struct machine *m, struct vcpu *v)
{
    bool taken;

    atomic_store(&v->exit_request, 0);
    if (atomic_load(&m->requests)) {
        if (atomic_load(&m->requests) & REQUEST_RESET)
            do_reset(m);
        if (atomic_load(&m->requests) & REQUEST_CALL)
            call_serve(m);
        return;
    }
    if (m->debug.stopped) {
        wait_for_request(m);
        return;
    }
    if (cpu_take_interrupts(v, &taken) == CPU_EXIT) {
        machine_handle_exit(m);
        return;
    }
    if (v->halted) {
        sleep_halted(m, v);
        return;
    }
    if (debug_turn(m))
        return;
    m->engine->run(m, v);
    machine_handle_exit(m);
}

void *machine_vcpu_thread(void *opaque)
{
    struct machine *m = opaque;

    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    if (signals_enter(m, &m->error)) {
        machine_fail(m, NULL);
        call_close(m);
        return NULL;
    }
    if (m->engine->enter(m, &m->error)) {
        machine_fail(m, NULL);
    } else {
        if (m->options->stats != STATS_NONE)
            sample_start(&m->sampler, m->vcpu);
        m->debug.stopped = m->options->paused;
        while (!(atomic_load(&m->requests) & REQUEST_STOP))
            turn(m, m->vcpu);
        sample_stop(&m->sampler);
        m->engine->leave(m);
    }
    call_close(m);
    signals_leave();
    return NULL;
}
