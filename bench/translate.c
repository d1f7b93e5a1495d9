/*
 * translate.c - the translator alone: how many guest instructions a second it translates.
 *
 * usage: translate FILE [ROUNDS [ACCEL-OPTIONS]]
 * Takes the executable segments of a 64-bit ELF file (a program, a vmlinux) and translates them from one end to
 * the other, a block behind the other, as kernel code in long mode, without running any. Every round starts with
 * an empty code cache: the first one is all cold.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/system.h"
#include "cpu/vcpu.h"
#include "memory/ram.h"
#include "translator/translator.h"

#define TABLES 0x1000u
#define CODE 0x200000u
#define MAX_CODE 0x1000000u /* bytes */

struct bench {
    struct ram ram;
    struct cpu_model model;
    struct vcpu *v;
    struct translator *translator;
    uint64_t code_end;
};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "translate: %s: %s\n", what, why);
    exit(1);
}

static void load(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "rb");
    Elf64_Ehdr h;

    if (!f)
        fail(path, "cannot be opened");
    if (fread(&h, sizeof h, 1, f) != 1 || memcmp(h.e_ident, ELFMAG "\2", 5))
        fail(path, "is not a 64-bit ELF file");
    b->code_end = CODE;
    for (unsigned i = 0; i < h.e_phnum; i++) {
        Elf64_Phdr p;

        if (fseek(f, (long)(h.e_phoff + i * sizeof p), SEEK_SET) || fread(&p, sizeof p, 1, f) != 1)
            fail(path, "is truncated");
        if (p.p_type != PT_LOAD || !(p.p_flags & PF_X))
            continue;
        if (p.p_filesz > MAX_CODE - (b->code_end - CODE))
            p.p_filesz = MAX_CODE - (b->code_end - CODE);
        if (fseek(f, (long)p.p_offset, SEEK_SET) ||
            fread(ram_host(&b->ram, b->code_end), 1, p.p_filesz, f) != p.p_filesz)
            fail(path, "is truncated");
        b->code_end += p.p_filesz;
    }
    fclose(f);
}

/* Long mode, the first GiB at its physical address. */
static void start(struct bench *b)
{
    uint64_t *tables = (uint64_t *)(void *)ram_host(&b->ram, TABLES);
    struct vcpu *v = b->v;

    tables[0] = (TABLES + PAGE_SIZE) | 3;
    tables[512] = 0x83;
    v->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    v->cr3 = TABLES;
    v->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    v->efer = EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA;
    v->xcr0 = b->model.xcr0_allowed;
    v->seg[SEG_CS] = (struct segment){8, 0xa9b, 0xffffffff, 0};
    v->seg[SEG_SS] = v->seg[SEG_DS] = v->seg[SEG_ES] = (struct segment){16, 0xc93, 0xffffffff, 0};
    v->rflags = FLAG_FIXED;
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
}

static void no_log(void *opaque, const char *topic, const char *text)
{
}

static void open_bench(struct bench *b, const char *options)
{
    static const struct vcpu_ops ops = {.log = no_log};
    struct translator_options o;
    struct error error = {"out of memory"};

    translator_default_options(&o);
    if (cpu_model_parse(&b->model, "max", &error) < 0 ||
        ram_create(&b->ram, CODE + MAX_CODE + PAGE_SIZE, &error) < 0)
        fail("machine", error.text);
    b->v = vcpu_create(&b->ram, &b->model);
    if (!b->v || (options && translator_parse_options(&o, options, &error) < 0))
        fail("machine", error.text);
    b->v->ops = &ops;
    b->translator = translator_create(&b->ram, &o, &error);
    if (!b->translator || translator_attach(b->translator, b->v, &error) < 0)
        fail("translator", error.text);
}

int main(int argc, char **argv)
{
    static struct bench b;
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 3;
    struct translator_stats before = {0};

    if (argc < 2)
        fail("usage", "translate FILE [ROUNDS [ACCEL-OPTIONS]]");
    open_bench(&b, argc > 3 ? argv[3] : NULL);
    load(&b, argv[1]);
    start(&b);
    for (unsigned r = 0; r < rounds; r++) {
        const struct translator_stats *s = translator_get_stats(b.translator);
        double ns, instructions;

        translator_invalidate(b.translator, CODE, b.code_end - CODE);
        for (b.v->rip = CODE; b.v->rip < b.code_end;) {
            unsigned size = translator_translate(b.translator, b.v);

            b.v->rip += size ? size : 1;
            b.v->rip += strspn((char *)ram_host(&b.ram, b.v->rip), "\xcc"); /* between functions */
        }
        ns = (double)(s->translation_ns - before.translation_ns);
        instructions = (double)(s->guest_instructions - before.guest_instructions);
        printf(
            "round %u: %.0f instructions in %.0f blocks, %.0f ns each, %.2f million a second; %.1f host bytes and "
            "%.1f cold ones each\n",
            r + 1, instructions, (double)(s->blocks - before.blocks), ns / instructions, 1e3 * instructions / ns,
            (double)(s->host_bytes - before.host_bytes) / instructions,
            (double)(s->cold_bytes - before.cold_bytes) / instructions);
        before = *s;
    }
    return 0;
}
