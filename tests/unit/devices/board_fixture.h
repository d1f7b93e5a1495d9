/*
 * board_fixture.h - a board with a clock that the test moves, and a record of what its hooks were told.
 */
#ifndef NOVT_TESTS_BOARD_FIXTURE_H
#define NOVT_TESTS_BOARD_FIXTURE_H

#include "devices/board.h"

#define MS 1000000ull

struct fixture {
    struct board *board;
    uint64_t now, rearmed;
    bool interrupt; /* level of the vCPU's request */
    bool a20;
    unsigned signals[8]; /* by enum apic_delivery */
    uint8_t signal_vector;
    unsigned power_offs, resets, logs, room;
    int exit_status;
    uint8_t output[256]; /* of COM1 and the debug ports */
    unsigned output_size;
};

void fixture_open(struct fixture *f, unsigned cpus);
void fixture_close(struct fixture *f);
/* Moves the clock, running each timer at its time. */
void fixture_advance(struct fixture *f, uint64_t ns);

uint32_t in8(struct fixture *f, uint16_t port);
void out8(struct fixture *f, uint16_t port, uint8_t value);
uint32_t apic_read(struct fixture *f, unsigned offset);
void apic_write(struct fixture *f, unsigned offset, uint32_t value);
uint32_t ioapic_read_register(struct fixture *f, uint8_t reg);
void ioapic_write_register(struct fixture *f, uint8_t reg, uint32_t value);
/* Vector taken by vCPU 0, -1 for none. */
int acknowledge(struct fixture *f);

/* The 8259 pair at vectors 0x20 and 0x28, everything unmasked; icw4 1 is plain 8086 mode. */
void init_pic(struct fixture *f, uint8_t icw4);

#endif
