/*
 * machine.c - the tests' machine. Interface: machine.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cpu/machine.h"

#define PML4 0x1000u
#define PDPT 0x2000u
#define DIRECTORY 0x3000u /* of 32-bit paging */

void machine_write(struct machine *m, uint64_t at, uint64_t value, unsigned size)
{
    assert(ram_copy_to(&m->ram, at, &value, size));
}

uint64_t machine_read(struct machine *m, uint64_t at, unsigned size)
{
    uint64_t value = 0;

    assert(ram_copy_from(&m->ram, &value, at, size));
    return value;
}

uint64_t machine_descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffffu) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static void fill_gdt(struct machine *m)
{
    static const struct {
        uint16_t selector;
        uint8_t access, flags;
    } rows[] = {
        {K_CODE64, 0x9b, 0xa},      {K_DATA, 0x93, 0xc},         {U_CODE32 & ~3u, 0xfb, 0xc},
        {U_DATA & ~3u, 0xf3, 0xc},  {U_CODE64 & ~3u, 0xfb, 0xa}, {K_CODE32, 0x9b, 0xc},
        {CONFORMING, 0x9f, 0xc},    {READ_ONLY_DATA, 0x91, 0xc}, {ABSENT_DATA, 0x13, 0xc},
        {EXPAND_DOWN, 0x97, 0xc},   {EXECUTE_ONLY, 0x98, 0xc},   {BOTH_L_AND_D, 0x9b, 0xe},
        {ABSENT_CODE64, 0x1b, 0xa},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        machine_write(m, GDT + rows[i].selector, machine_descriptor(0, 0xfffff, rows[i].access, rows[i].flags), 8);
    machine_write(m, GDT + S_TSS, machine_descriptor(TSS, 0x67, 0x89, 0), 8);
    machine_write(m, GDT + S_LDT, machine_descriptor(LDT, 0xff, 0x82, 0), 8);
}

struct machine *machine_create(const char *cpu)
{
    struct machine *m = calloc(1, sizeof *m);

    assert(m && ram_create(&m->ram, 16 << 20, NULL) == 0);
    assert(cpu_model_parse(&m->model, cpu, NULL) == 0);
    m->v = vcpu_create(&m->ram, &m->model);
    assert(m->v);
    machine_write(m, PML4, PDPT | 7, 8);
    machine_write(m, PDPT, 0x87, 8); /* 1 GiB, user, writable */
    machine_write(m, DIRECTORY, 0x87, 4);
    fill_gdt(m);
    return m;
}

void machine_destroy(struct machine *m)
{
    vcpu_destroy(m->v);
    ram_destroy(&m->ram);
    free(m);
}

static void load(struct machine *m, unsigned seg, uint16_t selector)
{
    uint64_t d[2] = {machine_read(m, GDT + (selector & 0xfff8u), 8), 0};

    cpu_unpack_descriptor(&m->v->seg[seg], selector, d, false);
}

static void enter(struct machine *m, unsigned cpl, uint16_t cs)
{
    struct vcpu *v = m->v;
    uint64_t tss[2] = {machine_descriptor(TSS, 0x67, 0x8b, 0), 0};

    v->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_WP | CR0_NE;
    v->gdtr = (struct table_register){GDT, GDT_LIMIT};
    v->idtr = (struct table_register){IDT, 0xfff};
    cpu_unpack_descriptor(&v->tr, S_TSS, tss, false);
    v->ldtr = (struct segment){.selector = 0};
    load(m, SEG_CS, cs);
    for (unsigned seg = 0; seg < SEG_COUNT; seg++)
        if (seg != SEG_CS)
            load(m, seg, cpl == 3 ? U_DATA : K_DATA);
    v->rip = CODE;
    v->gpr[RSP] = (cpl == 3 ? STACK3 : STACK0) - 0x100;
    v->rflags = FLAG_FIXED | FLAG_IF;
    mmu_configure(&v->mmu, v->cr0, v->cr3, v->cr4, v->efer);
    mmu_flush(&v->mmu, true);
    cpu_update_mode(v);
}

void machine_long_mode(struct machine *m, unsigned cpl)
{
    m->v->cr3 = PML4;
    m->v->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR;
    m->v->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    machine_write(m, TSS + 4, STACK0, 8);
    machine_write(m, TSS + 36, STACK_IST, 8);
    enter(m, cpl, cpl == 3 ? U_CODE64 : K_CODE64);
}

void machine_protected_mode(struct machine *m, unsigned cpl)
{
    m->v->cr3 = DIRECTORY;
    m->v->cr4 = CR4_PSE;
    m->v->efer = 0;
    machine_write(m, TSS + 4, STACK0, 4);
    machine_write(m, TSS + 8, K_DATA, 4);
    enter(m, cpl, cpl == 3 ? U_CODE32 : K_CODE32);
}

void machine_gate(struct machine *m, unsigned vector, uint16_t selector, unsigned type, unsigned dpl, unsigned ist)
{
    uint64_t handler = HANDLER + 16 * vector;
    uint64_t gate = (handler & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
                    (uint64_t)(0x80 | dpl << 5 | type) << 40 | (handler >> 16) << 48;

    if (m->v->efer & EFER_LMA) {
        machine_write(m, IDT + 16 * vector, gate, 8);
        machine_write(m, IDT + 16 * vector + 8, handler >> 32, 8);
    } else {
        machine_write(m, IDT + 8 * vector, gate, 8);
    }
}
