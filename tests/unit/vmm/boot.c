/*
 * boot.c - tests of the readers of bzImage and ELF headers: good images, and every field spoilt.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/vmm/images.h"
#include "vmm/boot.h"

static struct error error;

Test(bzimage, good)
{
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct bzimage image;

    image_make_bzimage(file);
    cr_assert_eq(bzimage_parse(&image, file, sizeof file, "x", &error), 0, "%s", error.text);
    cr_assert_eq(image.version, 0x020f);
    cr_assert_eq(image.payload, file + 1536);
    cr_assert_eq(image.payload_size, 2560u);
    cr_assert_eq(image.load_address, 0x1000000u);
    cr_assert_eq(image.init_size, 0x100000u);
    cr_assert_eq(image.command_line_max, 255u);
    cr_assert_eq(image.initrd_max, 0x7fffffffu);
    cr_assert_eq(image.header_size, 0x26cu - 0x1f1u);
    cr_assert_eq(image.setup, file);
    cr_assert_eq(image.setup_size, 1536u);
    cr_assert(image.has_entry_64 && image.has_entry_32 && image.loads_high);
}

/* What a kernel of this version and these flags can be entered by. */
Test(bzimage, entries)
{
    static const struct {
        uint16_t version, xloadflags;
        uint8_t loadflags;
        bool entry_64, entry_32, high;
        uint32_t command_line, initrd;
    } vectors[] = {
        {0x020f, 1, 1, true, true, true, 100, 0x7fffffff},    {0x020f, 0, 1, false, true, true, 100, 0x7fffffff},
        {0x020b, 1, 1, false, true, true, 100, 0x7fffffff}, /* before 2.12 xloadflags means nothing */
        {0x0209, 1, 1, false, false, true, 100, 0x7fffffff},  {0x0205, 1, 1, false, false, true, 255, 0x7fffffff},
        {0x0202, 1, 1, false, false, true, 255, 0x37ffffff},  {0x020f, 1, 0, false, false, false, 100, 0x7fffffff},
        {0x0200, 0, 0, false, false, false, 255, 0x37ffffff},
    };
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct bzimage image;

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t line = 100;

        image_make_bzimage(file);
        memcpy(file + 0x206, &vectors[i].version, 2);
        memcpy(file + 0x236, &vectors[i].xloadflags, 2);
        memcpy(file + 0x238, &line, 4);
        file[0x211] = vectors[i].loadflags;
        cr_assert_eq(bzimage_parse(&image, file, sizeof file, "x", &error), 0, "%zu: %s", i, error.text);
        cr_assert_eq(image.has_entry_64, vectors[i].entry_64, "%zu", i);
        cr_assert_eq(image.has_entry_32, vectors[i].entry_32, "%zu", i);
        cr_assert_eq(image.loads_high, vectors[i].high, "%zu", i);
        cr_assert_eq(image.command_line_max, vectors[i].command_line, "%zu", i);
        cr_assert_eq(image.initrd_max, vectors[i].initrd, "%zu", i);
    }
}

Test(bzimage, spoilt)
{
    static const struct {
        unsigned offset;
        uint32_t value;
        unsigned size;
        int status;
    } vectors[] = {
        {0x1fe, 0x1234, 2, -EINVAL},      {0x202, 0, 4, -EINVAL},       {0x206, 0x01ff, 2, -ENOEXEC},
        {0x1f4, 0xffffffff, 4, -ENOEXEC}, {0x1f4, 0, 4, -ENOEXEC},      {0x1f1, 200, 1, -ENOEXEC},
        {0x201, 0, 1, -ENOEXEC},          {0x258, 0x1000, 4, -ENOEXEC},
    };
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct bzimage image;

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        image_make_bzimage(file);
        memcpy(file + vectors[i].offset, &vectors[i].value, vectors[i].size);
        cr_assert_eq(bzimage_parse(&image, file, sizeof file, "x", &error), vectors[i].status, "offset 0x%x",
                     vectors[i].offset);
    }
}

/* The file ends anywhere: in a heap block of exactly that size, so that ASan sees a byte too many. */
Test(bzimage, truncated)
{
    uint8_t file[IMAGE_BZIMAGE_SIZE];
    struct bzimage image;

    image_make_bzimage(file);
    for (size_t size = 0; size < 1536 + 2545; size++) {
        uint8_t *cut = malloc(size ? size : 1);

        memcpy(cut, file, size);
        cr_assert_lt(bzimage_parse(&image, cut, size, "x", &error), 0, "%zu bytes", size);
        free(cut);
    }
}

Test(elf, good)
{
    uint8_t file[IMAGE_ELF_SIZE];
    struct elf_image image;

    image_make_elf(file);
    cr_assert_eq(elf_parse(&image, file, sizeof file, "x", &error), 0, "%s", error.text);
    cr_assert_eq(image.segment_count, 1u);
    cr_assert_eq(image.low, 0x200000u);
    cr_assert_eq(image.high, 0x200200u);
    cr_assert_eq(image.pvh_entry, 0x200010u);
}

static void spoil(size_t offset, uint64_t value, size_t size, const char *what)
{
    uint8_t file[IMAGE_ELF_SIZE];
    struct elf_image image;

    image_make_elf(file);
    memcpy(file + offset, &value, size);
    cr_assert_lt(elf_parse(&image, file, sizeof file, "x", &error), 0, "%s", what);
    cr_assert_null(strchr(error.text, '\n'));
}

Test(elf, spoilt)
{
    const size_t p = sizeof(Elf64_Ehdr);

    spoil(0, 0, 4, "magic");
    spoil(EI_DATA, ELFDATA2MSB, 1, "byte order");
    spoil(offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2, "machine");
    spoil(offsetof(Elf64_Ehdr, e_type), ET_REL, 2, "type");
    spoil(offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX, 8, "program headers' place");
    spoil(offsetof(Elf64_Ehdr, e_phnum), 0xffff, 2, "program headers' number");
    spoil(offsetof(Elf64_Ehdr, e_phentsize), 1, 2, "program headers' size");
    spoil(p + offsetof(Elf64_Phdr, p_offset), UINT64_MAX - 5, 8, "segment's place");
    spoil(p + offsetof(Elf64_Phdr, p_filesz), 1 << 20, 8, "segment's size");
    spoil(p + offsetof(Elf64_Phdr, p_memsz), 1, 8, "segment's size in memory");
    spoil(p + offsetof(Elf64_Phdr, p_paddr), UINT64_MAX - 5, 8, "segment's address");
    spoil(256 + 8, 17, 4, "note's type");
    spoil(256 + 4, 0xfffffff0, 4, "note's description size");
    spoil(256, 0xfffffff0, 4, "note's name size");
}

Test(elf, truncated)
{
    uint8_t file[IMAGE_ELF_SIZE];
    struct elf_image image;

    image_make_elf(file);
    for (size_t size = 0; size < 768; size++) {
        uint8_t *cut = malloc(size ? size : 1);

        memcpy(cut, file, size);
        cr_assert_lt(elf_parse(&image, cut, size, "x", &error), 0, "%zu bytes", size);
        free(cut);
    }
}
