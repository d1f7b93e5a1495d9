/*
 * options.c - properties of `-accel bt`.
 *
 * Interface: translator.h. One row a switch, so that each optimisation can be turned off.
 */
#include "translator/translator.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
} switches[] = {
    {"chain", offsetof(struct translator_options, chain)},
    {"group", offsetof(struct translator_options, group)},
    {"jump-cache", offsetof(struct translator_options, jump_cache)},
    {"loop", offsetof(struct translator_options, loop)},
    {"extend", offsetof(struct translator_options, extend)},
    {"borrow", offsetof(struct translator_options, borrow)},
    {"return-stack", offsetof(struct translator_options, return_stack)},
    {"lazy-flags", offsetof(struct translator_options, lazy_flags)},
    {"templates", offsetof(struct translator_options, templates)},
    {"inline-system", offsetof(struct translator_options, inline_system)},
    {"patch", offsetof(struct translator_options, patch)},
    {"pause", offsetof(struct translator_options, pause)},
    {"kernel-window", offsetof(struct translator_options, kernel_window)},
    {"crossing", offsetof(struct translator_options, crossing)},
    {"inline-return", offsetof(struct translator_options, inline_return)},
    {"pc-load", offsetof(struct translator_options, pc_load)},
    {"wide-count", offsetof(struct translator_options, wide_count)},
    {"bases", offsetof(struct translator_options, bases)},
    {"sure-rsp", offsetof(struct translator_options, sure_rsp)},
    {"late-rsp", offsetof(struct translator_options, late_rsp)},
    {"relocate", offsetof(struct translator_options, relocate)},
    {"relocate-check", offsetof(struct translator_options, relocate_check)},
    {"keys", offsetof(struct translator_options, keys)},
    {"segments", offsetof(struct translator_options, segments)},
    {"single", offsetof(struct translator_options, single)},
    {"lockstep", offsetof(struct translator_options, lockstep)},
};
static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
    {"lockstep-limit", offsetof(struct translator_options, lockstep_limit)},
    {"window-pages", offsetof(struct translator_options, window_pages)},
    {"tb-size", offsetof(struct translator_options, tb_size)},
};
static const char *const tiers[] = {[TIER_AUTO] = "auto", [TIER_TLB] = "tlb", [TIER_WINDOW] = "window"};
#define WINDOW_PAGES_LEAST 8u
#define TB_SIZE_LEAST 8u /* MiB */
#define TB_SIZE_MOST 1024u
#define TIERS (sizeof tiers / sizeof *tiers)
#define NUMBERS (sizeof numbers / sizeof *numbers)
#define SWITCHES (sizeof switches / sizeof *switches)

void translator_default_options(struct translator_options *options)
{
    *options = (struct translator_options){.chain = true,
                                           .group = true,
                                           .jump_cache = true,
                                           .loop = true,
                                           .extend = true,
                                           .borrow = true,
                                           .return_stack = true,
                                           .lazy_flags = true,
                                           .templates = true,
                                           .inline_system = true,
                                           .patch = true,
                                           .pause = true,
                                           .kernel_window = true,
                                           .crossing = true,
                                           .inline_return = true,
                                           .pc_load = true,
                                           .wide_count = true,
                                           .bases = true,
                                           .sure_rsp = true,
                                           .late_rsp = true,
                                           .relocate = true,
                                           .keys = true,
                                           .segments = true,
                                           .window_pages = WINDOW_PAGES,
                                           .tb_size = 128};
}

static int unknown(const char *name, struct error *error)
{
    char known[512] = "";

    for (unsigned i = 0; i < SWITCHES + NUMBERS; i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, i < SWITCHES ? switches[i].name : numbers[i - SWITCHES].name,
                sizeof known - strlen(known) - 1);
    }
    return error_set(error, EINVAL, "-accel bt: unknown property '%s'; known are %s, tier", name, known);
}

static int parse_number(uint64_t *number, const char *name, const char *value, struct error *error)
{
    char *end;

    errno = 0;
    *number = strtoull(value, &end, 0);
    if (errno || *end || *value < '0' || *value > '9')
        return error_set(error, EINVAL, "-accel bt: %s=%s: give a number", name, value);
    return 0;
}

static int parse_tier(enum translator_tier *tier, const char *value, struct error *error)
{
    for (unsigned i = 0; i < TIERS; i++)
        if (!strcmp(value, tiers[i])) {
            *tier = (enum translator_tier)i;
            return 0;
        }
    return error_set(error, EINVAL, "-accel bt: tier=%s: give auto, tlb or window", value);
}

static int parse_one(struct translator_options *options, char *text, struct error *error)
{
    char *value = strchr(text, '=');
    bool on;

    if (!value)
        return error_set(error, EINVAL, "-accel bt: property '%s' needs a value, as in %s=off", text, text);
    *value++ = '\0';
    for (unsigned i = 0; i < NUMBERS; i++)
        if (!strcmp(text, numbers[i].name))
            return parse_number((uint64_t *)(void *)((char *)options + numbers[i].offset), text, value, error);
    if (!strcmp(text, "tier"))
        return parse_tier(&options->tier, value, error);
    on = !strcmp(value, "on");
    if (!on && strcmp(value, "off"))
        return error_set(error, EINVAL, "-accel bt: %s=%s: give on or off", text, value);
    for (unsigned i = 0; i < SWITCHES; i++)
        if (!strcmp(text, switches[i].name)) {
            *(bool *)((char *)options + switches[i].offset) = on;
            return 0;
        }
    return unknown(text, error);
}

int translator_parse_options(struct translator_options *options, const char *text, struct error *error)
{
    char *copy = strdup(text), *save = NULL;
    int status = copy ? 0 : error_set(error, ENOMEM, "out of memory");

    for (char *part = copy ? strtok_r(copy, ",", &save) : NULL; part && !status; part = strtok_r(NULL, ",", &save))
        status = parse_one(options, part, error);
    free(copy);
    if (!status && (options->window_pages < WINDOW_PAGES_LEAST || options->window_pages > WINDOW_PAGES))
        status = error_set(error, EINVAL, "-accel bt: window-pages=%llu: give %u to %u",
                           (unsigned long long)options->window_pages, WINDOW_PAGES_LEAST, WINDOW_PAGES);
    if (!status && (options->tb_size < TB_SIZE_LEAST || options->tb_size > TB_SIZE_MOST))
        status = error_set(error, EINVAL, "-accel bt: tb-size=%llu: give %u to %u, in MiB",
                           (unsigned long long)options->tb_size, TB_SIZE_LEAST, TB_SIZE_MOST);
    return status;
}
