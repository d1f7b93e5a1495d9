/*
 * monitor_expr.c - tests of the monitor's expressions and formats.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/monitor/expr.h"
#include "vmm/monitor/format.h"

static struct error error;

static int find_register(void *opaque, const char *name, uint64_t *value, struct error *e)
{
    (void)opaque;
    if (strcmp(name, "rsp"))
        return error_set(e, EINVAL, "no register %s", name);
    *value = 0x1000;
    return 0;
}

static int find_symbol(void *opaque, const char *name, uint64_t *value, struct error *e)
{
    (void)opaque;
    if (strcmp(name, "start_kernel"))
        return error_set(e, EINVAL, "no symbol %s", name);
    *value = 0xffffffff81000000;
    return 0;
}

static const struct expr_names names = {find_register, find_symbol, NULL};

Test(expr, values)
{
    static const struct {
        const char *text;
        uint64_t value;
    } vectors[] = {
        {"0", 0},
        {"42", 42},
        {"0x2a", 42},
        {"052", 42},
        {"0xffffffffffffffff", UINT64_MAX},
        {"$rsp", 0x1000},
        {"$rsp+8", 0x1008},
        {" $rsp - 0x10 ", 0xff0},
        {"start_kernel+5", 0xffffffff81000005},
        {"1+2*3", 7},
        {"(1+2)*3", 9},
        {"10-2-3", 5},
        {"100/7%4", 2},
        {"1<<4|1", 17},
        {"1 << 64", 0},
        {"6 & 3 ^ 1 | 8", 11},
        {"-1", UINT64_MAX},
        {"~0x0f & 0xff", 0xf0},
        {"--5", 5},
        {"+-+5", (uint64_t)-5},
        {"0x8000000000000000/-1", 0},
        {"((((1))))", 1},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *at = vectors[i].text;
        uint64_t value = 1;

        cr_assert_eq(expr_read(&at, &names, &value, &error), 0, "%s: %s", vectors[i].text, error.text);
        cr_assert_eq(value, vectors[i].value, "%s: %" PRIx64, vectors[i].text, value);
        cr_assert_eq(*(at + strspn(at, " ")), '\0', "%s: stopped at '%s'", vectors[i].text, at);
    }
}

/* An expression ends where no operator follows: what comes then is the next argument. */
Test(expr, arguments)
{
    const char *at = "$rsp + 8 10 5";
    uint64_t value;

    cr_assert_eq(expr_read(&at, &names, &value, &error), 0);
    cr_assert_eq(value, 0x1008u);
    cr_assert_eq(expr_read(&at, &names, &value, &error), 0);
    cr_assert_eq(value, 10u);
    cr_assert_eq(expr_read(&at, &names, &value, &error), 0);
    cr_assert_eq(value, 5u);
}

Test(expr, mistakes)
{
    static const struct {
        const char *text, *words;
    } vectors[] = {
        {"", "at the end"},
        {"1+", "at the end"},
        {"*5", "in front of '*5'"},
        {"(1", "')' is missing"},
        {"(1 2)", "')' is missing in front of 2)"},
        {"12ab", "not a number"},
        {"0x", "not a number"},
        {"0x10000000000000000", "not a number"},
        {"99999999999999999999999", "not a number"},
        {"$foo", "no register foo"},
        {"$", "missing"},
        {"bar", "no symbol bar"},
        {"1/0", "division by zero"},
        {"1%(2-2)", "division by zero"},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *at = vectors[i].text;
        uint64_t value;

        cr_assert_lt(expr_read(&at, &names, &value, &error), 0, "%s", vectors[i].text);
        cr_assert_not_null(strstr(error.text, vectors[i].words), "%s: %s", vectors[i].text, error.text);
    }
}

/* A long line of anything that nests must not use up the stack. */
Test(expr, depth)
{
    static const char nesting[] = "(-~";
    static char text[100001];
    uint64_t value;

    for (size_t i = 0; i < sizeof nesting - 1; i++) {
        const char *at = text;

        memset(text, nesting[i], sizeof text - 1);
        cr_assert_lt(expr_read(&at, &names, &value, &error), 0);
        cr_assert_not_null(strstr(error.text, "nested"), "%s", error.text);
    }
}

Test(format, parts)
{
    static const struct {
        const char *text;
        unsigned count;
        char kind;
        unsigned size;
    } vectors[] = {
        {"", 1, 'x', 4},   {"10i", 10, 'i', 4}, {"4xg", 4, 'x', 8},        {"g4", 4, 'x', 8},
        {"dh", 1, 'd', 2}, {"c", 1, 'c', 1},    {"3s $rsp", 3, 's', 4},    {"cg", 1, 'c', 1},
        {"ub", 1, 'u', 1}, {"o", 1, 'o', 4},    {"65536x", 65536, 'x', 4},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct format f = {1, 'x', 4};
        const char *at = vectors[i].text;

        cr_assert_eq(format_read(&at, &f, &error), 0, "%s: %s", vectors[i].text, error.text);
        cr_assert(f.count == vectors[i].count && f.kind == vectors[i].kind && f.size == vectors[i].size, "%s",
                  vectors[i].text);
        cr_assert_eq(*at, strchr(vectors[i].text, ' ') ? ' ' : '\0');
    }
}

Test(format, mistakes)
{
    static const char *const vectors[] = {"z", "0x", "65537x", "99999999999999999999x", "4q", "/", "x,g"};

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct format f = {1, 'x', 4};
        const char *at = vectors[i];

        cr_assert_lt(format_read(&at, &f, &error), 0, "%s", vectors[i]);
    }
}

Test(format, values)
{
    static const struct {
        struct format format;
        uint64_t value;
        const char *text;
    } vectors[] = {
        {{1, 'x', 8}, 0x1234, "0x0000000000001234"},
        {{1, 'x', 1}, 0x7f, "0x7f"},
        {{1, 'd', 4}, 0xffffffff, "         -1"},
        {{1, 'd', 1}, 0x80, "-128"},
        {{1, 'd', 8}, 0x8000000000000000, " -9223372036854775808"},
        {{1, 'u', 2}, 0xffff, "65535"},
        {{1, 'u', 8}, UINT64_MAX, "18446744073709551615"},
        {{1, 'o', 8}, UINT64_MAX, "01777777777777777777777"},
        {{1, 'o', 1}, 8, "0010"},
        {{1, 'c', 1}, 'A', "'A'"},
        {{1, 'c', 1}, '\'', "'\\''"},
        {{1, 'c', 1}, 0x1b, "'\\x1b'"},
    };
    char text[32];

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        format_value(text, sizeof text, &vectors[i].format, vectors[i].value);
        cr_assert_str_eq(text, vectors[i].text);
    }
}
