/*
 * loader.c - fuzz target of the kernel loaders' parsers.
 *
 * LLVMFuzzerTestOneInput is libFuzzer's and AFL's entry. Built without a fuzzer (NOVT_FUZZ_MAIN) it is a plain
 * program: it spoils the synthetic images of the unit tests, seeded, so many times as its argument says.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/random.h"
#include "tests/unit/vmm/images.h"
#include "vmm/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

/* Everything that the parsers hand out must be readable. */
static void touch(const uint8_t *data, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        sink ^= data[i];
}

static void touch_segments(const struct elf_image *elf)
{
    if (elf->segment_count > ELF_SEGMENTS)
        abort();
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *s = &elf->segment[i];

        if (s->file_size > s->memory_size || s->address < elf->low || s->address + s->memory_size > elf->high)
            abort();
        touch(s->data, s->file_size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bzimage linux_image;
    struct elf_image elf;
    struct multiboot_image multiboot;
    struct error error;

    if (!bzimage_parse(&linux_image, data, size, "fuzz", &error)) {
        touch(linux_image.header, linux_image.header_size);
        touch(linux_image.setup, linux_image.setup_size);
        touch(linux_image.payload, linux_image.payload_size);
    }
    if (!elf_parse(&elf, data, size, "fuzz", &error)) {
        if (elf.pvh_entry == 0)
            abort();
        touch_segments(&elf);
    }
    if (!multiboot_parse(&multiboot, data, size, "fuzz", &error)) {
        if (multiboot.entry < multiboot.load.low || multiboot.entry >= multiboot.load.high)
            abort();
        touch_segments(&multiboot.load);
    }
    return 0;
}

#ifdef NOVT_FUZZ_MAIN
static uint64_t state = RANDOM_START;

static uint64_t next_random(void)
{
    return random_next(&state);
}

/* Values that arithmetic on sizes trips over. */
static uint64_t awkward(void)
{
    static const uint64_t values[] = {0,          1,          0x7f,       0x80,  0xff,
                                      0x7fffffff, 0x80000000, 0xffffffff, ~0ull, ~0ull - 15};

    return next_random() % 2 ? next_random() : values[next_random() % (sizeof values / sizeof values[0])];
}

/* So that not every damaged multiboot header is just one that is not found. */
static void mend_checksum(uint8_t *image)
{
    uint32_t flags, sum;

    memcpy(&flags, image + IMAGE_MULTIBOOT_HEADER + 4, 4);
    sum = 0 - 0x1badb002u - flags;
    memcpy(image + IMAGE_MULTIBOOT_HEADER + 8, &sum, 4);
}

static void one(const uint8_t *image, size_t size, size_t interesting)
{
    size_t cut = next_random() % 4 ? size : next_random() % (size + 1);
    uint8_t *copy = malloc(size + 8), *exact;

    memcpy(copy, image, size);
    for (unsigned n = (unsigned)(next_random() % 4); n > 0; n--) {
        uint64_t value = awkward();
        size_t width = 1u << (next_random() % 4);

        memcpy(copy + next_random() % interesting, &value, width);
    }
    if (next_random() % 2)
        mend_checksum(copy);
    /* A block of just this size: a sanitizer sees one byte too many. */
    exact = malloc(cut ? cut : 1);
    memcpy(exact, copy, cut);
    LLVMFuzzerTestOneInput(exact, cut);
    free(exact);
    free(copy);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 50000;
    uint8_t bzimage[IMAGE_BZIMAGE_SIZE], elf[IMAGE_ELF_SIZE];
    uint8_t kludge[IMAGE_MULTIBOOT_SIZE], multiboot_elf[IMAGE_MULTIBOOT_SIZE];

    if (argc > 2)
        state = strtoul(argv[2], NULL, 0) | 1;
    image_make_bzimage(bzimage);
    image_make_elf(elf);
    image_make_multiboot(kludge);
    image_make_multiboot_elf(multiboot_elf);
    for (unsigned long i = 0; i < rounds; i++) {
        one(bzimage, sizeof bzimage, 0x270);
        one(elf, sizeof elf, 0x120);
        one(kludge, sizeof kludge, 0x120);
        one(multiboot_elf, sizeof multiboot_elf, 0x120);
    }
    printf("loader: %lu rounds\n", rounds);
    return 0;
}
#endif
