/*
 * words.h - the nearest known word to a misspelt one, for error texts.
 */
#ifndef NOVT_CPU_WORDS_H
#define NOVT_CPU_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
unsigned words_distance(const char *a, const char *b);
/* Names of CPU features are one name with '-', '_' or '.', in either case. `length` of b: it need not end. */
bool words_equal(const char *a, const char *b, size_t length);

#endif
