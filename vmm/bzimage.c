/*
 * bzimage.c - reads the header of a Linux bzImage.
 *
 * Interface: boot.h. Field offsets are those of Linux's Documentation/x86/boot.rst. Invariant: every byte read
 * lies in [data, data + size), whatever the file says; tests/fuzz/loader.c holds us to it.
 */
#include "vmm/boot.h"

#include <errno.h>
#include <string.h>

enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200,
    MAGIC = 0x202,
    VERSION = 0x206,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22c,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_LEAST = 0x264 /* end of what protocol 2.10 has */
};
#define LOADED_HIGH 1u
#define XLF_KERNEL_64 1u
#define XLF_CAN_BE_LOADED_ABOVE_4G 2u
#define OLDEST 0x0200u            /* before that there is no "HdrS" */
#define SAYS_SYSSIZE 0x0204u      /* whole: before, syssize has 16 bits and means little */
#define SAYS_COMMAND_LINE 0x0206u /* how much it takes */
#define SAYS_MEMORY 0x020au       /* how much it needs and where: it can be loaded by that alone */
#define SAYS_XLOADFLAGS 0x020cu
#define INITRD_MAX_BEFORE_2_03 0x37ffffffu

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

bool bzimage_probe(const uint8_t *data, size_t size)
{
    return size >= VERSION + 2 && get16(data + BOOT_FLAG) == 0xaa55 && !memcmp(data + MAGIC, "HdrS", 4);
}

static int truncated(const char *name, size_t size, uint64_t wanted, struct error *error)
{
    return error_set(error, ENOEXEC,
                     "-kernel %s: the file is truncated: %zu bytes where its header tells of %llu; "
                     "copy it again",
                     name, size, (unsigned long long)wanted);
}

static int check_kind(const uint8_t *data, size_t size, const char *name, struct error *error)
{
    unsigned version = get16(data + VERSION);

    if (version < OLDEST)
        return error_set(error, ENOEXEC,
                         "-kernel %s: boot protocol %u.%u is too old; novt needs 2.0 (Linux 1.3.73) or "
                         "later",
                         name, version >> 8, version & 0xff);
    if (size < HEADER_LEAST)
        return truncated(name, size, HEADER_LEAST, error);
    return 0;
}

/* The protected-mode part: behind the setup sectors, syssize paragraphs long. */
static int find_payload(struct bzimage *image, const uint8_t *data, size_t size, const char *name,
                        struct error *error)
{
    uint64_t sectors = data[SETUP_SECTS] ? data[SETUP_SECTS] : 4;
    uint64_t start = (sectors + 1) * 512, length = (uint64_t)get32(data + SYSSIZE) * 16;

    if (image->version < SAYS_SYSSIZE)
        length = start < size ? size - start : 0;
    /* The last paragraph may be short: old builds round syssize up without padding the file. */
    if (start >= size || start + length > size + 15)
        return truncated(name, size, start + length, error);
    if (length <= BZIMAGE_ENTRY_64)
        return error_set(error, ENOEXEC,
                         "-kernel %s: no kernel behind its header (syssize is %u); the file is damaged", name,
                         get32(data + SYSSIZE));
    image->setup = data;
    image->setup_size = start;
    image->payload = data + start;
    image->payload_size = length < size - start ? length : size - start;
    return 0;
}

/* The header proper, from its jump on; the jump leads behind it. */
static int find_header(struct bzimage *image, const uint8_t *data, size_t size, const char *name,
                       struct error *error)
{
    size_t end = MAGIC + (size_t)data[JUMP + 1];

    if (image->version >= SAYS_MEMORY && end < HEADER_LEAST)
        return error_set(error, ENOEXEC, "-kernel %s: its header ends at 0x%zx, too early; the file is damaged",
                         name, end);
    image->header = data + BZIMAGE_HEADER_OFFSET;
    image->header_size = end - BZIMAGE_HEADER_OFFSET;
    if (image->header_size > BZIMAGE_HEADER_MAX)
        image->header_size = BZIMAGE_HEADER_MAX;
    if (image->header_size > size - BZIMAGE_HEADER_OFFSET)
        return truncated(name, size, end, error);
    return 0;
}

/* Fields that came with later versions of the protocol, or what held before. */
static int read_fields(struct bzimage *image, const uint8_t *data, const char *name, struct error *error)
{
    uint16_t xloadflags = image->version >= SAYS_XLOADFLAGS ? get16(data + XLOADFLAGS) : 0;

    image->loads_high = data[LOADFLAGS] & LOADED_HIGH;
    image->has_entry_32 = image->version >= SAYS_MEMORY && image->loads_high;
    image->has_entry_64 = image->has_entry_32 && xloadflags & XLF_KERNEL_64;
    image->initrd_above_4g = xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G;
    image->command_line_max = image->version >= SAYS_COMMAND_LINE ? get32(data + CMDLINE_SIZE) : 255;
    image->initrd_max = image->version >= 0x0203 ? get32(data + INITRD_ADDR_MAX) : INITRD_MAX_BEFORE_2_03;
    if (!image->has_entry_32)
        return 0;
    image->load_address = get64(data + PREF_ADDRESS);
    image->init_size = get32(data + INIT_SIZE);
    if (image->load_address < 0x100000 || image->load_address + image->payload_size < image->load_address)
        return error_set(error, ENOEXEC, "-kernel %s: wants to be loaded at 0x%llx; the file is damaged", name,
                         (unsigned long long)image->load_address);
    return 0;
}

int bzimage_parse(struct bzimage *image, const uint8_t *data, size_t size, const char *name, struct error *error)
{
    int status;

    memset(image, 0, sizeof *image);
    if (!bzimage_probe(data, size))
        return error_set(error, EINVAL, "-kernel %s: not a Linux kernel (no bzImage header)", name);
    status = check_kind(data, size, name, error);
    if (status)
        return status;
    image->version = get16(data + VERSION);
    status = find_payload(image, data, size, name, error);
    if (!status)
        status = find_header(image, data, size, name, error);
    return status ? status : read_fields(image, data, name, error);
}
