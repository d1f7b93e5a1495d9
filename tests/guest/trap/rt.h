/*
 * rt.h - what the guests for trap-and-emulate stand on, in 32 and in 64 bits: TAP over the serial port,
 * exceptions, page tables, a timer.
 */
#ifndef TRAP_RT_H
#define TRAP_RT_H

#include <stdbool.h>
#include <stdint.h>

typedef unsigned long word; /* a register */
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

enum { DE, DB, NMI, BP, OF, BR, UD, NM, GP = 13, PF, TIMER = 32 };

struct frame { /* boot32.S and boot64.S push it */
#ifdef __x86_64__
    word r11, r10, r9, r8, di, si, bp, unused, bx, dx, cx, ax;
#else
    word di, si, bp, unused, bx, dx, cx, ax;
#endif
    word vector, error, ip, cs, flags, sp, ss; /* sp, ss: in 32 bits only from CPL 3 */
};

#ifdef __x86_64__
#define WIDTH "64"
#else
#define WIDTH "32"
#endif

extern u64 gdt[22];
extern u8 gdt_pointer[], trap_stack_top[], user_start[], user_end[], end[], vector_stubs[];
extern volatile word clock_page[]; /* a page of its own; the timer counts in its first word */
#define ticks clock_page[0]
/* Looks at an exception or interrupt (the timer's apart); false: nobody wants it, and the guest ends. */
extern bool (*vector_hook)(struct frame *f);
void enter_user(word ip, word sp);
void leave_user(void); /* not to be called: a hook sets f->ip to it, and the frame to the kernel's */
/* The frame returns to the caller of enter_user. */
void return_to_kernel(struct frame *f);

void guest_main(void);
void put(const char *text);
void put_hex(u64 value);
void ok(bool passed, const char *name);
void equal(u64 got, u64 want, const char *name);
__attribute__((noreturn)) void finish(void);

/* Pages of 4 KiB; flags as in the entry, 0 unmaps. */
#define P_P 1u
#define P_W 2u
#define P_U 4u
#define P_A 0x20u
#define P_D 0x40u
void map(word linear, word physical, word flags);
word entry_of(word linear); /* the entry that maps it */
word page_alloc(void);
void paging_on(void);
void timer_on(void);    /* 100 times a second, when IF is set */
bool timer_waits(void); /* the PIC holds one back */

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void wrmsr(u32 msr, u64 value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline word read_cr0(void)
{
    word value;

    __asm__ volatile("mov %%cr0, %0" : "=r"(value) : : "memory");
    return value;
}

static inline void write_cr0(word value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static inline word read_cr2(void)
{
    word value;

    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

#endif
