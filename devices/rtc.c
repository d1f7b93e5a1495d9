/*
 * rtc.c - MC146818A clock with CMOS memory (Motorola data sheet), century at 0x32 as PC firmware has it.
 *
 * Interface: rtc_create, rtc_cmos_read, rtc_cmos_write. Calendar time is the timer queue's clock plus an
 * offset; nothing ticks unless an interrupt is enabled.
 * Invariants: register C's flags are right up to `seen`; the timer is armed for the next event that would
 * raise the line, and not at all while the line is up (the guest reads C first).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/rtc.h"

enum {
    REG_SECOND,
    REG_SECOND_ALARM,
    REG_MINUTE,
    REG_MINUTE_ALARM,
    REG_HOUR,
    REG_HOUR_ALARM,
    REG_WEEKDAY,
    REG_DAY,
    REG_MONTH,
    REG_YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    REG_CENTURY = 0x32
};

#define A_UIP 0x80u
#define A_DIVIDER_RESET 0x60u /* both bits: the divider is held */
#define A_RATE 0x0fu
#define B_SET 0x80u
#define B_BINARY 0x04u
#define B_24H 0x02u
#define FLAG_PERIODIC 0x40u /* PF and PIE and so on have the same places in B and C */
#define FLAG_ALARM 0x20u
#define FLAG_UPDATE 0x10u
#define FLAGS_ALL 0x70u
#define C_IRQF 0x80u
#define D_VALID 0x80u
#define UIP_NS 244000u /* UIP is up this long before the update */
#define HOUR_PM 0x80u
#define ALARM_ANY 0xc0u
#define DAY_SECONDS 86400
#define SECOND_LIMIT 8000000000ll /* years 1716 to 2223: times in ns fit 64 bits */

struct rtc {
    struct rtc_state state;
    struct timer_queue *timers;
    struct timer timer;
    struct irq_line irq;
};

static bool is_stopped(const struct rtc *rtc)
{
    const uint8_t *cmos = rtc->state.cmos;

    return cmos[REG_B] & B_SET || (cmos[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* Calendar time in ns, its second, and its fraction; floor, since -rtc base may lie before 1970. */
static int64_t second_at(const struct rtc *rtc, uint64_t now)
{
    int64_t ns = (int64_t)now + rtc->state.offset, second = ns / (int64_t)NS_PER_SECOND;

    return second - (ns % (int64_t)NS_PER_SECOND < 0);
}

static uint64_t fraction_at(const struct rtc *rtc, uint64_t now)
{
    return (uint64_t)((int64_t)now + rtc->state.offset - second_at(rtc, now) * (int64_t)NS_PER_SECOND);
}

static uint8_t encode(const struct rtc *rtc, int value)
{
    return rtc->state.cmos[REG_B] & B_BINARY ? (uint8_t)value : (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->state.cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
    if (rtc->state.cmos[REG_B] & B_24H)
        return encode(rtc, hour);
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
    if (rtc->state.cmos[REG_B] & B_24H)
        return decode(rtc, value);
    return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Calendar time into the registers. */
static void store_time(struct rtc *rtc, int64_t second)
{
    uint8_t *cmos = rtc->state.cmos;
    time_t when = second;
    struct tm tm;

    if (!gmtime_r(&when, &tm))
        return;
    cmos[REG_SECOND] = encode(rtc, tm.tm_sec);
    cmos[REG_MINUTE] = encode(rtc, tm.tm_min);
    cmos[REG_HOUR] = encode_hour(rtc, tm.tm_hour);
    cmos[REG_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
    cmos[REG_DAY] = encode(rtc, tm.tm_mday);
    cmos[REG_MONTH] = encode(rtc, tm.tm_mon + 1);
    cmos[REG_YEAR] = encode(rtc, (tm.tm_year % 100 + 100) % 100);
    cmos[REG_CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100 % 100);
}

static int64_t clamp_second(int64_t second)
{
    return second > SECOND_LIMIT ? SECOND_LIMIT : second < -SECOND_LIMIT ? -SECOND_LIMIT : second;
}

/* The registers as calendar time. Senseless contents give some time, no harm. */
static int64_t load_time(const struct rtc *rtc)
{
    const uint8_t *cmos = rtc->state.cmos;
    struct tm tm = {
        .tm_sec = decode(rtc, cmos[REG_SECOND]),
        .tm_min = decode(rtc, cmos[REG_MINUTE]),
        .tm_hour = decode_hour(rtc, cmos[REG_HOUR]),
        .tm_mday = decode(rtc, cmos[REG_DAY]),
        .tm_mon = decode(rtc, cmos[REG_MONTH]) - 1,
        .tm_year = decode(rtc, cmos[REG_YEAR]) + decode(rtc, cmos[REG_CENTURY]) * 100 - 1900,
    };

    return clamp_second(timegm(&tm));
}

static bool alarm_matches(uint8_t alarm, int alarm_value, int value)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || alarm_value == value;
}

/* First second after this one at which the alarm rings, INT64_MAX when there is none in a day. */
static int64_t next_alarm(const struct rtc *rtc, int64_t second)
{
    const uint8_t *cmos = rtc->state.cmos;
    uint8_t h = cmos[REG_HOUR_ALARM], m = cmos[REG_MINUTE_ALARM], s = cmos[REG_SECOND_ALARM];
    int64_t at = second + 1;

    while (at <= second + DAY_SECONDS) {
        int of_day = (int)((at % DAY_SECONDS + DAY_SECONDS) % DAY_SECONDS);

        if (!alarm_matches(h, decode_hour(rtc, h), of_day / 3600))
            at += 3600 - of_day % 3600;
        else if (!alarm_matches(m, decode(rtc, m), of_day / 60 % 60))
            at += 60 - of_day % 60;
        else if (!alarm_matches(s, decode(rtc, s), of_day % 60))
            at++;
        else
            return at;
    }
    return INT64_MAX;
}

/* log2 of the periodic interrupt's period in 1/32768 s, -1 when there is none. */
static int period_shift(const struct rtc *rtc)
{
    int rate = rtc->state.cmos[REG_A] & A_RATE;

    if (rate == 0 || (rtc->state.cmos[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET)
        return -1;
    return rate < 3 ? rate + 6 : rate - 1; /* rates 1 and 2 stand for 8 and 9 with the 32768 Hz crystal */
}

static uint64_t period_index(const struct rtc *rtc, uint64_t now)
{
    return timer_scale(now, 32768, NS_PER_SECOND) >> period_shift(rtc);
}

static uint64_t next_period(const struct rtc *rtc, uint64_t now)
{
    return timer_scale((period_index(rtc, now) + 1) << period_shift(rtc), NS_PER_SECOND, 32768) + 1;
}

/* Register C's flags for what has happened since `seen`. */
static void catch_up(struct rtc *rtc, uint64_t now)
{
    struct rtc_state *state = &rtc->state;
    uint8_t flags = 0;

    if (now <= state->seen)
        return;
    if (period_shift(rtc) >= 0 && period_index(rtc, now) != period_index(rtc, state->seen))
        flags |= FLAG_PERIODIC;
    if (!is_stopped(rtc) && second_at(rtc, now) != second_at(rtc, state->seen)) {
        flags |= FLAG_UPDATE;
        if (next_alarm(rtc, second_at(rtc, state->seen)) <= second_at(rtc, now))
            flags |= FLAG_ALARM;
    }
    state->cmos[REG_C] |= flags;
    state->seen = now;
}

static uint64_t second_to_ns(const struct rtc *rtc, int64_t second)
{
    int64_t ns = second * (int64_t)NS_PER_SECOND - rtc->state.offset;

    return ns < 0 ? 0 : (uint64_t)ns;
}

static uint64_t next_event(const struct rtc *rtc, uint64_t now)
{
    uint8_t enabled = rtc->state.cmos[REG_B] & FLAGS_ALL;
    uint64_t next = TIMER_NEVER, at;

    if (enabled & FLAG_PERIODIC && period_shift(rtc) >= 0)
        next = next_period(rtc, now);
    if (is_stopped(rtc))
        return next;
    if (enabled & FLAG_UPDATE) {
        at = second_to_ns(rtc, second_at(rtc, now) + 1);
        next = at < next ? at : next;
    }
    if (enabled & FLAG_ALARM && next_alarm(rtc, second_at(rtc, now)) != INT64_MAX) {
        at = second_to_ns(rtc, next_alarm(rtc, second_at(rtc, now)));
        next = at < next ? at : next;
    }
    return next;
}

static void update(struct rtc *rtc, uint64_t now)
{
    uint8_t *cmos = rtc->state.cmos;
    bool level = cmos[REG_C] & cmos[REG_B] & FLAGS_ALL;

    cmos[REG_C] = (cmos[REG_C] & FLAGS_ALL) | (level ? C_IRQF : 0);
    irq_set(&rtc->irq, level);
    timer_arm(rtc->timers, &rtc->timer, level ? TIMER_NEVER : next_event(rtc, now));
}

static void expire(void *opaque, uint64_t now)
{
    catch_up(opaque, now);
    update(opaque, now);
}

/* A or B changes: stopping freezes the time in the registers, starting goes on from there. */
static void write_control(struct rtc *rtc, uint8_t reg, uint8_t value, uint64_t now)
{
    uint8_t *cmos = rtc->state.cmos, old = cmos[reg];
    bool was_stopped = is_stopped(rtc);
    uint64_t fraction = fraction_at(rtc, now);

    if (!was_stopped)
        store_time(rtc, second_at(rtc, now));
    cmos[reg] = reg == REG_A ? value & ~A_UIP : value;
    if (reg == REG_A && (old & A_DIVIDER_RESET) == A_DIVIDER_RESET)
        fraction = NS_PER_SECOND / 2; /* the first update comes half a second after the divider is let go */
    if (was_stopped && !is_stopped(rtc)) {
        rtc->state.offset = load_time(rtc) * (int64_t)NS_PER_SECOND + (int64_t)fraction - (int64_t)now;
        rtc->state.seen = now;
    }
    if (!was_stopped && !is_stopped(rtc) && reg == REG_B)
        store_time(rtc, second_at(rtc, now)); /* the format may have changed */
}

static bool is_time(uint8_t reg)
{
    return reg == REG_SECOND || reg == REG_MINUTE ||
           (reg >= REG_HOUR && reg != REG_HOUR_ALARM && reg <= REG_YEAR) || reg == REG_CENTURY;
}

static void write_time(struct rtc *rtc, uint8_t reg, uint8_t value, uint64_t now)
{
    uint64_t fraction = fraction_at(rtc, now);

    if (!is_stopped(rtc))
        store_time(rtc, second_at(rtc, now));
    rtc->state.cmos[reg] = value;
    if (!is_stopped(rtc))
        rtc->state.offset = load_time(rtc) * (int64_t)NS_PER_SECOND + (int64_t)fraction - (int64_t)now;
}

static void write_register(struct rtc *rtc, uint8_t reg, uint8_t value)
{
    uint64_t now = timer_now(rtc->timers);

    catch_up(rtc, now);
    if (reg == REG_A || reg == REG_B)
        write_control(rtc, reg, value, now);
    else if (is_time(reg))
        write_time(rtc, reg, value, now);
    else if (reg != REG_C && reg != REG_D)
        rtc->state.cmos[reg] = value;
    update(rtc, now);
}

static uint8_t read_register(struct rtc *rtc, uint8_t reg)
{
    uint8_t *cmos = rtc->state.cmos, value;
    uint64_t now = timer_now(rtc->timers);

    if (reg == REG_C) {
        catch_up(rtc, now);
        update(rtc, now);
        value = cmos[REG_C];
        cmos[REG_C] = 0;
        update(rtc, now);
        return value;
    }
    if (reg == REG_A && !is_stopped(rtc) && fraction_at(rtc, now) >= NS_PER_SECOND - UIP_NS)
        return cmos[REG_A] | A_UIP;
    if (is_time(reg) && !is_stopped(rtc))
        store_time(rtc, second_at(rtc, now));
    return cmos[reg];
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    struct rtc *rtc = opaque;

    return offset == 0 ? 0xff : read_register(rtc, rtc->state.index);
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct rtc *rtc = opaque;

    if (offset == 0)
        rtc->state.index = value & 0x7f; /* bit 7 masks NMI; nothing here raises any */
    else
        write_register(rtc, rtc->state.index, (uint8_t)value);
}

static const struct bus_ops rtc_ops = {rtc_read, rtc_write, 1, 1};

static void store_word(uint8_t *cmos, int low, int high, uint64_t value)
{
    if (value > 0xffff)
        value = 0xffff;
    cmos[low] = (uint8_t)value;
    cmos[high] = (uint8_t)(value >> 8);
}

/* What PC firmware keeps about memory and boot order (as SeaBIOS reads it). */
static void store_config(struct rtc *rtc, const struct rtc_config *config)
{
    const uint64_t mib = 1 << 20;
    uint8_t *cmos = rtc->state.cmos;
    uint64_t above_1m = config->ram_low > mib ? config->ram_low - mib : 0;
    uint64_t above_16m = config->ram_low > 16 * mib ? config->ram_low - 16 * mib : 0;

    cmos[0x14] = 0x06; /* equipment: FPU, PS/2 */
    store_word(cmos, 0x15, 0x16, 640);
    store_word(cmos, 0x17, 0x18, above_1m >> 10);
    store_word(cmos, 0x30, 0x31, above_1m >> 10);
    store_word(cmos, 0x34, 0x35, above_16m >> 16);
    store_word(cmos, 0x5b, 0x5c, (config->ram_high >> 16) & 0xffff);
    cmos[0x5d] = (uint8_t)(config->ram_high >> 32);
    cmos[0x10] = config->floppies == 0 ? 0 : config->floppies == 1 ? 0x40 : 0x44;
    cmos[0x3d] = config->boot_order;
    cmos[0x38] = 0x01; /* third boot device none; do not check floppy signatures */
}

void rtc_reset(struct rtc *rtc)
{
    rtc->state.cmos[REG_B] &= ~(FLAGS_ALL | 0x08u);
    rtc->state.cmos[REG_C] = 0;
    update(rtc, timer_now(rtc->timers));
}

struct rtc *rtc_create(struct bus *bus, struct timer_queue *timers, struct irq_line irq8,
                       const struct rtc_config *config)
{
    struct rtc *rtc = calloc(1, sizeof *rtc);
    uint64_t now = timer_now(timers);

    if (!rtc)
        return NULL;
    rtc->timers = timers;
    rtc->irq = irq8;
    timer_init(&rtc->timer, expire, rtc);
    rtc->state.cmos[REG_A] = 0x26; /* 32768 Hz, 1024 Hz rate */
    rtc->state.cmos[REG_B] = B_24H;
    rtc->state.cmos[REG_D] = D_VALID;
    rtc->state.offset = clamp_second(config->base) * (int64_t)NS_PER_SECOND - (int64_t)now;
    rtc->state.seen = now;
    store_config(rtc, config);
    store_time(rtc, clamp_second(config->base));
    if (bus_add_io(bus, 0x70, 2, &rtc_ops, rtc) < 0) {
        free(rtc);
        return NULL;
    }
    return rtc;
}

void rtc_destroy(struct rtc *rtc)
{
    if (rtc)
        timer_cancel(rtc->timers, &rtc->timer);
    free(rtc);
}

uint8_t rtc_cmos_read(const struct rtc *rtc, uint8_t index)
{
    return rtc->state.cmos[index & 0x7f];
}

void rtc_cmos_write(struct rtc *rtc, uint8_t index, uint8_t value)
{
    rtc->state.cmos[index & 0x7f] = value;
}

void rtc_save(const struct rtc *rtc, struct rtc_state *state)
{
    *state = rtc->state;
}

void rtc_load(struct rtc *rtc, const struct rtc_state *state)
{
    rtc->state = *state;
    rtc->state.index &= 0x7f;
    update(rtc, timer_now(rtc->timers));
}
