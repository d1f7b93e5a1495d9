/*
 * record.c - reads the lines that a guest has printed.
 *
 * Interface: record.h. The bytes come from a guest: nothing is believed about them. Invariant: records point into
 * the copy of the text, in which the ends of words have become NULs.
 */
#include "lab/record.h"

#include <stdlib.h>
#include <string.h>

static void add_field(struct lab_record *r, char *word)
{
    char *equals = strchr(word, '=');

    if (!equals || r->count == LAB_FIELDS)
        return;
    *equals = '\0';
    r->field[r->count].key = word;
    r->field[r->count++].value = equals + 1;
}

/* `line` is what follows the word that marks it. */
static void parse_line(struct lab_record *r, char *line)
{
    char *rest = line, *word = strsep(&rest, " ");

    *r = (struct lab_record){.kind = word};
    while ((word = strsep(&rest, " ")))
        add_field(r, word);
}

static bool add_line(struct lab_records *records, char *line)
{
    struct lab_record *more = realloc(records->record, (records->count + 1) * sizeof *more);

    if (!more)
        return false;
    records->record = more;
    parse_line(&more[records->count++], line);
    return true;
}

/* What is neither printable nor the end of a line becomes a dot: reports are made of it. */
static void copy_text(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = from[i] == '\n' || (from[i] >= ' ' && from[i] <= '~') ? from[i] : '.';
    to[size] = '\0';
}

bool lab_records_parse(struct lab_records *records, const char *text, size_t size, const char *word)
{
    size_t length = strlen(word);
    char *rest, *line;

    *records = (struct lab_records){.text = malloc(size + 1)};
    if (!records->text)
        return false;
    copy_text(records->text, text, size);
    rest = records->text;
    while ((line = strsep(&rest, "\n")))
        if (!strncmp(line, word, length) && line[length] == ' ' && !add_line(records, line + length + 1))
            return false;
    return true;
}

void lab_records_free(struct lab_records *records)
{
    free(records->record);
    free(records->text);
    *records = (struct lab_records){0};
}

const struct lab_record *lab_records_next(const struct lab_records *records, const char *kind, size_t *at)
{
    while (*at < records->count) {
        const struct lab_record *r = &records->record[(*at)++];

        if (!strcmp(r->kind, kind))
            return r;
    }
    return NULL;
}

const char *lab_record_text(const struct lab_record *record, const char *key)
{
    for (unsigned i = 0; record && i < record->count; i++)
        if (!strcmp(record->field[i].key, key))
            return record->field[i].value;
    return NULL;
}

uint64_t lab_record_number(const struct lab_record *record, const char *key)
{
    const char *text = lab_record_text(record, key);
    char *end;
    uint64_t value;

    if (!text || *text < '0' || *text > '9')
        return 0;
    value = strtoull(text, &end, 0);
    return *end ? 0 : value;
}
