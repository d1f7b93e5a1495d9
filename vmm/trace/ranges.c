/*
 * ranges.c - reads sets of guest addresses.
 *
 * Interface: ranges.h. Invariant: first <= last in each range; none wraps.
 */
#include "vmm/trace/ranges.h"

#include <errno.h>
#include <string.h>

#include "vmm/text.h"

#define WORD 128

/* Cuts `word` at the first sign; *second is what follows it. 0: there is none. */
static char split(char *word, const char **second)
{
    char *at = word + strcspn(word, "+-."), sign = *at;

    if (sign == '.' && at[1] != '.')
        return 0;
    *second = at + (sign == '.' ? 2 : 1);
    *at = '\0';
    return sign;
}

/* false: they make no range. */
static bool make(char sign, uint64_t a, uint64_t b, gva_t *first, gva_t *last)
{
    *first = sign == '-' ? a - (b - 1) : a;
    *last = sign == '+' ? a + (b - 1) : sign == '-' ? a : b;
    return (sign == '.' || b) && *first <= *last;
}

static int add(struct ranges *r, const char *given, struct error *error)
{
    char word[WORD], sign;
    const char *second = "";
    gva_t first, last;
    uint64_t a, b;

    snprintf(word, sizeof word, "%s", given);
    sign = split(word, &second);
    if (!sign || !text_parse_number(word, &a) || !text_parse_number(second, &b))
        return error_set(error, EINVAL,
                         "-dfilter %s: not a range; write START+LENGTH, START-LENGTH or FIRST..LAST", given);
    if (!make(sign, a, b, &first, &last))
        return error_set(error, EINVAL, "-dfilter %s: an empty range, or one that wraps; give its ends in order",
                         given);
    if (r->count == RANGES_MAX)
        return error_set(error, EINVAL, "-dfilter %s: more than %d ranges; leave some out", given, RANGES_MAX);
    r->range[r->count].first = first;
    r->range[r->count++].last = last;
    return 0;
}

int ranges_parse(struct ranges *r, const char *text, struct error *error)
{
    char word[WORD];

    if (!*text)
        return error_set(error, EINVAL, "-dfilter '': the ranges are missing; write START+LENGTH or FIRST..LAST");
    while (*text) {
        size_t length = strcspn(text, ",");
        int status;

        snprintf(word, sizeof word, "%.*s", (int)(length < WORD ? length : WORD - 1), text);
        status = add(r, word, error);
        if (status)
            return status;
        text += length + (text[length] == ',');
    }
    return 0;
}
