/*
 * boot.h - guest images in memory: what a bzImage and an ELF kernel say of themselves. Parsing only; kernel.c
 * puts them into guest RAM.
 */
#ifndef NOVT_VMM_BOOT_H
#define NOVT_VMM_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/error.h"

/* A bzImage (Linux, Documentation/x86/boot.rst). Pointers go into the buffer that was parsed. */
struct bzimage {
    uint16_t version;      /* boot protocol, 0x020f is 2.15 */
    const uint8_t *header; /* struct setup_header, from file offset 0x1f1 */
    size_t header_size;    /* as far as the file says that it goes, at most BZIMAGE_HEADER_MAX */
    const uint8_t *setup;  /* boot sector and real-mode code: the file's head */
    size_t setup_size;
    const uint8_t *payload; /* protected-mode kernel */
    size_t payload_size;
    bool has_entry_64, has_entry_32; /* may be entered there without its real-mode code */
    bool loads_high;                 /* its real-mode code expects the payload at 1 MiB, else at 64 KiB */
    uint64_t load_address;           /* preferred address; with has_entry_32 */
    uint32_t init_size;              /* RAM it needs from there, before it looks at the memory map; likewise */
    uint32_t command_line_max;       /* without the terminating zero */
    uint32_t initrd_max;             /* highest address of an initrd's last byte */
    bool initrd_above_4g;
};
#define BZIMAGE_HEADER_OFFSET 0x1f1
#define BZIMAGE_HEADER_MAX (0x290 - BZIMAGE_HEADER_OFFSET)
#define BZIMAGE_ENTRY_64 0x200 /* from the load address */

bool bzimage_probe(const uint8_t *data, size_t size);
/* name: for the text of errors. Errors: -EINVAL (not one), -ENOEXEC (too old, truncated, damaged). */
int bzimage_parse(struct bzimage *image, const uint8_t *data, size_t size, const char *name, struct error *error);

#define ELF_SEGMENTS 16
struct elf_segment {
    uint64_t address, virtual_address; /* physical; as linked */
    const uint8_t *data;
    uint64_t file_size, memory_size;
};
struct elf_image {
    struct elf_segment segment[ELF_SEGMENTS];
    unsigned segment_count;
    uint64_t low, high; /* physical range it occupies */
    uint64_t entry;     /* physical */
    uint32_t pvh_entry; /* physical address, 32-bit protected mode; of the XEN_ELFNOTE_PHYS32_ENTRY note, or 0 */
};

bool elf_probe(const uint8_t *data, size_t size);
/* An x86 ELF executable, 32 or 64 bits. Same errors. */
int elf_read(struct elf_image *image, const uint8_t *data, size_t size, const char *name, struct error *error);
/* One with a PVH entry. */
int elf_parse(struct elf_image *image, const uint8_t *data, size_t size, const char *name, struct error *error);

/* A multiboot 1 kernel, ELF or with addresses in its header ("a.out kludge"). */
struct multiboot_image {
    struct elf_image load; /* the segments, wherever they were said */
    uint32_t entry;        /* physical */
};
#define MULTIBOOT_SEARCH 8192 /* the header lies whole in the file's first bytes */

bool multiboot_probe(const uint8_t *data, size_t size);
/* Same errors. */
int multiboot_parse(struct multiboot_image *image, const uint8_t *data, size_t size, const char *name,
                    struct error *error);

#endif
