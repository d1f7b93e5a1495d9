/*
 * operands.c - makes the memory operands of a decoded instruction point into the data area, by choosing start
 * values of registers and displacements; and tames operands whose random values would only ever fault.
 *
 * In a sequence the registers in b->fixed have values already: an operand is taken when it lies in the area by
 * them, or when its displacement can be changed so that it does.
 */
#include "tests/insn/build.h"

#include <string.h>

#define AREA_END (INSN_DATA + INSN_DATA_SIZE + INSN_DATA_CONST)

int build_gpr(ZydisRegister reg)
{
    ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

    return wide >= ZYDIS_REGISTER_RAX && wide <= ZYDIS_REGISTER_R15 ? (int)(wide - ZYDIS_REGISTER_RAX) : -1;
}

uint64_t build_target(struct builder *b, unsigned size)
{
    uint64_t target = INSN_DATA + 0x400 + insn_below(b->r, INSN_DATA_SIZE - 0x800);
    unsigned kind = insn_below(b->r, 100);

    if (kind < 50)
        return target & ~63ull;
    if (kind < 65)
        return target & ~(uint64_t)(size > 16 ? 15 : size ? (size & -size) - 1 : 0);
    if (kind < 85 || size < 2)
        return target;
    if (kind < 94) /* across a page */
        return INSN_DATA + 4096 * (1 + insn_below(b->r, 3)) - 1 - insn_below(b->r, size - 1);
    if (kind < 96) /* into or in the page that is not writable */
        return INSN_DATA + INSN_DATA_SIZE - size + insn_below(b->r, 2 * size);
    if (kind < 98) /* across the end, or behind it */
        return AREA_END - size + insn_below(b->r, 2 * size);
    return kind == 98 ? INSN_DATA - insn_below(b->r, 2 * size) : target & ~15ull;
}

void build_set_register(struct builder *b, unsigned reg, uint64_t value)
{
    if (!(b->fixed >> reg & 1))
        b->c->in.gpr[reg] = value;
    b->fixed |= 1u << reg;
}

/* Zydis numbers the segment registers as the processor does. */
static unsigned segment_of(const ZydisDecodedOperand *op)
{
    unsigned seg = op->mem.segment - ZYDIS_REGISTER_ES;

    return seg < S_COUNT ? seg : S_DS;
}

static uint64_t segment_base(const struct builder *b, const ZydisDecodedOperand *op)
{
    if (b->c->mode != INSN_64)
        return insn_segment_base(b->seg[segment_of(op)]);
    if (op->mem.segment == ZYDIS_REGISTER_FS)
        return b->c->in.fs_base;
    return op->mem.segment == ZYDIS_REGISTER_GS ? b->c->in.gs_base : 0;
}

/* Writes a displacement into the instruction bytes; `unit` is the scale of an EVEX disp8 (1 otherwise). */
static void patch_displacement(struct builder *b, int64_t value)
{
    memcpy(b->bytes + b->i.raw.disp.offset, &value, b->i.raw.disp.size / 8);
}

static bool fits(int64_t value, unsigned bits)
{
    return bits == 64 || (value >= -(1ll << (bits - 1)) && value < 1ll << (bits - 1));
}

static bool index_is_dword(ZydisMnemonic mnemonic)
{
    const char *name = ZydisMnemonicGetString(mnemonic);

    return strstr(name, "gatherd") || strstr(name, "scatterd");
}

static void set_vector_index(struct builder *b, ZydisRegister reg)
{
    unsigned size = index_is_dword(b->i.mnemonic) ? 4 : 8, number = (unsigned)ZydisRegisterGetId(reg), lane;

    for (lane = 0; lane < 64 / size; lane++)
        state_set_lane(&b->c->in, number, lane, size, insn_below(b->r, 400) * (insn_chance(b->r, 70) ? 4 : 1));
}

/* Value that an index register has in address arithmetic. */
static uint64_t index_value(const struct builder *b, const ZydisDecodedOperand *op)
{
    uint64_t value = b->c->in.gpr[build_gpr(op->mem.index)];

    return op->mem.index == ZYDIS_REGISTER_AL ? value & 0xff : value;
}

/* Width of the operand's address; that of an implicit stack operand is up to SS. */
static unsigned address_bits(const struct builder *b, const ZydisDecodedOperand *op)
{
    if (b->c->mode == INSN_64 || op->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN ||
        build_gpr(op->mem.base) != R_SP)
        return b->i.address_width;
    return insn_segment_big(b->seg[S_SS]) ? 32 : 16;
}

/* What is accessed in several pieces may wrap at 64 KiB or 4 GiB piece by piece: that is up to the processor. */
static bool wraps_in_pieces(const struct builder *b, uint64_t offset, unsigned size, unsigned bits)
{
    return bits < 64 && b->c->mode != INSN_64 && offset + size > 1ull << bits && (size > 8 || b->c->vector);
}

static bool in_area(const struct builder *b, const ZydisDecodedOperand *op, uint64_t ea, uint64_t segment)
{
    unsigned bits = address_bits(b, op);

    if (bits < 64)
        ea &= (1ull << bits) - 1;
    if (wraps_in_pieces(b, ea, op->size / 8, bits))
        return false;
    ea += segment;
    if (b->c->mode != INSN_64)
        ea = (uint32_t)ea;
    return ea >= INSN_DATA && ea < AREA_END;
}

/* The sum of two pointers, or of one and the base of a segment that it is not for, may lead to the code. */
static bool is_near_area(const struct builder *b, uint64_t ea, uint64_t segment)
{
    uint64_t linear = ea + segment;

    if (b->c->mode != INSN_64)
        linear = (uint32_t)linear;
    return linear - (INSN_DATA - 0x1000) < AREA_END - INSN_DATA + 0x2000;
}

static bool solve_absolute(struct builder *b, const ZydisDecodedOperand *op, uint64_t target)
{
    if (!b->i.raw.disp.size || b->i.raw.disp.size < (b->i.address_width == 16 ? 16 : 32))
        return false;
    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
        target -= b->ip + b->i.length;
    patch_displacement(b, (int64_t)target);
    return true;
}

/* [r + r * scale + disp] with one register. */
static bool solve_doubled(struct builder *b, const ZydisDecodedOperand *op, int reg, uint64_t target)
{
    if (b->fixed >> reg & 1)
        return false;
    target -= (uint64_t)op->mem.disp.value;
    if (b->c->mode != INSN_64)
        target = (uint32_t)target;
    build_set_register(b, (unsigned)reg, target / (1u + op->mem.scale));
    return true;
}

static bool solve_based(struct builder *b, const ZydisDecodedOperand *op, uint64_t target, uint64_t segment)
{
    int base = build_gpr(op->mem.base), index = -1;
    unsigned bits = address_bits(b, op);
    uint64_t indexed = 0;

    if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        if (b->sequence)
            return false;
        set_vector_index(b, op->mem.index);
        target = INSN_DATA + 0x100 + insn_below(b->r, 0x400) - segment;
    } else if (op->mem.index != ZYDIS_REGISTER_NONE) {
        index = build_gpr(op->mem.index);
        if (index == base)
            return solve_doubled(b, op, base, target);
        if (base < 0 && !(b->fixed >> index & 1)) /* disp32 alone makes the rest */
            build_set_register(b, (unsigned)index, insn_below(b->r, 0x10000));
        b->fixed |= 1u << index;
        indexed = index_value(b, op) * op->mem.scale;
    }
    if (base >= 0 && !(b->fixed >> base & 1)) {
        uint64_t value = target - indexed - (uint64_t)op->mem.disp.value;

        if (bits == 32) /* the upper half must not matter */
            value = (uint32_t)value | insn_random(b->r) << 32;
        else if (bits == 16)
            value = (value & 0xffff) | insn_random(b->r) << 16;
        if (b->c->mode != INSN_64)
            value = (uint32_t)value;
        build_set_register(b, (unsigned)base, value);
        return true;
    }
    if (base >= 0 && b->loop) {
        if (b->i.raw.disp.size == 32)
            patch_displacement(b, (int64_t)insn_below(b->r, 64) - 16);
        return bits > 16 && is_near_area(b, b->c->in.gpr[base] + indexed, segment);
    }
    if (base >= 0)
        indexed += b->c->in.gpr[base];
    if (b->i.raw.disp.size == 32 && b->i.encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW &&
        (bits == 32 || fits((int64_t)(target - indexed), 32))) {
        patch_displacement(b, (int64_t)(target - indexed));
        return true;
    }
    if (bits == 16 && b->i.raw.disp.size == 16) {
        patch_displacement(b, (int64_t)(target - indexed));
        return true;
    }
    return in_area(b, op, indexed + (uint64_t)op->mem.disp.value, segment);
}

static bool solve_memory(struct builder *b, const ZydisDecodedOperand *op)
{
    unsigned size = op->size / 8 ? op->size / 8 : 8;
    uint64_t segment = segment_base(b, op), target = build_target(b, size) - segment;

    if (b->c->mode != INSN_64)
        target = (uint32_t)target;
    if (b->c->v86 && op->mem.segment == ZYDIS_REGISTER_CS)
        return false; /* CS can be written there, but not on the host */
    /* most segments are out of the reach of 16-bit addresses */
    if (address_bits(b, op) == 16 && target > 0xffff && !insn_chance(b->r, 5))
        return false;
    if (wraps_in_pieces(b, target, size, address_bits(b, op)))
        return false;

    if (op->mem.base == ZYDIS_REGISTER_NONE && op->mem.index == ZYDIS_REGISTER_NONE)
        return solve_absolute(b, op, target);
    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
        return solve_absolute(b, op, target);
    return solve_based(b, op, target, segment);
}

/* Bit strings: the register operand addresses far around. */
static void tame_bit_offset(struct builder *b)
{
    int reg = build_gpr(b->op[1].reg.value);
    unsigned bits = b->i.operand_width;
    int64_t offset = (int64_t)insn_below(b->r, 8000) - 4000;

    if (b->op[0].type != ZYDIS_OPERAND_TYPE_MEMORY || b->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER || reg < 0)
        return;
    if (bits < 64)
        offset = (int64_t)(((uint64_t)offset & ((1ull << bits) - 1)) | insn_random(b->r) << bits);
    if (b->c->mode != INSN_64)
        offset = (uint32_t)offset;
    build_set_register(b, (unsigned)reg, (uint64_t)offset);
}

static void tame_repeat(struct builder *b)
{
    uint64_t count = insn_below(b->r, 40);

    if (insn_chance(b->r, 5))
        count = 100 + insn_below(b->r, 20000);
    if (b->i.address_width == 32)
        count |= insn_random(b->r) << 32;
    else if (b->i.address_width == 16)
        count = (count & 0xffff) | insn_random(b->r) << 16;
    if (b->c->mode != INSN_64)
        count = (uint32_t)count;
    build_set_register(b, R_CX, count);
}

/* 16-bit SHLD and SHRD by more than 16 are undefined. */
static void tame_double_shift(struct builder *b)
{
    if (b->i.operand_width != 16)
        return;
    if (b->op[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        b->bytes[b->i.raw.imm[0].offset] &= 0xef;
    else
        build_set_register(b, R_CX, b->c->in.gpr[R_CX] & ~0x10ull);
}

static uint64_t register_mask(const struct builder *b)
{
    return b->c->mode == INSN_64 ? ~0ull : 0xffffffff;
}

/* Division mostly overflows with random operands: give it a chance. */
static void tame_division(struct builder *b)
{
    if (insn_chance(b->r, 70))
        build_set_register(b, R_DX,
                           b->i.mnemonic == ZYDIS_MNEMONIC_IDIV && insn_chance(b->r, 50) ? register_mask(b)
                                                                                         : insn_below(b->r, 3));
    if (insn_chance(b->r, 40))
        build_set_register(b, R_AX, insn_below(b->r, 1u << insn_below(b->r, 31)));
}

static void tame_before(struct builder *b)
{
    switch (b->i.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
        tame_bit_offset(b);
        break;
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
        tame_double_shift(b);
        break;
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
        tame_division(b);
        break;
    case ZYDIS_MNEMONIC_ENTER:
        b->bytes[b->i.raw.imm[0].offset + 1] &= 3;
        if (insn_chance(b->r, 50))
            b->bytes[b->i.raw.imm[1].offset] = 0;
        break;
    default:
        break;
    }
    if (b->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
        tame_repeat(b);
}

/* Where a memory operand of the finished bytes lies. */
static uint64_t operand_address(const struct builder *b, const ZydisDecodedOperand *op)
{
    unsigned bits = address_bits(b, op), size = b->i.raw.disp.size;
    uint64_t ea = 0;

    if (size) {
        memcpy(&ea, b->bytes + b->i.raw.disp.offset, size / 8);
        ea = (uint64_t)((int64_t)(ea << (64 - size)) >> (64 - size));
    }
    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
        ea += b->ip + b->i.length;
    else if (op->mem.base != ZYDIS_REGISTER_NONE)
        ea += b->c->in.gpr[build_gpr(op->mem.base)];
    if (op->mem.index != ZYDIS_REGISTER_NONE)
        ea += b->c->in.gpr[build_gpr(op->mem.index)] * op->mem.scale;
    if (bits < 64)
        ea &= (1ull << bits) - 1;
    ea += segment_base(b, op);
    return b->c->mode == INSN_64 ? ea : (uint32_t)ea;
}

/* An operand that is a selector. Host and guest share some of them only, so a wild one may not be used. */
static bool tame_selector(struct builder *b, const ZydisDecodedOperand *op, unsigned at)
{
    uint64_t selector = insn_selector_pick(b->r, b->forms->long_mode);
    int reg;

    if (b->sequence)
        return false;
    if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
        return build_poke(b, operand_address(b, op), insn_random(b->r) << (at + 16) << 1 | selector << at);
    reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? build_gpr(op->reg.value) : -1;
    if (reg < 0)
        return ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT;
    if (b->fixed >> reg & 1)
        return false;
    build_set_register(b, (unsigned)reg, selector | (insn_random(b->r) & 0xffff0000));
    return true;
}

/* Bytes that are not compared. */
static bool cut_hole(struct builder *b, uint64_t linear, unsigned size)
{
    uint64_t at = linear - INSN_DATA;

    if (b->sequence)
        return false;
    b->c->hole_at = at < INSN_DATA_SIZE ? (uint32_t)at : 0;
    b->c->hole_size = at < INSN_DATA_SIZE ? size : 0;
    return true;
}

/* The x87 pointers in an image. */
static bool cut_image(struct builder *b, unsigned from, unsigned to)
{
    return cut_hole(b, operand_address(b, &b->op[0]) + from, to - from);
}

/* Control, status and tag words are 14 or 28 bytes with the pointers (SDM vol. 1, 8.1.10); FXSAVE's image
 * (10.5.1). */
static bool tame_image(struct builder *b)
{
    switch (b->i.mnemonic) {
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FNSAVE:
        return b->i.operand_width == 16 ? cut_image(b, 6, 14) : cut_image(b, 12, 28);
    case ZYDIS_MNEMONIC_FXSAVE:
        return cut_image(b, 6, 24);
    default:
        return true;
    }
}

/* Of a segment register as 32 bits: 16 or 32 are written, by the processor (SDM vol. 2, PUSH). */
static bool tame_push(struct builder *b)
{
    uint64_t top = build_stack(b);

    return top - INSN_DATA > 4 && top - INSN_DATA < INSN_DATA_SIZE && cut_hole(b, top - 2, 2);
}

static bool tame_selectors(struct builder *b)
{
    switch (b->i.mnemonic) {
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
        return tame_selector(b, &b->op[1], 0);
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
        return tame_selector(b, &b->op[0], 0);
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
        return tame_selector(b, &b->op[1], b->i.operand_width);
    case ZYDIS_MNEMONIC_MOV:
        return b->i.opcode != 0x8e || tame_selector(b, &b->op[1], 0);
    case ZYDIS_MNEMONIC_PUSH:
        return b->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER || b->i.operand_width != 32 ||
               ZydisRegisterGetClass(b->op[0].reg.value) != ZYDIS_REGCLASS_SEGMENT || tame_push(b);
    case ZYDIS_MNEMONIC_POP:
        if (ZydisRegisterGetClass(b->op[0].reg.value) != ZYDIS_REGCLASS_SEGMENT)
            return true;
        return !b->sequence && build_poke(b, build_stack(b),
                                          insn_selector_pick(b->r, b->forms->long_mode) | insn_random(b->r) << 16);
    default:
        return true;
    }
}

/* FXRSTOR: reserved bits of MXCSR give #GP, which random bytes nearly always have. */
static void tame_restore(struct builder *b)
{
    if (insn_chance(b->r, 90))
        build_poke(b, operand_address(b, &b->op[0]) + 24, insn_random(b->r) & 0xffff);
}

/* POPF may set neither TF nor AC. CMPXCHG should also succeed. */
static bool tame_after(struct builder *b)
{
    uint64_t value;
    int reg;

    switch (b->i.mnemonic) {
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
        value = insn_random(b->r) & (FL_ARITH | FL_DF | 0x20f000 | 0x202);
        return !b->sequence && build_poke(b, build_stack(b), value);
    case ZYDIS_MNEMONIC_CMPXCHG:
        reg = b->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? build_gpr(b->op[0].reg.value) : -1;
        if (!b->sequence && reg > 0 && insn_chance(b->r, 40))
            b->c->in.gpr[reg] = b->c->in.gpr[R_AX];
        return true;
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
        if (!b->sequence)
            tame_restore(b);
        return true;
    case ZYDIS_MNEMONIC_FXSAVE: /* a page that is read-only, then one that is not there: which is first is free */
    case ZYDIS_MNEMONIC_FXSAVE64:
        value = operand_address(b, &b->op[0]);
        return value + 512 <= AREA_END || value >= AREA_END;
    default:
        return true;
    }
}

uint64_t build_stack(const struct builder *b)
{
    uint16_t ss = b->c->in.seg[S_SS];
    uint64_t sp = b->c->in.gpr[R_SP];

    if (b->c->mode == INSN_64)
        return sp;
    return (uint32_t)(insn_segment_base(ss) + (insn_segment_big(ss) ? sp : sp & 0xffff));
}

bool build_poke(struct builder *b, uint64_t linear, uint64_t value)
{
    struct insn_case *c = b->c;

    if (linear < INSN_DATA || linear > INSN_DATA + INSN_DATA_SIZE - 8 || c->pokes == INSN_POKES)
        return false;
    c->poke[c->pokes].offset = (uint32_t)(linear - INSN_DATA);
    c->poke[c->pokes++].value = value;
    return true;
}

bool build_operands(struct builder *b)
{
    unsigned n;

    if (!b->sequence)
        tame_before(b);
    else if (b->i.mnemonic == ZYDIS_MNEMONIC_SHLD || b->i.mnemonic == ZYDIS_MNEMONIC_SHRD)
        tame_double_shift(b);
    for (n = 0; n < b->i.operand_count; n++) {
        if (b->op[n].type != ZYDIS_OPERAND_TYPE_MEMORY || b->op[n].mem.type == ZYDIS_MEMOP_TYPE_AGEN)
            continue;
        if (!solve_memory(b, &b->op[n]))
            return false;
    }
    return tame_after(b) && (b->c->mode == INSN_64 || (tame_selectors(b) && tame_image(b)));
}
