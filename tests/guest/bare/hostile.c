/*
 * hostile.c - what no guest should do, and novt must outlive: writes and reads of every port and all over the
 * address space where there is no RAM, in every width, code and tables and stacks there.
 *
 * Left out are the registers whose purpose is to end the machine (tests/cli/ways_out.c has those), and the UART
 * that this test reports by.
 */
#include "rt.h"

SNIPPET(access_all, "mov %rax, (%rbx)\nmov %eax, (%rbx)\nmov %ax, (%rbx)\nmov %al, (%rbx)\n"
                    "mov (%rbx), %rcx\nmov (%rbx), %ecx\nmov (%rbx), %cx\nmov (%rbx), %cl\n"
                    "lock incl (%rbx)\nxchg %eax, (%rbx)\nadd %eax, 4(%rbx)\nbtsl $9, (%rbx)");
SNIPPET(access_wide, "movups %xmm0, (%rbx)\nmovups (%rbx), %xmm0\nfldt (%rbx)\nfstpt (%rbx)\n"
                     "push (%rbx)\npop (%rbx)\nlock cmpxchg8b (%rbx)");
SNIPPET(strings, "mov $24, %ecx\nrep stosb\nsub $24, %rdi\nmov $6, %ecx\nmov %rdi, %rsi\nrep movsl\n"
                 "sub $24, %rdi\nmov $3, %ecx\nmov %rdi, %rsi\nadd $8, %rdi\nrep movsq\n"
                 "sub $8, %rdi\nmov $5, %ecx\nrepne scasw");
SNIPPET(across,
        "mov %rax, 0xffd(%rbx)\nmov 0xffd(%rbx), %rax\nmovups %xmm0, 0xff9(%rbx)\nlock addl $3, 0xffe(%rbx)");
SNIPPET(fetch_there, "jmp *%rbx");
SNIPPET(stack_there, "push %rax\npop %rcx\ncall 1f\n1: nop");

#define WINDOW 0x70000000ull /* two pages, mapped to what is being looked at */

static bool ends_the_machine(unsigned port, unsigned size)
{
    static const u16 range[][2] = {{0x60, 0x64},   {0x92, 0x92},   {0xf4, 0xf7},
                                   {0x3f8, 0x3ff}, {0x604, 0x605}, {0xcf9, 0xcf9}};
    unsigned i;

    for (i = 0; i < sizeof range / sizeof *range; i++)
        if (port + size > range[i][0] && port <= range[i][1])
            return true;
    return false;
}

static void port_write(unsigned port, unsigned size, u32 value)
{
    if (size == 1)
        __asm__ volatile("outb %%al, %%dx" : : "a"(value), "d"(port));
    else if (size == 2)
        __asm__ volatile("outw %%ax, %%dx" : : "a"(value), "d"(port));
    else
        __asm__ volatile("outl %%eax, %%dx" : : "a"(value), "d"(port));
}

static void port_read(unsigned port, unsigned size)
{
    u32 value = 0;

    if (size == 1)
        __asm__ volatile("inb %%dx, %%al" : "+a"(value) : "d"(port));
    else if (size == 2)
        __asm__ volatile("inw %%dx, %%ax" : "+a"(value) : "d"(port));
    else
        __asm__ volatile("inl %%dx, %%eax" : "+a"(value) : "d"(port));
}

static void every_port(void)
{
    static const u32 values[] = {0, 0xffffffff, 0x5aa5c33c};
    unsigned port, size, i;

    for (i = 0; i < 3; i++)
        for (size = 1; size <= 4; size *= 2)
            for (port = 0; port < 0x10000; port++) {
                port_read(port, size);
                if (!ends_the_machine(port, size))
                    port_write(port, size, values[i]);
            }
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    ok(true, "every port read and written in every width");
}

static void string_io(void)
{
    void *at = (void *)USER_DATA;
    u64 count;
    unsigned port;

    for (port = 0x80; port < 0x10000; port += 0x101) {
        if (ends_the_machine(port, 4))
            continue;
        at = (void *)USER_DATA;
        count = 700;
        __asm__ volatile("rep insl" : "+D"(at), "+c"(count) : "d"(port) : "memory");
        at = (void *)USER_DATA;
        count = 700;
        __asm__ volatile("rep outsw" : "+S"(at), "+c"(count) : "d"(port) : "memory");
    }
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    ok(true, "INS and OUTS at many ports");
}

/* All kinds of accesses to one physical page that is not RAM; none of them faults. */
static bool poke(u64 physical, unsigned offset)
{
    bool good;

    map(WINDOW, physical & ~0xfffull, P_P | P_W);
    map(WINDOW + 4096, (physical & ~0xfffull) + 4096, P_P | P_W);
    in.rbx = WINDOW + offset;
    in.rax = 0x123456789abcdef0;
    good = run(access_all, 0) == BP;
    in.rbx = WINDOW + offset;
    good &= run(access_wide, 0) == BP;
    in.rdi = WINDOW + offset;
    good &= run(strings, 0) == BP;
    in.rbx = WINDOW;
    return run(across, 0) == BP && good;
}

static void holes(void)
{
    static const u64 where[] = {0xa0000,    0xb8000,    0xc0000,    0xdf000,    0xe0000,    0xff000,    0xfed00000,
                                0xfec01000, 0xfec10000, 0xfee01000, 0xfff00000, 0xfffff000, 0x80000000, 0xe0000000,
                                0xfe000000, 1ull << 32, 1ull << 33, 1ull << 36, 1ull << 38};
    unsigned i, offset;
    bool good = true;
    u64 at;

    for (i = 0; i < sizeof where / sizeof *where; i++)
        for (offset = 0; offset < 0x1000; offset += 0x555)
            good &= poke(where[i], offset);
    for (at = 64ull << 20; at < 0xfec00000; at += 37ull << 20)
        good &= poke(at, (unsigned)(at >> 20 & 0x7ff));
    ok(good, "accesses of every kind where there is no RAM");
    map(WINDOW, 0xfffffffff000 & ((1ull << 39) - 1), P_P | P_W);
    in.rbx = WINDOW;
    in.rax = 1;
    run(access_all, 0);
    ok(true, "and at the end of the physical address space");
}

/* All registers of the I/O APIC and of the local APIC, but for the one that can send INIT. */
static void controllers(void)
{
    static const u32 values[] = {0, 0xffffffff, 0x5aa5c33c, 0x1ff};
    unsigned i, reg;

    map(WINDOW, 0xfec00000, P_P | P_W);
    for (i = 0; i < 4; i++)
        for (reg = 0; reg < 256; reg++) {
            *(volatile u32 *)WINDOW = reg;
            (void)*(volatile u32 *)(WINDOW + 0x10);
            *(volatile u32 *)(WINDOW + 0x10) = values[i];
        }
    for (i = 0; i < 0x1000; i += 4)
        *(volatile u32 *)(WINDOW + i) = i * 0x01010101u;
    ok(true, "every register of the I/O APIC");
    map(WINDOW, 0xfee00000, P_P | P_W);
    for (i = 0; i < 4; i++)
        for (reg = 0; reg < 0x1000; reg += 4) {
            if ((reg & ~0xfu) == 0x300)
                continue;
            (void)*(volatile u32 *)(WINDOW + reg);
            *(volatile u32 *)(WINDOW + reg) = values[i];
            *(volatile u8 *)(WINDOW + reg + 1) = (u8)values[i];
        }
    *(volatile u32 *)(WINDOW + 0xf0) = 0xff; /* off */
    ok(true, "every register of the local APIC");
}

static void code_and_stacks(void)
{
    static const u64 where[] = {0xa0000, 0x80000000, 0xfee00000, 1ull << 34};
    unsigned i;

    for (i = 0; i < 4; i++) {
        map(WINDOW, where[i], P_P | P_W | P_U);
        map(WINDOW + 4096, where[i] + 4096, P_P | P_W | P_U);
        in.rbx = WINDOW + 0x20;
        run(fetch_there, 3);
        ok(last.vector < 32, "code where there is no RAM ends with some exception");
        in.rsp = WINDOW + 0x800;
        run(stack_there, 3);
        ok(last.vector < 32, "a stack where there is no RAM");
    }
    pml4[300] = 0x80000000 | P_P | P_W;
    in.rbx = 0xffff960000000000;
    run(access_all, 0);
    ok(last.vector == PF, "a page table where there is no RAM: all ones, reserved bits");
    pml4[300] = (1ull << 38) | P_P | P_W;
    run(access_all, 0);
    ok(last.vector == PF, "a page table far beyond RAM");
    pml4[300] = 0;
}

static bool any_trap(struct trap *t)
{
    return t->vector >= 32; /* interrupts that some register asked for */
}

void test_main(void)
{
    trap_hook = any_trap;
    every_port();
    string_io();
    holes();
    controllers();
    code_and_stacks();
}
