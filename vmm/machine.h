/*
 * machine.h - one virtual machine: owns its memory, devices, virtual CPU, engine and files, and joins them.
 */
#ifndef NOVT_VMM_MACHINE_H
#define NOVT_VMM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cpu/cpuid.h"
#include "cpu/vcpu.h"
#include "devices/board.h"
#include "memory/ram.h"
#include "vmm/backend.h"
#include "vmm/call.h"
#include "vmm/debug.h"
#include "vmm/engine.h"
#include "vmm/firmware.h"
#include "vmm/kernel.h"
#include "vmm/loader.h"
#include "vmm/log.h"
#include "vmm/loop.h"
#include "vmm/monitor/monitor.h"
#include "vmm/options.h"
#include "vmm/sample.h"
#include "vmm/trace/tracer.h"

/* What the vCPU thread is asked to do, as bits; set with machine_request. */
enum machine_request {
    REQUEST_STOP = 1,  /* leave the run loop: exit_status is set */
    REQUEST_RESET = 2, /* the RESET line */
    REQUEST_CALL = 4,  /* call_serve */
};

struct machine {
    const struct options *options;

    /* owned parts, in the order of their making */
    struct log log;
    struct tracer tracer;
    struct loop loop;
    struct ram ram;
    struct cpu_model model;
    struct vcpu *vcpu;
    struct backend *serial[OPTIONS_SERIALS], *debugcon, *monitor_line;
    struct board *board;
    struct kernel kernel;
    struct firmware firmware;
    struct loader loader[LOADER_MAX];
    struct engine_options engine_options;
    const struct engine *engine;
    void *engine_state; /* the engine's own */
    struct monitor *monitor;

    /* the vCPU thread's */
    struct debug debug;
    struct sampler sampler;

    /* run time, under the lock */
    pthread_mutex_t lock; /* the devices', and all below */
    pthread_cond_t wake;  /* the halted vCPU waits here; CLOCK_MONOTONIC */
    bool asleep;          /* the vCPU thread sleeps and watches the timers itself */
    uint64_t deadline;    /* of the earliest timer, CLOCK_MONOTONIC ns */
    bool has_pidfile;
    struct call_queue calls;
    char name[TRACER_NAME]; /* of the address that the vCPU has asked for last */

    /* cross-thread */
    pthread_t thread;
    atomic_uint requests;
    atomic_int exit_status; /* -1: not ended */
    atomic_bool failed;     /* the vCPU thread could not go on: error */
    struct error error;

    /* one point of both clocks, for the TSC's rate */
    uint64_t tsc_origin, ns_origin;
};

/* Errors: see the text. *machine is to be freed with machine_destroy. The options outlive it. */
int machine_create(struct machine **machine, const struct options *options, struct error *error);
void machine_destroy(struct machine *machine);

/* Runs until the guest ends or a signal ends it; the exit status for the process, or a negative errno. */
int machine_run(struct machine *machine, struct error *error);

/* With the lock held, or on the vCPU's thread. */
void machine_request(struct machine *machine, enum machine_request request);
/* The end, with this exit status; the first caller's counts. Any thread, with or without the lock. */
void machine_stop(struct machine *machine, int status, const char *reason);

/* The end, with status 1 and an error; text NULL: it is in machine->error. On the vCPU's thread. */
void machine_fail(struct machine *machine, const char *text);

/* RESET: devices, memory image, vCPU. On the vCPU's thread; takes the lock. */
int machine_reset(struct machine *machine, struct error *error);

/* wiring.c: the hooks that join floor 2's rooms. */
void machine_wire_vcpu(struct machine *machine);
void machine_wire_mmio(struct machine *machine);
void machine_board_hooks(struct machine *machine, struct board_hooks *hooks);

/* run.c: the vCPU's thread. */
void *machine_vcpu_thread(void *machine);
/* On it: runs one instruction by the interpreter; acts on vcpu->exit. */
void machine_interpret(struct machine *machine);
void machine_handle_exit(struct machine *machine);

uint64_t machine_now_ns(void);

#endif
