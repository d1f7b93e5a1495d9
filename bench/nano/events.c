/*
 * events.c - nanobenchmarks of what changes privilege or goes through the IDT, and of page tables and HLT.
 *
 * Interface: nano_events[] (nano.h).
 * Invariants: a batch leaves GUEST_AREA unmapped and the TLB without it, and interrupts off; guest_count is its
 * own.
 */
#include "guest/machine.h"
#include "nano.h"

#define P_P 1u
#define P_W 2u
#define WAKE_COUNT 597u /* the PIT's clocks in 0.5 ms */

static uint64_t syscalls(uint64_t n)
{
    return GUEST_TIMED(n, __asm__ volatile("syscall" : : : "rcx", "r11", "memory"));
}

static uint64_t interrupts(uint64_t n)
{
    return GUEST_TIMED(n, __asm__ volatile("int %0" : : "i"(GUEST_INT) : "memory"));
}

static uint64_t at_user(uint64_t (*loop)(uint64_t), uint64_t n)
{
    uint64_t cycles;

    guest_count = 0;
    cycles = guest_at_user(loop, n);
    nano_check(guest_count == n, "the handler ran another number of times");
    return cycles;
}

static uint64_t syscall_sysret(uint64_t n)
{
    return at_user(syscalls, n);
}

static uint64_t int_iret(uint64_t n)
{
    return at_user(interrupts, n);
}

static uint64_t user_empty(uint64_t n)
{
    return guest_at_user(nano_empty, n);
}

static uint64_t divide_error(uint64_t n)
{
    uint64_t cycles;

    guest_count = 0;
    cycles = GUEST_TIMED(n, __asm__ volatile("divb %%cl" : : "a"(1), "c"(0) : "cc", "memory"));
    nano_check(guest_count == n, "the handler ran another number of times");
    return cycles;
}

static void unmap_area(void)
{
    unsigned i;

    for (i = 0; i < GUEST_AREA_PAGES; i++)
        guest_area_table[i] = 0;
    write_cr3(read_cr3());
}

static _Alignas(4096) uint64_t frames[2][512];

/* Touches so many pages of the area, from the first. */
static uint64_t touch(uint64_t pages, uint64_t *sum)
{
    const uint8_t *at = (const uint8_t *)GUEST_AREA;
    uint64_t total = 0, cycles;

    cycles = GUEST_TIMED(pages, __asm__ volatile("addq (%1), %0\n"
                                                 "addq $4096, %1"
                                                 : "+r"(total), "+r"(at)
                                                 :
                                                 : "cc", "memory"));
    *sum += total;
    return cycles;
}

static uint64_t page_fault(uint64_t n)
{
    uint64_t cycles = 0, sum = 0, done, pages;

    frames[0][0] = 3;
    guest_area_entry = (uint64_t)frames[0] | P_P | P_W;
    guest_count = 0;
    for (done = 0; done < n; done += pages) {
        pages = n - done < GUEST_AREA_PAGES ? n - done : GUEST_AREA_PAGES;
        cycles += touch(pages, &sum);
        unmap_area();
    }
    nano_check(guest_count == n, "the handler ran another number of times");
    nano_check(sum == 3 * n, "the access read something else");
    return cycles;
}

/* The first page's entry alternates between two frames. */
static uint64_t pte_change(uint64_t n)
{
    uint64_t entry = (uint64_t)frames[0] | P_P | P_W, change = (uint64_t)frames[0] ^ (uint64_t)frames[1];
    uint64_t sum = 0, cycles;

    frames[0][0] = 3;
    frames[1][0] = 5;
    guest_area_table[0] = entry | change;
    cycles = GUEST_TIMED(n, __asm__ volatile("movq %1, %3\n"
                                             "invlpg (%4)\n"
                                             "addq (%4), %0\n"
                                             "xorq %2, %1"
                                             : "+r"(sum), "+r"(entry)
                                             : "r"(change), "m"(guest_area_table[0]), "r"((uint64_t)GUEST_AREA)
                                             : "cc", "memory"));
    nano_check(sum == 3 * ((n + 1) / 2) + 5 * (n / 2), "the access read the page of an old entry");
    unmap_area();
    return cycles;
}

/* Cycles from the PIT's last clock to the instruction behind HLT, negative if that is early. */
static int64_t wake(uint64_t interval)
{
    uint64_t deadline;

    guest_start_timer(WAKE_COUNT);
    deadline = guest_tsc() + interval;
    __asm__ volatile("sti; hlt" : : : "memory");
    deadline = guest_tsc() - deadline;
    __asm__ volatile("cli" : : : "memory");
    return (int64_t)deadline;
}

static uint64_t hlt_wake(uint64_t n)
{
    uint64_t interval = guest_tsc_hz() * WAKE_COUNT / PIT_HZ, i;
    int64_t late = 0;

    guest_count = 0;
    for (i = 1; i <= n; i++) {
        late += wake(interval);
        nano_check(guest_count == i, "HLT ended without the timer's interrupt");
    }
    return late > 0 ? (uint64_t)late : 0;
}

const struct nano_bench nano_events[] = {
    {"syscall", syscall_sysret, user_empty},
    {"int80-iret", int_iret, user_empty},
    {"divide-error", divide_error, nano_empty},
    {"page-fault", page_fault, nano_empty},
    {"pte-change", pte_change, nano_empty},
    {"hlt-wake", hlt_wake, NULL},
    {NULL},
};
