/*
 * ram.c - guest RAM as one shared mapping of a memfd, and ROM images beside it.
 *
 * Interface: ram.h. Invariant: every host address given out lies in the mapping of the memfd or of a ROM,
 * and is good up to the end of its page.
 */
#include "memory/ram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int ram_create(struct ram *ram, uint64_t size, struct error *error)
{
    int status;

    memset(ram, 0, sizeof *ram);
    ram->fd = -1;
    ram->a20_mask = ~0ull;
    if (!size || size & ~PAGE_MASK)
        return error_set(error, EINVAL, "guest RAM of %llu bytes: give a multiple of 4096",
                         (unsigned long long)size);
    ram->size = size;
    ram->fd = memfd_create("novt-guest-ram", MFD_CLOEXEC);
    if (ram->fd < 0 || ftruncate(ram->fd, (off_t)size) < 0)
        goto fail;
    ram->host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram->fd, 0);
    if (ram->host == MAP_FAILED)
        goto fail;
    ram->page_flags =
        mmap(NULL, size >> PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram->page_flags == MAP_FAILED)
        goto fail;
    return 0;
fail:
    status = error_set(error, errno, "cannot make %llu MiB of guest RAM: %s; give a smaller -m",
                       (unsigned long long)(size >> 20), strerror(errno));
    ram_destroy(ram);
    return status;
}

void ram_destroy(struct ram *ram)
{
    for (unsigned i = 0; i < ram->rom_count; i++)
        munmap(ram->roms[i].host, ram->roms[i].size);
    if (ram->page_flags && ram->page_flags != MAP_FAILED)
        munmap(ram->page_flags, ram->size >> PAGE_SHIFT);
    if (ram->host && ram->host != MAP_FAILED)
        munmap(ram->host, ram->size);
    if (ram->fd >= 0)
        close(ram->fd);
    memset(ram, 0, sizeof *ram);
    ram->fd = -1;
}

int ram_add_rom(struct ram *ram, gpa_t start, const void *image, uint64_t size, struct error *error)
{
    uint64_t rounded = (size + PAGE_SIZE - 1) & PAGE_MASK;
    struct rom *rom = &ram->roms[ram->rom_count];
    void *host;

    if (ram->rom_count == RAM_MAX_ROMS)
        return error_set(error, ENOSPC, "more than %d ROM images", RAM_MAX_ROMS);
    host = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        return error_set(error, errno, "cannot map a ROM of %llu bytes: %s", (unsigned long long)size,
                         strerror(errno));
    memset(host, 0xff, rounded - size);
    memcpy((uint8_t *)host + (rounded - size), image, size);
    *rom = (struct rom){.start = start, .size = rounded, .host = host};
    ram->rom_count++;
    return 0;
}

const uint8_t *ram_host_readable(const struct ram *ram, gpa_t gpa)
{
    for (unsigned i = 0; i < ram->rom_count; i++)
        if (gpa - ram->roms[i].start < ram->roms[i].size)
            return ram->roms[i].host + (gpa - ram->roms[i].start);
    return ram_host(ram, gpa);
}

bool ram_copy_to(struct ram *ram, gpa_t to, const void *from, uint64_t size)
{
    const uint8_t *bytes = from;
    bool whole = true;

    while (size) {
        uint64_t part = PAGE_SIZE - (to & ~PAGE_MASK);
        uint8_t *host = ram_host(ram, to);

        if (part > size)
            part = size;
        if (host) {
            ram_note_written(ram, host);
            memcpy(host, bytes, part);
        }
        whole &= host != NULL;
        to += part, bytes += part, size -= part;
    }
    return whole;
}

bool ram_copy_from(const struct ram *ram, void *to, gpa_t from, uint64_t size)
{
    uint8_t *bytes = to;
    bool whole = true;

    while (size) {
        uint64_t part = PAGE_SIZE - (from & ~PAGE_MASK);
        const uint8_t *host = ram_host_readable(ram, from);

        if (part > size)
            part = size;
        if (host)
            memcpy(bytes, host, part);
        whole &= host != NULL;
        from += part, bytes += part, size -= part;
    }
    return whole;
}
