/*
 * interp_string.c - MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS with their repeat prefixes, and IN and OUT.
 *
 * Interface: handlers of interp_tables.h. Invariants: registers advance after each iteration, so that a fault or a
 * pause in the middle leaves them at the iteration to be done next; at most CHUNK iterations a call, then
 * i->next stays at the instruction.
 */
#include "cpu/alu.h"
#include "cpu/interp_tables.h"

#define CHUNK 4096u

struct string_op {
    uint64_t count, done;
    uint64_t mask;
    unsigned size, seg, addrsize;
    uint64_t step; /* size, or minus it when DF is set */
    bool down;
};

static void advance(struct vcpu *v, const struct string_op *s, unsigned reg, uint64_t elements)
{
    set_gpr(v, reg, s->addrsize, v->gpr[reg] + s->step * elements);
}

static void count_down(struct vcpu *v, const struct insn *i, struct string_op *s, uint64_t elements)
{
    s->done += elements;
    if (i->rep)
        set_gpr(v, RCX, s->addrsize, v->gpr[RCX] - elements);
}

/* No breakpoints, no alignment checks, going up: several elements may be done at once. */
static bool runs_allowed(const struct vcpu *v, const struct string_op *s)
{
    return !s->down && !(v->mode & MODE_SINGLE) && !(v->rflags & FLAG_AC && v->cpl == 3);
}

/* Bytes from `offset` that the segment surely holds, and that do not wrap in the address size. */
static uint64_t run_room(const struct vcpu *v, const struct string_op *s, unsigned seg, uint64_t offset,
                         bool write)
{
    uint64_t span = v->span[write][seg];

    if (insn_code64(v))
        return s->addrsize == 8 ? PAGE_SIZE : 0;
    if (v->mode & MODE_FLAT && seg < SEG_FS) /* CS may be unreadable all the same */
        span = seg == SEG_CS ? 0 : 1ull << 32;
    if (span > s->mask + 1)
        span = s->mask + 1;
    return offset < span ? span - offset : 0;
}

/* How many of `want` elements at [seg:reg] lie in one page and can be reached through one TLB entry. */
static uint8_t *page_run(struct vcpu *v, const struct string_op *s, unsigned seg, unsigned reg, bool write,
                         uint64_t *want)
{
    uint64_t offset = v->gpr[reg] & s->mask, room = run_room(v, s, seg, offset, write);
    gva_t linear = offset + (insn_code64(v) && seg < SEG_FS ? 0 : v->seg[seg].base);

    if (!insn_code64(v))
        linear = (uint32_t)linear;
    if (room > PAGE_SIZE - (linear & ~PAGE_MASK))
        room = PAGE_SIZE - (linear & ~PAGE_MASK);
    if (*want > room / s->size)
        *want = room / s->size;
    return *want ? mmu_hit(&v->mmu, v->data_context, linear, s->size, write) : NULL;
}

static void log_run(struct vcpu *v, uint8_t *host, uint64_t bytes)
{
    if (!v->write_log)
        return;
    while (bytes) {
        unsigned chunk = bytes < 64 ? (unsigned)bytes : 64;

        v->write_log->before_write(v->write_log->opaque, host, chunk);
        host += chunk;
        bytes -= chunk;
    }
}

static void host_movs(uint8_t *to, const uint8_t *from, uint64_t count, unsigned size)
{
    switch (size) {
    case 1:
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    case 2:
        __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    case 4:
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        break;
    default:
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    }
}

static void host_stos(uint8_t *to, uint64_t value, uint64_t count, unsigned size)
{
    switch (size) {
    case 1:
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
        break;
    case 2:
        __asm__ volatile("rep stosw" : "+D"(to), "+c"(count) : "a"(value) : "memory");
        break;
    case 4:
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
        break;
    default:
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    }
}

/* The host's own instruction on host addresses: element order, and so overlapping, is as in the guest. */
static uint64_t run_movs(struct vcpu *v, const struct string_op *s)
{
    uint64_t n = s->count - s->done;
    uint8_t *source = page_run(v, s, s->seg, RSI, false, &n), *target = page_run(v, s, SEG_ES, RDI, true, &n);

    if (!source || !target || n < 2)
        return 0;
    log_run(v, target, n * s->size);
    host_movs(target, source, n, s->size);
    return n;
}

static uint64_t run_stos(struct vcpu *v, const struct string_op *s)
{
    uint64_t n = s->count - s->done;
    uint8_t *target = page_run(v, s, SEG_ES, RDI, true, &n);

    if (!target || n < 2)
        return 0;
    log_run(v, target, n * s->size);
    host_stos(target, v->gpr[RAX], n, s->size);
    return n;
}

static enum cpu_status movs(struct vcpu *v, struct insn *i, struct string_op *s)
{
    bool runs = runs_allowed(v, s);

    while (s->done < s->count) {
        uint64_t value, n = runs ? run_movs(v, s) : 0;

        if (!n) {
            TRY(mem_read(v, s->seg, v->gpr[RSI] & s->mask, s->size, &value));
            TRY(mem_write(v, SEG_ES, v->gpr[RDI] & s->mask, s->size, value));
            n = 1;
        }
        advance(v, s, RSI, n);
        advance(v, s, RDI, n);
        count_down(v, i, s, n);
    }
    return CPU_OK;
}

static enum cpu_status stos(struct vcpu *v, struct insn *i, struct string_op *s)
{
    bool runs = runs_allowed(v, s);

    while (s->done < s->count) {
        uint64_t n = runs ? run_stos(v, s) : 0;

        if (!n) {
            TRY(mem_write(v, SEG_ES, v->gpr[RDI] & s->mask, s->size, v->gpr[RAX]));
            n = 1;
        }
        advance(v, s, RDI, n);
        count_down(v, i, s, n);
    }
    return CPU_OK;
}

static enum cpu_status lods(struct vcpu *v, struct insn *i, struct string_op *s)
{
    while (s->done < s->count) {
        uint64_t value;

        TRY(mem_read(v, s->seg, v->gpr[RSI] & s->mask, s->size, &value));
        set_gpr(v, RAX, s->size, value);
        advance(v, s, RSI, 1);
        count_down(v, i, s, 1);
    }
    return CPU_OK;
}

/* Compares elements in one page until the prefix's condition ends it; returns how many. *a, *b: the last ones. */
static uint64_t run_compare(struct vcpu *v, const struct string_op *s, uint8_t rep, bool cmps, uint64_t *a,
                            uint64_t *b, bool *stopped)
{
    uint64_t n = s->count - s->done, done = 0;
    const uint8_t *left = cmps ? page_run(v, s, s->seg, RSI, false, &n) : NULL;
    const uint8_t *right = page_run(v, s, SEG_ES, RDI, false, &n);

    if (!right || (cmps && !left) || n < 2)
        return 0;
    while (done < n && !*stopped) {
        if (cmps)
            *a = host_load(left + done * s->size, s->size);
        *b = host_load(right + done * s->size, s->size);
        *stopped = (*a == *b) == (rep == 0xf2);
        done++;
    }
    return done;
}

/* CMPS and SCAS. The flags of the last comparison count; a fault in the middle leaves those from before the
   instruction (SDM vol. 2, REP). *stopped: the condition of the prefix ended it. */
static enum cpu_status compare(struct vcpu *v, struct insn *i, struct string_op *s, bool *stopped)
{
    bool cmps = i->opcode < 0xa8, runs = i->rep && runs_allowed(v, s);
    uint64_t a = get_gpr(v, RAX, s->size), b = 0;

    while (s->done < s->count && !*stopped) {
        uint64_t n = runs ? run_compare(v, s, i->rep, cmps, &a, &b, stopped) : 0;

        if (!n) {
            if (cmps)
                TRY(mem_read(v, s->seg, v->gpr[RSI] & s->mask, s->size, &a));
            TRY(mem_read(v, SEG_ES, v->gpr[RDI] & s->mask, s->size, &b));
            *stopped = i->rep && (a == b) == (i->rep == 0xf2);
            n = 1;
        }
        if (cmps)
            advance(v, s, RSI, n);
        advance(v, s, RDI, n);
        count_down(v, i, s, n);
    }
    if (s->done)
        alu_arith[ALU_CMP][size_index(s->size)](a, b, &v->rflags);
    return CPU_OK;
}

static void string_begin(const struct vcpu *v, const struct insn *i, struct string_op *s, unsigned size)
{
    s->size = size;
    s->seg = i->segment;
    s->addrsize = i->addrsize;
    s->mask = size_mask(i->addrsize);
    s->down = v->rflags & FLAG_DF;
    s->step = s->down ? 0 - (uint64_t)size : size;
    s->done = 0;
    s->count = i->rep ? v->gpr[RCX] & s->mask : 1;
    if (v->mode & MODE_SINGLE && s->count > 1)
        s->count = 1;
    else if (s->count > CHUNK)
        s->count = CHUNK;
}

/* Intel's processors clear bits 63:32 of what 32-bit addresses use even if nothing is done, AMD's do not. */
static void narrow_registers(struct vcpu *v, const struct insn *i)
{
    uint8_t opcode = i->opcode & 0xfe;

    if (!i->rep || i->addrsize != 4 || v->model->amd)
        return;
    v->gpr[RCX] = (uint32_t)v->gpr[RCX];
    if (opcode == 0xa4 || opcode == 0xaa)
        v->gpr[RDI] = (uint32_t)v->gpr[RDI];
    if (opcode == 0xa4)
        v->gpr[RSI] = (uint32_t)v->gpr[RSI];
}

enum cpu_status interp_string(struct vcpu *v, struct insn *i)
{
    struct string_op s;
    bool stopped = false;
    enum cpu_status status;

    string_begin(v, i, &s, i->opcode & 1 ? i->opsize : 1);
    narrow_registers(v, i);
    switch (i->opcode & 0xfe) {
    case 0xa4:
        status = movs(v, i, &s);
        break;
    case 0xaa:
        status = stos(v, i, &s);
        break;
    case 0xac:
        status = lods(v, i, &s);
        break;
    default:
        status = compare(v, i, &s, &stopped);
    }
    if (status == CPU_OK && i->rep && !stopped && v->gpr[RCX] & s.mask)
        i->next = v->rip;
    return status;
}

static enum cpu_status port_read(struct vcpu *v, uint16_t port, unsigned size, uint64_t *value)
{
    TRY(cpu_check_io(v, port, size));
    if (v->simd_live)
        return CPU_NEED_FULL;
    cpu_debug_io(v, port, size);
    *value = v->ops && v->ops->io_read ? v->ops->io_read(v->ops_opaque, port, size) : UINT32_MAX;
    return CPU_OK;
}

static enum cpu_status port_write(struct vcpu *v, uint16_t port, unsigned size, uint64_t value)
{
    TRY(cpu_check_io(v, port, size));
    if (v->simd_live)
        return CPU_NEED_FULL;
    cpu_debug_io(v, port, size);
    if (v->ops && v->ops->io_write)
        v->ops->io_write(v->ops_opaque, port, (uint32_t)value, size);
    return CPU_OK;
}

static unsigned port_size(const struct insn *i)
{
    return !(i->opcode & 1) ? 1 : i->opsize == 2 ? 2 : 4;
}

/* 6C-6F */
enum cpu_status interp_ins_outs(struct vcpu *v, struct insn *i)
{
    struct string_op s;
    uint16_t port = (uint16_t)v->gpr[RDX];
    uint64_t value = 0;

    string_begin(v, i, &s, port_size(i));
    TRY(cpu_check_io(v, port, s.size));
    while (s.done < s.count) {
        if (i->opcode < 0x6e) {
            /* the device must not see a read whose result cannot be stored */
            TRY(mem_check_write(v, SEG_ES, v->gpr[RDI] & s.mask, s.size));
            TRY(port_read(v, port, s.size, &value));
            TRY(mem_write(v, SEG_ES, v->gpr[RDI] & s.mask, s.size, value));
            advance(v, &s, RDI, 1);
        } else {
            TRY(mem_read(v, s.seg, v->gpr[RSI] & s.mask, s.size, &value));
            TRY(port_write(v, port, s.size, value & size_mask(s.size)));
            advance(v, &s, RSI, 1);
        }
        count_down(v, i, &s, 1);
    }
    if (i->rep && v->gpr[RCX] & s.mask)
        i->next = v->rip;
    return CPU_OK;
}

/* E4-E7, EC-EF */
enum cpu_status interp_io(struct vcpu *v, struct insn *i)
{
    uint16_t port = i->opcode < 0xec ? (uint8_t)i->imm : (uint16_t)v->gpr[RDX];
    unsigned size = port_size(i);
    uint64_t value;

    if (i->opcode & 2)
        return port_write(v, port, size, get_gpr(v, RAX, size));
    TRY(port_read(v, port, size, &value));
    set_gpr(v, RAX, size, value);
    return CPU_OK;
}
