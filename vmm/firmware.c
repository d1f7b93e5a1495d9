/*
 * firmware.c - -bios: the ROM in the guest's memory, and the items of fw_cfg that SeaBIOS and U-Boot read.
 *
 * Interface: firmware.h. The ROM ends at 4 GiB, where the processor starts 16 bytes below. Its last 256 KiB, or
 * all of a smaller one, are also in the RAM that ends at 1 MiB, as on a PC once its firmware has opened the shadow
 * RAM and has copied itself there: the board has no chipset registers to do so with, and firmware keeps its
 * variables there. Invariant: what fw_cfg hands out lives in struct firmware until firmware_close.
 */
#include "vmm/firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROM_UNIT 0x10000u
#define ROM_MAX 0x1000000u
#define BIOS_AREA_END 0x100000u
#define BIOS_AREA_SIZE 0x40000u
#define COM1 0x3f8u

/* Where a boot loader puts the parts of a Linux kernel (QEMU's, so that its option ROMs find their way). */
#define SETUP_ADDRESS 0x10000u
#define LINE_ADDRESS 0x20000u
#define KERNEL_ADDRESS 0x100000u

static int check_size(const struct image_file *file, struct error *error)
{
    if (file->size > ROM_MAX)
        return error_set(error, EINVAL, "-bios %s: its %llu KiB are more than the 16 MiB there are for a ROM",
                         file->name, (unsigned long long)(file->size >> 10));
    if (file->size % ROM_UNIT)
        return error_set(error, EINVAL,
                         "-bios %s: a ROM of %llu bytes, and ROMs have a multiple of 65536; give a whole image",
                         file->name, (unsigned long long)file->size);
    return 0;
}

int firmware_open(struct firmware *f, const struct firmware_options *options, struct error *error)
{
    struct image_file file;
    int status;

    *f = (struct firmware){.options = *options};
    if (!options->rom)
        return 0;
    status = image_file_open(&file, "-bios", options->rom, ROM_MAX, error);
    if (status)
        return status;
    status = check_size(&file, error);
    f->size = file.size;
    if (!status && !(f->rom = malloc(file.size)))
        status = error_set(error, ENOMEM, "-bios %s: no memory for its %llu bytes", file.name,
                           (unsigned long long)file.size);
    if (!status)
        status = image_file_read(&file, f->rom, error);
    image_file_close(&file);
    if (status)
        firmware_close(f);
    return status;
}

void firmware_close(struct firmware *f)
{
    free(f->rom);
    free(f->kernel);
    free(f->initrd);
    free(f->acpi);
    f->rom = f->kernel = f->initrd = NULL;
    f->acpi = NULL;
}

int firmware_load(struct firmware *f, struct ram *ram, struct error *error)
{
    uint64_t end = f->size < BIOS_AREA_SIZE ? f->size : BIOS_AREA_SIZE;
    int status = 0;

    if (!ram->rom_count)
        status = ram_add_rom(ram, RAM_HOLE_END - f->size, f->rom, f->size, error);
    if (!status)
        ram_copy_to(ram, BIOS_AREA_END - end, f->rom + f->size - end, end);
    return status;
}

/* --- fw_cfg --- */

/* The sticky result of adding items: full tables and taken keys are ours to avoid, so one text does for all. */
struct adder {
    struct fw_cfg *fw_cfg;
    int status;
};

static void add(struct adder *a, uint16_t key, const void *data, uint64_t size)
{
    if (!a->status)
        a->status = fw_cfg_add(a->fw_cfg, key, data, (uint32_t)size);
}

static void add_file(struct adder *a, const char *name, const void *data, uint64_t size)
{
    if (!a->status)
        a->status = fw_cfg_add_file(a->fw_cfg, name, data, (uint32_t)size);
}

static void add_machine(struct firmware *f, struct adder *a, const struct ram *ram)
{
    f->ram_size = ram->size;
    f->nographic = f->options.nographic;
    f->cpus = (uint16_t)f->options.acpi.cpus;
    f->irq0_override = 1; /* the timer is at the I/O APIC's input 2, as the ACPI tables say too */
    add(a, FW_CFG_UUID, f->uuid, sizeof f->uuid);
    add(a, FW_CFG_RAM_SIZE, &f->ram_size, sizeof f->ram_size);
    add(a, FW_CFG_NOGRAPHIC, &f->nographic, sizeof f->nographic);
    add(a, FW_CFG_CPUS, &f->cpus, sizeof f->cpus);
    add(a, FW_CFG_MAX_CPUS, &f->cpus, sizeof f->cpus);
    add(a, FW_CFG_BOOT_MENU, &f->boot_menu, sizeof f->boot_menu);
    add(a, FW_CFG_IRQ0_OVERRIDE, &f->irq0_override, sizeof f->irq0_override);
    f->e820[f->ranges++] = (struct firmware_range){0, ram_low_size(ram), E820_RAM};
    if (ram_high_end(ram) > RAM_HOLE_END)
        f->e820[f->ranges++] = (struct firmware_range){RAM_HOLE_END, ram_high_end(ram) - RAM_HOLE_END, E820_RAM};
    add_file(a, "etc/e820", f->e820, f->ranges * sizeof f->e820[0]);
    f->boot_fail_wait = UINT32_MAX; /* do not try again, when nothing can be booted */
    add_file(a, "etc/boot-fail-wait", &f->boot_fail_wait, sizeof f->boot_fail_wait);
    if (f->options.nographic) {
        f->serial_port = COM1;
        add_file(a, "etc/sercon-port", &f->serial_port, 2);
    }
}

static int read_whole(const struct image_file *file, uint8_t **bytes, struct error *error)
{
    *bytes = malloc(file->size);
    if (!*bytes)
        return error_set(error, ENOMEM, "%s %s: no memory to read its %llu bytes", file->option, file->name,
                         (unsigned long long)file->size);
    return image_file_read(file, *bytes, error);
}

/* The header's fields that a loader fills and that do not depend on where it puts things. */
static void fill_setup(struct firmware *f, const struct bzimage *image)
{
    uint8_t *setup = f->kernel;
    const uint16_t heap_end = LINE_ADDRESS - SETUP_ADDRESS - 0x200;

    setup[0x210] = 0xb0; /* type_of_loader: QEMU's, since those that ask here know it */
    if (image->version >= 0x0201) {
        setup[0x211] |= 0x80; /* CAN_USE_HEAP */
        memcpy(setup + 0x224, &heap_end, sizeof heap_end);
    }
    if (image->version >= 0x0202)
        memcpy(setup + 0x228, &f->line_address, sizeof f->line_address);
    memcpy(setup + 0x218, &f->initrd_address, sizeof f->initrd_address);
    memcpy(setup + 0x21c, &f->initrd_size, sizeof f->initrd_size);
}

static int read_kernel(struct firmware *f, const struct kernel *kernel, const struct ram *ram,
                       struct bzimage *image, struct error *error)
{
    uint64_t top = ram_low_size(ram);
    int status = read_whole(&kernel->image, &f->kernel, error);

    if (!status)
        status = bzimage_parse(image, f->kernel, kernel->image.size, kernel->image.name, error);
    if (!status && kernel->initrd.name)
        status = read_whole(&kernel->initrd, &f->initrd, error);
    if (status || !f->initrd)
        return status;
    top = image->initrd_max < top ? image->initrd_max + 1 : top;
    if (kernel->initrd.size > top - KERNEL_ADDRESS)
        return error_set(
            error, EFBIG, "-initrd %s: its %llu KiB do not fit below %llu KiB; give more memory with -m",
            kernel->initrd.name, (unsigned long long)(kernel->initrd.size >> 10), (unsigned long long)(top >> 10));
    f->initrd_address = (uint32_t)((top - kernel->initrd.size) & PAGE_MASK);
    f->initrd_size = (uint32_t)kernel->initrd.size;
    return 0;
}

static int add_kernel(struct firmware *f, struct adder *a, const struct kernel *kernel, const struct ram *ram,
                      struct error *error)
{
    struct bzimage image;
    int status = read_kernel(f, kernel, ram, &image, error);

    if (status)
        return status;
    f->kernel_address = image.loads_high ? KERNEL_ADDRESS : SETUP_ADDRESS;
    f->kernel_size = (uint32_t)image.payload_size;
    f->setup_address = SETUP_ADDRESS;
    f->setup_size = (uint32_t)image.setup_size;
    f->line_address = LINE_ADDRESS;
    f->line_size = (uint32_t)strlen(kernel->command_line) + 1;
    fill_setup(f, &image);
    add(a, FW_CFG_KERNEL_ADDRESS, &f->kernel_address, 4);
    add(a, FW_CFG_KERNEL_SIZE, &f->kernel_size, 4);
    add(a, FW_CFG_KERNEL_DATA, image.payload, image.payload_size);
    add(a, FW_CFG_SETUP_ADDRESS, &f->setup_address, 4);
    add(a, FW_CFG_SETUP_SIZE, &f->setup_size, 4);
    add(a, FW_CFG_SETUP_DATA, image.setup, image.setup_size);
    add(a, FW_CFG_COMMAND_LINE_ADDRESS, &f->line_address, 4);
    add(a, FW_CFG_COMMAND_LINE_SIZE, &f->line_size, 4);
    add(a, FW_CFG_COMMAND_LINE_DATA, kernel->command_line, f->line_size);
    add(a, FW_CFG_INITRD_ADDRESS, &f->initrd_address, 4);
    add(a, FW_CFG_INITRD_SIZE, &f->initrd_size, 4);
    add(a, FW_CFG_INITRD_DATA, f->initrd, f->initrd_size);
    return 0;
}

static int add_acpi(struct firmware *f, struct adder *a, struct error *error)
{
    int status = acpi_make(&f->acpi, &f->options.acpi, 0, error);
    uint32_t size;

    if (status)
        return status;
    size = acpi_script(f->acpi, f->acpi_script);
    add_file(a, ACPI_TABLES_FILE, f->acpi->bytes, f->acpi->rsdp);
    add_file(a, ACPI_RSDP_FILE, f->acpi->bytes + f->acpi->rsdp, f->acpi->size - f->acpi->rsdp);
    add_file(a, "etc/table-loader", f->acpi_script, size);
    return 0;
}

int firmware_add_items(struct firmware *f, struct fw_cfg *fw_cfg, const struct ram *ram,
                       const struct kernel *kernel, struct error *error)
{
    struct adder a = {fw_cfg, 0};
    int status = add_acpi(f, &a, error);

    add_machine(f, &a, ram);
    if (!status && kernel->options.image)
        status = add_kernel(f, &a, kernel, ram, error);
    if (!status && a.status)
        status =
            error_set(error, -a.status, "-bios %s: cannot fill fw_cfg: %s", f->options.rom, strerror(-a.status));
    return status;
}
