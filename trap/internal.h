/*
 * internal.h - shared by the trap room's files.
 */
#ifndef NOVT_TRAP_INTERNAL_H
#define NOVT_TRAP_INTERNAL_H

#include <sys/types.h>

#include "cpu/vcpu.h"
#include "trap/table.h"
#include "trap/trap.h"

/* The only page of a child that is not the guest's: the last one of the user half. It is full of INT3, but for one
   SYSCALL somewhere in it. */
#define STUB_PAGE 0x7fffffffe000ull
#define STUB_SYSCALL (STUB_PAGE + 0x5e4)
#define LOWEST_PAGE 0x10000ull /* that may be mapped (vm.mmap_min_addr) */
#define HOST_CS64 0x33u /* selectors of the host's GDT that user code may load: arch/x86/include/asm/segment.h */
#define HOST_CS32 0x23u
#define HOST_DS 0x2bu

/* --- space.c: which guest pages a child has mapped, as a cache of the guest's page tables --- */

#define RIGHT_READ 1u
#define RIGHT_WRITE 2u
#define RIGHT_EXECUTE 4u
#define SPACE_SLOTS 65536u
#define SPACE_PAGES 24576u /* at most: a process may have 65530 mappings */

struct space_slot {
    gva_t page;     /* with the space's generation in the low bits; of another one: free */
    uint64_t value; /* offset in the memfd, RIGHT_*; without rights: not mapped */
};

struct space {
    uint32_t generation, count; /* count: slots in use, mapped or not */
    uint32_t seen_flush, seen_page_flush;
    struct space_slot slot[SPACE_SLOTS];
};

/* --- child.c --- */

/* As PTRACE_GETREGS has them: struct user_regs_struct of <sys/user.h>, which also has other names of ours. */
struct child_registers {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags,
        rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

enum child_kind { CHILD_SUPERVISOR, CHILD_USER, CHILDREN };

struct child {
    pid_t pid; /* 0: none */
    int pidfd;
    struct child_registers regs; /* as they were at its last stop, or set for the next run */
    struct space *space;
    uint64_t id;      /* FLAG_ID as it has it */
    uint64_t user_us; /* of CPU time; known when it has ended */
};

#define XSTATE_MAX 16384u

/* Counters; the names are in options.c. */
enum trap_counter {
    COUNT_RUNS,
    COUNT_PAGE_FAULTS,
    COUNT_EXCEPTIONS,
    COUNT_KICKS,
    COUNT_OTHER_TRAPS,
    COUNT_MAPPED,
    COUNT_FLUSHES,
    COUNT_PAGE_FLUSHES,
    COUNT_HELD,      /* instructions interpreted because the host's user mode cannot hold them ... */
    COUNT_HELD_MODE, /* ... 16-bit code, real and virtual-8086 mode */
    COUNT_HELD_SEGMENTS,
    COUNT_HELD_ADDRESS,
    COUNT_HELD_SINGLE,
    COUNT_HELD_OTHER,
    COUNT_CHECKED,
    COUNT_DIFFERENCES,
    COUNTERS
};

struct check;

struct trap {
    struct vcpu *v;
    struct trap_options options;
    struct child child[CHILDREN];
    struct child *simd; /* who has the guest's SIMD state; NULL: v->xsave */
    _Atomic(struct child *) running;
    struct check *check; /* NULL: off */
    struct error *error; /* of the current trap_run */
    uint64_t count[COUNTERS], traps[TRAP_ROWS], differs[TRAP_ROWS];
    uint64_t nameless;                       /* differences of instructions that are not in the table */
    _Alignas(64) uint8_t xstate[XSTATE_MAX]; /* as ptrace gives and takes it */
    size_t xstate_size;
    uint32_t simd_size; /* bytes of it that v->xsave has as well */
};

/* Starts one, stopped, with nothing mapped but the stub. Errors: -EPERM and others, with a text. */
int child_start(struct child *c, int ram_fd, struct error *error);
void child_kill(struct child *c);
void child_end(struct child *c); /* and it cannot be signalled any more */
/* Runs guest code from c->regs until a stop, and fetches c->regs. request: PTRACE_SYSEMU or
   PTRACE_SYSEMU_SINGLESTEP. *status as waitpid gives it. Errors: -ESRCH: it has ended. */
int child_run(struct child *c, int request, int *status);
/* A system call in the child's name: its result. -ESRCH: it has ended. c->regs is left alone. */
long child_call(struct child *c, long number, const uint64_t arguments[6]);
/* In the new process (child_start.c): gives up all it has, and stops for the tracer. Its status, if it ends
   instead, is errno, with CHILD_TRACED set if that came after ptrace was allowed. */
#define CHILD_TRACED 0x80
_Noreturn void child_become_guest(int ram_fd, pid_t parent);

int space_create(struct child *c);
void space_destroy(struct child *c);
/* The rights with which the page is mapped. */
unsigned space_rights(const struct child *c, gva_t page);
/* Follows what the guest has flushed since the last call. Errors: -ESRCH. */
int space_follow(struct trap *t, struct child *c);
/* Maps what the guest's page tables have at this address, if the access that faulted there is allowed by them and
   was not by the mapping: 1. 0: it is the interpreter's. Errors: -ESRCH. */
int space_resolve(struct trap *t, struct child *c, gva_t linear);
/* Maps what the mmu's TLB has at this address, in the interpreter's footsteps. 1, 0 or -ESRCH. */
int space_adopt(struct trap *t, struct child *c, enum mmu_context context, gva_t linear);

/* --- state.c: registers --- */

/* Can the host's user mode hold the guest's state as it is? If not, counts why. */
bool state_is_native(struct trap *t);
/* The vCPU's registers into c->regs, and SIMD state into the child. Errors: -ESRCH. */
int state_to_child(struct trap *t, struct child *c);
/* And back (SIMD state stays where it is). */
void state_from_child(struct trap *t, struct child *c);
/* SIMD state back to v->xsave, and v->simd_live false. */
int state_fetch_simd(struct trap *t);

/* --- emulate.c --- */

/* One instruction by the interpreter, with SIMD state fetched if it needs it. */
enum cpu_status emulate_step(struct trap *t);
/* The same, of an instruction that has trapped: counted by name. */
enum cpu_status emulate_trapped(struct trap *t, enum trap_counter reason);

/* --- stop.c: what made the child stop --- */

/* c has been run and the state fetched. *status: of what was emulated; CPU_OK if the guest just goes on. Errors:
   -ESRCH and others, with a text. */
int stop_handle(struct trap *t, struct child *c, int wait_status, enum cpu_status *status);
int stop_lost(struct trap *t, const struct child *c);

/* --- run.c --- */

/* Runs the guest's state in the child until it stops; it is in c->regs then. *wait_status 0: it was not run,
   because the run loop is wanted. Errors: as stop_handle. */
int run_child(struct trap *t, struct child *c, int request, int *wait_status);

/* --- check.c --- */

struct check *check_create(void);
void check_destroy(struct check *check);
/* One instruction, by both engines. As stop_handle. -ECANCELED: they differ. */
int check_step(struct trap *t, struct child *c, enum cpu_status *status);

#endif
