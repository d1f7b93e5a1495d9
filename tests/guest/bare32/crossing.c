/*
 * crossing.c - SYSENTER and SYSEXIT again and again, with what decides their effect changed in between: flags,
 * MSRs, the user's stack and return address (SDM vol. 2, SYSENTER and SYSEXIT).
 */
#include "rt.h"

#include <stddef.h>

#define SYSENTER_CS 0x174u
#define SYSENTER_ESP 0x175u
#define SYSENTER_EIP 0x176u
#define ARITHMETIC 0x8d5u
#define FL_DF 0x400u
#define FL_ID 0x200000u
#define CALLS 200u

struct frame { /* as common, below, pushes it */
    u32 edi, esi, ebp, esp, ebx, edx, ecx, eax, which, flags;
};

/* Two entries, in instructions that need no interpreter, and a loop of EBX calls: call n has the arithmetic flags
   of [esi + 2 n], AH as for SAHF and OF in AL. EDI gathers in which of these bits they changed over the call, and
   the bits of CS and SS. It comes back to one of two places by turns, with one of two stacks. */
extern u8 entry_a[], entry_b[], user_loop[];
__asm__(".text\n"
        "entry_a: pushfl\npushl $0\njmp common\n"
        "entry_b: pushfl\npushl $1\n"
        "common: pushl %eax\npushl %ecx\npushl %edx\npushl %ebx\npushl %esp\npushl %ebp\n"
        "pushl %esi\npushl %edi\ncld\nmovl %esp, %eax\npushl %eax\ncall on_call\naddl $4, %esp\n"
        "popl %edi\npopl %esi\npopl %ebp\naddl $4, %esp\npopl %ebx\npopl %edx\npopl %ecx\npopl %eax\naddl $4, "
        "%esp\npopfl\n"
        "sysexit\n"
        "user_loop:\n"
        "1: movzwl (%esi,%ebx,2), %ebp\nmovl %esp, %ecx\nmovl $3f, %edx\ntestb $4, %bl\njz 2f\nmovl $4f, %edx\n"
        "subl $64, %ecx\n"
        "2: movl %ebp, %eax\naddb $127, %al\nsahf\nsysenter\n"
        "4: lea 64(%esp), %esp\n"
        "3: lahf\nseto %al\nmovzwl %ax, %eax\nxorl %ebp, %eax\norl %eax, %edi\n"
        "movl %cs, %eax\nshll $16, %eax\norl %eax, %edi\nmovl %ss, %eax\nshll $24, %eax\norl %eax, %edi\n"
        "decl %ebx\njnz 1b\nint3\n");

static _Alignas(4096) u32 directory[1024];
static _Alignas(16) u8 stack[2][1024];
static u16 pattern[CALLS + 1];
static unsigned seen[2], wrong;
static u32 system_flags, top;
static void (*action)(struct frame *f, unsigned call);

static u32 arithmetic(u16 word)
{
    return (word >> 8 & 0xd5u) | (word & 1u) << 11;
}

__attribute__((used)) void on_call(struct frame *f)
{
    unsigned call = seen[0] + seen[1];

    seen[f->which & 1]++;
    wrong += (u32)(f + 1) != top;
    wrong += (f->flags & ARITHMETIC) != arithmetic(pattern[CALLS - call]);
    wrong += (f->flags & ~ARITHMETIC) != system_flags;
    if (action)
        action(f, call);
    system_flags = f->flags & ~ARITHMETIC;
}

static void use_stack(unsigned which)
{
    top = (u32)(stack[which] + sizeof stack[which]);
    wrmsr(SYSENTER_ESP, top);
}

static void calls(void (*what)(struct frame *, unsigned), const char *name)
{
    for (unsigned i = 1; i <= CALLS; i++)
        pattern[i] = (u16)((i * 0x4d7 & 0xd501) | 0x200);
    seen[0] = seen[1] = wrong = 0;
    action = what;
    wrmsr(SYSENTER_CS, KCS);
    wrmsr(SYSENTER_EIP, (u32)entry_a);
    use_stack(0);
    flat(3);
    in.eip = (u32)user_loop;
    in.ebx = CALLS;
    in.esi = (u32)pattern;
    in.edi = 0;
    in.esp = OUTER - 0x100;
    system_flags = (in.eflags | 2) & ~(ARITHMETIC | FL_IF);
    run();
    ended(BP, DONT_CARE, name);
    equal(seen[0] + seen[1], CALLS, "  all calls come in");
    equal(wrong, 0, "  with the flags and the stack");
    equal(last.edi, UCS << 16 | UDS << 24, "  and go back with the flags, CS and SS");
    equal(last.esp, OUTER - 0x100, "  to the stack in ECX");
}

static void change_flags(struct frame *f, unsigned call)
{
    if (call % 4 == 0)
        f->flags ^= call & 8 ? FL_DF : FL_ID;
}

static void change_entry(struct frame *f, unsigned call)
{
    wrong += f->which != (call / 4 & 1);
    if (call % 4 == 3)
        wrmsr(SYSENTER_EIP, (u32)((call + 1) / 4 & 1 ? entry_b : entry_a));
}

static void change_stack(struct frame *f, unsigned call)
{
    (void)f;
    if (call % 4 == 3)
        use_stack(call / 4 & 1);
}

void test_main(void)
{
    for (unsigned i = 0; i < 16; i++)
        directory[i] = i << 22 | PS | P | W | U;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((u32)directory);
    write_cr0(read_cr0() | CR0_PG);
    calls(NULL, "calls with arithmetic flags of all kinds");
    calls(change_flags, "flags of the system change every few calls");
    calls(change_entry, "IA32_SYSENTER_EIP changes");
    equal(seen[1], CALLS / 2, "  half of the calls come in by the other entry");
    calls(change_stack, "IA32_SYSENTER_ESP changes");
}
