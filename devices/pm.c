/*
 * pm.c - ACPI fixed hardware (ACPI 6.4, section 4.8) and the reset control register.
 *
 * Interface: pm_create, pm_press_power_button. The hardware is always in ACPI mode (SCI_EN stays set).
 * Invariants: the SCI follows status & enable (update); TMR_STS is right up to `seen`, and the timer runs
 * only while it would raise the SCI.
 */
#include <stdlib.h>

#include "devices/pm.h"

#define PM1_TIMER 0x0001u /* status and enable bits have the same places */
#define PM1_POWER_BUTTON 0x0100u
#define PM1_STATUS_ALL 0x8731u
#define PM1_ENABLE_ALL 0x4721u
#define CONTROL_SCI 0x0001u
#define CONTROL_SLEEP 0x2000u
#define CONTROL_TYPE(control) ((control) >> 10 & 7u)
#define TIMER_BITS 24
#define CF9_RESET 0x04u
#define CF9_KEPT 0x0au

struct pm {
    struct pm_state state;
    struct timer_queue *timers;
    struct timer timer;
    struct irq_line sci;
    struct pm_hooks hooks;
};

static uint64_t ticks_at(const struct pm *pm, uint64_t now)
{
    return now > pm->state.start ? timer_scale(now - pm->state.start, PM_TIMER_HZ, NS_PER_SECOND) : 0;
}

/* TMR_STS is set whenever the counter's top bit changes. */
static void catch_up(struct pm *pm, uint64_t now)
{
    if (ticks_at(pm, now) >> (TIMER_BITS - 1) != ticks_at(pm, pm->state.seen) >> (TIMER_BITS - 1))
        pm->state.status |= PM1_TIMER;
    pm->state.seen = now;
}

static void update(struct pm *pm, uint64_t now)
{
    struct pm_state *state = &pm->state;
    uint64_t deadline = TIMER_NEVER, change;

    irq_set(&pm->sci, state->status & state->enable);
    if (state->enable & PM1_TIMER && !(state->status & PM1_TIMER)) {
        change = ((ticks_at(pm, now) >> (TIMER_BITS - 1)) + 1) << (TIMER_BITS - 1);
        deadline = state->start + timer_scale(change, NS_PER_SECOND, PM_TIMER_HZ) + 1;
    }
    timer_arm(pm->timers, &pm->timer, deadline);
}

static void expire(void *opaque, uint64_t now)
{
    catch_up(opaque, now);
    update(opaque, now);
}

void pm_press_power_button(struct pm *pm)
{
    pm->state.status |= PM1_POWER_BUTTON;
    update(pm, timer_now(pm->timers));
}

static uint16_t *find_register(struct pm *pm, uint64_t offset)
{
    return offset < 2 ? &pm->state.status : offset < 4 ? &pm->state.enable : &pm->state.control;
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pm *pm = opaque;

    catch_up(pm, timer_now(pm->timers));
    return *find_register(pm, offset) >> 8 * (offset & 1);
}

static void write_control(struct pm *pm, uint16_t value)
{
    pm->state.control = (value & ~CONTROL_SLEEP) | CONTROL_SCI;
    if (value & CONTROL_SLEEP && CONTROL_TYPE(value) == PM_SLEEP_S5 && pm->hooks.power_off)
        pm->hooks.power_off(pm->hooks.opaque);
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pm *pm = opaque;
    uint16_t *reg = find_register(pm, offset), old = *reg, word = (uint16_t)value;
    uint64_t now = timer_now(pm->timers);

    if (size == 1)
        word = offset & 1 ? (old & 0x00ff) | (uint16_t)(word << 8) : (old & 0xff00) | word;
    catch_up(pm, now);
    if (reg == &pm->state.status) /* ones clear; the other byte of a byte write clears nothing */
        pm->state.status &= size == 2 ? ~word : ~((uint16_t)value << 8 * (offset & 1));
    else if (reg == &pm->state.enable)
        pm->state.enable = word & PM1_ENABLE_ALL;
    else
        write_control(pm, word);
    pm->state.status &= PM1_STATUS_ALL;
    update(pm, now);
}

static uint64_t timer_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct pm *pm = opaque;

    return ticks_at(pm, timer_now(pm->timers)) & ((1u << TIMER_BITS) - 1);
}

/* Ports 0xcf8 to 0xcff are claimed whole, so that a 32-bit write of a PCI configuration address does not
   fall apart into bytes, one of which would be the reset control register. */
static uint64_t cf8_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct pm *pm = opaque;

    return offset == 1 && size == 1 ? pm->state.reset_control : UINT64_MAX;
}

static void cf8_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pm *pm = opaque;

    if (offset != 1 || size != 1)
        return;
    pm->state.reset_control = value & CF9_KEPT;
    if (value & CF9_RESET && pm->hooks.reset)
        pm->hooks.reset(pm->hooks.opaque);
}

static const struct bus_ops pm_ops = {pm_read, pm_write, 1, 2};
static const struct bus_ops timer_ops = {timer_read, NULL, 4, 4};
static const struct bus_ops cf8_ops = {cf8_read, cf8_write, 1, 4};

void pm_reset(struct pm *pm)
{
    uint64_t now = timer_now(pm->timers);

    pm->state = (struct pm_state){.control = CONTROL_SCI, .start = now, .seen = now};
    update(pm, now);
}

struct pm *pm_create(struct bus *bus, struct timer_queue *timers, struct irq_line sci,
                     const struct pm_hooks *hooks)
{
    struct pm *pm = calloc(1, sizeof *pm);

    if (!pm)
        return NULL;
    pm->timers = timers;
    pm->sci = sci;
    pm->hooks = *hooks;
    timer_init(&pm->timer, expire, pm);
    pm_reset(pm);
    if (bus_add_io(bus, PM_BASE, 6, &pm_ops, pm) < 0 || bus_add_io(bus, PM_TIMER, 4, &timer_ops, pm) < 0 ||
        bus_add_io(bus, PM_RESET_PORT - 1, 8, &cf8_ops, pm) < 0) {
        free(pm);
        return NULL;
    }
    return pm;
}

void pm_destroy(struct pm *pm)
{
    if (pm)
        timer_cancel(pm->timers, &pm->timer);
    free(pm);
}

void pm_save(const struct pm *pm, struct pm_state *state)
{
    *state = pm->state;
}

void pm_load(struct pm *pm, const struct pm_state *state)
{
    pm->state = *state;
    update(pm, timer_now(pm->timers));
}
