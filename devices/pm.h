/*
 * pm.h - ACPI fixed hardware: PM1a event and control blocks, PM timer (ACPI 6.4, 4.8), and the reset
 * control register 0xcf9 with the (empty) PCI configuration ports around it.
 */
#ifndef NOVT_DEVICES_PM_H
#define NOVT_DEVICES_PM_H

#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/timer.h"

#define PM_BASE 0x600 /* PM1a event block: 4 bytes */
#define PM_CONTROL (PM_BASE + 4)
#define PM_TIMER (PM_BASE + 8)
#define PM_TIMER_HZ 3579545u
#define PM_SCI 9
#define PM_SLEEP_S5 5 /* SLP_TYP for soft off: the DSDT's \_S5 says so */
#define PM_RESET_PORT 0xcf9
#define PM_RESET_VALUE 0x06

struct pm_state {
    uint16_t status, enable, control;
    uint64_t start; /* ns when the PM timer was 0 */
    uint64_t seen;  /* ns up to which TMR_STS in status is right */
    uint8_t reset_control;
};

struct pm_hooks {
    void (*power_off)(void *opaque); /* must return: the machine stops later */
    void (*reset)(void *opaque);
    void *opaque;
};

struct pm;

struct pm *pm_create(struct bus *bus, struct timer_queue *timers, struct irq_line sci,
                     const struct pm_hooks *hooks);
void pm_destroy(struct pm *pm);
void pm_reset(struct pm *pm);
/* The user asks the guest to shut down. */
void pm_press_power_button(struct pm *pm);

void pm_save(const struct pm *pm, struct pm_state *state);
void pm_load(struct pm *pm, const struct pm_state *state);

#endif
