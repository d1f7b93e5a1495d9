/*
 * misc.c - tests of the bus, the timer queue, ACPI PM, i8042 and the debug ports.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "board_fixture.h"

struct recorder {
    uint64_t offset[8], value[8];
    unsigned size[8], count;
};

static uint64_t record_read(void *opaque, uint64_t offset, unsigned size)
{
    struct recorder *r = opaque;

    r->offset[r->count] = offset;
    r->size[r->count++] = size;
    return 0x8877665544332211 >> 8 * (offset & 7);
}

static void record_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct recorder *r = opaque;

    r->offset[r->count] = offset;
    r->value[r->count] = value;
    r->size[r->count++] = size;
}

Test(bus, cuts_and_widens)
{
    static const struct bus_ops bytes = {record_read, record_write, 1, 1},
                                words = {record_read, record_write, 4, 4};
    struct bus *bus = bus_create((struct device_log){0}, false);
    struct recorder r = {0};

    cr_assert_eq(bus_add_io(bus, 0x100, 4, &bytes, &r), 0);
    cr_assert_eq(bus_add_io(bus, 0x103, 1, &bytes, &r), -EEXIST);
    cr_assert_eq(bus_add_io(bus, 0xffff, 2, &bytes, &r), -EINVAL);
    cr_assert_eq(bus_add_mmio(bus, 0x1000, 0x100, &words, &r), 0);
    cr_assert_eq(bus_io_read(bus, 0x100, 4), 0x44332211);
    cr_assert_eq(r.count, 4);
    cr_assert_eq(bus_io_read(bus, 0x102, 4), 0xffff4433, "half of it is nobody's");
    r.count = 0;
    bus_io_write(bus, 0xff, 0x4433, 2);
    cr_assert_eq(r.count, 1);
    cr_assert_eq(r.value[0], 0x44);
    r.count = 0;
    cr_assert_eq(bus_mmio_read(bus, 0x1001, 1), 0x22);
    cr_assert_eq(r.offset[0], 0);
    cr_assert_eq(r.size[0], 4);
    cr_assert_eq(bus_mmio_read(bus, 0x1000, 8), 0x8877665544332211);
    r.count = 0;
    bus_mmio_write(bus, 0x1002, 0xabcd, 2);
    cr_assert_eq(r.offset[0], 0);
    cr_assert_eq(r.value[0] >> 16, 0xabcd);
    cr_assert_eq(bus_mmio_read(bus, 0x2000, 8), UINT64_MAX);
    cr_assert_eq(bus_io_read(bus, 0xffff, 4), 0xffffffff);
    bus_destroy(bus);
}

static void keep_line(void *opaque, const char *topic, const char *text)
{
    if (!strcmp(topic, "io"))
        strncat(strncat(opaque, text, 60), "\n", 2);
}

Test(bus, logs_every_access_on_demand)
{
    static const struct bus_ops bytes = {record_read, record_write, 1, 1};
    char log[512] = "";
    struct bus *bus = bus_create((struct device_log){keep_line, log}, true);
    struct recorder r = {0};

    cr_assert_eq(bus_add_io(bus, 0x100, 4, &bytes, &r), 0);
    bus_io_read(bus, 0x100, 2);
    bus_io_write(bus, 0x101, 0x5a, 1);
    bus_mmio_read(bus, 0x2000, 4);
    bus_mmio_write(bus, 0xfee00000, 7, 4);
    cr_assert_str_eq(log, "in 0x0100 size 2 value 0x2211\n"
                          "out 0x0101 size 1 value 0x5a\n"
                          "mmio read 0x2000 size 4 value 0xffffffff\n"
                          "mmio write 0xfee00000 size 4 value 0x00000007\n");
    bus_destroy(bus);
}

Test(bus, logs_a_port_once)
{
    struct fixture f;

    fixture_open(&f, 1);
    f.logs = 0;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(in8(&f, 0x1234), 0xff);
    cr_assert_eq(f.logs, 1);
    cr_assert_eq(bus_get_stats(f.board->bus)->unassigned, 10);
    fixture_close(&f);
}

static uint64_t order;

static void note(void *opaque, uint64_t now)
{
    order = order * 10 + (uint64_t)(uintptr_t)opaque;
}

static uint64_t zero_clock(void *opaque)
{
    return 0;
}

Test(timer, order_and_cancel)
{
    struct timer_queue queue;
    struct timer timers[4];

    timer_queue_init(&queue, zero_clock, NULL, NULL);
    for (uintptr_t i = 0; i < 4; i++)
        timer_init(&timers[i], note, (void *)(i + 1));
    timer_arm(&queue, &timers[0], 30);
    timer_arm(&queue, &timers[1], 10);
    timer_arm(&queue, &timers[2], 20);
    timer_arm(&queue, &timers[3], 20);
    timer_arm(&queue, &timers[1], 25);
    timer_cancel(&queue, &timers[3]);
    timer_cancel(&queue, &timers[3]);
    cr_assert_eq(timer_next_deadline(&queue), 20);
    order = 0;
    timer_run_expired(&queue, 29);
    cr_assert_eq(order, 32);
    cr_assert_eq(timer_next_deadline(&queue), 30);
    timer_run_expired(&queue, 30);
    cr_assert_eq(order, 321);
    cr_assert_eq(timer_next_deadline(&queue), TIMER_NEVER);
    timer_arm(&queue, &timers[2], 40);
    timer_arm(&queue, &timers[0], 40);
    timer_arm(&queue, &timers[3], 40);
    order = 0;
    timer_run_expired(&queue, 40);
    cr_assert_eq(order, 314, "equal deadlines in the order they were armed");
}

Test(timer, tells_the_machine)
{
    struct fixture f;
    struct timer timer;

    fixture_open(&f, 1);
    timer_init(&timer, note, NULL);
    timer_arm(&f.board->timers, &timer, 5000 * MS);
    cr_assert_eq(f.rearmed, 5000 * MS);
    timer_arm(&f.board->timers, &timer, 4000 * MS);
    cr_assert_eq(f.rearmed, 4000 * MS);
    f.now = 4500 * MS;
    timer_run_expired(&f.board->timers, f.now);
    cr_assert_eq(f.rearmed, TIMER_NEVER);
    fixture_close(&f);
}

Test(pm, timer_and_power)
{
    struct fixture f;
    uint32_t before;

    fixture_open(&f, 1);
    before = bus_io_read(f.board->bus, PM_TIMER, 4);
    fixture_advance(&f, 1000 * MS);
    cr_assert_eq(bus_io_read(f.board->bus, PM_TIMER, 4) - before, PM_TIMER_HZ);
    fixture_advance(&f, 4000 * MS);
    cr_assert_eq(bus_io_read(f.board->bus, PM_TIMER, 4), 5 * PM_TIMER_HZ & 0xffffff, "24 bits");
    cr_assert_eq(bus_io_read(f.board->bus, PM_CONTROL, 2), 1, "always in ACPI mode");
    bus_io_write(f.board->bus, PM_CONTROL, 1 << 13 | 1, 2);
    cr_assert_eq(f.power_offs, 0, "another sleep type");
    bus_io_write(f.board->bus, PM_CONTROL, 1 << 13 | PM_SLEEP_S5 << 10, 2);
    cr_assert_eq(f.power_offs, 1);
    fixture_close(&f);
}

Test(pm, interrupts)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    out8(&f, 0x4d1, 0x02);
    out8(&f, PM_BASE + 2, 0x20);
    out8(&f, PM_BASE + 3, 0x01);
    cr_assert_eq(bus_io_read(f.board->bus, PM_BASE + 2, 2), 0x120, "byte by byte");
    bus_io_write(f.board->bus, PM_BASE + 2, 0x101, 2);
    pm_press_power_button(f.board->pm);
    cr_assert_eq(acknowledge(&f), 0x29);
    out8(&f, 0xa0, 0x20);
    out8(&f, 0x20, 0x20);
    cr_assert(f.interrupt);
    out8(&f, PM_BASE + 1, 1); /* a byte write clears bit 8 alone */
    cr_assert(!f.interrupt);
    fixture_advance(&f, 2500 * MS);
    cr_assert_eq(bus_io_read(f.board->bus, PM_BASE, 2), 1, "the counter's top bit changed");
    cr_assert(f.interrupt);
    bus_io_write(f.board->bus, PM_BASE, 1, 2);
    cr_assert(!f.interrupt);
    fixture_close(&f);
}

Test(pm, reset_register)
{
    struct fixture f;

    fixture_open(&f, 1);
    bus_io_write(f.board->bus, 0xcf8, 0x80000600, 4);
    cr_assert_eq(f.resets, 0, "a PCI address is no reset");
    cr_assert_eq(bus_io_read(f.board->bus, 0xcfc, 4), UINT32_MAX);
    out8(&f, 0xcf9, 2);
    cr_assert_eq(f.resets, 0);
    out8(&f, PM_RESET_PORT, PM_RESET_VALUE);
    cr_assert_eq(f.resets, 1);
    fixture_close(&f);
}

Test(i8042, self_test_reset_and_a20)
{
    struct fixture f;

    fixture_open(&f, 1);
    cr_assert_eq(in8(&f, 0x64) & 3, 0);
    out8(&f, 0x64, 0xaa);
    cr_assert_eq(in8(&f, 0x64) & 1, 1);
    cr_assert_eq(in8(&f, 0x60), 0x55);
    cr_assert_eq(in8(&f, 0x64) & 1, 0);
    out8(&f, 0x64, 0x60);
    out8(&f, 0x60, 0x45);
    out8(&f, 0x64, 0x20);
    cr_assert_eq(in8(&f, 0x60), 0x45);
    out8(&f, 0x60, 0xf2);
    cr_assert_eq(in8(&f, 0x64) & 0x41, 0x41, "nobody answers");
    cr_assert(f.a20);
    out8(&f, 0x64, 0xd1);
    out8(&f, 0x60, 0xdd);
    cr_assert(!f.a20);
    cr_assert_eq(in8(&f, 0x92), 0);
    out8(&f, 0x92, 2);
    cr_assert(f.a20);
    cr_assert_eq(f.resets, 0);
    out8(&f, 0x64, 0xfe);
    cr_assert_eq(f.resets, 1);
    out8(&f, 0x92, 3);
    cr_assert_eq(f.resets, 2);
    fixture_close(&f);
}

Test(debug_port, console_and_exit)
{
    struct fixture f;

    fixture_open(&f, 1);
    cr_assert_eq(in8(&f, 0xe9), 0xe9);
    cr_assert_eq(in8(&f, 0x402), 0xe9);
    out8(&f, 0xe9, 'h');
    out8(&f, 0x402, 'i');
    cr_assert_arr_eq(f.output, "hi", 2);
    out8(&f, 0xf4, 0x10);
    cr_assert_eq(f.exit_status, 0x21);
    out8(&f, 0x80, 1);
    cr_assert_eq(bus_get_stats(f.board->bus)->unassigned, 0);
    fixture_close(&f);
}

Test(board, bad_debug_exit)
{
    struct board_config config = {.cpus = 1, .debug_exit_port = 0x60, .debug_exit_size = 1};
    struct board_hooks hooks = {0};
    struct error error = {""};

    cr_assert_null(board_create(&config, &hooks, &error));
    cr_assert(strstr(error.text, "0x60"));
    config.debug_exit_port = 0xf4;
    config.debug_exit_size = 3;
    cr_assert_null(board_create(&config, &hooks, &error));
}
