/*
 * internal.h - what the files of `novt explain` share.
 */
#ifndef NOVT_VMM_EXPLAIN_INTERNAL_H
#define NOVT_VMM_EXPLAIN_INTERNAL_H

#include "cpu/cpuid.h"
#include "translator/explain.h"

#define EXPLAIN_MAX_CODE 0x100000u /* bytes */

/* --- options.c --- */

enum explain_color { EXPLAIN_COLOR_AUTO, EXPLAIN_COLOR_ALWAYS, EXPLAIN_COLOR_NEVER };

/* Texts point into argv and are not freed. NULL, and 0 of numbers: not given. */
struct explain_options {
    bool help;
    char hex[8192];
    const char *file, *elf, *symbol;
    bool has_address;
    uint64_t address;
    uint64_t offset, length; /* of a file's bytes */
    unsigned bits;           /* 16, 32, 64 */
    int cpl;                 /* 0, 3; -1: not given */
    enum dump_syntax syntax;
    uint64_t blocks; /* at most */
    const char *accel, *cpu;
    bool json;
    const char *html;
    enum explain_color color;
};

/* Errors: -EINVAL with the whole text of the message. */
int explain_options_parse(struct explain_options *o, int argc, char **argv, struct error *error);
void explain_options_help(FILE *to);

/* --- source.c, elf.c --- */

struct explain_code {
    uint8_t *bytes;
    uint64_t size;
    gva_t address; /* linear, of the first byte, where explaining begins */
    unsigned bits, cpl;
    char name[128]; /* what it is, for people */
};

/* The bytes that the options name. Errors: those of files, -EINVAL, -ENOEXEC, -EFBIG, -ENOMEM. Free bytes with
   free(). */
int explain_load(struct explain_code *code, const struct explain_options *o, struct error *error);
int explain_load_elf(struct explain_code *code, const struct explain_options *o, struct error *error);

/* --- machine.c --- */

/* A machine that holds the code and nothing else, its vCPU in the mode asked for. */
struct explain_machine {
    struct ram ram;
    struct cpu_model model;
    struct translator_options options;
    struct vcpu *vcpu;
    struct translator *translator;
    uint64_t base; /* of CS */
};

/* Errors: -EINVAL (-cpu, -accel), -ENOTSUP, -ENOMEM. Close with explain_machine_close, also when it failed. */
int explain_machine_open(struct explain_machine *m, const struct explain_code *code,
                         const struct explain_options *o, struct error *error);
void explain_machine_close(struct explain_machine *m);

/* --- explain.c --- */

struct explanation {
    const struct explain_options *options;
    const struct explain_code *code;
    struct explain_block **block; /* by address */
    unsigned count;
    bool more;     /* there would be more blocks than were asked for */
    bool has_rest; /* the last bytes are only a part of an instruction, ... */
    gva_t rest;    /* ... at this instruction pointer */
};

/* The number of instructions of a class. */
unsigned explain_count(const struct explanation *e, enum explain_class class);
/* "CF ZF", or `none`: into text, of 32 bytes. */
void explain_flag_names(uint16_t flags, const char *none, char *text);
/* "control sensitive (Popek-Goldberg)", ...: into text, of 128 bytes. */
void explain_sensitive_name(const struct sensitive *s, char *text);
/* The title of a block: its mode and tier. Into text, of 128 bytes. */
void explain_block_title(const struct explain_block *b, char *text);

/* --- text.c, json.c, html.c --- */

void explain_write_text(const struct explanation *e, FILE *to);
/* Errors: -ENOMEM. */
int explain_write_json(const struct explanation *e, FILE *to, struct error *error);
void explain_write_html(const struct explanation *e, FILE *to);

#endif
