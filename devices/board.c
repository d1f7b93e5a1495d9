/*
 * board.c - creates the devices of the PC and wires them.
 *
 * Interface: board_create, board_destroy, board_reset. A device is one line of wiring here.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/board.h"

static int acknowledge_pic(void *opaque)
{
    struct board *board = opaque;

    return pic_acknowledge(board->pic);
}

static void set_extint(void *opaque, int number, bool level)
{
    struct board *board = opaque;

    if (board->apics)
        apic_bus_set_extint(board->apics, level);
}

/* The hooks of the APICs go through the board, because it answers one of them itself. */
static void forward_interrupt(void *opaque, unsigned cpu, bool level)
{
    const struct board_hooks *hooks = &((struct board *)opaque)->hooks;

    if (hooks->interrupt)
        hooks->interrupt(hooks->opaque, cpu, level);
}

static void forward_signal(void *opaque, unsigned cpu, enum apic_delivery what, uint8_t vector)
{
    const struct board_hooks *hooks = &((struct board *)opaque)->hooks;

    if (hooks->signal)
        hooks->signal(hooks->opaque, cpu, what, vector);
}

static uint64_t forward_tsc(void *opaque, unsigned cpu, uint64_t tsc)
{
    const struct board_hooks *hooks = &((struct board *)opaque)->hooks;

    return hooks->tsc_to_ns ? hooks->tsc_to_ns(hooks->opaque, cpu, tsc) : TIMER_NEVER;
}

static int create_controllers(struct board *board, const struct board_config *config)
{
    const struct lapic_hooks lapic_hooks = {
        .interrupt = forward_interrupt,
        .signal = forward_signal,
        .tsc_to_ns = forward_tsc,
        .extint_acknowledge = acknowledge_pic,
        .opaque = board,
    };

    board->isa.pic = board->pic = pic_create(board->bus, (struct irq_line){set_extint, board, 0});
    board->apics = apic_bus_create(board->bus, &board->timers, config->cpus, &lapic_hooks);
    if (!board->pic || !board->apics)
        return -ENOMEM;
    board->isa.ioapic = board->ioapic = ioapic_create(board->bus, board->apics, (uint8_t)config->cpus);
    return board->ioapic ? 0 : -ENOMEM;
}

static int create_devices(struct board *board, const struct board_config *config)
{
    const struct board_hooks *hooks = &board->hooks;
    const struct i8042_hooks i8042_hooks = {hooks->set_a20, hooks->reset, hooks->opaque};
    const struct fw_cfg_memory memory = {hooks->memory_read, hooks->memory_write, hooks->opaque};
    const struct pm_hooks pm_hooks = {hooks->power_off, hooks->reset, hooks->opaque};
    struct isa_irqs *isa = &board->isa;

    board->pit = pit_create(board->bus, &board->timers, isa_irq_line(isa, 0));
    board->i8042 = i8042_create(board->bus, isa_irq_line(isa, 1), isa_irq_line(isa, 12), &i8042_hooks);
    board->rtc = rtc_create(board->bus, &board->timers, isa_irq_line(isa, 8), &config->rtc);
    board->pm = pm_create(board->bus, &board->timers, isa_irq_line(isa, PM_SCI), &pm_hooks);
    board->fw_cfg = fw_cfg_create(board->bus, &memory);
    if (!board->pit || !board->i8042 || !board->rtc || !board->pm || !board->fw_cfg)
        return -ENOMEM;
    rtc_cmos_write(board->rtc, 0x5f, (uint8_t)(config->cpus - 1)); /* where firmware looks for the CPU count */
    return delay_ports_create(board->bus);
}

static int create_serial(struct board *board, const struct board_config *config, struct error *error)
{
    static const struct {
        uint16_t port;
        int irq;
    } com[BOARD_SERIAL_PORTS] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

    for (int i = 0; i < BOARD_SERIAL_PORTS; i++) {
        if (!config->serial_present[i])
            continue;
        board->serial[i] = serial_create(board->bus, &board->timers, com[i].port,
                                         isa_irq_line(&board->isa, com[i].irq), config->serial[i]);
        if (!board->serial[i])
            return error_set(error, ENOMEM, "cannot create serial port %d: out of memory", i + 1);
    }
    return 0;
}

static int create_debug(struct board *board, const struct board_config *config, struct error *error)
{
    static const uint16_t ports[2] = {0xe9, 0x402};

    for (int i = 0; i < 2 && config->debug_console.write; i++) {
        board->debug_console[i] = debug_console_create(board->bus, ports[i], config->debug_console);
        if (!board->debug_console[i])
            return error_set(error, ENOMEM, "cannot create debug console 0x%x: out of memory", ports[i]);
    }
    if (config->debug_exit_size == 0)
        return 0;
    board->debug_exit = debug_exit_create(board->bus, config->debug_exit_port, config->debug_exit_size,
                                          board->hooks.debug_exit, board->hooks.opaque);
    if (!board->debug_exit)
        return error_set(error, EEXIST,
                         "isa-debug-exit: cannot use iobase=0x%x,iosize=%u: choose ports that no device uses "
                         "(0xf4 is free) and a size of 1, 2 or 4",
                         config->debug_exit_port, config->debug_exit_size);
    return 0;
}

struct board *board_create(const struct board_config *config, const struct board_hooks *hooks, struct error *error)
{
    struct board *board = calloc(1, sizeof *board);

    if (!board)
        goto no_memory;
    board->hooks = *hooks;
    timer_queue_init(&board->timers, hooks->clock, hooks->timer_rearm, hooks->opaque);
    board->bus = bus_create((struct device_log){hooks->log, hooks->opaque}, config->log_io);
    if (!board->bus || create_controllers(board, config) < 0 || create_devices(board, config) < 0)
        goto no_memory;
    if (create_serial(board, config, error) < 0 || create_debug(board, config, error) < 0) {
        board_destroy(board);
        return NULL;
    }
    return board;

no_memory:
    error_set(error, ENOMEM, "cannot create the board's devices for %u CPUs: out of memory", config->cpus);
    board_destroy(board);
    return NULL;
}

void board_destroy(struct board *board)
{
    if (!board)
        return;
    debug_exit_destroy(board->debug_exit);
    for (int i = 0; i < 2; i++)
        debug_console_destroy(board->debug_console[i]);
    for (int i = 0; i < BOARD_SERIAL_PORTS; i++)
        serial_destroy(board->serial[i]);
    fw_cfg_destroy(board->fw_cfg);
    pm_destroy(board->pm);
    rtc_destroy(board->rtc);
    i8042_destroy(board->i8042);
    pit_destroy(board->pit);
    ioapic_destroy(board->ioapic);
    apic_bus_destroy(board->apics);
    pic_destroy(board->pic);
    bus_destroy(board->bus);
    free(board);
}

void board_reset(struct board *board)
{
    pic_reset(board->pic);
    ioapic_reset(board->ioapic);
    apic_bus_reset(board->apics);
    pit_reset(board->pit);
    rtc_reset(board->rtc);
    i8042_reset(board->i8042);
    pm_reset(board->pm);
    fw_cfg_reset(board->fw_cfg);
    for (int i = 0; i < BOARD_SERIAL_PORTS; i++)
        if (board->serial[i])
            serial_reset(board->serial[i]);
}
