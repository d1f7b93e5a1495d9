/*
 * lapic.c - local APIC: registers by MMIO and MSR, priorities (SDM vol. 3, 11.4 to 11.8, 11.12).
 *
 * Interface: lapic_acknowledge, lapic_is_pending, lapic_cr8_*, lapic_msr_*, lapic_reset, lapic_init.
 * Invariants: the vCPU has been told the level of its interrupt request (lapic_update) whenever a function
 * here returns. The 8259 pair's output reaches the boot processor while its APIC is off or software-
 * disabled, or by LINT0 in ExtINT mode; a reset sets that mode up, as PC firmware would.
 */
#include <string.h>

#include "devices/lapic_internal.h"

/* Registers: MMIO offset / 16, x2APIC MSR - 0x800. */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_LVT_LAST = 0x37,
    REG_INITIAL = 0x38,
    REG_CURRENT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f
};

#define VERSION (0x14u | (LAPIC_LVT_COUNT - 1) << 16)

static const uint32_t lvt_writable[LAPIC_LVT_COUNT] = {
    [LAPIC_LVT_TIMER] = 0x700ff, [LAPIC_LVT_THERMAL] = 0x107ff, [LAPIC_LVT_PMC] = 0x107ff,
    [LAPIC_LVT_LINT0] = 0x1a7ff, [LAPIC_LVT_LINT1] = 0x1a7ff,   [LAPIC_LVT_ERROR] = 0x100ff,
};

/* Highest vector of a 256-bit set, -1 when empty. */
static int highest(const uint32_t set[8])
{
    for (int i = 7; i >= 0; i--)
        if (set[i])
            return i * 32 + 31 - __builtin_clz(set[i]);
    return -1;
}

static void set_bit(uint32_t set[8], uint8_t vector, bool value)
{
    uint32_t bit = 1u << (vector & 31);

    set[vector >> 5] = value ? set[vector >> 5] | bit : set[vector >> 5] & ~bit;
}

/* SDM vol. 3, 11.8.3.1 */
uint8_t lapic_ppr(const struct lapic *lapic)
{
    int service = highest(lapic->state.isr);
    uint32_t tpr = lapic->state.tpr, class = service < 0 ? 0 : (uint32_t)service & 0xf0;

    return (uint8_t)((tpr & 0xf0) >= class ? tpr : class);
}

/* The vector in the IRR that the vCPU may take, -1 for none. */
static int deliverable(const struct lapic *lapic)
{
    int request = lapic_is_enabled(lapic) ? highest(lapic->state.irr) : -1;

    return request >= 0 && request >> 4 > lapic_ppr(lapic) >> 4 ? request : -1;
}

static bool takes_extint(const struct lapic *lapic)
{
    uint32_t lvt = lapic->state.lvt[LAPIC_LVT_LINT0];

    if (!lapic->state.lint0)
        return false;
    return !lapic_is_enabled(lapic) || (!(lvt & LVT_MASKED) && LVT_DELIVERY(lvt) == APIC_EXTINT);
}

bool lapic_is_pending(const struct lapic *lapic)
{
    return deliverable(lapic) >= 0 || takes_extint(lapic);
}

void lapic_update(struct lapic *lapic)
{
    const struct lapic_hooks *hooks = &lapic->apics->hooks;
    bool level = lapic_is_pending(lapic);

    if (level == lapic->level)
        return;
    lapic->level = level;
    if (hooks->interrupt)
        hooks->interrupt(hooks->opaque, lapic->cpu, level);
}

int lapic_acknowledge(struct lapic *lapic)
{
    const struct lapic_hooks *hooks = &lapic->apics->hooks;
    int vector = deliverable(lapic);

    if (vector >= 0) {
        set_bit(lapic->state.irr, (uint8_t)vector, false);
        set_bit(lapic->state.isr, (uint8_t)vector, true);
    } else if (takes_extint(lapic) && hooks->extint_acknowledge) {
        vector = hooks->extint_acknowledge(hooks->opaque);
    }
    lapic_update(lapic);
    return vector;
}

void lapic_accept(struct lapic *lapic, uint8_t vector, bool level)
{
    if (vector < 16) {
        lapic_raise_error(lapic, ESR_RECEIVE_VECTOR);
        return;
    }
    set_bit(lapic->state.tmr, vector, level);
    set_bit(lapic->state.irr, vector, true);
    lapic_update(lapic);
}

void lapic_raise_error(struct lapic *lapic, uint32_t bits)
{
    uint32_t lvt = lapic->state.lvt[LAPIC_LVT_ERROR];
    bool fresh = bits & ~lapic->state.esr_pending;

    lapic->state.esr_pending |= bits;
    if (fresh && !(lvt & LVT_MASKED) && (uint8_t)lvt >= 16) /* an illegal vector here must not come back here */
        lapic_accept(lapic, (uint8_t)lvt, false);
}

void lapic_trigger(struct lapic *lapic, int entry)
{
    const struct lapic_hooks *hooks = &lapic->apics->hooks;
    uint32_t lvt = lapic->state.lvt[entry];
    enum apic_delivery delivery = LVT_DELIVERY(lvt);

    if (entry == LAPIC_LVT_TIMER || entry == LAPIC_LVT_ERROR)
        delivery = APIC_FIXED;
    if (lvt & LVT_MASKED)
        return;
    if (delivery == APIC_FIXED)
        lapic_accept(lapic, (uint8_t)lvt, false);
    else if ((delivery == APIC_NMI || delivery == APIC_SMI) && hooks->signal)
        hooks->signal(hooks->opaque, lapic->cpu, delivery, 0);
}

static void end_of_interrupt(struct lapic *lapic)
{
    int vector = highest(lapic->state.isr);
    bool level;

    if (vector < 0)
        return;
    level = lapic->state.tmr[vector >> 5] >> (vector & 31) & 1;
    set_bit(lapic->state.isr, (uint8_t)vector, false);
    if (level && lapic->apics->eoi)
        lapic->apics->eoi(lapic->apics->eoi_opaque, (uint8_t)vector);
}

uint32_t lapic_ldr(const struct lapic *lapic)
{
    uint32_t id = lapic->state.id;

    return lapic_is_x2apic(lapic) ? id >> 4 << 16 | 1u << (id & 15) : lapic->state.ldr;
}

/* False for a register that is not there. */
static bool read_register(const struct lapic *lapic, unsigned reg, uint64_t *value)
{
    const struct lapic_state *state = &lapic->state;
    bool x2apic = lapic_is_x2apic(lapic);

    *value = 0;
    switch (reg) {
    case REG_ID:
        *value = x2apic ? state->id : state->id << 24;
        return true;
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = state->tpr;
        return true;
    case REG_APR: /* arbitration went with the Pentium 4 */
    case REG_RRD:
        return !x2apic;
    case REG_PPR:
        *value = lapic_ppr(lapic);
        return true;
    case REG_LDR:
        *value = lapic_ldr(lapic);
        return true;
    case REG_DFR:
        *value = state->dfr;
        return !x2apic;
    case REG_SVR:
        *value = state->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *value = state->isr[reg - REG_ISR];
        return true;
    case REG_TMR ... REG_TMR + 7:
        *value = state->tmr[reg - REG_TMR];
        return true;
    case REG_IRR ... REG_IRR + 7:
        *value = state->irr[reg - REG_IRR];
        return true;
    case REG_ESR:
        *value = state->esr;
        return true;
    case REG_ICR:
        *value = x2apic ? state->icr : (uint32_t)state->icr;
        return true;
    case REG_ICR_HIGH:
        *value = state->icr >> 32;
        return !x2apic;
    case REG_LVT ... REG_LVT_LAST:
        *value = state->lvt[reg - REG_LVT];
        return true;
    case REG_INITIAL:
        *value = state->initial_count;
        return true;
    case REG_CURRENT:
        *value = lapic_timer_count(lapic);
        return true;
    case REG_DIVIDE:
        *value = state->divide;
        return true;
    default:
        return false;
    }
}

static void write_svr(struct lapic *lapic, uint32_t value)
{
    lapic->state.svr = value & 0x3ff;
    if (value & SVR_ENABLE)
        return;
    for (int i = 0; i < LAPIC_LVT_COUNT; i++) /* SDM vol. 3, 11.4.7.2 */
        lapic->state.lvt[i] |= LVT_MASKED;
    lapic_timer_rearm(lapic);
}

static void write_lvt(struct lapic *lapic, unsigned entry, uint32_t value)
{
    value &= lvt_writable[entry];
    if (!(lapic->state.svr & SVR_ENABLE))
        value |= LVT_MASKED;
    if (entry == LAPIC_LVT_TIMER)
        lapic_timer_set_lvt(lapic, value);
    else
        lapic->state.lvt[entry] = value;
}

static void write_icr_low(struct lapic *lapic, uint32_t value)
{
    lapic->state.icr = (lapic->state.icr & ~(uint64_t)UINT32_MAX) | (value & 0xccfff);
    lapic_send_ipi(lapic);
}

/* False for a register that is not there or cannot be written. */
static bool write_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
    struct lapic_state *state = &lapic->state;
    bool xapic = !lapic_is_x2apic(lapic);

    switch (reg) {
    case REG_ID: /* fixed: it is what the tables say */
        return xapic;
    case REG_TPR:
        state->tpr = value & 0xff;
        return true;
    case REG_EOI:
        end_of_interrupt(lapic);
        return true;
    case REG_LDR:
        if (xapic)
            state->ldr = value & 0xff000000u;
        return xapic;
    case REG_DFR:
        if (xapic)
            state->dfr = value | 0x0fffffff;
        return xapic;
    case REG_SVR:
        write_svr(lapic, value);
        return true;
    case REG_ESR: /* shows what has been gathered since the last write */
        state->esr = state->esr_pending;
        state->esr_pending = 0;
        return true;
    case REG_ICR:
        write_icr_low(lapic, value);
        return true;
    case REG_ICR_HIGH:
        state->icr = (uint32_t)state->icr | (uint64_t)(value & 0xff000000u) << 32;
        return xapic;
    case REG_LVT ... REG_LVT_LAST:
        write_lvt(lapic, reg - REG_LVT, value);
        return true;
    case REG_INITIAL:
        lapic_timer_start(lapic, value);
        return true;
    case REG_DIVIDE:
        lapic_timer_set_divide(lapic, value);
        return true;
    default:
        return false;
    }
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    struct apic_bus *apics = opaque;
    struct lapic *lapic = &apics->lapics[apics->current];
    uint64_t value;

    if (!lapic_is_on(lapic) || lapic_is_x2apic(lapic))
        return UINT64_MAX;
    if (offset & 15) /* undefined: SDM vol. 3, 11.4.1 */
        return 0;
    if (!read_register(lapic, (unsigned)(offset >> 4), &value))
        lapic_raise_error(lapic, ESR_REGISTER);
    return value;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct apic_bus *apics = opaque;
    struct lapic *lapic = &apics->lapics[apics->current];

    if (!lapic_is_on(lapic) || lapic_is_x2apic(lapic) || offset & 15)
        return;
    if (!write_register(lapic, (unsigned)(offset >> 4), (uint32_t)value))
        lapic_raise_error(lapic, ESR_REGISTER);
    lapic_update(lapic);
}

static const struct bus_ops lapic_ops = {mmio_read, mmio_write, 4, 4};

int lapic_add_mmio(struct apic_bus *apics, struct bus *bus)
{
    return bus_add_mmio(bus, LAPIC_BASE, 0x1000, &lapic_ops, apics);
}

uint64_t lapic_cr8_read(const struct lapic *lapic)
{
    return lapic->state.tpr >> 4;
}

void lapic_cr8_write(struct lapic *lapic, uint64_t value)
{
    lapic->state.tpr = (uint32_t)(value & 15) << 4;
    lapic_update(lapic);
}

/* Off, xAPIC, x2APIC and the ways between them: SDM vol. 3, 11.12.5. The page stays where it is. */
static bool write_base(struct lapic *lapic, uint64_t value)
{
    const uint64_t modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
    uint64_t old = lapic->state.base;

    if (value & APIC_BASE_RESERVED || (value & ~0xfffull) != LAPIC_BASE)
        return false;
    if ((value & modes) == APIC_BASE_X2APIC)
        return false;
    if ((value & modes) == modes && !(old & APIC_BASE_ENABLE))
        return false;
    if ((value & modes) == APIC_BASE_ENABLE && old & APIC_BASE_X2APIC)
        return false;
    if (old & APIC_BASE_ENABLE && !(value & APIC_BASE_ENABLE))
        lapic_init(lapic);
    lapic->state.base = value;
    lapic_update(lapic);
    return true;
}

static bool write_x2apic(struct lapic *lapic, unsigned reg, uint64_t value)
{
    if (reg == REG_ICR) {
        lapic->state.icr = value & 0xffffffff000ccfffull;
        lapic_send_ipi(lapic);
        return true;
    }
    if (value >> 32)
        return false;
    if (reg == REG_SELF_IPI) {
        lapic->state.icr = (value & 0xff) | 1u << 18; /* shorthand self */
        lapic_send_ipi(lapic);
        return true;
    }
    if ((reg == REG_EOI || reg == REG_ESR) && value != 0)
        return false;
    return write_register(lapic, reg, (uint32_t)value);
}

bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value)
{
    if (msr == MSR_APIC_BASE) {
        *value = lapic->state.base;
        return true;
    }
    if (msr == MSR_TSC_DEADLINE) {
        *value = lapic->state.tsc_deadline;
        return true;
    }
    return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST && lapic_is_x2apic(lapic) &&
           read_register(lapic, msr - MSR_X2APIC_FIRST, value);
}

bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value)
{
    bool done;

    if (msr == MSR_APIC_BASE)
        return write_base(lapic, value);
    if (msr == MSR_TSC_DEADLINE) {
        lapic_timer_set_deadline(lapic, value);
        return true;
    }
    if (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST || !lapic_is_x2apic(lapic))
        return false;
    done = write_x2apic(lapic, msr - MSR_X2APIC_FIRST, value);
    lapic_update(lapic);
    return done;
}

void lapic_init(struct lapic *lapic)
{
    struct lapic_state *state = &lapic->state;

    timer_cancel(lapic->apics->timers, &lapic->timer);
    *state = (struct lapic_state){
        .base = state->base,
        .id = state->id,
        .lint0 = state->lint0,
        .dfr = UINT32_MAX,
        .svr = 0xff,
    };
    for (int i = 0; i < LAPIC_LVT_COUNT; i++)
        state->lvt[i] = LVT_MASKED;
    if (state->base & APIC_BASE_BSP) {
        state->lvt[LAPIC_LVT_LINT0] = APIC_EXTINT << 8;
        state->lvt[LAPIC_LVT_LINT1] = APIC_NMI << 8;
    }
    lapic_update(lapic);
}

void lapic_reset(struct lapic *lapic)
{
    lapic->state.id = lapic->cpu;
    lapic->state.base = LAPIC_BASE | APIC_BASE_ENABLE | (lapic->cpu == 0 ? APIC_BASE_BSP : 0);
    lapic_init(lapic);
}

void lapic_save(const struct lapic *lapic, struct lapic_state *state)
{
    *state = lapic->state;
}

void lapic_load(struct lapic *lapic, const struct lapic_state *state)
{
    lapic->state = *state;
    lapic_timer_rearm(lapic);
    lapic_update(lapic);
}
