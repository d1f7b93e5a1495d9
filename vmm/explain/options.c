/*
 * options.c - the command line of `novt explain`: one table row an option.
 *
 * Interface: internal.h. Words without a dash are hex digits. As with the other options, one dash and two
 * mean the same, and a value may stand behind '='.
 */
#include "vmm/explain/internal.h"

#include <errno.h>
#include <string.h>

#include "vmm/text.h"

#define DEFAULT_BLOCKS 16
#define MOST_BLOCKS 10000

struct option {
    const char *name, *argument, *help;
    int (*set)(struct explain_options *o, const char *value, struct error *error);
};

static int set_number(uint64_t *to, const char *option, const char *value, struct error *error)
{
    if (!text_parse_number(value, to))
        return error_set(error, EINVAL, "explain: --%s %s: not a number; write it as 4096 or 0x1000", option,
                         value);
    return 0;
}

static int set_hex(struct explain_options *o, const char *value, struct error *error)
{
    size_t used = strlen(o->hex);

    if (used + strlen(value) + 2 > sizeof o->hex)
        return error_set(error, EINVAL,
                         "explain: more than %zu characters of hex; put the bytes into a file, and give "
                         "it with --file",
                         sizeof o->hex);
    snprintf(o->hex + used, sizeof o->hex - used, "%s%s", used ? " " : "", value);
    return 0;
}

static int set_file(struct explain_options *o, const char *value, struct error *error)
{
    o->file = value;
    return 0;
}

static int set_elf(struct explain_options *o, const char *value, struct error *error)
{
    o->elf = value;
    return 0;
}

static int set_symbol(struct explain_options *o, const char *value, struct error *error)
{
    o->symbol = value;
    return 0;
}

static int set_address(struct explain_options *o, const char *value, struct error *error)
{
    o->has_address = true;
    return set_number(&o->address, "address", value, error);
}

static int set_offset(struct explain_options *o, const char *value, struct error *error)
{
    return set_number(&o->offset, "offset", value, error);
}

static int set_length(struct explain_options *o, const char *value, struct error *error)
{
    int status = set_number(&o->length, "length", value, error);

    if (!status && !o->length)
        return error_set(error, EINVAL, "explain: --length %s: nothing to explain; give at least 1", value);
    return status;
}

static int set_mode(struct explain_options *o, const char *value, struct error *error)
{
    uint64_t bits = 0;

    if (!text_parse_number(value, &bits) || (bits != 16 && bits != 32 && bits != 64))
        return error_set(error, EINVAL, "explain: --mode %s: no such mode; give 16, 32 or 64", value);
    o->bits = (unsigned)bits;
    return 0;
}

static int set_cpl(struct explain_options *o, const char *value, struct error *error)
{
    if (strcmp(value, "0") && strcmp(value, "3"))
        return error_set(error, EINVAL, "explain: --cpl %s: give 0 (kernel) or 3 (user)", value);
    o->cpl = value[0] - '0';
    return 0;
}

static int set_syntax(struct explain_options *o, const char *value, struct error *error)
{
    if (strcmp(value, "intel") && strcmp(value, "att"))
        return error_set(error, EINVAL, "explain: --syntax %s: give intel or att", value);
    o->syntax = strcmp(value, "att") ? DUMP_INTEL : DUMP_ATT;
    return 0;
}

static int set_blocks(struct explain_options *o, const char *value, struct error *error)
{
    int status = set_number(&o->blocks, "blocks", value, error);

    if (!status && (!o->blocks || o->blocks > MOST_BLOCKS))
        return error_set(error, EINVAL, "explain: --blocks %s: give 1 to %d", value, MOST_BLOCKS);
    return status;
}

static int set_accel(struct explain_options *o, const char *value, struct error *error)
{
    o->accel = value;
    return 0;
}

static int set_cpu(struct explain_options *o, const char *value, struct error *error)
{
    o->cpu = value;
    return 0;
}

static int set_json(struct explain_options *o, const char *value, struct error *error)
{
    o->json = true;
    return 0;
}

static int set_html(struct explain_options *o, const char *value, struct error *error)
{
    o->html = value;
    return 0;
}

static int set_color(struct explain_options *o, const char *value, struct error *error)
{
    static const char *const words[] = {"auto", "always", "never"};

    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(value, words[i])) {
            o->color = (enum explain_color)i;
            return 0;
        }
    return error_set(error, EINVAL, "explain: --color %s: give auto, always or never", value);
}

static int set_help(struct explain_options *o, const char *value, struct error *error)
{
    o->help = true;
    return 0;
}

static const struct option table[] = {
    {"hex", "DIGITS", "the code as hex digits: \"0f 01 e0 c3\"; words without a dash are taken so too", set_hex},
    {"file", "FILE", "the code is this flat binary", set_file},
    {"offset", "N", "of the flat binary: begin there", set_offset},
    {"length", "N", "not more than so many bytes", set_length},
    {"elf", "FILE", "the code is in this ELF program or kernel", set_elf},
    {"symbol", "NAME", "of the ELF file: this function", set_symbol},
    {"address", "N", "of the ELF file: this address; else the address that the code is to have", set_address},
    {"mode", "16|32|64", "size of the code (default 64, or the ELF file's); 16 is real mode, or virtual-8086",
     set_mode},
    {"cpl", "0|3", "as kernel or as user code (default 0; of an ELF file's lower addresses 3)", set_cpl},
    {"syntax", "intel|att", "of the disassembly", set_syntax},
    {"blocks", "N", "at most so many blocks (default 16)", set_blocks},
    {"accel", "bt[,PROPERTY=on|off]...", "as in a run: what do chain=off, tier=window, lazy-flags=off change?",
     set_accel},
    {"cpu", "MODEL", "as in a run: what the guest's processor has", set_cpu},
    {"color", "auto|always|never", "auto: on a terminal", set_color},
    {"json", NULL, "as JSON", set_json},
    {"html", "FILE", "as a page that needs nothing else", set_html},
    {"h", NULL, "print this help", set_help},
    {"help", NULL, NULL, set_help},
};
#define OPTIONS (sizeof table / sizeof *table)

void explain_options_help(FILE *to)
{
    fprintf(to,
            "novt explain: shows guest code and what the translator makes of it\n"
            "usage: novt explain [options] DIGITS...\n"
            "       novt explain [options] --file FILE | --elf FILE --symbol NAME | --elf FILE --address N\n\n");
    for (unsigned i = 0; i < OPTIONS; i++) {
        char left[48];

        if (!table[i].help)
            continue;
        snprintf(left, sizeof left, "-%s%s %s", table[i].name[1] ? "-" : "", table[i].name,
                 table[i].argument ? table[i].argument : "");
        fprintf(to, "  %-32s %s\n", left, table[i].help);
    }
}

static int unknown(const char *given, struct error *error)
{
    const char *near = text_nearest(given + strspn(given, "-"), table, OPTIONS, sizeof *table);

    return error_set(error, EINVAL, "explain: %s: unknown option%s%s; 'novt explain -h' lists them all", given,
                     near ? "; did you mean --" : "", near ? near : "");
}

/* *value: what stands behind '=', or NULL. */
static const struct option *find(const char *given, const char **value)
{
    const char *name = given + strspn(given, "-"), *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);

    *value = equals ? equals + 1 : NULL;
    for (unsigned i = 0; i < OPTIONS; i++)
        if (strlen(table[i].name) == length && !memcmp(table[i].name, name, length) &&
            (!equals || table[i].argument))
            return &table[i];
    return NULL;
}

static int parse_one(struct explain_options *o, int argc, char **argv, int *i, struct error *error)
{
    const char *given = argv[*i], *value;
    const struct option *option;

    if (given[0] != '-')
        return set_hex(o, given, error);
    option = find(given, &value);
    if (!option)
        return unknown(given, error);
    if (option->argument && !value) {
        if (*i + 1 >= argc)
            return error_set(error, EINVAL, "explain: --%s: the value is missing; write --%s %s", option->name,
                             option->name, option->argument);
        value = argv[++*i];
    }
    if (option->argument && !*value)
        return error_set(error, EINVAL, "explain: --%s '': the value is empty; give one", option->name);
    return option->set(o, value, error);
}

static int check_together(const struct explain_options *o, struct error *error)
{
    int sources = (o->hex[0] != 0) + (o->file != NULL) + (o->elf != NULL);

    if (!sources)
        return error_set(error, EINVAL,
                         "explain: no code; give hex digits, as in novt explain 9d c3, or --file, or --elf");
    if (sources > 1)
        return error_set(error, EINVAL,
                         "explain: more than one of hex digits, --file and --elf; give one of them");
    if (o->symbol && !o->elf)
        return error_set(error, EINVAL, "explain: --symbol %s: needs the program that it is in; add --elf FILE",
                         o->symbol);
    if (o->offset && !o->file)
        return error_set(error, EINVAL, "explain: --offset: is of a flat binary; add --file FILE");
    if (o->elf && !o->symbol && !o->has_address)
        return error_set(error, EINVAL, "explain: --elf %s: which part of it? add --symbol NAME or --address N",
                         o->elf);
    if (o->symbol && o->has_address)
        return error_set(error, EINVAL, "explain: --symbol and --address: give one of them");
    return 0;
}

int explain_options_parse(struct explain_options *o, int argc, char **argv, struct error *error)
{
    *o = (struct explain_options){.cpl = -1, .blocks = DEFAULT_BLOCKS, .cpu = "max"};
    for (int i = 1; i < argc; i++) {
        int status = parse_one(o, argc, argv, &i, error);

        if (status || o->help)
            return status;
    }
    return check_together(o, error);
}
