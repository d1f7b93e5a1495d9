/*
 * irq.c - the interrupt controllers: info irq, pic, lapic.
 *
 * Interface: command.h. Lines are QEMU's, as far as they say the same. The devices give their state by
 * value, under the machine's lock.
 */
#include "vmm/monitor/command.h"

#include <inttypes.h>

#define MASKED (1u << 16)

static const char *const delivery_names[8] = {"fixed", "lowest", "SMI", "...", "NMI", "INIT", "SIPI", "ExtINT"};

/* --- the 8259 pair and the I/O APIC --- */

static void print_pic(FILE *to, const struct pic_state *state)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct pic_chip_state *p = &state->chip[i];

        fprintf(to, "pic%u: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x rr_sel=%d elcr=%02x fnm=%d\n", i,
                p->irr, p->imr, p->isr, (p->lowest + 1u) & 7, p->base, p->read_isr, p->elcr, p->icw4 >> 4 & 1);
    }
}

static void print_pin(FILE *to, const struct ioapic_state *state, unsigned pin)
{
    uint64_t entry = state->redirection[pin];

    fprintf(to, "  pin %-2u 0x%016" PRIx64 " dest=%u vec=%-3u %s %s %s %s %s%s\n", pin, entry,
            (unsigned)(entry >> 56), (unsigned)(entry & 0xff), entry >> 13 & 1 ? "active-lo" : "active-hi",
            entry >> 15 & 1 ? "level" : "edge ", entry & MASKED ? "masked" : "      ",
            delivery_names[entry >> 8 & 7], entry >> 11 & 1 ? "logical" : "physical",
            state->lines >> pin & 1 ? ", line up" : "");
}

static void print_ioapic(FILE *to, const struct ioapic_state *state)
{
    fprintf(to, "ioapic0: id=0x%02x sel=0x%02x\n", state->id, state->select);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        print_pin(to, state, pin);
}

int info_pic(struct command *c)
{
    struct machine *m = c->machine;
    struct pic_state pic;
    struct ioapic_state ioapic;
    int status = command_expect_end(c);

    if (status)
        return status;
    pthread_mutex_lock(&m->lock);
    pic_save(m->board->pic, &pic);
    ioapic_save(m->board->ioapic, &ioapic);
    pthread_mutex_unlock(&m->lock);
    print_pic(c->to, &pic);
    print_ioapic(c->to, &ioapic);
    return 0;
}

/* --- the local APIC --- */

static void print_vectors(FILE *to, const char *name, const uint32_t bits[8])
{
    unsigned count = 0;

    fprintf(to, "%-7s", name);
    for (unsigned i = 0; i < 256; i++)
        if (bits[i / 32] >> i % 32 & 1) {
            fprintf(to, " %u", i);
            count++;
        }
    fputs(count ? "\n" : " (none)\n", to);
}

static void print_lvt(FILE *to, const struct lapic_state *s)
{
    static const char *const names[LAPIC_LVT_COUNT] = {
        [LAPIC_LVT_TIMER] = "LVTT", [LAPIC_LVT_THERMAL] = "LVTTHMR", [LAPIC_LVT_PMC] = "LVTPC",
        [LAPIC_LVT_LINT0] = "LVT0", [LAPIC_LVT_LINT1] = "LVT1",      [LAPIC_LVT_ERROR] = "LVTERR"};
    static const char *const modes[4] = {" one-shot", " periodic", " tsc-deadline", ""};

    for (unsigned i = 0; i < LAPIC_LVT_COUNT; i++)
        fprintf(to, "%-7s 0x%08x %s %s%s (vec %u)\n", names[i], s->lvt[i],
                s->lvt[i] & MASKED ? "masked" : "      ", delivery_names[s->lvt[i] >> 8 & 7],
                i == LAPIC_LVT_TIMER ? modes[s->lvt[i] >> 17 & 3] : "", s->lvt[i] & 0xff);
}

static void print_lapic(FILE *to, const struct lapic_state *s)
{
    fprintf(to, "local APIC of CPU 0: base 0x%" PRIx64 ", id %u, %s\n", s->base & (uint64_t)~0xfffull, s->id,
            !(s->base >> 11 & 1) ? "off"
            : s->base >> 10 & 1  ? "x2APIC"
                                 : "xAPIC");
    print_lvt(to, s);
    fprintf(to, "Timer   DCR=0x%x initial_count=%u tsc_deadline=0x%" PRIx64 "\n", s->divide, s->initial_count,
            s->tsc_deadline);
    fprintf(to, "SPIV    0x%08x APIC %s, spurious vec %u\n", s->svr, s->svr >> 8 & 1 ? "enabled" : "disabled",
            s->svr & 0xff);
    fprintf(to, "ICR     0x%016" PRIx64 "\nESR     0x%08x\n", s->icr, s->esr);
    print_vectors(to, "ISR", s->isr);
    print_vectors(to, "IRR", s->irr);
    fprintf(to, "TPR 0x%02x DFR 0x%08x LDR 0x%08x\n", s->tpr, s->dfr, s->ldr);
}

int info_lapic(struct command *c)
{
    struct machine *m = c->machine;
    struct lapic_state lapic;
    int status = command_expect_end(c);

    if (status)
        return status;
    pthread_mutex_lock(&m->lock);
    lapic_save(apic_bus_get(m->board->apics, 0), &lapic);
    pthread_mutex_unlock(&m->lock);
    print_lapic(c->to, &lapic);
    return 0;
}

/* All of it, and what the CPU has taken. */
int info_irq(struct command *c)
{
    const struct vcpu *v = c->machine->vcpu;
    int status = info_pic(c);

    if (!status)
        status = info_lapic(c);
    if (!status)
        fprintf(c->to, "CPU 0: interrupts %s, request line %s, %" PRIu64 " taken\n",
                v->rflags & FLAG_IF ? "on" : "off", atomic_load(&v->interrupt_line) ? "up" : "down",
                v->stats.interrupts);
    return status;
}
