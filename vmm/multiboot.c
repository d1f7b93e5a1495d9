/*
 * multiboot.c - reads the header of a multiboot 1 kernel (Multiboot Specification 0.6.96, 3.1).
 *
 * Interface: boot.h. The header says where the kernel lies in the file and in memory, or leaves that to ELF.
 * Invariant: every byte read lies in [data, data + size), whatever the file says.
 */
#include "vmm/boot.h"

#include <errno.h>
#include <string.h>

#define MAGIC 0x1badb002u
#define FLAG_ALIGN 1u           /* modules at page boundaries, where we put them anyway */
#define FLAG_MEMORY 2u          /* a memory map is a must: there always is one */
#define FLAG_VIDEO 4u           /* wants a video mode: kernels go on without, as long as we do not claim one */
#define FLAGS_REQUIRED 0xffffu  /* what the loader must understand */
#define FLAG_ADDRESSES 0x10000u /* the header's addresses are valid: the "a.out kludge" */

struct header {
    uint32_t magic, flags, checksum;
    uint32_t header_address, load_address, load_end, bss_end, entry; /* FLAG_ADDRESSES */
};
#define HEADER_SHORT 12u

/* Offset of the header, 32-bit aligned in the file's first bytes; size_t's largest where there is none. */
static size_t find_header(const uint8_t *data, size_t size, struct header *header)
{
    size_t end = size < MULTIBOOT_SEARCH ? size : MULTIBOOT_SEARCH;

    memset(header, 0, sizeof *header);
    for (size_t at = 0; at + HEADER_SHORT <= end; at += 4) {
        memcpy(header, data + at, HEADER_SHORT);
        if (header->magic == MAGIC && header->magic + header->flags + header->checksum == 0)
            return at;
    }
    return SIZE_MAX;
}

bool multiboot_probe(const uint8_t *data, size_t size)
{
    struct header header;

    return find_header(data, size, &header) != SIZE_MAX;
}

static int bad(const char *name, const char *what, struct error *error)
{
    return error_set(error, ENOEXEC, "-kernel %s: its multiboot header %s; the file is damaged", name, what);
}

/* The addresses of the header: where its own place in memory is tells which byte of the file goes where. */
static int read_addresses(struct multiboot_image *image, const struct header *h, size_t at, const uint8_t *data,
                          size_t size, const char *name, struct error *error)
{
    uint64_t before = (uint64_t)h->header_address - h->load_address, start = at - before, length;
    uint64_t end;

    if (h->load_address > h->header_address || before > at)
        return bad(name, "lies outside of what it loads", error);
    length = h->load_end ? (uint64_t)h->load_end - h->load_address : size - start;
    if ((h->load_end && h->load_end <= h->load_address) || length > size - start)
        return bad(name, "loads more than the file holds", error);
    end = h->bss_end ? h->bss_end : h->load_address + length;
    if (end < h->load_address + length)
        return bad(name, "ends the BSS within what it loads", error);
    memset(&image->load, 0, sizeof image->load);
    image->load.segment[0] =
        (struct elf_segment){h->load_address, h->load_address, data + start, length, end - h->load_address};
    image->load.segment_count = 1;
    image->load.low = h->load_address;
    image->load.high = end;
    image->load.entry = h->entry;
    return 0;
}

int multiboot_parse(struct multiboot_image *image, const uint8_t *data, size_t size, const char *name,
                    struct error *error)
{
    struct header header;
    size_t at = find_header(data, size, &header);
    int status;

    memset(image, 0, sizeof *image);
    if (at == SIZE_MAX)
        return error_set(error, EINVAL, "-kernel %s: not a multiboot kernel", name);
    if (header.flags & FLAGS_REQUIRED & ~(FLAG_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
        return error_set(error, ENOEXEC,
                         "-kernel %s: its multiboot header requires what no loader of version 0.6.96 has (flags "
                         "0x%x); it may need another version of multiboot",
                         name, header.flags);
    if (header.flags & FLAG_ADDRESSES) {
        if (size - at < sizeof header)
            return bad(name, "is cut off by the file's end", error);
        memcpy(&header, data + at, sizeof header);
        status = read_addresses(image, &header, at, data, size, name, error);
    } else {
        status = elf_probe(data, size) ? elf_read(&image->load, data, size, name, error)
                                       : bad(name, "has no addresses, and the file is not ELF", error);
    }
    if (status)
        return status;
    if (image->load.entry < image->load.low || image->load.entry >= image->load.high ||
        image->load.entry > UINT32_MAX)
        return bad(name, "or ELF header has an entry outside of what is loaded", error);
    image->entry = (uint32_t)image->load.entry;
    return 0;
}
