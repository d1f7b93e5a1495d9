/*
 * images.c - small synthetic kernels. Interface: images.h.
 */
#include "tests/unit/vmm/images.h"

#include <elf.h>
#include <string.h>

static void put(uint8_t *image, size_t offset, uint64_t value, size_t size)
{
    memcpy(image + offset, &value, size);
}

void image_make_bzimage(uint8_t image[IMAGE_BZIMAGE_SIZE])
{
    memset(image, 0, IMAGE_BZIMAGE_SIZE);
    put(image, 0x1f1, 2, 1);      /* setup_sects */
    put(image, 0x1f4, 160, 4);    /* syssize: 2560 bytes */
    put(image, 0x1fe, 0xaa55, 2); /* boot_flag */
    put(image, 0x200, 0x6aeb, 2); /* jump behind the header, at 0x26c */
    memcpy(image + 0x202, "HdrS", 4);
    put(image, 0x206, 0x020f, 2);     /* version */
    put(image, 0x211, 1, 1);          /* loadflags: LOADED_HIGH */
    put(image, 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    put(image, 0x230, 0x200000, 4);   /* kernel_alignment */
    put(image, 0x234, 1, 1);          /* relocatable */
    put(image, 0x236, 1, 2);          /* xloadflags: XLF_KERNEL_64 */
    put(image, 0x238, 255, 4);        /* cmdline_size */
    put(image, 0x258, 0x1000000, 8);  /* pref_address */
    put(image, 0x260, 0x100000, 4);   /* init_size */
    for (unsigned i = 1536; i < IMAGE_BZIMAGE_SIZE; i++)
        image[i] = (uint8_t)(i * 7);
}

void image_make_elf(uint8_t image[IMAGE_ELF_SIZE])
{
    Elf64_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_phoff = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = 2};
    Elf64_Phdr programs[2] = {
        {.p_type = PT_LOAD, .p_offset = 512, .p_paddr = 0x200000, .p_filesz = 256, .p_memsz = 512},
        {.p_type = PT_NOTE, .p_offset = 256, .p_filesz = 20, .p_memsz = 20, .p_align = 4}};
    Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18};
    uint32_t entry = 0x200010;

    memset(image, 0, IMAGE_ELF_SIZE);
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, programs, sizeof programs);
    memcpy(image + 256, &note, sizeof note);
    memcpy(image + 256 + sizeof note, "Xen", 4);
    memcpy(image + 256 + sizeof note + 4, &entry, sizeof entry);
    memset(image + 512, 0xa5, 256);
}

static void put_multiboot_header(uint8_t *image, uint32_t flags)
{
    put(image, IMAGE_MULTIBOOT_HEADER, 0x1badb002, 4);
    put(image, IMAGE_MULTIBOOT_HEADER + 4, flags, 4);
    put(image, IMAGE_MULTIBOOT_HEADER + 8, -(0x1badb002 + flags), 4);
}

void image_make_multiboot(uint8_t image[IMAGE_MULTIBOOT_SIZE])
{
    for (unsigned i = 0; i < IMAGE_MULTIBOOT_SIZE; i++)
        image[i] = (uint8_t)(i * 7);
    put_multiboot_header(image, 0x10003);
    put(image, IMAGE_MULTIBOOT_HEADER + 12, 0x200000 + IMAGE_MULTIBOOT_HEADER, 4); /* header_addr */
    put(image, IMAGE_MULTIBOOT_HEADER + 16, 0x200000, 4);                          /* load_addr */
    put(image, IMAGE_MULTIBOOT_HEADER + 20, 0x201000, 4);                          /* load_end_addr */
    put(image, IMAGE_MULTIBOOT_HEADER + 24, 0x300000, 4);                          /* bss_end_addr */
    put(image, IMAGE_MULTIBOOT_HEADER + 28, 0x200200, 4);                          /* entry_addr */
}

void image_make_multiboot_elf(uint8_t image[IMAGE_MULTIBOOT_SIZE])
{
    Elf32_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_386,
                         .e_entry = 0x200010,
                         .e_phoff = sizeof header,
                         .e_phentsize = sizeof(Elf32_Phdr),
                         .e_phnum = 1};
    Elf32_Phdr program = {
        .p_type = PT_LOAD, .p_offset = 512, .p_paddr = 0x200000, .p_filesz = 256, .p_memsz = 512};

    memset(image, 0, IMAGE_MULTIBOOT_SIZE);
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, &program, sizeof program);
    put_multiboot_header(image, 3);
    memset(image + 512, 0xa5, 256);
}

void image_make_symbols(uint8_t image[IMAGE_SYMBOLS_SIZE])
{
    static const char names[] = "\0start\0alias\0helper\0data\0end\0file.c\0constant\0elsewhere";
    const Elf64_Sym symbols[] = {
        {0},
        {29, ELF64_ST_INFO(STB_LOCAL, STT_FILE), 0, SHN_ABS, 0, 0},
        {13, ELF64_ST_INFO(STB_LOCAL, STT_FUNC), 0, 1, 0x401020, 16},
        {1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 1, 0x401000, 32},
        {7, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, 1, 0x401000, 0},
        {20, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, 1, 0x402000, 8},
        {25, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, 1, 0x403000, 0},
        {36, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_ABS, 0x401008, 0},
        {45, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_UNDEF, 0, 0},
    };
    const Elf64_Shdr sections[] = {
        {0},
        {.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = 0x401000, .sh_offset = 1024},
        {.sh_type = SHT_SYMTAB,
         .sh_offset = IMAGE_SYMBOLS_TABLE,
         .sh_size = sizeof symbols,
         .sh_link = 3,
         .sh_entsize = sizeof symbols[0],
         .sh_addralign = 8},
        {.sh_type = SHT_STRTAB, .sh_offset = 512, .sh_size = sizeof names},
    };
    Elf64_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_ehsize = sizeof header,
                         .e_shoff = 640,
                         .e_shentsize = sizeof sections[0],
                         .e_shnum = sizeof sections / sizeof sections[0]};

    memset(image, 0, IMAGE_SYMBOLS_SIZE);
    memcpy(image, &header, sizeof header);
    memcpy(image + IMAGE_SYMBOLS_TABLE, symbols, sizeof symbols);
    memcpy(image + 512, names, sizeof names);
    memcpy(image + 640, sections, sizeof sections);
}
