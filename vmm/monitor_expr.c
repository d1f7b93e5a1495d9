/*
 * monitor_expr.c - expressions and formats of the monitor.
 *
 * Interface: monitor_expr.h. Precedence climbing over a table of operators. Invariants: the text is only read up
 * to its end; nesting is limited, so that no text can exhaust the stack; arithmetic wraps and never traps.
 */
#include "vmm/monitor_expr.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64
#define NAME_MAX_LENGTH 128

struct expr {
    const char *at;
    const struct expr_names *names;
    struct error *error;
    unsigned depth;
};

static int read_level(struct expr *e, unsigned lowest, uint64_t *value);

static void skip_blanks(struct expr *e)
{
    e->at += strspn(e->at, " \t");
}

/* --- what operators work on --- */

static int read_number(struct expr *e, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(e->at, &end, 0);
    if (errno || isalnum((unsigned char)*end) || *end == '_')
        return error_set(e->error, EINVAL, "'%.40s' is not a number of 64 bits", e->at);
    e->at = end;
    return 0;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '@';
}

static int read_name(struct expr *e, uint64_t *value)
{
    bool is_register = *e->at == '$';
    char name[NAME_MAX_LENGTH];
    size_t length = 0;

    e->at += is_register;
    while (is_name(e->at[length]))
        length++;
    if (length == 0 || length >= sizeof name)
        return error_set(e->error, EINVAL, "'%s%.40s': the name is %s", is_register ? "$" : "", e->at,
                         length ? "too long" : "missing");
    memcpy(name, e->at, length);
    name[length] = '\0';
    e->at += length;
    return (is_register ? e->names->find_register : e->names->find_symbol)(e->names->opaque, name, value,
                                                                           e->error);
}

static int read_parentheses(struct expr *e, uint64_t *value)
{
    int status;

    e->at++;
    status = read_level(e, 0, value);
    if (status)
        return status;
    skip_blanks(e);
    if (*e->at != ')')
        return error_set(e->error, EINVAL, "')' is missing%s%.20s", *e->at ? " in front of " : " at the end",
                         e->at);
    e->at++;
    return 0;
}

static int read_operand(struct expr *e, uint64_t *value)
{
    if (*e->at == '(')
        return read_parentheses(e, value);
    if (isdigit((unsigned char)*e->at))
        return read_number(e, value);
    if (*e->at == '$' || is_name(*e->at))
        return read_name(e, value);
    return error_set(e->error, EINVAL, "a number, $register or name is due %s%.20s%s",
                     *e->at ? "in front of '" : "", *e->at ? e->at : "at the end", *e->at ? "'" : "");
}

static int read_unary(struct expr *e, uint64_t *value)
{
    char sign;
    int status;

    skip_blanks(e);
    sign = *e->at;
    if (!sign || !strchr("-~+", sign))
        return read_operand(e, value);
    if (++e->depth > DEPTH_MAX)
        return error_set(e->error, EINVAL, "the expression is nested more than %d deep", DEPTH_MAX);
    e->at++;
    status = read_unary(e, value);
    e->depth--;
    *value = sign == '-' ? 0 - *value : sign == '~' ? ~*value : *value;
    return status;
}

/* --- operators --- */

static const struct operator
{
    char text[3];
    uint8_t level; /* the higher, the tighter */
}
operator_table[] = {
    {"|", 1}, {"^", 2}, {"&", 3}, {"<<", 4}, {">>", 4}, {"+", 5}, {"-", 5}, {"*", 6}, {"/", 6}, {"%", 6},
};

static const struct operator* peek_operator(struct expr *e)
{
    skip_blanks(e);
    for (size_t i = 0; i < sizeof operator_table / sizeof operator_table[0]; i++)
        if (!strncmp(e->at, operator_table[i].text, strlen(operator_table[i].text)))
            return &operator_table[i];
    return NULL;
}

static int apply(struct expr *e, char what, uint64_t *left, uint64_t right)
{
    if ((what == '/' || what == '%') && right == 0)
        return error_set(e->error, EINVAL, "division by zero");
    switch (what) {
    case '|':
        *left |= right;
        break;
    case '^':
        *left ^= right;
        break;
    case '&':
        *left &= right;
        break;
    case '<':
        *left = right < 64 ? *left << right : 0;
        break;
    case '>':
        *left = right < 64 ? *left >> right : 0;
        break;
    case '+':
        *left += right;
        break;
    case '-':
        *left -= right;
        break;
    case '*':
        *left *= right;
        break;
    case '/':
        *left /= right;
        break;
    default:
        *left %= right;
        break;
    }
    return 0;
}

/* Operators of at least this level. */
static int read_level(struct expr *e, unsigned lowest, uint64_t *value)
{
    const struct operator* o;
    uint64_t right;
    int status;

    if (++e->depth > DEPTH_MAX)
        return error_set(e->error, EINVAL, "the expression is nested more than %d deep", DEPTH_MAX);
    status = read_unary(e, value);
    while (!status && (o = peek_operator(e)) && o->level >= lowest) {
        e->at += strlen(o->text);
        status = read_level(e, o->level + 1u, &right);
        if (!status)
            status = apply(e, o->text[0], value, right);
    }
    e->depth--;
    return status;
}

int expr_read(const char **text, const struct expr_names *names, uint64_t *value, struct error *error)
{
    struct expr e = {.at = *text, .names = names, .error = error};
    int status = read_level(&e, 0, value);

    if (!status)
        *text = e.at;
    return status;
}

/* --- formats --- */

static int read_letter(char letter, struct format *f, struct error *error)
{
    static const char sizes[] = "bhwg";
    const char *size = strchr(sizes, letter);

    if (size)
        f->size = 1u << (size - sizes);
    else if (strchr("xduocis", letter))
        f->kind = letter;
    else
        return error_set(error, EINVAL,
                         "/%c: unknown format; there are x d u o c i s, and the sizes b h w g (1, 2, 4, 8 bytes)",
                         isprint((unsigned char)letter) ? letter : '?');
    return 0;
}

int format_read(const char **text, struct format *f, struct error *error)
{
    const char *at = *text;

    while (*at && *at != ' ' && *at != '\t') {
        char *end;

        if (isdigit((unsigned char)*at)) {
            unsigned long count = strtoul(at, &end, 10);

            if (count == 0 || count > FORMAT_COUNT_MAX)
                return error_set(error, ERANGE, "/%.*s: the count is out of range; it is 1 to %u",
                                 (int)(end - at < 20 ? end - at : 20), at, FORMAT_COUNT_MAX);
            f->count = (unsigned)count;
            at = end;
            continue;
        }
        if (read_letter(*at++, f, error))
            return -EINVAL;
    }
    if (f->kind == 'c')
        f->size = 1;
    *text = at;
    return 0;
}

static int64_t sign_extended(uint64_t value, unsigned size)
{
    unsigned spare = 64 - 8 * size;

    return (int64_t)(value << spare) >> spare;
}

static void format_character(char *to, size_t room, uint8_t c)
{
    if (c == '\'' || c == '\\')
        snprintf(to, room, "'\\%c'", c);
    else if (isprint(c))
        snprintf(to, room, "'%c'", c);
    else
        snprintf(to, room, "'\\x%02x'", c);
}

/* Digits of the widest value, by log2 of the size. */
void format_value(char *to, size_t room, const struct format *f, uint64_t value)
{
    static const uint8_t octal[] = {3, 6, 11, 22}, decimal[] = {3, 5, 10, 20};
    unsigned log = f->size == 1 ? 0 : f->size == 2 ? 1 : f->size == 4 ? 2 : 3;

    switch (f->kind) {
    case 'o':
        snprintf(to, room, "0%0*" PRIo64, octal[log], value);
        break;
    case 'u':
        snprintf(to, room, "%*" PRIu64, decimal[log], value);
        break;
    case 'd':
        snprintf(to, room, "%*" PRId64, decimal[log] + 1, sign_extended(value, f->size));
        break;
    case 'c':
        format_character(to, room, (uint8_t)value);
        break;
    default:
        snprintf(to, room, "0x%0*" PRIx64, 2 * (int)f->size, value);
        break;
    }
}
