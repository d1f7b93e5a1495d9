/*
 * lapic_internal.h - what lapic.c (registers, priorities), lapic_timer.c and apic_bus.c share.
 */
#ifndef NOVT_DEVICES_LAPIC_INTERNAL_H
#define NOVT_DEVICES_LAPIC_INTERNAL_H

#include "devices/lapic.h"

#define APIC_BASE_BSP (1u << 8)
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_RESERVED (~0xfffffffffffffull | 0x2ffull)
#define SVR_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_DELIVERY(lvt) ((enum apic_delivery)((lvt) >> 8 & 7u))
#define LVT_TIMER_MODE(lvt) ((lvt) >> 17 & 3u)
#define ESR_SEND_VECTOR (1u << 5)
#define ESR_RECEIVE_VECTOR (1u << 6)
#define ESR_REGISTER (1u << 7)

enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

struct lapic {
    struct lapic_state state;
    struct apic_bus *apics;
    unsigned cpu;
    struct timer timer;
    bool level; /* what hooks.interrupt was told last */
};

struct apic_bus {
    struct lapic_hooks hooks;
    struct timer_queue *timers;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    unsigned cpus, current;
    struct lapic lapics[];
};

static inline bool lapic_is_x2apic(const struct lapic *lapic)
{
    return lapic->state.base & APIC_BASE_X2APIC;
}

static inline bool lapic_is_on(const struct lapic *lapic)
{
    return lapic->state.base & APIC_BASE_ENABLE;
}

/* On, and software-enabled: takes fixed interrupts. */
static inline bool lapic_is_enabled(const struct lapic *lapic)
{
    return lapic_is_on(lapic) && lapic->state.svr & SVR_ENABLE;
}

/* Sets up the MMIO page; called by apic_bus_create. */
int lapic_add_mmio(struct apic_bus *apics, struct bus *bus);
/* Tells the vCPU of its interrupt request's level when that changed. */
void lapic_update(struct lapic *lapic);
/* Takes a fixed interrupt into the IRR. */
void lapic_accept(struct lapic *lapic, uint8_t vector, bool level);
void lapic_raise_error(struct lapic *lapic, uint32_t bits);
/* Something happened at a local source: what its LVT entry says is done. */
void lapic_trigger(struct lapic *lapic, int entry);
uint32_t lapic_ldr(const struct lapic *lapic);
uint8_t lapic_ppr(const struct lapic *lapic);

/* The LVT entry, the divider or the initial count was written, or state loaded. */
void lapic_timer_start(struct lapic *lapic, uint32_t initial_count);
void lapic_timer_set_divide(struct lapic *lapic, uint32_t divide);
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt);
void lapic_timer_set_deadline(struct lapic *lapic, uint64_t tsc);
void lapic_timer_rearm(struct lapic *lapic);
uint32_t lapic_timer_count(const struct lapic *lapic);
void lapic_timer_expire(void *lapic, uint64_t now);

/* The interrupt command register was written. */
void lapic_send_ipi(struct lapic *lapic);

#endif
