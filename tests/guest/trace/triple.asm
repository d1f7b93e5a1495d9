; triple.asm - a real-mode guest without an interrupt table: its first interrupt is a triple fault.
bits 16
section .text
global start, fatal

start:
    xor ax, ax
    mov ds, ax
    lidt [none]
fatal:
    int3
    jmp $
none:
    dw 0, 0, 0
