/*
 * access.c - guest memory by linear address: RAM through the software TLB, MMIO through the machine's hooks.
 *
 * Interface: access.h. Invariants: an access that crosses into a second page translates both pages before a byte
 * moves, so that a fault leaves no trace; every store to RAM goes through store_host, which feeds the write log;
 * pages that hold translated code are told about after the store.
 */
#include "cpu/access.h"

#include <string.h>

#include "cpu/host.h"

/* The part of an access that lies in one page. */
struct piece {
    uint8_t *host; /* NULL: MMIO */
    gpa_t gpa;
    unsigned size;
    bool code;
};

static enum cpu_status raise_page_fault(struct vcpu *v, gva_t linear)
{
    cpu_raise_error(v, EXC_PF, v->mmu.error_code);
    v->fault.address = linear;
    return CPU_FAULT;
}

static enum cpu_status translate_piece(struct vcpu *v, enum mmu_context context, gva_t linear,
                                       enum mmu_access access, struct piece *p)
{
    enum mmu_result result = mmu_translate(&v->mmu, context, linear, access, &p->host, &p->gpa);

    p->code = false;
    switch (result) {
    case MMU_OK:
        return CPU_OK;
    case MMU_CODE:
        p->code = true;
        return CPU_OK;
    case MMU_MMIO:
        p->host = NULL;
        return v->simd_live ? CPU_NEED_FULL : CPU_OK;
    case MMU_FAULT:
        return raise_page_fault(v, linear);
    default:
        return cpu_raise_error(v, EXC_GP, 0);
    }
}

/* One or two pieces; their number in *count. */
static enum cpu_status translate(struct vcpu *v, enum mmu_context context, gva_t linear, unsigned size,
                                 enum mmu_access access, struct piece p[2], unsigned *count)
{
    unsigned room = (unsigned)(PAGE_SIZE - (linear & ~PAGE_MASK));
    enum cpu_status status = translate_piece(v, context, linear, access, &p[0]);

    *count = 1;
    p[0].size = size;
    if (status != CPU_OK || size <= room)
        return status;
    *count = 2;
    p[0].size = room;
    p[1].size = size - room;
    linear += room;
    if (!(v->mode & MODE_LMA))
        linear &= 0xffffffffu;
    return translate_piece(v, context, linear, access, &p[1]);
}

RAM_UNALIGNED /* Registers hold little-endian numbers as memory does, so that a value's first bytes are its low
                 ones. */
    static void
    load_host(void *to, const uint8_t *host, unsigned size)
{
    if (size <= 8 && !(size & (size - 1)))
        host_store(to, size, host_load(host, size));
    else
        memcpy(to, host, size);
}

static void store_host(struct vcpu *v, uint8_t *host, const void *from, unsigned size)
{
    if (__builtin_expect(v->write_log != NULL, 0))
        v->write_log->before_write(v->write_log->opaque, host, size);
    if (size <= 8 && !(size & (size - 1)))
        host_store(host, size, host_load(from, size));
    else
        memcpy(host, from, size);
}

/* Devices take 1, 2, 4 or 8 bytes at a time. */
static unsigned mmio_chunk(gpa_t gpa, unsigned left)
{
    unsigned chunk = 8;

    while (chunk > left || (chunk > 1 && left != chunk && gpa & (chunk - 1)))
        chunk >>= 1;
    return chunk;
}

static void mmio_read(struct vcpu *v, gpa_t gpa, uint8_t *to, unsigned size, bool bytewise)
{
    const struct ram_mmio *m = &v->mmu.ram->mmio;

    while (size) {
        unsigned chunk = bytewise ? 1 : mmio_chunk(gpa, size);
        uint64_t value = m->read ? m->read(m->opaque, gpa, chunk) : UINT64_MAX;

        memcpy(to, &value, chunk);
        to += chunk;
        gpa += chunk;
        size -= chunk;
    }
}

static void mmio_write(struct vcpu *v, gpa_t gpa, const uint8_t *from, unsigned size, bool bytewise)
{
    const struct ram_mmio *m = &v->mmu.ram->mmio;

    while (size) {
        unsigned chunk = bytewise ? 1 : mmio_chunk(gpa, size);
        uint64_t value = 0;

        memcpy(&value, from, chunk);
        if (m->write)
            m->write(m->opaque, gpa, value, chunk);
        from += chunk;
        gpa += chunk;
        size -= chunk;
    }
}

static void tell_code(struct vcpu *v, const uint8_t *host, unsigned size)
{
    struct ram *ram = v->mmu.ram;

    if (ram->code_written)
        ram->code_written(ram->code_written_opaque, (uint64_t)(host - ram->host), size);
}

static enum cpu_status read_slow(struct vcpu *v, enum mmu_context context, gva_t linear, void *to, unsigned size)
{
    struct piece p[2];
    unsigned count, done = 0;
    enum cpu_status status = translate(v, context, linear, size, MMU_READ, p, &count);

    if (status != CPU_OK)
        return status;
    for (unsigned n = 0; n < count; n++) {
        if (p[n].host)
            load_host((uint8_t *)to + done, p[n].host, p[n].size);
        else
            mmio_read(v, p[n].gpa, (uint8_t *)to + done, p[n].size, count > 1);
        done += p[n].size;
    }
    return CPU_OK;
}

static enum cpu_status write_slow(struct vcpu *v, enum mmu_context context, gva_t linear, const void *from,
                                  unsigned size)
{
    struct piece p[2];
    unsigned count, done = 0;
    enum cpu_status status = translate(v, context, linear, size, MMU_WRITE, p, &count);

    if (status != CPU_OK)
        return status;
    for (unsigned n = 0; n < count; n++) {
        if (p[n].host)
            store_host(v, p[n].host, (const uint8_t *)from + done, p[n].size);
        else
            mmio_write(v, p[n].gpa, (const uint8_t *)from + done, p[n].size, count > 1);
        done += p[n].size;
    }
    for (unsigned n = 0; n < count; n++)
        if (p[n].code)
            tell_code(v, p[n].host, p[n].size);
    return CPU_OK;
}

enum cpu_status cpu_read_context(struct vcpu *v, enum mmu_context context, gva_t linear, void *to, unsigned size)
{
    const uint8_t *host = mmu_hit(&v->mmu, context, linear, size, false);

    if (!host)
        return read_slow(v, context, linear, to, size);
    load_host(to, host, size);
    return CPU_OK;
}

enum cpu_status cpu_write_context(struct vcpu *v, enum mmu_context context, gva_t linear, const void *from,
                                  unsigned size)
{
    uint8_t *host = mmu_hit(&v->mmu, context, linear, size, true);

    if (!host)
        return write_slow(v, context, linear, from, size);
    store_host(v, host, from, size);
    return CPU_OK;
}

enum cpu_status cpu_read(struct vcpu *v, gva_t linear, void *to, unsigned size)
{
    return cpu_read_context(v, v->data_context, linear, to, size);
}

enum cpu_status cpu_write(struct vcpu *v, gva_t linear, const void *from, unsigned size)
{
    return cpu_write_context(v, v->data_context, linear, from, size);
}

enum cpu_status cpu_check_write(struct vcpu *v, gva_t linear, unsigned size)
{
    struct piece p[2];
    unsigned count;

    if (mmu_hit(&v->mmu, v->data_context, linear, size, true))
        return CPU_OK;
    return translate(v, v->data_context, linear, size, MMU_WRITE, p, &count);
}

/* Implicit supervisor accesses are denied by SMAP whatever EFLAGS.AC (SDM vol. 3, 4.6.1), which is what
   MMU_SUPERVISOR stands for; without SMAP both contexts are the same. */
enum cpu_status cpu_read_system(struct vcpu *v, gva_t linear, void *to, unsigned size)
{
    return cpu_read_context(v, MMU_SUPERVISOR, linear, to, size);
}

enum cpu_status cpu_write_system(struct vcpu *v, gva_t linear, const void *from, unsigned size)
{
    return cpu_write_context(v, MMU_SUPERVISOR, linear, from, size);
}

enum cpu_status cpu_atomic_host(struct vcpu *v, gva_t linear, unsigned size, uint8_t **host)
{
    struct piece p[2];
    unsigned count;
    enum cpu_status status;

    *host = mmu_hit(&v->mmu, v->data_context, linear, size, true);
    if (*host)
        return CPU_OK;
    status = translate(v, v->data_context, linear, size, MMU_WRITE, p, &count);
    if (status == CPU_OK && count == 1)
        *host = p[0].host;
    return status;
}

void cpu_atomic_done(struct vcpu *v, const uint8_t *host, unsigned size)
{
    uint64_t offset = (uint64_t)(host - v->mmu.ram->host);

    if (v->mmu.ram->page_flags[offset >> PAGE_SHIFT] & RAM_PAGE_CODE)
        tell_code(v, host, size);
}

enum cpu_status cpu_fetch(struct vcpu *v, gva_t linear, void *to, unsigned size, unsigned *got)
{
    *got = 0;
    while (*got < size) {
        unsigned room = (unsigned)(PAGE_SIZE - (linear & ~PAGE_MASK));
        unsigned chunk = size - *got < room ? size - *got : room;
        struct piece p;
        enum cpu_status status = translate_piece(v, v->fetch_context, linear, MMU_FETCH, &p);

        if (status != CPU_OK)
            return *got ? CPU_OK : status;
        if (p.host)
            memcpy((uint8_t *)to + *got, p.host, chunk);
        else
            mmio_read(v, p.gpa, (uint8_t *)to + *got, chunk, true);
        *got += chunk;
        linear += chunk;
        if (!(v->mode & MODE_LMA))
            linear &= 0xffffffffu;
    }
    return CPU_OK;
}
