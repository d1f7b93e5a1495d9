/*
 * words.c - how far two words are from each other.
 *
 * Interface: words.h. Words are names of models and features: what is longer than the table is cut off.
 */
#include <string.h>

#include "cpu/words.h"

#define LONGEST 31

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance. */
unsigned words_distance(const char *a, const char *b)
{
    unsigned d[LONGEST + 1][LONGEST + 1];
    unsigned m = smaller(strlen(a), LONGEST), n = smaller(strlen(b), LONGEST);

    for (unsigned i = 0; i <= m; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= n; j++)
        d[0][j] = j;
    for (unsigned i = 1; i <= m; i++)
        for (unsigned j = 1; j <= n; j++) {
            d[i][j] = smaller(d[i - 1][j] + 1, d[i][j - 1] + 1);
            d[i][j] = smaller(d[i][j], d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = smaller(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[m][n];
}

static char plain(char c)
{
    if (c == '_' || c == '.')
        return '-';
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool words_equal(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!a[i] || plain(a[i]) != plain(b[i]))
            return false;
    return a[length] == 0;
}
