/*
 * check.c - `-accel trap,check=on|continue|sensitive`: the interpreter runs each instruction first, with every
 * memory write noted; its result is kept, state and memory are put back, the child runs the same instruction by a
 * single step, and the two results must be equal.
 *
 * Interface: internal.h; the interpreter's run is in reference.c, the comparison in compare.c. What traps in the
 * child is emulated as always, and right by construction; so only instructions that ran natively are compared.
 * Devices are kept from the reference run: what reaches them traps. Not compared: repeated string instructions (a
 * single step is one repetition), random numbers, and what the x87 remembers of its last instruction.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "cpu/decode.h"
#include "trap/check.h"

struct check *check_create(void)
{
    struct check *k = aligned_alloc(_Alignof(struct check), sizeof *k);

    if (k)
        memset(k, 0, sizeof *k);
    return k;
}

void check_destroy(struct check *k)
{
    free(k);
}

/* The instruction, for the report. */
static struct trap_difference describe(struct vcpu *v, struct insn *insn, const struct trap_row **row)
{
    struct trap_difference d = {.cpl = v->cpl, .bits = trap_code_bits(v)};
    uint8_t bytes[DECODE_BUFFER];

    d.size = trap_decode(v, insn, bytes, &d.address);
    memcpy(d.code, bytes, d.size);
    *row = trap_find_row(insn);
    return d;
}

/* INS, OUTS, MOVS, CMPS, STOS, LODS, SCAS with REP. */
static bool is_repeated(const struct insn *i)
{
    unsigned o = i->opcode;

    return i->map == MAP_1 && i->rep &&
           ((o >= 0x6c && o <= 0x6f) || (o >= 0xa4 && o <= 0xa7) || (o >= 0xaa && o <= 0xaf));
}

/* FNSTENV, FNSAVE, FXSAVE, XSAVE, XSAVEOPT, XSAVEC: they store which x87 instruction was the last, and the
   interpreter runs those elsewhere. RDRAND, RDSEED. */
static bool is_unforeseeable(const struct insn *i)
{
    unsigned reg = i->modrm >> 3 & 7;

    if (i->map == MAP_1)
        return (i->opcode == 0xd9 || i->opcode == 0xdd) && i->mod != 3 && reg == 6;
    if (i->map != MAP_0F || i->vex)
        return false;
    if (i->opcode == 0xae)
        return i->mod != 3 && (reg == 0 || reg == 4 || reg == 6);
    return i->opcode == 0xc7 && (i->mod == 3 ? i->rep != 0xf3 : reg == 4);
}

/* A single step is TF, which PUSHF (and nobody but it) can see in what it has pushed. */
static void hide_pushed_step(struct check *k, const struct insn *i)
{
    if (i->map == MAP_1 && i->opcode == 0x9c && k->write_count)
        k->writes[k->write_count - 1].host[1] &= (uint8_t) ~(FLAG_TF >> 8);
}

/* The host's kernel hides it, but not any more once POPF or IRET has been stepped over: TF is the guest's only
   behind these. */
static void hide_step(struct child *c, const struct insn *i, bool stepped)
{
    if (!stepped || i->map != MAP_1 || (i->opcode != 0x9d && i->opcode != 0xcf))
        c->regs.eflags &= ~(uint64_t)FLAG_TF;
}

static void count(struct trap *t, struct trap_difference *d, const struct trap_row *row)
{
    t->count[COUNT_DIFFERENCES]++;
    d->count = row ? ++t->differs[row - trap_table] : ++t->nameless;
}

static int tell(struct trap *t, struct check *k, struct trap_difference *d, const struct trap_row *row)
{
    if (!row && k->refused)
        row = &trap_switched_off;
    if (row) {
        d->name = row->name;
        d->why = row->why;
    }
    count(t, d, row);
    d->text = k->text;
    t->options.report(t->options.opaque, d);
    if (t->options.check == TRAP_CHECK_STOP)
        return error_set(
            t->error, ECANCELED,
            "-accel trap,check=on: stopped where the guest first goes wrong; check=continue goes on with "
            "the right result, -accel bt gets it right by itself");
    check_take_reference(t, k);
    return 0;
}

static bool has_stepped(const struct child *c, int wait_status)
{
    siginfo_t info;

    return WSTOPSIG(wait_status) == SIGTRAP && !ptrace(PTRACE_GETSIGINFO, c->pid, NULL, &info) &&
           info.si_code == TRAP_TRACE;
}

/* Where the processor has UMIP, the host's kernel emulates SGDT and its kin, and a single step does not end behind
   them. An INT3 there does, for as long as that takes. */
static bool may_be_emulated(const struct trap_row *row)
{
    return row && row->class == TRAP_SENSITIVE && row->map == MAP_0F && row->opcode < 2;
}

static int step_to(struct trap *t, struct child *c, gva_t next, int *wait_status)
{
    const uint8_t int3 = 0xcc;
    uint8_t *host = NULL, saved;
    gpa_t gpa;
    int failed;

    if (mmu_probe(&t->v->mmu, next, &gpa))
        host = ram_host(t->v->mmu.ram, gpa);
    if (!host)
        return run_child(t, c, PTRACE_SYSEMU_SINGLESTEP, wait_status);
    saved = *host;
    *host = int3;
    failed = run_child(t, c, PTRACE_SYSEMU_SINGLESTEP, wait_status);
    *host = saved;
    return failed;
}

/* One instruction in the child. *stepped: it did not trap. */
static int step_child(struct trap *t, struct child *c, const struct trap_row *row, gva_t next, int *wait_status,
                      bool *stepped)
{
    int failed;

    if (!may_be_emulated(row)) {
        failed = run_child(t, c, PTRACE_SYSEMU_SINGLESTEP, wait_status);
        *stepped = !failed && has_stepped(c, *wait_status);
        return failed;
    }
    failed = step_to(t, c, next, wait_status);
    if (failed)
        return failed;
    *stepped = has_stepped(c, *wait_status);
    if (!*stepped && WSTOPSIG(*wait_status) == SIGTRAP && c->regs.rip == next + 1) {
        c->regs.rip = next;
        *stepped = true;
    }
    return 0;
}

int check_step(struct trap *t, struct child *c, enum cpu_status *status)
{
    struct check *k = t->check;
    struct insn insn;
    const struct trap_row *row;
    struct trap_difference d = describe(t->v, &insn, &row);
    int wait_status, failed;
    bool stepped;

    if ((row && row->class == TRAP_PRIVILEGED) || is_repeated(&insn) || is_unforeseeable(&insn)) {
        *status = emulate_trapped(t, COUNT_OTHER_TRAPS);
        return 0;
    }
    if (t->options.check == TRAP_CHECK_SENSITIVE && !row) {
        *status = emulate_step(t);
        return 0;
    }
    check_run_reference(t, k);
    failed = step_child(t, c, row, d.address + d.size, &wait_status, &stepped);
    if (failed || !wait_status)
        return failed;
    hide_step(c, &insn, stepped);
    state_from_child(t, c);
    if (!stepped)
        return stop_handle(t, c, wait_status, status);
    if (k->simd && state_fetch_simd(t))
        return stop_lost(t, c);
    t->count[COUNT_CHECKED]++;
    hide_pushed_step(k, &insn);
    if (k->useless || check_is_equal(t, k, t->options.undefined_flags(d.code, d.size, d.bits)))
        return 0;
    return tell(t, k, &d, row);
}
