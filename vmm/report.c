/*
 * report.c - a vCPU's state in words.
 *
 * Interface: report.h. Invariant: nothing is allocated, locked or changed. The layout is that of QEMU's
 * `info registers`, which people know how to read.
 */
#include "vmm/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct writer {
    char *text;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(w->text + w->used, w->size - w->used, format, ap);
    va_end(ap);
    if (n > 0)
        w->used += (size_t)n < w->size - w->used ? (size_t)n : w->size - w->used - 1;
}

static void put_registers(struct writer *w, const struct vcpu *v)
{
    static const char *const names[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                          "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
    static const uint8_t order[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP,
                                      R8,  R9,  R10, R11, R12, R13, R14, R15};

    for (unsigned i = 0; i < 16; i++)
        put(w, "%s=%016" PRIx64 "%c", names[order[i]], v->gpr[order[i]], i % 4 == 3 ? '\n' : ' ');
    put(w, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " CPL=%u%s%s\n", v->rip, v->rflags, (unsigned)v->cpl,
        v->halted ? " halted" : "", v->interrupt_shadow ? " shadow" : "");
}

static void put_segment(struct writer *w, const char *name, const struct segment *s)
{
    put(w, "%-3s=%04x %016" PRIx64 " %08x %04x\n", name, (unsigned)s->selector, s->base, (unsigned)s->limit,
        (unsigned)s->attributes);
}

static void put_system(struct writer *w, const struct vcpu *v)
{
    static const char *const names[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS"};

    for (unsigned i = 0; i < SEG_COUNT; i++)
        put_segment(w, names[i], &v->seg[i]);
    put_segment(w, "LDT", &v->ldtr);
    put_segment(w, "TR", &v->tr);
    put(w, "GDT=%016" PRIx64 " %04x IDT=%016" PRIx64 " %04x\n", v->gdtr.base, (unsigned)v->gdtr.limit,
        v->idtr.base, (unsigned)v->idtr.limit);
    put(w, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n", v->cr0, v->cr2, v->cr3,
        v->cr4);
    put(w, "EFER=%" PRIx64 " XCR0=%" PRIx64 " KGS=%016" PRIx64 " DR6=%08" PRIx64 " DR7=%08" PRIx64 "\n", v->efer,
        v->xcr0, v->kernel_gs_base, v->dr[6], v->dr[7]);
}

/* Some bytes in front of RIP, and the instruction there between < and >. */
static void put_code(struct writer *w, const struct vcpu *v)
{
    gva_t at = v->rip + ((v->mode & MODE_CODE_MASK) == MODE_CODE64 ? 0 : v->seg[SEG_CS].base);

    put(w, "Code=");
    for (int i = -16; i < 24; i++) {
        const uint8_t *host = NULL;
        gpa_t gpa;

        /* mmu_probe only reads, whatever its type says. */
        if (mmu_probe((struct mmu *)(uintptr_t)&v->mmu, at + (gva_t)(int64_t)i, &gpa))
            host = ram_host_readable(v->mmu.ram, gpa);
        if (host)
            put(w, i == 0 ? "<%02x> " : "%02x ", *host);
        else
            put(w, i == 0 ? "<--> " : "-- ");
    }
    put(w, "\n");
}

size_t report_vcpu(const struct vcpu *v, char *text, size_t size)
{
    struct writer w = {text, size, 0};

    text[0] = '\0';
    put_registers(&w, v);
    put_system(&w, v);
    put_code(&w, v);
    return w.used;
}
