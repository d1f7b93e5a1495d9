; linux16.asm - what stands for a Linux kernel of boot protocol 2.2: checks the state that its real-mode code is
; entered in, and what it needs of a BIOS. Run with -append "one two" -initrd FILE, where FILE is this image.
bits 16
org 0
%include "check.inc"

%define SETUP_SECTORS 5

boot_sector:
    times 0x1f1 db 0
    db SETUP_SECTORS
    times 0x1fe - ($ - boot_sector) db 0
    dw 0xaa55
    jmp short entry ; 0x200
    db "HdrS"
    dw 0x0202
    times 0x211 - ($ - boot_sector) db 0
    db 1 ; LOADED_HIGH
    times 0x230 - ($ - boot_sector) db 0

entry:
    pushf
    mov bp, sp
    mov ax, cs
    cmp ax, 0x9020
    check e, "CS is 0x20 paragraphs behind the boot sector"
    mov ax, ds
    mov bx, es
    mov cx, ss
    cmp ax, 0x9000
    jne .segments
    cmp bx, ax
    jne .segments
    cmp cx, ax
.segments:
    check e, "DS, ES and SS are the boot sector's"
    test word [bp], 1 << 9
    check z, "interrupts are off"
    mov eax, cr0
    test al, 1
    check z, "real mode"
    test byte [0x211], 0x80
    check nz, "there is a heap"
    cmp byte [0x210], 0
    check ne, "the loader is named"
    mov eax, [0x228]
    mov si, ax
    and si, 15
    shr eax, 4
    mov fs, ax
    cmp dword [fs:si], 'one '
    check e, "command line"
    cmp dword [0x21c], end_of_image - boot_sector
    check e, "the initrd's size"
    call copy_payload
    cmp dword [0x5000], 'PAYL'
    check e, "the payload is at 1 MiB"
    int 0x12
    cmp ax, 639
    check e, "INT 12h: base memory"
    mov ax, 0xe801
    int 0x15
    cmp ax, 15 << 10
    check e, "INT 15h, E801h: memory below 16 MiB"
    cmp bx, 16 << 4
    check e, "and above"
    mov ah, 0x88
    int 0x15
    cmp ax, 31 << 10
    check e, "INT 15h, 88h"
    call sum_memory
    cmp edi, (32 << 20) - (0x100000 - 0x9fc00)
    check e, "INT 15h, E820h: RAM in all"
    mov ah, 0xc0
    int 0x15
    check c, "INT 15h: what is not there says so"
    mov ah, 1
    int 0x16
    check z, "INT 16h: no key"
    mov ax, 0x0e00 + '#'
    int 0x10
    mov ax, 0x0e00 + 10
    int 0x10
    finish

; Bytes of RAM that E820 tells of, in EDI.
sum_memory:
    xor ebx, ebx
    xor esi, esi
.next:
    mov eax, 0xe820
    mov ecx, 20
    mov edx, 0x534d4150
    mov di, 0x5000
    int 0x15
    jc .end
    cmp eax, 0x534d4150
    jne .end
    cmp dword [0x5010], 1
    jne .other
    add esi, [0x5008]
.other:
    test ebx, ebx
    jnz .next
.end:
    mov edi, esi
    ret

; The first bytes at 1 MiB, to DS:5000h.
copy_payload:
    mov ax, 0xffff
    mov fs, ax
    mov eax, [fs:0x10]
    mov [0x5000], eax
    ret

routines

    times (SETUP_SECTORS + 1) * 512 - ($ - boot_sector) db 0
payload:
    db "PAYL"
    times 1024 db 0
end_of_image:
