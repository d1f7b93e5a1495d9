/*
 * symbols_elf.c - reads the symbols of an ELF file, with libelf.
 *
 * Interface: symbols_internal.h. libelf reads the file piece by piece (ELF_C_READ): mapped, a file that becomes
 * shorter meanwhile would be a SIGBUS. Nothing of it is trusted: a name's offset is looked up by libelf, which
 * knows where the string table ends.
 */
#include "vmm/trace/symbols_internal.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#define DAMAGED "is a damaged or truncated ELF file; copy it again"

static int refuse(const char **error, int errnum, const char *why)
{
    *error = why;
    return -errnum;
}

static int check_header(Elf *elf, const char **error)
{
    GElf_Ehdr header;

    if (!gelf_getehdr(elf, &header))
        return refuse(error, ENOEXEC, DAMAGED);
    if ((header.e_machine != EM_X86_64 && header.e_machine != EM_386) || header.e_ident[EI_DATA] != ELFDATA2LSB)
        return refuse(error, EINVAL, "is an ELF file for another processor; name an x86 one");
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return refuse(error, EINVAL, "is not linked, so its symbols have no addresses yet; name an executable");
    return 0;
}

static Elf_Scn *find_symtab(Elf *elf, GElf_Shdr *header)
{
    Elf_Scn *section = NULL;

    while ((section = elf_nextscn(elf, section)))
        if (gelf_getshdr(section, header) && header->sh_type == SHT_SYMTAB)
            return section;
    return NULL;
}

/* What names a place in memory: no files, sections, constants, nor what is elsewhere. */
static bool has_address(const GElf_Sym *symbol)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info);

    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS &&
           (type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC || type == STT_GNU_IFUNC);
}

static uint8_t rank(const GElf_Sym *symbol)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info);

    return (uint8_t)((type == STT_FUNC || type == STT_GNU_IFUNC ? SYMBOL_CODE : 0) |
                     (type == STT_OBJECT ? SYMBOL_DATA : 0) |
                     (GELF_ST_BIND(symbol->st_info) != STB_LOCAL ? SYMBOL_GLOBAL : 0));
}

static int add_all(struct symbols *s, Elf *elf, const GElf_Shdr *header, Elf_Data *data, const char **error)
{
    GElf_Sym symbol;

    for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
        const char *name = has_address(&symbol) ? elf_strptr(elf, header->sh_link, symbol.st_name) : "";

        if (!name)
            return refuse(error, ENOEXEC, DAMAGED);
        if (!symbols_add(s, (struct symbol){symbol.st_value, symbol.st_size, 0, rank(&symbol)}, name,
                         strlen(name)))
            return -ENOMEM;
    }
    return 0;
}

int symbols_read_elf(struct symbols *s, int fd, const char **error)
{
    GElf_Shdr header;
    Elf_Scn *section;
    Elf_Data *data;
    Elf *elf;
    int status;

    elf_version(EV_CURRENT);
    elf = elf_begin(fd, ELF_C_READ, NULL);
    if (!elf || elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        return refuse(error, ENOEXEC, DAMAGED);
    }
    status = check_header(elf, error);
    if (!status && !(section = find_symtab(elf, &header)))
        status = refuse(error, EINVAL,
                        "has no .symtab: it has been stripped, or its end is missing; name the unstripped "
                        "file (a kernel's vmlinux) or a System.map");
    if (!status && !(data = elf_getdata(section, NULL)))
        status = refuse(error, ENOEXEC, DAMAGED);
    if (!status)
        status = add_all(s, elf, &header, data, error);
    elf_end(elf);
    return status;
}
