/*
 * entries.c - tests of the choice between a Linux kernel's entries, and of the 32-bit and the real-mode one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "tests/unit/vmm/files.h"
#include "tests/unit/vmm/images.h"
#include "vmm/kernel.h"

static struct error error;
static struct kernel kernel;
static struct ram ram;

static int load(const uint8_t file[IMAGE_BZIMAGE_SIZE], enum kernel_entry entry, bool long_mode)
{
    const char *name = files_make(file, IMAGE_BZIMAGE_SIZE), *initrd = files_make("initrd", 6);
    const struct kernel_options options = {name, initrd, "console=ttyS0", entry, long_mode};
    int status = kernel_open(&kernel, &options, 64 << 20, &error);

    cr_assert_eq(status, 0, "%s", error.text);
    unlink(name);
    unlink(initrd);
    status = kernel_load(&kernel, &ram, 0xe0000, &error);
    kernel_close(&kernel);
    return status;
}

static void setup(void)
{
    cr_assert_eq(ram_create(&ram, 64 << 20, &error), 0);
}

static void teardown(void)
{
    ram_destroy(&ram);
}

static uint64_t get(gpa_t at, unsigned size)
{
    uint64_t value = 0;

    cr_assert(ram_copy_from(&ram, &value, at, size));
    return value;
}

TestSuite(entries, .init = setup, .fini = teardown);

Test(entries, choice)
{
    static const struct {
        uint16_t version;
        bool xlf_64, long_mode;
        enum kernel_entry entry;
        int kind; /* or a negative errno */
    } vectors[] = {
        {0x20f, true, true, KERNEL_ENTRY_AUTO, KERNEL_LINUX_64},
        {0x20f, true, false, KERNEL_ENTRY_AUTO, KERNEL_LINUX_32},
        {0x20f, false, true, KERNEL_ENTRY_AUTO, KERNEL_LINUX_32},
        {0x209, true, true, KERNEL_ENTRY_AUTO, KERNEL_LINUX_16},
        {0x20f, true, true, KERNEL_ENTRY_32, KERNEL_LINUX_32},
        {0x20f, true, true, KERNEL_ENTRY_16, KERNEL_LINUX_16},
        {0x20f, true, true, KERNEL_ENTRY_64, KERNEL_LINUX_64},
        {0x20f, true, false, KERNEL_ENTRY_64, -ENOEXEC},
        {0x20f, false, true, KERNEL_ENTRY_64, -ENOEXEC},
        {0x209, true, true, KERNEL_ENTRY_32, -ENOEXEC},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t file[IMAGE_BZIMAGE_SIZE];
        int status;

        image_make_bzimage(file);
        memcpy(file + 0x206, &vectors[i].version, 2);
        file[0x236] = vectors[i].xlf_64;
        status = load(file, vectors[i].entry, vectors[i].long_mode);
        cr_assert_eq(status ? status : (int)kernel.kind, vectors[i].kind, "%zu: %s", i, error.text);
    }
}

Test(entries, protected_mode)
{
    static struct cpu_model model;
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct vcpu *v = vcpu_create(&ram, &model);

    image_make_bzimage(file);
    cr_assert_eq(load(file, KERNEL_ENTRY_32, true), 0, "%s", error.text);
    kernel_start(&kernel, v);
    cr_assert_eq(v->rip, 0x1000000u);
    cr_assert_eq(v->cr0, CR0_PE | CR0_ET);
    cr_assert_eq(v->efer, 0u);
    cr_assert_eq(v->rflags, FLAG_FIXED);
    cr_assert_eq(v->gpr[RSI], BOOT_ZERO_PAGE);
    cr_assert_eq(v->gpr[RBP] | v->gpr[RDI] | v->gpr[RBX], 0u);
    cr_assert_eq(v->seg[SEG_CS].selector, 0x10);
    cr_assert_eq(get(v->gdtr.base + 0x10, 8), 0x00cf9b000000ffffu);
    cr_assert_eq(get(v->gdtr.base + 0x18, 8), 0x00cf93000000ffffu);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cr_assert_eq(v->seg[i].limit, UINT32_MAX);
        cr_assert_eq(v->seg[i].base, 0u);
        cr_assert(i == SEG_CS || v->seg[i].selector == 0x18);
    }
    vcpu_destroy(v);
}

Test(entries, real_mode)
{
    static struct cpu_model model;
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct vcpu *v = vcpu_create(&ram, &model);

    image_make_bzimage(file);
    cr_assert_eq(load(file, KERNEL_ENTRY_16, true), 0, "%s", error.text);
    kernel_start(&kernel, v);
    cr_assert_eq(v->cr0 & CR0_PE, 0u);
    cr_assert_eq(v->seg[SEG_CS].base + v->rip, 0x90200u);
    cr_assert_eq(v->seg[SEG_CS].selector, 0x9020);
    cr_assert_eq(v->seg[SEG_DS].base, 0x90000u);
    cr_assert_eq(v->seg[SEG_SS].selector, 0x9000);
    cr_assert_eq(memcmp(ram_host(&ram, 0x90400), file + 0x400, 0x200), 0);
    cr_assert_eq(memcmp(ram_host(&ram, 0x100000), file + 1536, 2560), 0);
    cr_assert_str_eq((char *)ram_host(&ram, get(0x90228, 4)), "console=ttyS0");
    cr_assert_eq(get(0x90210, 1), 0xffu);
    cr_assert_eq(get(0x90211, 1), 0x81u);
    cr_assert_eq(memcmp(ram_host(&ram, get(0x90218, 4)), "initrd", get(0x9021c, 4)), 0);
    cr_assert_eq(get(0x15 * 4 + 2, 2), 0xf000u);
    cr_assert_neq(get(0x15 * 4, 4), get(0x13 * 4, 4));
    vcpu_destroy(v);
}

Test(entries, old_protocol)
{
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    uint16_t version = 0x201;

    image_make_bzimage(file);
    memcpy(file + 0x206, &version, 2);
    file[0x211] = 0; /* a zImage */
    cr_assert_eq(load(file, KERNEL_ENTRY_AUTO, true), 0, "%s", error.text);
    cr_assert_eq(memcmp(ram_host(&ram, 0x10000), file + 1536, 2560), 0);
    cr_assert_eq(get(0x90020, 2), 0xa33fu);
    cr_assert_str_eq((char *)ram_host(&ram, 0x90000 + get(0x90022, 2)), "console=ttyS0");
    file[0x1f1] = 100; /* real-mode code of 50 KiB: the file is truncated */
    cr_assert_eq(load(file, KERNEL_ENTRY_AUTO, true), -ENOEXEC);
}
