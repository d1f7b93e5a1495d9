/*
 * engine_bt.c - the binary translator as an engine.
 *
 * Interface: engine.h. Everything of substance is in translator/.
 */
#include "vmm/engine.h"

#include <errno.h>

#include "vmm/machine.h"

static int bt_parse(struct engine_options *options, const char *properties, struct error *error)
{
    return *properties ? translator_parse_options(&options->bt, properties, error) : 0;
}

static int bt_create(struct machine *m, struct error *error)
{
    struct translator_options *o = &m->engine_options.bt;
    struct translator *t;
    const void *permanent;
    size_t permanent_size;
    int status;

    o->hooks_opaque = &m->tracer;
    o->made = tracer_wants_made(&m->tracer) ? tracer_made : NULL;
    o->flushed = m->tracer.perf ? tracer_flushed : NULL;
    o->enters = tracer_wants_enters(&m->tracer) ? tracer_enters : NULL;
    o->enters_at = m->options->trace.filter;
    t = translator_create(&m->ram, o, error);
    if (!t)
        return -ENOTSUP;
    status = translator_attach(t, m->vcpu, error);
    if (status) {
        translator_destroy(t);
        return status;
    }
    m->engine_state = t;
    if (m->ram.trace.tell)
        m->ram.trace.tell = translator_tell;
    permanent = translator_permanent_code(t, &permanent_size);
    tracer_permanent(&m->tracer, permanent, permanent_size);
    return 0;
}

static void bt_destroy(struct machine *m)
{
    if (!m->engine_state)
        return;
    translator_detach(m->engine_state, m->vcpu);
    translator_destroy(m->engine_state);
    m->engine_state = NULL;
}

static int bt_enter(struct machine *m, struct error *error)
{
    return translator_thread_enter(m->engine_state, m->vcpu, error);
}

static void bt_leave(struct machine *m)
{
    translator_thread_leave(m->engine_state, m->vcpu);
}

static void bt_run(struct machine *m, struct vcpu *v)
{
    translator_run(m->engine_state, v);
}

static void bt_forget(struct machine *m)
{
    translator_invalidate(m->engine_state, 0, ram_low_size(&m->ram));
    if (ram_high_end(&m->ram) > RAM_HOLE_END)
        translator_invalidate(m->engine_state, RAM_HOLE_END, ram_high_end(&m->ram) - RAM_HOLE_END);
}

static void add_expansion(const struct machine *m, struct stats *stats)
{
    struct translator_expansion e;

    translator_measure_expansion(m->engine_state, &e);
    stats_add(stats, "cached_instructions", e.guest);
    stats_add(stats, "cached_host_instructions", e.host);
    stats_add(stats, "cached_host_cold_instructions", e.host_cold);
}

static void bt_stats(const struct machine *m, struct stats *stats)
{
    static const char *const exit_names[] = {"exit_none",         "exit_request",   "exit_hlt",
                                             "exit_triple_fault", "exit_translate", "exit_interpret",
                                             "exit_chain",        "exit_step",      "exit_limit"};
    const struct translator_stats *s = translator_get_stats(m->engine_state);
    const struct window *w = m->vcpu->mmu.window;
    const struct kwindow *k = m->vcpu->mmu.kwindow;

    stats_add(stats, "blocks", s->blocks);
    stats_add(stats, "relocated_blocks", s->relocated);
    stats_add(stats, "translated_instructions", s->guest_instructions);
    stats_add(stats, "translated_bytes", s->guest_bytes);
    stats_add(stats, "translation_us", s->translation_ns / 1000);
    stats_add(stats, "emitted_bytes", s->host_bytes);
    stats_add(stats, "emitted_cold_bytes", s->cold_bytes);
    add_expansion(m, stats);
    stats_add(stats, "entries", s->entries);
    for (unsigned i = 0; i < sizeof exit_names / sizeof exit_names[0]; i++)
        stats_add(stats, exit_names[i], s->exits[i]);
    stats_add(stats, "chained", s->chained);
    stats_add(stats, "lookups", s->lookups);
    stats_add(stats, "jump_cache_fills", s->jump_cache_fills);
    stats_add(stats, "invalidated_blocks", s->invalidated_blocks);
    stats_add(stats, "loose_operands", s->loose_operands);
    stats_add(stats, "code_writes", s->code_writes);
    stats_add(stats, "cache_flushes", s->cache_flushes);
    stats_add(stats, "memory_slow", s->memory_slow);
    stats_add(stats, "memory_bounce", s->memory_bounce);
    stats_add(stats, "callouts", s->callouts);
    stats_add(stats, "signals", s->signals);
    stats_add(stats, "lockstep_blocks", s->lockstep_blocks);
    stats_add(stats, "lockstep_instructions", s->lockstep_instructions);
    stats_add(stats, "group_failures", s->group_failures);
    stats_add(stats, "window_signals", s->window_signals);
    stats_add(stats, "window_unsuitable", s->window_unsuitable);
    if (k) {
        stats_add(stats, "kwindow_maps", k->stats.maps);
        stats_add(stats, "kwindow_pages", k->stats.pages);
        stats_add(stats, "kwindow_flushes", k->stats.flushes);
        stats_add(stats, "kwindow_page_flushes", k->stats.page_flushes);
        stats_add(stats, "kwindow_evictions", k->stats.evictions);
    }
    if (!w)
        return;
    stats_add(stats, "window_fills", w->stats.fills);
    stats_add(stats, "window_flushes", w->stats.flushes);
    stats_add(stats, "window_page_flushes", w->stats.page_flushes);
    stats_add(stats, "window_evictions", w->stats.evictions);
    stats_add(stats, "window_promotions", w->stats.promotions);
    stats_add(stats, "window_demotions", w->stats.demotions);
}

static int bt_set_breakpoints(struct machine *m, const gva_t *address, unsigned count)
{
    return translator_set_breakpoints(m->engine_state, m->vcpu, address, count);
}

static bool bt_next_block(const struct machine *m, size_t *index, struct translator_block *block)
{
    return translator_next_block(m->engine_state, index, block);
}

const struct engine engine_bt = {
    .name = "bt",
    .help = "binary translation",
    .parse = bt_parse,
    .create = bt_create,
    .destroy = bt_destroy,
    .enter = bt_enter,
    .leave = bt_leave,
    .run = bt_run,
    .kick = translator_kick,
    .forget = bt_forget,
    .stats = bt_stats,
    .set_breakpoints = bt_set_breakpoints,
    .next_block = bt_next_block,
};
