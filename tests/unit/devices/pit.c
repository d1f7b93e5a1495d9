/*
 * pit.c - tests of the 8254: modes, read-back, latches, gate, port 0x61.
 */
#include <criterion/criterion.h>

#include "board_fixture.h"

#define TICK_NS (1e9 / PIT_HZ)

static unsigned read_count(struct fixture *f, int channel)
{
    unsigned low;

    out8(f, 0x43, (uint8_t)(channel << 6));
    low = in8(f, (uint16_t)(0x40 + channel));
    return low | in8(f, (uint16_t)(0x40 + channel)) << 8;
}

static void program(struct fixture *f, int channel, int mode, unsigned count)
{
    out8(f, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    out8(f, (uint16_t)(0x40 + channel), (uint8_t)count);
    out8(f, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static void advance_ticks(struct fixture *f, unsigned ticks)
{
    fixture_advance(f, (uint64_t)(ticks * TICK_NS) + 1);
}

static int take(struct fixture *f)
{
    int vector = acknowledge(f);

    out8(f, 0x20, 0x20);
    return vector;
}

Test(pit, periodic_interrupts)
{
    struct fixture f;

    for (int mode = 2; mode <= 3; mode++) {
        int count = 0;

        fixture_open(&f, 1);
        init_pic(&f, 1);
        program(&f, 0, mode, 11932); /* 100 Hz */
        for (int ms = 0; ms < 1000; ms++) {
            fixture_advance(&f, MS);
            if (f.interrupt) {
                cr_assert_eq(take(&f), 0x20);
                count++;
            }
        }
        cr_assert(count == 99 || count == 100, "mode %d: %d interrupts in a second", mode, count);
        fixture_close(&f);
    }
}

Test(pit, one_shot)
{
    struct fixture f;
    static const int modes[] = {0, 4};

    for (int i = 0; i < 2; i++) {
        fixture_open(&f, 1);
        init_pic(&f, 1);
        program(&f, 0, modes[i], 1000);
        advance_ticks(&f, 998);
        cr_assert(!f.interrupt);
        advance_ticks(&f, 4);
        cr_assert_eq(take(&f), 0x20);
        fixture_advance(&f, 1000 * MS);
        cr_assert(!f.interrupt, "mode %d fires once", modes[i]);
        fixture_close(&f);
    }
}

Test(pit, counting)
{
    struct fixture f;

    fixture_open(&f, 1);
    program(&f, 0, 2, 1000);
    cr_assert_eq(read_count(&f, 0), 1000);
    advance_ticks(&f, 300);
    cr_assert_eq(read_count(&f, 0), 700);
    advance_ticks(&f, 750);
    cr_assert_eq(read_count(&f, 0), 950, "reloads");
    program(&f, 0, 0, 100);
    advance_ticks(&f, 101);
    cr_assert_eq(read_count(&f, 0), 0xffff, "mode 0 counts on past zero");
    out8(&f, 0x43, 0x35); /* mode 2, BCD */
    out8(&f, 0x40, 0x00);
    out8(&f, 0x40, 0x10);
    advance_ticks(&f, 1);
    cr_assert_eq(read_count(&f, 0), 0x999);
    fixture_close(&f);
}

Test(pit, latch_holds_and_read_back)
{
    struct fixture f;

    fixture_open(&f, 1);
    program(&f, 0, 2, 5000);
    advance_ticks(&f, 100);
    out8(&f, 0x43, 0xc2); /* read back: count and status of channel 0 */
    advance_ticks(&f, 100);
    cr_assert_eq(in8(&f, 0x40), 0xb4, "OUT high, count loaded, low then high, mode 2");
    cr_assert_eq(in8(&f, 0x40), 4900 & 0xff);
    cr_assert_eq(in8(&f, 0x40), 4900 >> 8);
    cr_assert_eq(read_count(&f, 0), 4800);
    out8(&f, 0x43, 0x34);
    out8(&f, 0x43, 0xe2);
    cr_assert(in8(&f, 0x40) & 0x40, "null count after a mode is set");
    fixture_close(&f);
}

Test(pit, gate_and_output_of_channel_2)
{
    struct fixture f;
    uint32_t refresh;

    fixture_open(&f, 1);
    out8(&f, 0x61, 0);
    program(&f, 2, 0, 1000);
    advance_ticks(&f, 2000);
    cr_assert_eq(in8(&f, 0x61) & 0x20, 0, "holds while the gate is low");
    out8(&f, 0x61, 1);
    advance_ticks(&f, 500);
    out8(&f, 0x61, 0);
    advance_ticks(&f, 5000);
    cr_assert_eq(in8(&f, 0x61) & 0x20, 0);
    out8(&f, 0x61, 3);
    advance_ticks(&f, 490);
    cr_assert_eq(in8(&f, 0x61) & 0x20, 0);
    advance_ticks(&f, 20);
    cr_assert_eq(in8(&f, 0x61) & 0x23, 0x23);
    refresh = in8(&f, 0x61) & 0x10;
    fixture_advance(&f, 15085);
    cr_assert_neq(in8(&f, 0x61) & 0x10, refresh);
    fixture_close(&f);
}

/* A count of 1 must neither divide by nothing nor keep the queue busy. */
Test(pit, tiny_counts)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    for (int mode = 0; mode < 8; mode++)
        for (unsigned count = 0; count < 4; count++) {
            program(&f, 0, mode, count);
            fixture_advance(&f, MS);
            read_count(&f, 0);
        }
    fixture_close(&f);
}
