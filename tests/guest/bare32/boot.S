/*
 * boot.S - entry of a 32-bit bare test guest (PVH: protected mode, no paging), the exception stubs, the switch into
 * a snippet and back, and the way to real mode and back.
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
        cld
        movl $boot_stack_top, %esp
        call rt_tables
        lgdt gdt_pointer
        lidt idt_pointer
        ljmp $8, $1f
1:      movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movw $0x28, %ax
        ltr %ax
        call rt_start
2:      hlt
        jmp 2b

        .section .text
        .globl trap_stubs
        .balign 16
trap_stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        pushl $0
        .endif
        pushl $vector
        jmp trap_common
        .set vector, vector + 1
        .endr

/* struct state grows down from the frame. From the same level there is no ESP and SS in it. */
        .globl trap_common
trap_common:
        pushl %gs
        pushl %fs
        pushl %es
        pushl %ds
        pushal
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        cld
        movl %cr2, %eax
        movl %eax, last_cr2
        movl %esp, %esi
        movl $last, %edi
        movl $19, %ecx
        rep movsl
        testl $0x20000, last + 64       /* VM */
        jnz 1f
        testl $3, last + 60             /* from CPL 3 */
        jnz 2f
        leal 68(%esp), %eax
        movl %eax, last + 68
        movl %ss, %eax
        movl %eax, last + 72
        jmp 2f
1:      movl 76(%esp), %eax             /* ES, DS, FS, GS of virtual-8086 mode */
        movl %eax, last + 36
        movl 80(%esp), %eax
        movl %eax, last + 32
        movl 84(%esp), %eax
        movl %eax, last + 40
        movl 88(%esp), %eax
        movl %eax, last + 44
2:      movl $0x10, %eax
        movl %eax, %ss
        decl in_snippet
        js rt_unexpected
        movl kernel_esp, %esp
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        pushl $2
        popfl
        popl %ebp
        popl %edi
        popl %esi
        popl %ebx
        ret

        /* void snippet_enter(struct state *) */
        .globl snippet_enter
snippet_enter:
        movl 4(%esp), %eax
        pushl %ebx
        pushl %esi
        pushl %edi
        pushl %ebp
        movl %esp, kernel_esp
        movl $1, in_snippet
        testl $0x20000, 64(%eax)
        jnz 1f
        testl $3, 60(%eax)
        jnz 2f
        /* the same level: IRET does not load ESP and SS, so the frame is built on the new stack */
        movl 68(%eax), %ebx
        movl 72(%eax), %ecx
        movl %ecx, %ss
        movl %ebx, %esp
        jmp 3f
1:      pushl 44(%eax)
        pushl 40(%eax)
        pushl 32(%eax)
        pushl 36(%eax)
2:      pushl 72(%eax)
        pushl 68(%eax)
3:      pushl 64(%eax)
        pushl 60(%eax)
        pushl 56(%eax)
        testl $0x20000, 64(%eax)
        jnz 4f
        movl 36(%eax), %ecx
        movl %ecx, %es
        movl 40(%eax), %ecx
        movl %ecx, %fs
        movl 44(%eax), %ecx
        movl %ecx, %gs
4:      movl 0(%eax), %edi
        movl 4(%eax), %esi
        movl 8(%eax), %ebp
        movl 16(%eax), %ebx
        movl 20(%eax), %edx
        movl 24(%eax), %ecx
        pushl 32(%eax)
        pushl 28(%eax)
        testl $0x20000, 64(%eax)
        popl %eax
        jnz 5f
        popl %ds
        iretl
5:      addl $4, %esp
        iretl

        .section .data
        .globl kernel_esp
kernel_esp: .long 0
in_snippet: .long 0
        .balign 4
        .word 0
gdt_pointer:
        .word 0xff
        .long gdt
        .word 0
idt_pointer:
        .word 0x7ff
        .long idt

        /* Copied to 0x8000. In: return address on the stack; DX:... nothing. */
        .section .text
        .globl real_start, real_end
real_start:
        .code32
        pushl %ebx
        pushl %esi
        pushl %edi
        pushl %ebp
        movl %esp, kernel_esp
        lidt 0x8000 + real_idt - real_start
        ljmp $0x30, $0x8000 + real_16 - real_start
real_16:
        .code16
        movw $0x38, %ax                 /* 64 KiB limits before PE is cleared */
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw %ax, %fs
        movw %ax, %gs
        movl %cr0, %eax
        andb $0xfe, %al
        movl %eax, %cr0
        ljmp $0, $0x8000 + real_17 - real_start
real_17:
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %fs
        movw %ax, %gs
        movw $0x3000, %ax
        movw %ax, %ss
        movw $0xfff0, %sp
        movl 0x7f00, %eax               /* the registers lie at 0x7f00 */
        movl 0x7f04, %ebx
        movl 0x7f08, %ecx
        movl 0x7f0c, %edx
        movl 0x7f10, %esi
        movl 0x7f14, %edi
        movl 0x7f18, %ebp
        ljmp $0x2000, $0
        .globl real_exit
real_exit:                              /* 0000:real_exit */
        pushfl
        pushw %ds
        pushw $0
        popw %ds
        movl %eax, 0x7f00
        movl %ebx, 0x7f04
        movl %ecx, 0x7f08
        movl %edx, 0x7f0c
        movl %esi, 0x7f10
        movl %edi, 0x7f14
        movl %ebp, 0x7f18
        movw %ss, 0x7f1e
        movw %sp, %ax
        addw $6, %ax
        movw %ax, 0x7f1c
        popw 0x7f20                     /* DS */
        movw %es, 0x7f22
        popl 0x7f24
        cli
        lgdtl 0x8000 + real_gdt - real_start
        movl %cr0, %eax
        orb $1, %al
        movl %eax, %cr0
        ljmpl $8, $real_32
        .balign 4
real_idt:
        .word 0x3ff
        .long 0
        .globl real_gdt
real_gdt:
        .word 0xff
        .long gdt
real_end:
        .code32
real_32:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movl kernel_esp, %esp
        lidt idt_pointer
        popl %ebp
        popl %edi
        popl %esi
        popl %ebx
        ret

        .section .note.GNU-stack, "", @progbits
        .section .bss
        .balign 16
        .skip 16384
boot_stack_top:
        .skip 8192
        .globl trap_stack_top
trap_stack_top:
