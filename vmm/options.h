/*
 * options.h - the command line, spelled as QEMU spells it.
 */
#ifndef NOVT_VMM_OPTIONS_H
#define NOVT_VMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "memory/error.h"
#include "vmm/kernel.h"
#include "vmm/loader.h"
#include "vmm/trace/tracer.h"

#define OPTIONS_SERIALS 4
#define OPTIONS_DEFAULT_MEMORY (128ull << 20)

enum options_action { ACTION_RUN, ACTION_HELP, ACTION_VERSION, ACTION_DONE };
enum options_stats { STATS_NONE, STATS_TEXT, STATS_JSON };
enum options_rtc { RTC_UTC, RTC_LOCALTIME, RTC_DATE };

/* Texts point into argv (some perhaps into the struct: do not copy it) and are not freed. NULL: not given. */
struct options {
    enum options_action action;
    uint64_t memory; /* bytes */
    const char *kernel, *initrd, *append;
    enum kernel_entry kernel_entry;
    const char *bios;
    struct loader_options loader[LOADER_MAX];
    unsigned loader_count;
    const char *cpu;      /* cpu_model_parse reads it */
    const char *accel;    /* engine_parse reads it: "bt,chain=off" */
    char accel_word[256]; /* accel points here when it came from -machine accel= */
    const char *machine;
    const char *serial[OPTIONS_SERIALS];
    unsigned serial_count;
    const char *debugcon, *monitor;
    const char *name, *pidfile;
    bool nographic, nodefaults, no_reboot, paused;
    struct {
        bool present;
        uint16_t iobase, iosize;
    } debug_exit;
    enum options_rtc rtc;
    time_t rtc_date; /* RTC_DATE: what the guest's clock says at the start, as UTC */
    enum options_stats stats;
    bool maps;
    struct log_options log;
    struct tracer_options trace;
    char symbols_word[4096]; /* trace.symbols points here */
};

/* Errors: -EINVAL, with the whole text of the message. */
int options_parse(struct options *options, int argc, char **argv, struct error *error);
void options_print_help(FILE *to);

/* The readers of single values, in values.c. */
int options_set_memory(struct options *options, const char *value, struct error *error);
int options_set_smp(struct options *options, const char *value, struct error *error);
int options_set_machine(struct options *options, const char *value, struct error *error);
int options_set_device(struct options *options, const char *value, struct error *error);
int options_set_symbols(struct options *options, const char *value, struct error *error);
int options_set_rtc(struct options *options, const char *value, struct error *error);

#endif
