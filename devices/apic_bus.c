/*
 * apic_bus.c - messages between local APICs, the I/O APIC and the board (SDM vol. 3, 11.6).
 *
 * Interface: apic_bus_create, apic_bus_deliver, apic_bus_set_extint, apic_bus_nmi, and lapic_send_ipi
 * for lapic.c.
 */
#include <stdlib.h>

#include "devices/lapic_internal.h"

#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3u)
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
#define EVERYONE UINT32_MAX
#define MODEL_FLAT 0xfu

static bool matches_logical(const struct lapic *lapic, uint32_t destination)
{
    uint32_t ldr = lapic_ldr(lapic);

    if (lapic_is_x2apic(lapic))
        return ldr >> 16 == destination >> 16 && ldr & destination & 0xffff;
    ldr >>= 24;
    if (lapic->state.dfr >> 28 == MODEL_FLAT)
        return ldr & destination;
    return ldr >> 4 == destination >> 4 && ldr & destination & 0xf; /* cluster model */
}

static bool matches(const struct lapic *lapic, const struct apic_message *message)
{
    if (!lapic_is_on(lapic))
        return false;
    if (message->destination == EVERYONE)
        return true;
    return message->logical ? matches_logical(lapic, message->destination)
                            : lapic->state.id == message->destination;
}

static void signal_cpu(struct lapic *lapic, enum apic_delivery what, uint8_t vector)
{
    const struct lapic_hooks *hooks = &lapic->apics->hooks;

    if (what == APIC_INIT)
        lapic_init(lapic);
    if (hooks->signal)
        hooks->signal(hooks->opaque, lapic->cpu, what, vector);
}

/* Returns whether the APIC takes it. */
static bool deliver_to(struct lapic *lapic, const struct apic_message *message)
{
    switch (message->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST:
        if (!lapic_is_enabled(lapic))
            return false;
        lapic_accept(lapic, message->vector, message->level);
        return true;
    case APIC_SMI:
    case APIC_NMI:
    case APIC_INIT:
    case APIC_STARTUP:
        signal_cpu(lapic, message->delivery, message->vector);
        return true;
    default: /* ExtINT comes by LINT0, from the only 8259 pair */
        return false;
    }
}

static bool deliver_lowest(struct apic_bus *apics, const struct apic_message *message)
{
    struct lapic *best = NULL;

    for (unsigned i = 0; i < apics->cpus; i++) {
        struct lapic *lapic = &apics->lapics[i];

        if (matches(lapic, message) && lapic_is_enabled(lapic) && (!best || lapic_ppr(lapic) < lapic_ppr(best)))
            best = lapic;
    }
    return best && deliver_to(best, message);
}

bool apic_bus_deliver(struct apic_bus *apics, const struct apic_message *message)
{
    bool taken = false;

    if (message->delivery == APIC_LOWEST)
        return deliver_lowest(apics, message);
    for (unsigned i = 0; i < apics->cpus; i++)
        if (matches(&apics->lapics[i], message))
            taken |= deliver_to(&apics->lapics[i], message);
    return taken;
}

static void send_by_shorthand(struct lapic *lapic, const struct apic_message *message, unsigned shorthand)
{
    struct apic_bus *apics = lapic->apics;

    for (unsigned i = 0; i < apics->cpus; i++) {
        struct lapic *to = &apics->lapics[i];

        if (lapic_is_on(to) && (to == lapic ? shorthand != TO_OTHERS : shorthand != TO_SELF))
            deliver_to(to, message);
    }
}

void lapic_send_ipi(struct lapic *lapic)
{
    uint32_t low = (uint32_t)lapic->state.icr, high = (uint32_t)(lapic->state.icr >> 32);
    struct apic_message message = {
        .destination = lapic_is_x2apic(lapic) ? high : high >> 24,
        .logical = low & ICR_LOGICAL,
        .vector = (uint8_t)low,
        .delivery = low >> 8 & 7,
    };

    if (!lapic_is_x2apic(lapic) && message.destination == 0xff)
        message.destination = EVERYONE;
    if (message.delivery == APIC_INIT && low & ICR_LEVEL && !(low & ICR_ASSERT))
        return; /* INIT level de-assert: nothing since the Pentium 4 */
    if (message.delivery <= APIC_LOWEST && message.vector < 16) {
        lapic_raise_error(lapic, ESR_SEND_VECTOR);
        return;
    }
    if (ICR_SHORTHAND(low) == TO_DESTINATION)
        apic_bus_deliver(lapic->apics, &message);
    else
        send_by_shorthand(lapic, &message, ICR_SHORTHAND(low));
}

/* LINT0 in ExtINT mode is a level that lapic_update looks at; in other modes its rise is an event. */
void apic_bus_set_extint(struct apic_bus *apics, bool level)
{
    struct lapic *lapic = &apics->lapics[0];
    bool rise = level && !lapic->state.lint0;

    lapic->state.lint0 = level;
    if (rise && lapic_is_enabled(lapic) && LVT_DELIVERY(lapic->state.lvt[LAPIC_LVT_LINT0]) != APIC_EXTINT)
        lapic_trigger(lapic, LAPIC_LVT_LINT0);
    lapic_update(lapic);
}

void apic_bus_nmi(struct apic_bus *apics)
{
    for (unsigned i = 0; i < apics->cpus; i++) {
        struct lapic *lapic = &apics->lapics[i];

        if (lapic_is_on(lapic))
            lapic_trigger(lapic, LAPIC_LVT_LINT1);
        else
            signal_cpu(lapic, APIC_NMI, 0);
    }
}

void apic_bus_connect_ioapic(struct apic_bus *apics, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    apics->eoi = eoi;
    apics->eoi_opaque = opaque;
}

void apic_bus_set_current(struct apic_bus *apics, unsigned cpu)
{
    apics->current = cpu < apics->cpus ? cpu : 0;
}

struct lapic *apic_bus_get(struct apic_bus *apics, unsigned cpu)
{
    return cpu < apics->cpus ? &apics->lapics[cpu] : NULL;
}

void apic_bus_reset(struct apic_bus *apics)
{
    for (unsigned i = 0; i < apics->cpus; i++)
        lapic_reset(&apics->lapics[i]);
}

struct apic_bus *apic_bus_create(struct bus *bus, struct timer_queue *timers, unsigned cpus,
                                 const struct lapic_hooks *hooks)
{
    struct apic_bus *apics;

    if (cpus == 0 || cpus > LAPIC_MAX_CPUS)
        return NULL;
    apics = calloc(1, sizeof *apics + cpus * sizeof apics->lapics[0]);
    if (!apics)
        return NULL;
    apics->hooks = *hooks;
    apics->timers = timers;
    apics->cpus = cpus;
    for (unsigned i = 0; i < cpus; i++) {
        apics->lapics[i].apics = apics;
        apics->lapics[i].cpu = i;
        timer_init(&apics->lapics[i].timer, lapic_timer_expire, &apics->lapics[i]);
    }
    apic_bus_reset(apics);
    if (lapic_add_mmio(apics, bus) < 0) {
        free(apics);
        return NULL;
    }
    return apics;
}

void apic_bus_destroy(struct apic_bus *apics)
{
    for (unsigned i = 0; apics && i < apics->cpus; i++)
        timer_cancel(apics->timers, &apics->lapics[i].timer);
    free(apics);
}
