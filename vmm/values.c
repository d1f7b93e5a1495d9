/*
 * values.c - the values of -m, -smp, -machine, -device, -symbols and -rtc.
 *
 * Interface: options.h. Invariant: a value that cannot be obeyed is an error that says so; words that scripts
 * written for QEMU pass and that change nothing here are accepted in silence.
 */
#include "vmm/options.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "memory/ram.h"
#include "vmm/text.h"

#define WORD 256

/* What the host has in all, in bytes; 0 if it does not say. */
static uint64_t host_memory(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    uint64_t kib = 0;
    char line[128];

    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemTotal: %" SCNu64, &kib) == 1)
            break;
    fclose(f);
    return kib * 1024;
}

int options_set_memory(struct options *o, const char *value, struct error *error)
{
    const char *text = !strncmp(value, "size=", 5) ? value + 5 : value;
    uint64_t bytes, host = host_memory();

    if (!text_parse_size(text, 1ull << 20, &bytes))
        return error_set(error, EINVAL,
                         "-m %s: not a size; write MiB, or a number with K, M or G, as 512, 512M, 2G", value);
    if (bytes < (1ull << 20))
        return error_set(error, EINVAL, "-m %s: too little for any guest; give at least 1M (Linux wants 128M)",
                         value);
    if (host && bytes > host)
        return error_set(error, EINVAL, "-m %s: more than this host's memory of %" PRIu64 "M; give less", value,
                         host >> 20);
    o->memory = (bytes + PAGE_SIZE - 1) & PAGE_MASK;
    return 0;
}

int options_set_smp(struct options *o, const char *value, struct error *error)
{
    const char *at = value;
    char key[WORD], text[WORD];
    bool has_value;
    uint64_t n;

    while (text_next_property(&at, key, text, sizeof key, &has_value)) {
        const char *number = has_value ? text : key;

        if (!text_parse_number(number, &n) || n == 0)
            return error_set(error, EINVAL, "-smp %s: not a number of CPUs; use -smp 1", value);
        if (n != 1)
            return error_set(error, EINVAL, "-smp %s: this version has one virtual CPU; use -smp 1", value);
    }
    return 0;
}

static const char *const machine_types[] = {"pc", "q35", "microvm"};
/* Properties of QEMU's machines that turn off what novt has not got anyway. */
static const char *const machine_properties[] = {
    "accel", "type", "kernel-entry", "usb", "vmport", "graphics",  "kernel-irqchip",
    "smm",   "acpi", "pit",          "pic", "rtc",    "isa-serial"};

static int kernel_entry(struct options *o, const char *given, const char *text, struct error *error)
{
    static const char *const words[] = {[KERNEL_ENTRY_AUTO] = "auto",
                                        [KERNEL_ENTRY_16] = "16",
                                        [KERNEL_ENTRY_32] = "32",
                                        [KERNEL_ENTRY_64] = "64"};

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(text, words[i])) {
            o->kernel_entry = (enum kernel_entry)i;
            return 0;
        }
    return error_set(error, EINVAL, "-machine %s: kernel-entry is auto, 16, 32 or 64, not '%s'", given, text);
}

static int machine_property(struct options *o, const char *given, const char *key, const char *text,
                            struct error *error)
{
    size_t count = sizeof machine_properties / sizeof machine_properties[0];
    const char *near;

    if (!strcmp(key, "kernel-entry"))
        return kernel_entry(o, given, text, error);
    if (!strcmp(key, "accel")) {
        snprintf(o->accel_word, sizeof o->accel_word, "%s", text);
        o->accel = o->accel_word;
        return 0;
    }
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(key, machine_properties[i]))
            return 0;
    near = text_nearest(key, machine_properties, count, sizeof machine_properties[0]);
    return error_set(error, EINVAL, "-machine %s: no property '%s'%s%s; leave it out", given, key,
                     near ? "; did you mean " : "", near ? near : "");
}

int options_set_machine(struct options *o, const char *value, struct error *error)
{
    const char *at = value;
    char key[WORD], text[WORD];
    bool has_value;

    while (text_next_property(&at, key, text, sizeof key, &has_value)) {
        const char *type = has_value ? text : key;
        bool known = false;

        if (has_value && strcmp(key, "type")) {
            int status = machine_property(o, value, key, text, error);

            if (status)
                return status;
            continue;
        }
        for (unsigned i = 0; i < sizeof machine_types / sizeof machine_types[0]; i++)
            if (!strcmp(type, machine_types[i])) {
                o->machine = machine_types[i];
                known = true;
            }
        if (!known)
            return error_set(error, EINVAL, "-machine %s: no machine '%s'; use pc, q35 or microvm", value, type);
    }
    return 0;
}

static int debug_exit_property(struct options *o, const char *given, const char *key, const char *text,
                               struct error *error)
{
    uint64_t n;
    bool base = !strcmp(key, "iobase");

    if (!base && strcmp(key, "iosize"))
        return error_set(error, EINVAL, "-device %s: no property '%s'; isa-debug-exit has iobase and iosize",
                         given, key);
    if (!text_parse_number(text, &n) || n > 0xffff || (!base && (n == 0 || n > 4)))
        return error_set(error, EINVAL, "-device %s: %s=%s is out of range; iobase is a port, iosize 1 to 4",
                         given, key, text);
    if (base)
        o->debug_exit.iobase = (uint16_t)n;
    else
        o->debug_exit.iosize = (uint16_t)n;
    return 0;
}

static int set_debug_exit(struct options *o, const char *value, const char *properties, struct error *error)
{
    char key[WORD], text[WORD];
    bool has_value;

    o->debug_exit.present = true;
    o->debug_exit.iobase = 0x501; /* QEMU's defaults */
    o->debug_exit.iosize = 2;
    while (text_next_property(&properties, key, text, sizeof key, &has_value)) {
        int status = debug_exit_property(o, value, key, text, error);

        if (status)
            return status;
    }
    return 0;
}

static int set_loader(struct options *o, const char *value, const char *properties, struct error *error)
{
    if (o->loader_count == LOADER_MAX)
        return error_set(error, EINVAL, "-device %s: more than %d loaders; leave it out", value, LOADER_MAX);
    return loader_parse(&o->loader[o->loader_count++], properties, error);
}

static const struct device_option {
    const char *name;
    int (*set)(struct options *o, const char *value, const char *properties, struct error *error);
} device_options[] = {{"isa-debug-exit", set_debug_exit}, {"loader", set_loader}};

int options_set_device(struct options *o, const char *value, struct error *error)
{
    const char *at = value;
    char key[WORD], text[WORD];
    bool has_value;

    if (!text_next_property(&at, key, text, sizeof key, &has_value))
        return error_set(error, EINVAL,
                         "-device '': the name is missing; this version has isa-debug-exit and loader");
    for (unsigned i = 0; i < sizeof device_options / sizeof device_options[0]; i++)
        if (!strcmp(has_value ? text : key, device_options[i].name))
            return device_options[i].set(o, value, at, error);
    return error_set(error, EINVAL,
                     "-device %s: no such device in this version; there are isa-debug-exit and loader", value);
}

/* FILE[,offset=N]: the file's name may hold commas. */
int options_set_symbols(struct options *o, const char *value, struct error *error)
{
    const char *comma = strrchr(value, ',');
    size_t length = strlen(value);

    o->trace.symbols_offset = 0;
    if (comma && !strncmp(comma, ",offset=", 8)) {
        if (!text_parse_number(comma + 8, &o->trace.symbols_offset))
            return error_set(error, EINVAL, "-symbols %s: the offset is not a number; write ,offset=0x1e000000",
                             value);
        length = (size_t)(comma - value);
    }
    if (!length || length >= sizeof o->symbols_word)
        return error_set(error, EINVAL, "-symbols '%.200s': not a file's name; write FILE or FILE,offset=N",
                         value);
    memcpy(o->symbols_word, value, length);
    o->symbols_word[length] = '\0';
    o->trace.symbols = o->symbols_word;
    return 0;
}

static bool parse_date(const char *text, time_t *date)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!end || *end) {
        tm = (struct tm){0};
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    if (!end || *end)
        return false;
    *date = timegm(&tm);
    return true;
}

int options_set_rtc(struct options *o, const char *value, struct error *error)
{
    const char *at = value;
    char key[WORD], text[WORD];
    bool has_value;

    while (text_next_property(&at, key, text, sizeof key, &has_value)) {
        if (!strcmp(key, "clock") || !strcmp(key, "driftfix"))
            continue;
        if (strcmp(key, "base"))
            return error_set(error, EINVAL, "-rtc %s: no property '%s'; use base=utc, base=localtime or a date",
                             value, key);
        if (!strcmp(text, "utc"))
            o->rtc = RTC_UTC;
        else if (!strcmp(text, "localtime"))
            o->rtc = RTC_LOCALTIME;
        else if (parse_date(text, &o->rtc_date))
            o->rtc = RTC_DATE;
        else
            return error_set(error, EINVAL,
                             "-rtc %s: not a date; write base=utc, base=localtime or "
                             "base=2006-06-17T16:01:21",
                             value);
    }
    return 0;
}
