/*
 * text.c - words, numbers and sizes of the command line.
 *
 * Interface: text.h. Invariant: no allocation, no state.
 */
#include "vmm/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 32u

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, on words cut at WORD_MAX characters. */
unsigned text_distance(const char *a, const char *b)
{
    unsigned table[WORD_MAX + 1][WORD_MAX + 1];
    unsigned n = (unsigned)strnlen(a, WORD_MAX), m = (unsigned)strnlen(b, WORD_MAX);

    for (unsigned i = 0; i <= n; i++)
        for (unsigned j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            unsigned best = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            best = smaller(best, smaller(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = smaller(best, table[i - 2][j - 2] + 1);
            table[i][j] = best;
        }
    return table[n][m];
}

const char *text_nearest(const char *word, const void *words, size_t count, size_t stride)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)strnlen(word, WORD_MAX) / 2 + 1;

    for (size_t i = 0; i < count; i++) {
        const char *known = *(const char *const *)((const char *)words + i * stride);
        unsigned distance = text_distance(word, known);

        if (distance < best_distance) {
            best_distance = distance;
            best = known;
        }
    }
    return best;
}

bool text_parse_number(const char *text, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0';
}

static bool suffix_unit(char suffix, uint64_t *unit)
{
    static const char suffixes[] = "BKMGT";
    const char *at = strchr(suffixes, toupper((unsigned char)suffix));

    if (!suffix || !at)
        return false;
    *unit = 1ull << (10 * (at - suffixes));
    return true;
}

/* Digits behind a decimal point, as a part of `unit` bytes. */
static const char *parse_fraction(const char *at, uint64_t unit, uint64_t *bytes)
{
    uint64_t scale = 1, fraction = 0;

    for (; isdigit((unsigned char)*at); at++)
        if (scale < 1000000) {
            fraction = fraction * 10 + (uint64_t)(*at - '0');
            scale *= 10;
        }
    *bytes = (uint64_t)((unsigned __int128)fraction * unit / scale);
    return at;
}

bool text_parse_size(const char *text, uint64_t unit, uint64_t *bytes)
{
    char *end;
    uint64_t whole, fraction = 0;
    const char *behind;
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    whole = strtoull(text, &end, hex ? 16 : 10);
    if (errno)
        return false;
    behind = end;
    if (*behind == '.' && isdigit((unsigned char)behind[1])) {
        const char *digits = behind + 1;

        behind = parse_fraction(digits, 1, &fraction);
        if (!suffix_unit(*behind, &unit))
            return false;
        parse_fraction(digits, unit, &fraction);
    }
    if (*behind) {
        if (!suffix_unit(*behind, &unit) || behind[1] != '\0')
            return false;
    }
    return !__builtin_mul_overflow(whole, unit, bytes) && !__builtin_add_overflow(*bytes, fraction, bytes);
}

bool text_next_property(const char **text, char *key, char *value, size_t size, bool *has_value)
{
    const char *at = *text;
    char *to = key;
    size_t used = 0;

    if (!*at)
        return false;
    *has_value = false;
    value[0] = '\0';
    for (; *at; at++) {
        if (*at == ',') {
            if (at[1] != ',')
                break;
            at++;
        } else if (*at == '=' && !*has_value) {
            to[used] = '\0';
            *has_value = true;
            to = value;
            used = 0;
            continue;
        }
        if (used + 1 < size)
            to[used++] = *at;
    }
    to[used] = '\0';
    *text = *at ? at + 1 : at;
    return true;
}

bool text_parse_bool(const char *text, bool *value)
{
    static const char *const yes[] = {"on", "yes", "true", "1"}, *const no[] = {"off", "no", "false", "0"};

    for (unsigned i = 0; i < 4; i++)
        if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
            *value = !strcasecmp(text, yes[i]);
            return true;
        }
    return false;
}
