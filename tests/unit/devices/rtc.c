/*
 * rtc.c - tests of the clock: formats, setting, update, alarm and periodic interrupts, memory sizes.
 */
#include <criterion/criterion.h>

#include "board_fixture.h"

#define SECOND (1000 * MS)

static uint32_t cmos(struct fixture *f, uint8_t index)
{
    out8(f, 0x70, index);
    return in8(f, 0x71);
}

static void set_cmos(struct fixture *f, uint8_t index, uint8_t value)
{
    out8(f, 0x70, index);
    out8(f, 0x71, value);
}

Test(rtc, leap_day_in_all_formats)
{
    static const struct {
        uint8_t b, hour, minute, day, year, century;
    } formats[] = {{0x02, 0x23, 0x59, 0x28, 0x00, 0x20},
                   {0x06, 23, 59, 28, 0, 20},
                   {0x00, 0x91, 0x59, 0x28, 0x00, 0x20},
                   {0x04, 0x8b, 59, 28, 0, 20}};
    struct fixture f;

    for (int i = 0; i < 4; i++) {
        fixture_open(&f, 1);
        set_cmos(&f, 0x0b, formats[i].b);
        cr_assert_eq(cmos(&f, 4), formats[i].hour, "format %d", i);
        cr_assert_eq(cmos(&f, 2), formats[i].minute);
        cr_assert_eq(cmos(&f, 7), formats[i].day);
        cr_assert_eq(cmos(&f, 9), formats[i].year);
        cr_assert_eq(cmos(&f, 0x32), formats[i].century);
        cr_assert_eq(cmos(&f, 6), 2, "Monday");
        fixture_close(&f);
    }
    fixture_open(&f, 1);
    fixture_advance(&f, SECOND);
    cr_assert_eq(cmos(&f, 7), 0x29, "2000 is a leap year");
    cr_assert_eq(cmos(&f, 8), 2);
    cr_assert_eq(cmos(&f, 4), 0);
    fixture_close(&f);
}

Test(rtc, setting)
{
    struct fixture f;

    fixture_open(&f, 1);
    set_cmos(&f, 0x0b, 0x82);
    set_cmos(&f, 9, 0x26);
    set_cmos(&f, 8, 0x12);
    set_cmos(&f, 7, 0x31);
    set_cmos(&f, 4, 0x23);
    set_cmos(&f, 2, 0x59);
    set_cmos(&f, 0, 0x58);
    fixture_advance(&f, 10 * SECOND);
    cr_assert_eq(cmos(&f, 0), 0x58, "stands while SET is up");
    set_cmos(&f, 0x0b, 0x02);
    fixture_advance(&f, 2 * SECOND);
    cr_assert_eq(cmos(&f, 0), 0);
    cr_assert_eq(cmos(&f, 9), 0x27);
    cr_assert_eq(cmos(&f, 8), 0x01);
    fixture_close(&f);
}

Test(rtc, update_in_progress)
{
    struct fixture f;

    fixture_open(&f, 1);
    cr_assert_eq(cmos(&f, 0x0a), 0x26);
    fixture_advance(&f, SECOND - 200000);
    cr_assert_eq(cmos(&f, 0x0a), 0xa6);
    fixture_advance(&f, 200000);
    cr_assert_eq(cmos(&f, 0x0a), 0x26);
    cr_assert_eq(cmos(&f, 0x0c) & 0x10, 0x10, "UF without its interrupt");
    cr_assert_eq(cmos(&f, 0x0c) & 0x10, 0);
    fixture_close(&f);
}

Test(rtc, alarm_interrupt)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    set_cmos(&f, 1, 0x05);
    set_cmos(&f, 3, 0x01);
    set_cmos(&f, 5, 0xff);
    set_cmos(&f, 0x0b, 0x22);
    fixture_advance(&f, 65 * SECOND);
    cr_assert(!f.interrupt);
    fixture_advance(&f, SECOND + MS);
    cr_assert_eq(acknowledge(&f), 0x28);
    cr_assert_eq(cmos(&f, 0x0c) & 0xa0, 0xa0);
    cr_assert_eq(cmos(&f, 0x0c), 0);
    fixture_close(&f);
}

Test(rtc, alarm_in_the_next_second_and_noon)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    set_cmos(&f, 1, 0x00);
    set_cmos(&f, 3, 0xff);
    set_cmos(&f, 5, 0xff);
    set_cmos(&f, 0x0b, 0x22);
    fixture_advance(&f, SECOND);
    cr_assert_eq(acknowledge(&f), 0x28);
    cmos(&f, 0x0c);
    fixture_advance(&f, 12 * 3600 * SECOND);
    set_cmos(&f, 0x0b, 0x00);
    cr_assert_eq(cmos(&f, 4), 0x92, "noon is 12 PM");
    fixture_advance(&f, 12 * 3600 * SECOND);
    cr_assert_eq(cmos(&f, 4), 0x12, "midnight is 12 AM");
    set_cmos(&f, 4, 0x92);
    set_cmos(&f, 0x0b, 0x02);
    cr_assert_eq(cmos(&f, 4), 0x12);
    fixture_close(&f);
}

Test(rtc, periodic_and_update_interrupts)
{
    struct fixture f;
    int count = 0;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    set_cmos(&f, 0x0a, 0x2a); /* 64 Hz */
    set_cmos(&f, 0x0b, 0x42);
    for (int i = 0; i < 1000; i++) {
        fixture_advance(&f, MS);
        if (!f.interrupt)
            continue;
        cr_assert_eq(acknowledge(&f), 0x28);
        cr_assert_eq(cmos(&f, 0x0c) & 0xc0, 0xc0);
        out8(&f, 0xa0, 0x20);
        out8(&f, 0x20, 0x20);
        count++;
    }
    cr_assert(count >= 63 && count <= 65, "%d", count);
    set_cmos(&f, 0x0b, 0x12);
    cmos(&f, 0x0c);
    fixture_advance(&f, SECOND + MS);
    cr_assert_eq(acknowledge(&f), 0x28);
    cr_assert_eq(cmos(&f, 0x0c) & 0x90, 0x90);
    fixture_close(&f);
}

Test(rtc, memory_sizes)
{
    struct fixture f;

    fixture_open(&f, 3);
    cr_assert_eq(cmos(&f, 0x15) | cmos(&f, 0x16) << 8, 640);
    cr_assert_eq(cmos(&f, 0x17) | cmos(&f, 0x18) << 8, 65535);
    cr_assert_eq(cmos(&f, 0x34) | cmos(&f, 0x35) << 8, (512 - 16) * 16);
    cr_assert_eq(cmos(&f, 0x5b) | cmos(&f, 0x5c) << 8 | cmos(&f, 0x5d) << 16, 65536);
    cr_assert_eq(cmos(&f, 0x5f), 2);
    set_cmos(&f, 0x0f, 0x0a);
    board_reset(f.board);
    cr_assert_eq(cmos(&f, 0x0f), 0x0a, "the shutdown byte survives a reset");
    fixture_close(&f);
}
