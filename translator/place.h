/*
 * place.h - where a block's memory accesses go: pointers, places, and what is known of them while it is made.
 */
#ifndef NOVT_TRANSLATOR_PLACE_H
#define NOVT_TRANSLATOR_PLACE_H

#include "translator/internal.h"

/* Where a check may leave the host address. RAX_ONLY: R11 cannot be encoded. ONE_REGISTER: RAX or R11. R11: RAX is
   wanted for something else. SUM: whatever is cheapest. */
enum pointer_form { POINTER_RAX_ONLY, POINTER_ONE_REGISTER, POINTER_R11, POINTER_SUM };

#define POINTER_GS 1u /* it begins at the GS base */
#define POINTER_32 2u /* it has 32 bits */
#define POINTER_FS 4u /* it is in the supervisor's wide window */

/* A checked access: host base, index (or H_NONE) and displacement. */
struct pointer {
    int reg;   /* H_RAX, H_R11, or that of the guest's base register */
    int index; /* H_R11 */
    int32_t disp;
    /* POINTER_* of an address in a narrow window or the supervisor's: base may be H_NONE, index any register. 0: a
       host address, or in the user's wide window. */
    uint8_t prefixes;
    uint8_t scale; /* of the index; 0 is 1 */
};

/* What an address is made of besides its displacement. */
struct place {
    uint8_t base;  /* guest register; PLACE_FIXED: the block's own address */
    uint8_t index; /* guest register, or PLACE_NONE */
    uint8_t scale;
    uint8_t segment; /* SEG_FS, SEG_GS, or PLACE_NONE */
};
#define PLACE_FIXED 16
#define PLACE_NONE 17

/* Of a memory operand: SEG_FS, SEG_GS, or PLACE_NONE. */
static inline uint8_t place_segment(const struct operand *op)
{
    return op->mem.segment == ZYDIS_REGISTER_FS   ? SEG_FS
           : op->mem.segment == ZYDIS_REGISTER_GS ? SEG_GS
                                                  : PLACE_NONE;
}

/* The single access of an instruction that groups know: place, displacement, size, direction. */
struct reach {
    struct place place;
    int32_t disp;
    uint32_t size;
    bool known; /* it has been looked for */
    bool write, found, stop;
};

#define GROUPS_MAX 5

/* The host address of the place (as it was at the check) + low is `pointer`, of which `reg` is a part. */
struct group {
    uint8_t reg;
    unsigned last; /* index of the last instruction that was seen to want it */
    bool valid, write;
    struct place place;
    int32_t low, high;
    int32_t delta; /* what has been added to the registers since the check */
    struct pointer pointer;
};

#define GROUP_MAX_SPAN 255 /* fits the size in the callout's info */

/* A place that a loop reaches, [low, high) around where it is at the loop's top. */
struct loop_place {
    struct place place;
    int32_t low, high;
    int32_t delta; /* what an iteration adds */
    int32_t now;   /* what has been added since the top */
    bool write;
    uint8_t reg; /* holds the host address of its `low` at the top */
};

struct loop {
    bool active;
    unsigned count;
    struct loop_place place[LOOP_MAX];
    const uint8_t *next; /* executable view: where the jump back goes */
};

/* An address that has been probed (window.c): at place + at, as the place is now. */
struct probed {
    bool valid;
    struct place place;
    int32_t at;
};
#define PROBED_MAX 8

/* Places that a loop in a window probes before its first iteration. */
#define WINDOW_LOOP_MAX 6
struct window_loop {
    unsigned count;
    struct place place[WINDOW_LOOP_MAX];
};

/* --- window.c --- */
void window_emit_prefixes(struct emitter *e, const struct pointer *p);
/* From a probed address; the rest is for the access's size, and for where RSP lags behind. */
#define WINDOW_REACH (WINDOW_GUARD - 8192)
/* Faults unless an access through the window may be made in reach of the address in the register. Clobbers R11. */
void window_probe(struct lower *l, int reg);
/* Can an access through a window be a part of how the instruction is lowered? */
bool window_row(const struct insn *in);
/* The same, and its row does not need the host's flags for anything else. */
bool window_keeps_flags(const struct insn *in);
/* Pointers to a memory operand, to the word at [base + disp]; false: there is no window, or it does not serve. */
bool window_operand(struct lower *l, const struct operand *op, enum pointer_form form, struct pointer *pointer);
bool window_stack(struct lower *l, unsigned base, int32_t disp, struct pointer *pointer);
/* To the linear address in RAX, in 32-bit code; the host's flags have been clobbered. */
bool window_at_rax(struct lower *l, const struct operand *op, enum pointer_form form, struct pointer *pointer);
void window_advance(struct lower *l); /* behind each instruction */
void window_note_probed(struct lower *l, struct place place, int32_t at);
/* --- window_loop.c: in front of the first instruction --- */
void window_loop_enter(struct lower *l);

/* --- group.c --- */
bool group_access(struct lower *l, struct place place, int32_t disp, uint32_t info, struct pointer *pointer);
bool group_operand(const struct lower *l, const struct insn *in, const struct operand *op, struct place *place,
                   int32_t *disp);
void group_start(struct lower *l);       /* of a block: which registers */
void group_clobber_r11(struct lower *l); /* R11 is about to be used for something else */
void group_end(struct lower *l);         /* the TLB is about to change: all of them */
void group_advance(struct lower *l);     /* behind each instruction */
bool group_in_r11(const struct lower *l);
/* From here on the borrowed registers hold their guest values again. */
void group_give_back(struct lower *l);
void group_emit_back(struct lower *l); /* the same on a way out of the block */

bool group_same_place(struct place a, struct place b);
/* Address of place + low in RAX; with a segment, for an access of `info`. Clobbers R11. */
void group_emit_place(struct lower *l, struct place place, int32_t low, uint32_t info);
/* What an instruction adds to a place; false if that is unknown. */
bool group_place_effect(const struct insn *in, struct place place, int32_t *delta);
/* Checks a range that begins at place + low. */
struct pointer group_check_range(struct lower *l, struct place place, int32_t low, uint32_t info, int to);

/* Registers that the block does not use and that hold guest registers of the same number. */
uint16_t group_spare_registers(const struct lower *l);

/* --- loop.c --- */
void loop_find(struct lower *l);  /* is the block one? */
void loop_enter(struct lower *l); /* what is done before the loop, if it is one */
bool loop_access(const struct lower *l, struct place place, int32_t disp, struct pointer *pointer);
void loop_advance(struct lower *l);                    /* behind each instruction */
void loop_branch(struct lower *l, unsigned condition); /* the jump back; the loop is left behind it */
void loop_again(struct lower *l);                      /* a place leaves its page: back to the checks */

#endif
