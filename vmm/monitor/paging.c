/*
 * paging.c - the guest's page tables: info mem, info tlb.
 *
 * Interface: command.h. Lines are QEMU's. Invariant: however the guest has built its tables (one may hold
 * itself, and then there are millions of mappings), the time and the text that this takes are limited.
 */
#include "vmm/monitor/command.h"

#include <errno.h>
#include <inttypes.h>

#define WALKS_MAX (4u << 20)
#define LINES_MAX 20000u

/* PTE bits (SDM vol. 3, 4.5), and the letter that QEMU shows for each */
static const struct {
    uint8_t bit;
    char letter;
} bit_table[] = {{63, 'X'}, {8, 'G'}, {7, 'P'}, {6, 'D'}, {5, 'A'}, {4, 'C'}, {3, 'T'}, {2, 'U'}, {1, 'W'}};
#define BIT_LARGE 7

/* FROM, or everything; false: an error, or there is no paging, and that has been said. */
static bool begin(struct command *c, gva_t *from, int *status)
{
    *from = 0;
    *status = command_is_at_end(c) ? 0 : command_read_expression(c, from);
    if (!*status)
        *status = command_expect_end(c);
    if (!*status && !c->machine->vcpu->mmu.paging) {
        fprintf(c->to, "PG disabled\n");
        return false;
    }
    return !*status;
}

static int left_off(struct command *c, const char *what, gva_t at)
{
    return error_set(&c->error, E2BIG, "(there is more: info %s 0x%" PRIx64 ")", what, at);
}

/* --- info tlb --- */

static void print_mapping(FILE *to, const struct mmu_mapping *m)
{
    fprintf(to, "%016" PRIx64 ": %016" PRIx64 " ", m->linear, m->gpa);
    for (unsigned i = 0; i < sizeof bit_table / sizeof bit_table[0]; i++) {
        bool is_pat = bit_table[i].bit == BIT_LARGE && m->size == PAGE_SIZE;

        fputc(m->entry >> bit_table[i].bit & 1 && !is_pat ? bit_table[i].letter : '-', to);
    }
    fputc('\n', to);
}

int info_tlb(struct command *c)
{
    uint64_t walks = WALKS_MAX;
    struct mmu_mapping m = {.size = 0};
    unsigned lines = 0;
    int status;
    gva_t at;

    if (!begin(c, &at, &status))
        return status;
    while (mmu_find_mapping(&c->machine->vcpu->mmu, at, &m, &walks)) {
        if (lines++ == LINES_MAX)
            return left_off(c, "tlb", m.linear);
        print_mapping(c->to, &m);
        at = m.next;
        if (!at)
            return 0;
    }
    return walks ? 0 : left_off(c, "tlb", at);
}

/* --- info mem --- */

static void print_range(FILE *to, const struct mmu_mapping *m)
{
    if (m->size)
        fprintf(to, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c%c\n", m->linear, m->linear + m->size,
                m->size, m->user ? 'u' : '-', m->writable ? 'w' : '-', m->executable ? 'x' : '-');
}

static bool goes_on(const struct mmu_mapping *range, const struct mmu_mapping *m)
{
    return range->size && range->linear + range->size == m->linear && range->user == m->user &&
           range->writable == m->writable && range->executable == m->executable;
}

int info_mem(struct command *c)
{
    uint64_t walks = WALKS_MAX;
    struct mmu_mapping range = {.size = 0}, m = {.size = 0};
    unsigned lines = 0;
    int status;
    gva_t at;

    if (!begin(c, &at, &status))
        return status;
    while (mmu_find_mapping(&c->machine->vcpu->mmu, at, &m, &walks)) {
        if (goes_on(&range, &m)) {
            range.size += m.size;
        } else {
            print_range(c->to, &range);
            if (lines++ == LINES_MAX)
                return left_off(c, "mem", m.linear);
            range = m;
        }
        at = m.next;
        if (!at)
            break;
    }
    print_range(c->to, &range);
    return walks || !at ? 0 : left_off(c, "mem", at);
}
