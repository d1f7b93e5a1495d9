/*
 * trap.c - fuzz-trap: hostile code under trap-and-emulate, as it is, in both widths and at both levels.
 *
 * Usage: fuzz-trap [STREAMS [SEED [FIRST [check]]]]
 * A stream is a page of random bytes among instructions that a guest may hope to get out with. Whatever it does,
 * the engine must come back when it is asked to, without an error; and then its child processes must have nothing
 * mapped but guest RAM and the stub. A failure names its seed and index. With `check`
 * each instruction is compared with the interpreter, and what differs must be in the table.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "cpu/native.h"
#include "tests/unit/cpu/machine.h"
#include "translator/dump.h"
#include "translator/effects.h"
#include "trap/internal.h"

#define SNAPSHOT 0x100000u /* of RAM: all that a stream begins with */
#define PATIENCE_US 3000
#define STREAM_SIZE 3000u

static struct vcpu *to_stop;

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Asks again and again: the first time may come before it runs. */
static void on_alarm(int number)
{
    (void)number;
    atomic_store(&to_stop->exit_request, 1);
    trap_kick(to_stop);
}

/* The interpreter runs SIMD instructions on the host. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (cpu_native_fixup(to_stop, number, context))
        return;
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(SIGALRM, &alarm, NULL);
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigaction(faults[i], &fault, NULL);
}

static void set_alarm(unsigned us)
{
    setitimer(ITIMER_REAL, &(struct itimerval){{0, us}, {0, us}}, NULL);
}

static const struct {
    const char *bytes;
    unsigned size;
} pieces[] = {
#define PIECE(text)                                                                                               \
    {                                                                                                             \
        text, sizeof(text) - 1                                                                                    \
    }
    PIECE("\x0f\x05"),                                         /* syscall */
    PIECE("\xcd\x80"),                                         /* int $0x80 */
    PIECE("\x0f\x34"),                                         /* sysenter */
    PIECE("\xb8\x09\x00\x00\x00\x0f\x05"),                     /* mmap */
    PIECE("\xb8\x3c\x00\x00\x00\x0f\x05"),                     /* exit */
    PIECE("\xb8\x01\x00\x00\x00\xcd\x80"),                     /* exit */
    PIECE("\x68\x00\x03\x00\x00\x9d"),                         /* push $0x300; popf: TF */
    PIECE("\x9c\x9d"),                                         /* pushf; popf */
    PIECE("\x6a\x33\x68\x00\x00\x06\x00\xcb"),                 /* far return to CS 0x33 */
    PIECE("\x6a\x23\x68\x00\x00\x06\x00\xcb"),                 /* and 0x23 */
    PIECE("\x6a\x2b\x6a\x33\xcf"),                             /* iret */
    PIECE("\x6a\x2b\x1f\x6a\x2b\x07"),                         /* pop ds, es */
    PIECE("\xb8\x2b\x00\x00\x00\x8e\xe0\x8e\xe8"),             /* mov to fs, gs */
    PIECE("\x31\xc0\x8e\xd8\x8e\xd0"),                         /* null to ds, ss */
    PIECE("\x48\xb8\x00\xe0\xff\xff\xff\x7f\x00\x00\xff\xe0"), /* to the stub's page */
    PIECE("\x48\xb8\xe4\xe5\xff\xff\xff\x7f\x00\x00\xff\xe0"), /* to its system call */
    PIECE("\x48\xb8\x00\x00\x60\xff\xff\xff\xff\xff\xff\xd0"), /* to the vsyscall page */
    PIECE("\xf3\x48\x0f\xae\xd0"),                             /* wrfsbase */
    PIECE("\x0f\x01\xef"),                                     /* wrpkru */
    PIECE("\x0f\xae\x2c\x24"),                                 /* xrstor (%rsp) */
    PIECE("\x0f\x01\x04\x24\x0f\x01\x0c\x24\x0f\x00\x04\x24"), /* sgdt, sidt, sldt */
    PIECE("\xcc"),
    PIECE("\xf1"),
    PIECE("\xce"),
    PIECE("\xf4"),
    PIECE("\xfa\xfb"),
    PIECE("\xeb\xfe"),
    PIECE("\x0f\x22\xd8"),
    PIECE("\x0f\x01\x3c\x24"),
    PIECE("\x0f\x30"),
    PIECE("\xe6\x80"),
    PIECE("\xf3\xa4"),
#undef PIECE
};

static void make_stream(struct machine *m, uint64_t *seed)
{
    uint8_t *code = ram_host(&m->ram, CODE);

    for (unsigned at = 0; at < STREAM_SIZE;) {
        uint64_t random = draw(seed);

        if (random & 1) {
            unsigned i = (unsigned)(random >> 8) % (sizeof pieces / sizeof pieces[0]);

            memcpy(code + at, pieces[i].bytes, pieces[i].size);
            at += pieces[i].size;
        } else {
            memcpy(code + at, &random, 1 + (random >> 3) % 7);
            at += 1 + (random >> 3) % 7;
        }
    }
}

/* Handlers that halt, or step over a byte and go on. */
static void make_handlers(struct machine *m, bool wide, bool go_on)
{
    uint8_t *code = ram_host(&m->ram, HANDLER);

    memset(code, 0xf4, PAGE_SIZE);
    for (unsigned i = 0; go_on && i < 256; i++) {
        bool error = i == 8 || (i >= 10 && i <= 14) || i == 17;
        uint8_t *at = code + 16 * i;

        if (error) /* add $8, %rsp */
            at = (uint8_t *)mempcpy(at, wide ? "\x48\x83\xc4\x08" : "\x83\xc4\x04", wide ? 4 : 3);
        /* incq (%rsp); iretq */
        memcpy(at, wide ? "\x48\xff\x04\x24\x48\xcf" : "\xff\x04\x24\xcf", wide ? 6 : 4);
    }
}

/* Everything a stream begins with, from the snapshot. */
static void begin(struct machine *m, const uint8_t *snapshot, uint64_t *seed)
{
    uint64_t how = draw(seed);
    unsigned cpl = how & 1 ? 3 : 0;
    bool wide = how & 2;

    memcpy(m->ram.host, snapshot, SNAPSHOT);
    vcpu_reset(m->v);
    if (wide)
        machine_long_mode(m, cpl);
    else
        machine_protected_mode(m, cpl);
    for (unsigned i = 0; i < 256; i++)
        machine_gate(m, i, wide ? K_CODE64 : K_CODE32, 14, i == 3 || i == 0x80 ? 3 : 0, 0);
    make_stream(m, seed);
    make_handlers(m, wide, how & 16);
    for (unsigned i = 0; i < 8; i++)
        if (i != RSP)
            m->v->gpr[i] = draw(seed) & (how & 4 ? 0xfffff : ~0ull) & (wide ? ~0ull : UINT32_MAX);
    if (how & 8)
        m->v->cr0 &= ~(uint64_t)CR0_WP;
}

/* Runs until the guest halts, or for a while. false: the engine says that it failed. */
static bool run(struct trap *t, struct vcpu *v, struct error *error)
{
    int status;

    atomic_store(&v->exit_request, 0);
    to_stop = v;
    set_alarm(PATIENCE_US);
    status = trap_run(t, error);
    set_alarm(0);
    return status == 0 || status == -ECANCELED;
}

static bool is_contained(const struct child *c)
{
    char path[64], line[512];
    bool good = true;
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%d/maps", c->pid);
    maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps))
        good &= strstr(line, "memfd:novt-guest-ram") || strstr(line, "[vsyscall]") ||
                !strncmp(line, "7fffffffe000-7ffffffff000 r-xp", 30);
    if (maps)
        fclose(maps);
    return maps && good;
}

/* Branches with a prefix that has no defined meaning. Operand size in 64-bit code: AMD's processors cut RIP to 16
   bits, Intel's and the interpreter do not (SDM vol. 2, JMP; APM vol. 3, 1.2.2). REPNE or REP: some processors
   take LOOPE for LOOPNE then, and the other way round. */
static bool is_makers_choice(const struct trap_difference *d)
{
    uint8_t last = d->size > 1 ? d->code[d->size - 2] : 0;

    if (!strstr(d->text, "  rip "))
        return false;
    return (d->bits == 64 && memchr(d->code, 0x66, d->size)) || last == 0xe0 || last == 0xe1;
}

/* With "check": whatever goes wrong must be in the table of those that do. */
static void report(void *opaque, const struct trap_difference *d)
{
    uint64_t *unknown = opaque;

    if (d->name || is_makers_choice(d))
        return;
    ++*unknown;
    dump_code(stdout, d->code, d->size, d->address, d->bits);
    printf("%s", d->text);
}

int main(int argc, char **argv)
{
    uint64_t streams = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000,
             seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    struct trap_options options = {
        .memory_effects = effects_memory, .undefined_flags = effects_undefined_flags, .report = report};
    uint64_t unknown = 0;
    struct machine *m = machine_create("max");
    uint8_t *snapshot = malloc(SNAPSHOT);
    struct error error = {"?"};
    struct trap *t;

    memcpy(snapshot, m->ram.host, SNAPSHOT);
    catch_signals();
    options.opaque = &unknown;
    if (argc > 4 && !strcmp(argv[4], "check"))
        options.check = TRAP_CHECK_CONTINUE;
    if (trap_create(&t, m->v, &options, &error) || trap_enter(t, &error)) {
        fprintf(stderr, "fuzz-trap: %s\n", error.text);
        return 1;
    }
    for (uint64_t i = first; i < first + streams; i++) {
        uint64_t random = (seed * 0x9e3779b97f4a7c15ull + i) | 1;

        begin(m, snapshot, &random);
        if (!run(t, m->v, &error) || !is_contained(&t->child[0]) || !is_contained(&t->child[1]) || unknown) {
            fprintf(stderr, "fuzz-trap: stream %" PRIu64 " of seed %" PRIu64 ": %s\n", i, seed, error.text);
            return 1;
        }
    }
    printf("%" PRIu64 " streams, seed %" PRIu64 ", %" PRIu64 " native runs\n", streams, seed,
           t->count[COUNT_RUNS]);
    trap_leave(t);
    trap_destroy(t);
    machine_destroy(m);
    free(snapshot);
    return unknown != 0;
}
