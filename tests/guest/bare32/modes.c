/*
 * modes.c - real mode and the ways between the modes: limits that survive ("unreal"), wraps at 64 KiB, A20, the
 * interrupt vector table, SMSW and LMSW, long mode and its compatibility mode and back.
 */
#include "rt.h"

static void real_addresses(void)
{
    /* mov ax, 0x3000; mov ds, ax; mov dword [0x10], 0x12345678; mov ebx, [0x10]; mov ecx, cs; mov edx, ds */
    in = (struct state){0};
    w32(DATA + 0x10, 0);
    REAL(0xb8, LE16(0x3000), 0x8e, 0xd8, 0x66, 0xc7, 0x06, LE16(0x10), LE32(0x12345678), 0x66, 0x8b, 0x1e,
         LE16(0x10), 0x66, 0x8c, 0xc9, 0x66, 0x8c, 0xda);
    equal(r32(DATA + 0x10), 0x12345678, "real mode: the base is 16 times the selector");
    equal(last.ebx, 0x12345678, "real mode: a 32-bit load");
    equal(last.ecx & 0xffff, 0x2000, "real mode: CS");
    equal(last.edx & 0xffff, 0x3000, "real mode: DS");
    equal(last.ds, 0x3000, "real mode: DS stays");
}

/* An address register wraps at 64 KiB: [bx + si]. */
static void real_wrap(void)
{
    in = (struct state){.ebx = 0xfff0, .esi = 0x0020};
    w8(DATA + 0x10, 0x5a);
    w8(DATA + 0x10010, 0xa5);
    /* mov ax, 0x3000; mov ds, ax; mov al, [bx + si]; mov cl, [0xffff + bx ...] */
    REAL(0xb8, LE16(0x3000), 0x8e, 0xd8, 0x8a, 0x00);
    equal(last.eax & 0xff, 0x5a, "real mode: base plus index wraps at 64 KiB");
    /* push ax at SP 0 wraps to fffe: mov sp, 0; push bx; mov cx, sp; mov sp, fff0 */
    in = (struct state){.ebx = 0x1234};
    REAL(0xbc, LE16(0), 0x53, 0x89, 0xe1, 0xbc, LE16(0xfff0));
    equal(last.ecx & 0xffff, 0xfffe, "real mode: PUSH at SP 0 wraps");
    equal(r16(DATA + 0xfffe), 0x1234, "real mode: and stores at fffe");
}

/* Vector `vector` of the table at 0 goes to 2000:0080: store the frame's address in DX and leave. */
static void vector_to_probe(unsigned vector)
{
    static const u8 probe[] = {0x89, 0xe2, 0x8b, 0xec, 0x8b, 0x5e,
                               0x00, 0x8b, 0x4e, 0x04}; /* mov dx, sp; mov bp, sp;
mov bx, [bp]; mov cx, [bp + 4] */
    extern u8 real_start[], real_exit[];
    u8 leave[] = {0xea, LE16(0x8000 + (u32)(real_exit - real_start)), 0, 0};

    w16(4 * vector, 0x80);
    w16(4 * vector + 2, 0x2000);
    memcpy((void *)(CODE + 0x80), probe, sizeof probe);
    memcpy((void *)(CODE + 0x80 + sizeof probe), leave, sizeof leave);
}

static void real_faults(void)
{
    static const struct {
        const char *name;
        u8 code[12];
        u8 size, vector, offset;
    } rows[] = {
        {"real mode: a word at offset ffff gives #GP", {0x8b, 0x06, 0xff, 0xff}, 4, GP, 0},
        {"real mode: a word of the stack at ffff gives #SS", {0xbd, 0xff, 0xff, 0x8b, 0x46, 0x00}, 6, SS, 3},
        {"real mode: #UD", {0x0f, 0x0b}, 2, UD, 0},
        {"real mode: #DE", {0x31, 0xc9, 0xf7, 0xf1}, 4, DE, 2},
        {"real mode: INT n", {0x90, 0xcd, 0x70}, 3, 0x70, 3},
        {"real mode: INT3", {0xcc}, 1, BP, 1},
        {"real mode: INTO", {0xb0, 0x7f, 0x04, 0x01, 0xce}, 5, OF, 5},
        {"real mode: BOUND", {0xb8, 0xff, 0x7f, 0x62, 0x06, 0x00, 0x50}, 7, BR, 3},
        {"real mode: LLDT gives #UD", {0x0f, 0x00, 0xd0}, 3, UD, 0},
        {"real mode: STR gives #UD", {0x0f, 0x00, 0xc8}, 3, UD, 0},
        {"real mode: LAR gives #UD", {0x0f, 0x02, 0xc0}, 3, UD, 0},
        {"real mode: VERR gives #UD", {0x0f, 0x00, 0xe0}, 3, UD, 0},
        {"real mode: ARPL gives #UD", {0x63, 0xc0}, 2, UD, 0},
        {"real mode: LOCK MOV gives #UD", {0xf0, 0x89, 0x07}, 3, UD, 0},
        {"real mode: SYSENTER gives #GP", {0x0f, 0x34}, 2, GP, 0},
        {"real mode: a jump behind the limit gives #GP", {0x66, 0xea, 0, 0, 1, 0, 0, 0x20}, 8, GP, 0},
        {"real mode: VADDPS gives #UD", {0xc5, 0xf8, 0x58, 0xc0}, 4, UD, 0},
    };
    unsigned i;

    w32(0x5000, 0x00010000); /* BOUND 0..1 */
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        in = (struct state){0};
        memset(0, 0, 0x400);
        vector_to_probe(rows[i].vector);
        real_bytes(rows[i].code, rows[i].size);
        equal(last.edx & 0xffff, 0xffea, rows[i].name);
        equal(last.ebx & 0xffff, rows[i].offset, "  the IP pushed");
    }
}

static void real_interrupt_frame(void)
{
    memset(0, 0, 0x400);
    vector_to_probe(0x21);
    in = (struct state){0};
    REAL(0xf9, 0xfb, 0xcd, 0x21); /* stc; sti; int 0x21 */
    equal(last.edx & 0xffff, 0xffea, "real mode: INT pushes three words");
    equal(last.ecx & 0xf201, 0x0201, "real mode: FLAGS pushed with IF and CF");
    equal(last.eflags & 0x201, 0x001, "real mode: INT clears IF, CF stays");
    equal(r16(DATA + 0xffec), 0x2000, "real mode: CS pushed");
    /* an IRET goes back: handler at 2000:0080 is inc cx; iret */
    memcpy((void *)(CODE + 0x80), (const u8[]){0x41, 0xcf}, 2);
    in = (struct state){.ecx = 6};
    REAL(0xf9, 0xcd, 0x21);
    equal(last.ecx & 0xffff, 7, "real mode: IRET comes back");
    equal(last.eflags & 1, 1, "real mode: with the flags");
}

/* Protected-mode limits stay after PE is cleared: DS gets 4 GiB and keeps it over a load in real mode. */
static void unreal(void)
{
    extern u8 real_start[], real_gdt[];

    in = (struct state){.ebx = 0x300000};
    w32(0x300000, 0xcafe1234);
    /* lgdt; mov eax, cr0; inc ax; mov cr0, eax; mov cx, KDS; mov ds, cx; dec ax; mov cr0, eax; xor cx, cx; mov ds,
       cx; mov edx, [ebx] */
    REAL(0x66, 0x0f, 0x01, 0x16, LE16(0x8000 + (u32)(real_gdt - real_start)), 0x0f, 0x20, 0xc0, 0x40, 0x0f, 0x22,
         0xc0, 0xb9, LE16(KDS), 0x8e, 0xd9, 0x48, 0x0f, 0x22, 0xc0, 0x31, 0xc9, 0x8e, 0xd9, 0x67, 0x66, 0x8b,
         0x13);
    equal(last.edx, 0xcafe1234, "unreal mode: the limit of protected mode stays");
    equal(last.ds, 0, "unreal mode: with the base of real mode");
}

static void a20(void)
{
    in = (struct state){0};
    w8(0x10, 0x11);
    w8(0x100010, 0x22);
    /* in al, 0x92; and al, 0xfd; out 0x92, al; mov ax, ffff; mov ds, ax; mov bl, [0x20]; in al, 0x92; or al, 2;
     * out; mov bh, [0x20] */
    REAL(0xe4, 0x92, 0x24, 0xfc, 0xe6, 0x92, 0xb8, LE16(0xffff), 0x8e, 0xd8, 0x8a, 0x1e, LE16(0x20), 0xe4, 0x92,
         0x24, 0xfe, 0x0c, 0x02, 0xe6, 0x92, 0x8a, 0x3e, LE16(0x20));
    equal(last.ebx & 0xff, 0x11, "A20 off: ffff:0020 is 00010");
    equal(last.ebx >> 8 & 0xff, 0x22, "A20 on: ffff:0020 is 100010");
}

static void machine_status(void)
{
    in = (struct state){0};
    REAL(0x0f, 0x01, 0xe0, 0x89, 0xc3); /* smsw ax; mov bx, ax */
    equal(last.ebx & 1, 0, "real mode: SMSW shows PE clear");
    flat(0);
    RUN(0x0f, 0x01, 0xe3, 0x89, 0xd8, 0x83, 0xe0, 0xfe, 0x0f, 0x01, 0xf0, 0x0f, 0x01,
        0xe1); /* smsw ebx; lmsw with PE 0 */
    ended(BP, DONT_CARE, "LMSW runs");
    equal(last.ecx & 1, 1, "LMSW cannot clear PE");
}

/* From 32-bit protected mode to long mode (compatibility, then 64-bit) and back. */
static _Alignas(4096) u64 pml4[512], pdpt[512], pd[512];

/* Through compatibility mode (a selector of FREE is 64-bit code) and back; EDI counts the parts that have run. */
extern u8 long_code[];
__asm__(".pushsection .text\n"
        ".globl long_code\n"
        "long_code:\n"
        "movl $0xc0000080, %ecx\nrdmsr\norl $0x100, %eax\nwrmsr\n" /* EFER.LME */
        "movl %cr0, %eax\norl $0x80000000, %eax\nmovl %eax, %cr0\n"
        "movl $1, %edi\n"
        "ljmp $0x48, $1f\n"
        ".code64\n"
        "1: movabsq $0x0123456789abcdef, %rsi\n"
        "shrq $32, %rsi\n"
        "movl $5, %r8d\naddl %r8d, %edi\n"
        "movl $2f, %eax\npushq $8\npushq %rax\nlretq\n"
        ".code32\n"
        "2: incl %edi\n"
        "movl %cr0, %eax\nandl $0x7fffffff, %eax\nmovl %eax, %cr0\n"
        "movl $0xc0000080, %ecx\nrdmsr\nmovl %eax, %ebp\nandl $~0x100, %eax\nwrmsr\n"
        "incl %edi\n"
        "int3\n"
        ".popsection\n");

static void long_mode(void)
{
    u64 saved = gdt[FREE / 8];
    u32 cr4 = read_cr4();
    unsigned i;

    for (i = 0; i < 512; i++)
        pd[i] = (u64)i << 21 | 0x83;
    pdpt[0] = (u32)pd | 3;
    pml4[0] = (u32)pdpt | 3;
    gdt[FREE / 8] = descriptor(0, 0xfffff, 0x9b, 0xa);
    write_cr4(cr4 | 0x20);
    write_cr3((u32)pml4);
    flat(0);
    in.eip = (u32)long_code;
    run();
    ended(BP, DONT_CARE, "into long mode, 64-bit code and back");
    equal(last.esi, 0x01234567, "64-bit code has run");
    equal(last.edi, 8, "all parts have run");
    equal(last.ebp & 0x500, 0x100, "EFER.LMA is clear when paging is off, LME stays");
    write_cr4(cr4);
    gdt[FREE / 8] = saved;
}

void test_main(void)
{
    real_addresses();
    real_wrap();
    real_faults();
    real_interrupt_frame();
    unreal();
    a20();
    machine_status();
    long_mode();
}
