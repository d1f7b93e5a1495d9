/*
 * i8042.h - keyboard controller (ports 0x60, 0x64) with nothing plugged in: for its self-test, the reset
 * line and A20. With it, port 0x92, which does the latter two faster.
 */
#ifndef NOVT_DEVICES_I8042_H
#define NOVT_DEVICES_I8042_H

#include "devices/bus.h"
#include "devices/irq.h"

struct i8042_state {
    uint8_t status, config, output_port, command; /* command: waits for its data byte on 0x60; else 0 */
    uint8_t data;
    uint8_t ram[32];
};

struct i8042_hooks {
    void (*set_a20)(void *opaque, bool on);
    void (*reset)(void *opaque); /* asks for a reset; must return (the machine resets later) */
    void *opaque;
};

struct i8042;

struct i8042 *i8042_create(struct bus *bus, struct irq_line irq1, struct irq_line irq12,
                           const struct i8042_hooks *hooks);
void i8042_destroy(struct i8042 *i8042);
void i8042_reset(struct i8042 *i8042);

void i8042_save(const struct i8042 *i8042, struct i8042_state *state);
void i8042_load(struct i8042 *i8042, const struct i8042_state *state);

#endif
