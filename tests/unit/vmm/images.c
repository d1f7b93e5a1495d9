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
