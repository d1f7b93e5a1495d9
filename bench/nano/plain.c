/*
 * plain.c - nanobenchmarks of single instructions that every privilege level has.
 *
 * Interface: nano_plain[] (nano.h).
 * Invariants: batches use the stack below RSP only as the instructions do, so this is compiled without a red zone.
 */
#include "nano.h"

/* Targets of calls: each adds another number to RBX, so that the sum tells which were called. */
extern const uint8_t nano_add_1[], nano_add_2[];
__asm__(".pushsection .text\n"
        ".balign 64\n"
        "nano_add_1: incq %rbx\n"
        "ret\n"
        ".balign 64\n"
        "nano_add_2: addq $2, %rbx\n"
        "ret\n"
        ".popsection\n");

static uint64_t call_ret(uint64_t n)
{
    uint64_t sum = 0, cycles = GUEST_TIMED(n, __asm__ volatile("call nano_add_1" : "+b"(sum) : : "cc"));

    nano_check(sum == n, "calls are missing");
    return cycles;
}

static uint64_t indirect_call(uint64_t n)
{
    uint64_t target = (uint64_t)nano_add_1, change = target ^ (uint64_t)nano_add_2, sum = 0, cycles;

    cycles = GUEST_TIMED(n, __asm__ volatile("call *%1\n"
                                             "xorq %2, %1"
                                             : "+b"(sum), "+r"(target)
                                             : "r"(change)
                                             : "cc"));
    nano_check(sum == n + n / 2, "calls went elsewhere");
    return cycles;
}

/* CF is set before each pair and counted after it. */
static uint64_t pushf_popf(uint64_t n)
{
    uint64_t sum = 0, cycles = GUEST_TIMED(n, __asm__ volatile("stc\n"
                                                               "pushfq\n"
                                                               "popfq\n"
                                                               "adcq $0, %0"
                                                               : "+r"(sum)
                                                               :
                                                               : "cc", "memory"));

    nano_check(sum == n, "flags were lost");
    return cycles;
}

static uint64_t pushf_popf_empty(uint64_t n)
{
    uint64_t sum = 0;

    return GUEST_TIMED(n, __asm__ volatile("stc\n"
                                           "adcq $0, %0"
                                           : "+r"(sum)
                                           :
                                           : "cc"));
}

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};

static uint64_t sgdt(uint64_t n)
{
    struct table_register first = {0, 0}, last = {0, 0};
    uint64_t cycles;

    __asm__ volatile("sgdt %0" : "=m"(first));
    cycles = GUEST_TIMED(n, __asm__ volatile("sgdt %0" : "=m"(last)));
    nano_check(last.limit && last.limit == first.limit && last.base == first.base, "the GDT moved");
    return cycles;
}

static void cpuid_of(uint32_t leaf, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

/* Where UMIP is, an operating system has switched it on, and SGDT at CPL 3 is its emulation. The guest has not. */
static bool may_sgdt(void)
{
    uint32_t out[4];
    uint16_t cs;

    __asm__("movw %%cs, %0" : "=r"(cs));
    cpuid_of(7, out);
    return (cs & 3) == 0 || !(out[2] & 1 << 2);
}

static uint64_t cpuid(uint64_t n)
{
    uint64_t sum = 0, cycles;
    uint32_t out[4], vendor;

    cpuid_of(0, out);
    vendor = out[1];
    cycles = GUEST_TIMED(n, (cpuid_of(0, out), sum += out[1]));
    nano_check(vendor && sum == n * vendor, "the vendor changed");
    return cycles;
}

static uint64_t rdtsc(uint64_t n)
{
    uint64_t first = guest_tsc(), last, cycles;
    uint32_t low, high;

    cycles = GUEST_TIMED(n, __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)));
    last = low | (uint64_t)high << 32;
    nano_check(first < last && last < guest_tsc(), "time went backwards");
    return cycles;
}

const struct nano_bench nano_plain[] = {
    {"call-ret", call_ret, nano_empty},
    {"indirect-call", indirect_call, nano_empty},
    {"pushf-popf", pushf_popf, pushf_popf_empty},
    {"sgdt", sgdt, nano_empty, .available = may_sgdt},
    {"cpuid", cpuid, nano_empty},
    {"rdtsc", rdtsc, nano_empty},
    {NULL},
};
