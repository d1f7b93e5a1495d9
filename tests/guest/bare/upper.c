/*
 * upper.c - supervisor code in the upper half of the address space, where a 64-bit kernel has its window: it and
 * user code reach for every region they can form, loops run off the end of what is mapped, large pages are written
 * around code, and user code never sees what the kernel has mapped, wherever novt may keep it (built with
 * -DUPPER).
 */
#include "rt.h"

SNIPPET(load, "mov (%rbx), %rax");
SNIPPET(store, "mov %rax, (%rbx)");
SNIPPET(load_far, "mov 0xff000(%rbx), %rax");
SNIPPET(load_back, "mov -0xff000(%rbx), %rax");
SNIPPET(load_farther, "mov 0x7ffff000(%rbx), %rax");
SNIPPET(load_indexed, "mov (%rbx,%rcx,8), %rax");
SNIPPET(load_gs, "mov %gs:(%rbx), %rax");
SNIPPET(push_there, "push %rax");
SNIPPET(fill, "1: mov %rax, (%rbx)\nadd $8, %rbx\ndec %rcx\njnz 1b");
SNIPPET(sum, "1: add (%rbx), %rax\nadd $64, %rbx\ndec %rcx\njnz 1b");
SNIPPET(copy, "rep movsb");
SNIPPET(bump, "incq (%rbx)\nincq (%rbx)\nlock incq (%rbx)");
SNIPPET(answer, "mov $42, %eax");
SNIPPET(move_stack, "pop %rcx\nmov %rbx, %rsp\npush %rcx\nret");

#define AREA (HALF + 0x50000000ull)
#define LARGE (HALF + 0x80000000ull)

static bool is_canonical(u64 address)
{
    return (u64)((long)(address << 16) >> 16) == address;
}

/* Copies of `load`: code that has faulted a few times may be made in another way, and this is about how it is made
   at first. At CPL 0 in the upper half, at CPL 3 in the lower one. */
#define COPIES 16384u
#define COPY_SIZE 4u
#define KERNEL_COPIES (HALF + 0x48000000ull)
#define USER_COPIES 0x48000000ull

static void make_copies(void)
{
    u64 at, page, i;

    for (at = 0; at < COPIES * COPY_SIZE; at += 4096) {
        page = page_alloc();
        for (i = 0; i < 4096; i += COPY_SIZE)
            memcpy((void *)(page + i), load, COPY_SIZE);
        map(KERNEL_COPIES + at, page, P_P | P_W);
        map(USER_COPIES + at, page, P_P | P_U);
    }
}

static u64 fresh_load(unsigned cpl)
{
    static u64 next;

    return (cpl ? USER_COPIES : KERNEL_COPIES) + next++ % COPIES * COPY_SIZE;
}

/* An access where nothing is mapped. */
static bool faults_at(u64 rip, unsigned cpl, u64 address, u64 at, u64 error)
{
    unsigned vector;

    in.rbx = address;
    in.rax = 0x6e6f7674;
    vector = run_at(rip, cpl);
    if (is_canonical(at) ? vector == PF && last.error == error && last_cr2 == at : vector == GP && !last.error)
        return last.rax == 0x6e6f7674 && last.rbx == address;
    note("an access that did not fault as it should:");
    put("# at 0x");
    put_hex(at);
    put(" vector 0x");
    put_hex(vector);
    put(" cr2 0x");
    put_hex(last_cr2);
    put("\n");
    return false;
}

static bool faults(const u8 *snippet, unsigned cpl, u64 address, u64 at, u64 error)
{
    return faults_at(cpl ? USER(snippet) : KERNEL(snippet), cpl, address, at, error);
}

static bool is_mapped(u64 address)
{
    u64 *entry = &pml4[address >> 39 & 511];

    return is_canonical(address) && *entry & P_P;
}

/* Every 8 GiB of the 2^48 that differ, in forms that are canonical and that are not. */
static void every_region(unsigned cpl, const char *name)
{
    static const u64 top[] = {0, 0xffff, 0x0001, 0x8000, 0xfffe};
    u64 user = cpl ? PFEC_U : 0, at;
    bool good = true;
    unsigned i;

    for (i = 0; i < sizeof top / sizeof *top; i++)
        for (at = 0x123456; at < 1ull << 48; at += 8ull << 30) {
            u64 address = at | top[i] << 48;

            if (is_mapped(address) || is_mapped(address + 0x7ffff000))
                continue;
            good &= faults_at(fresh_load(cpl), cpl, address, address, user);
            good &= faults(at >> 33 & 1 ? load : store, cpl, address, address, user | (at >> 33 & 1 ? 0 : PFEC_W));
            if (!(at >> 33 & 15))
                good &= faults(load_farther, cpl, address, address + 0x7ffff000, user);
        }
    ok(good, name);
}

/* Where novt has its mappings, guest RAM among them: a third of the way up the host's user half. The user's
   addresses are the host's own; a kernel's are moved by a constant (memory/kwindow.h). Nothing of it may be seen.
 */
static void where_novt_is(void)
{
    u64 low = (1ull << 47) / 3 & ~0xfffull, at;
    bool good = true;

    for (at = low; at < low + (1ull << 40) && good; at += 32ull << 20)
        good = faults_at(fresh_load(0), 0, at - 0x7c0000000000, at - 0x7c0000000000, 0) &&
               faults_at(fresh_load(3), 3, at, at, PFEC_U);
    ok(good, "a kernel's and a user's addresses where novt itself is");
}

/* A call of move_stack, POP RAX and INT3, each time at another address. */
static u64 fresh_call(void)
{
    static u64 next, page;
    u64 at = 0x49000000 + next % 32768 * 8;
    u32 distance = (u32)(USER(move_stack) - (at + 5));
    u8 *code;

    if (!(at & 0xfff)) {
        page = page_alloc();
        map(at, page, P_P | P_U);
    }
    code = (u8 *)(page + (at & 0xfff));
    code[0] = 0xe8;
    memcpy(code + 1, &distance, 4);
    code[5] = 0x58;
    code[6] = 0xcc;
    next++;
    return at;
}

/* The same addresses mapped, all to one page: a function moves the stack there, and what it returns to pops. */
static void stacks_where_novt_is(void)
{
    u64 low = (1ull << 47) / 3 & ~0xfffull, page = page_alloc(), at;
    u64 table[3] = {page_alloc(), page_alloc(), page_alloc()};
    bool good = true;
    unsigned i, level;

    for (level = 0; level < 3; level++)
        for (i = 0; i < 512; i++)
            ((u64 *)table[level])[i] = (level ? table[level - 1] : page) | P_P | P_W | P_U;
    for (i = 0; i < 4; i++)
        pml4[(low >> 39) + i] = table[2] | P_P | P_W | P_U;
    for (at = low + 0x800; at < low + (1ull << 40) && good; at += 32ull << 20) {
        *(u64 *)(page + (at & 0xfff)) = at;
        in.rbx = at;
        good = run_at(fresh_call(), 3) == BP && last.rax == at && last.rsp == at + 8;
    }
    for (i = 0; i < 4; i++)
        pml4[(low >> 39) + i] = 0;
    write_cr3(read_cr3());
    ok(good, "stacks where novt itself is");
}

/* What the kernel has in its window is nowhere that user code could reach it. */
static void seen_by_user(void)
{
    u64 page = page_alloc(), at;
    bool good = true;

    map(AREA, page, P_P | P_W);
    in.rbx = AREA;
    in.rax = 0x5ec2e7;
    run(store, 0);
    good = *(volatile u64 *)page == 0x5ec2e7;
    for (at = (AREA & 0xffffffffffull) | 1ull << 42; at < 1ull << 47; at += 1ull << 40)
        good &= faults(load, 3, at, at, PFEC_U) && faults(store, 3, at, at, PFEC_U | PFEC_W) &&
                faults(load_far, 3, at - 0xff000, at, PFEC_U) && faults(load_back, 3, at + 0xff000, at, PFEC_U);
    good &= faults(load, 3, AREA, AREA, PFEC_U | PFEC_P);
    ok(good && *(volatile u64 *)page == 0x5ec2e7, "the kernel's page is not to be found by user code");
}

/* The last access of a loop is in a page that is not there: everything up to it has happened. */
static void off_the_end(void)
{
    u64 first = page_alloc(), second = page_alloc();
    bool good = true;
    unsigned turn;

    for (turn = 0; turn < 3; turn++) {
        map(AREA, first, P_P | P_W);
        map(AREA + 4096, second, P_P | P_W);
        map(AREA + 8192, 0, 0);
        in.rbx = AREA + 16;
        in.rcx = 5000;
        in.rax = turn + 7;
        good &= run(fill, 0) == PF && last.error == PFEC_W && last_cr2 == AREA + 8192 && last.rbx == AREA + 8192 &&
                last.rcx == 5000 - (8192 - 16) / 8 && last_offset(fill) == 0;
        good &= ((u64 *)first)[2] == turn + 7 && ((u64 *)second)[511] == turn + 7;
        in.rbx = AREA;
        in.rcx = 1000;
        in.rax = 0;
        good &= run(sum, 0) == PF && last.error == 0 && last.rbx == AREA + 8192 && last.rcx == 1000 - 128 &&
                last.rax == 127 * (turn + 7) + ((u64 *)first)[0];
    }
    ok(good, "loops that run off the end of what is mapped");
}

static void ends_of_units(void)
{
    u64 page = page_alloc(), unit;
    bool good = true;

    for (unit = HALF; unit < HALF + (64ull << 30); unit += 16ull << 30) {
        map(unit + (16ull << 30) - 4096, page, P_P | P_W);
        *(u64 *)(page + 0xff8) = unit;
        in.rbx = unit + (16ull << 30) - 8;
        good &= run(load, 0) == BP && last.rax == unit;
        good &= faults(load_far, 0, unit + (16ull << 30) - 8, unit + (16ull << 30) + 0xfeff8, 0);
        map(unit + (16ull << 30) - 4096, 0, 0);
        good &= faults(load, 0, unit + (16ull << 30) - 8, unit + (16ull << 30) - 8, 0);
    }
    ok(good, "the ends of 16 GiB");
    good = faults(load, 0, 0xfffffffffffffff0, 0xfffffffffffffff0, 0);
    in.rbx = 0xfffffffffffffff0;
    in.rcx = 4;
    good &= run(load_indexed, 0) == BP && last.rax == *(volatile u64 *)0x10;
    ok(good, "the end of the address space");
}

static void large_pages(void)
{
    u64 memory = 0x1000000, i;
    bool good = true;

    *pte_of(LARGE, 2) = memory | P_P | P_W | P_PS | P_A | P_D | P_G;
    invlpg(LARGE);
    for (i = 0; i < 512; i++) {
        in.rbx = LARGE + i * 4096 + 8;
        in.rax = i * 3;
        good &= run(store, 0) == BP && *(u64 *)(memory + i * 4096 + 8) == i * 3;
    }
    /* code in it, in the middle of what one call has mapped; then a store into that code */
    memcpy((void *)(memory + 0x10000), answer, 16);
    good &= run_at(LARGE + 0x10000, 0) == BP && last.rax == 42;
    in.rbx = LARGE + 0x10001;
    in.rax = 43;
    good &= run(store, 0) == BP;
    memcpy((void *)(memory + 0x10005), answer + 5, 8);
    good &= run_at(LARGE + 0x10000, 0) == BP && last.rax == 43;
    for (i = 0; i < 512; i++) {
        in.rbx = LARGE + i * 4096 + 8;
        good &= run(bump, 0) == BP && (i == 16 || *(u64 *)(memory + i * 4096 + 8) == i * 3 + 3);
    }
    ok(good, "a large page, with code in its middle");
    *pte_of(LARGE, 2) = 0;
    in.rbx = LARGE + 8;
    run(load, 0); /* may be stale */
    invlpg(LARGE + 0x1ff000);
    ok(faults(load, 0, LARGE + 8, LARGE + 8, 0) && faults(store, 0, LARGE + 0x12345, LARGE + 0x12345, PFEC_W),
       "INVLPG of any page of it drops all of it");
}

static void global_pages(void)
{
    u64 a = page_alloc(), b = page_alloc(), cr4 = read_cr4();
    bool good;

    *(u64 *)a = 1;
    *(u64 *)b = 2;
    map(AREA, a, P_P | P_W | P_G);
    map(AREA + 4096, a, P_P | P_W);
    in.rbx = AREA;
    good = run(load, 0) == BP && last.rax == 1;
    in.rbx = AREA + 4096;
    good &= run(load, 0) == BP && last.rax == 1;
    *pte_of(AREA, 1) = b | P_P | P_W | P_G;
    *pte_of(AREA + 4096, 1) = b | P_P | P_W;
    write_cr3(read_cr3());
    in.rbx = AREA + 4096;
    ok(good && run(load, 0) == BP && last.rax == 2, "a load of CR3 drops a page that is not global");
    write_cr4(cr4 & ~0x80ull);
    write_cr4(cr4);
    in.rbx = AREA;
    ok(run(load, 0) == BP && last.rax == 2, "a change of CR4.PGE drops a global one");
}

/* User pages are the user's window's alone; the kernel reaches them all the same. */
static void user_pages(void)
{
    u64 page = page_alloc(), other = page_alloc();
    bool good = true;
    unsigned i;

    map(AREA, page, P_P | P_W | P_U);
    map(AREA + 4096, other, P_P | P_W);
    for (i = 0; i < 20; i++) {
        in.rbx = AREA + 8 * i;
        in.rax = i + 100;
        good &= run(store, 0) == BP && *(u64 *)(page + 8 * i) == i + 100;
        in.rbx = USER_DATA + 8 * i;
        good &= run(store, 0) == BP;
        in.rbx = USER_DATA + 8 * i;
        good &= run(load, 3) == BP && last.rax == i + 100;
        in.rbx = AREA + 4096;
        good &= run(store, 0) == BP && *(u64 *)other == i + 100;
        good &= faults(load, 3, AREA + 4096, AREA + 4096, PFEC_U | PFEC_P);
        in.rsi = USER_DATA;
        in.rdi = AREA + 4096 + 64;
        in.rcx = 160;
        good &= run(copy, 0) == BP && *(u64 *)(other + 64) == 100;
    }
    ok(good, "kernel code that reaches both kinds of pages");
}

static void segments_and_stacks(void)
{
    u64 page = page_alloc();
    bool good;

    map(AREA, page, P_P | P_W);
    map(AREA - 4096, 0, 0);
    wrmsr(0xc0000101, AREA);
    *(u64 *)(page + 24) = 77;
    in.rbx = 24;
    good = run(load_gs, 0) == BP && last.rax == 77;
    in.rbx = 4096;
    map(AREA + 4096, 0, 0);
    good &= run(load_gs, 0) == PF && last_cr2 == AREA + 4096;
    wrmsr(0xc0000101, 0);
    in.rsp = AREA + 4096;
    in.rax = 0xabc;
    good &= run(push_there, 0) == BP && *(u64 *)(page + 4088) == 0xabc;
    ok(good, "through GS, and a stack");
}

void test_main(void)
{
    unsigned i;

    make_copies();
    for (i = 0; i < 2; i++) { /* young code, and code that has run before */
        every_region(0, "kernel code reaches for every region");
        every_region(3, "user code reaches for every region");
        where_novt_is();
        stacks_where_novt_is();
        seen_by_user();
        off_the_end();
        ends_of_units();
        large_pages();
        global_pages();
        user_pages();
        segments_and_stacks();
    }
}
