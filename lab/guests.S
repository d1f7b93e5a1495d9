/*
 * guests.S - files that are part of the program, in its read-only data: the guests' images, and the page's style.
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
        .globl lab_page_css, lab_page_css_end
        .hidden lab_page_css, lab_page_css_end
lab_page_css:
        .incbin "page.css"
lab_page_css_end:

        .section .note.GNU-stack, "", @progbits
