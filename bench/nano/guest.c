/*
 * guest.c - the bare guest's main program, and nanobenchmarks of instructions that need CPL 0.
 *
 * Interface: boot.S calls guest_main; nano_privileged[] (nano.h).
 * Invariants: interrupts are off except while a batch has them on, when only the timer's could come.
 */
#include "guest/machine.h"
#include "nano.h"

#define UNUSED_PORT 0x80
#define RFLAGS_IF 0x200u
#define GUEST_CODE 0x1000000u /* 16 MiB: beyond the image */

uint8_t *nano_code_memory = (uint8_t *)GUEST_CODE;
void guest_main(void);

static uint64_t in(uint64_t n)
{
    uint64_t sum = 0, first = inb(UNUSED_PORT), cycles;

    cycles = GUEST_TIMED(n, sum += inb(UNUSED_PORT));
    nano_check(sum == first * n, "the port's value changed");
    return cycles;
}

/* Interrupts of all classes stay possible but those of the lowest; none is there. */
static uint64_t cr8(uint64_t n)
{
    uint64_t value = 0, cycles, last;

    cycles = GUEST_TIMED(n, __asm__ volatile("xorq $1, %0\n"
                                             "movq %0, %%cr8"
                                             : "+r"(value)
                                             :
                                             : "cc", "memory"));
    __asm__ volatile("movq %%cr8, %0" : "=r"(last));
    nano_check(last == (n & 1), "CR8 is not what was written");
    __asm__ volatile("movq %0, %%cr8" : : "r"(0ull) : "memory");
    return cycles;
}

static uint64_t cr3(uint64_t n)
{
    uint64_t value = read_cr3(), cycles;

    cycles = GUEST_TIMED(n, write_cr3(value));
    nano_check(read_cr3() == value, "CR3 is not what was written");
    return cycles;
}

static uint64_t rflags(void)
{
    uint64_t value;

    __asm__ volatile("pushfq; popq %0" : "=r"(value));
    return value;
}

static uint64_t cli_sti(uint64_t n)
{
    uint64_t cycles = GUEST_TIMED(n, __asm__ volatile("cli; sti" : : : "memory")), on = rflags();

    __asm__ volatile("cli" : : : "memory");
    nano_check((on & RFLAGS_IF) && !(rflags() & RFLAGS_IF), "IF is not what was set");
    return cycles;
}

static uint64_t rdmsr_fs_base(uint64_t n)
{
    uint64_t sum = 0, cycles;

    wrmsr(MSR_FS_BASE, 0x123456789abc);
    cycles = GUEST_TIMED(n, sum += rdmsr(MSR_FS_BASE));
    nano_check(sum == n * 0x123456789abc, "the MSR's value changed");
    return cycles;
}

static uint64_t wrmsr_fs_base(uint64_t n)
{
    uint64_t value = 0, cycles;

    cycles = GUEST_TIMED(n, wrmsr(MSR_FS_BASE, ++value));
    nano_check(rdmsr(MSR_FS_BASE) == n, "the MSR is not what was written");
    return cycles;
}

const struct nano_bench nano_privileged[] = {
    {"in", in, nano_empty},
    {"cr8", cr8, nano_empty},
    {"cr3", cr3, nano_empty},
    {"cli-sti", cli_sti, nano_empty},
    {"rdmsr", rdmsr_fs_base, nano_empty},
    {"wrmsr", wrmsr_fs_base, nano_empty},
    {NULL},
};

void guest_unexpected(unsigned vector)
{
    nano_put_wrong();
    guest_put("unexpected exception ");
    nano_put_number(vector);
    guest_put("\n");
    guest_power_off();
}

void guest_main(void)
{
    static const struct nano_bench *const tables[] = {nano_privileged, nano_events, nano_plain, nano_code, NULL};
    const char *words = guest_command_line();

    guest_start_console();
    guest_start_traps();
    guest_start_interrupts();
    guest_put("\n"); /* firmware may have left a line unfinished */
    nano_begin(guest_tsc_hz(), words);
    nano_run(tables);
    guest_power_off();
}
