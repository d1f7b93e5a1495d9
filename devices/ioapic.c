/*
 * ioapic.c - I/O APIC (Intel 82093AA data sheet, order number 290566).
 *
 * Interface: ioapic_create, ioapic_set_irq. Polarity bits are kept but mean nothing: devices assert lines.
 * Invariants: a level-triggered entry with remote IRR set is waiting for its EOI and sends nothing; an
 * edge seen while its entry is masked is sent when it is unmasked, so no guest loses its only edge.
 */
#include <stdlib.h>

#include "devices/ioapic.h"

#define VERSION 0x11u
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_PENDING (1ull << 12)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_READ_ONLY (ENTRY_REMOTE_IRR | ENTRY_PENDING)
#define ENTRY_WRITABLE 0xff0000000001afffull

struct ioapic {
    struct ioapic_state state;
    struct apic_bus *apics;
};

static bool send(struct ioapic *ioapic, uint64_t entry)
{
    struct apic_message message = {
        .destination = (uint32_t)(entry >> 56),
        .logical = entry >> 11 & 1,
        .level = entry & ENTRY_LEVEL,
        .vector = (uint8_t)entry,
        .delivery = entry >> 8 & 7,
    };

    if (message.destination == 0xff)
        message.destination = UINT32_MAX;
    return apic_bus_deliver(ioapic->apics, &message);
}

static void service(struct ioapic *ioapic, int pin)
{
    uint64_t *entry = &ioapic->state.redirection[pin];
    uint32_t bit = 1u << pin;

    if (*entry & ENTRY_MASKED)
        return;
    if (!(*entry & ENTRY_LEVEL)) {
        if (ioapic->state.irr & bit) {
            ioapic->state.irr &= ~bit;
            send(ioapic, *entry);
        }
    } else if (ioapic->state.lines & bit && !(*entry & ENTRY_REMOTE_IRR)) {
        /* Set first: the message may be answered with an EOI before it returns. */
        *entry |= ENTRY_REMOTE_IRR;
        if (!send(ioapic, *entry))
            *entry &= ~ENTRY_REMOTE_IRR;
    }
}

void ioapic_set_irq(struct ioapic *ioapic, int pin, bool level)
{
    struct ioapic_state *state = &ioapic->state;
    uint32_t bit;

    if (pin < 0 || pin >= IOAPIC_PINS)
        return;
    bit = 1u << pin;
    if (level && !(state->lines & bit) && !(state->redirection[pin] & ENTRY_LEVEL))
        state->irr |= bit;
    state->lines = level ? state->lines | bit : state->lines & ~bit;
    if (level)
        service(ioapic, pin);
}

static void end_of_interrupt(void *opaque, uint8_t vector)
{
    struct ioapic *ioapic = opaque;

    for (int pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->state.redirection[pin];

        if ((uint8_t)*entry != vector || !(*entry & ENTRY_REMOTE_IRR))
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        service(ioapic, pin);
    }
}

static void write_entry(struct ioapic *ioapic, int pin, bool high, uint32_t value)
{
    uint64_t *entry = &ioapic->state.redirection[pin], new;

    new = high ? (*entry & UINT32_MAX) | (uint64_t)value << 32 : (*entry & ~(uint64_t)UINT32_MAX) | value;
    *entry = (new &ENTRY_WRITABLE) | (*entry & ENTRY_READ_ONLY);
    if (!(*entry & ENTRY_LEVEL)) /* guests end a level interrupt by going through edge mode */
        *entry &= ~ENTRY_REMOTE_IRR;
    else
        ioapic->state.irr &= ~(1u << pin);
    service(ioapic, pin);
}

static uint32_t read_register(const struct ioapic *ioapic)
{
    const struct ioapic_state *state = &ioapic->state;
    unsigned pin = (state->select - 0x10u) / 2;

    if (state->select == 0 || state->select == 2) /* identification, and arbitration */
        return (uint32_t)state->id << 24;
    if (state->select == 1)
        return (IOAPIC_PINS - 1) << 16 | VERSION;
    if (state->select < 0x10 || pin >= IOAPIC_PINS)
        return 0;
    return (uint32_t)(state->redirection[pin] >> (state->select & 1 ? 32 : 0));
}

static void write_register(struct ioapic *ioapic, uint32_t value)
{
    struct ioapic_state *state = &ioapic->state;
    unsigned pin = (state->select - 0x10u) / 2;

    if (state->select == 0)
        state->id = value >> 24 & 15;
    else if (state->select >= 0x10 && pin < IOAPIC_PINS)
        write_entry(ioapic, (int)pin, state->select & 1, value);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct ioapic *ioapic = opaque;

    return offset == 0 ? ioapic->state.select : offset == 0x10 ? read_register(ioapic) : 0;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioapic *ioapic = opaque;

    if (offset == 0)
        ioapic->state.select = (uint8_t)value;
    else if (offset == 0x10)
        write_register(ioapic, (uint32_t)value);
}

static const struct bus_ops ioapic_ops = {ioapic_read, ioapic_write, 4, 4};

void ioapic_reset(struct ioapic *ioapic)
{
    struct ioapic_state *state = &ioapic->state;

    *state = (struct ioapic_state){.lines = state->lines, .id = state->id};
    for (int pin = 0; pin < IOAPIC_PINS; pin++)
        state->redirection[pin] = ENTRY_MASKED;
}

struct ioapic *ioapic_create(struct bus *bus, struct apic_bus *apics, uint8_t id)
{
    struct ioapic *ioapic = calloc(1, sizeof *ioapic);

    if (!ioapic)
        return NULL;
    ioapic->apics = apics;
    ioapic->state.id = id & 15;
    ioapic_reset(ioapic);
    if (bus_add_mmio(bus, IOAPIC_BASE, 0x1000, &ioapic_ops, ioapic) < 0) {
        free(ioapic);
        return NULL;
    }
    apic_bus_connect_ioapic(apics, end_of_interrupt, ioapic);
    return ioapic;
}

void ioapic_destroy(struct ioapic *ioapic)
{
    if (ioapic)
        apic_bus_connect_ioapic(ioapic->apics, NULL, NULL);
    free(ioapic);
}

void ioapic_save(const struct ioapic *ioapic, struct ioapic_state *state)
{
    *state = ioapic->state;
}

void ioapic_load(struct ioapic *ioapic, const struct ioapic_state *state)
{
    ioapic->state = *state;
}
