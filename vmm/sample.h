/*
 * sample.h - where a vCPU's thread spends its time: a look every millisecond of its CPU time.
 */
#ifndef NOVT_VMM_SAMPLE_H
#define NOVT_VMM_SAMPLE_H

#include <time.h>

#include "cpu/vcpu.h"

struct sampler {
    timer_t timer;
    bool started;
};

/* Starts for the calling thread, which runs v; counts in v->stats.samples. Without timers nothing is counted. */
void sample_start(struct sampler *s, struct vcpu *v);
void sample_stop(struct sampler *s); /* one that has not been started is fine, if it is all zeros */

#endif
