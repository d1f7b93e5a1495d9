/*
 * nosimd.h - force-included (-include) into every file that may run while the guest's SIMD
 * registers are live in the host's: memory/, cache/ and cpu/, which are compiled with
 * -mgeneral-regs-only.
 *
 * The compiler may call memcpy and its kin for a plain struct assignment, and libc's use vector
 * registers. The asm labels below send those calls to versions of our own (memory/nosimd.c).
 */
#ifndef NOVT_MEMORY_NOSIMD_H
#define NOVT_MEMORY_NOSIMD_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n) __asm__("nosimd_memcpy");
void *memmove(void *to, const void *from, size_t n) __asm__("nosimd_memmove");
void *memset(void *to, int byte, size_t n) __asm__("nosimd_memset");
int memcmp(const void *a, const void *b, size_t n) __asm__("nosimd_memcmp");

#endif
