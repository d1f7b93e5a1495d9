/*
 * visible.c - what a guest finds when it looks for the machine below it: what instructions tell, and how long they
 * take.
 *
 * `look` prints "lab sees name=WORD value=N [bare=N]": bare is what the same guest sees on hardware, where that is
 * known. Invariant: nothing is believed to be hidden that has not been looked at.
 */
#include "lab/guest/lab.h"

#define HYPERVISOR_LEAF 0x40000000u
#define CODE_BYTES 4096u

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};

static void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

static void begin_sees(const char *name, uint64_t value)
{
    lab_begin("sees");
    lab_word("name", name);
    lab_number("value", value);
}

static void sees(const char *name, uint64_t value)
{
    begin_sees(name, value);
    lab_end();
}

static void sees_bare(const char *name, uint64_t value, uint64_t bare)
{
    begin_sees(name, value);
    lab_number("bare", bare);
    lab_end();
}

/* --- what instructions tell --- */

/* Twelve letters; what is none becomes a dot. */
static void look_at_vendor(void)
{
    uint32_t r[4];
    char text[13];
    unsigned i;

    cpuid(HYPERVISOR_LEAF, r);
    __builtin_memcpy(text, r + 1, 12);
    for (i = 0; i < 12; i++)
        if (text[i] <= ' ' || text[i] > '~')
            text[i] = '.';
    text[12] = 0;
    lab_begin("vendor");
    lab_word("name", text);
    lab_end();
}

static void look_at_cpuid(void)
{
    uint32_t r[4];

    cpuid(1, r);
    sees_bare("hypervisor-bit", r[2] >> 31, 0);
    look_at_vendor();
}

static void look_at_tables(void)
{
    struct table_register gdt, idt;
    uint32_t task, status, local, code;
    uint64_t cr0;

    __asm__ volatile("sgdt %0" : "=m"(gdt));
    __asm__ volatile("sidt %0" : "=m"(idt));
    __asm__ volatile("str %0" : "=r"(task));
    __asm__ volatile("sldt %0" : "=r"(local));
    __asm__ volatile("smsw %0" : "=r"(status));
    __asm__ volatile("movl %%cs, %0" : "=r"(code));
    __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
    sees_bare("gdt-base", gdt.base, (uint64_t)guest_gdt);
    sees_bare("idt-base", idt.base, (uint64_t)guest_idt);
    sees_bare("task-register", task, GUEST_TSS);
    sees_bare("ldt-register", local, 0);
    sees_bare("machine-status", status & 0xffff, cr0 & 0xffff);
    sees_bare("code-segment", code, GUEST_KERNEL_CODE);
}

static void look_at_flags(void)
{
    uint64_t flags;

    __asm__ volatile("cli; pushfq; popq %0" : "=r"(flags));
    sees_bare("interrupt-flag", flags >> 9 & 1, 0);
}

/* --- the guest's own code, which a monitor may have changed to get hold of it --- */

extern const uint8_t guest_start[]; /* of the image, where the code is */

static uint64_t sum_of_code(void)
{
    uint64_t sum = 0;
    unsigned i;

    for (i = 0; i < CODE_BYTES; i++)
        sum = sum * 31 + guest_start[i];
    return sum;
}

/* What the interrupted code's address is in the frame of an exception. */
extern const uint8_t lab_entry_where[];
extern const uint8_t lab_faulting[];
extern volatile uint64_t lab_where;
__asm__(".pushsection .text\n"
        ".balign 16\n"
        "lab_entry_where:\n"
        "pushq %rax\n"
        "movq 8(%rsp), %rax\n"
        "movq %rax, lab_where\n"
        "addq $2, 8(%rsp)\n" /* behind UD2 */
        "popq %rax\n"
        "iretq\n"
        ".popsection\n"
        ".pushsection .bss\n"
        ".balign 8\n"
        "lab_where: .skip 8\n"
        ".popsection\n");

static void look_at_code(void)
{
    uint64_t before = sum_of_code();

    guest_set_gate(6, lab_entry_where, 0);
    __asm__ volatile("lab_faulting: ud2" : : : "memory");
    sees_bare("own-code-sum", sum_of_code(), before);
    sees_bare("faulting-address", lab_where, (uint64_t)lab_faulting);
}

static uint64_t look(uint64_t n)
{
    static bool looked;

    (void)n;
    if (looked)
        return 0;
    looked = true;
    look_at_cpuid();
    look_at_tables();
    look_at_flags();
    look_at_code();
    sees("tsc-forward", guest_tsc() < guest_tsc());
    return 0;
}

/* --- how long things take --- */

static uint64_t time_cpuid(uint64_t n)
{
    uint32_t r[4];

    return GUEST_TIMED(n, cpuid(0, r));
}

static uint64_t time_rdtsc(uint64_t n)
{
    return GUEST_TIMED(n, (void)guest_tsc());
}

static uint64_t time_divide_error(uint64_t n)
{
    uint64_t cycles;

    guest_count = 0;
    cycles = GUEST_TIMED(n, __asm__ volatile("divb %%cl" : : "a"(1), "c"(0) : "cc", "memory"));
    lab_check(guest_count == n, "the-handler-ran-another-number-of-times");
    return cycles;
}

static uint64_t time_port(uint64_t n)
{
    return GUEST_TIMED(n, inb(0x80));
}

static uint64_t time_add(uint64_t n)
{
    uint64_t sum = 0;

    return GUEST_TIMED(n, __asm__ volatile("addq $1, %0" : "+r"(sum) : : "cc"));
}

const struct lab_task lab_tasks[] = {
    {"look", look, NULL},
    {"add", time_add, lab_empty},
    {"rdtsc", time_rdtsc, lab_empty},
    {"cpuid", time_cpuid, lab_empty},
    {"divide-error", time_divide_error, lab_empty},
    {"in", time_port, lab_empty},
    {NULL},
};
