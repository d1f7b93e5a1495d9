/*
 * robust.c - virtual-8086 mode, frames across pages, and random tables: whatever a guest puts into its descriptor
 * tables, a fault leaves the state alone. A failure implicates the file of the function named.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/cpu/machine.h"

Test(robust, virtual_8086_round_trip)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint32_t esp = STACK0 - 0x100;
    const uint32_t frame[] = {0x100,  0x1000, FLAG_VM | FLAG_IF | FLAG_FIXED, 0xfff0, 0x2000, 0x3000, 0x4000,
                              0x5000, 0x6000};

    machine_protected_mode(m, 0);
    for (unsigned i = 0; i < 9; i++)
        machine_write(m, esp + 4 * i, frame[i], 4);
    for (unsigned vector = 0; vector < 32; vector++)
        machine_gate(m, vector, K_CODE32, 14, 0, 0);
    cr_assert_eq(cpu_iret(v, 4), CPU_OK);
    cr_assert(v->mode & MODE_VM && v->cpl == 3 && v->rip == 0x100 && v->gpr[RSP] == 0xfff0);
    cr_assert(v->seg[SEG_CS].base == 0x10000 && v->seg[SEG_SS].base == 0x20000 && v->seg[SEG_GS].base == 0x60000);
    cr_assert(cpu_cli(v) == CPU_FAULT && v->fault.vector == EXC_GP);
    cr_assert_eq(cpu_popf(v, 0, 2), CPU_FAULT);
    cr_assert_eq(cpu_software_interrupt(v, 0x21, 0x102), CPU_FAULT);
    cpu_raise_error(v, EXC_GP, 0);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert(v->cpl == 0 && !(v->mode & MODE_VM) && v->gpr[RSP] == STACK0 - 40);
    cr_assert(v->seg[SEG_DS].selector == 0 && !(v->seg[SEG_GS].attributes & SEGATTR_P));
    cr_assert_eq(machine_read(m, STACK0 - 36, 4), 0x100);
    cr_assert_eq(machine_read(m, STACK0 - 28, 4), FLAG_VM | FLAG_IF | FLAG_FIXED | FLAG_RF);
    cr_assert_eq(machine_read(m, STACK0 - 4, 4), 0x6000);
    v->gpr[RSP] += 4;
    cr_assert_eq(cpu_iret(v, 4), CPU_OK);
    cr_assert(v->mode & MODE_VM && v->seg[SEG_FS].selector == 0x5000);
    machine_destroy(m);
}

/* The frame's upper page is there, its lower one not: CR2 is the first word pushed that did not fit. */
Test(robust, frame_across_a_page)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;

    machine_long_mode(m, 0);
    machine_gate(m, EXC_UD, K_CODE64, 14, 0, 0);
    machine_gate(m, EXC_PF, K_CODE64, 14, 0, 1);
    machine_write(m, 0x2000 + 8, 0x3000 | 3, 8); /* 1 GiB up: a directory, a table, one page */
    machine_write(m, 0x3000, 0x4000 | 3, 8);
    machine_write(m, 0x4000 + 8, 0x70000 | 3, 8);
    v->gpr[RSP] = 0x40001010;
    cpu_raise(v, EXC_UD);
    cr_assert_eq(cpu_deliver_fault(v), CPU_OK);
    cr_assert_eq(v->rip, HANDLER + 16 * EXC_PF);
    cr_assert_eq(v->cr2, 0x40000ff8);
    cr_assert_eq(machine_read(m, v->gpr[RSP] + 32, 8), 0x40001010);
    machine_destroy(m);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

static enum cpu_status act(struct vcpu *v, unsigned what, uint64_t r)
{
    uint16_t selector = (r >> 8) % 0xa8;
    unsigned size = v->mode & MODE_CODE64 ? 8 : 4;

    switch (what) {
    case 0:
        return cpu_load_segment(v, (r >> 32) % SEG_COUNT, selector);
    case 1:
        return cpu_far_jump(v, selector, r >> 40, size, CODE + 7);
    case 2:
        return cpu_far_call(v, selector, r >> 40, size, CODE + 5);
    case 3:
        return cpu_far_return(v, size, r >> 60);
    case 4:
        return cpu_iret(v, size);
    case 5:
        return cpu_software_interrupt(v, r >> 32, CODE + 2);
    case 6:
        return cpu_load_ldt(v, selector);
    default:
        return cpu_load_task(v, selector);
    }
}

Test(robust, random_tables, .timeout = 60)
{
    struct machine *m = machine_create("max");
    struct vcpu *v = m->v;
    uint64_t seed = 0x123456789abcdef, faults = 0, done = 0;

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t r = next_random(&seed);
        struct segment cs, ss;
        uint64_t rsp, rip, flags;
        enum cpu_status status;

        if (i % 64 == 0)
            for (unsigned at = 0; at < 0xa0; at += 8) /* random types, levels and presence, sane bases */
                machine_write(m, GDT + at, (next_random(&seed) & 0x00ffff000000ffff) | (uint64_t)(TSS + at) << 16,
                              8);
        if (i % 64 == 32)
            for (unsigned at = 0; at < 0x1000; at += 8)
                machine_write(m, IDT + at, (next_random(&seed) & 0x0000ff0700f8ffff), 8);
        if (r & 1 << 20)
            machine_long_mode(m, r >> 21 & 1 ? 3 : 0);
        else
            machine_protected_mode(m, r >> 21 & 1 ? 3 : 0);
        for (unsigned at = 0; at < 0x40; at += 8)
            machine_write(m, v->gpr[RSP] + at, next_random(&seed) & (at % 16 ? 0x9b : 0xfffff), 8);
        cs = v->seg[SEG_CS];
        ss = v->seg[SEG_SS];
        rsp = v->gpr[RSP];
        rip = v->rip;
        flags = v->rflags;
        status = act(v, r & 7, r);
        if (status == CPU_OK) {
            done++;
            continue;
        }
        faults++;
        cr_assert_eq(status, CPU_FAULT);
        /* A task switch may fault in the new task. */
        if (v->tr.selector == S_TSS && !(v->cr0 & CR0_TS))
            cr_assert(!memcmp(&cs, &v->seg[SEG_CS], sizeof cs) && !memcmp(&ss, &v->seg[SEG_SS], sizeof ss) &&
                          rsp == v->gpr[RSP] && rip == v->rip && flags == v->rflags,
                      "case %u, action %u", i, (unsigned)(r & 7));
        status = cpu_deliver_fault(v);
        cr_assert(status == CPU_OK || status == CPU_EXIT);
    }
    cr_assert(done > 1000 && faults > 1000, "%lu done, %lu faults", done, faults);
    machine_destroy(m);
}
