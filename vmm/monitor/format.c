/*
 * format.c - formats of the monitor's commands, as in x/10xg.
 *
 * Interface: format.h. Invariant: the text is only read up to its end.
 */
#include "vmm/monitor/format.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_letter(char letter, struct format *f, struct error *error)
{
    static const char sizes[] = "bhwg";
    const char *size = strchr(sizes, letter);

    if (size)
        f->size = 1u << (size - sizes);
    else if (strchr("xduocis", letter))
        f->kind = letter;
    else
        return error_set(error, EINVAL,
                         "/%c: unknown format; there are x d u o c i s, and the sizes b h w g (1, 2, 4, 8 bytes)",
                         isprint((unsigned char)letter) ? letter : '?');
    return 0;
}

int format_read(const char **text, struct format *f, struct error *error)
{
    const char *at = *text;

    while (*at && *at != ' ' && *at != '\t') {
        char *end;

        if (isdigit((unsigned char)*at)) {
            unsigned long count = strtoul(at, &end, 10);

            if (count == 0 || count > FORMAT_COUNT_MAX)
                return error_set(error, ERANGE, "/%.*s: the count is out of range; it is 1 to %u",
                                 (int)(end - at < 20 ? end - at : 20), at, FORMAT_COUNT_MAX);
            f->count = (unsigned)count;
            at = end;
            continue;
        }
        if (read_letter(*at++, f, error))
            return -EINVAL;
    }
    if (f->kind == 'c')
        f->size = 1;
    *text = at;
    return 0;
}

static int64_t sign_extended(uint64_t value, unsigned size)
{
    unsigned spare = 64 - 8 * size;

    return (int64_t)(value << spare) >> spare;
}

static void format_character(char *to, size_t room, uint8_t c)
{
    if (c == '\'' || c == '\\')
        snprintf(to, room, "'\\%c'", c);
    else if (isprint(c))
        snprintf(to, room, "'%c'", c);
    else
        snprintf(to, room, "'\\x%02x'", c);
}

/* Digits of the widest value, by log2 of the size. */
void format_value(char *to, size_t room, const struct format *f, uint64_t value)
{
    static const uint8_t octal[] = {3, 6, 11, 22}, decimal[] = {3, 5, 10, 20};
    unsigned log = f->size == 1 ? 0 : f->size == 2 ? 1 : f->size == 4 ? 2 : 3;

    switch (f->kind) {
    case 'o':
        snprintf(to, room, "0%0*" PRIo64, octal[log], value);
        break;
    case 'u':
        snprintf(to, room, "%*" PRIu64, decimal[log], value);
        break;
    case 'd':
        snprintf(to, room, "%*" PRId64, decimal[log] + 1, sign_extended(value, f->size));
        break;
    case 'c':
        format_character(to, room, (uint8_t)value);
        break;
    default:
        snprintf(to, room, "0x%0*" PRIx64, 2 * (int)f->size, value);
        break;
    }
}
