/*
 * compat.c - 32-bit register instructions against the host, which runs them in compatibility mode: BCD arithmetic,
 * the short INC and DEC, 16-bit addressing, flags. A failure implicates cpu/interp_legacy.c or cpu/decode.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/cpu/machine.h"

#define ARITH FLAGS_ARITH

/* In low memory, as 32-bit code needs it. The layout is known to the asm below. */
struct low {
    uint32_t reg[8]; /* in and out */
    uint64_t flags;  /* 32 */
    uint64_t resume; /* 40 */
    uint64_t stack;  /* 48: RSP of the caller */
    uint64_t top;    /* 56: top of the low stack */
    uint64_t code;   /* 64 */
    uint8_t text[64];
    uint8_t spare[4096];
};

void compat_enter(struct low *low);

__asm__(".pushsection .text\n"
        "compat_enter:\n"
        "    pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
        "    movq %rdi, %r11\n"
        "    movq %rsp, 48(%r11)\n"
        "    leaq 1f(%rip), %rax\n"
        "    movq %rax, 40(%r11)\n"
        "    movq 56(%r11), %rsp\n"
        "    movq 32(%r11), %rax\n"
        "    movl %eax, (%rsp)\n"
        "    movq 64(%r11), %r10\n"
        "    subq $16, %rsp\n"
        "    movq %r10, (%rsp)\n"
        "    movq $0x23, 8(%rsp)\n"
        "    movl 0(%r11), %eax\n"
        "    movl 4(%r11), %ecx\n"
        "    movl 8(%r11), %edx\n"
        "    movl 12(%r11), %ebx\n"
        "    movl 20(%r11), %ebp\n"
        "    movl 24(%r11), %esi\n"
        "    movl 28(%r11), %edi\n"
        "    lretq\n"
        "1:  movl %eax, 0(%r11)\n"
        "    movl %ecx, 4(%r11)\n"
        "    movl %edx, 8(%r11)\n"
        "    movl %ebx, 12(%r11)\n"
        "    movl %ebp, 20(%r11)\n"
        "    movl %esi, 24(%r11)\n"
        "    movl %edi, 28(%r11)\n"
        "    movl (%rsp), %eax\n"
        "    movq %rax, 32(%r11)\n"
        "    movq 48(%r11), %rsp\n"
        "    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
        "    ret\n"
        ".popsection\n");

/* POPF; the instruction; PUSHF; far jump to 64-bit code: MOV R11, low; JMP [R11 + 40]. */
static void build(struct low *low, const uint8_t *code, unsigned size)
{
    uint8_t *p = low->text;
    uint64_t self = (uintptr_t)low;
    uint32_t back;

    *p++ = 0x9d;
    memcpy(p, code, size);
    p += size;
    *p++ = 0x9c;
    back = (uint32_t)(uintptr_t)p + 7;
    *p++ = 0xea;
    memcpy(p, &back, 4);
    p[4] = 0x33;
    p[5] = 0;
    p += 6;
    *p++ = 0x49;
    *p++ = 0xbb;
    memcpy(p, &self, 8);
    p += 8;
    memcpy(p, (const uint8_t[]){0x41, 0xff, 0x63, 40}, 4);
    low->code = (uintptr_t)low->text;
    low->top = (uintptr_t)low->spare + 2048;
}

static unsigned random_code(uint8_t *code)
{
    static const uint8_t single[] = {0x27, 0x2f, 0x37, 0x3f, 0xd6, 0x98, 0x99, 0xf5, 0x9e, 0x9f, 0xf8, 0xf9};
    unsigned kind = (unsigned)rand() % 6, reg = (unsigned)rand() % 8, n = 0;

    if (reg == RSP)
        reg = RAX;
    switch (kind) {
    case 0:
    case 1:
        code[n++] = single[(unsigned)rand() % sizeof single];
        break;
    case 2:
        code[n++] = 0xd4 + rand() % 2;
        code[n++] = (uint8_t)(1 + rand() % 255);
        break;
    case 3: /* INC, DEC */
        if (rand() & 1)
            code[n++] = 0x66;
        code[n++] = (uint8_t)(0x40 + (rand() & 8) + reg);
        break;
    case 4: /* LEA with every form of 16-bit addressing */
        if (rand() & 1)
            code[n++] = 0x66;
        code[n++] = 0x67;
        code[n++] = 0x8d;
        code[n++] = (uint8_t)(reg << 3 | rand() % 8 | (rand() % 3) << 6);
        n += code[n - 1] >> 6 == 2 || (code[n - 1] & 0xc7) == 6 ? 2 : code[n - 1] >> 6;
        break;
    default: /* op r, r of 8, 16 and 32 bits */
        if (rand() & 1)
            code[n++] = 0x66;
        code[n++] = (uint8_t)((rand() % 8) << 3 | rand() % 4);
        code[n++] = (uint8_t)(0xc0 | reg << 3 | (rand() % 2 ? RBX : RDI));
        break;
    }
    return n;
}

/* What the manual leaves undefined of the other flags differs between processors (SDM vol. 2, DAA, DAS, AAA, AAS).
 */
static uint64_t defined_flags(uint8_t opcode)
{
    if (opcode == 0x27 || opcode == 0x2f)
        return ARITH & ~(uint64_t)FLAG_OF;
    return opcode == 0x37 || opcode == 0x3f ? FLAG_AF | FLAG_CF : ARITH;
}

static void compare(struct machine *m, struct low *low, const uint8_t *code, unsigned size)
{
    struct vcpu *v = m->v;
    uint64_t defined = defined_flags(code[0]);

    build(low, code, size);
    for (unsigned n = 0; n < 8; n++) {
        low->reg[n] = (uint32_t)rand() ^ (uint32_t)rand() << 16;
        v->gpr[n] = n == RSP ? v->gpr[n] : low->reg[n];
    }
    low->flags = FLAG_FIXED | ((uint32_t)rand() & ARITH);
    v->rflags = low->flags | FLAG_IF;
    cr_assert(ram_copy_to(&m->ram, CODE, code, size));
    v->rip = CODE;
    cr_assert(cpu_step(v) == CPU_OK && v->rip == CODE + size, "%02x %02x %02x", code[0], code[1], code[2]);
    compat_enter(low);
    for (unsigned n = 0; n < 8; n++)
        if (n != RSP)
            cr_assert_eq(v->gpr[n], low->reg[n], "%02x %02x %02x %02x: register %u is %lx, host %x", code[0],
                         code[1], code[2], code[3], n, v->gpr[n], low->reg[n]);
    cr_assert_eq(v->rflags & defined, low->flags & defined, "%02x %02x %02x: flags %lx, host %lx", code[0],
                 code[1], code[2], v->rflags & defined, low->flags & defined);
}

Test(compat, registers_and_flags_as_on_the_host)
{
    struct machine *m = machine_create("max");
    struct low *low = mmap(NULL, sizeof *low, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    cr_assert_neq(low, MAP_FAILED);
    machine_protected_mode(m, 3);
    srand(1);
    for (unsigned n = 0; n < 20000; n++) {
        uint8_t code[16];
        unsigned size;

        for (unsigned b = 0; b < sizeof code; b++)
            code[b] = (uint8_t)rand();
        size = random_code(code);
        compare(m, low, code, size);
    }
    munmap(low, sizeof *low);
    machine_destroy(m);
}
