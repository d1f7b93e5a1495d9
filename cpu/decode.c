/*
 * decode.c - the interpreter's instruction decoder (SDM vol. 2, chapter 2 and appendix A).
 *
 * Interface: decode.h. Invariants: reads at most DECODE_BUFFER bytes; touches nothing but the struct insn.
 */
#include "cpu/decode.h"

/* Per opcode: whether ModRM follows, and which immediate. */
enum {
    M = 0x80, /* ModRM */
    NONE = 0,
    IB,
    IW,
    IZ,
    IV,
    MOFFS,
    FAR,
    ENTER,
    JB,
    JZ,
    GROUP3B,
    GROUP3
};

static const uint8_t attributes_1[256] = {
    [0x00 ... 0x03] = M,
    [0x04] = IB,
    [0x05] = IZ,
    [0x08 ... 0x0b] = M,
    [0x0c] = IB,
    [0x0d] = IZ,
    [0x10 ... 0x13] = M,
    [0x14] = IB,
    [0x15] = IZ,
    [0x18 ... 0x1b] = M,
    [0x1c] = IB,
    [0x1d] = IZ,
    [0x20 ... 0x23] = M,
    [0x24] = IB,
    [0x25] = IZ,
    [0x28 ... 0x2b] = M,
    [0x2c] = IB,
    [0x2d] = IZ,
    [0x30 ... 0x33] = M,
    [0x34] = IB,
    [0x35] = IZ,
    [0x38 ... 0x3b] = M,
    [0x3c] = IB,
    [0x3d] = IZ,
    [0x62 ... 0x63] = M,
    [0x68] = IZ,
    [0x69] = M | IZ,
    [0x6a] = IB,
    [0x6b] = M | IB,
    [0x70 ... 0x7f] = JB,
    [0x80] = M | IB,
    [0x81] = M | IZ,
    [0x82 ... 0x83] = M | IB,
    [0x84 ... 0x8f] = M,
    [0x9a] = FAR,
    [0xa0 ... 0xa3] = MOFFS,
    [0xa8] = IB,
    [0xa9] = IZ,
    [0xb0 ... 0xb7] = IB,
    [0xb8 ... 0xbf] = IV,
    [0xc0 ... 0xc1] = M | IB,
    [0xc2] = IW,
    [0xc4 ... 0xc5] = M,
    [0xc6] = M | IB,
    [0xc7] = M | IZ,
    [0xc8] = ENTER,
    [0xca] = IW,
    [0xcd] = IB,
    [0xd0 ... 0xd3] = M,
    [0xd4 ... 0xd5] = IB,
    [0xd8 ... 0xdf] = M,
    [0xe0 ... 0xe3] = JB,
    [0xe4 ... 0xe7] = IB,
    [0xe8 ... 0xe9] = JZ,
    [0xea] = FAR,
    [0xeb] = JB,
    [0xf6] = M | GROUP3B,
    [0xf7] = M | GROUP3,
    [0xfe ... 0xff] = M,
};

static const uint8_t attributes_0f[256] = {
    [0x00 ... 0x03] = M, [0x0d] = M,          [0x0f] = M | IB,
    [0x10 ... 0x2f] = M, [0x40 ... 0x6f] = M, [0x70 ... 0x73] = M | IB,
    [0x74 ... 0x76] = M, [0x78 ... 0x7f] = M, [0x80 ... 0x8f] = JZ,
    [0x90 ... 0x9f] = M, [0xa3] = M,          [0xa4] = M | IB,
    [0xa5 ... 0xa7] = M, [0xab] = M,          [0xac] = M | IB,
    [0xad ... 0xb9] = M, [0xba] = M | IB,     [0xbb ... 0xc1] = M,
    [0xc2] = M | IB,     [0xc3] = M,          [0xc4 ... 0xc6] = M | IB,
    [0xc7] = M,          [0xd0 ... 0xff] = M,
};

/* Bytes that are prefixes in every mode (REX apart). */
static const uint8_t is_prefix[256] = {
    [0x26] = 1, [0x2e] = 1, [0x36] = 1, [0x3e] = 1, [0x64 ... 0x67] = 1, [0xf0] = 1, [0xf2 ... 0xf3] = 1,
};

/* 16-bit addressing (SDM vol. 2, table 2-1). */
static const uint8_t base16[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
static const uint8_t index16[8] = {RSI, RDI, RSI, RDI, REG_NONE, REG_NONE, REG_NONE, REG_NONE};

static int64_t get_signed(const uint8_t *p, unsigned size)
{
    int8_t b;
    int16_t w;
    int32_t d;
    int64_t q;

    switch (size) {
    case 1:
        memcpy(&b, p, 1);
        return b;
    case 2:
        __builtin_memcpy(&w, p, 2);
        return w;
    case 4:
        __builtin_memcpy(&d, p, 4);
        return d;
    default:
        __builtin_memcpy(&q, p, 8);
        return q;
    }
}

static void take_prefix(struct insn *i, uint8_t byte, bool code64, unsigned *seg)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        /* no effect on addressing in 64-bit mode (SDM vol. 2, 2.1.1) */
        if (!code64)
            *seg = (byte - 0x26) >> 3;
        break;
    case 0x64:
    case 0x65:
        *seg = SEG_FS + (byte - 0x64);
        break;
    case 0x66:
        i->opsize_prefix = true;
        break;
    case 0x67:
        i->addrsize = code64 ? 4 : i->addrsize == 4 ? 2 : 4;
        break;
    case 0xf0:
        i->lock = true;
        break;
    default:
        i->rep = byte;
        break;
    }
}

static const uint8_t vex_pp[4] = {0, 0x66, 0xf3, 0xf2};

/* VEX or EVEX at p[0]; returns the number of bytes in front of the opcode. */
static unsigned take_vex(struct insn *i, const uint8_t *p, bool code64)
{
    unsigned rex, pp;

    if (p[0] == 0xc5) {
        rex = (p[1] & 0x80 ? 0 : REX_R);
        pp = p[1];
        i->map = MAP_0F;
        i->vex = 2;
    } else {
        rex = (~p[1] >> 5) & 7u;
        rex = ((rex & 4) ? REX_R : 0) | ((rex & 2) ? REX_X : 0) | ((rex & 1) ? REX_B : 0);
        rex |= p[2] & 0x80 ? REX_W : 0;
        pp = p[2];
        i->map = p[0] == 0x62 ? p[1] & 7 : p[1] & 0x1f;
        i->vex = p[0] == 0x62 ? 4 : 3;
    }
    i->vvvv = (~pp >> 3) & 15;
    i->vl = (pp >> 2) & 1;
    i->pp = vex_pp[pp & 3];
    if (i->vex == 4) {
        i->evex[0] = p[1];
        i->evex[1] = p[2];
        i->evex[2] = p[3];
        i->vl = (p[3] >> 5) & 3;
        i->vvvv |= p[3] & 8 ? 0 : 16;
    }
    if (!code64) {
        rex &= REX_W;
        i->vvvv &= 7;
    }
    i->rex = (uint8_t)rex;
    return i->vex == 2 ? 2 : i->vex;
}

static unsigned take_address16(struct insn *i, const uint8_t *p)
{
    i->base = base16[i->rm & 7];
    i->index = index16[i->rm & 7];
    if (i->mod == 0 && (i->modrm & 7) == 6) {
        i->base = REG_NONE;
        i->disp = get_signed(p, 2);
        return 2;
    }
    if (i->mod)
        i->disp = get_signed(p, i->mod);
    return i->mod;
}

/* SIB and displacement of 32- and 64-bit addressing (SDM vol. 2, tables 2-2 and 2-3). */
static unsigned take_address(struct insn *i, const uint8_t *p, bool code64)
{
    unsigned used = 0, low = i->modrm & 7;

    if (low == 4) {
        i->sib = p[0];
        used = 1;
        i->scale = p[0] >> 6;
        i->index = (uint8_t)(((p[0] >> 3) & 7) | (i->rex & REX_X ? 8 : 0));
        if (i->index == RSP)
            i->index = REG_NONE;
        low = p[0] & 7;
        i->base = (uint8_t)(low | (i->rex & REX_B ? 8 : 0));
        if (low == 5 && i->mod == 0) {
            i->base = REG_NONE;
            i->disp = get_signed(p + 1, 4);
            return 5;
        }
    } else if (low == 5 && i->mod == 0) {
        i->base = code64 ? BASE_RIP : REG_NONE;
        i->disp = get_signed(p, 4);
        return 4;
    } else {
        i->base = i->rm;
    }
    if (i->mod == 1) {
        i->disp = get_signed(p + used, 1);
        return used + 1;
    }
    if (i->mod == 2) {
        i->disp = get_signed(p + used, 4);
        return used + 4;
    }
    return used;
}

static unsigned take_modrm(struct insn *i, const uint8_t *p, uint32_t mode, unsigned seg)
{
    bool code64 = (mode & MODE_CODE_MASK) == MODE_CODE64;
    unsigned used = 1;

    i->has_modrm = true;
    i->modrm = p[0];
    i->mod = p[0] >> 6;
    i->reg = (uint8_t)(((p[0] >> 3) & 7) | (i->rex & REX_R ? 8 : 0));
    i->rm = (uint8_t)((p[0] & 7) | (i->rex & REX_B ? 8 : 0));
    /* MOV to and from control and debug registers ignores mod (SDM vol. 2, MOV-Control Registers) */
    if (i->map == MAP_0F && !i->vex && (i->opcode & 0xfc) == 0x20)
        i->mod = 3;
    if (i->mod == 3)
        return 1;
    used += i->addrsize == 2 ? take_address16(i, p + 1) : take_address(i, p + 1, code64);
    if (seg != REG_NONE)
        i->segment = (uint8_t)seg;
    else if (i->base == RSP || i->base == RBP)
        i->segment = SEG_SS;
    return used;
}

static unsigned take_immediate(struct insn *i, unsigned kind, const uint8_t *p, bool code64)
{
    unsigned size = 0, z = i->opsize == 2 ? 2 : 4;

    if (kind == GROUP3B)
        kind = (i->modrm & 0x38) < 0x10 ? IB : NONE;
    else if (kind == GROUP3)
        kind = (i->modrm & 0x38) < 0x10 ? IZ : NONE;
    switch (kind) {
    case NONE:
        return 0;
    case IB:
    case JB:
        size = 1;
        break;
    case IW:
        size = 2;
        break;
    case IZ:
        size = z;
        break;
    case IV:
        size = i->opsize;
        break;
    case JZ: /* the operand-size prefix is ignored in 64-bit mode, as Intel's processors do */
        size = code64 ? 4 : z;
        break;
    case MOFFS:
        i->imm = (uint64_t)get_signed(p, i->addrsize);
        if (i->addrsize < 8)
            i->imm &= (1ull << (8 * i->addrsize)) - 1;
        return i->addrsize;
    case FAR:
        i->imm = (uint64_t)get_signed(p, z) & (z == 2 ? 0xffffu : 0xffffffffu);
        i->imm2 = (uint16_t)get_signed(p + z, 2);
        return z + 2;
    default: /* ENTER */
        i->imm = (uint16_t)get_signed(p, 2);
        i->imm2 = p[2];
        return 3;
    }
    i->imm = (uint64_t)get_signed(p, size);
    i->imm_size = (uint8_t)size;
    return size;
}

static unsigned attributes_of(const struct insn *i)
{
    switch (i->map) {
    case MAP_1:
        return attributes_1[i->opcode];
    case MAP_0F:
        return attributes_0f[i->opcode];
    case MAP_0F3A:
        return M | IB;
    default:
        return M;
    }
}

static bool is_vex(const uint8_t *p, bool code64)
{
    return (p[0] == 0xc4 || p[0] == 0xc5 || p[0] == 0x62) && (code64 || (p[1] & 0xc0) == 0xc0);
}

void insn_decode(struct insn *i, const uint8_t *bytes, uint32_t mode)
{
    bool code64 = (mode & MODE_CODE_MASK) == MODE_CODE64;
    unsigned seg = REG_NONE, at = 0, kind;

    *i = (struct insn){.base = REG_NONE,
                       .index = REG_NONE,
                       .segment = SEG_DS,
                       .addrsize = code64               ? 8
                                   : mode & MODE_CODE32 ? 4
                                                        : 2};
    for (;;) {
        while (is_prefix[bytes[at]] && at < INSN_MAX)
            take_prefix(i, bytes[at++], code64, &seg);
        if (!code64 || (bytes[at] & 0xf0) != 0x40 || at >= INSN_MAX)
            break;
        i->rex = bytes[at++];
        if (!is_prefix[bytes[at]] && (bytes[at] & 0xf0) != 0x40)
            break;
        i->rex = 0; /* REX counts only directly in front of the opcode */
    }
    i->opsize = mode & (MODE_CODE32 | MODE_CODE64) ? (i->opsize_prefix ? 2 : 4) : i->opsize_prefix ? 4 : 2;
    if (is_vex(bytes + at, code64)) {
        /* #UD after 66, F2, F3, LOCK or REX (SDM vol. 2, 2.3.2): the map says so */
        bool bad = i->opsize_prefix || i->rep || i->lock || i->rex;

        at += take_vex(i, bytes + at, code64);
        if (bad)
            i->map = 0x1f;
    } else if (bytes[at] == 0x0f) {
        at++;
        i->map = bytes[at] == 0x38 ? MAP_0F38 : bytes[at] == 0x3a ? MAP_0F3A : MAP_0F;
        at += i->map != MAP_0F;
    }
    if (i->rex & REX_W)
        i->opsize = 8;
    i->segment_override = seg != REG_NONE;
    if (seg != REG_NONE)
        i->segment = (uint8_t)seg;
    i->opcode_at = (uint8_t)at;
    i->opcode = bytes[at++];
    kind = attributes_of(i);
    if (kind & M) {
        i->modrm_at = (uint8_t)at;
        at += take_modrm(i, bytes + at, mode, seg);
    }
    if (kind & ~(unsigned)M)
        at += take_immediate(i, kind & ~(unsigned)M, bytes + at, code64);
    i->length = (uint8_t)at;
}
