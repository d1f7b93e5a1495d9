/*
 * rt.c - the runtime of the 32-bit bare test guests; see rt.h.
 */
#include "rt.h"

struct state in, last;
u32 last_cr2;
_Alignas(8) u64 gdt[32], idt[256], ldt[16];
struct tss32 tss;
extern u8 trap_stubs[], real_start[], real_end[], real_exit[];
void snippet_enter(struct state *s);
void rt_tables(void);
void rt_start(void);
void rt_unexpected(void);
static unsigned tests, failures;

void *memset(void *to, int byte, u32 n)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, u32 n)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

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

static void put_hex(u32 value)
{
    int shift;

    for (shift = 28; shift > 0 && !(value >> shift); shift -= 4)
        ;
    for (; shift >= 0; shift -= 4)
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

void skip(const char *name, const char *why)
{
    put("ok ");
    put_decimal(++tests);
    put(" - ");
    put(name);
    put(" # SKIP ");
    put(why);
    put("\n");
}

static void show(const char *what, u32 got, u32 want)
{
    put("#   ");
    put(what);
    put(" 0x");
    put_hex(got);
    put(", expected 0x");
    put_hex(want);
    put("\n");
}

void equal(u32 got, u32 want, const char *name)
{
    ok(got == want, name);
    if (got != want)
        show("got", got, want);
}

void ended(unsigned vector, u32 error, const char *name)
{
    bool same_error = error == DONT_CARE || last.error == error;

    ok(last.vector == vector && same_error, name);
    if (last.vector != vector)
        show("vector", last.vector, vector);
    if (last.vector != vector || !same_error) {
        show("error", last.error, error);
        show("eip", last.eip, 0);
    }
}

/* An exception of the runtime or of the test itself. */
void rt_unexpected(void)
{
    show("unexpected vector", last.vector, 0);
    show("eip", last.eip, 0);
    put("Bail out! the guest is broken\n");
    for (;;)
        outb(0xf4, 2);
}

u64 descriptor(u32 base, u32 limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 |
           (u64)flags << 52 | (u64)(base >> 24) << 56;
}

u64 gate(u16 selector, u32 offset, unsigned access, unsigned parameters)
{
    return (offset & 0xffff) | (u64)selector << 16 | (u64)parameters << 32 | (u64)access << 40 |
           (u64)(offset >> 16) << 48;
}

void set_idt(unsigned vector, unsigned access)
{
    idt[vector] = gate(KCS, (u32)trap_stubs + 16 * vector, access, 0);
}

void rt_tables(void)
{
    unsigned i;

    gdt[KCS / 8] = descriptor(0, 0xfffff, 0x9b, 12);
    gdt[KDS / 8] = descriptor(0, 0xfffff, 0x93, 12);
    gdt[UCS / 8] = descriptor(0, 0xfffff, 0xfb, 12);
    gdt[UDS / 8] = descriptor(0, 0xfffff, 0xf3, 12);
    gdt[KTSS / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
    gdt[KCS16 / 8] = descriptor(0, 0xffff, 0x9b, 0);
    gdt[KDS16 / 8] = descriptor(0, 0xffff, 0x93, 0);
    gdt[KLDT / 8] = descriptor((u32)ldt, sizeof ldt - 1, 0x82, 0);
    for (i = 0; i < 256; i++)
        set_idt(i, i == BP ? 0xee : 0x8e);
    tss.ss0 = KDS;
    tss.esp0 = (u32)trap_stack_top;
    tss.iomap = 104 + 32;
    memset(tss.map, 0xff, sizeof tss.map);
}

void flat(unsigned cpl)
{
    u32 data = cpl ? UDS : KDS;

    in = (struct state){.eip = CODE, .cs = cpl ? UCS : KCS, .ss = data, .ds = data, .es = data};
    in.esp = cpl ? OUTER : STACK;
    in.eflags = 2;
}

void virtual86(u32 eflags)
{
    in = (struct state){.eip = 0, .cs = 0x2000, .ss = 0x3000, .ds = 0x3000, .es = 0x3000, .esp = 0xfff0};
    in.eflags = 2 | FL_VM | eflags;
}

unsigned run(void)
{
    snippet_enter(&in);
    return last.vector;
}

unsigned run_bytes(const void *code, unsigned size)
{
    memcpy((void *)CODE, code, size);
    w8(CODE + size, 0xcc);
    return run();
}

void real_bytes(const void *code, unsigned size)
{
    const u8 leave[] = {0xea, LE16(0x8000 + (u32)(real_exit - real_start)), 0, 0};
    u32 *registers = (u32 *)0x7f00;

    memcpy((void *)0x8000, real_start, (u32)(real_end - real_start));
    memcpy((void *)CODE, code, size);
    memcpy((void *)(CODE + size), leave, sizeof leave);
    registers[0] = in.eax;
    registers[1] = in.ebx;
    registers[2] = in.ecx;
    registers[3] = in.edx;
    registers[4] = in.esi;
    registers[5] = in.edi;
    registers[6] = in.ebp;
    ((void (*)(void))0x8000)();
    last = (struct state){.eax = registers[0], .ebx = registers[1], .ecx = registers[2], .edx = registers[3]};
    last.esi = registers[4];
    last.edi = registers[5];
    last.ebp = registers[6];
    last.esp = registers[7] & 0xffff;
    last.ss = registers[7] >> 16;
    last.ds = registers[8] & 0xffff;
    last.es = registers[8] >> 16;
    last.eflags = registers[9];
}

void rt_start(void)
{
    test_main();
    put("1..");
    put_decimal(tests);
    put("\n");
    outb(0xf4, failures ? 1 : 0);
}
