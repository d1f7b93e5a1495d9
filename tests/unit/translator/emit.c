/*
 * emit.c - addresses and NOPs as the emitter encodes them, read back by Zydis.
 */
#include "translator/emit.h"

#include <Zydis/Zydis.h>
#include <criterion/criterion.h>

static const int registers[] = {H_NONE, H_RAX, H_RBX, H_RBP, H_RSI, H_R8, H_R11, H_R12, H_R13, H_R15};
static const int32_t displacements[] = {0, 1, -64, 127, 128, 0x12345, INT32_MIN};

static int register_of(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? H_NONE : ZydisRegisterGetId(reg);
}

/* mov rcx, [base + index * scale + disp], or the same as EVEX: vmovdqu64 zmm1. */
static void check(int base, int index, unsigned scale, int32_t disp, bool evex)
{
    uint8_t code[32] = {0};
    struct emitter e = {.start = code, .at = code, .end = code + sizeof code};
    ZydisDecoder decoder;
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

    if (evex) {
        emit8(&e, 0x62);
        emit8(&e, 0x91u | (index > 7 ? 0 : 0x40u) | (base > 7 ? 0 : 0x20u));
        emit8(&e, 0xfe);
        emit8(&e, 0x48);
        emit8(&e, 0x6f);
        emit_address_long(&e, 1, base, index, scale, disp);
    } else {
        emit_op_mem(&e, true, OP_LOAD, H_RCX, base, index, scale, disp);
    }
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    cr_assert(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, sizeof code, &in, op)));
    cr_assert_eq(in.length, e.at - code);
    for (unsigned i = 0; i < in.operand_count_visible; i++) {
        const ZydisDecodedOperand *m = &op[i];

        if (m->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        cr_assert(register_of(m->mem.base) == base && register_of(m->mem.index) == index &&
                      (index == H_NONE || m->mem.scale == scale) && m->mem.disp.value == disp,
                  "evex %d: [%d + %d * %u + %d] is [%d + %d * %u + %ld]", evex, base, index, scale, disp,
                  register_of(m->mem.base), register_of(m->mem.index), m->mem.scale, (long)m->mem.disp.value);
    }
}

Test(emit, addresses)
{
    for (unsigned b = 0; b < sizeof registers / sizeof *registers; b++)
        for (unsigned i = 0; i < sizeof registers / sizeof *registers; i++)
            for (unsigned scale = 1; scale <= 8; scale *= 2)
                for (unsigned d = 0; d < sizeof displacements / sizeof *displacements; d++)
                    for (unsigned evex = 0; evex < 2; evex++)
                        check(registers[b], registers[i], scale, displacements[d], evex);
}

Test(emit, nops)
{
    ZydisDecoder decoder;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (unsigned bytes = 0; bytes <= 31; bytes++) {
        uint8_t code[48] = {0};
        struct emitter e = {.start = code, .at = code, .end = code + sizeof code};
        ZydisDecodedInstruction in;
        unsigned at, count = 0;

        emit_nops(&e, bytes);
        cr_assert_eq(e.at - code, bytes);
        for (at = 0; at < bytes; at += in.length, count++) {
            cr_assert(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code + at, bytes - at, &in)));
            cr_assert_eq(in.mnemonic, ZYDIS_MNEMONIC_NOP, "%u bytes, at %u", bytes, at);
        }
        cr_assert_eq(count, (bytes + 8) / 9, "%u bytes are %u instructions", bytes, count);
    }
}
