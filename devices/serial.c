/*
 * serial.c - 16550A UART (National Semiconductor PC16550D data sheet).
 *
 * Interface: serial_create, serial_can_receive, serial_receive, serial_receive_break.
 * Sent bytes go to the chardev at once, so the transmitter is always empty. Received bytes come as fast
 * as the host side gives them, at most as many as serial_can_receive says.
 * Invariants: the IRQ line follows the identification register (update); the timer runs while received
 * bytes below the trigger level wait for the guest.
 */
#include <stdlib.h>

#include "devices/serial.h"

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RX 0x01u
#define IER_THRE 0x02u
#define IER_LINE 0x04u
#define IER_MODEM 0x08u
#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_THRE 0x02u
#define IIR_RX 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO 0xc0u
#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define LCR_DLAB 0x80u
#define MCR_OUT2 0x08u /* on a PC it connects the interrupt line */
#define MCR_LOOP 0x10u
#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_BI 0x10u
#define LSR_ERRORS 0x1eu
#define LSR_EMPTY 0x60u   /* THRE, TEMT */
#define MSR_PRESENT 0xb0u /* CTS, DSR, DCD: somebody listens */
#define CHAR_BITS 10u
#define BASE_BAUD 115200u
#define MAX_TIMEOUT_NS 20000000u

struct serial {
    struct serial_state state;
    struct timer_queue *timers;
    struct timer timer; /* character timeout */
    struct irq_line irq;
    struct chardev chardev;
};

static unsigned capacity(const struct serial_state *state)
{
    return state->fcr & FCR_ENABLE ? SERIAL_FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct serial_state *state)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return state->fcr & FCR_ENABLE ? levels[state->fcr >> 6] : 1;
}

/* The interrupt of highest priority, as the identification register's low bits. */
static uint8_t identify(const struct serial_state *state)
{
    if (state->ier & IER_LINE && state->lsr & LSR_ERRORS)
        return IIR_LINE;
    if (state->ier & IER_RX && state->fifo_count >= trigger_level(state))
        return IIR_RX;
    if (state->ier & IER_RX && state->timeout)
        return IIR_TIMEOUT;
    if (state->ier & IER_THRE && state->iir_thre)
        return IIR_THRE;
    if (state->ier & IER_MODEM && state->msr & 0x0f)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update(struct serial *serial)
{
    const struct serial_state *state = &serial->state;

    irq_set(&serial->irq, state->mcr & MCR_OUT2 && identify(state) != IIR_NONE);
}

/* Four character times of silence with bytes in the FIFO. */
static void arm_timeout(struct serial *serial)
{
    const struct serial_state *state = &serial->state;
    uint64_t ns = timer_scale(NS_PER_SECOND * 4 * CHAR_BITS, state->divisor ? state->divisor : 1, BASE_BAUD);

    if (ns > MAX_TIMEOUT_NS)
        ns = MAX_TIMEOUT_NS;
    if (state->fcr & FCR_ENABLE && state->fifo_count && state->fifo_count < trigger_level(state) &&
        !state->timeout)
        timer_arm(serial->timers, &serial->timer, timer_now(serial->timers) + ns);
    else
        timer_cancel(serial->timers, &serial->timer);
}

static void expire(void *opaque, uint64_t now)
{
    struct serial *serial = opaque;

    serial->state.timeout = serial->state.fifo_count > 0;
    update(serial);
}

static void push(struct serial *serial, uint8_t byte)
{
    struct serial_state *state = &serial->state;

    if (state->fifo_count >= capacity(state)) {
        state->lsr |= LSR_OE;
    } else {
        state->fifo[(state->fifo_head + state->fifo_count++) % SERIAL_FIFO_SIZE] = byte;
        state->lsr |= LSR_DR;
    }
    arm_timeout(serial);
    update(serial);
}

unsigned serial_can_receive(struct serial *serial)
{
    struct serial_state *state = &serial->state;
    unsigned room = capacity(state) - state->fifo_count;

    if (state->mcr & MCR_LOOP) /* the line is disconnected */
        room = 0;
    if (room == 0)
        state->starved = true;
    return room;
}

void serial_receive(struct serial *serial, uint8_t byte)
{
    if (!(serial->state.mcr & MCR_LOOP))
        push(serial, byte);
}

void serial_receive_break(struct serial *serial)
{
    if (serial->state.mcr & MCR_LOOP)
        return;
    serial->state.lsr |= LSR_BI;
    push(serial, 0);
}

/* Last in each register access: the host side may call serial_receive from here. */
static void tell_room(struct serial *serial)
{
    struct serial_state *state = &serial->state;

    if (!state->starved || state->mcr & MCR_LOOP || state->fifo_count >= capacity(state))
        return;
    state->starved = false;
    if (serial->chardev.can_receive)
        serial->chardev.can_receive(serial->chardev.opaque);
}

static void clear_fifo(struct serial *serial)
{
    struct serial_state *state = &serial->state;

    state->fifo_head = state->fifo_count = 0;
    state->timeout = false;
    state->lsr &= ~(LSR_DR | LSR_BI);
    timer_cancel(serial->timers, &serial->timer);
}

static uint8_t read_data(struct serial *serial)
{
    struct serial_state *state = &serial->state;
    uint8_t byte = state->fifo[state->fifo_head]; /* the last one again when there is none */

    if (state->fifo_count == 0)
        return byte;
    if (--state->fifo_count == 0)
        state->lsr &= ~LSR_DR;
    else
        state->fifo_head = (state->fifo_head + 1) % SERIAL_FIFO_SIZE;
    state->timeout = false;
    arm_timeout(serial);
    return byte;
}

static void write_data(struct serial *serial, uint8_t byte)
{
    if (serial->state.mcr & MCR_LOOP)
        push(serial, byte);
    else
        chardev_write(&serial->chardev, &byte, 1);
    serial->state.iir_thre = true;
}

static void write_fcr(struct serial *serial, uint8_t value)
{
    struct serial_state *state = &serial->state;

    if ((value ^ state->fcr) & FCR_ENABLE || value & FCR_CLEAR_RX)
        clear_fifo(serial);
    state->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    arm_timeout(serial);
}

/* Modem inputs: the cable's, or in loopback mode our own outputs. Changes set the delta bits, of RI only
   the trailing edge. */
static void update_modem(struct serial *serial)
{
    struct serial_state *state = &serial->state;
    uint8_t mcr = state->mcr, lines = MSR_PRESENT, changed;

    if (mcr & MCR_LOOP)
        lines = (mcr & 0x02) << 3 | (mcr & 0x01) << 5 | (mcr & 0x04) << 4 | (mcr & 0x08) << 4;
    changed = (lines ^ state->msr) >> 4;
    if (lines & 0x40)
        changed &= ~0x04;
    state->msr = lines | (state->msr & 0x0f) | changed;
}

static uint8_t read_iir(struct serial *serial)
{
    uint8_t iir = identify(&serial->state);

    if (iir == IIR_THRE)
        serial->state.iir_thre = false;
    return iir | (serial->state.fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_register(struct serial *serial, int reg)
{
    struct serial_state *state = &serial->state;
    bool dlab = state->lcr & LCR_DLAB;
    uint8_t value;

    switch (reg) {
    case REG_DATA:
        return dlab ? (uint8_t)state->divisor : read_data(serial);
    case REG_IER:
        return dlab ? (uint8_t)(state->divisor >> 8) : state->ier;
    case REG_IIR:
        return read_iir(serial);
    case REG_LCR:
        return state->lcr;
    case REG_MCR:
        return state->mcr;
    case REG_LSR:
        value = state->lsr;
        state->lsr &= ~LSR_ERRORS;
        return value;
    case REG_MSR:
        value = state->msr;
        state->msr &= 0xf0;
        return value;
    default:
        return state->scratch;
    }
}

static void write_ier(struct serial_state *state, uint8_t value)
{
    if (value & ~state->ier & IER_THRE) /* enabling it with the transmitter empty interrupts */
        state->iir_thre = true;
    state->ier = value & 0x0f;
}

static void write_register(struct serial *serial, int reg, uint8_t value)
{
    struct serial_state *state = &serial->state;
    bool dlab = state->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
        if (dlab)
            state->divisor = (state->divisor & 0xff00) | value;
        else
            write_data(serial, value);
        break;
    case REG_IER:
        if (dlab)
            state->divisor = (uint16_t)(value << 8) | (state->divisor & 0xff);
        else
            write_ier(state, value);
        break;
    case REG_IIR:
        write_fcr(serial, value);
        break;
    case REG_LCR:
        state->lcr = value;
        break;
    case REG_MCR:
        state->mcr = value & 0x1f;
        update_modem(serial);
        break;
    case REG_SCRATCH:
        state->scratch = value;
        break;
    default: /* the status registers are for reading */
        break;
    }
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    struct serial *serial = opaque;
    uint8_t value = read_register(serial, (int)offset);

    update(serial);
    tell_room(serial);
    return value;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct serial *serial = opaque;

    write_register(serial, (int)offset, (uint8_t)value);
    update(serial);
    tell_room(serial);
}

static const struct bus_ops serial_ops = {serial_read, serial_write, 1, 1};

void serial_reset(struct serial *serial)
{
    bool starved = serial->state.starved;

    timer_cancel(serial->timers, &serial->timer);
    serial->state = (struct serial_state){.lsr = LSR_EMPTY, .msr = MSR_PRESENT, .divisor = 12, .starved = starved};
    update(serial);
    tell_room(serial);
}

struct serial *serial_create(struct bus *bus, struct timer_queue *timers, uint16_t port, struct irq_line irq,
                             struct chardev chardev)
{
    struct serial *serial = calloc(1, sizeof *serial);

    if (!serial)
        return NULL;
    serial->timers = timers;
    serial->irq = irq;
    serial->chardev = chardev;
    timer_init(&serial->timer, expire, serial);
    serial_reset(serial);
    if (bus_add_io(bus, port, 8, &serial_ops, serial) < 0) {
        free(serial);
        return NULL;
    }
    return serial;
}

void serial_destroy(struct serial *serial)
{
    if (serial)
        timer_cancel(serial->timers, &serial->timer);
    free(serial);
}

void serial_save(const struct serial *serial, struct serial_state *state)
{
    *state = serial->state;
}

void serial_load(struct serial *serial, const struct serial_state *state)
{
    serial->state = *state;
    serial->state.fifo_head %= SERIAL_FIFO_SIZE;
    if (serial->state.fifo_count > SERIAL_FIFO_SIZE)
        serial->state.fifo_count = SERIAL_FIFO_SIZE;
    arm_timeout(serial);
    update(serial);
}
