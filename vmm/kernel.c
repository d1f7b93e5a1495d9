/*
 * kernel.c - boots a kernel without firmware: files, memory map, initrd and command line, and the choice
 * between the Linux boot protocol (linux.c, linux_real.c), multiboot (multiboot_load.c) and PVH (pvh.c).
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

/* A multiboot kernel takes several files, any other one: so -initrd's meaning depends on the image. */
static int open_initrd(struct kernel *kernel, uint64_t ram_size, struct error *error)
{
    uint64_t size = kernel->image.size < MULTIBOOT_SEARCH ? kernel->image.size : MULTIBOOT_SEARCH;
    uint8_t head[MULTIBOOT_SEARCH];
    int status = image_file_read_part(&kernel->image, head, size, error);

    if (status)
        return status;
    if (!bzimage_probe(head, size) && multiboot_probe(head, size))
        return multiboot_open_modules(kernel, ram_size, error);
    return image_file_open(&kernel->initrd, "-initrd", kernel->options.initrd, ram_size, error);
}

int kernel_open(struct kernel *kernel, const struct kernel_options *options, uint64_t ram_size,
                struct error *error)
{
    int status;

    *kernel = (struct kernel){.options = *options,
                              .command_line = options->append ? options->append : "",
                              .image.fd = -1,
                              .initrd.fd = -1};
    if (!options->image)
        return 0;
    status = image_file_open(&kernel->image, "-kernel", options->image, ram_size, error);
    if (!status && options->initrd)
        status = open_initrd(kernel, ram_size, error);
    if (status)
        kernel_close(kernel);
    return status;
}

void kernel_close(struct kernel *kernel)
{
    image_file_close(&kernel->image);
    image_file_close(&kernel->initrd);
    for (unsigned i = 0; i < kernel->module_count; i++) {
        image_file_close(&kernel->module[i].file);
        free(kernel->module[i].text);
        free(kernel->module[i].name);
    }
    kernel->module_count = 0;
}

static int load_image(struct kernel *kernel, struct ram *ram, const uint8_t *data, uint64_t rsdp,
                      struct error *error)
{
    uint64_t size = kernel->image.size;

    if (bzimage_probe(data, size))
        return linux_load(kernel, ram, data, rsdp, error);
    if (multiboot_probe(data, size))
        return multiboot_load(kernel, ram, data, error);
    if (elf_probe(data, size))
        return pvh_load(kernel, ram, data, rsdp, error);
    return error_set(error, EINVAL,
                     "-kernel %s: not a kernel: neither a Linux bzImage nor multiboot nor an ELF file; name a "
                     "vmlinuz or vmlinux",
                     kernel->image.name);
}

int kernel_load(struct kernel *kernel, struct ram *ram, uint64_t rsdp, struct error *error)
{
    uint8_t *data;
    int status;

    if (!kernel->options.image)
        return 0;
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

int kernel_place_command_line(struct kernel *kernel, struct ram *ram, gpa_t at, uint64_t max, struct error *error)
{
    size_t length = strlen(kernel->command_line);

    if (max > BOOT_COMMAND_LINE_MAX)
        max = BOOT_COMMAND_LINE_MAX;
    if (length > max)
        return error_set(error, E2BIG,
                         "-append: %zu characters are more than the %llu that this kernel takes; "
                         "shorten it",
                         length, (unsigned long long)max);
    ram_copy_to(ram, at, kernel->command_line, length + 1);
    return 0;
}

int kernel_place_segments(const struct kernel *kernel, struct ram *ram, const struct elf_image *image,
                          struct error *error)
{
    if (image->low < 0x100000 || image->high > ram_low_size(ram))
        return error_set(error, EFBIG,
                         "-kernel %s: its segments span %llu to %llu KiB, and the guest has memory from "
                         "1024 to %llu KiB; give more with -m",
                         kernel->image.name, (unsigned long long)(image->low >> 10),
                         (unsigned long long)((image->high + 1023) >> 10),
                         (unsigned long long)(ram_low_size(ram) >> 10));
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segment[i];
        uint8_t *to = ram_host(ram, s->address);

        memcpy(to, s->data, s->file_size);
        memset(to + s->file_size, 0, s->memory_size - s->file_size);
    }
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

void kernel_start_flat(struct vcpu *v, uint16_t code, uint16_t data)
{
    const struct segment flat = {data, 0xc93, UINT32_MAX, 0};

    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->seg[i] = flat;
    v->seg[SEG_CS] = (struct segment){code, 0xc9b, UINT32_MAX, 0};
    v->tr = (struct segment){0, 0x8b, 0x67, 0};
    v->gdtr = v->idtr = (struct table_register){0, 0};
    v->cr0 = CR0_PE | CR0_ET;
    v->cr3 = v->cr4 = v->efer = 0;
    v->rflags = FLAG_FIXED;
}

void kernel_start(const struct kernel *kernel, struct vcpu *v)
{
    static void (*const start[])(const struct kernel *, struct vcpu *) = {
        [KERNEL_LINUX_64] = linux_start,      [KERNEL_LINUX_32] = linux_start_32,
        [KERNEL_LINUX_16] = linux_real_start, [KERNEL_PVH] = pvh_start,
        [KERNEL_MULTIBOOT] = multiboot_start,
    };

    if (!kernel->options.image)
        return;
    set_memory_types(v);
    start[kernel->kind](kernel, v);
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
}
