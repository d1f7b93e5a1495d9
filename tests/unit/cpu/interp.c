/*
 * interp.c - the interpreter on small instruction vectors. A failure implicates cpu/interp*.c, decode.c, access.c
 * or native*.c, by the name of the test.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/native.h"
#include "cpu/simd.h"
#include "tests/unit/cpu/machine.h"

#define DATA 0x70000u
#define EDGE 0x40001000u /* last byte mapped is in front of it: map_edge */
#define RUN(m, ...) run(m, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct vcpu *current;

static void handle(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (!cpu_native_fixup(current, number, context))
        signal(number, SIG_DFL);
}

static struct machine *start(unsigned cpl, bool wide)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    struct machine *m = machine_create("max");

    for (unsigned n = 0; n < 4; n++)
        sigaction(signals[n], &action, NULL);
    current = m->v;
    if (wide)
        machine_long_mode(m, cpl);
    else
        machine_protected_mode(m, cpl);
    for (unsigned vector = 0; vector < 32; vector++)
        machine_gate(m, vector, wide ? K_CODE64 : K_CODE32, 14, 3, 0);
    return m;
}

/* One page just below EDGE, nothing behind it; for 64-bit machines. */
static void map_edge(struct machine *m)
{
    machine_write(m, 0x2000 + 8, 0x3000 | 7, 8);
    machine_write(m, 0x3000, 0x4000 | 7, 8);
    machine_write(m, 0x4000, 0x90000 | 7, 8);
}

static enum cpu_status run(struct machine *m, const uint8_t *code, size_t size)
{
    m->v->rip = CODE;
    cr_assert(ram_copy_to(&m->ram, CODE, code, size));
    return cpu_step(m->v);
}

static bool faulted(const struct machine *m, unsigned vector)
{
    return m->v->rip == HANDLER + 16 * vector;
}

static void back_to_user_level(struct machine *m)
{
    machine_long_mode(m, m->v->cpl);
}

Test(interp, fifteen_bytes_are_the_limit)
{
    struct machine *m = start(0, true);
    uint8_t code[16];

    memset(code, 0x66, sizeof code);
    code[14] = 0x90;
    run(m, code, 15);
    cr_assert_eq(m->v->rip, CODE + 15);
    code[14] = 0x66;
    code[15] = 0x90;
    run(m, code, 16);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, lock_wants_memory_and_the_right_instruction)
{
    struct machine *m = start(0, true);

    m->v->gpr[RBX] = DATA;
    RUN(m, 0xf0, 0xff, 0x03);
    cr_assert(m->v->rip == CODE + 3 && machine_read(m, DATA, 4) == 1);
    RUN(m, 0xf0, 0x01, 0xc0);
    cr_assert(faulted(m, EXC_UD));
    RUN(m, 0xf0, 0x8b, 0x03);
    cr_assert(faulted(m, EXC_UD));
    RUN(m, 0xf0, 0x90);
    cr_assert(faulted(m, EXC_UD));
    machine_destroy(m);
}

Test(interp, fetch_fault_names_the_first_byte_missing)
{
    struct machine *m = start(0, true);
    static const uint8_t mov[] = {0x48, 0xb8, 1, 2, 3};

    map_edge(m);
    ram_copy_to(&m->ram, 0x91000 - 5, mov, 5);
    m->v->rip = EDGE - 5;
    cpu_step(m->v);
    cr_assert(faulted(m, EXC_PF) && m->v->cr2 == EDGE);
    cr_assert_eq(machine_read(m, m->v->gpr[RSP], 8) & ~16ull, 0); /* without NX no fetch bit */
    cr_assert_eq(machine_read(m, m->v->gpr[RSP] + 8, 8), EDGE - 5);
    /* an instruction that ends at the page's end is fine */
    machine_write(m, 0x91000 - 1, 0x90, 1);
    m->v->rip = EDGE - 1;
    cpu_step(m->v);
    cr_assert_eq(m->v->rip, EDGE);
    machine_destroy(m);
}

Test(interp, a_store_across_pages_is_whole_or_not_at_all)
{
    struct machine *m = start(0, true);

    map_edge(m);
    m->v->gpr[RBX] = EDGE - 3;
    m->v->gpr[RAX] = 0x1122334455667788;
    RUN(m, 0x48, 0x89, 0x03);
    cr_assert(faulted(m, EXC_PF) && m->v->cr2 == EDGE);
    cr_assert_eq(machine_read(m, 0x91000 - 3, 3), 0);
    machine_destroy(m);
}

Test(interp, repeat_stops_at_the_faulting_iteration)
{
    struct machine *m = start(0, true);

    map_edge(m);
    m->v->gpr[RDI] = EDGE - 20;
    m->v->gpr[RCX] = 100;
    m->v->gpr[RAX] = 0x5a;
    RUN(m, 0xf3, 0xaa);
    cr_assert(faulted(m, EXC_PF) && m->v->cr2 == EDGE);
    cr_assert(m->v->gpr[RDI] == EDGE && m->v->gpr[RCX] == 80);
    cr_assert_eq(machine_read(m, 0x91000 - 20, 1), 0x5a);
    cr_assert_eq(machine_read(m, m->v->gpr[RSP] + 8, 8), CODE);
    machine_destroy(m);
}

Test(interp, repeat_goes_in_bounded_chunks)
{
    struct machine *m = start(0, true);
    unsigned steps = 1;

    m->v->gpr[RSI] = DATA;
    m->v->gpr[RDI] = DATA + 1;
    m->v->gpr[RCX] = 10000;
    machine_write(m, DATA, 0x77, 1);
    RUN(m, 0xf3, 0xa4);
    cr_assert(m->v->rip == CODE && m->v->gpr[RCX] > 0);
    for (; m->v->rip == CODE; steps++)
        cpu_step(m->v);
    cr_assert(m->v->gpr[RCX] == 0 && m->v->gpr[RSI] == DATA + 10000 && steps <= 4);
    for (unsigned n = 0; n <= 10000; n++) /* an overlapping move repeats its first byte */
        cr_assert_eq(machine_read(m, DATA + n, 1), 0x77);
    machine_destroy(m);
}

Test(interp, compare_strings)
{
    struct machine *m = start(0, true);

    ram_copy_to(&m->ram, DATA, "string one", 10);
    ram_copy_to(&m->ram, DATA + 0x100, "string two", 10);
    m->v->gpr[RSI] = DATA;
    m->v->gpr[RDI] = DATA + 0x100;
    m->v->gpr[RCX] = 10;
    RUN(m, 0xf3, 0xa6);
    cr_assert(m->v->gpr[RCX] == 2 && m->v->gpr[RSI] == DATA + 8 && !(m->v->rflags & FLAG_ZF));
    m->v->gpr[RAX] = 'o';
    m->v->gpr[RDI] = DATA;
    m->v->gpr[RCX] = 10;
    RUN(m, 0xf2, 0xae);
    cr_assert(m->v->gpr[RDI] == DATA + 8 && m->v->rflags & FLAG_ZF);
    machine_destroy(m);
}

Test(interp, compare_and_exchange_wide)
{
    struct machine *m = start(0, true);
    struct vcpu *v = m->v;

    machine_write(m, DATA, 1, 8);
    machine_write(m, DATA + 8, 2, 8);
    v->gpr[RSI] = DATA;
    v->gpr[RAX] = 1;
    v->gpr[RDX] = 2;
    v->gpr[RBX] = 3;
    v->gpr[RCX] = 4;
    RUN(m, 0xf0, 0x48, 0x0f, 0xc7, 0x0e);
    cr_assert(v->rflags & FLAG_ZF && machine_read(m, DATA, 8) == 3 && machine_read(m, DATA + 8, 8) == 4);
    RUN(m, 0xf0, 0x48, 0x0f, 0xc7, 0x0e);
    cr_assert(!(v->rflags & FLAG_ZF) && v->gpr[RAX] == 3 && v->gpr[RDX] == 4);
    v->gpr[RSI] = DATA + 8;
    RUN(m, 0x48, 0x0f, 0xc7, 0x0e);
    cr_assert(faulted(m, EXC_GP)); /* not aligned */
    machine_destroy(m);
}

struct device {
    uint64_t value;
    unsigned reads, writes, last_size;
};

static uint64_t device_read(void *opaque, gpa_t gpa, unsigned size)
{
    struct device *d = opaque;

    (void)gpa;
    d->reads++;
    d->last_size = size;
    return d->value;
}

static void device_write(void *opaque, gpa_t gpa, uint64_t value, unsigned size)
{
    struct device *d = opaque;

    (void)gpa;
    d->writes++;
    d->last_size = size;
    d->value = value;
}

Test(interp, device_memory)
{
    struct machine *m = start(0, true);
    struct device d = {.value = 5};

    m->ram.mmio = (struct ram_mmio){device_read, device_write, &d};
    m->v->gpr[RBX] = 0x30000000; /* behind RAM */
    RUN(m, 0xff, 0x03);
    cr_assert(d.value == 6 && d.reads == 1 && d.writes == 1 && d.last_size == 4);
    m->v->simd_live = true;
    cr_assert_eq(RUN(m, 0x8a, 0x03), CPU_NEED_FULL);
    cr_assert(d.reads == 1 && m->v->rip == CODE);
    m->v->simd_live = false;
    m->v->gpr[RBX] += 0xfff;
    RUN(m, 0x66, 0x89, 0x03);
    cr_assert(d.writes == 3 && d.last_size == 1);
    machine_destroy(m);
}

static void note_code(void *opaque, uint64_t offset, unsigned size)
{
    *(uint64_t *)opaque = offset + size;
}

static unsigned logged;
static void note_write(void *opaque, uint8_t *host, unsigned size)
{
    (void)opaque;
    (void)host;
    logged += size;
}

Test(interp, writes_are_told_about)
{
    struct machine *m = start(0, true);
    struct cpu_write_log log = {note_write, NULL};
    uint64_t told = 0;

    m->ram.code_written = note_code;
    m->ram.code_written_opaque = &told;
    m->ram.page_flags[DATA >> PAGE_SHIFT] |= RAM_PAGE_CODE;
    m->v->write_log = &log;
    m->v->gpr[RBX] = DATA + 8;
    RUN(m, 0x89, 0x03);
    cr_assert(told == DATA + 12 && logged == 4);
    RUN(m, 0xf0, 0xff, 0x43, 0x10);
    cr_assert(told == DATA + 28 && logged == 8);
    m->v->write_log = NULL;
    machine_destroy(m);
}

Test(interp, divide_errors)
{
    struct machine *m = start(0, true);

    m->v->gpr[RDX] = 0x8000000000000000;
    m->v->gpr[RAX] = 0;
    m->v->gpr[RBX] = ~0ull;
    RUN(m, 0x48, 0xf7, 0xfb); /* idiv: the quotient is 2^127 */
    cr_assert(faulted(m, EXC_DE));
    m->v->gpr[RDX] = ~0ull;
    m->v->gpr[RAX] = 0x8000000000000000;
    RUN(m, 0x48, 0xf7, 0xfb); /* -2^63 / -1 */
    cr_assert(faulted(m, EXC_DE));
    m->v->gpr[RBX] = 1;
    RUN(m, 0x48, 0xf7, 0xfb);
    cr_assert(m->v->rip == CODE + 3 && m->v->gpr[RAX] == 0x8000000000000000 && m->v->gpr[RDX] == 0);
    machine_destroy(m);
}

Test(interp, non_canonical_addresses)
{
    struct machine *m = start(0, true);

    m->v->gpr[RBX] = m->v->gpr[RBP] = 0x800000000000;
    RUN(m, 0x8b, 0x03);
    cr_assert(faulted(m, EXC_GP));
    RUN(m, 0x8b, 0x45, 0x00);
    cr_assert(faulted(m, EXC_SS));
    RUN(m, 0xff, 0xe3);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, segment_limits)
{
    struct machine *m = start(0, false);
    struct vcpu *v = m->v;

    v->seg[SEG_DS].limit = 0x7ffff;
    v->seg[SEG_DS].base = 0x1000;
    cpu_update_mode(v);
    v->gpr[RBX] = 0x7fffd;
    RUN(m, 0x8b, 0x03);
    cr_assert(faulted(m, EXC_GP));
    v->gpr[RBX] = 0x7fffc;
    machine_write(m, 0x80ffc, 0x12345678, 4);
    RUN(m, 0x8b, 0x03);
    cr_assert(v->rip == CODE + 2 && v->gpr[RAX] == 0x12345678);
    RUN(m, 0x2e, 0x89, 0x03); /* a code segment is never written */
    cr_assert(faulted(m, EXC_GP));
    v->seg[SEG_DS].attributes |= 4; /* expand-down: valid above the limit */
    v->gpr[RBX] = 0x80000;
    RUN(m, 0x8b, 0x03);
    cr_assert_eq(v->rip, CODE + 2);
    v->gpr[RBX] = 0x7ffff;
    RUN(m, 0x8b, 0x03);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, stack_frames)
{
    struct machine *m = start(0, false);
    struct vcpu *v = m->v;
    uint64_t esp = v->gpr[RSP];

    for (unsigned n = 0; n < 8; n++)
        if (n != RSP)
            v->gpr[n] = 0x11111111 * (n + 1);
    RUN(m, 0x60);
    cr_assert_eq(v->gpr[RSP], esp - 32);
    cr_assert(machine_read(m, esp - 4, 4) == 0x11111111 && machine_read(m, esp - 20, 4) == esp);
    memset(v->gpr, 0, 4 * sizeof v->gpr[0]);
    RUN(m, 0x61);
    cr_assert(v->gpr[RSP] == esp && v->gpr[RBX] == 0x44444444 && v->gpr[RAX] == 0x11111111);
    v->gpr[RBP] = DATA + 0x100;
    machine_write(m, DATA + 0xfc, 0xabcd, 4);
    RUN(m, 0xc8, 0x10, 0x00, 0x02);
    cr_assert(v->gpr[RBP] == esp - 4 && v->gpr[RSP] == esp - 12 - 16);
    cr_assert(machine_read(m, esp - 8, 4) == 0xabcd && machine_read(m, esp - 12, 4) == esp - 4);
    RUN(m, 0xc9);
    cr_assert(v->gpr[RSP] == esp && v->gpr[RBP] == DATA + 0x100);
    machine_destroy(m);
}

Test(interp, shadows_and_halt)
{
    struct machine *m = start(0, true);

    m->v->rflags &= ~(uint64_t)FLAG_IF;
    RUN(m, 0xfb);
    cr_assert(m->v->interrupt_shadow && m->v->rflags & FLAG_IF);
    cr_assert_eq(RUN(m, 0xf4), CPU_EXIT);
    cr_assert(!m->v->interrupt_shadow && m->v->halted && m->v->rip == CODE + 1 && m->v->exit.reason == EXIT_HLT);
    m->v->gpr[RAX] = K_DATA;
    RUN(m, 0x8e, 0xd0);
    cr_assert(m->v->interrupt_shadow && m->v->debug_shadow);
    machine_destroy(m);
    m = start(3, true);
    RUN(m, 0xf4);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, single_step_traps_behind_each_instruction)
{
    struct machine *m = start(0, true);

    m->v->rflags |= FLAG_TF;
    cpu_update_mode(m->v);
    RUN(m, 0xff, 0xc0);
    cr_assert(faulted(m, EXC_DB) && m->v->gpr[RAX] == 1 && m->v->dr[6] & 1 << 14);
    cr_assert_eq(machine_read(m, m->v->gpr[RSP], 8), CODE + 2);
    machine_destroy(m);
}

Test(interp, sse_needs_its_control_bits)
{
    struct machine *m = start(0, true);
    struct vcpu *v = m->v;

    RUN(m, 0x0f, 0x57, 0xc0);
    cr_assert_eq(v->rip, CODE + 3);
    v->cr0 |= CR0_TS;
    cpu_update_mode(v);
    RUN(m, 0x0f, 0x57, 0xc0);
    cr_assert(faulted(m, EXC_NM));
    v->cr0 = (v->cr0 & ~(uint64_t)CR0_TS) | CR0_EM;
    cpu_update_mode(v);
    RUN(m, 0x0f, 0x57, 0xc0);
    cr_assert(faulted(m, EXC_UD));
    RUN(m, 0xd9, 0xe8);
    cr_assert(faulted(m, EXC_NM));
    v->cr0 &= ~(uint64_t)CR0_EM;
    cpu_update_mode(v);
    RUN(m, 0xc5, 0xf8, 0x57, 0xc0); /* AVX without CR4.OSXSAVE */
    cr_assert(faulted(m, EXC_UD));
    v->simd_live = true;
    cr_assert_eq(RUN(m, 0x0f, 0x57, 0xc0), CPU_NEED_FULL);
    v->simd_live = false;
    machine_destroy(m);
}

Test(interp, unmasked_simd_exceptions)
{
    struct machine *m = start(0, true);
    struct vcpu *v = m->v;

    machine_write(m, DATA, 0x1d80, 4); /* division by zero unmasked */
    v->gpr[RBX] = DATA;
    RUN(m, 0x0f, 0xae, 0x13);
    cr_assert_eq(v->rip, CODE + 3);
    v->xsave[160 + 2] = 0x80; /* XMM0: 1.0f */
    v->xsave[160 + 3] = 0x3f;
    v->cr4 |= CR4_OSXMMEXCPT;
    RUN(m, 0xf3, 0x0f, 0x5e, 0xc1);
    cr_assert(faulted(m, EXC_XM));
    v->cr4 &= ~(uint64_t)CR4_OSXMMEXCPT;
    RUN(m, 0xf3, 0x0f, 0x5e, 0xc1);
    cr_assert(faulted(m, EXC_UD));
    machine_write(m, DATA, 0xffffffff, 4);
    RUN(m, 0x0f, 0xae, 0x13);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, x87_exceptions_wait_and_show_no_host_address)
{
    struct machine *m = start(0, true);
    struct vcpu *v = m->v;

    machine_write(m, DATA, 0x37b, 2); /* division by zero unmasked */
    v->gpr[RBX] = DATA;
    RUN(m, 0xd9, 0x2b);
    RUN(m, 0xd9, 0xe8);
    RUN(m, 0xd9, 0xee);
    RUN(m, 0xd8, 0xf9); /* fdivr st0, st1: 1 / 0 is noted, reported by the next */
    cr_assert_eq(v->rip, CODE + 2);
    RUN(m, 0xdd, 0xd9);
    cr_assert(faulted(m, EXC_MF));
    RUN(m, 0x9b);
    cr_assert(faulted(m, EXC_MF));
    RUN(m, 0xd9, 0x73, 0x10); /* fnstenv does not wait */
    cr_assert_eq(v->rip, CODE + 3);
    cr_assert(machine_read(m, DATA + 0x14, 4) & 0x80);
    for (unsigned n = 12; n < 28; n++)
        cr_assert_eq(machine_read(m, DATA + 0x10 + n, 1), 0);
    machine_destroy(m);
}

Test(interp, fxsave_round_trip)
{
    struct machine *m = start(0, true);
    struct vcpu *v = m->v;

    memset(v->xsave + 160, 0xa5, 256);
    v->gpr[RBX] = DATA;
    RUN(m, 0x48, 0x0f, 0xae, 0x03);
    cr_assert_eq(v->rip, CODE + 4);
    cr_assert_eq(machine_read(m, DATA + 160 + 255, 1), 0xa5);
    memset(v->xsave + 160, 0, 256);
    RUN(m, 0x48, 0x0f, 0xae, 0x0b);
    cr_assert_eq(v->xsave[160 + 255], 0xa5);
    v->gpr[RBX] = DATA + 8;
    RUN(m, 0x48, 0x0f, 0xae, 0x03);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, xsave_takes_what_the_guest_enabled)
{
    struct machine *m = start(0, true);
    struct vcpu *v = m->v;

    v->cr4 |= CR4_OSXSAVE;
    v->xcr0 = 3;
    cpu_update_mode(v);
    for (unsigned n = 0; n < 1024; n += 8)
        machine_write(m, DATA + n, n >= 512 && n < 576 ? 0 : 0xeeeeeeeeeeeeeeee, 8);
    v->gpr[RBX] = DATA;
    v->gpr[RAX] = v->gpr[RDX] = 0xffffffff;
    RUN(m, 0x0f, 0xae, 0x23);
    cr_assert_eq(v->rip, CODE + 3);
    cr_assert_eq(machine_read(m, DATA + 512, 8) & ~3ull, 0);
    cr_assert_eq(machine_read(m, DATA + 576, 8), 0xeeeeeeeeeeeeeeee); /* AVX is not enabled */
    RUN(m, 0x0f, 0xae, 0x2b);
    cr_assert_eq(v->rip, CODE + 3);
    machine_write(m, DATA + 512, 4, 8);
    RUN(m, 0x0f, 0xae, 0x2b);
    cr_assert(faulted(m, EXC_GP));
    machine_destroy(m);
}

Test(interp, alignment_check_at_user_level)
{
    struct machine *m = start(3, true);
    struct vcpu *v = m->v;

    v->cr0 |= CR0_AM;
    v->rflags |= FLAG_AC;
    v->gpr[RBX] = DATA + 1;
    RUN(m, 0x8a, 0x03);
    cr_assert_eq(v->rip, CODE + 2);
    RUN(m, 0x8b, 0x03);
    cr_assert(faulted(m, EXC_AC));
    back_to_user_level(m);
    machine_destroy(m);
}
