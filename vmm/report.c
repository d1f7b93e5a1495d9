/*
 * report.c - a vCPU's state in words.
 *
 * Interface: report.h. Invariant: nothing is allocated, locked or changed. The layout is that of QEMU's
 * `info registers`, which people know how to read.
 */
#include "vmm/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/writer.h"

/* RIP, and the flags by letter as QEMU has them. II: interrupts are held off for one instruction. */
static void put_flags(struct writer *w, const struct vcpu *v)
{
    static const struct {
        uint32_t flag;
        char letter;
    } flags[] = {{FLAG_DF, 'D'}, {FLAG_OF, 'O'}, {FLAG_SF, 'S'}, {FLAG_ZF, 'Z'},
                 {FLAG_AF, 'A'}, {FLAG_PF, 'P'}, {FLAG_CF, 'C'}};

    writer_put(w, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " [", v->rip, v->rflags);
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++)
        writer_put(w, "%c", v->rflags & flags[i].flag ? flags[i].letter : '-');
    writer_put(w, "] CPL=%u II=%d A20=%d SMM=0 HLT=%d\n", (unsigned)v->cpl, v->interrupt_shadow,
               (int)(v->mmu.ram->a20_mask >> 20 & 1), v->halted);
}

static void put_registers(struct writer *w, const struct vcpu *v)
{
    static const char *const names[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                          "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
    static const uint8_t order[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP,
                                      R8,  R9,  R10, R11, R12, R13, R14, R15};

    for (unsigned i = 0; i < 16; i++)
        writer_put(w, "%s=%016" PRIx64 "%c", names[order[i]], v->gpr[order[i]], i % 4 == 3 ? '\n' : ' ');
    put_flags(w, v);
}

/* The descriptor's second word as it is in a table, and what its type means (SDM vol. 3, 3.4.5.1). */
static void put_segment(struct writer *w, const char *name, const struct segment *s)
{
    unsigned a = s->attributes;

    writer_put(w, "%-3s=%04x %016" PRIx64 " %08x %08x", name, (unsigned)s->selector, s->base, (unsigned)s->limit,
               (a & 0xff) << 8 | (a & 0xf00) << 12);
    if (!(a & SEGATTR_P))
        writer_put(w, "\n");
    else if (!(a & SEGATTR_S))
        writer_put(w, " DPL=%u\n", SEGATTR_DPL(a));
    else if (a & 8)
        writer_put(w, " DPL=%u CS%s [%c%c%c]\n", SEGATTR_DPL(a),
                   a & SEGATTR_L    ? "64"
                   : a & SEGATTR_DB ? "32"
                                    : "16",
                   a & 4 ? 'C' : '-', a & 2 ? 'R' : '-', a & 1 ? 'A' : '-');
    else
        writer_put(w, " DPL=%u DS%s [%c%c%c]\n", SEGATTR_DPL(a), a & SEGATTR_DB ? "" : "16", a & 4 ? 'E' : '-',
                   a & 2 ? 'W' : '-', a & 1 ? 'A' : '-');
}

static void put_system(struct writer *w, const struct vcpu *v)
{
    static const char *const names[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS"};

    for (unsigned i = 0; i < SEG_COUNT; i++)
        put_segment(w, names[i], &v->seg[i]);
    put_segment(w, "LDT", &v->ldtr);
    put_segment(w, "TR", &v->tr);
    writer_put(w, "GDT=     %016" PRIx64 " %08x\nIDT=     %016" PRIx64 " %08x\n", v->gdtr.base,
               (unsigned)v->gdtr.limit, v->idtr.base, (unsigned)v->idtr.limit);
    writer_put(w, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n", v->cr0, v->cr2,
               v->cr3, v->cr4);
    writer_put(w, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 "\n", v->dr[0],
               v->dr[1], v->dr[2], v->dr[3]);
    writer_put(w,
               "DR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 " XCR0=%" PRIx64 " KGS=%016" PRIx64 "\n",
               v->dr[6], v->dr[7], v->efer, v->xcr0, v->kernel_gs_base);
}

/* Some bytes in front of RIP, and the instruction there between < and >. */
static void put_code(struct writer *w, const struct vcpu *v)
{
    gva_t at = v->rip + ((v->mode & MODE_CODE_MASK) == MODE_CODE64 ? 0 : v->seg[SEG_CS].base);

    writer_put(w, "Code=");
    for (int i = -16; i < 24; i++) {
        const uint8_t *host = NULL;
        gpa_t gpa;

        /* mmu_probe only reads, whatever its type says. */
        if (mmu_probe((struct mmu *)(uintptr_t)&v->mmu, at + (gva_t)(int64_t)i, &gpa))
            host = ram_host_readable(v->mmu.ram, gpa);
        if (host)
            writer_put(w, i == 0 ? "<%02x> " : "%02x ", *host);
        else
            writer_put(w, i == 0 ? "<--> " : "-- ");
    }
    writer_put(w, "\n");
}

size_t report_registers(const struct vcpu *v, char *text, size_t size)
{
    struct writer w = {text, size, 0};

    text[0] = '\0';
    put_registers(&w, v);
    put_system(&w, v);
    return w.used;
}

size_t report_vcpu(const struct vcpu *v, char *text, size_t size)
{
    struct writer w = {text, size, report_registers(v, text, size)};

    put_code(&w, v);
    return w.used;
}

/* --- x87 and vector registers: the XSAVE image's places, SDM vol. 1, 13.4 and 10.5.1 --- */

#define BV_AT 512
#define MXCSR_AT 24
#define ST_AT 32
#define XMM_AT 160
#define YMM_HIGH_AT 576

/* 64 bits of a component; one that XSTATE_BV leaves out is in its initial state. */
static uint64_t component(const struct vcpu *v, unsigned bit, unsigned at)
{
    uint64_t value;

    memcpy(&value, v->xsave + at, sizeof value);
    return v->xsave[BV_AT] >> bit & 1 ? value : 0;
}

static void put_x87(struct writer *w, const struct vcpu *v)
{
    uint64_t control = v->xsave[BV_AT] & 1 ? component(v, 0, 0) : 0x37f;
    uint32_t mxcsr;

    memcpy(&mxcsr, v->xsave + MXCSR_AT, sizeof mxcsr);
    writer_put(w, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", (unsigned)(control & 0xffff),
               (unsigned)(control >> 16 & 0xffff), (unsigned)(control >> 27 & 7), (unsigned)(control >> 32 & 0xff),
               mxcsr);
    for (unsigned i = 0; i < 8; i++)
        writer_put(w, "FPR%u=%016" PRIx64 " %04x%c", i, component(v, 0, ST_AT + 16 * i),
                   (unsigned)(component(v, 0, ST_AT + 16 * i + 8) & 0xffff), i % 2 ? '\n' : ' ');
}

size_t report_vectors(const struct vcpu *v, char *text, size_t size)
{
    struct writer w = {text, size, 0};

    text[0] = '\0';
    put_x87(&w, v);
    for (unsigned i = 0; i < 16; i++) {
        unsigned high = YMM_HIGH_AT + 16 * i, low = XMM_AT + 16 * i;

        writer_put(&w, "YMM%02u=%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n", i,
                   component(v, 2, high + 8), component(v, 2, high), component(v, 1, low + 8),
                   component(v, 1, low));
    }
    return w.used;
}
