/*
 * ram.h - guest-physical memory: RAM in a memfd, ROM, and what is left for MMIO.
 *
 * Guest RAM lies at guest-physical 0 up to 3 GiB; what exceeds that continues at 4 GiB, so that the
 * last GiB below 4 GiB is free for devices and ROM (the layout of QEMU's and real PC chipsets).
 * Host memory of RAM is one contiguous shared mapping of the memfd.
 */
#ifndef NOVT_MEMORY_RAM_H
#define NOVT_MEMORY_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/error.h"
#include "memory/trace.h"

typedef uint64_t gva_t; /* guest linear address */
typedef uint64_t gpa_t; /* guest physical address */

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define RAM_HOLE_START 0xc0000000ull /* 3 GiB */
#define RAM_HOLE_END 0x100000000ull  /* 4 GiB */
#define RAM_MAX_ROMS 4

/* On functions that access guest memory at whatever address the guest says: x86 needs no alignment, and the
   sanitizer is to know it. */
#define RAM_UNALIGNED __attribute__((no_sanitize("alignment")))

/* Per page of RAM, one byte. */
enum ram_page_flag {
    RAM_PAGE_CODE = 1,     /* translated code was made from this page: writes must be seen */
    RAM_PAGE_QUIET = 0x10, /* counts writes since the page held code, in the bits of RAM_PAGE_QUIET_MASK */
    RAM_PAGE_QUIET_MASK = 0x70,
    RAM_PAGE_WINDOW = 8, /* a window maps it writable, or did */
    RAM_PAGE_DIRTY = 2,  /* written since the last ask (only kept while ram.log_dirty) */
};

/* Called for guest-physical addresses that are neither RAM nor ROM. size is 1, 2, 4 or 8 bytes and the
   access does not cross a page. Set by the machine; without them reads give all ones. */
struct ram_mmio {
    uint64_t (*read)(void *opaque, gpa_t gpa, unsigned size);
    void (*write)(void *opaque, gpa_t gpa, uint64_t value, unsigned size);
    void *opaque;
};

struct rom {
    gpa_t start;
    uint64_t size; /* bytes, a multiple of 4096 */
    uint8_t *host;
};

struct ram {
    uint8_t *host;       /* mapping of the memfd */
    uint64_t size;       /* bytes of RAM */
    int fd;              /* the memfd */
    uint8_t *page_flags; /* enum ram_page_flag, indexed by offset in the memfd >> 12 */
    struct rom roms[RAM_MAX_ROMS];
    unsigned rom_count;
    struct ram_mmio mmio;
    /* Called behind every write that did not go through a TLB entry to a page with RAM_PAGE_CODE: drops
       translated code. NULL when nothing is translated. */
    void (*code_written)(void *opaque, uint64_t offset, unsigned size);
    void *code_written_opaque;
    struct trace_hook trace; /* who wants to hear of all that is made of this memory */
    bool log_dirty;          /* mmu_log_dirty */
    uint64_t a20_mask;       /* ~0, or ~(1 << 20) while A20 is masked */
};

/* size: bytes, a multiple of 4096. Errors: -EINVAL, -ENOMEM. Free with ram_destroy. */
int ram_create(struct ram *ram, uint64_t size, struct error *error);
void ram_destroy(struct ram *ram);

/* Maps a ROM image (copied; size rounded up to a page, filled with 0xff in front). Errors: -ENOSPC. */
int ram_add_rom(struct ram *ram, gpa_t start, const void *image, uint64_t size, struct error *error);

/* End of RAM below the hole, and end of RAM above 4 GiB (RAM_HOLE_END when there is none there). */
static inline uint64_t ram_low_size(const struct ram *ram)
{
    return ram->size < RAM_HOLE_START ? ram->size : RAM_HOLE_START;
}

static inline gpa_t ram_high_end(const struct ram *ram)
{
    return RAM_HOLE_END + (ram->size - ram_low_size(ram));
}

/* Offset in the memfd of a guest-physical address, or UINT64_MAX where there is no RAM. */
static inline uint64_t ram_offset(const struct ram *ram, gpa_t gpa)
{
    if (gpa < ram_low_size(ram))
        return gpa;
    if (gpa >= RAM_HOLE_END && gpa < ram_high_end(ram))
        return gpa - RAM_HOLE_END + ram_low_size(ram);
    return UINT64_MAX;
}

/* Host address of a byte of RAM, NULL where there is none. Valid up to the end of its page. */
static inline uint8_t *ram_host(const struct ram *ram, gpa_t gpa)
{
    uint64_t offset = ram_offset(ram, gpa);

    return offset == UINT64_MAX ? NULL : ram->host + offset;
}

/* May a page of RAM (number) be written unseen? */
static inline bool ram_may_write(const struct ram *ram, uint64_t page)
{
    return !(ram->page_flags[page] & RAM_PAGE_CODE) && (!ram->log_dirty || ram->page_flags[page] & RAM_PAGE_DIRTY);
}

/* A page of RAM is about to be written, at this host address. */
static inline void ram_note_written(struct ram *ram, const uint8_t *host)
{
    if (ram->log_dirty)
        ram->page_flags[(uint64_t)(host - ram->host) >> PAGE_SHIFT] |= RAM_PAGE_DIRTY;
}

/* Like ram_host, but ROM counts too. For reading only. */
const uint8_t *ram_host_readable(const struct ram *ram, gpa_t gpa);

/* Copies between host and guest-physical RAM, for loaders and devices. Bytes outside of RAM are not
   copied and make it return false. Code made from written pages is NOT invalidated: for use before the
   guest runs; running devices use ram_device_write (later). */
bool ram_copy_to(struct ram *ram, gpa_t to, const void *from, uint64_t size);
bool ram_copy_from(const struct ram *ram, void *to, gpa_t from, uint64_t size);

#endif
