/*
 * traps.c - IDT, TSS, SYSCALL's MSRs, the 8259s and the local APIC.
 *
 * Interface: machine.h.
 * Invariants: an exception that nothing handles ends in the program's guest_unexpected; interrupts other than
 * the timer's are masked, and those that come nevertheless (spurious ones) are ignored.
 */
#include "guest/machine.h"

#define EXCEPTIONS 32
#define EXCEPTION_STUB 16 /* bytes in entries.S */
#define DIVIDE 0
#define PAGE_FAULT 14

/* Local APIC: registers (SDM vol. 3, 10.4.1) */
#define APIC 0xfee00000u
#define APIC_SPURIOUS 0xf0
#define APIC_LINT0 0x350

struct __attribute__((packed)) tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, io_map;
};

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};

extern const uint8_t guest_entry_exceptions[], guest_entry_ignore[], guest_entry_divide[],
    guest_entry_page_fault[], guest_entry_timer[], guest_entry_int[], guest_entry_leave[];
extern uint8_t guest_trap_stack_top[];

volatile uint64_t guest_area_entry;
_Alignas(4096) uint64_t guest_idt[256][2];
static struct tss tss;

/* An interrupt gate (SDM vol. 3, 6.14.1). */
void guest_set_gate(unsigned vector, const uint8_t *entry, unsigned dpl)
{
    uint64_t address = (uint64_t)entry;

    guest_idt[vector][0] = (address & 0xffff) | GUEST_KERNEL_CODE << 16 | (uint64_t)(0x8e | dpl << 5) << 40 |
                           (address >> 16 & 0xffff) << 48;
    guest_idt[vector][1] = address >> 32;
}

static void start_idt(void)
{
    struct table_register pointer = {sizeof guest_idt - 1, (uint64_t)guest_idt};
    unsigned i;

    for (i = 0; i < 256; i++)
        guest_set_gate(i, i < EXCEPTIONS ? guest_entry_exceptions + i * EXCEPTION_STUB : guest_entry_ignore, 0);
    guest_set_gate(DIVIDE, guest_entry_divide, 0);
    guest_set_gate(PAGE_FAULT, guest_entry_page_fault, 0);
    guest_set_gate(GUEST_TIMER, guest_entry_timer, 0);
    guest_set_gate(GUEST_INT, guest_entry_int, 3);
    guest_set_gate(GUEST_LEAVE, guest_entry_leave, 3);
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void start_tss(void)
{
    uint64_t base = (uint64_t)&tss;

    tss.rsp[0] = (uint64_t)guest_trap_stack_top;
    tss.io_map = sizeof tss;
    guest_gdt[GUEST_TSS / 8] =
        (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    guest_gdt[GUEST_TSS / 8 + 1] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(GUEST_TSS));
}

void guest_start_traps(void)
{
    start_idt();
    start_tss();
    wrmsr(MSR_STAR, (uint64_t)GUEST_KERNEL_CODE << 32 | (uint64_t)GUEST_USER_CODE32 << 48);
    wrmsr(MSR_LSTAR, (uint64_t)guest_entry_syscall);
    wrmsr(MSR_FMASK, 0x200);
}

/* IRQ 0 to GUEST_TIMER by the 8259, whose output is the local APIC's LINT0. Firmware may have left the timer
 * running; its control word stops it, before the 8259 forgets what is pending. */
void guest_start_interrupts(void)
{
    static const struct {
        uint8_t port, value;
    } commands[] = {{0x43, 0x30}, {0x20, 0x11}, {0x21, GUEST_TIMER}, {0x21, 4},    {0x21, 1},   {0xa0, 0x11},
                    {0xa1, 0x28}, {0xa1, 2},    {0xa1, 1},           {0x21, 0xfe}, {0xa1, 0xff}};
    unsigned i;

    for (i = 0; i < sizeof commands / sizeof *commands; i++)
        outb(commands[i].port, commands[i].value);
    *(volatile uint32_t *)(APIC + APIC_SPURIOUS) = 0x1ff; /* enabled */
    *(volatile uint32_t *)(APIC + APIC_LINT0) = 0x700;    /* ExtINT */
}
