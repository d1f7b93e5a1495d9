/*
 * run.c - what starts, stops and ends the guest: stop, cont, step, breakpoints, reset, power, quit.
 *
 * Interface: command.h. All but quit run on the vCPU's thread, so the guest stands still meanwhile.
 */
#include "vmm/monitor/command.h"

#include <errno.h>
#include <inttypes.h>

#include "vmm/debug.h"

#define STEPS_MAX 1000000u

int command_stop(struct command *c)
{
    int status = command_expect_end(c);

    if (!status)
        debug_stop(c->machine);
    return status;
}

int command_cont(struct command *c)
{
    int status = command_expect_end(c);

    if (!status)
        debug_continue(c->machine);
    return status;
}

/* false: it halted, met a breakpoint, or the machine ends. */
static bool step_on(struct machine *m, bool *halted)
{
    *halted = !debug_step(m);
    return !*halted && !debug_is_at_breakpoint(m) && !(atomic_load(&m->requests) & (REQUEST_STOP | REQUEST_RESET));
}

int command_step(struct command *c)
{
    uint64_t count = 1;
    bool halted;
    int status = command_is_at_end(c) ? 0 : command_read_expression(c, &count);

    if (!status)
        status = command_expect_end(c);
    if (status)
        return status;
    if (count == 0 || count > STEPS_MAX)
        return error_set(&c->error, ERANGE, "the count %" PRIu64 " is out of range; it is 1 to %u", count,
                         STEPS_MAX);
    debug_stop(c->machine);
    while (step_on(c->machine, &halted) && --count)
        continue;
    if (halted)
        fprintf(c->to, "the CPU is halted, until an interrupt comes that it takes\n");
    return command_disassemble(c, debug_linear_rip(c->machine), 1);
}

int command_break(struct command *c)
{
    unsigned number;
    uint64_t at;
    int status = command_read_expression(c, &at);

    if (!status)
        status = command_expect_end(c);
    if (!status)
        status = debug_add_breakpoint(c->machine, at, &number, &c->error);
    if (!status)
        fprintf(c->to, "Breakpoint %u at 0x%" PRIx64 "\n", number, at);
    return status;
}

int command_delete(struct command *c)
{
    uint64_t number;
    int status = command_read_expression(c, &number);

    if (!status)
        status = command_expect_end(c);
    if (!status && number > UINT32_MAX)
        status = error_set(&c->error, ENOENT, "no breakpoint %" PRIu64 "; 'info breakpoints' lists them", number);
    return status ? status : debug_delete_breakpoint(c->machine, (unsigned)number, &c->error);
}

int info_breakpoints(struct command *c)
{
    const struct debug *d = &c->machine->debug;
    int status = command_expect_end(c);

    if (status)
        return status;
    if (!d->count)
        fprintf(c->to, "No breakpoints\n");
    else
        fprintf(c->to, "%-6s %-18s %s\n", "Num", "Address", "Hits");
    for (unsigned i = 0; i < d->count; i++)
        fprintf(c->to, "%-6u 0x%016" PRIx64 " %" PRIu64 "\n", d->breakpoint[i].number, d->breakpoint[i].address,
                d->breakpoint[i].hits);
    return 0;
}

int info_status(struct command *c)
{
    int status = command_expect_end(c);

    if (!status)
        fprintf(c->to, "VM status: %s\n", c->machine->debug.stopped ? "paused" : "running");
    return status;
}

/* As if the guest had asked for it: -no-reboot ends novt. */
int command_system_reset(struct command *c)
{
    struct machine *m = c->machine;
    int status = command_expect_end(c);

    if (status)
        return status;
    pthread_mutex_lock(&m->lock);
    m->board->hooks.reset(m->board->hooks.opaque);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

int command_system_powerdown(struct command *c)
{
    struct machine *m = c->machine;
    int status = command_expect_end(c);

    if (status)
        return status;
    pthread_mutex_lock(&m->lock);
    pm_press_power_button(m->board->pm);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

int command_quit(struct command *c)
{
    int status = command_expect_end(c);

    if (!status)
        machine_stop(c->machine, 0, "quit by the monitor");
    return status;
}
