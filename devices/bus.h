/*
 * bus.h - port and MMIO bus: finds the device of an access and cuts the access to the sizes it takes.
 *
 * What no device answers reads as all ones and swallows writes; it is counted, and logged once a port
 * (or page) under "unimp". The caller holds the machine's lock.
 */
#ifndef NOVT_DEVICES_BUS_H
#define NOVT_DEVICES_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/log.h"

/* A device's side. offset counts from the region's start. Accesses wider than max_size come in parts,
   lowest first; narrower ones than min_size come as an aligned min_size access (reads cut down, writes
   with zeros in the other bytes). Zero means 1 for min_size and 4 for max_size. Either may be NULL. */
struct bus_ops {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    uint8_t min_size, max_size;
};

struct bus;

struct bus_stats {
    uint64_t io_reads, io_writes, mmio_reads, mmio_writes;
    uint64_t unassigned; /* accesses that no device answered, wholly or in part */
};

/* log_all: each access is logged, under "io". NULL when out of memory. Free with bus_destroy; devices stay their
   owners'. */
struct bus *bus_create(struct device_log log, bool log_all);
void bus_destroy(struct bus *bus);

/* ops must outlive the bus. Errors: -EINVAL (bad range), -EEXIST (overlaps another region), -ENOMEM. */
int bus_add_io(struct bus *bus, uint16_t first_port, unsigned count, const struct bus_ops *ops, void *opaque);
int bus_add_mmio(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops, void *opaque);

/* size: 1, 2 or 4; for MMIO also 8. */
uint32_t bus_io_read(struct bus *bus, uint16_t port, unsigned size);
void bus_io_write(struct bus *bus, uint16_t port, uint32_t value, unsigned size);
uint64_t bus_mmio_read(struct bus *bus, uint64_t address, unsigned size);
void bus_mmio_write(struct bus *bus, uint64_t address, uint64_t value, unsigned size);

const struct bus_stats *bus_get_stats(const struct bus *bus);

#endif
