/*
 * acpi.c - ACPI tables of the board (ACPI 6.4, chapter 5; AML: chapter 20).
 *
 * Interface: acpi_build, acpi_make. Everything is put together in one buffer that stands for the guest's region at
 * ACPI_REGION_START (or at another base) and is copied there at the end, so a failure leaves guest RAM alone.
 * Invariants: what the tables say is what devices/ does: addresses come from its headers. Running out of
 * room is a sticky flag, checked once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "devices/pm.h"
#include "vmm/acpi.h"

#define REGION_SIZE ACPI_IMAGE_MAX
#define HEADER_SIZE 36
#define FADT_SIZE 268 /* revision 5 */
#define FACS_SIZE 64
#define RSDP_SIZE 36

struct builder {
    struct acpi_image *image;
    uint8_t *bytes; /* the image's: REGION_SIZE of them */
    uint32_t base, used;
    bool overflow;
};

/* --- bytes --- */

static void put(struct builder *b, uint64_t value, unsigned size)
{
    if (b->used + size > REGION_SIZE) {
        b->overflow = true;
        return;
    }
    memcpy(b->bytes + b->used, &value, size);
    b->used += size;
}

static void put_bytes(struct builder *b, const void *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        put(b, ((const uint8_t *)bytes)[i], 1);
}

static void put_zeros(struct builder *b, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        put(b, 0, 1);
}

static void align(struct builder *b, uint32_t alignment)
{
    put_zeros(b, -b->used & (alignment - 1));
}

/* Overwrites what has been put already. */
static void patch(struct builder *b, uint32_t at, uint64_t value, unsigned size)
{
    if (at + size <= b->used)
        memcpy(b->bytes + at, &value, size);
}

/* Makes the bytes' sum 0. */
static void patch_checksum(struct builder *b, uint32_t from, uint32_t size, uint32_t at)
{
    struct acpi_image *image = b->image;
    uint8_t sum = 0;

    if (image->checksums < ACPI_PLACES)
        image->checksum[image->checksums++] = (struct acpi_checksum){at, from, size};
    else
        b->overflow = true;

    patch(b, at, 0, 1);
    for (uint32_t i = from; i < from + size && i < b->used; i++)
        sum += b->bytes[i];
    patch(b, at, (uint8_t)-sum, 1);
}

/* The address of what is at `offset`. */
static void patch_address(struct builder *b, uint32_t at, uint32_t offset, uint8_t size)
{
    struct acpi_image *image = b->image;

    patch(b, at, b->base + offset, size);
    if (image->pointers < ACPI_PLACES)
        image->pointer[image->pointers++] = (struct acpi_pointer){at, size};
    else
        b->overflow = true;
}

static void put_address(struct builder *b, uint32_t offset, uint8_t size)
{
    put(b, 0, size);
    patch_address(b, b->used - size, offset, size);
}

/* --- tables --- */

static uint32_t open_table(struct builder *b, const char *signature, uint8_t revision)
{
    uint32_t start;

    align(b, 16);
    start = b->used;
    put_bytes(b, signature, 4);
    put(b, 0, 4); /* length: close_table */
    put(b, revision, 1);
    put(b, 0, 1); /* checksum: close_table */
    put_bytes(b, "NOVT  NOVTPC  ", 14);
    put(b, 1, 4);
    put_bytes(b, "NOVT", 4);
    put(b, 1, 4);
    return start;
}

static void close_table(struct builder *b, uint32_t start)
{
    patch(b, start + 4, b->used - start, 4);
    patch_checksum(b, start, b->used - start, start + 9);
}

/* --- AML --- */

#define AML_SCOPE 0x10
#define AML_BUFFER 0x11
#define AML_PACKAGE 0x12
#define AML_DEVICE 0x825b /* 5b 82 */
#define AML_NAME 0x08
#define AML_BYTE 0x0a
#define AML_DWORD 0x0c

/* An object with a length; the length's two-byte form serves up to 4095 bytes (20.2.4). */
static uint32_t aml_open(struct builder *b, unsigned opcode)
{
    put(b, opcode, opcode > 0xff ? 2 : 1);
    put(b, 0, 2);
    return b->used - 2;
}

static void aml_close(struct builder *b, uint32_t start)
{
    uint32_t length = b->used - start;

    patch(b, start, 0x40 | (length & 15) | (length >> 4) << 8, 2);
}

static void aml_integer(struct builder *b, uint8_t value)
{
    if (value > 1)
        put(b, AML_BYTE, 1);
    put(b, value, 1);
}

static void aml_name(struct builder *b, const char *name)
{
    put(b, AML_NAME, 1);
    put_bytes(b, name, 4);
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* "PNP0501" in its compressed form (19.3.4, EISAID). */
static void aml_eisa_id(struct builder *b, const char *id)
{
    put(b, AML_DWORD, 1);
    put(b, (id[0] & 31) << 2 | (id[1] & 31) >> 3, 1);
    put(b, (id[1] & 7) << 5 | (id[2] & 31), 1);
    put(b, hex_digit(id[3]) << 4 | hex_digit(id[4]), 1);
    put(b, hex_digit(id[5]) << 4 | hex_digit(id[6]), 1);
}

struct isa_device {
    char name[5], id[8];
    uint8_t uid, irq;
    uint16_t port, port_count, second_port; /* second_port: one port more, or 0 */
};

static const struct isa_device com_devices[4] = {
    {"COM1", "PNP0501", 1, 4, 0x3f8, 8, 0},
    {"COM2", "PNP0501", 2, 3, 0x2f8, 8, 0},
    {"COM3", "PNP0501", 3, 4, 0x3e8, 8, 0},
    {"COM4", "PNP0501", 4, 3, 0x2e8, 8, 0},
};
static const struct isa_device rtc_device = {"RTC0", "PNP0B00", 0, 8, 0x70, 2, 0};
static const struct isa_device timer_device = {"TIMR", "PNP0100", 0, 0, 0x40, 4, 0x61};
static const struct isa_device keyboard_device = {"KBD0", "PNP0303", 0, 1, 0x60, 1, 0x64};

/* I/O port descriptor, 16-bit decode (6.4.2.5). */
static void put_ports(struct builder *b, uint16_t port, uint8_t count)
{
    put(b, 0x0147, 2);
    put(b, port, 2);
    put(b, port, 2);
    put(b, 1, 1);
    put(b, count, 1);
}

/*
 * Name (_CRS, ResourceTemplate () { IO (Decode16, port, port, 1, count) [IO (second, 1)] IRQNoFlags () {irq} })
 */
static void put_resources(struct builder *b, const struct isa_device *device)
{
    uint32_t buffer;

    aml_name(b, "_CRS");
    buffer = aml_open(b, AML_BUFFER);
    aml_integer(b, 8 + (device->second_port ? 8 : 0) + 3 + 2);
    put_ports(b, device->port, (uint8_t)device->port_count);
    if (device->second_port)
        put_ports(b, device->second_port, 1);
    put(b, 0x22, 1);
    put(b, 1u << device->irq, 2);
    put(b, 0x0079, 2);
    aml_close(b, buffer);
}

static void put_device(struct builder *b, const struct isa_device *device)
{
    uint32_t start = aml_open(b, AML_DEVICE);

    put_bytes(b, device->name, 4);
    aml_name(b, "_HID");
    aml_eisa_id(b, device->id);
    aml_name(b, "_UID");
    aml_integer(b, device->uid);
    aml_name(b, "_STA");
    aml_integer(b, 0x0f);
    put_resources(b, device);
    aml_close(b, start);
}

/* Name (\_S5, Package () {SLP_TYPa, SLP_TYPb, 0, 0}) */
static void put_sleep_state(struct builder *b)
{
    uint32_t package;

    aml_name(b, "_S5_");
    package = aml_open(b, AML_PACKAGE);
    put(b, 4, 1);
    aml_integer(b, PM_SLEEP_S5);
    aml_integer(b, PM_SLEEP_S5);
    aml_integer(b, 0);
    aml_integer(b, 0);
    aml_close(b, package);
}

static uint32_t build_dsdt(struct builder *b, const struct acpi_config *config)
{
    uint32_t start = open_table(b, "DSDT", 2), scope;

    put_sleep_state(b);
    scope = aml_open(b, AML_SCOPE);
    put_bytes(b, "\\_SB_", 5);
    put_device(b, &rtc_device);
    put_device(b, &timer_device);
    if (config->i8042)
        put_device(b, &keyboard_device);
    for (int i = 0; i < 4; i++)
        if (config->serial_present[i])
            put_device(b, &com_devices[i]);
    aml_close(b, scope);
    close_table(b, start);
    return start;
}

static uint32_t build_facs(struct builder *b)
{
    uint32_t start;

    align(b, 64);
    start = b->used;
    put_bytes(b, "FACS", 4);
    put(b, FACS_SIZE, 4);
    put_zeros(b, 24);
    put(b, 2, 1); /* version */
    put_zeros(b, FACS_SIZE - 33);
    return start;
}

#define FADT_WBINVD (1u << 0)
#define FADT_C1 (1u << 2)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_NO_RTC_WAKE (1u << 6)
#define FADT_RESET_REGISTER (1u << 10)
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_8042 (1u << 1)
#define BOOT_NO_VGA (1u << 2)

/* Generic address of a port: space, bit width, bit offset, access size, address (5.2.3.2). */
static void patch_port(struct builder *b, uint32_t at, uint16_t port, uint8_t bits)
{
    patch(b, at, 1, 1);
    patch(b, at + 1, bits, 1);
    patch(b, at + 3, bits == 8 ? 1 : bits == 16 ? 2 : 3, 1);
    patch(b, at + 4, port, 8);
}

/* Fields by their offsets in table 5.9. SMI_CMD 0 and no enable values: the hardware is always in ACPI mode. */
static uint32_t build_fadt(struct builder *b, const struct acpi_config *config, uint32_t facs, uint32_t dsdt)
{
    uint32_t start = open_table(b, "FACP", 5);

    put_zeros(b, FADT_SIZE - HEADER_SIZE);
    patch_address(b, start + 36, facs, 4);
    patch_address(b, start + 40, dsdt, 4);
    patch(b, start + 45, 1, 1); /* profile: desktop */
    patch(b, start + 46, PM_SCI, 2);
    patch(b, start + 56, PM_BASE, 4);
    patch(b, start + 64, PM_CONTROL, 4);
    patch(b, start + 76, PM_TIMER, 4);
    patch(b, start + 88, 4, 1); /* lengths of the three */
    patch(b, start + 89, 2, 1);
    patch(b, start + 91, 4, 1);
    patch(b, start + 96, 0xffff, 2); /* latencies that say: no C2, no C3 */
    patch(b, start + 98, 0xffff, 2);
    patch(b, start + 108, 0x32, 1); /* CMOS index of the century */
    patch(b, start + 109, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | (config->i8042 ? BOOT_8042 : 0), 2);
    patch(b, start + 112, FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE | FADT_RESET_REGISTER,
          4);
    patch_port(b, start + 116, PM_RESET_PORT, 8);
    patch(b, start + 128, PM_RESET_VALUE, 1);
    patch_address(b, start + 140, dsdt, 8);
    patch_port(b, start + 148, PM_BASE, 32);
    patch_port(b, start + 172, PM_CONTROL, 16);
    patch_port(b, start + 208, PM_TIMER, 32);
    close_table(b, start);
    return start;
}

static void put_override(struct builder *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    put(b, 2, 1);
    put(b, 10, 1);
    put(b, 0, 1); /* ISA */
    put(b, irq, 1);
    put(b, gsi, 4);
    put(b, flags, 2);
}

/* 5.2.12 */
static uint32_t build_madt(struct builder *b, const struct acpi_config *config)
{
    uint32_t start = open_table(b, "APIC", 3);

    put(b, LAPIC_BASE, 4);
    put(b, 1, 4); /* there is a pair of 8259s too */
    for (unsigned i = 0; i < config->cpus; i++) {
        put(b, 0x0800, 2); /* local APIC: type 0, 8 bytes; processor UID, APIC ID, enabled */
        put(b, i, 1);
        put(b, i, 1);
        put(b, 1, 4);
    }
    put(b, 0x0c01, 2); /* I/O APIC */
    put(b, config->cpus & 15, 1);
    put(b, 0, 1);
    put(b, IOAPIC_BASE, 4);
    put(b, 0, 4);
    put_override(b, 0, 2, 0);
    put_override(b, PM_SCI, PM_SCI, 0x0d); /* active high, level */
    put(b, 0x0604, 2);                     /* NMI on LINT1 of all processors */
    put(b, 0xff, 1);
    put(b, 0, 2);
    put(b, 1, 1);
    close_table(b, start);
    return start;
}

static uint32_t build_root(struct builder *b, const char *signature, uint8_t entry_size, uint32_t fadt,
                           uint32_t madt)
{
    uint32_t start = open_table(b, signature, 1);

    put_address(b, fadt, entry_size);
    put_address(b, madt, entry_size);
    close_table(b, start);
    return start;
}

static uint32_t build_rsdp(struct builder *b, uint32_t rsdt, uint32_t xsdt)
{
    uint32_t start;

    align(b, 16);
    start = b->used;
    put_bytes(b, "RSD PTR ", 8);
    put(b, 0, 1);
    put_bytes(b, "NOVT  ", 6);
    put(b, 2, 1); /* revision */
    put_address(b, rsdt, 4);
    put(b, RSDP_SIZE, 4);
    put_address(b, xsdt, 8);
    put(b, 0, 4);
    patch_checksum(b, start, 20, start + 8);
    patch_checksum(b, start, RSDP_SIZE, start + 32);
    return start;
}

static uint32_t build_all(struct builder *b, const struct acpi_config *config)
{
    uint32_t facs = build_facs(b), dsdt = build_dsdt(b, config);
    uint32_t fadt = build_fadt(b, config, facs, dsdt), madt = build_madt(b, config);
    uint32_t rsdt = build_root(b, "RSDT", 4, fadt, madt), xsdt = build_root(b, "XSDT", 8, fadt, madt);

    return build_rsdp(b, rsdt, xsdt);
}

int acpi_make(struct acpi_image **made, const struct acpi_config *config, uint32_t base, struct error *error)
{
    struct acpi_image *image;
    struct builder b;

    *made = NULL;
    if (config->cpus == 0 || config->cpus > LAPIC_MAX_CPUS)
        return error_set(error, EINVAL, "ACPI tables: cannot describe %u CPUs: use 1 to %u", config->cpus,
                         LAPIC_MAX_CPUS);
    image = calloc(1, sizeof *image);
    if (!image)
        return error_set(error, ENOMEM, "ACPI tables: out of memory");
    b = (struct builder){.image = image, .bytes = image->bytes, .base = base};
    image->rsdp = build_all(&b, config);
    image->size = b.used;
    if (b.overflow) {
        free(image);
        return error_set(error, ENOSPC, "ACPI tables: they do not fit %llu bytes; give fewer CPUs with -smp",
                         REGION_SIZE);
    }
    *made = image;
    return 0;
}

int acpi_build(struct ram *ram, const struct acpi_config *config, gpa_t *rsdp, struct error *error)
{
    struct acpi_image *image;
    int status = acpi_make(&image, config, (uint32_t)ACPI_REGION_START, error);

    if (!image)
        return status;
    if (ram_copy_to(ram, ACPI_REGION_START, image->bytes, image->size))
        *rsdp = ACPI_REGION_START + image->rsdp;
    else
        status = error_set(error, ENOSPC,
                           "ACPI tables: %u bytes do not fit at 0x%llx: give the guest at least 1 MiB of memory "
                           "(-m)",
                           image->size, ACPI_REGION_START);
    free(image);
    return status;
}
