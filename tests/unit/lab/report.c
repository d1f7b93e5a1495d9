/*
 * report.c - tests of lab/report.c and of what is printed of a report.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/render.h"
#include "lab/report.h"

static const struct lab_experiment experiment = {
    .name = "test", .title = "a <title>", .question = "Is it? Or is it \"not\"?"};

static const char *const columns[] = {"what", "engine", "cycles", NULL};

/* Freed by the caller. */
static char *print(void (*render)(struct json_object *object, FILE *to), struct json_object *object)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    render(object, to);
    fclose(to);
    return text;
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;

    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

static struct json_object *make_report(void)
{
    struct json_object *report = lab_report_create(&experiment), *table, *row;

    table = lab_table_add(report, "Times", columns);
    row = lab_row_add(table, "fast & small");
    lab_row_text(row, "bt");
    lab_row_number(row, 12.34);
    row = lab_row_add(table, "slow");
    lab_row_text(row, "interp");
    lab_row_number(row, 123456);
    row = lab_row_add(table, "none");
    lab_row_text(row, "trap");
    lab_row_none(row);
    lab_plot_add(report, "Times", "cycles", 2, 2);
    lab_say(report, "The slow one takes %d times as long.", 10000);
    return report;
}

Test(report, formats_numbers)
{
    static const struct {
        double value;
        const char *text;
    } vectors[] = {{0, "0"},        {1, "1"},         {1.5, "1.50"},    {0.25, "0.250"}, {0.9999, "1.00"},
                   {12.34, "12.3"}, {123.4, "123"},   {999.6, "1,000"}, {1234, "1,234"}, {12345678, "12,345,678"},
                   {-5, "-5"},      {-1234, "-1,234"}};
    char text[40];

    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        lab_format_number(text, sizeof text, vectors[i].value);
        cr_assert_str_eq(text, vectors[i].text);
    }
}

Test(report, counts_what_did_not_come_about)
{
    struct json_object *report = make_report();

    cr_assert_eq(lab_report_broken(report), 0u);
    lab_expect(report, true, "that it is");
    lab_expect(report, false, "that it is %s", "not");
    cr_assert_eq(lab_report_broken(report), 1u);
    json_object_put(report);
}

Test(report, text_has_aligned_columns_and_says_what_broke)
{
    struct json_object *report = make_report();
    char *text;

    lab_expect(report, true, "that it is");
    lab_expect(report, false, "that it is not");
    text = print(lab_render_heading, report);
    cr_assert_str_eq(text, "test: a <title>\n  Is it? Or is it \"not\"?\n");
    free(text);
    text = print(lab_render_text, report);
    cr_assert_not_null(strstr(text, "  fast & small      bt     12.3\n"), "%s", text);
    cr_assert_not_null(strstr(text, "  slow          interp  123,456\n"), "%s", text);
    cr_assert_not_null(strstr(text, "  none            trap        -\n"), "%s", text);
    cr_assert_not_null(strstr(text, "  as expected: that it is\n"));
    cr_assert_not_null(strstr(text, "  NOT AS EXPECTED: that it is not\n"));
    free(text);
    json_object_put(report);
}

Test(report, page_is_escaped_and_fetches_nothing)
{
    struct json_object *root = json_object_new_object(), *all = json_object_new_array(),
                       *host = json_object_new_object();
    struct lab_records records = {NULL};
    struct lab_run run = {.failure = ""};
    const struct lab_child child = {"io", "bt", "do=x", NULL};
    static const char line[] = "lab time task=<script>alert(1)</script>";
    char *page;

    cr_assert(lab_records_parse(&records, line, strlen(line), "lab"));
    run.guest = records;
    json_object_object_add(root, "host", host);
    json_object_object_add(root, "experiments", all);
    json_object_array_add(all, make_report());
    lab_run_add(json_object_array_get_idx(all, 0), &child, &run);
    page = print(lab_render_html, root);
    cr_assert_not_null(strstr(page, "a &lt;title&gt;"));
    cr_assert_not_null(strstr(page, "fast &amp; small"));
    cr_assert_not_null(strstr(page, "&lt;script&gt;"));
    cr_assert_null(strstr(page, "<script"));
    cr_assert_null(strstr(page, "http"));
    cr_assert_eq(count(page, "<section "), 1u);
    cr_assert_eq(count(page, "<svg "), 1u);
    free(page);
    lab_records_free(&records);
    json_object_put(root);
}

static void render_plot(struct json_object *report, FILE *to)
{
    lab_render_plot(report, json_object_array_get_idx(json_object_object_get(report, "plots"), 0), to);
}

Test(report, plot_has_a_bar_for_each_number)
{
    struct json_object *report = make_report(), *table;
    char *svg = print(render_plot, report);

    cr_assert_eq(count(svg, "<title>"), 2u, "%s", svg);
    cr_assert_not_null(strstr(svg, ">100,000<"));
    free(svg);
    table = lab_table_add(report, "Nothing", columns);
    lab_row_none(lab_row_add(table, "x"));
    json_object_object_del(report, "plots");
    json_object_object_add(report, "plots", json_object_new_array());
    lab_plot_add(report, "Nothing", "cycles", 2, 2);
    svg = print(render_plot, report);
    cr_assert_eq(count(svg, "<title>"), 0u);
    cr_assert_null(strstr(svg, "nan"));
    cr_assert_null(strstr(svg, "inf"));
    free(svg);
    json_object_put(report);
}

static const char drawing_text[] =
    "{\"title\": \"t\", \"kind\": \"tables\", \"shadow\": \"user\", \"pages\": ["
    "{\"linear\": 4096, \"frame\": 16, \"bits\": \"PWUAD\", \"user\": {\"frame\": 16, \"rights\": \"rw\"}, "
    "\"window\": null},"
    "{\"linear\": 8192, \"frame\": 17, \"bits\": \"PWU--\", \"user\": {\"frame\": 18, \"rights\": \"r-\"}, "
    "\"window\": null},"
    "{\"linear\": 12288, \"frame\": 16, \"bits\": \"P-U--\", \"user\": null, \"window\": null}]}";

Test(report, drawing_shows_what_is_shared_stale_and_missing)
{
    struct json_object *drawing = json_tokener_parse(drawing_text);
    char *svg = print(lab_render_drawing, drawing);

    cr_assert_eq(count(svg, "box frame"), 3u, "three frames in all");
    cr_assert_eq(count(svg, "wire guest"), 3u);
    cr_assert_eq(count(svg, "wire shadow"), 1u);
    cr_assert_eq(count(svg, "wire stale"), 1u);
    cr_assert_eq(count(svg, "box none"), 1u);
    free(svg);
    json_object_put(drawing);
}
