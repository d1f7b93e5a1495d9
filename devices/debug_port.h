/*
 * debug_port.h - small ports that carry no state: debug consoles 0xe9 and 0x402, delay ports 0x80 and
 * 0xed, and isa-debug-exit.
 */
#ifndef NOVT_DEVICES_DEBUG_PORT_H
#define NOVT_DEVICES_DEBUG_PORT_H

#include "devices/bus.h"
#include "devices/chardev.h"

struct debug_console;
/* Reads give 0xe9, by which firmware knows that somebody listens. */
struct debug_console *debug_console_create(struct bus *bus, uint16_t port, struct chardev chardev);
void debug_console_destroy(struct debug_console *console);

int delay_ports_create(struct bus *bus); /* 0x80, 0xed; nothing to free */

struct debug_exit;
/* A write of v asks for exit status (v << 1) | 1. size: 1, 2 or 4 ports. */
struct debug_exit *debug_exit_create(struct bus *bus, uint16_t port, unsigned size,
                                     void (*leave)(void *opaque, int status), void *opaque);
void debug_exit_destroy(struct debug_exit *device);

#endif
