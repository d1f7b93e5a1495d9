/*
 * stream_judge.c - follows the interpreter through a stream: may the host run it too, and what of the result is
 * defined?
 *
 * Interface: stream.h. The host may run a stream whose every instruction is a user's and means the same there
 * (insn_form_accepts, near branches, and what no table knows), that stays in the code area, and that ends at an
 * exit or with an exception that the host raises as well. Undefined flags make a result useless only once they are
 * read: then it is not compared at all.
 */
#include "tests/fuzz/stream.h"
#include "tests/insn/build.h"

#include "cpu/vcpu.h"

#include <string.h>

#define MAX_STEPS 600u
#define HOST_CONTEXT 0x7ee30000ull /* native.c's own pages, and some */
#define HOST_CONTEXT_END 0x7ee40000ull

void judge_start(struct judge *j, const struct insn_forms *forms, struct insn_case *c, const uint8_t *code)
{
    j->forms = forms;
    j->code = code;
    j->c = c;
    j->steps = 0;
    j->native = j->comparable = true;
    j->may_be_long = j->may_be_cut = false;
    c->undefined = c->undefined_fault = 0;
    c->cr2_free = c->reaching_free = c->vector = c->partial = c->partial_registers = false;
    c->hole_size = 0;
}

static bool near_branch(const ZydisDecodedInstruction *i)
{
    return i->meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT || i->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;
}

/* Their result depends on the time, or shows x87 pointers, which are the host's business. */
static bool is_vague(const ZydisDecodedInstruction *i)
{
    switch (i->mnemonic) {
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDPRU:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
        return true;
    default:
        return i->meta.category == ZYDIS_CATEGORY_XSAVE || i->meta.category == ZYDIS_CATEGORY_XSAVEOPT;
    }
}

/* Results, not only flags, that the manual leaves undefined. */
static bool is_undefined(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op, const struct vcpu *v)
{
    unsigned count;

    switch (i->mnemonic) {
    case ZYDIS_MNEMONIC_BSWAP:
    case ZYDIS_MNEMONIC_MOVSXD:
        return i->operand_width == 16;
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
        count = op[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? (unsigned)op[2].imm.value.u : (unsigned)v->gpr[RCX];
        return i->operand_width == 16 && (count & 31) > 16;
    default: /* a repeated store over itself goes on, or is fetched again behind any of its elements */
        return i->meta.category == ZYDIS_CATEGORY_STRINGOP && i->raw.prefix_count &&
               v->gpr[RDI] - INSN_CODE + 4096 < INSN_CODE_SIZE + 8192;
    }
}

static bool reads_flags(const ZydisDecodedInstruction *i)
{
    return i->mnemonic == ZYDIS_MNEMONIC_PUSHF || i->mnemonic == ZYDIS_MNEMONIC_PUSHFQ ||
           i->mnemonic == ZYDIS_MNEMONIC_LAHF || i->mnemonic == ZYDIS_MNEMONIC_SYSCALL;
}

static void follow_flags(struct judge *j, const ZydisDecodedInstruction *i)
{
    const ZydisAccessedFlags *f = i->cpu_flags;
    bool may_skip = i->meta.category == ZYDIS_CATEGORY_SHIFT || i->meta.category == ZYDIS_CATEGORY_ROTATE ||
                    i->meta.category == ZYDIS_CATEGORY_STRINGOP;

    if (j->c->undefined && reads_flags(i))
        j->comparable = false;
    if (!f)
        return;
    if (f->tested & j->c->undefined & FL_ARITH)
        j->comparable = false;
    if (!may_skip)
        j->c->undefined &= ~((f->modified | f->set_0 | f->set_1) & ~f->undefined);
    j->c->undefined |= f->undefined;
    j->c->undefined_fault |= f->undefined;
}

static bool is_general(const ZydisDecodedInstruction *i)
{
    return i->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && i->meta.isa_set != ZYDIS_ISA_SET_CMPXCHG16B &&
           i->meta.isa_ext != ZYDIS_ISA_EXT_X87 && i->meta.isa_ext != ZYDIS_ISA_EXT_MMX &&
           !(i->meta.isa_ext >= ZYDIS_ISA_EXT_SSE && i->meta.isa_ext <= ZYDIS_ISA_EXT_SSSE3) &&
           i->meta.isa_ext != ZYDIS_ISA_EXT_AES && i->meta.isa_ext != ZYDIS_ISA_EXT_SHA &&
           i->meta.isa_ext != ZYDIS_ISA_EXT_PCLMULQDQ && i->meta.isa_ext != ZYDIS_ISA_EXT_GFNI;
}

/* The manual reserves it, and the makers differ: near branches with an operand-size prefix (a 16-bit one with
   AMD), LOOPcc with a repeat prefix, the register form of PREFETCHW (undefined with AMD). */
static bool is_makers_choice(const ZydisDecodedInstruction *i)
{
    bool loop = i->mnemonic == ZYDIS_MNEMONIC_LOOPE || i->mnemonic == ZYDIS_MNEMONIC_LOOPNE;
    bool prefetch = i->opcode_map == ZYDIS_OPCODE_MAP_0F && i->opcode == 0x0d;

    for (unsigned n = 0; n < i->raw.prefix_count; n++) {
        uint8_t prefix = i->raw.prefixes[n].value;

        if ((near_branch(i) && prefix == 0x66) || (loop && (prefix == 0xf2 || prefix == 0xf3)))
            return true;
    }
    return prefetch && i->raw.modrm.mod == 3;
}

/* The exits hold other code on the host. */
static bool reads_exit(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op, uint64_t rip)
{
    for (unsigned n = 0; n < i->operand_count; n++)
        if (op[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (op[n].mem.base == ZYDIS_REGISTER_RIP || op[n].mem.base == ZYDIS_REGISTER_EIP) &&
            rip + i->length + (uint64_t)op[n].mem.disp.value + 64 - INSN_EXIT < 4096 + 64)
            return true;
    return false;
}

/* Of the instruction that may be the last one. */
static void look_at(struct judge *j, const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op,
                    const struct vcpu *v)
{
    bool indirect_call = i->mnemonic == ZYDIS_MNEMONIC_CALL && i->opcode == 0xff;

    if ((!near_branch(i) && !insn_form_accepts(j->forms, i)) || is_makers_choice(i) || reads_exit(i, op, v->rip))
        j->native = false;
    if (is_vague(i) || is_undefined(i, op, v))
        j->comparable = false;
    follow_flags(j, i);
    j->c->undefined_fault |= build_fault_flags(i);
    /* An indirect call to an address that is not canonical may have written its return address, or not been able
       to. */
    j->c->partial = build_is_piecewise(i) || indirect_call;
    j->c->cr2_free = build_faults_in_any_order(i) || indirect_call;
    j->c->reaching_free = build_may_reach(i, op);
    j->c->vector = !is_general(i);
}

static bool is_prefix(uint8_t byte)
{
    static const uint8_t legacy[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

    return (byte & 0xf0) == 0x40 || memchr(legacy, byte, sizeof legacy);
}

/* Undefined, and perhaps too long or on a page that is not there: what comes first is the processor's choice. A
   branch with 0x66 may even be complete, and short enough. */
static void look_at_undefined(struct judge *j, uint64_t at)
{
    unsigned available = INSN_CODE_SIZE - (unsigned)at, prefixes = 0;

    while (prefixes < available && prefixes < 15 && is_prefix(j->code[at + prefixes]))
        prefixes++;
    j->may_be_long = prefixes > 1; /* EVEX, opcode, ModRM, SIB, disp32 and imm8 make 12, an imm64 14 */
    j->may_be_cut = available < 15;
    if ((j->may_be_cut || j->may_be_long) && memchr(j->code + at, 0x66, prefixes))
        j->native = false;
    /* group 7 with a prefix: VMCALL, RDPKRU and the like, which the host may have; LOCK MOV CR0 is CR8 with AMD */
    if (prefixes + 2 <= available && j->code[at + prefixes] == 0x0f &&
        (j->code[at + prefixes + 1] == 0x01 || (j->code[at + prefixes + 1] & 0xfc) == 0x20))
        j->native = false;
}

bool judge_watch(void *opaque, const struct vcpu *v)
{
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    struct judge *j = opaque;
    uint64_t at = v->rip - INSN_CODE;
    ZydisDecodedInstruction i;

    if (v->cpl != 3) /* its exception has come */
        return true;
    if (j->steps++ == MAX_STEPS)
        return false;
    if (v->rflags & FLAG_AC || (v->mode & MODE_CODE_MASK) != MODE_CODE64)
        j->native = false; /* alignment checks would hit the oracle's own code */
    if (v->rip - INSN_EXIT < 32 * INSN_EXITS && v->rip % 32 == 0)
        return true;
    if (v->rip - INSN_EXIT < 4096)
        j->native = false;
    if (at >= INSN_CODE_SIZE)
        return true;
    j->may_be_long = j->may_be_cut = false;
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&j->forms->decoder, j->code + at, INSN_CODE_SIZE - at, &i, op)))
        look_at(j, &i, op, v);
    else
        look_at_undefined(j, at);
    return true;
}

void judge_end(struct judge *j, const struct insn_state *end)
{
    bool low = end->cr2 < 1ull << 32 && (end->cr2 < HOST_CONTEXT || end->cr2 >= HOST_CONTEXT_END);
    bool kernel_data = end->cr2 >> 63 && !(end->error & 0x10);

    if (end->vector == INSN_NO_FRAME || end->vector == 2 || end->vector > 19)
        j->native &= end->vector == INSN_NO_FAULT;
    if (end->vector == 14 && !low && !kernel_data)
        j->native = false; /* the host may have something there */
}

/* Does the manual leave open which of two exceptions comes first? Two operands of a string instruction or a call;
   an undefined instruction whose length is too great, or whose end is on the next page. */
bool judge_either(const struct judge *j, unsigned a, unsigned b)
{
    if (a > b)
        return judge_either(j, b, a);
    if (a >= 12 && b <= 14)
        return j->c->cr2_free;
    return a == 6 && ((b == 13 && j->may_be_long) || (b == 14 && j->may_be_cut));
}
