/*
 * random.c - random bytes as code, at CPL 3 in 32-bit, 16-bit and virtual-8086 mode, confined by segments: every
 * run must end with an exception or the timer, and the runtime must survive. With lock-step both engines run each
 * block.
 */
#include "rt.h"

#define TIMER 0x20u
#define CODE_SEG FREE
#define DATA_SEG (FREE + 8)
#define STACK_SEG (FREE + 16)
#define RUNS 2500u

static u64 state = 0x9e3779b97f4a7c15;

static u32 next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (u32)(state >> 16);
}

static void controllers(void)
{
    static const u8 words[][2] = {{0x20, 0x11}, {0x21, TIMER}, {0x21, 4}, {0x21, 1},    {0xa0, 0x11},
                                  {0xa1, 0x28}, {0xa1, 2},     {0xa1, 1}, {0xa1, 0xff}, {0x21, 0xfe}};
    unsigned i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++)
        outb(words[i][0], words[i][1]);
}

/* Bytes with many common opcodes among them, so that several instructions run before something faults. */
static void fill_code(void)
{
    static const u8 common[] = {0x01, 0x03, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x40, 0x48, 0x50, 0x58, 0x66, 0x67, 0x70,
                                0x75, 0x81, 0x83, 0x85, 0x88, 0x89, 0x8a, 0x8b, 0x8d, 0x90, 0xa4, 0xab, 0xb8, 0xc1,
                                0xd1, 0xd3, 0xe2, 0xe8, 0xeb, 0xf3, 0xf7, 0xff, 0x0f, 0x26, 0x36, 0x64};
    unsigned i;

    for (i = 0; i < 64; i++)
        w8(CODE + i, next() & 1 ? common[next() % sizeof common] : (u8)next());
}

static void start(unsigned kind)
{
    u32 offsets = kind == 0 ? 0xffff : 0xff;

    if (kind == 2) {
        virtual86(FL_IF);
    } else {
        flat(3);
        in.cs = CODE_SEG | 3;
        in.ds = in.es = in.fs = in.gs = DATA_SEG | 3;
        in.ss = STACK_SEG | 3;
        in.eip = 0;
        in.eflags = 2 | FL_IF;
        gdt[CODE_SEG / 8] = descriptor(CODE, 0xfff, 0xfa, kind ? 0 : 4);
        gdt[DATA_SEG / 8] = descriptor(DATA, 0xffff, 0xf2, next() & 4);
        gdt[STACK_SEG / 8] = descriptor(DATA, 0xffff, 0xf2, next() & 4);
    }
    in.esp = 0x8000 + (next() & 0xff);
    in.eax = next() & offsets;
    in.ebx = next() & offsets;
    in.ecx = next() & 0xff;
    in.edx = next();
    in.esi = next() & 0xffff;
    in.edi = next() & 0xffff;
    in.ebp = next() & 0xffff;
    in.eflags |= next() & (0x8d5 | 0x400);
}

static void arm(void)
{
    outb(0x43, 0x30);
    outb(0x40, 0xb0);
    outb(0x40, 0x04);
}

void test_main(void)
{
    static const char *const names[] = {"random 32-bit code", "random 16-bit code", "random virtual-8086 code"};
    u64 user_data = gdt[UDS / 8];
    unsigned kind, i, expected;

    controllers();
    write_cr4(read_cr4() | 4); /* TSD: the time is no matter for comparisons */
    gdt[UDS / 8] = 0;          /* no way out */
    for (kind = 0; kind < 3; kind++) {
        for (i = 0, expected = 0; i < RUNS; i++) {
            fill_code();
            start(kind);
            arm();
            run();
            if (last.vector >= TIMER)
                outb(0x20, 0x20);
            expected += last.vector <= AC || last.vector == TIMER || last.vector == TIMER + 7;
        }
        equal(expected, RUNS, names[kind]);
    }
    outb(0x21, 0xff);
    gdt[UDS / 8] = user_data;
    flat(3);
    RUN(0xb8, LE32(0x600d));
    equal(last.eax, 0x600d, "the runtime is whole");
}
