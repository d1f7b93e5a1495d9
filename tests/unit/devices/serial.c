/*
 * serial.c - tests of the UART: FIFO, interrupt identification, loopback, flow to and from the host.
 */
#include <criterion/criterion.h>

#include "board_fixture.h"

#define COM1 0x3f8

static void open_port(struct fixture *f, uint8_t fcr, uint8_t ier)
{
    fixture_open(f, 1);
    init_pic(f, 1);
    out8(f, COM1 + 3, 0x80);
    out8(f, COM1, 1);
    out8(f, COM1 + 1, 0);
    out8(f, COM1 + 3, 3);
    out8(f, COM1 + 2, fcr);
    out8(f, COM1 + 4, 0x0b);
    out8(f, COM1 + 1, ier);
}

Test(serial, looks_like_a_16550a)
{
    struct fixture f;

    open_port(&f, 1, 0);
    cr_assert_eq(in8(&f, COM1 + 2), 0xc1);
    out8(&f, COM1 + 7, 0x5a);
    cr_assert_eq(in8(&f, COM1 + 7), 0x5a);
    out8(&f, COM1 + 1, 0xff);
    cr_assert_eq(in8(&f, COM1 + 1), 0x0f);
    out8(&f, COM1 + 3, 0x83);
    cr_assert_eq(in8(&f, COM1), 1);
    cr_assert_eq(in8(&f, COM1 + 1), 0);
    out8(&f, COM1 + 3, 3);
    out8(&f, COM1 + 2, 0);
    cr_assert_eq(in8(&f, COM1 + 2) & 0xc0, 0);
    cr_assert_eq(in8(&f, COM1 + 5), 0x60);
    cr_assert_eq(in8(&f, 0x2f8), 0xff, "COM2 is absent");
    fixture_close(&f);
}

Test(serial, transmitter)
{
    struct fixture f;

    open_port(&f, 1, 0);
    out8(&f, COM1, 'a');
    out8(&f, COM1, 'b');
    cr_assert_eq(f.output_size, 2);
    cr_assert_arr_eq(f.output, "ab", 2);
    cr_assert(!f.interrupt);
    out8(&f, COM1 + 1, 2);
    cr_assert_eq(acknowledge(&f), 0x24, "enabling it interrupts when empty");
    cr_assert_eq(in8(&f, COM1 + 2), 0xc2);
    cr_assert_eq(in8(&f, COM1 + 2), 0xc1, "reading the identification ends it");
    out8(&f, 0x20, 0x20);
    out8(&f, COM1, 'c');
    cr_assert_eq(acknowledge(&f), 0x24);
    fixture_close(&f);
}

Test(serial, trigger_level_and_timeout)
{
    struct fixture f;

    open_port(&f, 0x81, 1); /* 8 bytes */
    for (int i = 0; i < 7; i++)
        serial_receive(f.board->serial[0], (uint8_t)('0' + i));
    cr_assert(!f.interrupt);
    cr_assert_eq(in8(&f, COM1 + 5) & 1, 1);
    serial_receive(f.board->serial[0], '7');
    cr_assert_eq(acknowledge(&f), 0x24);
    cr_assert_eq(in8(&f, COM1 + 2), 0xc4);
    cr_assert_eq(in8(&f, COM1), '0');
    cr_assert_eq(in8(&f, COM1 + 2), 0xc1);
    out8(&f, 0x20, 0x20);
    fixture_advance(&f, MS);
    cr_assert_eq(acknowledge(&f), 0x24, "four silent character times");
    cr_assert_eq(in8(&f, COM1 + 2), 0xcc);
    for (int i = 1; i < 8; i++)
        cr_assert_eq(in8(&f, COM1), '0' + i);
    cr_assert_eq(in8(&f, COM1 + 2), 0xc1);
    cr_assert_eq(in8(&f, COM1 + 5), 0x60);
    fixture_close(&f);
}

Test(serial, room_and_overrun)
{
    struct fixture f;

    open_port(&f, 1, 4);
    cr_assert_eq(serial_can_receive(f.board->serial[0]), 16);
    for (int i = 0; i < 16; i++)
        serial_receive(f.board->serial[0], (uint8_t)i);
    cr_assert_eq(serial_can_receive(f.board->serial[0]), 0);
    f.room = 0;
    in8(&f, COM1);
    cr_assert_eq(f.room, 1, "the host side hears of room");
    in8(&f, COM1);
    cr_assert_eq(f.room, 1, "once");
    for (int i = 0; i < 3; i++)
        serial_receive(f.board->serial[0], 'x');
    cr_assert_eq(acknowledge(&f), 0x24);
    cr_assert_eq(in8(&f, COM1 + 2), 0xc6);
    cr_assert_eq(in8(&f, COM1 + 5), 0x63, "overrun");
    cr_assert_eq(in8(&f, COM1 + 5), 0x61);
    out8(&f, COM1 + 2, 3);
    cr_assert_eq(in8(&f, COM1 + 5), 0x60);
    cr_assert_eq(serial_can_receive(f.board->serial[0]), 16);
    fixture_close(&f);
}

Test(serial, loopback_and_modem)
{
    struct fixture f;

    open_port(&f, 1, 0);
    cr_assert_eq(in8(&f, COM1 + 6) & 0xf0, 0xb0);
    out8(&f, COM1 + 4, 0x1a);
    cr_assert_eq(in8(&f, COM1 + 6) & 0xf0, 0x90);
    cr_assert_eq(in8(&f, COM1 + 6) & 0x0f, 0, "reading clears the deltas");
    out8(&f, COM1, 'q');
    cr_assert_eq(f.output_size, 0);
    cr_assert_eq(in8(&f, COM1), 'q');
    cr_assert_eq(serial_can_receive(f.board->serial[0]), 0, "the line is disconnected");
    out8(&f, COM1 + 4, 0x0b);
    cr_assert_eq(f.room, 1);
    out8(&f, COM1 + 1, 8);
    cr_assert_eq(acknowledge(&f), 0x24, "modem status");
    cr_assert_eq(in8(&f, COM1 + 2), 0xc0);
    fixture_close(&f);
}
