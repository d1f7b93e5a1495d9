; rom.asm - firmware of 64 KiB that checks how it is started, where it lies, and fw_cfg. Run with -m 32.
bits 16
org 0
%include "check.inc"

%define DIRECTORY 0x19
%define SELECT 0x510
%define DATA 0x511
%define DMA 0x514

entry: ; in the copy below 1 MiB
    mov ax, 0x1000
    mov ss, ax
    mov sp, 0xfff0
    mov ax, cs
    mov ds, ax
    mov es, ax
    cmp ax, 0xf000
    check e, "a far jump leaves the ROM below 4 GiB"
    mov byte [scratch], 0x5a
    cmp byte [scratch], 0x5a
    check e, "the copy can be written"
    mov ax, 0
    mov edi, scratch
    call read_item
    cmp dword [scratch], 'QEMU'
    check e, "fw_cfg's signature"
    mov ax, 1
    call read_item
    test byte [scratch], 2
    check nz, "fw_cfg copies to memory"
    mov ax, 3
    call read_item
    cmp dword [scratch], 32 << 20
    check e, "the size of RAM"
    mov ax, 0x7777
    call read_item
    cmp dword [scratch], 0
    check e, "an item that is not there reads as zeros"
    mov dx, DMA
    in eax, dx
    cmp eax, 'QEMU'
    check e, "the copying port's signature"
    call copy_directory
    cmp dword [request], 0
    check e, "the copy ends without error"
    cmp byte [scratch + 3], 0
    check ne, "the directory has files"
    cmp dword [scratch + 12], 'etc/'
    check e, "and their names"
    cli
    lgdt [cs:gdt_register]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov ax, 8
    mov fs, ax
    mov ebx, [fs:dword 0xfffffff0]
    mov byte [fs:dword 0xfffffff0], 0
    mov ecx, [fs:dword 0xfffffff0]
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    cmp ebx, [reset]
    check e, "the ROM ends at 4 GiB"
    cmp ecx, ebx
    check e, "and cannot be written"
    mov al, 0x35 ; CMOS: 64 KiB units above 16 MiB
    out 0x70, al
    in al, 0x71
    cmp al, 1
    check e, "CMOS tells of memory"
    finish

; The first four bytes of item AX, to ES:EDI.
read_item:
    mov dx, SELECT
    out dx, ax
    mov dx, DATA
    mov cx, 4
    push di
    rep insb
    pop di
    ret

copy_directory:
    mov eax, 0xf0000 + request
    bswap eax
    mov edx, DMA + 4
    out dx, eax
    ret

routines

    align 8
request: ; big-endian: select and read, 256 bytes
    db 0, DIRECTORY, 0, 8 | 2
    dd 0x00010000
    dd 0
    db 0, 0x0f, (scratch - entry) >> 8, (scratch - entry) & 0xff
gdt:
    dq 0, 0x00cf93000000ffff
gdt_register:
    dw 15
    dd 0xf0000 + gdt
    align 16
scratch:
    times 256 db 0
    times 0xfff0 - ($ - entry) db 0xff
reset:
    jmp 0xf000:entry
    times 0x10000 - ($ - entry) db 0xff
