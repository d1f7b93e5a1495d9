/*
 * template.c - decoded instructions, by their bytes in front of displacement and immediate.
 *
 * Interface: internal.h. Programs use the same few thousand combinations of prefixes, opcode, ModRM and SIB all
 * the time; what follows them are values, whose place is known. So an instruction that begins like one seen before
 * is that one with other values (SDM vol. 2, 2.1). Direct-mapped; an entry belongs to the mode of a block, as the
 * row does.
 *
 * Invariant: which bytes are in front depends on these bytes alone, and an entry is kept only if Zydis has found
 * the values right behind them. So what begins with the same bytes has the same length and form, however wrong the
 * opcode tables might be.
 */
#include "translator/lower.h"

#include <stdlib.h>
#include <string.h>

#define TEMPLATES 4096u
#define HEAD_MAX 8u   /* bytes of a key */
#define LOOK_AHEAD 16 /* bytes that must be there: an instruction, and more than a key */
#define PREFETCHED 3u /* cache lines, of an instruction with two operands */

/* What is kept of a struct insn: from its `row` on, as many operands as there are. Copied by chunks, faster than
   by a memcpy() of a size that varies. */
#define KEPT offsetof(struct insn, row)
typedef uint64_t chunk __attribute__((vector_size(16), aligned(8), may_alias));
#define CHUNKS ((sizeof(struct insn) - KEPT) / sizeof(chunk))
_Static_assert((sizeof(struct insn) - KEPT) % sizeof(chunk) == 0, "whole chunks");

struct template
{
    _Alignas(64) uint64_t key;
    uint32_t mode;
    uint8_t head;       /* bytes in front of the values; 0: free */
    uint8_t chunks;     /* used */
    uint8_t length;     /* of the instruction */
    uint8_t count_mask; /* a shift by an immediate, whose count must not be 0 with this mask; or 0 */
    chunk insn[CHUNKS];
};

struct template *template_table(void)
{
    struct template *table = aligned_alloc(_Alignof(struct template), TEMPLATES * sizeof *table);

    if (table)
        memset(table, 0, TEMPLATES * sizeof *table);
    return table;
}

static void copy_chunks(chunk *to, const chunk *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        to[i] = from[i];
}

static bool is_prefix(uint8_t byte, bool wide)
{
    return (insn_is_legacy_prefix(byte) && byte != 0x67) || (wide && (byte & 0xf0) == 0x40);
}

/* Prefixes, opcode, ModRM and SIB; 0: not known. 67 is not among the prefixes: it changes what ModRM means. */
static unsigned head_length(const struct translator *t, const uint8_t *bytes, bool wide)
{
    unsigned at = 0, map = 0;
    uint8_t opcode, modrm;
    bool has_modrm;

    while (at < HEAD_MAX && is_prefix(bytes[at], wide))
        at++;
    opcode = bytes[at++];
    if (opcode == 0x0f) {
        map = 1;
        opcode = bytes[at++];
    }
    has_modrm = t->has_modrm[map][opcode];
    if (map && (opcode == 0x38 || opcode == 0x3a)) {
        at++;
        has_modrm = true;
    }
    if (has_modrm) {
        modrm = bytes[at++];
        at += modrm < 0xc0 && (modrm & 7) == 4;
    }
    return at <= HEAD_MAX ? at : 0;
}

static uint64_t key_of(const uint8_t *bytes, unsigned head)
{
    uint64_t key;

    memcpy(&key, bytes, sizeof key);
    return head == HEAD_MAX ? key : key & ((1ull << 8 * head) - 1);
}

static struct template *slot(const struct translator *t, uint64_t key, uint32_t mode)
{
    uint64_t hash = (key ^ (uint64_t)mode << 32) * 0x9e3779b97f4a7c15ull;

    return &t->templates[(hash ^ hash >> 29) >> 20 & (TEMPLATES - 1)];
}

static int64_t value_at(const uint8_t *at, unsigned size, bool is_signed)
{
    int64_t value = 0;

    switch (size) {
    case 1:
        return is_signed ? (int8_t)*at : *at;
    case 2:
        memcpy(&value, at, 2);
        return is_signed ? (int16_t)value : value;
    case 4:
        memcpy(&value, at, 4);
        return is_signed ? (int32_t)value : value;
    default:
        memcpy(&value, at, 8);
        return value;
    }
}

/* In the instruction's bytes, unlike the 1 of some shifts and the stack of a PUSH. */
static bool is_encoded(const struct operand *op, ZydisOperandType type)
{
    return op->type == type && op->encoding != ZYDIS_OPERAND_ENCODING_NONE;
}

/* The values are those in the instruction's bytes. */
static void take_values(struct insn *in)
{
    int64_t disp;

    if (in->imm_size) {
        in->imm = value_at(in->bytes + in->imm_offset, in->imm_size, in->imm_signed);
        for (unsigned i = 0; i < in->visible_count; i++)
            if (is_encoded(&in->op[i], ZYDIS_OPERAND_TYPE_IMMEDIATE))
                in->op[i].imm.s = in->imm;
    }
    if (!in->disp_size)
        return;
    disp = value_at(in->bytes + in->disp_offset, in->disp_size, true);
    for (unsigned i = 0; i < in->visible_count; i++)
        if (is_encoded(&in->op[i], ZYDIS_OPERAND_TYPE_MEMORY))
            in->op[i].mem.disp = disp;
}

void template_seek(const struct translator *t, uint32_t mode, const uint8_t *bytes, unsigned available,
                   struct template_place *place)
{
    place->head = available < LOOK_AHEAD ? 0 : head_length(t, bytes, mode & MODE_CODE64);
    if (!place->head)
        return;
    place->key = key_of(bytes, place->head);
    place->at = slot(t, place->key, mode);
    for (unsigned i = 0; i < PREFETCHED; i++)
        __builtin_prefetch((const char *)place->at + 64 * i);
}

unsigned template_length(const struct template_place *place, uint32_t mode, const uint8_t *bytes)
{
    const struct template *e = place->at;

    if (!place->head || e->key != place->key || e->mode != mode || e->head != place->head ||
        (e->count_mask && !(bytes[e->length - 1] & e->count_mask)))
        return 0;
    return e->length;
}

void template_take(const struct template_place *place, struct insn *in, const uint8_t *bytes)
{
    copy_chunks((chunk *)&in->row, place->at->insn, place->at->chunks);
    memcpy(in->bytes, bytes, sizeof in->bytes);
    take_values(in);
}

/* Of shifts by an immediate: those by 0 leave the flags alone, and are lowered in another way. */
static uint8_t count_mask(const struct insn *in)
{
    return in->category != ZYDIS_CATEGORY_SHIFT || !in->imm_size ? 0 : in->operand_width == 64 ? 63 : 31;
}

/* Are its values right behind `head` bytes, and does take_values() give what Zydis has found? */
static bool is_regular(const struct insn *in, unsigned head)
{
    struct insn again = *in;

    if (!in->valid || !head || in->two_immediates || in->length != head + in->disp_size + in->imm_size ||
        (count_mask(in) && !(in->imm & count_mask(in))) || (in->disp_size && in->disp_offset != head) ||
        (in->imm_size && in->imm_offset != head + in->disp_size))
        return false;
    take_values(&again);
    return again.imm == in->imm && !memcmp(again.op, in->op, in->operand_count * sizeof *in->op);
}

void template_keep(struct translator *t, uint32_t mode, const struct insn *in)
{
    unsigned head;
    struct template *e;
    uint64_t key;
    size_t used;

    head = head_length(t, in->bytes, mode & MODE_CODE64);
    if (!is_regular(in, head))
        return;
    key = key_of(in->bytes, head);
    e = slot(t, key, mode);
    e->key = key;
    e->mode = mode;
    e->head = (uint8_t)head;
    e->length = in->length;
    e->count_mask = count_mask(in);
    used = offsetof(struct insn, op) - KEPT + in->operand_count * sizeof *in->op;
    e->chunks = (uint8_t)((used + sizeof(chunk) - 1) / sizeof(chunk));
    copy_chunks(e->insn, (const chunk *)&in->row, e->chunks);
}
