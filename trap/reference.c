/*
 * reference.c - one instruction by the interpreter, on the real state, with nothing but memory around it; then all
 * is put back.
 *
 * Interface: check.h. Invariant: devices see nothing of it. A and D bits of page tables stay; they do no harm to
 * the second run.
 */
#include <string.h>

#include "cpu/access.h"
#include "cpu/system.h"
#include "trap/check.h"

static void note_write(void *opaque, uint8_t *host, unsigned size)
{
    struct check *k = opaque;

    if (k->write_count == CHECK_WRITES || k->bytes + size > CHECK_BYTES) {
        k->useless = true;
        return;
    }
    k->writes[k->write_count++] = (struct check_write){host, size, k->bytes};
    memcpy(k->old + k->bytes, host, size);
    k->bytes += size;
}

static uint64_t no_mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    ((struct check *)opaque)->useless = true;
    return ~0ull;
}

static void no_mmio_write(void *opaque, gpa_t gpa, uint64_t value, unsigned size)
{
    ((struct check *)opaque)->useless = true;
}

static void no_log(void *opaque, const char *topic, const char *text)
{
}

static void put_state(struct vcpu *v, const uint8_t *saved)
{
    uint64_t cr0 = v->cr0, cr3 = v->cr3, cr4 = v->cr4, efer = v->efer;

    memcpy(v, saved, CHECK_STATE);
    cpu_update_mode(v);
    if (cr0 == v->cr0 && cr3 == v->cr3 && cr4 == v->cr4 && efer == v->efer)
        return;
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    mmu_flush(&v->mmu, true);
}

static void put_memory(const struct check *k, const uint8_t *bytes)
{
    for (unsigned i = k->write_count; i-- > 0;)
        memcpy(k->writes[i].host, bytes + k->writes[i].at, k->writes[i].size);
}

/* SIMD state is fetched from the child for an instruction that needs it; and while CR0 or CR4 switch it off,
   because the child does not heed that. */
static enum cpu_status step_reference(struct trap *t, struct check *k)
{
    struct vcpu *v = t->v;
    enum cpu_status status = CPU_NEED_FULL;

    if (v->mode & MODE_X87 && v->mode & MODE_SSE && !(v->log_topics & VCPU_LOG_INT))
        status = cpu_step(v);
    if (status != CPU_NEED_FULL)
        return status;
    if (state_fetch_simd(t))
        return CPU_EXIT;
    memcpy(k->before, v, CHECK_STATE);
    return cpu_step(v);
}

/* Runs one instruction with nothing but memory around it, and leaves its result in v and in memory. */
static void step_alone(struct trap *t, struct check *k)
{
    static const struct vcpu_ops no_devices = {.log = no_log};
    struct vcpu *v = t->v;
    struct cpu_write_log log = {note_write, k};
    struct ram_mmio mmio = v->mmu.ram->mmio;
    const struct vcpu_ops *ops = v->ops;
    struct vcpu_stats stats = v->stats;

    k->write_count = k->bytes = 0;
    k->useless = false;
    v->ops = &no_devices;
    v->write_log = &log;
    v->mmu.ram->mmio = (struct ram_mmio){no_mmio_read, no_mmio_write, k};
    k->useless |= step_reference(t, k) != CPU_OK;
    v->mmu.ram->mmio = mmio;
    v->write_log = NULL;
    v->ops = ops;
    k->refused = v->stats.exceptions[EXC_UD] + v->stats.exceptions[EXC_NM] !=
                 stats.exceptions[EXC_UD] + stats.exceptions[EXC_NM];
    v->stats = stats;
}

void check_run_reference(struct trap *t, struct check *k)
{
    struct vcpu *v = t->v;

    memcpy(k->before, v, CHECK_STATE);
    step_alone(t, k);
    memcpy(k->after, v, CHECK_STATE);
    for (unsigned i = 0; i < k->write_count; i++)
        memcpy(k->new + k->writes[i].at, k->writes[i].host, k->writes[i].size);
    put_memory(k, k->old);
    put_state(v, k->before);
    k->simd = !t->simd;
}

void check_take_reference(struct trap *t, const struct check *k)
{
    put_state(t->v, k->after);
    put_memory(k, k->new);
}
