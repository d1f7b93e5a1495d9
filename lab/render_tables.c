/*
 * render_tables.c - draws the guest's page-table entries, the frames of its memory, and what novt has for the same
 * pages, side by side, as inline SVG.
 *
 * Interface: lab_render_drawing; the data are those of shadow_tables.h.
 */
#include "lab/render.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define WIDTH 960
#define ROW 34
#define BOX 26
#define TOP 52
#define GUEST_X 0
#define GUEST_WIDTH 330
#define FRAME_X 435
#define FRAME_WIDTH 90
#define SHADOW_X 630
#define SHADOW_WIDTH 330
#define FRAMES 64u

struct drawing {
    struct json_object *pages;
    const char *shadow; /* which of novt's caches */
    int64_t frame[FRAMES];
    unsigned frames;
};

static int64_t number(struct json_object *object, const char *key)
{
    return json_object_get_int64(json_object_object_get(object, key));
}

static const char *text(struct json_object *object, const char *key)
{
    return json_object_get_string(json_object_object_get(object, key));
}

/* Kept in ascending order, each once. */
static void add_frame(struct drawing *d, int64_t frame)
{
    unsigned at = 0;

    while (at < d->frames && d->frame[at] < frame)
        at++;
    if (d->frames == FRAMES || (at < d->frames && d->frame[at] == frame))
        return;
    memmove(&d->frame[at + 1], &d->frame[at], (d->frames - at) * sizeof d->frame[0]);
    d->frame[at] = frame;
    d->frames++;
}

static int frame_y(const struct drawing *d, int64_t frame)
{
    unsigned at = 0;

    while (at + 1 < d->frames && d->frame[at] != frame)
        at++;
    return TOP + (int)at * ROW + BOX / 2;
}

static void put_box(const char *class, int x, int y, int width, FILE *to)
{
    fprintf(to, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\"/>", class, x, y, width,
            BOX);
}

static void put_line(const char *class, int x1, int y1, int x2, int y2, FILE *to)
{
    int middle = (x1 + x2) / 2;

    fprintf(to, "<path class=\"%s\" d=\"M%d %dC%d %d %d %d %d %d\"/>\n", class, x1, y1, middle, y1, middle, y2, x2,
            y2);
}

static void put_guest(const struct drawing *d, struct json_object *page, int y, FILE *to)
{
    put_box("box guest", GUEST_X, y, GUEST_WIDTH, to);
    fprintf(to, "<text class=mono x=\"%d\" y=\"%d\">%" PRIx64 "  &#8594;  %" PRIx64 "  %s</text>\n", GUEST_X + 12,
            y + 18, number(page, "linear"), number(page, "frame"), text(page, "bits"));
    put_line("wire guest", GUEST_X + GUEST_WIDTH, y + BOX / 2, FRAME_X, frame_y(d, number(page, "frame")), to);
}

static void put_shadow(const struct drawing *d, struct json_object *page, int y, FILE *to)
{
    struct json_object *map = json_object_object_get(page, d->shadow);
    bool stale = map && number(map, "frame") != number(page, "frame");

    put_box(!map ? "box none" : stale ? "box stale" : "box shadow", SHADOW_X, y, SHADOW_WIDTH, to);
    if (!map) {
        fprintf(to, "<text class=\"mono dim\" x=\"%d\" y=\"%d\">%" PRIx64 "  not there</text>\n", SHADOW_X + 12,
                y + 18, number(page, "linear"));
        return;
    }
    fprintf(to, "<text class=mono x=\"%d\" y=\"%d\">%" PRIx64 "  &#8594;  %" PRIx64 "  %s%s</text>\n",
            SHADOW_X + 12, y + 18, number(page, "linear"), number(map, "frame"), text(map, "rights"),
            stale ? "  stale, not flushed" : "");
    put_line(stale ? "wire stale" : "wire shadow", SHADOW_X, y + BOX / 2, FRAME_X + FRAME_WIDTH,
             frame_y(d, number(map, "frame")), to);
}

static void put_frames(const struct drawing *d, FILE *to)
{
    for (unsigned i = 0; i < d->frames; i++) {
        int y = TOP + (int)i * ROW;

        put_box("box frame", FRAME_X, y, FRAME_WIDTH, to);
        fprintf(to, "<text class=\"mono mid\" x=\"%d\" y=\"%d\">%" PRIx64 "</text>\n", FRAME_X + FRAME_WIDTH / 2,
                y + 18, d->frame[i]);
    }
}

static void put_headings(const struct drawing *d, FILE *to)
{
    fprintf(to, "<text class=head x=\"%d\" y=\"20\">Guest's page table</text>\n", GUEST_X);
    fprintf(to, "<text class=\"dim small\" x=\"%d\" y=\"38\">present, writable, user, accessed, dirty</text>\n",
            GUEST_X);
    fprintf(to, "<text class=\"head mid\" x=\"%d\" y=\"20\">Frames</text>\n", FRAME_X + FRAME_WIDTH / 2);
    fprintf(to, "<text class=head x=\"%d\" y=\"20\">novt's %s</text>\n", SHADOW_X,
            strcmp(d->shadow, "window") ? "TLB, for user code" : "window: the host's page tables");
    fprintf(to, "<text class=\"dim small\" x=\"%d\" y=\"38\">rights that it gives without asking again</text>\n",
            SHADOW_X);
}

static void find_frames(struct drawing *d)
{
    for (size_t i = 0; i < json_object_array_length(d->pages); i++) {
        struct json_object *page = json_object_array_get_idx(d->pages, i), *map;

        map = json_object_object_get(page, d->shadow);
        add_frame(d, number(page, "frame"));
        if (map)
            add_frame(d, number(map, "frame"));
    }
}

void lab_render_drawing(struct json_object *drawing, FILE *to)
{
    struct drawing d = {.pages = json_object_object_get(drawing, "pages"), .shadow = text(drawing, "shadow")};
    size_t pages = json_object_array_length(d.pages);

    find_frames(&d);
    fputs("<figure class=tables><figcaption>", to);
    lab_render_escaped(text(drawing, "title"), to);
    fprintf(to, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=img>\n", WIDTH,
            TOP + (int)(pages > d.frames ? pages : d.frames) * ROW);
    put_headings(&d, to);
    for (size_t i = 0; i < pages; i++) {
        put_guest(&d, json_object_array_get_idx(d.pages, i), TOP + (int)i * ROW, to);
        put_shadow(&d, json_object_array_get_idx(d.pages, i), TOP + (int)i * ROW, to);
    }
    put_frames(&d, to);
    fputs("</svg></figure>\n", to);
}
