/*
 * bus.c - port and MMIO bus.
 *
 * Interface: bus_create, bus_add_io, bus_add_mmio, bus_io_read/write, bus_mmio_read/write.
 * Invariants: the regions of a space are sorted and do not overlap; a device sees only accesses of a size
 * between its min_size and max_size, aligned to that size within its region.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/bus.h"

struct region {
    uint64_t start, size;
    const struct bus_ops *ops;
    void *opaque;
};

struct space {
    struct region *regions;
    unsigned count, last; /* last: index of the region found last, likely wanted again */
    uint8_t *seen;        /* bitmap of 65536 ports, or pages by hash: logged already */
};

struct bus {
    struct space io, mmio;
    struct device_log log;
    bool log_all;
    struct bus_stats stats;
};

#define SEEN_BITS 65536u

struct bus *bus_create(struct device_log log, bool log_all)
{
    struct bus *bus = calloc(1, sizeof *bus);

    if (!bus)
        return NULL;
    bus->log = log;
    bus->log_all = log_all;
    bus->io.seen = calloc(SEEN_BITS / 8, 1);
    bus->mmio.seen = calloc(SEEN_BITS / 8, 1);
    if (!bus->io.seen || !bus->mmio.seen) {
        bus_destroy(bus);
        return NULL;
    }
    return bus;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    free(bus->io.seen);
    free(bus->mmio.seen);
    free(bus->io.regions);
    free(bus->mmio.regions);
    free(bus);
}

static int space_add(struct space *space, struct region new)
{
    unsigned at = 0;
    struct region *regions;

    while (at < space->count && space->regions[at].start < new.start)
        at++;
    if (at<space->count &&new.start + new.size> space->regions[at].start)
        return -EEXIST;
    if (at > 0 && space->regions[at - 1].start + space->regions[at - 1].size > new.start)
        return -EEXIST;
    regions = realloc(space->regions, (space->count + 1) * sizeof *regions);
    if (!regions)
        return -ENOMEM;
    memmove(regions + at + 1, regions + at, (space->count - at) * sizeof *regions);
    regions[at] = new;
    space->regions = regions;
    space->count++;
    return 0;
}

int bus_add_io(struct bus *bus, uint16_t first_port, unsigned count, const struct bus_ops *ops, void *opaque)
{
    if (count == 0 || first_port + count > 0x10000u)
        return -EINVAL;
    return space_add(&bus->io, (struct region){first_port, count, ops, opaque});
}

int bus_add_mmio(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops, void *opaque)
{
    if (size == 0 || start + size < start)
        return -EINVAL;
    return space_add(&bus->mmio, (struct region){start, size, ops, opaque});
}

static const struct region *find(struct space *space, uint64_t address)
{
    unsigned low = 0, high = space->count;

    if (space->last < space->count &&
        address - space->regions[space->last].start < space->regions[space->last].size)
        return &space->regions[space->last];
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct region *region = &space->regions[middle];

        if (address < region->start) {
            high = middle;
        } else if (address - region->start >= region->size) {
            low = middle + 1;
        } else {
            space->last = middle;
            return region;
        }
    }
    return NULL;
}

/* Largest aligned power of two that fits the rest of the access, the device and the region. */
static unsigned part_size(const struct region *region, uint64_t offset, unsigned left)
{
    unsigned max = region->ops->max_size ? region->ops->max_size : 4, part = 8;

    while (part > left || part > max || part > region->size - offset || offset & (part - 1))
        part /= 2;
    return part;
}

static uint64_t region_read(const struct region *region, uint64_t offset, unsigned size)
{
    unsigned min = region->ops->min_size;
    uint64_t value;

    if (!region->ops->read)
        return UINT64_MAX;
    if (size >= min)
        return region->ops->read(region->opaque, offset, size);
    value = region->ops->read(region->opaque, offset & ~(uint64_t)(min - 1), min);
    return value >> 8 * (offset & (min - 1));
}

static void region_write(const struct region *region, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned min = region->ops->min_size;

    if (!region->ops->write)
        return;
    if (size < min) {
        value <<= 8 * (offset & (min - 1));
        offset &= ~(uint64_t)(min - 1);
        size = min;
    }
    region->ops->write(region->opaque, offset, value, size);
}

static uint64_t size_mask(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static uint64_t space_read(struct space *space, uint64_t address, unsigned size, bool *unassigned)
{
    uint64_t value = 0;

    for (unsigned done = 0, part; done < size; done += part) {
        const struct region *region = find(space, address + done);
        uint64_t piece;

        if (region) {
            uint64_t offset = address + done - region->start;

            part = part_size(region, offset, size - done);
            piece = region_read(region, offset, part) & size_mask(part);
        } else {
            part = 1;
            piece = 0xff;
            *unassigned = true;
        }
        value |= piece << 8 * done;
    }
    return value;
}

static void space_write(struct space *space, uint64_t address, uint64_t value, unsigned size, bool *unassigned)
{
    for (unsigned done = 0, part; done < size; done += part) {
        const struct region *region = find(space, address + done);

        if (region) {
            uint64_t offset = address + done - region->start;

            part = part_size(region, offset, size - done);
            region_write(region, offset, value >> 8 * done & size_mask(part), part);
        } else {
            part = 1;
            *unassigned = true;
        }
    }
}

/* True the first time a bit is asked for. */
static bool first_time(struct space *space, uint64_t number)
{
    uint8_t *byte = &space->seen[number % SEEN_BITS / 8], bit = 1u << number % 8;
    bool first = !(*byte & bit);

    *byte |= bit;
    return first;
}

static void note_unassigned(struct bus *bus, bool mmio, uint64_t address, unsigned size, bool write)
{
    struct space *space = mmio ? &bus->mmio : &bus->io;
    uint64_t number = mmio ? (address >> 12) ^ (address >> 28) : address;

    bus->stats.unassigned++;
    if (first_time(space, number))
        device_log(&bus->log, "unimp", "no device at %s 0x%llx (%s of %u bytes)", mmio ? "address" : "port",
                   (unsigned long long)address, write ? "write" : "read", size);
}

static void log_access(const struct bus *bus, const char *what, uint64_t address, uint64_t value, unsigned size)
{
    if (bus->log_all)
        device_log(&bus->log, "io", "%s 0x%04llx size %u value 0x%0*llx", what, (unsigned long long)address, size,
                   (int)size * 2, (unsigned long long)value);
}

uint32_t bus_io_read(struct bus *bus, uint16_t port, unsigned size)
{
    bool unassigned = false;
    uint64_t value = space_read(&bus->io, port, size, &unassigned);

    bus->stats.io_reads++;
    if (unassigned)
        note_unassigned(bus, false, port, size, false);
    log_access(bus, "in", port, value, size);
    return (uint32_t)value;
}

void bus_io_write(struct bus *bus, uint16_t port, uint32_t value, unsigned size)
{
    bool unassigned = false;

    bus->stats.io_writes++;
    log_access(bus, "out", port, value, size);
    space_write(&bus->io, port, value, size, &unassigned);
    if (unassigned)
        note_unassigned(bus, false, port, size, true);
}

uint64_t bus_mmio_read(struct bus *bus, uint64_t address, unsigned size)
{
    bool unassigned = false;
    uint64_t value = space_read(&bus->mmio, address, size, &unassigned);

    bus->stats.mmio_reads++;
    if (unassigned)
        note_unassigned(bus, true, address, size, false);
    log_access(bus, "mmio read", address, value, size);
    return value;
}

void bus_mmio_write(struct bus *bus, uint64_t address, uint64_t value, unsigned size)
{
    bool unassigned = false;

    bus->stats.mmio_writes++;
    log_access(bus, "mmio write", address, value, size);
    space_write(&bus->mmio, address, value, size, &unassigned);
    if (unassigned)
        note_unassigned(bus, true, address, size, true);
}

const struct bus_stats *bus_get_stats(const struct bus *bus)
{
    return &bus->stats;
}
