/*
 * maps.c - lists the software TLB and the windows, page by page.
 *
 * Interface: maps.h. Invariant: it only looks; nothing is filled or flushed by it.
 */
#include "vmm/maps.h"

#include <inttypes.h>

#include "cpu/vcpu.h"

static const char *rights(bool read, bool write)
{
    return read ? write ? "rw" : "r-" : "-w";
}

static void print_entry(const struct vcpu *v, unsigned context, unsigned index, FILE *to)
{
    static const char *const names[] = {
        [MMU_SUPERVISOR] = "supervisor", [MMU_SUPERVISOR_AC] = "supervisor-ac", [MMU_USER] = "user"};
    const struct mmu_tlb_entry *e = &v->mmu.table[context].entry[index];
    bool read = e->read != MMU_TLB_NEVER(index), write = e->write != MMU_TLB_NEVER(index);
    uint64_t offset = e->host - (uintptr_t)v->mmu.ram->host;

    if ((read || write) && offset < v->mmu.ram->size) /* else: ROM */
        fprintf(to, "map tlb context=%s linear=0x%" PRIx64 " ram=0x%" PRIx64 " rights=%s\n", names[context],
                0 - (read ? e->read : e->write), offset, rights(read, write));
}

static void print_tlb(const struct vcpu *v, FILE *to)
{
    for (unsigned c = 0; c < MMU_CONTEXTS; c++)
        for (unsigned i = 0; i < MMU_TLB_SIZE; i++)
            print_entry(v, c, i, to);
}

static void print_window(const struct window *w, FILE *to)
{
    for (unsigned i = 0; i < WINDOW_SLOTS; i++) {
        const struct window_page *p = &w->slot[i];

        if (p->page && (p->page & ~PAGE_MASK) == w->generation)
            fprintf(to, "map window context=user linear=0x%" PRIx64 " ram=0x%" PRIx64 " rights=%s\n",
                    (gva_t)(p->page & PAGE_MASK), (gpa_t)(p->offset & PAGE_MASK),
                    rights(true, p->offset & WINDOW_WRITABLE));
    }
}

static void print_kwindow(const struct kwindow *w, FILE *to)
{
    for (unsigned i = 0; i < w->count; i++) {
        const struct kwindow_run *r = &w->run[i];

        fprintf(to,
                "map kwindow context=supervisor linear=0x%" PRIx64 " ram=0x%" PRIx64 " pages=%" PRIu64
                " rights=%s\n",
                (uint64_t)r->from << PAGE_SHIFT, (uint64_t)r->page << PAGE_SHIFT, r->to - r->from,
                rights(true, r->writable));
    }
}

void maps_print(const struct vcpu *v, FILE *to)
{
    print_tlb(v, to);
    if (v->mmu.window)
        print_window(v->mmu.window, to);
    if (v->mmu.kwindow)
        print_kwindow(v->mmu.kwindow, to);
}
