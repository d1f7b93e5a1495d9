/*
 * images.h - small synthetic kernels for the loaders' tests and their fuzz target.
 */
#ifndef NOVT_TESTS_IMAGES_H
#define NOVT_TESTS_IMAGES_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_BZIMAGE_SIZE 4096u
#define IMAGE_ELF_SIZE 1024u
#define IMAGE_MULTIBOOT_SIZE 4096u
#define IMAGE_SYMBOLS_SIZE 1024u
#define IMAGE_SYMBOLS_TABLE 256u    /* offset of .symtab */
#define IMAGE_MULTIBOOT_HEADER 256u /* its offset in both kinds */

/* A valid bzImage: 2 setup sectors, a payload of 2560 bytes, 2.15, load address 16 MiB, init_size 1 MiB. */
void image_make_bzimage(uint8_t image[IMAGE_BZIMAGE_SIZE]);
/* A valid 64-bit ELF: one segment of 256 bytes (512 in memory) at 2 MiB, PVH entry at 2 MiB + 16. */
void image_make_elf(uint8_t image[IMAGE_ELF_SIZE]);
/* A valid multiboot kernel with addresses: 4096 bytes at 2 MiB, 1 MiB with its BSS, entry at 2 MiB + 512. */
void image_make_multiboot(uint8_t image[IMAGE_MULTIBOOT_SIZE]);
/* The same as a 32-bit ELF file: of its bytes from 512 on, 256 at 2 MiB, 512 in memory; entry at 2 MiB + 16. */
void image_make_multiboot_elf(uint8_t image[IMAGE_MULTIBOOT_SIZE]);
/* An executable with nothing but symbols: "start" (a function of 32 bytes at 0x401000), "alias" (a label there),
   "helper" (a local function of 16 at 0x401020), "data" (8 bytes at 0x402000), "end" (a label at 0x403000); and
   what is no address: a file, a constant, an undefined one. */
void image_make_symbols(uint8_t image[IMAGE_SYMBOLS_SIZE]);

#endif
