/*
 * sensitive.c - instructions that tell or change the state of the machine, one a task, at CPL 0: what came of
 * each, and what the manual says (SDM vol. 2).
 *
 * A task prints "lab saw task=NAME got=N want=N" once. The machine is set up so that what is right differs from
 * what a process of an operating system would see: TS is set in CR0, there is an LDT, and the selectors that a
 * process of Linux has for its data and its code lead to a segment with a base, and to a code segment of CPL 3.
 * Invariant: a task leaves interrupts off and the segment registers usable.
 */
#include "lab/guest/lab.h"

#define IF 0x200u
#define CR0_TS 8u
#define GP 13u
#define LDT 0x60u
#define GDT_ENTRIES 16u
/* Selectors that Linux has for its processes, and what the guest has there. */
#define HOST_DATA 0x2b
#define HOST_CODE 0x33
#define DATA 0x00cff3000000ffffu    /* of CPL 3 */
#define CODE_64 0x00affb000000ffffu /* likewise */
#define SEEN_VECTOR 0x82
#define VENDOR_LEAF 0x40000000u
#define VENDOR 0x74766f6eu /* "novt" */
#define LAR_MASK 0xf0ff00u /* of the descriptor's second half; bits 16 to 19 are undefined */
#define FS_WORD 0x5eedf00du

struct __attribute__((packed)) table_register {
    uint16_t limit;
    uint64_t base;
};

struct __attribute__((packed)) far_pointer {
    uint32_t offset;
    uint16_t selector;
};

static uint64_t gdt[GDT_ENTRIES], ldt[2], fs_word = FS_WORD;

/* What an INT finds on its stack: the flags that the machine really had. */
extern const uint8_t lab_entry_seen[];
extern volatile uint64_t lab_seen_flags;
__asm__(".pushsection .text\n"
        ".balign 16\n"
        "lab_entry_seen:\n"
        "pushq %rax\n"
        "movq 24(%rsp), %rax\n"
        "movq %rax, lab_seen_flags\n"
        "popq %rax\n"
        "iretq\n"
        ".popsection\n"
        ".pushsection .bss\n"
        ".balign 8\n"
        "lab_seen_flags: .skip 8\n"
        ".popsection\n");

/* A descriptor's base, in its three places (SDM vol. 3, 3.4.5). */
static uint64_t with_base(uint64_t descriptor, uint64_t base)
{
    return descriptor | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
}

static void prepare(void)
{
    const struct table_register pointer = {sizeof gdt - 1, (uint64_t)gdt};
    uint64_t cr0;
    unsigned i;

    for (i = 0; i < LDT / 8; i++)
        gdt[i] = guest_gdt[i];
    gdt[HOST_DATA / 8] = with_base(DATA, (uint64_t)&fs_word);
    gdt[HOST_CODE / 8] = CODE_64;
    gdt[LDT / 8] = with_base(0x0000820000000000u | (sizeof ldt - 1), (uint64_t)ldt);
    __asm__ volatile("lgdt %0; lldt %w1" : : "m"(pointer), "r"(LDT));
    __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movq %0, %%cr0" : : "r"(cr0 | CR0_TS));
    guest_set_gate(SEEN_VECTOR, lab_entry_seen, 0);
}

/* Of the first batch: the others are there for their time. */
static void saw(const char *task, uint64_t got, uint64_t want)
{
    static bool said;

    if (said)
        return;
    said = true;
    lab_begin("saw");
    lab_word("task", task);
    lab_number("got", got);
    lab_number("want", want);
    lab_end();
}

/* A task: prepares, does `operation` n times, and compares `got` with `want`, which are read when all is done. */
#define TASK(name, text, declarations, operation, got, want)                                                      \
    static uint64_t name(uint64_t n)                                                                              \
    {                                                                                                             \
        declarations;                                                                                             \
        uint64_t cycles;                                                                                          \
                                                                                                                  \
        prepare();                                                                                                \
        cycles = GUEST_TIMED(n, operation);                                                                       \
        saw(text, got, want);                                                                                     \
        return cycles;                                                                                            \
    }

/* --- what tells about tables and tasks --- */

TASK(do_sgdt, "sgdt", struct table_register r = {0}, __asm__ volatile("sgdt %0" : "=m"(r)), r.base, (uint64_t)gdt)
TASK(do_sidt, "sidt", struct table_register r = {0},
     __asm__ volatile("sidt %0"
                      : "=m"(r)),
     r.base, (uint64_t)guest_idt)
TASK(do_sldt, "sldt", uint32_t r = 0, __asm__ volatile("sldt %0" : "=r"(r)), r, LDT)
TASK(do_str, "str", uint32_t r = 0, __asm__ volatile("str %0" : "=r"(r)), r, GUEST_TSS)

static uint64_t machine_status(void)
{
    uint64_t cr0;

    __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
    return cr0 & 0xffff;
}

TASK(do_smsw, "smsw", uint32_t r = 0, __asm__ volatile("smsw %0" : "=r"(r)), r & 0xffff, machine_status())

/* --- flags --- */

static uint64_t real_flags(void)
{
    __asm__ volatile("int %0" : : "i"(SEEN_VECTOR) : "memory");
    return lab_seen_flags;
}

/* Interrupts are off: IF must be seen as 0. */
TASK(do_pushf, "pushf", uint64_t r = 0, __asm__ volatile("pushfq; popq %0" : "=r"(r)), r &IF, 0)

/* IF is set by POPF. The flags are looked at by an interrupt, since PUSHF might be wrong itself. */
static uint64_t flags_after_popf(void)
{
    uint64_t seen = real_flags() & IF;

    __asm__ volatile("cli" : : : "memory");
    return seen;
}

TASK(do_popf, "popf", uint64_t flags = IF | 2,
     __asm__ volatile("pushq %0; popfq"
                      :
                      : "r"(flags)
                      : "cc", "memory"),
     flags_after_popf(), IF)

/* --- descriptors --- */

TASK(do_lar, "lar", uint32_t r = 0,
     __asm__ volatile("xorl %0, %0; larl %1, %0"
                      : "=&r"(r)
                      : "r"(GUEST_KERNEL_CODE)
                      : "cc"),
     r &LAR_MASK, gdt[GUEST_KERNEL_CODE / 8] >> 32 & LAR_MASK)
TASK(do_lsl, "lsl", uint32_t r = 0,
     __asm__ volatile("xorl %0, %0; lsll %1, %0"
                      : "=&r"(r)
                      : "r"(GUEST_KERNEL_DATA)
                      : "cc"),
     r, 0xffffffff)
TASK(do_verr, "verr", uint8_t r = 0,
     __asm__ volatile("verr %w1; setz %0"
                      : "=r"(r)
                      : "r"(GUEST_KERNEL_DATA)
                      : "cc"),
     r, 1)
TASK(do_verw, "verw", uint8_t r = 0,
     __asm__ volatile("verw %w1; setz %0"
                      : "=r"(r)
                      : "r"(GUEST_KERNEL_DATA)
                      : "cc"),
     r, 1)

/* --- segment registers --- */

TASK(do_mov_from_cs, "mov-from-cs", uint32_t r = 0,
     __asm__ volatile("movl %%cs, %0"
                      : "=r"(r)),
     r, GUEST_KERNEL_CODE)

static uint64_t load_fs_word(void)
{
    uint32_t value;

    __asm__ volatile("movl %%fs:0, %0" : "=r"(value) : : "memory");
    return value;
}

TASK(do_mov_to_fs, "mov-to-fs", , __asm__ volatile("movl %0, %%fs" : : "r"(HOST_DATA)), load_fs_word(), FS_WORD)
TASK(do_pop_fs, "pop-fs", ,
     __asm__ volatile("pushq %0; popq %%fs"
                      :
                      : "r"((uint64_t)HOST_DATA)
                      : "memory"),
     load_fs_word(), FS_WORD)
TASK(do_push_fs, "push-fs", uint64_t r = 0; __asm__ volatile("movl %0, %%fs"
                                                             :
                                                             : "r"(GUEST_KERNEL_DATA)),
                                            __asm__ volatile("pushq %%fs; popq %0"
                                                             : "=r"(r)),
                                            r, GUEST_KERNEL_DATA)

/* --- far transfers, to a code segment of CPL 3: allowed by RET and IRET alone --- */

static void far_jump(void)
{
    struct far_pointer to = {0, HOST_CODE};

    __asm__ volatile("leaq 1f(%%rip), %%rax\n"
                     "movl %%eax, %0\n"
                     "ljmpl *%0\n"
                     "1:"
                     : "+m"(to)
                     :
                     : "rax", "memory");
}

static void far_call(void)
{
    static struct far_pointer to = {0, HOST_CODE}; /* not on the stack, whose pointer moves */

    __asm__ volatile("leaq 1f(%%rip), %%rax\n"
                     "movl %%eax, %0\n"
                     "movq %%rsp, %%r12\n"
                     "lcall *%0\n"
                     "1: movq %%r12, %%rsp"
                     : "+m"(to)
                     :
                     : "rax", "r12", "memory");
}

TASK(do_far_jump, "far-jmp", unsigned r = 0, r = lab_try(far_jump), r, GP)
TASK(do_far_call, "far-call", unsigned r = 0, r = lab_try(far_call), r, GP)

/* To CPL 3, where reading CR0 must raise #GP. Is it not raised, then UD2's #UD comes. The frame is IRET's, or
 * without flags RETF's. */
#define TO_USER "leaq 1f(%%rip), %%rax\n"
#define AT_USER                                                                                                   \
    "1: movq %%cr0, %%rax\n"                                                                                      \
    "ud2"
static uint8_t user_stack[256];

static void by_iret(void)
{
    __asm__ volatile(TO_USER "pushq %0\n"
                             "pushq %1\n"
                             "pushq $2\n"
                             "pushq %2\n"
                             "pushq %%rax\n"
                             "iretq\n" AT_USER
                     :
                     : "r"((uint64_t)HOST_DATA), "r"((uint64_t)(user_stack + sizeof user_stack)),
                       "r"((uint64_t)HOST_CODE)
                     : "rax", "memory");
}

static void by_far_return(void)
{
    __asm__ volatile(TO_USER "pushq %0\n"
                             "pushq %1\n"
                             "pushq %2\n"
                             "pushq %%rax\n"
                             "lretq\n" AT_USER
                     :
                     : "r"((uint64_t)HOST_DATA), "r"((uint64_t)(user_stack + sizeof user_stack)),
                       "r"((uint64_t)HOST_CODE)
                     : "rax", "memory");
}

TASK(do_iret, "iret", unsigned r = 0, r = lab_try(by_iret), r, GP)
TASK(do_far_return, "far-ret", unsigned r = 0, r = lab_try(by_far_return), r, GP)
TASK(do_int, "int-n", uint64_t before = guest_count,
     __asm__ volatile("int %0"
                      :
                      : "i"(GUEST_INT)
                      : "memory"),
     guest_count - before, n)

/* --- not of that list: one that tells about the processor, and privileged ones, which trap --- */

TASK(do_cpuid, "cpuid", uint32_t a; uint32_t b = 0; uint32_t c;
     uint32_t d,
     __asm__ volatile("cpuid"
                      : "=a"(a), "=b"(b), "=c"(c), "=d"(d)
                      : "a"(VENDOR_LEAF), "c"(0)),
     b, VENDOR)
TASK(do_cli, "cli-sti", , __asm__ volatile("sti; cli" : : : "memory"), real_flags() & IF, 0)
TASK(do_mov_cr0, "mov-from-cr0", uint64_t r = 0, __asm__ volatile("movq %%cr0, %0" : "=r"(r)), r &CR0_TS, CR0_TS)
TASK(do_rdmsr, "rdmsr", uint64_t r = 0, r = rdmsr(MSR_LSTAR), r, (uint64_t)guest_entry_syscall)

const struct lab_task lab_tasks[] = {
    {"sgdt", do_sgdt, lab_empty},
    {"sidt", do_sidt, lab_empty},
    {"sldt", do_sldt, lab_empty},
    {"smsw", do_smsw, lab_empty},
    {"str", do_str, lab_empty},
    {"pushf", do_pushf, lab_empty},
    {"popf", do_popf, lab_empty},
    {"lar", do_lar, lab_empty},
    {"lsl", do_lsl, lab_empty},
    {"verr", do_verr, lab_empty},
    {"verw", do_verw, lab_empty},
    {"mov-from-cs", do_mov_from_cs, lab_empty},
    {"mov-to-fs", do_mov_to_fs, lab_empty},
    {"push-fs", do_push_fs, lab_empty},
    {"pop-fs", do_pop_fs, lab_empty},
    {"far-jmp", do_far_jump, lab_empty},
    {"far-call", do_far_call, lab_empty},
    {"far-ret", do_far_return, lab_empty},
    {"iret", do_iret, lab_empty},
    {"int-n", do_int, lab_empty},
    {"cpuid", do_cpuid, lab_empty},
    {"cli-sti", do_cli, lab_empty},
    {"mov-from-cr0", do_mov_cr0, lab_empty},
    {"rdmsr", do_rdmsr, lab_empty},
    {NULL},
};
