/*
 * fp.c - x87, SSE and AVX as a system sees them: #NM, #MF, #XM, #UD by the control bits, FXSAVE and the XSAVE
 * family (SDM vol. 3, 2.5, 13; vol. 1, 8.5, 11.5, 13).
 */
#include "rt.h"

SNIPPET(x87, "fld1");
SNIPPET(wait, "fwait");
SNIPPET(mmx, "movd %eax, %mm0");
SNIPPET(sse, "movaps %xmm0, %xmm1");
SNIPPET(avx, "vmovaps %ymm0, %ymm1");
SNIPPET(fxsave, "fxsave (%rbx)");
SNIPPET(fxrstor, "fxrstor (%rbx)");
SNIPPET(fxsave64, "fxsave64 (%rbx)");
SNIPPET(x87_zero_divide, "fninit\nmovw $0x37b, (%rbx)\nfldcw (%rbx)\nfld1\nfldz\nfdivrp\nnop\nfwait");
/* fld1 and a store, so that there is an operand's address, then an exception that stays pending. */
#define LEAVE_PENDING                                                                                             \
    "fninit\nmovw $0x37b, (%rbx)\nfldcw (%rbx)\nfld1\nfsts 8(%rbx)\nfldz\nfdivs 8(%rbx)\nfdivrp\n"
SNIPPET(pending_fxsave, LEAVE_PENDING "fxsave64 (%rbx)\nfnclex\nfninit");
SNIPPET(pending_fnstenv, LEAVE_PENDING "fnstenv (%rbx)\nfnclex\nfninit");
SNIPPET(pending_xsave, LEAVE_PENDING "mov $3, %eax\nxor %edx, %edx\nxsave64 (%rbx)\nfnclex\nfninit");
SNIPPET(x87_clear, "fnclex\nfninit\nfwait");
SNIPPET(sse_zero_divide,
        "ldmxcsr (%rbx)\nmov $0x3f800000, %eax\nmovd %eax, %xmm0\nxorps %xmm1, %xmm1\ndivss %xmm1, %xmm0");
SNIPPET(load_mxcsr, "ldmxcsr (%rbx)");
SNIPPET(store_mxcsr, "stmxcsr (%rbx)");
SNIPPET(mmx_tags, "fninit\nmovd %eax, %mm3\nfnstenv (%rbx)\nemms\nfnstenv 28(%rbx)\nfninit");
SNIPPET(set_xmm, "movq %rax, %xmm7\nmovq %rcx, %xmm15");
SNIPPET(get_xmm, "movq %xmm7, %rax\nmovq %xmm15, %rcx");
SNIPPET(set_ymm, "movq %rax, %xmm7\nvinsertf128 $1, %xmm7, %ymm7, %ymm7");
SNIPPET(get_ymm, "vextractf128 $1, %ymm7, %xmm1\nmovq %xmm1, %rax");
SNIPPET(do_xsave, "xsave64 (%rbx)");
SNIPPET(do_xsaveopt, "xsaveopt64 (%rbx)");
SNIPPET(do_xsavec, "xsavec64 (%rbx)");
SNIPPET(do_xrstor, "xrstor64 (%rbx)");
SNIPPET(do_xgetbv, "xgetbv");
SNIPPET(misaligned, "movaps 1(%rbx), %xmm0");
SNIPPET(sum, "fninit\nfldz\n1: fld1\nfaddp\nmov $50000, %edx\n2: dec %edx\njnz 2b\ndec %rcx\njnz 1b\nfistpq "
             "(%rbx)\nmov (%rbx), %rax");

#define BUFFER USER_DATA
static u8 *const buffer = (u8 *)BUFFER;

static u64 get64(unsigned offset)
{
    u64 v;

    memcpy(&v, buffer + offset, 8);
    return v;
}

static void set64(unsigned offset, u64 v)
{
    memcpy(buffer + offset, &v, 8);
}

static void device_not_available(void)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4();

    write_cr0(cr0 | 8);
    expect(x87, 3, NM, -1, 0, "x87 with TS");
    expect(mmx, 3, NM, -1, 0, "MMX with TS");
    expect(sse, 3, NM, -1, 0, "SSE with TS");
    expect(x87, 0, NM, -1, 0, "x87 with TS at CPL 0");
    expect(wait, 3, NM, -1, 0, "FWAIT with TS and MP");
    write_cr0((cr0 | 8) & ~2ull);
    expect(wait, 3, BP, -1, -1, "FWAIT with TS alone");
    expect(fxsave, 3, NM, -1, 0, "FXSAVE with TS");
    write_cr0((cr0 & ~2ull) | 4);
    expect(x87, 3, NM, -1, 0, "x87 with EM");
    expect(sse, 3, UD, -1, 0, "SSE with EM");
    expect(mmx, 3, UD, -1, 0, "MMX with EM");
    write_cr0(cr0);
    write_cr4(cr4 & ~0x200ull);
    expect(sse, 3, UD, -1, 0, "SSE without OSFXSR");
    expect(x87, 3, BP, -1, -1, "x87 without OSFXSR");
    write_cr4(cr4);
    expect(sse, 3, BP, -1, -1, "SSE is back");
    expect(avx, 3, UD, -1, 0, "AVX without OSXSAVE");
}

static void exceptions(void)
{
    u64 cr4 = read_cr4(), tags;

    in.rbx = BUFFER;
    expect(x87_zero_divide, 3, MF, -1, 16, "an unmasked x87 exception comes at the next waiting instruction");
    expect(x87_clear, 3, BP, -1, -1, "FNCLEX and FNINIT do not wait");
    set64(0, 0x1f80 & ~0x200u);
    expect(sse_zero_divide, 3, XM, -1, 15, "an unmasked SSE exception comes at once");
    write_cr4(cr4 & ~0x400ull);
    set64(0, 0x1f80 & ~0x200u);
    expect(sse_zero_divide, 3, UD, -1, 15, "and is #UD without OSXMMEXCPT");
    write_cr4(cr4);
    run(store_mxcsr, 3);
    equal(get64(0) & 0xffff, 0x1d84, "MXCSR has the flag");
    set64(0, 1 << 16);
    expect(load_mxcsr, 3, GP, 0, 0, "LDMXCSR of a reserved bit");
    set64(0, 0x1f80);
    expect(load_mxcsr, 3, BP, -1, -1, "LDMXCSR");
    expect(misaligned, 3, GP, 0, 0, "a misaligned operand of MOVAPS");
    run(mmx_tags, 3);
    tags = get64(8) & 0xffff;
    equal(tags & tags >> 1 & 0x5555, 0, "an MMX instruction leaves no register empty");
    equal(get64(36) & 0xffff, 0xffff, "EMMS empties them");
}

static void fx_area(void)
{
    in.rax = 0x1111222233334444;
    in.rcx = 0x5555666677778888;
    run(set_xmm, 3);
    memset(buffer, 0x5a, 4096);
    in.rbx = BUFFER;
    expect(fxsave64, 3, BP, -1, -1, "FXSAVE");
    equal(get64(0) & 0xffff, 0x37f, "control word");
    equal(get64(24) & 0xffffffff, 0x1f80, "MXCSR");
    equal(get64(160 + 7 * 16), 0x1111222233334444, "XMM7");
    equal(get64(160 + 15 * 16), 0x5555666677778888, "XMM15");
    equal(get64(464), 0x5a5a5a5a5a5a5a5a, "bytes 464 to 511 are left alone");
    set64(160 + 7 * 16, 42);
    expect(fxrstor, 3, BP, -1, -1, "FXRSTOR");
    run(get_xmm, 0);
    equal(out.rax, 42, "loads XMM7");
    buffer[27] = 1;
    expect(fxrstor, 3, GP, 0, 0, "FXRSTOR with a reserved bit of MXCSR");
    in.rbx = BUFFER + 8;
    expect(fxsave, 3, GP, 0, 0, "FXSAVE, misaligned");
    in.rbx = 0x123456789000;
    expect(fxsave, 3, PF, 6, 0, "FXSAVE to a missing page");
}

/* FIP and FDP are the guest's addresses or zero, never those of the code and data they stand for on the host. */
static void last_instruction(const u8 *snippet, bool wide, const char *name)
{
    u64 fip, fdp;

    memset(buffer, 0, 1024);
    in.rbx = BUFFER;
    run(snippet, 3);
    fip = wide ? get64(8) : (u32)(get64(8) >> 32);
    fdp = wide ? get64(16) : (u32)(get64(16) >> 32);
    ok(last.vector == BP && (!fip || fip - USER(snippet) < 64) && (!fdp || fdp - BUFFER < 64), name);
}

static void pointers(void)
{
    last_instruction(pending_fxsave, true, "FXSAVE shows no host address");
    last_instruction(pending_fnstenv, false, "FNSTENV shows no host address");
    if (!HAS_XSAVE) {
        skip("XSAVE shows no host address", "no XSAVE");
        return;
    }
    write_cr4(read_cr4() | 1 << 18);
    last_instruction(pending_xsave, true, "XSAVE shows no host address");
    write_cr4(read_cr4() & ~(1ull << 18));
}

static void xsave(u64 mask)
{
    in.rbx = BUFFER;
    in.rax = mask;
    in.rdx = 0;
}

static void xsave_area(void)
{
    memset(buffer, 0, 4096);
    xsave(3);
    expect(do_xsave, 3, UD, -1, 0, "XSAVE without OSXSAVE");
    write_cr4(read_cr4() | 1 << 18);
    __asm__ volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
    in.rax = 77;
    in.rcx = 88;
    run(set_xmm, 3);
    xsave(3);
    expect(do_xsave, 3, BP, -1, -1, "XSAVE");
    equal(get64(160 + 7 * 16), 77, "XMM7");
    equal(get64(512) & 2, 2, "XSTATE_BV has SSE");
    equal(get64(520), 0, "XCOMP_BV is left alone");
    xsave(1);
    set64(512, 0);
    set64(160 + 7 * 16, 99);
    run(do_xsave, 3);
    equal(get64(160 + 7 * 16), 99, "SSE is not saved when not asked for");
    xsave(3);
    set64(512, 3);
    expect(do_xrstor, 3, BP, -1, -1, "XRSTOR");
    run(get_xmm, 3);
    equal(out.rax, 99, "loads XMM7");
    xsave(2);
    set64(512, 1);
    run(do_xrstor, 3);
    run(get_xmm, 3);
    equal(out.rax, 0, "XRSTOR of a component without its bit initializes it");
    xsave(3);
    set64(512, 1ull << 62);
    expect(do_xrstor, 3, GP, 0, 0, "XRSTOR with a bit that XCR0 has not");
    set64(512, 3);
    set64(528, 1);
    expect(do_xrstor, 3, GP, 0, 0, "XRSTOR with a reserved header byte");
    set64(528, 0);
    in.rbx = BUFFER + 16;
    expect(do_xsave, 3, GP, 0, 0, "XSAVE, misaligned");
    write_cr0(read_cr0() | 8);
    xsave(3);
    expect(do_xsave, 3, NM, -1, 0, "XSAVE with TS");
    write_cr0(read_cr0() & ~8ull);
}

static void avx_state(void)
{
    u32 r[4];

    if (!has(1, 2, 28)) {
        skip("AVX", "not in CPUID");
        return;
    }
    expect(avx, 3, UD, -1, 0, "AVX without its bit in XCR0");
    __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
    expect(avx, 3, BP, -1, -1, "AVX");
    write_cr0(read_cr0() | 8);
    expect(avx, 3, NM, -1, 0, "AVX with TS");
    write_cr0(read_cr0() & ~8ull);
    cpuid(0xd, 0, r);
    equal(r[1], 576 + 256, "CPUID: size of the enabled components");
    cpuid(0xd, 2, r);
    ok(r[0] == 256 && r[1] == 576, "CPUID: place of the AVX component");
    memset(buffer, 0, 4096);
    in.rax = 0xabcdef;
    run(set_ymm, 3);
    xsave(7);
    run(do_xsave, 3);
    equal(get64(576 + 7 * 16), 0xabcdef, "upper half of YMM7 in the image");
    set64(576 + 7 * 16, 0x1234);
    run(do_xrstor, 3);
    run(get_ymm, 3);
    equal(out.rax, 0x1234, "XRSTOR of it");
    cpuid(0xd, 1, r);
    if (r[0] & 1) {
        memset(buffer, 0, 4096);
        xsave(4);
        expect(do_xsaveopt, 3, BP, -1, -1, "XSAVEOPT");
        equal(get64(576 + 7 * 16), 0x1234, "saves what is in use");
    }
    if (r[0] & 2) {
        memset(buffer, 0, 4096);
        xsave(4);
        expect(do_xsavec, 3, BP, -1, -1, "XSAVEC");
        equal(get64(520), 1ull << 63 | 4, "XCOMP_BV: compacted");
        equal(get64(576 + 7 * 16), 0x1234, "the first component comes at 576");
        set64(576 + 7 * 16, 0x777);
        expect(do_xrstor, 3, BP, -1, -1, "XRSTOR of the compacted form");
        run(get_ymm, 3);
        equal(out.rax, 0x777, "loads it");
    }
    if (r[0] & 4) {
        in.rcx = 1;
        expect(do_xgetbv, 3, BP, -1, -1, "XGETBV of the components in use");
        equal(out.rax & 4, 4, "AVX is in use");
    }
    __asm__ volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
    expect(avx, 3, UD, -1, 0, "AVX after XSETBV without it");
}

static bool on_timer(struct trap *t)
{
    if (t->vector != 0x20)
        return false;
    __asm__ volatile("fninit\nfldpi" : : : "memory"); /* what a system must not do; the fields are put back */
    __asm__ volatile("fxrstor64 (%0)" : : "r"(BUFFER + 512) : "memory");
    outb(0x20, 0x20);
    return true;
}

/* The x87 state of a loop survives interrupts that use it, when the handler saves and restores it. */
static bool saving_timer(struct trap *t)
{
    bool handled;

    if (t->vector != 0x20)
        return false;
    __asm__ volatile("fxsave64 (%0)" : : "r"(BUFFER + 512) : "memory");
    handled = on_timer(t);
    return handled;
}

static void under_interrupts(void)
{
    static const u8 command[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0x21, 0xfe}};
    unsigned i;

    for (i = 0; i < sizeof command / 2; i++)
        outb(command[i][0], command[i][1]);
    outb(0x43, 0x34);
    outb(0x40, 0xa9);
    outb(0x40, 4);
    map(0xfee00000, 0xfee00000, P_P | P_W | 0x10);
    *(volatile u32 *)0xfee000f0 = 0x1ff;
    *(volatile u32 *)0xfee00350 = 0x700;
    trap_hook = saving_timer;
    in.rflags = 0x202;
    in.rbx = BUFFER;
    in.rcx = 100;
    run(sum, 3);
    equal(out.rax, 100, "x87 state survives interrupts");
    in.rflags = 2;
    trap_hook = NULL;
    outb(0x21, 0xff);
}

void test_main(void)
{
    in.rbx = BUFFER;
    device_not_available();
    exceptions();
    fx_area();
    pointers();
    xsave_area();
    avx_state();
    under_interrupts();
}
