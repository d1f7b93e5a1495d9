/*
 * debug.c - breakpoints and single steps.
 *
 * Interface: debug.h. Invariants: the engine knows the addresses of exactly these breakpoints; `passing` ends when
 * the instruction at `passed` has been run to its end.
 */
#include "vmm/debug.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cpu/system.h"
#include "vmm/machine.h"
#include "vmm/monitor/peek.h"

gva_t debug_linear_rip(const struct machine *m)
{
    const struct vcpu *v = m->vcpu;

    return v->mode & MODE_CODE64 ? v->rip : (uint32_t)(v->seg[SEG_CS].base + v->rip);
}

/* --- breakpoints --- */

/* Index of the one there, or -1. */
static int find(const struct debug *d, gva_t address)
{
    for (unsigned i = 0; i < d->count; i++)
        if (d->breakpoint[i].address == address)
            return (int)i;
    return -1;
}

static int tell_engine(struct machine *m, struct error *error)
{
    gva_t address[DEBUG_BREAKPOINTS];
    int status;

    for (unsigned i = 0; i < m->debug.count; i++)
        address[i] = m->debug.breakpoint[i].address;
    status = m->engine->set_breakpoints(m, address, m->debug.count);
    return status ? error_set(error, -status, "the engine takes no more breakpoints; delete some") : 0;
}

int debug_add_breakpoint(struct machine *m, gva_t address, unsigned *number, struct error *error)
{
    struct debug *d = &m->debug;
    int old = find(d, address);

    if (!m->engine->set_breakpoints)
        return error_set(error, ENOTSUP, "-accel %s has no breakpoints; step works", m->engine->name);
    if (old >= 0)
        return error_set(error, EEXIST, "breakpoint %u is at 0x%" PRIx64 " already", d->breakpoint[old].number,
                         address);
    if (d->count == DEBUG_BREAKPOINTS)
        return error_set(error, ENOSPC, "there are %u breakpoints, and there can be no more; delete some",
                         d->count);
    *number = ++d->last_number;
    d->breakpoint[d->count++] = (struct breakpoint){.number = *number, .address = address};
    return tell_engine(m, error);
}

int debug_delete_breakpoint(struct machine *m, unsigned number, struct error *error)
{
    struct debug *d = &m->debug;
    unsigned i = 0;

    while (i < d->count && d->breakpoint[i].number != number)
        i++;
    if (i == d->count)
        return error_set(error, ENOENT, "no breakpoint %u; 'info breakpoints' lists them", number);
    d->count--;
    memmove(&d->breakpoint[i], &d->breakpoint[i + 1], (d->count - i) * sizeof d->breakpoint[0]);
    return tell_engine(m, error);
}

bool debug_is_at_breakpoint(const struct machine *m)
{
    return m->debug.count && find(&m->debug, debug_linear_rip(m)) >= 0;
}

/* --- stopping and going on --- */

void debug_stop(struct machine *m)
{
    m->debug.stopped = true;
}

void debug_continue(struct machine *m)
{
    m->debug.stopped = false;
    m->debug.passing = debug_is_at_breakpoint(m);
    m->debug.passed = debug_linear_rip(m);
}

/* Is the instruction at RIP a repeated string instruction? One that is not through is still the same one. */
static bool is_repeating(const struct machine *m)
{
    uint8_t bytes[15];
    size_t n = peek_linear(m, debug_linear_rip(m), bytes, sizeof bytes), i = 0;
    bool wide = m->vcpu->mode & MODE_CODE64, repeats = false;

    while (i < n && strchr("\xf2\xf3\x2e\x36\x3e\x26\x64\x65\x66\x67", bytes[i]) && bytes[i])
        repeats |= (bytes[i++] & 0xfe) == 0xf2;
    if (i < n && wide && (bytes[i] & 0xf0) == 0x40) /* REX */
        i++;
    return repeats && i < n &&
           ((bytes[i] >= 0xa4 && bytes[i] <= 0xa7) || (bytes[i] >= 0xaa && bytes[i] <= 0xaf) ||
            (bytes[i] >= 0x6c && bytes[i] <= 0x6f));
}

static void stop_at(struct machine *m, struct breakpoint *b)
{
    b->hits++;
    m->debug.stopped = true;
    monitor_tell(m->monitor, "Breakpoint %u at 0x%" PRIx64, b->number, b->address);
}

bool debug_turn(struct machine *m)
{
    struct debug *d = &m->debug;
    gva_t at;

    if (!debug_is_at_breakpoint(m))
        return false;
    at = debug_linear_rip(m);
    if (!d->passing || d->passed != at) {
        stop_at(m, &d->breakpoint[find(d, at)]);
        return true;
    }
    d->passing = is_repeating(m);
    machine_interpret(m);
    d->passing &= debug_linear_rip(m) == at;
    return true;
}

bool debug_step(struct machine *m)
{
    struct vcpu *v = m->vcpu;
    bool taken = false;

    if (!v->halted) {
        machine_interpret(m);
        return true;
    }
    if (cpu_take_interrupts(v, &taken) == CPU_EXIT)
        machine_handle_exit(m);
    return taken || !v->halted;
}
