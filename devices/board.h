/*
 * board.h - the mainboard: every device of the PC, created and wired to each other.
 *
 * The machine fills a config and hooks, and routes: port and MMIO accesses to `bus`, the host timer to
 * `timers`, acknowledges, CR8 and MSRs to apic_bus_get(apics, cpu). One lock, the machine's, covers all
 * calls into the board and is held in all hooks.
 */
#ifndef NOVT_DEVICES_BOARD_H
#define NOVT_DEVICES_BOARD_H

#include "devices/bus.h"
#include "devices/chardev.h"
#include "devices/debug_port.h"
#include "devices/fw_cfg.h"
#include "devices/i8042.h"
#include "devices/ioapic.h"
#include "devices/irq.h"
#include "devices/lapic.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/pm.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "devices/timer.h"
#include "memory/error.h"

#define BOARD_SERIAL_PORTS 4

struct board_hooks {
    uint64_t (*clock)(void *opaque); /* NULL: CLOCK_MONOTONIC */
    void (*timer_rearm)(void *opaque, uint64_t deadline_ns);
    void (*interrupt)(void *opaque, unsigned cpu, bool level); /* the vCPU's INTR */
    void (*signal)(void *opaque, unsigned cpu, enum apic_delivery what, uint8_t vector);
    uint64_t (*tsc_to_ns)(void *opaque, unsigned cpu, uint64_t tsc);
    void (*set_a20)(void *opaque, bool on);
    void (*power_off)(void *opaque); /* these three ask and must return */
    void (*reset)(void *opaque);
    void (*debug_exit)(void *opaque, int status);
    void (*log)(void *opaque, const char *topic, const char *text);
    /* Devices' own accesses to guest RAM; false where there is none. */
    bool (*memory_read)(void *opaque, uint64_t address, void *to, uint32_t size);
    bool (*memory_write)(void *opaque, uint64_t address, const void *from, uint32_t size);
    void *opaque;
};

struct board_config {
    unsigned cpus;
    struct rtc_config rtc;
    bool serial_present[BOARD_SERIAL_PORTS]; /* COM1 0x3f8, COM2 0x2f8, COM3 0x3e8, COM4 0x2e8 */
    struct chardev serial[BOARD_SERIAL_PORTS];
    struct chardev debug_console; /* 0xe9 and 0x402; absent when its write is NULL */
    uint16_t debug_exit_port;     /* isa-debug-exit; absent when debug_exit_size is 0 */
    unsigned debug_exit_size;
    bool log_io; /* every access to the bus, under the topic "io" */
};

struct board {
    struct bus *bus;
    struct timer_queue timers;
    struct pic *pic;
    struct ioapic *ioapic;
    struct apic_bus *apics;
    struct pit *pit;
    struct rtc *rtc;
    struct pm *pm;
    struct i8042 *i8042;
    struct fw_cfg *fw_cfg;
    struct serial *serial[BOARD_SERIAL_PORTS]; /* NULL where absent */
    struct debug_console *debug_console[2];
    struct debug_exit *debug_exit;
    struct isa_irqs isa;
    struct board_hooks hooks;
};

/* NULL with the text in *error when a port is taken twice or memory is short. Free with board_destroy. */
struct board *board_create(const struct board_config *config, const struct board_hooks *hooks,
                           struct error *error);
void board_destroy(struct board *board);
/* All devices to their reset state, as the RESET line does. */
void board_reset(struct board *board);

#endif
