/*
 * well.c - a guest that behaves well: it has page tables, a user program with demand paging, system calls by INT,
 * timer interrupts, and no sensitive instruction that does not trap. Trap-and-emulate runs it right.
 */
#include "rt.h"

#define USER_BASE 0x40000000ul
#define USER_DATA 0x40400000ul
#define USER_PAGES 16u
#define USER_CLOCK 0x40600000ul
#define USER_STACK 0x40800000ul
#define SECRET 0x300000ul /* a page of the kernel's */

static word pages, refused, calls, sum;
static word secret_error;

/* The user program, the same bytes in both widths. System calls: INT 0x80 gives the ticks in EAX; INT 0x81 ends it
   with EAX. */
__asm__(".pushsection .user, \"ax\"\n"
        ".globl user_code\n"
        "user_code:\n"
        "    xorl %eax, %eax\n" /* 1: a loop */
        "    movl $3000, %ecx\n"
        "1:  addl %ecx, %eax\n"
        "    loop 1b\n"
        "    movl %eax, %esi\n"
        "    movl $0x40400000, %edi\n" /* 2: pages that are not there yet */
        "    movl $16, %ecx\n"
        "2:  movl %ecx, (%edi)\n"
        "    addl (%edi), %esi\n"
        "    addl $4096, %edi\n"
        "    loop 2b\n"
        "    movd %esi, %xmm5\n" /* the sum survives all that comes, in a register of SSE */
        "    xorl %esi, %esi\n"
        "    cli\n" /* 3: refused; the kernel steps over the byte */
        "    hlt\n"
        "    movl $0x300000, %edi\n" /* 4: refused as well: the kernel steps over it */
        "    movl (%edi), %eax\n"
        "    int $0x80\n" /* 5: interrupted by the timer */
        "    movl %eax, %ebx\n"
        "3:  int $0x80\n"
        "    subl %ebx, %eax\n"
        "    cmpl $5, %eax\n"
        "    jb 3b\n"
        "    movl $0x40600000, %edi\n" /* 6: and in a loop that asks for nothing */
        "    movl (%edi), %ebx\n"
        "4:  movl (%edi), %eax\n"
        "    subl %ebx, %eax\n"
        "    cmpl $5, %eax\n"
        "    jb 4b\n"
        "    movd %xmm5, %eax\n"
        "    int $0x81\n"
        ".popsection\n");
extern u8 user_code[];

static bool page_fault(struct frame *f)
{
    word at = read_cr2();

    if (at == SECRET) {
        secret_error = f->error;
        f->ip += sizeof(word) == 8 ? 3 : 2; /* with an address-size prefix in 64-bit code */
        return true;
    }
    if (at < USER_DATA || at >= USER_DATA + USER_PAGES * 4096 || f->error != 6)
        return false;
    pages++;
    map(at & ~4095ul, page_alloc(), P_P | P_W | P_U);
    return true;
}

static bool hook(struct frame *f)
{
    switch (f->vector) {
    case PF:
        return page_fault(f);
    case GP:
        refused++;
        f->ip++;
        return true;
    case 0x80:
        calls++;
        f->ax = ticks;
        return true;
    case 0x81:
        sum = f->ax;
        return_to_kernel(f);
        return true;
    default:
        return false;
    }
}

static void check_user(void)
{
    word i;

    for (i = 0; i < (word)(user_end - user_start); i += 4096)
        map(USER_BASE + i, (word)user_start + i, P_P | P_U);
    map(USER_CLOCK, (word)clock_page, P_P | P_U);
    map(USER_STACK - 4096, page_alloc(), P_P | P_W | P_U);
    vector_hook = hook;
    enter_user(USER_BASE + (word)(user_code - user_start), USER_STACK);
    equal(sum, (u32)(3000ull * 3001 / 2 + 16 * 17 / 2), "the user program's sum");
    equal(pages, USER_PAGES, "page faults of the user program");
    equal(refused, 2, "CLI and HLT at CPL 3 are refused");
    equal(secret_error, 5, "a page of the kernel's is refused");
    ok(calls > 1, "system calls");
}

static void check_bits(void)
{
    map(USER_DATA, page_alloc(), P_P | P_W);
    equal(entry_of(USER_DATA) & (P_A | P_D), 0, "a new page is neither accessed nor dirty");
    (void)*(volatile u32 *)USER_DATA;
    equal(entry_of(USER_DATA) & (P_A | P_D), P_A, "read: accessed");
    *(volatile u32 *)USER_DATA = 1;
    equal(entry_of(USER_DATA) & (P_A | P_D), P_A | P_D, "written: dirty");
    map(USER_DATA, page_alloc(), P_P | P_W);
    equal(*(volatile u32 *)USER_DATA, 0, "another page there, behind INVLPG");
    map(USER_DATA, 0, 0);
}

static void check_timer(void)
{
    word before;

    timer_on();
    while (!timer_waits())
        ;
    equal(ticks, 0, "no interrupt while IF is clear");
    __asm__ volatile("sti; nop");
    ok(ticks > 0, "an interrupt behind STI");
    before = ticks;
    while (ticks < before + 3)
        ;
    __asm__ volatile("hlt");
    ok(ticks > before + 3, "HLT ends with an interrupt");
    __asm__ volatile("cli");
    before = ticks;
    while (!timer_waits())
        ;
    equal(ticks, before, "CLI holds it back");
}

void guest_main(void)
{
    put("# " WIDTH "-bit guest\n");
    check_bits();
    check_timer();
    check_user();
}
