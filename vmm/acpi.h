/*
 * acpi.h - builds the ACPI tables that describe the board, in guest RAM.
 */
#ifndef NOVT_VMM_ACPI_H
#define NOVT_VMM_ACPI_H

#include <stdbool.h>

#include "memory/ram.h"

#define ACPI_REGION_START 0xe0000ull /* where acpi_build puts everything: to be kept from E820's RAM */
#define ACPI_REGION_END 0x100000ull

struct acpi_config {
    unsigned cpus;          /* APIC IDs 0 to cpus - 1 */
    bool serial_present[4]; /* COM1 to COM4, as in struct board_config */
    bool i8042;             /* say that there is a keyboard controller (then guests probe it) */
};

#define ACPI_IMAGE_MAX (ACPI_REGION_END - ACPI_REGION_START)
#define ACPI_PLACES 32

/* The tables in one piece, made for a place in memory, and what changes when they are put elsewhere. */
struct acpi_image {
    uint8_t bytes[ACPI_IMAGE_MAX];
    uint32_t size;
    uint32_t rsdp; /* its offset; it comes last */
    struct acpi_pointer {
        uint32_t at;
        uint8_t size;
    } pointer[ACPI_PLACES];
    struct acpi_checksum {
        uint32_t at, start, length; /* the byte, and what it makes the sum of 0 */
    } checksum[ACPI_PLACES];
    unsigned pointers, checksums;
};

/* RSDP, XSDT, RSDT, FADT, FACS, MADT and DSDT for guest memory from `base` on. Errors: -EINVAL (cpus), -ENOSPC.
 *image is to be freed with free(). */
int acpi_make(struct acpi_image **image, const struct acpi_config *config, uint32_t base, struct error *error);

/* QEMU's script by which firmware places the tables (fw_cfg's etc/table-loader, with the two files below): how to
   allocate, point and sum. Returns its size; script: ACPI_SCRIPT_MAX bytes. The image is one for base 0. */
#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE "etc/acpi/rsdp"
#define ACPI_SCRIPT_MAX ((2 + 2 * ACPI_PLACES) * 128)
uint32_t acpi_script(const struct acpi_image *image, uint8_t *script);

/* Writes RSDP, XSDT, RSDT, FADT, FACS, MADT and DSDT; *rsdp is the RSDP's address.
   Errors: -EINVAL (cpus), -ENOSPC (does not fit, or no RAM there). */
int acpi_build(struct ram *ram, const struct acpi_config *config, gpa_t *rsdp, struct error *error);

#endif
