/*
 * command.c - tests of the command line of `novt lab`, and of what is part of the program.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lab/child.h"
#include "lab/experiments.h"
#include "lab/lab.h"

#define WORDS 6

static const struct {
    const char *word[WORDS];
    const char *says;
} bad[] = {
    {{"lab"}, "no such command"},
    {{"lab", "walk"}, "walk: no such command"},
    {{"lab", "list", "all"}, "all: list takes nothing"},
    {{"lab", "run"}, "the experiment is missing"},
    {{"lab", "run", "nosuch"}, "nosuch: no such experiment; there are sensitive, engines, cache"},
    {{"lab", "run", ""}, "no such experiment"},
    {{"lab", "run", "--html"}, "--html: the value is missing"},
    {{"lab", "run", "io", "--html="}, "the value is missing"},
    {{"lab", "run", "--htm", "x"}, "--htm: unknown option"},
    {{"lab", "run", "--", "x"}, "--: unknown option"},
    {{"lab", "run", "io", "--json", "/nonexistent/x"}, "/nonexistent/x: cannot write there"},
};

Test(command, bad_words_have_an_answer)
{
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *argv[WORDS + 1] = {NULL};
        struct error error = {""};
        int argc = 0;

        for (; argc < WORDS && bad[i].word[argc]; argc++)
            argv[argc] = (char *)(uintptr_t)bad[i].word[argc];
        cr_assert_lt(lab_main(argc, argv, &error), 0, "row %u", i);
        cr_assert_not_null(strstr(error.text, bad[i].says), "row %u: %s", i, error.text);
        cr_assert_null(strchr(error.text, '\n'));
    }
}

/* Each experiment's guest is named as it is, and is an ELF image. */
Test(command, guests_are_part_of_the_program)
{
    for (unsigned i = 0; i < LAB_EXPERIMENTS; i++) {
        const struct lab_guest *g = lab_guest_find(lab_experiments[i]->name);

        cr_assert_not_null(g);
        cr_assert_gt(g->end - g->begin, 1000);
        cr_assert_eq(memcmp(g->begin, "\177ELF", 4), 0);
    }
}

static void say_hello(const void *argument)
{
    printf("noise\nlab hello name=%s\nlab end\n", (const char *)argument);
}

static void end_early(const void *argument)
{
    printf("lab hello name=%s\n", (const char *)argument);
}

static void crash(const void *argument)
{
    __builtin_trap();
}

static void fail(const void *argument)
{
    printf("lab hello name=%s\n", (const char *)argument);
    fflush(stdout);
    _exit(3);
}

static void complain(const void *argument)
{
    fprintf(stderr, "noise\nnovt: %s are wrong; be right\nmore\n", (const char *)argument);
    fail(argument);
}

static void hang(const void *argument)
{
    printf("lab hello name=%s\n", (const char *)argument);
    fflush(stdout);
    pause();
}

static void expect_native(void (*body)(const void *argument), const char *failure)
{
    struct lab_run run;
    struct error error;
    size_t at = 0;

    cr_assert_eq(lab_run_native(&run, body, "you", 1, &error), 0);
    cr_assert_str_eq(run.failure, failure);
    if (body != crash)
        cr_assert_str_eq(lab_record_text(lab_records_next(&run.guest, "hello", &at), "name"), "you");
    lab_run_free(&run);
}

Test(command, native_runs_are_read_and_judged)
{
    expect_native(say_hello, "");
    expect_native(end_early, "the guest stopped before its end");
    expect_native(fail, "it ended with status 3");
    expect_native(complain, "novt: you are wrong; be right");
    expect_native(hang, "it had not ended after 1 seconds");
    expect_native(crash, "it was ended by signal 4");
}
