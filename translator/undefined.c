/*
 * undefined.c - what the manual leaves undefined, by Zydis's tables.
 *
 * Interface: undefined.h.
 */
#include "translator/undefined.h"

#include <Zydis/Zydis.h>

#include "cpu/registers.h"

uint32_t undefined_flags(const uint8_t *bytes, unsigned size, unsigned bits)
{
    ZydisMachineMode mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                            : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                         : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisStackWidth width = bits == 64   ? ZYDIS_STACK_WIDTH_64
                            : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                         : ZYDIS_STACK_WIDTH_16;
    ZydisDecodedInstruction insn;
    ZydisDecoder decoder;

    if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, width)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, size, &insn)) || !insn.cpu_flags)
        return 0;
    return insn.cpu_flags->undefined & FLAGS_ARITH;
}
