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
    HEADER_LEAST = 0x268 /* end of what protocol 2.12 has */
};
#define LOADED_HIGH 1u
#define XLF_KERNEL_64 1u
#define XLF_CAN_BE_LOADED_ABOVE_4G 2u
#define OLDEST 0x020c

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
                         "-kernel %s: boot protocol %u.%u is too old; novt needs 2.12 (Linux 3.8) or "
                         "later",
                         name, version >> 8, version & 0xff);
    if (size < HEADER_LEAST)
        return truncated(name, size, HEADER_LEAST, error);
    if (!(data[LOADFLAGS] & LOADED_HIGH))
        return error_set(error, ENOEXEC, "-kernel %s: a zImage, which loads low; build a bzImage", name);
    if (!(get16(data + XLOADFLAGS) & XLF_KERNEL_64))
        return error_set(error, ENOEXEC, "-kernel %s: a 32-bit kernel; this version boots 64-bit ones", name);
    return 0;
}

/* The protected-mode part: behind the setup sectors, syssize paragraphs long. */
static int find_payload(struct bzimage *image, const uint8_t *data, size_t size, const char *name,
                        struct error *error)
{
    uint64_t sectors = data[SETUP_SECTS] ? data[SETUP_SECTS] : 4;
    uint64_t start = (sectors + 1) * 512, length = (uint64_t)get32(data + SYSSIZE) * 16;

    /* The last paragraph may be short: old builds round syssize up without padding the file. */
    if (start >= size || start + length > size + 15)
        return truncated(name, size, start + length, error);
    if (length <= BZIMAGE_ENTRY_64)
        return error_set(error, ENOEXEC,
                         "-kernel %s: no kernel behind its header (syssize is %u); the file is damaged", name,
                         get32(data + SYSSIZE));
    image->payload = data + start;
    image->payload_size = length < size - start ? length : size - start;
    return 0;
}

int bzimage_parse(struct bzimage *image, const uint8_t *data, size_t size, const char *name, struct error *error)
{
    int status;
    size_t end;

    memset(image, 0, sizeof *image);
    if (!bzimage_probe(data, size))
        return error_set(error, EINVAL, "-kernel %s: not a Linux kernel (no bzImage header)", name);
    status = check_kind(data, size, name, error);
    if (!status)
        status = find_payload(image, data, size, name, error);
    if (status)
        return status;
    end = MAGIC + (size_t)data[JUMP + 1]; /* the jump at 0x200 leads behind the header */
    if (end < HEADER_LEAST)
        return error_set(error, ENOEXEC, "-kernel %s: its header ends at 0x%zx, too early; the file is damaged",
                         name, end);
    image->version = get16(data + VERSION);
    image->header = data + BZIMAGE_HEADER_OFFSET;
    image->header_size = end - BZIMAGE_HEADER_OFFSET;
    if (image->header_size > BZIMAGE_HEADER_MAX)
        image->header_size = BZIMAGE_HEADER_MAX;
    if (image->header_size > size - BZIMAGE_HEADER_OFFSET)
        return truncated(name, size, end, error);
    image->load_address = get64(data + PREF_ADDRESS);
    image->init_size = get32(data + INIT_SIZE);
    image->command_line_max = get32(data + CMDLINE_SIZE);
    image->initrd_max = get32(data + INITRD_ADDR_MAX);
    image->initrd_above_4g = get16(data + XLOADFLAGS) & XLF_CAN_BE_LOADED_ABOVE_4G;
    if (image->load_address < 0x100000 || image->load_address + image->payload_size < image->load_address)
        return error_set(error, ENOEXEC, "-kernel %s: wants to be loaded at 0x%llx; the file is damaged", name,
                         (unsigned long long)image->load_address);
    return 0;
}
