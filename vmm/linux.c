/*
 * linux.c - loads a bzImage by the 64-bit or the 32-bit boot protocol (Linux, Documentation/x86/boot.rst, "64-bit
 * boot protocol" and "32-bit boot protocol", and zero-page.rst).
 *
 * Interface: kernel.h. The kernel is entered at its load address + 0x200 in long mode, with the first 4 GiB
 * mapped one to one; or at its load address in protected mode; with RSI at the zero page, interrupts off. What
 * wants to be entered in real mode goes to linux_real.c. Invariant: the header goes into the zero page as the file
 * has it, except for the fields that the protocol tells the loader to fill.
 */
#include "vmm/kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* Offsets in the zero page. */
enum {
    ZP_ACPI_RSDP = 0x070,
    ZP_EXT_CMD_LINE = 0x0c8,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_VID_MODE = 0x1fa,
    ZP_TYPE_OF_LOADER = 0x210,
    ZP_CODE32_START = 0x214,
    ZP_RAMDISK_IMAGE = 0x218,
    ZP_RAMDISK_SIZE = 0x21c,
    ZP_CMD_LINE_PTR = 0x228,
    ZP_SETUP_DATA = 0x250,
    ZP_E820_TABLE = 0x2d0
};
#define LOADER_UNKNOWN 0xffu
#define VID_MODE_NORMAL 0xffffu
#define SETUP_RNG_SEED 9u

#define BOOT_CS 0x10u
#define BOOT_DS 0x18u

struct setup_data {
    uint64_t next;
    uint32_t type, size;
    uint8_t seed[32];
};

static void put16(uint8_t *page, unsigned offset, uint16_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

static void put32(uint8_t *page, unsigned offset, uint32_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

static void put64(uint8_t *page, unsigned offset, uint64_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

/* Randomness for the kernel's first draws, which on a machine this deterministic it would otherwise lack. */
static uint64_t place_seed(struct ram *ram)
{
    struct setup_data data = {.type = SETUP_RNG_SEED, .size = sizeof data.seed};

    if (getrandom(data.seed, sizeof data.seed, GRND_NONBLOCK) != (ssize_t)sizeof data.seed)
        return 0;
    return ram_copy_to(ram, BOOT_SETUP_DATA, &data, sizeof data) ? BOOT_SETUP_DATA : 0;
}

static void place_zero_page(const struct kernel *kernel, struct ram *ram, const struct bzimage *image,
                            uint64_t rsdp)
{
    uint8_t page[PAGE_SIZE] = {0};
    struct e820_entry map[E820_ENTRIES];
    unsigned entries = e820_build(map, ram);

    memcpy(page + BZIMAGE_HEADER_OFFSET, image->header, image->header_size);
    put64(page, ZP_ACPI_RSDP, rsdp);
    page[ZP_E820_ENTRIES] = (uint8_t)entries;
    memcpy(page + ZP_E820_TABLE, map, entries * sizeof map[0]);
    put16(page, ZP_VID_MODE, VID_MODE_NORMAL);
    page[ZP_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    put32(page, ZP_CODE32_START, (uint32_t)image->load_address);
    put32(page, ZP_RAMDISK_IMAGE, (uint32_t)kernel->initrd_address);
    put32(page, ZP_RAMDISK_SIZE, kernel->initrd_address ? (uint32_t)kernel->initrd.size : 0);
    put32(page, ZP_CMD_LINE_PTR, BOOT_COMMAND_LINE);
    put64(page, ZP_SETUP_DATA, place_seed(ram));
    ram_copy_to(ram, BOOT_ZERO_PAGE, page, sizeof page);
}

/* A GDT with the two segments of the protocol. */
static void place_gdt(struct ram *ram, bool wide)
{
    uint64_t gdt[4] = {0, 0, wide ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull, 0x00cf93000000ffffull};

    ram_copy_to(ram, BOOT_GDT, gdt, sizeof gdt);
}

/* One-to-one map of the first 4 GiB with 2 MiB pages. */
static void place_page_tables(struct ram *ram)
{
    const uint64_t present_writable = 3, large = 0x80;
    uint64_t entry;

    memset(ram_host(ram, BOOT_PAGE_TABLES), 0, 6 * PAGE_SIZE);
    entry = (BOOT_PAGE_TABLES + PAGE_SIZE) | present_writable;
    ram_copy_to(ram, BOOT_PAGE_TABLES, &entry, sizeof entry);
    for (unsigned i = 0; i < 4; i++) {
        entry = (BOOT_PAGE_TABLES + (2 + i) * PAGE_SIZE) | present_writable;
        ram_copy_to(ram, BOOT_PAGE_TABLES + PAGE_SIZE + i * 8, &entry, sizeof entry);
    }
    for (unsigned i = 0; i < 4 * 512; i++) {
        entry = ((uint64_t)i << 21) | large | present_writable;
        ram_copy_to(ram, BOOT_PAGE_TABLES + 2 * PAGE_SIZE + i * 8, &entry, sizeof entry);
    }
}

static int place_image(struct kernel *kernel, struct ram *ram, const struct bzimage *image, struct error *error)
{
    uint64_t need = image->init_size > image->payload_size ? image->init_size : image->payload_size;

    kernel->load_address = image->load_address;
    kernel->load_end = image->load_address + need;
    if (kernel->load_end < need || kernel->load_end > ram_low_size(ram))
        return error_set(error, EFBIG,
                         "-kernel %s: needs %llu MiB of memory from %llu MiB on, and the guest has %llu "
                         "MiB there; give more with -m",
                         kernel->image.name, (unsigned long long)(need + 0xfffff) >> 20,
                         (unsigned long long)(image->load_address >> 20),
                         (unsigned long long)(ram_low_size(ram) >> 20));
    memcpy(ram_host(ram, image->load_address), image->payload, image->payload_size);
    return 0;
}

/* What it can be entered by, at most; without a choice the widest. */
static int choose_kind(struct kernel *kernel, const struct bzimage *image, struct error *error)
{
    bool wide = image->has_entry_64 && kernel->options.long_mode;

    switch (kernel->options.entry) {
    case KERNEL_ENTRY_AUTO:
        kernel->kind = wide ? KERNEL_LINUX_64 : image->has_entry_32 ? KERNEL_LINUX_32 : KERNEL_LINUX_16;
        return 0;
    case KERNEL_ENTRY_16:
        kernel->kind = KERNEL_LINUX_16;
        return 0;
    case KERNEL_ENTRY_32:
        kernel->kind = KERNEL_LINUX_32;
        if (image->has_entry_32)
            return 0;
        return error_set(error, ENOEXEC,
                         "-machine kernel-entry=32: %s speaks boot protocol %u.%u, which has no such entry; "
                         "use kernel-entry=16",
                         kernel->image.name, image->version >> 8, image->version & 0xff);
    default:
        kernel->kind = KERNEL_LINUX_64;
        if (wide)
            return 0;
        return error_set(error, ENOEXEC, "-machine kernel-entry=64: %s has no such entry; use kernel-entry=%s",
                         image->has_entry_64 ? "the CPU model" : kernel->image.name,
                         image->has_entry_32 ? "32" : "16");
    }
}

int linux_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp, struct error *error)
{
    struct bzimage image;
    int status = bzimage_parse(&image, data, kernel->image.size, kernel->image.name, error);

    if (!status)
        status = choose_kind(kernel, &image, error);
    if (!status && kernel->kind == KERNEL_LINUX_16)
        return linux_real_load(kernel, ram, &image, error);
    if (!status)
        status = place_image(kernel, ram, &image, error);
    if (!status)
        status = kernel_place_initrd(kernel, ram, image.initrd_above_4g ? UINT32_MAX : image.initrd_max, error);
    if (!status)
        status = kernel_place_command_line(kernel, ram, BOOT_COMMAND_LINE, image.command_line_max, error);
    if (status)
        return status;
    kernel->entry = image.load_address + (kernel->kind == KERNEL_LINUX_64 ? BZIMAGE_ENTRY_64 : 0);
    place_zero_page(kernel, ram, &image, rsdp);
    place_gdt(ram, kernel->kind == KERNEL_LINUX_64);
    if (kernel->kind == KERNEL_LINUX_64)
        place_page_tables(ram);
    return 0;
}

void linux_start(const struct kernel *kernel, struct vcpu *v)
{
    const struct segment data = {BOOT_DS, 0xc93, UINT32_MAX, 0};

    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->seg[i] = data;
    v->seg[SEG_CS] = (struct segment){BOOT_CS, 0xa9b, UINT32_MAX, 0};
    v->gdtr = (struct table_register){BOOT_GDT, 4 * 8 - 1};
    v->idtr = (struct table_register){0, 0};
    v->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    v->cr3 = BOOT_PAGE_TABLES;
    v->cr4 = CR4_PAE;
    v->efer = EFER_LME | EFER_LMA;
    v->rflags = FLAG_FIXED;
    v->rip = kernel->entry;
    v->gpr[RSP] = BOOT_STACK;
    v->gpr[RSI] = BOOT_ZERO_PAGE;
}

void linux_start_32(const struct kernel *kernel, struct vcpu *v)
{
    kernel_start_flat(v, BOOT_CS, BOOT_DS);
    v->gdtr = (struct table_register){BOOT_GDT, 4 * 8 - 1};
    v->rip = kernel->entry;
    v->gpr[RSP] = BOOT_STACK;
    v->gpr[RSI] = BOOT_ZERO_PAGE;
}
