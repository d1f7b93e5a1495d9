/*
 * pc_load.c - calls of functions that only load their return address, as position-independent code makes them; and
 * the function changes, moves, is gone, or its stack is (SDM vol. 2, CALL and RET; vol. 3, 4.10.4).
 */
#include "rt.h"

#define TURNS 100u

/* Functions at multiples of 8: two pages of the same layout, of which `other` answers differently; and callers. */
extern u8 thunks[], other[], near_loop[], far_loop[], pair[], near_next[], far_next[], pair_next[], writer[],
    writer_next[], close[], close_thunk[], close_next[], edge[], edge_next[], edge_rest[];
__asm__(".text\n.balign 4096\n"
        "thunks: movl (%esp), %eax\nret\n.balign 8\nmovl (%esp), %ecx\nret\n.balign 8\nmovl (%esp), %edx\nret\n"
        ".balign 8\nmovl (%esp), %ebx\nret\n.balign 8\nmovl (%esp), %esp\nret\n.balign 8\nmovl (%esp), %ebp\nret\n"
        ".balign 8\nmovl (%esp), %esi\nret\n.balign 8\nmovl (%esp), %edi\nret\n"
        ".org thunks + 4094\nedge_thunk: movl (%esp), %ebx\nret\n"
        ".balign 4096\n"
        "other: .fill 24, 1, 0xcc\nmovl $7, %ebx\nret\n"
        ".balign 4096\n"
        "near_loop: 1: call 2f\naddl %ebx, %eax\ndecl %edi\njnz 1b\nint3\n"
        "2: call thunks + 24\nnear_next: ret\n"
        "pair: call thunks + 24\npair_next: leal (%ebx), %eax\ncall thunks + 24\ncall thunks + 8\nint3\n"
        "writer: movl %eax, (%ecx)\ncall thunks + 24\nwriter_next: int3\n"
        "close: movb $0xc3, %al\nmovl %ecx, %eax\ncall close_thunk\nclose_next: movb %dl, close_thunk\nint3\n"
        "close_thunk: movl (%esp), %ebx\nret\n"
        "edge: call edge_thunk\nedge_next: int3\n"
        ".balign 4096\n"
        "far_loop: 1: call 2f\naddl %ebx, %eax\ndecl %edi\njnz 1b\nint3\n"
        ".balign 4096\n"
        "2: call thunks + 24\nfar_next: testl %eax, %eax\nret\n"
        ".balign 4096\n"
        "edge_rest: .byte 0x13, 0xc3\n" /* the second half of mov (%ebx,%edx), %ebx; ret */
        ".balign 4096\n");

static _Alignas(4096) u32 directory[2][1024], table[2][4][1024];

static u32 *entry(unsigned space, const void *at)
{
    return &table[space][(u32)at >> 22][(u32)at >> 12 & 1023];
}

static void map(unsigned space, const void *at, const void *to, u32 rights)
{
    *entry(space, at) = (u32)to | rights;
}

static void start(const void *code)
{
    flat(3);
    in.eip = (u32)code;
}

static void runs(const void *code, u32 ebx, const char *name)
{
    start(code);
    in.edi = TURNS;
    run();
    ended(BP, DONT_CARE, name);
    equal(last.eax, TURNS * ebx, "  what it loads");
}

/* mov reg, [esp]; ret for each register: 0xe8 calls it, and the flags stay. */
static void registers(void)
{
    for (unsigned reg = 0; reg < 8; reg++) {
        u32 distance = (u32)(thunks + 8 * reg) - (CODE + 6), want[8],
            *got[8] = {&last.eax, &last.ecx, &last.edx, &last.ebx, &last.esp, &last.ebp, &last.esi, &last.edi};
        unsigned wrong = 0;

        if (reg == 4)
            continue;
        start((void *)CODE);
        in.eax = 0x10, in.ecx = 0x11, in.edx = 0x12, in.ebx = 0x13, in.ebp = 0x15, in.esi = 0x16, in.edi = 0x17;
        for (unsigned i = 0; i < 8; i++)
            want[i] = 0x10 + i;
        want[4] = OUTER;
        want[reg] = CODE + 6;
        w32(OUTER - 4, 0);
        RUN(0xf9, 0xe8, LE32(distance)); /* stc; call */
        for (unsigned i = 0; i < 8; i++)
            wrong += *got[i] != want[i];
        equal(wrong, 0, "a call loads one register");
        equal(r32(OUTER - 4), CODE + 6, "  the return address is below the stack");
        equal(last.eflags & 0x8d5, FL_CF, "  flags");
        equal(last.eip, CODE + 7, "  EIP");
    }
    start((void *)CODE);
    RUN(0xe8, LE32((u32)(thunks + 8 * 4) - (CODE + 5)), LE32(CODE + 9));
    equal(last.eip, CODE + 10, "ESP is loaded, and RET goes by it");
    equal(last.esp, CODE + 9, "  ESP");
    start(pair);
    run();
    equal(last.eax, (u32)pair_next, "two functions one after the other");
    equal(last.ecx, last.ebx + 5, "  the second one's");
    start(edge);
    run();
    ended(BP, DONT_CARE, "a function that crosses a page end");
    equal(last.ebx, (u32)edge_next, "  what it loads");
    map(0, thunks + 4096, edge_rest, P | W | U);
    invlpg((u32)thunks + 4096);
    w32(DATA, 0x4321);
    start(edge);
    in.ebx = DATA;
    run();
    equal(last.ebx, 0x4321, "  and when its second half is another page");
    map(0, thunks + 4096, thunks + 4096, P | W | U);
    invlpg((u32)thunks + 4096);
}

/* The page of the functions is replaced, and the TLB told so in three ways. */
static void moves(void)
{
    for (unsigned i = 0; i < 6; i++) {
        map(0, thunks, i & 1 ? other : thunks, P | W | U);
        invlpg((u32)thunks);
        runs(near_loop, i & 1 ? 7 : (u32)near_next, "the functions' page moves, INVLPG");
        runs(far_loop, i & 1 ? 7 : (u32)far_next, "  called from another page");
    }
    for (unsigned i = 0; i < 6; i++) {
        map(0, thunks, i & 1 ? other : thunks, P | W | U);
        write_cr3((u32)directory[0]);
        runs(far_loop, i & 1 ? 7 : (u32)far_next, "the functions' page moves, CR3");
        runs(near_loop, i & 1 ? 7 : (u32)near_next, "  called from the same page");
    }
    map(0, thunks, thunks, P | W | U);
    map(1, thunks, other, P | W | U);
    for (unsigned i = 0; i < 8; i++) {
        write_cr3((u32)directory[i & 1]);
        runs(near_loop, i & 1 ? 7 : (u32)near_next, "two address spaces by turns");
        runs(far_loop, i & 1 ? 7 : (u32)far_next, "  called from another page");
    }
}

/* A global caller, and functions in a page that is not. */
static void global_caller(void)
{
    write_cr4(read_cr4() | CR4_PGE);
    map(0, near_loop, near_loop, P | W | U | G);
    invlpg((u32)near_loop);
    for (unsigned i = 0; i < 6; i++) {
        map(0, thunks, i & 1 ? other : thunks, P | W | U);
        write_cr3((u32)directory[0]);
        runs(near_loop, i & 1 ? 7 : (u32)near_next, "called from a global page");
    }
    write_cr4(read_cr4() & ~CR4_PGE);
    map(0, near_loop, near_loop, P | W | U);
    map(0, thunks, thunks, P | W | U);
    write_cr3((u32)directory[0]);
}

static void faults(void)
{
    runs(near_loop, (u32)near_next, "called before it is gone");
    map(0, thunks, thunks, W | U);
    invlpg((u32)thunks);
    start(near_loop);
    in.edi = 5;
    in.ebx = 99;
    run();
    ended(PF, 4, "the functions' page is gone");
    equal(last.eip, (u32)thunks + 24, "  EIP");
    equal(last_cr2, last.eip, "  CR2");
    equal(last.esp, OUTER - 8, "  ESP");
    equal(r32(last.esp), (u32)near_next, "  the return address has been pushed");
    equal(last.ebx, 99, "  EBX");
    map(0, thunks, thunks, P | W); /* the supervisor's */
    invlpg((u32)thunks);
    start(near_loop);
    run();
    ended(PF, 5, "the functions' page is the supervisor's");
    map(0, thunks, thunks, P | W | U);
    invlpg((u32)thunks);
    runs(near_loop, (u32)near_next, "it is back");
    equal(!!(*entry(0, thunks) & ACCESSED), 1, "  and has been accessed");
    map(0, (void *)(OUTER - 0x1000), (void *)(OUTER - 0x1000), W | U);
    invlpg(OUTER - 0x1000);
    start(pair);
    in.ebx = 99;
    run();
    ended(PF, 6, "the stack is gone");
    equal(last.eip, (u32)pair, "  EIP");
    equal(last_cr2, OUTER - 4, "  CR2");
    equal(last.esp, OUTER, "  ESP");
    equal(last.ebx, 99, "  EBX");
    map(0, (void *)(OUTER - 0x1000), (void *)(OUTER - 0x1000), P | U);
    invlpg(OUTER - 0x1000);
    start(pair);
    run();
    ended(PF, 7, "the stack is read-only");
    map(0, (void *)(OUTER - 0x1000), (void *)(OUTER - 0x1000), P | W | U);
    invlpg(OUTER - 0x1000);
    start(pair);
    in.eflags |= FL_TF;
    run();
    ended(DB, DONT_CARE, "single steps");
    equal(last.eip, (u32)thunks + 24, "  stop in the function");
}

/* Code that writes a function just before it calls it; one in its own page, and in another. */
static void changes(void)
{
    const u32 load = 0xc3241c8b, set = 0x90c3db31; /* mov ebx, [esp]; ret. xor ebx, ebx; ret */

    for (unsigned i = 0; i < 8; i++) {
        start(writer);
        in.eax = i & 1 ? set : load;
        in.ecx = (u32)thunks + 24;
        in.ebx = 5;
        run();
        ended(BP, DONT_CARE, "a function is written just before it is called");
        equal(last.ebx, i & 1 ? 0 : (u32)writer_next, "  what it loads");
    }
    w32((u32)thunks + 24, load);
    for (unsigned i = 0; i < 8; i++) { /* from CPL 0, and called in a loop */
        w32((u32)thunks + 24, i & 1 ? set : load);
        runs(near_loop, i & 1 ? 0 : (u32)near_next, "a function is written by the supervisor");
        start(pair);
        run();
        equal(last.eax, i & 1 ? 0 : (u32)pair_next, "  the first of two");
    }
    w32((u32)thunks + 24, load);
    for (unsigned i = 0; i < 6; i++) {
        start(close);
        in.edx = i == 2 ? 0xc3 : 0x8b; /* the third time it becomes RET */
        in.ebx = 5;
        run();
        equal(last.ebx, i == 3 ? 5 : (u32)close_next, "a function in the caller's page, which is written");
    }
}

void test_main(void)
{
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < 4; i++) {
            directory[s][i] = (u32)table[s][i] | P | W | U;
            for (unsigned k = 0; k < 1024; k++)
                table[s][i][k] = i << 22 | k << 12 | P | W | U;
        }
    write_cr3((u32)directory[0]);
    write_cr0(read_cr0() | CR0_PG);
    registers();
    moves();
    global_caller();
    faults();
    changes();
}
