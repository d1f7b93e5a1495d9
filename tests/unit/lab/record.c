/*
 * record.c - tests of lab/record.c: lines as a guest prints them, and as no guest should.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lab/record.h"

static struct lab_records parse(const char *text)
{
    struct lab_records r;

    cr_assert(lab_records_parse(&r, text, strlen(text), "lab"));
    return r;
}

Test(record, reads_fields)
{
    struct lab_records r = parse("lab time task=popf cycles=0x10 n=20\nlab end\n");
    const struct lab_record *time;
    size_t at = 0;

    cr_assert_eq(r.count, 2u);
    time = lab_records_next(&r, "time", &at);
    cr_assert_str_eq(lab_record_text(time, "task"), "popf");
    cr_assert_eq(lab_record_number(time, "cycles"), 16u);
    cr_assert_eq(lab_record_number(time, "n"), 20u);
    cr_assert_null(lab_record_text(time, "other"));
    cr_assert_eq(lab_record_number(time, "other"), 0u);
    cr_assert_not_null(lab_records_next(&r, "end", &at));
    cr_assert_null(lab_records_next(&r, "end", &at));
    lab_records_free(&r);
}

Test(record, leaves_out_what_is_of_another_form)
{
    struct lab_records r =
        parse("labour task=x\n\n lab end\nlab\nlab time word task=a=b =c\nnovt: lab end\nlab end");
    size_t at = 0;
    const struct lab_record *time = lab_records_next(&r, "time", &at);

    cr_assert_eq(r.count, 2u);
    cr_assert_eq(time->count, 2u);
    cr_assert_str_eq(lab_record_text(time, "task"), "a=b");
    cr_assert_str_eq(lab_record_text(time, ""), "c");
    lab_records_free(&r);
}

Test(record, numbers_are_whole)
{
    static const char *const bad[] = {"", "x", "-1", "+1", " 1", "1x", "0x", "0xg", "1.5"};
    char line[64];

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lab_records r;

        snprintf(line, sizeof line, "lab time n=%s", bad[i]);
        r = parse(line);
        cr_assert_eq(lab_record_number(&r.record[0], "n"), 0u, "'%s'", bad[i]);
        lab_records_free(&r);
    }
    cr_assert_eq(lab_record_number(NULL, "n"), 0u);
}

Test(record, keeps_to_its_limits)
{
    char line[1000] = "lab time";
    struct lab_records r;

    for (unsigned i = 0; i < 40; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), " k%u=%u", i, i);
    r = parse(line);
    cr_assert_eq(r.record[0].count, LAB_FIELDS);
    cr_assert_eq(lab_record_number(&r.record[0], "k11"), 11u);
    cr_assert_null(lab_record_text(&r.record[0], "k12"));
    lab_records_free(&r);
}

Test(record, bytes_become_printable)
{
    static const char text[] = "lab time n=\0\x80\x1b[2J\xff!\nlab end";
    struct lab_records r;

    cr_assert(lab_records_parse(&r, text, sizeof text - 1, "lab"));
    cr_assert_str_eq(lab_record_text(&r.record[0], "n"), "...[2J.!");
    cr_assert_eq(r.count, 2u);
    lab_records_free(&r);
}
