/*
 * firmware.h - -bios: a ROM image that the machine starts in, and what it finds in fw_cfg.
 */
#ifndef NOVT_VMM_FIRMWARE_H
#define NOVT_VMM_FIRMWARE_H

#include "devices/fw_cfg.h"
#include "vmm/acpi.h"
#include "vmm/kernel.h"

struct firmware_options {
    const char *rom; /* NULL: no firmware */
    bool nographic;  /* its console is the first serial port */
    struct acpi_config acpi;
};

struct firmware_range { /* an entry of the file etc/e820 */
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));

struct firmware {
    struct firmware_options options;
    uint8_t *rom; /* the file's bytes, owned; NULL: no firmware */
    uint64_t size;
    uint8_t *kernel, *initrd; /* of -kernel and -initrd, owned */
    struct acpi_image *acpi;  /* owned */
    uint8_t acpi_script[ACPI_SCRIPT_MAX];
    /* the data of items, as the guest reads them */
    uint64_t ram_size, serial_port;
    uint16_t nographic, cpus, boot_menu;
    uint8_t uuid[16];
    uint32_t irq0_override, boot_fail_wait;
    struct firmware_range e820[2];
    unsigned ranges;
    uint32_t kernel_address, kernel_size, setup_address, setup_size;
    uint32_t initrd_address, initrd_size, line_address, line_size;
};

/* Reads the ROM. Errors: those of image_file_open, -EINVAL (size). Close with firmware_close. */
int firmware_open(struct firmware *firmware, const struct firmware_options *options, struct error *error);
void firmware_close(struct firmware *firmware);
/* Maps the ROM below 4 GiB, once, and copies its end to the BIOS area, as each reset does again. */
int firmware_load(struct firmware *firmware, struct ram *ram, struct error *error);
/* What the ROM will ask; kernel: files for it to load, as -kernel and so on name them. */
int firmware_add_items(struct firmware *firmware, struct fw_cfg *fw_cfg, const struct ram *ram,
                       const struct kernel *kernel, struct error *error);

#endif
