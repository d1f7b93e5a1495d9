/*
 * pic.c - the 8259A pair (Intel 8259A data sheet, order number 231468), with the chipset's ELCR.
 *
 * Interface: pic_create, pic_set_irq, pic_acknowledge, pic_is_pending.
 * Invariants: input 2 of the master follows the slave's output; the INTR line is told every change of
 * the master's output (update). A request of an edge-triggered input stays until acknowledged even if the
 * line falls, as with the chipsets' cells, so devices may pulse their lines.
 */
#include <stdlib.h>

#include "devices/pic.h"

#define ICW1_INIT 0x10u
#define ICW1_SINGLE 0x02u
#define ICW1_NEED_ICW4 0x01u
#define ICW4_AUTO_EOI 0x02u
#define ICW4_NESTED 0x10u /* special fully nested mode */
#define OCW3 0x08u
#define CASCADE 2

struct pic {
    struct pic_state state;
    struct irq_line output;
    bool level; /* what output was told last */
};

static const uint8_t elcr_writable[2] = {0xf8, 0xde};

/* The input of highest priority among bits, -1 when there is none. */
static int highest(const struct pic_chip_state *chip, uint8_t bits)
{
    for (int i = 1; i <= 8; i++) {
        int input = (chip->lowest + i) & 7;

        if (bits >> input & 1)
            return input;
    }
    return -1;
}

/* How many inputs come before this one. */
static int rank(const struct pic_chip_state *chip, int input)
{
    return (input - chip->lowest - 1) & 7;
}

/* The input that the chip asks its output for, -1 when for none. */
static int pending(const struct pic_chip_state *chip, bool master)
{
    uint8_t in_service = chip->isr;
    int request = highest(chip, chip->irr & ~chip->imr), service;

    if (request < 0 || chip->init_step)
        return -1;
    if (chip->special_mask)
        in_service &= ~chip->imr;
    if (master && chip->icw4 & ICW4_NESTED)
        in_service &= ~(1u << CASCADE);
    service = highest(chip, in_service);
    return service < 0 || rank(chip, request) < rank(chip, service) ? request : -1;
}

static void chip_set_line(struct pic_chip_state *chip, int input, bool level)
{
    uint8_t bit = 1u << input;

    if (chip->elcr & bit)
        chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
    else if (level && !(chip->lines & bit))
        chip->irr |= bit;
    chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

static void update(struct pic *pic)
{
    struct pic_chip_state *master = &pic->state.chip[0];
    bool slave = pending(&pic->state.chip[1], false) >= 0, level;

    /* The cascade input is watched by level: the slave's output may stay up from one request to the next. */
    master->irr = slave ? master->irr | 1u << CASCADE : master->irr & ~(1u << CASCADE);
    level = pending(master, true) >= 0;
    if (level != pic->level) {
        pic->level = level;
        irq_set(&pic->output, level);
    }
}

static void chip_acknowledge(struct pic_chip_state *chip, int input)
{
    uint8_t bit = 1u << input;

    if (!(chip->elcr & bit))
        chip->irr &= ~bit;
    if (!(chip->icw4 & ICW4_AUTO_EOI))
        chip->isr |= bit;
    else if (chip->rotate_on_auto_eoi)
        chip->lowest = input;
}

int pic_acknowledge(struct pic *pic)
{
    struct pic_chip_state *master = &pic->state.chip[0], *slave = &pic->state.chip[1];
    int input = pending(master, true), vector;

    if (input < 0) {
        vector = master->base + 7;
    } else if (input == CASCADE) {
        int inner = pending(slave, false);

        chip_acknowledge(master, CASCADE);
        if (inner >= 0)
            chip_acknowledge(slave, inner);
        vector = slave->base + (inner < 0 ? 7 : inner);
    } else {
        chip_acknowledge(master, input);
        vector = master->base + input;
    }
    update(pic);
    return vector;
}

bool pic_is_pending(const struct pic *pic)
{
    return pic->level;
}

void pic_set_irq(struct pic *pic, int irq, bool level)
{
    if (irq < 0 || irq > 15 || irq == CASCADE)
        return;
    chip_set_line(&pic->state.chip[irq >> 3], irq & 7, level);
    update(pic);
}

static void write_icw1(struct pic_chip_state *chip, uint8_t value)
{
    *chip = (struct pic_chip_state){
        .lines = chip->lines,
        .irr = chip->irr & chip->elcr,
        .elcr = chip->elcr,
        .base = chip->base,
        .lowest = 7,
        .init_step = 2,
        .icw1 = value,
    };
}

/* OCW2: end of interrupt and rotation. Bits 7-5 are R, SL, EOI. */
static void write_ocw2(struct pic_chip_state *chip, uint8_t value)
{
    int input = value & 7;
    bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;

    if (!specific && !eoi) {
        chip->rotate_on_auto_eoi = rotate;
        return;
    }
    if (!specific)
        input = highest(chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
    if (input < 0)
        return;
    if (eoi)
        chip->isr &= ~(1u << input);
    if (rotate)
        chip->lowest = input;
}

static void write_ocw3(struct pic_chip_state *chip, uint8_t value)
{
    if (value & 0x40)
        chip->special_mask = value & 0x20;
    chip->poll = value & 0x04;
    if (value & 0x02)
        chip->read_isr = value & 0x01;
}

static void write_data(struct pic_chip_state *chip, uint8_t value)
{
    switch (chip->init_step) {
    case 0:
        chip->imr = value;
        break;
    case 2:
        chip->base = value & 0xf8;
        chip->init_step = !(chip->icw1 & ICW1_SINGLE) ? 3 : chip->icw1 & ICW1_NEED_ICW4 ? 4 : 0;
        break;
    case 3: /* the wiring of the cascade is what it is */
        chip->init_step = chip->icw1 & ICW1_NEED_ICW4 ? 4 : 0;
        break;
    default:
        chip->icw4 = value;
        chip->init_step = 0;
    }
}

/* offset is the chip's A0 input. */
static void chip_write(struct pic *pic, int which, uint64_t offset, uint8_t value)
{
    struct pic_chip_state *chip = &pic->state.chip[which];

    if (offset & 1)
        write_data(chip, value);
    else if (value & ICW1_INIT)
        write_icw1(chip, value);
    else if (value & OCW3)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
    update(pic);
}

/* A read after the poll command is an INTA whose answer is the input's number. */
static uint8_t chip_poll(struct pic *pic, int which)
{
    struct pic_chip_state *chip = &pic->state.chip[which];
    int input = pending(chip, which == 0);

    chip->poll = false;
    if (input < 0)
        return 0;
    chip_acknowledge(chip, input);
    update(pic);
    return 0x80 | input;
}

static uint8_t chip_read(struct pic *pic, int which, uint64_t offset)
{
    const struct pic_chip_state *chip = &pic->state.chip[which];

    if (chip->poll)
        return chip_poll(pic, which);
    if (offset & 1)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, 0, offset);
}

static void master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    chip_write(opaque, 0, offset, (uint8_t)value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, 1, offset);
}

static void slave_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    chip_write(opaque, 1, offset, (uint8_t)value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct pic *pic = opaque;

    return pic->state.chip[offset & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pic *pic = opaque;

    pic->state.chip[offset & 1].elcr = (uint8_t)value & elcr_writable[offset & 1];
}

static const struct bus_ops master_ops = {master_read, master_write, 1, 1};
static const struct bus_ops slave_ops = {slave_read, slave_write, 1, 1};
static const struct bus_ops elcr_ops = {elcr_read, elcr_write, 1, 1};

void pic_reset(struct pic *pic)
{
    for (int i = 0; i < 2; i++) {
        struct pic_chip_state *chip = &pic->state.chip[i];

        *chip = (struct pic_chip_state){.lines = chip->lines, .lowest = 7};
    }
    update(pic);
}

struct pic *pic_create(struct bus *bus, struct irq_line output)
{
    struct pic *pic = calloc(1, sizeof *pic);

    if (!pic)
        return NULL;
    pic->output = output;
    pic_reset(pic);
    if (bus_add_io(bus, 0x20, 2, &master_ops, pic) < 0 || bus_add_io(bus, 0xa0, 2, &slave_ops, pic) < 0 ||
        bus_add_io(bus, 0x4d0, 2, &elcr_ops, pic) < 0) {
        free(pic); /* the bus is given up with it: see board_create */
        return NULL;
    }
    return pic;
}

void pic_destroy(struct pic *pic)
{
    free(pic);
}

void pic_save(const struct pic *pic, struct pic_state *state)
{
    *state = pic->state;
}

void pic_load(struct pic *pic, const struct pic_state *state)
{
    pic->state = *state;
    update(pic);
}
