/*
 * irq.c - external interrupts in 16- and 32-bit code: loops that nothing else ends, HLT, what holds an interrupt
 * off, real and virtual-8086 mode. The timer is the PIT through the 8259s, at vector 20h.
 */
#include "rt.h"

#define TIMER 0x20u

static void controllers(u8 base)
{
    outb(0x20, 0x11);
    outb(0x21, base);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0xa0, 0x11);
    outb(0xa1, base + 8);
    outb(0xa1, 2);
    outb(0xa1, 1);
    outb(0xa1, 0xff);
    outb(0x21, 0xff);
}

/* One interrupt after a millisecond or so (mode 0: OUT goes high once). */
static void arm(void)
{
    outb(0x21, 0xff);
    outb(0x20, 0x20);
    outb(0x43, 0x30);
    outb(0x40, 0xb0);
    outb(0x40, 0x04);
    outb(0x21, 0xfe);
}

static void done(void)
{
    outb(0x20, 0x20);
    outb(0x21, 0xff);
}

static void pending(void)
{
    arm();
    do
        outb(0x20, 0x0a); /* IRR */
    while (!(inb(0x20) & 1));
}

static void loops(void)
{
    flat(0);
    in.eflags |= FL_IF;
    arm();
    RUN(0x40, 0xeb, 0xfd); /* inc eax; jmp back */
    done();
    equal(last.vector, TIMER, "a loop at CPL 0 is interrupted");
    ok(last.eip == CODE || last.eip == CODE + 1, "  at an instruction");
    ok(last.eax != 0, "  after it has run");
    flat(3);
    in.eflags |= FL_IF;
    arm();
    RUN(0x40, 0x50, 0x58, 0x85, 0xc0, 0x75, 0xf9, 0xeb, 0xf7);
    done();
    equal(last.vector, TIMER, "a loop at CPL 3 is interrupted");
    ok(last.esp == OUTER || last.esp == OUTER - 4, "  with an exact stack");
    flat(3);
    in.eflags |= FL_IF;
    in.ebx = CODE;
    arm();
    RUN(0xff, 0xe3); /* jmp ebx */
    done();
    equal(last.vector, TIMER, "an indirect jump to itself is interrupted");
    flat(3);
    in.eflags |= FL_IF;
    arm();
    RUN(0xe8, LE32(1), 0xcc, 0x83, 0xc4, 0x04, 0xeb, 0xf5); /* call over INT3; add esp, 4; jmp back */
    done();
    equal(last.vector, TIMER, "a loop with a call is interrupted");
}

static void other_loops(void)
{
    gdt[FREE / 8] = descriptor(CODE, 0xffff, 0xfa, 0);
    flat(3);
    in.eflags |= FL_IF;
    in.cs = FREE | 3;
    in.eip = 0;
    arm();
    RUN(0x40, 0xeb, 0xfd);
    done();
    equal(last.vector, TIMER, "a loop of 16-bit code is interrupted");
    virtual86(FL_IF);
    arm();
    RUN(0x40, 0xeb, 0xfd);
    done();
    equal(last.vector, TIMER, "a loop in virtual-8086 mode is interrupted, with IOPL 0");
    ok(last.eflags & FL_VM, "  from there");
    flat(0);
    in.eflags |= FL_IF;
    in.ecx = 0xffffffff;
    in.edi = DATA;
    in.esi = DATA;
    arm();
    RUN(0xf3, 0xae, 0xeb, 0xfc); /* repe scasb, again and again */
    done();
    equal(last.vector, TIMER, "a loop of string instructions is interrupted");
}

static void shadows(void)
{
    pending();
    flat(0);
    RUN(0xfb, 0xfa, 0xfb, 0xfa, 0xf8); /* sti; cli; sti; cli: never between */
    equal(last.vector, BP, "STI and CLI: no interrupt between");
    flat(0);
    RUN(0xfb, 0x40, 0x40, 0x40);
    equal(last.vector, TIMER, "STI: interrupted");
    equal(last.eip, CODE + 2, "  behind the next instruction");
    done();
    pending();
    flat(0);
    in.ecx = KDS;
    RUN(0xfb, 0x8e, 0xd1, 0x40, 0x40);
    equal(last.vector, TIMER, "STI and MOV to SS");
    ok(last.eip == CODE + 3 || last.eip == CODE + 4, "  interrupted behind it or one later");
    done();
    pending();
    flat(0);
    RUN(0x9c, 0x80, 0x4c, 0x24, 0x01, 0x02, 0x9d, 0x40, 0x40); /* IF by POPFD: no shadow */
    equal(last.vector, TIMER, "POPFD of IF: interrupted");
    equal(last.eip, CODE + 7, "  at once");
    done();
    pending();
    flat(3);
    in.eflags |= FL_IF;
    RUN(0x40, 0x40);
    equal(last.vector, TIMER, "IRET to CPL 3 with IF: interrupted");
    equal(last.eip, CODE, "  before the first instruction");
    done();
}

static void halt(void)
{
    arm();
    flat(0);
    RUN(0xfb, 0xf4, 0x40, 0x40);
    done();
    equal(last.vector, TIMER, "HLT ends with an interrupt");
    equal(last.eip, CODE + 2, "  behind it");
}

/* The handler at 2000:0100 counts in [3000:0] and sends an EOI; the program waits for it. */
static void real_mode(void)
{
    static const u8 handler[] = {0x50, 0x1e, 0xb8, 0x00, 0x30, 0x8e, 0xd8, 0xff, 0x06,
                                 0x00, 0x00, 0xb0, 0x20, 0xe6, 0x20, 0x1f, 0x58, 0xcf};

    memset(0, 0, 0x400);
    controllers(0x08);
    memcpy((void *)(CODE + 0x100), handler, sizeof handler);
    w16(4 * 8, 0x100);
    w16(4 * 8 + 2, 0x2000);
    w16(DATA, 0);
    in = (struct state){.ebx = 0x1234};
    arm();
    /* mov ax, 3000; mov ds, ax; sti; again: inc cx; cmp word [0], 0; je again; cli */
    REAL(0xb8, LE16(0x3000), 0x8e, 0xd8, 0xfb, 0x41, 0x83, 0x3e, LE16(0), 0x00, 0x74, 0xf8, 0xfa);
    equal(r16(DATA), 1, "real mode: an interrupt through the vector table");
    equal(last.ebx & 0xffff, 0x1234, "  leaves the registers");
    equal(last.esp, 0xfff0, "  and the stack");
    w16(DATA, 0);
    in = (struct state){0};
    arm();
    REAL(0xfb, 0xf4, 0xfa);
    equal(r16(DATA), 1, "real mode: HLT waits for it");
    controllers(TIMER);
}

void test_main(void)
{
    controllers(TIMER);
    loops();
    other_loops();
    shadows();
    halt();
    real_mode();
}
