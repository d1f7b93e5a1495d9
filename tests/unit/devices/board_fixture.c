/*
 * board_fixture.c - the board that the device tests play with.
 *
 * Interface: board_fixture.h.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "board_fixture.h"

static uint64_t clock_now(void *opaque)
{
    return ((struct fixture *)opaque)->now;
}

static void rearm(void *opaque, uint64_t deadline)
{
    ((struct fixture *)opaque)->rearmed = deadline;
}

static void interrupt(void *opaque, unsigned cpu, bool level)
{
    if (cpu == 0)
        ((struct fixture *)opaque)->interrupt = level;
}

static void take_signal(void *opaque, unsigned cpu, enum apic_delivery what, uint8_t vector)
{
    struct fixture *f = opaque;

    f->signals[what]++;
    f->signal_vector = vector;
}

/* The guest's TSC counts nanoseconds. */
static uint64_t tsc_to_ns(void *opaque, unsigned cpu, uint64_t tsc)
{
    return tsc;
}

static void set_a20(void *opaque, bool on)
{
    ((struct fixture *)opaque)->a20 = on;
}

static void power_off(void *opaque)
{
    ((struct fixture *)opaque)->power_offs++;
}

static void reset(void *opaque)
{
    ((struct fixture *)opaque)->resets++;
}

static void debug_exit(void *opaque, int status)
{
    ((struct fixture *)opaque)->exit_status = status;
}

static void count_log(void *opaque, const char *topic, const char *text)
{
    ((struct fixture *)opaque)->logs++;
}

static void take_output(void *opaque, const uint8_t *data, size_t size)
{
    struct fixture *f = opaque;

    for (size_t i = 0; i < size; i++)
        f->output[f->output_size++ % sizeof f->output] = data[i];
}

static void take_room(void *opaque)
{
    ((struct fixture *)opaque)->room++;
}

void fixture_open(struct fixture *f, unsigned cpus)
{
    const struct board_hooks hooks = {
        .clock = clock_now,
        .timer_rearm = rearm,
        .interrupt = interrupt,
        .signal = take_signal,
        .tsc_to_ns = tsc_to_ns,
        .set_a20 = set_a20,
        .power_off = power_off,
        .reset = reset,
        .debug_exit = debug_exit,
        .log = count_log,
        .opaque = f,
    };
    const struct board_config config = {
        .cpus = cpus,
        .rtc = {.base = 951782399, .ram_low = 0x20000000, .ram_high = 0x100000000}, /* 2000-02-28 23:59:59 */
        .serial_present = {true, false, true, false},
        .serial = {{take_output, take_room, f}},
        .debug_console = {take_output, NULL, f},
        .debug_exit_port = 0xf4,
        .debug_exit_size = 4,
    };
    struct error error;

    memset(f, 0, sizeof *f);
    f->now = 1000 * MS;
    f->board = board_create(&config, &hooks, &error);
    cr_assert(f->board, "%s", error.text);
}

void fixture_close(struct fixture *f)
{
    board_destroy(f->board);
}

void fixture_advance(struct fixture *f, uint64_t ns)
{
    uint64_t end = f->now + ns;

    while (timer_next_deadline(&f->board->timers) <= end) {
        uint64_t next = timer_next_deadline(&f->board->timers);

        if (next > f->now)
            f->now = next;
        timer_run_expired(&f->board->timers, f->now);
    }
    f->now = end;
}

uint32_t in8(struct fixture *f, uint16_t port)
{
    return bus_io_read(f->board->bus, port, 1);
}

void out8(struct fixture *f, uint16_t port, uint8_t value)
{
    bus_io_write(f->board->bus, port, value, 1);
}

uint32_t apic_read(struct fixture *f, unsigned offset)
{
    return (uint32_t)bus_mmio_read(f->board->bus, LAPIC_BASE + offset, 4);
}

void apic_write(struct fixture *f, unsigned offset, uint32_t value)
{
    bus_mmio_write(f->board->bus, LAPIC_BASE + offset, value, 4);
}

uint32_t ioapic_read_register(struct fixture *f, uint8_t reg)
{
    bus_mmio_write(f->board->bus, IOAPIC_BASE, reg, 4);
    return (uint32_t)bus_mmio_read(f->board->bus, IOAPIC_BASE + 0x10, 4);
}

void ioapic_write_register(struct fixture *f, uint8_t reg, uint32_t value)
{
    bus_mmio_write(f->board->bus, IOAPIC_BASE, reg, 4);
    bus_mmio_write(f->board->bus, IOAPIC_BASE + 0x10, value, 4);
}

int acknowledge(struct fixture *f)
{
    return lapic_acknowledge(apic_bus_get(f->board->apics, 0));
}

void init_pic(struct fixture *f, uint8_t icw4)
{
    static const uint16_t ports[2] = {0x20, 0xa0};

    for (int i = 0; i < 2; i++) {
        out8(f, ports[i], 0x11);
        out8(f, ports[i] + 1, i ? 0x28 : 0x20);
        out8(f, ports[i] + 1, i ? 2 : 4);
        out8(f, ports[i] + 1, icw4);
        out8(f, ports[i] + 1, 0);
    }
}
