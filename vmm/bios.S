/*
 * bios.S - the least of a BIOS: answers what the real-mode code of a kernel asks before it goes to protected mode,
 * for the case that a kernel is entered there without firmware (linux_real.c).
 *
 * Data, copied into the guest's BIOS area at BIOS_BASE and filled in there; struct bios_data in linux_real.c
 * describes its head. Interface: the interrupt vectors that the head lists. INT 10h writes to the first serial port,
 * INT 12h and 15h tell of memory, INT 16h never has a key; the rest says "function not supported" (CF set, AH 86h).
 * Invariants: no state of its own, no interrupts enabled, registers other than results are kept.
 */
#define OFFSET 0xf000 /* in segment 0xf000 */
#define AT(label) (label - novt_bios + OFFSET)
#define SMAP 0x534d4150
#define ENTRY 20 /* bytes of an E820 entry */
#define COM1 0x3f8

    .section .rodata
    .globl novt_bios, novt_bios_end
    .hidden novt_bios, novt_bios_end
    .code16
novt_bios:
    .word AT(int_10), AT(int_12), AT(int_15), AT(int_16), AT(unsupported)
entries:
    .word 0
above_1m: /* KiB from 1 to at most 16 MiB */
    .word 0
above_16m: /* units of 64 KiB */
    .word 0
above_1m_old: /* KiB, at most 64 MiB of them */
    .word 0
map:
    .fill 8 * ENTRY, 1, 0

int_10:
    cmp $0x0e, %ah
    je teletype
    cmp $0x03, %ah
    je cursor
    cmp $0x0f, %ah
    je video_mode
    iret

teletype:
    push %ax
    push %dx
    mov %al, %ah
    mov $(COM1 + 5), %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $COM1, %dx
    mov %ah, %al
    out %al, %dx
    pop %dx
    pop %ax
    iret

cursor:
    xor %cx, %cx
    xor %dx, %dx
    iret

video_mode: /* 3: text, 80 columns, page 0 */
    mov $0x5003, %ax
    mov $0, %bh
    iret

int_12:
    mov $639, %ax
    iret

int_15:
    cmpl $0xe820, %eax
    je e820
    cmp $0xe801, %ax
    je e801
    cmp $0x2401, %ax /* open A20: it is */
    je a20
    cmp $0x88, %ah
    je memory_old
    jmp unsupported

e820:
    cmpl $SMAP, %edx
    jne unsupported
    cmpl $ENTRY, %ecx
    jb unsupported
    cmpw %cs:AT(entries), %bx
    jae unsupported
    push %ds
    push %si
    push %di
    push %cs
    pop %ds
    imul $ENTRY, %bx, %si
    add $AT(map), %si
    mov $(ENTRY / 2), %cx
    cld
    rep movsw
    pop %di
    pop %si
    pop %ds
    movl $ENTRY, %ecx
    movl %edx, %eax
    inc %bx
    cmpw %cs:AT(entries), %bx
    jb supported
    xorl %ebx, %ebx
    jmp supported

e801:
    mov %cs:AT(above_1m), %ax
    mov %cs:AT(above_16m), %bx
    mov %ax, %cx
    mov %bx, %dx
    jmp supported

a20:
    mov $0, %ah
    jmp supported

memory_old:
    mov %cs:AT(above_1m_old), %ax
    jmp supported

int_16:
    cmp $0x02, %ah
    jae 1f
    xor %ax, %ax
1:  push %bp /* ZF: no key */
    mov %sp, %bp
    orb $0x40, 6(%bp)
    pop %bp
    iret

supported: /* CF clear in the flags that IRET restores */
    push %bp
    mov %sp, %bp
    andb $0xfe, 6(%bp)
    pop %bp
    iret

unsupported:
    mov $0x86, %ah
    push %bp
    mov %sp, %bp
    orb $1, 6(%bp)
    pop %bp
    iret
novt_bios_end:

    .section .note.GNU-stack, "", @progbits
