/*
 * multiboot.c - tests of the multiboot loader: headers good and spoilt, what is in memory, the start state.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "tests/unit/vmm/files.h"
#include "tests/unit/vmm/images.h"
#include "vmm/kernel.h"

#define HEADER IMAGE_MULTIBOOT_HEADER

static struct error error;

static void put_flags(uint8_t *file, uint32_t flags)
{
    uint32_t sum = 0 - 0x1badb002u - flags;

    memcpy(file + HEADER + 4, &flags, 4);
    memcpy(file + HEADER + 8, &sum, 4);
}

Test(multiboot, addresses)
{
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    struct multiboot_image image;

    image_make_multiboot(file);
    cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), 0, "%s", error.text);
    cr_assert_eq(image.entry, 0x200200u);
    cr_assert_eq(image.load.segment_count, 1u);
    cr_assert_eq(image.load.segment[0].data, file);
    cr_assert_eq(image.load.segment[0].file_size, 4096u);
    cr_assert_eq(image.load.low, 0x200000u);
    cr_assert_eq(image.load.high, 0x300000u);

    memset(file + HEADER + 20, 0, 8); /* no ends: the whole file, no BSS */
    cr_assert_eq(multiboot_parse(&image, file, sizeof file - 7, "x", &error), 0, "%s", error.text);
    cr_assert_eq(image.load.segment[0].file_size, 4089u);
    cr_assert_eq(image.load.high, 0x200000u + 4089);
}

Test(multiboot, elf)
{
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    struct multiboot_image image;

    image_make_multiboot_elf(file);
    cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), 0, "%s", error.text);
    cr_assert_eq(image.entry, 0x200010u);
    cr_assert_eq(image.load.segment[0].file_size, 256u);
    cr_assert_eq(image.load.high, 0x200200u);

    /* Linked at 3 GiB and something, entered through the virtual address. */
    memcpy(file + offsetof(Elf32_Ehdr, e_entry), &(uint32_t){0xc0001020}, 4);
    memcpy(file + sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_vaddr), &(uint32_t){0xc0001000}, 4);
    cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), 0, "%s", error.text);
    cr_assert_eq(image.entry, 0x200020u);

    memcpy(file + sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_paddr), &(uint32_t){0xfffffff0}, 4);
    cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), -ENOEXEC, "an entry beyond 4 GiB");
}

Test(multiboot, spoilt)
{
    static const struct {
        unsigned offset;
        uint32_t value;
        int status;
    } vectors[] = {
        {0, 0, -EINVAL},
        {8, 1, -EINVAL}, /* magic, checksum */
        {12, 0x1fffff, -ENOEXEC},
        {12, 0x200000 + HEADER + 4, -ENOEXEC}, /* header_addr */
        {16, 0x200200, -ENOEXEC},
        {16, 0, -ENOEXEC}, /* load_addr */
        {20, 0x201001, -ENOEXEC},
        {20, 0x200000, -ENOEXEC},
        {20, UINT32_MAX, -ENOEXEC}, /* load_end_addr */
        {24, 0x200fff, -ENOEXEC},   /* bss_end_addr */
        {28, 0x1fffff, -ENOEXEC},
        {28, 0x300000, -ENOEXEC}, /* entry_addr */
    };
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    struct multiboot_image image;

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        image_make_multiboot(file);
        memcpy(file + HEADER + vectors[i].offset, &vectors[i].value, 4);
        cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), vectors[i].status, "vector %zu", i);
        cr_assert_null(strchr(error.text, '\n'));
    }
    image_make_multiboot(file);
    put_flags(file, 0x10003 | 8);
    cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), -ENOEXEC); /* an unknown requirement */
    put_flags(file, 3);
    cr_assert_eq(multiboot_parse(&image, file, sizeof file, "x", &error), -ENOEXEC); /* no addresses, no ELF */
}

Test(multiboot, truncated)
{
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    struct multiboot_image image;

    for (unsigned kind = 0; kind < 2; kind++) {
        size_t whole = kind ? 768 : sizeof file;

        kind ? image_make_multiboot_elf(file) : image_make_multiboot(file);
        for (size_t size = 0; size < whole; size++) {
            uint8_t *cut = malloc(size ? size : 1);

            memcpy(cut, file, size);
            cr_assert_lt(multiboot_parse(&image, cut, size, "x", &error), 0, "%zu bytes", size);
            free(cut);
        }
    }
}

/* The header counts only in the first 8192 bytes, and at multiples of 4. */
Test(multiboot, place_of_header)
{
    static uint8_t file[3 * MULTIBOOT_SEARCH];
    uint8_t header[12];

    image_make_multiboot(file);
    memcpy(header, file + HEADER, sizeof header);
    memset(file, 0, sizeof file);
    for (size_t at = 0; at < 2 * MULTIBOOT_SEARCH; at++) {
        memcpy(file + at, header, sizeof header);
        cr_assert_eq(multiboot_probe(file, sizeof file), at % 4 == 0 && at + 12 <= MULTIBOOT_SEARCH, "at %zu", at);
        memset(file + at, 0, sizeof header);
    }
}

static uint64_t get(const struct ram *ram, gpa_t at, unsigned size)
{
    uint64_t value = 0;

    cr_assert(ram_copy_from(ram, &value, at, size));
    return value;
}

static struct kernel open_kernel(const uint8_t *file, const char *modules)
{
    const char *name = files_make(file, IMAGE_MULTIBOOT_SIZE);
    struct kernel kernel;
    struct kernel_options options = {.image = name, .initrd = modules, .append = "single"};

    cr_assert_eq(kernel_open(&kernel, &options, 64 << 20, &error), 0, "%s", error.text);
    unlink(name);
    return kernel;
}

Test(multiboot, in_memory)
{
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    static uint8_t module[5000];
    const char *first = files_make(module, sizeof module), *second = files_make("two", 3);
    struct kernel kernel;
    char modules[200];
    struct ram ram;
    gpa_t info = BOOT_START_INFO, list, map;

    image_make_multiboot(file);
    snprintf(modules, sizeof modules, "%s a b=1,,2,%s", first, second);
    kernel = open_kernel(file, modules);
    unlink(first);
    unlink(second);
    cr_assert_eq(kernel.module_count, 2u);
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    memset(ram.host, 0xcc, 16 << 20);
    for (int round = 0; round < 2; round++)
        cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), 0, "%s", error.text);
    cr_assert_eq(memcmp(ram_host(&ram, 0x200000), file, sizeof file), 0);
    cr_assert_eq(get(&ram, 0x201000, 8), 0u);
    cr_assert_eq(get(&ram, 0x2ffff8, 8), 0u);
    cr_assert_eq(get(&ram, info, 4), 0x24du);
    cr_assert_eq(get(&ram, info + 4, 4), BOOT_LOW_RAM_END >> 10);
    cr_assert_eq(get(&ram, info + 8, 4), 15u << 10);
    cr_assert_str_eq(strchr((char *)ram_host(&ram, get(&ram, info + 16, 4)), ' '), " single");
    cr_assert_eq(get(&ram, info + 20, 4), 2u);
    list = get(&ram, info + 24, 4);
    cr_assert_eq(get(&ram, list, 4), 0x300000u);
    cr_assert_eq(get(&ram, list + 4, 4), 0x300000u + sizeof module);
    snprintf(modules, sizeof modules, "%s a b=1,2", first);
    cr_assert_str_eq((char *)ram_host(&ram, get(&ram, list + 8, 4)), modules);
    cr_assert_eq(get(&ram, list + 16, 4), 0x302000u);
    cr_assert_eq(memcmp(ram_host(&ram, 0x302000), "two", 3), 0);
    map = get(&ram, info + 48, 4);
    cr_assert_eq(get(&ram, map, 4), 20u);
    cr_assert_eq(get(&ram, map + 12, 8), BOOT_LOW_RAM_END);
    cr_assert_eq(get(&ram, info + 44, 4) % 24, 0u);
    cr_assert_str_eq((char *)ram_host(&ram, get(&ram, info + 64, 4)), "novt");
    kernel_close(&kernel);
    ram_destroy(&ram);
}

Test(multiboot, start)
{
    static struct cpu_model model;
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    struct kernel kernel;
    struct vcpu *v;
    struct ram ram;

    image_make_multiboot_elf(file);
    kernel = open_kernel(file, NULL);
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    v = vcpu_create(&ram, &model);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), 0, "%s", error.text);
    kernel_start(&kernel, v);
    cr_assert_eq(v->gpr[RAX], 0x2badb002u);
    cr_assert_eq(v->gpr[RBX], BOOT_START_INFO);
    cr_assert_eq(v->rip, 0x200010u);
    cr_assert_eq(v->cr0, CR0_PE | CR0_ET);
    cr_assert_eq(v->rflags, FLAG_FIXED);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cr_assert(v->seg[i].limit == UINT32_MAX && v->seg[i].base == 0);
    vcpu_destroy(v);
    kernel_close(&kernel);
    ram_destroy(&ram);
}

Test(multiboot, modules_that_are_none)
{
    static uint8_t big[14 << 20];
    uint8_t file[IMAGE_MULTIBOOT_SIZE];
    struct kernel kernel;
    struct kernel_options options;
    const char *name, *module;
    struct ram ram;

    image_make_multiboot(file);
    name = files_make(file, sizeof file);
    options = (struct kernel_options){.image = name, .initrd = "/nonexistent/a x,/dev/null"};
    cr_assert_eq(kernel_open(&kernel, &options, 64 << 20, &error), -ENOENT);
    cr_assert_not_null(strstr(error.text, "/nonexistent/a:"));
    options.initrd = ",,,,,,";
    cr_assert_eq(kernel_open(&kernel, &options, 64 << 20, &error), -ENOENT);
    unlink(name);

    module = files_make(big, sizeof big);
    kernel = open_kernel(file, module);
    unlink(module);
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), -EFBIG);
    cr_assert_not_null(strstr(error.text, "do not fit"));
    kernel_close(&kernel);
    ram_destroy(&ram);
}
