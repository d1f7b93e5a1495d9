; steps.asm - a real-mode guest whose every step is known: calls a function, patches it, puts it back, calls an
; interrupt, ends. For the tests of -d.
bits 16
section .text
global start, after_first, after_patch, after_back, after_int, work, patched, handler

start:
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x9000
    mov word [0x21 * 4], handler
    mov [0x21 * 4 + 2], ax
    call work
after_first:
    mov byte [patched + 1], 0x22
    call work
after_patch:
    mov byte [patched + 1], 0x11 ; as it was
    call work
after_back:
    mov bx, 0x1234
    int 0x21
after_int:
    mov dx, 0xf4
    xor ax, ax
    out dx, al
    jmp $

work:
    nop
patched:
    mov ax, 0x1111
    ret

handler:
    iret
