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

#define KERNEL_MODULES 32 /* files of one -initrd, for multiboot */

/* What the loader keeps in low memory, all of it RAM that the kernel may use once it has read it. */
#define BOOT_GDT 0x500u
#define BOOT_START_INFO 0x6000u /* PVH, and what multiboot has in its place */
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

/* How a Linux kernel is entered: -machine kernel-entry=. */
enum kernel_entry {
    KERNEL_ENTRY_AUTO, /* the widest that kernel and CPU model have */
    KERNEL_ENTRY_16,
    KERNEL_ENTRY_32,
    KERNEL_ENTRY_64
};

enum kernel_kind { KERNEL_LINUX_64, KERNEL_LINUX_32, KERNEL_LINUX_16, KERNEL_PVH, KERNEL_MULTIBOOT };

struct kernel_options {
    const char *image, *initrd, *append; /* initrd, append: NULL for none */
    enum kernel_entry entry;
    bool long_mode; /* the CPU model has it */
};

struct kernel_module {
    struct image_file file;
    char *text; /* "FILE ARGUMENTS", owned; file.name is another copy, cut */
    char *name;
    uint64_t address; /* where kernel_load put it */
};

struct kernel {
    struct kernel_options options;
    struct image_file image, initrd; /* initrd.name NULL: none */
    const char *command_line;
    struct kernel_module module[KERNEL_MODULES]; /* a multiboot kernel's */
    unsigned module_count;
    /* what kernel_load found */
    enum kernel_kind kind;
    uint64_t entry;
    uint64_t load_address, load_end; /* the kernel and the memory it needs at once */
    uint64_t initrd_address;
};

/* Opens the files; no image: a kernel that loads nothing. The options' texts must outlive it. Close with
   kernel_close. */
int kernel_open(struct kernel *kernel, const struct kernel_options *options, uint64_t ram_size,
                struct error *error);
void kernel_close(struct kernel *kernel);
/* Reads and places everything; again for a reset. rsdp: the ACPI tables' root, 0 for none. */
int kernel_load(struct kernel *kernel, struct ram *ram, uint64_t rsdp, struct error *error);
/* The boot processor, after vcpu_reset. */
void kernel_start(const struct kernel *kernel, struct vcpu *v);

/* Parts of kernel_load by kind, in linux.c, linux_real.c, pvh.c and multiboot_load.c. */
int linux_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp, struct error *error);
void linux_start(const struct kernel *kernel, struct vcpu *v);
void linux_start_32(const struct kernel *kernel, struct vcpu *v);
int linux_real_load(struct kernel *kernel, struct ram *ram, const struct bzimage *image, struct error *error);
void linux_real_start(const struct kernel *kernel, struct vcpu *v);
int pvh_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp, struct error *error);
void pvh_start(const struct kernel *kernel, struct vcpu *v);
/* "FILE ARGUMENTS,FILE ARGUMENTS..." as -initrd has it; ",," stands for a comma. */
int multiboot_open_modules(struct kernel *kernel, uint64_t ram_size, struct error *error);
int multiboot_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, struct error *error);
void multiboot_start(const struct kernel *kernel, struct vcpu *v);

/* Shared: the initrd as high as possible with its last byte not above `limit`, the command line, an ELF image's
   segments, and 32-bit protected mode without paging, all segments flat. */
int kernel_place_initrd(struct kernel *kernel, struct ram *ram, uint64_t limit, struct error *error);
int kernel_place_command_line(struct kernel *kernel, struct ram *ram, gpa_t at, uint64_t max, struct error *error);
int kernel_place_segments(const struct kernel *kernel, struct ram *ram, const struct elf_image *image,
                          struct error *error);
void kernel_start_flat(struct vcpu *v, uint16_t code, uint16_t data);

#endif
