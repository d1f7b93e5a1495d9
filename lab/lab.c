/*
 * lab.c - the command `novt lab`: which experiments to run, and where their reports go.
 *
 * Interface: lab.h. Invariant: files that are asked for are opened before anything is run, so that a bad name
 * costs no time.
 */
#include "lab/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lab/experiments.h"
#include "lab/render.h"

struct order {
    bool chosen[LAB_EXPERIMENTS];
    unsigned count;
    const char *html, *json; /* NULL: not asked for */
    FILE *html_file, *json_file;
};

static void print_help(void)
{
    printf("novt lab: experiments about virtual machines, each a small guest that is run and measured\n"
           "usage: novt lab list\n"
           "       novt lab run NAME...|all [--html FILE] [--json FILE]\n\n"
           "  list         names the experiments\n"
           "  run          runs some, one after the other, and prints what they show\n"
           "  --html FILE  writes a page with tables, plots and drawings\n"
           "  --json FILE  writes everything that was measured\n"
           "  -h           prints this help\n\n"
           "The status is 0 if everything was as expected, else 1.\n");
}

static void print_list(void)
{
    for (unsigned i = 0; i < LAB_EXPERIMENTS; i++)
        printf("  %-10s  %s\n", lab_experiments[i]->name, lab_experiments[i]->title);
}

/* --- reading the command line --- */

static void join_names(char *text, size_t size)
{
    size_t at = 0;

    for (unsigned i = 0; i < LAB_EXPERIMENTS && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", lab_experiments[i]->name);
}

static void choose(struct order *o, unsigned i)
{
    o->count += !o->chosen[i];
    o->chosen[i] = true;
}

static int choose_by_name(struct order *o, const char *name, struct error *error)
{
    bool all = !strcmp(name, "all"), found = all;
    char names[200];

    for (unsigned i = 0; i < LAB_EXPERIMENTS; i++)
        if (all || !strcmp(lab_experiments[i]->name, name)) {
            choose(o, i);
            found = true;
        }
    if (found)
        return 0;
    join_names(names, sizeof names);
    return error_set(error, EINVAL, "lab run %.60s: no such experiment; there are %s, and all", name, names);
}

/* "--html FILE" or "--html=FILE"; *i moves on to the value. */
static int read_option(struct order *o, int argc, char **argv, int *i, struct error *error)
{
    const char *given = argv[*i], *name = given + strspn(given, "-");
    size_t length = strcspn(name, "=");
    const char **value = !strncmp(name, "html", length) && length == 4   ? &o->html
                         : !strncmp(name, "json", length) && length == 4 ? &o->json
                                                                         : NULL;

    if (!value)
        return error_set(error, EINVAL, "lab run %.60s: unknown option; there are --html FILE and --json FILE",
                         given);
    if (name[length] == '=')
        *value = name + length + 1;
    else if (*i + 1 < argc)
        *value = argv[++*i];
    else
        *value = "";
    return **value ? 0
                   : error_set(error, EINVAL, "lab run %.60s: the value is missing; write --%.*s FILE", given,
                               (int)length, name);
}

static int read_order(struct order *o, int argc, char **argv, struct error *error)
{
    int status = 0;
    char names[200];

    for (int i = 0; i < argc && !status; i++)
        status = argv[i][0] == '-' ? read_option(o, argc, argv, &i, error) : choose_by_name(o, argv[i], error);
    if (status || o->count)
        return status;
    join_names(names, sizeof names);
    return error_set(error, EINVAL, "lab run: the experiment is missing; name one or more of %s, or all", names);
}

/* --- running --- */

static int open_report(FILE **file, const char *option, const char *path, struct error *error)
{
    if (!path || (*file = fopen(path, "we")))
        return 0;
    return error_set(error, errno, "lab run %s %.60s: cannot write there: %s; choose another path", option, path,
                     strerror(errno));
}

/* What fprintf has not been able to write shows at the end. */
static int close_report(FILE *file, const char *option, const char *path, struct error *error)
{
    bool bad;

    if (!file)
        return 0;
    bad = ferror(file);
    if (!fclose(file) && !bad)
        return 0;
    return error_set(error, EIO, "lab run %s %.60s: not all could be written; is the disk full?", option, path);
}

/* The processor's name, by CPUID (SDM vol. 2, leaves 0x80000002 to 4). */
static void read_brand(char brand[49])
{
    unsigned words[12] = {0};

    for (unsigned i = 0; i < 3; i++)
        __asm__("cpuid"
                : "=a"(words[4 * i]), "=b"(words[4 * i + 1]), "=c"(words[4 * i + 2]), "=d"(words[4 * i + 3])
                : "a"(0x80000002u + i), "c"(0));
    memcpy(brand, words, 48);
    brand[48] = '\0';
}

static struct json_object *describe_host(void)
{
    struct json_object *host = json_object_new_object();
    struct utsname system;
    char brand[49];

    read_brand(brand);
    json_object_object_add(host, "processor", json_object_new_string(brand));
    json_object_object_add(host, "processors", json_object_new_int64(sysconf(_SC_NPROCESSORS_ONLN)));
    if (!uname(&system))
        json_object_object_add(host, "kernel", json_object_new_string(system.release));
    json_object_object_add(host, "novt", json_object_new_string(NOVT_VERSION));
    return host;
}

static int run_one(const struct lab_experiment *e, struct json_object *all, unsigned *broken, struct error *error)
{
    struct json_object *report = lab_report_create(e);
    int status;

    json_object_array_add(all, report);
    lab_render_heading(report, stdout);
    fflush(stdout);
    status = e->run(report, error);
    if (status)
        return status;
    lab_render_text(report, stdout);
    *broken += lab_report_broken(report);
    return 0;
}

static void write_reports(const struct order *o, struct json_object *root)
{
    if (o->html_file)
        lab_render_html(root, o->html_file);
    if (o->json_file)
        fprintf(o->json_file, "%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY));
}

static int run_all(const struct order *o, struct error *error)
{
    struct json_object *root = json_object_new_object(), *all = json_object_new_array();
    unsigned broken = 0;
    int status = 0;

    json_object_object_add(root, "host", describe_host());
    json_object_object_add(root, "experiments", all);
    for (unsigned i = 0; i < LAB_EXPERIMENTS && !status; i++)
        if (o->chosen[i])
            status = run_one(lab_experiments[i], all, &broken, error);
    if (!status)
        write_reports(o, root);
    json_object_put(root);
    if (!status && broken)
        status =
            error_set(error, EPROTO, "lab run: %u of what was expected did not come about; see above", broken);
    return status;
}

static int run(int argc, char **argv, struct error *error)
{
    struct order o = {.count = 0};
    struct error second;
    int status = read_order(&o, argc, argv, error), closed;

    if (!status)
        status = open_report(&o.html_file, "--html", o.html, error);
    if (!status)
        status = open_report(&o.json_file, "--json", o.json, error);
    if (!status)
        status = run_all(&o, error);
    closed = close_report(o.html_file, "--html", o.html, &second);
    if (!closed)
        closed = close_report(o.json_file, "--json", o.json, &second);
    if (!status && closed)
        *error = second;
    return status ? status : closed;
}

int lab_main(int argc, char **argv, struct error *error)
{
    const char *command = argc > 1 ? argv[1] : "";

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-help")) {
            print_help();
            return 0;
        }
    if (!strcmp(command, "run"))
        return run(argc - 2, argv + 2, error);
    if (argc > 2 && !strcmp(command, "list"))
        return error_set(error, EINVAL, "lab list %.60s: list takes nothing; write novt lab list", argv[2]);
    if (!strcmp(command, "list")) {
        print_list();
        return 0;
    }
    return error_set(error, EINVAL, "lab %.60s: no such command; there are list, run and -h", command);
}
