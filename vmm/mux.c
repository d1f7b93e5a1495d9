/*
 * mux.c - the escape keys of the console on the terminal: QEMU's, as far as there is something behind them.
 *
 * Interface: mux.h. Invariant: a byte that is no escape sequence reaches the guest unchanged, and one that
 * follows Ctrl-A without meaning anything is dropped, as QEMU does.
 */
#include "vmm/mux.h"

#include <stddef.h>

static const char help[] = "\r\n"
                           "C-a h    print this help\r\n"
                           "C-a x    exit novt\r\n"
                           "C-a b    send break\r\n"
                           "C-a c    switch between console and monitor\r\n"
                           "C-a C-a  sends C-a\r\n";

struct key {
    uint8_t byte;
    enum mux_action action;
    const char *text;
};

static const struct key key_table[] = {
    {'x', MUX_QUIT, NULL},  {'h', MUX_TEXT, help},    {'?', MUX_TEXT, help},
    {'b', MUX_BREAK, NULL}, {'c', MUX_MONITOR, NULL}, {MUX_ESCAPE, MUX_SEND, NULL},
};

/* Letters count in either case. */
static const struct key *find_key(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        byte = (uint8_t)(byte - 'A' + 'a');
    for (size_t i = 0; i < sizeof key_table / sizeof key_table[0]; i++)
        if (key_table[i].byte == byte)
            return &key_table[i];
    return NULL;
}

enum mux_action mux_feed(struct mux *mux, uint8_t byte)
{
    const struct key *key;

    if (!mux->escaped) {
        mux->escaped = byte == MUX_ESCAPE;
        return mux->escaped ? MUX_NOTHING : MUX_SEND;
    }
    mux->escaped = false;
    key = find_key(byte);
    return key ? key->action : MUX_NOTHING;
}

const char *mux_text(uint8_t key)
{
    const struct key *found = find_key(key);

    return found && found->text ? found->text : "";
}
