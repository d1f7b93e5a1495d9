/*
 * engine.c - runs a case in a guest: a machine built by hand, in long mode or in protected mode with PAE paging,
 * whose user-mode address space has the areas at the same linear addresses as the test process.
 *
 * Every exception lands on a HLT of its own at CPL 0; the frame on the kernel stack tells the rest. The exit
 * addresses hold INT3. RAM of the guest (4 KiB pages but for the kernel's 2 MiB):
 *   0x1000 GDT  0x2000 IDT  0x3000 TSS  0x4000 LDT  0x5000 handlers  0x8000 top of the kernel stack
 *   0x10000 page tables  0x400000 data  0x410000 code  0x440000 exits
 * In protected mode the selectors of 64-bit code are those of 32-bit code.
 */
#include "tests/insn/insn.h"

#include "cpu/cpuid.h"
#include "cpu/simd.h"
#include "cpu/system.h"
#include "cpu/vcpu.h"
#include "memory/ram.h"
#include "translator/translator.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_LONG 0xffff800000000000ull
#define KERNEL_PROTECTED 0xb6c00000ull /* where hardly a random pointer leads */
#define KERNEL_SIZE 0x200000u
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS 0x3000u
#define LDT 0x4000u
#define HANDLERS 0x5000u
#define KERNEL_STACK 0x8000u
#define TABLES 0x10000u
#define DATA 0x400000u
#define CODE 0x410000u
#define EXIT 0x440000u
#define LARGE 0x600000u /* for insn_engine_map_large */
#define RAM_SIZE 0x800000u
#define NX (1ull << 63)
#define MAX_STEPS 100000u

struct insn_engine {
    enum insn_engine_kind kind;
    struct ram ram;
    struct cpu_model model;
    struct vcpu *v;
    struct translator *translator;
    bool long_mode;
    uint64_t kernel; /* linear address of the guest's RAM */
    gpa_t next_table;
    bool (*watch)(void *opaque, const struct vcpu *v);
    void *watch_opaque;
    atomic_bool stop;
    struct insn_kicks *kicks; /* or NULL */
};

const char *insn_engine_name(enum insn_engine_kind kind)
{
    return kind == INSN_BT ? "bt" : "interp";
}

static uint64_t *table_at(struct insn_engine *e, gpa_t gpa)
{
    return (uint64_t *)(void *)ram_host(&e->ram, gpa);
}

/* Maps one 4 KiB page (or with PS in `flags` 2 MiB). */
static void map(struct insn_engine *e, gva_t linear, gpa_t gpa, uint64_t flags)
{
    gpa_t table = TABLES;
    unsigned shift, last = flags & 0x80 ? 21 : 12;

    for (shift = e->long_mode ? 39 : 30; shift > last; shift -= 9) {
        uint64_t *entry = &table_at(e, table)[linear >> shift & 511];

        if (!*entry) {
            *entry = e->next_table | (!e->long_mode && shift == 30 ? 1 : 7); /* a PDPTE of PAE has no rights */
            e->next_table += PAGE_SIZE;
        }
        table = *entry & 0xffffffffff000ull;
    }
    table_at(e, table)[linear >> last & 511] = gpa | flags;
}

static void build_address_space(struct insn_engine *e)
{
    unsigned i;

    e->next_table = TABLES + PAGE_SIZE;
    map(e, e->kernel, 0, 0x80 | 0x63); /* present, writable, A, D */
    for (i = 0; i < INSN_DATA_SIZE; i += PAGE_SIZE)
        map(e, INSN_DATA + i, DATA + i, NX | 0x67);
    map(e, INSN_DATA + INSN_DATA_SIZE, DATA + INSN_DATA_SIZE, NX | 0x65);
    for (i = 0; i < INSN_CODE_SIZE; i += PAGE_SIZE)
        map(e, INSN_CODE + i, CODE + i, 0x67);
    map(e, INSN_EXIT, EXIT, 0x65);
}

static uint64_t descriptor(uint64_t base, uint32_t limit, uint64_t access, uint64_t flags)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | access << 40 | (limit >> 16 & 15ull) << 48 | flags << 52 |
           (base >> 24 & 0xff) << 56;
}

/* As Linux's modify_ldt makes them: accessed, DPL 3, AVL set. */
static void build_ldt(struct insn_engine *e)
{
    const struct insn_segment *s;
    uint64_t *ldt = table_at(e, LDT);
    unsigned i;

    for (i = 0; (s = insn_ldt_entry(i)); i++) {
        unsigned type = 1 | (s->exec_only_or_read_only ? 0 : 2) | (s->expand_down ? 4 : 0) | (s->code ? 8 : 0);

        ldt[i] = descriptor(s->base, s->limit, (s->absent ? 0x70 : 0xf0) | type,
                            1 | (s->big ? 4 : 0) | (s->pages ? 8 : 0));
    }
}

static void build_gdt(struct insn_engine *e)
{
    static const uint64_t gdt[] = {
        0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff};
    uint64_t *table = table_at(e, GDT), code32 = 0x0060000000000000 /* L and D */;

    memcpy(table, gdt, sizeof gdt);
    if (!e->long_mode) {
        table[2] ^= code32;
        table[6] ^= code32;
    }
    table[8] = descriptor(e->kernel + TSS, 0x67, 0x8b, 0);
    table[9] = e->kernel >> 32;
}

static void build_tables(struct insn_engine *e)
{
    uint8_t *handlers = ram_host(&e->ram, HANDLERS), *exits = ram_host(&e->ram, EXIT);
    uint64_t *idt = table_at(e, IDT), stack = e->kernel + KERNEL_STACK;
    unsigned i;

    build_gdt(e);
    build_ldt(e);
    if (!e->long_mode)
        stack |= 0x18ull << 32; /* SS0 */
    memcpy(ram_host(&e->ram, TSS) + 4, &stack, 8);
    for (i = 0; i < 256; i++) {
        uint64_t offset = e->kernel + HANDLERS + 16 * i, type = i == 3 || i == 4 ? 0xee : 0x8e;
        uint64_t *gate = &idt[e->long_mode ? 2 * i : i];

        gate[0] = (offset & 0xffff) | 0x10 << 16 | type << 40 | (offset >> 16 & 0xffff) << 48;
        if (e->long_mode)
            gate[1] = offset >> 32;
        memset(handlers + 16 * i, 0xf4, 16);
    }
    memset(exits, 0xcc, PAGE_SIZE);
    memset(ram_host(&e->ram, CODE), 0xcc, INSN_CODE_SIZE);
}

static void set_segment(struct insn_engine *e, unsigned seg, uint16_t selector)
{
    struct vcpu *v = e->v;
    uint64_t d[2] = {table_at(e, selector & 4 ? LDT : GDT)[selector >> 3], 0};

    v->seg[seg] = (struct segment){.selector = selector};
    if (selector & 0xfffc)
        cpu_unpack_descriptor(&v->seg[seg], selector, d, false);
}

static void start_machine(struct insn_engine *e)
{
    struct vcpu *v = e->v;

    v->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    v->cr3 = TABLES;
    v->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    v->efer = EFER_SCE | EFER_NXE | (e->long_mode ? EFER_LME | EFER_LMA : 0);
    v->xcr0 = insn_xstate_mask() & e->model.xcr0_allowed;
    v->gdtr = (struct table_register){e->kernel + GDT, 79};
    v->idtr = (struct table_register){e->kernel + IDT, e->long_mode ? 4095 : 2047};
    v->tr = (struct segment){0x40, 0x8b, 0x67, e->kernel + TSS};
    v->ldtr = (struct segment){0x50, 0x82, 8 * INSN_LDT_ENTRIES - 1, e->kernel + LDT};
    if (!e->long_mode)
        mmu_load_pdptes(&v->mmu, v->cr3);
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
}

/* Linux's user selectors: what the host shows to MOV r, sreg. */
static void start_user(struct insn_engine *e, const struct insn_case *c)
{
    struct vcpu *v = e->v;
    unsigned i;

    v->rflags = c->in.rflags | (c->v86 ? FLAG_VM : 0);
    for (i = 0; i < S_COUNT; i++)
        if (c->v86)
            cpu_load_segment_real(v, i, insn_paragraph(c->in.seg[i]));
        else
            set_segment(e, i, c->in.seg[i]);
    if (c->mode == INSN_64) {
        v->seg[SEG_FS].base = c->in.fs_base;
        v->seg[SEG_GS].base = c->in.gs_base;
    }
    memcpy(v->gpr, c->in.gpr, sizeof v->gpr);
    v->rip = (uint32_t)(c->start - v->seg[SEG_CS].base);
    v->halted = false;
    v->interrupt_shadow = v->debug_shadow = false;
    v->cr2 = 0;
    v->exit.reason = EXIT_NONE;
    memcpy(v->xsave, c->in.xsave, insn_xsave_size());
    cpu_update_mode(v);
}

static bool interpret(struct insn_engine *e)
{
    struct vcpu *v = e->v;
    unsigned n;

    for (n = 0; n < MAX_STEPS; n++) {
        if (e->watch && !e->watch(e->watch_opaque, v))
            return false;
        if (cpu_step(v) == CPU_EXIT)
            return v->exit.reason == EXIT_HLT;
    }
    return false;
}

static bool translate(struct insn_engine *e)
{
    struct vcpu *v = e->v;
    unsigned n;

    for (n = 0; n < MAX_STEPS; n++) {
        v->exit.reason = EXIT_NONE;
        translator_run(e->translator, v);
        if (v->exit.reason == EXIT_INTERPRET) {
            if (cpu_step(v) == CPU_EXIT)
                return v->exit.reason == EXIT_HLT;
        } else if (v->exit.reason == EXIT_REQUEST) {
            atomic_store(&v->exit_request, 0);
            if (atomic_load(&e->stop))
                return false;
        } else {
            return v->exit.reason == EXIT_HLT;
        }
    }
    return false;
}

/* A word of the frame that the exception pushed (SDM vol. 3, 6.12.1 and 6.14.2). */
static uint64_t frame_word(struct insn_engine *e, uint64_t at, unsigned index)
{
    uint64_t value = 0;
    unsigned size = e->long_mode ? 8 : 4;

    memcpy(&value, ram_host(&e->ram, at + index * size), size);
    return value;
}

static void take_exit(struct insn_state *out)
{
    uint64_t at = out->rip + insn_segment_base(out->seg[S_CS]) - 1 - INSN_EXIT;

    at = at >= INSN_EXIT32 - INSN_EXIT ? at - (INSN_EXIT32 - INSN_EXIT) : at;
    if (out->vector != EXC_BP || at >= 32 * INSN_EXITS)
        return;
    out->vector = INSN_NO_FAULT;
    out->exit = (uint32_t)at / 32;
    out->rip = INSN_EXIT + 32 * out->exit;
}

/* The frame of virtual-8086 mode has ES, DS, FS and GS as well. */
static void take_frame_v86(struct insn_engine *e, uint64_t at, unsigned first, struct insn_state *out)
{
    static const uint8_t order[] = {S_SS, S_ES, S_DS, S_FS, S_GS};
    unsigned i;

    for (i = 0; i < sizeof order; i++)
        out->seg[order[i]] = insn_selector_of_paragraph((uint16_t)frame_word(e, at, first + 4 + i));
    out->seg[S_CS] = insn_selector_of_paragraph(out->seg[S_CS]);
}

static void take_frame(struct insn_engine *e, bool v86, struct insn_state *out)
{
    uint64_t handler = e->v->rip - 1 - e->kernel - HANDLERS, top = e->v->gpr[RSP] - e->kernel;
    unsigned size = e->long_mode ? 8 : 4, words = v86 ? 9 : 5, first = top == KERNEL_STACK - (words + 1) * size;

    out->vector = (uint32_t)(handler / 16);
    if (handler >= 4096 || top > KERNEL_STACK - words * size || top < KERNEL_STACK - (words + 1) * size - 15) {
        out->vector = INSN_NO_FRAME;
        return;
    }
    if (first)
        out->error = (uint32_t)frame_word(e, top, 0);
    out->rip = frame_word(e, top, first);
    out->seg[S_CS] = (uint16_t)frame_word(e, top, first + 1);
    out->rflags = frame_word(e, top, first + 2);
    out->gpr[R_SP] = frame_word(e, top, first + 3);
    out->seg[S_SS] = (uint16_t)frame_word(e, top, first + 4);
    if (v86)
        take_frame_v86(e, top, first, out);
    else
        take_exit(out);
}

void insn_engine_run(struct insn_engine *e, const struct insn_case *c, const uint8_t *image,
                     struct insn_state *out, uint8_t **data)
{
    struct vcpu *v = e->v;
    unsigned i;

    *data = ram_host(&e->ram, DATA);
    memcpy(*data, image, INSN_DATA_SIZE);
    for (i = 0; i < c->pokes; i++)
        memcpy(*data + c->poke[i].offset, &c->poke[i].value, 8);
    start_user(e, c);
    atomic_store(&e->stop, false);
    insn_signals_case(c);
    out->hung = !(e->kind == INSN_BT ? translate(e) : interpret(e));
    memcpy(out->gpr, v->gpr, sizeof out->gpr);
    out->rip = v->rip;
    out->rflags = v->rflags;
    for (i = 0; i < S_COUNT; i++)
        out->seg[i] = v->seg[i].selector;
    out->fs_base = v->seg[SEG_FS].base;
    out->gs_base = v->seg[SEG_GS].base;
    out->cr2 = v->cr2;
    out->error = 0;
    out->exit = 0;
    if (!out->hung)
        take_frame(e, c->v86, out);
    if (out->vector == EXC_PF && out->cr2 - e->kernel < KERNEL_SIZE)
        out->error &= ~PF_PRESENT; /* where the guest's kernel is, the host has nothing */
    memcpy(out->xsave, v->xsave, INSN_XSAVE_SIZE);
    insn_xstate_normalise(out->xsave);
}

void insn_engine_place(struct insn_engine *e, const struct insn_case *c)
{
    uint8_t *code = ram_host(&e->ram, CODE);

    memset(code + INSN_SLOT_AT(c->slot), 0xcc, INSN_SLOT);
    memcpy(code + (c->start - INSN_CODE), c->code, c->code_length);
}

void insn_engine_stop(struct insn_engine *e)
{
    atomic_store(&e->stop, true);
    atomic_store(&e->v->exit_request, 1);
    translator_kick(e->v);
}

void insn_engine_kick(struct insn_engine *e)
{
    e->kicks = insn_kicks_start(e->v);
}

void insn_engine_clear_code(struct insn_engine *e)
{
    memset(ram_host(&e->ram, CODE), 0xcc, INSN_CODE_SIZE);
}

const uint8_t *insn_engine_code(const struct insn_engine *e)
{
    return ram_host(&e->ram, CODE);
}

void insn_engine_watch(struct insn_engine *e, bool (*watch)(void *opaque, const struct vcpu *v), void *opaque)
{
    e->watch = watch;
    e->watch_opaque = opaque;
}

void insn_engine_placed(struct insn_engine *e)
{
    if (e->kind == INSN_BT)
        translator_invalidate(e->translator, CODE, INSN_CODE_SIZE);
}

void insn_engine_begin(struct insn_engine *e, const uint8_t *const_page)
{
    struct error error;

    memcpy(ram_host(&e->ram, DATA + INSN_DATA_SIZE), const_page, INSN_DATA_CONST);
    insn_signals_begin(e->v);
    if (e->kind == INSN_BT && translator_thread_enter(e->translator, e->v, &error) < 0) {
        fprintf(stderr, "insn-test: %s\n", error.text);
        exit(1);
    }
    if (e->kicks)
        insn_kicks_want(e->kicks, true);
}

void insn_engine_end(struct insn_engine *e)
{
    if (e->kicks)
        insn_kicks_want(e->kicks, false);
    if (e->kind == INSN_BT)
        translator_thread_leave(e->translator, e->v);
    insn_signals_end();
}

void insn_engine_map_large(struct insn_engine *e, uint64_t linear)
{
    map(e, linear, LARGE, 0x80 | 0x67);
}

uint8_t *insn_engine_large(const struct insn_engine *e)
{
    return ram_host(&e->ram, LARGE);
}

const struct translator_stats *insn_engine_stats(const struct insn_engine *e)
{
    return translator_get_stats(e->translator);
}

static int open_translator(struct insn_engine *e, const char *options, struct error *error)
{
    struct translator_options o;

    translator_default_options(&o);
    if (options && translator_parse_options(&o, options, error) < 0)
        return -1;
    e->translator = translator_create(&e->ram, &o, error);
    return e->translator ? translator_attach(e->translator, e->v, error) : -1;
}

static uint32_t io_read(void *opaque, uint16_t port, unsigned size)
{
    return 0xffffffff;
}

static void io_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
}

static int no_interrupt(void *opaque)
{
    return -1;
}

static bool no_msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool no_msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    return false;
}

static void no_log(void *opaque, const char *topic, const char *text)
{
}

struct insn_engine *insn_engine_open(enum insn_engine_kind kind, enum insn_machine machine, const char *cpu,
                                     const char *options)
{
    static const struct vcpu_ops ops = {io_read,      io_write, no_interrupt, no_msr_read,
                                        no_msr_write, NULL,     NULL,         no_log};
    struct insn_engine *e = calloc(1, sizeof *e);
    struct error error = {"out of memory"};

    if (!e)
        return NULL;
    e->kind = kind;
    e->long_mode = machine == INSN_LONG;
    e->kernel = e->long_mode ? KERNEL_LONG : KERNEL_PROTECTED;
    if (cpu_model_parse(&e->model, cpu ? cpu : "max", &error) < 0 || ram_create(&e->ram, RAM_SIZE, &error) < 0)
        goto fail;
    e->v = vcpu_create(&e->ram, &e->model);
    if (!e->v)
        goto fail;
    e->v->ops = &ops;
    build_address_space(e);
    build_tables(e);
    start_machine(e);
    if (kind == INSN_BT && open_translator(e, options, &error) < 0)
        goto fail;
    return e;
fail:
    fprintf(stderr, "insn-test: cannot open the engine %s: %s\n", insn_engine_name(kind), error.text);
    insn_engine_close(e);
    return NULL;
}

void insn_engine_close(struct insn_engine *e)
{
    if (e->kicks)
        insn_kicks_stop(e->kicks);
    if (e->translator) {
        translator_detach(e->translator, e->v);
        translator_destroy(e->translator);
    }
    if (e->v)
        vcpu_destroy(e->v);
    if (e->ram.host)
        ram_destroy(&e->ram);
    free(e);
}
