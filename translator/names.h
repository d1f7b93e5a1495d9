/*
 * names.h - what the numbers in emitted code stand for: fields of the vCPU, permanent code, exits of a block.
 */
#ifndef NOVT_TRANSLATOR_NAMES_H
#define NOVT_TRANSLATOR_NAMES_H

#include "translator/dump.h"
#include "translator/internal.h"

/* The field of the vCPU at this offset from the GS base. false: none that emitted code uses. */
bool names_field(int64_t offset, char *text, size_t size);
/* The permanent code at this host address, as what it does; NULL: none begins there. */
const char *names_permanent(const struct translator *t, const uint8_t *host);

/* For dump_names: the names of what a block refers to. Its code lies at `code` and `cold` (executable view). */
struct names {
    const struct translator *t;
    const struct block *block;
};
bool names_find(void *names, enum dump_number kind, uint64_t value, char *text, size_t size);
/* An address of the block's code, as code of it refers to it: ".1c", "cold.1c". false: it is not in it. */
bool names_local(const struct block *b, const uint8_t *host, char *text, size_t size);

#endif
