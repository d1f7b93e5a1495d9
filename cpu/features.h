/*
 * features.h - the table of CPU features: their CPUID bits, the models that have them, who provides them.
 * Within cpu/.
 */
#ifndef NOVT_CPU_FEATURES_H
#define NOVT_CPU_FEATURES_H

#include <stddef.h>

#include "cpu/cpuid.h"

/* The smallest model that has the feature; each has those above it in this list. */
enum feature_level {
    LEVEL_V1, /* x86-64-v1, and what a kernel wants of any processor */
    LEVEL_V2,
    LEVEL_V3,
    LEVEL_DEFAULT, /* no -cpu */
    LEVEL_MAX,     /* -cpu max */
    LEVEL_OPTION   /* only when asked for by name */
};

enum feature_source {
    NATIVE,       /* executed by the host CPU: needs its feature */
    EMULATED,     /* novt's own doing */
    NOT_SUPPORTED /* never shown */
};

struct feature {
    const char *name;
    uint16_t word; /* offset of the word in struct cpu_model */
    uint8_t bit;
    uint8_t level;  /* enum feature_level */
    uint8_t source; /* enum feature_source */
};

/* `child` does not work without `parent`. */
struct feature_need {
    const char *child, *parent;
};

extern const struct feature features[];
extern const unsigned feature_count;
extern const struct feature_need feature_needs[];
extern const unsigned feature_need_count;

static inline uint32_t *feature_word(struct cpu_model *m, const struct feature *f)
{
    return (uint32_t *)(void *)((char *)m + f->word);
}

/* The feature of that name (with '_' or '.' for '-', too), or NULL. */
const struct feature *feature_find(const char *name, size_t length);

#endif
