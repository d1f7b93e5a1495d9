/*
 * loader.c - -device loader: raw images and numbers put into guest memory before it runs (QEMU's
 * docs/system/generic-loader.rst).
 *
 * Interface: loader.h. Of QEMU's forms those that mean something here: file= with addr=, data= with data-len=, and
 * cpu-num=0, which starts the processor at addr in real mode. Kernels in ELF are -kernel's business.
 */
#include "vmm/loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot.h"
#include "vmm/text.h"

static int bad(const char *value, const char *what, struct error *error)
{
    return error_set(error, EINVAL, "-device loader,%s: %s", value, what);
}

static bool set_file(struct loader_options *o, const char *text)
{
    strcpy(o->file, text);
    return *text && strlen(text) + 1 < sizeof o->file;
}

static bool set_address(struct loader_options *o, const char *text)
{
    o->has_address = true;
    return text_parse_number(text, &o->address);
}

static bool set_data(struct loader_options *o, const char *text)
{
    o->has_data = true;
    return text_parse_number(text, &o->data);
}

static bool set_data_length(struct loader_options *o, const char *text)
{
    uint64_t n;

    if (!text_parse_number(text, &n) || n == 0 || n > 8)
        return false;
    o->data_length = (unsigned)n;
    return true;
}

static bool set_big_endian(struct loader_options *o, const char *text)
{
    return text_parse_bool(text, &o->big_endian);
}

static bool set_raw(struct loader_options *o, const char *text)
{
    return text_parse_bool(text, &o->force_raw);
}

static bool set_cpu(struct loader_options *o, const char *text)
{
    uint64_t n;

    o->start = true;
    return text_parse_number(text, &n) && n == 0;
}

static const struct property {
    const char *name;
    bool (*set)(struct loader_options *options, const char *text);
    const char *wants;
} properties[] = {
    {"file", set_file, "the name of a file"},
    {"addr", set_address, "a number"},
    {"data", set_data, "a number of at most 64 bits"},
    {"data-len", set_data_length, "1 to 8 bytes"},
    {"data-be", set_big_endian, "on or off"},
    {"force-raw", set_raw, "on or off"},
    {"cpu-num", set_cpu, "0, the only processor there is"},
};
#define PROPERTIES (sizeof properties / sizeof properties[0])

static int set_property(struct loader_options *o, const char *value, const char *key, const char *text,
                        struct error *error)
{
    const char *near;

    for (unsigned i = 0; i < PROPERTIES; i++) {
        const struct property *p = &properties[i];

        if (strcmp(p->name, key))
            continue;
        if (p->set(o, text))
            return 0;
        return error_set(error, EINVAL, "-device loader,%s: %s=%s: give %s", value, key, text, p->wants);
    }
    near = text_nearest(key, properties, PROPERTIES, sizeof properties[0]);
    return error_set(error, EINVAL,
                     "-device loader,%s: no property '%s'%s%s; there are file, addr, data, data-len, "
                     "data-be, force-raw and cpu-num",
                     value, key, near ? "; did you mean " : "", near ? near : "");
}

static int check_together(const struct loader_options *o, const char *value, struct error *error)
{
    if (!o->has_address)
        return bad(value, "addr= is missing; say where in the guest's memory", error);
    if (o->file[0] && o->has_data)
        return bad(value, "both file= and data=; give one", error);
    if (o->has_data != (o->data_length != 0))
        return bad(value, "data= and data-len= go together; give both", error);
    if (o->has_data && o->data_length < 8 && o->data >> (8 * o->data_length))
        return bad(value, "data= is wider than data-len= bytes; give a larger data-len", error);
    if (!o->file[0] && !o->has_data && !o->start)
        return bad(value, "nothing to load; give file=, or data= and data-len=", error);
    if (o->start && o->address >= 0x100000)
        return bad(value, "cpu-num=0 starts in real mode, which addr= must be for: give one below 0x100000",
                   error);
    return 0;
}

int loader_parse(struct loader_options *o, const char *value, struct error *error)
{
    const char *at = value;
    char key[LOADER_NAME], text[LOADER_NAME];
    bool has_value;

    *o = (struct loader_options){0};
    while (text_next_property(&at, key, text, sizeof key, &has_value)) {
        int status = set_property(o, value, key, text, error);

        if (status)
            return status;
    }
    return check_together(o, value, error);
}

static int refuse_elf(const struct loader *l, struct error *error)
{
    uint8_t head[4];
    int status;

    if (l->options->force_raw || l->file.size < sizeof head)
        return 0;
    status = image_file_read_part(&l->file, head, sizeof head, error);
    if (status || !elf_probe(head, sizeof head))
        return status;
    return error_set(
        error, EINVAL,
        "-device loader,file=%s: an ELF file; boot it with -kernel, or add force-raw=on to load its bytes "
        "as they are",
        l->file.name);
}

int loader_open(struct loader *l, const struct loader_options *options, uint64_t ram_size, struct error *error)
{
    int status;

    *l = (struct loader){.options = options, .file.fd = -1};
    if (!options->file[0])
        return 0;
    status = image_file_open(&l->file, "-device loader,file", options->file, ram_size, error);
    if (!status)
        status = refuse_elf(l, error);
    if (status)
        loader_close(l);
    return status;
}

void loader_close(struct loader *l)
{
    image_file_close(&l->file);
}

static int no_ram(const struct loader *l, uint64_t size, struct error *error)
{
    return error_set(
        error, EFBIG,
        "-device loader,addr=0x%llx: its %llu bytes do not fit the guest's memory there; give another "
        "address, or more with -m",
        (unsigned long long)l->options->address, (unsigned long long)size);
}

static bool copy(struct ram *ram, uint64_t address, const void *bytes, uint64_t size)
{
    return address + size >= address && ram_copy_to(ram, address, bytes, size);
}

static int load_file(const struct loader *l, struct ram *ram, struct error *error)
{
    uint8_t *bytes = malloc(l->file.size);
    int status;

    if (!bytes)
        return error_set(error, ENOMEM, "-device loader,file=%s: no memory to read its %llu bytes", l->file.name,
                         (unsigned long long)l->file.size);
    status = image_file_read(&l->file, bytes, error);
    if (!status && !copy(ram, l->options->address, bytes, l->file.size))
        status = no_ram(l, l->file.size, error);
    free(bytes);
    return status;
}

int loader_load(const struct loader *l, struct ram *ram, struct error *error)
{
    const struct loader_options *o = l->options;
    uint64_t data = o->data;

    if (l->file.name)
        return load_file(l, ram, error);
    if (!o->has_data)
        return 0;
    if (o->big_endian)
        data = __builtin_bswap64(data) >> (64 - 8 * o->data_length);
    return copy(ram, o->address, &data, o->data_length) ? 0 : no_ram(l, o->data_length, error);
}

void loader_start(const struct loader *l, struct vcpu *v)
{
    uint64_t address = l->options->address;
    struct segment *cs = &v->seg[SEG_CS];

    cs->selector = (uint16_t)(address >> 16 << 12);
    cs->base = (uint64_t)cs->selector << 4;
    v->rip = address & 0xffff;
    cpu_update_mode(v);
}
