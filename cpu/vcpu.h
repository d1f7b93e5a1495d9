/*
 * vcpu.h - the state of one virtual CPU, and how it stops.
 *
 * State is grouped by owner: architectural (what a snapshot saves), derived (rebuilt by cpu_update_mode
 * and mmu_configure), run-time (of the thread that runs the vCPU) and cross-thread (atomic). Emitted code
 * reaches the fields through the GS base, so their offsets matter, their order only where translator/crossing.c
 * says so.
 */
#ifndef NOVT_CPU_VCPU_H
#define NOVT_CPU_VCPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/activity.h"
#include "cpu/mode.h"
#include "cpu/recent.h"
#include "cpu/registers.h"
#include "memory/mmu.h"

/*
 * How a function of cpu/ ended. Everything but CPU_OK goes up the call chain unchanged; nothing
 * architectural has changed then, except that CPU_EXIT says in vcpu->exit what has been done.
 */
enum cpu_status {
    CPU_OK,
    CPU_FAULT,     /* vcpu->fault holds the guest exception to deliver */
    CPU_NEED_FULL, /* simd_live is set and this needs code that may use SIMD: call again after saving it */
    CPU_EXIT       /* leave the run loop's inner part: vcpu->exit */
};

struct cpu_fault {
    uint8_t vector;
    bool has_error;
    bool is_trap; /* RIP already points behind the instruction (#DB traps, INT3, INTO, INT n) */
    uint32_t error;
    uint64_t address; /* CR2 for #PF; DR6 bits to set for #DB */
};

enum vcpu_exit_reason {
    EXIT_NONE,
    EXIT_REQUEST,      /* exit_request was set: look at interrupts and requests */
    EXIT_HLT,          /* vcpu->halted is set */
    EXIT_TRIPLE_FAULT, /* shutdown state (SDM vol. 3, 6.15) */
    EXIT_TRANSLATE,    /* bt: no block for the current state */
    EXIT_INTERPRET,    /* bt: the instruction at RIP must be run by cpu_step with SIMD state saved */
    EXIT_CHAIN,        /* bt: a direct exit that is not linked yet */
    EXIT_STEP,         /* debugger: a single step is done, or a breakpoint is hit */
    EXIT_LIMIT         /* bt: lock-step has compared as much as was asked for */
};

struct vcpu_exit {
    enum vcpu_exit_reason reason;
    uint64_t detail; /* by reason */
};

/* What the machine gives a vCPU: devices seen from cpu/. All are called with SIMD state saved and may
   take locks. `opaque` is vcpu->ops_opaque. */
struct vcpu_ops {
    uint32_t (*io_read)(void *opaque, uint16_t port, unsigned size);
    void (*io_write)(void *opaque, uint16_t port, uint32_t value, unsigned size);
    /* Highest-priority pending external interrupt, acknowledged; -1 when there is none after all. */
    int (*interrupt_acknowledge)(void *opaque);
    /* MSRs that devices own (APIC base, TSC deadline, x2APIC): false gives the guest #GP. */
    bool (*msr_read)(void *opaque, uint32_t msr, uint64_t *value);
    bool (*msr_write)(void *opaque, uint32_t msr, uint64_t value);
    uint64_t (*cr8_read)(void *opaque); /* TPR bits 7-4 */
    void (*cr8_write)(void *opaque, uint64_t value);
    /* A line for the log, under a topic of -d ("int", "guest_errors"). */
    void (*log)(void *opaque, const char *topic, const char *text);
    /* " <name+0x10>" of a linear address, or "", to be put behind it; good until the next call. NULL: no names. */
    const char *(*name)(void *opaque, gva_t address);
    /* What ram->trace tells, by way of simd_tell. NULL: not now. */
    void (*tell)(void *opaque, enum trace_kind kind, const uint64_t value[TRACE_VALUES]);
};

#define VCPU_CLOSED (1ull << 62)
#define XSAVE_AREA_SIZE 4096u
#define VCPU_TRANSLATOR_AREA (24u << 20)

/* vcpu->log_topics */
#define VCPU_LOG_INT 1u          /* "int": every exception and interrupt */
#define VCPU_LOG_GUEST_ERRORS 2u /* "guest_errors": unknown MSRs and the like, once each */
#define VCPU_MSR_LOGGED 32u

struct vcpu_stats {
    uint64_t interpreted; /* instructions run by cpu_step */
    uint64_t exceptions[32], interrupts, syscalls, halts;
    uint64_t pauses; /* sleeps in a spin (pause.c) */
    uint64_t samples[ACTIVITY_COUNT];
};

struct cpu_model; /* cpuid.h */

struct vcpu {
    /* --- architectural ---
       gpr, rip and rflags are exact whenever C code runs. */
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    struct segment seg[SEG_COUNT], ldtr, tr;
    struct table_register gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, xcr0, efer;
    uint64_t dr[8]; /* 4 and 5 unused */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, misc_enable, spec_ctrl, mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
    int64_t tsc_offset;        /* guest TSC = host TSC + tsc_offset */
    int64_t tsc_adjust;        /* IA32_TSC_ADJUST */
    uint64_t hwcr, mcg_status; /* MSRs that only remember what was written */
    uint64_t debug_pending;    /* DR6 bits of data breakpoints hit, #DB not yet delivered */
    bool interrupt_shadow;     /* after STI, MOV SS or POP SS: for one instruction */
    bool debug_shadow;         /* after MOV SS or POP SS: #DB too is held off */
    bool nmi_blocked;          /* until IRET */
    bool halted;
    _Alignas(64) uint8_t xsave[XSAVE_AREA_SIZE]; /* standard-format XSAVE image; see simd_live */

    /* --- derived --- */
    uint32_t mode; /* MODE_* */
    uint8_t cpl;
    uint8_t data_context, fetch_context; /* enum mmu_context */
    /* Outside of 64-bit mode: how many bytes of each segment, from offset 0, may be read [0] and written [1]; 0
       where that takes a closer look. Those of CS and SS are not kept in 32-bit code while MODE_FLAT is set. */
    uint64_t span[2][SEG_COUNT];
    /* Of FS and GS there: 0 if every offset of 32 bits may be read and written; else VCPU_CLOSED, which makes a
       non-canonical address of any address that it is added to. */
    uint64_t closed[SEG_COUNT];
    uint64_t simd_mask; /* XSAVE components that the host's registers hold and xsave[] keeps */
    const struct cpu_model *model;

    /* --- run time --- */
    struct cpu_fault fault;
    struct vcpu_exit exit;
    bool simd_live; /* the guest's SIMD and x87 state is in the host's registers, not in xsave[] */
    const struct vcpu_ops *ops;
    void *ops_opaque;
    uint32_t log_topics;                  /* VCPU_LOG_*: what ops->log wants to hear of */
    uint32_t msr_logged[VCPU_MSR_LOGGED]; /* unknown MSRs told of already */
    uint32_t msr_logged_count;
    struct cpu_write_log *write_log; /* access.h; NULL: none */
    struct cpu_interp *interp;       /* interp.c's decoded instructions */
    struct cpu_native *native;       /* native.c's stubs for single SIMD instructions */
    struct {
        uint64_t last, since; /* host TSC: the last PAUSE, the first of those that came close behind one another */
    } spin;
    struct vcpu_stats stats;
    struct recent recent;
    volatile uint8_t activity; /* enum cpu_activity */
    void *engine;              /* of an engine that other threads must find: its own */

    /* --- cross-thread --- */
    atomic_uint exit_request;   /* nonzero: leave translated code soon */
    atomic_bool interrupt_line; /* INTR: level, driven by the interrupt controllers */
    atomic_bool nmi_pending;

    struct mmu mmu; /* derived; near the end because it is large */

    /* Floor 3's own part (translator/internal.h), here so that emitted code reaches it through GS as well. */
    _Alignas(4096) uint8_t translator_area[VCPU_TRANSLATOR_AREA];
};

static inline uint64_t cpu_current_tsc(const struct vcpu *v)
{
    return __builtin_ia32_rdtsc() + (uint64_t)v->tsc_offset;
}

/* Address space at a vCPU: it, and behind it a 32-bit window or the probe table of a 64-bit one. */
#define VCPU_RESERVED (sizeof(struct vcpu) + WINDOW_TABLE_SIZE)

/* Power-on or INIT state (SDM vol. 3, 9.1.1); the SIMD state is initialised too. Allocate with
   vcpu_create (aligned, zeroed), free with vcpu_destroy. */
struct vcpu *vcpu_create(struct ram *ram, const struct cpu_model *model);
void vcpu_destroy(struct vcpu *v);
void vcpu_reset(struct vcpu *v);

/* Recomputes mode, cpl, contexts after a change of CR0, CR4, EFER, XCR0, CS, SS, RFLAGS system bits or DR7. */
void cpu_update_mode(struct vcpu *v);

/* The same when nothing but CS, SS and RFLAGS has changed. */
void cpu_update_level(struct vcpu *v);
/* The same when CS and SS are flat (SYSCALL and its kin): cheaper. */
void cpu_update_flat_level(struct vcpu *v);
/* The same when nothing but one segment register has changed. */
void cpu_update_segment(struct vcpu *v, unsigned seg);
/* Recomputes v->span and v->closed of the segment; enough after a change of FS or GS. */
void cpu_update_span(struct vcpu *v, unsigned seg);

/* Fills v->fault and returns CPU_FAULT. */
enum cpu_status cpu_raise(struct vcpu *v, enum cpu_vector vector);
enum cpu_status cpu_raise_error(struct vcpu *v, enum cpu_vector vector, uint32_t error);

#endif
