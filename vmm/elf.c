/*
 * elf.c - reads an ELF kernel: its segments, and its PVH entry (a vmlinux with CONFIG_PVH, Xen-style direct boot).
 *
 * Interface: boot.h. The entry is in the note XEN_ELFNOTE_PHYS32_ENTRY of owner "Xen" (Xen's public/elfnote.h).
 * Invariant: every byte read lies in [data, data + size), whatever the file says.
 */
#include "vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* What both classes of ELF have, in one width. */
struct program_header {
    uint32_t type;
    uint64_t offset, virtual, address, file_size, memory_size, align;
};

bool elf_probe(const uint8_t *data, size_t size)
{
    return size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG);
}

static bool inside(size_t size, uint64_t offset, uint64_t length)
{
    return offset <= size && length <= size - offset;
}

static bool read_header(const uint8_t *data, size_t size, bool wide, Elf64_Ehdr *header)
{
    Elf32_Ehdr narrow;

    if (size < (wide ? sizeof *header : sizeof narrow))
        return false;
    if (wide) {
        memcpy(header, data, sizeof *header);
        return true;
    }
    memcpy(&narrow, data, sizeof narrow);
    memset(header, 0, sizeof *header);
    memcpy(header->e_ident, narrow.e_ident, EI_NIDENT);
    header->e_type = narrow.e_type;
    header->e_machine = narrow.e_machine;
    header->e_entry = narrow.e_entry;
    header->e_phoff = narrow.e_phoff;
    header->e_phnum = narrow.e_phnum;
    header->e_phentsize = narrow.e_phentsize;
    return true;
}

static struct program_header read_program(const uint8_t *at, bool wide)
{
    Elf64_Phdr p64;
    Elf32_Phdr p32;

    if (wide) {
        memcpy(&p64, at, sizeof p64);
        return (struct program_header){p64.p_type,   p64.p_offset, p64.p_vaddr, p64.p_paddr,
                                       p64.p_filesz, p64.p_memsz,  p64.p_align};
    }
    memcpy(&p32, at, sizeof p32);
    return (struct program_header){p32.p_type,   p32.p_offset, p32.p_vaddr, p32.p_paddr,
                                   p32.p_filesz, p32.p_memsz,  p32.p_align};
}

static uint64_t round_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

/* Looks through one PT_NOTE for the PVH entry; its bytes are known to lie in the file. */
static void scan_notes(struct elf_image *image, const uint8_t *notes, uint64_t size, uint64_t align)
{
    uint64_t at = 0;

    align = align == 8 ? 8 : 4;
    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        uint64_t name, description;

        memcpy(&note, notes + at, sizeof note);
        name = at + sizeof note;
        description = round_up(name + note.n_namesz, align);
        if (description > size || note.n_descsz > size - description)
            return;
        if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
            note.n_descsz >= 4)
            memcpy(&image->pvh_entry, notes + description, 4);
        at = round_up(description + note.n_descsz, align);
        if (at > size)
            return;
    }
}

static int add_segment(struct elf_image *image, const struct program_header *p, const uint8_t *data,
                       const char *name, struct error *error)
{
    uint64_t end;

    if (!p->memory_size)
        return 0;
    if (image->segment_count == ELF_SEGMENTS)
        return error_set(error, ENOEXEC, "-kernel %s: more than %d segments; not a kernel this version can load",
                         name, ELF_SEGMENTS);
    if (p->file_size > p->memory_size || __builtin_add_overflow(p->address, p->memory_size, &end))
        return error_set(error, ENOEXEC, "-kernel %s: a segment's sizes make no sense; the file is damaged", name);
    image->segment[image->segment_count++] =
        (struct elf_segment){p->address, p->virtual, data + p->offset, p->file_size, p->memory_size};
    if (p->address < image->low)
        image->low = p->address;
    if (end > image->high)
        image->high = end;
    return 0;
}

static int walk_programs(struct elf_image *image, const uint8_t *data, size_t size, const Elf64_Ehdr *header,
                         bool wide, const char *name, struct error *error)
{
    size_t entry = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    if (header->e_phentsize != entry || !inside(size, header->e_phoff, entry * header->e_phnum))
        return error_set(error, ENOEXEC,
                         "-kernel %s: its program headers lie outside of the file (%zu bytes); "
                         "copy it again",
                         name, size);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        struct program_header p = read_program(data + header->e_phoff + i * entry, wide);
        int status;

        if (p.type != PT_LOAD && p.type != PT_NOTE)
            continue;
        if (!inside(size, p.offset, p.file_size))
            return error_set(error, ENOEXEC,
                             "-kernel %s: the file is truncated: %zu bytes where a segment ends at %llu; "
                             "copy it again",
                             name, size, (unsigned long long)p.offset + p.file_size);
        if (p.type == PT_NOTE) {
            scan_notes(image, data + p.offset, p.file_size, p.align);
            continue;
        }
        status = add_segment(image, &p, data, name, error);
        if (status)
            return status;
    }
    return 0;
}

/* The entry as a physical address: kernels that are linked at a high address give the virtual one. */
static uint64_t find_entry(const struct elf_image *image, uint64_t entry)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segment[i];

        if (entry - s->virtual_address < s->memory_size)
            return entry - s->virtual_address + s->address;
    }
    return entry;
}

int elf_read(struct elf_image *image, const uint8_t *data, size_t size, const char *name, struct error *error)
{
    Elf64_Ehdr header;
    bool wide = size > EI_CLASS && data[EI_CLASS] == ELFCLASS64;
    int status;

    memset(image, 0, sizeof *image);
    image->low = UINT64_MAX;
    if (!elf_probe(data, size))
        return error_set(error, EINVAL, "-kernel %s: not an ELF file", name);
    if (!read_header(data, size, wide, &header))
        return error_set(error, ENOEXEC, "-kernel %s: the file is truncated within its ELF header; copy it again",
                         name);
    if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != (wide ? EM_X86_64 : EM_386))
        return error_set(error, ENOEXEC,
                         "-kernel %s: an ELF file for another processor (machine %u); give an x86 "
                         "kernel",
                         name, header.e_machine);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return error_set(error, ENOEXEC, "-kernel %s: an ELF file of type %u, not an executable; give a vmlinux",
                         name, header.e_type);
    status = walk_programs(image, data, size, &header, wide, name, error);
    if (status)
        return status;
    if (!image->segment_count)
        return error_set(error, ENOEXEC, "-kernel %s: an ELF file with nothing to load; give a vmlinux", name);
    image->entry = find_entry(image, header.e_entry);
    return 0;
}

int elf_parse(struct elf_image *image, const uint8_t *data, size_t size, const char *name, struct error *error)
{
    int status = elf_read(image, data, size, name, error);

    if (status)
        return status;
    if (!image->pvh_entry)
        return error_set(error, ENOEXEC,
                         "-kernel %s: an ELF file without a PVH entry; build it with CONFIG_PVH=y, or "
                         "give the bzImage",
                         name);
    return 0;
}
