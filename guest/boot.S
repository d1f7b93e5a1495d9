/*
 * boot.S - entry of a guest without an operating system, by PVH or multiboot 1 (both: 32-bit protected mode, no
 * paging), and the way into long mode.
 *
 * 0-1 GiB is mapped one to one by large pages that CPL 3 may use as well. Above: GUEST_AREA (numbers.h), whose 4 KiB
 * pages, and who may use them, are guest_area_table's, and the local APIC.
 */
        .section .text.entry, "ax"
        .code32
        .balign 4
        /* With addresses (flag 16), as a loader may refuse the 64-bit ELF file itself. */
        .set FLAGS, 0x10000
header: .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
        .long header, guest_start, guest_data_end, guest_bss_end, guest_entry

        .globl guest_entry
guest_entry:
        cli
        cld
        movl $stack_top, %esp
        movl %ebx, guest_boot_info
        movl $pd0, %edi
        movl $0x87, %eax                /* P, W, U, PS */
        movl $512, %ecx
1:      movl %eax, (%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b
        movl $pdpt + 7, pml4
        movl $pd0 + 7, pdpt
        movl $pd1 + 7, pdpt + 8
        movl $pd3 + 3, pdpt + 24
        movl $guest_area_table + 7, pd1
        movl $0xfee00093, pd3 + 0x1f7 * 8       /* P, W, PCD, PS */
        movl %cr4, %eax
        orl $0xa0, %eax                 /* PAE, PGE */
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x101, %eax                /* SCE, LME */
        wrmsr
        movl %cr0, %eax
        andl $0x9fffffff, %eax          /* caches on */
        orl $0x80010001, %eax           /* PG, WP, PE */
        movl %eax, %cr0
        lgdt pointer
        ljmp $0x10, $entry64

        .code64
entry64:
        movw $0x18, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movq $stack_top, %rsp
        xorl %ebp, %ebp
        call guest_main

        .section .note.pvh, "a", @note
        .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long guest_entry

        .data
        .balign 16
        .globl guest_gdt
guest_gdt:
        .quad 0
        .quad 0
        .quad 0x00af9b000000ffff        /* 0x10 kernel code */
        .quad 0x00cf93000000ffff        /* 0x18 kernel data */
        .quad 0
        .quad 0x00cffb000000ffff        /* 0x28 user code, 32-bit: SYSRET counts from here */
        .quad 0x00cff3000000ffff        /* 0x30 user data */
        .quad 0x00affb000000ffff        /* 0x38 user code, 64-bit */
        .quad 0, 0
        .quad 0, 0                      /* 0x50 TSS, by traps.c */
gdt_end:
pointer:
        .word gdt_end - guest_gdt - 1
        .quad guest_gdt

        .bss
        .globl guest_boot_info
        .balign 8
guest_boot_info: .skip 8
        .balign 4096
pml4:   .skip 4096
pdpt:   .skip 4096
pd0:    .skip 4096
pd1:    .skip 4096
pd3:    .skip 4096
        .globl guest_area_table
guest_area_table: .skip 4096
        .skip 16384
stack_top:
        .section .note.GNU-stack, "", @progbits
