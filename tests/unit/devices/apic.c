/*
 * apic.c - tests of local APIC and I/O APIC: priorities, EOI, virtual wire, timer, IPIs, x2APIC, remote IRR.
 */
#include <criterion/criterion.h>

#include "board_fixture.h"

#define ID 0x20
#define TPR 0x80
#define PPR 0xa0
#define EOI 0xb0
#define SVR 0xf0
#define ISR 0x100
#define TMR 0x180
#define IRR 0x200
#define ESR 0x280
#define ICR 0x300
#define ICR_HIGH 0x310
#define LVT_TIMER 0x320
#define LVT_LINT0 0x350
#define INITIAL 0x380
#define CURRENT 0x390
#define DIVIDE 0x3e0

static void open_enabled(struct fixture *f, unsigned cpus)
{
    fixture_open(f, cpus);
    for (unsigned i = 0; i < cpus; i++) {
        apic_bus_set_current(f->board->apics, i);
        apic_write(f, SVR, 0x1ff);
    }
    apic_bus_set_current(f->board->apics, 0);
}

static void send_self(struct fixture *f, uint8_t vector)
{
    apic_write(f, ICR, 0x44000 | vector);
}

Test(apic, priorities)
{
    struct fixture f;

    open_enabled(&f, 1);
    send_self(&f, 0x31);
    send_self(&f, 0x51);
    cr_assert_eq(acknowledge(&f), 0x51);
    cr_assert_eq(apic_read(&f, PPR), 0x50);
    cr_assert_eq(apic_read(&f, ISR + 0x20), 1u << 17);
    cr_assert_eq(apic_read(&f, IRR + 0x10), 1u << 17);
    cr_assert(!f.interrupt);
    send_self(&f, 0x5f);
    cr_assert_eq(acknowledge(&f), -1, "same class does not nest");
    send_self(&f, 0x60);
    cr_assert_eq(acknowledge(&f), 0x60);
    apic_write(&f, EOI, 0);
    cr_assert_eq(acknowledge(&f), -1);
    apic_write(&f, EOI, 0);
    cr_assert_eq(acknowledge(&f), 0x5f);
    apic_write(&f, EOI, 0);
    cr_assert(f.interrupt);
    lapic_cr8_write(apic_bus_get(f.board->apics, 0), 3);
    cr_assert(!f.interrupt, "the task priority holds 0x31 back");
    cr_assert_eq(apic_read(&f, TPR), 0x30);
    apic_write(&f, TPR, 0x2f);
    cr_assert_eq(lapic_cr8_read(apic_bus_get(f.board->apics, 0)), 2);
    cr_assert_eq(acknowledge(&f), 0x31);
    fixture_close(&f);
}

Test(apic, virtual_wire)
{
    struct fixture f;

    fixture_open(&f, 1);
    init_pic(&f, 1);
    pic_set_irq(f.board->pic, 4, true);
    cr_assert(f.interrupt, "software-disabled: the 8259s get through");
    apic_write(&f, SVR, 0x1ff);
    cr_assert(f.interrupt, "LINT0 is ExtINT after reset");
    apic_write(&f, LVT_LINT0, 0x10700);
    cr_assert(!f.interrupt);
    apic_write(&f, LVT_LINT0, 0x00700);
    send_self(&f, 0x40);
    cr_assert_eq(acknowledge(&f), 0x40, "the APIC's own first");
    cr_assert_eq(acknowledge(&f), 0x24);
    cr_assert_eq(acknowledge(&f), -1);
    apic_write(&f, SVR, 0xff);
    cr_assert_eq(apic_read(&f, LVT_LINT0), 0x10700, "disabling masks the LVT");
    apic_write(&f, LVT_LINT0, 0x700);
    cr_assert_eq(apic_read(&f, LVT_LINT0), 0x10700);
    fixture_close(&f);
}

Test(apic, timer_one_shot_and_periodic)
{
    struct fixture f;

    open_enabled(&f, 1);
    apic_write(&f, DIVIDE, 3); /* by 16 */
    apic_write(&f, LVT_TIMER, 0x40);
    apic_write(&f, INITIAL, 1000);
    fixture_advance(&f, 4000);
    cr_assert_eq(apic_read(&f, CURRENT), 750);
    fixture_advance(&f, 11999);
    cr_assert(!f.interrupt);
    fixture_advance(&f, 1);
    cr_assert_eq(acknowledge(&f), 0x40);
    apic_write(&f, EOI, 0);
    cr_assert_eq(apic_read(&f, CURRENT), 0);
    fixture_advance(&f, 100 * MS);
    cr_assert(!f.interrupt);
    apic_write(&f, DIVIDE, 0xb); /* by 1 */
    apic_write(&f, LVT_TIMER, 0x20041);
    apic_write(&f, INITIAL, 1000000);
    for (int i = 0; i < 10; i++) {
        fixture_advance(&f, MS);
        cr_assert_eq(acknowledge(&f), 0x41);
        cr_assert_eq(acknowledge(&f), -1);
        apic_write(&f, EOI, 0);
    }
    apic_write(&f, LVT_TIMER, 0x30041);
    fixture_advance(&f, 10 * MS);
    cr_assert(!f.interrupt, "masked");
    apic_write(&f, LVT_TIMER, 0x20041);
    fixture_advance(&f, 2 * MS);
    cr_assert(f.interrupt);
    apic_write(&f, INITIAL, 0);
    cr_assert_eq(timer_next_deadline(&f.board->timers), TIMER_NEVER);
    fixture_close(&f);
}

Test(apic, tsc_deadline)
{
    struct fixture f;
    struct lapic *lapic;
    uint64_t value;

    open_enabled(&f, 1);
    lapic = apic_bus_get(f.board->apics, 0);
    cr_assert(lapic_msr_write(lapic, MSR_TSC_DEADLINE, f.now + 5000));
    cr_assert(lapic_msr_read(lapic, MSR_TSC_DEADLINE, &value));
    cr_assert_eq(value, 0, "not in this mode");
    apic_write(&f, LVT_TIMER, 0x40042);
    lapic_msr_write(lapic, MSR_TSC_DEADLINE, f.now + 5000);
    fixture_advance(&f, 4999);
    cr_assert(!f.interrupt);
    fixture_advance(&f, 1);
    cr_assert_eq(acknowledge(&f), 0x42);
    lapic_msr_read(lapic, MSR_TSC_DEADLINE, &value);
    cr_assert_eq(value, 0);
    apic_write(&f, EOI, 0);
    lapic_msr_write(lapic, MSR_TSC_DEADLINE, f.now - 1);
    cr_assert_eq(acknowledge(&f), 0x42, "the past fires at once");
    apic_write(&f, EOI, 0);
    lapic_msr_write(lapic, MSR_TSC_DEADLINE, f.now + 5000);
    lapic_msr_write(lapic, MSR_TSC_DEADLINE, 0);
    fixture_advance(&f, MS);
    cr_assert(!f.interrupt, "0 disarms");
    fixture_close(&f);
}

Test(apic, several_processors)
{
    struct fixture f;

    open_enabled(&f, 4);
    apic_write(&f, ICR_HIGH, 2u << 24);
    apic_write(&f, ICR, 0x4045);
    cr_assert(lapic_is_pending(apic_bus_get(f.board->apics, 2)));
    cr_assert(!lapic_is_pending(apic_bus_get(f.board->apics, 1)));
    apic_write(&f, ICR, 0xc4046); /* all but self */
    cr_assert(!f.interrupt);
    cr_assert_eq(lapic_acknowledge(apic_bus_get(f.board->apics, 1)), 0x46);
    apic_write(&f, ICR, 0xc4500); /* INIT */
    cr_assert_eq(f.signals[APIC_INIT], 3);
    apic_write(&f, ICR, 0xc4609);
    cr_assert_eq(f.signals[APIC_STARTUP], 3);
    cr_assert_eq(f.signal_vector, 9);
    apic_write(&f, ICR, 0x8500);
    cr_assert_eq(f.signals[APIC_INIT], 3, "a de-assert is nothing");
    apic_write(&f, ICR, 0x44400);
    cr_assert_eq(f.signals[APIC_NMI], 1);
    apic_bus_set_current(f.board->apics, 3);
    cr_assert_eq(apic_read(&f, ID), 3u << 24);
    fixture_close(&f);
}

Test(apic, logical_destinations)
{
    struct fixture f;
    struct apic_message message = {.logical = true, .vector = 0x50, .delivery = APIC_FIXED};

    open_enabled(&f, 2);
    apic_write(&f, 0xe0, 0xffffffff);
    apic_write(&f, 0xd0, 0x05000000);
    message.destination = 2;
    cr_assert(!apic_bus_deliver(f.board->apics, &message));
    message.destination = 4;
    cr_assert(apic_bus_deliver(f.board->apics, &message));
    cr_assert_eq(acknowledge(&f), 0x50);
    apic_write(&f, EOI, 0);
    apic_write(&f, 0xe0, 0x0fffffff);
    apic_write(&f, 0xd0, 0x21000000);
    message.destination = 0x11;
    cr_assert(!apic_bus_deliver(f.board->apics, &message));
    message.destination = 0x23;
    cr_assert(apic_bus_deliver(f.board->apics, &message));
    fixture_close(&f);
}

Test(apic, x2apic)
{
    struct fixture f;
    struct lapic *lapic;
    uint64_t base, value;

    fixture_open(&f, 2);
    lapic = apic_bus_get(f.board->apics, 1);
    cr_assert(!lapic_msr_read(lapic, 0x802, &value), "not in this mode");
    cr_assert(lapic_msr_read(lapic, MSR_APIC_BASE, &base));
    cr_assert_eq(base, 0xfee00800);
    cr_assert(!lapic_msr_write(lapic, MSR_APIC_BASE, (base & ~0x800ull) | 0x400));
    cr_assert(lapic_msr_write(lapic, MSR_APIC_BASE, base | 0x400));
    cr_assert(!lapic_msr_write(lapic, MSR_APIC_BASE, base), "not back directly");
    cr_assert(lapic_msr_read(lapic, 0x802, &value));
    cr_assert_eq(value, 1);
    cr_assert(lapic_msr_read(lapic, 0x80d, &value));
    cr_assert_eq(value, 2);
    cr_assert(!lapic_msr_write(lapic, 0x80d, 1), "LDR is read-only");
    cr_assert(!lapic_msr_write(lapic, 0x80b, 1), "EOI takes only 0");
    cr_assert(!lapic_msr_write(lapic, 0x808, 1ull << 32));
    cr_assert(!lapic_msr_read(lapic, 0x831, &value));
    cr_assert(lapic_msr_write(lapic, 0x80f, 0x1ff));
    cr_assert(lapic_msr_write(lapic, 0x83f, 0x66));
    cr_assert_eq(lapic_acknowledge(lapic), 0x66);
    cr_assert(lapic_msr_write(lapic, 0x80b, 0));
    cr_assert(lapic_msr_write(lapic, 0x830, 0x100000000ull | 0x67));
    cr_assert_eq(lapic_acknowledge(lapic), 0x67);
    apic_bus_set_current(f.board->apics, 1);
    cr_assert_eq(apic_read(&f, ID), UINT32_MAX, "no MMIO in this mode");
    cr_assert(lapic_msr_write(lapic, MSR_APIC_BASE, base & ~0x800ull));
    cr_assert(lapic_msr_write(lapic, MSR_APIC_BASE, base));
    fixture_close(&f);
}

Test(apic, errors)
{
    struct fixture f;

    open_enabled(&f, 1);
    apic_write(&f, 0x370, 0x3e);
    send_self(&f, 5);
    cr_assert_eq(apic_read(&f, ESR), 0);
    apic_write(&f, ESR, 0);
    cr_assert_eq(apic_read(&f, ESR), 0x20, "sent an illegal vector");
    cr_assert_eq(acknowledge(&f), 0x3e);
    apic_read(&f, 0x3f0);
    apic_write(&f, ESR, 0);
    cr_assert_eq(apic_read(&f, ESR), 0x80, "no such register");
    apic_write(&f, 0x370, 0x05);
    send_self(&f, 5);
    fixture_close(&f);
}

Test(ioapic, edge)
{
    struct fixture f;

    open_enabled(&f, 1);
    cr_assert_eq(ioapic_read_register(&f, 1), 0x170011);
    cr_assert_eq(ioapic_read_register(&f, 0x10 + 2 * 4), 0x10000);
    ioapic_write_register(&f, 0x10 + 2 * 4, 0x34);
    ioapic_set_irq(f.board->ioapic, 4, true);
    cr_assert_eq(acknowledge(&f), 0x34);
    ioapic_set_irq(f.board->ioapic, 4, true);
    apic_write(&f, EOI, 0);
    cr_assert_eq(acknowledge(&f), -1, "no new edge");
    ioapic_set_irq(f.board->ioapic, 4, false);
    ioapic_write_register(&f, 0x10 + 2 * 4, 0x10034);
    ioapic_set_irq(f.board->ioapic, 4, true);
    cr_assert_eq(acknowledge(&f), -1);
    ioapic_write_register(&f, 0x10 + 2 * 4, 0x34);
    cr_assert_eq(acknowledge(&f), 0x34, "the edge was kept");
    fixture_close(&f);
}

Test(ioapic, level_and_remote_irr)
{
    struct fixture f;

    open_enabled(&f, 1);
    ioapic_write_register(&f, 0x10 + 2 * 9, 0x8039);
    ioapic_set_irq(f.board->ioapic, 9, true);
    cr_assert_eq(ioapic_read_register(&f, 0x10 + 2 * 9), 0xc039);
    cr_assert_eq(acknowledge(&f), 0x39);
    cr_assert_eq(apic_read(&f, TMR + 0x10), 1u << 25);
    ioapic_set_irq(f.board->ioapic, 9, false);
    ioapic_set_irq(f.board->ioapic, 9, true);
    cr_assert_eq(apic_read(&f, IRR + 0x10), 0, "remote IRR holds it");
    apic_write(&f, EOI, 0);
    cr_assert_eq(acknowledge(&f), 0x39, "the line is still up");
    ioapic_set_irq(f.board->ioapic, 9, false);
    apic_write(&f, EOI, 0);
    cr_assert(!f.interrupt);
    cr_assert_eq(ioapic_read_register(&f, 0x10 + 2 * 9), 0x8039);
    ioapic_set_irq(f.board->ioapic, 9, true);
    ioapic_write_register(&f, 0x10 + 2 * 9, 0x10039);
    cr_assert_eq(ioapic_read_register(&f, 0x10 + 2 * 9), 0x10039, "edge mode clears remote IRR");
    fixture_close(&f);
}

Test(ioapic, isa_timer_comes_on_input_2)
{
    struct fixture f;

    open_enabled(&f, 1);
    ioapic_write_register(&f, 0x14, 0x30);
    out8(&f, 0x43, 0x34);
    out8(&f, 0x40, 0xe8);
    out8(&f, 0x40, 0x03);
    fixture_advance(&f, MS);
    cr_assert_eq(acknowledge(&f), 0x30);
    fixture_close(&f);
}
