/*
 * peek.c - a look at guest memory, for people.
 *
 * Interface: peek.h. Goes page by page: neighbours in linear memory need not be neighbours in RAM.
 */
#include "vmm/monitor/peek.h"

#include <string.h>

#include "vmm/machine.h"

/* What is left of the page. */
static size_t part_of(uint64_t at, size_t size)
{
    size_t part = (size_t)(PAGE_SIZE - (at & ~PAGE_MASK));

    return part < size ? part : size;
}

size_t peek_physical(const struct machine *m, gpa_t from, void *to, size_t size)
{
    size_t done = 0;

    while (done < size) {
        const uint8_t *host = ram_host_readable(&m->ram, from + done);
        size_t part = part_of(from + done, size - done);

        if (!host)
            break;
        memcpy((uint8_t *)to + done, host, part);
        done += part;
    }
    return done;
}

size_t peek_linear(const struct machine *m, gva_t from, void *to, size_t size)
{
    size_t done = 0;
    gpa_t gpa;

    while (done < size && mmu_probe(&m->vcpu->mmu, from + done, &gpa)) {
        size_t part = part_of(from + done, size - done);

        if (peek_physical(m, gpa, (uint8_t *)to + done, part) < part)
            break;
        done += part;
    }
    return done;
}
