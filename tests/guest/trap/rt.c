/*
 * rt.c - the runtime of the guests for trap-and-emulate; see rt.h.
 */
#include "rt.h"

_Alignas(4096) volatile word clock_page[4096 / sizeof(word)];
bool (*vector_hook)(struct frame *f);
void guest_start(void);
void guest_vector(struct frame *f);
static unsigned tests, failures;
static word next_page;

struct __attribute__((packed)) idt_pointer {
    u16 limit;
    word base;
};

#ifdef __x86_64__
extern u64 pml4[512];
static _Alignas(4096) u64 idt[512];
static struct __attribute__((packed)) {
    u32 reserved;
    u64 rsp[3], unused[8];
    u32 reserved2[2];
    u16 reserved3, iomap;
} tss;
#else
static _Alignas(4096) u32 directory[1024];
static _Alignas(4096) u64 idt[256];
static struct {
    u32 link, esp0, ss0, unused[22];
    u16 trap, iomap;
} tss;
#endif

/* --- console --- */

static void put_char(char c)
{
    while (!(inb(0x3f8 + 5) & 0x20))
        ;
    outb(0x3f8, (u8)c);
}

void put(const char *text)
{
    for (; *text; text++)
        put_char(*text);
}

void put_hex(u64 value)
{
    int shift = 60;

    for (; shift > 0 && !(value >> shift); shift -= 4)
        ;
    for (put("0x"); shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[value >> shift & 15]);
}

static void put_decimal(unsigned n)
{
    if (n >= 10)
        put_decimal(n / 10);
    put_char((char)('0' + n % 10));
}

void ok(bool passed, const char *name)
{
    put(passed ? "ok " : "not ok ");
    put_decimal(++tests);
    put(" - ");
    put(name);
    put("\n");
    failures += !passed;
}

void equal(u64 got, u64 want, const char *name)
{
    ok(got == want, name);
    if (got == want)
        return;
    put("#   got ");
    put_hex(got);
    put(", expected ");
    put_hex(want);
    put("\n");
}

void finish(void)
{
    put("1..");
    put_decimal(tests);
    put("\n");
    for (;;)
        outb(0xf4, failures ? 1 : 0);
}

/* --- exceptions and interrupts --- */

static void give_up(const struct frame *f)
{
    put("# unexpected vector ");
    put_hex(f->vector);
    put(" error ");
    put_hex(f->error);
    put(" ip ");
    put_hex(f->ip);
    put(" cr2 ");
    put_hex(read_cr2());
    put("\n");
    failures++;
    finish();
}

void guest_vector(struct frame *f)
{
    if (f->vector == TIMER) {
        ticks++;
        outb(0x20, 0x20);
    } else if (!vector_hook || !vector_hook(f)) {
        give_up(f);
    }
}

/* In 32 bits a return to the same level does not load SS:ESP, so the frame of CPL 3 stays on the stack; leave_user
   loads the stack pointer anyway. */
void return_to_kernel(struct frame *f)
{
    f->ip = (word)leave_user;
    f->cs = 8;
#ifdef __x86_64__
    f->sp = (word)trap_stack_top;
    f->ss = 0x10;
#endif
    f->flags = 2;
}

static void gate(unsigned vector, unsigned dpl)
{
    word handler = (word)vector_stubs + 16 * vector;
    u64 low = (handler & 0xffff) | 8u << 16 | (u64)(0x8e | dpl << 5) << 40 | (u64)(handler >> 16 & 0xffff) << 48;

#ifdef __x86_64__
    idt[2 * vector] = low;
    idt[2 * vector + 1] = handler >> 32;
#else
    idt[vector] = low;
#endif
}

static void start_tables(void)
{
    struct idt_pointer pointer = {sizeof idt - 1, (word)idt};
    u64 base = (word)&tss;
    unsigned i;

    for (i = 0; i < 256; i++)
        gate(i, i == 3 || i == 4 || i == 0x80 || i == 0x81 ? 3 : 0);
    __asm__ volatile("lidt %0" : : "m"(pointer));
#ifdef __x86_64__
    tss.rsp[0] = (word)trap_stack_top;
#else
    tss.esp0 = (word)trap_stack_top;
    tss.ss0 = 0x10;
#endif
    tss.iomap = sizeof tss;
    gdt[0x90 / 8] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    __asm__ volatile("ltr %w0" : : "r"(0x90));
}

void timer_on(void)
{
    static const u8 words[2][4] = {{0x11, TIMER, 4, 1}, {0x11, TIMER + 8, 2, 1}};
    unsigned chip;

    for (chip = 0; chip < 2; chip++) {
        u16 port = chip ? 0xa0 : 0x20;

        outb(port, words[chip][0]);
        outb(port + 1, words[chip][1]);
        outb(port + 1, words[chip][2]);
        outb(port + 1, words[chip][3]);
        outb(port + 1, chip ? 0xff : 0xfe);
    }
    outb(0x43, 0x34);
    outb(0x40, 11932 & 0xff);
    outb(0x40, 11932 >> 8);
}

bool timer_waits(void)
{
    outb(0x20, 0x0a); /* the next read gives the request register */
    return inb(0x20) & 1;
}

/* --- page tables --- */

word page_alloc(void)
{
    word page = next_page, to = page, count = 1024;

    next_page += 4096;
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    return page;
}

#ifdef __x86_64__
static u64 *slot_of(word linear)
{
    u64 *table = pml4;
    unsigned level;

    for (level = 3; level > 0; level--) {
        u64 *entry = &table[linear >> (12 + 9 * level) & 511];

        if (!(*entry & P_P))
            *entry = page_alloc() | P_P | P_W | P_U;
        table = (u64 *)(*entry & ~4095ul);
    }
    return &table[linear >> 12 & 511];
}

void paging_on(void)
{
}
#else
static u32 *slot_of(word linear)
{
    u32 *entry = &directory[linear >> 22];

    if (!(*entry & P_P))
        *entry = page_alloc() | P_P | P_W | P_U;
    return (u32 *)(*entry & ~4095ul) + (linear >> 12 & 1023);
}

/* The lowest 4 MiB one to one, for the kernel alone. */
void paging_on(void)
{
    word page;

    for (page = 0; page < 0x400000; page += 4096)
        *slot_of(page) = page | P_P | P_W;
    __asm__ volatile("mov %0, %%cr3" : : "r"(directory) : "memory");
    write_cr0(read_cr0() | 0x80010000u);
}
#endif

word entry_of(word linear)
{
    return *slot_of(linear);
}

void map(word linear, word physical, word flags)
{
    *slot_of(linear) = flags ? physical | flags : 0;
    __asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

void guest_start(void)
{
    outb(0x3f8 + 1, 0);
    outb(0x3f8 + 3, 3);
    outb(0x3f8 + 2, 7);
    outb(0x20 + 1, 0xff);
    outb(0xa0 + 1, 0xff);
    next_page = (word)end;
    start_tables();
    paging_on();
    guest_main();
    finish();
}
