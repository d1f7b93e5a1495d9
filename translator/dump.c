/*
 * dump.c - disassembly with Capstone, for logs, crash reports and lock-step differences.
 *
 * Interface: dump.h. The only place that names Capstone.
 */
#include "translator/dump.h"

#include <capstone/capstone.h>

static void dump_bytes(FILE *to, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < 11; i++)
        if (i < size)
            fprintf(to, "%02x ", bytes[i]);
        else
            fprintf(to, "   ");
}

static size_t dump(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits, size_t count)
{
    const uint8_t *begin = bytes;
    csh handle;
    cs_insn *in;

    if (cs_open(CS_ARCH_X86, bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16, &handle) != CS_ERR_OK)
        return size;
    in = cs_malloc(handle);
    while (size && count--) {
        uint64_t at = address;

        if (cs_disasm_iter(handle, &bytes, &size, &address, in)) {
            fprintf(to, "  %016llx  ", (unsigned long long)at);
            dump_bytes(to, in->bytes, in->size);
            fprintf(to, " %s %s\n", in->mnemonic, in->op_str);
        } else {
            fprintf(to, "  %016llx  ", (unsigned long long)at);
            dump_bytes(to, bytes, 1);
            fprintf(to, " (bad)\n");
            bytes++, size--, address++;
        }
    }
    cs_free(in, 1);
    cs_close(&handle);
    return (size_t)(bytes - begin);
}

void dump_code(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits)
{
    dump(to, bytes, size, address, bits, SIZE_MAX);
}

size_t dump_instruction(FILE *to, const uint8_t *bytes, size_t size, uint64_t address, unsigned bits)
{
    return dump(to, bytes, size, address, bits, 1);
}
