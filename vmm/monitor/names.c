/*
 * names.c - registers by name, and completion.
 *
 * Interface: names.h. A register is a row: its name, where it is in struct vcpu, how many bytes.
 */
#include "vmm/monitor/names.h"

#include <errno.h>
#include <string.h>

#include "vmm/monitor/command.h"
#include "vmm/text.h"

struct register_row {
    const char *name;
    uint32_t offset;
    uint8_t size;
};

#define AT(name, field, size)                                                                                     \
    {                                                                                                             \
        name, offsetof(struct vcpu, field), size                                                                  \
    }
#define GENERAL(name64, name32, number) AT(name64, gpr[number], 8), AT(name32, gpr[number], 4)
#define SEGMENT(name, number) AT(name, seg[number].selector, 2), AT(name "_base", seg[number].base, 8)

static const struct register_row register_table[] = {
    GENERAL("rax", "eax", RAX),
    GENERAL("rbx", "ebx", RBX),
    GENERAL("rcx", "ecx", RCX),
    GENERAL("rdx", "edx", RDX),
    GENERAL("rsi", "esi", RSI),
    GENERAL("rdi", "edi", RDI),
    GENERAL("rbp", "ebp", RBP),
    GENERAL("rsp", "esp", RSP),
    GENERAL("r8", "r8d", R8),
    GENERAL("r9", "r9d", R9),
    GENERAL("r10", "r10d", R10),
    GENERAL("r11", "r11d", R11),
    GENERAL("r12", "r12d", R12),
    GENERAL("r13", "r13d", R13),
    GENERAL("r14", "r14d", R14),
    GENERAL("r15", "r15d", R15),
    AT("rip", rip, 8),
    AT("eip", rip, 4),
    AT("pc", rip, 8),
    AT("sp", gpr[RSP], 8),
    AT("fp", gpr[RBP], 8),
    AT("rflags", rflags, 8),
    AT("eflags", rflags, 4),
    SEGMENT("cs", SEG_CS),
    SEGMENT("ds", SEG_DS),
    SEGMENT("es", SEG_ES),
    SEGMENT("fs", SEG_FS),
    SEGMENT("gs", SEG_GS),
    SEGMENT("ss", SEG_SS),
    AT("k_gs_base", kernel_gs_base, 8),
    AT("gdt_base", gdtr.base, 8),
    AT("idt_base", idtr.base, 8),
    AT("ldt_base", ldtr.base, 8),
    AT("tr_base", tr.base, 8),
    AT("cr0", cr0, 8),
    AT("cr2", cr2, 8),
    AT("cr3", cr3, 8),
    AT("cr4", cr4, 8),
    AT("efer", efer, 8),
    AT("xcr0", xcr0, 8),
    AT("lstar", lstar, 8),
    AT("dr0", dr[0], 8),
    AT("dr1", dr[1], 8),
    AT("dr2", dr[2], 8),
    AT("dr3", dr[3], 8),
    AT("dr6", dr[6], 8),
    AT("dr7", dr[7], 8),
};
#define REGISTERS (sizeof register_table / sizeof register_table[0])

const char *monitor_register_name(size_t i)
{
    return i < REGISTERS ? register_table[i].name : NULL;
}

static int find_register(void *opaque, const char *name, uint64_t *value, struct error *error)
{
    const struct machine *m = opaque;
    const char *near;

    *value = 0;
    for (size_t i = 0; i < REGISTERS; i++)
        if (!strcasecmp(register_table[i].name, name)) {
            memcpy(value, (const uint8_t *)m->vcpu + register_table[i].offset, register_table[i].size);
            return 0;
        }
    near = text_nearest(name, register_table, REGISTERS, sizeof register_table[0]);
    return error_set(error, EINVAL, "unknown register '$%.40s'%s%s", name, near ? "; did you mean $" : "",
                     near ? near : "");
}

/* Of -symbols, or of a kernel that has some. */
static int find_symbol(void *opaque, const char *name, uint64_t *value, struct error *error)
{
    struct machine *m = opaque;
    uint64_t size;

    *value = 0;
    tracer_find_symbols(&m->tracer);
    if (m->tracer.symbols && symbols_find(m->tracer.symbols, name, value, &size))
        return 0;
    return error_set(error, EINVAL, "'%.40s' is neither a number nor a register%s; registers begin with $", name,
                     m->tracer.symbols ? " nor a symbol" : "");
}

struct expr_names monitor_names(struct machine *m)
{
    return (struct expr_names){find_register, find_symbol, m};
}

/* --- completion --- */

static void offer(struct completions *c, const char *typed, const char *word)
{
    if (!word || strncmp(word, typed, c->typed))
        return;
    if (c->count < COMPLETIONS_MAX)
        c->word[c->count] = word;
    c->count++;
}

static void offer_rows(struct completions *c, const char *typed, const struct command_row *row)
{
    for (; row->name; row++)
        offer(c, typed, row->name);
}

static enum command_argument argument_of(const char *line, size_t length)
{
    const struct command_row *row;
    char name[32];

    snprintf(name, sizeof name, "%.*s", (int)length, line);
    row = monitor_find_row(monitor_command_table, name);
    return row ? row->argument : ARGUMENT_NONE;
}

void monitor_complete(const char *line, size_t length, struct completions *c)
{
    size_t start = length, first = strspn(line, " \t"), name_end;
    enum command_argument argument;

    *c = (struct completions){.count = 0};
    first = first < length ? first : length;
    name_end = first + strcspn(line + first, " \t/");
    while (start > first && !strchr(" \t+-*/%&|^~()<>$", line[start - 1]))
        start--;
    c->typed = length - start;
    if (start == first) {
        offer_rows(c, line + start, monitor_command_table);
        return;
    }
    argument = argument_of(line + first, name_end - first);
    if (argument == ARGUMENT_INFO)
        offer_rows(c, line + start, monitor_info_table);
    else if (argument == ARGUMENT_COMMAND)
        offer_rows(c, line + start, monitor_command_table);
    for (size_t i = 0; argument == ARGUMENT_EXPRESSION && line[start - 1] == '$' && i < REGISTERS; i++)
        offer(c, line + start, register_table[i].name);
}
