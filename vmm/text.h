/*
 * text.h - words, numbers and sizes of the command line.
 */
#ifndef NOVT_VMM_TEXT_H
#define NOVT_VMM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
unsigned text_distance(const char *a, const char *b);

/*
 * The known word nearest to `word`, or NULL when none is near enough to be worth naming. `words` is the first
 * of `count` string pointers that lie `stride` bytes apart, so that it can point into a table of structs.
 */
const char *text_nearest(const char *word, const void *words, size_t count, size_t stride);

/* Whole-string numbers: decimal, 0x hexadecimal or 0 octal. False on anything else or overflow. */
bool text_parse_number(const char *text, uint64_t *value);

/* A number with an optional suffix B, K, M, G or T in either case; without one it counts units of `unit`
   bytes. A decimal fraction is allowed in front of a suffix ("1.5G"). */
bool text_parse_size(const char *text, uint64_t unit, uint64_t *bytes);

/* "key=value,key,..." walked in place: copies the next element to key (cut at size) and what follows '=' to
   value, or "" without '='; *has_value tells the two apart. ",," stands for a comma, as in QEMU. False at the
   end. *text moves on. */
bool text_next_property(const char **text, char *key, char *value, size_t size, bool *has_value);

/* on, yes, true, 1 / off, no, false, 0. */
bool text_parse_bool(const char *text, bool *value);

#endif
