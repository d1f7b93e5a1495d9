/*
 * numbers.h - what the guest's assembly and C both know.
 */
#ifndef NOVT_GUEST_NUMBERS_H
#define NOVT_GUEST_NUMBERS_H

/* 4 KiB pages to map and unmap. */
#define GUEST_AREA 0x40000000
#define GUEST_AREA_PAGES 512

/* Selectors (boot.S has the GDT). Those of user code are not what Linux has for its processes' code: a monitor
 * that runs the guest as a process of Linux, deprivileged, is to notice IRET. */
#define GUEST_KERNEL_CODE 0x10
#define GUEST_KERNEL_DATA 0x18
#define GUEST_USER_CODE32 0x2b
#define GUEST_USER_DATA 0x33
#define GUEST_USER_CODE 0x3b
#define GUEST_TSS 0x50

/* Vectors beside the exceptions. */
#define GUEST_TIMER 0x20
#define GUEST_INT 0x80
#define GUEST_LEAVE 0x81

#endif
