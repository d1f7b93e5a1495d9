/*
 * pic.c - tests of the 8259 pair: priorities, ends of interrupt, special mask, automatic EOI, poll, ELCR.
 */
#include <criterion/criterion.h>

#include "board_fixture.h"

static void pulse(struct fixture *f, int irq)
{
    pic_set_irq(f->board->pic, irq, true);
    pic_set_irq(f->board->pic, irq, false);
}

Test(pic, priorities_and_eoi)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    cr_assert(!f.interrupt);
    pulse(&f, 5);
    pulse(&f, 3);
    cr_assert(f.interrupt);
    cr_assert_eq(acknowledge(&f), 0x23);
    cr_assert(!f.interrupt, "5 waits while 3 is in service");
    pulse(&f, 1);
    cr_assert_eq(acknowledge(&f), 0x21, "1 nests into 3");
    out8(&f, 0x20, 0x0b);
    cr_assert_eq(in8(&f, 0x20), 0x0a);
    out8(&f, 0x20, 0x20);
    cr_assert_eq(in8(&f, 0x20), 0x08, "a non-specific EOI ends the highest");
    out8(&f, 0x20, 0x63);
    cr_assert_eq(acknowledge(&f), 0x25);
    out8(&f, 0x20, 0x20);
    cr_assert_eq(acknowledge(&f), -1);
    fixture_close(&f);
}

Test(pic, slave_goes_through_the_cascade)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    pulse(&f, 12);
    pulse(&f, 8);
    pulse(&f, 3);
    cr_assert_eq(acknowledge(&f), 0x28);
    out8(&f, 0xa0, 0x20);
    cr_assert(!f.interrupt, "the cascade is in service at the master");
    out8(&f, 0x20, 0x20);
    cr_assert_eq(acknowledge(&f), 0x2c, "input 2 comes before input 3");
    out8(&f, 0xa0, 0x20);
    out8(&f, 0x20, 0x20);
    cr_assert_eq(acknowledge(&f), 0x23);
    fixture_close(&f);
}

Test(pic, mask_and_special_mask)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    out8(&f, 0x21, 0x10);
    pulse(&f, 4);
    cr_assert(!f.interrupt);
    out8(&f, 0x21, 0);
    cr_assert_eq(acknowledge(&f), 0x24);
    pulse(&f, 6);
    cr_assert(!f.interrupt);
    out8(&f, 0x21, 0x10);
    out8(&f, 0x20, 0x68);
    cr_assert_eq(acknowledge(&f), 0x26, "a masked input in service does not block in special mask mode");
    out8(&f, 0x20, 0x20);
    out8(&f, 0x20, 0x0b);
    cr_assert_eq(in8(&f, 0x20), 0x10, "an EOI passes the masked input over");
    out8(&f, 0x20, 0x48);
    fixture_close(&f);
}

Test(pic, automatic_eoi_and_rotation)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 3);
    for (int i = 0; i < 3; i++) {
        pulse(&f, 1);
        cr_assert_eq(acknowledge(&f), 0x21);
    }
    init_pic(&f, 1);
    pulse(&f, 1);
    cr_assert_eq(acknowledge(&f), 0x21);
    out8(&f, 0x20, 0xa0); /* rotate on EOI: 1 is lowest now */
    pulse(&f, 1);
    pulse(&f, 7);
    cr_assert_eq(acknowledge(&f), 0x27);
    out8(&f, 0x20, 0x20);
    out8(&f, 0x20, 0xc7); /* set priority: 7 lowest again */
    pulse(&f, 7);
    cr_assert_eq(acknowledge(&f), 0x21);
    fixture_close(&f);
}

Test(pic, poll_spurious_and_level)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    cr_assert_eq(pic_acknowledge(f.board->pic), 0x27, "spurious");
    out8(&f, 0x20, 0x0c);
    cr_assert_eq(in8(&f, 0x20), 0);
    pulse(&f, 6);
    out8(&f, 0x20, 0x0c);
    cr_assert_eq(in8(&f, 0x20), 0x86);
    out8(&f, 0x20, 0x20);
    out8(&f, 0x4d0, 0xff);
    cr_assert_eq(in8(&f, 0x4d0), 0xf8, "inputs 0 to 2 stay edge triggered");
    pic_set_irq(f.board->pic, 5, true);
    cr_assert_eq(acknowledge(&f), 0x25);
    out8(&f, 0x20, 0x20);
    cr_assert(f.interrupt, "a level asks again");
    pic_set_irq(f.board->pic, 5, false);
    cr_assert(!f.interrupt);
    fixture_close(&f);
}

Test(pic, shared_isa_line)
{
    struct fixture f;
    struct irq_line a, b;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    out8(&f, 0x4d1, 0x08);
    a = isa_irq_line(&f.board->isa, 11);
    b = isa_irq_line(&f.board->isa, 11);
    irq_set(&a, true);
    irq_set(&b, true);
    irq_set(&a, false);
    cr_assert(f.interrupt);
    irq_set(&b, false);
    cr_assert(!f.interrupt);
    fixture_close(&f);
}
