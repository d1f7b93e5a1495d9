/*
 * acpi.c - tests of the ACPI tables: a walk from the RSDP as a guest does it, with every checksum.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/acpi.h"

static uint32_t load32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, 4);
    return value;
}

static uint8_t sum(const uint8_t *bytes, uint32_t size)
{
    uint8_t total = 0;

    while (size--)
        total += *bytes++;
    return total;
}

static const uint8_t *check_table(struct ram *ram, gpa_t at, const char *signature)
{
    const uint8_t *table = ram_host(ram, at);

    cr_assert(at >= ACPI_REGION_START && at < ACPI_REGION_END);
    cr_assert_arr_eq(table, signature, 4);
    cr_assert_eq(sum(table, load32(table + 4)), 0, "%s", signature);
    return table;
}

static void check_madt(const uint8_t *madt, unsigned cpus)
{
    unsigned entries[16] = {0};

    for (uint32_t at = 44; at < load32(madt + 4); at += madt[at + 1]) {
        cr_assert(madt[at + 1] >= 6);
        entries[madt[at] & 15]++;
    }
    cr_assert_eq(entries[0], cpus);
    cr_assert_eq(entries[1], 1);
    cr_assert_eq(entries[2], 2);
    cr_assert_eq(entries[4], 1);
}

static void check(unsigned cpus, bool i8042)
{
    struct acpi_config config = {.cpus = cpus, .serial_present = {true, true, true, true}, .i8042 = i8042};
    struct error error = {""};
    struct ram ram = {0};
    const uint8_t *rsdp, *xsdt, *rsdt, *fadt;
    gpa_t at = 0;

    cr_assert_eq(ram_create(&ram, 4 << 20, &error), 0, "%s", error.text);
    cr_assert_eq(acpi_build(&ram, &config, &at, &error), 0, "%s", error.text);
    cr_assert_eq(at & 15, 0);
    rsdp = ram_host(&ram, at);
    cr_assert_arr_eq(rsdp, "RSD PTR ", 8);
    cr_assert_eq(sum(rsdp, 20), 0);
    cr_assert_eq(sum(rsdp, 36), 0);
    rsdt = check_table(&ram, load32(rsdp + 16), "RSDT");
    xsdt = check_table(&ram, load32(rsdp + 24), "XSDT");
    cr_assert_eq(load32(rsdt + 36), load32(xsdt + 36));
    fadt = check_table(&ram, load32(xsdt + 36), "FACP");
    cr_assert_eq(load32(fadt + 36) & 63, 0, "FACS alignment");
    cr_assert_arr_eq(ram_host(&ram, load32(fadt + 36)), "FACS", 4);
    cr_assert_eq(fadt[109] >> 1 & 1, i8042);
    check_table(&ram, load32(fadt + 40), "DSDT");
    check_madt(check_table(&ram, load32(xsdt + 44), "APIC"), cpus);
    ram_destroy(&ram);
}

Test(acpi, checksums_and_pointers)
{
    check(1, false);
    check(8, true);
    check(255, true);
}

Test(acpi, errors)
{
    struct acpi_config config = {.cpus = 0};
    struct error error = {""};
    struct ram ram = {0};
    gpa_t at;

    cr_assert_eq(ram_create(&ram, 64 << 10, &error), 0);
    cr_assert_lt(acpi_build(&ram, &config, &at, &error), 0);
    config.cpus = 1;
    cr_assert_lt(acpi_build(&ram, &config, &at, &error), 0);
    cr_assert(strstr(error.text, "-m"));
    ram_destroy(&ram);
}

/* What firmware does with the script, for tables at `base`: the image that would have been made there. */
static void run_script(struct acpi_image *image, uint32_t base)
{
    static uint8_t script[ACPI_SCRIPT_MAX];
    uint32_t size = acpi_script(image, script);

    cr_assert_eq(size % 128, 0);
    cr_assert_eq(load32(script), 1);
    cr_assert_str_eq((char *)script + 4, ACPI_TABLES_FILE);
    cr_assert_eq(load32(script + 4 + 56), 64, "the FACS wants it");
    cr_assert_str_eq((char *)script + 128 + 4, ACPI_RSDP_FILE);
    for (const uint8_t *c = script + 256; c < script + size; c += 128) {
        uint8_t *file = image->bytes + (strcmp((const char *)c + 4, ACPI_RSDP_FILE) ? 0 : image->rsdp);
        uint64_t value = 0;

        if (load32(c) == 2) {
            uint8_t *at = file + load32(c + 4 + 112);

            cr_assert_str_eq((const char *)c + 4 + 56, ACPI_TABLES_FILE);
            memcpy(&value, at, c[4 + 116]);
            value += base;
            memcpy(at, &value, c[4 + 116]);
        } else {
            cr_assert_eq(load32(c), 3);
            file[load32(c + 60)] -= sum(file + load32(c + 64), load32(c + 68));
        }
    }
}

Test(acpi, script)
{
    struct acpi_config config = {.cpus = 3, .serial_present = {true}, .i8042 = true};
    struct acpi_image *moved, *made;
    struct error error;

    cr_assert_eq(acpi_make(&moved, &config, 0, &error), 0);
    cr_assert_eq(acpi_make(&made, &config, 0x7ffe1240, &error), 0);
    cr_assert_eq(moved->size, made->size);
    cr_assert_neq(memcmp(moved->bytes, made->bytes, made->size), 0);
    run_script(moved, 0x7ffe1240);
    cr_assert_eq(memcmp(moved->bytes, made->bytes, made->size), 0);
    cr_assert_eq(sum(moved->bytes + moved->rsdp, moved->size - moved->rsdp), 0);
    free(moved);
    free(made);
}
