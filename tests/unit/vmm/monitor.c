/*
 * monitor.c - tests of the monitor's commands on a machine in this process, in both engines, and of completion.
 *
 * The guest counts: what its registers hold at each of its instructions is known.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vmm/files.h"
#include "tests/unit/vmm/images.h"
#include "vmm/machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/names.h"
#include "vmm/signals.h"

#define CODE_AT (1536 + 0x200) /* in the image: the 64-bit entry, 0x1000200 */

/* 1000200: inc rax; 1000203: lea rbx, [rax+rax]; 1000207: mov [0x2000], rax; 100020f: mov ecx, 3;
   1000214: mov edi, 0x3000; 1000219: rep stosb; 100021b: nop; 100021c: jmp 1000200 */
static const uint8_t code[] = "\x48\xff\xc0"
                              "\x48\x8d\x1c\x00"
                              "\x48\x89\x04\x25\x00\x20\x00\x00"
                              "\xb9\x03\x00\x00\x00"
                              "\xbf\x00\x30\x00\x00"
                              "\xf3\xaa"
                              "\x90"
                              "\xeb\xe2";

struct run {
    struct options options;
    struct machine *machine;
    struct error error;
    pthread_t thread;
    const char *kernel;
    int status;
};

static void *run_machine(void *opaque)
{
    struct run *r = opaque;

    r->status = machine_run(r->machine, &r->error);
    return NULL;
}

static void start(struct run *r, const char *engine)
{
    uint8_t image[IMAGE_BZIMAGE_SIZE];

    image_make_bzimage(image);
    memcpy(image + CODE_AT, code, sizeof code - 1);
    r->kernel = files_make(image, sizeof image);
    r->options = (struct options){.memory = 20 << 20,
                                  .kernel = r->kernel,
                                  .cpu = "max",
                                  .accel = engine,
                                  .machine = "pc",
                                  .nodefaults = true,
                                  .paused = true};
    signals_install();
    cr_assert_eq(machine_create(&r->machine, &r->options, &r->error), 0, "%s", r->error.text);
    cr_assert_eq(pthread_create(&r->thread, NULL, run_machine, r), 0);
}

static void finish(struct run *r)
{
    machine_stop(r->machine, 0, "the end of a test");
    pthread_join(r->thread, NULL);
    cr_assert_eq(r->status, 0, "%s", r->error.text);
    machine_destroy(r->machine);
    unlink(r->kernel);
}

/* What a line answers. */
static const char *answer(struct run *r, const char *line)
{
    static char text[1 << 20];
    FILE *to = fmemopen(text, sizeof text, "w");

    text[0] = '\0';
    monitor_run_line(r->machine, line, to);
    fclose(to);
    return text;
}

static void expect(struct run *r, const char *line, const char *words)
{
    const char *text = answer(r, line);

    cr_assert_not_null(strstr(text, words), "%s -accel: '%s' answers '%s', not '%s'", r->options.accel, line, text,
                       words);
}

static void expect_exactly(struct run *r, const char *line, const char *words)
{
    const char *text = answer(r, line);

    cr_assert_str_eq(text, words, "-accel %s: '%s' answers '%s'", r->options.accel, line, text);
}

static void wait_until_paused(struct run *r)
{
    for (unsigned i = 0; i < 5000; i++) {
        if (strstr(answer(r, "info status"), "paused"))
            return;
        usleep(1000);
    }
    cr_assert(false, "-accel %s: no breakpoint was hit", r->options.accel);
}

static const char *const engines[] = {"interp", "bt", "bt,single=on"};
#define ENGINES (sizeof engines / sizeof engines[0])

static void try_steps(struct run *r)
{
    expect_exactly(r, "info status", "VM status: paused\n");
    expect_exactly(r, "p $rip", "0x1000200\n");
    expect_exactly(r, "print $rax", "0\n");
    expect(r, "step", "lea rbx, [rax + rax]");
    expect_exactly(r, "p/d $rax", "1\n");
    expect_exactly(r, "p $rip", "0x1000203\n");
    expect(r, "s 2", "100020f");
    expect_exactly(r, "p $rbx", "0x2\n");
    expect_exactly(r, "xp/2xg 0x2000", "0000000000002000: 0x0000000000000001 0x0000000000000000\n");
    expect_exactly(r, "x/dw 0x2000", "0000000000002000:           1\n");
    expect_exactly(r, "x/4xb 0x1000200", "0000000001000200: 0x48 0xff 0xc0 0x48\n");
    expect(r, "x/3i $rip", "rep stosb byte ptr [rdi], al");
    expect(r, "disassemble 0x1000200 3", "mov qword ptr [0x2000], rax");
}

static void try_breakpoints(struct run *r)
{
    unsigned long long before, after;

    expect_exactly(r, "break 0x1000203", "Breakpoint 1 at 0x1000203\n");
    expect(r, "break 0x1000203", "breakpoint 1 is at 0x1000203 already");
    expect_exactly(r, "cont", "");
    wait_until_paused(r);
    expect_exactly(r, "p $rip", "0x1000203\n");
    before = strtoull(answer(r, "p $rax"), NULL, 0);
    for (unsigned i = 0; i < 5; i++) { /* once a round */
        expect_exactly(r, "c", "");
        wait_until_paused(r);
    }
    after = strtoull(answer(r, "p $rax"), NULL, 0);
    cr_assert_eq(after, before + 5, "-accel %s: %llu to %llu", r->options.accel, before, after);
    expect(r, "info breakpoints", "0x0000000001000203 6");
    expect_exactly(r, "b 0x100021b", "Breakpoint 2 at 0x100021b\n"); /* behind the REP STOSB */
    expect_exactly(r, "delete 1", "");
    expect_exactly(r, "b $rip-3+0x19", "Breakpoint 3 at 0x1000219\n"); /* at it: counts once a round */
    for (unsigned i = 0; i < 4; i++) {
        expect_exactly(r, "c", "");
        wait_until_paused(r);
        expect_exactly(r, "p $rip", i % 2 ? "0x100021b\n" : "0x1000219\n");
        expect_exactly(r, "p $rcx", i % 2 ? "0\n" : "0x3\n");
    }
    expect_exactly(r, "delete 2", "");
    expect_exactly(r, "delete 3", "");
    expect_exactly(r, "delete 3", "no breakpoint 3; 'info breakpoints' lists them\n");
    expect_exactly(r, "info breakpoints", "No breakpoints\n");
    expect_exactly(r, "c", "");
    expect_exactly(r, "info status", "VM status: running\n");
    expect_exactly(r, "stop", "");
    expect_exactly(r, "info status", "VM status: paused\n");
}

Test(monitor, steps_and_breakpoints, .timeout = 60)
{
    for (unsigned i = 0; i < ENGINES; i++) {
        struct run r;

        start(&r, engines[i]);
        try_steps(&r);
        try_breakpoints(&r);
        finish(&r);
    }
}

static uint64_t value_of(const char *name, const char *text)
{
    return strtoull(strstr(text, name) + strlen(name), NULL, 16);
}

/* While the guest runs: what is shown is one moment. */
Test(monitor, one_state, .timeout = 60)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t last = 0;
        struct run r;

        start(&r, engines[i]);
        expect_exactly(&r, "cont", "");
        for (unsigned k = 0; k < 200 || (last == 0 && k < 20000); k++) {
            const char *text = answer(&r, "info registers");
            uint64_t rax = value_of("RAX=", text);

            cr_assert_eq(value_of("RBX=", text), value_of("RIP=", text) == 0x1000203 ? 2 * rax - 2 : 2 * rax, "%s",
                         text);
            cr_assert_geq(rax, last);
            last = rax;
            usleep(200); /* for the guest */
        }
        cr_assert_gt(last, 0u);
        finish(&r);
    }
}

Test(monitor, shows, .timeout = 60)
{
    static const struct {
        const char *line, *words;
    } vectors[] = {
        {"help", "system_powerdown"},
        {"?", "info SUBJECT"},
        {"help x", "x/[COUNT][xduocis][bhwg]"},
        {"help info", "info blocks"},
        {"info version", NOVT_VERSION},
        {"info registers", "CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]"},
        {"info registers -v", "YMM15="},
        {"info mem", "0000000000000000-0000000100000000 0000000100000000 -rwx"},
        {"info tlb 0x40000000", "0000000040000000: 0000000040000000 --P"},
        {"info irq", "pic1: irr=00"},
        {"info pic", "pin 23"},
        {"info lapic", "LVT0"},
        {"info stats", "guest_ram_kib                20480"},
        {"info status", "VM status: paused"},
        {"p/c 0x41", "'A'"},
        {"p/o 8", "010"},
        {"p/u -1", "18446744073709551615"},
        {"x/s 0x1000200", "\"H\\xff\\xc0H\\x8d\\x1c\""},
        {"   ", ""},
        {"", ""},
    };
    struct run r;

    start(&r, "bt");
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        expect(&r, vectors[i].line, vectors[i].words);
    expect(&r, "c", "");
    usleep(50000);
    expect(&r, "info blocks", "0000000001000200 0000000001000200   64   0");
    expect(&r, "info blocks 1", "samples");
    expect(&r, "info blocks 0x1000000 0x1001000", "0000000001000200");
    expect(&r, "info blocks 0x2000 0x3000", "0 blocks");
    expect(&r, "explain 0x1000203", "lea rbx, [rax + rax]");
    expect(&r, "explain 0x8000000000000000", "0x8000000000000000");
    finish(&r);
}

Test(monitor, mistakes, .timeout = 60)
{
    static const struct {
        const char *line, *words;
    } vectors[] = {
        {"inof", "unknown command: 'inof'; did you mean info; 'help' lists them"},
        {"\x01\xff\x7f", "unknown command: '?"
                         "?"
                         "?'"},
        {"info", "the subject is missing"},
        {"info regs", "unknown subject: 'regs'"},
        {"info registers -x", "-v"},
        {"info registers -v -v", "too many"},
        {"info version 5", "too many"},
        {"info tlb foo", "neither a number nor a register"},
        {"x", "at the end"},
        {"x/q 0", "unknown format"},
        {"x/0x 0", "out of range"},
        {"x/x 0 0", "too many"},
        {"x 0xffff800000000000", "Cannot access memory at address 0xffff800000000000"},
        {"x 0x8000000000000000", "Cannot access memory at address 0x8000000000000000"},
        {"xp 0xd0000000", "Cannot access memory at address 0xd0000000"},
        {"xp/4xg 0x13ffff0", "Cannot access memory at address 0x1400000"},
        {"x/i 0xffff800000000000", "Cannot access memory at address 0xffff800000000000"},
        {"x/s 0xffff800000000000", "Cannot access memory at address 0xffff800000000000"},
        {"disassemble 0 0", "out of range"},
        {"disassemble 0 1 2", "too many"},
        {"p", "at the end"},
        {"p $rpi", "did you mean $r"},
        {"p/s 1", "print shows one value"},
        {"p/2x 1", "print shows one value"},
        {"stop now", "too many"},
        {"stop/x", "takes no format"},
        {"step 0", "out of range"},
        {"step 1000001", "out of range"},
        {"break", "at the end"},
        {"delete", "at the end"},
        {"delete 7", "no breakpoint 7"},
        {"delete 0x100000001", "no breakpoint 4294967297"},
        {"help foo", "unknown command: 'foo'"},
        {"info blocks", "-accel interp has no translated blocks"},
        {"explain", "-accel interp translates nothing"},
        {"explain 1 2", "too many"},
        {"break start_kernel", "'start_kernel' is neither a number nor a register;"},
        {"quit now", "too many"},
    };
    struct run r;

    start(&r, "interp");
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *text = answer(&r, vectors[i].line);

        cr_assert_not_null(strstr(text, vectors[i].words), "'%s' answers '%s'", vectors[i].line, text);
        cr_assert_eq(text[strlen(text) - 1], '\n');
    }
    expect(&r, "info status", "paused");
    finish(&r);
}

Test(monitor, too_many_breakpoints, .timeout = 60)
{
    char line[32];
    struct run r;

    start(&r, "bt");
    for (unsigned i = 0; i < DEBUG_BREAKPOINTS; i++) {
        snprintf(line, sizeof line, "break 0x%x", 0x3000 + i);
        expect(&r, line, "Breakpoint");
    }
    expect(&r, "break 0x9000", "there can be no more");
    finish(&r);
}

/* Tables that hold themselves map everything, over and over: time and text stay within bounds. */
Test(monitor, endless_page_tables, .timeout = 60)
{
    struct run r;
    uint64_t cr3;

    start(&r, "interp");
    cr3 = strtoull(answer(&r, "p $cr3"), NULL, 0);
    for (unsigned i = 0; i < 512; i++) {
        uint64_t entry = cr3 | 7;

        cr_assert(ram_copy_to(&r.machine->ram, cr3 + 8 * i, &entry, sizeof entry));
    }
    expect(&r, "info tlb", "(there is more: info tlb 0x");
    expect(&r, "info mem", "(there is more: info mem 0x");
    finish(&r);
}

Test(monitor, reset_and_quit, .timeout = 60)
{
    struct run r;

    start(&r, "bt");
    expect_exactly(&r, "system_powerdown", "");
    expect(&r, "step 5", "");
    expect_exactly(&r, "system_reset", "");
    expect_exactly(&r, "p $rip", "0x1000200\n"); /* and still paused */
    expect_exactly(&r, "quit", "");
    pthread_join(r.thread, NULL);
    cr_assert_eq(r.status, 0);
    expect(&r, "info status", "the machine has ended");
    machine_destroy(r.machine);
    unlink(r.kernel);
}

/* --- completion --- */

static void complete(const char *line, size_t typed, const char *words)
{
    char got[1024] = "";
    struct completions c;

    monitor_complete(line, strlen(line), &c);
    for (unsigned i = 0; i < c.count && i < COMPLETIONS_MAX; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", c.word[i]);
    cr_assert_str_eq(got, words, "'%s': %s", line, got);
    if (c.count)
        cr_assert_eq(c.typed, typed, "'%s'", line);
}

Test(completion, words)
{
    complete("s", 1, "stop step system_reset system_powerdown");
    complete("sto", 3, "stop");
    complete("  dis", 3, "disassemble");
    complete("zz", 2, "");
    complete("info st", 2, "stats status");
    complete("info tl", 2, "tlb");
    complete("help xp", 2, "xp");
    complete("p $ri", 2, "rip");
    complete("x/10i $rsp+$rb", 2, "rbx rbp");
    complete("break (~$ri", 2, "rip");
    complete("stop $ri", 2, "");
    complete("p r", 1, "");
}
