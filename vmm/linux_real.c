/*
 * linux_real.c - enters a Linux kernel, or what looks like one, in real mode: at its setup code, which asks the
 * BIOS for memory and video and goes to protected mode itself (Linux, Documentation/x86/boot.rst, "The real-mode
 * kernel header" to "Running the kernel").
 *
 * Interface: kernel.h. There is no firmware: bios.S answers in its place. Memory while setup code runs:
 *   0x10000   payload of a zImage
 *   0x90000   boot sector and setup code, then its heap and, down from 0x9e000, its stack
 *   0x9e000   command line
 *   0xff000   bios.S
 *   0x100000  payload of a bzImage
 */
#include "vmm/kernel.h"

#include <errno.h>
#include <string.h>

#define REAL_SEGMENT 0x9000u
#define REAL_BASE (REAL_SEGMENT << 4)
#define REAL_SETUP_MAX 0x8000u
#define REAL_STACK 0xe000u /* offsets in the segment */
#define REAL_COMMAND_LINE 0xe000u
#define REAL_COMMAND_LINE_MAX (BOOT_LOW_RAM_END - REAL_BASE - REAL_COMMAND_LINE - 1)
#define REAL_HEAP_END (REAL_STACK - 0x200) /* as the protocol counts it */
#define LOW_PAYLOAD 0x10000u
#define HIGH_PAYLOAD 0x100000u

/* Offsets in the boot sector. */
enum {
    BS_OLD_MAGIC = 0x020,
    BS_OLD_OFFSET = 0x022,
    BS_VID_MODE = 0x1fa,
    BS_TYPE_OF_LOADER = 0x210,
    BS_LOADFLAGS = 0x211,
    BS_SETUP_MOVE = 0x212,
    BS_RAMDISK_IMAGE = 0x218,
    BS_RAMDISK_SIZE = 0x21c,
    BS_HEAP_END = 0x224,
    BS_COMMAND_LINE = 0x228
};
#define OLD_MAGIC 0xa33fu
#define CAN_USE_HEAP 0x80u
#define LOADER_UNKNOWN 0xffu
#define VID_MODE_NORMAL 0xffffu

/* The head of bios.S, whose place is F000:F000. */
#define BIOS_SEGMENT 0xf000u
#define BIOS_BASE 0xff000u
struct bios_data {
    uint16_t int_10, int_12, int_15, int_16, others; /* offsets of the handlers */
    uint16_t entries, above_1m, above_16m, above_1m_old;
    struct e820_entry map[E820_ENTRIES];
} __attribute__((packed));
extern const uint8_t novt_bios[], novt_bios_end[];

static uint16_t at_most(uint64_t value, uint64_t limit)
{
    return (uint16_t)(value < limit ? value : limit);
}

static void place_vectors(struct ram *ram, const struct bios_data *bios)
{
    const uint16_t memory_kib = 639, ebda = BOOT_LOW_RAM_END >> 4;
    uint16_t vector[256][2];

    for (unsigned i = 0; i < 256; i++) {
        vector[i][0] = bios->others;
        vector[i][1] = BIOS_SEGMENT;
    }
    vector[0x10][0] = bios->int_10;
    vector[0x12][0] = bios->int_12;
    vector[0x15][0] = bios->int_15;
    vector[0x16][0] = bios->int_16;
    ram_copy_to(ram, 0, vector, sizeof vector);
    ram_copy_to(ram, 0x40e, &ebda, sizeof ebda);
    ram_copy_to(ram, 0x413, &memory_kib, sizeof memory_kib);
}

static void place_bios(struct ram *ram)
{
    struct bios_data bios;
    uint64_t above_1m = (ram_low_size(ram) - 0x100000) >> 10;

    memcpy(&bios, novt_bios, sizeof bios);
    bios.entries = (uint16_t)e820_build(bios.map, ram);
    bios.above_1m = at_most(above_1m, 15 << 10);
    bios.above_16m = above_1m > 15 << 10 ? at_most((above_1m - (15 << 10)) >> 6, 0xffff) : 0;
    bios.above_1m_old = at_most(above_1m, 0xffff);
    ram_copy_to(ram, BIOS_BASE, novt_bios, (uint64_t)(novt_bios_end - novt_bios));
    ram_copy_to(ram, BIOS_BASE, &bios, sizeof bios);
    place_vectors(ram, &bios);
}

/* The fields that the protocol's versions tell the loader to fill. */
static void fill_header(const struct kernel *kernel, struct ram *ram, const struct bzimage *image)
{
    uint8_t *p = ram_host(ram, REAL_BASE);
    uint32_t initrd = (uint32_t)kernel->initrd_address, size = initrd ? (uint32_t)kernel->initrd.size : 0;
    uint32_t line = REAL_BASE + REAL_COMMAND_LINE;
    uint16_t mode = VID_MODE_NORMAL, heap = REAL_HEAP_END, old_magic = OLD_MAGIC, old_offset = REAL_COMMAND_LINE;

    memcpy(p + BS_VID_MODE, &mode, sizeof mode);
    p[BS_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    memcpy(p + BS_RAMDISK_IMAGE, &initrd, sizeof initrd);
    memcpy(p + BS_RAMDISK_SIZE, &size, sizeof size);
    if (image->version >= 0x0201) {
        p[BS_LOADFLAGS] |= CAN_USE_HEAP;
        memcpy(p + BS_HEAP_END, &heap, sizeof heap);
    }
    if (image->version >= 0x0202) {
        memcpy(p + BS_COMMAND_LINE, &line, sizeof line);
    } else {
        memcpy(p + BS_OLD_MAGIC, &old_magic, sizeof old_magic);
        memcpy(p + BS_OLD_OFFSET, &old_offset, sizeof old_offset);
        memcpy(p + BS_SETUP_MOVE, &heap, sizeof heap);
    }
}

static int too_big(const struct kernel *kernel, const char *what, uint64_t size, uint64_t room,
                   struct error *error)
{
    return error_set(error, EFBIG, "-kernel %s: its %s of %llu KiB is larger than the %llu KiB there are for it",
                     kernel->image.name, what, (unsigned long long)(size + 1023) >> 10,
                     (unsigned long long)room >> 10);
}

static int place_parts(struct kernel *kernel, struct ram *ram, const struct bzimage *image, struct error *error)
{
    uint64_t room = image->loads_high ? ram_low_size(ram) - HIGH_PAYLOAD : REAL_BASE - LOW_PAYLOAD;

    if (image->setup_size > REAL_SETUP_MAX)
        return too_big(kernel, "real-mode code", image->setup_size, REAL_SETUP_MAX, error);
    if (image->payload_size > room)
        return too_big(kernel, "protected-mode code", image->payload_size, room, error);
    kernel->load_address = image->loads_high ? HIGH_PAYLOAD : LOW_PAYLOAD;
    kernel->load_end = HIGH_PAYLOAD + (image->loads_high ? image->payload_size : 0);
    ram_copy_to(ram, REAL_BASE, image->setup, image->setup_size);
    ram_copy_to(ram, kernel->load_address, image->payload, image->payload_size);
    return 0;
}

int linux_real_load(struct kernel *kernel, struct ram *ram, const struct bzimage *image, struct error *error)
{
    uint64_t line_max = image->command_line_max;
    int status = place_parts(kernel, ram, image, error);

    if (!status)
        status = kernel_place_initrd(kernel, ram, image->initrd_max, error);
    if (line_max > REAL_COMMAND_LINE_MAX)
        line_max = REAL_COMMAND_LINE_MAX;
    if (!status)
        status = kernel_place_command_line(kernel, ram, REAL_BASE + REAL_COMMAND_LINE, line_max, error);
    if (status)
        return status;
    kernel->kind = KERNEL_LINUX_16;
    kernel->entry = 0;
    place_bios(ram);
    fill_header(kernel, ram, image);
    return 0;
}

/* All segments at the setup code's, CS 0x20 paragraphs behind for the boot sector that is not run. */
void linux_real_start(const struct kernel *kernel, struct vcpu *v)
{
    const struct segment data = {REAL_SEGMENT, SEGATTR_P | SEGATTR_S | 3, 0xffff, REAL_BASE};

    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->seg[i] = data;
    v->seg[SEG_CS] = (struct segment){REAL_SEGMENT + 0x20, SEGATTR_P | SEGATTR_S | 11, 0xffff, REAL_BASE + 0x200};
    v->idtr = (struct table_register){0, 0x3ff};
    v->cr0 = CR0_ET;
    v->rflags = FLAG_FIXED;
    v->rip = kernel->entry;
    v->gpr[RSP] = REAL_STACK;
}
