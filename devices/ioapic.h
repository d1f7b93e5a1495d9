/*
 * ioapic.h - I/O APIC (82093AA with 24 inputs), MMIO at 0xfec00000.
 */
#ifndef NOVT_DEVICES_IOAPIC_H
#define NOVT_DEVICES_IOAPIC_H

#include "devices/bus.h"
#include "devices/lapic.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24

struct ioapic_state {
    uint64_t redirection[IOAPIC_PINS];
    uint32_t lines, irr; /* one bit an input: level now; edge seen and not yet delivered */
    uint8_t id, select;
};

struct ioapic;

/* Connects itself to apics. NULL when out of memory. */
struct ioapic *ioapic_create(struct bus *bus, struct apic_bus *apics, uint8_t id);
void ioapic_destroy(struct ioapic *ioapic);
void ioapic_reset(struct ioapic *ioapic);

void ioapic_set_irq(struct ioapic *ioapic, int pin, bool level);

void ioapic_save(const struct ioapic *ioapic, struct ioapic_state *state);
void ioapic_load(struct ioapic *ioapic, const struct ioapic_state *state);

#endif
