/*
 * expansion.c - how many host instructions the code cache holds, for how many of the guest's.
 *
 * Interface: translator_measure_expansion. Counted when asked, by decoding what has been emitted, so that
 * translation itself does not pay for it.
 */
#include "translator/internal.h"

static uint64_t count(const ZydisDecoder *decoder, const uint8_t *at, const uint8_t *end)
{
    ZydisDecodedInstruction in;
    uint64_t n = 0;

    for (; at < end; at += in.length, n++)
        if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(decoder, NULL, at, (ZyanUSize)(end - at), &in)))
            return n;
    return n;
}

void translator_measure_expansion(const struct translator *t, struct translator_expansion *out)
{
    const struct cache *cache = &t->cache;
    ZydisDecoder decoder;

    *out = (struct translator_expansion){0};
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
    for (size_t i = 0; i < cache->order_count; i++) {
        const struct block *b = cache->order[i];

        out->guest += b->instructions;
        out->host += count(&decoder, b->code, b->code_end);
        out->host_cold += count(&decoder, b->cold, b->cold_end);
    }
}
