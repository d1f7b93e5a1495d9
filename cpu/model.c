/*
 * model.c - reads `-cpu`: a model, then features added and taken away.
 *
 * Interface: cpu_model_parse in cpuid.h. Invariants: what the result shows, the host has or novt emulates; no
 * feature is shown without those it needs (features.c).
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/features.h"
#include "cpu/leaves.h"
#include "cpu/words.h"

static const struct {
    const char *name;
    enum feature_level level;
} models[] = {
    {"x86-64-v1", LEVEL_V1},    {"x86-64-v2", LEVEL_V2}, {"x86-64-v3", LEVEL_V3},
    {"default", LEVEL_DEFAULT}, {"max", LEVEL_MAX},
};
#define MODEL_COUNT (sizeof models / sizeof models[0])

/* What the host's CPU has, in the same words. */
static void read_host(struct cpu_model *host)
{
    uint32_t r[4];

    memset(host, 0, sizeof *host);
    leaves_read_host(1, 0, r);
    host->f1_ecx = r[2];
    host->f1_edx = r[3];
    leaves_read_host(7, 0, r);
    host->f7_ebx = r[1];
    host->f7_ecx = r[2];
    host->f7_edx = r[3];
    if (r[0] >= 1) {
        leaves_read_host(7, 1, r);
        host->f7_1_eax = r[0];
    }
    leaves_read_host(0xd, 1, r);
    host->fd_1_eax = r[0];
    leaves_read_host(0x80000001, 0, r);
    host->f80000001_ecx = r[2];
    host->f80000001_edx = r[3];
    leaves_read_host(0x80000007, 0, r);
    host->f80000007_edx = r[3];
    leaves_read_host(0x80000008, 0, r);
    host->f80000008_ebx = r[1];
}

static bool has(struct cpu_model *m, const struct feature *f)
{
    return *feature_word(m, f) >> f->bit & 1;
}

static bool available(struct cpu_model *host, const struct feature *f)
{
    return f->source == EMULATED || (f->source == NATIVE && has(host, f));
}

static const struct feature *named(const char *name)
{
    return feature_find(name, strlen(name));
}

/* Takes away what lost something it needs. */
static void settle(struct cpu_model *m)
{
    for (unsigned i = 0; i < feature_need_count; i++) {
        const struct feature *child = named(feature_needs[i].child);

        if (!has(m, named(feature_needs[i].parent)))
            *feature_word(m, child) &= ~(1u << child->bit);
    }
}

/* Adds a feature and, by going backwards, what it needs in turn. */
static int add_feature(struct cpu_model *m, struct cpu_model *host, const struct feature *f, struct error *error)
{
    if (f->source == NOT_SUPPORTED)
        return error_set(error, ENOTSUP, "-cpu: novt does not provide the feature '%s'; leave out '+%s'", f->name,
                         f->name);
    if (!available(host, f))
        return error_set(error, ENOTSUP, "-cpu: this host's CPU lacks the feature '%s'; leave out '+%s'", f->name,
                         f->name);
    *feature_word(m, f) |= 1u << f->bit;
    for (unsigned i = feature_need_count; i--;) {
        const struct feature *child = named(feature_needs[i].child), *parent = named(feature_needs[i].parent);

        if (has(m, child) && !has(m, parent)) {
            if (!available(host, parent))
                return error_set(error, ENOTSUP, "-cpu: '%s' needs '%s', which this host's CPU lacks", f->name,
                                 parent->name);
            *feature_word(m, parent) |= 1u << parent->bit;
        }
    }
    return 0;
}

static int unknown_feature(const char *word, size_t length, struct error *error)
{
    char name[32];
    const char *nearest = features[0].name;

    if (length >= sizeof name)
        length = sizeof name - 1;
    memcpy(name, word, length);
    name[length] = 0;
    for (unsigned i = 0; i < feature_count; i++)
        if (words_distance(name, features[i].name) < words_distance(name, nearest))
            nearest = features[i].name;
    return error_set(error, EINVAL, "-cpu: unknown feature '%s'; did you mean '%s'?", name, nearest);
}

/* "+name", "-name", "name=on", "name=off", "name". */
static int apply_option(struct cpu_model *m, struct cpu_model *host, const char *word, size_t length,
                        struct error *error)
{
    const struct feature *f;
    bool off = length && word[0] == '-';

    if (length && (word[0] == '+' || word[0] == '-')) {
        word++;
        length--;
    } else if (length > 4 && !memcmp(word + length - 4, "=off", 4)) {
        off = true;
        length -= 4;
    } else if (length > 3 && !memcmp(word + length - 3, "=on", 3)) {
        length -= 3;
    }
    if (!length)
        return error_set(error, EINVAL, "-cpu: an empty feature name; write +NAME or -NAME between commas");
    f = feature_find(word, length);
    if (!f)
        return unknown_feature(word, length, error);
    if (!off)
        return add_feature(m, host, f, error);
    *feature_word(m, f) &= ~(1u << f->bit);
    settle(m);
    return 0;
}

static int choose_model(struct cpu_model *m, const char *spec, size_t length, enum feature_level *level,
                        struct error *error)
{
    char name[32];
    const char *nearest = models[0].name;

    if (length >= sizeof name)
        length = sizeof name - 1;
    memcpy(name, spec, length);
    name[length] = 0;
    if (!length)
        strcpy(name, "default");
    for (unsigned i = 0; i < MODEL_COUNT; i++) {
        if (!strcmp(name, models[i].name)) {
            *level = models[i].level;
            strcpy(m->name, name);
            return 0;
        }
        if (words_distance(name, models[i].name) < words_distance(name, nearest))
            nearest = models[i].name;
    }
    return error_set(error, EINVAL, "-cpu: unknown model '%s'; did you mean '%s'?", name, nearest);
}

/* Without XSAVE the state of guest and host could not be kept apart. */
static int check_host(struct cpu_model *host, struct error *error)
{
    if (!(host->f1_ecx & bit_OSXSAVE))
        return error_set(error, ENOTSUP, "this host's CPU or kernel lacks XSAVE; novt needs a host that has it");
    if (!(host->f1_ecx & bit_SSE4_2) || !(host->f1_ecx & bit_CMPXCHG16B))
        return error_set(error, ENOTSUP, "this host's CPU lacks SSE4.2 or CMPXCHG16B; novt needs x86-64-v2");
    return 0;
}

int cpu_model_parse(struct cpu_model *model, const char *spec, struct error *error)
{
    struct cpu_model host;
    enum feature_level level = LEVEL_DEFAULT;
    size_t length;
    int result;

    memset(model, 0, sizeof *model);
    read_host(&host);
    result = check_host(&host, error);
    if (result)
        return result;
    spec = spec ? spec : "";
    length = strcspn(spec, ",");
    result = choose_model(model, spec, length, &level, error);
    if (result)
        return result;
    for (unsigned i = 0; i < feature_count; i++)
        if (features[i].level <= level && available(&host, &features[i]))
            *feature_word(model, &features[i]) |= 1u << features[i].bit;
    settle(model);
    while (spec[length]) {
        spec += length + 1;
        length = strcspn(spec, ",");
        result = apply_option(model, &host, spec, length, error);
        if (result)
            return result;
    }
    leaves_build(model);
    return 0;
}

bool cpu_model_has(const struct cpu_model *model, const char *feature)
{
    const struct feature *f = feature_find(feature, strlen(feature));

    return f && *feature_word((struct cpu_model *)(uintptr_t)model, f) >> f->bit & 1;
}
