/*
 * explain.c - translator/explain.c: what it tells of a machine's blocks is what the machine has, and the machine
 * does not notice.
 *
 * The machine is 64-bit kernel code in the first MiB, mapped one to one.
 */
#include "translator/explain.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "cpu/cpuid.h"
#include "cpu/system.h"
#include "translator/internal.h"

#define TABLES 0x1000u
#define STACK 0x80000u
#define CODE 0x10000u
#define ENTRY_ACCESSED 0x20u

struct machine {
    struct ram ram;
    struct cpu_model model;
    struct vcpu *v;
    struct translator *t;
};

static struct machine m;

static void no_log(void *opaque, const char *topic, const char *text)
{
}

static uint64_t *page_table(unsigned number)
{
    return (uint64_t *)(void *)ram_host(&m.ram, TABLES + number * PAGE_SIZE);
}

static void map(void)
{
    for (unsigned i = 0; i < 3; i++)
        page_table(i)[0] = (TABLES + (i + 1) * PAGE_SIZE) | 7;
    for (uint64_t i = 0; i < 256; i++)
        page_table(3)[i] = i << PAGE_SHIFT | 7;
}

static void start(void)
{
    struct vcpu *v = m.v;

    map();
    v->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    v->cr3 = TABLES;
    v->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR;
    v->efer = EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA;
    v->seg[SEG_CS] = (struct segment){8, 0xa9b, 0xffffffff, 0};
    v->seg[SEG_SS] = v->seg[SEG_DS] = v->seg[SEG_ES] = (struct segment){16, 0xc93, 0xffffffff, 0};
    v->rflags = FLAG_FIXED;
    v->gpr[RSP] = STACK;
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
}

static void open_machine(const char *properties)
{
    static const struct vcpu_ops ops = {.log = no_log};
    struct translator_options o;
    struct error error;

    translator_default_options(&o);
    cr_assert_eq(translator_parse_options(&o, properties, &error), 0);
    cr_assert_eq(cpu_model_parse(&m.model, "x86-64-v2", &error), 0);
    cr_assert_eq(ram_create(&m.ram, 1 << 20, &error), 0);
    m.v = vcpu_create(&m.ram, &m.model);
    m.v->ops = &ops;
    m.t = translator_create(&m.ram, &o, &error);
    cr_assert(m.t, "%s", error.text);
    cr_assert_eq(translator_attach(m.t, m.v, &error), 0);
    start();
}

static void setup(void)
{
    open_machine("");
}

static void setup_unlinked(void)
{
    open_machine("chain=off");
}

static void teardown(void)
{
    translator_detach(m.t, m.v);
    translator_destroy(m.t);
    vcpu_destroy(m.v);
    ram_destroy(&m.ram);
}

static void place(uint64_t at, const char *bytes, size_t size)
{
    memcpy(ram_host(&m.ram, at), bytes, size);
}
#define PLACE(at, bytes) place(at, bytes, sizeof(bytes) - 1)

static struct explain_block *explain(uint64_t rip)
{
    struct explain_block *b = NULL;
    struct error error = {""};

    cr_assert_eq(explain_block(&b, m.t, m.v, rip, UINT64_MAX, DUMP_INTEL, &error), 0, "%s", error.text);
    return b;
}

/* Every byte of the host code is shown once, as a whole instruction. */
static void check_whole(const struct explain_block *b)
{
    uint8_t *seen = calloc(1, b->hot_bytes + b->cold_bytes);

    for (unsigned i = 0; i < b->host_count; i++) {
        const struct explain_host *h = &b->host[i];
        uint32_t from = h->offset + (h->part == EXPLAIN_COLD ? b->hot_bytes : 0);

        cr_assert_str_neq(h->text, "(bad)");
        for (uint32_t k = from; k < from + h->size; k++) {
            cr_assert(k < b->hot_bytes + b->cold_bytes);
            cr_assert_eq(seen[k]++, 0, "byte %u is shown twice", k);
        }
    }
    for (uint32_t k = 0; k < b->hot_bytes + b->cold_bytes; k++)
        cr_assert(seen[k], "byte %u is not shown", k);
    free(seen);
}

static void run(uint64_t rip)
{
    struct error error;

    m.v->rip = rip;
    cr_assert_eq(translator_thread_enter(m.t, m.v, &error), 0);
    do {
        translator_run(m.t, m.v);
        if (m.v->exit.reason == EXIT_INTERPRET)
            cpu_step(m.v);
    } while (!m.v->halted && m.v->exit.reason != EXIT_TRIPLE_FAULT);
    translator_thread_leave(m.t, m.v);
    m.v->halted = false;
}

TestSuite(explain, .init = setup, .fini = teardown);
TestSuite(explain_unlinked, .init = setup_unlinked, .fini = teardown);

Test(explain, shows_all_of_the_host_code)
{
    struct explain_block *b;

    PLACE(CODE, "\x48\x89\x47\x08\x9d\x0f\xa2\xe8\x05\x00\x00\x00"); /* mov [rdi+8], rax; popfq; cpuid; call */
    b = explain(CODE);
    cr_assert_eq(b->guest_count, 4);
    cr_assert_eq(b->guest_bytes, 12);
    cr_assert(b->translated && !b->cached && !b->differs);
    check_whole(b);
    explain_free(b);
}

Test(explain, tells_the_class_of_each_instruction)
{
    static const struct {
        char bytes[4];
        enum explain_class class;
        const char *robin;
    } rows[] = {
        {"\x48\x01\xd8", EXPLAIN_COPIED, NULL},
        {"\x8d\x47\x01", EXPLAIN_REPLACED, NULL},
        {"\x48\x8b\x07", EXPLAIN_MEMORY, NULL},
        {"\x53", EXPLAIN_MEMORY, NULL},
        {"\x0f\xae\x07", EXPLAIN_INTERPRETED, NULL},
        {"\x06", EXPLAIN_INTERPRETED, NULL},
        {"\xc3", EXPLAIN_FLOW, NULL},
        {"\xff\xe0", EXPLAIN_FLOW, NULL},
        {"\xfa", EXPLAIN_PRIVILEGED, NULL},
        {"\x0f\x22\xd8", EXPLAIN_PRIVILEGED, NULL},
        {"\x0f\x09\x90", EXPLAIN_PRIVILEGED, NULL},
        {"\x0f\x01\x07", EXPLAIN_SENSITIVE, "3B"},
        {"\x0f\x01\x0f", EXPLAIN_SENSITIVE, "3B"},
        {"\x0f\x00\xc0", EXPLAIN_SENSITIVE, "3B"},
        {"\x0f\x01\xe0", EXPLAIN_SENSITIVE, "3B"},
        {"\x9c", EXPLAIN_SENSITIVE, "3B"},
        {"\x9d", EXPLAIN_SENSITIVE, "3B"},
        {"\x0f\x02\xc3", EXPLAIN_SENSITIVE, "3C"},
        {"\x0f\x03\xc3", EXPLAIN_SENSITIVE, "3C"},
        {"\x0f\x00\xe0", EXPLAIN_SENSITIVE, "3C"},
        {"\x0f\x00\xe8", EXPLAIN_SENSITIVE, "3C"},
        {"\x0f\xa1", EXPLAIN_SENSITIVE, "3C"},
        {"\x0f\xa0", EXPLAIN_SENSITIVE, "3C"},
        {"\xff\x1f", EXPLAIN_SENSITIVE, "3C"},
        {"\xff\x2f", EXPLAIN_SENSITIVE, "3C"},
        {"\xcd\x80", EXPLAIN_SENSITIVE, "3C"},
        {"\xcb", EXPLAIN_SENSITIVE, "3C"},
        {"\x0f\x00\xc8", EXPLAIN_SENSITIVE, "3C"},
        {"\x8c\xc8", EXPLAIN_SENSITIVE, "3C"},
        {"\x8e\xd8", EXPLAIN_SENSITIVE, "3C"},
        {"\x48\xcf", EXPLAIN_SENSITIVE, NULL},
        {"\x0f\x05", EXPLAIN_SENSITIVE, NULL},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct explain_block *b;
        const struct sensitive *s;

        memset(ram_host(&m.ram, CODE), 0x90, 16);
        memcpy(ram_host(&m.ram, CODE), rows[i].bytes, 3);
        b = explain(CODE);
        s = b->guest[0].sensitive;
        cr_assert_eq(b->guest[0].class, rows[i].class, "row %u: %s", i, b->guest[0].text);
        cr_assert_str_eq(s && s->robin ? s->robin : "", rows[i].robin ? rows[i].robin : "", "row %u", i);
        check_whole(b);
        explain_free(b);
    }
}

Test(explain, knows_which_flags_are_live)
{
    struct explain_block *b;

    /* add rax, 5; mov rdx, [rdi]; adc rcx, rdx; setz al; cmp rcx, rdx; ret */
    PLACE(CODE, "\x48\x83\xc0\x05\x48\x8b\x17\x48\x11\xd1\x0f\x94\xc0\x48\x39\xd1\xc3");
    b = explain(CODE);
    cr_assert_eq(b->guest[0].flags_live, FLAG_CF);
    cr_assert_eq(b->guest[1].flags_live, FLAG_CF);
    cr_assert_eq(b->guest[2].flags_live, FLAG_ZF);
    cr_assert_eq(b->guest[3].flags_live, 0);
    cr_assert_eq(b->guest[4].flags_live, FLAGS_ARITH);
    explain_free(b);
}

Test(explain, takes_no_more_bytes_than_it_may)
{
    struct explain_block *b;
    struct error error;

    PLACE(CODE, "\x90\x90\x48\x8b\x07\xc3");
    cr_assert_eq(explain_block(&b, m.t, m.v, CODE, 4, DUMP_INTEL, &error), 0);
    cr_assert_eq(b->guest_count, 2);
    explain_free(b);
    cr_assert_eq(explain_block(&b, m.t, m.v, CODE + 2, 2, DUMP_INTEL, &error), -ENODATA);
}

Test(explain, reads_across_pages)
{
    struct explain_block *b;

    PLACE(CODE + PAGE_SIZE - 2, "\x48\x8b\x07\xc3");
    b = explain(CODE + PAGE_SIZE - 2);
    cr_assert_eq(b->guest_count, 1);
    cr_assert_eq(b->guest[0].length, 3);
    explain_free(b);
}

Test(explain, says_what_is_not_mapped)
{
    struct explain_block *b;
    struct error error;

    cr_assert_eq(explain_block(&b, m.t, m.v, 0x40000000, UINT64_MAX, DUMP_INTEL, &error), -EFAULT);
    cr_assert(strstr(error.text, "0x40000000"));
    page_table(3)[0x50] = 1ull << 30 | 7; /* no RAM there */
    cr_assert_eq(explain_block(&b, m.t, m.v, 0x50000, UINT64_MAX, DUMP_INTEL, &error), -EFAULT);
}

Test(explain, leaves_the_machine_alone)
{
    struct explain_block *b;
    struct translator_stats before;
    size_t code, cold, arena;

    PLACE(CODE, "\x48\x8b\x07\xc3");
    m.v->rip = STACK;
    before = *translator_get_stats(m.t);
    code = m.t->cache.code_used, cold = m.t->cache.cold_used, arena = m.t->cache.arena_used;
    b = explain(CODE);
    cr_assert_eq(m.v->rip, STACK);
    cr_assert_eq(memcmp(&before, translator_get_stats(m.t), sizeof before), 0);
    cr_assert(m.t->cache.code_used == code && m.t->cache.cold_used == cold && m.t->cache.arena_used == arena);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(page_table(i)[i < 3 ? 0 : CODE >> PAGE_SHIFT] & ENTRY_ACCESSED, 0);
    cr_assert_eq(m.ram.page_flags[CODE >> PAGE_SHIFT], 0);
    explain_free(b);
}

Test(explain, knows_the_block_that_the_machine_has)
{
    struct explain_block *b;

    PLACE(CODE, "\x48\x8b\x07\xc3");
    m.v->rip = CODE;
    cr_assert_eq(translator_translate(m.t, m.v), 4);
    b = explain(CODE);
    cr_assert(b->cached && !b->differs);
    explain_free(b);
    b = explain(CODE + 3);
    cr_assert(!b->cached && !b->differs);
    explain_free(b);
}

Test(explain, tells_a_running_machine_s_links)
{
    struct explain_block *b;
    struct translator_stats before;

    /* mov ecx, 9; jmp f;  f: dec ecx; jnz f; cmp edi, 1; jz far; hlt */
    PLACE(CODE, "\xb9\x09\x00\x00\x00\xeb\x00\xff\xc9\x75\xfc\x83\xff\x01\x0f\x84\x00\x20\x00\x00\xf4");
    b = explain(CODE);
    cr_assert_eq(b->exit_count, 1);
    cr_assert_eq(b->exit[0].kind, EXPLAIN_EXIT_PATCHED);
    cr_assert(!b->exit[0].linked);
    explain_free(b);
    run(CODE);
    cr_assert_eq(m.v->gpr[RCX], 0);
    before = *translator_get_stats(m.t);
    b = explain(CODE);
    cr_assert(b->cached && b->exit[0].linked);
    check_whole(b);
    explain_free(b);
    b = explain(CODE + 11);
    cr_assert_eq(b->exit[0].kind, EXPLAIN_EXIT_CELL);
    cr_assert(b->cached && !b->exit[0].linked);
    explain_free(b);
    run(CODE);
    cr_assert_eq(m.v->gpr[RCX], 0);
    cr_assert_eq(translator_get_stats(m.t)->blocks, before.blocks);
}

Test(explain_unlinked, finds_the_ways_out)
{
    struct explain_block *b;

    PLACE(CODE, "\xe8\x01\x00\x00\x00\xf4\xc3"); /* call f; hlt; f: ret */
    b = explain(CODE);
    cr_assert_eq(b->exit_count, 2);
    cr_assert(b->exit[0].kind == EXPLAIN_EXIT_PATCHED && b->exit[0].target == CODE + 6 && !b->exit[0].can_link);
    cr_assert(b->exit[1].kind == EXPLAIN_EXIT_SITE && b->exit[1].target == CODE + 5);
    explain_free(b);
    b = explain(CODE + 6);
    cr_assert(b->exit_count == 1 && b->exit[0].kind == EXPLAIN_EXIT_RETURN);
    explain_free(b);
    b = explain(CODE + 5);
    cr_assert(b->exit_count == 1 && b->exit[0].kind == EXPLAIN_EXIT_CALLOUT);
    explain_free(b);
    PLACE(CODE, "\xff\xe0");
    b = explain(CODE);
    cr_assert(b->exit_count == 1 && b->exit[0].kind == EXPLAIN_EXIT_JUMP_CACHE);
    explain_free(b);
}
