/*
 * names.c - names for the numbers in emitted code.
 *
 * Interface: names.h. Emitted code reaches the vCPU through the GS base by displacement (area.h): a table of its
 * fields gives the names back. Invariant: what is printed does not depend on where anything lies in memory.
 */
#include "translator/names.h"

#include <stdio.h>

static const char *const register_words[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                             "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const segment_words[] = {"es", "cs", "ss", "ds", "fs", "gs"};
static const char *const context_words[] = {"kernel", "kernel_ac", "user"};
_Static_assert(sizeof context_words / sizeof *context_words == MMU_CONTEXTS, "a word for each context");

/* `count` of them, `stride` bytes apart: the first is at `offset`. Called "name", "name[i]" but for the first, or
   "words[i].name". */
struct field {
    int32_t offset;
    uint32_t stride, count;
    const char *name;
    const char *const *words;
};

#define ONE(text, field)                                                                                          \
    {                                                                                                             \
        V_OFFSET(field), 1, 1, text, NULL                                                                         \
    }
#define OWN(text, field)                                                                                          \
    {                                                                                                             \
        TV_OFFSET(field), 1, 1, text, NULL                                                                        \
    }
#define EACH(text, field)                                                                                         \
    {                                                                                                             \
        TV_OFFSET(field[0]), sizeof(((struct translator_vcpu *)0)->field[0]),                                     \
            sizeof(((struct translator_vcpu *)0)->field) / sizeof(((struct translator_vcpu *)0)->field[0]), text, \
            NULL                                                                                                  \
    }
#define SEGMENTS(text, field)                                                                                     \
    {                                                                                                             \
        V_OFFSET(seg[0].field), sizeof(struct segment), SEG_COUNT, text, segment_words                            \
    }
#define TLB(field)                                                                                                \
    {                                                                                                             \
        V_OFFSET(mmu.table[0].entry[0].field), sizeof(struct mmu_table), MMU_CONTEXTS, "tlb." #field,             \
            context_words                                                                                         \
    }

static const struct field fields[] = {
    {V_OFFSET(gpr[0]), 8, 16, "gpr", register_words},
    ONE("rip", rip),
    ONE("rflags", rflags),
    SEGMENTS("selector", selector),
    SEGMENTS("attributes", attributes),
    SEGMENTS("limit", limit),
    SEGMENTS("base", base),
    {V_OFFSET(span[0][0]), 8, SEG_COUNT, "readable", segment_words},
    {V_OFFSET(span[1][0]), 8, SEG_COUNT, "writable", segment_words},
    {V_OFFSET(closed[0]), 8, SEG_COUNT, "closed", segment_words},
    ONE("idtr.base", idtr.base),
    ONE("idtr.limit", idtr.limit),
    ONE("cr0", cr0),
    ONE("cr2", cr2),
    ONE("cr3", cr3),
    ONE("cr4", cr4),
    ONE("kernel_gs_base", kernel_gs_base),
    ONE("tsc_offset", tsc_offset),
    ONE("tsc_aux", tsc_aux),
    ONE("interrupt_shadow", interrupt_shadow),
    ONE("nmi_blocked", nmi_blocked),
    ONE("mode", mode),
    ONE("data_context", data_context),
    ONE("interrupt_line", interrupt_line),
    TLB(read),
    TLB(write),
    TLB(host),
    TLB(addend),
    OWN("stopping", stopping),
    OWN("saved_flags", flags),
    OWN("resume", resume),
    OWN("value", value),
    OWN("jump_base", jump_base),
    OWN("sure_fs", sure_fs),
    OWN("sure_gs", sure_gs),
    OWN("sure_rsp", sure_rsp),
    OWN("sure_kernel_gs", sure_kernel_gs),
    OWN("return_stack", return_stack),
    EACH("spill", spill),
    EACH("borrowed_value", borrowed_value),
    EACH("loop_pointer", loop_pointer),
    EACH("loop_limit", loop_limit),
    EACH("stack_mode", stack_mode),
    EACH("cell", cells),
    {TV_OFFSET(jump_cache[0][0].pc), sizeof(struct jump_entry) * JUMP_CACHE_SIZE, JUMP_MODES, "jump_cache.pc",
     NULL},
    {TV_OFFSET(jump_cache[0][0].host), sizeof(struct jump_entry) * JUMP_CACHE_SIZE, JUMP_MODES, "jump_cache.host",
     NULL},
    {TV_OFFSET(real_segment[0].selector), 1, 1, "real_segment.selector", NULL},
    {TV_OFFSET(real_segment[0].number), 1, 1, "real_segment.number", NULL},
};

static void write_name(const struct field *f, uint64_t i, char *text, size_t size)
{
    if (f->words)
        snprintf(text, size, "%s.%s", f->words[i], f->name);
    else if (i)
        snprintf(text, size, "%s[%llu]", f->name, (unsigned long long)i);
    else
        snprintf(text, size, "%s", f->name);
}

/* The entry of a known address, which emitted code knows too. */
static bool name_tlb_entry(int64_t offset, char *text, size_t size)
{
    static const char *const words[] = {"read", "write", "host", "addend"};

    for (unsigned context = 0; context < MMU_CONTEXTS; context++) {
        uint64_t in =
            (uint64_t)(offset - V_OFFSET(mmu.table[0].entry[0]) - (int64_t)(context * sizeof(struct mmu_table)));

        if (in < MMU_TLB_SIZE * sizeof(struct mmu_tlb_entry) && in % 8 == 0) {
            snprintf(text, size, "%s.tlb[%llu].%s", context_words[context],
                     (unsigned long long)(in / sizeof(struct mmu_tlb_entry)),
                     words[in % sizeof(struct mmu_tlb_entry) / 8]);
            return true;
        }
    }
    return false;
}

bool names_field(int64_t offset, char *text, size_t size)
{
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t in = (uint64_t)(offset - fields[i].offset);

        if (in % fields[i].stride == 0 && in / fields[i].stride < fields[i].count) {
            write_name(&fields[i], in / fields[i].stride, text, size);
            return true;
        }
    }
    return name_tlb_entry(offset, text, size);
}

const char *names_permanent(const struct translator *t, const uint8_t *host)
{
    const struct translator_code *c = &t->code;
    const struct {
        const uint8_t *at;
        const char *name;
    } known[] = {{c->memory, "callout_memory"},
                 {c->commit, "callout_commit"},
                 {c->step, "callout_interpret"},
                 {c->dispatch, "callout_dispatch"},
                 {c->link, "callout_link"},
                 {c->interpret, "callout_run_loop"},
                 {c->return_empty, "return_empty"},
                 {c->return_other, "return_other"},
                 {c->return_c, "callout_return"},
                 {c->syscall, "callout_syscall"},
                 {c->sysret, "callout_sysret"},
                 {c->sysenter, "callout_sysenter"},
                 {c->sysexit, "callout_sysexit"},
                 {c->iret, "callout_iret"},
                 {c->crossing[CROSSING_SYSCALL], "cross_syscall"},
                 {c->crossing[CROSSING_SYSRET], "cross_sysret"},
                 {c->crossing[CROSSING_SYSENTER], "cross_sysenter"},
                 {c->crossing[CROSSING_SYSEXIT], "cross_sysexit"},
                 {c->interrupt, "callout_interrupt"},
                 {c->load_segment, "callout_segment"}};

    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].at == host)
            return known[i].name;
    for (unsigned i = 0; i < sizeof c->segment / sizeof(uint8_t *); i++)
        if ((&c->segment[0][0][0])[i] == host)
            return "load_segment";
    return NULL;
}

bool names_local(const struct block *b, const uint8_t *host, char *text, size_t size)
{
    if (host >= b->code && host <= b->code_end)
        snprintf(text, size, ".%02llx", (unsigned long long)(host - b->code));
    else if (host >= b->cold && host <= b->cold_end)
        snprintf(text, size, "cold.%02llx", (unsigned long long)(host - b->cold));
    else
        return false;
    return true;
}

static bool name_target(const struct names *n, const uint8_t *host, char *text, size_t size)
{
    const char *permanent = names_permanent(n->t, host);
    const struct block *other;

    if (names_local(n->block, host, text, size))
        return true;
    other = permanent ? NULL : cache_find_host(&n->t->cache, host);
    if (permanent)
        snprintf(text, size, "%s", permanent);
    else if (other)
        snprintf(text, size, "block_%llx", (unsigned long long)other->pc);
    return permanent || other;
}

static bool name_gs(const struct names *n, int64_t offset, char *text, size_t size)
{
    const struct translator_vcpu *tv = translator_of(n->t->vcpu);

    for (unsigned i = 0; i < n->block->exit_count; i++)
        if (n->block->exits[i].cell && offset == TV_OFFSET(cells) + 8 * (n->block->exits[i].cell - tv->cells)) {
            snprintf(text, size, "exit%u.cell", i);
            return true;
        }
    return names_field(offset, text, size);
}

/* Addresses of the host's that emitted code holds. */
static bool name_immediate(const struct names *n, uint64_t value, char *text, size_t size)
{
    const struct ram *ram = n->t->ram;

    for (unsigned i = 0; i < n->block->exit_count; i++)
        if (value == (uintptr_t)&n->block->exits[i]) {
            snprintf(text, size, "exit%u", i);
            return true;
        }
    if (value > INT64_MAX && value - n->block->pc <= n->block->size) { /* not as a negative number */
        snprintf(text, size, "0x%llx", (unsigned long long)value);
        return true;
    }
    if (value - (uintptr_t)n->t->vcpu < sizeof *n->t->vcpu)
        return names_field((int64_t)(value - (uintptr_t)(n->t->vcpu + 1)), text, size);
    if (value == (uintptr_t)(n->t->vcpu + 1))
        snprintf(text, size, "window");
    else if (value - (uintptr_t)ram->host < ram->size)
        snprintf(text, size, "ram+0x%llx", (unsigned long long)(value - (uintptr_t)ram->host));
    else
        return false;
    return true;
}

bool names_find(void *names, enum dump_number kind, uint64_t value, char *text, size_t size)
{
    const struct names *n = names;

    switch (kind) {
    case DUMP_TARGET:
        return name_target(n, (const uint8_t *)(uintptr_t)value, text, size);
    case DUMP_GS:
        return name_gs(n, (int64_t)value, text, size);
    case DUMP_IMMEDIATE:
        return name_immediate(n, value, text, size);
    }
    return false;
}
