/*
 * state.c - the guest's registers between the vCPU and a child.
 *
 * Interface: internal.h. General registers, RIP and the flags that are the same at every privilege level are the
 * child's while it runs. Segment registers cannot be: the host's descriptor table has its own. A flat segment
 * becomes the host's flat one; FS and GS with a base in 32-bit code become null, so that using them traps. What
 * the child has loaded itself, without a trap, is taken over as the processor holds it: that is how a guest goes
 * wrong. IF, IOPL, VIF, VIP and VM are the vCPU's alone; POPF does not change them, and PUSHF does not show them.
 * ID cannot be given to a child, so only its changes count.
 */
#include <errno.h>
#include <elf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "trap/internal.h"

#define FLAGS_NATIVE (FLAGS_ARITH | FLAG_DF | FLAG_TF | FLAG_NT | FLAG_AC)
#define XSTATE_BV 512 /* offsets in the image: SDM vol. 1, 13.4 */
#define XSTATE_EXTENDED 576
#define XSTATE_SOFTWARE 464 /* 48 bytes that the kernel uses for itself */

static bool is_code64(const struct vcpu *v)
{
    return (v->mode & MODE_CODE_MASK) == MODE_CODE64;
}

/* A count of why not, or COUNTERS. */
static enum trap_counter find_obstacle(struct vcpu *v)
{
    gpa_t gpa;

    if (!(v->mode & MODE_PE) || v->mode & MODE_VM || (v->mode & MODE_CODE_MASK) == MODE_CODE16)
        return COUNT_HELD_MODE;
    if (!is_code64(v) && (v->mode & MODE_FLAT32) != MODE_FLAT32)
        return COUNT_HELD_SEGMENTS;
    if (v->mode & MODE_SINGLE)
        return COUNT_HELD_SINGLE;
    if (v->rip < LOWEST_PAGE || v->rip >= STUB_PAGE)
        return COUNT_HELD_ADDRESS;
    if (is_code64(v) && (v->seg[SEG_FS].base > STUB_PAGE || v->seg[SEG_GS].base > STUB_PAGE))
        return COUNT_HELD_SEGMENTS;
    /* Supervisor code with AC set under SMAP reaches other pages than without. */
    if (v->mode & MODE_AC || v->interrupt_shadow || v->debug_pending)
        return COUNT_HELD_OTHER;
    if (is_code64(v) && v->mmu.paging && mmu_probe(&v->mmu, STUB_PAGE, &gpa))
        return COUNT_HELD_ADDRESS; /* it would meet the stub there */
    return COUNTERS;
}

bool state_is_native(struct trap *t)
{
    enum trap_counter obstacle = find_obstacle(t->v);

    if (obstacle == COUNTERS)
        return true;
    t->count[obstacle]++;
    return false;
}

/* --- SIMD --- */

static int move_xstate(struct trap *t, const struct child *c, int request)
{
    struct iovec area = {t->xstate, request == PTRACE_GETREGSET ? sizeof t->xstate : t->xstate_size};

    if (ptrace(request, c->pid, (void *)NT_X86_XSTATE, &area))
        return -ESRCH;
    t->xstate_size = area.iov_len;
    return 0;
}

static uint64_t get_word(const uint8_t *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof word);
    return word;
}

/* Components that the vCPU does not know (PKRU) stay as the child has them. */
static void merge_xstate(const struct trap *t, uint8_t *to, const uint8_t *from)
{
    uint64_t mask = t->v->simd_mask;
    uint64_t present = (get_word(from + XSTATE_BV) & mask) | (get_word(to + XSTATE_BV) & ~mask);
    uint32_t size = t->simd_size;

    memcpy(to, from, XSTATE_SOFTWARE);
    memcpy(to + XSTATE_BV, &present, sizeof present);
    if (size > XSTATE_EXTENDED)
        memcpy(to + XSTATE_EXTENDED, from + XSTATE_EXTENDED, size - XSTATE_EXTENDED);
}

int state_fetch_simd(struct trap *t)
{
    struct child *c = t->simd;

    t->simd = NULL;
    t->v->simd_live = false;
    if (!c)
        return 0;
    if (move_xstate(t, c, PTRACE_GETREGSET))
        return -ESRCH;
    memcpy(t->v->xsave + XSTATE_BV, &(uint64_t){0}, sizeof(uint64_t));
    merge_xstate(t, t->v->xsave, t->xstate);
    return 0;
}

static int give_simd(struct trap *t, struct child *c)
{
    if (t->simd == c)
        return 0;
    if (state_fetch_simd(t) || move_xstate(t, c, PTRACE_GETREGSET))
        return -ESRCH;
    merge_xstate(t, t->xstate, t->v->xsave);
    if (move_xstate(t, c, PTRACE_SETREGSET))
        return -ESRCH;
    t->simd = c;
    t->v->simd_live = true;
    return 0;
}

/* --- general registers --- */

/* FS or GS: null, and the base is set by itself (64-bit code) or using it traps. */
static uint16_t base_selector(const struct vcpu *v, unsigned seg)
{
    return v->seg[seg].base || (!is_code64(v) && v->closed[seg]) ? 0 : HOST_DS;
}

static void set_segments(const struct vcpu *v, struct child_registers *r)
{
    bool wide = is_code64(v);

    r->cs = wide ? HOST_CS64 : HOST_CS32;
    r->ss = r->ds = r->es = HOST_DS;
    r->fs = base_selector(v, SEG_FS);
    r->gs = base_selector(v, SEG_GS);
    r->fs_base = wide ? v->seg[SEG_FS].base : 0;
    r->gs_base = wide ? v->seg[SEG_GS].base : 0;
}

int state_to_child(struct trap *t, struct child *c)
{
    const struct vcpu *v = t->v;

    c->regs = (struct child_registers){.rax = v->gpr[RAX],
                                       .rcx = v->gpr[RCX],
                                       .rdx = v->gpr[RDX],
                                       .rbx = v->gpr[RBX],
                                       .rsp = v->gpr[RSP],
                                       .rbp = v->gpr[RBP],
                                       .rsi = v->gpr[RSI],
                                       .rdi = v->gpr[RDI],
                                       .r8 = v->gpr[R8],
                                       .r9 = v->gpr[R9],
                                       .r10 = v->gpr[R10],
                                       .r11 = v->gpr[R11],
                                       .r12 = v->gpr[R12],
                                       .r13 = v->gpr[R13],
                                       .r14 = v->gpr[R14],
                                       .r15 = v->gpr[R15],
                                       .rip = v->rip,
                                       .orig_rax = ~0ull,
                                       .eflags = v->rflags & FLAGS_NATIVE};
    set_segments(v, &c->regs);
    return give_simd(t, c);
}

static void get_registers(struct vcpu *v, const struct child_registers *r)
{
    const uint64_t values[16] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                                 r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    bool wide = r->cs == HOST_CS64 && v->efer & EFER_LMA;

    for (unsigned i = 0; i < (wide ? 16u : 8u); i++)
        v->gpr[i] = wide ? values[i] : (uint32_t)values[i];
    v->rip = wide ? r->rip : (uint32_t)r->rip;
    v->rflags = (v->rflags & ~(uint64_t)(FLAGS_NATIVE | FLAG_RF)) | (r->eflags & FLAGS_NATIVE);
}

/* What a selector of the host's means: null, its flat segments, or (the one with the CPU's number in its limit)
   nothing of use. The privilege level, which is SS's, stays. */
static struct segment host_segment(const struct vcpu *v, unsigned seg, uint16_t selector)
{
    uint16_t level = (uint16_t)((seg == SEG_SS ? v->cpl : 3) << 5), common = SEGATTR_P | SEGATTR_S | SEGATTR_G;
    struct segment s = {.selector = selector, .attributes = level, .limit = 0xffffffff};

    if (selector == HOST_DS)
        s.attributes = level | common | SEGATTR_DB | 3;
    else if (selector == HOST_CS32)
        s.attributes = level | common | SEGATTR_DB | 11;
    else if (selector == HOST_CS64)
        s.attributes = level | common | SEGATTR_L | 11;
    else
        s.limit = 0;
    return s;
}

/* Only where it is not the selector that the child was given. */
static void get_segments(struct vcpu *v, const struct child_registers *given, const struct child_registers *r)
{
    const struct {
        unsigned seg;
        uint64_t given, now;
    } all[] = {{SEG_ES, given->es, r->es}, {SEG_CS, given->cs, r->cs}, {SEG_SS, given->ss, r->ss},
               {SEG_DS, given->ds, r->ds}, {SEG_FS, given->fs, r->fs}, {SEG_GS, given->gs, r->gs}};
    bool changed = false;

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].given != all[i].now) {
            v->seg[all[i].seg] = host_segment(v, all[i].seg, (uint16_t)all[i].now);
            changed = true;
        }
    if (is_code64(v)) {
        v->seg[SEG_FS].base = r->fs_base;
        v->seg[SEG_GS].base = r->gs_base;
    }
    if (changed)
        cpu_update_mode(v);
}

void state_from_child(struct trap *t, struct child *c)
{
    struct vcpu *v = t->v;
    struct child_registers given = {0};

    set_segments(v, &given);
    get_registers(v, &c->regs);
    if ((c->regs.eflags ^ c->id) & FLAG_ID)
        v->rflags = (v->rflags & ~(uint64_t)FLAG_ID) | (c->regs.eflags & FLAG_ID);
    c->id = c->regs.eflags & FLAG_ID;
    get_segments(v, &given, &c->regs);
    if (v->rflags & (FLAG_TF | FLAG_AC))
        cpu_update_mode(v);
}
