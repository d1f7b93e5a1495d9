/*
 * firmware.c - tests of -bios and -device loader: what lies where, what is refused, and the items of fw_cfg.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "tests/unit/vmm/files.h"
#include "tests/unit/vmm/images.h"
#include "vmm/firmware.h"
#include "vmm/loader.h"

static struct error error;

/* A ROM of this size whose 64 KiB parts are filled with their numbers, from 1 on. */
static int open_rom(struct firmware *f, uint64_t size)
{
    uint8_t *bytes = malloc(size);
    const char *name;
    int status;

    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(1 + (i >> 16));
    name = files_make(bytes, size);
    free(bytes);
    status = firmware_open(f, &(struct firmware_options){.rom = name, .nographic = true, .acpi.cpus = 1}, &error);
    unlink(name);
    return status;
}

static uint8_t byte_at(const struct ram *ram, gpa_t at)
{
    const uint8_t *host = ram_host_readable(ram, at);

    cr_assert_not_null(host);
    return *host;
}

Test(firmware, places)
{
    static const struct {
        uint64_t size;
        gpa_t low;
        uint8_t first_low, last;
    } vectors[] = {
        {0x10000, 0xf0000, 1, 1}, {0x20000, 0xe0000, 1, 2}, {0x40000, 0xc0000, 1, 4}, {0x80000, 0xc0000, 5, 8}};

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct firmware f;
        struct ram ram;

        cr_assert_eq(open_rom(&f, vectors[i].size), 0, "%s", error.text);
        cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
        cr_assert_eq(firmware_load(&f, &ram, &error), 0, "%s", error.text);
        memset(ram_host(&ram, 0xf0000), 0, 0x10000);
        cr_assert_eq(firmware_load(&f, &ram, &error), 0, "again for a reset");
        cr_assert_eq(ram.rom_count, 1u);
        cr_assert_eq(byte_at(&ram, RAM_HOLE_END - vectors[i].size), 1);
        cr_assert_null(ram_host_readable(&ram, RAM_HOLE_END - vectors[i].size - 1));
        cr_assert_eq(byte_at(&ram, 0xfffffff0), vectors[i].last);
        cr_assert_eq(byte_at(&ram, vectors[i].low), vectors[i].first_low);
        cr_assert_eq(byte_at(&ram, vectors[i].low - 1), 0);
        cr_assert_eq(byte_at(&ram, 0xffff0), vectors[i].last);
        ram_destroy(&ram);
        firmware_close(&f);
    }
}

Test(firmware, sizes)
{
    struct firmware f;

    cr_assert_eq(open_rom(&f, 0x10001), -EINVAL);
    cr_assert_not_null(strstr(error.text, "65536"));
    cr_assert_eq(open_rom(&f, 0xffff), -EINVAL);
    cr_assert_eq(open_rom(&f, 0x1010000), -EINVAL);
    cr_assert_not_null(strstr(error.text, "16 MiB"));
    cr_assert_eq(open_rom(&f, 0x1000000), 0);
    firmware_close(&f);
}

static struct fw_cfg *make_fw_cfg(struct bus **bus)
{
    *bus = bus_create((struct device_log){0}, false);
    return fw_cfg_create(*bus, &(struct fw_cfg_memory){0});
}

static uint64_t item(struct bus *bus, uint16_t key, unsigned size)
{
    uint64_t value = 0;

    bus_io_write(bus, 0x510, key, 2);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bus_io_read(bus, 0x511, 1) << 8 * i;
    return value;
}

Test(firmware, items)
{
    uint8_t image[IMAGE_BZIMAGE_SIZE];
    const char *name, *initrd;
    struct firmware f;
    struct kernel kernel;
    struct fw_cfg *fw_cfg;
    struct bus *bus;
    struct ram ram;

    image_make_bzimage(image);
    name = files_make(image, sizeof image);
    initrd = files_make("initrd", 6);
    cr_assert_eq(kernel_open(&kernel, &(struct kernel_options){.image = name, .initrd = initrd, .append = "quiet"},
                             64 << 20, &error),
                 0);
    cr_assert_eq(open_rom(&f, 0x10000), 0);
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    fw_cfg = make_fw_cfg(&bus);
    cr_assert_eq(firmware_add_items(&f, fw_cfg, &ram, &kernel, &error), 0, "%s", error.text);
    cr_assert_eq(item(bus, FW_CFG_RAM_SIZE, 8), 16u << 20);
    cr_assert_eq(item(bus, FW_CFG_CPUS, 2), 1u);
    cr_assert_eq(item(bus, FW_CFG_KERNEL_SIZE, 4), 2560u);
    cr_assert_eq(item(bus, FW_CFG_SETUP_SIZE, 4), 1536u);
    cr_assert_eq(item(bus, FW_CFG_KERNEL_DATA, 4), (uint64_t)(1536 * 7 & 0xff) | 0x150e0700u);
    cr_assert_eq(item(bus, FW_CFG_INITRD_SIZE, 4), 6u);
    cr_assert_eq(item(bus, FW_CFG_INITRD_DATA, 6), 0x647274696e69u);
    cr_assert_eq(item(bus, FW_CFG_COMMAND_LINE_SIZE, 4), 6u);
    cr_assert_eq(item(bus, FW_CFG_COMMAND_LINE_DATA, 6), 0x007465697571u);
    item(bus, FW_CFG_SETUP_DATA, 0);
    for (unsigned i = 0; i < 0x210; i++)
        bus_io_read(bus, 0x511, 1);
    cr_assert_eq(bus_io_read(bus, 0x511, 1), 0xb0u);
    cr_assert_eq(bus_io_read(bus, 0x511, 1), 0x81u);
    fw_cfg_destroy(fw_cfg);
    bus_destroy(bus);
    ram_destroy(&ram);
    firmware_close(&f);
    kernel_close(&kernel);
    unlink(name);
    unlink(initrd);
}

Test(loader, properties)
{
    static const struct {
        const char *value, *words; /* words: of the error, NULL for none */
    } vectors[] = {
        {"file=x,addr=0x100", NULL},
        {"file=x,,y,addr=0x100,force-raw=on", NULL},
        {"addr=0x7c00,cpu-num=0", NULL},
        {"addr=1,data=255,data-len=1", NULL},
        {"addr=1,data=0xffffffffffffffff,data-len=8,data-be=on", NULL},
        {"file=x", "addr= is missing"},
        {"addr=1", "nothing to load"},
        {"addr=1,data=256,data-len=1", "wider"},
        {"addr=1,data=1", "go together"},
        {"addr=1,data-len=1", "go together"},
        {"addr=1,data=1,data-len=9", "1 to 8"},
        {"addr=1,data=1,data-len=0", "1 to 8"},
        {"addr=1,data=1,data-len=1,file=x", "give one"},
        {"addr=x,file=x", "give a number"},
        {"addr=1,file=", "the name of a file"},
        {"addr=1,file=x,cpu-num=1", "the only processor"},
        {"addr=0x100000,cpu-num=0", "real mode"},
        {"adr=1,file=x", "did you mean addr"},
        {"addr=1,file=x,force-raw=maybe", "on or off"},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct loader_options o;
        int status = loader_parse(&o, vectors[i].value, &error);

        cr_assert_eq(status, vectors[i].words ? -EINVAL : 0, "%s", vectors[i].value);
        if (vectors[i].words)
            cr_assert_not_null(strstr(error.text, vectors[i].words), "%s: %s", vectors[i].value, error.text);
    }
}

static int load(struct ram *ram, const char *value)
{
    struct loader_options o;
    struct loader l;
    int status;

    cr_assert_eq(loader_parse(&o, value, &error), 0, "%s", error.text);
    status = loader_open(&l, &o, 64 << 20, &error);
    if (!status)
        status = loader_load(&l, ram, &error);
    loader_close(&l);
    return status;
}

Test(loader, memory)
{
    char value[100];
    const char *name = files_make("hello", 5), *elf = files_make("\177ELF", 4);
    struct ram ram;

    cr_assert_eq(ram_create(&ram, 1 << 20, &error), 0);
    snprintf(value, sizeof value, "file=%s,addr=0xffe", name); /* across a page end */
    cr_assert_eq(load(&ram, value), 0, "%s", error.text);
    cr_assert_eq(memcmp(ram_host(&ram, 0xffe), "hello", 6), 0);
    cr_assert_eq(load(&ram, "addr=16,data=0x010203,data-len=3,data-be=on"), 0);
    cr_assert_eq(memcmp(ram_host(&ram, 16), "\1\2\3", 4), 0);
    cr_assert_eq(load(&ram, "addr=32,data=0x010203,data-len=4"), 0);
    cr_assert_eq(memcmp(ram_host(&ram, 32), "\3\2\1", 4), 0);
    snprintf(value, sizeof value, "file=%s,addr=0xffffc", name);
    cr_assert_eq(load(&ram, value), -EFBIG);
    cr_assert_eq(load(&ram, "addr=0xffffffffffffffff,data=1,data-len=1"), -EFBIG);
    memset(ram.host, 0xcc, 8);
    cr_assert_eq(load(&ram, "addr=0xfffffffffffffffe,data=1,data-len=8"), -EFBIG);
    cr_assert_eq(*ram.host, 0xcc, "it does not go on at address 0");
    snprintf(value, sizeof value, "file=%s,addr=0", elf);
    cr_assert_eq(load(&ram, value), -EINVAL);
    cr_assert_not_null(strstr(error.text, "force-raw"));
    snprintf(value, sizeof value, "file=%s,addr=0,force-raw=on", elf);
    cr_assert_eq(load(&ram, value), 0);
    cr_assert_eq(load(&ram, "file=/nonexistent/x,addr=0"), -ENOENT);
    unlink(name);
    unlink(elf);
    ram_destroy(&ram);
}

Test(loader, start)
{
    static struct cpu_model model;
    struct loader_options o;
    struct loader l;
    struct vcpu *v;
    struct ram ram;

    cr_assert_eq(ram_create(&ram, 1 << 20, &error), 0);
    v = vcpu_create(&ram, &model);
    cr_assert_eq(loader_parse(&o, "addr=0x57c00,cpu-num=0", &error), 0);
    cr_assert_eq(loader_open(&l, &o, 1 << 20, &error), 0);
    loader_start(&l, v);
    cr_assert_eq(v->seg[SEG_CS].selector, 0x5000);
    cr_assert_eq(v->seg[SEG_CS].base + v->rip, 0x57c00u);
    vcpu_destroy(v);
    ram_destroy(&ram);
}
