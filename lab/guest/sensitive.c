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
#define CR0_ET 16u
#define CR0_PG_WP_PE 0x80010001u /* set by boot.S */
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
    __asm__ volatile("movl %0, %%fs" : : "r"(GUEST_KERNEL_DATA));
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

/* A task of the name of a function below, which does the operation and returns what came of it. `got` makes of the
 * last one's result what is to be compared with `want`. */
#define TASK(operation, got, want)                                                                                \
    static uint64_t do_##operation(uint64_t n)                                                                    \
    {                                                                                                             \
        uint64_t last = 0, cycles;                                                                                \
                                                                                                                  \
        prepare();                                                                                                \
        cycles = GUEST_TIMED(n, last = operation());                                                              \
        saw(#operation, got(last), want);                                                                         \
        return cycles;                                                                                            \
    }

static uint64_t itself(uint64_t last)
{
    return last;
}

/* --- what tells about tables and tasks --- */

static inline uint64_t sgdt(void)
{
    struct table_register r;

    __asm__ volatile("sgdt %0" : "=m"(r));
    return r.base;
}

static inline uint64_t sidt(void)
{
    struct table_register r;

    __asm__ volatile("sidt %0" : "=m"(r));
    return r.base;
}

static inline uint64_t sldt(void)
{
    uint32_t r;

    __asm__ volatile("sldt %0" : "=r"(r));
    return r;
}

static inline uint64_t str(void)
{
    uint32_t r;

    __asm__ volatile("str %0" : "=r"(r));
    return r;
}

static inline uint64_t smsw(void)
{
    uint32_t r;

    __asm__ volatile("smsw %0" : "=r"(r));
    return r & 0xffff;
}

static inline uint64_t mov_from_cr0(void)
{
    uint64_t r;

    __asm__ volatile("movq %%cr0, %0" : "=r"(r));
    return r;
}

TASK(sgdt, itself, (uint64_t)gdt)
TASK(sidt, itself, (uint64_t)guest_idt)
TASK(sldt, itself, LDT)
TASK(str, itself, GUEST_TSS)
TASK(smsw, itself, mov_from_cr0() & 0xffff)

/* --- flags --- */

/* As an interrupt shows them, since PUSHF might be wrong itself. Off they are again. */
static uint64_t if_by_interrupt(uint64_t last)
{
    (void)last;
    __asm__ volatile("int %0; cli" : : "i"(SEEN_VECTOR) : "memory");
    return lab_seen_flags & IF;
}

/* Interrupts are off: IF must be seen as 0. */
static inline uint64_t pushf(void)
{
    uint64_t r;

    __asm__ volatile("pushfq; popq %0" : "=r"(r));
    return r & IF;
}

static inline uint64_t popf(void)
{
    __asm__ volatile("pushq %0; popfq" : : "r"((uint64_t)IF | 2) : "cc", "memory");
    return 0;
}

TASK(pushf, itself, 0)
TASK(popf, if_by_interrupt, IF)

/* --- descriptors --- */

static inline uint64_t lar(void)
{
    uint32_t r;

    __asm__ volatile("xorl %0, %0; larl %1, %0" : "=&r"(r) : "r"(GUEST_KERNEL_CODE) : "cc");
    return r & LAR_MASK;
}

static inline uint64_t lsl(void)
{
    uint32_t r;

    __asm__ volatile("xorl %0, %0; lsll %1, %0" : "=&r"(r) : "r"(GUEST_KERNEL_DATA) : "cc");
    return r;
}

static inline uint64_t verr(void)
{
    uint8_t r;

    __asm__ volatile("verr %w1; setz %0" : "=r"(r) : "r"(GUEST_KERNEL_DATA) : "cc");
    return r;
}

static inline uint64_t verw(void)
{
    uint8_t r;

    __asm__ volatile("verw %w1; setz %0" : "=r"(r) : "r"(GUEST_KERNEL_DATA) : "cc");
    return r;
}

TASK(lar, itself, gdt[GUEST_KERNEL_CODE / 8] >> 32 & LAR_MASK)
TASK(lsl, itself, 0xffffffff)
TASK(verr, itself, 1)
TASK(verw, itself, 1)

/* --- segment registers --- */

static uint64_t word_at_fs(uint64_t last)
{
    uint32_t value;

    (void)last;
    __asm__ volatile("movl %%fs:0, %0" : "=r"(value) : : "memory");
    return value;
}

static inline uint64_t mov_from_cs(void)
{
    uint32_t r;

    __asm__ volatile("movl %%cs, %0" : "=r"(r));
    return r;
}

static inline uint64_t mov_to_fs(void)
{
    __asm__ volatile("movl %0, %%fs" : : "r"(HOST_DATA));
    return 0;
}

static inline uint64_t pop_fs(void)
{
    __asm__ volatile("pushq %0; popq %%fs" : : "r"((uint64_t)HOST_DATA) : "memory");
    return 0;
}

/* Of FS, which prepare has loaded with the kernel's data segment. */
static inline uint64_t push_fs(void)
{
    uint64_t r;

    __asm__ volatile("pushq %%fs; popq %0" : "=r"(r));
    return r;
}

TASK(mov_from_cs, itself, GUEST_KERNEL_CODE)
TASK(mov_to_fs, word_at_fs, FS_WORD)
TASK(pop_fs, word_at_fs, FS_WORD)
TASK(push_fs, itself, GUEST_KERNEL_DATA)

/* --- far transfers, to a code segment of CPL 3: allowed by RET and IRET alone --- */

static void jump_to_user(void)
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

static void call_to_user(void)
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

/* To CPL 3, where reading CR0 must raise #GP. Is it not raised, then UD2's #UD comes. The frame is IRET's, or
 * without flags RETF's. */
static uint8_t user_stack[256];

static void return_to_user(void)
{
    __asm__ volatile("pushq %0\n"
                     "pushq %1\n"
                     "pushq %2\n"
                     "leaq 1f(%%rip), %%rax\n"
                     "pushq %%rax\n"
                     "lretq\n"
                     "1: movq %%cr0, %%rax\n"
                     "ud2"
                     :
                     : "r"((uint64_t)HOST_DATA), "r"((uint64_t)(user_stack + sizeof user_stack)),
                       "r"((uint64_t)HOST_CODE)
                     : "rax", "memory");
}

static void return_from_interrupt_to_user(void)
{
    __asm__ volatile("pushq %0\n"
                     "pushq %1\n"
                     "pushq $2\n"
                     "pushq %2\n"
                     "leaq 1f(%%rip), %%rax\n"
                     "pushq %%rax\n"
                     "iretq\n"
                     "1: movq %%cr0, %%rax\n"
                     "ud2"
                     :
                     : "r"((uint64_t)HOST_DATA), "r"((uint64_t)(user_stack + sizeof user_stack)),
                       "r"((uint64_t)HOST_CODE)
                     : "rax", "memory");
}

static inline uint64_t far_jmp(void)
{
    return lab_try(jump_to_user);
}

static inline uint64_t far_call(void)
{
    return lab_try(call_to_user);
}

static inline uint64_t far_ret(void)
{
    return lab_try(return_to_user);
}

static inline uint64_t iret(void)
{
    return lab_try(return_from_interrupt_to_user);
}

/* How often the handler ran. */
static inline uint64_t int_n(void)
{
    uint64_t before = guest_count;

    __asm__ volatile("int %0" : : "i"(GUEST_INT) : "memory");
    return guest_count - before;
}

TASK(far_jmp, itself, GP)
TASK(far_call, itself, GP)
TASK(far_ret, itself, GP)
TASK(iret, itself, GP)
TASK(int_n, itself, 1)

/* --- not of that list: one that tells about the processor, and privileged ones, which trap --- */

static inline uint64_t cpuid(void)
{
    uint32_t a = VENDOR_LEAF, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b;
}

static inline uint64_t cli_sti(void)
{
    __asm__ volatile("sti; cli" : : : "memory");
    return 0;
}

static inline uint64_t rdmsr_lstar(void)
{
    return rdmsr(MSR_LSTAR);
}

TASK(cpuid, itself, VENDOR)
TASK(cli_sti, if_by_interrupt, 0)
TASK(mov_from_cr0, itself, CR0_PG_WP_PE | CR0_ET | CR0_TS)
TASK(rdmsr_lstar, itself, (uint64_t)guest_entry_syscall)

#define ROW(operation)                                                                                            \
    {                                                                                                             \
#operation, do_##operation, lab_empty                                                                     \
    }
const struct lab_task lab_tasks[] = {
    ROW(sgdt),    ROW(sidt),        ROW(sldt),         ROW(smsw),        ROW(str),
    ROW(pushf),   ROW(popf),        ROW(lar),          ROW(lsl),         ROW(verr),
    ROW(verw),    ROW(mov_from_cs), ROW(mov_to_fs),    ROW(push_fs),     ROW(pop_fs),
    ROW(far_jmp), ROW(far_call),    ROW(far_ret),      ROW(iret),        ROW(int_n),
    ROW(cpuid),   ROW(cli_sti),     ROW(mov_from_cr0), ROW(rdmsr_lstar), {NULL},
};
