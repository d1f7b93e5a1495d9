/*
 * pic.h - the pair of 8259A interrupt controllers with the ELCR, ports 0x20-1, 0xa0-1, 0x4d0-1.
 */
#ifndef NOVT_DEVICES_PIC_H
#define NOVT_DEVICES_PIC_H

#include "devices/bus.h"
#include "devices/irq.h"

struct pic_chip_state {
    uint8_t lines; /* input levels */
    uint8_t irr, isr, imr;
    uint8_t elcr;      /* 1: level triggered */
    uint8_t base;      /* ICW2: vector of input 0 */
    uint8_t lowest;    /* input of lowest priority (7 unless rotated) */
    uint8_t init_step; /* 0: running; else the ICW expected next */
    uint8_t icw1, icw4;
    bool read_isr, poll, special_mask, rotate_on_auto_eoi;
};

struct pic_state {
    struct pic_chip_state chip[2]; /* master, slave */
};

struct pic;

/* output: INTR. NULL when out of memory or the ports are taken. */
struct pic *pic_create(struct bus *bus, struct irq_line output);
void pic_destroy(struct pic *pic);
void pic_reset(struct pic *pic);

/* ISA inputs 0-15 (2 is the cascade and not connected). */
void pic_set_irq(struct pic *pic, int irq, bool level);
/* INTA: the vector, a spurious one (input 7) when the request is gone. */
int pic_acknowledge(struct pic *pic);
/* Level of the output now. */
bool pic_is_pending(const struct pic *pic);

void pic_save(const struct pic *pic, struct pic_state *state);
void pic_load(struct pic *pic, const struct pic_state *state);

#endif
