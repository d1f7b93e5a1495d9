/*
 * pit.h - the 8254 interval timer, ports 0x40-0x43, and system control port B (0x61).
 */
#ifndef NOVT_DEVICES_PIT_H
#define NOVT_DEVICES_PIT_H

#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/timer.h"

#define PIT_HZ 1193182u

struct pit_channel_state {
    uint64_t start;  /* ns when counting began (or the gate triggered) */
    uint64_t paused; /* ticks done when the gate went low; only while it is low */
    uint32_t reload; /* 1 to 65536 (10000 in BCD) */
    uint16_t latch;
    uint8_t status_latch;
    uint8_t mode;                      /* 0 to 5 */
    uint8_t access;                    /* 1: low byte, 2: high byte, 3: low then high */
    uint8_t low_byte;                  /* written first */
    bool bcd, gate, loaded, triggered; /* loaded: a count was written since the mode was set */
    bool null_count, count_latched, status_latched, read_high, write_high;
};

struct pit_state {
    struct pit_channel_state channel[3];
    bool speaker_data;
};

struct pit;

struct pit *pit_create(struct bus *bus, struct timer_queue *timers, struct irq_line irq0);
void pit_destroy(struct pit *pit);
void pit_reset(struct pit *pit);

void pit_save(const struct pit *pit, struct pit_state *state);
void pit_load(struct pit *pit, const struct pit_state *state);

#endif
