; image.asm - a boot sector, put at 7C00h by -device loader, which also puts numbers at 0500h.
bits 16
org 0x7c00
%include "check.inc"

start:
    mov sp, 0x7c00
    mov ax, cs
    test ax, ax
    check z, "CS is 0"
    mov eax, cr0
    test al, 1
    check z, "real mode"
    cmp dword [0x500], 0x11223344
    check e, "data=, little-endian"
    cmp dword [0x504], 0x44332211
    check e, "data=, big-endian"
    cmp word [0x508], 0xbeef
    check e, "data= of two bytes"
    cmp word [0x50a], 0
    check e, "and no more"
    finish

routines
