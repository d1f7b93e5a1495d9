/*
 * numbers.h - what the guest's assembly and C both know.
 */
#ifndef NOVT_BENCH_NANO_NUMBERS_H
#define NOVT_BENCH_NANO_NUMBERS_H

/* 4 KiB pages to map and unmap. */
#define NANO_AREA 0x40000000
#define NANO_AREA_PAGES 512

/* Selectors (boot.S has the GDT). */
#define NANO_KERNEL_CODE 0x10
#define NANO_KERNEL_DATA 0x18
#define NANO_USER_CODE32 0x23
#define NANO_USER_DATA 0x2b
#define NANO_USER_CODE 0x33
#define NANO_TSS 0x38

/* Vectors beside the exceptions. */
#define NANO_TIMER 0x20
#define NANO_INT 0x80
#define NANO_LEAVE 0x81

#endif
