/*
 * irq.c - the ISA interrupt lines, each heard by two controllers.
 *
 * Interface: isa_irq_line. The guest masks a line in the controller it does not use, so both always
 * see every change.
 */
#include "devices/ioapic.h"
#include "devices/irq.h"
#include "devices/pic.h"

static void isa_set(void *opaque, int number, bool level)
{
    struct isa_irqs *isa = opaque;
    int irq = number & 15, bit = 1 << (number >> 4);
    uint8_t *asserted = &isa->asserted[irq];

    *asserted = level ? *asserted | bit : *asserted & ~bit;
    pic_set_irq(isa->pic, irq, *asserted);
    ioapic_set_irq(isa->ioapic, irq == 0 ? 2 : irq, *asserted); /* the MADT's override says so */
}

struct irq_line isa_irq_line(struct isa_irqs *isa, int irq)
{
    int user = isa->users[irq & 15]++ & 7;

    return (struct irq_line){isa_set, isa, (irq & 15) | user << 4};
}
