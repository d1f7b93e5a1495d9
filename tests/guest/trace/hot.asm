; hot.asm - a real-mode guest that spends its time in one loop, for perf.
bits 16
section .text
global start, again, hot, done

start:
    xor ax, ax
    mov ds, ax
    mov dx, 2000
again:
    mov cx, 60000
hot:
    add ax, bx
    xor bx, cx
    add bx, [0x7e00]
    loop hot
    dec dx
    jnz again
done:
    mov dx, 0xf4
    xor ax, ax
    out dx, al
    jmp $
