/*
 * symbols.c - a sorted table of symbols.
 *
 * Interface: symbols.h. Filled by symbols_elf.c or symbols_map.c, then sorted once by address and once by name.
 * Invariant: after symbols_open only `offset` ever changes.
 */
#include "vmm/trace/symbols_internal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REACH (64u << 10) /* of a symbol that does not tell its size */

/* Room for `more` elements behind `used`, doubling. */
static bool grow(void **array, size_t *room, size_t used, size_t more, size_t element)
{
    size_t wanted = *room ? *room : 1024;
    void *larger;

    if (used + more <= *room)
        return true;
    while (wanted < used + more)
        wanted *= 2;
    larger = reallocarray(*array, wanted, element);
    if (!larger)
        return false;
    *array = larger;
    *room = wanted;
    return true;
}

bool symbols_add(struct symbols *s, struct symbol symbol, const char *name, size_t length)
{
    if (!length)
        return true;
    if (s->names_size + length >= UINT32_MAX || s->count >= UINT32_MAX ||
        !grow((void **)&s->names, &s->names_room, s->names_size, length + 1, 1) ||
        !grow((void **)&s->symbol, &s->room, s->count, 1, sizeof *s->symbol))
        return false;
    symbol.name = (uint32_t)s->names_size;
    for (size_t i = 0; i < length; i++)
        s->names[s->names_size++] = (uint8_t)name[i] <= ' ' || name[i] == 0x7f ? '?' : name[i];
    s->names[s->names_size++] = '\0';
    s->symbol[s->count++] = symbol;
    return true;
}

/* The one that is found is the last of an address: the best known, then the largest. */
static int compare_addresses(const void *one, const void *other)
{
    const struct symbol *a = one, *b = other;

    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->name < b->name ? 1 : a->name > b->name ? -1 : 0;
}

static int compare_names(const void *one, const void *other, void *symbols)
{
    const struct symbols *s = symbols;
    const struct symbol *a = &s->symbol[*(const uint32_t *)one], *b = &s->symbol[*(const uint32_t *)other];
    int order = strcmp(s->names + a->name, s->names + b->name);

    if (order)
        return order;
    if (a->rank != b->rank)
        return a->rank > b->rank ? -1 : 1;
    return a->address < b->address ? -1 : a->address > b->address ? 1 : 0;
}

static bool sort(struct symbols *s)
{
    s->by_name = reallocarray(NULL, s->count, sizeof *s->by_name);
    if (!s->by_name)
        return false;
    for (size_t i = 0; i < s->count; i++)
        s->by_name[i] = (uint32_t)i;
    qsort(s->symbol, s->count, sizeof *s->symbol, compare_addresses);
    qsort_r(s->by_name, s->count, sizeof *s->by_name, compare_names, s);
    return true;
}

static int read_symbols(struct symbols *s, int fd, const char **error)
{
    char magic[SELFMAG] = {0};
    struct stat st;

    if (fstat(fd, &st) < 0 || pread(fd, magic, sizeof magic, 0) < 0) {
        *error = "cannot be read; name an ELF file or a System.map";
        return -errno;
    }
    return !memcmp(magic, ELFMAG, SELFMAG) ? symbols_read_elf(s, fd, error)
                                           : symbols_read_map(s, fd, (uint64_t)st.st_size, error);
}

static const char *why_not_open(int errnum)
{
    return errnum == ENOENT   ? "there is no such file; check the path"
           : errnum == EACCES ? "may not be read; check its permissions"
                              : "cannot be opened; check the path and its permissions";
}

int symbols_open(struct symbols **symbols, const char *path, const char **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), status = -ENOMEM;
    struct symbols *s = calloc(1, sizeof *s);

    *symbols = NULL;
    *error = "needs more memory than there is; close other programs";
    if (fd < 0) {
        status = -errno;
        *error = why_not_open(errno);
    } else if (s) {
        status = read_symbols(s, fd, error);
    }
    if (!status && !s->count) {
        status = -EINVAL;
        *error = "has no symbols with addresses; name a file that has not been stripped, or a System.map";
    }
    if (!status && !sort(s))
        status = -ENOMEM;
    if (fd >= 0)
        close(fd);
    if (status)
        symbols_close(s);
    else
        *symbols = s;
    return status;
}

void symbols_close(struct symbols *s)
{
    if (!s)
        return;
    free(s->symbol);
    free(s->by_name);
    free(s->names);
    free(s);
}

void symbols_move(struct symbols *s, uint64_t offset)
{
    s->offset = offset;
}

/* How many symbols begin at or below the address. */
static size_t count_up_to(const struct symbols *s, uint64_t address)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->symbol[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const char *symbols_at(const struct symbols *s, gva_t address, uint64_t *offset)
{
    uint64_t in_file = address - s->offset;
    size_t n = count_up_to(s, in_file);
    const struct symbol *symbol = &s->symbol[n - 1];

    if (!n || in_file - symbol->address >= (symbol->size ? symbol->size : REACH))
        return NULL;
    *offset = in_file - symbol->address;
    return s->names + symbol->name;
}

bool symbols_find(const struct symbols *s, const char *name, gva_t *address, uint64_t *size)
{
    size_t low = 0, high = s->count;

    while (low < high) { /* the first that is not less */
        size_t middle = low + (high - low) / 2;

        if (strcmp(s->names + s->symbol[s->by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == s->count || strcmp(s->names + s->symbol[s->by_name[low]].name, name))
        return false;
    *address = s->symbol[s->by_name[low]].address + s->offset;
    *size = s->symbol[s->by_name[low]].size;
    return true;
}
