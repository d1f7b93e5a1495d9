/*
 * main.c - insn-test: runs random instructions on the host and in the engines, and compares.
 *
 * Usage: insn-test [--cases N] [--first N] [--seed S] [--engine interp|bt|both|none] [--only MNEMONIC|CLASS]
 *                  [--steps N] [--options BT-OPTIONS] [--failures N] [--mode 64|32|16] [--machine
 * long|protected|v86]
 *                  [--verbose] [--kicks]
 * Classes: general, x87, sse, vex, evex, control; loop (with --steps). --kicks: translated code is stopped again
 * and again meanwhile. A failure prints the command that runs it again alone.
 */
#include "tests/insn/insn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
    uint64_t seed, cases, first;
    unsigned steps, max_failures, failures;
    const char *only, *options;
    bool use[2], verbose, kicks;
    enum insn_mode mode;
    enum insn_machine machine;
    struct insn_engine *engine[2];
    struct insn_generator *generator;
    struct insn_case *batch;
    uint64_t faults, failed_by_engine[2];
};

static const char *const mode_name[] = {"64", "32", "16"}, *const machine_name[] = {"long", "protected", "v86"};
struct insn_layout insn_layout = {INSN_DATA_HIGH, INSN_CODE_HIGH};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void replay_hint(const struct run *r, const struct insn_case *c, enum insn_engine_kind kind)
{
    printf("replay: insn-test --engine %s --mode %s --machine %s --seed %" PRIu64 " --first %" PRIu64
           " --cases 1%s%s --steps %u\n\n",
           insn_engine_name(kind), mode_name[r->mode], machine_name[r->machine], r->seed, c->index,
           r->only ? " --only " : "", r->only ? r->only : "", r->steps);
}

static void check_case(struct run *r, const struct insn_case *c, enum insn_engine_kind kind)
{
    static struct insn_state got;
    uint8_t *data;

    insn_engine_run(r->engine[kind], c, insn_image(r->generator, c->image), &got, &data);
    if (!insn_compare(c, &got, data, NULL))
        return;
    r->failed_by_engine[kind]++;
    if (r->failures++ >= r->max_failures)
        return;
    printf("FAIL %s ", insn_engine_name(kind));
    insn_report(c, &got, data, stdout);
    replay_hint(r, c, kind);
}

static void run_engine(struct run *r, enum insn_engine_kind kind, unsigned count)
{
    unsigned i;

    insn_engine_begin(r->engine[kind], insn_const_page(r->generator));
    for (i = 0; i < count; i++)
        insn_engine_place(r->engine[kind], &r->batch[i]);
    insn_engine_placed(r->engine[kind]);
    for (i = 0; i < count; i++)
        check_case(r, &r->batch[i], kind);
    insn_engine_end(r->engine[kind]);
}

static void run_batch(struct run *r, uint64_t index, unsigned count)
{
    unsigned i;

    insn_native_begin();
    for (i = 0; i < count; i++) {
        insn_generate(r->generator, &r->batch[i], index + i, r->steps);
        insn_native_place(&r->batch[i]);
    }
    for (i = 0; i < count; i++) {
        struct insn_case *c = &r->batch[i];

        if (r->verbose) {
            insn_report(c, &c->in, insn_image(r->generator, c->image), stdout);
            fflush(stdout);
        }
        insn_native_run(c, insn_image(r->generator, c->image));
        r->faults += c->expected.vector != INSN_NO_FAULT;
    }
    insn_native_end();
    for (i = 0; i < 2; i++)
        if (r->engine[i])
            run_engine(r, (enum insn_engine_kind)i, count);
}

static bool usable(struct insn_case *c)
{
    static uint8_t image[INSN_DATA_SIZE];

    insn_native_place(c);
    insn_native_run(c, image);
    return c->expected.vector != 6;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 0);

    if (*end || !*text) {
        fprintf(stderr, "insn-test: '%s' is not a number\n", text);
        exit(2);
    }
    return n;
}

static void choose_engine(struct run *r, const char *text)
{
    r->use[INSN_INTERP] = strcmp(text, "interp") == 0 || strcmp(text, "both") == 0;
    r->use[INSN_BT] = strcmp(text, "bt") == 0 || strcmp(text, "both") == 0;
}

static unsigned choose(const char *option, const char *const names[3], const char *text)
{
    unsigned i;

    for (i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    fprintf(stderr, "insn-test: %s '%s' is none of %s, %s, %s\n", option, text, names[0], names[1], names[2]);
    exit(2);
}

static void parse(struct run *r, int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(name, "--verbose") == 0) {
            r->verbose = true;
            continue;
        }
        if (strcmp(name, "--kicks") == 0) {
            r->kicks = true;
            continue;
        }
        i++;
        if (strcmp(name, "--cases") == 0)
            r->cases = number(value);
        else if (strcmp(name, "--first") == 0)
            r->first = number(value);
        else if (strcmp(name, "--seed") == 0)
            r->seed = number(value);
        else if (strcmp(name, "--steps") == 0)
            r->steps = (unsigned)number(value);
        else if (strcmp(name, "--failures") == 0)
            r->max_failures = (unsigned)number(value);
        else if (strcmp(name, "--only") == 0)
            r->only = value;
        else if (strcmp(name, "--options") == 0)
            r->options = value;
        else if (strcmp(name, "--engine") == 0)
            choose_engine(r, value);
        else if (strcmp(name, "--machine") == 0)
            r->machine = (enum insn_machine)choose(name, machine_name, value);
        else if (strcmp(name, "--mode") == 0)
            r->mode = (enum insn_mode)choose(name, mode_name, value);
        else {
            fprintf(stderr, "insn-test: unknown option '%s'; see the top of tests/insn/main.c\n", name);
            exit(2);
        }
    }
    if ((r->mode == INSN_64 && r->machine != INSN_LONG) || (r->mode != INSN_16 && r->machine == INSN_V86)) {
        fprintf(stderr, "insn-test: --mode %s does not run with --machine %s\n", mode_name[r->mode],
                machine_name[r->machine]);
        exit(2);
    }
    if (r->machine == INSN_V86)
        insn_layout = (struct insn_layout){INSN_DATA_LOW, INSN_CODE_LOW};
    if (!r->steps || r->steps > INSN_MAX_STEPS) {
        fprintf(stderr, "insn-test: --steps %u is not between 1 and %u\n", r->steps, INSN_MAX_STEPS);
        exit(2);
    }
}

static int prepare(struct run *r)
{
    unsigned before;

    if (insn_native_open() < 0) {
        fprintf(stderr, "insn-test: the low addresses that the test needs are taken\n");
        return -1;
    }
    r->generator = insn_generator_create(r->seed, r->only, r->mode, r->machine);
    r->batch = aligned_alloc(64, INSN_BATCH * sizeof *r->batch);
    if (!r->generator || !r->batch)
        return -1;
    before = insn_generator_forms(r->generator);
    insn_native_set_const(insn_const_page(r->generator));
    insn_native_begin();
    insn_generator_probe(r->generator, usable);
    insn_native_end();
    printf("forms: %u decoded, %u on this host\n", before, insn_generator_forms(r->generator));
    for (unsigned i = 0; i < 2; i++) {
        if (!r->use[i])
            continue;
        r->engine[i] = insn_engine_open((enum insn_engine_kind)i, r->machine, NULL, r->options);
        if (!r->engine[i])
            return -1;
        if (r->kicks && i == INSN_BT)
            insn_engine_kick(r->engine[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct run r = {.seed = 1, .cases = 1000000, .steps = 1, .max_failures = 10, .use = {true, true}};
    double start = now();
    uint64_t i;

    setvbuf(stdout, NULL, _IOLBF, 0);
    parse(&r, argc, argv);
    if (prepare(&r) < 0)
        return 1;
    for (i = r.first; i < r.first + r.cases;) {
        uint64_t left = r.first + r.cases - i;
        unsigned count = (unsigned)(left < INSN_BATCH ? left : INSN_BATCH);

        if (count > INSN_BATCH - i % INSN_BATCH) /* a slot a case */
            count = (unsigned)(INSN_BATCH - i % INSN_BATCH);
        run_batch(&r, i, count);
        i += count;
    }
    printf("%" PRIu64 " cases, seed %" PRIu64 ", %" PRIu64
           " ended with an exception, %.1f s; failures: interp %" PRIu64 ", bt %" PRIu64 "\n",
           r.cases, r.seed, r.faults, now() - start, r.failed_by_engine[INSN_INTERP], r.failed_by_engine[INSN_BT]);
    for (i = 0; i < 2; i++)
        if (r.engine[i])
            insn_engine_close(r.engine[i]);
    insn_generator_destroy(r.generator);
    free(r.batch);
    return r.failures ? 1 : 0;
}
