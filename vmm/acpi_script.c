/*
 * acpi_script.c - the script by which firmware places the ACPI tables (QEMU's hw/acpi/bios-linker-loader.c, which
 * is what SeaBIOS and U-Boot know).
 *
 * Interface: acpi_script. Firmware allocates memory for two files of fw_cfg, adds the address of the tables'
 * memory to every pointer in them, which until then counts from the file's start, and then mends the checksums.
 */
#include <string.h>

#include "vmm/acpi.h"

#define COMMAND_ALLOCATE 1u
#define COMMAND_ADD_POINTER 2u
#define COMMAND_ADD_CHECKSUM 3u
#define ZONE_HIGH 1u
#define ZONE_F_SEGMENT 2u
#define NAME 56

struct command {
    uint32_t command;
    union {
        struct {
            char file[NAME];
            uint32_t align;
            uint8_t zone;
        } __attribute__((packed)) allocate;
        struct {
            char to[NAME], of[NAME];
            uint32_t offset;
            uint8_t size;
        } __attribute__((packed)) pointer;
        struct {
            char file[NAME];
            uint32_t offset, start, length;
        } __attribute__((packed)) checksum;
        uint8_t all[124];
    };
} __attribute__((packed));
_Static_assert(sizeof(struct command) == 128, "a command has 128 bytes");

static struct command allocate(const char *file, uint32_t align, uint8_t zone)
{
    struct command c = {.command = COMMAND_ALLOCATE};

    strcpy(c.allocate.file, file);
    c.allocate.align = align;
    c.allocate.zone = zone;
    return c;
}

/* The RSDP is a file of its own: what lies in it counts from its start. */
static const char *file_of(const struct acpi_image *image, uint32_t *at)
{
    if (*at < image->rsdp)
        return ACPI_TABLES_FILE;
    *at -= image->rsdp;
    return ACPI_RSDP_FILE;
}

static struct command point(const struct acpi_image *image, const struct acpi_pointer *p)
{
    struct command c = {.command = COMMAND_ADD_POINTER};
    uint32_t at = p->at;

    strcpy(c.pointer.to, file_of(image, &at));
    strcpy(c.pointer.of, ACPI_TABLES_FILE);
    c.pointer.offset = at;
    c.pointer.size = p->size;
    return c;
}

static struct command sum(const struct acpi_image *image, const struct acpi_checksum *s)
{
    struct command c = {.command = COMMAND_ADD_CHECKSUM};
    uint32_t at = s->at, start = s->start;

    strcpy(c.checksum.file, file_of(image, &at));
    file_of(image, &start);
    c.checksum.offset = at;
    c.checksum.start = start;
    c.checksum.length = s->length;
    return c;
}

uint32_t acpi_script(const struct acpi_image *image, uint8_t *script)
{
    struct command c[ACPI_SCRIPT_MAX / sizeof(struct command)];
    unsigned n = 0;

    c[n++] = allocate(ACPI_TABLES_FILE, 64, ZONE_HIGH);
    c[n++] = allocate(ACPI_RSDP_FILE, 16, ZONE_F_SEGMENT);
    for (unsigned i = 0; i < image->pointers; i++)
        c[n++] = point(image, &image->pointer[i]);
    for (unsigned i = 0; i < image->checksums; i++)
        c[n++] = sum(image, &image->checksum[i]);
    memcpy(script, c, n * sizeof c[0]);
    return n * (uint32_t)sizeof c[0];
}
