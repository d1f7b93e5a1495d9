/*
 * table.c - which instruction is which, what it does to memory and flags, and the engine's options.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "cpu/decode.h"
#include "cpu/mode.h"
#include "cpu/registers.h"
#include "translator/effects.h"
#include "trap/internal.h"

static const struct trap_row *row_of(const char *bytes, size_t size, uint32_t mode)
{
    uint8_t buffer[DECODE_BUFFER] = {0};
    struct insn insn;

    memcpy(buffer, bytes, size);
    insn_decode(&insn, buffer, mode);
    return trap_find_row(&insn);
}

#define BYTES(text) text, sizeof(text) - 1

Test(table, instructions_are_told_apart)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *name; /* NULL: none of the table's */
        enum trap_class class;
    } vectors[] = {
        {BYTES("\x9d"), "popf", TRAP_SENSITIVE},
        {BYTES("\x66\x9c"), "pushf", TRAP_SENSITIVE},
        {BYTES("\x0f\x01\x00"), "sgdt", TRAP_SENSITIVE},
        {BYTES("\x0f\x01\x08"), "sidt", TRAP_SENSITIVE},
        {BYTES("\x0f\x01\x10"), "lgdt", TRAP_PRIVILEGED},
        {BYTES("\x0f\x01\xc8"), NULL, 0}, /* monitor */
        {BYTES("\x0f\x01\xd0"), "xgetbv", TRAP_SENSITIVE},
        {BYTES("\x0f\x01\xe0"), "smsw", TRAP_SENSITIVE},
        {BYTES("\x0f\x01\x38"), "invlpg", TRAP_PRIVILEGED},
        {BYTES("\x0f\x01\xf8"), "swapgs", TRAP_PRIVILEGED},
        {BYTES("\x0f\x01\xf9"), "rdtscp", TRAP_SENSITIVE},
        {BYTES("\x0f\x00\xc0"), "sldt", TRAP_SENSITIVE},
        {BYTES("\x0f\x00\xd8"), "ltr", TRAP_PRIVILEGED},
        {BYTES("\x0f\x00\xe0"), "verr", TRAP_SENSITIVE},
        {BYTES("\xff\x18"), "call_far", TRAP_SENSITIVE},
        {BYTES("\xff\x10"), NULL, 0}, /* near */
        {BYTES("\xff\x28"), "jmp_far", TRAP_SENSITIVE},
        {BYTES("\x8c\xc8"), "mov_from_seg", TRAP_SENSITIVE},
        {BYTES("\x48\xcf"), "iret", TRAP_SENSITIVE},
        {BYTES("\xf3\x0f\xc7\xf8"), "rdpid", TRAP_SENSITIVE},
        {BYTES("\x0f\xc7\xf8"), NULL, 0}, /* rdseed */
        {BYTES("\xf3\x48\x0f\xae\xc0"), "fsgsbase", TRAP_SENSITIVE},
        {BYTES("\x0f\xae\xe8"), NULL, 0}, /* lfence */
        {BYTES("\x0f\x22\xd8"), "mov_to_cr", TRAP_PRIVILEGED},
        {BYTES("\x90"), NULL, 0},
    };

    for (unsigned i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct trap_row *row = row_of(vectors[i].bytes, vectors[i].size, MODE_CODE64 | MODE_LMA | MODE_PE);

        cr_assert_eq(row != NULL, vectors[i].name != NULL, "vector %u", i);
        if (row) {
            cr_assert_str_eq(row->name, vectors[i].name, "vector %u", i);
            cr_assert_eq(row->class, vectors[i].class, "vector %u", i);
        }
    }
}

Test(table, each_sensitive_row_says_why)
{
    for (unsigned i = 0; i < trap_table_size; i++)
        cr_assert_eq(trap_table[i].why != NULL, trap_table[i].class == TRAP_SENSITIVE, "%s", trap_table[i].name);
}

Test(table, no_row_is_ordinary)
{
    for (unsigned i = 0; i < trap_table_size; i++)
        cr_assert(trap_table[i].map != MAP_1 || !trap_is_ordinary(trap_table[i].opcode), "%s", trap_table[i].name);
}

Test(table, effects_on_memory_and_flags)
{
    static const struct {
        const char *bytes;
        size_t size;
        unsigned memory;
        uint32_t undefined;
    } vectors[] = {
        {BYTES("\x48\x8b\x01"), EFFECTS_READ, 0},                          /* mov (%rcx), %rax */
        {BYTES("\x48\x89\x01"), EFFECTS_WRITE, 0},                         /* mov %rax, (%rcx) */
        {BYTES("\x48\x01\x01"), EFFECTS_WRITE, 0},                         /* add %rax, (%rcx) */
        {BYTES("\x50"), EFFECTS_WRITE, 0},                                 /* push %rax */
        {BYTES("\x58"), EFFECTS_READ, 0},                                  /* pop %rax */
        {BYTES("\xff\x31"), EFFECTS_READ | EFFECTS_WRITE, 0},              /* push (%rcx) */
        {BYTES("\xa4"), EFFECTS_READ | EFFECTS_WRITE, 0},                  /* movsb */
        {BYTES("\x48\x8d\x01"), 0, 0},                                     /* lea */
        {BYTES("\xe8\x00\x00\x00\x00"), EFFECTS_WRITE, 0},                 /* call */
        {BYTES("\x48\x21\xc8"), 0, FLAG_AF},                               /* and */
        {BYTES("\x48\xf7\xe1"), 0, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF}, /* mul */
        {BYTES("\x0f"), 0, 0},                                             /* it ends too early */
    };

    for (unsigned i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const uint8_t *bytes = (const uint8_t *)vectors[i].bytes;
        unsigned size = (unsigned)vectors[i].size;

        cr_assert_eq(effects_memory(bytes, size, 64), vectors[i].memory, "vector %u", i);
        cr_assert_eq(effects_undefined_flags(bytes, size, 64), vectors[i].undefined, "vector %u: %#x", i,
                     effects_undefined_flags(bytes, size, 64));
    }
}

Test(table, options)
{
    struct trap_options o = {.check = TRAP_CHECK_STOP};
    struct error error;

    cr_assert_eq(trap_parse_options(&o, "", &error), 0);
    cr_assert_eq(o.check, TRAP_CHECK_OFF);
    cr_assert_eq(trap_parse_options(&o, "check=on", &error), 0);
    cr_assert_eq(o.check, TRAP_CHECK_STOP);
    cr_assert_eq(trap_parse_options(&o, "check=continue", &error), 0);
    cr_assert_eq(o.check, TRAP_CHECK_CONTINUE);
    cr_assert_eq(trap_parse_options(&o, "check=sensitive", &error), 0);
    cr_assert_eq(o.check, TRAP_CHECK_SENSITIVE);
    cr_assert_lt(trap_parse_options(&o, "check", &error), 0);
    cr_assert_lt(trap_parse_options(&o, "check=on,check=off", &error), 0);
    cr_assert_lt(trap_parse_options(&o, "chain=off", &error), 0);
}
