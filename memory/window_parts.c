/*
 * window_parts.c - the parts of the address space that are not novt's own.
 *
 * Interface: window.h. They are found once, behind everything large that novt maps. What it maps later (a thread's
 * stack, an arena of malloc) the host places next to what is there already: within GUARD_MAPPED of it. Whoever
 * takes the window for another address space looks whether that still holds (window_is_ours). Not to be called
 * while the guest's SIMD state is live.
 */
#include "memory/kwindow.h"

#include <stdio.h>
#include <string.h>

#define USER_END 0x7ffffffff000ull
#define GUARD_MAPPED 0x100000000ull
#define GUARD_STACK 0x1000000ull    /* below a stack, which may grow; nothing is ever put above it */
#define GUARD_PROGRAM 0x80000000ull /* above the program and its heap, which grows; mappings do not come there */

/* Takes [from, to) away from the last allowed part; mappings come in ascending order. */
static bool forbid(struct window *w, uint64_t from, uint64_t to)
{
    struct window_part *last = &w->wide[w->wide_count - 1];
    uint64_t end = last->to;

    from &= ~(WINDOW_PROBE_UNIT - 1);
    to = (to + WINDOW_PROBE_UNIT - 1) & ~(WINDOW_PROBE_UNIT - 1);
    if (from <= last->from) {
        last->from = to > last->from ? to : last->from;
    } else {
        last->to = from;
        if (w->wide_count == WINDOW_PARTS)
            return false;
        w->wide[w->wide_count++] = (struct window_part){.from = to, .to = end};
    }
    return true;
}

struct mapping {
    uint64_t from, to;
    uint64_t below, above; /* what has to stay free around it */
};

extern const char __executable_start[], end[]; /* of this program: the linker's */

static void find_guards(struct mapping *m, const char *line)
{
    bool kernels = strstr(line, "[stack") || strstr(line, "[v"); /* the first stack, and what is next to it */
    bool program = strstr(line, "[heap") || (m->to > (uintptr_t)__executable_start && m->from < (uintptr_t)end);

    bool probes = m->from >= KWINDOW_BASE && m->to <= KWINDOW_BASE + WINDOW_NARROW_SIZE; /* begins with a hole */

    m->below = kernels ? GUARD_STACK : probes ? 0 : program ? WINDOW_GUARD : GUARD_MAPPED;
    m->above = kernels || probes ? WINDOW_GUARD : program ? GUARD_PROGRAM : GUARD_MAPPED;
}

/* The next line of /proc/self/maps. *good becomes false if it is not understood. */
static bool next_mapping(FILE *maps, struct mapping *m, bool *good)
{
    unsigned long long from, to;
    char line[512];

    if (!*good || !fgets(line, sizeof line, maps))
        return false;
    *good = sscanf(line, "%llx-%llx", &from, &to) == 2;
    *m = (struct mapping){.from = from, .to = to};
    find_guards(m, line);
    return *good;
}

void window_find_parts(struct window *w)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    bool good = maps;
    struct mapping m;

    w->wide[0] = (struct window_part){.from = WINDOW_LOWEST, .to = USER_END};
    w->wide_count = 1;
    while (good && next_mapping(maps, &m, &good))
        if (m.from < USER_END)
            good = forbid(w, m.from > m.below ? m.from - m.below : 0, m.to + m.above);
    if (maps)
        fclose(maps);
    while (w->wide_count && w->wide[w->wide_count - 1].from >= w->wide[w->wide_count - 1].to)
        w->wide_count--;
    if (!good)
        w->wide_count = 0;
}

static bool add_part(struct window *w, uint64_t from, uint64_t to)
{
    if (from >= to)
        return true;
    if (w->wide_count == WINDOW_PARTS)
        return false;
    w->wide[w->wide_count++] = (struct window_part){.from = from, .to = to};
    return true;
}

bool window_parts_split(struct window *w, uint64_t from, uint64_t to)
{
    for (unsigned i = w->wide_count; i-- > 0;) {
        struct window_part part = w->wide[i];

        if (part.to <= from || part.from >= to)
            continue;
        w->wide[i] = w->wide[--w->wide_count];
        if (!add_part(w, part.from, from) || !add_part(w, to, part.to))
            return false;
    }
    return true;
}

bool window_is_ours(struct window *w)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    bool good = maps;
    struct mapping m;

    while (good && next_mapping(maps, &m, &good))
        for (unsigned i = 0; i < w->part_count; i++)
            good &= m.to <= w->part[i].from || m.from >= w->part[i].to;
    if (maps)
        fclose(maps);
    return good;
}
