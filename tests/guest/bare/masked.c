/*
 * masked.c - operands of which a mask leaves elements out: those do not fault, and keep what they are (SDM vol. 2,
 * 2.7.5 and VMASKMOVPS).
 *
 * XMM1 and K1 take the mask of 32-bit elements from RAX. The operand, at RBX, straddles two pages, of which either
 * may be missing.
 */
#include "rt.h"

#define LEFT USER_DATA
#define RIGHT (USER_DATA + 0x1000)
#define OPERAND (RIGHT - 8) /* two elements on each side, of four */
#define AWAY 0x123456789000ull
#define NON_CANONICAL 0x8000000000000000ull

/* Bit n of RAX: element n is wanted. */
#define VECTOR_MASK                                                                                               \
    "vmovd %eax, %xmm1\nvpbroadcastd %xmm1, %xmm1\nvpsllvd (%rsi), %xmm1, %xmm1\nmov $0x33, %edx\n"               \
    "vmovd %edx, %xmm2\nvpbroadcastd %xmm2, %xmm2\n"
#define OPMASK "kmovw %eax, %k1\nmov $0x33, %edx\nvpbroadcastd %edx, %xmm2\n"

SNIPPET(vex_load, VECTOR_MASK "vmaskmovps (%rbx), %xmm1, %xmm2\nvmovdqu %xmm2, (%rdi)");
SNIPPET(vex_store, VECTOR_MASK "vpmaskmovd %xmm2, %xmm1, (%rbx)");
SNIPPET(evex_load, OPMASK "vmovdqu32 (%rbx), %xmm2{%k1}{z}\nvmovdqu %xmm2, (%rdi)");
SNIPPET(evex_store, OPMASK "vmovdqu32 %xmm2, (%rbx){%k1}");
SNIPPET(evex_compare, OPMASK "cmp %eax, %eax\nvpcmpeqd (%rbx), %xmm2, %k2{%k1}\nsetz %cl\nkmovw %k2, %eax");
SNIPPET(evex_add, OPMASK "vmovdqa32 %xmm2, %xmm3\nvpaddd (%rbx), %xmm2, %xmm3{%k1}\nvmovdqu %xmm3, (%rdi)");

static u32 *const left = (u32 *)(RIGHT - 8), *const right = (u32 *)RIGHT;
static u32 *const result = (u32 *)(USER_DATA + 0x3000);
static u64 page[2];

static void restore(void)
{
    map(LEFT, page[0], P_P | P_W | P_U);
    map(RIGHT, page[1], P_P | P_W | P_U);
    left[0] = 10;
    left[1] = 11;
    right[0] = 12;
    right[1] = 13;
}

static u64 of_four(const u32 *e)
{
    return e[0] | e[1] << 8 | e[2] << 16 | (u64)e[3] << 24;
}

static void with_mask(u64 mask)
{
    static const u32 counts[4] = {31, 30, 29, 28};

    memcpy(result + 8, counts, sizeof counts);
    in.rbx = OPERAND;
    in.rax = mask;
    in.rsi = (u64)(result + 8);
    in.rdi = (u64)result;
}

static u64 at_operand(void)
{
    return left[0] | left[1] << 8 | right[0] << 16 | (u64)right[1] << 24;
}

/* With each page missing and with none, by turns. */
static void loads(const u8 *snippet, u64 none, u64 first, u64 second, u64 all, const char *name)
{
    for (unsigned turn = 0; turn < 3; turn++) {
        restore();
        with_mask(0);
        expect(snippet, 3, BP, -1, -1, name);
        equal(of_four(result), none, "nothing is loaded");
        with_mask(15);
        run(snippet, 3);
        equal(of_four(result), all, "all of it");
        map(RIGHT, 0, 0);
        with_mask(3);
        expect(snippet, 3, BP, -1, -1, "the second page is missing, and left out");
        equal(of_four(result), first, "the first half");
        with_mask(4);
        expect(snippet, 3, PF, PFEC_U, -1, "the second page is missing");
        equal(last_cr2, RIGHT, "and is what CR2 says");
        restore();
        map(LEFT, 0, 0);
        with_mask(12);
        expect(snippet, 3, BP, -1, -1, "the first page is missing, and left out");
        equal(of_four(result), second, "the second half");
        with_mask(2);
        expect(snippet, 3, PF, PFEC_U, -1, "the first page is missing");
        with_mask(0);
        in.rbx = AWAY;
        expect(snippet, 3, BP, -1, -1, "no page-table at all, and all is left out");
        with_mask(1);
        in.rbx = AWAY;
        expect(snippet, 3, PF, PFEC_U, -1, "no page-table at all");
        with_mask(1);
        in.rbx = NON_CANONICAL;
        expect(snippet, 3, GP, 0, -1, "non-canonical");
    }
}

static void stores(const u8 *snippet, const char *name)
{
    for (unsigned turn = 0; turn < 3; turn++) {
        restore();
        with_mask(5);
        expect(snippet, 3, BP, -1, -1, name);
        equal(at_operand(), 0x0d330b33, "two elements");
        restore();
        map(RIGHT, page[1], P_P | P_U);
        with_mask(3);
        expect(snippet, 3, BP, -1, -1, "the second page is read-only, and left out");
        equal(at_operand(), 0x0d0c3333, "the first half");
        ok(!(*pte_of(RIGHT, 1) & P_D), "the second page is not dirty");
        restore();
        map(RIGHT, page[1], P_P | P_U);
        with_mask(15);
        expect(snippet, 3, PF, PFEC_P | PFEC_W | PFEC_U, -1, "the second page is read-only");
        equal(at_operand(), 0x0d0c0b0a, "nothing has been stored");
        restore();
        map(LEFT, 0, 0);
        with_mask(8);
        expect(snippet, 3, BP, -1, -1, "the first page is missing, and left out");
        equal(right[1], 0x33, "the last element");
    }
}

static void compares(void)
{
    for (unsigned turn = 0; turn < 3; turn++) {
        restore();
        left[1] = right[1] = 0x33;
        with_mask(15);
        expect(evex_compare, 3, BP, -1, -1, "VPCMPEQD with a mask");
        equal(out.rax, 10, "finds two");
        equal(out.rcx & 1, 1, "and leaves the flags alone");
        map(RIGHT, 0, 0);
        with_mask(3);
        expect(evex_compare, 3, BP, -1, -1, "the second page is missing, and left out");
        equal(out.rax, 2, "finds one");
        equal(out.rcx & 1, 1, "and leaves the flags alone");
        with_mask(7);
        expect(evex_compare, 3, PF, PFEC_U, -1, "the second page is missing");
    }
}

/* The mask of a store changes the guest's own code. */
static void into_code(void)
{
    static const u8 code[] = {0xb8, 1, 0, 0, 0, 0xcc}; /* mov $1, %eax; int3 */

    restore();
    memcpy((u8 *)LEFT, code, sizeof code);
    for (unsigned i = 0; i < 3; i++)
        run_at(LEFT, 3);
    equal(out.rax, 1, "code");
    with_mask(1);
    in.rbx = LEFT + 1;
    expect(evex_store, 3, BP, -1, -1, "a masked store into it");
    run_at(LEFT, 3);
    equal(out.rax, 0x33, "changes it");
}

void test_main(void)
{
    page[0] = page_alloc();
    page[1] = page_alloc();
    if (!has(1, 2, 28) || !has(7, 1, 5)) {
        skip("masked operands", "no AVX2");
        return;
    }
    write_cr4(read_cr4() | 1 << 18);
    __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
    loads(vex_load, 0, 0x0b0a, 0x0d0c0000, 0x0d0c0b0a, "VMASKMOVPS, nothing wanted");
    stores(vex_store, "VPMASKMOVD to memory");
    if (!has(7, 1, 16) || !has(7, 1, 31)) {
        skip("EVEX operands", "no AVX-512");
        return;
    }
    __asm__ volatile("xsetbv" : : "a"(0xe7), "d"(0), "c"(0));
    loads(evex_load, 0, 0x0b0a, 0x0d0c0000, 0x0d0c0b0a, "VMOVDQU32 with a mask, nothing wanted");
    loads(evex_add, 0x33333333, 0x33333e3d, 0x403f3333, 0x403f3e3d, "VPADDD with a mask, nothing wanted");
    stores(evex_store, "VMOVDQU32 to memory with a mask");
    compares();
    into_code();
}
