/*
 * paging.c - 32-bit paging with 4 KiB and 4 MiB pages (PSE, PSE-36), PAE with NX and its PDPTEs, no paging:
 * rights, error codes, A and D bits, reserved bits, global pages and INVLPG, accesses across pages.
 */
#include "rt.h"

#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define EFER 0xc0000080u
#define TEST 0x40000000u /* linear; its tables are the ones that change */
#define FRAME 0x600000u  /* where it leads */

static _Alignas(4096) u32 directory[1024], table[1024];
static _Alignas(4096) u64 pdpt[512], pae_directory[2][512], pae_table[512];
static u32 cr0, cr4;

static void two_level(void)
{
    unsigned i;

    for (i = 0; i < 1024; i++) {
        directory[i] = i < 16 ? i << 22 | PS | P | W | U : 0;
        table[i] = (FRAME + (i << 12)) | P | W | U;
    }
    directory[TEST >> 22] = (u32)table | P | W | U;
    write_cr4(cr4 | CR4_PSE);
    write_cr3((u32)directory);
    write_cr0((cr0 & ~CR0_WP) | CR0_PG);
}

static void pae(void)
{
    unsigned i;

    for (i = 0; i < 512; i++) {
        pae_directory[0][i] = i < 32 ? (u64)i << 21 | PS | P | W | U : 0;
        pae_directory[1][i] = 0;
        pae_table[i] = (FRAME + (i << 12)) | P | W | U;
    }
    pae_directory[1][0] = (u32)pae_table | P | W | U;
    pdpt[0] = (u32)pae_directory[0] | P;
    pdpt[1] = (u32)pae_directory[1] | P;
    pdpt[2] = pdpt[3] = 0;
    write_cr4(cr4 | CR4_PAE);
    write_cr3((u32)pdpt);
    write_cr0((cr0 & ~CR0_WP) | CR0_PG);
}

static void off(void)
{
    write_cr0(cr0);
    write_cr4(cr4);
}

static void reload(void)
{
    write_cr3(read_cr3());
}

/* mov eax, [ebx] or mov [ebx], eax at level cpl */
static void touch(unsigned cpl, u32 linear, bool write)
{
    flat(cpl);
    in.ebx = linear;
    in.eax = 0x5a5a5a5a;
    RUN(write ? 0x89 : 0x8b, 0x03);
}

static void fault(u32 error, u32 linear, const char *name)
{
    ended(PF, error, name);
    equal(last_cr2, linear, "  CR2");
    equal(last.eip, CODE, "  at the instruction");
}

struct right {
    const char *name;
    u8 pde, pte; /* of P W U */
    u8 cpl;
    bool wp, write;
    u8 vector, error;
};

static const struct right rights[] = {
    {"supervisor reads a supervisor page", P | W, P, 0, false, false, BP, 0},
    {"supervisor writes a read-only page without WP", P | W, P, 0, false, true, BP, 0},
    {"supervisor writes a read-only page with WP", P | W, P, 0, true, true, PF, 3},
    {"supervisor writes below a read-only directory entry with WP", P, P | W, 0, true, true, PF, 3},
    {"supervisor writes a writable page with WP", P | W, P | W, 0, true, true, BP, 0},
    {"user reads a user page", P | U, P | U, 3, false, false, BP, 0},
    {"user reads a supervisor page", P | W | U, P | W, 3, false, false, PF, 5},
    {"user reads below a supervisor directory entry", P | W, P | W | U, 3, false, false, PF, 5},
    {"user writes a read-only page", P | W | U, P | U, 3, false, true, PF, 7},
    {"user writes below a read-only directory entry", P | U, P | W | U, 3, false, true, PF, 7},
    {"user writes a writable page", P | W | U, P | W | U, 3, false, true, BP, 0},
    {"user reads a page that is not present", P | W | U, W | U, 3, false, false, PF, 4},
    {"user writes below an absent directory entry", W | U, P | W | U, 3, false, true, PF, 6},
    {"supervisor reads a page that is not present", P | W, 0, 0, false, false, PF, 0},
};

static void check_rights(bool wide)
{
    unsigned i;

    for (i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        const struct right *r = &rights[i];
        u32 pde = wide ? (u32)pae_table : (u32)table, entry;

        if (wide) {
            pae_directory[1][0] = pde | r->pde;
            pae_table[1] = (FRAME + 0x1000) | r->pte;
        } else {
            directory[TEST >> 22] = pde | r->pde;
            table[1] = (FRAME + 0x1000) | r->pte;
        }
        write_cr0(r->wp ? read_cr0() | CR0_WP : read_cr0() & ~CR0_WP);
        reload();
        touch(r->cpl, TEST + 0x1008, r->write);
        entry = wide ? (u32)pae_table[1] : table[1];
        if (r->vector == PF) {
            fault(r->error, TEST + 0x1008, r->name);
            equal(entry & (ACCESSED | DIRTY), 0, "  neither A nor D is set");
        } else {
            ended(BP, DONT_CARE, r->name);
            equal(entry & (ACCESSED | DIRTY), ACCESSED | (r->write ? DIRTY : 0), "  A and D");
            entry = wide ? (u32)pae_directory[1][0] : directory[TEST >> 22];
            equal(entry & (ACCESSED | DIRTY), ACCESSED, "  A of the directory entry");
        }
    }
    write_cr0(read_cr0() & ~CR0_WP);
    if (wide)
        pae_directory[1][0] = (u32)pae_table | P | W | U;
    else
        directory[TEST >> 22] = (u32)table | P | W | U;
    reload();
}

/* Four bytes across two pages, the second of which faults: nothing is written. */
static void across(bool wide)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (wide) {
            pae_table[2] = (FRAME + 0x5000) | P | W | U;
            pae_table[3] = i ? 0 : (FRAME + 0x2000) | P | W | U;
        } else {
            table[2] = (FRAME + 0x5000) | P | W | U;
            table[3] = i ? 0 : (FRAME + 0x2000) | P | W | U;
        }
        reload();
        w32(FRAME + 0x5ffc, 0x11111111);
        w32(FRAME + 0x2000, 0x22222222);
        touch(3, TEST + 0x2ffe, true);
        if (i) {
            fault(6, TEST + 0x3000, "a store across pages, the second of which is absent");
            equal(r32(FRAME + 0x5ffc), 0x11111111, "  stores nothing");
        } else {
            ended(BP, DONT_CARE, "a store across pages that are not neighbours");
            equal(r32(FRAME + 0x5ffc), 0x5a5a1111, "  the first half");
            equal(r32(FRAME + 0x2000), 0x22225a5a, "  the second half");
        }
    }
}

static void large_pages(void)
{
    two_level();
    directory[TEST >> 22] = 0x00800000 | PS | P | W | U;
    reload();
    w32(0x800010, 0xfeedface);
    touch(3, TEST + 0x10, false);
    ended(BP, DONT_CARE, "a 4 MiB page");
    equal(last.eax, 0xfeedface, "  leads where it should");
    touch(3, TEST + 0x3ffffc, true);
    equal(r32(0xbffffc), 0x5a5a5a5a, "  up to its end");
    ok(directory[TEST >> 22] & DIRTY, "  D is set in the directory entry");
    directory[TEST >> 22] = 0x00800000 | PS | 1u << 21 | P | W | U;
    reload();
    touch(3, TEST, false);
    fault(0xd, TEST, "bit 21 of a 4 MiB entry is reserved");
    directory[TEST >> 22] = 0x00800000 | PS | 1u << 12 | P | W | U; /* PAT */
    reload();
    touch(3, TEST + 0x10, false);
    ended(BP, DONT_CARE, "bit 12 of a 4 MiB entry is PAT");
    directory[TEST >> 22] = 0x00800000 | PS | 1u << 13 | P | W | U;
    reload();
    touch(3, TEST + 0x10, false);
    ended(BP, DONT_CARE, "PSE-36: bit 13 is bit 32 of the address");
    ok(last.eax != 0xfeedface, "  where there is no memory");
    off();
}

static void no_pse(void)
{
    static _Alignas(4096) u32 low[1024];
    unsigned i;

    for (i = 0; i < 1024; i++)
        low[i] = i << 12 | P | W | U;
    w32(FRAME + 0x1010, 0x0badcafe);
    two_level();
    directory[0] = (u32)low | P | W | U;
    directory[TEST >> 22] = ((u32)table) | PS | P | W | U;
    write_cr4(read_cr4() & ~CR4_PSE);
    reload();
    touch(3, TEST + 0x1010, false);
    ended(BP, DONT_CARE, "without CR4.PSE the PS bit is ignored");
    equal(last.eax, 0x0badcafe, "  the entry leads to a table");
    off();
}

/* A global page stays over a CR3 load, not over INVLPG, nor over CR4.PGE. */
static void global_pages(void)
{
    two_level();
    write_cr4(read_cr4() | CR4_PGE);
    table[4] = (FRAME + 0x4000) | P | W | U | G;
    reload();
    w32(FRAME + 0x4000, 0x44444444);
    w32(FRAME + 0x5000, 0x55555555);
    equal(r32(TEST + 0x4000), 0x44444444, "a global page");
    table[4] = (FRAME + 0x5000) | P | W | U | G;
    invlpg(TEST + 0x4000);
    equal(r32(TEST + 0x4000), 0x55555555, "  INVLPG drops it");
    table[4] = (FRAME + 0x4000) | P | W | U | G;
    write_cr4(read_cr4() & ~CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    equal(r32(TEST + 0x4000), 0x44444444, "  so does a change of CR4.PGE");
    table[4] = (FRAME + 0x5000) | P | W | U;
    write_cr4(read_cr4() & ~CR4_PGE);
    reload();
    equal(r32(TEST + 0x4000), 0x55555555, "a page that is not global: a CR3 load drops it");
    off();
}

static void pae_only(void)
{
    pae();
    check_rights(true);
    across(true);
    pae_table[1] = (u64)(FRAME + 0x1000) | P | W | U | 1ull << 62;
    reload();
    touch(3, TEST + 0x1000, false);
    fault(0xd, TEST + 0x1000, "PAE: bit 62 is reserved");
}

static void pae_no_execute(void)
{
    u64 efer = rdmsr(EFER);

    pae_table[1] = (u64)(FRAME + 0x1000) | P | W | U | 1ull << 63;
    reload();
    touch(0, TEST + 0x1000, false);
    fault(9, TEST + 0x1000, "PAE: bit 63 is reserved without EFER.NXE");
    wrmsr(EFER, efer | 0x800);
    reload();
    touch(3, TEST + 0x1000, false);
    ended(BP, DONT_CARE, "PAE with NXE: a page with NX can be read");
    w8(FRAME + 0x1000, 0xcc);
    flat(3);
    in.eip = TEST + 0x1000;
    run();
    ended(PF, 0x15, "  not executed: the error code has I/D");
    equal(last_cr2, TEST + 0x1000, "  CR2");
    pae_table[1] = (u64)(FRAME + 0x1000) | P | W | U;
    reload();
    flat(3);
    in.eip = TEST + 0x1000;
    run();
    ended(BP, DONT_CARE, "  without NX it runs");
    pae_table[1] = 0;
    reload();
    flat(3);
    in.eip = TEST + 0x1000;
    run();
    ended(PF, 0x14, "  a fetch from an absent page");
    pae_table[1] = (FRAME + 0x1000) | P | W | U;
    wrmsr(EFER, efer);
}

static void pae_large(void)
{
    pae_directory[1][1] = 0x800000ull | PS | P | W | U;
    reload();
    w32(0x9ffffc, 0x600d600d);
    touch(3, TEST + 0x3ffffc, false);
    equal(last.eax, 0x600d600d, "PAE: a 2 MiB page");
    pae_directory[1][1] = 0x800000ull | PS | 1u << 13 | P | W | U;
    reload();
    touch(3, TEST + 0x200000, false);
    fault(0xd, TEST + 0x200000, "PAE: bit 13 of a 2 MiB entry is reserved");
}

static void pae_pdptes(void)
{
    touch(3, 0xc0000000, false);
    fault(4, 0xc0000000, "PAE: a PDPTE that is not present");
    /* PDPTEs are read when CR3 is loaded, and only then */
    pdpt[3] = (u32)pae_directory[1] | P;
    pae_directory[1][0] = (u32)pae_table | P | W | U;
    pae_table[0] = FRAME | P | W | U;
    touch(3, 0xc0000000, false);
    fault(4, 0xc0000000, "  a change of it in memory does not count");
    reload();
    touch(3, 0xc0000000, false);
    ended(BP, DONT_CARE, "  before CR3 is loaded");
    pdpt[3] |= U; /* reserved */
    flat(0);
    in.eax = read_cr3();
    RUN(0x0f, 0x22, 0xd8);
    ended(GP, 0, "PAE: a reserved bit of a PDPTE gives #GP when CR3 is loaded");
    pdpt[3] = 0;
    off();
    /* the same when paging is switched on */
    pdpt[2] = 1ull << 5 | P;
    write_cr4(cr4 | CR4_PAE);
    write_cr3((u32)pdpt);
    flat(0);
    in.eax = cr0 | CR0_PG;
    RUN(0x0f, 0x22, 0xc0);
    ended(GP, 0, "PAE: a bad PDPTE gives #GP when paging is switched on");
    off();
}

static bool has7(unsigned bit)
{
    u32 r[4];

    cpuid(7, r);
    return r[1] >> bit & 1;
}

static void supervisor_protection(void)
{
    two_level();
    if (has7(7)) {
        w8(FRAME + 0x1000, 0xcc);
        table[1] = (FRAME + 0x1000) | P | W | U;
        directory[0] &= ~U; /* this code itself */
        reload();
        write_cr4(read_cr4() | CR4_SMEP);
        flat(0);
        in.eip = TEST + 0x1000;
        run();
        ended(PF, 0x11, "SMEP: the supervisor executes a user page");
        write_cr4(read_cr4() & ~CR4_SMEP);
        directory[0] |= U;
        reload();
    } else {
        skip("SMEP", "the CPU has none");
    }
    if (has7(20)) {
        unsigned i;

        for (i = 0; i < 16; i++)
            directory[i] &= ~U;
        reload();
        write_cr4(read_cr4() | CR4_SMAP);
        touch(0, TEST + 0x1000, false);
        ended(PF, 1, "SMAP: the supervisor reads a user page");
        flat(0);
        in.ebx = TEST + 0x1000;
        RUN(0x0f, 0x01, 0xcb, 0x8b, 0x03, 0x0f, 0x01, 0xca); /* stac; mov; clac */
        ended(BP, DONT_CARE, "SMAP: with AC set it may");
        write_cr4(read_cr4() & ~CR4_SMAP);
    } else {
        skip("SMAP", "the CPU has none");
    }
    off();
}

/* REP MOVSB that faults in the middle, and goes on after the page is there. */
static void repeat(void)
{
    two_level();
    table[6] = (FRAME + 0x6000) | P | W | U;
    table[7] = 0;
    reload();
    memset((void *)(FRAME + 0x6000), 0, 0x2000);
    memset((void *)DATA, 0xab, 64);
    flat(3);
    in.esi = DATA;
    in.edi = TEST + 0x6ff0;
    in.ecx = 64;
    RUN(0xf3, 0xa4);
    fault(6, TEST + 0x7000, "REP MOVSB into an absent page");
    equal(last.ecx, 48, "  ECX");
    equal(last.esi, DATA + 16, "  ESI");
    equal(last.edi, TEST + 0x7000, "  EDI");
    equal(r8(FRAME + 0x6fff), 0xab, "  what came before is there");
    table[7] = (FRAME + 0x7000) | P | W | U;
    reload();
    in = last;
    run();
    ended(BP, DONT_CARE, "  it goes on where it was");
    equal(last.ecx, 0, "  to the end");
    equal(r8(FRAME + 0x702f), 0xab, "  of the string");
    off();
}

/* The stack of the handler is read and written by the supervisor; and user stacks by the user. */
static void stacks(void)
{
    two_level();
    table[8] = (FRAME + 0x8000) | P | U; /* read-only */
    reload();
    flat(3);
    in.esp = TEST + 0x8800;
    RUN(0x50);
    fault(7, TEST + 0x87fc, "PUSH to a read-only page");
    equal(last.esp, TEST + 0x8800, "  leaves ESP");
    flat(3);
    in.esp = TEST + 0x8800;
    RUN(0xe8, LE32(0x100));
    fault(7, TEST + 0x87fc, "CALL with a read-only stack");
    flat(3);
    in.esp = TEST + 0x9002;
    table[9] = (FRAME + 0x9000) | P | W | U;
    reload();
    RUN(0x60);
    ended(PF, 7, "PUSHA across into a read-only page");
    equal(last.esp, TEST + 0x9002, "  leaves ESP");
    off();
}

void test_main(void)
{
    cr0 = read_cr0();
    cr4 = read_cr4();
    two_level();
    check_rights(false);
    across(false);
    off();
    large_pages();
    no_pse();
    global_pages();
    pae_only();
    pae_no_execute();
    pae_large();
    pae_pdptes();
    supervisor_protection();
    repeat();
    stacks();
}
