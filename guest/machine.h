/*
 * machine.h - the guest's hardware: privileged instructions, tables, timer, console.
 */
#ifndef NOVT_GUEST_MACHINE_H
#define NOVT_GUEST_MACHINE_H

#include <stdint.h>

#include "guest/guest.h"
#include "guest/numbers.h"

#define PIT_HZ 1193182u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u

/* entries.S, boot.S */
extern volatile uint64_t guest_count; /* of events that were handled */
extern volatile uint64_t guest_area_table[GUEST_AREA_PAGES];
extern uint32_t guest_boot_info; /* physical address */
uint64_t guest_at_user(uint64_t (*f)(uint64_t), uint64_t n);

/* traps.c. An exception that nothing handles ends in guest_unexpected, which the program provides. */
extern volatile uint64_t guest_area_entry; /* what a page fault in GUEST_AREA puts in the table */
__attribute__((noreturn)) void guest_unexpected(unsigned vector);
extern uint64_t guest_gdt[], guest_idt[256][2];
extern const uint8_t guest_entry_syscall[]; /* in LSTAR */
void guest_start_traps(void);
/* An interrupt gate (SDM vol. 3, 6.14.1) to code at CPL 0, for INT n from `dpl` on. */
void guest_set_gate(unsigned vector, const uint8_t *entry, unsigned dpl);
void guest_start_interrupts(void);

/* machine.c */
void guest_start_console(void);
uint64_t guest_tsc_hz(void);            /* measured once */
void guest_start_timer(uint16_t count); /* IRQ 0 once, after so many of the PIT's clocks */
const char *guest_command_line(void);
__attribute__((noreturn)) void guest_power_off(void);

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return low | (uint64_t)high << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t read_cr3(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr3, %0" : "=r"(value));
    return value;
}

static inline void write_cr3(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr3" : : "r"(value) : "memory");
}

static inline void invlpg(uint64_t linear)
{
    __asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

#endif
