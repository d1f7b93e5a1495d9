/*
 * machine.c - console, PIT, command line and power of the guest's machine: novt, QEMU, Bochs, or a PC.
 *
 * Interface: machine.h, and guest_put of guest.h.
 * Invariants: nothing here needs interrupts; every wait ends on such a machine.
 */
#include "guest/machine.h"

#define COM1 0x3f8
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define CALIBRATIONS 3
#define CALIBRATION_COUNT 19886u /* the PIT's clocks in 16.7 ms */

#define PVH_MAGIC 0x336ec578u
#define PVH_COMMAND_LINE 24 /* offset in struct hvm_start_info: 64-bit address */
#define MULTIBOOT_HAS_COMMAND_LINE 4u
#define MULTIBOOT_COMMAND_LINE 16

void guest_start_console(void)
{
    outb(COM1 + 1, 0);    /* no interrupts */
    outb(COM1 + 3, 0x80); /* DLAB: 115200 Bd */
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3); /* 8 bits, no parity, 1 stop bit */
    outb(COM1 + 2, 7); /* FIFOs on and empty */
}

void guest_put(const char *text)
{
    for (; *text; text++) {
        while (!(inb(COM1 + 5) & LSR_THRE))
            ;
        outb(COM1, (uint8_t)*text);
    }
}

/* TSC cycles that channel 2 counts down in, its gate and its output being in port 0x61. */
static uint64_t calibrate(void)
{
    uint64_t begin;

    outb(0x61, (inb(0x61) & ~2) | 1); /* speaker off, gate on */
    outb(0x43, 0xb0);                 /* channel 2, both bytes, mode 0 */
    outb(0x42, CALIBRATION_COUNT & 0xff);
    outb(0x42, CALIBRATION_COUNT >> 8);
    begin = guest_tsc();
    while (!(inb(0x61) & 0x20))
        ;
    return guest_tsc() - begin;
}

/* The least of some: when the host is busy, the end is seen late, but never early. */
static uint64_t measure_hz(void)
{
    uint64_t least = UINT64_MAX, cycles;
    unsigned i;

    for (i = 0; i < CALIBRATIONS; i++) {
        cycles = calibrate();
        least = cycles < least ? cycles : least;
    }
    return least * PIT_HZ / CALIBRATION_COUNT;
}

uint64_t guest_tsc_hz(void)
{
    static uint64_t hz;

    if (!hz)
        hz = measure_hz();
    return hz;
}

void guest_start_timer(uint16_t count)
{
    outb(0x43, 0x30); /* channel 0, both bytes, mode 0 */
    outb(0x40, count & 0xff);
    outb(0x40, (uint8_t)(count >> 8));
}

/* The address of the boot loader's copy, 0 for none. PVH's information begins with a magic number. */
static uint64_t command_line_address(void)
{
    const uint8_t *info = (const uint8_t *)(uint64_t)guest_boot_info;
    uint32_t first;
    uint64_t address = 0;

    __builtin_memcpy(&first, info, 4);
    if (first == PVH_MAGIC)
        __builtin_memcpy(&address, info + PVH_COMMAND_LINE, 8);
    else if (first & MULTIBOOT_HAS_COMMAND_LINE)
        __builtin_memcpy(&address, info + MULTIBOOT_COMMAND_LINE, 4);
    return address;
}

/* A copy, as the loader's lies where it likes, which may be in memory that is used later. */
const char *guest_command_line(void)
{
    static char copy[512];
    const char *line = (const char *)command_line_address();
    unsigned i;

    for (i = 0; line && line[i] && i < sizeof copy - 1; i++)
        copy[i] = line[i];
    return copy;
}

/* ACPI's PM1a control register, soft off being type 0 in QEMU and 5 in novt; isa-debug-exit; Bochs's port. A PC
 * stands still. */
void guest_power_off(void)
{
    const char *text;

    while (!(inb(COM1 + 5) & LSR_TEMT))
        ;
    outw(0x604, 0x2000);
    outw(0x604, 0x3400);
    outb(0xf4, 0);
    for (text = "Shutdown"; *text; text++)
        outb(0x8900, (uint8_t)*text);
    for (;;)
        __asm__ volatile("cli; hlt");
}
