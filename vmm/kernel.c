/*
 * kernel.c - boots a kernel without firmware: files, memory map, initrd and command line, and the choice
 * between the Linux boot protocol (linux.c) and PVH (pvh.c).
 *
 * Interface: kernel.h. Invariant: what is placed in RAM never overlaps: low memory as listed in kernel.h, the
 * kernel with all the memory it needs at once, the initrd above it.
 */
#include "vmm/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

unsigned e820_build(struct e820_entry entry[E820_ENTRIES], const struct ram *ram)
{
    unsigned n = 0;

    entry[n++] = (struct e820_entry){0, BOOT_LOW_RAM_END, E820_RAM};
    entry[n++] = (struct e820_entry){BOOT_LOW_RAM_END, 0xa0000 - BOOT_LOW_RAM_END, E820_RESERVED};
    entry[n++] = (struct e820_entry){0xe0000, 0x20000, E820_RESERVED}; /* BIOS area: the ACPI tables */
    if (ram_low_size(ram) > 0x100000)
        entry[n++] = (struct e820_entry){0x100000, ram_low_size(ram) - 0x100000, E820_RAM};
    if (ram_high_end(ram) > RAM_HOLE_END)
        entry[n++] = (struct e820_entry){RAM_HOLE_END, ram_high_end(ram) - RAM_HOLE_END, E820_RAM};
    return n;
}

int kernel_open(struct kernel *kernel, const char *image, const char *initrd, const char *append,
                uint64_t ram_size, struct error *error)
{
    int status;

    *kernel = (struct kernel){.command_line = append ? append : "", .initrd.fd = -1};
    status = image_file_open(&kernel->image, "-kernel", image, ram_size, error);
    if (!status && initrd)
        status = image_file_open(&kernel->initrd, "-initrd", initrd, ram_size, error);
    if (status)
        kernel_close(kernel);
    return status;
}

void kernel_close(struct kernel *kernel)
{
    image_file_close(&kernel->image);
    image_file_close(&kernel->initrd);
}

static int load_image(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp,
                      struct error *error)
{
    if (bzimage_probe(data, kernel->image.size))
        return linux_load(kernel, ram, data, rsdp, error);
    if (elf_probe(data, kernel->image.size))
        return pvh_load(kernel, ram, data, rsdp, error);
    return error_set(error, EINVAL,
                     "-kernel %s: not a kernel: neither a Linux bzImage nor an ELF file; name a "
                     "vmlinuz or vmlinux",
                     kernel->image.name);
}

int kernel_load(struct kernel *kernel, struct ram *ram, uint64_t rsdp, struct error *error)
{
    uint8_t *data;
    int status;

    if (kernel->image.size > ram->size)
        return error_set(error, EFBIG,
                         "-kernel %s: its %llu MiB do not fit the guest's memory of %llu MiB; give more "
                         "with -m",
                         kernel->image.name, (unsigned long long)(kernel->image.size >> 20),
                         (unsigned long long)(ram->size >> 20));
    data = malloc(kernel->image.size);
    if (!data)
        return error_set(error, ENOMEM, "-kernel %s: no memory to read its %llu bytes", kernel->image.name,
                         (unsigned long long)kernel->image.size);
    status = image_file_read(&kernel->image, data, error);
    if (!status)
        status = load_image(kernel, ram, data, rsdp, error);
    free(data);
    return status;
}

int kernel_place_initrd(struct kernel *kernel, struct ram *ram, uint64_t limit, struct error *error)
{
    uint64_t top = ram_low_size(ram), size = kernel->initrd.size;

    kernel->initrd_address = 0;
    if (!kernel->initrd.name)
        return 0;
    if (limit + 1 < top)
        top = limit + 1;
    if (top < kernel->load_end || size > top - kernel->load_end || ((top - size) & PAGE_MASK) < kernel->load_end)
        return error_set(error, EFBIG,
                         "-initrd %s: its %llu KiB do not fit between the kernel's end at %llu KiB and "
                         "%llu KiB; give more memory with -m",
                         kernel->initrd.name, (unsigned long long)(size >> 10),
                         (unsigned long long)(kernel->load_end >> 10), (unsigned long long)(top >> 10));
    kernel->initrd_address = (top - size) & PAGE_MASK;
    return image_file_read(&kernel->initrd, ram_host(ram, kernel->initrd_address), error);
}

int kernel_place_command_line(struct kernel *kernel, struct ram *ram, uint64_t max, struct error *error)
{
    size_t length = strlen(kernel->command_line);

    if (max > BOOT_COMMAND_LINE_MAX)
        max = BOOT_COMMAND_LINE_MAX;
    if (length > max)
        return error_set(error, E2BIG,
                         "-append: %zu characters are more than the %llu that this kernel takes; "
                         "shorten it",
                         length, (unsigned long long)max);
    ram_copy_to(ram, BOOT_COMMAND_LINE, kernel->command_line, length + 1);
    return 0;
}

/* Memory types as firmware leaves them: everything write-back but the VGA window and the hole of the devices
   (SDM vol. 3, 12.11). Linux switches PAT off when it finds the MTRRs disabled. */
static void set_memory_types(struct vcpu *v)
{
    const uint64_t write_back = 0x0606060606060606ull;

    for (unsigned i = 0; i < sizeof v->mtrr_fixed / sizeof v->mtrr_fixed[0]; i++)
        v->mtrr_fixed[i] = i == 2 ? 0 : write_back; /* 2: 0xa0000 to 0xbffff */
    v->mtrr_variable[0] = RAM_HOLE_START;           /* uncacheable */
    v->mtrr_variable[1] = (((1ull << MMU_PHYS_BITS) - 1) & ~(RAM_HOLE_END - RAM_HOLE_START - 1)) | 0x800;
    v->mtrr_def_type = 0xc06; /* enabled, fixed ranges enabled, default write-back */
}

void kernel_start(const struct kernel *kernel, struct vcpu *v)
{
    set_memory_types(v);
    if (kernel->pvh)
        pvh_start(kernel, v);
    else
        linux_start(kernel, v);
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
}
