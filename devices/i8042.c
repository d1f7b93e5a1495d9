/*
 * i8042.c - keyboard controller without keyboard and mouse, and port 0x92.
 *
 * Interface: i8042_create. Guests use it for its self-test, to reset the machine (command 0xfe, or bit 0
 * of the output port) and for A20. Commands to devices get a time-out answer at once, which drivers take
 * for an empty socket sooner than silence.
 * Invariants: output port bit 1 is the A20 gate, and port 0x92 shows the same bit; the two IRQ lines
 * follow the output buffer.
 */
#include <stdlib.h>

#include "devices/i8042.h"

#define STATUS_FULL 0x01u /* output buffer, which the guest reads */
#define STATUS_SYSTEM 0x04u
#define STATUS_COMMAND 0x08u
#define STATUS_UNLOCKED 0x10u
#define STATUS_AUX 0x20u
#define STATUS_TIMEOUT 0x40u
#define CONFIG_IRQ1 0x01u
#define CONFIG_IRQ12 0x02u
#define CONFIG_SYSTEM 0x04u
#define CONFIG_NO_KEYBOARD 0x10u
#define CONFIG_NO_AUX 0x20u
#define OUTPUT_RESET 0x01u /* low: reset */
#define OUTPUT_A20 0x02u
#define ANSWER_RESEND 0xfeu

struct i8042 {
    struct i8042_state state;
    struct irq_line irq1, irq12;
    struct i8042_hooks hooks;
};

static void update(struct i8042 *i8042)
{
    const struct i8042_state *state = &i8042->state;
    bool full = state->status & STATUS_FULL, aux = state->status & STATUS_AUX;

    irq_set(&i8042->irq1, full && !aux && state->config & CONFIG_IRQ1);
    irq_set(&i8042->irq12, full && aux && state->config & CONFIG_IRQ12);
}

static void answer(struct i8042 *i8042, uint8_t data, uint8_t flags)
{
    struct i8042_state *state = &i8042->state;

    state->data = data;
    state->status = (state->status & ~(STATUS_AUX | STATUS_TIMEOUT)) | STATUS_FULL | flags;
    update(i8042);
}

static void write_output_port(struct i8042 *i8042, uint8_t value)
{
    i8042->state.output_port = value;
    if (i8042->hooks.set_a20)
        i8042->hooks.set_a20(i8042->hooks.opaque, value & OUTPUT_A20);
    if (!(value & OUTPUT_RESET) && i8042->hooks.reset)
        i8042->hooks.reset(i8042->hooks.opaque);
}

static void set_a20(struct i8042 *i8042, bool on)
{
    write_output_port(i8042, (i8042->state.output_port & ~OUTPUT_A20) | (on ? OUTPUT_A20 : 0) | OUTPUT_RESET);
}

/* 0xf0 to 0xff: pulse the output port's bits that are 0 in the command. */
static void pulse(struct i8042 *i8042, uint8_t command)
{
    if (!(command & OUTPUT_RESET) && i8042->hooks.reset)
        i8042->hooks.reset(i8042->hooks.opaque);
}

static void run_command(struct i8042 *i8042, uint8_t command)
{
    struct i8042_state *state = &i8042->state;

    state->command = 0;
    switch (command) {
    case 0x20 ... 0x3f:
        answer(i8042, command == 0x20 ? state->config : state->ram[command & 0x1f], 0);
        break;
    case 0x60 ... 0x7f:
    case 0xd1 ... 0xd4:
        state->command = command; /* its byte follows on 0x60 */
        break;
    case 0xa7:
    case 0xa8:
        state->config = (state->config & ~CONFIG_NO_AUX) | (command == 0xa7 ? CONFIG_NO_AUX : 0);
        break;
    case 0xa9: /* test of the mouse's port: its clock line is stuck low */
        answer(i8042, 0x01, 0);
        break;
    case 0xaa:
        state->status |= STATUS_SYSTEM;
        state->config |= CONFIG_SYSTEM;
        answer(i8042, 0x55, 0);
        break;
    case 0xab:
        answer(i8042, 0x00, 0);
        break;
    case 0xad:
    case 0xae:
        state->config = (state->config & ~CONFIG_NO_KEYBOARD) | (command == 0xad ? CONFIG_NO_KEYBOARD : 0);
        break;
    case 0xc0:
        answer(i8042, 0x80, 0); /* keyboard not locked */
        break;
    case 0xd0:
        answer(i8042, state->output_port, 0);
        break;
    case 0xdd:
    case 0xdf:
        set_a20(i8042, command == 0xdf);
        break;
    case 0xf0 ... 0xff:
        pulse(i8042, command);
        break;
    default:
        break;
    }
}

static void write_data(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;
    uint8_t command = state->command;

    state->command = 0;
    switch (command) {
    case 0x60:
        state->config = value;
        update(i8042);
        break;
    case 0x61 ... 0x7f:
        state->ram[command & 0x1f] = value;
        break;
    case 0xd1:
        write_output_port(i8042, value);
        break;
    case 0xd2: /* as if the keyboard had sent it */
    case 0xd3: /* as if the mouse had; this controller knows no mouse */
        answer(i8042, value, 0);
        break;
    case 0xd4:
        answer(i8042, ANSWER_RESEND, STATUS_AUX | STATUS_TIMEOUT);
        break;
    default:
        answer(i8042, ANSWER_RESEND, STATUS_TIMEOUT);
    }
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *i8042 = opaque;

    i8042->state.status &= ~(STATUS_FULL | STATUS_AUX | STATUS_TIMEOUT);
    update(i8042);
    return i8042->state.data;
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *i8042 = opaque;

    i8042->state.status &= ~STATUS_COMMAND;
    write_data(i8042, (uint8_t)value);
}

static uint64_t status_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct i8042 *i8042 = opaque;

    return i8042->state.status;
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *i8042 = opaque;

    i8042->state.status |= STATUS_COMMAND;
    run_command(i8042, (uint8_t)value);
}

/* Port 0x92, system control port A: bit 0 resets, bit 1 is A20. */
static uint64_t port_a_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct i8042 *i8042 = opaque;

    return i8042->state.output_port & OUTPUT_A20;
}

static void port_a_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *i8042 = opaque;

    set_a20(i8042, value & 2);
    if (value & 1 && i8042->hooks.reset)
        i8042->hooks.reset(i8042->hooks.opaque);
}

static const struct bus_ops data_ops = {data_read, data_write, 1, 1};
static const struct bus_ops command_ops = {status_read, command_write, 1, 1};
static const struct bus_ops port_a_ops = {port_a_read, port_a_write, 1, 1};

void i8042_reset(struct i8042 *i8042)
{
    i8042->state = (struct i8042_state){
        .status = STATUS_SYSTEM | STATUS_UNLOCKED,
        .config = CONFIG_SYSTEM | CONFIG_NO_KEYBOARD | CONFIG_NO_AUX,
        .output_port = 0xcc | OUTPUT_RESET | OUTPUT_A20,
    };
    update(i8042);
    if (i8042->hooks.set_a20)
        i8042->hooks.set_a20(i8042->hooks.opaque, true);
}

struct i8042 *i8042_create(struct bus *bus, struct irq_line irq1, struct irq_line irq12,
                           const struct i8042_hooks *hooks)
{
    struct i8042 *i8042 = calloc(1, sizeof *i8042);

    if (!i8042)
        return NULL;
    i8042->irq1 = irq1;
    i8042->irq12 = irq12;
    i8042->hooks = *hooks;
    i8042_reset(i8042);
    if (bus_add_io(bus, 0x60, 1, &data_ops, i8042) < 0 || bus_add_io(bus, 0x64, 1, &command_ops, i8042) < 0 ||
        bus_add_io(bus, 0x92, 1, &port_a_ops, i8042) < 0) {
        free(i8042);
        return NULL;
    }
    return i8042;
}

void i8042_destroy(struct i8042 *i8042)
{
    free(i8042);
}

void i8042_save(const struct i8042 *i8042, struct i8042_state *state)
{
    *state = i8042->state;
}

void i8042_load(struct i8042 *i8042, const struct i8042_state *state)
{
    i8042->state = *state;
    update(i8042);
    if (i8042->hooks.set_a20)
        i8042->hooks.set_a20(i8042->hooks.opaque, state->output_port & OUTPUT_A20);
}
