/*
 * debug.h - stopping the guest where somebody wants to look at it: breakpoints, single steps.
 *
 * Everything here belongs to the vCPU's thread; other threads come by machine_call (call.h).
 */
#ifndef NOVT_VMM_DEBUG_H
#define NOVT_VMM_DEBUG_H

#include "memory/error.h"
#include "translator/translator.h"

#define DEBUG_BREAKPOINTS TRANSLATOR_BREAKPOINTS

struct breakpoint {
    unsigned number; /* from 1 on, in the order of their making; never used again */
    gva_t address;   /* linear */
    uint64_t hits;
};

struct debug {
    struct breakpoint breakpoint[DEBUG_BREAKPOINTS];
    unsigned count, last_number;
    bool stopped; /* no guest code runs, until debug_continue */
    /* The guest goes on from a breakpoint at `passed`: the instruction there is run without stopping. */
    bool passing;
    gva_t passed;
};

struct machine;

/* Linear address of the next instruction. */
gva_t debug_linear_rip(const struct machine *machine);

/* Errors: -EEXIST, -ENOSPC, -ENOTSUP (the engine has none). *number: the new breakpoint's. */
int debug_add_breakpoint(struct machine *machine, gva_t address, unsigned *number, struct error *error);
/* -ENOENT. */
int debug_delete_breakpoint(struct machine *machine, unsigned number, struct error *error);
/* False at once while there is none. */
bool debug_is_at_breakpoint(const struct machine *machine);

void debug_stop(struct machine *machine);
/* Also from the breakpoint at which it stands. */
void debug_continue(struct machine *machine);

/*
 * Before guest code runs. True: the turn is over, since the guest was stopped at a breakpoint, or the instruction
 * of one that it goes on from has been run.
 */
bool debug_turn(struct machine *machine);

/* Runs one instruction (of a repeated string instruction some iterations) by the interpreter and takes no
   interrupt, unless the CPU is halted: then that is all that it does. false: it stays halted. */
bool debug_step(struct machine *machine);

#endif
