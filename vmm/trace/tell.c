/*
 * tell.c - what memory and translated code tell, in words: the topics mmu and smc.
 *
 * Interface: tracer.h. One row a kind; in its text a percent sign and a letter stand for the next value.
 */
#include "vmm/trace/tracer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* %a linear address, with its name; %x number in hexadecimal; %u in decimal; %s text; %c context; %r
   TRACE_RIGHT_*; %t the first text of "[no|yes]" if the value is 0, else the second. */
static const struct {
    const char *topic, *text;
} rows[TRACE_KINDS] = {
    [TRACE_FILL] = {"mmu", "fill %c %a to %x %r"},
    [TRACE_FAULT] = {"mmu", "fault %c %a error %x"},
    [TRACE_FLUSH] = {"mmu", "flush %t[all but global pages|all]"},
    [TRACE_FLUSH_CR3] = {"mmu", "flush for CR3 %x%t[|, keeping its PCID's]"},
    [TRACE_FLUSH_MODES] = {"mmu", "flush all: paging modes %x to %x"},
    [TRACE_FLUSH_PAGE] = {"mmu", "flush page %a%t[|: all, since a large page was seen there]"},
    [TRACE_FLUSH_PCID] = {"mmu", "flush other PCID %x"},
    [TRACE_PROMOTE] = {"mmu", "window made for CR3 %x, %t[wide|narrow]"},
    [TRACE_DEMOTE] = {"mmu", "window taken from CR3 %x: %s"},
    [TRACE_WINDOW_MAP] = {"mmu", "window maps %a to RAM %x%t[| writable]"},
    [TRACE_WINDOW_DROP] = {"mmu", "window drops %a"},
    [TRACE_WINDOW_EMPTY] = {"mmu", "window emptied, pages %u"},
    [TRACE_KERNEL_OPEN] = {"mmu", "kernel window made, %t[narrow|wide]"},
    [TRACE_KERNEL_CLAIM] = {"mmu", "kernel window may map %a to %x"},
    [TRACE_KERNEL_MAP] = {"mmu", "kernel window maps %a to %x at RAM %x%t[| writable]"},
    [TRACE_KERNEL_DROP] = {"mmu", "kernel window drops %a"},
    [TRACE_KERNEL_EMPTY] = {"mmu", "kernel window emptied, runs %u"},
    [TRACE_CODE_WRITE] = {"smc", "store to RAM %x, bytes %u, blocks dropped %u%t[|, none left in the page]"},
    [TRACE_CODE_BACK] = {"smc", "block %a in RAM page %x is back: its bytes are as they were"},
    [TRACE_CODE_FLUSH] = {"smc", "code cache full, blocks dropped %u"},
};

struct line {
    char text[512];
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(l->text + l->used, sizeof l->text - l->used, format, ap);
    va_end(ap);
    if (n > 0)
        l->used += (size_t)n < sizeof l->text - l->used ? (size_t)n : sizeof l->text - l->used - 1;
}

/* "[no|yes]": where it ends. */
static const char *put_choice(struct line *l, const char *at, bool second)
{
    const char *bar = strchr(at, '|'), *end = strchr(bar, ']');

    if (second)
        put(l, "%.*s", (int)(end - bar - 1), bar + 1);
    else
        put(l, "%.*s", (int)(bar - at - 1), at + 1);
    return end + 1;
}

static void put_value(const struct tracer *t, struct line *l, char kind, uint64_t value)
{
    static const char *const contexts[] = {"supervisor", "supervisor-ac", "user"};
    char name[TRACER_NAME];

    switch (kind) {
    case 'a':
        put(l, "%016" PRIx64 "%s", value, tracer_name(t, value, name));
        break;
    case 'c':
        put(l, "%s", contexts[value]);
        break;
    case 'r':
        put(l, "%s%s%s%s", value & TRACE_RIGHT_READ ? "r" : "-", value & TRACE_RIGHT_WRITE ? "w" : "-",
            value & TRACE_RIGHT_FETCH ? "x" : "-", value & TRACE_RIGHT_GLOBAL ? "g" : "");
        break;
    case 's':
        put(l, "%s", (const char *)(uintptr_t)value);
        break;
    case 'u':
        put(l, "%" PRIu64, value);
        break;
    default:
        put(l, "0x%" PRIx64, value);
    }
}

/* Flushes come from instructions: which one? */
static bool has_reason(enum trace_kind kind)
{
    return kind >= TRACE_FLUSH && kind <= TRACE_FLUSH_PCID;
}

void tracer_tell(struct tracer *t, const struct vcpu *v, enum trace_kind kind, const uint64_t value[TRACE_VALUES])
{
    const char *at = rows[kind].text;
    struct line l = {.used = 0};
    char name[TRACER_NAME];

    if (!log_wants(t->log, rows[kind].topic))
        return;
    while (*at) {
        if (*at != '%') {
            put(&l, "%c", *at++);
        } else if (at[1] == 't') {
            at = put_choice(&l, at + 2, *value++);
        } else {
            put_value(t, &l, at[1], *value++);
            at += 2;
        }
    }
    if (has_reason(kind))
        put(&l, ", at %016" PRIx64 "%s", v->rip, tracer_name(t, v->rip, name));
    log_write(t->log, rows[kind].topic, l.text);
}
