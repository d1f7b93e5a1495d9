/*
 * explain.h - a guest block and its translation side by side, as plain data.
 *
 * It is what the translator makes of the block now, by its own functions, in the part of the code cache that is
 * still free: nothing is kept, and the machine that it is made for is left as it was.
 */
#ifndef NOVT_TRANSLATOR_EXPLAIN_H
#define NOVT_TRANSLATOR_EXPLAIN_H

#include "memory/error.h"
#include "translator/dump.h"
#include "translator/sensitive.h"
#include "translator/translator.h"

/* What an instruction is to a translator; of several that fit, the last. REPLACED: by other host instructions,
   for its registers' or form's sake. */
enum explain_class {
    EXPLAIN_COPIED,
    EXPLAIN_REPLACED,
    EXPLAIN_MEMORY,      /* a memory operand has been rewritten */
    EXPLAIN_INTERPRETED, /* handed to the interpreter, and not sensitive */
    EXPLAIN_FLOW,        /* near control flow */
    EXPLAIN_SENSITIVE,   /* sensitive, and does not trap in user mode */
    EXPLAIN_PRIVILEGED,
    EXPLAIN_CLASSES
};

struct explain_guest {
    gva_t pc;
    uint8_t bytes[16];
    unsigned length;
    char text[DUMP_TEXT];
    enum explain_class class;
    bool interpreted;                  /* by a callout or the run loop, whatever its class */
    bool lacking;                      /* the CPU model does not have it */
    const struct sensitive *sensitive; /* NULL: it is not */
    /* Arithmetic flags, as RFLAGS bits: those it reads, surely writes, and those that what follows may read. */
    uint16_t flags_read, flags_written, flags_live;
    char flags_at[64]; /* where the guest's flags are in front of it */
};

#define EXPLAIN_NO_GUEST UINT32_MAX
enum explain_part { EXPLAIN_ENTRY, EXPLAIN_HOT, EXPLAIN_COLD };

/* A host instruction. Ordered by guest instruction, the entry first; of each the hot ones first. */
struct explain_host {
    uint32_t guest; /* index of the guest instruction, or EXPLAIN_NO_GUEST */
    enum explain_part part;
    uint32_t offset; /* in the hot part, or the cold one */
    unsigned size;
    const char *note; /* of the first one of a piece: what the piece is for; NULL */
    char text[DUMP_TEXT];
};

enum explain_exit_kind {
    EXPLAIN_EXIT_PATCHED,    /* a jump that is patched to the target's code: it lies in the same page */
    EXPLAIN_EXIT_CELL,       /* a jump through a cell that a TLB flush resets */
    EXPLAIN_EXIT_SITE,       /* where the block's call returns to, through a cell */
    EXPLAIN_EXIT_JUMP_CACHE, /* the target is looked up */
    EXPLAIN_EXIT_RETURN,     /* a host RET on the return stack */
    EXPLAIN_EXIT_CROSSING,   /* to another level: as the last time, or C decides */
    EXPLAIN_EXIT_CALLOUT     /* C decides where it goes on */
};

struct explain_exit {
    enum explain_exit_kind kind;
    uint32_t guest; /* index of the guest instruction */
    gva_t target;   /* of the first three kinds */
    bool linked;    /* of them: the running block's exit is linked now */
    bool can_link;  /* with chain=off it stays as it is; and so without a jump cache */
};

struct explain_block {
    gva_t pc;
    unsigned bits, cpl;
    const char *tier; /* how it reaches memory, in words */
    bool translated;  /* false: the interpreter runs it, and there is no host code; `why` says so */
    const char *why;
    bool cached;  /* the machine has the block, made into the same code */
    bool differs; /* the machine has the block, but had made it in other circumstances */
    unsigned guest_bytes, hot_bytes, cold_bytes;
    struct explain_guest *guest;
    unsigned guest_count;
    struct explain_host *host;
    unsigned host_count;
    struct explain_exit *exit;
    unsigned exit_count;
};

/*
 * Explains the block at the instruction pointer `rip` in v's current mode, of which not more than `most` bytes are
 * taken. v must be stopped, with its SIMD state saved. Errors: -EFAULT (nothing is mapped there), -ERANGE (outside
 * of the code segment), -ENODATA (the bytes end within the first instruction), -ENOSPC (the code cache is full),
 * -ENOMEM. Free with explain_free.
 */
int explain_block(struct explain_block **block, struct translator *t, struct vcpu *v, uint64_t rip, uint64_t most,
                  enum dump_syntax syntax, struct error *error);
void explain_free(struct explain_block *block); /* or NULL */

/* For a machine of explain's own, its vCPU at the code: a kernel gets its window, and user code if the options
   want that at once, as in a run. */
void explain_take_window(struct translator *t, struct vcpu *v);

const char *explain_class_name(enum explain_class class); /* "memory operand rewritten", ...: for people */
const char *explain_class_word(enum explain_class class); /* "memory", ...: one word */
const char *explain_exit_name(enum explain_exit_kind kind);

#endif
