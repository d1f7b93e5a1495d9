/*
 * boot64.S - entry of a 64-bit guest for trap-and-emulate (PVH: protected mode, no paging), the way into long mode, its
 * descriptor table, and the way into and out of exceptions. As boot32.S, nothing here is sensitive without trapping.
 */
        .section .note.pvh, "a", @note
        .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long entry32

        .section .text.entry, "ax"
        .code32
        .globl entry32
entry32:
        cli
        movl $boot_stack_top, %esp
        movl $pd, %edi                  /* 0-1 GiB by 2 MiB pages, for the kernel alone */
        movl $0x83, %eax
        movl $512, %ecx
1:      movl %eax, (%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b
        movl $pd + 3, pdpt
        movl $pdpt + 7, pml4
        movl $0x6a0, %eax               /* PAE, PGE, OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        xorl %edx, %edx
        movl $0x901, %eax               /* SCE, LME, NXE */
        wrmsr
        movl $0x80010031, %eax          /* PG, WP, NE, ET, PE */
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $0x08, $entry64

        .code64
entry64:
        movl $0x10, %eax
        movl %eax, %ss
        movq $boot_stack_top, %rsp
        call guest_start
1:      hlt
        jmp 1b

        .section .text
        .globl vector_stubs
        .balign 16
vector_stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        pushq $0
        .endif
        pushq $vector
        jmp vector_common
        .set vector, vector + 1
        .endr

vector_common:
        pushq %rax
        pushq %rcx
        pushq %rdx
        pushq %rbx
        pushq %rsp
        pushq %rbp
        pushq %rsi
        pushq %rdi
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        movq %rsp, %rdi
        call guest_vector
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rdi
        popq %rsi
        popq %rbp
        addq $8, %rsp
        popq %rbx
        popq %rdx
        popq %rcx
        popq %rax
        addq $16, %rsp
        iretq

        /* void enter_user(unsigned long ip, unsigned long sp): IRET to CPL 3; leave_user comes back from there. */
        .globl enter_user
enter_user:
        pushq %rbp
        pushq %rbx
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, kernel_sp
        pushq $0x8b
        pushq %rsi
        pushq $0x202
        pushq $0x83
        pushq %rdi
        iretq
        .globl leave_user
leave_user:
        movq kernel_sp, %rsp
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        ret

        .data
        .balign 16
        .globl gdt, gdt_end
gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* 0x08 kernel code */
        .quad 0x00cf93000000ffff        /* 0x10 kernel data */
        .fill 13, 8, 0                  /* 0x18 to 0x78: where the host's are */
        .quad 0x00affb000000ffff        /* 0x80 user code */
        .quad 0x00cff3000000ffff        /* 0x88 user data */
        .quad 0, 0                      /* 0x90 TSS */
        .quad 0, 0                      /* 0xa0 LDT */
gdt_end:
        .globl gdt_pointer
gdt_pointer:
        .word gdt_end - gdt - 1
        .quad gdt

        .bss
        .balign 4096
        .globl pml4
pml4:   .skip 4096
pdpt:   .skip 4096
pd:     .skip 4096
        .skip 16384
boot_stack_top:
        .skip 8192
        .globl trap_stack_top
trap_stack_top:
kernel_sp: .skip 8
        .section .note.GNU-stack, "", @progbits
