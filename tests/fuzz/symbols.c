/*
 * symbols.c - fuzz target of the readers of symbols: hostile ELF files and System.maps.
 *
 * Built like loader.c: LLVMFuzzerTestOneInput for a fuzzer, a seeded program without one. libelf itself is
 * Debian's, without sanitizers; its reads and writes through libc are seen.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/random.h"
#include "tests/unit/vmm/images.h"
#include "vmm/trace/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Both ways of lookup must agree, and names must be fit to print. */
static void use(const struct symbols *symbols, gva_t address)
{
    uint64_t offset, size;
    const char *name = symbols_at(symbols, address, &offset);
    gva_t start;

    if (!name)
        return;
    for (const char *c = name; *c; c++)
        if ((uint8_t)*c <= ' ' || *c == 0x7f)
            abort();
    if (!*name || !symbols_find(symbols, name, &start, &size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const gva_t addresses[] = {0, 0x401000, 0x401025, 0x402000, 0x403000, 0xffffffff81000010, UINT64_MAX};
    struct symbols *symbols;
    const char *error = NULL;
    char path[32];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (symbols_open(&symbols, path, &error)) {
        if (symbols || !error || strchr(error, '\n'))
            abort();
    } else {
        for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
            use(symbols, addresses[i]);
    }
    symbols_close(symbols);
    close(fd);
    return 0;
}

#ifdef NOVT_FUZZ_MAIN
static uint64_t state = RANDOM_START;

static uint64_t next_random(void)
{
    return random_next(&state);
}

static uint64_t awkward(void)
{
    static const uint64_t values[] = {0,          1,    2,    0x7f,       0xff,       0x100,
                                      0x7fffffff, 1024, 1000, 1ull << 40, 0xffffffff, ~0ull - 15};

    return next_random() % 4 ? values[next_random() % (sizeof values / sizeof values[0])] : next_random();
}

static void one(const uint8_t *image, size_t size)
{
    size_t cut = next_random() % 4 ? size : next_random() % (size + 1);
    uint8_t copy[IMAGE_SYMBOLS_SIZE + 8];

    memcpy(copy, image, size);
    for (unsigned n = (unsigned)(next_random() % 4); n > 0; n--) {
        uint64_t value = awkward();

        memcpy(copy + next_random() % size, &value, 1u << (next_random() % 4));
    }
    LLVMFuzzerTestOneInput(copy, cut);
}

int main(int argc, char **argv)
{
    static const char map[] = "0000000000000000 A zero\nffffffff81000000 T _text\nffffffff81000100 t twice\n"
                              "ffffffff81000200 D twice\nffffffffc0000000 t init\t[module]\n";
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    uint8_t elf[IMAGE_SYMBOLS_SIZE];

    if (argc > 2)
        state = strtoul(argv[2], NULL, 0) | 1;
    image_make_symbols(elf);
    for (unsigned long i = 0; i < rounds; i++) {
        one(elf, sizeof elf);
        one((const uint8_t *)map, sizeof map - 1);
    }
    printf("symbols: %lu rounds\n", rounds);
    return 0;
}
#endif
