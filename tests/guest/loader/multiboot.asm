; multiboot.asm - a multiboot kernel that checks the state it is started in and what it is told. Flat, loaded by the
; addresses of its header; run with -append "one two" -initrd "FILE arg,FILE" where each FILE is this image.
bits 32
org 0x200000
%include "check.inc"

%define FLAGS 0x10003

start_of_image:
    align 4
header:
    dd 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
    dd header, start_of_image, end_of_image, end_of_bss, entry

entry:
    mov esp, stack_top
    mov [magic], eax
    mov [info], ebx
    pushfd
    pop eax
    test eax, 1 << 9
    check z, "interrupts are off"
    test eax, 1 << 17
    check z, "not in virtual-8086 mode"
    cmp dword [magic], 0x2badb002
    check e, "EAX holds the magic number"
    mov eax, cr0
    and eax, 0x80000001
    cmp eax, 1
    check e, "protected mode without paging"
    mov eax, [0x1ffffc]
    mov dword [0x1ffffc], 0x12345678
    mov dword [0x0ffffc], 0x9abcdef0
    cmp dword [0x1ffffc], 0x12345678
    check e, "A20 is open"
    cmp dword [end_of_bss - 4], 0
    check e, "the BSS is clear"
    mov ebx, [info]
    mov eax, [ebx]
    and eax, 0x24d
    cmp eax, 0x24d
    check e, "memory, command line, modules, map and loader name are there"
    cmp dword [ebx + 4], 639
    check e, "lower memory"
    cmp dword [ebx + 8], 31 << 10
    check e, "upper memory"
    mov esi, [ebx + 16]
.blank: ; the command line behind the kernel's name
    lodsb
    cmp al, ' '
    jne .blank
    mov edi, words
    mov ecx, 8
    repe cmpsb
    check e, "command line"
    cmp dword [ebx + 20], 2
    check e, "two modules"
    mov edx, [ebx + 24]
    mov eax, [edx]
    or eax, [edx + 16]
    test eax, 0xfff
    check z, "modules at page boundaries"
    mov eax, [edx + 4]
    sub eax, [edx]
    cmp eax, end_of_image - start_of_image
    check e, "the first module's size"
    mov esi, [edx + 16]
    mov edi, header
    mov ecx, 12
    repe cmpsb
    check e, "the second module's bytes"
    mov esi, [edx + 8]
.argument:
    lodsb
    cmp al, ' '
    jne .argument
    cmp dword [esi], 'arg'
    check e, "the first module's argument"
    call sum_memory
    cmp eax, (32 << 20) - (0x100000 - 0x9fc00)
    check e, "the memory map's RAM"
    finish

; Bytes of RAM in the memory map, in EAX.
sum_memory:
    xor eax, eax
    mov esi, [ebx + 48]
    mov ecx, esi
    add ecx, [ebx + 44]
.next:
    cmp esi, ecx
    jae .end
    cmp dword [esi + 20], 1
    jne .other
    add eax, [esi + 12]
.other:
    add esi, [esi]
    add esi, 4
    jmp .next
.end:
    ret

routines

words:
    db "one two", 0
magic:
    dd 0
info:
    dd 0
end_of_image:
absolute end_of_image
    resb 4096
stack_top:
    resb 4096
end_of_bss:
