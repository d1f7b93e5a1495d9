/*
 * kernel.c - tests of placing a kernel in guest memory and of the state the boot processor starts in.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vmm/files.h"
#include "tests/unit/vmm/images.h"
#include "vmm/kernel.h"

static struct error error;

static struct kernel open_kernel(const void *image, size_t size, const void *initrd, size_t initrd_size,
                                 const char *append)
{
    struct kernel kernel;
    const char *name = files_make(image, size);
    const char *initrd_name = initrd ? files_make(initrd, initrd_size) : NULL;

    cr_assert_eq(kernel_open(&kernel,
                             &(struct kernel_options){
                                 .image = name, .initrd = initrd_name, .append = append, .long_mode = true},
                             64 << 20, &error),
                 0, "%s", error.text);
    unlink(name); /* the open file is what counts, also for a second load */
    if (initrd_name)
        unlink(initrd_name);
    return kernel;
}

static uint64_t get(const struct ram *ram, gpa_t at, unsigned size)
{
    uint64_t value = 0;

    cr_assert(ram_copy_from(ram, &value, at, size));
    return value;
}

Test(kernel, linux_in_memory)
{
    static uint8_t initrd[10000];
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct kernel kernel;
    struct ram ram;

    image_make_bzimage(file);
    memset(initrd, 0x5a, sizeof initrd);
    kernel = open_kernel(file, sizeof file, initrd, sizeof initrd, "console=ttyS0");
    cr_assert_eq(ram_create(&ram, 64 << 20, &error), 0);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(kernel_load(&kernel, &ram, 0xe0000, &error), 0, "%s", error.text);
        cr_assert_eq(memcmp(ram_host(&ram, 0x1000000), file + 1536, 2560), 0);
        cr_assert_eq(kernel.entry, 0x1000200u);
        cr_assert_eq(kernel.initrd_address % PAGE_SIZE, 0u);
        cr_assert_eq(kernel.initrd_address, (64u << 20) - 12288);
        cr_assert_eq(memcmp(ram_host(&ram, kernel.initrd_address), initrd, sizeof initrd), 0);
        cr_assert_eq(get(&ram, BOOT_ZERO_PAGE + 0x218, 4), kernel.initrd_address);
        cr_assert_eq(get(&ram, BOOT_ZERO_PAGE + 0x21c, 4), sizeof initrd);
        cr_assert_eq(get(&ram, BOOT_ZERO_PAGE + 0x070, 8), 0xe0000u);
        cr_assert_eq(get(&ram, BOOT_ZERO_PAGE + 0x202, 4), 0x53726448u);
        cr_assert_eq(get(&ram, BOOT_ZERO_PAGE + 0x210, 1), 0xffu);
        cr_assert_str_eq((char *)ram_host(&ram, get(&ram, BOOT_ZERO_PAGE + 0x228, 4)), "console=ttyS0");
        memset(ram.host, 0xcc, 64 << 20);
    }
    kernel_close(&kernel);
    ram_destroy(&ram);
}

Test(kernel, memory_map)
{
    struct e820_entry map[E820_ENTRIES];
    struct ram ram = {.size = 5ull << 30};
    unsigned n = e820_build(map, &ram);
    uint64_t total = 0;

    cr_assert_leq(n, (unsigned)E820_ENTRIES);
    for (unsigned i = 0; i < n; i++) {
        if (i)
            cr_assert_geq(map[i].start, map[i - 1].start + map[i - 1].size);
        if (map[i].type == E820_RAM)
            total += map[i].size;
    }
    cr_assert_eq(total, (5ull << 30) - (0x100000 - BOOT_LOW_RAM_END));
    cr_assert_eq(map[n - 1].start, RAM_HOLE_END);
    cr_assert_eq(map[n - 1].size, 2ull << 30);
}

Test(kernel, what_does_not_fit)
{
    static uint8_t big[4 << 20];
    static char line[300];
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct kernel kernel;
    struct ram ram;

    image_make_bzimage(file);
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    kernel = open_kernel(file, sizeof file, NULL, 0, NULL);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), -EFBIG);
    cr_assert_not_null(strstr(error.text, "-m"));
    kernel_close(&kernel);
    ram_destroy(&ram);

    cr_assert_eq(ram_create(&ram, 20 << 20, &error), 0);
    kernel = open_kernel(file, sizeof file, big, sizeof big, NULL);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), -EFBIG);
    cr_assert_not_null(strstr(error.text, "-initrd"));
    kernel_close(&kernel);

    memset(line, 'x', 256);
    kernel = open_kernel(file, sizeof file, NULL, 0, line);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), -E2BIG);
    kernel_close(&kernel);
    line[255] = '\0';
    kernel = open_kernel(file, sizeof file, NULL, 0, line);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), 0, "%s", error.text);
    kernel_close(&kernel);
    ram_destroy(&ram);
}

Test(kernel, pvh_in_memory)
{
    uint8_t file[IMAGE_ELF_SIZE];
    struct kernel kernel;
    struct ram ram;
    gpa_t map;

    image_make_elf(file);
    kernel = open_kernel(file, sizeof file, "initrd", 6, "quiet");
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    memset(ram_host(&ram, 0x200000), 0xff, 4096);
    cr_assert_eq(kernel_load(&kernel, &ram, 0xe1000, &error), 0, "%s", error.text);
    cr_assert_eq(get(&ram, 0x2000ff, 1), 0xa5u);
    cr_assert_eq(get(&ram, 0x200100, 8), 0u);
    cr_assert_eq(get(&ram, BOOT_START_INFO, 4), 0x336ec578u);
    cr_assert_eq(get(&ram, BOOT_START_INFO + 32, 8), 0xe1000u);
    cr_assert_eq(get(&ram, get(&ram, BOOT_START_INFO + 16, 8), 8), kernel.initrd_address);
    map = get(&ram, BOOT_START_INFO + 40, 8);
    cr_assert_eq(get(&ram, map + 8, 8), BOOT_LOW_RAM_END);
    kernel_close(&kernel);
    ram_destroy(&ram);
}

static int open_named(struct kernel *kernel, const char *name)
{
    return kernel_open(kernel, &(struct kernel_options){.image = name}, 1 << 20, &error);
}

Test(kernel, files_that_are_none)
{
    struct kernel kernel;
    struct ram ram;

    cr_assert_eq(open_named(&kernel, "/nonexistent/x"), -ENOENT);
    cr_assert_eq(open_named(&kernel, "/tmp"), -EISDIR);
    cr_assert_eq(open_named(&kernel, "/dev/null"), -EINVAL);
    cr_assert_eq(open_named(&kernel, "/dev/zero"), -EINVAL);
    cr_assert_eq(open_named(&kernel, files_make("", 0)), -EINVAL);
    cr_assert_eq(ram_create(&ram, 16 << 20, &error), 0);
    kernel = open_kernel("#!/bin/sh\n", 10, NULL, 0, NULL);
    cr_assert_eq(kernel_load(&kernel, &ram, 0, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "not a kernel"));
    kernel_close(&kernel);
    ram_destroy(&ram);
}
