/*
 * rt.c - the runtime of the bare test guests; see rt.h.
 */
#include "rt.h"

struct trap last;
u64 last_cr2;
bool (*trap_hook)(struct trap *t);
struct regs in, out;
_Alignas(4096) u64 idt[512];
struct tss tss;
extern u64 snippet_rsp;
extern u8 gdt_pointer[], end[];
void snippet_enter(struct regs *r);
void rt_start(void);
int trap_handle(struct trap *t);
static bool in_snippet;
static unsigned tests, failures;
static u64 next_page;

void *memset(void *to, int byte, size_t n)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
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

void put_hex(u64 value)
{
    int shift;

    for (shift = 60; shift > 0 && !(value >> shift); shift -= 4)
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

void note(const char *text)
{
    put("# ");
    put(text);
    put("\n");
}

static void result(bool passed, const char *name, const char *directive)
{
    put(passed ? "ok " : "not ok ");
    put_decimal(++tests);
    put(" - ");
    put(name);
    put(directive);
    put("\n");
    failures += !passed;
}

void ok(bool passed, const char *name)
{
    result(passed, name, "");
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

void equal(u64 got, u64 want, const char *name)
{
    result(got == want, name, "");
    if (got == want)
        return;
    put("#   got 0x");
    put_hex(got);
    put(", expected 0x");
    put_hex(want);
    put("\n");
}

void finish(void)
{
    put("1..");
    put_decimal(tests);
    put("\n");
    for (;;) {
        outb(0xf4, failures ? 1 : 0);
        __asm__ volatile("cli; hlt");
    }
}

static void show_trap(const struct trap *t)
{
    put("#   vector 0x");
    put_hex(t->vector);
    put(" error 0x");
    put_hex(t->error);
    put(" rip 0x");
    put_hex(t->rip);
    put(" cs 0x");
    put_hex(t->cs);
    put(" rflags 0x");
    put_hex(t->rflags);
    put(" rsp 0x");
    put_hex(t->rsp);
    put(" cr2 0x");
    put_hex(last_cr2);
    put("\n");
}

static void copy_out(const struct trap *t)
{
    memcpy(&out, t, sizeof(u64) * 16);
    out.rsp = t->rsp;
    out.rip = t->rip;
    out.rflags = t->rflags;
    out.cs = t->cs;
    out.ss = t->ss;
}

int trap_handle(struct trap *t)
{
    last_cr2 = read_cr2();
    if (trap_hook && trap_hook(t))
        return 0;
    memcpy(&last, t, sizeof last);
    if (!in_snippet) {
        note("unexpected trap outside of a snippet");
        show_trap(t);
        failures++;
        finish();
    }
    in_snippet = false;
    copy_out(t);
    return 1;
}

unsigned run_at(u64 rip, unsigned cpl)
{
    in.rip = rip;
    if (!in.cs || (in.cs & 3) != cpl) {
        in.cs = cpl ? UCS : KCS;
        in.ss = cpl ? UDS : KDS;
    }
    if (!in.rsp)
        in.rsp = cpl ? USER_STACK - 64 : (u64)snippet_stack_top - 64;
    in_snippet = true;
    snippet_enter(&in);
    in.rsp = 0;
    in.cs = 0;
    return (unsigned)last.vector;
}

unsigned run(const u8 *snippet, unsigned cpl)
{
    return run_at(cpl ? USER(snippet) : KERNEL(snippet), cpl);
}

u64 last_offset(const u8 *snippet)
{
    return last.rip - ((last.cs & 3) ? USER(snippet) : KERNEL(snippet));
}

void expect(const u8 *snippet, unsigned cpl, unsigned vector, long error, long offset, const char *name)
{
    unsigned got = run(snippet, cpl);
    bool good = got == vector && (error < 0 || last.error == (u64)error) &&
                (offset < 0 || last_offset(snippet) == (u64)offset);

    result(good, name, "");
    if (good)
        return;
    put("#   expected vector 0x");
    put_hex(vector);
    if (error >= 0) {
        put(" error 0x");
        put_hex((u64)error);
    }
    if (offset >= 0) {
        put(" offset 0x");
        put_hex((u64)offset);
        put(", got offset 0x");
        put_hex(last_offset(snippet));
    }
    put(", got:\n");
    show_trap(&last);
}

u64 page_alloc(void)
{
    u64 page = next_page;

    next_page += 4096;
    memset((void *)page, 0, 4096);
    return page;
}

u64 *pte_of(u64 linear, unsigned level)
{
    u64 *table = pml4;
    unsigned at;

    for (at = 4; at > level; at--) {
        u64 *entry = &table[linear >> (12 + 9 * (at - 1)) & 511];

        if (!(*entry & P_P))
            *entry = page_alloc() | P_P | P_W | P_U;
        table = (u64 *)(*entry & 0xffffffffff000ull);
    }
    return &table[linear >> (12 + 9 * (level - 1)) & 511];
}

void map(u64 linear, u64 physical, u64 flags)
{
    *pte_of(linear, 1) = flags ? physical | flags : 0;
    invlpg(linear);
}

void gate(unsigned vector, u64 handler, unsigned dpl, unsigned ist, unsigned type)
{
    idt[2 * vector] = (handler & 0xffff) | (u64)KCS << 16 | (u64)ist << 32 | (u64)(0x80 | dpl << 5 | type) << 40 |
                      (handler >> 16 & 0xffff) << 48;
    idt[2 * vector + 1] = handler >> 32;
}

static void start_tables(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        u64 base;
    } pointer = {sizeof idt - 1, (u64)idt};
    u64 base = (u64)&tss;
    unsigned i;

    for (i = 0; i < 256; i++)
        gate(i, (u64)trap_stubs + 16 * i, i == 3 || i == 4 || i == 0x80 ? 3 : 0, 0, 14);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    tss.rsp[0] = (u64)trap_stack_top;
    tss.iomap = offsetof(struct tss, bitmap);
    memset(tss.bitmap, 0xff, sizeof tss.bitmap);
    gdt[TSS_SEL / 8] = (sizeof tss - 1 - 0) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[TSS_SEL / 8 + 1] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
}

static void start_user_pages(void)
{
    u64 i;

    for (i = 0; i < (u64)(snip_end - snip_start); i += 4096) {
        map(USER_BASE + i, (u64)snip_start + i, P_P | P_W | P_U);
        if (HALF)
            map(KERNEL(snip_start + i), (u64)snip_start + i, P_P | P_W);
    }
    for (i = 1; i <= 4; i++)
        map(USER_STACK - 4096 * i, page_alloc(), P_P | P_W | P_U | P_NX);
    for (i = 0; i < 4; i++)
        map(USER_DATA + 4096 * i, page_alloc(), P_P | P_W | P_U | P_NX);
}

void rt_start(void)
{
    outb(0x3f8 + 1, 0);
    outb(0x3f8 + 3, 3);
    outb(0x3f8 + 2, 7);
    outb(0x20 + 1, 0xff);
    outb(0xa0 + 1, 0xff);
    next_page = (u64)end;
    start_tables();
    start_user_pages();
    wrmsr(0xc0000081, (u64)KCS << 32 | (u64)0x23 << 48); /* STAR */
    wrmsr(0xc0000082, (u64)syscall_entry);               /* LSTAR */
    wrmsr(0xc0000084, 0x200);                            /* FMASK */
    in.rflags = 2;
    test_main();
    finish();
}
