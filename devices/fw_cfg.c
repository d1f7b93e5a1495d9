/*
 * fw_cfg.c - QEMU's firmware configuration device (QEMU's docs/specs/fw_cfg.rst).
 *
 * Interface: fw_cfg_create, fw_cfg_add, fw_cfg_add_file. A 16-bit write to 0x510 selects an item, each byte read
 * from 0x511 is its next one; the two halves of an address, big-endian, at 0x514 and 0x518 start a copy that the
 * structure there describes. Items are read-only. Invariants: the directory is an item like the others and always
 * lists all files; nothing beyond an item's size is ever read: it is zeros.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/fw_cfg.h"

#define DMA_ERROR 1u
#define DMA_READ 2u
#define DMA_SKIP 4u
#define DMA_SELECT 8u
#define DMA_WRITE 16u
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */
#define ID_PORTS_AND_DMA 3u
#define CHUNK 4096u

struct item {
    uint16_t key;
    uint32_t size;
    const uint8_t *data;
};

/* Big-endian, as the guest reads it. */
struct directory_entry {
    uint32_t size;
    uint16_t key, reserved;
    char name[FW_CFG_NAME];
};

struct directory {
    uint32_t count;
    struct directory_entry entry[FW_CFG_ITEMS];
};

struct fw_cfg {
    struct fw_cfg_state state;
    struct fw_cfg_memory memory;
    struct item item[FW_CFG_ITEMS];
    unsigned count, files;
    struct directory directory;
};

struct request { /* big-endian, in the guest's memory */
    uint32_t control, length;
    uint64_t address;
};

static struct item *find(struct fw_cfg *f, uint16_t key)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->item[i].key == key)
            return &f->item[i];
    return NULL;
}

static void select_item(struct fw_cfg *f, uint16_t key)
{
    f->state.key = key;
    f->state.offset = 0;
}

/* The selected item's next bytes, zeros behind its end. */
static void next_bytes(struct fw_cfg *f, uint8_t *to, uint32_t size)
{
    const struct item *item = find(f, f->state.key);
    uint32_t left = item && f->state.offset < item->size ? item->size - f->state.offset : 0;
    uint32_t real = size < left ? size : left;

    if (real)
        memcpy(to, item->data + f->state.offset, real);
    memset(to + real, 0, size - real);
    f->state.offset += real;
}

/* --- ports 0x510 and 0x511 --- */

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t byte = 0;

    if (size == 1)
        next_bytes(opaque, &byte, 1);
    return byte;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    if (size == 2)
        select_item(opaque, (uint16_t)value);
}

static const struct bus_ops port_ops = {port_read, port_write, 1, 2};

/* --- the copying interface at 0x514 --- */

static bool copy_out(struct fw_cfg *f, uint64_t address, uint32_t length)
{
    uint8_t bytes[CHUNK];

    while (length) {
        uint32_t part = length < CHUNK ? length : CHUNK;

        next_bytes(f, bytes, part);
        if (!f->memory.write || !f->memory.write(f->memory.opaque, address, bytes, part))
            return false;
        address += part;
        length -= part;
    }
    return true;
}

static void skip(struct fw_cfg *f, uint32_t length)
{
    const struct item *item = find(f, f->state.key);
    uint32_t left = item && f->state.offset < item->size ? item->size - f->state.offset : 0;

    f->state.offset += length < left ? length : left;
}

static bool serve(struct fw_cfg *f, const struct request *request)
{
    uint32_t control = be32toh(request->control), length = be32toh(request->length);

    if (control & DMA_SELECT)
        select_item(f, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        return copy_out(f, be64toh(request->address), length);
    if (control & DMA_SKIP)
        skip(f, length);
    return !(control & DMA_WRITE) || length == 0; /* items cannot be written */
}

static void start(struct fw_cfg *f, uint64_t address)
{
    struct request request;
    uint32_t done;

    if (!f->memory.read || !f->memory.read(f->memory.opaque, address, &request, sizeof request))
        return;
    done = htobe32(serve(f, &request) ? 0 : DMA_ERROR);
    f->memory.write(f->memory.opaque, address, &done, sizeof done);
}

static uint64_t dma_read(void *opaque, uint64_t offset, unsigned size)
{
    return htobe64(DMA_SIGNATURE) >> 8 * offset;
}

static void dma_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fw_cfg *f = opaque;
    uint64_t address;

    if (size != 4)
        return;
    if (offset == 0) {
        f->state.address_high = be32toh((uint32_t)value);
        return;
    }
    address = (uint64_t)f->state.address_high << 32 | be32toh((uint32_t)value);
    f->state.address_high = 0;
    start(f, address);
}

static const struct bus_ops dma_ops = {dma_read, dma_write, 1, 4};

/* --- items --- */

int fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *data, uint32_t size)
{
    if (find(f, key))
        return -EEXIST;
    if (f->count == FW_CFG_ITEMS)
        return -ENOSPC;
    f->item[f->count++] = (struct item){key, size, data};
    return 0;
}

int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t size)
{
    struct directory_entry *entry = &f->directory.entry[f->files];
    uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + f->files);
    int status;

    if (strlen(name) >= FW_CFG_NAME)
        return -EINVAL;
    status = fw_cfg_add(f, key, data, size);
    if (status)
        return status;
    entry->size = htobe32(size);
    entry->key = htobe16(key);
    strcpy(entry->name, name);
    f->directory.count = htobe32(++f->files);
    return 0;
}

static const uint32_t id = ID_PORTS_AND_DMA;

struct fw_cfg *fw_cfg_create(struct bus *bus, const struct fw_cfg_memory *memory)
{
    struct fw_cfg *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->memory = *memory;
    fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add(f, FW_CFG_ID, &id, sizeof id);
    fw_cfg_add(f, FW_CFG_DIRECTORY, &f->directory, sizeof f->directory);
    if (bus_add_io(bus, 0x510, 2, &port_ops, f) < 0 || bus_add_io(bus, 0x514, 8, &dma_ops, f) < 0) {
        free(f);
        return NULL;
    }
    return f;
}

void fw_cfg_destroy(struct fw_cfg *f)
{
    free(f);
}

void fw_cfg_reset(struct fw_cfg *f)
{
    f->state = (struct fw_cfg_state){0};
}

void fw_cfg_save(const struct fw_cfg *f, struct fw_cfg_state *state)
{
    *state = f->state;
}

void fw_cfg_load(struct fw_cfg *f, const struct fw_cfg_state *state)
{
    f->state = *state;
}
