/*
 * options.c - the command line: one table row an option.
 *
 * Interface: options.h. Invariants: nothing is opened or allocated here, so an error leaves nothing behind;
 * values that only one option knows are read in values.c, those that another room knows (-cpu, -accel) are
 * kept as text for it.
 */
#include "vmm/options.h"

#include <errno.h>
#include <string.h>

#include "vmm/log.h"
#include "vmm/monitor/monitor.h"
#include "vmm/text.h"

struct option {
    const char *name;     /* without dashes */
    const char *argument; /* how the help calls it, NULL for none, "[...]" for one behind '=' only */
    const char *help;     /* NULL: accepted for the sake of scripts, not shown */
    int (*set)(struct options *options, const char *value, struct error *error);
};

static int set_help(struct options *o, const char *value, struct error *error)
{
    o->action = ACTION_HELP;
    return 0;
}

static int set_version(struct options *o, const char *value, struct error *error)
{
    o->action = ACTION_VERSION;
    return 0;
}

static int set_text(const char **field, const char *option, const char *value, struct error *error)
{
    if (!*value)
        return error_set(error, EINVAL, "%s '': the value is empty; give one", option);
    *field = value;
    return 0;
}

static int set_kernel(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->kernel, "-kernel", value, error);
}

static int set_initrd(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->initrd, "-initrd", value, error);
}

static int set_append(struct options *o, const char *value, struct error *error)
{
    o->append = value;
    return 0;
}

static int set_bios(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->bios, "-bios", value, error);
}

static int set_cpu(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->cpu, "-cpu", value, error);
}

static int set_accel(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->accel, "-accel", value, error);
}

static int set_nographic(struct options *o, const char *value, struct error *error)
{
    o->nographic = true;
    return 0;
}

static int set_serial(struct options *o, const char *value, struct error *error)
{
    if (o->serial_count == OPTIONS_SERIALS)
        return error_set(error, EINVAL, "-serial %s: the machine has only %d serial ports; leave out the rest",
                         value, OPTIONS_SERIALS);
    return set_text(&o->serial[o->serial_count++], "-serial", value, error);
}

static int set_debugcon(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->debugcon, "-debugcon", value, error);
}

static int set_monitor(struct options *o, const char *value, struct error *error)
{
    if (!monitor_accepts(value))
        return error_set(error, EINVAL,
                         "-monitor %s: no place for a monitor; use stdio, pty, unix:PATH,server, null or none",
                         value);
    if (o->monitor)
        return error_set(error, EINVAL, "-monitor %s: there is one already, on %s; leave one out", value,
                         o->monitor);
    o->monitor = value;
    return 0;
}

static int set_none(const char *option, const char *value, struct error *error)
{
    if (!strcmp(value, "none"))
        return 0;
    return error_set(error, EINVAL, "-%s %s: this version has only a serial console; use -%s none", option, value,
                     option);
}

static int set_display(struct options *o, const char *value, struct error *error)
{
    return set_none("display", value, error);
}

static int set_vga(struct options *o, const char *value, struct error *error)
{
    return set_none("vga", value, error);
}

static int set_nothing(struct options *o, const char *value, struct error *error)
{
    return 0;
}

static int set_nodefaults(struct options *o, const char *value, struct error *error)
{
    o->nodefaults = true;
    return 0;
}

static int set_no_reboot(struct options *o, const char *value, struct error *error)
{
    o->no_reboot = true;
    return 0;
}

static int set_paused(struct options *o, const char *value, struct error *error)
{
    o->paused = true;
    return 0;
}

static int set_topics(struct options *o, const char *value, struct error *error)
{
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        log_print_topics(stdout);
        o->action = ACTION_DONE;
        return 0;
    }
    return log_parse_topics(&o->log, value, error);
}

static int set_log_file(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->log.file, "-D", value, error);
}

static int set_filter(struct options *o, const char *value, struct error *error)
{
    return ranges_parse(&o->trace.filter, value, error);
}

static int set_perf_map(struct options *o, const char *value, struct error *error)
{
    o->trace.perf_map = true;
    return 0;
}

static int set_name(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->name, "-name", value, error);
}

static int set_pidfile(struct options *o, const char *value, struct error *error)
{
    return set_text(&o->pidfile, "-pidfile", value, error);
}

static int set_stats(struct options *o, const char *value, struct error *error)
{
    if (!*value || !strcmp(value, "text"))
        o->stats = STATS_TEXT;
    else if (!strcmp(value, "json"))
        o->stats = STATS_JSON;
    else
        return error_set(error, EINVAL, "--stats=%s: unknown format; use --stats or --stats=json", value);
    return 0;
}

static int set_maps(struct options *o, const char *value, struct error *error)
{
    o->maps = true;
    return 0;
}

static const struct option option_table[] = {
    {"m", "SIZE", "guest memory: MiB, or with suffix K, M, G (default 128)", options_set_memory},
    {"kernel", "FILE", "Linux bzImage, multiboot kernel, or ELF vmlinux with a PVH entry", set_kernel},
    {"initrd", "FILE", "initial RAM disk or initramfs; for multiboot the modules: \"FILE ARGS,FILE ARGS\"",
     set_initrd},
    {"append", "STRING", "kernel command line", set_append},
    {"bios", "FILE", "start in this firmware's ROM; it finds a -kernel through fw_cfg", set_bios},
    {"cpu", "MODEL", "max, x86-64-v1, -v2 or -v3, with ,+FEATURE and ,-FEATURE (default max)", set_cpu},
    {"accel", "ENGINE", "how guest code is run: bt, interp or trap, with properties (bt,chain=off)", set_accel},
    {"smp", "N", "virtual CPUs: 1 so far", options_set_smp},
    {"machine", "TYPE",
     "pc, q35 or microvm: one machine under all three names; ,accel=ENGINE ,kernel-entry=auto|16|32|64",
     options_set_machine},
    {"M", "TYPE", NULL, options_set_machine},
    {"nographic", NULL, "console on the terminal; Ctrl-A H there lists the keys", set_nographic},
    {"display", "none", "only 'none' is there", set_display},
    {"vga", "none", NULL, set_vga},
    {"serial", "DEV", "stdio, mon:stdio, file:PATH, pty, unix:PATH,server[,nowait], null or none; repeatable",
     set_serial},
    {"monitor", "DEV", "commands to the running machine: stdio, pty, unix:PATH,server[,nowait], null or none",
     set_monitor},
    {"debugcon", "DEV", "where bytes written to port 0xe9 go; as -serial", set_debugcon},
    {"device", "NAME",
     "isa-debug-exit,iobase=PORT,iosize=N; loader,file=FILE,addr=N; loader,addr=N,data=N,data-len=N;"
     " cpu-num=0 starts there",
     options_set_device},
    {"rtc", "base=BASE", "utc, localtime, or a date as 2006-06-17T16:01:21", options_set_rtc},
    {"no-reboot", NULL, "end when the guest resets itself", set_no_reboot},
    {"S", NULL, "do not start the virtual CPU", set_paused},
    {"d", "TOPIC,...", "log these topics; '-d help' lists them", set_topics},
    {"D", "FILE", "log to FILE instead of stderr; %d in its name is the process's number", set_log_file},
    {"dfilter", "RANGE,...", "in_asm, out_asm, exec, cpu only there: START+LENGTH, START-LENGTH, FIRST..LAST",
     set_filter},
    {"symbols", "FILE", "names of guest addresses: an ELF file or a System.map; ,offset=N is added to each",
     options_set_symbols},
    {"perf-map", NULL, "write /tmp/perf-PID.map, so that perf knows translated code by its guest names",
     set_perf_map},
    {"stats", "[json]", "print counters at the end (--stats=json: as JSON)", set_stats},
    {"maps", NULL, "list at the end the pages in the TLB and the windows", set_maps},
    {"name", "NAME", "name of the machine, in messages", set_name},
    {"pidfile", "FILE", "write the process id there", set_pidfile},
    {"nodefaults", NULL, NULL, set_nodefaults},
    {"no-user-config", NULL, NULL, set_nothing},
    {"version", NULL, "print the version", set_version},
    {"h", NULL, "print this help", set_help},
    {"help", NULL, NULL, set_help},
};
#define OPTIONS (sizeof option_table / sizeof option_table[0])

void options_print_help(FILE *to)
{
    fprintf(to,
            "novt %s: runs an x86 machine without hardware virtualization\n"
            "usage: novt [options] -kernel FILE\n"
            "       novt explain ...   shows code and its translation; 'novt explain -h' tells how\n"
            "       novt lab ...       experiments about virtual machines; 'novt lab -h' tells how\n\n",
            NOVT_VERSION);
    for (unsigned i = 0; i < OPTIONS; i++) {
        const struct option *o = &option_table[i];
        char left[40];

        if (!o->help)
            continue;
        if (o->argument && o->argument[0] == '[')
            snprintf(left, sizeof left, "--%s[=%s", o->name, o->argument + 1);
        else
            snprintf(left, sizeof left, "-%s %s", o->name, o->argument ? o->argument : "");
        fprintf(to, "  %-18s %s\n", left, o->help);
    }
}

static int unknown_option(const char *given, struct error *error)
{
    const char *word = given + strspn(given, "-");
    const char *near = text_nearest(word, option_table, OPTIONS, sizeof option_table[0]);

    return error_set(error, EINVAL, "%s: unknown option%s%s; '-h' lists them all", given,
                     near ? "; did you mean -" : "", near ? near : "");
}

/* "--name=value" is split for every option that has a value. */
static const struct option *find_option(const char *given, const char **value)
{
    const char *name = given + (given[1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);

    for (unsigned i = 0; i < OPTIONS; i++) {
        const struct option *o = &option_table[i];

        if (strlen(o->name) == length && !memcmp(o->name, name, length) && (!equals || o->argument)) {
            *value = equals ? equals + 1 : NULL;
            return o;
        }
    }
    return NULL;
}

static int parse_one(struct options *options, int argc, char **argv, int *i, struct error *error)
{
    const char *given = argv[*i], *value = NULL;
    const struct option *o;

    if (given[0] != '-' || !given[1])
        return error_set(error, EINVAL,
                         "%s: not an option, and disk images are not supported yet; "
                         "name the kernel with -kernel",
                         given);
    o = find_option(given, &value);
    if (!o)
        return unknown_option(given, error);
    if (!value && o->argument && o->argument[0] != '[') {
        if (*i + 1 >= argc)
            return error_set(error, EINVAL, "%s: the value is missing; write -%s %s", given, o->name, o->argument);
        value = argv[++*i];
    }
    return o->set(options, value ? value : "", error);
}

static bool boots_without_kernel(const struct options *o)
{
    bool started = o->bios != NULL;

    for (unsigned i = 0; i < o->loader_count; i++)
        started |= o->loader[i].start;
    return started;
}

static int check_together(const struct options *o, struct error *error)
{
    if (o->action != ACTION_RUN || o->kernel)
        return 0;
    if (o->initrd)
        return error_set(error, EINVAL, "-initrd %s: needs a kernel; add -kernel FILE", o->initrd);
    if (o->append)
        return error_set(error, EINVAL, "-append %s: needs a kernel; add -kernel FILE", o->append);
    if (boots_without_kernel(o))
        return 0;
    return error_set(
        error, EINVAL,
        "nothing to boot: name a kernel with -kernel FILE, or firmware with -bios FILE ('-h' lists the "
        "options)");
}

int options_parse(struct options *options, int argc, char **argv, struct error *error)
{
    *options = (struct options){.memory = OPTIONS_DEFAULT_MEMORY, .cpu = "max", .machine = "pc"};
    for (int i = 1; i < argc; i++) {
        int status = parse_one(options, argc, argv, &i, error);

        if (status)
            return status;
        if (options->action != ACTION_RUN)
            return 0;
    }
    return check_together(options, error);
}
