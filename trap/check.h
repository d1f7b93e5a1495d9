/*
 * check.h - shared by check.c and compare.c: one instruction, run by the interpreter and natively.
 */
#ifndef NOVT_TRAP_CHECK_H
#define NOVT_TRAP_CHECK_H

#include <stddef.h>

#include "trap/internal.h"

#define CHECK_STATE offsetof(struct vcpu, mode) /* bytes: the architectural part */
#define CHECK_WRITES 256
#define CHECK_BYTES 8192

struct check_write {
    uint8_t *host;
    unsigned size, at; /* bytes, offset in old[] and new[] */
};

struct check {
    /* Images of the vCPU's architectural state, aligned as it is: in front of the instruction, and as the
       interpreter leaves it. */
    _Alignas(struct vcpu) uint8_t before[CHECK_STATE];
    _Alignas(struct vcpu) uint8_t after[CHECK_STATE];
    struct check_write writes[CHECK_WRITES];
    unsigned write_count, bytes;
    uint8_t old[CHECK_BYTES], new[CHECK_BYTES];
    bool simd;    /* it has worked on SIMD state, which the images have */
    bool refused; /* the interpreter raised #UD or #NM */
    bool useless; /* the reference reached a device, or did not end: nothing to compare */
    char text[2048];
};

/* Runs the instruction at RIP. Leaves the vCPU and memory as they were, and the result in k. */
void check_run_reference(struct trap *t, struct check *k);
/* Puts that result in the vCPU's and memory's place. */
void check_take_reference(struct trap *t, const struct check *k);

/* Compares the vCPU and memory, as the child has left them, with the reference; what differs is in k->text then.
 */
bool check_is_equal(struct trap *t, struct check *k, uint32_t undefined_flags);

#endif
