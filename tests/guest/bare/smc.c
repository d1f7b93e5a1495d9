/*
 * smc.c - code that changes: by itself, through another mapping, by remapping, under a running loop; code that is
 * also data; instructions entered in the middle and instructions across a page end (SDM vol. 3, 8.1.3; 11.6).
 */
#include "rt.h"

#define AREA (HALF + 0x50000000ull)
#define ALIAS (HALF + 0x60000000ull)

static u64 page[3];

SNIPPET(constant, "mov $0x11111111, %eax");
SNIPPET(patch_next, "movl $0x22222222, 1f+1(%rip)\n1: mov $0x11111111, %eax");
SNIPPET(grow,
        "xor %edx, %edx\nmov $50, %ecx\n1: .byte 0x81, 0xc2\n2: .long 0\naddl $1, 2b(%rip)\ndec %ecx\njnz 1b");
SNIPPET(beside, "mov $200, %ecx\n1: incl 2f(%rip)\nmov 2f(%rip), %eax\nloop 1b\nint3\n2: .long 0");
SNIPPET(patch_by_rep, "lea 1f+1(%rip), %rdi\nmov $4, %ecx\nmov $0x33, %al\nrep stosb\n1: mov $0x11111111, %eax");
SNIPPET(patch_caller, "call 2f\n1: mov $0x11111111, %eax\nint3\n2: movl $0x44444444, 1b+1(%rip)\nret");
SNIPPET(patch_locked, "mov $0x11111111, %eax\nmov $0x55555555, %ecx\nlock cmpxchg %ecx, 1f+1(%rip)\n"
                      "1: mov $0x11111111, %eax");
SNIPPET(patch_behind,
        "xor %ecx, %ecx\n1: mov $1, %eax\nadd %eax, %edx\ntest %ecx, %ecx\njnz 2f\nmovl $16, 1b+1(%rip)\n"
        "inc %ecx\njmp 1b\n2:");
SNIPPET(patch_page_start, "movl $0x66666666, (%rbx)\nmov %ebx, %ebx\njmp *%rsi");
SNIPPET(spin, "1: jmp 1b\nnop\nnop");
SNIPPET(spin_call, "1: call 2f\njmp 1b\n2: nop\nret");
SNIPPET(call_over, "call 2f\n1: mov $0x11111111, %eax\nint3\n2: ud2\nret");
SNIPPET(end, "");

/* Copies a snippet into the area (through the identity mapping) and returns its linear address there. */
static u64 place(const u8 *snippet, const u8 *next, unsigned offset)
{
    memcpy((void *)(page[0] + offset), snippet, (size_t)(next - snippet));
    return AREA + offset;
}

static void set32(u64 where, u32 value)
{
    memcpy((void *)where, &value, 4);
}

static void two_ways(const u8 *snippet, const u8 *next, u64 want, bool in_edx, const char *name)
{
    unsigned cpl;

    for (cpl = 0; cpl <= 3; cpl += 3) {
        u64 at = place(snippet, next, 0x100);

        in.rdx = in.rbx = 0;
        run_at(at, cpl);
        equal(in_edx ? out.rdx : out.rax, want, name);
        place(snippet, next, 0x100);
        in.rdx = in.rbx = 0;
        run_at(at, cpl);
        equal(in_edx ? out.rdx : out.rax, want, "and again, restored by the other mapping");
    }
}

static void itself(void)
{
    two_ways(patch_next, grow, 0x22222222, false, "an instruction changes the next one");
    two_ways(grow, beside, 49 * 50 / 2, true, "a loop changes an immediate in every turn");
    two_ways(beside, patch_by_rep, 200, false, "data beside the code");
    two_ways(patch_by_rep, patch_caller, 0x33333333, false, "REP STOSB over the next instruction");
    two_ways(patch_caller, patch_locked, 0x44444444, false, "a function changes its caller");
    two_ways(patch_locked, patch_behind, 0x55555555, false, "LOCK CMPXCHG on code");
    two_ways(patch_behind, patch_page_start, 17, true, "a change behind, met after a jump back");
}

static void others(void)
{
    u64 at = place(constant, patch_next, 0x200);
    unsigned i;
    bool good = true;

    for (i = 1; i < 300 && good; i++) {
        set32(page[0] + 0x201, i);
        run_at(at, i & 1 ? 3 : 0);
        good = out.rax == i;
    }
    ok(good, "changed 300 times through the identity mapping");
    map(ALIAS, page[0], P_P | P_W | P_U | P_NX);
    for (i = 1; i < 50 && good; i++) {
        set32(ALIAS + 0x201, i);
        run_at(at, 3);
        good = out.rax == i;
    }
    ok(good, "through an alias that is not executable");
    map(ALIAS, page[0], P_P | P_U);
    run_at(ALIAS + 0x200, 3);
    equal(out.rax, 49, "executed at the alias");
    set32(page[0] + 0x201, 77);
    run_at(ALIAS + 0x200, 3);
    equal(out.rax, 77, "changed and executed at the alias");
    run_at(at, 3);
    equal(out.rax, 77, "and at the first address");
}

static void remapped(void)
{
    place(constant, patch_next, 0x300);
    memcpy((void *)(page[1] + 0x300), constant, (size_t)(patch_next - constant));
    set32(page[0] + 0x301, 0xaaaa);
    set32(page[1] + 0x301, 0xbbbb);
    run_at(AREA + 0x300, 3);
    equal(out.rax, 0xaaaa, "first page");
    map(AREA, page[1], P_P | P_W | P_U);
    run_at(AREA + 0x300, 3);
    equal(out.rax, 0xbbbb, "another page at the same address");
    map(AREA, 0, 0);
    run_at(AREA + 0x300, 3);
    ok(last.vector == PF && last.error == 20 && last.rip == AREA + 0x300, "unmapped: its code is gone");
    map(AREA, page[0], P_P | P_W | P_U);
    run_at(AREA + 0x300, 3);
    equal(out.rax, 0xaaaa, "the first page is back");
    map(AREA, page[0], P_P | P_W);
    run_at(AREA + 0x300, 3);
    ok(last.vector == PF && last.error == 21, "now for the supervisor only");
    run_at(AREA + 0x300, 0);
    equal(out.rax, 0xaaaa, "which may run it");
    map(AREA, page[0], P_P | P_W | P_U);
}

/* While a function runs, what it returns to becomes another page. */
static unsigned way;

static bool change_below(struct trap *t)
{
    if (t->vector != UD)
        return false;
    t->rip += 2;
    if (way == 2) {
        set32(page[0] + 0x386, 0xcccc);
        return true;
    }
    *pte_of(AREA, 1) = page[1] | P_P | P_W | P_U;
    if (way == 0)
        invlpg(AREA + 0x380);
    else
        __asm__ volatile("mov %%cr3, %%rax\nmov %%rax, %%cr3" : : : "rax", "memory");
    return true;
}

static void under_a_call(void)
{
    static const u32 want[] = {0xbbbb, 0xbbbb, 0xcccc};
    unsigned again;

    for (way = 0; way < 3; way++)
        for (again = 0; again < 3; again++) {
            place(call_over, end, 0x380);
            memcpy((void *)(page[1] + 0x380), call_over, (size_t)(end - call_over));
            set32(page[1] + 0x386, 0xbbbb);
            map(AREA, page[0], P_P | P_W | P_U);
            run_at(AREA + 0x380, 3);
            ok(last.vector == UD, "as it is, the function raises #UD");
            trap_hook = change_below;
            run_at(AREA + 0x380, 3);
            equal(out.rax, want[way], "what a function returns to has changed meanwhile");
            trap_hook = NULL;
        }
    map(AREA, page[0], P_P | P_W | P_U);
}

static void middle(void)
{
    static const u8 bytes[] = {0xb8, 0x83, 0xc0,
                               0x05, 0xcc, 0xcc}; /* mov $0xcc05c083, %eax; inside: add $5, %eax; int3 */
    unsigned i;
    bool good = true;

    memcpy((void *)(page[0] + 0x400), bytes, sizeof bytes);
    for (i = 0; i < 10; i++) {
        in.rax = 10;
        run_at(AREA + 0x400, 3);
        good &= out.rax == 0xcc05c083;
        in.rax = 10;
        run_at(AREA + 0x401, 3);
        good &= out.rax == 15;
    }
    ok(good, "an instruction and the one inside of it");
}

static void page_ends(void)
{
    u64 at = AREA + 4096 - 2;

    map(AREA + 4096, page[1], P_P | P_W | P_U);
    place(constant, patch_next, 4096 - 2);
    memcpy((void *)page[1], constant + 2, 4);
    memcpy((void *)page[2], constant + 2, 4);
    set32(page[2] - 0, 0x99111111 & 0xff999999);
    ((u8 *)page[2])[3] = 0xcc;
    ((u8 *)page[1])[3] = 0xcc;
    run_at(at, 3);
    equal(out.rax, 0x11111111, "an instruction across a page end");
    map(AREA + 4096, page[2], P_P | P_W | P_U);
    run_at(at, 3);
    equal(out.rax & 0xff, 0x11, "its first part is the same");
    equal(out.rax >> 8, *(u32 *)page[2] & 0xffffff, "the second part remapped");
    ((u8 *)page[2])[0] = 0x42;
    run_at(at, 3);
    equal(out.rax >> 8 & 0xff, 0x42, "the second part changed");
    ((u8 *)page[0])[4095] = 0x43;
    run_at(at, 3);
    equal(out.rax & 0xffff, 0x4243, "the first part changed");
    map(AREA + 4096, 0, 0);
    run_at(at, 3);
    ok(last.vector == PF && last.error == 20 && last.rip == at && last_cr2 == AREA + 4096,
       "the second part missing: RIP of the instruction, CR2 of the second page");
    map(AREA + 4096, page[1], P_P | P_W | P_U | P_NX);
    run_at(at, 3);
    ok(last.vector == PF && last.error == 21 && last.rip == at && last_cr2 == AREA + 4096,
       "the second part not executable");
    map(AREA + 4096, page[1], P_P | P_W | P_U);
    ((u8 *)page[0])[4094] = 0x90;
    ((u8 *)page[0])[4095] = 0x90;
    ((u8 *)page[1])[0] = 0xcc;
    run_at(at, 3);
    ok(last.vector == BP && last.rip == AREA + 4097, "a block that runs over the page end");
    map(AREA + 4096, 0, 0);
    run_at(at, 3);
    ok(last.vector == PF && last.rip == AREA + 4096 && last.error == 20,
       "the next page missing: RIP at its start");
}

static bool patch_on_timer(struct trap *t)
{
    if (t->vector != 0x20)
        return false;
    outb(0x21, 0xff);
    outb(0x20, 0x20);
    ((u8 *)page[0])[(t->rip - AREA) & 0xf00] = 0xcc; /* the start of the loop */
    return true;
}

static void under_a_loop(void)
{
    static const u8 command[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0x21, 0xff}};
    static const u8 *const snippet[] = {spin, spin_call};
    static const u8 *const next[] = {spin_call, call_over};
    unsigned i;

    for (i = 0; i < sizeof command / 2; i++)
        outb(command[i][0], command[i][1]);
    outb(0x43, 0x34);
    outb(0x40, 0xa9);
    outb(0x40, 4);
    map(0xfee00000, 0xfee00000, P_P | P_W | 0x10);
    *(volatile u32 *)0xfee000f0 = 0x1ff;
    *(volatile u32 *)0xfee00350 = 0x700;
    trap_hook = patch_on_timer;
    for (i = 0; i < 2; i++) {
        place(snippet[i], next[i], 0x500);
        in.rflags = 0x202;
        outb(0x21, 0xfe);
        run_at(AREA + 0x500, 3);
        ok(last.vector == BP && last.rip == AREA + 0x501, "a running loop is patched from an interrupt");
    }
    in.rflags = 2;
    trap_hook = NULL;
}

enum operation { SET, ADD, OR, ADC, SBB, AND, SUB, XOR, CMP };

/* op r, imm; the destination is RAX, RCX, R10 or R15 */
static const struct patched {
    const char *name;
    u8 code[10], length, at, size; /* the immediate's offset, bytes */
    u8 operation, wide, reg;
} patched[] = {
    {"mov eax, imm32", {0xb8}, 5, 1, 4, SET, false, 0},
    {"mov r10d, imm32", {0x41, 0xba}, 6, 2, 4, SET, false, 10},
    {"mov rcx, imm32", {0x48, 0xc7, 0xc1}, 7, 3, 4, SET, true, 1},
    {"mov r15, imm64", {0x49, 0xbf}, 10, 2, 8, SET, true, 15},
    {"add ecx, imm32", {0x81, 0xc1}, 6, 2, 4, ADD, false, 1},
    {"add rax, imm32", {0x48, 0x05}, 6, 2, 4, ADD, true, 0},
    {"add rcx, imm8", {0x48, 0x83, 0xc1}, 4, 3, 1, ADD, true, 1},
    {"or r10, imm32", {0x49, 0x81, 0xca}, 7, 3, 4, OR, true, 10},
    {"adc eax, imm8", {0x83, 0xd0}, 3, 2, 1, ADC, false, 0},
    {"sbb r15, imm32", {0x49, 0x81, 0xdf}, 7, 3, 4, SBB, true, 15},
    {"and ecx, imm32", {0x81, 0xe1}, 6, 2, 4, AND, false, 1},
    {"sub r10d, imm8", {0x41, 0x83, 0xea}, 4, 3, 1, SUB, false, 10},
    {"sub eax, imm32", {0x2d}, 5, 1, 4, SUB, false, 0},
    {"xor r15d, imm32", {0x41, 0x81, 0xf7}, 7, 3, 4, XOR, false, 15},
    {"cmp rcx, imm8", {0x48, 0x83, 0xf9}, 4, 3, 1, CMP, true, 1},
    {"cmp r10, imm32", {0x49, 0x81, 0xfa}, 7, 3, 4, CMP, true, 10},
};

static u64 *in_register(struct regs *r, unsigned number)
{
    return number == 0 ? &r->rax : number == 1 ? &r->rcx : number == 10 ? &r->r10 : &r->r15;
}

static u64 extended(u64 value, unsigned size)
{
    return size == 8 ? value : size == 4 ? (u64)(int64_t)(int32_t)value : (u64)(int64_t)(int8_t)value;
}

/* The destination afterwards; CF, and ZF as bit 1, in *flags. CF is 1 before. */
static u64 computed(const struct patched *p, u64 a, u64 b, unsigned *flags)
{
    u64 mask = p->wide ? ~0ull : 0xffffffff, r = 0;
    bool carry = false;

    a &= mask;
    b &= mask;
    switch (p->operation) {
    case SET:
        *flags = 1;
        return b;
    case ADD:
    case ADC:
        r = (a + b + (p->operation == ADC)) & mask;
        carry = p->operation == ADC ? r <= a : r < a;
        break;
    case SUB:
    case CMP:
    case SBB:
        r = (a - b - (p->operation == SBB)) & mask;
        carry = p->operation == SBB ? a <= b : a < b;
        break;
    case AND:
        r = a & b;
        break;
    case OR:
        r = a | b;
        break;
    case XOR:
        r = a ^ b;
        break;
    }
    *flags = carry | (r == 0) << 1;
    return p->operation == CMP ? a : r;
}

/* op; then setc dl, setz bl; int3 */
static bool run_patched(const struct patched *p, u64 imm, unsigned turn)
{
    static const u8 tail[] = {0x0f, 0x92, 0xc2, 0x0f, 0x94, 0xc3, 0xcc};
    static const u64 values[] = {0, 1, 0x7fffffff, 0x123456789abcdef0, ~0ull, 0xffffffff80000000};
    u64 value = turn % 5 ? values[turn % 6] : extended(imm, p->size), mask = p->wide ? ~0ull : 0xffffffff, want;
    u8 *code = (u8 *)(page[0] + 0x600);
    unsigned flags;

    if (turn == 0) {
        memcpy(code, p->code, sizeof p->code);
        memcpy(code + p->length, tail, sizeof tail);
    }
    if (turn % 4 == 3) /* a part of it */
        code[p->at] = (u8)imm;
    else
        memcpy(code + p->at, &imm, p->size);
    imm = 0;
    memcpy(&imm, code + p->at, p->size);
    *in_register(&in, p->reg) = value;
    in.rdx = in.rbx = 0;
    in.rflags = 3;
    run_at(AREA + 0x600, turn & 1 ? 3 : 0);
    want = computed(p, value, extended(imm, p->size), &flags);
    return (*in_register(&out, p->reg) & mask) == (want & mask) &&
           (p->operation == CMP || p->wide || *in_register(&out, p->reg) >> 32 == 0) && out.rdx == (flags & 1) &&
           (p->operation == SET || out.rbx == flags >> 1);
}

static void operands(void)
{
    u64 imm = 0x9e3779b97f4a7c15;
    unsigned i, turn;

    for (i = 0; i < sizeof patched / sizeof *patched; i++) {
        bool good = true;

        for (turn = 0; turn < 60; turn++) {
            imm = imm * 6364136223846793005 + 1442695040888963407;
            good &= run_patched(&patched[i], turn % 7 ? imm >> 11 : 0, turn);
        }
        ok(good, patched[i].name);
    }
    in.rflags = 2;
}

/* First the operand changes all the time, then the instruction. */
static void opcode(void)
{
    u8 *code = (u8 *)(page[0] + 0x700);
    unsigned i, wrong = 0;

    memcpy(code, constant, 6);
    for (i = 0; i < 20; i++) {
        set32((u64)code + 1, i);
        run_at(AREA + 0x700, 3);
        wrong += out.rax != i;
    }
    for (i = 0; i < 20; i++) {
        code[0] = i & 1 ? 0xb8 : 0x05; /* mov eax; add eax */
        set32((u64)code + 1, i);
        in.rax = 100;
        run_at(AREA + 0x700, 3);
        wrong += out.rax != (i & 1 ? i : 100 + i);
        *(u64 *)code = (u64)0xcc << 40 | (u64)(1000 + i) << 8 | 0x2d; /* sub eax, all of it at once */
        run_at(AREA + 0x700, 3);
        wrong += out.rax != (u32)(100 - 1000 - (int)i);
    }
    equal(wrong, 0, "an operand that kept changing, then its opcode");
}

void test_main(void)
{
    unsigned i;

    for (i = 0; i < 3; i++)
        page[i] = page_alloc();
    map(AREA, page[0], P_P | P_W | P_U);
    itself();
    others();
    remapped();
    under_a_call();
    middle();
    page_ends();
    operands();
    opcode();
    under_a_loop();
}
