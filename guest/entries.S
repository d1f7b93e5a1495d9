/*
 * entries.S - what gates and SYSCALL lead to, and the way to CPL 3 and back.
 *
 * Handlers do the least that makes the interrupted loop go on, and count in guest_count; no register changes.
 */
#include "guest/numbers.h"

        .macro entry name
        .balign 64
        .globl \name
\name:
        .endm

        .text
entry guest_entry_divide         /* skips its two bytes, DIV CL */
        addq $2, (%rsp)
        incq guest_count
        iretq

entry guest_entry_page_fault     /* maps the page of GUEST_AREA that is missing */
        pushq %rax
        pushq %rcx
        movq %cr2, %rax
        subq $GUEST_AREA, %rax
        cmpq $(GUEST_AREA_PAGES * 4096), %rax
        jae 1f
        shrl $12, %eax
        movq guest_area_entry, %rcx
        movq %rcx, guest_area_table(, %rax, 8)
        incq guest_count
        popq %rcx
        popq %rax
        addq $8, %rsp
        iretq
1:      movl $14, %edi
        jmp unexpected

entry guest_entry_timer          /* acknowledges to the 8259 */
        pushq %rax
        movb $0x20, %al
        outb %al, $0x20
        incq guest_count
        popq %rax
        iretq

entry guest_entry_int
        incq guest_count
        iretq

entry guest_entry_syscall        /* interrupts are masked, so the user's stack will do */
        incq guest_count
        sysretq

entry guest_entry_ignore
        iretq

        /* Exceptions that no benchmark raises: a stub each, 16 bytes apart. */
entry guest_entry_exceptions
        .set vector, 0
        .rept 32
        .balign 16
        movl $vector, %edi
        jmp unexpected
        .set vector, vector + 1
        .endr
unexpected:
        andq $-16, %rsp
        call guest_unexpected

        /* uint64_t guest_at_user(uint64_t (*f)(uint64_t), uint64_t n): f(n) at CPL 3, with interrupts off. */
entry guest_at_user
        pushq %rbp
        pushq %rbx
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, kernel_rsp
        movq $user_stack_top - 8, %rax
        movq $user_return, (%rax)
        pushq $GUEST_USER_DATA
        pushq %rax
        pushq $2
        pushq $GUEST_USER_CODE
        pushq %rdi
        movq %rsi, %rdi
        iretq
user_return:
        int $GUEST_LEAVE
entry guest_entry_leave
        movq kernel_rsp, %rsp
        movl $GUEST_KERNEL_DATA, %ecx
        movw %cx, %ss
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        ret

        .bss
        .balign 64
        .globl guest_count
guest_count: .skip 8
kernel_rsp: .skip 8
        .balign 4096
        .skip 4096
user_stack_top:
        .skip 4096
        .globl guest_trap_stack_top
guest_trap_stack_top:
        .section .note.GNU-stack, "", @progbits
