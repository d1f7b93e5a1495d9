/*
 * insn.h - the instruction test: cases, the native oracle and the engines under test.
 *
 * A case is a snippet of user-mode code, a state to start from and an image of the data area. It runs on the host
 * itself (native.c) and in a small guest at CPL 3 under an engine (engine.c), at the same linear addresses,
 * and ends either at one of the exit addresses or with an exception. Both results must be equal.
 *
 * The code is 64-, 32- or 16-bit: the host runs the narrow ones in compatibility mode, with segments of an LDT.
 * The guest then is a machine in compatibility mode too, or one in protected mode with PAE paging; 16-bit code may
 * also run in virtual-8086 mode, against segments of the host's LDT that look like real-mode ones.
 */
#ifndef NOVT_TESTS_INSN_H
#define NOVT_TESTS_INSN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Linear addresses, the same in the test process and in the guest; all below 2 GiB, for 0x67 and disp32, and in
   virtual-8086 mode below 1 MiB. */
struct insn_layout {
    uint64_t data, code;
};
extern struct insn_layout insn_layout; /* main.c; set before anything else */
#define INSN_DATA_HIGH 0x10000000u
#define INSN_CODE_HIGH 0x20000000u
#define INSN_DATA_LOW 0x30000u
#define INSN_CODE_LOW 0x50000u
#define INSN_DATA insn_layout.data
#define INSN_DATA_SIZE 0x4000u  /* readable and writable */
#define INSN_DATA_CONST 0x1000u /* then one page that is only readable, then nothing */
#define INSN_CODE insn_layout.code
#define INSN_SLOT 256u /* bytes of code area a case has */
#define INSN_BATCH 256u
/* Page ends, and the end of the first 64 KiB, lie within slots. */
#define INSN_SLOT_AT(slot) (176u + (slot)*INSN_SLOT)
#define INSN_CODE_SIZE (INSN_BATCH * INSN_SLOT + 4096u)
#define INSN_EXIT 0x20100000ull /* exit n is at INSN_EXIT + 32 n */
#define INSN_EXITS 4u
#define INSN_EXIT32 (INSN_EXIT + 0x800) /* the same for 32-bit code */

#define INSN_IMAGES 8u
#define INSN_POKES 4u
#define INSN_NO_FAULT 0xffu
#define INSN_NO_FRAME 0xfeu /* it stopped in the kernel without an exception from user mode (SYSCALL) */
#define INSN_XSAVE_SIZE 4096u
#define INSN_MAX_STEPS 8u

enum insn_mode { INSN_64, INSN_32, INSN_16 };
/* The guest is in long mode, in protected mode with PAE paging, or there and in virtual-8086 mode. */
enum insn_machine { INSN_LONG, INSN_PROTECTED, INSN_V86 };
enum { S_ES, S_CS, S_SS, S_DS, S_FS, S_GS, S_COUNT };
enum { R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI, R_8, R_9, R_10, R_11, R_12, R_13, R_14, R_15 };

#define FL_ARITH 0x8d5u
#define FL_DF 0x400u
#define FL_COMPARED (FL_ARITH | FL_DF | 0x244000u) /* and ID, AC, NT */

struct insn_random;

struct insn_state {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    uint64_t fs_base, gs_base;
    uint16_t seg[S_COUNT];
    uint32_t vector; /* exception that ended it, or INSN_NO_FAULT, INSN_NO_FRAME */
    uint32_t error;  /* of #TS, #NP, #SS, #GP, #PF */
    uint64_t cr2;
    uint32_t exit;                               /* which exit was reached */
    uint32_t hung;                               /* the engine did not come to an end */
    _Alignas(64) uint8_t xsave[INSN_XSAVE_SIZE]; /* standard format */
};

struct insn_poke {
    uint32_t offset; /* in the data area */
    uint64_t value;
};

struct insn_case {
    uint64_t index;
    uint32_t slot;
    uint32_t length; /* bytes of code, without the jump to the exit */
    uint64_t start;  /* linear address of the first instruction */
    enum insn_mode mode;
    bool v86; /* seg[] of the states holds the host's selectors all the same */
    uint8_t code[INSN_SLOT];
    uint8_t code_length; /* with the jump */
    uint32_t image;
    struct insn_poke poke[INSN_POKES];
    unsigned pokes;
    uint32_t hole_at, hole_size; /* bytes of the data area that are not compared */
    uint32_t undefined;          /* flags that no engine needs to get right */
    uint32_t undefined_fault;    /* the same when it ends with an exception */
    bool cr2_free;               /* two operands may fault, in either order */
    bool reaching_free; /* whether an operand is reached, or something else comes first, is the processor's */
    /* x87 to AVX-512: masked ones fault at the first element that counts */
    bool vector;
    bool partial; /* memory and vector registers may be half written when it faults (XSAVE, scatter...) */
    bool partial_registers; /* the same for general registers (POPA) */
    uint16_t mnemonic;      /* of the first instruction */
    unsigned steps;         /* instructions */
    struct insn_state in, expected;
    uint8_t expected_data[INSN_DATA_SIZE];
};

/* --- generate.c and forms.c --- */
struct insn_generator;
struct insn_generator *insn_generator_create(uint64_t seed, const char *only, enum insn_mode mode,
                                             enum insn_machine machine);
void insn_generator_destroy(struct insn_generator *g);
/* Drops the forms for which `usable` says no (the host does not have them). */
void insn_generator_probe(struct insn_generator *g, bool (*usable)(struct insn_case *c));
unsigned insn_generator_forms(const struct insn_generator *g);
/* Deterministic in seed and index. max_steps: 1 for single instructions. */
void insn_generate(struct insn_generator *g, struct insn_case *c, uint64_t index, unsigned max_steps);
const uint8_t *insn_image(const struct insn_generator *g, unsigned image);
const uint8_t *insn_const_page(const struct insn_generator *g);
const char *insn_mnemonic_name(uint16_t mnemonic);

/* --- segments.c: the segments of 16- and 32-bit code --- */
#define INSN_LDT_ENTRIES 32u
struct insn_segment {
    uint32_t base, limit; /* the limit as the descriptor has it */
    bool code, exec_only_or_read_only, expand_down, big, pages, absent;
};
/* Of an LDT entry; NULL for one that is not in use. */
const struct insn_segment *insn_ldt_entry(unsigned index);
/* Base and size (SS.B, CS.D) that a selector stands for; the flat ones of the GDT too. */
uint32_t insn_segment_base(uint16_t selector);
bool insn_segment_big(uint16_t selector);
/* Start values of the segment registers; mostly such that all of the data area is reached when `plain`. */
void insn_segments_pick(struct insn_random *r, enum insn_mode mode, bool plain, uint16_t seg[S_COUNT]);
/* The same in virtual-8086 mode, and the paragraph that stands for such a selector there. */
void insn_segments_pick_v86(struct insn_random *r, uint16_t seg[S_COUNT]);
uint16_t insn_paragraph(uint16_t selector);
uint16_t insn_selector_of_paragraph(uint16_t paragraph);
/* A selector for an instruction that loads one or asks about one, some of them bad. code64: 0x33 too, which is
   64-bit code on the host. */
uint16_t insn_selector_pick(struct insn_random *r, bool code64);
/* A code segment; *mode says of which size. */
uint16_t insn_code_selector_pick(struct insn_random *r, enum insn_mode *mode);

/* --- native.c --- */
int insn_native_open(void);
/* Between begin and end the process has signal handlers of its own and the areas are accessible. */
void insn_native_begin(void);
void insn_native_end(void);
void insn_native_set_const(const uint8_t *page);
/* Places the code of a case; all of a batch are placed before any is run. */
void insn_native_place(const struct insn_case *c);
void insn_native_run(struct insn_case *c, const uint8_t *image);
/* Fills the whole code area with INT3, in the other engines too: what a case has written there is gone. */
void insn_native_clear_code(void);
unsigned insn_xsave_size(void);

/* --- xstate.c --- */
/* Fills the components that are in their initial state (SDM vol. 1, 13.6). */
void insn_xstate_normalise(uint8_t *xsave);
/* Offset of a component in the standard format. */
unsigned insn_xstate_offset(unsigned component);
uint64_t insn_xstate_mask(void);

/* --- engine.c --- */
enum insn_engine_kind { INSN_INTERP, INSN_BT };
struct insn_engine;
/* cpu: as -cpu; NULL: max, what the host has. */
struct insn_engine *insn_engine_open(enum insn_engine_kind kind, enum insn_machine machine, const char *cpu,
                                     const char *options);
void insn_engine_close(struct insn_engine *e);
void insn_engine_begin(struct insn_engine *e, const uint8_t *const_page);
void insn_engine_end(struct insn_engine *e);
void insn_engine_place(struct insn_engine *e, const struct insn_case *c);
/* After all of a batch are placed. */
void insn_engine_placed(struct insn_engine *e);
void insn_engine_run(struct insn_engine *e, const struct insn_case *c, const uint8_t *image,
                     struct insn_state *out, uint8_t **data);
const char *insn_engine_name(enum insn_engine_kind kind);
/* Ends the run that is going on, which counts as hung then; for a signal handler. Only for the translator. */
void insn_engine_stop(struct insn_engine *e);
/* From now on its translated code is stopped all the time, at random, and goes on. */
void insn_engine_kick(struct insn_engine *e);

/* --- kicks.c --- */
struct vcpu;
struct insn_kicks *insn_kicks_start(struct vcpu *v);
void insn_kicks_want(struct insn_kicks *k, bool wanted);
void insn_kicks_stop(struct insn_kicks *k);
void insn_engine_clear_code(struct insn_engine *e);
const uint8_t *insn_engine_code(const struct insn_engine *e); /* INSN_CODE_SIZE bytes */
/* Maps 2 MiB, for the user, writable, to a large page that nothing else uses; that page. */
void insn_engine_map_large(struct insn_engine *e, uint64_t linear);
uint8_t *insn_engine_large(const struct insn_engine *e);
struct translator_stats;
const struct translator_stats *insn_engine_stats(const struct insn_engine *e); /* of the translator */
struct vcpu;
/* The interpreter asks before each instruction; false: it stops, and the run counts as hung. */
void insn_engine_watch(struct insn_engine *e, bool (*watch)(void *opaque, const struct vcpu *v), void *opaque);

/* --- signals.c: host signals that belong to an engine --- */
void insn_signals_begin(struct vcpu *v);
void insn_signals_end(void);
/* The case to blame for a crash. */
void insn_signals_case(const struct insn_case *c);

/* --- compare.c --- */
/* Writes what differs to `out`; the number of differences. */
unsigned insn_compare(const struct insn_case *c, const struct insn_state *got, const uint8_t *data, FILE *out);
void insn_report(const struct insn_case *c, const struct insn_state *got, const uint8_t *data, FILE *out);

/* --- random.h-like helper: xorshift64* --- */
struct insn_random {
    uint64_t s;
};

static inline uint64_t insn_random(struct insn_random *r)
{
    uint64_t z = (r->s += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline unsigned insn_below(struct insn_random *r, unsigned n)
{
    return (unsigned)((insn_random(r) >> 32) * n >> 32);
}

static inline bool insn_chance(struct insn_random *r, unsigned percent)
{
    return insn_below(r, 100) < percent;
}

#endif
