/*
 * interp.c - the interpreter's step: fetch, decode, dispatch, and what happens around an instruction.
 *
 * Interface: cpu_step of system.h. Invariants: a handler that does not return CPU_OK has changed nothing
 * architectural (CPU_EXIT apart); RIP is written here only, except by the transfers of system.h.
 */
#include "cpu/interp.h"
#include "cpu/native.h"
#include "memory/host.h"

#define likely(x) __builtin_expect(!!(x), 1)

/*
 * Decoded instructions, by linear address. One is used again only if the bytes in memory are still the same, so
 * that nothing ever has to be invalidated.
 */
#define CACHE_SIZE 4096u

struct cache_entry {
    gva_t linear;
    uint32_t code_mode; /* MODE_CODE_*, or CACHE_EMPTY */
    uint64_t raw[2], mask[2];
    interp_handler *handler;
    struct insn insn;
};
#define CACHE_EMPTY 1u

struct cpu_interp {
    /* the page last fetched from, in host memory; holds while the fetch TLB says the same */
    gpa_t gpa;
    const uint8_t *host;
    struct cache_entry cache[CACHE_SIZE];
    struct insn slow; /* for what is not cached */
    uint8_t buffer[DECODE_BUFFER];
};

static struct cpu_interp *interp_state(struct vcpu *v)
{
    struct cpu_interp *s = v->interp;

    if (__builtin_expect(s != NULL, 1))
        return s;
    s = host_allocate(sizeof *s);
    if (!s)
        return NULL;
    s->gpa = UINT64_MAX;
    for (unsigned n = 0; n < CACHE_SIZE; n++)
        s->cache[n].code_mode = CACHE_EMPTY;
    v->interp = s;
    return s;
}

void interp_destroy(struct vcpu *v)
{
    if (v->interp)
        host_unmap(v->interp, sizeof *v->interp);
    v->interp = NULL;
}

/* The instruction in host memory, when the fetch TLB knows its page and it does not lie at the page's end. */
static const uint8_t *fetch_hit(struct vcpu *v, struct cpu_interp *s, gva_t linear)
{
    const struct mmu_fetch_entry *f = mmu_fetch_hit(&v->mmu, v->fetch_context, linear & PAGE_MASK);

    if (!f || (linear & ~PAGE_MASK) > PAGE_SIZE - DECODE_BUFFER)
        return NULL;
    if (f->gpa != s->gpa) {
        s->host = ram_host_readable(v->mmu.ram, f->gpa);
        s->gpa = s->host ? f->gpa : UINT64_MAX;
        if (!s->host)
            return NULL;
    }
    return s->host + (linear & ~PAGE_MASK);
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

static void load_raw(uint64_t raw[2], const uint8_t *host)
{
    __builtin_memcpy(raw, host, 16);
}

static interp_handler *find_handler(const struct insn *i);

static struct cache_entry *fill_entry(struct vcpu *v, struct cache_entry *e, gva_t linear, const uint8_t *host)
{
    uint8_t bytes[DECODE_BUFFER];
    unsigned bits;

    /* decode a copy: another CPU may be writing */
    __builtin_memcpy(bytes, host, DECODE_BUFFER);
    insn_decode(&e->insn, bytes, v->mode);
    load_raw(e->raw, bytes);
    bits = e->insn.length < 16 ? e->insn.length * 8 : 128;
    e->mask[0] = bits >= 64 ? ~0ull : (1ull << bits) - 1;
    e->mask[1] = bits > 64 ? ~0ull >> (128 - bits) : 0;
    e->linear = linear;
    e->code_mode = v->mode & MODE_CODE_MASK;
    e->handler = find_handler(&e->insn);
    return e;
}

/* The decoded instruction at CS:RIP with i->next set, and its handler. */
static inline enum cpu_status fetch(struct vcpu *v, struct cpu_interp *s, struct insn **insn,
                                    interp_handler **handler)
{
    gva_t linear = v->rip;
    const uint8_t *host;
    struct insn *i;

    if (!insn_code64(v))
        linear = (uint32_t)(v->seg[SEG_CS].base + v->rip);
    host = fetch_hit(v, s, linear);
    if (likely(host)) {
        struct cache_entry *e = &s->cache[(linear ^ linear >> 12) % CACHE_SIZE];
        uint64_t raw[2];

        load_raw(raw, host);
        if (!likely(e->linear == linear && e->code_mode == (v->mode & MODE_CODE_MASK) &&
                    !(((raw[0] ^ e->raw[0]) & e->mask[0]) | ((raw[1] ^ e->raw[1]) & e->mask[1]))))
            fill_entry(v, e, linear, host);
        i = &e->insn;
        *handler = e->handler;
    } else {
        i = &s->slow;
        TRY(fetch_slow(v, linear, s->buffer, i));
        *handler = find_handler(i);
    }
    *insn = i;
    i->next = v->rip + i->length;
    if (!likely(i->length <= INSN_MAX))
        return raise_gp(v);
    if (insn_code64(v))
        return CPU_OK;
    i->next &= 0xffffffffu;
    return check_limit(v, i);
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

static enum cpu_status undefined(struct vcpu *v, struct insn *i)
{
    return raise_ud(v);
}

static interp_handler *find_handler(const struct insn *i)
{
    interp_handler *handler;

    if (i->lock && !lock_allowed(i))
        return undefined;
    if (i->vex)
        return interp_vex;
    switch (i->map) {
    case MAP_1:
        handler = interp_one_byte[i->opcode];
        break;
    case MAP_0F:
        handler = interp_two_byte[i->opcode];
        break;
    case MAP_0F38:
        return interp_0f38;
    case MAP_0F3A:
        return native_execute;
    default:
        return undefined;
    }
    return handler ? handler : native_execute;
}

/* RF holds for one instruction, all iterations of it (SDM vol. 3, 18.3.1.1); IRET has loaded it anew. */
static void end_resume(struct vcpu *v, const struct insn *i)
{
    bool unfinished = i->rep && i->next == v->rip;

    if (!unfinished && !(i->map == MAP_1 && i->opcode == 0xcf))
        v->rflags &= ~(uint64_t)FLAG_RF;
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
    if (__builtin_expect(flags_before & FLAG_RF, 0))
        end_resume(v, i);
    v->rip = i->next;
    if (__builtin_expect(v->mode & MODE_SINGLE || flags_before & FLAG_TF, 0))
        return cpu_debug_after(v, flags_before & FLAG_TF && !enters_handler(v, i));
    return CPU_OK;
}

static enum cpu_status step(struct vcpu *v)
{
    uint64_t flags = v->rflags;
    bool shadow = v->interrupt_shadow, debug_shadow = v->debug_shadow;
    struct cpu_interp *s = interp_state(v);
    interp_handler *handler;
    enum cpu_status status;
    struct insn *i;

    if (!s) { /* the host has no memory left: leave the loop, and try again */
        v->exit = (struct vcpu_exit){.reason = EXIT_REQUEST};
        return CPU_EXIT;
    }
    if (__builtin_expect(v->mode & MODE_SINGLE, 0))
        TRY(cpu_debug_before(v));
    TRY(fetch(v, s, &i, &handler));
    v->interrupt_shadow = false;
    v->debug_shadow = false;
    status = handler(v, i);
    if (likely(status == CPU_OK))
        return finish(v, i, flags);
    if (status == CPU_NEED_FULL) {
        v->interrupt_shadow = shadow;
        v->debug_shadow = debug_shadow;
    }
    return status;
}

enum cpu_status cpu_step(struct vcpu *v)
{
    uint8_t before = activity_begin(&v->activity, ACTIVITY_INTERPRETER);
    enum cpu_status status = step(v);

    if (likely(status == CPU_OK))
        v->stats.interpreted++;
    else if (status == CPU_FAULT)
        status = cpu_deliver_fault(v);
    v->activity = before;
    return status;
}
