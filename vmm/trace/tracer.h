/*
 * tracer.h - makes words of what the lower floors tell: the topics mmu, smc, exec, cpu, in_asm and out_asm, and
 * perf's map, with names of guest addresses where there are symbols.
 *
 * All but the making is for the vCPU's thread.
 */
#ifndef NOVT_VMM_TRACE_TRACER_H
#define NOVT_VMM_TRACE_TRACER_H

#include "translator/translator.h"
#include "vmm/log.h"
#include "vmm/trace/perf_map.h"
#include "vmm/trace/ranges.h"
#include "vmm/trace/symbols.h"

struct tracer_options {
    const char *symbols; /* a path, or NULL */
    uint64_t symbols_offset;
    struct ranges filter; /* of in_asm, out_asm, exec and cpu */
    bool perf_map;
};

struct tracer {
    const struct tracer_options *options;
    struct log *log;
    const char *kernel;      /* a file that may have symbols and has not been asked yet; or NULL */
    struct symbols *symbols; /* NULL: none */
    struct perf_map *perf;   /* likewise */
    const void *permanent;   /* host code, for perf */
    size_t permanent_size;
    bool in_asm, out_asm, exec, cpu, mmu, smc;
};

/* kernel: a file that may have symbols, if no other has been named; NULL: none. `options` and `log` outlive the
   tracer. Errors: those of symbols_open and perf_map_open. tracer_close takes one that has failed, too. */
int tracer_open(struct tracer *tracer, const struct tracer_options *options, struct log *log, const char *kernel,
                struct error *error);
void tracer_close(struct tracer *tracer);
/* Reading a kernel's symbols takes time, so that is left to here if no topic needs them from the start. Not in a
   signal handler. */
void tracer_find_symbols(struct tracer *tracer);

#define TRACER_NAME 256
/* " <name+0x10>" of a guest address, or "": to be put behind it. Returns `text`. Takes no lock. */
const char *tracer_name(const struct tracer *tracer, gva_t address, char text[TRACER_NAME]);

/* 16, 32 or 64: the size of code of this mode. */
unsigned tracer_bits(uint32_t mode);

/* The hooks: of translator_options, and vcpu_ops.tell. */
void tracer_made(void *tracer, const struct translator_made *made);
void tracer_flushed(void *tracer);
/* Host code that belongs to no block, and stays. */
void tracer_permanent(struct tracer *tracer, const void *code, size_t size);
void tracer_enters(void *tracer, const struct vcpu *v);
void tracer_tell(struct tracer *tracer, const struct vcpu *v, enum trace_kind kind,
                 const uint64_t value[TRACE_VALUES]);
/* Who wants which of them? */
static inline bool tracer_wants_made(const struct tracer *t)
{
    return t->in_asm || t->out_asm || t->perf;
}
static inline bool tracer_wants_enters(const struct tracer *t)
{
    return t->exec || t->cpu;
}
static inline bool tracer_wants_tell(const struct tracer *t)
{
    return t->mmu || t->smc;
}

#endif
