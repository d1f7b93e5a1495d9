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

/* Writes RSDP, XSDT, RSDT, FADT, FACS, MADT and DSDT; *rsdp is the RSDP's address.
   Errors: -EINVAL (cpus), -ENOSPC (does not fit, or no RAM there). */
int acpi_build(struct ram *ram, const struct acpi_config *config, gpa_t *rsdp, struct error *error);

#endif
