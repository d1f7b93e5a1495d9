/*
 * devices.c - fuzz target: whatever a guest does to the board's ports and addresses, and whatever arrives
 * from the host meanwhile, the board neither crashes nor reads or writes outside of itself.
 *
 * Interface: LLVMFuzzerTestOneInput; with NOVT_FUZZ_MAIN a program: devices [rounds [seed]].
 * Each input is a program of seven-byte steps for one board: what, where, value. Invariants checked: the
 * request line that the vCPU sees is what its APIC says; timers end; states survive save and load.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/board.h"

#define CPUS 3
#define MEMORY 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
    struct board *board;
    uint64_t now;
    bool level[CPUS];
    unsigned depth; /* of calls from the serial port back into it */
    uint8_t memory[MEMORY];
};

static uint64_t clock_now(void *opaque)
{
    return ((struct state *)opaque)->now;
}

static void interrupt(void *opaque, unsigned cpu, bool level)
{
    ((struct state *)opaque)->level[cpu] = level;
}

static uint64_t tsc_to_ns(void *opaque, unsigned cpu, uint64_t tsc)
{
    return tsc;
}

/* The worst host side: it sends whenever there is room, from within the call that says so. */
static void can_receive(void *opaque)
{
    struct state *s = opaque;

    if (s->depth++ == 0)
        while (serial_can_receive(s->board->serial[0]) > 0)
            serial_receive(s->board->serial[0], 'x');
    s->depth--;
}

/* Memory that repeats, so that any address leads to what steps have written. */
static bool memory_read(void *opaque, uint64_t address, void *to, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = ((struct state *)opaque)->memory[(address + i) % MEMORY];
    return true;
}

/* It ends somewhere, or else copies of 4 GiB would be what the time is spent on. */
static bool memory_write(void *opaque, uint64_t address, const void *from, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        ((struct state *)opaque)->memory[(address + i) % MEMORY] = ((const uint8_t *)from)[i];
    return address % 0x100000 < 0xf0000;
}

/* Requests to copy: a key that exists more often than not, and all kinds of control bits. */
static void write_memory(struct state *s, uint16_t where, uint32_t value)
{
    const uint8_t control[4] = {0, where & 0x4000 ? where >> 8 & 0x1f : 0x19, 0, (uint8_t)(value & 0x1f)};

    if (where & 0x8000)
        memcpy(s->memory + where % (MEMORY - 4), &value, 4);
    else
        memcpy(s->memory + where % (MEMORY / 16) * 16, control, 4);
}

static struct board *create(struct state *s)
{
    const struct board_hooks hooks = {.clock = clock_now,
                                      .interrupt = interrupt,
                                      .tsc_to_ns = tsc_to_ns,
                                      .memory_read = memory_read,
                                      .memory_write = memory_write,
                                      .opaque = s};
    const struct board_config config = {.cpus = CPUS,
                                        .rtc = {.base = 1000000000},
                                        .serial_present = {true, true, true, true},
                                        .serial = {{NULL, can_receive, s}},
                                        .debug_exit_port = 0xf4,
                                        .debug_exit_size = 4};

    return board_create(&config, &hooks, NULL);
}

static const uint16_t ports[] = {0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x40,  0x41,  0x42,  0x43,  0x60,
                                 0x61,  0x64,  0x70,  0x71,  0x92,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc,
                                 0x3fd, 0x3fe, 0x3ff, 0x2f8, 0x3ea, 0x600, 0x601, 0x602, 0x604, 0x608,
                                 0xcf8, 0xcf9, 0xf4,  0x80,  0x510, 0x511, 0x514, 0x518};

static uint16_t pick_port(uint16_t where)
{
    return where & 0x8000 ? where : ports[where % (sizeof ports / sizeof ports[0])];
}

static uint64_t pick_address(uint16_t where)
{
    if (where & 0x8000)
        return IOAPIC_BASE + (where & 0x4000 ? where & 0xfff : (where & 1) << 4);
    return LAPIC_BASE + (where & 0x4000 ? where & 0xfff : where % 64 * 16);
}

static uint32_t pick_msr(uint16_t where)
{
    return where & 0x8000 ? MSR_X2APIC_FIRST + where % 64 : where & 1 ? MSR_APIC_BASE : MSR_TSC_DEADLINE;
}

static void save_and_load(struct board *board, struct lapic *lapic)
{
    union {
        struct pic_state pic;
        struct pit_state pit;
        struct rtc_state rtc;
        struct serial_state serial;
        struct ioapic_state ioapic;
        struct lapic_state lapic;
        struct pm_state pm;
        struct i8042_state i8042;
        struct fw_cfg_state fw_cfg;
    } u;

    pic_save(board->pic, &u.pic);
    pic_load(board->pic, &u.pic);
    pit_save(board->pit, &u.pit);
    pit_load(board->pit, &u.pit);
    rtc_save(board->rtc, &u.rtc);
    rtc_load(board->rtc, &u.rtc);
    serial_save(board->serial[0], &u.serial);
    serial_load(board->serial[0], &u.serial);
    ioapic_save(board->ioapic, &u.ioapic);
    ioapic_load(board->ioapic, &u.ioapic);
    lapic_save(lapic, &u.lapic);
    lapic_load(lapic, &u.lapic);
    pm_save(board->pm, &u.pm);
    pm_load(board->pm, &u.pm);
    i8042_save(board->i8042, &u.i8042);
    i8042_load(board->i8042, &u.i8042);
    fw_cfg_save(board->fw_cfg, &u.fw_cfg);
    fw_cfg_load(board->fw_cfg, &u.fw_cfg);
}

static void pass_time(struct state *s, uint32_t value)
{
    s->now += (uint64_t)(value & 0xffffff) << (value >> 24 & 15);
    timer_run_expired(&s->board->timers, s->now);
}

static void step(struct state *s, uint8_t what, uint16_t where, uint32_t value)
{
    struct bus *bus = s->board->bus;
    unsigned cpu = (what >> 5) % CPUS, size = 1u << (what >> 5) % 3;
    struct lapic *lapic = apic_bus_get(s->board->apics, cpu);
    uint64_t wide = value;

    apic_bus_set_current(s->board->apics, cpu);
    switch (what & 31) {
    case 0 ... 6:
        bus_io_write(bus, pick_port(where), value, size);
        break;
    case 7 ... 11:
        bus_io_read(bus, pick_port(where), size);
        break;
    case 12 ... 15:
        bus_mmio_write(bus, pick_address(where), value, 4);
        break;
    case 16:
        bus_mmio_write(bus, pick_address(where), wide << 32 | value, 1u << (what >> 5) % 4);
        break;
    case 17:
        bus_mmio_read(bus, pick_address(where), 1u << (what >> 5) % 4);
        break;
    case 18 ... 20:
        lapic_acknowledge(lapic);
        break;
    case 21:
        lapic_msr_write(lapic, pick_msr(where), where & 0x4000 ? s->now + value : value);
        break;
    case 22:
        lapic_msr_write(lapic, MSR_APIC_BASE, LAPIC_BASE | (value & 0xd00));
        break;
    case 23:
        lapic_msr_read(lapic, pick_msr(where), &wide);
        break;
    case 24:
        lapic_cr8_write(lapic, value);
        break;
    case 25:
        serial_receive(s->board->serial[where & 3], (uint8_t)value);
        break;
    case 26:
        serial_receive_break(s->board->serial[0]);
        break;
    case 27:
        if ((value & 15) == 0)
            board_reset(s->board);
        break;
    case 28:
        save_and_load(s->board, lapic);
        break;
    case 29:
        pm_press_power_button(s->board->pm);
        break;
    case 30:
        write_memory(s, where, value);
        break;
    default:
        pass_time(s, value);
    }
}

static void check(const struct state *s)
{
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        if (s->level[cpu] != lapic_is_pending(apic_bus_get(s->board->apics, cpu)))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state s = {.now = 1000000000};

    s.board = create(&s);
    if (!s.board)
        abort();
    for (; size >= 7; data += 7, size -= 7) {
        uint16_t where;
        uint32_t value;

        memcpy(&where, data + 1, 2);
        memcpy(&value, data + 3, 4);
        step(&s, data[0], where, value);
        check(&s);
    }
    board_destroy(s.board);
    return 0;
}

#ifdef NOVT_FUZZ_MAIN
static uint64_t next_random(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15;
    uint64_t z = *seed;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Small values often: most registers have few bits that mean something. */
static void fill(uint8_t *data, size_t size, uint64_t *seed)
{
    for (size_t i = 0; i + 7 <= size; i += 7) {
        uint64_t bits = next_random(seed), shape = next_random(seed);

        memcpy(data + i, &bits, 7);
        if (shape & 1)
            memset(data + i + 4, 0, 3);
        if (shape & 2)
            data[i + 2] &= 0x3f;
    }
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 400;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    static uint8_t data[7 * 1000];

    for (unsigned long i = 0; i < rounds; i++) {
        uint64_t start = seed + i;

        fill(data, sizeof data, &start);
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
    printf("%lu rounds from seed %llu\n", rounds, (unsigned long long)seed);
    return 0;
}
#endif
