/*
 * serial.h - 16550A UART.
 */
#ifndef NOVT_DEVICES_SERIAL_H
#define NOVT_DEVICES_SERIAL_H

#include "devices/bus.h"
#include "devices/chardev.h"
#include "devices/irq.h"
#include "devices/timer.h"

#define SERIAL_FIFO_SIZE 16

struct serial_state {
    uint8_t ier, iir_thre, fcr, lcr, mcr, lsr, msr, scratch; /* iir_thre: THR-empty interrupt pending */
    uint16_t divisor;
    uint8_t fifo[SERIAL_FIFO_SIZE];
    uint8_t fifo_head, fifo_count;
    bool timeout; /* character timeout indicated */
    bool starved; /* the host side was told there is no room */
};

struct serial;

/* irq: ISA 4 for 0x3f8 and 0x3e8, 3 for 0x2f8 and 0x2e8. */
struct serial *serial_create(struct bus *bus, struct timer_queue *timers, uint16_t port, struct irq_line irq,
                             struct chardev chardev);
void serial_destroy(struct serial *serial);
void serial_reset(struct serial *serial);

/* Bytes that serial_receive takes now without overrun. After 0, chardev.can_receive is called as soon as
   there is room. */
unsigned serial_can_receive(struct serial *serial);
void serial_receive(struct serial *serial, uint8_t byte);
void serial_receive_break(struct serial *serial);

void serial_save(const struct serial *serial, struct serial_state *state);
void serial_load(struct serial *serial, const struct serial_state *state);

#endif
