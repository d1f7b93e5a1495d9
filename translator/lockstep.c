/*
 * lockstep.c - `-accel bt,lockstep=on`: the interpreter runs each block first, on the real state with every memory
 * write noted; its result is kept, state and memory are put back, the translated block runs, and the two results
 * must be equal.
 *
 * Interface: lockstep.h. Instructions that reach a device, or whose result depends on the time, end a block and
 * are run once, by the run loop; the reference stops before them (the vcpu_ops are replaced by ones that only note
 * the attempt). Page-table A and D bits set by the reference stay: they do no harm to the second run.
 */
#include "translator/lockstep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/access.h"
#include "cpu/simd.h"
#include "cpu/system.h"
#include "translator/dump.h"

#define ARCHITECTURAL offsetof(struct vcpu, mode)
#define MAX_WRITES 8192
#define MAX_BYTES (1u << 20)

struct write {
    uint8_t *host;
    uint32_t size, at; /* bytes, offset in old[] and new[] */
};

struct lockstep {
    _Alignas(64) uint8_t start[ARCHITECTURAL], reference[ARCHITECTURAL];
    struct write writes[MAX_WRITES];
    unsigned write_count;
    uint32_t bytes;
    uint8_t old[MAX_BYTES], new[MAX_BYTES];
    bool overflow, touched_device;
    unsigned steps;
    size_t size, full_size; /* of the state: the host's XSAVE area may be smaller than the vCPU's, or not matter */
    char text[16384];
};

struct lockstep *lockstep_create(void)
{
    struct lockstep *s = aligned_alloc(64, (sizeof *s + 63) & ~(size_t)63);

    if (!s)
        return NULL;
    memset(s, 0, offsetof(struct lockstep, text));
    s->size = s->full_size = offsetof(struct vcpu, xsave) + simd_area_size();
    return s;
}

void lockstep_destroy(struct lockstep *s)
{
    free(s);
}

bool lockstep_unrepeatable(const struct insn *in)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_WRMSR:
        return true;
    default:
        return in->category == ZYDIS_CATEGORY_IO || in->category == ZYDIS_CATEGORY_IOSTRINGOP;
    }
}

/* --- the reference run --- */

static void note_write(void *opaque, uint8_t *host, unsigned size)
{
    struct lockstep *s = opaque;

    if (s->write_count == MAX_WRITES || s->bytes + size > MAX_BYTES) {
        s->overflow = true;
        return;
    }
    s->writes[s->write_count++] = (struct write){host, size, s->bytes};
    memcpy(s->old + s->bytes, host, size);
    s->bytes += size;
}

static void undo_writes(struct lockstep *s)
{
    for (unsigned i = s->write_count; i-- > 0;)
        memcpy(s->writes[i].host, s->old + s->writes[i].at, s->writes[i].size);
}

static void restore(struct vcpu *v, const uint8_t *saved, size_t size)
{
    uint64_t cr0 = v->cr0, cr3 = v->cr3, cr4 = v->cr4, efer = v->efer;

    memcpy(v, saved, size);
    cpu_update_mode(v);
    if (cr0 == v->cr0 && cr3 == v->cr3 && cr4 == v->cr4 && efer == v->efer)
        return;
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    mmu_flush(&v->mmu, true);
}

static uint64_t no_mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    ((struct lockstep *)opaque)->touched_device = true;
    return ~0ull;
}

static void no_mmio_write(void *opaque, gpa_t gpa, uint64_t value, unsigned size)
{
    ((struct lockstep *)opaque)->touched_device = true;
}

static uint64_t no_cr8_read(void *opaque)
{
    ((struct lockstep *)opaque)->touched_device = true;
    return 0;
}

static void no_cr8_write(void *opaque, uint64_t value)
{
    ((struct lockstep *)opaque)->touched_device = true;
}

static void no_log(void *opaque, const char *topic, const char *text)
{
}

/* One reference step; false: the reference ends here. What needs the SIMD state saved ends the translated block.
   So does a part of a REP string instruction, but where translated code runs the whole. */
static bool reference_step(struct lockstep *s, struct vcpu *v, const struct insn_map *map)
{
    uint64_t rip = v->rip;
    enum cpu_status status;

    do {
        v->simd_live = map->by_interpreter;
        status = cpu_step(v);
        v->simd_live = false;
        if (status != CPU_OK || s->touched_device)
            return false;
    } while (v->rip == rip && map->repeats);
    s->steps++;
    return v->rip != rip;
}

/* A REP in a window has been stopped by a page fault with `left` repetitions to go: so many less, of the same. */
static void reference_part(struct lockstep *s, struct vcpu *v, uint64_t left)
{
    uint64_t mask = v->mode & MODE_CODE64 ? UINT64_MAX : UINT32_MAX, rip = v->rip, all = v->gpr[RCX] & mask;

    if (left >= all)
        return;
    v->gpr[RCX] = all - left;
    while (v->rip == rip && cpu_step(v) == CPU_OK && !s->touched_device)
        ;
    v->gpr[RCX] = left;
    v->rip = rip;
}

/* Runs at most `limit` instructions of b, and as many as touch no device, and takes them back. left: repetitions
   that were left of the instruction behind them, if it is a REP that was stopped. */
static void run_reference(struct lockstep *s, struct vcpu *v, const struct block *b, unsigned limit, uint64_t left)
{
    static const struct vcpu_ops no_devices = {.cr8_read = no_cr8_read, .cr8_write = no_cr8_write, .log = no_log};
    struct cpu_write_log log = {note_write, s};
    struct ram *ram = v->mmu.ram;
    struct ram_mmio mmio = ram->mmio;
    const struct vcpu_ops *ops = v->ops;
    void *opaque = v->ops_opaque;
    void (*code_written)(void *, uint64_t, unsigned) = ram->code_written;
    const struct insn_map *map = block_map(b);
    gva_t next = v->rip;

    s->write_count = s->bytes = s->steps = 0;
    s->overflow = s->touched_device = false;
    memcpy(s->start, v, s->size);
    v->ops = &no_devices;
    v->ops_opaque = s;
    v->write_log = &log;
    ram->mmio = (struct ram_mmio){no_mmio_read, no_mmio_write, s};
    ram->code_written = NULL;
    while (s->steps < limit && v->rip == next && !map[s->steps].to_run_loop) {
        if (!reference_step(s, v, &map[s->steps]))
            break;
        next += map[s->steps - 1].length;
    }
    if (s->steps == limit && v->rip == next && limit < b->instructions && map[limit].repeats)
        reference_part(s, v, left);
    ram->code_written = code_written;
    ram->mmio = mmio;
    v->write_log = NULL;
    v->ops = ops;
    v->ops_opaque = opaque;
    if (s->touched_device) {
        undo_writes(s);
        restore(v, s->start, s->size);
        run_reference(s, v, b, s->steps, UINT64_MAX);
        return;
    }
    memcpy(s->reference, v, s->size);
    for (unsigned i = 0; i < s->write_count; i++)
        memcpy(s->new + s->writes[i].at, s->writes[i].host, s->writes[i].size);
    undo_writes(s);
    restore(v, s->start, s->size);
}

void lockstep_before(struct lockstep *s, struct vcpu *v, const struct block *b)
{
    s->size = b->no_simd ? offsetof(struct vcpu, xsave) : s->full_size;
    run_reference(s, v, b, b->instructions, UINT64_MAX);
}

/* The translated block has stopped early, for an interrupt or because the mode has changed, behind `count`
 * instructions: so must the reference. */
static void rerun_reference(struct lockstep *s, struct vcpu *v, const struct block *b, unsigned count)
{
    struct lockstep *got = lockstep_create();

    if (!got)
        return;
    memcpy(got->reference, v, s->size); /* what the translated block has left */
    got->write_count = s->write_count;
    memcpy(got->writes, s->writes, s->write_count * sizeof *s->writes);
    for (unsigned i = 0; i < s->write_count; i++)
        memcpy(got->new + s->writes[i].at, s->writes[i].host, s->writes[i].size);
    undo_writes(s);
    restore(v, s->start, s->size);
    run_reference(s, v, b, count, ((const struct vcpu *)(const void *)got->reference)->gpr[RCX]);
    restore(v, got->reference, s->size);
    for (unsigned i = 0; i < got->write_count; i++)
        memcpy(got->writes[i].host, got->new + got->writes[i].at, got->writes[i].size);
    lockstep_destroy(got);
}

/* --- the comparison --- */

static void say(struct lockstep *s, const char *what, uint64_t reference, uint64_t got)
{
    size_t used = strlen(s->text);

    snprintf(s->text + used, sizeof s->text - used, "  %-12s interp %016llx  bt %016llx\n", what,
             (unsigned long long)reference, (unsigned long long)got);
}

static void compare_integers(struct lockstep *s, const struct vcpu *r, const struct vcpu *v)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {{"rip", offsetof(struct vcpu, rip)},
                  {"rflags", offsetof(struct vcpu, rflags)},
                  {"cr0", offsetof(struct vcpu, cr0)},
                  {"cr2", offsetof(struct vcpu, cr2)},
                  {"cr3", offsetof(struct vcpu, cr3)},
                  {"cr4", offsetof(struct vcpu, cr4)},
                  {"efer", offsetof(struct vcpu, efer)},
                  {"cs", offsetof(struct vcpu, seg[SEG_CS])},
                  {"ss", offsetof(struct vcpu, seg[SEG_SS])},
                  {"fs base", offsetof(struct vcpu, seg[SEG_FS].base)},
                  {"gs base", offsetof(struct vcpu, seg[SEG_GS].base)},
                  {"kernel gs", offsetof(struct vcpu, kernel_gs_base)}};

    for (unsigned i = 0; i < 16; i++)
        if (r->gpr[i] != v->gpr[i])
            say(s, names[i], r->gpr[i], v->gpr[i]);
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t x, y;

        memcpy(&x, (const char *)r + fields[i].offset, 8);
        memcpy(&y, (const char *)v + fields[i].offset, 8);
        if (x != y)
            say(s, fields[i].name, x, y);
    }
}

/* A component's bytes, or zeros while XSTATE_BV says that it is in its initial state (SDM vol. 1, 13.6). */
static uint64_t xsave_word(const struct vcpu *v, unsigned component, unsigned offset)
{
    uint64_t present, word;

    memcpy(&present, v->xsave + 512, 8);
    memcpy(&word, v->xsave + offset, 8);
    return present >> component & 1 ? word : 0;
}

static void compare_simd(struct lockstep *s, const struct vcpu *r, const struct vcpu *v)
{
    char name[16];

    if (!memcmp(r->xsave, v->xsave, s->size - offsetof(struct vcpu, xsave)))
        return;
    for (unsigned at = 32; at < 160; at += 8) /* ST0-ST7; bytes 10-15 of each are reserved */
        if (((xsave_word(r, 0, at) ^ xsave_word(v, 0, at)) & (at & 8 ? 0xffff : ~0ull)) != 0) {
            snprintf(name, sizeof name, "st%u", (at - 32) / 16);
            say(s, name, xsave_word(r, 0, at), xsave_word(v, 0, at));
        }
    for (unsigned at = 160; at < 416; at += 8)
        if (xsave_word(r, 1, at) != xsave_word(v, 1, at)) {
            snprintf(name, sizeof name, "xmm%u+%u", (at - 160) / 16, at & 8);
            say(s, name, xsave_word(r, 1, at), xsave_word(v, 1, at));
        }
    for (unsigned at = 576; at < 832; at += 8)
        if (xsave_word(r, 2, at) != xsave_word(v, 2, at)) {
            snprintf(name, sizeof name, "ymmh%u+%u", (at - 576) / 16, at & 8);
            say(s, name, xsave_word(r, 2, at), xsave_word(v, 2, at));
        }
    if (memcmp(r->xsave + 24, v->xsave + 24, 4))
        say(s, "mxcsr", *(const uint32_t *)(const void *)(r->xsave + 24),
            *(const uint32_t *)(const void *)(v->xsave + 24));
}

/* A page-table walk of one engine alone (the other one's TLB had the page) sets A, bit 5, in an entry that the
   block has written (SDM vol. 3, 4.8). */
static bool differs_in_a(const struct vcpu *v, const uint8_t *host, uint64_t x, uint64_t y, uint32_t size)
{
    return v->cr0 & CR0_PG && size >= 4 && ((uintptr_t)host & 3) == 0 && (x ^ y) == 0x20;
}

/* Arithmetic flags that the manual leaves undefined behind the instructions that ran: the engines may differ. */
static uint64_t undefined_flags(struct translator *t, const struct vcpu *v, const struct block *b)
{
    const struct insn_map *map = block_map(b);
    const uint8_t *bytes = ram_host_readable(v->mmu.ram, b->gpa);
    uint32_t undefined = 0;

    if (!bytes || b->second.gpa != CACHE_NO_PAGE)
        return FLAGS_ARITH;
    for (unsigned i = 0; i < t->lockstep->steps; bytes += map[i++].length) {
        ZydisDecodedInstruction z;

        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeInstruction(decode_decoder(t, b->mode), NULL, bytes, map[i].length, &z)) ||
            !z.cpu_flags)
            continue;
        undefined &= ~(z.cpu_flags->modified | z.cpu_flags->set_0 | z.cpu_flags->set_1);
        undefined |= z.cpu_flags->undefined;
    }
    return undefined & FLAGS_ARITH;
}

/* An image of the flags that has been pushed, with undefined ones in it. */
static bool differs_in_undefined_flags(uint64_t x, uint64_t y, uint32_t size, uint64_t free)
{
    return (size == 2 || size == 4 || size == 8) && x & y & FLAG_FIXED && !((x ^ y) & ~free);
}

static void compare_memory(struct lockstep *s, const struct vcpu *v, uint64_t free)
{
    char name[32];

    for (unsigned i = s->write_count; i-- > 0;) {
        struct write *w = &s->writes[i];

        if (memcmp(w->host, s->new + w->at, w->size)) {
            uint64_t x = 0, y = 0;

            memcpy(&x, s->new + w->at, w->size < 8 ? w->size : 8);
            memcpy(&y, w->host, w->size < 8 ? w->size : 8);
            if (differs_in_a(v, w->host, x, y, w->size) || differs_in_undefined_flags(x, y, w->size, free))
                continue;
            snprintf(name, sizeof name, "mem %p", (void *)w->host);
            say(s, name, x, y);
            return;
        }
    }
}

/* Puts what differs into s->text. */
static void compare(struct translator *t, struct vcpu *v, const struct block *b)
{
    struct lockstep *s = t->lockstep;
    struct vcpu *r = (struct vcpu *)(void *)s->reference;
    uint64_t free = undefined_flags(t, v, b);

    s->text[0] = '\0';
    r->rflags = (r->rflags & ~free) | (v->rflags & free);
    compare_integers(s, r, v);
    compare_simd(s, r, v);
    compare_memory(s, v, free);
}

static bool is_equal(const struct lockstep *s, const struct vcpu *v)
{
    if (memcmp(s->reference, v, s->size))
        return false;
    for (unsigned i = s->write_count; i-- > 0;)
        if (memcmp(s->writes[i].host, s->new + s->writes[i].at, s->writes[i].size))
            return false;
    return true;
}

bool lockstep_after(struct translator *t, struct vcpu *v, const struct block *b, const char **text)
{
    struct lockstep *s = t->lockstep;
    const struct vcpu *r = (const struct vcpu *)(void *)s->reference;
    unsigned ran = b->instructions - lockstep_instructions_left(b, v->rip);

    *text = s->text;
    if (s->overflow)
        return true;
    simd_save(v);
    if (is_equal(s, v))
        return true;
    if (v->rip == r->rip || ran >= s->steps) {
        compare(t, v, b);
        if (!s->text[0])
            return true;
    }
    if (ran > s->steps)
        return false;
    /* It may have stopped early, just where a jump of the whole block goes, or before HLT, which is not counted.
     */
    rerun_reference(s, v, b, ran);
    compare(t, v, b);
    return !s->text[0];
}

unsigned lockstep_compared(const struct lockstep *s)
{
    return s->overflow ? 0 : s->steps;
}

unsigned lockstep_instructions_left(const struct block *b, gva_t rip)
{
    const struct insn_map *map = block_map(b);
    gva_t pc = b->pc;
    unsigned i = 0;

    for (; i < b->instructions && pc != rip; i++)
        pc += map[i].length;
    return b->instructions - i;
}

_Noreturn void lockstep_report(struct translator *t, struct vcpu *v, const struct block *b, const char *text)
{
    const struct vcpu *start = (const struct vcpu *)(const void *)t->lockstep->start;
    const uint8_t *bytes = ram_host_readable(v->mmu.ram, b->gpa);

    fprintf(stderr, "novt: lock-step: the engines differ after the block at %#llx (%u instructions, mode %#x)\n%s",
            (unsigned long long)b->pc, b->instructions, b->mode, text);
    fprintf(stderr, "state before:");
    for (unsigned i = 0; i < 16; i++)
        fprintf(stderr, "%s%016llx", i % 4 ? " " : "\n  ", (unsigned long long)start->gpr[i]);
    fprintf(stderr, "\n  rflags %08llx\nguest code:\n", (unsigned long long)start->rflags);
    if (bytes)
        dump_code(stderr, bytes, b->size, b->pc, 64);
    fprintf(stderr, "host code:\n");
    dump_code(stderr, b->code, (size_t)(b->code_end - b->code), (uintptr_t)b->code, 64);
    dump_code(stderr, b->cold, (size_t)(b->cold_end - b->cold), (uintptr_t)b->cold, 64);
    fprintf(stderr, "now at %#llx; differences (as above):\n%s", (unsigned long long)v->rip, text);
    abort();
}
