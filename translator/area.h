/*
 * area.h - the translator's part of a vCPU, in vcpu->translator_area: what emitted code reaches through the GS
 * base, and the caches of where to go on.
 */
#ifndef NOVT_TRANSLATOR_AREA_H
#define NOVT_TRANSLATOR_AREA_H

#include "cache/cache.h"
#include "cpu/vcpu.h"

#define BLOCK_MAX_INSNS 64
#define LOOP_MAX 6 /* places of a loop */
#define JUMP_CACHE_BITS 13
#define JUMP_CACHE_SIZE (1u << JUMP_CACHE_BITS)
#define JUMP_MODES 16      /* modes that have a jump cache at a time; segmented ones share one */
#define CODE_SEGMENTS 512u /* bases and limits of CS that are told apart; 0 is of flat code */
#define JUMP_LOG_SIZE 1024u
#define CELL_COUNT 1048576u
#define LINK_LOG_SIZE 262144u

/* Both words 0 when unused: no code of address 0 with a host address is ever entered. */
struct jump_entry {
    uint64_t pc;
    uint64_t host;
};

/* What belongs to the jump cache of one mode: which entries are filled, to empty it quickly. */
struct jump_mode {
    uint32_t mode;
    bool used;
    uint32_t log_count[2]; /* of addresses whose page is not global, and is; above JUMP_LOG_SIZE: overflowed */
    uint16_t log[2][JUMP_LOG_SIZE];
    uint8_t pages[512]; /* bit per (linear page % 4096): there may be an entry for it */
};

/* Host return addresses of guest calls, growing down into an unreadable page; the last entry is a sentinel. */
#define RETURN_STACK_SIZE 8192u
struct return_stack {
    _Alignas(4096) uint8_t guard[4096];
    uint64_t entry[RETURN_STACK_SIZE];
};

/* A segment descriptor of the GDT that has been loaded: good while its eight bytes are as they were, until the
   page tables or GDTR change. Emitted code looks at it (thunks.c). */
#define DESCRIPTORS 32u /* by selector index */
#define DESCRIPTOR_NONE UINT32_MAX
struct descriptor_entry {
    uint32_t selector;      /* or DESCRIPTOR_NONE */
    uint32_t flat_selector; /* the same if DS and ES may have it under MODE_FLAT */
    const uint8_t *host;    /* where the descriptor is */
    uint64_t raw;
    struct segment segment;
    uint64_t span[2];
    uint64_t closed;
};
_Static_assert(sizeof(struct descriptor_entry) == 64, "thunks.c multiplies");

/* A selector that CS has had in real mode with a limit of 64 KiB, by (selector ^ selector >> 8) % REAL_SEGMENTS.
 */
#define REAL_SEGMENTS 256u
struct real_segment {
    uint32_t selector;
    uint32_t number; /* of the code segment, as MODE_CODE_SEGMENT */
};

/* crossing.c: a change of level as C has made it. */
enum crossing_kind { CROSSING_SYSCALL, CROSSING_SYSRET, CROSSING_SYSENTER, CROSSING_SYSEXIT, CROSSINGS };
#define CROSSING_NONE UINT32_MAX
struct crossing {
    uint32_t mode;       /* v->mode in front of it; or CROSSING_NONE */
    uint32_t flags;      /* RFLAGS (SYSRET: R11) in front of it, but for the arithmetic flags */
    uint32_t keep;       /* SYSCALL: all that stays of the word of the arithmetic flags */
    uint32_t stack_mode; /* translator_vcpu's, of the level that it leads to */
    /* What comes of it. */
    uint64_t rflags;    /* but for the arithmetic flags */
    uint64_t level;     /* v->mode, cpl, data_context, fetch_context */
    uint64_t cs, ss;    /* selector, attributes, limit; the base is 0 */
    uint64_t jump_base; /* translator_vcpu's */
    /* SYSCALL, SYSENTER: where to, the address of its entry in the jump cache; RSP of the guest (SYSENTER), and of
       translated code. */
    uint64_t rip, jump_entry, rsp, return_stack;
};

#define BASE_UNSURE (1ull << 62) /* of translator_vcpu.sure_*: with whatever is added it is not canonical */

#define STOPPING_SIGNALLED 1 /* while C ran: a callout has to see to it before it goes on */
#define STOPPING_BARRED 2

/* tier.c: which address space gets the window. */
#define TIER_UNSUITABLE_SLOTS 4096u
#define TIER_UNSUITABLE_WAYS 8u /* slots that a block may have: those that are known keep theirs */
struct tier_unsuitable {
    gpa_t gpa;            /* not linear: programs share addresses */
    uint64_t since;       /* TSC when `code` was 0 */
    uint16_t count, code; /* of accesses that no window served; of stores into code, lately */
};
#define TIER_SPACES 256u
struct tier_space {
    uint64_t root;        /* CR3 without its low bits */
    int score;            /* ticks that found it in user code; negative: it has to wait */
    uint64_t fingerprint; /* tier.c: of whoever has to wait */
    unsigned losses;      /* turns with the window, in a row, that cost more than they were worth */
};
struct tier {
    struct tier_space space[TIER_SPACES]; /* by a hash of the root */
    uint64_t entered;                     /* CR3 of the user code that was entered last */
    unsigned switches;                    /* times that another's was, since the last tick */
    bool due;                    /* the user code that is about to run is to have the window, or to lose it */
    unsigned busy;               /* ticks that found the window being filled */
    uint64_t taken, taken_fills; /* TSC and window_stats.fills when the window's owner got it */
    unsigned misplaced;          /* accesses since the last tick to where novt itself is */
    gva_t claim;                 /* for the supervisor's window: a unit has been reached; or 0 */
    /* window_stats at the last tick */
    uint64_t seen_fills, seen_flushes, seen_page_flushes;
    struct tier_unsuitable unsuitable[TIER_UNSUITABLE_SLOTS]; /* by a hash of the block's address */
};

/* The translator's part of a vCPU, in vcpu->translator_area. Fields up to jump_cache are used by emitted code. */
struct translator_vcpu {
    uint64_t self;        /* the struct vcpu */
    uint8_t stopping;     /* STOPPING_* (stop.c) */
    bool came_with_flags; /* to the block that is to be translated: by what has them in the host's, or may have */
    struct block_exit *unlinked; /* the exit that leads to it, which is sure to lack it; or NULL */
    uint64_t resume;             /* host address to continue at after a callout */
    uint64_t value;              /* RAX there */
    uint64_t spill[3];
    uint64_t borrowed_value[LOOP_MAX]; /* guest values of block.borrowed */
    uint64_t loop_pointer[LOOP_MAX], loop_limit[LOOP_MAX];
    uint64_t c_stack;       /* RSP of C while translated code runs, 16-byte aligned */
    uint64_t return_stack;  /* RSP of translated code while C runs */
    uint64_t jump_base;     /* address of the jump cache of the current mode */
    unsigned stack_used;    /* index of the return stack in use */
    uint64_t stack_at[2];   /* RSP of the other one */
    uint32_t stack_mode[2]; /* translator_mode of the calls noted there */
    bool no_group;          /* the next block is to be one without groups */
    /* With FLAGS_WORD_PLAIN: bits 8-15 the LAHF image, 0-7 OF, others of no meaning; else a recipe's number << 16.
     */
    uint32_t flags;
    uint64_t sure_fs, sure_gs, sure_kernel_gs; /* bases that need no probe; or BASE_UNSURE (bases.c) */
    uint64_t sure_rsp; /* the user's, at the last SYSCALL or when C was last there (crossing.c) */
    struct crossing crossing[CROSSINGS];                /* by enum crossing_kind */
    struct descriptor_entry descriptor[2][DESCRIPTORS]; /* loaded at CPL 0, 3 */
    struct real_segment real_segment[REAL_SEGMENTS];
    struct jump_entry jump_cache[JUMP_MODES][JUMP_CACHE_SIZE];
    /* Bounce buffer for accesses that cross a page or write to a page with code. */
    _Alignas(64) uint8_t bounce[192];
    uint8_t *bounce_at;      /* in bounce, at the alignment of the guest address */
    uint8_t *bounce_host[2]; /* where the two parts go */
    uint32_t bounce_part[2]; /* bytes of each */
    /* the rest is for C code alone */
    struct translator *translator;
    struct vcpu *vcpu;
    struct jump_mode jump_mode[JUMP_MODES];
    uint32_t seen_flush, seen_global_flush, seen_page_flush;
    struct table_register seen_gdtr;
    struct {
        uint32_t base, limit;
    } code_segment[CODE_SEGMENTS];
    uint32_t code_segments, code_segment_last; /* how many (number 0 too); the one that was looked up last */
    bool descriptors_known;                    /* descriptor[] holds more than the null selector */
    uint32_t cells_used;
    /* Exits that a flush unlinks: through cells, and to blocks that have a second part; to pages that are not
       global, and are. */
    uint32_t linked_count[2];
    struct block_exit *linked[2][LINK_LOG_SIZE];
    uint8_t site_pages[512];   /* bit per (linear page % 4096): there may be a call in the middle of a block */
    uint8_t callee_pages[512]; /* the same: what a block in another page may have been made from (pc_load.c) */
    struct block_exit *cell_pages[4096]; /* exits that have ever been linked, by linear page % 4096 */
    uint64_t host_fs;                    /* FS base of the thread's C code */
    struct tier tier;
    atomic_bool in_guest;                 /* emitted code may be running */
    int thread;                           /* that runs it: its number (gettid) */
    struct block *barred;                 /* stop.c: the block whose ways out are barred, or NULL */
    uint8_t barred_byte[BLOCK_MAX_INSNS]; /* what was at its instructions' stop_at */
    void *signal_stack;
    unsigned stack_slot[2];       /* jump cache that was used with each return stack last */
    struct return_stack stack[2]; /* of the supervisor, of the user */
    uint64_t cells[CELL_COUNT];
};
_Static_assert(sizeof(struct translator_vcpu) <= VCPU_TRANSLATOR_AREA, "area");

static inline struct translator_vcpu *translator_of(struct vcpu *v)
{
    return (struct translator_vcpu *)(void *)v->translator_area;
}

/* From the GS base, which is the end of the vCPU: a 32-bit address with the GS prefix cannot reach it. */
#define V_OFFSET(field) ((int32_t)offsetof(struct vcpu, field) - (int32_t)sizeof(struct vcpu))
#define V_SEGMENT(number, field) (V_OFFSET(seg[0].field) + (int32_t)(sizeof(struct segment) * (number)))
#define V_CLOSED(segment) (V_OFFSET(closed[0]) + (int32_t)(sizeof(uint64_t) * (segment)))
#define V_SPAN(write, segment)                                                                                    \
    (V_OFFSET(span[0][0]) + (int32_t)(sizeof(uint64_t) * (((write) ? SEG_COUNT : 0) + (segment))))
#define TV_OFFSET(field) (V_OFFSET(translator_area) + (int32_t)offsetof(struct translator_vcpu, field))

#endif
