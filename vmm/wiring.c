/*
 * wiring.c - joins the vCPU and the devices, which do not know of each other: port and MMIO accesses, interrupt
 * lines, timers, reset and power.
 *
 * Interface: machine.h. Invariants: every call from the vCPU into the board takes the machine's lock, every hook
 * of the board is called with it held; so hooks only set flags and wake, and whatever must wait or run guest
 * code is left to the vCPU's thread.
 */
#include "vmm/machine.h"

#include <time.h>

#include "cpu/simd.h"

#define CPU 0 /* the only one so far */

uint64_t machine_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct lapic *lapic(struct machine *m)
{
    return apic_bus_get(m->board->apics, CPU);
}

/* --- the vCPU's side --- */

static uint8_t enter_devices(struct machine *m)
{
    pthread_mutex_lock(&m->lock);
    return activity_begin(&m->vcpu->activity, ACTIVITY_DEVICES);
}

static void leave_devices(struct machine *m, uint8_t before)
{
    m->vcpu->activity = before;
    pthread_mutex_unlock(&m->lock);
}

static uint32_t io_read(void *opaque, uint16_t port, unsigned size)
{
    struct machine *m = opaque;
    uint8_t before = enter_devices(m);
    uint32_t value;

    value = bus_io_read(m->board->bus, port, size);
    leave_devices(m, before);
    return value;
}

static void io_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct machine *m = opaque;
    uint8_t before = enter_devices(m);

    bus_io_write(m->board->bus, port, value, size);
    leave_devices(m, before);
}

static int interrupt_acknowledge(void *opaque)
{
    struct machine *m = opaque;
    int vector;

    pthread_mutex_lock(&m->lock);
    vector = lapic_acknowledge(lapic(m));
    pthread_mutex_unlock(&m->lock);
    return vector;
}

static bool msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    struct machine *m = opaque;
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = lapic_msr_read(lapic(m), msr, value);
    pthread_mutex_unlock(&m->lock);
    return ok;
}

static bool msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    struct machine *m = opaque;
    bool ok;

    pthread_mutex_lock(&m->lock);
    ok = lapic_msr_write(lapic(m), msr, value);
    pthread_mutex_unlock(&m->lock);
    return ok;
}

static uint64_t cr8_read(void *opaque)
{
    struct machine *m = opaque;
    uint64_t value;

    pthread_mutex_lock(&m->lock);
    value = lapic_cr8_read(lapic(m));
    pthread_mutex_unlock(&m->lock);
    return value;
}

static void cr8_write(void *opaque, uint64_t value)
{
    struct machine *m = opaque;

    pthread_mutex_lock(&m->lock);
    lapic_cr8_write(lapic(m), value);
    pthread_mutex_unlock(&m->lock);
}

static void write_log(void *opaque, const char *topic, const char *text)
{
    struct machine *m = opaque;

    log_write(&m->log, topic, text);
}

static void tell(void *opaque, enum trace_kind kind, const uint64_t value[TRACE_VALUES])
{
    struct machine *m = opaque;

    tracer_tell(&m->tracer, m->vcpu, kind, value);
}

static const char *name(void *opaque, gva_t address)
{
    struct machine *m = opaque;

    return tracer_name(&m->tracer, address, m->name);
}

static const struct vcpu_ops vcpu_ops = {.io_read = io_read,
                                         .io_write = io_write,
                                         .interrupt_acknowledge = interrupt_acknowledge,
                                         .msr_read = msr_read,
                                         .msr_write = msr_write,
                                         .cr8_read = cr8_read,
                                         .cr8_write = cr8_write,
                                         .log = write_log,
                                         .name = name,
                                         .tell = tell};

void machine_wire_vcpu(struct machine *m)
{
    m->vcpu->ops = &vcpu_ops;
    m->vcpu->ops_opaque = m;
    m->vcpu->log_topics = (log_wants(&m->log, "int") ? VCPU_LOG_INT : 0) |
                          (log_wants(&m->log, "guest_errors") ? VCPU_LOG_GUEST_ERRORS : 0);
    if (tracer_wants_tell(&m->tracer))
        m->ram.trace = (struct trace_hook){simd_tell, m->vcpu};
}

static uint64_t mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    struct machine *m = opaque;
    uint8_t before = enter_devices(m);
    uint64_t value;

    apic_bus_set_current(m->board->apics, CPU);
    value = bus_mmio_read(m->board->bus, gpa, size);
    leave_devices(m, before);
    return value;
}

static void mmio_write(void *opaque, gpa_t gpa, uint64_t value, unsigned size)
{
    struct machine *m = opaque;
    uint8_t before = enter_devices(m);

    apic_bus_set_current(m->board->apics, CPU);
    bus_mmio_write(m->board->bus, gpa, value, size);
    leave_devices(m, before);
}

void machine_wire_mmio(struct machine *m)
{
    m->ram.mmio = (struct ram_mmio){mmio_read, mmio_write, m};
}

/* --- the board's side; the lock is held --- */

static void timer_rearm(void *opaque, uint64_t deadline_ns)
{
    struct machine *m = opaque;

    m->deadline = deadline_ns;
    if (m->asleep)
        pthread_cond_broadcast(&m->wake); /* it watches the timers: tell it the new time */
    else
        loop_arm(&m->loop, deadline_ns);
}

/* Makes the vCPU look around: out of translated code, or out of its sleep. */
static void nudge(struct machine *m)
{
    atomic_store(&m->vcpu->exit_request, 1);
    if (m->engine->kick)
        m->engine->kick(m->vcpu);
    if (m->asleep)
        pthread_cond_broadcast(&m->wake);
}

static void interrupt(void *opaque, unsigned cpu, bool level)
{
    struct machine *m = opaque;

    atomic_store(&m->vcpu->interrupt_line, level);
    if (level)
        nudge(m);
}

static void send_signal(void *opaque, unsigned cpu, enum apic_delivery what, uint8_t vector)
{
    struct machine *m = opaque;

    /* INIT and STARTUP are for further processors, of which there are none; SMIs have no handler. */
    if (what != APIC_NMI)
        return;
    atomic_store(&m->vcpu->nmi_pending, true);
    nudge(m);
}

/* The TSC's rate comes from the two clocks since the machine was made: nothing to wait for at the start, and the
   longer it runs the more exact it gets. */
static uint64_t tsc_to_ns(void *opaque, unsigned cpu, uint64_t tsc)
{
    struct machine *m = opaque;
    uint64_t host = __builtin_ia32_rdtsc(), now = machine_now_ns();
    int64_t ahead = (int64_t)(tsc - (host + (uint64_t)m->vcpu->tsc_offset));
    unsigned __int128 ns;

    if (ahead <= 0)
        return now;
    ns = (unsigned __int128)(uint64_t)ahead * (now - m->ns_origin) / (host - m->tsc_origin + 1);
    return ns > UINT64_MAX / 2 ? UINT64_MAX - 1 : now + (uint64_t)ns;
}

static void set_a20(void *opaque, bool on)
{
    struct machine *m = opaque;
    uint64_t mask = on ? ~0ull : ~(1ull << 20);

    if (m->ram.a20_mask == mask)
        return;
    m->ram.a20_mask = mask;
    mmu_flush(&m->vcpu->mmu,
              true); /* the lock's holder is the vCPU's own thread: A20 only changes by port writes */
    if (m->engine->forget)
        m->engine->forget(m);
}

static void power_off(void *opaque)
{
    machine_stop(opaque, 0, "power-off by the guest");
}

static void reset(void *opaque)
{
    struct machine *m = opaque;

    log_write(&m->log, "reset", "reset by the guest");
    if (m->options->no_reboot)
        machine_stop(m, 0, "reset by the guest, with -no-reboot");
    else
        machine_request(m, REQUEST_RESET);
}

static void debug_exit(void *opaque, int status)
{
    machine_stop(opaque, status, "isa-debug-exit");
}

static bool memory_read(void *opaque, uint64_t address, void *to, uint32_t size)
{
    struct machine *m = opaque;

    return address + size >= address && ram_copy_from(&m->ram, to, address, size);
}

/* As a store does: code that was made from what is written is dropped. The lock's holder is the vCPU's own thread:
   the devices that copy do so when it writes a port of theirs. */
static bool memory_write(void *opaque, uint64_t address, const void *from, uint32_t size)
{
    struct machine *m = opaque;
    struct ram *ram = &m->ram;
    bool ok;

    if (address + size < address)
        return false;
    ok = ram_copy_to(ram, address, from, size);
    for (uint64_t at = address, part; at < address + size; at += part) {
        uint64_t offset = ram_offset(ram, at);

        part = PAGE_SIZE - (at & ~PAGE_MASK);
        if (part > address + size - at)
            part = address + size - at;
        if (offset != UINT64_MAX && ram->code_written && ram->page_flags[offset >> PAGE_SHIFT] & RAM_PAGE_CODE)
            ram->code_written(ram->code_written_opaque, offset, (unsigned)part);
    }
    return ok;
}

void machine_board_hooks(struct machine *m, struct board_hooks *hooks)
{
    *hooks = (struct board_hooks){.timer_rearm = timer_rearm,
                                  .interrupt = interrupt,
                                  .signal = send_signal,
                                  .tsc_to_ns = tsc_to_ns,
                                  .set_a20 = set_a20,
                                  .power_off = power_off,
                                  .reset = reset,
                                  .debug_exit = debug_exit,
                                  .log = write_log,
                                  .memory_read = memory_read,
                                  .memory_write = memory_write,
                                  .opaque = m};
}
