/*
 * kernel.h - boots a kernel without firmware: puts -kernel, -initrd and -append into guest RAM and the boot
 * processor into the state that the kernel's boot protocol asks for.
 */
#ifndef NOVT_VMM_KERNEL_H
#define NOVT_VMM_KERNEL_H

#include "cpu/vcpu.h"
#include "memory/ram.h"
#include "vmm/boot.h"
#include "vmm/file.h"

/* What the loader keeps in low memory, all of it RAM that the kernel may use once it has read it. */
#define BOOT_GDT 0x500u
#define BOOT_START_INFO 0x6000u /* PVH */
#define BOOT_ZERO_PAGE 0x7000u  /* Linux boot_params */
#define BOOT_STACK 0x8ff0u
#define BOOT_PAGE_TABLES 0x9000u /* six pages */
#define BOOT_SETUP_DATA 0x1f000u
#define BOOT_COMMAND_LINE 0x20000u
#define BOOT_COMMAND_LINE_MAX 0xffffu
#define BOOT_LOW_RAM_END 0x9fc00u /* where PCs have their extended BIOS data area */

enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };
struct e820_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));
#define E820_ENTRIES 8

/* The memory map that firmware would report. Returns the number of entries. */
unsigned e820_build(struct e820_entry entry[E820_ENTRIES], const struct ram *ram);

struct kernel {
    struct image_file image, initrd; /* initrd.name NULL: none */
    const char *command_line;
    /* what kernel_load found */
    bool pvh;
    uint64_t entry;
    uint64_t load_address, load_end; /* the kernel and the memory it needs at once */
    uint64_t initrd_address;
};

/* Opens the files. initrd and append may be NULL. Close with kernel_close. */
int kernel_open(struct kernel *kernel, const char *image, const char *initrd, const char *append,
                uint64_t ram_size, struct error *error);
void kernel_close(struct kernel *kernel);
/* Reads and places everything; again for a reset. rsdp: the ACPI tables' root, 0 for none. */
int kernel_load(struct kernel *kernel, struct ram *ram, uint64_t rsdp, struct error *error);
/* The boot processor, after vcpu_reset. */
void kernel_start(const struct kernel *kernel, struct vcpu *v);

/* Parts of kernel_load by kind, in linux.c and pvh.c. */
int linux_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp, struct error *error);
void linux_start(const struct kernel *kernel, struct vcpu *v);
int pvh_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp, struct error *error);
void pvh_start(const struct kernel *kernel, struct vcpu *v);

/* Shared by both: the initrd as high as possible with its last byte not above `limit`, and the command line. */
int kernel_place_initrd(struct kernel *kernel, struct ram *ram, uint64_t limit, struct error *error);
int kernel_place_command_line(struct kernel *kernel, struct ram *ram, uint64_t max, struct error *error);

#endif
