/*
 * rtc.h - MC146818 clock and CMOS memory, ports 0x70 and 0x71, interrupt on ISA 8.
 */
#ifndef NOVT_DEVICES_RTC_H
#define NOVT_DEVICES_RTC_H

#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/timer.h"

struct rtc_state {
    uint8_t cmos[128]; /* registers 0-9 and 0x32 are only current while the clock is stopped (B.SET) */
    uint8_t index;
    int64_t offset; /* calendar time in ns since 1970 = timer_now + offset */
    uint64_t seen;  /* ns up to which PF, UF and AF in register C are right */
};

/* What firmware and guests look up in CMOS about the machine. */
struct rtc_config {
    /* Calendar time at power-on, in seconds since 1970, as the guest shall read it: for -rtc base=utc
       time(NULL), for localtime that plus the zone's offset. */
    int64_t base;
    uint64_t ram_low, ram_high; /* bytes of RAM below 4 GiB (from 0), and from 4 GiB on */
    uint8_t boot_order;         /* 0x3d: two nibbles, first device low: 1 floppy, 2 disk, 3 CD, 4 network */
    uint8_t floppies;
};

struct rtc;

struct rtc *rtc_create(struct bus *bus, struct timer_queue *timers, struct irq_line irq8,
                       const struct rtc_config *config);
void rtc_destroy(struct rtc *rtc);
/* Reset leaves time and memory alone (there is a battery), and clears what RESET# clears. */
void rtc_reset(struct rtc *rtc);
uint8_t rtc_cmos_read(const struct rtc *rtc, uint8_t index);
void rtc_cmos_write(struct rtc *rtc, uint8_t index, uint8_t value);

void rtc_save(const struct rtc *rtc, struct rtc_state *state);
void rtc_load(struct rtc *rtc, const struct rtc_state *state);

#endif
