/*
 * internal.h - what the files of translator/ share.
 *
 * Register convention of emitted code (64-bit guest code):
 *
 *   host            holds
 *   rax             scratch
 *   r11             scratch
 *   rsp             return stack: host return addresses of guest calls (stack.c)
 *   r10             guest RAX
 *   r15             guest RSP
 *   the others      the guest register of the same name
 *   vcpu->gpr[]     guest R10, R11, R15 (always there, not in a host register)
 *   GS base         the end of the struct vcpu; behind it a 32-bit window, or the probe table of a 64-bit one
 *
 * 32-bit guest code is emitted as 64-bit host code in the same registers; addresses are computed in 32 bits.
 *
 * Guest arithmetic flags are in the host's flags, or saved in translator_vcpu.flags as AH (LAHF) and AL (OF), or
 * both, or (while only a fault could look at them) not kept but known how to compute (recipe.c): the translator
 * knows which at each point (enum flags_place). DF, IF and the rest are in vcpu->rflags.
 * Guest SIMD state is in the host's registers (vcpu->simd_live).
 */
#ifndef NOVT_TRANSLATOR_INTERNAL_H
#define NOVT_TRANSLATOR_INTERNAL_H

#include "cache/cache.h"
#include "cpu/vcpu.h"
#include "translator/area.h"
#include "translator/callouts.h"
#include "translator/emit.h"
#include "translator/insn.h"
#include "translator/translator.h"

#define MNEMONICS (ZYDIS_MNEMONIC_MAX_VALUE + 1u)
#define FEATURE_SETS (ZYDIS_ISA_SET_MAX_VALUE + 1u)
#define MAX_SIDE_EXITS 7 /* conditional jumps and calls in the middle of a block */
/* With the MODE_* bits: the number of the code segment's base and limit, or 0. */
#define MODE_CODE_SEGMENT 0x3fe00000u
#define MODE_CODE_SEGMENT_SHIFT 21
#define MODE_WINDOW 0x40000000u                  /* code that has a window */
#define WINDOW_PROBE "\x65\x67\x45\x0f\xb6\x1b"  /* movzx r11d, byte gs:[r11d] */
#define KWINDOW_PROBE "\x64\x67\x45\x0f\xb6\x1b" /* the same through FS, for the supervisor's */
#define MODE_NO_GROUP 0x80000000u /* with the MODE_* bits in a block's key: translated without groups */
#define UNGROUPED_BYTES 1024u

/* Per instruction of a block, in block->map: for host faults. */
struct insn_map {
    uint32_t host_end;             /* offset from block->code of the first byte behind its hot code */
    uint8_t length;                /* guest bytes */
    uint8_t flags_saved_start : 1; /* at its first host instruction the flags are in memory */
    uint8_t flags_saved_work : 1;  /* at the host instruction that does the work */
    uint8_t by_interpreter : 1;    /* a callout has the interpreter run it, with SIMD state live */
    uint8_t to_run_loop : 1;       /* lock-step: not run here */
    uint8_t repeats : 1;   /* REP in a window, to its end; the flags of its accesses are flags_saved_work's */
    uint8_t borrowing : 1; /* the values of block.borrowed are in borrowed_value[] */
    uint8_t borrowed[2];   /* guest registers that are in spill[] while it runs; 0: none (RAX never is) */
    uint16_t recipe;       /* flags_saved_*: the flags are not in memory, but to be computed; 0: they are */
    int16_t rsp_lag;       /* added to the host's, it is the guest's RSP at its start */
    /* Offset from block->code where it starts, if it leaves the block by other ways than an exit, or goes round in
       it: there it can be stopped (stop.c). Else STOP_NOWHERE. */
    uint16_t stop_at : 15;
    uint16_t in_shadow : 1; /* it is the instruction behind an STI */
};
#define STOP_NOWHERE 0x7fffu

/* By instruction of the block. */
static inline const struct insn_map *block_map(const struct block *b)
{
    return (const struct insn_map *)(const void *)b->map;
}

/* How to compute the arithmetic flags again. ADD, SUB: `result` is the sum or difference, `other` what was added
   or subtracted. CMP, TEST: of the two as they are. NEG: `result` is the negative. The registers are guest
   registers. */
struct flags_recipe {
    uint8_t kind; /* enum recipe_kind */
    uint8_t size; /* 0, 1, 2, 3 for 8, 16, 32, 64 bits */
    uint8_t result;
    uint8_t other; /* or RECIPE_IMMEDIATE */
    int32_t immediate;
};
enum recipe_kind { RECIPE_ADD, RECIPE_SUB, RECIPE_CMP, RECIPE_TEST, RECIPE_NEG };
#define RECIPE_IMMEDIATE 16
#define RECIPE_MAX 32768u
#define RECIPE_SLOTS 65536u
#define FLAGS_WORD_PLAIN 0x200u /* LAHF gives AH bit 1 set (SDM vol. 2, LAHF) */

struct translator_code { /* permanent code */
    void (*enter)(struct vcpu *v, const void *host);
    const uint8_t *leave;
    const uint8_t *memory, *commit, *step, *dispatch, *link, *interpret;
    /* Where RET goes without a matching call: from the bottom of the stack; from a site; C. The flags are saved.
     */
    const uint8_t *return_empty, *return_other, *return_c;
    const uint8_t *syscall, *sysret, *sysenter, *sysexit, *iret, *interrupt;
    const uint8_t *crossing[CROSSINGS]; /* the same by a jump, and if it can be without C (crossing.c) */
    /* by register; at CPL 0, 3; any descriptor, or flat ones alone */
    const uint8_t *load_segment, *segment[SEG_COUNT][2][2];
};

/* Guest RAM whose writing has cost blocks (patch.c). */
#define PATCHED_SLOTS 1024u /* by offset in the memfd */
struct patched {
    uint64_t offset;
    uint8_t size, count;
};

#define TIER_FIXED_UNITS 8192u /* of the user half */

struct translator {
    struct translator_options options;
    struct translator_stats stats;
    struct ram *ram;
    struct vcpu *vcpu; /* attached (one for now) */
    struct cache cache;
    struct translator_code code;
    ZydisDecoder decoder64, decoder32, decoder16;
    struct insn insns[BLOCK_MAX_INSNS];
    struct template *templates; /* template.c */
    bool has_modrm[2][256];     /* by opcode, without and behind 0F */
    bool leave_each_block; /* lock-step, options.enters of all: translated code comes back behind every block */
    unsigned max_instructions;           /* of the next block, for lock-step; 0: the usual limit */
    struct lockstep *lockstep;           /* NULL without the option */
    struct lower *lower;                 /* scratch of translator_build */
    uint8_t ungrouped[UNGROUPED_BYTES];  /* bit per hash of an address whose block had better have no groups */
    uint8_t fixed[TIER_FIXED_UNITS / 8]; /* bit per KWINDOW_UNIT of linear addresses: tier_note_fixed */
    bool has_rorx;                       /* the host has BMI2 */
    struct flags_recipe recipe[RECIPE_MAX + 1]; /* from 1 */
    uint32_t recipe_count;
    uint16_t recipe_slot[RECIPE_SLOTS]; /* hash table of numbers; 0: free */
    struct patched patched[PATCHED_SLOTS];
    uint8_t first_row[MNEMONICS];             /* index + 1 in the table of rows.c; 0: none */
    bool lacking[FEATURE_SETS];               /* by enum ZydisISASet */
    gva_t breakpoint[TRANSLATOR_BREAKPOINTS]; /* linear */
    unsigned breakpoint_count;
};

/* The page of a linear address, as host memory; false: that cannot be had. */
typedef bool fetch_function(struct vcpu *v, gva_t linear, const uint8_t **host, gpa_t *gpa);

/* --- pc_load.c --- */
/* How a block being decoded may look at other code of the vCPU's, and what it has come to depend on. */
struct callee {
    struct vcpu *v;
    gpa_t caller; /* the block */
    fetch_function *fetch;
    struct block_part part;
};
/* Is the instruction a CALL of a function that only loads its return address? Then it becomes lower_pc_load's. */
bool pc_load_find(const struct translator *t, uint32_t mode, struct callee *callee, struct insn *in);

/* --- decode.c --- */
/* Decodes up to `max` instructions of `available` bytes at pc, for a block of the mode; stops behind a branch.
 *straddles: the first one needs more bytes than there are. NULL, or how to look at functions that are called, for
   pc_load.c. */
unsigned decode_block(struct translator *t, uint32_t mode, gva_t pc, const uint8_t *bytes, unsigned available,
                      unsigned max, bool *straddles, struct callee *callee);
const ZydisDecoder *decode_decoder(const struct translator *t, uint32_t mode);
void decode_learn(struct translator *t); /* for template.c: which opcodes have a ModRM byte */

/* --- template.c --- */
struct template *template_table(void); /* an empty one; NULL: out of memory. free() it */
/* Where one would be that begins like the instruction at `bytes`. */
struct template_place {
    const struct template *at;
    uint64_t key;
    unsigned head; /* 0: nowhere */
};
void template_seek(const struct translator *t, uint32_t mode, const uint8_t *bytes, unsigned available,
                   struct template_place *place);
/* The instruction's length if one like it has been seen in this mode, or 0. */
unsigned template_length(const struct template_place *place, uint32_t mode, const uint8_t *bytes);
/* It with the values of displacement and immediate in `bytes`; all but .pc. */
void template_take(const struct template_place *place, struct insn *in, const uint8_t *bytes);
/* Was decoded anew. */
void template_keep(struct translator *t, uint32_t mode, const struct insn *in);

/* --- patch.c (no SIMD) --- */
/* Writing [offset, offset + size) of guest RAM has cost a block. */
void patch_note(struct translator *t, uint64_t offset, unsigned size);

/* --- features.c --- */
void features_find_lacking(bool lacking[FEATURE_SETS], const struct cpu_model *model);

/* --- relocate_copy.c, relocate_check.c --- */
/* A block for the bytes at v->rip, which are at gpa, by copying one for another linear address; findable. NULL:
   there is none to copy, or it would have to be another one. (With breakpoints or without the option none is noted
   that can be copied.) */
struct block *relocate(struct translator *t, struct vcpu *v, gpa_t gpa, unsigned available);
/* Is the copy b what translating has made of the same, a? */
bool relocate_check(const struct translator *t, const struct block *a, const struct block *b);

/* --- build.c --- */
/* Translates the block at v->rip; NULL: the interpreter has to run this instruction (or the fetch faults). */
struct block *translator_build(struct translator *t, struct vcpu *v);
/* The same for looking at: nothing finds the block, and the next one takes its place. Of not more than `most`
   bytes *count instructions are decoded, to t->insns; the guest's page tables and the TLB stay as they are. How it
   was made is in t->lower. NULL with a *count: the interpreter runs all of this mode, or there is no room. */
struct block *translator_build_aside(struct translator *t, struct vcpu *v, uint64_t most, unsigned *count);

/* --- written.c (no SIMD) --- */
/* ram->code_written: [offset, offset + size) of RAM, in one page with RAM_PAGE_CODE, has been written. */
void written_note(void *translator, uint64_t offset, unsigned size);

/* --- stop.c (no SIMD) --- */
void stop_begin(struct translator_vcpu *tv);  /* nothing is barred: before in_guest is set */
void stop_end(struct translator_vcpu *tv);    /* opens all ways again: behind in_guest */
void stop_forget(struct translator_vcpu *tv); /* code that is gone */
/* Called by callouts before they go on at tv->resume, while `stopping` is set. */
void stop_go_on(struct vcpu *v);
/* TRANSLATOR_SIGNAL, or a single step that has been asked for here, has come (ucontext_t *). */
void stop_signalled(struct vcpu *v, void *context);
/* The instruction of the barred block that has an INT3 at this host address, or NULL. */
const struct insn_map *stop_place(const struct translator_vcpu *tv, const uint8_t *host);

/* --- flags.c --- */
/* The saved arithmetic flags, not a recipe's number, as an image of RFLAGS in the register (not R8 to R15). R11 is
   lost. */
void flags_emit_image(struct emitter *e, int reg);
/* They become those of the image in RAX. RAX and R11 are lost. */
void flags_emit_take(struct emitter *e);

/* --- crossing.c (no SIMD) --- */
void crossing_forget(struct translator_vcpu *tv);
/* C has just made the change of level; mode, flags: v->mode and RFLAGS (SYSRET: R11) in front of it. Translated
   code goes on by the jump cache's entry for v->rip. */
void crossing_note(struct vcpu *v, enum crossing_kind kind, uint32_t mode, uint64_t flags);
/* Permanent code for it; v->rip: the instruction. The callout does what has not been noted. */
const uint8_t *crossing_emit(struct emitter *e, enum crossing_kind kind, const uint8_t *callout);

/* --- thunks.c --- */
bool thunks_emit(struct translator *t);

/* --- lookup.c (no SIMD) --- */
struct block *lookup_block(struct translator *t, struct vcpu *v);
/* b is not to be entered any more: forgets how to get there, too. */
void lookup_invalidate(struct translator *t, struct block *b);
/* Forgets cached jumps after MMU flushes. */
void lookup_catch_up(struct vcpu *v);
/* A block goes on at pc, in a window's user code, when a call returns there. */
void lookup_note_site(struct translator_vcpu *tv, gva_t pc);
/* b may depend on code in another page. */
void lookup_note_callee(struct translator_vcpu *tv, const struct block *b);
void lookup_forget_all(struct vcpu *v);
/* Forgets segment descriptors, all but that of the null selector, which needs no memory. */
void lookup_forget_descriptors(struct vcpu *v);
/* Which jump cache the mode uses; JUMP_MODES when all are taken (a translator_flush frees them). */
unsigned lookup_jump_slot(struct vcpu *v, uint32_t mode);
/* What jump_mode.mode is for it: segmented modes share a cache. */
static inline uint32_t lookup_slot_mode(uint32_t mode)
{
    return mode & MODE_CODE_SEGMENT ? MODE_CODE_SEGMENT : mode;
}
/* Drops all translated code and everything that points to it. */
void translator_flush(struct translator *t, struct vcpu *v);
/* Notes where b is, so that translated code gets there by itself: the jump cache, a direct exit. */
void lookup_remember_jump(struct vcpu *v, const struct block *b);
void lookup_link(struct vcpu *v, struct block_exit *exit, struct block *to);
/* The bits of v->mode that matter to a block. In segmented code also the number of what CS holds
   (MODE_CODE_SEGMENT), or 0 if there are too many: then there is no such block, and none is made before a
   translator_flush. */
uint32_t translator_mode(struct vcpu *v);
/* The number of a code segment, or 0: the table is full. */
uint32_t lookup_code_segment(struct translator_vcpu *tv, uint32_t base, uint32_t limit);
void lookup_forget_code_segments(struct translator_vcpu *tv);
/* Not 64-bit code, and not 32-bit code whose segments are flat. */
bool translator_segmented(uint32_t mode);
bool translator_handles(const struct translator *t, uint32_t mode);
uint32_t translator_block_mode(struct vcpu *v); /* of the next block's key */
/* What the jump cache knows an address by: it, and this of its mode (translator_mode). */
static inline uint64_t lookup_mode_tag(uint32_t mode)
{
    return mode & MODE_CODE_SEGMENT ? (uint64_t)mode << 32 : 0;
}
/* Is it user code that goes through a window? (Not so each block of it: tier_is_unsuitable.) */
static inline bool translator_in_user_window(uint32_t mode)
{
    return (mode & (MODE_WINDOW | MODE_CPL)) == (MODE_WINDOW | 3);
}

/* Is the run loop to see each entry of a block there? Then nothing jumps to it by itself. */
static inline bool lookup_is_seen(const struct translator *t, gva_t linear)
{
    return t->leave_each_block || (t->options.enters && ranges_hold(&t->options.enters_at, linear));
}
/* Linear address of an instruction pointer in the current code segment. */
static inline gva_t lookup_linear(const struct vcpu *v, uint64_t rip)
{
    return v->mode & MODE_CODE64 ? rip : (uint32_t)(v->seg[SEG_CS].base + rip);
}
/* The page behind that of RIP. */
static inline gva_t lookup_page_behind(const struct vcpu *v)
{
    gva_t next = (lookup_linear(v, v->rip) | ~PAGE_MASK) + 1;

    return v->mode & MODE_CODE64 ? next : (uint32_t)next;
}
static inline bool translator_breaks_at(const struct translator *t, gva_t linear)
{
    for (unsigned i = 0; i < t->breakpoint_count; i++)
        if (t->breakpoint[i] == linear)
            return true;
    return false;
}
/* Does RIP lie outside of the code segment? */
static inline bool lookup_beyond_limit(const struct vcpu *v)
{
    return !(v->mode & MODE_CODE64) && v->rip > v->seg[SEG_CS].limit;
}

/* --- bases.c (no SIMD) --- */
/* Before translated code is entered; and behind what may have changed a base, when it may go on without that. */
void bases_look(struct vcpu *v);
void bases_follow(struct vcpu *v);

/* --- stack.c (no SIMD) --- */
bool stack_create(struct translator *t, struct translator_vcpu *tv);
/* Both return stacks empty: before the first run, and when the code they point to is gone. */
void stack_forget(struct translator *t, struct translator_vcpu *tv);
void stack_forget_user(struct translator_vcpu *tv); /* user code's */
/* The stack and the jump cache that fit v's mode; before translated code of that mode is entered. false: there are
   too many modes for a jump cache each. */
bool stack_choose(struct vcpu *v);
/* Is the code that runs of the kind for where the user's RSP is now (rsp_sure.c)? If not, what runs next must be
   looked up behind a stack_choose, and nothing be linked to it. */
bool stack_fits(struct vcpu *v);
/* Is it the page below a return stack? Then RSP is to be this, and the instruction tried again; else 0. */
uint64_t stack_overflow(const struct translator_vcpu *tv, const void *address);

/* Has the block of the current address failed so often that it is better without groups? */
bool lookup_is_ungrouped(const struct translator *t, gva_t pc);
/* A group check of b has failed. One that fails all the time costs more than it saves: b is made anew, without. */
void lookup_group_failed(struct translator *t, struct block *b);

/* --- recipe.c (no SIMD) --- */
/* The recipe's number, or 0 when there are too many. Numbers stay good until translator_flush. */
uint32_t recipe_number(struct translator *t, const struct flags_recipe *recipe);
uint16_t recipe_registers(const struct translator *t, uint32_t number); /* bit per guest register */
/* Arithmetic flags between translator_vcpu.flags and vcpu->rflags. gpr must be exact. */
void flags_compose(struct vcpu *v);
void flags_decompose(struct vcpu *v);
/* --- window.c --- */
bool window_is_probe(const uint8_t *host);
/* --- signals.c --- */
void signals_set_current(struct vcpu *v); /* of this thread */
/* May programs change the FS base by themselves? (Linux 5.9, and a processor with WRFSBASE.) Touches no
 * thread-local. */
bool signals_host_has_fsgsbase(void);

#endif
