/*
 * trap.h - the third engine: classic trap-and-emulate. Guest code runs as it is, in host user mode; what traps
 * there is emulated by the interpreter, what does not trap is left as it is.
 *
 * Guest code never runs in novt's own address space, but in two child processes under ptrace, one for supervisor
 * and one for user code, that have nothing mapped but pages of guest RAM.
 */
#ifndef NOVT_TRAP_TRAP_H
#define NOVT_TRAP_TRAP_H

#include "cpu/vcpu.h"
#include "memory/error.h"

struct trap;

enum trap_check {
    TRAP_CHECK_OFF,
    TRAP_CHECK_STOP,     /* at the first instruction that goes wrong */
    TRAP_CHECK_CONTINUE, /* the interpreter's result is taken, and the instruction counted */
    TRAP_CHECK_SENSITIVE /* likewise, but only sensitive instructions are run in the child at all: quicker */
};

/* An instruction that went another way than the manual says. The text is good until the next call. */
struct trap_difference {
    uint64_t address; /* linear */
    unsigned cpl, bits, size;
    uint8_t code[15];
    const char *name; /* in the table of sensitive instructions; NULL: it is not there */
    const char *why;  /* why the table has it */
    const char *text; /* lines: what differs, "trap" against "interp" */
    uint64_t count;   /* how many there have been of this name, this one too */
};

struct trap_options {
    enum trap_check check;
    /* How the instruction uses memory: bit 0 if it reads some of it only, bit 1 if it writes some. */
    unsigned (*memory_effects)(const uint8_t *bytes, unsigned size, unsigned bits);
    /* What of RFLAGS the manual leaves undefined behind this instruction; it is not compared. */
    uint32_t (*undefined_flags)(const uint8_t *bytes, unsigned size, unsigned bits);
    /* Called on the vCPU's thread for each difference. */
    void (*report)(void *opaque, const struct trap_difference *difference);
    void *opaque;
};

/* -accel trap,PROPERTY=VALUE,...: check=off|on|continue|sensitive. Errors: -EINVAL. */
int trap_parse_options(struct trap_options *options, const char *properties, struct error *error);

/* Errors: -ENOMEM. Free with trap_destroy, on any thread, when trap_leave has been called. */
int trap_create(struct trap **trap, struct vcpu *v, const struct trap_options *options, struct error *error);
void trap_destroy(struct trap *t); /* NULL is fine */

/* On the vCPU's thread, first and last: starts and ends the child processes. Errors: -EPERM (no ptrace), others of
   fork. */
int trap_enter(struct trap *t, struct error *error);
void trap_leave(struct trap *t);

/* Runs guest code until the machine is needed; v->exit.reason says what for. The vCPU's state is exact then, SIMD
   too. Errors: a child process has ended, or cannot be held (the text says why); -ECANCELED: a difference has been
   reported. */
int trap_run(struct trap *t, struct error *error);

/* Any thread, after v->exit_request was set. */
void trap_kick(struct vcpu *v);

/* Calls back with the name and the value of each counter. Names are static text. */
void trap_count(const struct trap *t, void (*add)(void *opaque, const char *name, uint64_t value), void *opaque);

#endif
