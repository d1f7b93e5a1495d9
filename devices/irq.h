/*
 * irq.h - interrupt lines: a device sets a level, somebody listens.
 */
#ifndef NOVT_DEVICES_IRQ_H
#define NOVT_DEVICES_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct irq_line {
    void (*set)(void *opaque, int number, bool level); /* NULL: connected to nothing */
    void *opaque;
    int number;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->opaque, line->number, level);
}

/* The sixteen ISA lines: each goes to the 8259 pair and to the I/O APIC, ISA 0 there to input 2. Devices
   may share one: it is up while any of them asserts it. */
struct pic;
struct ioapic;
struct isa_irqs {
    struct pic *pic;
    struct ioapic *ioapic;
    uint8_t users[16];    /* devices on each line, 8 at most */
    uint8_t asserted[16]; /* one bit a device */
};

/* A new device's end of a line. */
struct irq_line isa_irq_line(struct isa_irqs *isa, int irq);

#endif
