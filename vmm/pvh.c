/*
 * pvh.c - loads an ELF kernel by the PVH boot protocol (Xen's docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h).
 *
 * Interface: kernel.h. The kernel is entered in 32-bit protected mode without paging, flat segments, EBX at
 * struct hvm_start_info, interrupts off.
 */
#include "vmm/kernel.h"

#include <errno.h>
#include <string.h>

#define START_MAGIC 0x336ec578u

struct start_info { /* struct hvm_start_info, version 1 */
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp, memory_map;
    uint32_t memory_map_count, reserved;
};

struct module { /* struct hvm_modlist_entry */
    uint64_t address, size, command_line, reserved;
};

struct memory_entry { /* struct hvm_memmap_table_entry */
    uint64_t start, size;
    uint32_t type, reserved;
};

struct start_page { /* all of it, one behind the other */
    struct start_info info;
    struct module module;
    struct memory_entry map[E820_ENTRIES];
};

static void place_start_info(const struct kernel *kernel, struct ram *ram, uint64_t rsdp)
{
    struct start_page page = {0};
    struct e820_entry map[E820_ENTRIES];
    unsigned entries = e820_build(map, ram);

    for (unsigned i = 0; i < entries; i++)
        page.map[i] = (struct memory_entry){map[i].start, map[i].size, map[i].type, 0};
    page.info = (struct start_info){.magic = START_MAGIC,
                                    .version = 1,
                                    .command_line = BOOT_COMMAND_LINE,
                                    .rsdp = rsdp,
                                    .memory_map = BOOT_START_INFO + offsetof(struct start_page, map),
                                    .memory_map_count = entries};
    if (kernel->initrd_address) {
        page.module = (struct module){.address = kernel->initrd_address, .size = kernel->initrd.size};
        page.info.module_count = 1;
        page.info.modules = BOOT_START_INFO + offsetof(struct start_page, module);
    }
    ram_copy_to(ram, BOOT_START_INFO, &page, sizeof page);
}

static int check_entry(const struct kernel *kernel, const struct elf_image *image, struct error *error)
{
    if (image->pvh_entry >= image->low && image->pvh_entry < image->high)
        return 0;
    return error_set(error, ENOEXEC,
                     "-kernel %s: its PVH entry 0x%x lies outside of its segments; the file is "
                     "damaged",
                     kernel->image.name, image->pvh_entry);
}

int pvh_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp, struct error *error)
{
    struct elf_image image;
    int status = elf_parse(&image, data, kernel->image.size, kernel->image.name, error);

    if (!status)
        status = check_entry(kernel, &image, error);
    if (!status)
        status = kernel_place_segments(kernel, ram, &image, error);
    if (status)
        return status;
    kernel->load_address = image.low;
    kernel->load_end = image.high;
    status = kernel_place_initrd(kernel, ram, UINT32_MAX, error);
    if (!status)
        status = kernel_place_command_line(kernel, ram, BOOT_COMMAND_LINE, 2047,
                                           error); /* Linux's COMMAND_LINE_SIZE - 1 */
    if (status)
        return status;
    kernel->kind = KERNEL_PVH;
    kernel->entry = image.pvh_entry;
    place_start_info(kernel, ram, rsdp);
    return 0;
}

void pvh_start(const struct kernel *kernel, struct vcpu *v)
{
    kernel_start_flat(v, 0, 0);
    v->rip = kernel->entry;
    v->gpr[RBX] = BOOT_START_INFO;
}
