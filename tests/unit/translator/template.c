/*
 * template.c - translator/template.c: what is decoded by the likeness to another instruction is what Zydis finds.
 *
 * Random instructions, most of them common ones; each head comes back with other values many times. Every decoded
 * field must equal that of a decoder without templates.
 */
#include "translator/lower.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "cpu/cpuid.h"

#define INSTRUCTIONS 400000u
#define HEADS 4000u

struct pair {
    struct ram ram;
    struct cpu_model model;
    struct vcpu *v;
    struct translator *with, *without;
};

static struct pair pair;

static struct translator *open_translator(bool templates)
{
    struct translator_options o;
    struct error error;
    struct translator *t;

    translator_default_options(&o);
    o.templates = templates;
    t = translator_create(&pair.ram, &o, &error);
    cr_assert(t, "%s", error.text);
    return t;
}

static void open_pair(void)
{
    struct error error;

    cr_assert_eq(cpu_model_parse(&pair.model, "max", &error), 0);
    cr_assert_eq(ram_create(&pair.ram, 1 << 20, &error), 0);
    pair.without = open_translator(false);
    pair.with = open_translator(true);
    srandom(1);
}

static void close_pair(void)
{
    translator_destroy(pair.with);
    translator_destroy(pair.without);
    ram_destroy(&pair.ram);
}

TestSuite(template, .init = open_pair, .fini = close_pair);

static uint8_t some(void)
{
    return (uint8_t)(random() >> 8);
}

/* Prefixes, opcode, ModRM, SIB: what a template's key is. */
static unsigned make_head(uint8_t *head)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x65, 0x2e, 0x67, 0x48, 0x4c, 0x41, 0x45};
    unsigned n = 0;

    while (random() % 3 == 0 && n < 3)
        head[n++] = prefixes[(unsigned)random() % sizeof prefixes];
    if (random() % 3 == 0)
        head[n++] = 0x0f;
    for (unsigned i = 0; i < 4; i++)
        head[n++] = some();
    return n;
}

static bool is_same(const struct insn *a, const struct insn *b)
{
    return a->valid == b->valid && a->length == b->length && !memcmp(a->bytes, b->bytes, a->length) &&
           !memcmp(&a->row, &b->row, offsetof(struct insn, op) - offsetof(struct insn, row)) &&
           (!a->valid || !memcmp(a->op, b->op, a->operand_count * sizeof *a->op));
}

static void compare(uint32_t mode, const uint8_t *bytes)
{
    bool across[2];
    unsigned count = decode_block(pair.with, mode, 0x1000, bytes, 32, 1, &across[0], NULL);

    cr_assert_eq(decode_block(pair.without, mode, 0x1000, bytes, 32, 1, &across[1], NULL), count);
    cr_assert(is_same(&pair.with->insns[0], &pair.without->insns[0]), "mode %#x: %02x %02x %02x %02x %02x %02x",
              mode, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
}

static void compare_in(uint32_t mode)
{
    static uint8_t heads[HEADS][8];
    static unsigned lengths[HEADS];

    for (unsigned i = 0; i < HEADS; i++)
        lengths[i] = make_head(heads[i]);
    for (unsigned i = 0; i < INSTRUCTIONS; i++) {
        unsigned h = (unsigned)random() % HEADS;
        uint8_t bytes[32];

        memcpy(bytes, heads[h], lengths[h]);
        for (unsigned k = lengths[h]; k < sizeof bytes; k++)
            bytes[k] = random() % 4 ? some() : 0;
        compare(mode, bytes);
    }
}

Test(template, decodes_64_bit_code_like_zydis)
{
    compare_in(MODE_CODE64 | MODE_PE | MODE_SSE | MODE_X87 | MODE_AVX);
}

Test(template, decodes_32_bit_code_like_zydis)
{
    compare_in(MODE_FLAT32 | MODE_SSE | MODE_X87);
}

/* Values at the ends of their ranges, of the commonest forms. */
Test(template, extends_values_as_the_instruction_does)
{
    static const uint8_t heads[][4] = {{2, 0x83, 0xc0},
                                       {2, 0x81, 0xc0},
                                       {3, 0x48, 0x81, 0xc0},
                                       {1, 0xb8},
                                       {1, 0xe8},
                                       {1, 0x74},
                                       {2, 0x0f, 0x84},
                                       {1, 0x6a},
                                       {1, 0x68},
                                       {2, 0xc1, 0xe0},
                                       {2, 0x8b, 0x40},
                                       {2, 0x8b, 0x80},
                                       {2, 0x8b, 0x05},
                                       {3, 0x48, 0xc7, 0x40},
                                       {2, 0xff, 0x70},
                                       {2, 0xff, 0xb0}};
    static const uint8_t tails[] = {0x00, 0x01, 0x7f, 0x80, 0xff};

    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++)
            for (unsigned k = 0; k < sizeof tails; k++) {
                uint8_t bytes[32];

                memset(bytes, tails[k], sizeof bytes);
                memcpy(bytes, heads[i] + 1, heads[i][0]);
                compare(MODE_CODE64 | MODE_PE, bytes);
            }
}
