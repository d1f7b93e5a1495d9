/*
 * json.c - an explanation as JSON.
 *
 * Interface: internal.h. Addresses are strings of hex digits, since JSON's numbers have 53 bits.
 */
#include <errno.h>
#include <json-c/json.h>

#include "vmm/explain/internal.h"

static void add_text(json_object *to, const char *key, const char *text)
{
    json_object_object_add(to, key, json_object_new_string(text));
}

static void add_number(json_object *to, const char *key, uint64_t value)
{
    json_object_object_add(to, key, json_object_new_int64((int64_t)value));
}

static void add_address(json_object *to, const char *key, uint64_t address)
{
    char text[24];

    snprintf(text, sizeof text, "0x%llx", (unsigned long long)address);
    add_text(to, key, text);
}

static void add_bool(json_object *to, const char *key, bool value)
{
    json_object_object_add(to, key, json_object_new_boolean(value));
}

static void add_flags(json_object *to, const char *key, uint16_t flags)
{
    char text[32];

    explain_flag_names(flags, "", text);
    add_text(to, key, text);
}

static json_object *sensitive_object(const struct sensitive *s)
{
    json_object *o = json_object_new_object();

    add_bool(o, "privileged", s->privileged);
    add_bool(o, "control", s->kinds & SENSITIVE_CONTROL);
    add_bool(o, "behaviour", s->kinds & SENSITIVE_BEHAVIOUR);
    if (s->robin)
        add_text(o, "robin_irvine", s->robin);
    add_text(o, "reason", s->reason);
    add_text(o, "manual", s->manual);
    return o;
}

static json_object *host_object(const struct explain_host *h)
{
    static const char *const parts[] = {"entry", "hot", "cold"};
    json_object *o = json_object_new_object();

    add_text(o, "part", parts[h->part]);
    add_number(o, "offset", h->offset);
    add_number(o, "size", h->size);
    add_text(o, "text", h->text);
    if (h->note)
        add_text(o, "note", h->note);
    return o;
}

static json_object *host_array(const struct explain_block *b, uint32_t guest)
{
    json_object *array = json_object_new_array();

    for (unsigned i = 0; i < b->host_count; i++)
        if (b->host[i].guest == guest)
            json_object_array_add(array, host_object(&b->host[i]));
    return array;
}

static json_object *guest_object(const struct explain_block *b, unsigned i)
{
    const struct explain_guest *g = &b->guest[i];
    json_object *o = json_object_new_object();
    char bytes[2 * 16 + 1] = "";

    for (unsigned k = 0; k < g->length; k++)
        sprintf(bytes + 2 * k, "%02x", g->bytes[k]);
    add_address(o, "address", g->pc);
    add_text(o, "bytes", bytes);
    add_text(o, "text", g->text);
    add_text(o, "class", explain_class_word(g->class));
    add_bool(o, "interpreted", g->interpreted);
    if (g->lacking)
        add_bool(o, "lacking", true);
    if (g->sensitive)
        json_object_object_add(o, "sensitive", sensitive_object(g->sensitive));
    add_flags(o, "flags_read", g->flags_read);
    add_flags(o, "flags_written", g->flags_written);
    add_flags(o, "flags_live", g->flags_live);
    add_text(o, "flags_at", g->flags_at);
    json_object_object_add(o, "host", host_array(b, i));
    return o;
}

static json_object *exit_object(const struct explain_block *b, const struct explain_exit *x)
{
    static const char *const kinds[] = {
        [EXPLAIN_EXIT_PATCHED] = "patched",     [EXPLAIN_EXIT_CELL] = "cell",
        [EXPLAIN_EXIT_SITE] = "return site",    [EXPLAIN_EXIT_JUMP_CACHE] = "jump cache",
        [EXPLAIN_EXIT_RETURN] = "return stack", [EXPLAIN_EXIT_CROSSING] = "crossing",
        [EXPLAIN_EXIT_CALLOUT] = "callout",
    };
    json_object *o = json_object_new_object();

    add_text(o, "kind", kinds[x->kind]);
    add_number(o, "instruction", x->guest);
    if (x->kind <= EXPLAIN_EXIT_SITE)
        add_address(o, "target", x->target);
    add_bool(o, "can_link", x->can_link);
    if (b->cached)
        add_bool(o, "linked", x->linked);
    return o;
}

static json_object *block_object(const struct explain_block *b)
{
    json_object *o = json_object_new_object(), *guest = json_object_new_array(), *exits = json_object_new_array();

    add_address(o, "address", b->pc);
    add_number(o, "bits", b->bits);
    add_number(o, "cpl", b->cpl);
    add_text(o, "memory", b->tier);
    add_bool(o, "translated", b->translated);
    if (!b->translated)
        add_text(o, "why", b->why);
    add_number(o, "guest_bytes", b->guest_bytes);
    add_number(o, "hot_bytes", b->hot_bytes);
    add_number(o, "cold_bytes", b->cold_bytes);
    json_object_object_add(o, "entry", host_array(b, EXPLAIN_NO_GUEST));
    for (unsigned i = 0; i < b->guest_count; i++)
        json_object_array_add(guest, guest_object(b, i));
    json_object_object_add(o, "instructions", guest);
    for (unsigned i = 0; i < b->exit_count; i++)
        json_object_array_add(exits, exit_object(b, &b->exit[i]));
    json_object_object_add(o, "exits", exits);
    return o;
}

int explain_write_json(const struct explanation *e, FILE *to, struct error *error)
{
    json_object *o = json_object_new_object(), *blocks = json_object_new_array();
    const char *text;
    int status = 0;

    add_text(o, "code", e->code->name);
    for (unsigned i = 0; i < e->count; i++)
        json_object_array_add(blocks, block_object(e->block[i]));
    json_object_object_add(o, "blocks", blocks);
    add_bool(o, "more", e->more);
    if (e->has_rest)
        add_address(o, "rest", e->rest);
    text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (text)
        fprintf(to, "%s\n", text);
    else
        status = error_set(error, ENOMEM, "out of memory");
    json_object_put(o);
    return status;
}
