/*
 * source.c - the code that is to be explained: hex digits, a flat binary; where it is to lie.
 *
 * Interface: internal.h.
 */
#include "vmm/explain/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/file.h"

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* What may stand between bytes: blanks, commas, and "0x" or "\x" in front of two digits. */
static const char *skip(const char *at)
{
    for (;; at++) {
        if ((at[0] == '0' || at[0] == '\\') && (at[1] == 'x' || at[1] == 'X'))
            at++;
        else if (!isspace((unsigned char)*at) && *at != ',')
            return at;
    }
}

static int load_hex(struct explain_code *code, const char *hex, struct error *error)
{
    code->bytes = malloc(strlen(hex) / 2 + 1);
    if (!code->bytes)
        return error_set(error, ENOMEM, "out of memory");
    for (const char *at = skip(hex); *at; at = skip(at + 2)) {
        for (unsigned i = 0; i < 2; i++)
            if (at[i] && !isxdigit((unsigned char)at[i]) && !isspace((unsigned char)at[i]) && at[i] != ',')
                return error_set(error, EINVAL,
                                 "explain: '%c' in \"%.60s\": not a hex digit; write bytes as 0f 01 e0", at[i],
                                 hex);
        if (!isxdigit((unsigned char)at[1]))
            return error_set(error, EINVAL,
                             "explain: \"%.60s\": a byte of one digit, '%c'; write each with two, as 0f 01 e0",
                             hex, at[0]);
        code->bytes[code->size++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
    }
    snprintf(code->name, sizeof code->name, "%.*s%s", 60, hex, strlen(hex) > 60 ? "..." : "");
    return 0;
}

static int take_part(struct explain_code *code, const struct image_file *file, const struct explain_options *o,
                     struct error *error)
{
    uint64_t length;

    if (o->offset >= file->size)
        return error_set(error, EINVAL, "explain: --offset %llu: %s has only %llu bytes; give less",
                         (unsigned long long)o->offset, o->file, (unsigned long long)file->size);
    length = file->size - o->offset;
    if (o->length > length)
        return error_set(error, EINVAL, "explain: --length %llu: %s has only %llu bytes there; give less",
                         (unsigned long long)o->length, o->file, (unsigned long long)length);
    length = o->length ? o->length : length;
    if (length > EXPLAIN_MAX_CODE)
        return error_set(error, EFBIG,
                         "explain: --file %s: more than %u bytes; choose some with --offset and --length", o->file,
                         EXPLAIN_MAX_CODE);
    code->bytes = malloc(length);
    if (!code->bytes)
        return error_set(error, ENOMEM, "out of memory");
    code->size = length;
    return image_file_read_at(file, code->bytes, o->offset, length, error);
}

static int load_file(struct explain_code *code, const struct explain_options *o, struct error *error)
{
    struct image_file file;
    int status = image_file_open(&file, "explain: --file", o->file, UINT32_MAX, error);

    if (status)
        return status;
    status = take_part(code, &file, o, error);
    image_file_close(&file);
    snprintf(code->name, sizeof code->name, "%.100s", o->file);
    return status;
}

/* Where such code usually is. */
static gva_t usual_address(unsigned bits, unsigned cpl)
{
    if (bits == 16)
        return 0x7c00;
    if (bits == 32)
        return cpl ? 0x8049000 : 0xc0100000;
    return cpl ? 0x401000 : 0xffffffff81000000;
}

static int check_place(const struct explain_code *c, struct error *error)
{
    unsigned long long address = c->address, last = c->address + c->size - 1;

    if (c->bits == 16 && (last > 0xfffff || last >> 16 != address >> 16))
        return error_set(
            error, EINVAL,
            "explain: 0x%llx to 0x%llx: 16-bit code has to lie in one 64 KiB segment below 1 MiB; give "
            "--address, or less with --length",
            address, last);
    if (c->bits == 32 && (address > UINT32_MAX || last > UINT32_MAX))
        return error_set(
            error, EINVAL,
            "explain: 0x%llx to 0x%llx: not below 4 GiB, where 32-bit code is; give --mode 64 or another "
            "--address",
            address, last);
    if (c->bits == 64 && ((int64_t)(address << 16) >> 16 != (int64_t)address ||
                          (int64_t)(last << 16) >> 16 != (int64_t)last || last < address))
        return error_set(error, EINVAL, "explain: 0x%llx to 0x%llx: not canonical; give an address of 48 bits",
                         address, last);
    return 0;
}

int explain_load(struct explain_code *code, const struct explain_options *o, struct error *error)
{
    int status;

    *code = (struct explain_code){.bits = o->bits ? o->bits : 64, .cpl = o->cpl < 0 ? 0 : (unsigned)o->cpl};
    code->address = o->has_address ? o->address : usual_address(code->bits, code->cpl);
    status = o->elf    ? explain_load_elf(code, o, error)
             : o->file ? load_file(code, o, error)
                       : load_hex(code, o->hex, error);
    if (!status && !code->size)
        status = error_set(error, EINVAL, "explain: \"%s\": no bytes; write them as 0f 01 e0", o->hex);
    if (!status && !o->elf && o->length && o->length < code->size)
        code->size = o->length;
    if (!status)
        status = check_place(code, error);
    if (status) {
        free(code->bytes);
        code->bytes = NULL;
    }
    return status;
}
