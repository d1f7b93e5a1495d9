/*
 * real.c - real-mode code at work: the same offset in two code segments, far transfers, stacks and pointers that
 * wrap, counters in CX, what keeps the upper half of a register, code that changes itself through another segment,
 * the end of a segment. A snippet runs at 2000:0 with DS = ES = 3000 and SS:SP = 3000:fff0, and leaves its results
 * in registers.
 */
#include "rt.h"

#define PROBE_AT 0x7e00u /* where exceptions come to, in segment 0 */

/* A snippet of 16-bit code between two labels. */
#define SNIPPET(name, ...)                                                                                        \
    extern const u8 name[], name##_end[];                                                                         \
    __asm__(".pushsection .rodata\n.code16\n.globl " #name "\n" #name ":\n" __VA_ARGS__ "\n" #name                \
            "_end:\n.code32\n.popsection\n")

SNIPPET(same_offset, "mov %cs, %ax\n"
                     "mov %ax, %es\n"
                     "xor %bx, %bx\n"
                     "lcall $0x2010, $0x40\n" /* to linear 20140 */
                     "or $1, %bx\n"
                     "call 1f\n" /* leaves its return address where 2010 has other code */
                     "1: pop %ax\n"
                     "push $0x2010\n"
                     "push %ax\n"
                     "lret\n"                           /* the same offset, one paragraph block higher */
                     ".org same_offset + 0x115, 0x90\n" /* 2010:15 */
                     "or $0x100, %bx\n"
                     "ljmp $0x2000, $0x180\n"
                     ".org same_offset + 0x140, 0x90\n"
                     "or $2, %bx\n"
                     "call 2f\n"
                     "or $8, %bx\n"
                     "lret\n"
                     "2: or $4, %bx\n"
                     "ret\n"
                     ".org same_offset + 0x180, 0x90\n"
                     "or $0x200, %bx");

SNIPPET(indirect_far, "mov $0x3000, %ax\n"
                      "mov %ax, %ds\n"
                      "movw $0x30, 0x10\n"
                      "movw $0x2008, 0x12\n"
                      "mov $0x10, %si\n"
                      "xor %bx, %bx\n"
                      "lcall *(%si)\n"
                      "inc %bx\n"
                      "movw $0x40, 0x10\n"
                      "ljmp *0x10\n"
                      ".org indirect_far + 0xb0, 0x90\n"
                      "add $0x10, %bx\n"
                      "lret $0\n"
                      ".org indirect_far + 0xc0, 0x90\n"
                      "add $0x100, %bx");

SNIPPET(far_pointers, "mov $0x3000, %ax\n"
                      "mov %ax, %ds\n"
                      "movl $0x12345678, 0x10\n"
                      "movw $0x9abc, 0xfffe\n"
                      "movw $0xdef0, 0\n"
                      "mov $0x11110000, %ecx\n"
                      "les 0x10, %cx\n"
                      "mov %es, %dx\n"
                      "mov $0xfffe, %bx\n"
                      "les (%bx), %si\n" /* its selector wraps to offset 0 */
                      "mov %es, %di\n"
                      "mov $0x3000, %ax\n"
                      "mov %ax, %es");

SNIPPET(counters, "mov $0x00050003, %ecx\n"
                  "xor %ax, %ax\n"
                  "1: inc %ax\n"
                  "loop 1b\n"
                  "mov %ecx, %ebx\n" /* 50000 */
                  "mov $0x00050000, %ecx\n"
                  "xor %dx, %dx\n"
                  "jcxz 2f\n"
                  "or $1, %dx\n"
                  "2: jecxz 3f\n"
                  "or $2, %dx\n"
                  "3: mov $4, %cx\n"
                  "xor %si, %si\n"
                  "4: inc %si\n"
                  "cmp $2, %si\n"
                  "loopne 4b\n"
                  "mov %cx, %di\n" /* 2 */
                  "mov $0x10000, %ecx\n"
                  "xor %bp, %bp\n"
                  "5: inc %bp\n"
                  "cmp %bp, %bp\n"
                  "addr32 loope 6f\n" /* ECX is ffff then */
                  "jmp 7f\n"
                  "6: or $4, %dx\n"
                  "7: nop");

SNIPPET(stacks, "mov $0x3000, %ax\n"
                "mov %ax, %ss\n"
                "mov $0xabcd0000, %esp\n"
                "mov $0x87654321, %ebx\n"
                "push %bx\n" /* wraps to fffe */
                "mov %esp, %edi\n"
                "push %sp\n"
                "pop %cx\n" /* fffe */
                "pop %dx\n" /* 4321 */
                "mov %esp, %esi\n"
                "mov $0x55550008, %ebp\n"
                "movw $0x7777, %ss:8\n"
                "leave\n"
                "mov %sp, %ax\n" /* a */
                "mov $0xfff0, %esp");

SNIPPET(wide_transfers, "xor %bx, %bx\n"
                        "calll 1f\n"
                        "inc %bx\n"
                        "mov %sp, %ax\n"
                        "jmp 2f\n"
                        "1: mov %sp, %cx\n"
                        "or $0x10, %bx\n"
                        "retl\n"
                        "2: mov $3f - wide_transfers, %dx\n"
                        "jmp *%dx\n"
                        "or $0x8000, %bx\n"
                        "3: or $0x20, %bx");

/* 2000:30 and 1ff0:130 are the same byte. */
SNIPPET(alias, "mov $0x1ff0, %ax\n"
               "mov %ax, %ds\n"
               "xor %bx, %bx\n"
               "mov $3, %cx\n"
               "1: call 2f\n"
               "incb 0x132\n"
               "dec %cx\n"
               "jnz 1b\n"
               "mov %bx, %dx\n"
               "movb $0x42, %cs:4f - alias\n" /* the very next instruction: INC AX becomes INC DX */
               "4: inc %ax\n"
               "mov $0x3000, %ax\n"
               "mov %ax, %ds\n"
               "jmp 3f\n"
               ".org alias + 0x30, 0x90\n"
               "2: add $1, %bx\n"
               "ret\n"
               "3: nop");

SNIPPET(high_bytes, "mov $0x3000, %ax\n"
                    "mov %ax, %ds\n"
                    "mov $0x10, %bx\n"
                    "movw $0x1122, (%bx)\n"
                    "mov $0xaabb, %dx\n"
                    "mov (%bx), %ah\n"
                    "mov %dh, 1(%bx)\n"
                    "add 1(%bx), %ah\n"
                    "adc (%bx), %dl\n"
                    "mov (%bx), %cx\n"
                    "mov $0x10, %bx\n"
                    "xlat\n"
                    "lea 3(%bx,%si), %esi");

SNIPPET(flag_words, "pushf\n"
                    "pop %bx\n"
                    "mov $0x8d7, %ax\n"
                    "push %ax\n"
                    "popf\n"
                    "pushf\n"
                    "pop %cx\n"
                    "pushfl\n"
                    "pop %dx\n"
                    "pop %si\n"
                    "cld");

SNIPPET(into_handler, "nop\n"
                      ".org into_handler + 0xe, 0x90\n"
                      "aam $0\n"
                      "mov $0x1111, %dx");

SNIPPET(single_step, "pushf\n"
                     "pop %ax\n"
                     "or $1, %ah\n"
                     "push %ax\n"
                     "push %cs\n"
                     "push $0x20\n"
                     "xor %bx, %bx\n"
                     "iret\n"
                     ".org single_step + 0x20, 0x90\n"
                     "inc %bx\n"
                     "inc %bx\n"
                     "inc %bx");

/* The same code through one paragraph less each time. */
SNIPPET(segment_walk, "xor %bx, %bx\n"
                      "mov $0x2000, %ax\n"
                      "mov $1f - segment_walk, %dx\n"
                      "jmp 2f\n"
                      "1: inc %bx\n"
                      "2: dec %ax\n"
                      "add $16, %dx\n"
                      "cmp $1500, %bx\n"
                      "je 3f\n"
                      "push %ax\n"
                      "push %dx\n"
                      "lret\n"
                      "3: ljmp $0x2000, $4f - segment_walk\n"
                      "4: nop");

/* SS with the limit of FREE, a 16-bit stack all the same, then SS:SP = 3000:2 and 3000:4. */
SNIPPET(split_frames, "mov %cr0, %eax\n"
                      "or $1, %al\n"
                      "mov %eax, %cr0\n"
                      "mov $0x48, %dx\n" /* FREE */
                      "mov %dx, %ss\n"
                      "and $0xfe, %al\n"
                      "mov %eax, %cr0\n"
                      "mov $0x3000, %dx\n"
                      "mov %dx, %ss\n"
                      "mov $3, %di\n" /* the third time all segments are known */
                      "1: mov $2, %sp\n"
                      "lcall $0x2000, $2f - split_frames\n"
                      "mov $4, %sp\n"
                      "int $0x60\n"
                      "dec %di\n"
                      "jnz 1b\n"
                      "mov $0xfff0, %sp\n"
                      "jmp 4f\n"
                      "2: mov %ss:0, %bx\n"
                      "mov %sp, %cx\n"
                      "lret\n"
                      ".org split_frames + 0x60, 0x90\n"
                      "mov %ss:0, %bp\n"
                      "mov %sp, %si\n"
                      "iret\n"
                      "4: nop");

static void run_snippet(const u8 *from, const u8 *end)
{
    real_bytes(from, (unsigned)(end - from));
}
#define RUN_SNIPPET(name) run_snippet(name, name##_end)

static void transfers(void)
{
    in = (struct state){0};
    RUN_SNIPPET(same_offset);
    equal(last.ebx & 0xffff, 0x30f, "far CALL and RET, and the same offset in another segment");
    in = (struct state){0};
    RUN_SNIPPET(indirect_far);
    equal(last.ebx & 0xffff, 0x111, "far CALL and JMP through memory");
    in = (struct state){0};
    RUN_SNIPPET(wide_transfers);
    equal(last.ebx & 0xffff, 0x31, "CALL and RET of 32 bits, JMP to a register");
    equal(last.ecx & 0xffff, 0xffec, "  take four bytes of the stack");
    equal(last.eax & 0xffff, 0xfff0, "  and give them back");
}

static void memory(void)
{
    in = (struct state){0};
    RUN_SNIPPET(far_pointers);
    equal(last.ecx, 0x11115678, "LES keeps the upper half of ECX");
    equal(last.edx & 0xffff, 0x1234, "LES loads ES");
    equal(last.esi & 0xffff, 0x9abc, "LES of a pointer that wraps: the offset");
    equal(last.edi & 0xffff, 0xdef0, "  and the selector, at offset 0");
    in = (struct state){0};
    RUN_SNIPPET(stacks);
    equal(last.edi, 0xabcdfffe, "PUSH keeps the upper half of ESP");
    equal(last.ecx & 0xffff, 0xfffe, "PUSH SP stores the old one");
    equal(last.edx & 0xffff, 0x4321, "POP at fffe");
    equal(last.esi, 0xabcd0000, "  wraps");
    equal(last.eax & 0xffff, 0xa, "LEAVE takes SP from BP");
    equal(last.ebp, 0x55557777, "  and keeps the upper half of EBP");
    in = (struct state){.esi = 0x20000};
    RUN_SNIPPET(high_bytes);
    equal(last.ecx & 0xffff, 0xaa22, "bytes from and to AH and DH");
    equal(last.edx & 0xffff, 0xaadd, "  with their flags");
    equal(last.esi, 0x13, "LEA of a 16-bit address into 32 bits");
}

static void counting(void)
{
    in = (struct state){0};
    RUN_SNIPPET(counters);
    equal(last.eax & 0xffff, 3, "LOOP counts in CX");
    equal(last.ebx, 0x50000, "  and keeps the upper half of ECX");
    equal(last.edx & 0xffff, 6, "JCXZ looks at CX, JECXZ and LOOPE with a prefix at ECX");
    equal(last.edi & 0xffff, 2, "LOOPNE ends with ZF");
    in = (struct state){0};
    RUN_SNIPPET(flag_words);
    equal(last.ecx & 0xffff, 0x8d7 & 0xfd7, "POPF and PUSHF");
    equal(last.edx & 0xffff, 0x8d7 & 0xfd7, "PUSHFD");
    equal(last.esi & 0xffff, 0, "  four bytes of it");
}

static void changes(void)
{
    in = (struct state){0};
    RUN_SNIPPET(alias);
    equal(last.ebx & 0xffff, 1 + 2 + 3, "code changed through another segment");
    equal(last.edx & 0xffff, 7, "code changed right behind itself");
}

/* A 16-bit stack of more than 64 KiB: each word of a frame wraps by itself. */
static void frames(void)
{
    gdt[FREE / 8] = descriptor(0, 0xfffff, 0x92, 8);
    w16(4 * 0x60, 0x60);
    w16(4 * 0x60 + 2, 0x2000);
    w32(0x40000, 0);
    in = (struct state){0};
    RUN_SNIPPET(split_frames);
    equal(last.ebx & 0xffff, 0x2000, "far CALL at SP 2: CS is at offset 0");
    equal(last.ecx & 0xffff, 0xfffe, "  and IP at fffe");
    equal(last.ebp & 0xffff, 0x2000, "INT at SP 4: CS is at offset 0");
    equal(last.esi & 0xffff, 0xfffe, "  and IP at fffe");
    equal(r32(0x40000), 0, "  nothing is written behind 64 KiB");
}

/* More code segments than the translator tells apart at a time. */
static void many_segments(void)
{
    in = (struct state){0};
    RUN_SNIPPET(segment_walk);
    equal(last.ebx & 0xffff, 1500, "RET to 1500 code segments");
}

/* An exception leaves its IP in CX: the vector's handler at 0000:PROBE_AT takes it from the frame. */
static void catch_vector(unsigned vector)
{
    extern u8 real_start[], real_exit[];
    static const u8 probe[] = {0x59, 0x83, 0xc4, 0x04, 0xba}; /* pop cx; add sp, 4; mov dx, vector */
    const u8 leave[] = {(u8)vector, 0, 0xea, LE16(0x8000 + (u32)(real_exit - real_start)), 0, 0};

    w16(4 * vector, PROBE_AT);
    w16(4 * vector + 2, 0);
    memcpy((void *)PROBE_AT, probe, sizeof probe);
    memcpy((void *)(PROBE_AT + sizeof probe), leave, sizeof leave);
}

static void faults(void)
{
    static const struct {
        const char *name;
        u8 code[12];
        u8 size, vector;
        u16 ip;
    } rows[] = {
        /* mov ecx, 10000; mov al, [ecx] */
        {"a 32-bit address beyond the limit gives #GP", {0x66, 0xb9, 0, 0, 1, 0, 0x67, 0x8a, 0x01}, 9, GP, 6},
        /* push 10000; retl */
        {"RETL beyond the limit gives #GP", {0x66, 0x68, 0, 0, 1, 0, 0x66, 0xc3}, 8, GP, 6},
        /* mov eax, 12345; jmp eax */
        {"JMP EAX beyond the limit gives #GP", {0x66, 0xb8, 0x45, 0x23, 1, 0, 0x66, 0xff, 0xe0}, 9, GP, 6},
        /* jmp 1fffd */
        {"JMP beyond the limit gives #GP", {0x90, 0x66, 0xe9, 0xf6, 0xff, 1, 0}, 7, GP, 1},
        /* mov di, ffff; stosw */
        {"STOSW at ffff gives #GP", {0xbf, 0xff, 0xff, 0xab}, 4, GP, 3},
        /* jmp fffe, where NOPs run off the end */
        {"the end of the segment gives #GP", {0xe9, 0xfb, 0xff}, 3, GP, 0},
    };
    unsigned i;

    memset((void *)(CODE + 0xfff0), 0x90, 16);
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        catch_vector(rows[i].vector);
        in = (struct state){0};
        real_bytes(rows[i].code, rows[i].size);
        equal(last.ecx & 0xffff, rows[i].ip, rows[i].name);
    }
}

static void steps(void)
{
    catch_vector(DB);
    in = (struct state){0};
    RUN_SNIPPET(single_step);
    equal(last.ebx & 0xffff, 1, "IRET sets TF: one more instruction");
    equal(last.ecx & 0xffff, 0x21, "  and the trap behind it");
}

/* A handler whose offset in its segment is the one behind the instruction that faults. */
static void handler_behind(void)
{
    catch_vector(DE);
    w16(4 * DE, 0x10);
    w16(4 * DE + 2, (PROBE_AT - 0x10) >> 4);
    in = (struct state){0};
    RUN_SNIPPET(into_handler);
    equal(last.edx & 0xffff, DE, "a handler in another segment, at the offset behind the fault");
    equal(last.ecx & 0xffff, 0xe, "  of the instruction that has raised it");
}

void test_main(void)
{
    transfers();
    memory();
    counting();
    changes();
    frames();
    many_segments();
    faults();
    handler_behind();
    steps();
}
