/*
 * supervisor.c - the supervisor's own pages as a TLB may hold them: runs of them, large ones, global ones, A and
 * D, code in them; and at random, against a model.
 */
#include "rt.h"

#define TEST 0x40000000u /* linear; its tables are the ones that change */
#define FRAME 0x600000u  /* where it leads: FRAMES pages */
#define FRAMES 512u
#define PAGES 1024u

static _Alignas(4096) volatile u32 directory[1024], tables[8][1024]; /* the processor writes to them, too */
static u32 cr0, cr4;

/* Low memory in 4 MiB pages, TEST in 4 KiB pages of the frames, one after another; nothing is the user's. */
static void paging(void)
{
    unsigned i;

    for (i = 0; i < 1024; i++)
        directory[i] = i < 16 ? i << 22 | PS | P | W | G : 0;
    for (i = 0; i < 8 * 1024; i++)
        tables[i / 1024][i % 1024] = (FRAME + (i % FRAMES << 12)) | P | W;
    for (i = 0; i < 8; i++)
        directory[(TEST >> 22) + i] = (u32)tables[i] | P | W;
    write_cr4(cr4 | CR4_PSE | CR4_PGE);
    write_cr3((u32)directory);
    write_cr0(cr0 | CR0_WP | CR0_PG);
}

static void off(void)
{
    write_cr0(cr0);
    write_cr4(cr4);
}

static void fill_frames(void)
{
    unsigned i;

    for (i = 0; i < FRAMES; i++)
        w32(FRAME + (i << 12) + 8, 0xf0000000 | i);
}

/* Vector that a load or a store of EAX at the address ends with. */
static unsigned touch(u32 linear, bool write)
{
    flat(0);
    in.ebx = linear;
    in.eax = 0x5a5a5a5a;
    return RUN(write ? 0x89 : 0x8b, 0x03);
}

static void runs(void)
{
    unsigned i, wrong = 0;

    paging();
    fill_frames();
    tables[0][100] = (FRAME + (7 << 12)) | P | W;
    tables[0][200] = (FRAME + (200 << 12)) | P;
    tables[0][300] = 0;
    write_cr3(read_cr3());
    for (i = 0; i < PAGES; i++)
        if (i != 300)
            wrong += r32(TEST + (i << 12) + 8) != (0xf0000000 | (i == 100 ? 7 : i % FRAMES));
    equal(wrong, 0, "each page of a table of neighbours, and of some that are not");
    equal(touch(TEST + (200 << 12), true), PF, "one of them is read-only");
    equal(last_cr2, TEST + (200 << 12), "  CR2");
    equal(touch(TEST + (300 << 12), false), PF, "one of them is absent");
    tables[0][300] = (FRAME + (300 << 12)) | P | W;
    equal(r32(TEST + (300 << 12) + 8), 0xf0000000 | 300, "  until it is there: that needs no flush");
    tables[0][200] = (FRAME + (200 << 12)) | P | W;
    invlpg(TEST + (200 << 12));
    equal(touch(TEST + (200 << 12), true), BP, "  writable");
    off();
}

static void accessed_and_dirty(void)
{
    unsigned i, wrong = 0;

    paging();
    (void)r32(TEST + (5 << 12));
    ok(tables[0][5] & ACCESSED, "a load sets A");
    ok(!(tables[0][5] & DIRTY), "  not D");
    for (i = 0; i < PAGES; i++)
        wrong += i != 5 && tables[0][i] & (ACCESSED | DIRTY);
    equal(wrong, 0, "  of no other page");
    w32(TEST + (5 << 12), 1);
    ok(tables[0][5] & DIRTY, "a store behind it sets D");
    tables[0][5] &= ~(ACCESSED | DIRTY);
    invlpg(TEST + (5 << 12));
    (void)r32(TEST + (5 << 12));
    equal(tables[0][5] & (ACCESSED | DIRTY), ACCESSED, "cleared and flushed: a load sets A again");
    w32(TEST + (5 << 12), 1);
    ok(tables[0][5] & DIRTY, "  a store D");
    /* neighbours alike in everything, but read */
    for (i = 20; i < 30; i++)
        (void)r32(TEST + (i << 12));
    write_cr3(read_cr3());
    (void)r32(TEST + (20 << 12));
    w32(TEST + (25 << 12), 1);
    for (i = 20, wrong = 0; i < 30; i++)
        wrong += !!(tables[0][i] & DIRTY) != (i == 25);
    equal(wrong, 0, "of ten that have A, the one written has D");
    off();
}

/* INVLPG drops all of a large page (SDM vol. 3, 4.10.4.1). */
static void large(void)
{
    static u32 other[] = {0x123 << 12, 0x3ff << 12, 0};
    unsigned i;

    paging();
    w32(0x800010, 0x11111111);
    w32(0x800010 + other[0], 0x22222222);
    w32(0x800010 + other[1], 0x33333333);
    w32(0xc00010, 0x44444444);
    w32(0xc00010 + other[0], 0x55555555);
    w32(0xc00010 + other[1], 0x66666666);
    for (i = 0; i < 3; i++) {
        u32 at = TEST + 0x800000;

        directory[at >> 22] = 0x800000 | PS | P | W | (i ? G : 0);
        invlpg(at);
        equal(r32(at + 0x10), 0x11111111, "a 4 MiB page");
        equal(r32(at + 0x10 + other[0]), 0x22222222, "  in its middle");
        equal(r32(at + 0x10 + other[1]), 0x33333333, "  at its end");
        directory[at >> 22] = 0xc00000 | PS | P | W | (i ? G : 0);
        invlpg(at + other[i]);
        equal(r32(at + 0x10), 0x44444444, "  moved, and flushed at one place");
        equal(r32(at + 0x10 + other[0]), 0x55555555, "  in its middle");
        equal(r32(at + 0x10 + other[1]), 0x66666666, "  at its end");
    }
    off();
}

/* Not the neighbours of one another: nothing can be mapped together. */
static void many(void)
{
    unsigned i, round, wrong = 0;

    paging();
    fill_frames();
    for (i = 0; i < 8 * 1024; i++)
        tables[i / 1024][i % 1024] = (FRAME + (i * 37 % FRAMES << 12)) | P | W | G;
    write_cr3(read_cr3());
    for (round = 0; round < 2; round++)
        for (i = 0; i < 8 * 1024; i++)
            wrong += r32(TEST + (i << 12) + 8) != (0xf0000000 | i * 37 % FRAMES);
    equal(wrong, 0, "8192 pages, none beside its neighbour");
    for (i = 0; i < 8 * 1024; i += 2)
        w32(TEST + (i << 12) + 12, i);
    for (i = 8 * 1024 - FRAMES; i < 8 * 1024; i += 2)
        wrong += r32(FRAME + (i * 37 % FRAMES << 12) + 12) != i;
    equal(wrong, 0, "  and each other one written");
    off();
}

/* Code that is changed through another linear address, in the same page as data that is written all the time. */
static void code(void)
{
    static const u8 function[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, imm32; ret */
    u32 (*at)(void) = (u32(*)(void))(TEST + 0x9000);
    unsigned i, wrong = 0;

    paging();
    tables[0][600] = (FRAME + 0x9000) | P | W | G;
    write_cr3(read_cr3());
    w32(TEST + (600 << 12) + 100, 1);
    memcpy((void *)(TEST + 0x9000), function, sizeof function);
    for (i = 0; i < 300; i++) {
        w32(TEST + (i & 1 ? 600 << 12 : 0x9000) + 1, i);
        wrong += at() != i;
        w32(TEST + (i & 1 ? 600 << 12 : 0x9000) + 100, i);
        wrong += at() != i;
    }
    equal(wrong, 0, "code is what was written last");
    equal(r32(FRAME + 0x9064), 299, "  so is the data beside it");
    off();
}

/* The same page is the supervisor's, then the user's, then the supervisor's. */
static void changes_hands(void)
{
    paging();
    directory[0] |= U; /* the snippets */
    directory[TEST >> 22] |= U;
    tables[0][3] = (FRAME + 0x3000) | P | W;
    write_cr3(read_cr3());
    w32(TEST + 0x3000, 0x77777777);
    flat(3);
    in.ebx = TEST + 0x3000;
    RUN(0x8b, 0x03);
    ended(PF, 5, "the user reads a page that the supervisor has just written");
    tables[0][3] |= U;
    invlpg(TEST + 0x3000);
    flat(3);
    in.ebx = TEST + 0x3000;
    RUN(0x8b, 0x03);
    ended(BP, DONT_CARE, "  it becomes the user's");
    equal(last.eax, 0x77777777, "  with what was written");
    equal(r32(TEST + 0x3000), 0x77777777, "  the supervisor reads it as well");
    tables[0][3] &= ~U;
    invlpg(TEST + 0x3000);
    equal(r32(TEST + 0x3000), 0x77777777, "  and when it is the supervisor's again");
    flat(3);
    in.ebx = TEST + 0x3000;
    RUN(0x8b, 0x03);
    ended(PF, 5, "  the user no more");
    off();
}

/* mov eax, fs:[at]; mov fs:[at], ecx */
static void in_fs(unsigned cpl, u64 segment, u32 at)
{
    gdt[FREE / 8] = segment;
    flat(cpl);
    in.fs = segment ? FREE | cpl : 0;
    in.eax = 0;
    in.ecx = 0x0c0c0c0c;
    RUN(0x64, 0x8b, 0x05, LE32(at), 0x64, 0x89, 0x0d, LE32(at));
}

/* Code whose other segments are flat. */
static void segments(void)
{
    static const struct {
        const char *name;
        u32 base, limit, at;      /* limit: in pages - 1, or bytes - 1 */
        u8 access, flags, offset; /* offset: of the fault in the snippet; 14: none */
    } rows[] = {
        {"FS with a base", 0x10000, 0xfffff, DATA - 0x10000, 0xf2, 0xc, 14},
        {"FS with a base, and back around 4 GiB", DATA + 0x1000, 0xfffff, 0xfffff000, 0xf2, 0xc, 14},
        {"FS with a base, and far back around 4 GiB", DATA + 0x50000000, 0xfffff, 0xb0000000, 0xf2, 0xc, 14},
        {"FS with a limit that suffices", DATA - 0x100, 0x103, 0x100, 0xf2, 4, 14},
        {"FS with a limit that does not", DATA - 0x100, 0x102, 0x100, 0xf2, 4, 0},
        {"FS read-only", DATA, 0xfffff, 0, 0xf0, 0xc, 7},
        {"FS of code that can be read", DATA, 0xfffff, 0, 0xfa, 0xc, 7},
        {"FS that expands down", DATA - 0x1000, 0xfff, 0x1000, 0xf6, 4, 14},
        {"FS that expands down, below its limit", DATA - 0xfff, 0xfff, 0xfff, 0xf6, 4, 0},
    };
    unsigned i, turn, cpl;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (cpl = 0; cpl <= 3; cpl += 3) {
            unsigned wrong = 0;

            for (turn = 0; turn < 8; turn++) {
                bool good = rows[i].offset == 14;

                w32(DATA, 0x11223344 + turn);
                in_fs(cpl, descriptor(rows[i].base, rows[i].limit, rows[i].access, rows[i].flags), rows[i].at);
                wrong += last.vector != (good ? BP : GP) || (!good && last.eip != CODE + rows[i].offset);
                wrong += rows[i].offset && last.eax != 0x11223344 + turn;
                wrong += r32(DATA) != (good ? 0x0c0c0c0c : 0x11223344 + turn);
            }
            equal(wrong, 0, rows[i].name);
        }
    for (cpl = 0; cpl <= 3; cpl += 3) {
        in_fs(cpl, 0, DATA);
        ended(GP, 0, "FS null");
        equal(last.eip, CODE, "  at the load");
    }
}

/* stc; mov eax, fs:[ebx]; mov fs:[ebx], ecx */
static void in_fs_by_ebx(unsigned cpl, u32 at)
{
    flat(cpl);
    in.fs = FREE | cpl;
    in.eax = 0;
    in.ebx = at;
    in.ecx = 0x0c0c0c0c;
    RUN(0xf9, 0x64, 0x8b, 0x03, 0x64, 0x89, 0x0b);
}

/* Offsets that only a register knows: faults there show the flags as they were. */
static void segments_by_register(void)
{
    const u32 base = 0x10000;
    unsigned turn, cpl, wrong, i;

    paging();
    fill_frames();
    for (i = 0; i < 16; i++)
        directory[i] |= U;
    tables[0][5] = 0;
    write_cr4(read_cr4() & ~CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    gdt[FREE / 8] = descriptor(base, 0xfffff, 0xf2, 0xc);
    for (cpl = 0; cpl <= 3; cpl += 3) {
        wrong = 0;
        for (turn = 0; turn < 8; turn++) {
            w32(DATA, 0x11223344 + turn);
            in_fs_by_ebx(cpl, DATA - base);
            wrong += last.vector != BP || last.eax != 0x11223344 + turn || r32(DATA) != 0x0c0c0c0c;
            in_fs_by_ebx(cpl, TEST + 0x5000 - base);
            wrong +=
                last.vector != PF || last.eip != CODE + 1 || last_cr2 != TEST + 0x5000 || !(last.eflags & FL_CF);
            in_fs_by_ebx(cpl, 0xfffffffd);
            wrong += last.vector != GP || last.eip != CODE + 1 || !(last.eflags & FL_CF);
            in_fs_by_ebx(cpl, 0xfffffffc - base);
            wrong += last.vector != PF || last_cr2 != 0xfffffffc || !(last.eflags & FL_CF);
        }
        equal(wrong, 0, cpl ? "FS by a register, CPL 3" : "FS by a register, CPL 0");
    }
    off();
}

static u32 seed = 12345;

static u32 random(u32 below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* An entry is changed and flushed, or flushed with all others; then what is there is what the tables say. */
static void at_random(void)
{
    unsigned step, wrong = 0;

    paging();
    fill_frames();
    for (step = 0; step < 20000; step++) {
        unsigned i = random(64), choice = random(16);
        u32 at = TEST + (i << 12), entry;

        if (choice < 4) {
            tables[0][i] = (FRAME + (random(2) ? i : random(64)) * 4096) | (random(8) ? P : 0) |
                           (random(4) ? W : 0) | (random(2) ? G : 0);
            invlpg(at);
        } else if (choice == 4) {
            write_cr3(read_cr3());
        } else if (choice == 5 && !random(16)) {
            write_cr4(read_cr4() & ~CR4_PGE);
            write_cr4(read_cr4() | CR4_PGE);
        }
        entry = tables[0][i];
        if (!(entry & P)) {
            wrong += !random(16) && touch(at, random(2)) != PF;
        } else {
            u32 frame = entry & 0xfffff000;

            wrong += r32(at + 8) != r32(frame + 8);
            wrong += !(tables[0][i] & ACCESSED);
            if (entry & W) {
                w32(at + 8, step);
                wrong += r32(frame + 8) != step || !(tables[0][i] & DIRTY);
            } else if (!random(16)) {
                wrong += touch(at, true) != PF;
            }
        }
    }
    equal(wrong, 0, "20000 random changes of 64 entries");
    off();
}

void test_main(void)
{
    cr0 = read_cr0();
    cr4 = read_cr4();
    segments_by_register(); /* first: code that keeps faulting does without windows */
    runs();
    accessed_and_dirty();
    large();
    many();
    code();
    changes_hands();
    at_random();
    segments();
}
