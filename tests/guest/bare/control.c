/*
 * control.c - privileged registers and instructions: CR, DR, MSR, XCR0, descriptor tables, CPUID, RDTSC, SYSCALL,
 * SWAPGS, FSGSBASE (SDM vol. 3, 2.5, 2.8, 17.2; vol. 2, each instruction).
 */
#include "rt.h"

SNIPPET(set_cr0, "mov %rax, %cr0");
SNIPPET(set_cr2, "mov %rax, %cr2\nmov %cr2, %rdx");
SNIPPET(set_cr3, "mov %rax, %cr3");
SNIPPET(set_cr4, "mov %rax, %cr4");
SNIPPET(set_cr8, "mov %rax, %cr8\nmov %cr8, %rdx");
SNIPPET(get_cr0, "mov %cr0, %rax");
SNIPPET(get_cr1, ".byte 0x0f, 0x20, 0xc8");
SNIPPET(get_cr3, "mov %cr3, %rax");
SNIPPET(get_cr4, "mov %cr4, %rax");
SNIPPET(do_clts, "clts");
SNIPPET(do_lmsw, "lmsw %ax");
SNIPPET(set_dr0, "mov %rax, %dr0\nmov %dr0, %rdx");
SNIPPET(set_dr4, ".byte 0x0f, 0x23, 0xe0\nmov %dr6, %rdx");
SNIPPET(set_dr6, "mov %rax, %dr6\nmov %dr6, %rdx");
SNIPPET(set_dr7, "mov %rax, %dr7\nmov %dr7, %rdx");
SNIPPET(only_set_dr7, "mov %rax, %dr7");
SNIPPET(get_dr7, "mov %dr7, %rdx");
SNIPPET(do_rdmsr, "rdmsr");
SNIPPET(do_wrmsr, "wrmsr");
SNIPPET(do_xsetbv, "xsetbv");
SNIPPET(do_xgetbv, "xgetbv");
SNIPPET(do_cpuid, "cpuid");
SNIPPET(do_rdtsc, "rdtsc");
SNIPPET(do_rdtscp, "rdtscp");
SNIPPET(do_rdpmc, "rdpmc");
SNIPPET(do_lgdt, "lgdt (%rbx)");
SNIPPET(do_lidt, "lidt (%rbx)");
SNIPPET(do_lldt, "lldt %ax\nsldt %edx");
SNIPPET(do_ltr, "ltr %ax\nstr %edx");
SNIPPET(do_invlpg, "invlpg (%rbx)");
SNIPPET(do_invd, "wbinvd");
SNIPPET(do_hlt, "hlt");
SNIPPET(do_cli, "cli");
SNIPPET(do_sti, "sti");
SNIPPET(do_swapgs, "swapgs");
SNIPPET(do_syscall, "syscall");
SNIPPET(do_sysret, "sysretq");
SNIPPET(do_sysretl, "sysretl");
SNIPPET(after_sysret, "mov %cs, %eax\nmov %ss, %edx\npushfq\npop %rsi");
SNIPPET(after_sysretl, ".code32\nmov %cs, %eax\nmov %ss, %edx\nint3\n.code64");
SNIPPET(do_rdfsbase, "rdfsbase %rax");
SNIPPET(do_wrfsbase, "wrfsbase %rax\nrdfsbase %rdx");
SNIPPET(do_wrgsbase32, "wrgsbase %eax\nrdgsbase %rdx");
SNIPPET(do_load_gs, "mov %gs:(%rcx), %rax");
SNIPPET(do_vmcall, "vmcall");
SNIPPET(do_mwait, "mwait");
SNIPPET(lock_bad, ".byte 0xf0\nmov %eax, (%rbx)");
SNIPPET(too_long, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66\nnop");

static void set(const u8 *snippet, u64 value, unsigned vector, const char *name)
{
    in.rax = value;
    in.rdx = 0;
    expect(snippet, 0, vector, vector == GP ? 0 : -1, -1, name);
}

static void cr0_and_cr4(void)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4();

    set(set_cr0, cr0, BP, "MOV CR0, the same");
    set(set_cr0, cr0 & ~1ull, GP, "CR0: PG without PE");
    set(set_cr0, cr0 | 1ull << 32, GP, "CR0: a bit above 31");
    set(set_cr0, (cr0 & ~(1ull << 30)) | 1ull << 29, GP, "CR0: NW without CD");
    set(set_cr0, cr0 & ~(1ull << 31), GP, "CR0: PG cleared in 64-bit mode");
    equal(read_cr0(), cr0, "CR0 is unchanged after #GP");
    set(set_cr0, cr0 & ~(1ull << 4), BP, "CR0: ET cannot be cleared");
    equal(read_cr0() & 0x10, 0x10, "ET reads as 1");
    set(set_cr0, cr0 | 1 << 6, BP, "CR0: a reserved bit below 32 is ignored");
    equal(read_cr0(), cr0, "and reads as 0");
    write_cr0(cr0);
    set(set_cr4, cr4 & ~0x20ull, GP, "CR4: PAE cleared in long mode");
    set(set_cr4, cr4 | 1ull << 40, GP, "CR4: a reserved bit");
    set(set_cr4, cr4 | 1 << 15, GP, "CR4: reserved bit 15");
    set(set_cr4, cr4 | 1 << 13, GP, "CR4: VMXE without VMX");
    equal(read_cr4(), cr4, "CR4 is unchanged after #GP");
    set(set_cr3, read_cr3() | 1ull << 62, GP, "CR3: a reserved bit");
    expect(get_cr1, 0, UD, -1, 0, "MOV from CR1");
    set(set_cr2, 0x1234567890abcdef, BP, "MOV CR2");
    equal(out.rdx, 0x1234567890abcdef, "CR2 reads back");
    set(set_cr8, 5, BP, "MOV CR8");
    equal(out.rdx, 5, "CR8 reads back");
    set(set_cr8, 16, GP, "CR8: a reserved bit");
    write_cr8(0);
    expect(get_cr0, 3, GP, 0, 0, "MOV from CR0 at CPL 3");
    expect(get_cr3, 3, GP, 0, 0, "MOV from CR3 at CPL 3");
    expect(get_cr4, 3, GP, 0, 0, "MOV from CR4 at CPL 3");
    expect(set_cr4, 3, GP, 0, 0, "MOV to CR4 at CPL 3");
    write_cr0(cr0 | 8);
    expect(do_clts, 0, BP, -1, -1, "CLTS");
    equal(read_cr0(), cr0, "clears TS");
    expect(do_clts, 3, GP, 0, 0, "CLTS at CPL 3");
    set(do_lmsw, (cr0 & 0xffff & ~1ull) | 8, BP, "LMSW");
    equal(read_cr0(), cr0 | 8, "sets TS and cannot clear PE");
    write_cr0(cr0);
    expect(do_lmsw, 3, GP, 0, 0, "LMSW at CPL 3");
}

static void debug_registers(void)
{
    u64 cr4 = read_cr4();

    set(set_dr0, 0x123456789, BP, "MOV DR0");
    equal(out.rdx, 0x123456789, "DR0 reads back");
    set(set_dr6, 0, BP, "MOV DR6");
    equal(out.rdx & 0xffff0ff0, 0xffff0ff0, "DR6: fixed ones");
    equal(out.rdx & 0x1000, 0, "DR6: bit 12 is zero");
    set(set_dr6, 1ull << 32, GP, "DR6: a bit above 31");
    set(set_dr7, 0, BP, "MOV DR7");
    equal(out.rdx, 0x400, "DR7: bit 10 is one");
    set(set_dr7, 1ull << 32, GP, "DR7: a bit above 31");
    set(set_dr4, 0xffff0ff0, BP, "DR4 is DR6 without CR4.DE");
    write_cr4(cr4 | 8);
    expect(set_dr4, 0, UD, -1, 0, "DR4 with CR4.DE");
    write_cr4(cr4);
    expect(get_dr7, 3, GP, 0, 0, "MOV from DR7 at CPL 3");
    set(only_set_dr7, 0x2400, BP, "DR7: GD");
    expect(get_dr7, 0, DB, -1, 0, "a DR access with GD");
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
}

static void msr(const u8 *snippet, unsigned cpl, u32 index, u64 value, unsigned vector, const char *name)
{
    in.rcx = index | 0xabcd00000000ull;
    in.rax = (u32)value;
    in.rdx = value >> 32;
    expect(snippet, cpl, vector, vector == GP ? 0 : -1, vector == GP ? 0 : -1, name);
}

static void msrs(void)
{
    u64 efer = rdmsr(0xc0000080);

    msr(do_rdmsr, 0, 0xc0000080, 0, BP, "RDMSR EFER");
    equal(out.rax, efer & 0xffffffff, "gives EFER");
    equal(efer & 0x500, 0x500, "LME and LMA are set");
    msr(do_rdmsr, 3, 0xc0000080, 0, GP, "RDMSR at CPL 3");
    msr(do_wrmsr, 3, 0xc0000082, 0, GP, "WRMSR at CPL 3");
    msr(do_rdmsr, 0, 0x12345678, 0, GP, "RDMSR of an unknown MSR");
    msr(do_wrmsr, 0, 0x12345678, 0, GP, "WRMSR of an unknown MSR");
    msr(do_wrmsr, 0, 0xc0000080, efer | 1ull << 40, GP, "EFER: a reserved bit");
    msr(do_wrmsr, 0, 0xc0000080, efer & ~0x100ull, GP, "EFER: LME cleared while paging");
    msr(do_wrmsr, 0, 0xc0000082, 1ull << 60, GP, "LSTAR, not canonical");
    msr(do_wrmsr, 0, 0xc0000100, 1ull << 60, GP, "FS_BASE, not canonical");
    msr(do_wrmsr, 0, 0xc0000102, 0xffff900000000000, BP, "KERNEL_GS_BASE");
    equal(rdmsr(0xc0000102), 0xffff900000000000, "reads back");
    msr(do_wrmsr, 0, 0x277, 0x0007040600070406, BP, "PAT");
    msr(do_wrmsr, 0, 0x277, 2, GP, "PAT with a reserved type");
    msr(do_wrmsr, 0, 0x1b, 1ull << 60, GP, "APIC_BASE: a reserved bit");
    msr(do_rdmsr, 0, 0x10, 0, BP, "RDMSR TSC");
}

static void xcr(void)
{
    if (!HAS_XSAVE) {
        skip("XSETBV", "no XSAVE");
        return;
    }
    expect(do_xgetbv, 0, UD, -1, 0, "XGETBV without CR4.OSXSAVE");
    expect(do_xsetbv, 0, UD, -1, 0, "XSETBV without CR4.OSXSAVE");
    write_cr4(read_cr4() | 1 << 18);
    ok(has(1, 2, 27), "CPUID shows OSXSAVE");
    msr(do_xsetbv, 0, 0, 3, BP, "XSETBV of x87 and SSE");
    msr(do_xsetbv, 0, 0, 2, GP, "XSETBV without x87");
    msr(do_xsetbv, 0, 0, 5, GP, "XSETBV of AVX without SSE");
    msr(do_xsetbv, 0, 0, 3 | 1ull << 60, GP, "XSETBV of a reserved bit");
    msr(do_xsetbv, 0, 1, 3, GP, "XSETBV of XCR1");
    msr(do_xsetbv, 3, 0, 3, GP, "XSETBV at CPL 3");
    in.rcx = 0;
    run(do_xgetbv, 3);
    equal(out.rax, 3, "XGETBV at CPL 3");
    write_cr4(read_cr4() & ~(1ull << 18));
    ok(!has(1, 2, 27), "CPUID hides OSXSAVE again");
}

static void time_stamp(void)
{
    u64 cr4 = read_cr4(), before, after;

    expect(do_rdtsc, 3, BP, -1, -1, "RDTSC at CPL 3");
    before = out.rax | out.rdx << 32;
    run(do_rdtsc, 0);
    after = out.rax | out.rdx << 32;
    ok(after > before, "time passes");
    write_cr4(cr4 | 4);
    expect(do_rdtsc, 3, GP, 0, 0, "RDTSC at CPL 3 with TSD");
    expect(do_rdtsc, 0, BP, -1, -1, "RDTSC at CPL 0 with TSD");
    if (has(0x80000001, 3, 27)) {
        expect(do_rdtscp, 3, GP, 0, 0, "RDTSCP at CPL 3 with TSD");
        wrmsr(0xc0000103, 77);
        expect(do_rdtscp, 0, BP, -1, -1, "RDTSCP");
        equal(out.rcx, 77, "gives TSC_AUX");
    }
    write_cr4(cr4);
    in.rcx = 0;
    expect(do_rdpmc, 3, GP, 0, 0, "RDPMC at CPL 3 without PCE");
}

static void cpuid_leaves(void)
{
    u32 r[4];

    in.rax = 0xffffffff00000000;
    in.rcx = 0;
    expect(do_cpuid, 3, BP, -1, -1, "CPUID at CPL 3");
    ok(out.rax >= 7 && out.rax < 0x100 && !(out.rbx >> 32), "CPUID clears the upper halves");
    cpuid(1, 0, r);
    ok((r[3] & 0x07808b71) == 0x07808b71, "CPUID.1:EDX has what every 64-bit processor has");
    cpuid(0x80000001, 0, r);
    ok((r[3] & 0x20100800) == 0x20100800, "CPUID: SYSCALL, NX, long mode");
}

static void tables(void)
{
    static const u8 *const snippet[] = {do_lgdt, do_lidt, do_lldt, do_ltr,    do_invlpg, do_invd,
                                        do_hlt,  do_cli,  do_sti,  do_swapgs, do_sysret};
    static const char *const name[] = {"LGDT at CPL 3",   "LIDT at CPL 3",   "LLDT at CPL 3",  "LTR at CPL 3",
                                       "INVLPG at CPL 3", "WBINVD at CPL 3", "HLT at CPL 3",   "CLI at CPL 3",
                                       "STI at CPL 3",    "SWAPGS at CPL 3", "SYSRET at CPL 3"};
    unsigned i;

    in.rbx = USER_DATA;
    in.rax = 0;
    for (i = 0; i < sizeof snippet / sizeof *snippet; i++)
        expect(snippet[i], 3, GP, 0, 0, name[i]);
    *(u16 *)USER_DATA = 100;
    *(u64 *)(USER_DATA + 2) = 1ull << 63;
    in.rbx = USER_DATA;
    expect(do_lgdt, 0, GP, 0, 0, "LGDT with a base that is not canonical");
    expect(do_lidt, 0, GP, 0, 0, "LIDT with a base that is not canonical");
    in.rbx = 1ull << 63;
    expect(do_invlpg, 0, BP, -1, -1, "INVLPG of an address that is not canonical");
    set(do_lldt, 0, BP, "LLDT null");
    in.rax = KDS;
    expect(do_lldt, 0, GP, KDS, 0, "LLDT of a data segment");
}

static void selectors(void)
{
    u64 base = (u64)gdt;

    gdt[15] = 23 | (base & 0xffffff) << 16 | 0x82ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[16] = base >> 32;
    set(do_lldt, 0x78, BP, "LLDT");
    equal(out.rdx, 0x78, "SLDT shows it");
    gdt[15] &= ~(1ull << 47);
    in.rax = 0x78;
    expect(do_lldt, 0, NP, 0x78, 0, "LLDT, not present");
    in.rax = 0;
    run(do_lldt, 0);
    in.rax = TSS_SEL;
    expect(do_ltr, 0, GP, TSS_SEL, 0, "LTR of a busy TSS");
    equal(gdt[7] >> 40 & 0xff, 0x8b, "LTR had marked it busy");
    in.rax = 0;
    expect(do_ltr, 0, GP, 0, 0, "LTR null");
    gdt[7] &= ~(2ull << 40);
    set(do_ltr, TSS_SEL, BP, "LTR");
    equal(gdt[7] >> 40 & 0xff, 0x8b, "marks it busy");
}

static void system_calls(void)
{
    u64 efer = rdmsr(0xc0000080);

    in.rflags = 0xad7 | 0x3000;
    in.rsp = USER_STACK - 512;
    expect(do_syscall, 3, SYSCALLED, -1, 2, "SYSCALL");
    equal(out.rflags, 0x3ad7, "R11 has the flags");
    equal(last.rsp, USER_STACK - 512, "RSP is left alone");
    in.rflags = 2;
    wrmsr(0xc0000080, efer & ~1ull);
    expect(do_syscall, 3, UD, -1, 0, "SYSCALL without EFER.SCE");
    expect(do_sysret, 0, UD, -1, 0, "SYSRET without EFER.SCE");
    wrmsr(0xc0000080, efer);
    in.rcx = USER(after_sysret);
    in.r11 = 0x3ad7 | 0x30000;
    in.rsp = USER_STACK - 512;
    run(do_sysret, 0);
    ok(last.vector == BP && out.rax == UCS && out.rdx == UDS, "SYSRET to 64-bit code");
    equal(out.rsi, 0x3ad7, "SYSRET loads the flags, clears RF and VM");
    in.rcx = USER(after_sysretl);
    in.r11 = 2;
    run(do_sysretl, 0);
    ok(last.vector == BP && last.cs == UCS32 && out.rax == UCS32, "SYSRET to 32-bit code");
    in.rcx = 1ull << 62;
    run(do_sysret, 0); /* Intel faults at CPL 0, AMD when it fetches at CPL 3 */
    ok(last.vector == GP && last.error == 0 &&
           (last.cs == KCS ? last_offset(do_sysret) == 0 : last.rip == 1ull << 62),
       "SYSRET to an address that is not canonical");
}

static void bases(void)
{
    u64 cr4 = read_cr4();

    wrmsr(0xc0000101, USER_DATA);
    wrmsr(0xc0000102, USER_DATA + 8);
    *(u64 *)USER_DATA = 0x1111;
    *(u64 *)(USER_DATA + 8) = 0x2222;
    in.rcx = 0;
    run(do_load_gs, 3);
    equal(out.rax, 0x1111, "GS_BASE is used");
    expect(do_swapgs, 0, BP, -1, -1, "SWAPGS");
    in.rcx = 0;
    run(do_load_gs, 3);
    equal(out.rax, 0x2222, "SWAPGS exchanges the bases");
    equal(rdmsr(0xc0000102), USER_DATA, "and keeps the old one");
    if (!HAS_FSGSBASE) {
        skip("FSGSBASE", "not in CPUID");
        return;
    }
    expect(do_rdfsbase, 3, UD, -1, 0, "RDFSBASE without CR4.FSGSBASE");
    write_cr4(cr4 | 1 << 16);
    in.rax = 0x7ff0deadbeef;
    expect(do_wrfsbase, 3, BP, -1, -1, "WRFSBASE at CPL 3");
    equal(out.rdx, 0x7ff0deadbeef, "RDFSBASE reads it");
    equal(rdmsr(0xc0000100), 0x7ff0deadbeef, "and so does RDMSR");
    in.rax = 1ull << 50;
    expect(do_wrfsbase, 3, GP, 0, 0, "WRFSBASE, not canonical");
    in.rax = 0x1234567812345678;
    run(do_wrgsbase32, 3);
    equal(out.rdx, 0x12345678, "WRGSBASE of 32 bits clears the upper half");
    write_cr4(cr4);
    wrmsr(0xc0000100, 0);
    wrmsr(0xc0000101, 0);
}

static void undefined(void)
{
    in.rbx = USER_DATA;
    expect(do_vmcall, 0, UD, -1, 0, "VMCALL");
    expect(lock_bad, 3, UD, -1, 0, "LOCK on MOV");
    expect(too_long, 3, GP, 0, 0, "an instruction of sixteen bytes");
    expect(do_mwait, 3, UD, -1, 0, "MWAIT at CPL 3");
}

void test_main(void)
{
    cr0_and_cr4();
    debug_registers();
    msrs();
    xcr();
    time_stamp();
    cpuid_leaves();
    tables();
    selectors();
    system_calls();
    bases();
    undefined();
}
