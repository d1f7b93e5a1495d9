/*
 * compare.c - compares an engine's result with the host's, and reports differences.
 *
 * An operand that is both misaligned and not present may give #GP or #PF (SDM vol. 3, 6.9: the order within a
 * class is the processor's).
 *
 * Not compared: flags that the manual leaves undefined, RF, the x87 instruction and operand pointers and opcode,
 * what a fault in the middle of a piecewise store leaves behind, and outside of 64-bit mode the upper halves of
 * registers (SDM vol. 1, 3.4.1.1).
 */
#include "tests/insn/insn.h"

#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct report {
    FILE *out;
    unsigned count;
};

static void differ(struct report *r, const char *name, uint64_t want, uint64_t got)
{
    if (r->out)
        fprintf(r->out, "  %-8s expected %016" PRIx64 " got %016" PRIx64 "\n", name, want, got);
    r->count++;
}

static void check(struct report *r, const char *name, uint64_t want, uint64_t got)
{
    if (want != got)
        differ(r, name, want, got);
}

static bool is_memory_fault(uint32_t vector)
{
    return vector >= 12 && vector <= 14;
}

/* An interrupt of the host that comes between makes 0 of the null selectors 1 to 3 (SDM vol. 2, IRET). */
static uint16_t selector_seen(uint16_t selector)
{
    return selector < 4 ? 0 : selector;
}

/* BOUND compares before it reads the upper bound, or not. A store of x87's or of VCVTPS2PH whose exception is not
   masked writes nothing, and some processors do not look at its operand then. */
static bool is_reached_or_not(const struct insn_case *c, const struct insn_state *got)
{
    const struct insn_state *want = &c->expected;

    return c->reaching_free && (is_memory_fault(want->vector) || is_memory_fault(got->vector)) &&
           (want->vector != got->vector || want->rip != got->rip);
}

static void compare_registers(struct report *r, const struct insn_case *c, const struct insn_state *got)
{
    static const char *const segments[S_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
    const struct insn_state *want = &c->expected;
    uint64_t mask = c->mode == INSN_64 ? ~0ull : 0xffffffff;
    unsigned i;

    for (i = 0; i < (c->mode == INSN_64 ? 16 : 8); i++)
        if (!(c->partial_registers && want->vector != INSN_NO_FAULT && i != R_SP))
            check(r, names[i], want->gpr[i] & mask, got->gpr[i] & mask);
    check(r, "rip", want->rip & mask, got->rip & mask);
    for (i = 0; i < S_COUNT; i++)
        if (i != S_CS || want->vector != INSN_NO_FAULT) /* the exits are left through other segments */
            check(r, segments[i], selector_seen(want->seg[i]), selector_seen(got->seg[i]));
    if (c->mode != INSN_64)
        return;
    check(r, "fs_base", want->fs_base, got->fs_base);
    check(r, "gs_base", want->gs_base, got->gs_base);
}

static void compare_bytes(struct report *r, const char *name, unsigned number, const uint8_t *want,
                          const uint8_t *got, unsigned size)
{
    unsigned i;

    if (memcmp(want, got, size) == 0)
        return;
    r->count++;
    if (!r->out)
        return;
    fprintf(r->out, "  %s%u\n    expected ", name, number);
    for (i = size; i-- > 0;)
        fprintf(r->out, "%02x%s", want[i], i % 8 ? "" : " ");
    fprintf(r->out, "\n    got      ");
    for (i = size; i-- > 0;)
        fprintf(r->out, "%02x%s", got[i], i % 8 ? "" : " ");
    fprintf(r->out, "\n");
}

static uint32_t get(const uint8_t *p, unsigned size)
{
    uint32_t v = 0;

    memcpy(&v, p, size);
    return v;
}

static void compare_xsave(struct report *r, const uint8_t *want, const uint8_t *got)
{
    uint64_t mask = insn_xstate_mask();
    unsigned i, at;

    check(r, "fcw", get(want, 2), get(got, 2));
    check(r, "fsw", get(want + 2, 2), get(got + 2, 2));
    check(r, "ftw", want[4], got[4]);
    check(r, "mxcsr", get(want + 24, 4), get(got + 24, 4));
    for (i = 0; i < 8; i++)
        compare_bytes(r, "st", i, want + 32 + 16 * i, got + 32 + 16 * i, 10);
    for (i = 0; i < 16; i++)
        compare_bytes(r, "xmm", i, want + 160 + 16 * i, got + 160 + 16 * i, 16);
    for (i = 0, at = insn_xstate_offset(2); i < 16 && (mask & 4); i++)
        compare_bytes(r, "ymm_high", i, want + at + 16 * i, got + at + 16 * i, 16);
    for (i = 0, at = insn_xstate_offset(5); i < 8 && (mask & 0x20); i++)
        compare_bytes(r, "k", i, want + at + 8 * i, got + at + 8 * i, 8);
    for (i = 0, at = insn_xstate_offset(6); i < 16 && (mask & 0x40); i++)
        compare_bytes(r, "zmm_high", i, want + at + 32 * i, got + at + 32 * i, 32);
    for (i = 0, at = insn_xstate_offset(7); i < 16 && (mask & 0x80); i++)
        compare_bytes(r, "zmm", i + 16, want + at + 64 * i, got + at + 64 * i, 64);
}

/* The engine's data with the host's bytes where no comparison is wanted. */
static const uint8_t *fill_hole(const struct insn_case *c, const uint8_t *want, const uint8_t *got)
{
    static uint8_t copy[INSN_DATA_SIZE];
    uint32_t left = INSN_DATA_SIZE - c->hole_at;

    if (!c->hole_size)
        return got;
    memcpy(copy, got, INSN_DATA_SIZE);
    memcpy(copy + c->hole_at, want + c->hole_at, c->hole_size < left ? c->hole_size : left);
    return copy;
}

static void compare_memory(struct report *r, const uint8_t *want, const uint8_t *got)
{
    unsigned i, shown = 0;

    if (memcmp(want, got, INSN_DATA_SIZE) == 0)
        return;
    for (i = 0; i < INSN_DATA_SIZE; i += 8) {
        char name[32];
        uint64_t a, b;

        memcpy(&a, want + i, 8);
        memcpy(&b, got + i, 8);
        if (a == b || shown++ > 8)
            continue;
        snprintf(name, sizeof name, "[%" PRIx64 "]", (uint64_t)INSN_DATA + i);
        differ(r, name, a, b);
    }
}

unsigned insn_compare(const struct insn_case *c, const struct insn_state *got, const uint8_t *data, FILE *out)
{
    const struct insn_state *want = &c->expected;
    struct report r = {out, 0};
    uint32_t flags = FL_COMPARED & ~c->undefined;

    if (want->vector != INSN_NO_FAULT)
        flags &= ~c->undefined_fault;

    if (got->hung)
        differ(&r, "HUNG", 0, 1);
    if (is_reached_or_not(c, got))
        return r.count;
    if (!(c->cr2_free && is_memory_fault(want->vector) && is_memory_fault(got->vector)))
        check(&r, "vector", want->vector, got->vector);
    compare_registers(&r, c, got);
    check(&r, "rflags", want->rflags & flags, got->rflags & flags);
    if (want->vector >= 10 && want->vector <= 13 && want->vector == got->vector)
        check(&r, "error", want->error, got->error);
    if (want->vector == 14 && got->vector == 14) {
        /* what is present in the host's own half of the address space is none of our business */
        uint32_t seen = want->cr2 >> 63 ? 0x1e : 0x1f;

        if (c->cr2_free && (want->cr2 ^ got->cr2) >> 12) /* another page, which may be present or not */
            seen &= ~1u;
        check(&r, "error", want->error & seen, got->error & seen);
        if (!c->cr2_free)
            check(&r, "cr2", want->cr2 >> (c->vector ? 12 : 0), got->cr2 >> (c->vector ? 12 : 0));
    }
    if (c->partial && want->vector != INSN_NO_FAULT)
        return r.count;
    compare_xsave(&r, want->xsave, got->xsave);
    compare_memory(&r, c->expected_data, fill_hole(c, c->expected_data, data));
    return r.count;
}

static void disassemble(const struct insn_case *c, FILE *out)
{
    static const cs_mode modes[] = {CS_MODE_64, CS_MODE_32, CS_MODE_16};
    unsigned i, n;
    cs_insn *insn;
    csh handle;

    fprintf(out, "  bytes");
    for (i = 0; i < c->length; i++)
        fprintf(out, " %02x", c->code[i]);
    fprintf(out, "\n");
    if (cs_open(CS_ARCH_X86, modes[c->mode], &handle) != CS_ERR_OK)
        return;
    n = (unsigned)cs_disasm(handle, c->code, c->length, c->start, 0, &insn);
    for (i = 0; i < n; i++)
        fprintf(out, "  %" PRIx64 ": %s %s\n", insn[i].address, insn[i].mnemonic, insn[i].op_str);
    if (n)
        cs_free(insn, n);
    cs_close(&handle);
}

static void show_vectors(const struct insn_case *c, FILE *out)
{
    unsigned i, j;

    for (i = 0; i < 16; i++) {
        fprintf(out, "  xmm%-2u ", i);
        for (j = 16; j-- > 0;)
            fprintf(out, "%02x", c->in.xsave[160 + 16 * i + j]);
        if (i < 8) {
            fprintf(out, "  st%u ", i);
            for (j = 10; j-- > 0;)
                fprintf(out, "%02x", c->in.xsave[32 + 16 * i + j]);
        }
        fprintf(out, "\n");
    }
    fprintf(out, "  fcw %04x fsw %04x tags %02x mxcsr %05x\n", get(c->in.xsave, 2), get(c->in.xsave + 2, 2),
            c->in.xsave[4], get(c->in.xsave + 24, 4));
}

void insn_report(const struct insn_case *c, const struct insn_state *got, const uint8_t *data, FILE *out)
{
    unsigned i;

    fprintf(out, "case %" PRIu64 " (%s)\n", c->index, insn_mnemonic_name(c->mnemonic));
    disassemble(c, out);
    fprintf(out, " start state:\n");
    for (i = 0; i < 16; i++)
        fprintf(out, "  %-4s %016" PRIx64 "%s", names[i], c->in.gpr[i], i % 4 == 3 ? "\n" : "");
    fprintf(out, "  rflags %" PRIx64 " fs_base %" PRIx64 " gs_base %" PRIx64 "\n", c->in.rflags, c->in.fs_base,
            c->in.gs_base);
    fprintf(out, "  es %x cs %x ss %x ds %x fs %x gs %x\n", c->in.seg[S_ES], c->in.seg[S_CS], c->in.seg[S_SS],
            c->in.seg[S_DS], c->in.seg[S_FS], c->in.seg[S_GS]);
    for (i = 0; i < c->pokes; i++)
        fprintf(out, "  [%" PRIx64 "] = %016" PRIx64 "\n", (uint64_t)INSN_DATA + c->poke[i].offset,
                c->poke[i].value);
    show_vectors(c, out);
    fprintf(out, " differences:\n");
    insn_compare(c, got, data, out);
}
