/*
 * elf.c - the code at a symbol or an address of an ELF file.
 *
 * Interface: internal.h. libelf reads the file piece by piece, since one that is mapped and becomes
 * shorter meanwhile would be a SIGBUS. Nothing that the file says is trusted.
 */
#include "vmm/explain/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/file.h"
#include "vmm/trace/symbols.h"

#define UNKNOWN_LENGTH 4096u /* bytes of code whose end is not known */

/* The function, and how far it reaches; *size 0: that is not known. */
static int find_symbol(struct explain_code *code, const struct symbols *symbols, const struct explain_options *o,
                       uint64_t *size, struct error *error)
{
    if (!symbols_find(symbols, o->symbol, &code->address, size))
        return error_set(error, EINVAL, "explain: --symbol %s: not in %s; 'nm %s' lists its symbols", o->symbol,
                         o->elf, o->elf);
    snprintf(code->name, sizeof code->name, "%.100s", o->symbol);
    return 0;
}

/* Up to the end of the function that the address is in, if there are symbols. */
static void find_address(struct explain_code *code, const struct symbols *symbols, const struct explain_options *o,
                         uint64_t *size)
{
    uint64_t offset, start, whole;
    const char *name = symbols_at(symbols, o->address, &offset);

    code->address = o->address;
    if (!name)
        return;
    snprintf(code->name, sizeof code->name, "%.80s+0x%" PRIx64, name, offset);
    if (symbols_find(symbols, name, &start, &whole) && start == o->address - offset && whole > offset)
        *size = whole - offset;
}

static int find_code(struct explain_code *code, const struct explain_options *o, uint64_t *size,
                     struct error *error)
{
    struct symbols *symbols;
    const char *why;
    int status = symbols_open(&symbols, o->elf, &why);

    snprintf(code->name, sizeof code->name, "%.80s", o->elf);
    code->address = o->address;
    if (status && (o->symbol || status != -EINVAL)) /* an address is found without symbols */
        return error_set(error, -status, "explain: --elf %s: %s", o->elf, why);
    if (status)
        return 0;
    if (o->symbol)
        status = find_symbol(code, symbols, o, size, error);
    else
        find_address(code, symbols, o, size);
    symbols_close(symbols);
    return status;
}

/* The executable part of the file that is loaded at the address. false: none. */
static bool find_segment(Elf *elf, gva_t address, GElf_Phdr *found)
{
    size_t count;

    if (elf_getphdrnum(elf, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (gelf_getphdr(elf, (int)i, found) && found->p_type == PT_LOAD && found->p_flags & PF_X &&
            address - found->p_vaddr < found->p_filesz)
            return true;
    return false;
}

static int read_code(struct explain_code *code, Elf *elf, const struct image_file *file,
                     const struct explain_options *o, uint64_t size, struct error *error)
{
    uint64_t offset, most;
    GElf_Phdr segment;

    if (!find_segment(elf, code->address, &segment))
        return error_set(error, EINVAL,
                         "explain: --elf %s: address 0x%" PRIx64
                         " is in none of its executable segments; 'readelf -l "
                         "%s' lists them",
                         o->elf, code->address, o->elf);
    offset = segment.p_offset + (code->address - segment.p_vaddr);
    most = segment.p_filesz - (code->address - segment.p_vaddr);
    if (segment.p_offset > file->size || segment.p_filesz > file->size - segment.p_offset)
        return error_set(error, ENOEXEC,
                         "explain: --elf %s: the file is truncated: %" PRIu64 " bytes where a segment "
                         "ends at %" PRIu64 "; copy it again",
                         o->elf, file->size, segment.p_offset + segment.p_filesz);
    code->size = o->length ? o->length : size ? size : UNKNOWN_LENGTH;
    if (code->size > most)
        code->size = most;
    if (code->size > EXPLAIN_MAX_CODE)
        code->size = EXPLAIN_MAX_CODE;
    code->bytes = malloc(code->size);
    if (!code->bytes)
        return error_set(error, ENOMEM, "out of memory");
    return image_file_read_at(file, code->bytes, offset, code->size, error);
}

static int check_header(struct explain_code *code, Elf *elf, const struct explain_options *o, struct error *error)
{
    GElf_Ehdr header;
    bool wide = gelf_getclass(elf) == ELFCLASS64;

    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return error_set(error, ENOEXEC,
                         "explain: --elf %s: not an ELF file, or a damaged one; for plain code use --file",
                         o->elf);
    if (header.e_machine != EM_X86_64 && header.e_machine != EM_386)
        return error_set(error, ENOEXEC, "explain: --elf %s: for another processor (machine %u); give an x86 one",
                         o->elf, header.e_machine);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return error_set(error, ENOEXEC,
                         "explain: --elf %s: not linked, so it has no addresses yet; link it, or give the "
                         "code with --file and --offset",
                         o->elf);
    code->bits = o->bits ? o->bits : wide ? 64 : 32;
    return 0;
}

/* Kernels live high. */
static unsigned usual_cpl(gva_t address, unsigned bits)
{
    return bits == 64 ? (int64_t)address >= 0 ? 3 : 0 : address < 0xc0000000 ? 3 : 0;
}

static int load_opened(struct explain_code *code, Elf *elf, const struct image_file *file,
                       const struct explain_options *o, struct error *error)
{
    uint64_t size = 0;
    int status = elf ? check_header(code, elf, o, error)
                     : error_set(error, EIO, "explain: --elf %s: cannot be read: %s", o->elf, elf_errmsg(-1));

    if (!status)
        status = find_code(code, o, &size, error);
    if (!status)
        status = read_code(code, elf, file, o, size, error);
    if (!status && o->cpl < 0)
        code->cpl = usual_cpl(code->address, code->bits);
    return status;
}

int explain_load_elf(struct explain_code *code, const struct explain_options *o, struct error *error)
{
    struct image_file file;
    int status = image_file_open(&file, "explain: --elf", o->elf, UINT32_MAX, error);
    Elf *elf;

    if (status)
        return status;
    elf_version(EV_CURRENT);
    elf = file.data ? elf_memory((char *)file.data, file.size) : elf_begin(file.fd, ELF_C_READ, NULL);
    status = load_opened(code, elf, &file, o, error);
    elf_end(elf);
    image_file_close(&file);
    return status;
}
