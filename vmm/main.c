/*
 * main.c - the program: command line in, exit status out.
 *
 * Exit status: 0 when the guest powered itself off (or was reset with -no-reboot) and when a signal or Ctrl-A X
 * ended it; what isa-debug-exit says; 1 for errors, with one line on stderr. Nothing else calls exit().
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "lab/lab.h"
#include "vmm/explain/explain.h"
#include "vmm/machine.h"
#include "vmm/options.h"
#include "vmm/signals.h"

static int fail(const struct error *error)
{
    fprintf(stderr, "novt: %s\n", error->text);
    return 1;
}

/* Begins again with the layout in which the kernel puts mappings where guests have none (at a third of the address
   space), so that a guest's addresses are hardly ever those of novt itself, which no window can serve. Where that
   is not allowed, it is only slower. */
static void choose_layout(char **argv)
{
    int now = personality(0xffffffff);
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    if (length < 0 || now == -1 || now & ADDR_COMPAT_LAYOUT ||
        personality((unsigned long)(unsigned)now | ADDR_COMPAT_LAYOUT) == -1)
        return;
    path[length] = 0;
    execv(path, argv); /* by its name, which tools show */
}

static int run(const struct options *options)
{
    struct machine *machine;
    struct error error = {"unknown failure"};
    int status;

    signals_install();
    status = machine_create(&machine, options, &error);
    if (!status)
        status = machine_run(machine, &error);
    machine_destroy(machine);
    return status < 0 ? fail(&error) : status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct error error;
    int status = 0;

    if (argc > 1 && !strcmp(argv[1], "explain"))
        exit(explain_command(argc - 1, argv + 1, &error) ? fail(&error) : 0);
    if (argc > 1 && !strcmp(argv[1], "lab"))
        exit(lab_main(argc - 1, argv + 1, &error) ? fail(&error) : 0);
    if (options_parse(&options, argc, argv, &error))
        exit(fail(&error));
    switch (options.action) {
    case ACTION_HELP:
        options_print_help(stdout);
        break;
    case ACTION_VERSION:
        printf("novt version %s\n", NOVT_VERSION);
        break;
    case ACTION_DONE:
        break;
    case ACTION_RUN:
        choose_layout(argv);
        status = run(&options);
        break;
    }
    exit(status);
}
