/*
 * machine.h - a small machine for the tests of cpu/: RAM, page tables, a GDT of every kind of descriptor, TSS,
 * IDT.
 */
#ifndef NOVT_TESTS_UNIT_CPU_MACHINE_H
#define NOVT_TESTS_UNIT_CPU_MACHINE_H

#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/system.h"
#include "cpu/vcpu.h"

#define GDT 0x10000u
#define IDT 0x11000u
#define TSS 0x12000u
#define LDT 0x13000u
#define STACK0 0x20000u /* of level 0, from the TSS */
#define STACK_IST 0x30000u
#define STACK3 0x40000u
#define HANDLER 0x50000u
#define CODE 0x60000u
#define UNMAPPED 0x80000000u /* not in the page tables */

/* Selectors. */
#define K_CODE64 0x08u
#define K_DATA 0x10u
#define U_CODE32 0x1bu
#define U_DATA 0x23u
#define U_CODE64 0x2bu
#define S_TSS 0x30u
#define K_CODE32 0x40u
#define CONFORMING 0x48u
#define READ_ONLY_DATA 0x50u
#define ABSENT_DATA 0x58u
#define S_LDT 0x60u
#define CALL_GATE 0x70u
#define EXPAND_DOWN 0x80u
#define EXECUTE_ONLY 0x88u
#define BOTH_L_AND_D 0x90u
#define ABSENT_CODE64 0x98u
#define GDT_LIMIT 0x9fu

struct machine {
    struct ram ram;
    struct cpu_model model;
    struct vcpu *v;
};

struct machine *machine_create(const char *cpu);
void machine_destroy(struct machine *m);
/* The vCPU at CODE in 64-bit or 32-bit paged mode at level cpl, on STACK0 or STACK3 (minus 0x100). */
void machine_long_mode(struct machine *m, unsigned cpl);
void machine_protected_mode(struct machine *m, unsigned cpl);

void machine_write(struct machine *m, uint64_t at, uint64_t value, unsigned size);
uint64_t machine_read(struct machine *m, uint64_t at, unsigned size);
/* A gate of the current mode's format to HANDLER + 16 * vector. */
void machine_gate(struct machine *m, unsigned vector, uint16_t selector, unsigned type, unsigned dpl,
                  unsigned ist);
uint64_t machine_descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags);

#endif
