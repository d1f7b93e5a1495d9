/*
 * vcpu.h - the state of one virtual CPU, and how it stops.
 *
 * State is grouped by owner: architectural (what a snapshot saves), derived (rebuilt by cpu_update_mode
 * and mmu_configure), run-time (of the thread that runs the vCPU) and cross-thread (atomic). Emitted code
 * reaches the fields through the GS base, so their offsets matter, their order does not.
 */
#ifndef NOVT_CPU_VCPU_H
#define NOVT_CPU_VCPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/mmu.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* RFLAGS (SDM vol. 1, 3.4.3) */
#define FLAG_CF 0x1u
#define FLAG_PF 0x4u
#define FLAG_AF 0x10u
#define FLAG_ZF 0x40u
#define FLAG_SF 0x80u
#define FLAG_TF 0x100u
#define FLAG_IF 0x200u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u
#define FLAG_IOPL 0x3000u
#define FLAG_NT 0x4000u
#define FLAG_RF 0x10000u
#define FLAG_VM 0x20000u
#define FLAG_AC 0x40000u
#define FLAG_VIF 0x80000u
#define FLAG_VIP 0x100000u
#define FLAG_ID 0x200000u
#define FLAG_FIXED 0x2u
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* CR0, CR4, EFER (SDM vol. 3, 2.5 and 2.2.1) */
#define CR0_PE 0x1u
#define CR0_MP 0x2u
#define CR0_EM 0x4u
#define CR0_TS 0x8u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_AM 0x40000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR3_NO_FLUSH (1ull << 63) /* in what MOV to CR3 writes, with CR4.PCIDE */
#define CR4_VME 0x1u
#define CR4_PVI 0x2u
#define CR4_TSD 0x4u
#define CR4_DE 0x8u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_MCE 0x40u
#define CR4_PGE 0x80u
#define CR4_PCE 0x100u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define CR4_UMIP 0x800u
#define CR4_FSGSBASE 0x10000u
#define CR4_PCIDE 0x20000u
#define CR4_OSXSAVE 0x40000u
#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define EFER_SCE 0x1u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define EFER_NXE 0x800u

enum cpu_vector {
    EXC_DE,
    EXC_DB,
    EXC_NMI,
    EXC_BP,
    EXC_OF,
    EXC_BR,
    EXC_UD,
    EXC_NM,
    EXC_DF,
    EXC_TS = 10,
    EXC_NP,
    EXC_SS,
    EXC_GP,
    EXC_PF,
    EXC_MF = 16,
    EXC_AC,
    EXC_MC,
    EXC_XM
};

/* A segment register with its descriptor cache (SDM vol. 3, 3.4.3). */
struct segment {
    uint16_t selector;
    uint16_t attributes; /* descriptor bits 40-47 in 0-7, 52-55 in 8-11: see SEGATTR_* */
    uint32_t limit;      /* in bytes, granularity applied */
    uint64_t base;
};
#define SEGATTR_TYPE 0xfu
#define SEGATTR_S 0x10u
#define SEGATTR_DPL(a) (((a) >> 5) & 3u)
#define SEGATTR_P 0x80u
#define SEGATTR_AVL 0x100u
#define SEGATTR_L 0x200u
#define SEGATTR_DB 0x400u
#define SEGATTR_G 0x800u

struct table_register {
    uint64_t base;
    uint16_t limit;
};

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
    /* A line for the log, under a topic of -d ("int", "guest_errors", "cpu"). */
    void (*log)(void *opaque, const char *topic, const char *text);
};

/*
 * What translated code depends on besides the address: part of a block's key.
 * cpu_update_mode keeps it. Bits:
 */
#define MODE_CPL 0x3u    /* current privilege level; 3 in virtual-8086 mode */
#define MODE_CODE16 0x0u /* CS default size */
#define MODE_CODE32 0x4u
#define MODE_CODE64 0x8u
#define MODE_CODE_MASK 0xcu
#define MODE_SS32 0x10u /* SS.B (or 64-bit mode) */
#define MODE_PE 0x20u   /* protected mode */
#define MODE_VM 0x40u   /* virtual-8086 mode */
#define MODE_AC 0x80u   /* MMU_SUPERVISOR_AC is the data context */
#define MODE_X87 0x100u /* x87/MMX do not give #NM or #UD (CR0.EM, CR0.TS) */
#define MODE_SSE 0x200u /* SSE usable (CR4.OSFXSR, CR0.EM, CR0.TS) */
#define MODE_AVX 0x400u /* AVX usable (CR4.OSXSAVE, XCR0, CR0.TS) */
#define MODE_AVX512 0x800u
#define MODE_TSD 0x1000u  /* RDTSC gives #GP here (CR4.TSD and CPL > 0) */
#define MODE_IOPL 0x2000u /* CPL <= IOPL: CLI and STI allowed */
#define MODE_FSGSBASE 0x4000u
#define MODE_UMIP 0x8000u /* UMIP set and CPL > 0: SGDT and friends give #GP */
/* 32-bit protected mode whose CS, DS, ES and SS have base 0, no limit below 4 GiB, and are usable, DS ES SS
   writable; or 64-bit mode. */
#define MODE_FLAT 0x10000u
#define MODE_LMA 0x20000u /* long mode active */
#define MODE_SINGLE                                                                                               \
    0x40000u /* TF, DR7, alignment checks or a debugger: one instruction at a time, by the interpreter */
#define MODE_SMAP 0x100000u /* CR4.SMAP: STAC and CLAC change the data context */
#define MODE_TS 0x80000u    /* CR0.TS: #NM rather than #UD where usable otherwise */

#define XSAVE_AREA_SIZE 4096u
#define VCPU_TRANSLATOR_AREA (16u << 20)

/* vcpu->log_topics */
#define VCPU_LOG_INT 1u          /* "int": every exception and interrupt */
#define VCPU_LOG_GUEST_ERRORS 2u /* "guest_errors": unknown MSRs and the like, once each */
#define VCPU_MSR_LOGGED 32u

struct vcpu_stats {
    uint64_t interpreted; /* instructions run by cpu_step */
    uint64_t exceptions[32], interrupts, syscalls, halts;
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
    uint64_t pat, tsc_aux, misc_enable, mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
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
    struct vcpu_stats stats;

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

/* Address space at a vCPU: it, and the rest of a window's probe table. */
#define VCPU_RESERVED WINDOW_TABLE_SIZE

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
/* Recomputes v->span of the segment; enough after a change of FS or GS. */
void cpu_update_span(struct vcpu *v, unsigned seg);

/* Fills v->fault and returns CPU_FAULT. */
enum cpu_status cpu_raise(struct vcpu *v, enum cpu_vector vector);
enum cpu_status cpu_raise_error(struct vcpu *v, enum cpu_vector vector, uint32_t error);

#endif
