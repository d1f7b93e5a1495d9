/*
 * paging.c - page faults and what they say, accessed and dirty bits, protection of every kind, page sizes, the
 * TLB's rules, accesses that cross into a bad page, faults in the middle of REP (SDM vol. 3, 4).
 */
#include "rt.h"

SNIPPET(load, "mov (%rbx), %rax");
SNIPPET(store, "mov %rax, (%rbx)");
SNIPPET(modify, "add %rax, (%rbx)");
SNIPPET(execute, "jmp *%rbx");
SNIPPET(call_there, "call *%rbx");
SNIPPET(store_ac, "stac\nmov %rax, (%rbx)\nclac");
SNIPPET(do_movs, "rep movsb");
SNIPPET(do_movsq, "rep movsq");
SNIPPET(do_stos, "rep stosq");
SNIPPET(do_stosb, "rep stosb");
SNIPPET(do_scas, "repne scasb");
SNIPPET(do_push, "push %rax");
SNIPPET(do_xchg, "xchg %rax, (%rbx)");
SNIPPET(do_call, "call 1f\n1:");
SNIPPET(do_movups, "movups %xmm0, (%rbx)");
SNIPPET(pushes, "push %rax\npush %rcx\npush $7\nmov 16(%rsp), %rdx\npop %r8\nmov (%rbx), %r9\npop %rcx\npop %rax");
SNIPPET(pops, "pop %rcx\npop %rdx\nlea 8(%rsp), %rsi\npop %rdi");
SNIPPET(push_far, "push %rax\npush %rcx\npush %rdx\npush %rsi");

#define AREA (HALF + 0x50000000ull) /* pages of the test's own */
#define GIANT (HALF + 0x8000000000ull)

static u64 page[4];

static void fault(const u8 *snippet, unsigned cpl, u64 address, long error, u64 cr2, const char *name)
{
    in.rbx = address;
    expect(snippet, cpl, PF, error, snippet == execute || snippet == call_there ? -1 : 0, name);
    equal(last_cr2, cr2, "CR2 of it");
}

static void fine(const u8 *snippet, unsigned cpl, u64 address, const char *name)
{
    in.rbx = address;
    expect(snippet, cpl, BP, -1, -1, name);
}

static void not_present(void)
{
    map(AREA, 0, 0);
    fault(load, 0, AREA + 8, 0, AREA + 8, "read, not present, CPL 0");
    fault(load, 3, AREA + 8, PFEC_U, AREA + 8, "read, not present, CPL 3");
    fault(store, 0, AREA + 8, PFEC_W, AREA + 8, "write, not present, CPL 0");
    fault(store, 3, AREA + 8, PFEC_W | PFEC_U, AREA + 8, "write, not present, CPL 3");
    fault(modify, 3, AREA + 8, PFEC_W | PFEC_U, AREA + 8, "read-modify-write, not present");
    fault(load, 0, 0x700000000000, 0, 0x700000000000, "no page-table at all");
    fault(load, 0, 0xffff800000000000, 0, 0xffff800000000000, "the upper half");
}

static void protection(void)
{
    u64 cr0 = read_cr0();

    map(AREA, page[0], P_P | P_W);
    fine(load, 0, AREA, "supervisor page, CPL 0");
    fault(load, 3, AREA, PFEC_P | PFEC_U, AREA, "supervisor page read at CPL 3");
    fault(store, 3, AREA, PFEC_P | PFEC_U | PFEC_W, AREA, "supervisor page written at CPL 3");
    map(AREA, page[0], P_P | P_U);
    fine(load, 3, AREA, "read-only page read at CPL 3");
    fault(store, 3, AREA, PFEC_P | PFEC_U | PFEC_W, AREA, "read-only page written at CPL 3");
    fault(store, 0, AREA, PFEC_P | PFEC_W, AREA, "read-only page written at CPL 0 with WP");
    write_cr0(cr0 & ~0x10000ull);
    fine(store, 0, AREA, "read-only page written at CPL 0 without WP");
    fault(store, 3, AREA, PFEC_P | PFEC_U | PFEC_W, AREA, "but not at CPL 3");
    write_cr0(cr0);
    fault(store, 0, AREA, PFEC_P | PFEC_W, AREA, "WP set again");
    map(AREA, page[0], P_P | P_U | P_W);
    *pte_of(AREA, 2) &= ~P_U;
    invlpg(AREA);
    fault(load, 3, AREA, PFEC_P | PFEC_U, AREA, "supervisor by the directory entry");
    *pte_of(AREA, 2) |= P_U;
    *pte_of(AREA, 2) &= ~P_W;
    invlpg(AREA);
    fault(store, 3, AREA, PFEC_P | PFEC_U | PFEC_W, AREA, "read-only by the directory entry");
    *pte_of(AREA, 2) |= P_W;
    invlpg(AREA);
}

static void no_execute(void)
{
    *(u8 *)page[1] = 0xcc;
    map(AREA, page[1], P_P | P_U | P_W | P_NX);
    fault(execute, 3, AREA, PFEC_P | PFEC_U | PFEC_I, AREA, "fetch from an NX page at CPL 3");
    equal(last.rip, AREA, "RIP is the target");
    fault(execute, 0, AREA, PFEC_P | PFEC_I, AREA, "fetch from an NX page at CPL 0");
    map(AREA, page[1], P_P | P_U | P_W);
    in.rbx = AREA;
    run(execute, 3);
    ok(last.vector == BP && last.rip == AREA + 1, "and without NX");
    map(AREA, page[1], P_P | P_W);
    fault(execute, 3, AREA, PFEC_P | PFEC_U | PFEC_I, AREA, "fetch from a supervisor page at CPL 3");
    map(AREA, 0, 0);
    fault(execute, 3, AREA, PFEC_U | PFEC_I, AREA, "fetch, not present");
}

static void reserved_bits(void)
{
    map(AREA, page[0], P_P | P_U | P_W | 1ull << 51);
    fault(load, 3, AREA, PFEC_P | PFEC_U | PFEC_R, AREA, "reserved bit in the page-table entry");
    fault(store, 0, AREA, PFEC_P | PFEC_W | PFEC_R, AREA, "the same for a write at CPL 0");
    map(AREA, page[0], P_P | P_U | P_W);
    *pte_of(AREA + (1 << 21), 2) = P_P | P_U | P_W | P_PS | 1 << 13;
    invlpg(AREA + (1 << 21));
    fault(load, 3, AREA + (1 << 21), PFEC_P | PFEC_U | PFEC_R, AREA + (1 << 21),
          "reserved address bit of a 2 MiB page");
    *pte_of(AREA + (1 << 21), 2) = 0;
    pml4[GIANT >> 39 & 511] = page[3] | P_P | P_W | P_PS;
    fault(load, 0, GIANT, PFEC_P | PFEC_R, GIANT, "PS in the PML4 entry");
    pml4[GIANT >> 39 & 511] = 0;
}

static void accessed_and_dirty(void)
{
    u64 *pte = pte_of(AREA, 1), *pde = pte_of(AREA, 2);

    map(AREA, page[0], P_P | P_W | P_U);
    *pde &= ~P_A;
    invlpg(AREA);
    equal(*pte & (P_A | P_D), 0, "A and D start clear");
    fine(load, 3, AREA, "a read");
    equal(*pte & (P_A | P_D), P_A, "sets A");
    equal(*pde & P_A, P_A, "also in the directory");
    fine(store, 3, AREA, "a write after the read");
    equal(*pte & (P_A | P_D), P_A | P_D, "sets D");
    *pte &= ~P_D;
    invlpg(AREA);
    fine(modify, 3, AREA, "a read-modify-write");
    equal(*pte & P_D, P_D, "sets D again");
    map(AREA, page[0], P_P | P_U);
    in.rbx = AREA;
    run(store, 3);
    equal(*pte & P_D, 0, "a write that faults sets no D");
    *(u8 *)page[1] = 0xcc;
    map(AREA + 4096, page[1], P_P | P_U);
    in.rbx = AREA + 4096;
    run(execute, 3);
    equal(*pte_of(AREA + 4096, 1) & (P_A | P_D), P_A, "a fetch sets A");
}

static void large_pages(void)
{
    u64 *pde = pte_of(AREA + (2 << 21), 2), *pdpte;

    *(u64 *)0x400008 = 0x1122334455667788;
    *pde = 0x400000 | P_P | P_W | P_U | P_PS;
    invlpg(AREA + (2 << 21));
    fine(load, 3, AREA + (2 << 21) + 8, "2 MiB page");
    equal(out.rax, 0x1122334455667788, "reads the right place");
    equal(*pde & (P_A | P_D), P_A, "A in the entry of a 2 MiB page");
    fine(store, 3, AREA + (2 << 21) + 0x1000, "2 MiB page, write");
    equal(*pde & P_D, P_D, "D in the entry of a 2 MiB page");
    if (!HAS_1G) {
        skip("1 GiB page", "not in CPUID");
        return;
    }
    pdpte = pte_of(GIANT, 3);
    *pdpte = P_P | P_W | P_U | P_PS;
    invlpg(GIANT);
    fine(load, 3, GIANT + 0x400008, "1 GiB page");
    equal(out.rax, 0x1122334455667788, "reads the right place");
    equal(*pdpte & (P_A | P_D), P_A, "A in the entry of a 1 GiB page");
    *pdpte = 0;
    invlpg(GIANT);
}

static void smep_and_smap(void)
{
    u64 cr4 = read_cr4();

    *(u8 *)page[1] = 0xcc;
    map(AREA, page[1], P_P | P_U | P_W);
    if (HAS_SMEP) {
        write_cr4(cr4 | 1 << 20);
        fault(execute, 0, AREA, PFEC_P | PFEC_I, AREA, "SMEP: a fetch from a user page at CPL 0");
        in.rbx = AREA;
        run(execute, 3);
        equal(last.vector, BP, "and at CPL 3");
        write_cr4(cr4);
    } else {
        skip("SMEP", "not in CPUID");
    }
    if (!HAS_SMAP) {
        skip("SMAP", "not in CPUID");
        return;
    }
    write_cr4(cr4 | 1 << 21);
    fault(load, 0, AREA, PFEC_P, AREA, "SMAP: a read of a user page at CPL 0");
    fault(store, 0, AREA, PFEC_P | PFEC_W, AREA, "SMAP: a write");
    fine(store_ac, 0, AREA, "SMAP with AC set");
    in.rflags = 0x40002;
    fine(load, 0, AREA, "AC from the start");
    in.rflags = 2;
    fine(store, 3, AREA, "CPL 3 is not concerned");
    write_cr4(cr4);
}

/* What may be cached and what may not. */
static void stale_entries(void)
{
    volatile u64 *there = (volatile u64 *)AREA;

    *(u64 *)page[0] = 100;
    *(u64 *)page[1] = 200;
    map(AREA, page[0], P_P | P_W | P_U);
    equal(*there, 100, "first mapping");
    *pte_of(AREA, 1) = page[1] | P_P | P_W | P_U;
    invlpg(AREA);
    equal(*there, 200, "INVLPG: the new mapping");
    *pte_of(AREA, 1) = page[0] | P_P | P_W | P_U;
    write_cr3(read_cr3());
    equal(*there, 100, "MOV CR3: the new mapping");
    *pte_of(AREA, 1) = page[1] | P_P | P_W | P_U | P_G;
    invlpg(AREA);
    equal(*there, 200, "a global page");
    *pte_of(AREA, 1) = page[0] | P_P | P_W | P_U;
    write_cr4(read_cr4() ^ 0x80);
    write_cr4(read_cr4() ^ 0x80);
    equal(*there, 100, "toggling PGE drops global entries");
    *pte_of(AREA, 1) = 0;
    invlpg(AREA);
    fault(load, 0, AREA, 0, AREA, "unmapped");
    *pte_of(AREA, 1) = page[1] | P_P | P_W | P_U;
    fine(load, 0, AREA, "mapped again without INVLPG: absent entries are not cached");
    equal(out.rax, 200, "reads the page");
    *pte_of(AREA, 1) = page[1] | P_P | P_U;
    invlpg(AREA);
    in.rbx = AREA;
    run(store, 0);
    *pte_of(AREA, 1) = page[1] | P_P | P_U | P_W;
    fine(store, 0, AREA, "made writable after the fault, without INVLPG: the fault dropped the entry");
}

static void crossing(void)
{
    u64 at = AREA + 4096 - 3, *low = (u64 *)(page[0] + 4096 - 8);

    map(AREA, page[0], P_P | P_W | P_U);
    map(AREA + 4096, 0, 0);
    *low = 0x5a5a5a5a5a5a5a5a;
    in.rax = ~0ull;
    fault(store, 3, at, PFEC_W | PFEC_U, AREA + 4096, "write across into a missing page");
    equal(*low, 0x5a5a5a5a5a5a5a5a, "leaves no partial store");
    fault(modify, 3, at, PFEC_W | PFEC_U, AREA + 4096, "read-modify-write across");
    fault(do_xchg, 3, at, PFEC_W | PFEC_U, AREA + 4096, "XCHG across");
    fault(do_movups, 3, at, PFEC_W | PFEC_U, AREA + 4096, "sixteen bytes across");
    equal(*low, 0x5a5a5a5a5a5a5a5a, "leaves no partial store either");
    fault(load, 3, at, PFEC_U, AREA + 4096, "read across");
    map(AREA + 4096, page[1], P_P | P_U);
    fault(store, 3, at, PFEC_P | PFEC_W | PFEC_U, AREA + 4096, "write across into a read-only page");
    equal(*low, 0x5a5a5a5a5a5a5a5a, "leaves no partial store");
    map(AREA, 0, 0);
    fault(store, 3, at, PFEC_W | PFEC_U, at, "both bad: the first page is reported");
    map(AREA, page[1], P_P | P_W | P_U);
    map(AREA + 4096, page[0], P_P | P_W | P_U);
    in.rax = 0x1122334455667788;
    fine(store, 3, at, "write across two good pages");
    ok(*(u8 *)(page[1] + 4095) == 0x66 && *(u8 *)page[0] == 0x55, "each byte in its page");
    fine(load, 3, at, "read across");
    equal(out.rax, 0x1122334455667788, "reads it back");
}

static void stack_faults(void)
{
    map(AREA, 0, 0);
    map(AREA + 4096, page[0], P_P | P_W | P_U);
    in.rsp = AREA + 4096;
    fault(do_push, 3, 0, PFEC_W | PFEC_U, AREA + 4096 - 8, "PUSH into a missing page");
    equal(last.rsp, AREA + 4096, "leaves RSP");
    in.rsp = AREA + 4096;
    fault(do_call, 3, 0, PFEC_W | PFEC_U, AREA + 4096 - 8, "CALL into a missing page");
    ok(last.rsp == AREA + 4096 && last_offset(do_call) == 0, "leaves RSP and RIP");
}

static void fault_at(const u8 *snippet, long offset, long error, u64 cr2, const char *name)
{
    in.rbx = AREA + 4096;
    expect(snippet, 3, PF, error, offset, name);
    equal(last_cr2, cr2, "CR2 of it");
}

/* Faults between pushes and pops: RSP is what the instructions before them have made of it. */
static void stack_in_between(void)
{
    u64 *low = (u64 *)page[0], *high = (u64 *)page[1];
    unsigned i;

    for (i = 0; i < 2; i++) { /* the second time the code is known */
        map(AREA, page[0], P_P | P_W | P_U);
        map(AREA + 4096, 0, 0);
        in.rsp = AREA + 4096;
        in.rax = 0x111;
        in.rcx = 0x222;
        fault_at(pushes, 11, PFEC_U, AREA + 4096, "a load behind three pushes and a pop");
        ok(last.rsp == AREA + 4096 - 16 && last.rdx == 0x111 && last.r8 == 7 && low[511] == 0x111 &&
               low[510] == 0x222 && low[509] == 7,
           "two words are on the stack");
        in.rsp = AREA + 4096 - 16;
        low[510] = 0x333;
        low[511] = 0x444;
        fault_at(pops, 7, PFEC_U, AREA + 4096, "the third pop");
        ok(last.rsp == AREA + 4096 && last.rcx == 0x333 && last.rdx == 0x444 && last.rsi == AREA + 4096 + 8,
           "the first two have popped");
        map(AREA, 0, 0);
        map(AREA + 4096, page[1], P_P | P_W | P_U);
        in.rsp = AREA + 4096 + 16;
        fault_at(push_far, 2, PFEC_W | PFEC_U, AREA + 4096 - 8, "the third push");
        ok(last.rsp == AREA + 4096 && high[1] == in.rax && high[0] == in.rcx, "the first two have pushed");
    }
}

static void repeated(void)
{
    map(AREA, page[0], P_P | P_W | P_U);
    map(AREA + 4096, 0, 0);
    memset((void *)page[0], 7, 4096);
    in.rflags = 2;
    in.rsi = USER_DATA;
    in.rdi = AREA + 4000;
    in.rcx = 1000;
    fault(do_movs, 3, 0, PFEC_W | PFEC_U, AREA + 4096, "REP MOVSB into a missing page");
    ok(last.rcx == 1000 - 96 && last.rdi == AREA + 4096 && last.rsi == USER_DATA + 96,
       "RCX, RSI and RDI are exact");
    memset((void *)page[0], 7, 4096);
    in.rdi = AREA + 4096 - 20;
    in.rcx = 10;
    in.rax = 0x0123456789abcdef;
    fault(do_stos, 3, 0, PFEC_W | PFEC_U, AREA + 4096, "REP STOSQ, the third one across");
    ok(last.rcx == 8 && last.rdi == AREA + 4096 - 4, "stops before it");
    equal(*(u32 *)(page[0] + 4092), 0x07070707, "and stores nothing of it");
    in.rsi = AREA + 4096 - 16;
    in.rdi = USER_DATA;
    in.rcx = 5;
    fault(do_movsq, 3, 0, PFEC_U, AREA + 4096, "REP MOVSQ from a missing page");
    ok(last.rcx == 3 && last.rsi == AREA + 4096 && last.rdi == USER_DATA + 16, "RCX, RSI and RDI are exact");
    in.rflags = 0x402;
    in.rdi = AREA + 10;
    in.rcx = 100;
    map(AREA - 4096, 0, 0);
    fault(do_stosb, 3, 0, PFEC_W | PFEC_U, AREA - 1, "REP STOSB downwards");
    ok(last.rcx == 89 && last.rdi == AREA - 1, "RCX and RDI are exact");
    in.rflags = 2;
    memset((void *)page[0], 7, 4096);
    in.rax = 1;
    in.rdi = AREA + 4090;
    in.rcx = 100;
    fault(do_scas, 3, 0, PFEC_U, AREA + 4096, "REPNE SCASB into a missing page");
    ok(last.rcx == 94 && last.rdi == AREA + 4096, "RCX and RDI are exact");
}

static void pcid(void)
{
    struct {
        u64 pcid, address;
    } descriptor = {2, AREA};
    volatile u64 *there = (volatile u64 *)AREA;
    u64 cr3 = read_cr3(), cr4 = read_cr4();

    if (!HAS_PCID) {
        skip("PCID", "not in CPUID");
        return;
    }
    write_cr4(cr4 | 1 << 17);
    *(u64 *)page[0] = 100;
    *(u64 *)page[1] = 200;
    *pte_of(AREA, 1) = page[0] | P_P | P_W;
    write_cr3(cr3 | 1);
    equal(*there, 100, "PCID 1");
    write_cr3(cr3 | 2);
    equal(*there, 100, "PCID 2");
    *pte_of(AREA, 1) = page[1] | P_P | P_W;
    write_cr3(cr3 | 2);
    equal(*there, 200, "MOV CR3 without bit 63 flushes that PCID");
    write_cr3(cr3 | 1 | 1ull << 63);
    invlpg(AREA);
    equal(*there, 200, "INVLPG flushes the current PCID");
    equal(read_cr3(), cr3 | 1, "bit 63 is not kept");
    if (HAS_INVPCID) {
        *pte_of(AREA, 1) = page[0] | P_P | P_W;
        __asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"(0ull) : "memory");
        write_cr3(cr3 | 2 | 1ull << 63);
        equal(*there, 100, "INVPCID of one address");
        *pte_of(AREA, 1) = page[1] | P_P | P_W;
        __asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"(2ull) : "memory");
        equal(*there, 200, "INVPCID of everything");
    }
    write_cr3(cr3);
    write_cr4(cr4);
}

void test_main(void)
{
    unsigned i;

    for (i = 0; i < 4; i++)
        page[i] = page_alloc();
    not_present();
    protection();
    no_execute();
    reserved_bits();
    accessed_and_dirty();
    large_pages();
    smep_and_smap();
    stale_entries();
    crossing();
    stack_faults();
    stack_in_between();
    repeated();
    pcid();
}
