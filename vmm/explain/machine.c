/*
 * machine.c - a machine for explain: RAM with the code, page tables that map it where it is to lie, a vCPU
 * in the mode asked for, and the translator. Nothing in it ever runs.
 *
 * Interface: internal.h. Real mode has the code at its own physical address; the others have it from
 * CODE_FRAMES on, behind the page tables.
 */
#include "vmm/explain/internal.h"

#include <errno.h>
#include <string.h>

#include "cpu/system.h"

#define MEMORY (4u << 20)
#define TABLES 0x1000u /* the root of the page tables, and behind it the others */
#define CODE_FRAMES 0x200000u
#define STACK 0x10000000000ull /* of 64-bit code: where novt has nothing, so that user code may have a window */
_Static_assert(CODE_FRAMES + EXPLAIN_MAX_CODE + 2 * 4096u <= MEMORY, "the code fits");

#define ENTRY_BITS 7u                               /* present, writable, user */
#define SEGMENT_CODE (SEGATTR_P | SEGATTR_S | 0xbu) /* executable, readable, accessed */
#define SEGMENT_DATA (SEGATTR_P | SEGATTR_S | 0x3u) /* writable, accessed */

static void no_log(void *opaque, const char *topic, const char *text)
{
}

/* --- page tables --- */

/* Shape of the tables (SDM vol. 3, 4.3 and 4.5). */
struct paging {
    unsigned levels, index_bits, entry_size;
    gpa_t next; /* free page */
};

static uint64_t read_entry(const struct paging *p, const uint8_t *at)
{
    uint64_t entry = 0;

    memcpy(&entry, at, p->entry_size);
    return entry;
}

static void map_page(struct ram *ram, struct paging *p, gva_t linear, gpa_t frame)
{
    gpa_t table = TABLES;

    for (unsigned level = p->levels; level-- > 0;) {
        unsigned index = linear >> (PAGE_SHIFT + level * p->index_bits) & ((1u << p->index_bits) - 1);
        uint8_t *at = ram_host(ram, table + index * p->entry_size);
        uint64_t entry = level ? read_entry(p, at) : frame | ENTRY_BITS;

        if (!entry) {
            entry = p->next | ENTRY_BITS;
            p->next += PAGE_SIZE;
        }
        memcpy(at, &entry, p->entry_size);
        table = entry & PAGE_MASK;
    }
}

static void map_code(struct ram *ram, const struct explain_code *code)
{
    struct paging p = {.levels = code->bits == 64 ? 4 : 2,
                       .index_bits = code->bits == 64 ? 9 : 10,
                       .entry_size = code->bits == 64 ? 8 : 4,
                       .next = TABLES + PAGE_SIZE};
    gva_t page = code->address & PAGE_MASK, last = (code->address + code->size - 1) & PAGE_MASK;

    for (gpa_t frame = CODE_FRAMES;; page += PAGE_SIZE, frame += PAGE_SIZE) {
        map_page(ram, &p, page, frame);
        if (page == last)
            return;
    }
}

/* --- the vCPU's mode --- */

static void set_segments(struct vcpu *v, struct segment code, uint16_t data)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->seg[i] = (struct segment){data, code.attributes, code.limit, 0};
    v->seg[SEG_CS] = code;
}

static void set_flat(struct vcpu *v, unsigned bits, unsigned cpl)
{
    uint16_t rights = (uint16_t)(SEGATTR_G | cpl << 5);
    struct segment code = {(uint16_t)(8 + cpl),
                           (uint16_t)(SEGMENT_CODE | rights | (bits == 64 ? SEGATTR_L : SEGATTR_DB)), UINT32_MAX,
                           0};

    set_segments(v, code, (uint16_t)(16 + cpl));
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (i != SEG_CS)
            v->seg[i].attributes = (uint16_t)(SEGMENT_DATA | SEGATTR_DB | rights);
}

/* Real mode, or at CPL 3 virtual-8086 mode. The segment is the 64 KiB that the code lies in. */
static void set_16bit(struct vcpu *v, gva_t address, unsigned cpl)
{
    struct segment code = {(uint16_t)(address >> 16 << 12), (uint16_t)(SEGMENT_DATA | cpl << 5), 0xffff,
                           address & 0xf0000};

    set_segments(v, code, 0);
    v->seg[SEG_CS].attributes = (uint16_t)(cpl ? code.attributes : SEGMENT_CODE);
    v->rflags |= cpl ? FLAG_VM : 0;
}

/* What the features of the CPU model are switched on with. */
static uint64_t feature_bits(const struct cpu_model *model)
{
    static const struct {
        const char *feature;
        uint64_t bit;
    } bits[] = {{"fsgsbase", CR4_FSGSBASE}, {"xsave", CR4_OSXSAVE}, {"smap", CR4_SMAP}, {"smep", CR4_SMEP}};
    uint64_t cr4 = CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++)
        cr4 |= cpu_model_has(model, bits[i].feature) ? bits[i].bit : 0;
    return cr4;
}

static void set_mode(struct explain_machine *m, const struct explain_code *code)
{
    struct vcpu *v = m->vcpu;
    bool protected = code->bits != 16 || code->cpl, paging = code->bits != 16;

    v->gpr[RSP] = code->bits == 64 ? STACK : 0;
    v->rflags = FLAG_FIXED;
    v->cr0 = CR0_MP | CR0_ET | CR0_NE | CR0_WP | (protected ? CR0_PE : 0) | (paging ? CR0_PG : 0);
    v->cr3 = TABLES;
    v->cr4 = feature_bits(&m->model) | (code->bits == 64 ? CR4_PAE : 0);
    v->efer = code->bits == 64 ? EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA : 0;
    v->xcr0 = m->model.xcr0_allowed;
    if (code->bits == 16)
        set_16bit(v, code->address, code->cpl);
    else
        set_flat(v, code->bits, code->cpl);
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    cpu_update_mode(v);
    m->base = v->seg[SEG_CS].base;
    v->rip = code->address - m->base;
}

/* --- life --- */

static int place_code(struct explain_machine *m, const struct explain_code *code, struct error *error)
{
    gpa_t to = code->bits == 16 ? code->address : CODE_FRAMES + (code->address & ~PAGE_MASK);

    if (code->bits != 16)
        map_code(&m->ram, code);
    if (!ram_copy_to(&m->ram, to, code->bytes, code->size))
        return error_set(error, EINVAL, "explain: 0x%llx: no memory there; give another --address",
                         (unsigned long long)code->address);
    return 0;
}

static int take_accel(struct explain_machine *m, const char *accel, struct error *error)
{
    translator_default_options(&m->options);
    if (!accel || !strcmp(accel, "bt"))
        return 0;
    if (strncmp(accel, "bt,", 3))
        return error_set(error, EINVAL,
                         "explain: --accel %s: only the translator, bt, makes code to explain; give "
                         "bt[,PROPERTY=on|off]...",
                         accel);
    return translator_parse_options(&m->options, accel + 3, error);
}

static int start_translator(struct explain_machine *m, struct error *error)
{
    static const struct vcpu_ops ops = {.log = no_log};

    m->vcpu->ops = &ops;
    m->translator = translator_create(&m->ram, &m->options, error);
    return m->translator ? translator_attach(m->translator, m->vcpu, error) : -ENOTSUP;
}

static int open_parts(struct explain_machine *m, const struct explain_options *o, struct error *error)
{
    int status = take_accel(m, o->accel, error);

    if (!status)
        status = cpu_model_parse(&m->model, o->cpu, error);
    if (!status)
        status = ram_create(&m->ram, MEMORY, error);
    if (status)
        return status;
    m->vcpu = vcpu_create(&m->ram, &m->model);
    if (!m->vcpu)
        return error_set(error, ENOMEM, "out of memory");
    return start_translator(m, error);
}

int explain_machine_open(struct explain_machine *m, const struct explain_code *code,
                         const struct explain_options *o, struct error *error)
{
    int status;

    memset(m, 0, sizeof *m);
    m->ram.fd = -1;
    status = open_parts(m, o, error);
    if (!status)
        status = place_code(m, code, error);
    if (status)
        return status;
    set_mode(m, code);
    explain_take_window(m->translator, m->vcpu);
    return 0;
}

void explain_machine_close(struct explain_machine *m)
{
    if (m->translator)
        translator_detach(m->translator, m->vcpu);
    translator_destroy(m->translator);
    vcpu_destroy(m->vcpu);
    if (m->ram.host)
        ram_destroy(&m->ram);
}
