/*
 * options.c - tests of the command line: what each option stores, and what each mistake is answered with.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/log.h"
#include "vmm/options.h"

static struct options parsed;
static struct error error;

/* A command line in one string, cut at blanks. */
static int parse(const char *line)
{
    static char copy[1024];
    char *argv[32] = {"novt"};
    int argc = 1;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && argc < 31; word = strtok(NULL, " "))
        argv[argc++] = word;
    error.text[0] = '\0';
    return options_parse(&parsed, argc, argv, &error);
}

Test(options, ordinary_line)
{
    cr_assert_eq(parse("-m 512 -kernel k -initrd i -append quiet -nographic -no-reboot -cpu x86-64-v2,-aes "
                       "-accel bt,chain=off -S -name x -smp 1 -M pc --display none"),
                 0, "%s", error.text);
    cr_assert_eq(parsed.memory, 512ull << 20);
    cr_assert_str_eq(parsed.kernel, "k");
    cr_assert_str_eq(parsed.initrd, "i");
    cr_assert_str_eq(parsed.append, "quiet");
    cr_assert_str_eq(parsed.cpu, "x86-64-v2,-aes");
    cr_assert_str_eq(parsed.accel, "bt,chain=off");
    cr_assert(parsed.nographic && parsed.no_reboot && parsed.paused);
}

Test(options, what_to_boot)
{
    cr_assert_eq(parse("-bios b -kernel k -machine q35,kernel-entry=32"), 0, "%s", error.text);
    cr_assert_str_eq(parsed.bios, "b");
    cr_assert_eq(parsed.kernel_entry, KERNEL_ENTRY_32);
    cr_assert_eq(parse("-bios b"), 0, "%s", error.text);
    cr_assert_eq(parsed.kernel_entry, KERNEL_ENTRY_AUTO);
    cr_assert_eq(parse("-device loader,file=x,addr=0x7c00,cpu-num=0 -device loader,addr=1,data=2,data-len=4"), 0,
                 "%s", error.text);
    cr_assert_eq(parsed.loader_count, 2u);
    cr_assert_str_eq(parsed.loader[0].file, "x");
    cr_assert_eq(parsed.loader[0].address, 0x7c00u);
    cr_assert_eq(parsed.loader[1].data, 2u);
    cr_assert_eq(parsed.loader[1].data_length, 4u);
    cr_assert_lt(parse("-device loader,file=x,addr=0x7c00"), 0, "nothing starts");
    cr_assert_lt(parse("-bios b -append x"), 0);
    cr_assert_lt(parse("-kernel k -machine pc,kernel-entry=real"), 0);
    cr_assert_lt(parse("-kernel k -device loadr,addr=1"), 0);
}

Test(options, double_dash_and_equals)
{
    cr_assert_eq(parse("--kernel k --m=64 --stats"), 0, "%s", error.text);
    cr_assert_eq(parsed.memory, 64ull << 20);
    cr_assert_eq(parsed.stats, STATS_TEXT);
    cr_assert_eq(parse("--kernel k --stats=json"), 0);
    cr_assert_eq(parsed.stats, STATS_JSON);
    cr_assert_eq(parse("--stats -kernel k"), 0); /* its value is never the next word */
    cr_assert_str_eq(parsed.kernel, "k");
}

Test(options, serial_ports)
{
    cr_assert_eq(parse("-kernel k -serial stdio -serial file:/tmp/x -serial null -serial none"), 0);
    cr_assert_eq(parsed.serial_count, 4u);
    cr_assert_str_eq(parsed.serial[1], "file:/tmp/x");
    cr_assert_lt(parse("-kernel k -serial a -serial b -serial c -serial d -serial e"), 0);
}

Test(options, machine_with_accel)
{
    cr_assert_eq(parse("-kernel k -machine q35,accel=interp,usb=off"), 0, "%s", error.text);
    cr_assert_str_eq(parsed.machine, "q35");
    cr_assert_str_eq(parsed.accel, "interp");
    cr_assert_eq(parse("-kernel k -machine type=microvm,accel=bt"), 0);
    cr_assert_str_eq(parsed.machine, "microvm");
}

Test(options, debug_exit_device)
{
    cr_assert_eq(parse("-kernel k -device isa-debug-exit,iobase=0xf4,iosize=0x04"), 0, "%s", error.text);
    cr_assert(parsed.debug_exit.present);
    cr_assert_eq(parsed.debug_exit.iobase, 0xf4);
    cr_assert_eq(parsed.debug_exit.iosize, 4);
}

Test(options, clock)
{
    cr_assert_eq(parse("-kernel k -rtc base=2006-06-17T16:01:21,clock=host"), 0);
    cr_assert_eq(parsed.rtc, RTC_DATE);
    cr_assert_eq(parsed.rtc_date, 1150560081);
    cr_assert_eq(parse("-kernel k -rtc base=2006-06-17"), 0);
    cr_assert_eq(parsed.rtc_date, 1150502400);
    cr_assert_eq(parse("-kernel k -rtc base=localtime"), 0);
    cr_assert_eq(parsed.rtc, RTC_LOCALTIME);
}

Test(options, topics)
{
    struct log_options all = {0};

    cr_assert_eq(parse("-kernel k -d int,guest_errors -D f"), 0);
    cr_assert_eq(__builtin_popcount(parsed.log.topics), 2);
    cr_assert_eq(log_parse_topics(&all, "all", &error), 0);
    cr_assert_eq(parsed.log.topics & ~all.topics, 0u);
}

Test(options, actions_need_nothing_else)
{
    cr_assert_eq(parse("-h"), 0);
    cr_assert_eq(parsed.action, ACTION_HELP);
    cr_assert_eq(parse("--help"), 0);
    cr_assert_eq(parsed.action, ACTION_HELP);
    cr_assert_eq(parse("-version"), 0);
    cr_assert_eq(parsed.action, ACTION_VERSION);
}

/* Each mistake: an error of one line that contains these words. */
Test(options, mistakes)
{
    static const struct {
        const char *line, *words;
    } vectors[] = {
        {"", "-kernel"},
        {"-kernel", "missing"},
        {"-kernle k", "-kernel"},
        {"--nographics", "-nographic"},
        {"-zzzzzzzz", "unknown option"},
        {"disk.img", "not an option"},
        {"-m 0 -kernel k", "-m 0"},
        {"-m -5 -kernel k", "-m -5"},
        {"-m many -kernel k", "-m many"},
        {"-m 1000000G -kernel k", "this host's memory"},
        {"-m 4K -kernel k", "too little"},
        {"-smp 2 -kernel k", "-smp 1"},
        {"-smp cpus=0 -kernel k", "-smp"},
        {"-machine sparc -kernel k", "microvm"},
        {"-machine pc,acel=bt -kernel k", "did you mean accel"},
        {"-device e1000 -kernel k", "isa-debug-exit"},
        {"-device isa-debug-exit,iobase=99999 -kernel k", "iobase"},
        {"-device isa-debug-exit,iosize=0 -kernel k", "iosize"},
        {"-device isa-debug-exit,color=red -kernel k", "color"},
        {"-rtc base=yesterday -kernel k", "yesterday"},
        {"-rtc when=now -kernel k", "when"},
        {"-d ints -kernel k", "did you mean int"},
        {"-monitor stdio -kernel k", "-monitor none"},
        {"-display gtk -kernel k", "-display none"},
        {"--stats=xml -kernel k", "json"},
        {"-initrd i", "-kernel"},
        {"-append quiet", "-kernel"},
        {"-nographic=yes -kernel k", "unknown option"},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        cr_assert_lt(parse(vectors[i].line), 0, "%s was accepted", vectors[i].line);
        cr_assert_not_null(strstr(error.text, vectors[i].words), "%s: %s", vectors[i].line, error.text);
        cr_assert_null(strchr(error.text, '\n'));
    }
}
