/*
 * debug_port.c - debug consoles, delay ports, isa-debug-exit.
 *
 * Interface: debug_console_create, delay_ports_create, debug_exit_create. None has state to save.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/debug_port.h"

struct debug_console {
    struct chardev chardev;
};

static uint64_t console_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0xe9;
}

static void console_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_console *console = opaque;
    uint8_t byte = (uint8_t)value;

    chardev_write(&console->chardev, &byte, 1);
}

static const struct bus_ops console_ops = {console_read, console_write, 1, 1};

struct debug_console *debug_console_create(struct bus *bus, uint16_t port, struct chardev chardev)
{
    struct debug_console *console = calloc(1, sizeof *console);

    if (!console)
        return NULL;
    console->chardev = chardev;
    if (bus_add_io(bus, port, 1, &console_ops, console) < 0) {
        free(console);
        return NULL;
    }
    return console;
}

void debug_console_destroy(struct debug_console *console)
{
    free(console);
}

/* Kernels write here to wait for a slow bus; what they write means nothing. */
static const struct bus_ops delay_ops = {NULL, NULL, 1, 1};

int delay_ports_create(struct bus *bus)
{
    int status = bus_add_io(bus, 0x80, 1, &delay_ops, NULL);

    return status < 0 ? status : bus_add_io(bus, 0xed, 1, &delay_ops, NULL);
}

struct debug_exit {
    void (*leave)(void *opaque, int status);
    void *opaque;
    struct bus_ops ops; /* its own, since the width is the user's choice */
};

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_exit *device = opaque;

    if (device->leave)
        device->leave(device->opaque, (int)(((uint32_t)value << 1) | 1));
}

struct debug_exit *debug_exit_create(struct bus *bus, uint16_t port, unsigned size,
                                     void (*leave)(void *opaque, int status), void *opaque)
{
    struct debug_exit *device;

    if (size != 1 && size != 2 && size != 4)
        return NULL;
    device = calloc(1, sizeof *device);
    if (!device)
        return NULL;
    device->leave = leave;
    device->opaque = opaque;
    device->ops = (struct bus_ops){debug_exit_read, debug_exit_write, 1, (uint8_t)size};
    if (bus_add_io(bus, port, size, &device->ops, device) < 0) {
        free(device);
        return NULL;
    }
    return device;
}

void debug_exit_destroy(struct debug_exit *device)
{
    free(device);
}
