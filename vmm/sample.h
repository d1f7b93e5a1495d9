/*
 * sample.h - where a vCPU's thread spends its time: a look every millisecond of its CPU time.
 */
#ifndef NOVT_VMM_SAMPLE_H
#define NOVT_VMM_SAMPLE_H

#include "cpu/vcpu.h"

/* Starts for the calling thread, which runs v; counts in v->stats.samples. Without timers nothing is counted. */
void sample_start(struct vcpu *v);
void sample_stop(void);

#endif
