/*
 * port.c - runs in the guest: writes a byte to an I/O port from user mode, by leave of the I/O permission bitmap.
 *
 *   port PORT VALUE     status 2 if the arguments are wrong, 1 if the kernel gives no leave
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
    unsigned long port, value;

    if (argc != 3)
        return 2;
    port = strtoul(argv[1], NULL, 0);
    value = strtoul(argv[2], NULL, 0);
    if (ioperm(port, 1, 1)) {
        perror("ioperm");
        return 1;
    }
    outb((unsigned char)value, (unsigned short)port);
    return 0;
}
