/*
 * machine.c - one virtual machine: its making, its run and its end.
 *
 * Interface: machine.h. Parts are made in the order in which struct machine lists them and freed in reverse;
 * what can fail for a user's mistake comes first, and the terminal is touched last. Invariant: machine_destroy
 * takes a machine in any stage of its making.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/acpi.h"
#include "vmm/maps.h"
#include "vmm/signals.h"

/* --- requests --- */

void machine_request(struct machine *m, enum machine_request request)
{
    atomic_fetch_or(&m->requests, (unsigned)request);
    atomic_store(&m->vcpu->exit_request, 1);
    if (m->engine->kick)
        m->engine->kick(m->vcpu);
    pthread_cond_broadcast(&m->wake);
}

/* Without the lock the broadcast may come just before the vCPU goes to sleep; machine_run repeats it then. */
void machine_stop(struct machine *m, int status, const char *reason)
{
    int running = -1;

    if (atomic_compare_exchange_strong(&m->exit_status, &running, status))
        log_write(&m->log, "reset", reason);
    machine_request(m, REQUEST_STOP);
    loop_stop(&m->loop);
}

static void quit_by_key(void *opaque)
{
    machine_stop(opaque, 0, "quit by Ctrl-A X");
}

static void on_signal(void *opaque, int number, int pid)
{
    if (number == SIGUSR2) {
        log_dump(&((struct machine *)opaque)->log, "SIGUSR2");
        return;
    }
    fprintf(stderr, "novt: terminating on signal %d from pid %d\n", number, pid);
    machine_stop(opaque, 0, "signal");
}

static void on_timer(void *opaque)
{
    struct machine *m = opaque;

    if (!m->asleep) /* else the vCPU thread has seen to it, or will */
        timer_run_expired(&m->board->timers, timer_now(&m->board->timers));
}

/* --- making --- */

/* -serial and -debugcon, with QEMU's defaults: the console on the terminal when nothing else is said. */
static const char *serial_spec(const struct options *o, unsigned i)
{
    if (o->serial_count == 0)
        return i == 0 && !o->nodefaults ? "mon:stdio" : "none";
    if (i >= o->serial_count)
        return "none";
    return o->nographic && !strcmp(o->serial[i], "stdio") ? "mon:stdio" : o->serial[i];
}

static int check_terminal_use(const struct options *o, struct error *error)
{
    unsigned users = (o->debugcon && backend_is_stdio(o->debugcon)) + (o->monitor && backend_is_stdio(o->monitor));

    for (unsigned i = 0; i < OPTIONS_SERIALS; i++)
        users += backend_is_stdio(serial_spec(o, i));
    if (users > 1)
        return error_set(error, EINVAL,
                         "-serial stdio: the terminal is asked for %u times; send all but one of -serial, "
                         "-debugcon and -monitor elsewhere",
                         users);
    return 0;
}

static int create_backends(struct machine *m, struct error *error)
{
    static const char *const labels[OPTIONS_SERIALS] = {"serial0", "serial1", "serial2", "serial3"};
    struct backend_host host = {&m->loop, quit_by_key, m};
    int status = check_terminal_use(m->options, error);

    for (unsigned i = 0; i < OPTIONS_SERIALS && !status; i++)
        status = backend_create(&m->serial[i], "-serial", serial_spec(m->options, i), labels[i], &host, error);
    if (!status && m->options->debugcon)
        status = backend_create(&m->debugcon, "-debugcon", m->options->debugcon, "debugcon", &host, error);
    if (!status && m->options->monitor)
        status = backend_create(&m->monitor_line, "-monitor", m->options->monitor, "monitor", &host, error);
    return status;
}

static int64_t clock_base(const struct options *o)
{
    time_t now = time(NULL);
    struct tm tm;

    if (o->rtc == RTC_DATE)
        return o->rtc_date;
    if (o->rtc == RTC_LOCALTIME && localtime_r(&now, &tm))
        return now + tm.tm_gmtoff;
    return now;
}

static unsigned serial_room(void *opaque)
{
    return serial_can_receive(opaque);
}

static void serial_take(void *opaque, uint8_t byte)
{
    serial_receive(opaque, byte);
}

static void serial_take_break(void *opaque)
{
    serial_receive_break(opaque);
}

static int create_board(struct machine *m, struct error *error)
{
    const struct options *o = m->options;
    struct board_hooks hooks;
    struct board_config config = {
        .cpus = 1,
        .rtc = {.base = clock_base(o),
                .ram_low = ram_low_size(&m->ram),
                .ram_high = ram_high_end(&m->ram) - RAM_HOLE_END,
                .boot_order = 2},
        .debug_console = backend_chardev(m->debugcon),
        .debug_exit_port = o->debug_exit.iobase,
        .debug_exit_size = o->debug_exit.present ? o->debug_exit.iosize : 0,
        .log_io = log_wants(&m->log, "io"),
    };

    for (unsigned i = 0; i < OPTIONS_SERIALS; i++) {
        config.serial_present[i] = m->serial[i] != NULL;
        config.serial[i] = backend_chardev(m->serial[i]);
    }
    machine_board_hooks(m, &hooks);
    m->board = board_create(&config, &hooks, error);
    if (!m->board)
        return -EINVAL;
    for (unsigned i = 0; i < OPTIONS_SERIALS; i++)
        if (m->serial[i])
            backend_attach(m->serial[i], &(struct backend_front){.can_receive = serial_room,
                                                                 .receive = serial_take,
                                                                 .receive_break = serial_take_break,
                                                                 .opaque = m->board->serial[i]});
    return 0;
}

static struct acpi_config describe_board(const struct options *o)
{
    struct acpi_config acpi = {.cpus = 1};

    for (unsigned i = 0; i < OPTIONS_SERIALS; i++)
        acpi.serial_present[i] = strcmp(serial_spec(o, i), "none") != 0;
    return acpi;
}

/* The guest's memory as firmware would hand it over. */
static int load_without_firmware(struct machine *m, struct error *error)
{
    const struct acpi_config acpi = describe_board(m->options);
    gpa_t rsdp = 0;
    int status = acpi_build(&m->ram, &acpi, &rsdp, error);

    return status ? status : kernel_load(&m->kernel, &m->ram, rsdp, error);
}

__attribute__((format(printf, 2, 3))) static void log_boot(struct machine *m, const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    log_write(&m->log, "boot", text);
}

static void log_kernel(struct machine *m)
{
    static const char *const kinds[] = {[KERNEL_LINUX_64] = "Linux, 64-bit entry",
                                        [KERNEL_LINUX_32] = "Linux, 32-bit entry",
                                        [KERNEL_LINUX_16] = "Linux, real-mode entry",
                                        [KERNEL_PVH] = "PVH",
                                        [KERNEL_MULTIBOOT] = "multiboot"};
    const struct kernel *k = &m->kernel;

    log_boot(m, "kernel %s: %s at 0x%llx, memory 0x%llx to 0x%llx", k->options.image, kinds[k->kind],
             (unsigned long long)k->entry, (unsigned long long)k->load_address, (unsigned long long)k->load_end);
    if (k->initrd.name)
        log_boot(m, "initrd %s: %llu bytes at 0x%llx", k->initrd.name, (unsigned long long)k->initrd.size,
                 (unsigned long long)k->initrd_address);
    for (unsigned i = 0; i < k->module_count; i++)
        log_boot(m, "module %s: %llu bytes at 0x%llx", k->module[i].text,
                 (unsigned long long)k->module[i].file.size, (unsigned long long)k->module[i].address);
    log_boot(m, "command line: %s", k->command_line);
}

static int load_memory(struct machine *m, struct error *error)
{
    int status = m->firmware.rom ? firmware_load(&m->firmware, &m->ram, error) : load_without_firmware(m, error);

    for (unsigned i = 0; i < m->options->loader_count && !status; i++)
        status = loader_load(&m->loader[i], &m->ram, error);
    if (status)
        return status;
    if (m->firmware.rom)
        log_boot(m, "firmware %s", m->options->bios);
    else
        log_kernel(m);
    for (unsigned i = 0; i < m->options->loader_count; i++)
        log_boot(m, "-device loader: %s at 0x%llx",
                 m->options->loader[i].has_data ? "data" : m->options->loader[i].file,
                 (unsigned long long)m->options->loader[i].address);
    return 0;
}

/* Firmware starts where the processor comes out of reset. */
static void start_vcpu(struct machine *m)
{
    vcpu_reset(m->vcpu);
    if (!m->firmware.rom)
        kernel_start(&m->kernel, m->vcpu);
    for (unsigned i = 0; i < m->options->loader_count; i++)
        if (m->options->loader[i].start)
            loader_start(&m->loader[i], m->vcpu);
}

static int open_images(struct machine *m, struct error *error)
{
    const struct options *o = m->options;
    const struct kernel_options kernel = {.image = o->kernel,
                                          .initrd = o->initrd,
                                          .append = o->append,
                                          .entry = o->kernel_entry,
                                          .long_mode = m->model.f80000001_edx >> 29 & 1};
    const struct firmware_options firmware = {
        .rom = o->bios, .nographic = o->nographic, .acpi = describe_board(o)};
    int status = kernel_open(&m->kernel, &kernel, o->memory, error);

    if (!status)
        status = firmware_open(&m->firmware, &firmware, error);
    for (unsigned i = 0; i < o->loader_count && !status; i++)
        status = loader_open(&m->loader[i], &o->loader[i], o->memory, error);
    return status;
}

static int create_core(struct machine *m, struct error *error)
{
    const struct options *o = m->options;
    int status = log_open(&m->log, &o->log, error);

    if (!status)
        status = tracer_open(&m->tracer, &o->trace, &m->log, o->kernel, error);
    if (!status)
        status = engine_parse(&m->engine, &m->engine_options, o->accel, error);
    if (!status)
        status = cpu_model_parse(&m->model, o->cpu, error);
    if (!status)
        status = open_images(m, error);
    if (!status)
        status = ram_create(&m->ram, o->memory, error);
    if (status)
        return status;
    m->vcpu = vcpu_create(&m->ram, &m->model);
    if (!m->vcpu)
        return error_set(error, ENOMEM, "no memory for a virtual CPU's %zu bytes; close other programs",
                         sizeof *m->vcpu);
    machine_wire_vcpu(m);
    machine_wire_mmio(m);
    return load_memory(m, error);
}

static int write_pidfile(struct machine *m, struct error *error)
{
    const char *path = m->options->pidfile;
    FILE *f = path ? fopen(path, "we") : NULL;

    if (!path)
        return 0;
    if (!f)
        return error_set(error, errno, "-pidfile %s: cannot write there: %s; choose another path", path,
                         strerror(errno));
    fprintf(f, "%d\n", (int)getpid());
    fclose(f);
    m->has_pidfile = true;
    return 0;
}

static void create_locks(struct machine *m)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    call_queue_create(&m->calls);
}

/* The serial line with escape keys, if any. */
static struct backend *find_console(const struct machine *m)
{
    for (unsigned i = 0; i < OPTIONS_SERIALS; i++)
        if (!strcmp(serial_spec(m->options, i), "mon:stdio"))
            return m->serial[i];
    return NULL;
}

int machine_create(struct machine **machine, const struct options *options, struct error *error)
{
    struct machine *m = calloc(1, sizeof *m);
    int status;

    *machine = m;
    if (!m)
        return error_set(error, ENOMEM, "out of memory");
    m->options = options;
    m->deadline = TIMER_NEVER;
    m->kernel.image.fd = m->kernel.initrd.fd = m->ram.fd = -1;
    for (unsigned i = 0; i < LOADER_MAX; i++)
        m->loader[i].file.fd = -1;
    m->exit_status = -1;
    m->ns_origin = machine_now_ns();
    m->tsc_origin = __builtin_ia32_rdtsc();
    create_locks(m);
    status = loop_create(&m->loop, &m->lock, error);
    m->loop.on_timer = on_timer;
    m->loop.on_signal = on_signal;
    m->loop.opaque = m;
    if (!status)
        status = create_core(m, error);
    if (!status)
        status = write_pidfile(m, error);
    if (!status)
        status = create_backends(m, error);
    if (!status)
        status = m->engine->create(m, error);
    if (!status)
        status = create_board(m, error);
    if (!status && m->firmware.rom)
        status = firmware_add_items(&m->firmware, m->board->fw_cfg, &m->ram, &m->kernel, error);
    if (!status)
        start_vcpu(m);
    if (!status)
        status = monitor_create(&m->monitor, m, m->monitor_line, find_console(m), error);
    return status;
}

void machine_destroy(struct machine *m)
{
    if (!m)
        return;
    monitor_destroy(m->monitor);
    if (m->engine && m->vcpu)
        m->engine->destroy(m);
    for (unsigned i = 0; i < OPTIONS_SERIALS; i++)
        backend_destroy(m->serial[i]);
    backend_destroy(m->debugcon);
    backend_destroy(m->monitor_line);
    if (m->board)
        board_destroy(m->board);
    vcpu_destroy(m->vcpu);
    if (m->ram.host)
        ram_destroy(&m->ram);
    for (unsigned i = 0; i < LOADER_MAX; i++)
        loader_close(&m->loader[i]);
    firmware_close(&m->firmware);
    kernel_close(&m->kernel);
    if (m->has_pidfile)
        unlink(m->options->pidfile);
    loop_destroy(&m->loop);
    tracer_close(&m->tracer);
    log_close(&m->log);
    call_queue_destroy(&m->calls);
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* --- running --- */

int machine_reset(struct machine *m, struct error *error)
{
    int status;

    pthread_mutex_lock(&m->lock);
    board_reset(m->board);
    status = load_memory(m, error);
    if (!status)
        start_vcpu(m);
    if (m->engine->forget)
        m->engine->forget(m);
    pthread_mutex_unlock(&m->lock);
    return status;
}

int machine_run(struct machine *m, struct error *error)
{
    int status = pthread_create(&m->thread, NULL, machine_vcpu_thread, m);

    if (status)
        return error_set(error, status,
                         "cannot start the virtual CPU's thread: %s; raise the limit of processes "
                         "(ulimit -u)",
                         strerror(status));
    loop_run(&m->loop);
    pthread_mutex_lock(&m->lock); /* see machine_stop */
    pthread_cond_broadcast(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    if (m->options->stats != STATS_NONE) {
        struct stats stats;

        stats_collect(&stats, m);
        stats_print(&stats, m->options->stats == STATS_JSON, stderr);
    }
    if (m->options->maps)
        maps_print(m->vcpu, stderr);
    if (atomic_load(&m->failed)) {
        *error = m->error;
        return -EIO;
    }
    return atomic_load(&m->exit_status);
}
