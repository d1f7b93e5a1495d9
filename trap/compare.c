/*
 * compare.c - two results of one instruction.
 *
 * Interface: check.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trap/check.h"

__attribute__((format(printf, 2, 3))) static void say(struct check *k, const char *format, ...)
{
    size_t used = strlen(k->text);
    va_list ap;

    va_start(ap, format);
    vsnprintf(k->text + used, sizeof k->text - used, format, ap);
    va_end(ap);
}

static void compare_value(struct check *k, const char *name, uint64_t trap, uint64_t interp)
{
    if (trap != interp)
        say(k, "  %-8s trap %016llx  interp %016llx\n", name, (unsigned long long)trap,
            (unsigned long long)interp);
}

static void compare_registers(struct check *k, const struct vcpu *v, const struct vcpu *r, uint64_t free)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segments[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
    static const char *const bases[SEG_COUNT] = {"es base", "cs base", "ss base", "ds base", "fs base", "gs base"};
    static const char *const rights[SEG_COUNT] = {"es attr", "cs attr", "ss attr",
                                                  "ds attr", "fs attr", "gs attr"};

    for (unsigned i = 0; i < 16; i++)
        compare_value(k, names[i], v->gpr[i], r->gpr[i]);
    compare_value(k, "rip", v->rip, r->rip);
    compare_value(k, "rflags", v->rflags & ~free, r->rflags & ~free);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        compare_value(k, segments[i], v->seg[i].selector, r->seg[i].selector);
        compare_value(k, bases[i], v->seg[i].base, r->seg[i].base);
        compare_value(k, rights[i], v->seg[i].attributes, r->seg[i].attributes);
    }
    compare_value(k, "cr2", v->cr2, r->cr2);
}

/* A word of an XSAVE image; XSTATE_BV (SDM vol. 1, 13.4.2) says which components are zero instead. */
static uint64_t simd_word(const struct vcpu *v, unsigned component, unsigned at)
{
    uint64_t present, word;

    memcpy(&present, v->xsave + 512, 8);
    memcpy(&word, v->xsave + at, 8);
    return present >> component & 1 ? word : 0;
}

static void compare_simd(struct check *k, const struct vcpu *v, const struct vcpu *r)
{
    static const struct {
        const char *name;
        unsigned component, from, to;
    } parts[] = {{"st", 0, 32, 160}, {"xmm", 1, 160, 416}, {"ymm high", 2, 576, 832}};
    uint32_t mxcsr[2];

    for (unsigned p = 0; p < sizeof parts / sizeof parts[0]; p++)
        for (unsigned at = parts[p].from; at < parts[p].to; at += 8) {
            uint64_t used = p == 0 && at & 8 ? 0xffff : ~0ull; /* a register of the x87 has 80 bits */

            compare_value(k, parts[p].name, simd_word(v, parts[p].component, at) & used,
                          simd_word(r, parts[p].component, at) & used);
        }
    memcpy(&mxcsr[0], v->xsave + 24, 4);
    memcpy(&mxcsr[1], r->xsave + 24, 4);
    compare_value(k, "mxcsr", mxcsr[0], mxcsr[1]);
}

/* A walk of one of them alone may have set A, bit 5, in a page-table entry (SDM vol. 3, 4.8). */
static bool differs_in_a(uint64_t trap, uint64_t interp)
{
    return (trap ^ interp) == 0x20;
}

static void compare_memory(struct trap *t, struct check *k)
{
    for (unsigned i = 0; i < k->write_count; i++) {
        const struct check_write *w = &k->writes[i];
        uint64_t trap = 0, interp = 0;

        if (!memcmp(w->host, k->new + w->at, w->size))
            continue;
        memcpy(&trap, w->host, w->size < 8 ? w->size : 8);
        memcpy(&interp, k->new + w->at, w->size < 8 ? w->size : 8);
        if (!(t->v->mmu.paging && differs_in_a(trap, interp)))
            say(k, "  memory   trap %016llx  interp %016llx  (%u bytes at physical %#llx)\n",
                (unsigned long long)trap, (unsigned long long)interp, w->size,
                (unsigned long long)(w->host - t->v->mmu.ram->host));
    }
}

bool check_is_equal(struct trap *t, struct check *k, uint32_t undefined_flags)
{
    const struct vcpu *r = (const struct vcpu *)(const void *)k->after;

    k->text[0] = '\0';
    compare_registers(k, t->v, r, undefined_flags | FLAG_RF);
    if (k->simd)
        compare_simd(k, t->v, r);
    compare_memory(t, k);
    return !k->text[0];
}
