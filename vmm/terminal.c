/*
 * terminal.c - raw mode of the terminal on stdin, and giving it back.
 *
 * Interface: terminal.h. The process has one terminal, however many machines it runs, and a crash handler must
 * find what to restore without any of them: hence the one static record of this program.
 */
#include "vmm/terminal.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw;

void terminal_make_raw(bool keep_signals)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO))
        return;
    if (!is_raw && tcgetattr(STDIN_FILENO, &saved) < 0)
        return;
    raw = saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag |= OPOST; /* our own messages are meant for people */
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!keep_signals)
        raw.c_lflag &= ~(tcflag_t)ISIG;
    raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    raw.c_cflag |= CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_restore(void)
{
    if (!is_raw)
        return;
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    is_raw = 0;
}
