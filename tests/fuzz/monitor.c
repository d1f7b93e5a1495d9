/*
 * monitor.c - fuzz target of the monitor's command line: any line has an answer, and the machine is still there.
 *
 * LLVMFuzzerTestOneInput is libFuzzer's and AFL's entry. Built without a fuzzer (NOVT_FUZZ_MAIN) it is a plain
 * program: it makes lines of words that the monitor knows and of random bytes, seeded, so many as its argument
 * says. The machine is a real one, paused.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/random.h"
#include "tests/unit/vmm/images.h"
#include "vmm/machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/names.h"
#include "vmm/signals.h"

#define LINE_LIMIT 2048u
#define CODE_AT (1536 + 0x200) /* of the 64-bit entry */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct options options;
static struct machine *machine;

static void *run(void *opaque)
{
    struct error error;

    (void)opaque;
    machine_run(machine, &error);
    return NULL;
}

/* Once; it runs until the process ends. */
static void open_machine(void)
{
    uint8_t image[IMAGE_BZIMAGE_SIZE];
    char name[] = "/tmp/novt-fuzz-XXXXXX";
    struct error error = {""};
    pthread_t thread;
    int fd = mkstemp(name);

    image_make_bzimage(image);
    memcpy(image + CODE_AT, "\x48\xff\xc0\xeb\xfb", 5); /* inc rax, again and again */
    if (fd < 0 || write(fd, image, sizeof image) != (ssize_t)sizeof image)
        abort();
    close(fd);
    options = (struct options){.memory = 20 << 20,
                               .kernel = name,
                               .cpu = "max",
                               .accel = "bt",
                               .machine = "pc",
                               .nodefaults = true,
                               .paused = true};
    signals_install();
    if (machine_create(&machine, &options, &error)) {
        fprintf(stderr, "fuzz-monitor: %s\n", error.text);
        abort();
    }
    unlink(name);
    if (pthread_create(&thread, NULL, run, NULL))
        abort();
}

/* Those that would end it or have it run on. */
static bool is_left_out(const char *line)
{
    static const char *const words[] = {"quit", "q", "cont", "c", "system_reset"};
    size_t length;

    line += strspn(line, " \t");
    length = strcspn(line, " \t/");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == length && !strncmp(line, words[i], length))
            return true;
    return false;
}

static const char *answer(const char *line)
{
    static char *text;
    size_t size;
    FILE *to;

    free(text);
    text = NULL;
    to = open_memstream(&text, &size);
    if (!to)
        abort();
    monitor_run_line(machine, line, to);
    fclose(to);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct completions completions;
    size_t length = size < LINE_LIMIT ? size : LINE_LIMIT;
    char *line;

    if (!machine)
        open_machine();
    line = strndup((const char *)data, length); /* of just this size: a sanitizer sees one byte too many */
    if (!line)
        abort();
    length = strlen(line);
    monitor_complete(line, length, &completions);
    monitor_complete(line, length / 2, &completions);
    if (!is_left_out(line)) {
        const char *text = answer(line);

        if (*text && text[strlen(text) - 1] != '\n')
            abort();
        if (strcmp(answer("info status"), "VM status: paused\n"))
            abort();
    }
    free(line);
    return 0;
}

#ifdef NOVT_FUZZ_MAIN
static uint64_t state = 1;

static uint64_t next_random(void)
{
    return random_next(&state);
}

static const char *const pieces[] = {"help",        "info",
                                     "x",           "xp",
                                     "print",       "disassemble",
                                     "stop",        "step",
                                     "break",       "delete",
                                     "p",           "b",
                                     "s",           " ",
                                     " ",           " ",
                                     "/",           "/10i",
                                     "/s",          "/4xg",
                                     "/c",          "$rip",
                                     "$rsp",        "$",
                                     "+",           "-",
                                     "*",           "%",
                                     "<<",          "(",
                                     ")",           "~",
                                     "0x",          "16",
                                     "0x1000",      "0",
                                     "99",          "mem",
                                     "tlb",         "irq",
                                     "stats",       "blocks",
                                     "status",      "-v",
                                     "\t",          "lapic",
                                     "pic",         "version",
                                     "regs",        "0xffffffffffffffff",
                                     "&",           "|",
                                     "^",           "start_kernel",
                                     "registers",   "explain",
                                     "breakpoints", "system_powerdown",
                                     "x/i $rip",    "1000"};

static size_t make_line(char *line, size_t room)
{
    unsigned count = (unsigned)(next_random() % 12);
    size_t used = 0;

    for (unsigned i = 0; i < count; i++) {
        const char *piece = pieces[next_random() % (sizeof pieces / sizeof pieces[0])];

        if (next_random() % 16 == 0 && used < room)
            line[used++] = (char)next_random();
        else if (used + strlen(piece) < room)
            used += (size_t)sprintf(line + used, "%s", piece);
        if (next_random() % 2 && used < room)
            line[used++] = ' ';
    }
    return used;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    char line[LINE_LIMIT];

    if (argc > 2)
        state = strtoul(argv[2], NULL, 0) | 1;
    for (unsigned long i = 0; i < rounds; i++)
        LLVMFuzzerTestOneInput((const uint8_t *)line, make_line(line, sizeof line - 1));
    printf("monitor: %lu lines\n", rounds);
    return 0;
}
#endif
