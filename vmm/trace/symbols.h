/*
 * symbols.h - the names of a guest's addresses: from the .symtab of an ELF file, or from a System.map.
 */
#ifndef NOVT_VMM_TRACE_SYMBOLS_H
#define NOVT_VMM_TRACE_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/ram.h"

struct symbols;

/* Reads the file; its contents tell which kind it is. Errors: those of open, -EINVAL (neither kind, or no
   symbols), -ENOEXEC (damaged), -EFBIG, -ENOMEM; *error then is one line, static text, that says what is wrong and
   what to do, to be put behind the option and the path. Free with symbols_close. */
int symbols_open(struct symbols **symbols, const char *path, const char **error);
void symbols_close(struct symbols *symbols); /* or NULL */

/* Every address is `offset` higher (modulo 2^64) than the file says: where KASLR has put the kernel. */
void symbols_move(struct symbols *symbols, uint64_t offset);

/* The nearest symbol at or below the address, if the address is within its size; one without a size reaches as far
   as the next one, 64 KiB at most. *offset: bytes from the symbol to the address. NULL: none. The name lives as
   long as the symbols. Changes nothing: any thread, and a crash handler. */
const char *symbols_at(const struct symbols *symbols, gva_t address, uint64_t *offset);
/* Of several with the name, a function before data, a global one before a local one. *size: bytes, 0: not known.
 */
bool symbols_find(const struct symbols *symbols, const char *name, gva_t *address, uint64_t *size);

#endif
