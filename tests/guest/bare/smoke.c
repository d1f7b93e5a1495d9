/*
 * smoke.c - the runtime itself: a snippet at either level, a fault, a system call.
 */
#include "rt.h"

SNIPPET(nothing, "nop");
SNIPPET(undefined, "nop\nud2");
SNIPPET(system_call, "syscall");
SNIPPET(load, "mov (%rbx), %rax");

void test_main(void)
{
    expect(nothing, 0, BP, -1, 2, "snippet at CPL 0");
    expect(nothing, 3, BP, -1, 2, "snippet at CPL 3");
    expect(undefined, 0, UD, 0, 1, "UD2 at CPL 0");
    expect(undefined, 3, UD, 0, 1, "UD2 at CPL 3");
    expect(system_call, 3, SYSCALLED, -1, 2, "SYSCALL");
    in.rbx = 0x123456789000;
    expect(load, 3, PF, 4, 0, "page fault at CPL 3");
    equal(last_cr2, 0x123456789000, "CR2");
    in.rbx = 1ull << 63;
    expect(load, 0, GP, 0, 0, "non-canonical address");
}
