/*
 * lapic.h - local APICs, one a vCPU, in xAPIC and x2APIC mode, and the bus between them and the I/O APIC
 * (SDM vol. 3, chapter 11).
 */
#ifndef NOVT_DEVICES_LAPIC_H
#define NOVT_DEVICES_LAPIC_H

#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/timer.h"

#define LAPIC_BASE 0xfee00000ull
#define LAPIC_HZ 1000000000ull /* input clock of the timer, before the divider */
#define LAPIC_MAX_CPUS 255
#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8ffu

enum apic_delivery { APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_NMI = 4, APIC_INIT, APIC_STARTUP, APIC_EXTINT };
enum {
    LAPIC_LVT_TIMER,
    LAPIC_LVT_THERMAL,
    LAPIC_LVT_PMC,
    LAPIC_LVT_LINT0,
    LAPIC_LVT_LINT1,
    LAPIC_LVT_ERROR,
    LAPIC_LVT_COUNT
};

struct lapic_state {
    uint64_t base; /* MSR_APIC_BASE */
    uint32_t id;   /* x2APIC ID; xAPIC has it in bits 31-24 of its register */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
    uint32_t irr[8], isr[8], tmr[8];
    uint64_t icr;
    uint32_t lvt[LAPIC_LVT_COUNT];
    uint32_t divide, initial_count;
    uint64_t timer_start;  /* ns of the last load of the counter */
    uint64_t tsc_deadline; /* 0: not armed */
    bool lint0;            /* level of the 8259 pair's output (on the boot processor) */
};

/* A message on the APIC bus. */
struct apic_message {
    uint32_t destination; /* APIC ID or logical mask; 0xffffffff (xAPIC: 0xff) is all */
    bool logical, level;  /* level: trigger mode */
    uint8_t vector;
    enum apic_delivery delivery;
};

/* What the vCPUs do for their APICs. All are called under the machine's lock, on any thread. */
struct lapic_hooks {
    /* Level of the interrupt request to vCPU `cpu`. */
    void (*interrupt)(void *opaque, unsigned cpu, bool level);
    /* Once a signal: APIC_NMI, APIC_SMI, APIC_INIT, APIC_STARTUP with its vector. May be NULL. */
    void (*signal)(void *opaque, unsigned cpu, enum apic_delivery what, uint8_t vector);
    /* When (CLOCK_MONOTONIC ns) the guest's TSC of vCPU `cpu` reaches tsc; in the past or now if it has. */
    uint64_t (*tsc_to_ns)(void *opaque, unsigned cpu, uint64_t tsc);
    /* INTA to the 8259 pair: the vector. Set by the board. */
    int (*extint_acknowledge)(void *opaque);
    void *opaque;
};

struct lapic;
struct apic_bus;

/* The I/O APIC is told of EOIs of level-triggered interrupts. NULL when out of memory. */
struct apic_bus *apic_bus_create(struct bus *bus, struct timer_queue *timers, unsigned cpus,
                                 const struct lapic_hooks *hooks);
void apic_bus_destroy(struct apic_bus *apics);
void apic_bus_reset(struct apic_bus *apics);
void apic_bus_connect_ioapic(struct apic_bus *apics, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
/* Which vCPU's MMIO accesses follow: set by the machine, under its lock, before bus_mmio_*. */
void apic_bus_set_current(struct apic_bus *apics, unsigned cpu);
struct lapic *apic_bus_get(struct apic_bus *apics, unsigned cpu);
/* Returns whether any APIC took it. */
bool apic_bus_deliver(struct apic_bus *apics, const struct apic_message *message);
/* Output of the 8259 pair, into LINT0 of the boot processor. */
void apic_bus_set_extint(struct apic_bus *apics, bool level);
/* LINT1 of all processors: an NMI from the board. */
void apic_bus_nmi(struct apic_bus *apics);

/* Highest-priority interrupt that the vCPU may take now, acknowledged; -1 when there is none. */
int lapic_acknowledge(struct lapic *lapic);
bool lapic_is_pending(const struct lapic *lapic);
void lapic_reset(struct lapic *lapic);
/* The INIT state: like reset, but the ID and APIC_BASE stay. */
void lapic_init(struct lapic *lapic);
/* TPR bits 7-4, as CR8. */
uint64_t lapic_cr8_read(const struct lapic *lapic);
void lapic_cr8_write(struct lapic *lapic, uint64_t value);
/* MSR_APIC_BASE, MSR_TSC_DEADLINE, x2APIC MSRs. False: not one of these, or it gives #GP. */
bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value);
bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value);

void lapic_save(const struct lapic *lapic, struct lapic_state *state);
void lapic_load(struct lapic *lapic, const struct lapic_state *state);

#endif
