/*
 * guests.S - the guests' images, in the program's read-only data.
 */
        .macro image name
        .balign 64
        .globl lab_image_\name, lab_image_\name\()_end
        .hidden lab_image_\name, lab_image_\name\()_end
lab_image_\name:
        .incbin "lab-\name\().elf"
lab_image_\name\()_end:
        .endm

        .section .rodata
        image cache
        image engines
        image io
        image sensitive
        image shadow
        image visible
        .section .note.GNU-stack, "", @progbits
