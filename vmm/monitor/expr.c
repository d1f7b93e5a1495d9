/*
 * expr.c - expressions of the monitor.
 *
 * Interface: expr.h. Precedence climbing over a table of operators. Invariants: the text is only read up
 * to its end; nesting is limited, so that no text can exhaust the stack; arithmetic wraps and never traps.
 */
#include "vmm/monitor/expr.h"

#include <ctype.h>
#include <errno.h>
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
