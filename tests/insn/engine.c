/*
 * engine.c - runs a case in a guest: a 64-bit machine built by hand whose user-mode address space has the areas at
 * the same linear addresses as the test process.
 *
 * Every exception lands on a HLT of its own at CPL 0; the frame on the kernel stack tells the rest. The exit
 * addresses hold INT3. RAM of the guest (4 KiB pages but for the kernel's 2 MiB):
 *   0x1000 GDT  0x2000 IDT  0x3000 TSS  0x5000 handlers  0x8000 top of the kernel stack  0x10000 page tables
 *   0x400000 data  0x410000 code  0x440000 exits
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

#define KERNEL 0xffff800000000000ull
#define GDT 0x1000u
#define IDT 0x2000u
#define TSS 0x3000u
#define HANDLERS 0x5000u
#define KERNEL_STACK 0x8000u
#define TABLES 0x10000u
#define DATA 0x400000u
#define CODE 0x410000u
#define EXIT 0x440000u
#define RAM_SIZE 0x800000u
#define MAX_STEPS 100000u
#define NX (1ull << 63)

struct insn_engine {
    enum insn_engine_kind kind;
    struct ram ram;
    struct cpu_model model;
    struct vcpu *v;
    struct translator *translator;
    gpa_t next_table;
    bool (*watch)(void *opaque, const struct vcpu *v);
    void *watch_opaque;
    atomic_bool stop;
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

    for (shift = 39; shift > last; shift -= 9) {
        uint64_t *entry = &table_at(e, table)[linear >> shift & 511];

        if (!*entry) {
            *entry = e->next_table | 7;
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
    map(e, KERNEL, 0, 0x80 | 0x63); /* present, writable, A, D */
    for (i = 0; i < INSN_DATA_SIZE; i += PAGE_SIZE)
        map(e, INSN_DATA + i, DATA + i, NX | 0x67);
    map(e, INSN_DATA + INSN_DATA_SIZE, DATA + INSN_DATA_SIZE, NX | 0x65);
    for (i = 0; i < INSN_CODE_SIZE; i += PAGE_SIZE)
        map(e, INSN_CODE + i, CODE + i, 0x67);
    map(e, INSN_EXIT, EXIT, 0x65);
}

static void build_tables(struct insn_engine *e)
{
    static const uint64_t gdt[] = {
        0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff};
    uint8_t *handlers = ram_host(&e->ram, HANDLERS), *exits = ram_host(&e->ram, EXIT);
    uint64_t *idt = table_at(e, IDT), tss_base = KERNEL + TSS, rsp0 = KERNEL + KERNEL_STACK;
    unsigned i;

    memcpy(ram_host(&e->ram, GDT), gdt, sizeof gdt);
    table_at(e, GDT)[8] = 0x67 | (tss_base & 0xffffff) << 16 | 0x8bull << 40 | (tss_base >> 24 & 0xff) << 56;
    table_at(e, GDT)[9] = tss_base >> 32;
    memcpy(ram_host(&e->ram, TSS) + 4, &rsp0, 8);
    for (i = 0; i < 256; i++) {
        uint64_t offset = KERNEL + HANDLERS + 16 * i, type = i == 3 || i == 4 ? 0xee : 0x8e;

        idt[2 * i] = (offset & 0xffff) | 0x10 << 16 | type << 40 | (offset >> 16 & 0xffff) << 48;
        idt[2 * i + 1] = offset >> 32;
        memset(handlers + 16 * i, 0xf4, 16);
    }
    memset(exits, 0xcc, PAGE_SIZE);
}

static void set_segment(struct segment *s, uint16_t selector, uint16_t attributes)
{
    s->selector = selector;
    s->attributes = attributes;
    s->limit = attributes ? 0xffffffff : 0;
    s->base = 0;
}

static void start_machine(struct insn_engine *e)
{
    struct vcpu *v = e->v;

    v->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    v->cr3 = TABLES;
    v->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    v->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    v->xcr0 = insn_xstate_mask() & e->model.xcr0_allowed;
    v->gdtr = (struct table_register){KERNEL + GDT, 79};
    v->idtr = (struct table_register){KERNEL + IDT, 4095};
    v->tr = (struct segment){0x40, 0x8b, 0x67, KERNEL + TSS};
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
}

/* Linux's user selectors: what the host shows to MOV r, sreg. */
static void start_user(struct vcpu *v, const struct insn_case *c)
{
    set_segment(&v->seg[SEG_CS], 0x33, 0xafb);
    set_segment(&v->seg[SEG_SS], 0x2b, 0xcf3);
    set_segment(&v->seg[SEG_DS], 0, 0);
    set_segment(&v->seg[SEG_ES], 0, 0);
    set_segment(&v->seg[SEG_FS], 0, 0);
    set_segment(&v->seg[SEG_GS], 0, 0);
    v->seg[SEG_FS].base = c->in.fs_base;
    v->seg[SEG_GS].base = c->in.gs_base;
    memcpy(v->gpr, c->in.gpr, sizeof v->gpr);
    v->rip = c->start;
    v->rflags = c->in.rflags;
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

/* The frame that the exception pushed (SDM vol. 3, 6.14.2). */
static void take_frame(struct insn_engine *e, struct insn_state *out)
{
    uint64_t handler = e->v->rip - 1 - KERNEL - HANDLERS, top = e->v->gpr[RSP] - KERNEL;
    const uint64_t *frame;

    out->vector = (uint32_t)(handler / 16);
    if (handler >= 4096 || top > KERNEL_STACK - 40 || top < KERNEL_STACK - 64) {
        out->vector = INSN_NO_FRAME;
        return;
    }
    frame = (const uint64_t *)(const void *)ram_host(&e->ram, top);
    if (top == KERNEL_STACK - 48)
        out->error = (uint32_t)*frame++;
    out->rip = frame[0];
    out->rflags = frame[2];
    out->gpr[R_SP] = frame[3];
    if (out->vector == EXC_BP && out->rip - 1 - INSN_EXIT < 32 * INSN_EXITS) {
        out->vector = INSN_NO_FAULT;
        out->rip -= 1;
        out->exit = (uint32_t)(out->rip - INSN_EXIT) / 32;
    }
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
    start_user(v, c);
    atomic_store(&e->stop, false);
    insn_signals_case(c);
    out->hung = !(e->kind == INSN_BT ? translate(e) : interpret(e));
    memcpy(out->gpr, v->gpr, sizeof out->gpr);
    out->rip = v->rip;
    out->rflags = v->rflags;
    out->fs_base = v->seg[SEG_FS].base;
    out->gs_base = v->seg[SEG_GS].base;
    out->cr2 = v->cr2;
    out->error = 0;
    out->exit = 0;
    if (!out->hung)
        take_frame(e, out);
    memcpy(out->xsave, v->xsave, INSN_XSAVE_SIZE);
    insn_xstate_normalise(out->xsave);
}

void insn_engine_place(struct insn_engine *e, const struct insn_case *c)
{
    uint8_t *code = ram_host(&e->ram, CODE);

    memset(code + c->slot * INSN_SLOT, 0xcc, INSN_SLOT);
    memcpy(code + (c->start - INSN_CODE), c->code, c->code_length);
}

void insn_engine_stop(struct insn_engine *e)
{
    atomic_store(&e->stop, true);
    atomic_store(&e->v->exit_request, 1);
    translator_kick(e->v);
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
}

void insn_engine_end(struct insn_engine *e)
{
    if (e->kind == INSN_BT)
        translator_thread_leave(e->translator, e->v);
    insn_signals_end();
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

struct insn_engine *insn_engine_open(enum insn_engine_kind kind, const char *cpu, const char *options)
{
    static const struct vcpu_ops ops = {io_read,      io_write, no_interrupt, no_msr_read,
                                        no_msr_write, NULL,     NULL,         no_log};
    struct insn_engine *e = calloc(1, sizeof *e);
    struct error error = {"out of memory"};

    if (!e)
        return NULL;
    e->kind = kind;
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
