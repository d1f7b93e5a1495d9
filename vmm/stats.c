/*
 * stats.c - counters for --stats, as text or JSON.
 *
 * Interface: stats.h. Invariant: names are unique and stay the same from version to version, for scripts.
 */
#include "vmm/stats.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "vmm/machine.h"

void stats_add(struct stats *stats, const char *name, uint64_t value)
{
    if (stats->count == STATS_ROWS)
        return;
    stats->row[stats->count].name = name;
    stats->row[stats->count++].value = value;
}

void stats_print(const struct stats *stats, bool json, FILE *to)
{
    if (json)
        fputs("{", to);
    for (unsigned i = 0; i < stats->count; i++)
        fprintf(to, json ? "%s\"%s\": %" PRIu64 : "%s%-28s %" PRIu64 "\n", json && i ? ", " : "",
                stats->row[i].name, stats->row[i].value);
    if (json)
        fputs("}\n", to);
}

static uint64_t microseconds(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void add_process(struct stats *stats, const struct machine *m)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    stats_add(stats, "wall_us", (machine_now_ns() - m->ns_origin) / 1000);
    stats_add(stats, "user_us", microseconds(usage.ru_utime));
    stats_add(stats, "system_us", microseconds(usage.ru_stime));
    stats_add(stats, "max_rss_kib", (uint64_t)usage.ru_maxrss);
    stats_add(stats, "guest_ram_kib", m->ram.size >> 10);
}

static void add_vcpu(struct stats *stats, const struct vcpu *v)
{
    static const char *const exception_names[] = {"exception_de", "exception_db", "exception_nmi", "exception_bp",
                                                  "exception_of", "exception_br", "exception_ud",  "exception_nm",
                                                  "exception_df", NULL,           "exception_ts",  "exception_np",
                                                  "exception_ss", "exception_gp", "exception_pf",  NULL,
                                                  "exception_mf", "exception_ac", "exception_mc",  "exception_xm"};

    static const char *const sample_names[ACTIVITY_COUNT] = {"sampled_run_loop",    "sampled_translated",
                                                             "sampled_translator",  "sampled_memory",
                                                             "sampled_interpreter", "sampled_devices"};

    stats_add(stats, "interpreted", v->stats.interpreted);
    stats_add(stats, "interrupts", v->stats.interrupts);
    stats_add(stats, "syscalls", v->stats.syscalls);
    stats_add(stats, "halts", v->stats.halts);
    stats_add(stats, "pauses", v->stats.pauses);
    for (unsigned i = 0; i < sizeof exception_names / sizeof exception_names[0]; i++)
        if (exception_names[i])
            stats_add(stats, exception_names[i], v->stats.exceptions[i]);
    stats_add(stats, "tlb_fills", v->mmu.stats.fills);
    stats_add(stats, "tlb_faults", v->mmu.stats.faults);
    stats_add(stats, "tlb_flushes", v->mmu.stats.flushes);
    stats_add(stats, "tlb_page_flushes", v->mmu.stats.page_flushes);
    stats_add(stats, "page_walks", v->mmu.stats.walks);
    for (unsigned i = 0; i < ACTIVITY_COUNT; i++)
        stats_add(stats, sample_names[i], v->stats.samples[i]);
}

static void add_bus(struct stats *stats, const struct bus_stats *b)
{
    stats_add(stats, "io_reads", b->io_reads);
    stats_add(stats, "io_writes", b->io_writes);
    stats_add(stats, "mmio_reads", b->mmio_reads);
    stats_add(stats, "mmio_writes", b->mmio_writes);
    stats_add(stats, "unassigned", b->unassigned);
}

void stats_collect(struct stats *stats, const struct machine *m)
{
    stats->count = 0;
    add_process(stats, m);
    add_vcpu(stats, m->vcpu);
    add_bus(stats, bus_get_stats(m->board->bus));
    if (m->engine->stats)
        m->engine->stats(m, stats);
}
