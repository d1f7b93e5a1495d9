/*
 * rt.h - what the 32-bit bare test guests stand on: TAP over the serial port, descriptors, traps, and snippets in
 * any legacy mode.
 *
 * The machine starts in protected mode without paging. A snippet is entered by IRET with all registers given
 * (EFLAGS.VM makes it virtual-8086 code) and ends with the first exception; run() returns its vector and leaves
 * the state in `last`. Its code lies below 1 MiB, where every kind of code segment reaches it.
 */
#ifndef BARE32_RT_H
#define BARE32_RT_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC };

/* The GDT: fixed selectors, then free ones. */
#define KCS 0x08u
#define KDS 0x10u
#define UCS 0x1bu
#define UDS 0x23u
#define KTSS 0x28u
#define KCS16 0x30u
#define KDS16 0x38u
#define KLDT 0x40u
#define FREE 0x48u /* and every 8 up to LAST_FREE */
#define LAST_FREE 0xf8u

#define FL_CF 1u
#define FL_ZF 0x40u
#define FL_TF 0x100u
#define FL_IF 0x200u
#define FL_OF 0x800u
#define FL_IOPL3 0x3000u
#define FL_NT 0x4000u
#define FL_RF 0x10000u
#define FL_VM 0x20000u
#define FL_VIF 0x80000u
#define FL_VIP 0x100000u

struct state { /* boot.S knows the offsets */
    u32 edi, esi, ebp, unused, ebx, edx, ecx, eax;
    u32 ds, es, fs, gs;
    u32 vector, error;
    u32 eip, cs, eflags, esp, ss;
};

struct __attribute__((packed)) tss32 {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, gpr[8], seg[6], ldt;
    u16 trap, iomap;
    u8 map[8192 + 32 + 1]; /* the redirection bitmap, then the I/O bitmap */
};

struct tss16 {
    u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, gpr[8], seg[4], ldt;
};

extern struct state in, last;
extern u32 last_cr2;
extern u64 gdt[32], idt[256], ldt[16];
extern struct tss32 tss;
extern u8 trap_stack_top[];

/* Low memory: code of snippets, data and stack, all identity mapped. */
#define CODE 0x20000u
#define DATA 0x30000u
#define STACK 0x40000u /* top */
#define OUTER 0x50000u /* top of a stack for CPL 3 */

u64 descriptor(u32 base, u32 limit, unsigned access, unsigned flags);
u64 gate(u16 selector, u32 offset, unsigned access, unsigned parameters);
void set_idt(unsigned vector, unsigned access); /* a gate to the usual handler */
/* Flat registers for this level: CS, SS, DS, ES; FS and GS null; ESP, EFLAGS. EIP is CODE. */
void flat(unsigned cpl);
/* Virtual-8086 mode: CS:IP 2000:0, DS ES 3000, SS:SP 3000:fff0. */
void virtual86(u32 eflags);
/* Puts the bytes at CODE, with INT3 behind them, and runs from `in`. */
unsigned run_bytes(const void *code, unsigned size);
#define RUN(...) run_bytes((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
unsigned run(void); /* what `in` says */
#define LE16(x) (u8)(x), (u8)((x) >> 8)
#define LE32(x) (u8)(x), (u8)((x) >> 8), (u8)((x) >> 16), (u8)((x) >> 24)

/* Runs `size` bytes in real mode at CODE, by way of 16-bit protected mode; they end with a far JMP to
   0000:real_exit or fall off their end into one. EAX, EBX, ECX, EDX, ESI, EDI, EBP of `in` go in and come out in
   `last`. */
void real_bytes(const void *code, unsigned size);
#define REAL(...) real_bytes((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

void test_main(void);
void ok(bool passed, const char *name);
void equal(u32 got, u32 want, const char *name);
/* The vector and, for those that have one, the error code; the latter's place is DONT_CARE when it does not
 * matter. */
#define DONT_CARE 0xdeadbeefu
void ended(unsigned vector, u32 error, const char *name);
void skip(const char *name, const char *why);
void put(const char *text);
void *memset(void *to, int byte, u32 n);
void *memcpy(void *restrict to, const void *restrict from, u32 n);

static inline u8 r8(u32 at)
{
    return *(volatile u8 *)at;
}

static inline u16 r16(u32 at)
{
    return *(volatile u16 *)at;
}

static inline u32 r32(u32 at)
{
    return *(volatile u32 *)at;
}

static inline void w8(u32 at, u8 value)
{
    *(volatile u8 *)at = value;
}

static inline void w16(u32 at, u16 value)
{
    *(volatile u16 *)at = value;
}

static inline void w32(u32 at, u32 value)
{
    *(volatile u32 *)at = value;
}

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

static inline void wrmsr(u32 msr, u64 value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "A"(value) : "memory");
}

static inline u64 rdmsr(u32 msr)
{
    u64 value;

    __asm__ volatile("rdmsr" : "=A"(value) : "c"(msr));
    return value;
}

static inline void cpuid(u32 leaf, u32 out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

#define CR_ACCESS(n)                                                                                              \
    static inline u32 read_cr##n(void)                                                                            \
    {                                                                                                             \
        u32 value;                                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory");                                        \
        return value;                                                                                             \
    }                                                                                                             \
    static inline void write_cr##n(u32 value)                                                                     \
    {                                                                                                             \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                                            \
    }
CR_ACCESS(0)
CR_ACCESS(3)
CR_ACCESS(4)

static inline void invlpg(u32 at)
{
    __asm__ volatile("invlpg %0" : : "m"(*(u8 *)at) : "memory");
}

/* Of entries of page tables, and of the control registers. */
#define P 1u
#define W 2u
#define U 4u
#define ACCESSED 0x20u
#define DIRTY 0x40u
#define PS 0x80u
#define G 0x100u
#define CR0_PG 0x80000000u
#define CR0_WP 0x10000u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_PGE 0x80u

#endif
