/*
 * lab.c - fuzz target of what the lab reads from its guests, and of what it prints of it.
 *
 * LLVMFuzzerTestOneInput is libFuzzer's and AFL's entry. Built without a fuzzer (NOVT_FUZZ_MAIN) it is a plain
 * program: it spoils lines of a guest, seeded, so many times as its argument says.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/render.h"
#include "lab/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct lab_experiment experiment = {.name = "fuzz", .title = "fuzz", .question = "?"};

static void check_records(const struct lab_records *records)
{
    size_t at = 0;

    for (size_t i = 0; i < records->count; i++) {
        const struct lab_record *r = &records->record[i];

        if (r->count > LAB_FIELDS)
            abort();
        for (unsigned k = 0; k < r->count; k++)
            if (!lab_record_text(r, r->field[k].key))
                abort();
        lab_record_number(r, "cycles");
    }
    while (lab_records_next(records, "time", &at))
        ;
}

/* The page must hold no markup but its own. */
static void check_page(const struct lab_records *records)
{
    struct json_object *report = lab_report_create(&experiment), *root = json_object_new_object(),
                       *all = json_object_new_array();
    const struct lab_child child = {"fuzz", "bt", "", NULL};
    const struct lab_run run = {.guest = *records};
    char *page = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&page, &size);

    json_object_object_add(root, "host", json_object_new_object());
    json_object_object_add(root, "experiments", all);
    json_object_array_add(all, report);
    lab_run_add(report, &child, &run);
    lab_render_html(root, to);
    fclose(to);
    if (strstr(page, "<script") || !json_object_to_json_string(root))
        abort();
    free(page);
    json_object_put(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lab_records records;

    if (lab_records_parse(&records, (const char *)data, size, "lab")) {
        check_records(&records);
        check_page(&records);
    }
    lab_records_free(&records);
    return 0;
}

#ifdef NOVT_FUZZ_MAIN
static const char lines[] =
    "noise\nlab time task=popf operations=0x10 batches=0x5 cycles=0x123 empty=0x1\n"
    "lab sees name=gdt-base value=0x1 bare=0x2\nlab wrong task=<script> reason=x\nlab end\n";

static uint64_t state = 1;

static uint32_t number(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

/* A byte that matters to the parser, or any. */
static char spoil(void)
{
    static const char special[] = " =\n<>&\"0x";

    return number(2) ? special[number(sizeof special)] : (char)number(256);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;

    for (unsigned long i = 0; i < rounds; i++) {
        size_t size = number(sizeof lines) + 1;
        char *exact = malloc(size);

        memcpy(exact, lines + number(sizeof lines - (uint32_t)size + 1), size);
        for (unsigned k = number(12); k; k--)
            exact[number((uint32_t)size)] = spoil();
        LLVMFuzzerTestOneInput((const uint8_t *)exact, size);
        free(exact);
    }
    printf("lab: %lu rounds\n", rounds);
    return 0;
}
#endif
