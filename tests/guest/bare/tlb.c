/*
 * tlb.c - the finer rules of paging: PCID and INVPCID, each permission bit at each level, NX without EFER.NXE,
 * accesses that fault in their second half in every width, instructions with two operands, REP in the middle
 * (SDM vol. 3, 4.5, 4.6, 4.10; vol. 2, INVPCID).
 */
#include "rt.h"

SNIPPET(load, "mov (%rbx), %rax");
SNIPPET(store, "mov %rax, (%rbx)");
SNIPPET(execute, "jmp *%rbx");
SNIPPET(set_cr3, "mov %rax, %cr3");
SNIPPET(set_cr4, "mov %rax, %cr4");
SNIPPET(do_invpcid, "invpcid (%rbx), %rax");
SNIPPET(store2, "movw %ax, (%rbx)");
SNIPPET(store4, "movl %eax, (%rbx)");
SNIPPET(store8, "movq %rax, (%rbx)");
SNIPPET(store10, "fldz\nfstpt (%rbx)");
SNIPPET(store16, "movups %xmm0, (%rbx)");
SNIPPET(locked, "lock xadd %rax, (%rbx)");
SNIPPET(exchange, "xchg %rax, (%rbx)");
SNIPPET(compare, "cmpxchg %rcx, (%rbx)");
SNIPPET(wide_compare, "lock cmpxchg16b (%rbx)");
SNIPPET(bits, "bts %rax, (%rbx)");
SNIPPET(pop_there, "popq (%rbx)");
SNIPPET(push_there, "pushq (%rbx)");
SNIPPET(call_there, "call *(%rbx)");
SNIPPET(do_ret, "ret");
SNIPPET(do_leave, "leave");
SNIPPET(do_enter, "enter $16, $0");
SNIPPET(do_cmps, "repe cmpsb");
SNIPPET(do_lods, "rep lodsw");
SNIPPET(movs_down, "std\nrep movsq\ncld");
SNIPPET(do_setcc, "setc (%rbx)");

SNIPPET(far_up, "mov 0x7fffffff(%rbx), %rax\nmov (%rbx), %rcx");
SNIPPET(far_down, "mov -0x80000000(%rbx), %rax\nmov -0x80000000(%rbx), %cl");

#define AREA (HALF + 0x50000000ull)

static u64 page[4];

static void fault(const u8 *snippet, unsigned cpl, u64 address, long error, u64 cr2, const char *name)
{
    in.rbx = address;
    expect(snippet, cpl, PF, error, snippet == execute ? -1 : 0, name);
    equal(last_cr2, cr2, "CR2 of it");
}

static void fine(const u8 *snippet, unsigned cpl, u64 address, const char *name)
{
    in.rbx = address;
    expect(snippet, cpl, BP, -1, -1, name);
}

/* U/S, R/W and NX are those of all levels together. */
static void every_level(void)
{
    static const char *const us[] = {NULL, NULL, "U/S of the directory", "U/S of the PDPTE", "U/S of the PML4E"};
    static const char *const rw[] = {NULL, NULL, "R/W of the directory", "R/W of the PDPTE", "R/W of the PML4E"};
    static const char *const nx[] = {NULL, NULL, "NX of the directory", "NX of the PDPTE", "NX of the PML4E"};
    u64 own = 0x480000000000 + AREA; /* tables of its own, up to the PML4E */
    unsigned level;

    *(u8 *)page[1] = 0xcc;
    map(own, page[1], P_P | P_U | P_W);
    for (level = 2; level <= 4; level++) {
        u64 *entry = pte_of(own, level), old = *entry;

        *entry = old & ~P_U;
        write_cr3(read_cr3());
        fault(load, 3, own, PFEC_P | PFEC_U, own, us[level]);
        *entry = old & ~P_W;
        write_cr3(read_cr3());
        fault(store, 3, own, PFEC_P | PFEC_U | PFEC_W, own, rw[level]);
        fine(load, 3, own, "reading is allowed");
        *entry = old | P_NX;
        write_cr3(read_cr3());
        fault(execute, 3, own, PFEC_P | PFEC_U | PFEC_I, own, nx[level]);
        *entry = old & ~P_A;
        write_cr3(read_cr3());
        fine(load, 3, own, "a walk");
        equal(*entry & P_A, P_A, "sets A at this level");
        *entry = old | 1ull << 51;
        write_cr3(read_cr3());
        fault(load, 3, own, PFEC_P | PFEC_U | PFEC_R, own, "a reserved bit at this level");
        *entry = 0;
        write_cr3(read_cr3());
        fault(load, 3, own, PFEC_U, own, "not present at this level");
        *entry = old;
        write_cr3(read_cr3());
    }
}

static void no_execute_disable(void)
{
    u64 efer = rdmsr(0xc0000080);

    map(AREA, page[0], P_P | P_W | P_NX);
    wrmsr(0xc0000080, efer & ~0x800ull);
    invlpg(AREA);
    fault(load, 0, AREA, PFEC_P | PFEC_R, AREA, "NX without EFER.NXE is a reserved bit");
    map(AREA, page[0], P_P | P_W);
    fine(load, 0, AREA, "and nothing else");
    wrmsr(0xc0000080, efer);
    map(AREA, page[0], P_P | P_W | P_NX);
    fine(load, 0, AREA, "with NXE again");
}

static void invpcid(u64 type, u64 pcid, u64 address, unsigned cpl, unsigned vector, const char *name)
{
    u64 *descriptor = (u64 *)USER_DATA;

    descriptor[0] = pcid;
    descriptor[1] = address;
    in.rbx = USER_DATA;
    in.rax = type;
    expect(do_invpcid, cpl, vector, vector == GP ? 0 : -1, vector == BP ? -1 : 0, name);
}

static void bad_invpcids(void)
{
    invpcid(0, 1, 1ull << 60, 0, GP, "INVPCID type 0 of an address that is not canonical");
    invpcid(1, 1, 1ull << 60, 0, BP, "INVPCID type 1 ignores the address");
    invpcid(4, 1, 0, 0, GP, "INVPCID type 4");
    invpcid(~0ull, 1, 0, 0, GP, "INVPCID type -1");
    invpcid(0, 1 << 12, 0, 0, GP, "INVPCID: a reserved bit of the descriptor");
    invpcid(2, 1ull << 63, 0, 0, GP, "INVPCID type 2 looks at reserved bits, too");
    invpcid(2, 0, 0, 3, GP, "INVPCID at CPL 3");
    in.rbx = 0x123456789000;
    in.rax = 2;
    expect(do_invpcid, 0, PF, 0, 0, "INVPCID with a missing descriptor");
}

/* What each type must drop. */
static void invpcid_types(void)
{
    volatile u64 *there = (volatile u64 *)AREA;
    u64 cr3 = read_cr3();
    unsigned type;

    for (type = 0; type < 4; type++) {
        *pte_of(AREA, 1) = page[0] | P_P | P_W | (type == 2 ? P_G : 0);
        write_cr3(cr3 | 5);
        equal(*there, 100, "PCID 5 has the first page");
        write_cr3(cr3 | 6);
        *pte_of(AREA, 1) = page[1] | P_P | P_W | (type == 2 ? P_G : 0);
        invpcid(type, 5, AREA, 0, BP, "INVPCID from PCID 6");
        write_cr3(cr3 | 5 | 1ull << 63);
        equal(*there, 200, "and PCID 5 has the second");
        write_cr3(cr3);
        invlpg(AREA);
    }
}

static void pcids(void)
{
    u64 cr3 = read_cr3(), cr4 = read_cr4();

    if (!HAS_PCID || !HAS_INVPCID) {
        skip("PCID and INVPCID", "not in CPUID");
        return;
    }
    *(u64 *)page[0] = 100;
    *(u64 *)page[1] = 200;
    map(AREA, page[0], P_P | P_W);
    in.rax = cr3 | 1ull << 63;
    expect(set_cr3, 0, GP, 0, 0, "CR3 bit 63 without PCIDE");
    write_cr3(cr3 | 0x18); /* PCD and PWT */
    in.rax = cr4 | 1 << 17;
    expect(set_cr4, 0, GP, 0, 0, "PCIDE set while CR3 has low bits");
    write_cr3(cr3);
    invpcid(0, 1, AREA, 0, GP, "INVPCID type 0 of PCID 1 without PCIDE");
    invpcid(1, 1, AREA, 0, GP, "INVPCID type 1 of PCID 1 without PCIDE");
    invpcid(1, 0, AREA, 0, BP, "INVPCID of PCID 0 without PCIDE");
    write_cr4(cr4 | 1 << 17);
    bad_invpcids();
    invpcid_types();
    write_cr3(cr3);
    write_cr4(cr4);
    fine(load, 0, AREA, "PCIDE off again");
}

/* Stores of every width across into a page that is missing or read-only: whole or not at all. */
static void partial_stores(void)
{
    static const struct {
        const u8 *snippet;
        unsigned size;
        const char *name;
    } rows[] = {{store2, 2, "2 bytes"},         {store4, 4, "4 bytes"},    {store8, 8, "8 bytes"},
                {store10, 10, "10 bytes"},      {store16, 16, "16 bytes"}, {locked, 8, "LOCK XADD"},
                {exchange, 8, "XCHG"},          {compare, 8, "CMPXCHG"},   {bits, 8, "BTS"},
                {pop_there, 8, "POP of memory"}};
    unsigned i, before, kind;

    for (kind = 0; kind < 2; kind++)
        for (i = 0; i < sizeof rows / sizeof *rows; i++)
            for (before = 1; before<rows[i].size; before += rows[i].size> 8 ? 4 : 1) {
                bool good;

                map(AREA, page[0], P_P | P_W | P_U);
                map(AREA + 4096, kind ? page[1] : 0, kind ? P_P | P_U : 0);
                memset((void *)(page[0] + 4096 - 32), 0x5a, 32);
                in.rbx = AREA + 4096 - before;
                in.rax = rows[i].snippet == bits ? 1 : 0x0102030405060708;
                run(rows[i].snippet, 3);
                good = last.vector == PF && last_cr2 == AREA + 4096;
                good &= last.error == (kind ? PFEC_P | PFEC_W | PFEC_U : PFEC_W | PFEC_U);
                good &= *(u64 *)(page[0] + 4096 - 8) == 0x5a5a5a5a5a5a5a5a;
                good &= *(u64 *)(page[0] + 4096 - 16) == 0x5a5a5a5a5a5a5a5a;
                if (!good || before == 1)
                    ok(good, rows[i].name);
            }
}

static void read_only_updates(void)
{
    map(AREA, page[0], P_P | P_U);
    *(u64 *)page[0] = 7;
    in.rax = 8; /* not equal */
    fault(compare, 3, AREA, PFEC_P | PFEC_W | PFEC_U, AREA, "CMPXCHG that does not match still writes");
    in.rax = 8;
    fault(wide_compare, 3, AREA, PFEC_P | PFEC_W | PFEC_U, AREA, "and so does CMPXCHG16B");
    in.rbx = AREA;
    fault(do_setcc, 3, AREA, PFEC_P | PFEC_W | PFEC_U, AREA, "SETC");
}

/* RSP, RBP and memory are as before when the second operand faults. */
static void two_operands(void)
{
    u64 stack = USER_STACK - 256;

    map(AREA, 0, 0);
    in.rsp = stack;
    fault(pop_there, 3, AREA, PFEC_W | PFEC_U, AREA, "POP to a missing page");
    equal(last.rsp, stack, "leaves RSP");
    in.rsp = stack;
    fault(push_there, 3, AREA, PFEC_U, AREA, "PUSH from a missing page");
    equal(last.rsp, stack, "leaves RSP");
    *(u64 *)(stack - 8) = 0x1234;
    in.rsp = stack;
    fault(call_there, 3, AREA, PFEC_U, AREA, "CALL through a missing page");
    ok(last.rsp == stack && *(u64 *)(stack - 8) == 0x1234, "leaves RSP and the stack");
    in.rsp = AREA + 8;
    fault(do_ret, 3, 0, PFEC_U, AREA + 8, "RET from a missing page");
    equal(last.rsp, AREA + 8, "leaves RSP");
    in.rsp = stack;
    in.rbp = AREA;
    fault(do_leave, 3, 0, PFEC_U, AREA, "LEAVE with RBP in a missing page");
    ok(last.rsp == stack && last.rbp == AREA, "leaves RSP and RBP");
    in.rsp = AREA + 4096;
    in.rbp = 77;
    fault(do_enter, 3, 0, PFEC_W | PFEC_U, AREA + 4096 - 8, "ENTER on a missing page");
    ok(last.rsp == AREA + 4096 && last.rbp == 77, "leaves RSP and RBP");
}

static void repeats(void)
{
    map(AREA, page[0], P_P | P_W | P_U);
    map(AREA + 4096, 0, 0);
    memset((void *)page[0], 7, 4096);
    memset((void *)USER_DATA, 7, 4096);
    in.rsi = USER_DATA;
    in.rdi = AREA + 4096 - 10;
    in.rcx = 100;
    fault(do_cmps, 3, 0, PFEC_U, AREA + 4096, "REPE CMPSB into a missing page");
    ok(last.rcx == 90 && last.rdi == AREA + 4096 && last.rsi == USER_DATA + 10, "RCX, RSI and RDI are exact");
    in.rsi = AREA + 4096 - 7;
    in.rcx = 100;
    fault(do_lods, 3, 0, PFEC_U, AREA + 4096, "REP LODSW, the fourth one across");
    ok(last.rcx == 97 && last.rsi == AREA + 4096 - 1 && (last.rax & 0xffff) == 0x0707,
       "RCX, RSI and RAX are exact");
    map(AREA, 0, 0);
    map(AREA + 4096, page[1], P_P | P_W | P_U);
    in.rsi = AREA + 4096 + 20;
    in.rdi = USER_DATA + 2048;
    in.rcx = 50;
    in.rbx = 0;
    expect(movs_down, 3, PF, PFEC_U, 1, "REP MOVSQ downwards");
    ok(last.rcx == 47 && last.rsi == AREA + 4096 - 4 && last.rdi == USER_DATA + 2048 - 24 &&
           last_cr2 == AREA + 4096 - 4,
       "RCX, RSI, RDI and CR2 are exact");
    ok(last.rflags & 0x400, "DF is still set");
}

/* Displacements at the ends of their range, beside another access through the same register. */
static void far_displacements(void)
{
    fault(far_up, 3, USER_DATA, PFEC_U, USER_DATA + 0x7fffffff, "a load 2 GiB above its base");
    map(AREA, page[0], P_P | P_W | P_U);
    *(u64 *)page[0] = 0x1122334455667788;
    fine(far_down, 3, AREA + 0x80000000, "a load 2 GiB below its base");
    equal(last.rax, 0x1122334455667788, "reads what is there");
}

void test_main(void)
{
    unsigned i;

    for (i = 0; i < 4; i++)
        page[i] = page_alloc();
    every_level();
    no_execute_disable();
    pcids();
    partial_stores();
    read_only_updates();
    two_operands();
    repeats();
    far_displacements();
}
