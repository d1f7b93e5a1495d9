/*
 * sensitive.c - each sensitive instruction once, at CPL 0, and what it shows. A line says "right" where that is
 * what the manual says, "wrong" where it is not, which trap-and-emulate cannot avoid. Meant for -cpu x86-64-v1.
 */
#include "rt.h"

#define LDT 0xa0u       /* an LDT's selector */
#define TSS 0x90u       /* the task register holds it */
#define KDS 0x10u       /* kernel data: readable, writable, DPL 0 */
#define HOST_DATA 0x2bu /* the host's table has flat user data there; this guest's has data with a base */
#define MARK 0x5eed
#ifdef __x86_64__
#define HOST_CODE 0x33u /* the host's has code there, this guest's has data */
#define CODE_NAME "0x33"
#define R "r"
#define SUFFIX "q"
#else
#define HOST_CODE 0x23u
#define CODE_NAME "0x23"
#define R "e"
#define SUFFIX "l"
#endif

struct __attribute__((packed)) pointer {
    u16 limit;
    word base;
};

static u32 marker = MARK;
volatile word caught, recover; /* the vector of an exception, and where it goes on */

/* Runs the text; an exception ends it, with its vector in `caught`. */
#define TRY(text, ...)                                                                                            \
    do {                                                                                                          \
        caught = 0;                                                                                               \
        __asm__ volatile("mov" SUFFIX " $9f, recover\n" text "\n9: nop" __VA_ARGS__);                             \
        recover = 0;                                                                                              \
    } while (0)

static bool hook(struct frame *f)
{
    if (!recover)
        return false;
    caught = f->vector;
    f->ip = recover;
    return true;
}

static u64 see_pushf(void)
{
    word flags;

    __asm__ volatile("cli; pushf; pop %0" : "=r"(flags));
    return flags & 0x200;
}

/* IF is set; POPF clears it; does the timer interrupt all the same? */
static u64 see_popf(void)
{
    word start;

    __asm__ volatile("sti");
    start = ticks;
    while (ticks == start)
        ;
    __asm__ volatile("push $2; popf" : : : "memory", "cc");
    start = ticks;
    while (ticks == start && !timer_waits())
        ;
    start = ticks - start;
    __asm__ volatile("cli");
    return start;
}

static u64 see_sgdt(void)
{
    struct pointer p;

    __asm__ volatile("sgdt %0" : "=m"(p));
    return p.base;
}

static u64 see_sidt(void)
{
    struct pointer p;

    __asm__ volatile("sidt %0" : "=m"(p));
    return p.limit;
}

#define SEE_16(name, instruction)                                                                                 \
    static u64 see_##name(void)                                                                                   \
    {                                                                                                             \
        u16 value = 0;                                                                                            \
        __asm__ volatile(instruction " %0" : "=m"(value));                                                        \
        return value;                                                                                             \
    }
SEE_16(sldt, "sldt")
SEE_16(str, "str")
SEE_16(smsw, "smsw")

#define SEE_ZF(name, text)                                                                                        \
    static u64 see_##name(void)                                                                                   \
    {                                                                                                             \
        word value = KDS;                                                                                         \
        u8 good;                                                                                                  \
        __asm__ volatile(text "; setz %1" : "+r"(value), "=q"(good) : : "cc");                                    \
        return good;                                                                                              \
    }
SEE_ZF(lar, "lar %w0, %w0")
SEE_ZF(lsl, "lsl %w0, %w0")
SEE_ZF(verr, "verr %w0")
SEE_ZF(verw, "verw %w0")

static u64 see_mov_from_seg(void)
{
    word value;

    __asm__ volatile("mov %%cs, %0" : "=r"(value));
    return value & 0xffff;
}

static u64 see_push_seg(void)
{
    word value;

    __asm__ volatile("mov %1, %%fs; push %%fs; pop %0" : "=r"(value) : "r"(KDS));
    return value & 0xffff;
}

static u64 see_mov_to_seg(void)
{
    u32 value;

    __asm__ volatile("mov %1, %%fs; mov %%fs:0, %0" : "=r"(value) : "r"(HOST_DATA));
    return value;
}

static u64 see_pop_seg(void)
{
    u32 value;

    __asm__ volatile("push $0x2b; pop %%fs; mov %%fs:0, %0" : "=r"(value));
    return value;
}

extern struct __attribute__((packed)) far_pointer {
    u32 offset;
    u16 selector;
} kernel_code, host_code;

/* Each must give #GP: 0x33 (0x23) is data here. Where it does not, CS is put right again by a jump, which traps.
 */
__asm__(".pushsection .data\n"
        ".globl kernel_code, host_code\n"
        "kernel_code: .long 2f\n .word 8\n"
        "host_code: .long 1f\n .word " CODE_NAME "\n"
        ".popsection\n"
        "1: ljmpl *kernel_code\n"
        "2: mov saved_sp, %" R "sp\n"
        "   jmp *saved_ip\n");
volatile word saved_sp, saved_ip;
#define FAR(text) "mov %%" R "sp, saved_sp\n mov" SUFFIX " $9f, saved_ip\n" text

static u64 see_jmp_far(void)
{
    TRY(FAR("ljmpl *host_code"), : : : "memory");
    return caught;
}

static u64 see_call_far(void)
{
    TRY(FAR("lcall *host_code"), : : : "memory");
    return caught;
}

static u64 see_ret_far(void)
{
    TRY(FAR("push" SUFFIX " $" CODE_NAME "\n push" SUFFIX " host_code_at\n lret" SUFFIX), : : : "memory");
    return caught;
}

static u64 see_iret(void)
{
#ifdef __x86_64__
    TRY(FAR("mov %%rsp, %%rax\n pushq $0x2b\n pushq %%rax\n pushq $2\n pushq $0x33\n pushq host_code_at\n iretq"),
        :
        :
        : "memory", "rax");
#else
    TRY(FAR("pushl $0x2b\n pushl %%esp\n pushl $2\n pushl $0x23\n pushl host_code_at\n iret"), : : : "memory");
#endif
    return caught;
}

volatile word host_code_at;

static u64 see_int_n(void)
{
    TRY("int $0x80", : : : "memory");
    return caught;
}

static u64 see_int3(void)
{
    TRY("int3", : : : "memory");
    return caught;
}

static u64 see_cpuid(void)
{
    u32 a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c >> 20 & 1; /* SSE4.2 */
}

static u64 see_rdtsc(void)
{
    u32 low, high;

    wrmsr(0x10, 1ull << 60);
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return high >> 28;
}

/* What does trap. */
static u64 see_cli_sti(void)
{
    word start = ticks;

    __asm__ volatile("cli");
    while (!timer_waits())
        ;
    start = ticks - start;
    __asm__ volatile("sti; nop; cli");
    return start;
}

static u64 see_mov_cr(void)
{
    write_cr0(read_cr0() | 8);
    write_cr0(read_cr0() & ~8ul);
    return read_cr0() & 8;
}

static u64 see_lgdt(void)
{
    __asm__ volatile("lgdt gdt_pointer");
    return 0;
}

static const struct {
    const char *name;
    u64 (*see)(void);
    u64 expected;
} rows[] = {
    {"pushf", see_pushf, 0},
    {"popf", see_popf, 0},
    {"sgdt", see_sgdt, 1}, /* 1: the address of gdt[] */
    {"sidt", see_sidt, sizeof(word) == 8 ? 4095 : 2047},
    {"sldt", see_sldt, LDT},
    {"str", see_str, TSS},
    {"smsw", see_smsw, 0x31},
    {"lar", see_lar, 1},
    {"lsl", see_lsl, 1},
    {"verr", see_verr, 1},
    {"verw", see_verw, 1},
    {"mov_from_seg", see_mov_from_seg, 8},
    {"push_seg", see_push_seg, KDS},
    {"mov_to_seg", see_mov_to_seg, MARK},
    {"pop_seg", see_pop_seg, MARK},
    {"call_far", see_call_far, GP},
    {"jmp_far", see_jmp_far, GP},
    {"ret_far", see_ret_far, GP},
    {"iret", see_iret, GP},
    {"cpuid", see_cpuid, 0},
    {"rdtsc", see_rdtsc, 1},
    {"int_n", see_int_n, 0x80},
    {"int3", see_int3, BP},
    {"cli_sti", see_cli_sti, 0},
    {"mov_cr", see_mov_cr, 0},
    {"lgdt", see_lgdt, 0},
};

static void start_descriptors(void)
{
    u64 base = (word)&marker;

    gdt[LDT / 8] = 0x0000820000000007;
    __asm__ volatile("lldt %w0" : : "r"(LDT));
    gdt[HOST_DATA / 8] = 0x00c0f3000000ffff | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    gdt[HOST_CODE / 8] = 0x00cff3000000ffff;
    host_code_at = host_code.offset;
    write_cr0((read_cr0() & ~0xful) | 1); /* PE alone of the low bits, with ET and NE */
    write_cr0(read_cr0() | 0x30);
}

void guest_main(void)
{
    unsigned i;

    put("# " WIDTH "-bit guest\n");
    start_descriptors();
    timer_on();
    vector_hook = hook;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        u64 expected = rows[i].see == see_sgdt ? (word)gdt : rows[i].expected, seen = rows[i].see();

        put(rows[i].name);
        put(seen == expected ? " right: " : " wrong: ");
        put_hex(seen);
        if (seen != expected)
            put(", not "), put_hex(expected);
        put("\n");
    }
    __asm__ volatile("mov %0, %%fs" : : "r"(KDS));
    ok(true, "the end is reached");
}
