/*
 * experiments.c - the tables: experiments, and the guests that are part of the program.
 *
 * Interface: experiments.h, lab_guest_find.
 */
#include "lab/experiments.h"

#include <assert.h>
#include <string.h>

const struct lab_experiment *const lab_experiments[LAB_EXPERIMENTS] = {
    &lab_sensitive, &lab_engines, &lab_cache, &lab_shadow, &lab_io, &lab_visible,
};

/* guests.S */
#define IMAGE(name) extern const uint8_t lab_image_##name[], lab_image_##name##_end[]
IMAGE(cache);
IMAGE(engines);
IMAGE(io);
IMAGE(sensitive);
IMAGE(shadow);
IMAGE(visible);

#define ROW(name)                                                                                                 \
    {                                                                                                             \
#name, lab_image_##name, lab_image_##name##_end                                                           \
    }
static const struct lab_guest guests[] = {ROW(cache),     ROW(engines), ROW(io),
                                          ROW(sensitive), ROW(shadow),  ROW(visible)};

const struct lab_guest *lab_guest_find(const char *name)
{
    for (unsigned i = 0; i < sizeof guests / sizeof *guests; i++)
        if (!strcmp(guests[i].name, name))
            return &guests[i];
    assert(!"an experiment names a guest that is not there");
    return NULL;
}
