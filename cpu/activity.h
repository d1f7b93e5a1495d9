/*
 * activity.h - what a vCPU's thread is doing, for the sampler (vmm/sample.c): whoever begins something says so,
 * and says what was before when it ends. What translated code does shows by the program counter.
 */
#ifndef NOVT_CPU_ACTIVITY_H
#define NOVT_CPU_ACTIVITY_H

#include <stdint.h>

enum cpu_activity {
    ACTIVITY_RUN_LOOP,
    ACTIVITY_TRANSLATED,
    ACTIVITY_TRANSLATOR,
    ACTIVITY_MEMORY,
    ACTIVITY_INTERPRETER,
    ACTIVITY_DEVICES,
    ACTIVITY_COUNT
};

/* What was until now. */
static inline uint8_t activity_begin(volatile uint8_t *activity, enum cpu_activity now)
{
    uint8_t before = *activity;

    *activity = (uint8_t)now;
    return before;
}

#endif
