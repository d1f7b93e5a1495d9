/*
 * hostile.c - a guest that tries to get out, from CPL 0 and from CPL 3: system calls of the host's, its debug
 * registers and model-specific registers, jumps to every part of the address space, single steps, misaligned SSE.
 * Each attempt must end in the exception that the manual says, with nothing changed.
 */
#include "rt.h"

#ifdef __x86_64__
#define AX "rax"
#define SP "rsp"
#define FRAME "rbp"
#define SUFFIX "q"
#else
#define AX "eax"
#define SP "esp"
#define FRAME "ebp"
#define SUFFIX "l"
#endif
#define USER_BASE 0x40000000ul
#define USER_STACK 0x40800000ul
#define EITHER 255 /* #UD or #GP: by the processor's maker, or by how far trap-and-emulate lets it go */
#define NOT 254    /* allowed at this level: not tried */

volatile word recover, saved_sp;
static struct frame last;

/* Whatever comes ends the attempt. */
static bool hook(struct frame *f)
{
    last = *f;
    if ((f->cs & 3) == 3) {
        return_to_kernel(f);
        return true;
    }
    if (!recover)
        return false;
    f->ip = recover;
    f->flags &= ~0x100ul;
    return true;
}

/* The code of an attempt ends by INT3 if nothing stops it before. */
#define CODE(label, text)                                                                                         \
    extern u8 label[];                                                                                            \
    __asm__(".pushsection .user, \"ax\"\n.globl " #label "\n" #label ":\n" text "\n int3\n.popsection\n")

#ifdef __x86_64__
CODE(syscall_exit, "mov $60, %eax; xor %edi, %edi; syscall");
CODE(syscall_group, "mov $231, %eax; xor %edi, %edi; syscall");
CODE(syscall_kill, "mov $62, %eax; mov $-1, %rdi; mov $9, %esi; syscall");
CODE(syscall_mmap, "mov $9, %eax; xor %edi, %edi; mov $4096, %esi; mov $7, %edx; mov $0x22, %r10d; syscall");
CODE(syscall_munmap, "mov $11, %eax; xor %edi, %edi; mov $0x7fffffffe000, %rsi; syscall");
CODE(jump_stub, "mov $0x7fffffffe000, %rax; jmp *%rax");
CODE(jump_stub_call, "mov $9, %eax; mov $0x7fffffffe5e4, %rdi; jmp *%rdi");
CODE(jump_end, "mov $0x7ffffffff000, %rax; jmp *%rax");
CODE(jump_kernel, "mov $0xffffffff81000000, %rax; jmp *%rax");
CODE(jump_vsyscall, "mov $0xffffffffff600000, %rax; call *%rax");
CODE(jump_hole, "mov $0x0000800000000000, %rax; jmp *%rax");
CODE(jump_absent, "mov $0x41000000, %eax; jmp *%rax");
CODE(read_kernel, "mov $0xffff888000000000, %rax; mov (%rax), %rax");
CODE(read_hole, "mov $0x123456789abcdef0, %rax; mov (%rax), %rax");
CODE(write_middle, "mov $0x2aaaaaaab000, %rax; mov %rax, (%rax)");
CODE(sse_misaligned, "lea -15(%rsp), %rax; movaps (%rax), %xmm0");
#else
/* Into 64-bit code of the host's, and a system call from there: mov $60, %eax; syscall. */
CODE(far_return, "call 1f; 1: pop %eax; add $(2f - 1b), %eax; push $0x33; push %eax; lret; 2: .byte 0xb8, 60, 0, "
                 "0, 0, 0x0f, 5");
CODE(jump_absent, "mov $0x41000000, %eax; jmp *%eax");
#endif
CODE(int80_exit, "mov $1, %eax; xor %ebx, %ebx; int $0x80");
CODE(int80_kill, "mov $37, %eax; mov $-1, %ebx; mov $9, %ecx; int $0x80");
CODE(sysenter, "mov $1, %eax; xor %ebx, %ebx; mov %esp, %ebp; sysenter");
CODE(int3, "nop");
CODE(int1, ".byte 0xf1");
CODE(int_host, "int $0x20");
CODE(ud2, "ud2");
CODE(divide, "xor %edx, %edx; xor %ecx, %ecx; mov $1, %eax; div %ecx");
CODE(trap_flag, "pushf; pop %" AX "; or $0x100, %" AX "; push %" AX "; popf; nop; nop");
CODE(wrmsr_lstar, "mov $0xc0000082, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr");
CODE(mov_dr7, "mov %" AX ", %dr7");
CODE(lidt, "lidt 0x41000000");
CODE(hlt, "hlt");
CODE(reset, "mov $0x64, %edx; mov $0xfe, %al; out %al, %dx");
CODE(read_absent, "mov 0x41000000, %eax");
CODE(write_absent, "mov %eax, 0x41000000");

static const struct attempt {
    const char *name;
    const u8 *code;
    u8 vector[2]; /* at CPL 0, at CPL 3 */
    u8 ax;        /* what EAX must hold afterwards; 0: anything */
} attempts[] = {
#ifdef __x86_64__
    {"SYSCALL exit", syscall_exit, {UD, UD}, 60},
    {"SYSCALL exit_group", syscall_group, {UD, UD}, 231},
    {"SYSCALL kill", syscall_kill, {UD, UD}, 62},
    {"SYSCALL mmap", syscall_mmap, {UD, UD}, 9},
    {"SYSCALL munmap", syscall_munmap, {UD, UD}, 11},
    {"jump to the last page", jump_stub, {PF, PF}, 0},
    {"jump to its system call", jump_stub_call, {PF, PF}, 9},
    {"jump to the end of the user half", jump_end, {PF, PF}, 0},
    {"jump to the kernel half", jump_kernel, {PF, PF}, 0},
    {"jump to the host's vsyscall page", jump_vsyscall, {PF, PF}, 0},
    {"jump to no canonical address", jump_hole, {GP, GP}, 0},
    {"read in the kernel half", read_kernel, {PF, PF}, 0},
    {"read at no canonical address", read_hole, {GP, GP}, 0},
    {"write where novt is", write_middle, {PF, PF}, 0},
    {"misaligned SSE", sse_misaligned, {GP, GP}, 0},
#else
    {"far return to 64-bit code", far_return, {NOT, EITHER}, 0},
#endif
    {"jump to an absent page", jump_absent, {PF, PF}, 0},
    {"INT 0x80 exit", int80_exit, {0x80, 0x80}, 1},
    {"INT 0x80 kill", int80_kill, {0x80, 0x80}, 37},
    {"SYSENTER", sysenter, {EITHER, EITHER}, 1},
    {"INT3", int3, {BP, BP}, 0},
    {"INT1", int1, {DB, DB}, 0},
    {"INT of an interrupt's vector", int_host, {NOT, GP}, 0},
    {"UD2", ud2, {UD, UD}, 0},
    {"DIV by zero", divide, {DE, DE}, 1},
    {"TF", trap_flag, {DB, DB}, 0},
    {"WRMSR", wrmsr_lstar, {NOT, GP}, 0},
    {"MOV to DR7", mov_dr7, {NOT, GP}, 0},
    {"LIDT", lidt, {PF, GP}, 0},
    {"HLT", hlt, {NOT, GP}, 0},
    {"OUT that resets", reset, {NOT, GP}, 0},
    {"read of an absent page", read_absent, {PF, PF}, 0},
    {"write of an absent page", write_absent, {PF, PF}, 0},
};

static void run_kernel(const u8 *code)
{
    __asm__ volatile("mov" SUFFIX " $9f, recover\n"
                     "push %%" FRAME "\n"
                     "mov %%" SP ", saved_sp\n"
                     "jmp *%0\n"
                     "9: mov saved_sp, %%" SP "\n"
                     "pop %%" FRAME "\n"
                     :
                     : "a"(code)
                     : "memory", "cc", "cx", "dx", "bx", "si", "di"
#ifdef __x86_64__
                       ,
                       "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"
#endif
    );
    recover = 0;
}

/* An Intel processor's SYSENTER in 64-bit code loses where it came from; docs/trap.md says so. */
static int is_lost(const struct attempt *a)
{
    u32 eax = 0, vendor, ecx, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(vendor), "=c"(ecx), "=d"(edx));
    return sizeof(word) == 8 && a->code == sysenter && vendor == 0x756e6547; /* "Genu" */
}

static void try(const struct attempt *a, unsigned level)
{
    if (a->vector[level] == NOT || is_lost(a))
        return;
    last.vector = 255;
    if (level)
        enter_user(USER_BASE + (word)(a->code - user_start), USER_STACK - 64);
    else
        run_kernel(a->code);
    put(level ? "# CPL 3\n" : "# CPL 0\n");
    if (a->vector[level] == EITHER)
        ok(last.vector == UD || last.vector == GP, a->name);
    else
        equal(last.vector, a->vector[level], a->name);
    if (a->ax)
        equal(last.ax, a->ax, "  EAX is as it was");
}

void guest_main(void)
{
    unsigned i;

    put("# " WIDTH "-bit guest\n");
    vector_hook = hook;
    for (i = 0; i < (word)(user_end - user_start); i += 4096)
        map(USER_BASE + i, (word)user_start + i, P_P | P_W | P_U);
    map(USER_STACK - 4096, page_alloc(), P_P | P_W | P_U);
#ifdef __x86_64__
    wrmsr(0xc0000080, 0x900); /* EFER without SCE */
#endif
    for (i = 0; i < 2 * sizeof attempts / sizeof attempts[0]; i++)
        try(&attempts[i / 2], i % 2);
    ok(ticks == 0, "the guest is whole");
}
