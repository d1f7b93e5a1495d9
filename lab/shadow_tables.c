/*
 * shadow_tables.c - the guest's page tables beside what novt has for the same pages.
 *
 * Interface: shadow_tables.h. The guest prints its entries, novt (--maps) the pages in its TLB and its windows. Of
 * the guest's pages (guest/shadow.c) the last one's entry has been changed without a flush.
 */
#include "lab/shadow_tables.h"

#include <stdio.h>
#include <string.h>

/* What a translation cache has for a page: NULL for nothing. */
static const struct lab_record *find_map(const struct lab_run *run, const char *kind, const char *context,
                                         uint64_t linear)
{
    const struct lab_record *m;
    size_t at = 0;

    while ((m = lab_records_next(&run->map, kind, &at)))
        if (lab_record_number(m, "linear") == linear && !strcmp(lab_record_text(m, "context"), context))
            return m;
    return NULL;
}

static struct json_object *describe_map(const struct lab_record *m)
{
    struct json_object *o = NULL;

    if (!m)
        return NULL;
    o = json_object_new_object();
    json_object_object_add(o, "frame", json_object_new_int64((int64_t)(lab_record_number(m, "ram") >> 12)));
    json_object_object_add(o, "rights", json_object_new_string(lab_record_text(m, "rights")));
    return o;
}

/* P, R/W, U/S, A and D of a 4 KiB page's entry (SDM vol. 3, 4.5.4). */
static void entry_bits(char text[6], uint64_t entry)
{
    static const struct {
        char letter;
        unsigned bit;
    } bits[] = {{'P', 0}, {'W', 1}, {'U', 2}, {'A', 5}, {'D', 6}};

    for (unsigned i = 0; i < 5; i++)
        text[i] = entry >> bits[i].bit & 1 ? bits[i].letter : '-';
    text[5] = '\0';
}

static struct json_object *describe_page(const struct lab_run *run, const struct lab_record *entry)
{
    struct json_object *page = json_object_new_object();
    uint64_t linear = lab_record_number(entry, "linear"), value = lab_record_number(entry, "entry");
    char bits[6];

    entry_bits(bits, value);
    json_object_object_add(page, "linear", json_object_new_int64((int64_t)linear));
    json_object_object_add(page, "frame", json_object_new_int64((int64_t)(value >> 12 & 0xffffffffff)));
    json_object_object_add(page, "bits", json_object_new_string(bits));
    json_object_object_add(page, "kernel", describe_map(find_map(run, "tlb", "supervisor", linear)));
    json_object_object_add(page, "user", describe_map(find_map(run, "tlb", "user", linear)));
    json_object_object_add(page, "window", describe_map(find_map(run, "window", "user", linear)));
    return page;
}

static void put_map(struct json_object *row, struct json_object *map)
{
    char text[64];

    if (!map) {
        lab_row_none(row);
        return;
    }
    snprintf(text, sizeof text, "%llx %s",
             (unsigned long long)json_object_get_int64(json_object_object_get(map, "frame")),
             json_object_get_string(json_object_object_get(map, "rights")));
    lab_row_text(row, text);
}

static void add_page_row(struct json_object *table, struct json_object *page)
{
    static const char *const shadows[] = {"user", "window", "kernel"};
    struct json_object *row;
    char text[64];

    snprintf(text, sizeof text, "%llx",
             (unsigned long long)json_object_get_int64(json_object_object_get(page, "linear")));
    row = lab_row_add(table, text);
    snprintf(text, sizeof text, "%llx %s",
             (unsigned long long)json_object_get_int64(json_object_object_get(page, "frame")),
             json_object_get_string(json_object_object_get(page, "bits")));
    lab_row_text(row, text);
    for (unsigned i = 0; i < 3; i++)
        put_map(row, json_object_object_get(page, shadows[i]));
}

/* How many pages the cache has to another frame than the guest's entry says. */
static unsigned count_stale(struct json_object *pages, const char *shadow)
{
    unsigned stale = 0;

    for (size_t i = 0; i < json_object_array_length(pages); i++) {
        struct json_object *page = json_object_array_get_idx(pages, i),
                           *map = json_object_object_get(page, shadow);

        stale += map && json_object_get_int64(json_object_object_get(map, "frame")) !=
                            json_object_get_int64(json_object_object_get(page, "frame"));
    }
    return stale;
}

/* May the cache write where the guest's entry says no, or D has not been set yet? */
static unsigned count_too_free(struct json_object *pages, const char *shadow)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < json_object_array_length(pages); i++) {
        struct json_object *page = json_object_array_get_idx(pages, i),
                           *map = json_object_object_get(page, shadow);
        const char *bits = json_object_get_string(json_object_object_get(page, "bits"));

        wrong += map && strchr(json_object_get_string(json_object_object_get(map, "rights")), 'w') &&
                 (!strchr(bits, 'W') || !strchr(bits, 'D'));
    }
    return wrong;
}

static void judge_pages(struct json_object *report, const char *engine, struct json_object *pages)
{
    struct json_object *last = json_object_array_get_idx(pages, json_object_array_length(pages) - 1);

    lab_expect(report, count_stale(pages, "user") == 1 && json_object_object_get(last, "user"),
               "%s: only the entry that was changed without a flush is known as it was before", engine);
    lab_expect(report, !count_too_free(pages, "user") && !count_too_free(pages, "window"),
               "%s: nothing may be written that the guest's entry forbids, or whose D bit is clear", engine);
}

/* Behind the run: what guest and engine have for each page. */
static void compare_tables(struct json_object *report, const char *name, const char *shadow,
                           const struct lab_run *run)
{
    static const char *const columns[] = {"page", "guest's entry", "user TLB", "window", "supervisor TLB", NULL};
    struct json_object *drawing = json_object_new_object(), *pages = json_object_new_array(), *table;
    const struct lab_record *entry;
    char title[80];
    size_t at = 0;

    snprintf(title, sizeof title, "Frames and rights, guest's tables against novt's: %s", name);
    table = lab_table_add(report, title, columns);
    while ((entry = lab_records_next(&run->guest, "entry", &at))) {
        struct json_object *page = describe_page(run, entry);

        json_object_array_add(pages, page);
        add_page_row(table, page);
    }
    json_object_object_add(drawing, "title", json_object_new_string(title));
    json_object_object_add(drawing, "kind", json_object_new_string("tables"));
    json_object_object_add(drawing, "shadow", json_object_new_string(shadow));
    json_object_object_add(drawing, "pages", pages);
    json_object_array_add(json_object_object_get(report, "drawings"), drawing);
    if (json_object_array_length(pages))
        judge_pages(report, name, pages);
}

int lab_shadow_draw(struct json_object *report, const char *name, const char *engine, const char *shadow,
                    struct error *error)
{
    const struct lab_child child = {"shadow", engine, "do=draw n=1", NULL};
    struct lab_run run;
    int status = lab_run_start(&run, &child, error);

    if (!status) {
        lab_run_add(report, &child, &run);
        lab_expect(report, !run.failure[0], "%s: the guest sets its tables up, and ends", name);
        compare_tables(report, name, shadow, &run);
    }
    lab_run_free(&run);
    return status;
}
