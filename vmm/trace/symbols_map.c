/*
 * symbols_map.c - reads a System.map: lines of ADDRESS TYPE NAME, as nm prints them.
 *
 * Interface: symbols_internal.h. /proc/kallsyms of a guest has the same form, with a module's name behind a tab.
 * Invariant: a file is taken whole or not at all; one bad line and the rest is not believed either.
 */
#include "vmm/trace/symbols_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST (256u << 20)

static int refuse(const char **error, int errnum, const char *why)
{
    *error = why;
    return -errnum;
}

/* Up to 16 hexadecimal digits and a space; NULL: there is something else. */
static const char *read_address(const char *at, const char *end, uint64_t *address)
{
    static const char digits[] = "0123456789abcdef";
    const char *start = at;

    for (*address = 0; at < end && isxdigit((unsigned char)*at); at++)
        *address = *address << 4 | (uint64_t)(strchr(digits, tolower((unsigned char)*at)) - digits);
    return at > start && at - start <= 16 && at < end && *at == ' ' ? at + 1 : NULL;
}

/* nm(1): the letter is a capital one for what is global; T, W, I are code, A is no address. */
static uint8_t rank(char type)
{
    return (uint8_t)((isupper((unsigned char)type) ? SYMBOL_GLOBAL : 0) |
                     (strchr("tTwWiI", type) ? SYMBOL_CODE : 0) | (strchr("dDbBrRvV", type) ? SYMBOL_DATA : 0));
}

static bool is_good_name(const char *name, const char *end)
{
    for (; name < end; name++)
        if ((unsigned char)*name <= ' ' || *name == 0x7f)
            return false;
    return true;
}

/* false: the line is not like that. *status: of symbols_add. */
static bool add_line(struct symbols *s, const char *line, const char *end, int *status)
{
    struct symbol symbol = {0};
    const char *at = read_address(line, end, &symbol.address), *tab;

    if (!at || end - at < 3 || !isalpha((unsigned char)at[0]) || at[1] != ' ')
        return false;
    tab = memchr(at, '\t', (size_t)(end - at));
    if (tab)
        end = tab;
    if (end == at + 2 || !is_good_name(at + 2, end))
        return false;
    symbol.rank = rank(at[0]);
    if (toupper((unsigned char)at[0]) != 'A' && !symbols_add(s, symbol, at + 2, (size_t)(end - at - 2)))
        *status = -ENOMEM;
    return true;
}

static const char *why_not_line(const struct symbols *s, const char *line, const char *newline, const char *end)
{
    uint64_t address;

    if (!s->count && !read_address(line, end, &address))
        return "is neither an ELF file nor a System.map; name one of these";
    if (!newline)
        return "ends in the middle of a line; copy it again";
    return "has a line that is not ADDRESS TYPE NAME; copy it again (Debian's System.map only names the package "
           "that has the real one)";
}

static int add_lines(struct symbols *s, const char *text, size_t size, const char **error)
{
    const char *at = text, *end = text + size;
    int status = 0;

    while (at < end && !status) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        if (!newline || !add_line(s, at, newline, &status))
            return refuse(error, EINVAL, why_not_line(s, at, newline, end));
        at = newline + 1;
    }
    return status;
}

/* /proc/kallsyms has zeros only for those who may not know. */
static bool all_are_zero(const struct symbols *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->symbol[i].address)
            return false;
    return s->count > 0;
}

/* Until the end: files of /proc have no size. */
static int read_text(int fd, char *text, size_t room, size_t *size, const char **error)
{
    ssize_t got = 1;

    for (*size = 0; got > 0 && *size < room; *size += (size_t)got) {
        got = read(fd, text + *size, room - *size);
        if (got < 0)
            return refuse(error, errno, "cannot be read; name an ELF file or a System.map");
    }
    return 0;
}

int symbols_read_map(struct symbols *s, int fd, uint64_t size, const char **error)
{
    size_t room = size ? (size_t)size + 1 : 64u << 20, got;
    char *text;
    int status;

    if (size > LARGEST)
        return refuse(error, EFBIG, "is too large for a System.map, and not an ELF file; name one of these");
    text = malloc(room);
    if (!text)
        return -ENOMEM;
    status = read_text(fd, text, room, &got, error);
    if (!status)
        status = add_lines(s, text, got, error);
    if (!status && all_are_zero(s))
        status =
            refuse(error, EINVAL, "has addresses of zero only; copy /proc/kallsyms as root, or name a System.map");
    free(text);
    return status;
}
