/*
 * record.h - lines that guests of the lab, and `--maps`, print: words in a form that people and programs read.
 *
 *   KIND KEY=VALUE KEY=VALUE ...
 *
 * separated by single blanks. Numbers are decimal or 0x hexadecimal. A guest writes hexadecimal ones with all
 * their digits, so that runs that differ in numbers alone write as many bytes, and what the machine counts can be
 * compared.
 */
#ifndef NOVT_LAB_RECORD_H
#define NOVT_LAB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAB_FIELDS 12u

struct lab_record {
    const char *kind;
    unsigned count;
    struct {
        const char *key, *value;
    } field[LAB_FIELDS]; /* what a line has beyond them is left out */
};

struct lab_records {
    char *text; /* records point into it */
    struct lab_record *record;
    size_t count;
};

/* Those of the lines of `text` that begin with this word and a blank; the record begins behind it. Lines of any
   other form, and words without '=', are left out: a guest may print what it likes. Bytes that are not printable
   become dots. False: out of memory. Ends with lab_records_free in any case. */
bool lab_records_parse(struct lab_records *records, const char *text, size_t size, const char *word);
void lab_records_free(struct lab_records *records);

/* The first record of this kind from number *at on, which then is the next one's number. NULL: no more. */
const struct lab_record *lab_records_next(const struct lab_records *records, const char *kind, size_t *at);
/* NULL: no such key. */
const char *lab_record_text(const struct lab_record *record, const char *key);
/* 0: no such key, or not a number. */
uint64_t lab_record_number(const struct lab_record *record, const char *key);

#endif
