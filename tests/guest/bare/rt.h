/*
 * rt.h - what every bare test guest stands on: TAP over the serial port, traps, snippets at either privilege
 * level, page tables.
 *
 * A snippet is a piece of assembly that ends with int3 (or with the exception it is to raise). run() enters it by
 * IRETQ with all registers given, and returns the vector that ended it, with the registers at that point.
 */
#ifndef BARE_RT_H
#define BARE_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, CSO, TS, NP, SS, GP, PF, MF = 16, AC, MC, XM };
#define SYSCALLED 256

#define KCS 0x10
#define KDS 0x18
#define UCS32 0x23
#define UDS 0x2b
#define UCS 0x33
#define TSS_SEL 0x38

struct regs { /* boot.S knows the offsets */
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rip, rflags, unused, cs, ss;
};

struct trap {
    u64 rax, rcx, rdx, rbx, unused, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

extern struct trap last; /* what ended the last snippet */
extern u64 last_cr2;
/* Looks at a trap first; true: handled, resume. NULL for none. */
extern bool (*trap_hook)(struct trap *t);
/* Replaces the state that run() starts from. */
extern struct regs in, out;

/* Snippets lie in pages that are also mapped for the user, at USER(address). */
extern u8 snip_start[], snip_end[];
#define USER_BASE 0x40000000ull
#define USER(address) ((u64)(address) - (u64)snip_start + USER_BASE)
#define USER_STACK 0x40200000ull /* top */
#define USER_DATA 0x40300000ull  /* four pages, writable */
/* Of a test that is built for the upper half, where 64-bit kernels live, its own pages are there, and at CPL 0
   snippets run there; the runtime stays where it is. */
#ifdef UPPER
#define HALF 0xffff900000000000ull
#define KERNEL(address) ((u64)(address) - (u64)snip_start + HALF + 0x40800000ull)
#else
#define HALF 0ull
#define KERNEL(address) ((u64)(address))
#endif

#define SNIPPET(name, text)                                                                                       \
    extern u8 name[];                                                                                             \
    __asm__(".pushsection .snip,\"ax\"\n.globl " #name "\n" #name ":\n" text "\nint3\n.popsection\n")

/* Runs at CPL 0 or 3 with the registers in `in` (flags: in.rflags, kept between runs); the vector. */
unsigned run(const u8 *snippet, unsigned cpl);
unsigned run_at(u64 rip, unsigned cpl);
/* RIP of the last trap as an offset in the snippet. */
u64 last_offset(const u8 *snippet);

void *memset(void *to, int byte, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

void test_main(void);
void ok(bool passed, const char *name);
void equal(u64 got, u64 want, const char *name);
/* run() gives this vector; also its error code when error >= 0, and the offset of RIP when offset >= 0. */
void expect(const u8 *snippet, unsigned cpl, unsigned vector, long error, long offset, const char *name);
void skip(const char *name, const char *why);
void note(const char *text);
void put(const char *text);
void put_hex(u64 value);
__attribute__((noreturn)) void finish(void);

/* Page tables: 4 KiB pages in the tables at pml4[]. Flags as in the entry; 0 unmaps. */
#define P_P 1ull
#define P_W 2ull
#define P_U 4ull
#define P_A 0x20ull
#define P_D 0x40ull
#define P_PS 0x80ull
#define P_G 0x100ull
#define P_NX (1ull << 63)
/* Error codes of page faults. */
#define PFEC_P 1
#define PFEC_W 2
#define PFEC_U 4
#define PFEC_R 8
#define PFEC_I 16
extern u64 pml4[512];
u64 *pte_of(u64 linear, unsigned level); /* level 1: the 4 KiB entry; makes tables on the way */
void map(u64 linear, u64 physical, u64 flags);
u64 page_alloc(void); /* zeroed, identity mapped */
void gate(unsigned vector, u64 handler, unsigned dpl, unsigned ist, unsigned type);
extern u64 idt[512];
extern u64 gdt[];
struct __attribute__((packed)) tss {
    u32 reserved0;
    u64 rsp[3], reserved1, ist[7], reserved2;
    u16 reserved3, iomap;
    u8 bitmap[8192 + 1];
};
extern struct tss tss;
extern u8 trap_stubs[], trap_stack_top[], snippet_stack_top[], syscall_entry[];

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u64 rdmsr(u32 msr)
{
    u32 low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return low | (u64)high << 32;
}

static inline void wrmsr(u32 msr, u64 value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline void cpuid(u32 leaf, u32 sub, u32 out4[4])
{
    __asm__ volatile("cpuid" : "=a"(out4[0]), "=b"(out4[1]), "=c"(out4[2]), "=d"(out4[3]) : "a"(leaf), "c"(sub));
}

#define CR_ACCESS(n)                                                                                              \
    static inline u64 read_cr##n(void)                                                                            \
    {                                                                                                             \
        u64 value;                                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory");                                        \
        return value;                                                                                             \
    }                                                                                                             \
    static inline void write_cr##n(u64 value)                                                                     \
    {                                                                                                             \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                                            \
    }
CR_ACCESS(0)
CR_ACCESS(2)
CR_ACCESS(3)
CR_ACCESS(4)
CR_ACCESS(8)

static inline void invlpg(u64 linear)
{
    __asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

static inline bool has(u32 leaf, unsigned reg, unsigned bit)
{
    u32 r[4];

    cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}
#define HAS_XSAVE has(1, 2, 26)
#define HAS_PCID has(1, 2, 17)
#define HAS_X2APIC has(1, 2, 21)
#define HAS_FSGSBASE has(7, 1, 0)
#define HAS_SMEP has(7, 1, 7)
#define HAS_INVPCID has(7, 1, 10)
#define HAS_SMAP has(7, 1, 20)
#define HAS_UMIP has(7, 2, 2)
#define HAS_1G has(0x80000001, 3, 26)

#endif
