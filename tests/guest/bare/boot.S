/*
 * boot.S - entry of a bare test guest (PVH, 32-bit protected mode, no paging), the way into long mode, the exception
 * stubs, and the switch into a snippet and back.
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
        /* 0-1 GiB by 2 MiB pages, supervisor; everything else is mapped by rt.c */
        movl $pd0, %edi
        movl $0x83, %eax
        movl $512, %ecx
1:      movl %eax, (%edi)
        movl $0, 4(%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b
        movl $pd0 + 3, pdpt0
        movl $pdpt0 + 7, pml4
        movl %cr4, %eax
        orl $0x6a0, %eax                /* PAE, PGE, OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x901, %eax                /* SCE, LME, NXE */
        wrmsr
        movl %cr0, %eax
        andl $0x1fffffff & ~0xc, %eax   /* caches on, no EM, no TS */
        orl $0x80010023, %eax           /* PG, WP, NE, MP, PE */
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $0x10, $entry64

        .code64
entry64:
        movw $0x18, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        xorl %eax, %eax
        movw %ax, %fs
        movw %ax, %gs
        movq $boot_stack_top, %rsp
        call rt_start
1:      hlt
        jmp 1b

        .section .text
        /* Exception stubs: error code (or 0), vector, then the general registers as struct trap has them. */
        .globl trap_stubs
        .balign 16
trap_stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        pushq $0
        .endif
        pushq $vector
        jmp trap_common
        .set vector, vector + 1
        .endr

trap_common:
        pushq %r15
        pushq %r14
        pushq %r13
        pushq %r12
        pushq %r11
        pushq %r10
        pushq %r9
        pushq %r8
        pushq %rdi
        pushq %rsi
        pushq %rbp
        pushq %rsp                      /* place of RSP: filled from the frame */
        pushq %rbx
        pushq %rdx
        pushq %rcx
        pushq %rax
        cld
        movq %rsp, %rdi
        call trap_handle                /* returns 0 to resume, else leaves the snippet */
        testl %eax, %eax
        jnz snippet_leave
        popq %rax
        popq %rcx
        popq %rdx
        popq %rbx
        addq $8, %rsp
        popq %rbp
        popq %rsi
        popq %rdi
        popq %r8
        popq %r9
        popq %r10
        popq %r11
        popq %r12
        popq %r13
        popq %r14
        popq %r15
        addq $16, %rsp
        iretq

        /* void snippet_enter(struct regs *): loads everything and goes to regs->rip by IRETQ. */
        .globl snippet_enter
snippet_enter:
        pushq %rbp
        pushq %rbx
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, snippet_rsp
        pushq 0xa0(%rdi)                /* ss */
        pushq 0x20(%rdi)                /* rsp */
        pushq 0x88(%rdi)                /* rflags */
        pushq 0x98(%rdi)                /* cs */
        pushq 0x80(%rdi)                /* rip */
        movq 0x00(%rdi), %rax
        movq 0x08(%rdi), %rcx
        movq 0x10(%rdi), %rdx
        movq 0x18(%rdi), %rbx
        movq 0x28(%rdi), %rbp
        movq 0x30(%rdi), %rsi
        movq 0x40(%rdi), %r8
        movq 0x48(%rdi), %r9
        movq 0x50(%rdi), %r10
        movq 0x58(%rdi), %r11
        movq 0x60(%rdi), %r12
        movq 0x68(%rdi), %r13
        movq 0x70(%rdi), %r14
        movq 0x78(%rdi), %r15
        movq 0x38(%rdi), %rdi
        iretq

snippet_leave:
        movq snippet_rsp, %rsp
        movw $0x18, %ax
        movw %ax, %ss
        movw %ax, %ds
        movw %ax, %es
        pushq $2
        popfq
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbx
        popq %rbp
        ret

        /* SYSCALL lands here: leaves the snippet like vector 256 would. */
        .globl syscall_entry
syscall_entry:
        movq %rsp, syscall_rsp
        movq $trap_stack_top, %rsp
        pushq $0x2b
        pushq syscall_rsp
        pushq %r11
        pushq $0x33
        pushq %rcx
        pushq $0
        pushq $256
        jmp trap_common

        .data
        .balign 16
        .globl gdt, gdt_pointer
gdt:
        .quad 0
        .quad 0
        .quad 0x00af9b000000ffff        /* 0x10 kernel code */
        .quad 0x00cf93000000ffff        /* 0x18 kernel data */
        .quad 0x00cffb000000ffff        /* 0x20 user code, 32-bit */
        .quad 0x00cff3000000ffff        /* 0x28 user data */
        .quad 0x00affb000000ffff        /* 0x30 user code, 64-bit */
        .quad 0, 0                      /* 0x38 TSS, by rt.c */
        .quad 0, 0                      /* 0x48 call gate, by the test */
        .quad 0x00cf73000000ffff        /* 0x58 data, DPL 3, not present */
        .quad 0x00cff1000000ffff        /* 0x60 data, DPL 3, read-only */
        .quad 0x00aff9000000ffff        /* 0x68 code, DPL 3, execute-only */
        .quad 0x00af9f000000ffff        /* 0x70 conforming code, DPL 0, readable */
        .quad 0, 0                      /* 0x78 LDT, by the test */
        .quad 0x004ff30000000fff        /* 0x88 data, DPL 3, limit 0xf0fff, byte granular */
        .quad 0x00cf9b000000ffff        /* 0x90 kernel code, 32-bit */
        .quad 0, 0, 0, 0, 0, 0          /* 0x98.. spare */
        .globl gdt_end
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .quad gdt

        .bss
        .balign 4096
        .globl pml4
pml4:   .skip 4096
pdpt0:  .skip 4096
pd0:    .skip 4096
        .skip 16384
boot_stack_top:
        .globl trap_stack_top
        .skip 8192
trap_stack_top:
        .globl snippet_stack_top
        .skip 8192
snippet_stack_top:
        .globl snippet_rsp
snippet_rsp: .skip 8
syscall_rsp: .skip 8
        .section .note.GNU-stack, "", @progbits
