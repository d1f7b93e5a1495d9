/*
 * program.h - programs without a privileged instruction: the same object code runs in a guest and as a part of
 * novt.
 */
#ifndef NOVT_LAB_GUEST_PROGRAM_H
#define NOVT_LAB_GUEST_PROGRAM_H

#include <stdint.h>

/* n rounds of each, from the same beginning; the result tells whether they were right. */
uint64_t lab_program_sieve(uint64_t n);
uint64_t lab_program_random(uint64_t n);
uint64_t lab_program_calls(uint64_t n);
uint64_t lab_program_bytecode(uint64_t n);

#endif
