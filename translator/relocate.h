/*
 * relocate.h - what noting, copying and checking of blocks that move have in common (relocate.c).
 */
#ifndef NOVT_TRANSLATOR_RELOCATE_H
#define NOVT_TRANSLATOR_RELOCATE_H

#include "translator/lower.h"

#define RELOCATE_COLD 0x8000u /* in block_reloc.at: it is an offset in the second part */
_Static_assert(BLOCK_ROOM <= RELOCATE_COLD, "block_reloc.at");

/* Does a part of the block hold the address, or end there? */
static inline bool relocate_inside(const struct block *b, const uint8_t *execute, bool cold)
{
    return cold ? execute >= b->cold && execute <= b->cold_end : execute >= b->code && execute <= b->code_end;
}

/* As block_reloc.at has it, of an address in the executable view. */
static inline uint16_t relocate_offset(const struct block *b, const uint8_t *execute)
{
    return execute >= b->cold && execute < b->cold_end ? (uint16_t)(RELOCATE_COLD | (uint16_t)(execute - b->cold))
                                                       : (uint16_t)(execute - b->code);
}

#endif
