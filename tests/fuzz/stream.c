/*
 * stream.c - fuzz-stream: hostile instruction streams in the interpreter, the translator and on the host.
 *
 * Usage: fuzz-stream [STREAMS [SEED [FIRST [OPTIONS-OF-BT [CPU-MODEL]]]]]
 * The interpreter goes first and is followed (stream_judge.c). What the host may run, it runs: then both engines
 * must end as the host did. The rest, and all with a CPU model that is not the host's, the translator must do as
 * the interpreter did. Compared are registers, memory and the code area, into which streams write. A crash or a
 * stream that never ends names its seed and index.
 */
#include "tests/fuzz/stream.h"

#include "translator/translator.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_FAILURES 400u
#define PATIENCE 20     /* seconds of CPU time for one stream */
#define STOP_AFTER 2000 /* microseconds that a stream without a defined result gets */

struct run {
    uint64_t seed, streams, first;
    const char *cpu, *options; /* of the engines; cpu NULL: the host's */
    struct insn_generator *generator;
    struct insn_engine *engine[2];
    struct insn_case *c;
    struct judge judge;
    uint64_t native, compared, endless, failures;
};

struct insn_layout insn_layout = {INSN_DATA_HIGH, INSN_CODE_HIGH};
static const uint64_t *current;
static struct insn_engine *to_stop; /* by the next alarm */
static unsigned alarms;

/* Alarms ask a stream that may be without an end to stop, again and again, as one may come before it runs. */
static void set_alarm(struct insn_engine *stop)
{
    struct itimerval t = {{0, STOP_AFTER}, {0, STOP_AFTER}};

    setitimer(ITIMER_PROF, &(struct itimerval){0},
              NULL); /* one more of the old ones would be taken for a new one */
    to_stop = stop;
    alarms = 0;
    if (!stop)
        t.it_interval.tv_sec = t.it_value.tv_sec = PATIENCE;
    setitimer(ITIMER_PROF, &t, NULL);
}

static void on_alarm(int number)
{
    char text[64] = "fuzz-stream: no end of stream ";
    uint64_t n = *current, ten = 1;
    size_t at = strlen(text);

    if (to_stop && alarms++ < PATIENCE * 1000000 / STOP_AFTER) {
        insn_engine_stop(to_stop);
        return;
    }
    while (n / ten >= 10)
        ten *= 10;
    for (; ten; ten /= 10)
        text[at++] = (char)('0' + n / ten % 10);
    text[at++] = '\n';
    _exit(write(2, text, at) < 0 ? 2 : 1);
}

static void place(struct run *r, enum insn_engine_kind kind)
{
    struct insn_engine *e = r->engine[kind];

    insn_engine_begin(e, insn_const_page(r->generator));
    insn_engine_clear_code(e);
    insn_engine_place(e, r->c);
    insn_engine_placed(e);
}

/* Runs the stream in an engine; its code area is left as it is then. */
static void run_engine(struct run *r, enum insn_engine_kind kind, struct insn_state *out, uint8_t **data)
{
    place(r, kind);
    insn_engine_run(r->engine[kind], r->c, insn_image(r->generator, r->c->image), out, data);
    insn_engine_end(r->engine[kind]);
}

static void run_native(struct run *r, uint8_t *code)
{
    insn_native_begin();
    insn_native_clear_code();
    insn_native_place(r->c);
    insn_native_run(r->c, insn_image(r->generator, r->c->image));
    memcpy(code, (const void *)INSN_CODE, INSN_CODE_SIZE);
    insn_native_end();
}

static void check(struct run *r, enum insn_engine_kind kind, const struct insn_state *got, const uint8_t *data,
                  const uint8_t *expected_code, const char *oracle)
{
    unsigned want = r->c->expected.vector;
    bool code_differs = memcmp(insn_engine_code(r->engine[kind]), expected_code, INSN_CODE_SIZE) != 0;

    if (want != got->vector && judge_either(&r->judge, want, got->vector))
        return;
    if (r->c->partial && want != INSN_NO_FAULT)
        code_differs = false;
    if (!insn_compare(r->c, got, data, NULL) && !code_differs)
        return;
    if (r->failures++ >= MAX_FAILURES)
        return;
    printf("FAIL %s against %s, after %u steps%s: ", insn_engine_name(kind), oracle, r->judge.steps,
           code_differs ? ", code differs" : "");
    insn_report(r->c, got, data, stdout);
    printf("replay: fuzz-stream 1 %" PRIu64 " %" PRIu64 "\n\n", r->seed, r->c->index);
}

static void run_stream(struct run *r, uint64_t index)
{
    static uint8_t code[INSN_CODE_SIZE];
    static struct insn_state interp, bt;
    const char *oracle = "the interpreter";
    uint8_t *data, *bt_data;

    set_alarm(NULL);
    stream_make(r->generator, r->c, r->seed, index);
    judge_start(&r->judge, insn_generator_table(r->generator), r->c, insn_engine_code(r->engine[INSN_INTERP]));
    run_engine(r, INSN_INTERP, &interp, &data);
    if (r->cpu)
        r->judge.native = false;
    if (interp.hung)
        r->judge.comparable = r->judge.native = false;
    else
        judge_end(&r->judge, &interp);
    if (r->judge.native) {
        oracle = "the host";
        r->native++;
        run_native(r, code);
        if (r->judge.comparable)
            check(r, INSN_INTERP, &interp, data, code, oracle);
    } else {
        r->c->expected = interp;
        memcpy(r->c->expected_data, data, INSN_DATA_SIZE);
        memcpy(code, insn_engine_code(r->engine[INSN_INTERP]), INSN_CODE_SIZE);
    }
    if (!r->judge.comparable)
        set_alarm(r->engine[INSN_BT]);
    run_engine(r, INSN_BT, &bt, &bt_data);
    r->endless += bt.hung;
    if (!r->judge.comparable)
        return;
    r->compared++;
    check(r, INSN_BT, &bt, bt_data, code, oracle);
}

static bool usable(struct insn_case *c)
{
    static uint8_t image[INSN_DATA_SIZE];

    insn_native_place(c);
    insn_native_run(c, image);
    return c->expected.vector != 6;
}

static bool prepare(struct run *r)
{
    if (insn_native_open() < 0) {
        fprintf(stderr, "fuzz-stream: the low addresses that the test needs are taken\n");
        return false;
    }
    r->generator = insn_generator_create(r->seed, NULL, INSN_64, INSN_LONG);
    r->c = aligned_alloc(64, sizeof *r->c);
    if (!r->generator || !r->c)
        return false;
    insn_native_set_const(insn_const_page(r->generator));
    insn_native_begin();
    insn_generator_probe(r->generator, usable);
    insn_native_end();
    r->engine[INSN_INTERP] = insn_engine_open(INSN_INTERP, INSN_LONG, r->cpu, NULL);
    r->engine[INSN_BT] = insn_engine_open(INSN_BT, INSN_LONG, r->cpu, r->options);
    if (!r->engine[INSN_INTERP] || !r->engine[INSN_BT])
        return false;
    insn_engine_watch(r->engine[INSN_INTERP], judge_watch, &r->judge);
    return true;
}

int main(int argc, char **argv)
{
    static struct run r = {.seed = 1, .streams = 20000};
    struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART};
    uint64_t i;

    if (argc > 1)
        r.streams = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        r.seed = strtoull(argv[2], NULL, 0);
    if (argc > 3)
        r.first = strtoull(argv[3], NULL, 0);
    if (argc > 4 && *argv[4])
        r.options = argv[4];
    if (argc > 5)
        r.cpu = argv[5];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!prepare(&r))
        return 1;
    current = &i;
    sigaddset(&alarm.sa_mask, TRANSLATOR_SIGNAL);
    sigaction(SIGPROF, &alarm, NULL);
    for (i = r.first; i < r.first + r.streams; i++)
        run_stream(&r, i);
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    printf("%" PRIu64 " streams, seed %" PRIu64 ": %" PRIu64 " on the host, %" PRIu64 " compared, %" PRIu64
           " without an end; failures: %" PRIu64 "\n",
           r.streams, r.seed, r.native, r.compared, r.endless, r.failures);
    insn_engine_close(r.engine[INSN_INTERP]);
    insn_engine_close(r.engine[INSN_BT]);
    insn_generator_destroy(r.generator);
    free(r.c);
    return r.failures ? 1 : 0;
}
