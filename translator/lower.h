/*
 * lower.h - turning one decoded instruction into host code: the state of a block being made, and the helpers.
 */
#ifndef NOVT_TRANSLATOR_LOWER_H
#define NOVT_TRANSLATOR_LOWER_H

#include "translator/place.h"

/* Where the arithmetic flags are valid. COMPUTED: nowhere, but lower.recipe gives them. */
enum flags_place { FLAGS_HOST = 1, FLAGS_SAVED = 2, FLAGS_BOTH = 3, FLAGS_COMPUTED = 4 };

#define BLOCK_ROOM 16384u /* bytes of host code that each part of a block may take at most */
#define HOT_ALIGNMENT 32u /* bytes: of user code's blocks in a window; and what processors fetch at once */
#define LOWER_MAX_COLD 400
#define LOWER_MAX_EXITS (MAX_SIDE_EXITS + 2)
#define NOT_RESIDENT (-1)

enum cold_kind {
    COLD_MEMORY,
    COLD_DISPATCH,
    COLD_EXIT,
    COLD_INTERRUPT,
    COLD_STEP,
    COLD_LOOP,
    COLD_SIDE,
    COLD_WRAP
};

/* Code off the main path, emitted behind the block. */
struct cold {
    enum cold_kind kind;
    uint8_t *from;            /* displacement of the jump that leads here (writable view) */
    uint8_t *done;            /* executable view: where the main path goes on */
    uint8_t *copy, *copy_end; /* writable view: what a bounced store repeats */
    uint32_t info;
    struct pointer pointer; /* what the fast path leaves, for the address that was checked */
    bool fixed;             /* the address is `linear` */
    bool give_back;         /* COLD_SIDE: borrowed registers */
    bool call;              /* COLD_DISPATCH: of a CALL, whose return site is at `done` */
    gva_t linear;
    uint8_t context;       /* enum mmu_context of the access */
    uint8_t flags_after;   /* enum flags_place behind the instruction */
    uint32_t recipe;       /* of the flags at the access, when they are FLAGS_COMPUTED; else 0 */
    uint32_t recipe_after; /* the same, behind the instruction */
    const struct insn *in; /* the instruction; COLD_SIDE: an INC or DEC that gets its 32 bits at last, or NULL */
    struct block_exit *exit;
    const uint8_t *begin; /* executable view: its code */
    uint8_t index;        /* of the instruction that it belongs to, or COLD_ENTRY */
};
#define COLD_ENTRY 0xff /* in front of the first instruction */

/* Where the next block's code begins, as an offset. User code that has a window is worth the padding: calls and
   returns take a fifth less time. */
static inline size_t lower_hot_start(const struct cache *cache, bool in_user_window)
{
    size_t used = cache->code_used;

    return in_user_window ? (used + HOT_ALIGNMENT - 1) & ~(size_t)(HOT_ALIGNMENT - 1) : used;
}

/* 64 bits behind the block's hot code, for an operand relative to RIP. */
struct constant {
    uint8_t *displacement; /* writable view */
    uint64_t value;
};

#define RELOC_MAX 512u
enum reloc_kind {
    RELOC_NONE,
    /* Linear addresses, given from the block's start: */
    RELOC_UNSIGNED, /* 32 bits, of MOV */
    RELOC_SIGNED,   /* 32 bits that are extended, of MOV */
    RELOC_NEXT,     /* the same, of an instruction that takes no other */
    RELOC_WORD,     /* 64 bits */
    RELOC_TAG,      /* 64 bits: 0 - its page */
    RELOC_TLB,      /* displacement with the offset of its TLB entry */
    RELOC_WINDOW,   /* it must be one that the user's window allows */
    RELOC_SITE,     /* a call returns there in the middle of the block */
    /* Given by the exit's number: */
    RELOC_EXIT, /* its address */
    RELOC_CELL, /* displacement of its cell */
    /* Displacements of jumps and calls: */
    RELOC_OUT,   /* to permanent code */
    RELOC_ACROSS /* to the block's other part */
};
struct reloc_note {
    uint8_t *at; /* writable view */
    enum reloc_kind kind;
    int32_t value;
};

struct lower {
    struct emitter e;
    struct translator *t;
    struct block *block;
    struct insn *in; /* the instruction being lowered */
    unsigned index, count;
    uint32_t mode;
    bool wide;                      /* 64-bit code */
    unsigned word;                  /* bytes of an address, 8 or 4 */
    bool segmented;                 /* segment.c */
    uint32_t code_base, code_limit; /* of CS, in segmented code */
    bool seen;                      /* the run loop is to see each entry of the block */
    uint64_t tag;                   /* lookup_mode_tag of the mode */
    unsigned context;               /* enum mmu_context of data accesses */
    bool windowed;                  /* window.c: accesses go through a window, the user's or the supervisor's */
    struct window *window;          /* the user's, or NULL */
    struct kwindow *kwindow;        /* the supervisor's, or NULL */
    struct probed probed[PROBED_MAX];
    unsigned next_probed;
    struct window_loop ahead;
    const struct insn *counted; /* INC or DEC that has been made with 64 bits, or NULL */
    bool checked;               /* the current instruction has an access that the TLB is looked up for */
    unsigned jump_slot;
    unsigned flags;       /* enum flags_place now */
    uint32_t recipe;      /* what the flags can be computed with, or 0 */
    uint32_t loop_recipe; /* of the flags at the block's jump to its own start; 0: unknown */
    struct loop loop;
    bool stops; /* the instruction leaves the block by another way than an exit, or goes round in it */
    uint32_t cells_used;
    struct insn_map *map;
    struct cold cold[LOWER_MAX_COLD];
    struct reach reach[BLOCK_MAX_INSNS];      /* group.c: by instruction */
    const uint8_t *loose_at[BLOCK_MAX_INSNS]; /* patch.c: host address of a loose immediate, by instruction */
    unsigned cold_count;
    struct block_exit *exits; /* LOWER_MAX_EXITS of them */
    unsigned exit_count;
    int store_cold; /* index of the cold entry whose copy ends with this instruction, or -1 */
    struct constant constant[LOWER_MAX_EXITS];
    unsigned constant_count;
    bool ended;          /* control has left the block */
    bool returned;       /* by the return stack */
    bool crosses;        /* by crossing.c */
    const uint8_t *body; /* executable view: the first instruction's code */
    int32_t rsp_lag;     /* rsp.c: added to R15, it is the guest's RSP */
    struct {
        bool kept, known;  /* is the invariant? is there such an address? */
        int32_t at, slack; /* it is within `slack` of RSP + `at` */
    } rsp;                 /* rsp_sure.c */
    int r11_guest;         /* R11 holds the value of this guest register, which is not resident; -1: of none */
    bool grouping;         /* group.c may be used in this block */
    struct group group[GROUPS_MAX];
    unsigned group_count;
    bool borrowing; /* the registers of block.borrowed hold pointers, their guest values are in memory */
    struct translator_vcpu *tv;
    bool relocatable; /* so far */
    unsigned reloc_count;
    struct reloc_note reloc[RELOC_MAX];
    struct emit_sites sites;
};

/* --- relocate.c --- */
void relocate_begin(struct lower *l);
void relocate_end(struct lower *l); /* the block is done: what was noted is kept with it */
/* MOV of a linear address that follows from the block's. */
void relocate_mov(struct lower *l, int reg, gva_t linear);
/* Of an operand's, which does so in 64-bit code alone. */
void relocate_mov_fixed(struct lower *l, int reg, gva_t linear);
void relocate_note_fixed(struct lower *l, unsigned size, enum reloc_kind kind, gva_t linear);
/* The last `size` bytes are what `kind` says, of the address or of the exit. */
void relocate_note(struct lower *l, unsigned size, enum reloc_kind kind, gva_t linear);
void relocate_note_exit(struct lower *l, unsigned size, enum reloc_kind kind, const struct block_exit *exit);
/* Code has been copied from there to [to, end) (writable view). */
void relocate_copied(struct lower *l, const uint8_t *from, const uint8_t *to, const uint8_t *end);

/* --- flags.c --- */
void flags_save(struct lower *l);    /* into memory, as they are or as a recipe; clobbers RAX */
void flags_clobber(struct lower *l); /* the host's flags may be used for something else now; clobbers RAX */
void flags_restore(struct lower *l); /* makes FLAGS_HOST hold; clobbers RAX */
void flags_save_recipe(struct lower *l, uint32_t recipe);
void flags_advance(struct lower *l); /* behind each instruction */
/* Will the flags be overwritten before anything but a fault can show them? If so: the registers that change before
   the last place where a fault can. */
struct flags_outlook {
    bool overwritten;
    uint16_t changed;
};
struct flags_outlook flags_look_ahead(const struct lower *l, unsigned from);
/* What the block first does with the flags: reads them (or looks at nothing else): HOST; lets a fault see them:
   SAVED; overwrites them: EITHER. */
enum block_flags flags_natural_entry(const struct lower *l);
bool flags_observer(const struct insn *in); /* a place where a fault may show the flags */
/* Number of the recipe for what the instruction leaves in the flags, or 0. */
uint32_t flags_recipe(const struct lower *l, const struct insn *in);
#define FLAGS_ALL_SIX 0x8d5u
void flags_look(struct insn *in); /* finds out flags_needed */

/* --- registers --- */
extern const int8_t lower_host_of_guest[16];
/* By ZydisRegister: number + 1 of the guest register that it is a part of; GUEST_HIGH: its bits 8 to 15. */
extern const uint8_t lower_guest_of[ZYDIS_REGISTER_MAX_VALUE + 1];
#define GUEST_HIGH 0x20
/* Host register that holds a guest register, or NOT_RESIDENT. */
static inline int host_register(unsigned guest)
{
    return lower_host_of_guest[guest];
}
/* Guest register number of a Zydis GPR, or -1; *high: AH, CH, DH, BH. */
static inline int guest_register(unsigned reg, bool *high)
{
    *high = lower_guest_of[reg] & GUEST_HIGH;
    return (lower_guest_of[reg] & (GUEST_HIGH - 1)) - 1;
}
/* The same of a register operand. */
static inline int guest_operand(const struct operand *op)
{
    bool high;

    return op->type == ZYDIS_OPERAND_TYPE_REGISTER ? guest_register(op->reg.value, &high) : -1;
}
void load_guest(struct lower *l, int host, unsigned guest);
void store_guest(struct lower *l, unsigned guest, int host);

/* --- access.c --- */
/* Effective address of a memory operand into `to` (RAX or R11 only may be clobbered besides). */
void access_address(struct lower *l, const struct operand *op, int to);
/* The linear address in RAX is checked against the TLB. info: MEMORY_* and the size. Clobbers RAX, R11 and the
   host's flags. POINTER_R11: the pointer is in `to`. */
struct pointer access_check(struct lower *l, uint32_t info, enum pointer_form form, int to);
/* The same for base + disp (host register), which the pointer then is made of, with `to`: it follows a base that
   changes. */
struct pointer access_check_base(struct lower *l, int base, int32_t disp, uint32_t info, int to);
/* The same for an address that is known, on one page: the pointer is made of `to`. RAX may be clobbered. */
struct pointer access_check_fixed(struct lower *l, gva_t linear, uint32_t info, int to);
/* A whole memory operand, by a group where one fits. */
struct pointer access_operand(struct lower *l, const struct operand *op, enum pointer_form form);
/* The same in 64-bit code for one of which elements may be left out. *step is not NULL: the way by the
   interpreter, which leads behind the instruction; it is taken where the TLB does not give the whole operand. */
struct pointer access_masked(struct lower *l, const struct operand *op, struct cold **step);
/* op reg, [pointer] */
void access_emit(struct lower *l, bool wide, unsigned opcode, int reg, struct pointer p);
/* What a bounced store repeats ends here, if the current instruction has one. */
void access_end_store(struct lower *l);
/* The same for the word at [base + disp]. */
struct pointer access_stack(struct lower *l, unsigned base, int32_t disp, bool write);
uint32_t access_info(const struct operand *op);
/* Adds the base of a segment to the offset in RAX; but for 64-bit code the segment must hold what an access of
   `info` reaches. The host's flags may be clobbered already. Clobbers R11. */
void access_add_segment(struct lower *l, unsigned segment, uint32_t info);

/* --- rsp.c --- */
void rsp_move(struct lower *l, int32_t delta); /* RSP changes, behind the last access of the instruction */
void rsp_settle(struct lower *l);              /* R15 is RSP again */
void rsp_prepare(struct lower *l);             /* in front of each instruction */
/* The access that is about to be lowered leaves the window's ways: C may look at RSP. */
void rsp_settle_for_access(struct lower *l);
/* --- rsp_sure.c --- */
void rsp_sure_begin(struct lower *l);   /* the block */
void rsp_sure_prove(struct lower *l);   /* in front of each instruction */
void rsp_sure_advance(struct lower *l); /* behind it */
/* RSP + at is within `slack` of an address that the window may have. */
void rsp_sure_note(struct lower *l, int64_t at, int32_t slack);
bool rsp_sure_reaches(const struct lower *l, int64_t disp); /* Needs an access at RSP + disp no probe? */
void rsp_sure_accessed(struct lower *l, int64_t disp); /* The instruction makes one there, through the window. */

/* --- rows of the table (rows.c); each lowers l->in --- */
lower_function *lower_find(const struct translator *t, const struct insn *in, uint32_t mode);
void lower_index_rows(uint8_t first_row[MNEMONICS]); /* for translator.first_row */
lower_function lower_copy, lower_step, lower_leave_to_run_loop, lower_nothing, lower_lea, lower_absolute,
    lower_push, lower_pop, lower_leave, lower_jump, lower_branch, lower_loop, lower_call, lower_pc_load,
    lower_return, lower_bit_memory, lower_swapgs, lower_cli, lower_sti, lower_pushf, lower_popf, lower_rdtsc,
    lower_read_cr, lower_smap, lower_syscall, lower_sysret, lower_iret, lower_sysenter, lower_sysexit,
    lower_direction, lower_read_base, lower_read_segment, lower_load_segment;
/* --- system.c --- */
/* The flags, saved in memory, as an RFLAGS image in RAX. R11 is lost. */
void system_flags_image(struct lower *l);
/* --- patch.c --- */
/* Immediates of the block, at gpa, that the guest has been patching become loose. Before anything is lowered. */
void patch_loosen(struct lower *l, gpa_t gpa);
/* --- string.c --- */
bool string_is_plain(const struct insn *in);
bool string_is_copied(const struct insn *in); /* REP MOVS or REP STOS that a window may serve */
lower_function lower_lods, lower_stos, lower_scas, lower_movs, lower_repeated;

/* Can lower_copy do it, in this mode? */
bool copy_possible(const struct insn *in, uint32_t mode);
void copy_plan(struct insn *in);                  /* finds out how */
uint32_t copy_mode_needed(const struct insn *in); /* MODE_SSE and its like: those of its registers; or 0 */
/* Are addresses of its kind computed here? */
bool copy_reaches_operand(const struct insn *in);

/* --- flow.c --- */
void flow_exit(struct lower *l, gva_t target);
void flow_exit_if(struct lower *l, unsigned cc, gva_t target);
/* The same as a call, which returns behind it if there is a return stack. */
void flow_call(struct lower *l, gva_t target);
void flow_call_dispatch(struct lower *l);
/* Jump or call to an offset in another code segment, which is in CS already. */
void flow_far(struct lower *l, gva_t target);
/* The same with what the jump cache knows the address by. */
void flow_far_return(struct lower *l); /* only if flow_predicts */
bool flow_predicts(const struct lower *l);
/* Does a block go on behind this instruction, a call, with what it returns to? User code in a window only: its
   return stack is dropped when that could have changed (lookup.c). */
bool flow_continues(const struct translator *t, uint32_t mode, const struct insn *in);
/* In code with a window: does the jump or call leave the guest's flags in the host's, if they are there? */
void flow_constants(struct lower *l); /* where the hot code ends */
bool flow_hands_on_flags(const struct insn *in);
/* To the address in RAX by way of the return stack. */
void flow_return(struct lower *l);
void flow_dispatch(struct lower *l);        /* to the address in RAX */
void flow_dispatch_tagged(struct lower *l); /* to what the jump cache knows it by */
void flow_cold(struct lower *l);            /* emits what has been put off */
gva_t flow_target(const struct insn *in);   /* of a relative jump or call */
gva_t flow_next(const struct insn *in);     /* the instruction behind it */
/* Does the block's last instruction jump to the block's own start, on a condition? */
bool flow_loops(const struct lower *l);
/* The recipe that is written down before the last compare of a block that jumps to its own start; 0: none. */
uint32_t flow_loop_recipe(const struct lower *l);
/* In front of the instruction before a branch back to the block's start: what would part the branch from the
   compare that it should be fused with. */
void flow_prepare_branch(struct lower *l);

/* --- build.c --- */
/* Rows that C neither changes the guest's registers in, nor looks at them but by callouts_give_back. */
bool lower_keeps_registers(const struct insn *in);

/* Emits the call of the interpreter for an instruction; the flags are saved already. */
void lower_call_step(struct lower *l, const struct insn *in);
struct cold *lower_add_cold(struct lower *l, enum cold_kind kind);
/* The interpreter runs the instruction when the condition holds; the flags are saved. It goes on at `done`, behind
   the jump, unless the caller moves that. */
struct cold *lower_step_if(struct lower *l, unsigned cc);

#endif
