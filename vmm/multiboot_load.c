/*
 * multiboot_load.c - boots a multiboot 1 kernel (Multiboot Specification 0.6.96, 3.2 and 3.3).
 *
 * Interface: kernel.h. Low memory: the information structure, with all it points to but the command line, at
 * BOOT_START_INFO; the command line at BOOT_COMMAND_LINE. Modules lie behind the kernel, at page boundaries
 * whether it asks for that or not. Invariants: the texts of modules and what else the structure holds fit
 * INFO_SPACE.
 */
#include "vmm/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START_MAGIC 0x2badb002u
#define INFO_MEMORY 1u
#define INFO_COMMAND_LINE 4u
#define INFO_MODULES 8u
#define INFO_MAP 0x40u
#define INFO_LOADER 0x200u
#define INFO_SPACE (BOOT_COMMAND_LINE - BOOT_START_INFO)
#define TEXT_SPACE 0x10000u

struct info { /* the specification's 3.3 */
    uint32_t flags, memory_lower, memory_upper, boot_device, command_line;
    uint32_t module_count, modules, symbols[4];
    uint32_t map_length, map, drives_length, drives, config_table, loader_name;
};

struct module {
    uint32_t start, end, text, reserved;
};

struct map_entry {
    uint32_t size; /* of what follows it */
    uint64_t start, length;
    uint32_t type;
} __attribute__((packed));

struct info_pages { /* all of it, one behind the other */
    struct info info;
    char loader[8];
    struct module module[KERNEL_MODULES];
    struct map_entry map[E820_ENTRIES];
    char text[TEXT_SPACE]; /* of the modules */
};
_Static_assert(sizeof(struct info_pages) <= INFO_SPACE, "the information does not reach the command line");

/* --- modules --- */

/* One part of -initrd up to a single comma; *at behind it. Owned by the caller. */
static char *next_part(const char **at)
{
    char *part = malloc(strlen(*at) + 1), *to = part;

    while (part && **at && (**at != ',' || (*at)[1] == ',')) {
        *at += **at == ',';
        *to++ = *(*at)++;
    }
    if (part)
        *to = '\0';
    *at += **at == ',';
    return part;
}

static int open_module(struct kernel *kernel, const char **at, uint64_t ram_size, struct error *error)
{
    struct kernel_module *module = &kernel->module[kernel->module_count];
    char *part = next_part(at), *text = part;

    if (!part)
        return error_set(error, ENOMEM, "-initrd %s: out of memory", kernel->options.initrd);
    text += strspn(text, " ");
    *module = (struct kernel_module){.file.fd = -1, .text = strdup(text), .name = strdup(text)};
    free(part);
    kernel->module_count++; /* kernel_close frees it from here on */
    if (!module->text || !module->name)
        return error_set(error, ENOMEM, "-initrd %s: out of memory", kernel->options.initrd);
    module->name[strcspn(module->name, " ")] = '\0';
    return image_file_open(&module->file, "-initrd", module->name, ram_size, error);
}

int multiboot_open_modules(struct kernel *kernel, uint64_t ram_size, struct error *error)
{
    const char *at = kernel->options.initrd;
    int status = 0;

    while (*at && !status) {
        if (kernel->module_count == KERNEL_MODULES)
            return error_set(error, E2BIG, "-initrd: more than %d modules, from '%.60s' on; leave some out",
                             KERNEL_MODULES, at);
        status = open_module(kernel, &at, ram_size, error);
    }
    return status;
}

static int place_modules(struct kernel *kernel, struct ram *ram, struct error *error)
{
    uint64_t at = (kernel->load_end + PAGE_SIZE - 1) & PAGE_MASK, top = ram_low_size(ram);

    for (unsigned i = 0; i < kernel->module_count; i++) {
        struct kernel_module *module = &kernel->module[i];
        int status;

        if (at > top || module->file.size > top - at)
            return error_set(
                error, EFBIG,
                "-initrd %s: its %llu KiB do not fit between %llu KiB, where the kernel and the modules "
                "before it end, and %llu KiB; give more memory with -m",
                module->name, (unsigned long long)(module->file.size >> 10), (unsigned long long)(at >> 10),
                (unsigned long long)(top >> 10));
        module->address = at;
        status = image_file_read(&module->file, ram_host(ram, at), error);
        if (status)
            return status;
        at = (at + module->file.size + PAGE_SIZE - 1) & PAGE_MASK;
    }
    return 0;
}

/* --- the information structure --- */

static uint32_t address_of(const struct info_pages *pages, const void *field)
{
    return BOOT_START_INFO + (uint32_t)((const char *)field - (const char *)pages);
}

static int fill_modules(const struct kernel *kernel, struct info_pages *pages, struct error *error)
{
    size_t used = 0;

    for (unsigned i = 0; i < kernel->module_count; i++) {
        const struct kernel_module *module = &kernel->module[i];
        size_t length = strlen(module->text) + 1;

        if (length > TEXT_SPACE - used)
            return error_set(error, E2BIG,
                             "-initrd: names and arguments of modules are longer than %u characters in all; "
                             "shorten those of %.60s",
                             TEXT_SPACE, module->name);
        memcpy(pages->text + used, module->text, length);
        pages->module[i] =
            (struct module){(uint32_t)module->address, (uint32_t)(module->address + module->file.size),
                            address_of(pages, pages->text + used), 0};
        used += length;
    }
    return 0;
}

static void fill_map(struct info_pages *pages, const struct ram *ram)
{
    struct e820_entry map[E820_ENTRIES];
    unsigned entries = e820_build(map, ram);

    for (unsigned i = 0; i < entries; i++)
        pages->map[i] = (struct map_entry){sizeof(struct map_entry) - 4, map[i].start, map[i].size, map[i].type};
    pages->info.map_length = entries * (uint32_t)sizeof(struct map_entry);
}

static int place_info(const struct kernel *kernel, struct ram *ram, struct error *error)
{
    struct info_pages *pages = calloc(1, sizeof *pages);
    int status;

    if (!pages)
        return error_set(error, ENOMEM, "-kernel %s: out of memory", kernel->image.name);
    strcpy(pages->loader, "novt");
    pages->info = (struct info){.flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP | INFO_LOADER,
                                .memory_lower = BOOT_LOW_RAM_END >> 10,
                                .memory_upper = (uint32_t)((ram_low_size(ram) - 0x100000) >> 10),
                                .command_line = BOOT_COMMAND_LINE,
                                .module_count = kernel->module_count,
                                .modules = address_of(pages, pages->module),
                                .map = address_of(pages, pages->map),
                                .loader_name = address_of(pages, pages->loader)};
    fill_map(pages, ram);
    status = fill_modules(kernel, pages, error);
    if (!status)
        ram_copy_to(ram, BOOT_START_INFO, pages, sizeof *pages);
    free(pages);
    return status;
}

/* The kernel's command line begins with its file's name, as a program's arguments do. */
static int place_command_line(const struct kernel *kernel, struct ram *ram, struct error *error)
{
    size_t name = strlen(kernel->image.name), length = name + strlen(kernel->command_line) + 1;

    if (length > BOOT_COMMAND_LINE_MAX)
        return error_set(error, E2BIG,
                         "-append: %zu characters with the kernel's name are more than %u; shorten it", length,
                         BOOT_COMMAND_LINE_MAX);
    ram_copy_to(ram, BOOT_COMMAND_LINE, kernel->image.name, name);
    ram_copy_to(ram, BOOT_COMMAND_LINE + name, " ", 1);
    ram_copy_to(ram, BOOT_COMMAND_LINE + name + 1, kernel->command_line, strlen(kernel->command_line) + 1);
    return 0;
}

int multiboot_load(struct kernel *kernel, struct ram *ram, const uint8_t *data, struct error *error)
{
    struct multiboot_image image;
    int status = multiboot_parse(&image, data, kernel->image.size, kernel->image.name, error);

    if (!status)
        status = kernel_place_segments(kernel, ram, &image.load, error);
    if (status)
        return status;
    kernel->load_address = image.load.low;
    kernel->load_end = image.load.high;
    kernel->kind = KERNEL_MULTIBOOT;
    kernel->entry = image.entry;
    status = place_modules(kernel, ram, error);
    if (!status)
        status = place_command_line(kernel, ram, error);
    return status ? status : place_info(kernel, ram, error);
}

void multiboot_start(const struct kernel *kernel, struct vcpu *v)
{
    kernel_start_flat(v, 0x08, 0x10);
    v->rip = kernel->entry;
    v->gpr[RAX] = START_MAGIC;
    v->gpr[RBX] = BOOT_START_INFO;
}
