/*
 * boot32.S - entry of a 32-bit guest for trap-and-emulate (PVH: protected mode, no paging), its descriptor table, and
 * the way into and out of exceptions. No instruction here is sensitive without trapping: selectors are such as the
 * host's descriptor table does not have, and no segment register is ever saved.
 */
        .section .note.pvh, "a", @note
        .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long entry32

        .section .text.entry, "ax"
        .globl entry32
entry32:
        cli
        movl $boot_stack_top, %esp
        movl $0x600, %eax               /* OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      movl $0x10, %eax
        movl %eax, %ss
        movl $0x8b, %eax                /* for the kernel as for the user: both are flat */
        movl %eax, %ds
        movl %eax, %es
        call guest_start
2:      hlt
        jmp 2b

        .section .text
        .globl vector_stubs
        .balign 16
vector_stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        pushl $0
        .endif
        pushl $vector
        jmp vector_common
        .set vector, vector + 1
        .endr

vector_common:
        pushal
        pushl %esp
        call guest_vector
        addl $4, %esp
        popal
        addl $8, %esp
        iret

        /* void enter_user(unsigned long ip, unsigned long sp): IRET to CPL 3; leave_user comes back from there. */
        .globl enter_user
enter_user:
        movl 4(%esp), %eax
        movl 8(%esp), %ecx
        pushl %ebp
        pushl %ebx
        pushl %esi
        pushl %edi
        movl %esp, kernel_sp
        pushl $0x8b
        pushl %ecx
        pushl $0x202
        pushl $0x83
        pushl %eax
        iret
        .globl leave_user
leave_user:
        movl kernel_sp, %esp
        popl %edi
        popl %esi
        popl %ebx
        popl %ebp
        ret

        .data
        .balign 16
        .globl gdt, gdt_end
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        /* 0x08 kernel code */
        .quad 0x00cf93000000ffff        /* 0x10 kernel data */
        .fill 13, 8, 0                  /* 0x18 to 0x78: where the host's are */
        .quad 0x00cffb000000ffff        /* 0x80 user code */
        .quad 0x00cff3000000ffff        /* 0x88 user data */
        .quad 0, 0                      /* 0x90 TSS */
        .quad 0, 0                      /* 0xa0 LDT */
gdt_end:
        .globl gdt_pointer
gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt

        .bss
        .balign 4096
        .skip 16384
boot_stack_top:
        .skip 8192
        .globl trap_stack_top
trap_stack_top:
kernel_sp: .skip 4
        .section .note.GNU-stack, "", @progbits
