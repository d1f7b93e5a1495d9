; real.asm - programs in 16-bit real mode and in 32-bit segments with a base, as a 64 KiB ROM. Each runs some rounds,
; checks its result, and writes "name rounds cycles result" to port 0xe9: cycles of the TSC in hexadecimal, result
; "ok" or "wrong". Ends the machine through isa-debug-exit at port 0xf4.
bits 16
org 0

%ifndef DIVISOR
%define DIVISOR 1       ; of the rounds
%endif

DATA equ 0x1000     ; DS, then
OTHER equ 0x2000    ; ES
STACK equ 0x3000    ; SS
ROM equ 0xf000

; name, procedure, rounds, what AX must be behind each round
%macro program 4
    dw %2, (%3) / DIVISOR, %4
    db %1, 0
%endmacro

programs:
    program "sieve", sieve, 300, 1028
    program "sort", sort, 150, 1
    program "fib", fib, 150, 987
    program "strings", strings, 400, 0x4000
    program "segments", segments, 300, 20000
    program "far-calls", far_calls, 100, 10000
    program "interrupts", interrupts, 100, 5000
    program "protected", protected, 300, 1900
    dw 0

start:
    cli
    cld
    mov ax, STACK
    mov ss, ax
    mov sp, 0xfff0
    xor ax, ax
    mov ds, ax
    mov word [0x60 * 4], handler
    mov word [0x60 * 4 + 2], ROM
    mov si, programs
.next:
    push cs
    pop es
    cmp word [es:si], 0
    je .end
    call run
    jmp .next
.end:
    mov al, 0
    out 0xf4, al
    hlt

; One program of the table at ES:SI; SI moves on.
run:
    mov bp, [es:si]
    mov di, [es:si + 2]     ; rounds
    mov bx, [es:si + 4]     ; result
    add si, 6
.name:
    mov al, [es:si]
    inc si
    test al, al
    jz .named
    out 0xe9, al
    jmp .name
.named:
    push si
    push di
    rdtsc
    push edx
    push eax
    mov byte [cs:0], 0      ; a write to ROM changes nothing
    xor cx, cx              ; wrong results
.round:
    push bx
    push cx
    push di
    push bp
    mov ax, DATA
    mov ds, ax
    mov ax, OTHER
    mov es, ax
    call bp
    pop bp
    pop di
    pop cx
    pop bx
    cmp ax, bx
    je .good
    inc cx
.good:
    dec di
    jnz .round
    rdtsc
    pop ebx
    pop edi
    sub eax, ebx
    sbb edx, edi
    mov esi, eax
    pop ax                  ; rounds
    push cx
    mov cl, 4
    call hex
    mov al, ' '
    out 0xe9, al
    mov eax, edx
    mov cl, 8
    call hex32
    mov eax, esi
    mov cl, 8
    call hex32
    pop cx
    mov si, right
    jcxz .say
    mov si, wrong
.say:
    mov al, [cs:si]
    inc si
    out 0xe9, al
    cmp al, 10
    jne .say
    pop si
    ret

right: db " ok", 10
wrong: db " wrong", 10

; A space and CL hexadecimal digits of AX
hex:
    push ax
    mov al, ' '
    out 0xe9, al
    pop ax
    shl eax, 16
; CL hexadecimal digits from the top of EAX
hex32:
    rol eax, 4
    push ax
    and al, 15
    cmp al, 10
    sbb al, 0x69
    das
    out 0xe9, al
    pop ax
    dec cl
    jnz hex32
    ret

; Primes below 8192, one byte each in DS
sieve:
    xor di, di
    mov cx, 8192
.fill:
    mov byte [di], 1
    inc di
    loop .fill
    xor dx, dx              ; primes
    mov bx, 2
.candidate:
    cmp byte [bx], 0
    je .composite
    inc dx
    mov si, bx
.strike:
    add si, bx
    cmp si, 8192
    jae .composite
    mov byte [si], 0
    jmp .strike
.composite:
    inc bx
    cmp bx, 8192
    jb .candidate
    mov ax, dx
    ret

; Bubble sort of 100 words that fall; AX 1 when sorted
sort:
    mov cx, 100
    xor bx, bx
.fill:
    mov [bx], cx
    add bx, 2
    loop .fill
    mov cx, 99
.pass:
    push cx
    xor si, si
    xor bx, bx
.pair:
    mov ax, [bx + si]
    cmp ax, [bx + si + 2]
    jle .ordered
    xchg ax, [bx + si + 2]
    mov [bx + si], ax
.ordered:
    add si, 2
    dec cx
    jnz .pair
    pop cx
    loop .pass
    mov ax, [0]
    cmp word [198], 100
    je .end
    mov ax, 0
.end:
    ret

; fib(16), the argument on the stack
fib:
    push word 16
    call .f
    add sp, 2
    ret
.f:
    push bp
    mov bp, sp
    mov ax, [bp + 4]
    cmp ax, 2
    jb .small
    dec ax
    push ax
    call .f
    add sp, 2
    push ax
    mov ax, [bp + 4]
    sub ax, 2
    push ax
    call .f
    add sp, 2
    pop dx
    add ax, dx
.small:
    pop bp
    ret

; 0x4000 bytes through LODSB, STOSB, then compared; and moved as words
strings:
    xor si, si
    xor di, di
    mov cx, 0x4000
.copy:
    lodsb
    inc al
    stosb
    loop .copy
    xor si, si
    xor di, di
    mov cx, 0x2000
    rep movsw
    xor si, si
    xor di, di
    mov cx, 0x4000
    repe cmpsb
    mov ax, di
    ret

; The first word of 100 segments, 200 times: AX counts
segments:
    xor ax, ax
    mov dx, 200
.again:
    mov bx, DATA
    mov cx, 100
.next:
    mov es, bx
    inc word [es:4]
    inc bx
    inc ax
    loop .next
    dec dx
    jnz .again
    ret

far_calls:
    xor ax, ax
    mov cx, 10000
.again:
    call ROM:.target
    loop .again
    ret
.target:
    inc ax
    retf

interrupts:
    xor ax, ax
    mov cx, 5000
.again:
    int 0x60
    loop .again
    ret
handler:
    inc ax
    iret

; Primes below 16384 in protected mode, in segments with a base and a limit
protected:
    lgdt [cs:gdtr]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 8:.in32
bits 32
.in32:
    mov ax, 16
    mov ds, ax
    xor edi, edi
    mov ecx, 16384
.fill:
    mov byte [edi], 1
    inc edi
    dec ecx
    jnz .fill
    xor edx, edx
    mov ebx, 2
.candidate:
    cmp byte [ebx], 0
    je .composite
    inc edx
    lea esi, [ebx + ebx]
.strike:
    cmp esi, 16384
    jae .composite
    mov byte [esi], 0
    add esi, ebx
    jmp .strike
.composite:
    inc ebx
    cmp ebx, 16384
    jb .candidate
    jmp 24:.in16
bits 16
.in16:
    mov ax, 32
    mov ds, ax
    mov eax, cr0
    and al, ~1
    mov cr0, eax
    jmp ROM:.real
.real:
    mov ax, dx
    ret

align 8
gdt:
    dq 0
    dw 0xffff, 0, 0x9a0f, 0x0040    ; 8: 32-bit code at 0xf0000
    dw 0x3fff, 0, 0x9301, 0x0040    ; 16: data at 0x10000, 16 KiB
    dw 0xffff, 0, 0x9a0f, 0         ; 24: 16-bit code at 0xf0000
    dw 0xffff, 0, 0x9301, 0         ; 32: data as in real mode
gdtr:
    dw $ - gdt - 1
    dd 0xf0000 + gdt

    times 0xfff0 - ($ - $$) db 0
    jmp ROM:start
    times 0x10000 - ($ - $$) db 0
