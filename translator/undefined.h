/*
 * undefined.h - what the manual leaves undefined.
 */
#ifndef NOVT_TRANSLATOR_UNDEFINED_H
#define NOVT_TRANSLATOR_UNDEFINED_H

#include <stdint.h>

/* The arithmetic flags that are undefined behind the instruction at `bytes`; none if it does not decode. bits: 16, 32
   or 64. */
uint32_t undefined_flags(const uint8_t *bytes, unsigned size, unsigned bits);

#endif
