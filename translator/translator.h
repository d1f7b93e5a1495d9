/*
 * translator.h - the binary translator: runs a vCPU through translated code.
 *
 * One `struct translator` a machine holds the code cache; each vCPU that runs under it is attached. The
 * thread that calls translator_run must have called translator_thread_enter once (GS base, alternate signal
 * stack, handlers).
 */
#ifndef NOVT_TRANSLATOR_TRANSLATOR_H
#define NOVT_TRANSLATOR_TRANSLATOR_H

#include "cpu/vcpu.h"
#include "memory/error.h"
#include "memory/ranges.h"

/* How memory is reached. AUTO: by user code through the TLB at first, through a window if it runs for long; by
   32-bit kernels through theirs. */
enum translator_tier { TIER_AUTO, TIER_TLB, TIER_WINDOW };

/* A block as it has just been translated. The pointers are good during the call, host code as long as the block is
   (until `flushed`). */
struct translator_made {
    gva_t linear; /* of its first byte */
    uint64_t rip;
    uint32_t mode;             /* MODE_* bits */
    const uint8_t *guest;      /* its bytes */
    const uint8_t *hot, *cold; /* host code: the usual way, and what is seldom run */
    size_t guest_size, hot_size, cold_size;
    unsigned instructions;
};

struct translator_options {
    enum translator_tier tier;
    bool chain;              /* link direct jumps between blocks */
    bool group;              /* check runs of accesses through one base register once */
    bool jump_cache;         /* inline lookup of indirect jumps */
    bool loop;               /* check the memory of a block that loops before the loop */
    bool extend;             /* blocks go on behind conditional jumps */
    bool borrow;             /* groups in guest registers that a block does not use */
    bool return_stack;       /* predict returns: a host CALL and RET for the guest's */
    bool lazy_flags;         /* do not save flags that only a fault could show */
    bool templates;          /* decode by what instructions have in common with others */
    bool pause;              /* a guest that spins in PAUSE sleeps */
    bool patch;              /* immediates that keep being patched are loaded when they are used */
    bool crossing;           /* SYSCALL, SYSENTER and back without C */
    bool pc_load;            /* 32-bit code that asks for its own address: without a call */
    bool bases;              /* no probes near FS and GS bases that have been looked at */
    bool sure_rsp;           /* no probes near RSP in 64-bit user code */
    bool wide_count;         /* INC and DEC of 32-bit code with 64 bits, between a carry and its branch */
    bool inline_return;      /* blocks of user code in a window go on behind a call */
    bool late_rsp;           /* in code with a window pushes and pops in a row move RSP once */
    bool relocate;           /* copy blocks for other linear addresses of the same code */
    bool relocate_check;     /* and translate them as well, and compare */
    bool keys;               /* protection keys around the code cache, where the host has them */
    bool kernel_window;      /* supervisor code has a window, too (unless tier is TIER_TLB) */
    bool segments;           /* 16-bit code and segments that are not flat are translated, too */
    bool inline_system;      /* system calls and the like without leaving translated code */
    bool single;             /* one instruction a block */
    bool lockstep;           /* compare with the interpreter after every block */
    uint64_t tb_size;        /* MiB for emitted code */
    uint64_t window_pages;   /* mapped in a window at most (runs, in the supervisor's) */
    uint64_t lockstep_limit; /* instructions to compare before it ends; 0: no end */
    /* For logs and profilers, on the vCPU's thread with SIMD state saved; each may be NULL. */
    void (*made)(void *opaque, const struct translator_made *made); /* a block has been translated */
    void (*flushed)(void *opaque);                                  /* all of them are gone */
    void (*enters)(void *opaque, const struct vcpu *v);             /* a block is about to run */
    struct ranges enters_at; /* linear addresses of blocks that `enters` wants to hear of; those are not chained */
    void *hooks_opaque;
};

struct translator_stats {
    uint64_t blocks, guest_instructions, guest_bytes, host_bytes, cold_bytes; /* translated */
    uint64_t translation_ns;                                                  /* spent on that */
    uint64_t entries, exits[16];                                              /* by enum vcpu_exit_reason */
    uint64_t chained, lookups, jump_cache_fills;
    uint64_t relocated; /* blocks made by copying */
    uint64_t invalidated_blocks, code_writes, cache_flushes;
    uint64_t memory_slow, memory_bounce, callouts, signals, lockstep_blocks, lockstep_instructions, group_failures;
    uint64_t loose_operands; /* patch.c */
    uint64_t window_signals, window_unsuitable;
};

/* Instructions in the blocks that the code cache holds: the guest's, and those made from them. */
struct translator_expansion {
    uint64_t guest, host, host_cold;
};

struct translator;

void translator_default_options(struct translator_options *options);
/* "chain=off,group=off,lockstep-limit=20000000..." as given to -accel behind "bt,". Errors: -EINVAL with the known
   names. */
int translator_parse_options(struct translator_options *options, const char *text, struct error *error);

/* Errors: -ENOMEM, -ENOTSUP (host CPU lacks something). Free with translator_destroy. */
struct translator *translator_create(struct ram *ram, const struct translator_options *options,
                                     struct error *error);
void translator_destroy(struct translator *t);

int translator_attach(struct translator *t, struct vcpu *v, struct error *error);
void translator_detach(struct translator *t, struct vcpu *v);

int translator_thread_enter(struct translator *t, struct vcpu *v, struct error *error);
void translator_thread_leave(struct translator *t, struct vcpu *v);

/*
 * Runs v until something needs the machine; v->exit says what: EXIT_REQUEST, EXIT_HLT, EXIT_TRIPLE_FAULT,
 * EXIT_INTERPRET (the caller runs cpu_step once), EXIT_LIMIT. v->simd_live is false on return.
 */
void translator_run(struct translator *t, struct vcpu *v);

/* Translates the code at v->rip, without running it: its guest bytes, or 0 if the interpreter has to run what is
   there. */
unsigned translator_translate(struct translator *t, struct vcpu *v);

/* What translator_kick sends: the process handles it by translator_handle_signal, and holds it off (sa_mask) in
   its handlers of other signals. */
#define TRANSLATOR_SIGNAL SIGUSR1
/* Makes a running translator_run of v return soon. From any thread, after setting v->exit_request. */
void translator_kick(struct vcpu *v);

/* As a trace_hook's tell, opaque being a vCPU that the translator runs: simd_tell (cpu/simd.h), with C's FS base.
 */
void translator_tell(void *v, enum trace_kind kind, const uint64_t value[TRACE_VALUES]);

/* For the process's SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP handlers (siginfo_t *, ucontext_t *): true if the
   fault came from translated code and has been taken care of. */
bool translator_handle_signal(int number, void *info, void *context);
/* Every handler of a signal that may interrupt translated code begins and ends with these, on the alternate stack,
   and uses no thread-local variable outside (the stack protector's is one): translated code may have the FS base
   for itself. What the first returns is for the second. */
uint64_t translator_signal_enter(void);
void translator_signal_leave(uint64_t fs);
/* Is the host address in code that has been emitted for v? */
bool translator_holds_code(struct vcpu *v, intptr_t address);
/* The block that the host address is in the code of; guest: as its bytes are now, those in its first page; NULL if
   that is not in RAM. false: there is none. */
bool translator_find_code(struct vcpu *v, intptr_t address, struct translator_made *made);

/* Memory was written behind the vCPUs' back (DMA, loaders): drops code made from it. */
void translator_invalidate(struct translator *t, gpa_t gpa, uint64_t size);

/* Host code that belongs to no block: how translated code is entered, left, and calls C. */
const void *translator_permanent_code(const struct translator *t, size_t *size);

const struct translator_stats *translator_get_stats(const struct translator *t);
/* Takes about 0.1 s for a million instructions. */
void translator_measure_expansion(const struct translator *t, struct translator_expansion *out);

/* From now on translator_run comes back with EXIT_STEP in front of each of these `count` linear addresses (all of
   them: they replace the last ones). No translated block has one in its middle or begins at one, so code away from
   them costs nothing. On v's thread, outside of translator_run. -E2BIG: more than TRANSLATOR_BREAKPOINTS. */
#define TRANSLATOR_BREAKPOINTS 64
int translator_set_breakpoints(struct translator *t, struct vcpu *v, const gva_t *address, unsigned count);

/* A translated block, for people. */
struct translator_block {
    uint64_t pc; /* linear, or the offset in a code segment that is not flat */
    gpa_t gpa;
    uint32_t mode;                      /* MODE_* */
    unsigned guest_bytes, instructions; /* of guest code */
    unsigned host_bytes, cold_bytes;    /* emitted; the second seldom runs */
    unsigned links;                     /* jumps that lead straight to it */
    unsigned samples;                   /* of the sampler (translator_note_sample) that found it running */
};
/* The next one at or behind *index in the order of their making, and moves *index behind it; false: there are no
   more. On the thread of the translator's vCPU, outside of translator_run. */
bool translator_next_block(const struct translator *t, size_t *index, struct translator_block *block);
/* Counts one sample for the block that holds this host address. In a signal handler of v's thread. */
void translator_note_sample(struct vcpu *v, intptr_t address);

#endif
