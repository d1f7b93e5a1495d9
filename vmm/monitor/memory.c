/*
 * memory.c - memory, expressions and code: x, xp, print, disassemble.
 *
 * Interface: command.h. What there is of the memory asked for is shown before the first address that
 * cannot be read is named. Invariant: nothing is changed and no device is touched.
 */
#include "vmm/monitor/command.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "translator/dump.h"
#include "vmm/monitor/peek.h"

#define INSN_MAX 15u
#define STRING_MAX 256u

int command_cannot_access(struct command *c, uint64_t address)
{
    return error_set(&c->error, EFAULT, "Cannot access memory at address 0x%" PRIx64, address);
}

static size_t peek(const struct command *c, bool physical, uint64_t from, void *to, size_t size)
{
    return physical ? peek_physical(c->machine, from, to, size) : peek_linear(c->machine, from, to, size);
}

/* --- code --- */

unsigned command_code_bits(const struct command *c)
{
    uint32_t code = c->machine->vcpu->mode & MODE_CODE_MASK;

    return code == MODE_CODE64 ? 64 : code == MODE_CODE32 ? 32 : 16;
}

/* A line with the name, where another function begins than that of the line before. */
static void print_name(struct command *c, const char *name, char last[TRACER_NAME])
{
    size_t length = strcspn(name, "+");

    if (*name && strncmp(name, last, length + 1))
        fprintf(c->to, "%s:\n", name + 1);
    snprintf(last, TRACER_NAME, "%s", name);
}

static int disassemble(struct command *c, bool physical, uint64_t at, unsigned count)
{
    char name[TRACER_NAME], last[TRACER_NAME] = "";
    uint8_t bytes[INSN_MAX];

    for (; count; count--) {
        size_t size = peek(c, physical, at, bytes, sizeof bytes);

        if (!size)
            return command_cannot_access(c, at);
        print_name(c, physical ? "" : tracer_name(&c->machine->tracer, at, name), last);
        at += dump_instruction(c->to, bytes, size, at, command_code_bits(c));
    }
    return 0;
}

int command_disassemble(struct command *c, gva_t at, unsigned count)
{
    return disassemble(c, false, at, count);
}

int command_disassemble_at(struct command *c)
{
    uint64_t at = debug_linear_rip(c->machine), count = 10;
    int status = 0;

    if (!command_is_at_end(c))
        status = command_read_expression(c, &at);
    if (!status && !command_is_at_end(c))
        status = command_read_expression(c, &count);
    if (!status)
        status = command_expect_end(c);
    if (!status && (count == 0 || count > FORMAT_COUNT_MAX))
        status = error_set(&c->error, ERANGE, "the count %" PRIu64 " is out of range; it is 1 to %u", count,
                           FORMAT_COUNT_MAX);
    return status ? status : disassemble(c, false, at, (unsigned)count);
}

/* --- strings --- */

static void print_character(FILE *to, uint8_t byte)
{
    if (byte == '"' || byte == '\\')
        fprintf(to, "\\%c", byte);
    else if (isprint(byte))
        fputc(byte, to);
    else
        fprintf(to, byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\x%02x", byte);
}

/* Those that are longer than STRING_MAX go on as another one. */
static int print_strings(struct command *c, bool physical, uint64_t at, unsigned count)
{
    char bytes[STRING_MAX];

    for (; count; count--) {
        size_t size = peek(c, physical, at, bytes, sizeof bytes), length = strnlen(bytes, size);

        if (!size)
            return command_cannot_access(c, at);
        fprintf(c->to, "%016" PRIx64 ": \"", at);
        for (size_t i = 0; i < length; i++)
            print_character(c->to, (uint8_t)bytes[i]);
        fprintf(c->to, length < size ? "\"\n" : "\"...\n");
        at += length + (length < size);
    }
    return 0;
}

/* --- numbers --- */

static int print_units(struct command *c, bool physical, uint64_t at, const struct format *f)
{
    size_t left = (size_t)f->count * f->size, line = f->size == 1 ? 8 : 16;
    uint8_t bytes[16];
    char text[32];

    while (left) {
        size_t wanted = left < line ? left : line, got = peek(c, physical, at, bytes, wanted), i;

        for (i = 0; i + f->size <= got; i += f->size) {
            uint64_t value = 0;

            memcpy(&value, bytes + i, f->size);
            format_value(text, sizeof text, f, value);
            if (i == 0)
                fprintf(c->to, "%016" PRIx64 ":", at);
            fprintf(c->to, " %s", text);
        }
        if (i)
            fputc('\n', c->to);
        if (got < wanted)
            return command_cannot_access(c, at + got);
        at += wanted;
        left -= wanted;
    }
    return 0;
}

/* --- the commands --- */

static int read_format(struct command *c, struct format *f)
{
    *f = (struct format){.count = 1, .kind = 'x', .size = 4};
    return c->has_format ? format_read(&c->format, f, &c->error) : 0;
}

static int examine(struct command *c, bool physical)
{
    struct format f;
    uint64_t at;
    int status = read_format(c, &f);

    if (!status)
        status = command_read_expression(c, &at);
    if (!status)
        status = command_expect_end(c);
    if (status)
        return status;
    if (f.kind == 'i')
        return disassemble(c, physical, at, f.count);
    if (f.kind == 's')
        return print_strings(c, physical, at, f.count);
    return print_units(c, physical, at, &f);
}

int command_x(struct command *c)
{
    return examine(c, false);
}

int command_xp(struct command *c)
{
    return examine(c, true);
}

/* As QEMU does, hexadecimal unless told otherwise, without leading zeros. */
int command_print(struct command *c)
{
    struct format f;
    uint64_t value;
    char text[32];
    int status = read_format(c, &f);

    if (!status)
        status = command_read_expression(c, &value);
    if (!status)
        status = command_expect_end(c);
    if (status)
        return status;
    if (f.count != 1 || f.kind == 'i' || f.kind == 's')
        return error_set(&c->error, EINVAL, "print shows one value, as x d u o or c; use x for memory");
    f.size = f.kind == 'c' ? 1 : 8;
    format_value(text, sizeof text, &f, value);
    if (f.kind == 'x' || f.kind == 'o')
        fprintf(c->to, f.kind == 'x' ? "%#" PRIx64 "\n" : "%#" PRIo64 "\n", value);
    else
        fprintf(c->to, "%s\n", text + strspn(text, " "));
    return 0;
}
