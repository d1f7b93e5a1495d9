/*
 * symbols.c - tests of names of addresses: both kinds of file, lookup both ways, damaged files.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vmm/files.h"
#include "tests/unit/vmm/images.h"
#include "vmm/trace/symbols.h"

static struct symbols *symbols;
static const char *error;

static int open_bytes(const void *data, size_t size)
{
    const char *name = files_make(data, size);
    int status = symbols_open(&symbols, name, &error);

    unlink(name);
    return status;
}

static int open_text(const char *text)
{
    return open_bytes(text, strlen(text));
}

/* "name+offset", or "-". */
static const char *at(gva_t address)
{
    static char text[64];
    uint64_t offset;
    const char *name = symbols_at(symbols, address, &offset);

    snprintf(text, sizeof text, name ? "%s+%llu" : "-", name, name ? (unsigned long long)offset : 0ull);
    return text;
}

static void refused(int status, int errnum, const char *words)
{
    cr_assert_eq(status, -errnum, "%d: %s", status, error);
    cr_assert_null(symbols);
    cr_assert_not_null(strstr(error, words), "%s", error);
    cr_assert_null(strchr(error, '\n'));
}

Test(symbols, elf)
{
    uint8_t image[IMAGE_SYMBOLS_SIZE];
    uint64_t size;
    gva_t address;

    image_make_symbols(image);
    cr_assert_eq(open_bytes(image, sizeof image), 0, "%s", error);
    cr_assert_str_eq(at(0x401000), "start+0"); /* not "alias", a label of no size */
    cr_assert_str_eq(at(0x40101f), "start+31");
    cr_assert_str_eq(at(0x401020), "helper+0");
    cr_assert_str_eq(at(0x401030), "-"); /* behind its size */
    cr_assert_str_eq(at(0x400fff), "-");
    cr_assert_str_eq(at(0x402007), "data+7");
    cr_assert_str_eq(at(0x403000 + 0xffff), "end+65535");
    cr_assert_str_eq(at(0x403000 + 0x10000), "-");
    cr_assert_str_eq(at(UINT64_MAX), "-");
    cr_assert(symbols_find(symbols, "helper", &address, &size));
    cr_assert_eq(address, 0x401020u);
    cr_assert_eq(size, 16u);
    cr_assert(symbols_find(symbols, "alias", &address, &size));
    cr_assert_eq(size, 0u);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_not(symbols_find(symbols, (const char *[]){"constant", "elsewhere", "file.c", "star"}[i],
                                   &address, &size));
    symbols_move(symbols, 0x1e000000);
    cr_assert_str_eq(at(0x1e401004), "start+4");
    cr_assert_str_eq(at(0x401004), "-");
    cr_assert(symbols_find(symbols, "start", &address, &size));
    cr_assert_eq(address, 0x1e401000u);
    symbols_close(symbols);
}

Test(symbols, system_map)
{
    uint64_t size;
    gva_t address;

    cr_assert_eq(open_text("0000000000000000 A constant\n"
                           "ffffffff81000000 T _text\n"
                           "ffffffff81000000 t local\n"
                           "ffffffff81000100 t twice\n"
                           "ffffffff81000200 T twice\n"
                           "ffffffff81000300 D data\n"
                           "ffffffffc0000000 t init\t[module]\n"),
                 0, "%s", error);
    cr_assert_str_eq(at(0xffffffff81000001), "_text+1");
    cr_assert_str_eq(at(0xffffffff810001ff), "twice+255");
    cr_assert_str_eq(at(0xffffffff81010300), "-"); /* no size: 64 KiB at most */
    cr_assert_str_eq(at(0xffffffffc0000010), "init+16");
    cr_assert_str_eq(at(0x10), "-");
    cr_assert(symbols_find(symbols, "twice", &address, &size));
    cr_assert_eq(address, 0xffffffff81000200u); /* the global one */
    symbols_move(symbols, -0x1000ull);
    cr_assert_str_eq(at(0xffffffff80fff001), "_text+1");
    symbols_close(symbols);
}

Test(symbols, bad_maps)
{
    refused(open_text("hello world\n"), EINVAL, "neither");
    refused(open_text(""), EINVAL, "no symbols");
    refused(open_text("ffffffff81000000 T a\nffffffff8100000g T b\n"), EINVAL, "ADDRESS TYPE NAME");
    refused(open_text("ffffffff81000000 T a\n\n"), EINVAL, "ADDRESS TYPE NAME");
    refused(open_text("ffffffff81000000 T a\n1ffffffff81000000 T b\n"), EINVAL, "ADDRESS TYPE NAME");
    refused(open_text("ffffffff81000000 T \n"), EINVAL, "ADDRESS TYPE NAME");
    refused(open_text("ffffffff81000000 T \t[m]\n"), EINVAL, "ADDRESS TYPE NAME");
    refused(open_text("ffffffff81000000 T a\033[2J\n"), EINVAL, "ADDRESS TYPE NAME");
    refused(open_text("ffffffffffffffff B The real System.map is elsewhere\n"), EINVAL, "Debian");
    refused(open_text("ffffffff81000000 T a\nffffffff81000000 T"), EINVAL, "middle of a line");
    refused(open_text("0000000000000000 T a\n0000000000000000 T b\n"), EINVAL, "zero");
    refused(open_text("0000000000000010 A a\n"), EINVAL, "no symbols");
}

Test(symbols, bad_files)
{
    refused(symbols_open(&symbols, "/nowhere/at/all", &error), ENOENT, "no such file");
    refused(symbols_open(&symbols, "/tmp", &error), EISDIR, "cannot be read");
}

static void spoil(unsigned offset, uint64_t value, unsigned width, int errnum, const char *words)
{
    uint8_t image[IMAGE_SYMBOLS_SIZE];

    image_make_symbols(image);
    memcpy(image + offset, &value, width);
    refused(open_bytes(image, sizeof image), errnum, words);
}

#define SECTIONS 640u

Test(symbols, damaged_elf)
{
    uint8_t image[IMAGE_SYMBOLS_SIZE];

    image_make_symbols(image);
    refused(open_bytes(image, 40), ENOEXEC, "damaged");
    refused(open_bytes(image, 600), EINVAL, "end is missing");
    spoil(offsetof(Elf64_Ehdr, e_machine), EM_ARM, 2, EINVAL, "another processor");
    spoil(EI_DATA, ELFDATA2MSB, 1, EINVAL, "another processor");
    spoil(offsetof(Elf64_Ehdr, e_type), ET_REL, 2, EINVAL, "not linked");
    spoil(SECTIONS + 2 * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_type), SHT_NOTE, 4, EINVAL, "no .symtab");
    spoil(SECTIONS + 2 * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_offset), 1 << 20, 8, ENOEXEC, "damaged");
    spoil(SECTIONS + 2 * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_size), UINT64_MAX, 8, ENOEXEC, "damaged");
    spoil(SECTIONS + 2 * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_link), 7, 4, ENOEXEC, "damaged");
    spoil(IMAGE_SYMBOLS_TABLE + 2 * sizeof(Elf64_Sym), 0x1000, 4, ENOEXEC, "damaged");
}
