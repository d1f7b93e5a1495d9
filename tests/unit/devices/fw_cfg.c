/*
 * fw_cfg.c - tests of the firmware configuration device: items by port, the directory, and copies to memory.
 */
#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "devices/fw_cfg.h"

struct request {
    uint32_t control, length;
    uint64_t address;
};

static uint8_t memory[0x4000];
static struct bus *bus;
static struct fw_cfg *fw_cfg;

static bool memory_read(void *opaque, uint64_t address, void *to, uint32_t size)
{
    if (address + size > sizeof memory)
        return false;
    memcpy(to, memory + address, size);
    return true;
}

static bool memory_write(void *opaque, uint64_t address, const void *from, uint32_t size)
{
    if (address + size > sizeof memory)
        return false;
    memcpy(memory + address, from, size);
    return true;
}

static void setup(void)
{
    const struct fw_cfg_memory hooks = {memory_read, memory_write, NULL};

    memset(memory, 0xcc, sizeof memory);
    bus = bus_create((struct device_log){0}, false);
    fw_cfg = fw_cfg_create(bus, &hooks);
    cr_assert_not_null(fw_cfg);
}

static void teardown(void)
{
    fw_cfg_destroy(fw_cfg);
    bus_destroy(bus);
}

TestSuite(fw_cfg, .init = setup, .fini = teardown);

static void read_item(uint16_t key, uint8_t *to, unsigned size)
{
    bus_io_write(bus, 0x510, key, 2);
    while (size--)
        *to++ = (uint8_t)bus_io_read(bus, 0x511, 1);
}

/* Returns the control field as the device leaves it. */
static uint32_t copy(uint32_t control, uint32_t length, uint64_t address, uint64_t at)
{
    struct request r = {htobe32(control), htobe32(length), htobe64(address)};

    if (at + sizeof r <= sizeof memory)
        memcpy(memory + at, &r, sizeof r);
    bus_io_write(bus, 0x514, htobe32((uint32_t)(at >> 32)), 4);
    bus_io_write(bus, 0x518, htobe32((uint32_t)at), 4);
    memcpy(&r, memory + (at & 0xfff), sizeof r);
    return be32toh(r.control);
}

Test(fw_cfg, items)
{
    uint8_t bytes[8];

    cr_assert_eq(fw_cfg_add(fw_cfg, 5, "abc", 3), 0);
    cr_assert_eq(fw_cfg_add(fw_cfg, 5, "abc", 3), -EEXIST);
    read_item(0, bytes, 5);
    cr_assert_eq(memcmp(bytes, "QEMU", 5), 0, "behind the end there are zeros");
    read_item(1, bytes, 4);
    cr_assert_eq(memcmp(bytes, "\3\0\0\0", 4), 0);
    read_item(5, bytes, 2);
    cr_assert_eq(memcmp(bytes, "ab", 2), 0);
    read_item(5, bytes, 2);
    cr_assert_eq(memcmp(bytes, "ab", 2), 0, "selecting starts over");
    cr_assert_eq(bus_io_read(bus, 0x511, 1), 'c');
    bus_io_write(bus, 0x511, 'x', 1);
    bus_io_write(bus, 0x510, 0, 1); /* half a selector selects nothing */
    read_item(5, bytes, 3);
    cr_assert_eq(memcmp(bytes, "abc", 3), 0, "nothing can be written");
    read_item(0x1234, bytes, 2);
    cr_assert_eq(memcmp(bytes, "\0\0", 2), 0);
    fw_cfg_reset(fw_cfg);
    cr_assert_eq(bus_io_read(bus, 0x511, 1), 'Q');
}

Test(fw_cfg, directory)
{
    uint8_t bytes[4 + 2 * 64];
    char name[FW_CFG_NAME + 1];
    uint32_t size;
    uint16_t key;

    cr_assert_eq(fw_cfg_add_file(fw_cfg, "etc/one", "1", 1), 0);
    cr_assert_eq(fw_cfg_add_file(fw_cfg, "etc/two", "22", 2), 0);
    memset(name, 'x', FW_CFG_NAME);
    name[FW_CFG_NAME] = '\0';
    cr_assert_eq(fw_cfg_add_file(fw_cfg, name, "3", 1), -EINVAL);
    read_item(FW_CFG_DIRECTORY, bytes, sizeof bytes);
    cr_assert_eq(memcmp(bytes, "\0\0\0\2", 4), 0);
    memcpy(&size, bytes + 4 + 64, sizeof size);
    memcpy(&key, bytes + 4 + 64 + 4, sizeof key);
    cr_assert_eq(be32toh(size), 2u);
    cr_assert_str_eq((char *)bytes + 4 + 64 + 8, "etc/two");
    read_item(be16toh(key), bytes, 2);
    cr_assert_eq(memcmp(bytes, "22", 2), 0);
}

Test(fw_cfg, full)
{
    unsigned n = 0;
    int status;

    while ((status = fw_cfg_add_file(fw_cfg, "f", "", 0)) == 0)
        n++;
    cr_assert_eq(status, -ENOSPC);
    cr_assert_eq(n, FW_CFG_ITEMS - 3u);
}

Test(fw_cfg, copies)
{
    static uint8_t big[0x2800];

    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 13);
    cr_assert_eq(fw_cfg_add(fw_cfg, 9, big, sizeof big), 0);
    cr_assert_eq(bus_io_read(bus, 0x514, 4), htobe32(0x51454d55));
    cr_assert_eq(bus_io_read(bus, 0x518, 4), htobe32(0x20434647));
    cr_assert_eq(copy(9 << 16 | 8 | 2, sizeof big, 0x1000, 0x100), 0u);
    cr_assert_eq(memcmp(memory + 0x1000, big, sizeof big), 0);
    cr_assert_eq(memory[0x1000 + sizeof big], 0xcc);
    cr_assert_eq(copy(9 << 16 | 8 | 4, 10, 0, 0x100), 0u); /* skip */
    cr_assert_eq(copy(2, 4, 0x200, 0x100), 0u);
    cr_assert_eq(memcmp(memory + 0x200, big + 10, 4), 0);
    cr_assert_eq(bus_io_read(bus, 0x511, 1), big[14], "both ways go on in the same place");
    cr_assert_eq(copy(9 << 16 | 8 | 4, 0x27fe, 0, 0x100), 0u);
    cr_assert_eq(copy(2, 8, 0x200, 0x100), 0u);
    cr_assert_eq(memcmp(memory + 0x200, big + 0x27fe, 2), 0);
    cr_assert_eq(memcmp(memory + 0x202, "\0\0\0\0\0\0", 6), 0, "zeros behind the end");
}

Test(fw_cfg, copies_that_fail)
{
    cr_assert_eq(fw_cfg_add(fw_cfg, 9, "abcd", 4), 0);
    cr_assert_eq(copy(9 << 16 | 8 | 16, 4, 0x200, 0x100), 1u, "items cannot be written");
    cr_assert_eq(copy(9 << 16 | 8 | 2, 4, sizeof memory - 2, 0x100), 1u, "no memory there");
    cr_assert_eq(copy(9 << 16 | 8 | 2, UINT32_MAX, 0x1000, 0x100), 1u, "and that ends");
    memset(memory, 0xcc, sizeof memory);
    copy(9 << 16 | 8 | 2, 4, 0x200, 1ull << 40 | 0x100); /* no request to read there: nothing happens */
    cr_assert_eq(memory[0x200], 0xcc);
    bus_io_write(bus, 0x518, 0xff, 1);
    cr_assert_eq(memory[0x200], 0xcc);
}

Test(fw_cfg, saved)
{
    struct fw_cfg_state state;

    bus_io_read(bus, 0x511, 1);
    fw_cfg_save(fw_cfg, &state);
    fw_cfg_reset(fw_cfg);
    fw_cfg_load(fw_cfg, &state);
    cr_assert_eq(bus_io_read(bus, 0x511, 1), 'E');
}
