/*
 * hostile.c - user code that goes everywhere: every MiB of the 4 GiB, with loads and stores, by every kind of
 * address. What is not its own gives it a page fault with the right address and error code, and stays as it is.
 */
#include "rt.h"

#define P 1u
#define W 2u
#define U 4u
#define CR0_PG 0x80000000u
#define MINE 0x40000000u   /* linear: four pages of the user's own, the last of them read only */
#define SECRET 0x40004000u /* the kernel's, behind them */
#define FRAME 0x600000u
#define STEP 0x100000u
#define FAULT_P 1u
#define FAULT_W 2u
#define FAULT_U 4u

static _Alignas(4096) u32 directory[1024], low[1024], high[1024];
static u32 cr0;

/* The kernel's is all of the first 4 MiB but for the pages that a snippet of CPL 3 runs with. */
static void build(void)
{
    unsigned i;

    for (i = 0; i < 1024; i++)
        low[i] = i << 12 | P | W | (i << 12 == CODE || i << 12 == OUTER - 4096 ? U : 0);
    for (i = 0; i < 4; i++)
        high[i] = (FRAME + (i << 12)) | P | (i == 3 ? 0 : W) | U;
    high[4] = (FRAME + 0x4000) | P | W;
    directory[0] = (u32)low | P | W | U;
    directory[1] = 0x400000 | 0x80 | P | W;
    directory[MINE >> 22] = (u32)high | P | W | U;
    cr0 = read_cr0();
    write_cr4(read_cr4() | 0x10);
    write_cr3((u32)directory);
    write_cr0(cr0 | CR0_PG | 0x10000);
}

static u32 present(u32 linear)
{
    return linear < 0x800000 || (linear >= MINE && linear < SECRET + 4096) ? FAULT_P : 0;
}

static bool touch(u32 linear, bool write, unsigned form)
{
    static const u8 modrm[] = {0x03 /* [ebx] */, 0x83 /* [ebx + disp32] */, 0x04 /* [ebx + 4 * ecx] */};
    u8 code[8] = {write ? 0x89 : 0x8b, modrm[form]};
    unsigned size = form == 0 ? 2 : form == 1 ? 6 : 3;
    u32 disp = 0x87654320;

    flat(3);
    in.eax = 0x5a5a5a5a;
    in.ecx = 0x23456789;
    in.ebx = linear - (form == 1 ? disp : form == 2 ? 4 * in.ecx : 0);
    memcpy(code + 2, &disp, 4);
    if (form == 2)
        code[2] = 0x8b; /* SIB */
    return run_bytes(code, size) == PF && last_cr2 == linear &&
           last.error == (FAULT_U | (write ? FAULT_W : 0) | present(linear)) && last.eip == CODE;
}

static void go_everywhere(bool write, const char *name)
{
    unsigned wrong = 0;
    u32 linear = 0x1ff8;

    do {
        if (linear < MINE || linear >= SECRET)
            wrong += !touch(linear, write, linear / STEP % 3);
        linear += STEP;
    } while (linear > STEP);
    equal(wrong, 0, name);
}

static void use_what_is_mine(void)
{
    flat(3);
    in.ebx = MINE + 0x100;
    in.eax = 0x12345678;
    RUN(0x89, 0x03, 0x8b, 0x0b); /* mov [ebx], eax; mov ecx, [ebx] */
    equal(last.ecx, 0x12345678, "its own page");
    equal(r32(FRAME + 0x100), 0x12345678, "its own page, as the kernel sees it");
}

static void go_over_edges(void)
{
    equal(touch(MINE + 0x3000, true, 0), true, "a store to a page that is read only");
    w32(FRAME + 0x3ffc, 0x11111111);
    flat(3);
    in.ebx = SECRET - 2;
    RUN(0x8b, 0x03);
    ended(PF, FAULT_U | FAULT_P, "a load half of which is the kernel's");
    equal(last_cr2, SECRET, "its address");
    flat(3);
    in.ebx = MINE - 2;
    RUN(0x89, 0x03);
    ended(PF, FAULT_U | FAULT_W, "a store half of which is nobody's");
    equal(last_cr2, MINE - 2, "its address");
}

void test_main(void)
{
    unsigned changed = 0, i;

    build();
    for (i = 0; i < 1024; i++)
        w32(SECRET + 4 * i, i * 0x01010101);
    use_what_is_mine();
    go_everywhere(false, "loads from everywhere");
    go_everywhere(true, "stores to everywhere");
    go_over_edges();
    use_what_is_mine();
    for (i = 0; i < 1024; i++)
        changed += r32(SECRET + 4 * i) != i * 0x01010101;
    equal(changed, 0, "what the kernel keeps beside it");
    write_cr0(cr0);
}
