/*
 * pit.c - the 8254 (Intel 8254 data sheet, order number 231164) and system control port B.
 *
 * Interface: pit_create. Time is the timer queue's clock: nothing counts, counts are computed when asked.
 * Invariants: channel 0's line idles high and is pulsed low-high where OUT rises, which is all that an
 * edge-triggered IRQ 0 sees; its timer is armed for the next such moment.
 */
#include <stdlib.h>

#include "devices/pit.h"

struct pit {
    struct pit_state state;
    struct timer_queue *timers;
    struct timer timer; /* of channel 0 */
    struct irq_line irq0;
};

/* Periods that ended while nobody looked are one interrupt: shorter ones than this are not worth more. */
#define MIN_PERIOD_NS 20000u

static uint64_t ticks_at(const struct pit_channel_state *channel, uint64_t now)
{
    if (!channel->gate && channel->mode != 1 && channel->mode != 5)
        return channel->paused;
    return now > channel->start ? timer_scale(now - channel->start, PIT_HZ, NS_PER_SECOND) : 0;
}

static bool is_periodic(const struct pit_channel_state *channel)
{
    return channel->mode == 2 || channel->mode == 3;
}

/* Whether the counter runs at all: it waits for a count, in modes 1 and 5 for a trigger too. */
static bool is_counting(const struct pit_channel_state *channel)
{
    if (channel->mode == 1 || channel->mode == 5)
        return channel->loaded && channel->triggered;
    return channel->loaded;
}

static bool output_at(const struct pit_channel_state *channel, uint64_t now)
{
    uint64_t ticks = ticks_at(channel, now);
    uint32_t reload = channel->reload;

    if (!is_counting(channel))
        return channel->mode != 0;
    switch (channel->mode) {
    case 0:
    case 1:
        return ticks >= reload;
    case 2:
        return !channel->gate || ticks % reload != reload - 1;
    case 3:
        return !channel->gate || ticks % reload < (reload + 1) / 2;
    default:
        return ticks != reload;
    }
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
}

/* The counting element as a read shows it. */
static uint16_t count_at(const struct pit_channel_state *channel, uint64_t now)
{
    uint64_t ticks = is_counting(channel) ? ticks_at(channel, now) : 0;
    uint32_t wrap = channel->bcd ? 10000 : 65536, count;

    if (channel->mode == 2)
        count = channel->reload - ticks % channel->reload;
    else if (channel->mode == 3) /* counts by two, twice a period */
        count = (channel->reload & ~1u) - 2 * ticks % (channel->reload < 2 ? 2 : channel->reload & ~1u);
    else
        count = (channel->reload + wrap - ticks % wrap) % wrap; /* goes on from 0 to the top */
    return channel->bcd ? to_bcd(count) : (uint16_t)count;
}

/* Ticks after the start at which OUT rises next, later than `ticks`; UINT64_MAX when it does not. */
static uint64_t next_rise(const struct pit_channel_state *channel, uint64_t ticks)
{
    uint64_t at;

    if (!is_counting(channel) || !channel->gate)
        return UINT64_MAX;
    if (is_periodic(channel))
        return (ticks / channel->reload + 1) * channel->reload;
    at = channel->reload + (channel->mode >= 4); /* modes 4, 5: a low tick first */
    return at > ticks ? at : UINT64_MAX;
}

static void arm(struct pit *pit, uint64_t now)
{
    const struct pit_channel_state *channel = &pit->state.channel[0];
    uint64_t rise = next_rise(channel, ticks_at(channel, now)), deadline = TIMER_NEVER;

    if (rise != UINT64_MAX) {
        deadline = channel->start + timer_scale(rise, NS_PER_SECOND, PIT_HZ) + 1;
        if (is_periodic(channel) && deadline < now + MIN_PERIOD_NS)
            deadline = now + MIN_PERIOD_NS;
    }
    timer_arm(pit->timers, &pit->timer, deadline);
}

static void expire(void *opaque, uint64_t now)
{
    struct pit *pit = opaque;

    irq_set(&pit->irq0, false);
    irq_set(&pit->irq0, true);
    arm(pit, now);
}

/* A level that stays down for long (mode 0 just programmed, mode 1) is not shown on the line before it
   rises: nobody but an edge-triggered input listens. */
static void start_counting(struct pit *pit, int number)
{
    struct pit_channel_state *channel = &pit->state.channel[number];
    uint64_t now = timer_now(pit->timers);

    channel->start = now;
    channel->paused = 0;
    channel->null_count = false;
    if (number == 0)
        arm(pit, now);
}

static uint32_t from_bcd(uint16_t value)
{
    return (value >> 12) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
}

static void load_count(struct pit *pit, int number, uint16_t value)
{
    struct pit_channel_state *channel = &pit->state.channel[number];
    bool running = is_periodic(channel) && channel->loaded;

    channel->reload = channel->bcd ? from_bcd(value) : value;
    if (channel->reload == 0)
        channel->reload = channel->bcd ? 10000 : 65536;
    if (channel->reload == 1 && is_periodic(channel))
        channel->reload = 2; /* not allowed in these modes; must not divide by nothing either */
    channel->loaded = true;
    /* A running periodic counter would take the count at its period's end; kernels do not care, and wait
       less when it starts at once. Modes 1 and 5 wait for their trigger. */
    if (running || (channel->mode != 1 && channel->mode != 5))
        start_counting(pit, number);
}

static void write_count(struct pit *pit, int number, uint8_t value)
{
    struct pit_channel_state *channel = &pit->state.channel[number];

    channel->null_count = true;
    if (channel->access == 1) {
        load_count(pit, number, value);
    } else if (channel->access == 2) {
        load_count(pit, number, (uint16_t)(value << 8));
    } else if (!channel->write_high) {
        channel->low_byte = value;
        channel->write_high = true;
        if (channel->mode == 0) /* the first byte stops the count */
            channel->loaded = false;
        if (number == 0)
            arm(pit, timer_now(pit->timers));
    } else {
        channel->write_high = false;
        load_count(pit, number, (uint16_t)(value << 8 | channel->low_byte));
    }
}

static void latch_count(struct pit_channel_state *channel, uint64_t now)
{
    if (channel->count_latched)
        return;
    channel->latch = count_at(channel, now);
    channel->count_latched = true;
}

static void latch_status(struct pit_channel_state *channel, uint64_t now)
{
    if (channel->status_latched)
        return;
    channel->status_latch = (uint8_t)(output_at(channel, now) << 7 | channel->null_count << 6 |
                                      channel->access << 4 | channel->mode << 1 | channel->bcd);
    channel->status_latched = true;
}

static void read_back(struct pit *pit, uint8_t value)
{
    uint64_t now = timer_now(pit->timers);

    for (int i = 0; i < 3; i++) {
        if (!(value >> (i + 1) & 1))
            continue;
        if (!(value & 0x20))
            latch_count(&pit->state.channel[i], now);
        if (!(value & 0x10))
            latch_status(&pit->state.channel[i], now);
    }
}

static void write_control(struct pit *pit, uint8_t value)
{
    int number = value >> 6, mode = value >> 1 & 7;
    struct pit_channel_state *channel = &pit->state.channel[number % 3];

    if (number == 3) {
        read_back(pit, value);
        return;
    }
    if ((value >> 4 & 3) == 0) {
        latch_count(channel, timer_now(pit->timers));
        return;
    }
    *channel = (struct pit_channel_state){
        .gate = channel->gate,
        .reload = channel->reload,
        .mode = mode > 5 ? mode - 4 : mode,
        .access = value >> 4 & 3,
        .bcd = value & 1,
        .null_count = true,
    };
    if (number == 0)
        arm(pit, timer_now(pit->timers)); /* which stops it */
}

static uint8_t read_count(struct pit *pit, int number)
{
    struct pit_channel_state *channel = &pit->state.channel[number];
    uint16_t count;
    bool high;

    if (channel->status_latched) {
        channel->status_latched = false;
        return channel->status_latch;
    }
    count = channel->count_latched ? channel->latch : count_at(channel, timer_now(pit->timers));
    high = channel->access == 2 || (channel->access == 3 && channel->read_high);
    if (channel->access == 3)
        channel->read_high = !channel->read_high;
    if (channel->access != 3 || high)
        channel->count_latched = false;
    return (uint8_t)(high ? count >> 8 : count);
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset == 3 ? 0 : read_count(opaque, (int)offset);
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    if (offset == 3)
        write_control(opaque, (uint8_t)value);
    else
        write_count(opaque, (int)offset, (uint8_t)value);
}

/* The gate of channel 2: a rising edge restarts modes 1, 2, 3 and 5; a low level holds modes 0, 2, 3, 4. */
static void set_gate(struct pit *pit, bool gate)
{
    struct pit_channel_state *channel = &pit->state.channel[2];
    uint64_t now = timer_now(pit->timers);

    if (gate == channel->gate)
        return;
    if (!gate) {
        channel->paused = ticks_at(channel, now);
    } else if (channel->mode == 0 || channel->mode == 4) {
        channel->start = now - timer_scale(channel->paused, NS_PER_SECOND, PIT_HZ);
    } else {
        channel->triggered = true;
        start_counting(pit, 2);
    }
    channel->gate = gate;
}

/* Port 0x61: 0 gate of channel 2, 1 speaker, 4 toggles with each refresh (15 us), 5 OUT of channel 2. */
static uint64_t port_b_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct pit *pit = opaque;
    const struct pit_channel_state *channel = &pit->state.channel[2];
    uint64_t now = timer_now(pit->timers);

    return channel->gate | pit->state.speaker_data << 1 | (now / 15085 & 1) << 4 |
           (uint64_t)output_at(channel, now) << 5;
}

static void port_b_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pit *pit = opaque;

    pit->state.speaker_data = value >> 1 & 1;
    set_gate(pit, value & 1);
}

static const struct bus_ops pit_ops = {pit_read, pit_write, 1, 1};
static const struct bus_ops port_b_ops = {port_b_read, port_b_write, 1, 1};

void pit_reset(struct pit *pit)
{
    pit->state = (struct pit_state){0};
    for (int i = 0; i < 3; i++)
        pit->state.channel[i] = (struct pit_channel_state){
            .reload = 65536, .mode = 3, .access = 3, .gate = i != 2, .null_count = true};
    timer_cancel(pit->timers, &pit->timer);
}

struct pit *pit_create(struct bus *bus, struct timer_queue *timers, struct irq_line irq0)
{
    struct pit *pit = calloc(1, sizeof *pit);

    if (!pit)
        return NULL;
    pit->timers = timers;
    pit->irq0 = irq0;
    timer_init(&pit->timer, expire, pit);
    pit_reset(pit);
    if (bus_add_io(bus, 0x40, 4, &pit_ops, pit) < 0 || bus_add_io(bus, 0x61, 1, &port_b_ops, pit) < 0) {
        free(pit);
        return NULL;
    }
    return pit;
}

void pit_destroy(struct pit *pit)
{
    if (pit)
        timer_cancel(pit->timers, &pit->timer);
    free(pit);
}

void pit_save(const struct pit *pit, struct pit_state *state)
{
    *state = pit->state;
}

void pit_load(struct pit *pit, const struct pit_state *state)
{
    pit->state = *state;
    arm(pit, timer_now(pit->timers));
}
