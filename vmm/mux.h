/*
 * mux.h - the escape keys of the console on the terminal: Ctrl-A and a letter.
 */
#ifndef NOVT_VMM_MUX_H
#define NOVT_VMM_MUX_H

#include <stdbool.h>
#include <stdint.h>

#define MUX_ESCAPE 0x01 /* Ctrl-A */

struct mux {
    bool escaped; /* the last byte was the escape */
};

enum mux_action { MUX_NOTHING, MUX_SEND, MUX_QUIT, MUX_TEXT, MUX_BREAK, MUX_MONITOR };

/* What a typed byte means. MUX_SEND: give this byte to the guest. MUX_TEXT: show mux_text(byte). */
enum mux_action mux_feed(struct mux *mux, uint8_t byte);
/* Help; lines end in \r\n. */
const char *mux_text(uint8_t key);

#endif
