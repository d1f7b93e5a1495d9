/*
 * sample.c - where a vCPU's thread spends its time.
 *
 * Interface: sample.h. A timer of the thread's own CPU time sends it SIGPROF; what the kernel does for the thread
 * counts for whoever had asked for it. Invariant: the handler touches nothing but counters of the thread's vCPU.
 */
#include "vmm/sample.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include "translator/translator.h"

#define PERIOD_NS 1000000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void handle(int number, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    struct vcpu *v = info->si_value.sival_ptr;

    (void)number; /* no translator_signal_enter: there is nothing here that wants the FS base */
    if (info->si_code != SI_TIMER)
        return;
    if (translator_holds_code(v, uc->uc_mcontext.gregs[REG_RIP])) {
        v->stats.samples[ACTIVITY_TRANSLATED]++;
        translator_note_sample(v, uc->uc_mcontext.gregs[REG_RIP]);
    } else {
        v->stats.samples[v->activity]++;
    }
}

void sample_start(struct sampler *s, struct vcpu *v)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF, .sigev_value = {.sival_ptr = v}};
    struct itimerspec period = {{0, PERIOD_NS}, {0, PERIOD_NS}};

    event.sigev_notify_thread_id = gettid();
    sigfillset(&action.sa_mask);
    s->started = !sigaction(SIGPROF, &action, NULL) && !timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &s->timer);
    if (s->started)
        timer_settime(s->timer, 0, &period, NULL);
}

void sample_stop(struct sampler *s)
{
    if (s->started)
        timer_delete(s->timer);
    s->started = false;
}
