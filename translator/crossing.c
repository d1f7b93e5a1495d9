/*
 * crossing.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT between user code and a supervisor of the same width, without C.
 *
 * Interface: internal.h. What such an instruction does follows from the mode, the system flags, some MSRs and
 * control registers. C has done it before and noted what came of it (struct crossing); permanent code compares the
 * mode and the flags, and does the same again. The rest cannot have changed: C forgets what it has noted whenever
 * it runs an instruction for the guest, follows a flush, or is left by way of the run loop. Everything else, an
 * interrupt that waits and a request to stop too, goes to C.
 */
#include "translator/internal.h"

#define SYSCALL_LENGTH 2u
#define SYSTEM_FLAGS(flags) ((uint32_t)(flags) & ~(uint32_t)FLAGS_ARITH)

_Static_assert(offsetof(struct vcpu, cpl) == offsetof(struct vcpu, mode) + 4, "crossing.level");
_Static_assert(offsetof(struct vcpu, data_context) == offsetof(struct vcpu, mode) + 5, "crossing.level");
_Static_assert(offsetof(struct vcpu, fetch_context) == offsetof(struct vcpu, mode) + 6, "crossing.level");
_Static_assert(offsetof(struct vcpu, span) == offsetof(struct vcpu, mode) + 8, "crossing.level");
_Static_assert(offsetof(struct vcpu, interrupt_line) == offsetof(struct vcpu, exit_request) + 4, "emit_checks");
_Static_assert(offsetof(struct vcpu, nmi_pending) == offsetof(struct vcpu, exit_request) + 5, "emit_checks");
_Static_assert(offsetof(struct vcpu, mmu) == offsetof(struct vcpu, exit_request) + 8, "emit_checks");

/* --- what C notes --- */

void crossing_forget(struct translator_vcpu *tv)
{
    for (unsigned kind = 0; kind < CROSSINGS; kind++)
        tv->crossing[kind].mode = CROSSING_NONE;
}

/* The arithmetic flags that SYSCALL leaves are all or none (IA32_FMASK). */
static bool is_whole(uint64_t masked)
{
    return !masked || masked == FLAGS_ARITH;
}

/* Within 64-bit code, or within flat 32-bit code outside of long mode. */
static bool is_within(uint32_t from, uint32_t to, bool wide)
{
    if (wide)
        return from & to & MODE_CODE64;
    return !((from | to) & MODE_LMA) && !translator_segmented(from) && !translator_segmented(to);
}

static bool is_known(const struct vcpu *v, enum crossing_kind kind, uint32_t mode, uint64_t flags)
{
    unsigned from = kind == CROSSING_SYSCALL || kind == CROSSING_SYSENTER ? 3 : 0;

    return is_within(mode, v->mode, kind <= CROSSING_SYSRET) && !((mode | v->mode) & MODE_SINGLE) &&
           (mode & MODE_CPL) == from && v->cpl == 3 - from && !(flags & (FLAG_RF | FLAG_VM)) &&
           (kind != CROSSING_SYSCALL || is_whole(v->fmask & FLAGS_ARITH));
}

void crossing_note(struct vcpu *v, enum crossing_kind kind, uint32_t mode, uint64_t flags)
{
    struct translator_vcpu *tv = translator_of(v);
    struct crossing *c = &tv->crossing[kind];
    unsigned level = v->cpl == 3, slot = tv->stack_slot[level];

    if (!tv->translator->options.crossing || !tv->translator->options.jump_cache ||
        !is_known(v, kind, mode, flags) || tv->jump_base != (uintptr_t)tv->jump_cache[slot] ||
        tv->jump_mode[slot].mode != lookup_slot_mode(tv->stack_mode[level]))
        return;
    *c = (struct crossing){.mode = mode,
                           .flags = SYSTEM_FLAGS(flags),
                           .keep = v->fmask & FLAGS_ARITH ? 0 : UINT16_MAX,
                           .stack_mode = tv->stack_mode[level],
                           .rflags = SYSTEM_FLAGS(v->rflags),
                           .rip = v->rip,
                           .jump_base = tv->jump_base,
                           .jump_entry =
                               tv->jump_base + (v->rip & (JUMP_CACHE_SIZE - 1)) * sizeof(struct jump_entry),
                           .rsp = v->gpr[RSP],
                           .return_stack = tv->return_stack};
    memcpy(&c->level, &v->mode, sizeof c->level);
    memcpy(&c->cs, &v->seg[SEG_CS], sizeof c->cs);
    memcpy(&c->ss, &v->seg[SEG_SS], sizeof c->ss);
}

/* --- the permanent code --- */

#define C_OFFSET(kind, field)                                                                                     \
    (TV_OFFSET(crossing[0].field) + (int32_t)(sizeof(struct crossing) * (unsigned)(kind)))
#define GPR_OFFSET(guest) (V_OFFSET(gpr) + 8 * (int32_t)(guest))
#define MAX_BRANCHES 8

/* Branches to what C is to do. */
struct branches {
    uint8_t *from[MAX_BRANCHES];
    unsigned count;
};

static void leave_if(struct emitter *e, struct branches *b, unsigned cc)
{
    b->from[b->count++] = emit_jcc_forward(e, cc);
}

static void load(struct emitter *e, bool wide, int reg, int32_t from)
{
    emit_op_vcpu(e, wide, OP_LOAD, reg, H_NONE, from);
}

static void store(struct emitter *e, bool wide, int reg, int32_t to)
{
    emit_op_vcpu(e, wide, OP_STORE, reg, H_NONE, to);
}

static void copy(struct emitter *e, int32_t from, int32_t to)
{
    load(e, true, H_RAX, from);
    store(e, true, H_RAX, to);
}

static void store_imm(struct emitter *e, bool wide, int32_t to, uint32_t value)
{
    emit_op_vcpu(e, wide, 0xc7, 0, H_NONE, to); /* mov */
    emit32(e, value);
}

/* RAX is lost. */
static void leave_unless_equal(struct emitter *e, struct branches *b, int32_t x, int32_t y)
{
    load(e, false, H_RAX, x);
    emit_op_vcpu(e, false, OP_CMP, H_RAX, H_NONE, y);
    leave_if(e, b, CC_NE);
}

/* Nothing waits (with an interrupt line that is up, whatever IF is), and the mode is the one noted. */
static void emit_checks(struct emitter *e, struct branches *b, enum crossing_kind kind)
{
    emit_op_vcpu(e, true, 0x83, 7, H_NONE,
                 V_OFFSET(exit_request)); /* cmp qword: interrupt_line, nmi_pending too */
    emit8(e, 0);
    leave_if(e, b, CC_NE);
    emit_op_vcpu(e, false, 0x80, 7, H_NONE, TV_OFFSET(stopping)); /* cmp byte */
    emit8(e, 0);
    leave_if(e, b, CC_NE);
    leave_unless_equal(e, b, V_OFFSET(mode), C_OFFSET(kind, mode));
}

/* The level and what follows from it. */
static void emit_level(struct emitter *e, enum crossing_kind kind)
{
    copy(e, C_OFFSET(kind, rflags), V_OFFSET(rflags));
    copy(e, C_OFFSET(kind, level), V_OFFSET(mode));
    copy(e, C_OFFSET(kind, cs), V_SEGMENT(SEG_CS, selector));
    copy(e, C_OFFSET(kind, ss), V_SEGMENT(SEG_SS, selector));
    copy(e, C_OFFSET(kind, jump_base), TV_OFFSET(jump_base));
    store_imm(e, true, V_SEGMENT(SEG_CS, base), 0);
    store_imm(e, true, V_SEGMENT(SEG_SS, base), 0);
    store_imm(e, false, TV_OFFSET(stack_used), kind == CROSSING_SYSRET || kind == CROSSING_SYSEXIT);
}

static void emit_otherwise(struct emitter *e, const struct branches *b, const uint8_t *callout)
{
    for (unsigned i = 0; i < b->count; i++)
        emit_bind(e, b->from[i]);
    emit_mov_imm(e, H_R11, SYSCALL_LENGTH);
    emit_call(e, callout);
}

/* In front of it the system flags are the ones noted. They stay in EAX. */
static void emit_compare_flags(struct emitter *e, struct branches *b, enum crossing_kind kind, int32_t flags)
{
    load(e, false, H_RAX, flags);
    emit_op_imm(e, false, 4, H_RAX, ~(int32_t)FLAGS_ARITH);
    emit_op_vcpu(e, false, OP_CMP, H_RAX, H_NONE, C_OFFSET(kind, flags));
    leave_if(e, b, CC_NE);
}

/* EAX: the system flags. R11 of the guest: with the arithmetic ones, of which those that are masked become 0. RCX
   is lost. */
static void emit_syscall_flags(struct emitter *e)
{
    flags_emit_image(e, H_RCX);
    emit_op_reg(e, false, OP_OR, H_RAX, H_RCX);
    store(e, true, H_RAX, GPR_OFFSET(R11));
    load(e, false, H_RAX, TV_OFFSET(flags));
    emit_op_vcpu(e, false, OP_AND, H_RAX, H_NONE, C_OFFSET(CROSSING_SYSCALL, keep));
    emit_op_imm(e, false, 1, H_RAX, FLAGS_WORD_PLAIN); /* or */
    store(e, false, H_RAX, TV_OFFSET(flags));
}

/* SYSCALL, SYSENTER */
static const uint8_t *emit_in(struct emitter *e, enum crossing_kind kind, const uint8_t *callout)
{
    const uint8_t *entry = emit_here(e);
    struct branches b = {.count = 0};

    emit_checks(e, &b, kind);
    load(e, true, H_R11, C_OFFSET(kind, jump_entry));
    load(e, true, H_RAX, C_OFFSET(kind, rip));
    emit_op_mem(e, true, OP_CMP, H_RAX, H_R11, H_NONE, 1, offsetof(struct jump_entry, pc));
    leave_if(e, &b, CC_NE);
    emit_compare_flags(e, &b, kind, V_OFFSET(rflags));
    if (kind == CROSSING_SYSCALL) {
        emit_syscall_flags(e);
        load(e, true, H_RCX, V_OFFSET(rip));
        emit_op_imm(e, true, 0, H_RCX, SYSCALL_LENGTH);
        store(e, true, H_R15, TV_OFFSET(sure_rsp));
    } else {
        load(e, true, H_R15, C_OFFSET(kind, rsp));
    }
    emit_level(e, kind);
    load(e, false, H_RAX, C_OFFSET(kind, stack_mode));
    store(e, false, H_RAX, TV_OFFSET(stack_mode[0]));
    emit_op_vcpu(e, true, 0x83, 0, H_NONE, V_OFFSET(stats.syscalls)); /* add qword */
    emit8(e, 1);
    store(e, true, H_RSP, TV_OFFSET(stack_at[1]));
    load(e, true, H_RSP, C_OFFSET(kind, return_stack));
    load(e, true, H_R11, C_OFFSET(kind, jump_entry));
    emit_op_mem(e, false, 0xff, 4, H_R11, H_NONE, 1, offsetof(struct jump_entry, host)); /* jmp */
    emit_otherwise(e, &b, callout);
    return entry;
}

/* SYSRET, SYSEXIT. The jump cache knows no address that a user cannot run code at. */
static const uint8_t *emit_out(struct emitter *e, enum crossing_kind kind, const uint8_t *callout)
{
    bool wide = kind == CROSSING_SYSRET;
    const uint8_t *entry = emit_here(e);
    struct branches b = {.count = 0};

    emit_checks(e, &b, kind);
    leave_unless_equal(e, &b, TV_OFFSET(stack_mode[1]), C_OFFSET(kind, stack_mode));
    if (wide) {
        emit_op_vcpu(e, true, OP_CMP, H_R15, H_NONE, TV_OFFSET(sure_rsp));
        leave_if(e, &b, CC_NE);
    }
    emit_compare_flags(e, &b, kind, wide ? GPR_OFFSET(R11) : V_OFFSET(rflags));
    emit_op_reg(e, wide, OP_LOAD, H_RAX, wide ? H_RCX : H_RDX);
    emit_op_reg(e, false, OP_LOAD, H_R11, H_RAX);
    emit_op_imm(e, false, 4, H_R11, JUMP_CACHE_SIZE - 1);
    emit_shift(e, false, 4, H_R11, 4);
    emit_op_vcpu(e, true, OP_ADD, H_R11, H_NONE, C_OFFSET(kind, jump_base));
    emit_op_mem(e, true, OP_CMP, H_RAX, H_R11, H_NONE, 1, offsetof(struct jump_entry, pc));
    leave_if(e, &b, CC_NE);
    emit_op_mem(e, true, OP_LOAD, H_RAX, H_R11, H_NONE, 1, offsetof(struct jump_entry, host));
    store(e, true, H_RAX, TV_OFFSET(resume));
    if (wide) {
        load(e, false, H_RAX, GPR_OFFSET(R11));
        flags_emit_take(e);
    } else {
        emit_op_reg(e, false, OP_LOAD, H_R15, H_RCX);
    }
    emit_level(e, kind);
    load(e, true, H_RSP, TV_OFFSET(stack_at[1]));
    emit_op_vcpu(e, false, 0xff, 4, H_NONE, TV_OFFSET(resume)); /* jmp */
    emit_otherwise(e, &b, callout);
    return entry;
}

const uint8_t *crossing_emit(struct emitter *e, enum crossing_kind kind, const uint8_t *callout)
{
    return kind == CROSSING_SYSCALL || kind == CROSSING_SYSENTER ? emit_in(e, kind, callout)
                                                                 : emit_out(e, kind, callout);
}
