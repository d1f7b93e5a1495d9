/*
 * trace.c - tests of what logs are made of: the ring, address ranges, file names, facts in words, perf's map.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/vmm/files.h"
#include "vmm/trace/ring.h"
#include "vmm/trace/tracer.h"

static struct error error;

/* What there is in a file, as text; good until the next call. */
static const char *contents(int fd)
{
    static char text[4096];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static const char *dumped(struct ring *ring)
{
    int fd = memfd_create("ring", 0);
    const char *text;

    ring_dump(ring, fd);
    text = contents(fd);
    close(fd);
    return text;
}

static void add(struct ring *ring, const char *text)
{
    ring_write(ring, text, strlen(text));
}

Test(trace, ring_keeps_the_last_whole_lines)
{
    struct ring *ring = ring_create(16);

    cr_assert_str_eq(dumped(ring), "");
    add(ring, "one\ntwo\n");
    cr_assert_str_eq(dumped(ring), "one\ntwo\n");
    cr_assert_str_eq(dumped(ring), "", "it is empty then");
    add(ring, "one\ntwo\nthree\nfour\n"); /* 19 bytes: the start of the first is gone */
    cr_assert_str_eq(dumped(ring), "two\nthree\nfour\n");
    for (int i = 0; i < 100; i++)
        add(ring, "abc\nde\n");
    cr_assert_str_eq(dumped(ring), "abc\nde\nabc\nde\n");
    add(ring, "a line that is much too long\n");
    cr_assert_str_eq(dumped(ring), "");
    ring_destroy(ring);
}

Test(trace, ranges)
{
    struct ranges r = {0};

    cr_assert(ranges_hold(&r, 0x1234), "without ranges: all");
    cr_assert_eq(ranges_parse(&r, "0x8000..0x8fff,0xffffffffc0080000+0x200,0x60000-0x1000,1+1", &error), 0);
    cr_assert_eq(r.count, 4u);
    static const struct {
        gva_t at;
        bool in;
    } cases[] = {{0x7fff, false},
                 {0x8000, true},
                 {0x8fff, true},
                 {0x9000, false},
                 {0xffffffffc0080000, true},
                 {0xffffffffc00801ff, true},
                 {0xffffffffc0080200, false},
                 {0x5f000, false},
                 {0x5f001, true},
                 {0x60000, true},
                 {0x60001, false},
                 {1, true},
                 {2, false}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_eq(ranges_hold(&r, cases[i].at), cases[i].in, "0x%llx", (unsigned long long)cases[i].at);
}

Test(trace, bad_ranges)
{
    static const char *const bad[] = {
        "",      "1",      "1..", "..1", "1.2",      "x+1",  "1+x", "1+0",
        "1-0",   "2..1",   "1-3", ",",   "1+1,,2+1", "1+-1", "1*2", "0xffffffffffffffff+2",
        "1+1+1", "1..2..3"};
    char many[256] = "";

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ranges r = {0};

        cr_assert_eq(ranges_parse(&r, bad[i], &error), -EINVAL, "'%s'", bad[i]);
        cr_assert_not_null(strstr(error.text, "-dfilter "));
    }
    for (unsigned i = 0; i <= RANGES_MAX; i++)
        strcat(many, i ? ",1+1" : "1+1");
    cr_assert_eq(ranges_parse(&(struct ranges){0}, many, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "more than"));
}

Test(trace, number_in_a_log_files_name)
{
    struct log_options options = {.topics = 1, .file = "/tmp/novt-test-%d.log"};
    struct log log = {0};
    char name[64];

    snprintf(name, sizeof name, "/tmp/novt-test-%d.log", (int)getpid());
    cr_assert_eq(log_open(&log, &options, &error), 0, "%s", error.text);
    log_write(&log, "int", "text");
    log_close(&log);
    cr_assert_eq(unlink(name), 0);
}

/* A tracer whose log is `file`, of all topics, with one symbol. */
static struct log_options all;
static struct log test_log;
static struct tracer_options trace_options;
static struct tracer tracer;

static void open_tracer(int *fd)
{
    static const char map[] = "ffffffff81000000 T start\n";
    const char *symbols = files_make(map, sizeof map - 1), *file = files_make("", 0);

    cr_assert_eq(log_parse_topics(&all, "all", &error), 0);
    all.file = file;
    trace_options.symbols = symbols;
    cr_assert_eq(log_open(&test_log, &all, &error), 0, "%s", error.text);
    cr_assert_eq(tracer_open(&tracer, &trace_options, &test_log, NULL, &error), 0, "%s", error.text);
    *fd = fileno(test_log.file);
    /* To be read as well. */
    cr_assert_not_null(freopen(file, "w+", test_log.file));
    setvbuf(test_log.file, NULL, _IOLBF, 0);
    *fd = fileno(test_log.file);
    unlink(symbols);
    unlink(file);
}

static const char *told(const struct vcpu *v, int fd, enum trace_kind kind, uint64_t a, uint64_t b, uint64_t c,
                        uint64_t d)
{
    cr_assert_eq(ftruncate(fd, 0), 0);
    rewind(test_log.file);
    tracer_tell(&tracer, v, kind, (const uint64_t[TRACE_VALUES]){a, b, c, d});
    return contents(fd);
}

Test(trace, facts_in_words)
{
    struct vcpu *v = aligned_alloc(_Alignof(struct vcpu), sizeof *v); /* only RIP is looked at */
    int fd;

    cr_assert_not_null(v);
    v->rip = 0xffffffff81000010;
    open_tracer(&fd);
    cr_assert_str_eq(told(v, fd, TRACE_FILL, MMU_USER, 0x401000, 0x7000, TRACE_RIGHT_READ | TRACE_RIGHT_GLOBAL),
                     "mmu: fill user 0000000000401000 to 0x7000 r--g\n");
    cr_assert_str_eq(told(v, fd, TRACE_FAULT, MMU_SUPERVISOR, 0xffffffff81000004, 3, 0),
                     "mmu: fault supervisor ffffffff81000004 <start+0x4> error 0x3\n");
    cr_assert_str_eq(told(v, fd, TRACE_FLUSH_CR3, 0x1000, 1, 0, 0),
                     "mmu: flush for CR3 0x1000, keeping its PCID's, at ffffffff81000010 <start+0x10>\n");
    cr_assert_str_eq(told(v, fd, TRACE_FLUSH, 0, 0, 0, 0),
                     "mmu: flush all but global pages, at ffffffff81000010 <start+0x10>\n");
    cr_assert_str_eq(told(v, fd, TRACE_DEMOTE, 0x1000, (uintptr_t) "it is tired", 0, 0),
                     "mmu: window taken from CR3 0x1000: it is tired\n");
    cr_assert_str_eq(told(v, fd, TRACE_KERNEL_MAP, 0xc0000000, 0xc0400000, 0x400000, 0),
                     "mmu: kernel window maps 00000000c0000000 to 0xc0400000 at RAM 0x400000\n");
    cr_assert_str_eq(told(v, fd, TRACE_CODE_WRITE, 0x7c01, 4, 2, 1),
                     "smc: store to RAM 0x7c01, bytes 4, blocks dropped 2, none left in the page\n");
    for (int kind = 0; kind < TRACE_KINDS; kind++)
        if (kind != TRACE_DEMOTE) /* every kind has words */
            cr_assert_gt(strlen(told(v, fd, (enum trace_kind)kind, 0, 0, 0, 0)), 10u, "%d", kind);
    tracer_close(&tracer);
    log_close(&test_log);
    free(v);
}

Test(trace, perf_map)
{
    struct perf_map *map;
    char name[64];
    FILE *file;

    snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
    unlink(name);
    cr_assert_eq(symlink("/nonexistent", name), 0);
    cr_assert_lt(perf_map_open(&map, &error), 0, "a link is not followed");
    cr_assert_not_null(strstr(error.text, name));
    unlink(name);
    cr_assert_eq(perf_map_open(&map, &error), 0, "%s", error.text);
    perf_map_add(map, (void *)0x1000, 0x20, "old+0x1");
    perf_map_restart(map);
    perf_map_add(map, (void *)0x1010, 0x8, "new+0x0");
    perf_map_add(map, (void *)0x1018, 0, "nothing");
    perf_map_close(map);
    file = fopen(name, "r");
    cr_assert_not_null(file);
    cr_assert_str_eq(contents(fileno(file)), "1010 8 new+0x0\n");
    fclose(file);
    unlink(name);
}
