/*
 * interp.c - the interpreter's step: fetch, decode, dispatch, and what happens around an instruction.
 *
 * Interface: cpu_step of system.h. Invariants: a handler that does not return CPU_OK has changed nothing
 * architectural (CPU_EXIT apart); RIP is written here only, except by the transfers of system.h.
 */
#include "cpu/interp.h"
#include "cpu/native.h"

#define likely(x) __builtin_expect(!!(x), 1)

/* The page of the instruction in host memory, when the fetch TLB knows it. */
static const uint8_t *fetch_hit(struct vcpu *v, gva_t linear)
{
    const struct mmu_fetch_entry *f =
        &v->mmu.table[v->fetch_context].fetch[(linear >> PAGE_SHIFT) & (MMU_FETCH_SIZE - 1)];

    if (f->page != (linear & PAGE_MASK) || (linear & ~PAGE_MASK) > PAGE_SIZE - DECODE_BUFFER)
        return NULL;
    return ram_host_readable(v->mmu.ram, f->gpa | (linear & ~PAGE_MASK));
}

/* The CS limit, outside of 64-bit mode. */
static enum cpu_status check_limit(struct vcpu *v, const struct insn *i)
{
    if (v->rip + i->length - 1 > v->seg[SEG_CS].limit)
        return raise_gp(v);
    return CPU_OK;
}

static enum cpu_status fetch_slow(struct vcpu *v, gva_t linear, uint8_t buffer[DECODE_BUFFER], struct insn *i)
{
    unsigned got = 0, more;
    unsigned room = (unsigned)(PAGE_SIZE - (linear & ~PAGE_MASK));
    uint8_t byte;

    /* The next page is touched only when the instruction reaches into it. */
    memset(buffer, 0, DECODE_BUFFER);
    TRY(cpu_fetch(v, linear, buffer, room < INSN_MAX ? room : INSN_MAX, &got));
    insn_decode(i, buffer, v->mode);
    if (i->length <= got || got == INSN_MAX)
        return CPU_OK;
    TRY(cpu_fetch(v, linear, buffer, INSN_MAX, &got));
    insn_decode(i, buffer, v->mode);
    if (i->length <= got || got == INSN_MAX)
        return CPU_OK;
    linear += got;
    return cpu_fetch(v, v->mode & MODE_LMA ? linear : (uint32_t)linear, &byte, 1, &more);
}

static enum cpu_status fetch(struct vcpu *v, uint8_t buffer[DECODE_BUFFER], struct insn *i)
{
    gva_t linear = v->rip;
    const uint8_t *host;

    if (!insn_code64(v))
        linear = (uint32_t)(v->seg[SEG_CS].base + v->rip);
    host = fetch_hit(v, linear);
    if (likely(host))
        insn_decode(i, host, v->mode);
    else
        TRY(fetch_slow(v, linear, buffer, i));
    i->next = v->rip + i->length;
    if (insn_code64(v))
        return likely(i->length <= INSN_MAX) ? CPU_OK : raise_gp(v);
    if (i->length > INSN_MAX)
        return raise_gp(v);
    TRY(check_limit(v, i));
    i->next &= 0xffffffffu;
    return CPU_OK;
}

/* LOCK is for read-modify-write of memory by these only (SDM vol. 2, LOCK). */
static bool lock_allowed(const struct insn *i)
{
    unsigned o = i->opcode, sub = i->modrm >> 3 & 7;

    if (!i->has_modrm || i->mod == 3 || i->vex)
        return false;
    if (i->map == MAP_1) {
        if (o < 0x38)
            return (o & 7) < 2;
        if (o >= 0x80 && o <= 0x83)
            return sub != 7;
        return o == 0x86 || o == 0x87 || ((o == 0xf6 || o == 0xf7) && (sub == 2 || sub == 3)) ||
               ((o == 0xfe || o == 0xff) && sub < 2);
    }
    if (i->map != MAP_0F)
        return false;
    return o == 0xab || o == 0xb3 || o == 0xbb || (o == 0xba && sub > 4) || o == 0xb0 || o == 0xb1 || o == 0xc0 ||
           o == 0xc1 || (o == 0xc7 && sub == 1);
}

static enum cpu_status execute(struct vcpu *v, struct insn *i)
{
    interp_handler *handler = NULL;

    if (__builtin_expect(i->lock, 0) && !lock_allowed(i))
        return raise_ud(v);
    if (i->vex)
        return interp_vex(v, i);
    switch (i->map) {
    case MAP_1:
        handler = interp_one_byte[i->opcode];
        break;
    case MAP_0F:
        handler = interp_two_byte[i->opcode];
        break;
    case MAP_0F38:
        return interp_0f38(v, i);
    case MAP_0F3A:
        return native_execute(v, i);
    default:
        return raise_ud(v);
    }
    return likely(handler != NULL) ? handler(v, i) : native_execute(v, i);
}

/* INT n, INT3, INTO, and SYSCALL that masks TF: the step ends with TF clear, and there is no trap. */
static bool enters_handler(const struct vcpu *v, const struct insn *i)
{
    if (v->rflags & FLAG_TF)
        return false;
    return (i->map == MAP_1 && i->opcode >= 0xcc && i->opcode <= 0xce) || (i->map == MAP_0F && i->opcode == 0x05);
}

/* After a CPU_OK: RIP, RF and the single-step trap. */
static enum cpu_status finish(struct vcpu *v, const struct insn *i, uint64_t flags_before)
{
    v->rip = i->next;
    /* RF holds for one instruction; IRET and a task switch load it anew (SDM vol. 3, 18.3.1.1) */
    if (__builtin_expect(flags_before & FLAG_RF, 0) && i->opcode != 0xcf)
        v->rflags &= ~(uint64_t)FLAG_RF;
    if (__builtin_expect(v->mode & MODE_SINGLE || flags_before & FLAG_TF, 0))
        return cpu_debug_after(v, flags_before & FLAG_TF && !enters_handler(v, i));
    return CPU_OK;
}

static enum cpu_status step(struct vcpu *v)
{
    uint64_t flags = v->rflags;
    bool shadow = v->interrupt_shadow, debug_shadow = v->debug_shadow;
    uint8_t buffer[DECODE_BUFFER];
    enum cpu_status status;
    struct insn i;

    if (__builtin_expect(v->mode & MODE_SINGLE, 0))
        TRY(cpu_debug_before(v));
    TRY(fetch(v, buffer, &i));
    v->interrupt_shadow = false;
    v->debug_shadow = false;
    status = execute(v, &i);
    if (likely(status == CPU_OK))
        return finish(v, &i, flags);
    if (status == CPU_NEED_FULL) {
        v->interrupt_shadow = shadow;
        v->debug_shadow = debug_shadow;
    }
    return status;
}

enum cpu_status cpu_step(struct vcpu *v)
{
    enum cpu_status status = step(v);

    if (likely(status == CPU_OK)) {
        v->stats.interpreted++;
        return status;
    }
    return status == CPU_FAULT ? cpu_deliver_fault(v) : status;
}
