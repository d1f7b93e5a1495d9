/*
 * text.c - tests of vmm/text.c: distances, sizes, properties.
 */
#include <criterion/criterion.h>

#include "vmm/text.h"

Test(text, distance_and_nearest)
{
    static const char *const words[] = {"kernel", "initrd", "append", "nographic"};

    cr_assert_eq(text_distance("", ""), 0u);
    cr_assert_eq(text_distance("kernel", "kernel"), 0u);
    cr_assert_eq(text_distance("kernl", "kernel"), 1u);
    cr_assert_eq(text_distance("kenrel", "kernel"), 1u);
    cr_assert_eq(text_distance("abc", ""), 3u);
    cr_assert_str_eq(text_nearest("nographics", words, 4, sizeof words[0]), "nographic");
    cr_assert_str_eq(text_nearest("inird", words, 4, sizeof words[0]), "initrd");
    cr_assert_null(text_nearest("zzzzzz", words, 4, sizeof words[0]));
}

Test(text, sizes)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } vectors[] = {
        {"512", true, 512ull << 20},
        {"512M", true, 512ull << 20},
        {"512m", true, 512ull << 20},
        {"2G", true, 2ull << 30},
        {"1.5G", true, 3ull << 29},
        {"64K", true, 64 << 10},
        {"0x10", true, 16ull << 20},
        {"4096B", true, 4096},
        {"1T", true, 1ull << 40},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"M", false, 0},
        {"1MB", false, 0},
        {"1X", false, 0},
        {"1.G", false, 0},
        {"1.5", false, 0},
        {"99999999999999999999", false, 0},
        {"18446744073709551615G", false, 0},
        {"1e3", false, 0},
        {"0x", false, 0},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint64_t bytes = 0;

        cr_assert_eq(text_parse_size(vectors[i].text, 1 << 20, &bytes), vectors[i].ok, "%s", vectors[i].text);
        if (vectors[i].ok)
            cr_assert_eq(bytes, vectors[i].bytes, "%s", vectors[i].text);
    }
}

Test(text, numbers)
{
    uint64_t n;

    cr_assert(text_parse_number("0xf4", &n) && n == 0xf4);
    cr_assert(text_parse_number("10", &n) && n == 10);
    cr_assert(!text_parse_number("-1", &n));
    cr_assert(!text_parse_number("1x", &n));
    cr_assert(!text_parse_number("", &n));
    cr_assert(!text_parse_number("99999999999999999999", &n));
}

Test(text, properties)
{
    const char *at = "isa-debug-exit,iobase=0xf4,path=a,,b=c,last";
    char key[32], value[32];
    bool has;

    cr_assert(text_next_property(&at, key, value, sizeof key, &has));
    cr_assert(!has && !strcmp(key, "isa-debug-exit") && !value[0]);
    cr_assert(text_next_property(&at, key, value, sizeof key, &has));
    cr_assert(has && !strcmp(key, "iobase") && !strcmp(value, "0xf4"));
    cr_assert(text_next_property(&at, key, value, sizeof key, &has));
    cr_assert(has && !strcmp(key, "path") && !strcmp(value, "a,b=c"));
    cr_assert(text_next_property(&at, key, value, sizeof key, &has));
    cr_assert(!has && !strcmp(key, "last"));
    cr_assert(!text_next_property(&at, key, value, sizeof key, &has));
    at = "averyverylongkeythatdoesnotfit=v";
    cr_assert(text_next_property(&at, key, value, 8, &has));
    cr_assert(has && !strcmp(key, "averyve") && !strcmp(value, "v"));
}
