/*
 * dump.c - disassembly with Capstone, for logs, crash reports, lock-step differences and explanations.
 *
 * Interface: dump.h. The only place that names Capstone. Names are put in place of the numbers that Capstone has
 * printed, so that one way serves both syntaxes.
 */
#include "translator/dump.h"

#include <capstone/capstone.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    csh handle;
    cs_insn *insn;
    const struct dump_names *names;
};

struct dump *dump_open(unsigned bits, enum dump_syntax syntax, const struct dump_names *names)
{
    struct dump *d = calloc(1, sizeof *d);
    cs_mode mode = bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16;

    if (!d || cs_open(CS_ARCH_X86, mode, &d->handle) != CS_ERR_OK) {
        free(d);
        return NULL;
    }
    cs_option(d->handle, CS_OPT_SYNTAX, syntax == DUMP_ATT ? CS_OPT_SYNTAX_ATT : CS_OPT_SYNTAX_INTEL);
    cs_option(d->handle, CS_OPT_DETAIL, names ? CS_OPT_ON : CS_OPT_OFF);
    d->insn = cs_malloc(d->handle);
    d->names = names;
    if (!d->insn) {
        dump_close(d);
        return NULL;
    }
    return d;
}

void dump_close(struct dump *d)
{
    if (!d)
        return;
    if (d->insn)
        cs_free(d->insn, 1);
    cs_close(&d->handle);
    free(d);
}

/* The printed number `value`: where it begins, with its sign; *after: behind it. NULL: it is not there. */
static char *find_number(char *text, uint64_t value, char **after)
{
    for (char *at = strstr(text, "0x"); at; at = strstr(at + 2, "0x")) {
        uint64_t number = strtoull(at, after, 16);
        char *begin = at;

        if (number == (uint32_t)value && value > INT64_MAX) /* Capstone cuts absolute addresses at 32 bits */
            number = value;
        if (begin > text && begin[-1] == '-')
            begin--;
        else if (begin > text + 1 && begin[-1] == ' ' && begin[-2] == '-')
            begin -= 2;
        if ((begin == at ? number : 0 - number) == value)
            return begin;
    }
    return NULL;
}

static void replace_number(char *text, uint64_t value, const char *name)
{
    char *after, *begin = find_number(text, value, &after), rest[DUMP_TEXT];
    bool term = begin && begin > text && begin[-1] == ' ' && begin[0] == '-' && begin[1] == ' ';

    if (!begin)
        return;
    snprintf(rest, sizeof rest, "%s", after);
    snprintf(begin, DUMP_TEXT - (size_t)(begin - text), "%s%s%s", term ? "+ " : "", name, rest);
}

static void try_name(const struct dump *d, enum dump_number kind, uint64_t value, struct dump_insn *out)
{
    char name[64];

    if (d->names->name(d->names->opaque, kind, value, name, sizeof name))
        replace_number(out->text, value, name);
}

static void name_numbers(const struct dump *d, struct dump_insn *out)
{
    const cs_insn *in = d->insn;
    bool jumps = cs_insn_group(d->handle, in, CS_GRP_JUMP) || cs_insn_group(d->handle, in, CS_GRP_CALL);

    for (unsigned i = 0; i < in->detail->x86.op_count; i++) {
        const cs_x86_op *op = &in->detail->x86.operands[i];

        if (op->type == X86_OP_IMM)
            try_name(d, jumps ? DUMP_TARGET : DUMP_IMMEDIATE, (uint64_t)op->imm, out);
        else if (op->type == X86_OP_MEM && op->mem.segment == X86_REG_GS)
            try_name(d, DUMP_GS, (uint64_t)op->mem.disp, out);
    }
}

bool dump_next(struct dump *d, const uint8_t **bytes, size_t *size, uint64_t *address, struct dump_insn *out)
{
    if (!*size)
        return false;
    *out = (struct dump_insn){.address = *address, .size = 1};
    if (!cs_disasm_iter(d->handle, bytes, size, address, d->insn)) {
        snprintf(out->text, sizeof out->text, "(bad)");
        ++*bytes, --*size, ++*address;
        return true;
    }
    out->size = d->insn->size;
    out->valid = true;
    snprintf(out->text, sizeof out->text, "%s%s%s", d->insn->mnemonic, d->insn->op_str[0] ? " " : "",
             d->insn->op_str);
    if (d->names)
        name_numbers(d, out);
    return true;
}

static void dump_bytes(FILE *to, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < 11; i++)
        if (i < size)
            fprintf(to, "%02x ", bytes[i]);
        else
            fprintf(to, "   ");
}

static size_t dump(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits, size_t count)
{
    struct dump *d = dump_open(bits, DUMP_INTEL, NULL);
    const uint8_t *at = bytes, *begin = bytes;
    struct dump_insn insn;

    while (d && count-- && dump_next(d, &bytes, &size, &address, &insn)) {
        fprintf(to, "  %016llx  ", (unsigned long long)insn.address);
        dump_bytes(to, at, insn.size);
        fprintf(to, " %s\n", insn.text);
        at = bytes;
    }
    dump_close(d);
    return d ? (size_t)(bytes - begin) : size;
}

void dump_code(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits)
{
    dump(to, bytes, size, address, bits, SIZE_MAX);
}

size_t dump_instruction(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits)
{
    return dump(to, bytes, size, address, bits, 1);
}
