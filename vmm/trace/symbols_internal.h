/*
 * symbols_internal.h - the table of symbols, for the two readers that fill it.
 */
#ifndef NOVT_VMM_TRACE_SYMBOLS_INTERNAL_H
#define NOVT_VMM_TRACE_SYMBOLS_INTERNAL_H

#include <stddef.h>

#include "vmm/trace/symbols.h"

struct symbol {
    uint64_t address, size; /* size 0: not known */
    uint32_t name;          /* offset in symbols.names */
    uint8_t rank;           /* SYMBOL_*: of two with the same address or name, the higher one is meant */
};
#define SYMBOL_GLOBAL 1u
#define SYMBOL_DATA 2u
#define SYMBOL_CODE 4u

struct symbols {
    struct symbol *symbol; /* by address, the highest rank of an address last */
    uint32_t *by_name;     /* indices in symbol[], by name, the highest rank of a name first */
    size_t count, room;
    char *names; /* each ends with 0 */
    size_t names_size, names_room;
    uint64_t offset; /* added to each address */
};

/* What is not printable in the name becomes '?'; a symbol without a name is left out. false: out of memory. */
bool symbols_add(struct symbols *symbols, struct symbol symbol, const char *name, size_t length);

/* The two kinds of file. fd: at the start, a plain file; not closed. Errors: as symbols_open. */
int symbols_read_elf(struct symbols *symbols, int fd, const char **error);
int symbols_read_map(struct symbols *symbols, int fd, uint64_t size, const char **error);

#endif
