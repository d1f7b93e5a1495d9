/*
 * explain.c - fuzz target of `novt explain`: random code in every mode, and hostile input files.
 *
 * Built like loader.c: LLVMFuzzerTestOneInput for a fuzzer, a seeded program without one. The first byte of the
 * input says what the rest is: code for one of the machines, hex digits, or an ELF file.
 */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/random.h"
#include "tests/unit/vmm/images.h"
#include "vmm/explain/explain.h"
#include "vmm/explain/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CODE_MOST 256u
#define ELF_PROGRAM 64u    /* offset of the program header */
#define AT_PAGE_END 0xf80u /* so that some instructions cross it */

static const struct {
    unsigned bits, cpl;
    gva_t address;
    const char *accel;
} modes[] = {{64, 0, 0xffffffff81000000, "bt"},
             {64, 3, 0x401000, "bt,tier=tlb"},
             {64, 3, 0x401000, "bt,tier=window"},
             {64, 3, 0x401000, "bt,tier=tlb,group=off,lazy-flags=off,return-stack=off,jump-cache=off,chain=off"},
             {32, 0, 0xc0100000, "bt"},
             {32, 3, 0x8049000, "bt,tier=window"},
             {32, 3, 0x8049000, "bt,loop=off,extend=off,inline-system=off"},
             {16, 0, 0x7000, "bt"},
             {16, 3, 0x7000, "bt"},
             {16, 0, 0x7000, "bt,segments=off"}};
#define MODES (sizeof modes / sizeof *modes)

static struct explain_machine machines[MODES];
static struct explain_code codes[MODES];

static void open_machine(unsigned i)
{
    static uint8_t bytes[CODE_MOST];
    struct explain_options o = {.accel = modes[i].accel, .cpu = "max"};
    struct error error;

    codes[i] = (struct explain_code){.bytes = bytes,
                                     .size = sizeof bytes,
                                     .address = modes[i].address + AT_PAGE_END,
                                     .bits = modes[i].bits,
                                     .cpl = modes[i].cpl,
                                     .name = "<fuzz> & \"co\""};
    if (explain_machine_open(&machines[i], &codes[i], &o, &error)) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
}

static void put_code(struct explain_machine *m, const struct explain_code *code, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < CODE_MOST; i++) {
        gpa_t gpa;

        if (!mmu_probe(&m->vcpu->mmu, code->address + i, &gpa))
            abort();
        *ram_host(&m->ram, gpa) = i < size ? data[i] : 0;
    }
}

/* Every byte of the host code is shown once, and all of it is code. */
static void check_host(const struct explain_block *b)
{
    uint32_t hot = 0, cold = 0;

    for (unsigned i = 0; i < b->host_count; i++) {
        const struct explain_host *h = &b->host[i];

        if (!strcmp(h->text, "(bad)") || (h->guest >= b->guest_count && h->guest != EXPLAIN_NO_GUEST))
            abort();
        *(h->part == EXPLAIN_COLD ? &cold : &hot) += h->size;
    }
    if (hot != b->hot_bytes || cold != b->cold_bytes)
        abort();
}

static void check_block(const struct explain_block *b, size_t size)
{
    if (!b->guest_count || b->guest_bytes > size)
        abort();
    for (unsigned i = 0; i < b->exit_count; i++)
        if (b->exit[i].guest >= b->guest_count)
            abort();
    check_host(b);
}

/* In every form, to nowhere. */
static void write_all(const struct explain_code *code, struct explain_block *b)
{
    static const struct explain_options o = {.color = EXPLAIN_COLOR_ALWAYS, .blocks = 1};
    struct explanation e = {.options = &o, .code = code, .block = &b, .count = 1, .more = true, .has_rest = true};
    struct error error;
    size_t length;
    char *text;
    FILE *to = open_memstream(&text, &length);

    explain_write_text(&e, to);
    explain_print_block(b, to);
    if (explain_write_json(&e, to, &error))
        abort();
    explain_write_html(&e, to);
    fclose(to);
    if (!strstr(text, "<code>&lt;fuzz&gt; &amp; &quot;co"))
        abort();
    free(text);
}

static void explain_code(unsigned mode, const uint8_t *data, size_t size)
{
    struct explain_machine *m = &machines[mode];
    struct explain_block *b;
    struct error error;

    if (!m->translator)
        open_machine(mode);
    if (!size || size > CODE_MOST)
        return;
    put_code(m, &codes[mode], data, size);
    if (explain_block(&b, m->translator, m->vcpu, codes[mode].address - m->base, size, DUMP_INTEL, &error)) {
        if (strchr(error.text, '\n') || !strstr(error.text, "only a part"))
            abort();
        return;
    }
    check_block(b, size);
    write_all(&codes[mode], b);
    explain_free(b);
}

static void load(const char *option, const char *value, const char *more, const char *most)
{
    char *argv[] = {"explain",
                    (char *)(uintptr_t)option,
                    (char *)(uintptr_t)value,
                    (char *)(uintptr_t)more,
                    (char *)(uintptr_t)most,
                    NULL};
    struct explain_options o;
    struct explain_code code;
    struct error error = {""};
    int status = explain_options_parse(&o, more ? 5 : 3, argv, &error);

    if (!status)
        status = explain_load(&code, &o, &error);
    if (status && (!error.text[0] || strchr(error.text, '\n')))
        abort();
    if (!status && (!code.size || code.size > EXPLAIN_MAX_CODE))
        abort();
    if (!status)
        free(code.bytes);
}

static void load_hex(const uint8_t *data, size_t size)
{
    char text[9000];

    if (size >= sizeof text)
        return;
    for (size_t i = 0; i < size; i++) /* an argument is one line in an error, as the shell's user wrote it */
        text[i] = data[i] && data[i] != '\n' ? (char)data[i] : ' ';
    text[size] = '\0';
    load("--hex", text, NULL, NULL);
}

static void load_elf(const uint8_t *data, size_t size)
{
    char path[32];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    load("--elf", path, "--symbol", "start");
    load("--elf", path, "--address", "0x401010");
    load("--file", path, "--offset", "16");
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned kind = size ? data[0] % (MODES + 2) : 0;

    if (size < 2)
        return 0;
    if (kind < MODES)
        explain_code(kind, data + 1, size - 1);
    else if (kind == MODES)
        load_hex(data + 1, size - 1);
    else
        load_elf(data + 1, size - 1);
    return 0;
}

#ifdef NOVT_FUZZ_MAIN
static uint64_t state = RANDOM_START;

static uint64_t next_random(void)
{
    return random_next(&state);
}

/* Instructions that are more than copied; what is behind one is of no matter. */
static const uint8_t seeds[][8] = {"\x9c",
                                   "\x9d",
                                   "\xfa",
                                   "\xfb",
                                   "\xc3",
                                   "\xcf",
                                   "\xcb",
                                   "\xe8\x02",
                                   "\x75\xf0",
                                   "\xeb\x10",
                                   "\x0f\x01\xe0",
                                   "\x48\x8b\x47\x08",
                                   "\x8b\x03",
                                   "\xff\xd0",
                                   "\xff\x20",
                                   "\xf3\xa4",
                                   "\x0f\x20\xc0",
                                   "\x8e\xd8",
                                   "\x50",
                                   "\x5b",
                                   "\x0f\x05",
                                   "\x48\x0f\x07",
                                   "\xcd\x80",
                                   "\x0f\xa2",
                                   "\x48\x8b\x05\x00\x01",
                                   "\x65\x48\x8b\x04\x25",
                                   "\x0f\x01\xf8",
                                   "\x0f\x31",
                                   "\xe2\xf0",
                                   "\xa1",
                                   "\x48\x0f\xab\x07",
                                   "\x0f\x01\xcb"};

static void one_code(void)
{
    uint8_t input[1 + CODE_MOST];
    size_t size = 2 + next_random() % (next_random() % 4 ? 24 : CODE_MOST);

    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)next_random();
    input[0] = (uint8_t)(next_random() % MODES);
    for (size_t i = 1; i + sizeof *seeds < size && next_random() % 4; i += 1 + next_random() % 8)
        memcpy(input + i, seeds[next_random() % (sizeof seeds / sizeof *seeds)], sizeof *seeds);
    LLVMFuzzerTestOneInput(input, size > sizeof input ? sizeof input : size);
}

static void one_hex(void)
{
    static const char alphabet[] = "0123456789abcdefABCDEF  ,x\\0x\"<&g";
    uint8_t input[64] = {MODES};
    size_t size = 2 + next_random() % (sizeof input - 2);

    for (size_t i = 1; i < size; i++)
        input[i] = (uint8_t)alphabet[next_random() % (sizeof alphabet - 1)];
    LLVMFuzzerTestOneInput(input, size);
}

/* The symbols' image, with its functions as a loaded part, too. */
static void one_elf(void)
{
    static const Elf64_Phdr program = {
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 512, .p_vaddr = 0x401000, .p_filesz = 64};
    static uint8_t input[1 + IMAGE_SYMBOLS_SIZE + 8] = {MODES + 1};
    size_t cut = next_random() % 4 ? IMAGE_SYMBOLS_SIZE : next_random() % (IMAGE_SYMBOLS_SIZE + 1);

    image_make_symbols(input + 1);
    memcpy(input + 1 + ELF_PROGRAM, &program, sizeof program);
    input[1 + offsetof(Elf64_Ehdr, e_phoff)] = ELF_PROGRAM;
    input[1 + offsetof(Elf64_Ehdr, e_phnum)] = 1;
    input[1 + offsetof(Elf64_Ehdr, e_phentsize)] = sizeof program;
    for (unsigned n = (unsigned)(next_random() % 4); n > 0; n--) {
        uint64_t value = next_random() % 2 ? next_random() : ~0ull >> next_random() % 64;

        memcpy(input + 1 + next_random() % IMAGE_SYMBOLS_SIZE, &value, 1u << next_random() % 4);
    }
    LLVMFuzzerTestOneInput(input, 1 + cut);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1500;

    if (argc > 2)
        state = strtoul(argv[2], NULL, 0) | 1;
    for (unsigned long i = 0; i < rounds; i++) {
        one_code();
        one_hex();
        one_elf();
    }
    for (unsigned i = 0; i < MODES; i++)
        explain_machine_close(&machines[i]);
    printf("explain: %lu rounds\n", rounds);
    return 0;
}
#endif
