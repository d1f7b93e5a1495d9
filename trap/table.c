/*
 * table.c - the instructions that matter to trap-and-emulate, and finding the one at RIP.
 *
 * Interface: table.h. Popek and Goldberg (1974) call a machine virtualizable if every sensitive instruction is
 * privileged, that is, traps outside of the privileged mode. Robin and Irvine (2000) listed those of the Pentium
 * that are not: here from PUSHF to INT n. CPUID and what follows it are later processors', or read what the guest
 * is not to see.
 */
#include "trap/table.h"

#include <string.h>

#include "cpu/decode.h"

#define NO_MAP 0xff

enum trap_form { ANY, MEMORY, REGISTER, WHOLE };

#define ROW(text, in_map, byte, field, shape, must_have, kind, reason)                                            \
    {                                                                                                             \
        .name = #text, .traps = "trap_" #text, .differs = "differs_" #text, .why = reason, .map = in_map,         \
        .opcode = byte, .reg = field, .form = shape, .prefix = must_have, .class = kind                           \
    }
#define PRIVILEGED(name, map, opcode, reg, form) ROW(name, map, opcode, reg, form, 0, TRAP_PRIVILEGED, NULL)
#define SENSITIVE(name, map, opcode, reg, form, why) ROW(name, map, opcode, reg, form, 0, TRAP_SENSITIVE, why)

static const char flags[] =
    "IF and IOPL are privileged state: outside of CPL 0 POPF leaves them as they are, and PUSHF shows "
    "the host's";
static const char tables[] = "it shows where the host keeps its tables, not the guest's";
static const char machine_status[] = "it shows the host's CR0";
static const char levels[] = "it looks into the host's descriptor table, and judges by the level it runs at";
static const char selectors[] =
    "the level in CS and SS is the real one, and a selector loaded is looked up in the host's table";
static const char transfers[] = "it goes by the host's descriptors and the level it runs at";
static const char gates[] = "it goes by the host's IDT where a gate there lets user code in";
static const char hardware[] = "it shows the host's processor, not the virtual one";
static const char clocks[] = "it shows the host's clock, without the guest's offset";

const struct trap_row trap_table[] = {
    PRIVILEGED(cli, MAP_1, 0xfa, -1, ANY),
    PRIVILEGED(sti, MAP_1, 0xfb, -1, ANY),
    PRIVILEGED(hlt, MAP_1, 0xf4, -1, ANY),
    PRIVILEGED(in, MAP_1, 0xe4, -1, ANY),
    PRIVILEGED(in, MAP_1, 0xe5, -1, ANY),
    PRIVILEGED(in, MAP_1, 0xec, -1, ANY),
    PRIVILEGED(in, MAP_1, 0xed, -1, ANY),
    PRIVILEGED(out, MAP_1, 0xe6, -1, ANY),
    PRIVILEGED(out, MAP_1, 0xe7, -1, ANY),
    PRIVILEGED(out, MAP_1, 0xee, -1, ANY),
    PRIVILEGED(out, MAP_1, 0xef, -1, ANY),
    PRIVILEGED(ins, MAP_1, 0x6c, -1, ANY),
    PRIVILEGED(ins, MAP_1, 0x6d, -1, ANY),
    PRIVILEGED(outs, MAP_1, 0x6e, -1, ANY),
    PRIVILEGED(outs, MAP_1, 0x6f, -1, ANY),
    PRIVILEGED(mov_from_cr, MAP_0F, 0x20, -1, ANY),
    PRIVILEGED(mov_to_cr, MAP_0F, 0x22, -1, ANY),
    PRIVILEGED(mov_from_dr, MAP_0F, 0x21, -1, ANY),
    PRIVILEGED(mov_to_dr, MAP_0F, 0x23, -1, ANY),
    PRIVILEGED(clts, MAP_0F, 0x06, -1, ANY),
    PRIVILEGED(lgdt, MAP_0F, 0x01, 2, MEMORY),
    PRIVILEGED(lidt, MAP_0F, 0x01, 3, MEMORY),
    PRIVILEGED(lmsw, MAP_0F, 0x01, 6, ANY),
    PRIVILEGED(invlpg, MAP_0F, 0x01, 7, MEMORY),
    PRIVILEGED(lldt, MAP_0F, 0x00, 2, ANY),
    PRIVILEGED(ltr, MAP_0F, 0x00, 3, ANY),
    PRIVILEGED(swapgs, MAP_0F, 0x01, (int8_t)0xf8, WHOLE),
    PRIVILEGED(clac, MAP_0F, 0x01, (int8_t)0xca, WHOLE),
    PRIVILEGED(stac, MAP_0F, 0x01, (int8_t)0xcb, WHOLE),
    PRIVILEGED(xsetbv, MAP_0F, 0x01, (int8_t)0xd1, WHOLE),
    PRIVILEGED(rdmsr, MAP_0F, 0x32, -1, ANY),
    PRIVILEGED(wrmsr, MAP_0F, 0x30, -1, ANY),
    PRIVILEGED(invd, MAP_0F, 0x08, -1, ANY),
    PRIVILEGED(wbinvd, MAP_0F, 0x09, -1, ANY),
    PRIVILEGED(invpcid, MAP_0F38, 0x82, -1, ANY),
    PRIVILEGED(syscall, MAP_0F, 0x05, -1, ANY),
    PRIVILEGED(sysret, MAP_0F, 0x07, -1, ANY),
    PRIVILEGED(sysenter, MAP_0F, 0x34, -1, ANY),
    PRIVILEGED(sysexit, MAP_0F, 0x35, -1, ANY),
    SENSITIVE(pushf, MAP_1, 0x9c, -1, ANY, flags),
    SENSITIVE(popf, MAP_1, 0x9d, -1, ANY, flags),
    SENSITIVE(sgdt, MAP_0F, 0x01, 0, MEMORY, tables),
    SENSITIVE(sidt, MAP_0F, 0x01, 1, MEMORY, tables),
    SENSITIVE(sldt, MAP_0F, 0x00, 0, ANY, tables),
    SENSITIVE(str, MAP_0F, 0x00, 1, ANY, tables),
    SENSITIVE(smsw, MAP_0F, 0x01, 4, ANY, machine_status),
    SENSITIVE(lar, MAP_0F, 0x02, -1, ANY, levels),
    SENSITIVE(lsl, MAP_0F, 0x03, -1, ANY, levels),
    SENSITIVE(verr, MAP_0F, 0x00, 4, ANY, levels),
    SENSITIVE(verw, MAP_0F, 0x00, 5, ANY, levels),
    SENSITIVE(mov_from_seg, MAP_1, 0x8c, -1, ANY, selectors),
    SENSITIVE(mov_to_seg, MAP_1, 0x8e, -1, ANY, selectors),
    SENSITIVE(push_seg, MAP_1, 0x06, -1, ANY, selectors),
    SENSITIVE(push_seg, MAP_1, 0x0e, -1, ANY, selectors),
    SENSITIVE(push_seg, MAP_1, 0x16, -1, ANY, selectors),
    SENSITIVE(push_seg, MAP_1, 0x1e, -1, ANY, selectors),
    SENSITIVE(push_seg, MAP_0F, 0xa0, -1, ANY, selectors),
    SENSITIVE(push_seg, MAP_0F, 0xa8, -1, ANY, selectors),
    SENSITIVE(pop_seg, MAP_1, 0x07, -1, ANY, selectors),
    SENSITIVE(pop_seg, MAP_1, 0x17, -1, ANY, selectors),
    SENSITIVE(pop_seg, MAP_1, 0x1f, -1, ANY, selectors),
    SENSITIVE(pop_seg, MAP_0F, 0xa1, -1, ANY, selectors),
    SENSITIVE(pop_seg, MAP_0F, 0xa9, -1, ANY, selectors),
    SENSITIVE(load_far_pointer, MAP_1, 0xc4, -1, MEMORY, selectors),
    SENSITIVE(load_far_pointer, MAP_1, 0xc5, -1, MEMORY, selectors),
    SENSITIVE(load_far_pointer, MAP_0F, 0xb2, -1, MEMORY, selectors),
    SENSITIVE(load_far_pointer, MAP_0F, 0xb4, -1, MEMORY, selectors),
    SENSITIVE(load_far_pointer, MAP_0F, 0xb5, -1, MEMORY, selectors),
    SENSITIVE(call_far, MAP_1, 0x9a, -1, ANY, transfers),
    SENSITIVE(call_far, MAP_1, 0xff, 3, MEMORY, transfers),
    SENSITIVE(jmp_far, MAP_1, 0xea, -1, ANY, transfers),
    SENSITIVE(jmp_far, MAP_1, 0xff, 5, MEMORY, transfers),
    SENSITIVE(ret_far, MAP_1, 0xca, -1, ANY, transfers),
    SENSITIVE(ret_far, MAP_1, 0xcb, -1, ANY, transfers),
    SENSITIVE(iret, MAP_1, 0xcf, -1, ANY, transfers),
    SENSITIVE(int_n, MAP_1, 0xcd, -1, ANY, gates),
    SENSITIVE(int3, MAP_1, 0xcc, -1, ANY, gates),
    SENSITIVE(cpuid, MAP_0F, 0xa2, -1, ANY, hardware),
    SENSITIVE(xgetbv, MAP_0F, 0x01, (int8_t)0xd0, WHOLE, hardware),
    SENSITIVE(rdtsc, MAP_0F, 0x31, -1, ANY, clocks),
    SENSITIVE(rdtscp, MAP_0F, 0x01, (int8_t)0xf9, WHOLE, clocks),
    SENSITIVE(rdpmc, MAP_0F, 0x33, -1, ANY, clocks),
    ROW(rdpid, MAP_0F, 0xc7, 7, REGISTER, 0xf3, TRAP_SENSITIVE, hardware),
    ROW(fsgsbase, MAP_0F, 0xae, 0, REGISTER, 0xf3, TRAP_SENSITIVE, hardware),
    ROW(fsgsbase, MAP_0F, 0xae, 1, REGISTER, 0xf3, TRAP_SENSITIVE, hardware),
    ROW(fsgsbase, MAP_0F, 0xae, 2, REGISTER, 0xf3, TRAP_SENSITIVE, hardware),
    ROW(fsgsbase, MAP_0F, 0xae, 3, REGISTER, 0xf3, TRAP_SENSITIVE, hardware),
    SENSITIVE(switched_off, NO_MAP, 0, -1, ANY,
              "what switches it off is in the guest's CR0, CR4 or XCR0, or it is not in the "
              "CPU model"),
};
const unsigned trap_table_size = sizeof trap_table / sizeof trap_table[0];
_Static_assert(sizeof trap_table / sizeof trap_table[0] <= TRAP_ROWS, "a counter for each row");

unsigned trap_read_code(struct vcpu *v, gva_t linear, uint8_t *to, unsigned size)
{
    const uint8_t *host = NULL;
    unsigned i;

    for (i = 0; i < size; i++, linear++) {
        gpa_t gpa;

        if (i == 0 || (linear & ~PAGE_MASK) == 0)
            host = mmu_probe(&v->mmu, linear, &gpa) ? ram_host_readable(v->mmu.ram, gpa) : NULL;
        if (!host)
            break;
        to[i] = *host++;
    }
    return i;
}

static bool is_row(const struct trap_row *row, const struct insn *i)
{
    if (row->map != i->map || row->opcode != i->opcode || (row->prefix && row->prefix != i->rep) || i->vex)
        return false;
    if (row->form == WHOLE)
        return i->modrm == (uint8_t)row->reg;
    if ((row->form == MEMORY && i->mod == 3) || (row->form == REGISTER && i->mod != 3))
        return false;
    return row->reg < 0 || row->reg == (i->modrm >> 3 & 7);
}

unsigned trap_decode(struct vcpu *v, struct insn *insn, uint8_t *bytes, gva_t *linear)
{
    unsigned got;

    *linear = trap_code_bits(v) == 64 ? v->rip : (uint32_t)(v->seg[SEG_CS].base + v->rip);
    memset(bytes, 0, DECODE_BUFFER);
    got = trap_read_code(v, *linear, bytes, INSN_MAX);
    insn_decode(insn, bytes, v->mode);
    return insn->length < got ? insn->length : got;
}

const struct trap_row *trap_find_row(const struct insn *insn)
{
    if (insn->map == MAP_1 && trap_is_ordinary(insn->opcode))
        return NULL;
    for (unsigned i = 0; i < trap_table_size; i++)
        if (is_row(&trap_table[i], insn))
            return &trap_table[i];
    return NULL;
}

const struct trap_row *trap_row_at(struct vcpu *v)
{
    uint8_t bytes[DECODE_BUFFER];
    struct insn insn;
    gva_t linear;

    trap_decode(v, &insn, bytes, &linear);
    return trap_find_row(&insn);
}
