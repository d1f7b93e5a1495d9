/*
 * effects.c - what the manual says of an instruction, by Zydis's tables.
 *
 * Interface: effects.h.
 */
#include "translator/effects.h"

#include <stdbool.h>

#include <Zydis/Zydis.h>

#include "cpu/registers.h"

static bool decode(ZydisDecodedInstruction *insn, ZydisDecodedOperand *operands, const uint8_t *bytes,
                   unsigned size, unsigned bits)
{
    ZydisMachineMode mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                            : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                         : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisStackWidth width = bits == 64   ? ZYDIS_STACK_WIDTH_64
                            : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                         : ZYDIS_STACK_WIDTH_16;
    ZydisDecoder decoder;

    return ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, width)) &&
           ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, insn, operands));
}

uint32_t effects_undefined_flags(const uint8_t *bytes, unsigned size, unsigned bits)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction insn;

    if (!decode(&insn, operands, bytes, size, bits) || !insn.cpu_flags)
        return 0;
    return insn.cpu_flags->undefined & FLAGS_ARITH;
}

unsigned effects_memory(const uint8_t *bytes, unsigned size, unsigned bits)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction insn;
    unsigned effects = 0;

    if (!decode(&insn, operands, bytes, size, bits))
        return 0;
    for (unsigned i = 0; i < insn.operand_count; i++)
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && operands[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN)
            effects |= operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? EFFECTS_WRITE : EFFECTS_READ;
    return effects;
}
