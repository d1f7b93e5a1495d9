/*
 * stream_make.c - makes streams that no compiler would: random bytes, piled-up prefixes, valid code spoilt,
 * jumps to anywhere near, and all of that cut off by the end of a page.
 *
 * Interface: stream_make. The stream lies in the code area, which is followed by a page that is not there; behind
 * the stream's end there is INT3.
 */
#include "tests/fuzz/stream.h"
#include "tests/insn/state.h"

#include <string.h>

#define MAX_STREAM 200u

struct stream {
    const struct insn_forms *forms;
    struct insn_random r;
    struct insn_case *c;
};

static void append(struct stream *s, const uint8_t *bytes, unsigned size)
{
    if (s->c->code_length + size > MAX_STREAM)
        size = MAX_STREAM - s->c->code_length;
    memcpy(s->c->code + s->c->code_length, bytes, size);
    s->c->code_length += (uint8_t)size;
}

static uint8_t byte(struct stream *s)
{
    return (uint8_t)insn_random(&s->r);
}

/* An instruction of the table, with a memory operand at a register that points to data. */
static void append_form(struct stream *s)
{
    static const int8_t bases[] = {R_BX, R_BP, R_SP, R_12, R_13, R_SI, R_DI, -1};
    const struct insn_form *form = insn_forms_pick(s->forms, &s->r);
    ZydisDecodedInstruction i;
    uint8_t bytes[15];

    insn_form_encode(s->forms, form, &s->r, bytes, bases[insn_below(&s->r, sizeof bases)]);
    if (form->memory && insn_chance(&s->r, 80) && bytes[14] < 0x80)
        bytes[14] = 0;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&s->forms->decoder, NULL, bytes, sizeof bytes, &i)))
        append(s, bytes, 1 + insn_below(&s->r, 15));
    else if (i.raw.disp.size == 32 && insn_chance(&s->r, 90)) /* near what the register points to */
        memcpy(bytes + i.raw.disp.offset, &(int32_t){(int32_t)insn_below(&s->r, 0x800)}, 4);
    append(s, bytes, i.length);
}

static void append_prefixes(struct stream *s)
{
    static const uint8_t prefix[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64,
                                     0x65, 0x48, 0x40, 0x41, 0x44, 0x4f, 0xc4, 0xc5, 0x62, 0x0f};
    unsigned count = insn_chance(&s->r, 20) ? insn_below(&s->r, 17) : insn_below(&s->r, 4);

    while (count--)
        append(s, &prefix[insn_below(&s->r, sizeof prefix)], 1);
}

/* Short jumps, near ones, calls and loops, to some place in or around the stream. */
static void append_jump(struct stream *s)
{
    static const uint8_t heads[] = {0xeb, 0xeb, 0xe8, 0xe9, 0xe0, 0xe1, 0xe2, 0xe3};
    int32_t distance = (int32_t)insn_below(&s->r, 100) - 50;
    uint8_t head = heads[insn_below(&s->r, sizeof heads)];

    if (insn_chance(&s->r, 50))
        head = 0x70 | (byte(s) & 15);
    if (insn_chance(&s->r, 10)) {
        append(s, (const uint8_t[]){0x0f, (uint8_t)(0x80 | (byte(s) & 15))}, 2);
        head = 0xe9;
    } else {
        append(s, &head, 1);
    }
    append(s, (const uint8_t *)&distance, head == 0xe8 || head == 0xe9 ? 4 : 1);
}

/* Stores into the stream itself, ahead or behind: mov [rip + n], al / eax / rcx. */
static void append_self_store(struct stream *s)
{
    static const uint8_t heads[3][3] = {{0x88, 0x05}, {0x89, 0x05}, {0x48, 0x89, 0x0d}};
    unsigned kind = insn_below(&s->r, 3);
    int32_t distance = (int32_t)insn_below(&s->r, 48) - 16;

    append(s, heads[kind], kind == 2 ? 3 : 2);
    append(s, (const uint8_t *)&distance, 4);
}

static void make_raw(struct stream *s)
{
    unsigned n = 1 + insn_below(&s->r, 64);

    while (n--)
        append(s, &(uint8_t){byte(s)}, 1);
}

static void make_mixed(struct stream *s)
{
    unsigned n = 1 + insn_below(&s->r, 12);

    while (n--) {
        unsigned kind = insn_below(&s->r, 100);

        if (kind < 10)
            append_prefixes(s);
        if (kind < 65)
            append_form(s);
        else if (kind < 85)
            append_jump(s);
        else if (kind < 92)
            append_self_store(s);
        else
            append(s, &(uint8_t){byte(s)}, 1);
    }
}

/* Some bytes changed, taken out or put in. */
static void spoil(struct stream *s)
{
    uint8_t *code = s->c->code;

    for (unsigned n = 1 + insn_below(&s->r, 4); n > 0; n--) {
        unsigned at = insn_below(&s->r, s->c->code_length), kind = insn_below(&s->r, 4);

        if (kind == 0) {
            code[at] ^= (uint8_t)(1u << insn_below(&s->r, 8));
        } else if (kind == 1) {
            code[at] = byte(s);
        } else if (kind == 2 && s->c->code_length > 8) {
            memmove(code + at, code + at + 1, s->c->code_length - at - 1);
            s->c->code_length--;
        } else if (s->c->code_length < MAX_STREAM) {
            memmove(code + at + 1, code + at, s->c->code_length - at);
            s->c->code_length++;
            code[at] = byte(s);
        }
    }
}

static void clear(struct insn_case *c, uint64_t index)
{
    c->mode = INSN_64;
    c->v86 = false;
    c->index = index;
    c->slot = 1 + (uint32_t)(index % (INSN_BATCH - 2));
    c->start = INSN_CODE + INSN_SLOT_AT(c->slot);
    c->code_length = 0;
    c->pokes = 0;
    c->mnemonic = 0;
    c->steps = 1;
}

/* Registers that point to data or hold small numbers, more often than random ones would. */
static void choose_registers(struct stream *s)
{
    uint64_t *gpr = s->c->in.gpr;

    for (unsigned i = 0; i < 16; i++) {
        unsigned kind = insn_below(&s->r, 100);

        if (i == R_SP)
            continue;
        if (kind < 50)
            gpr[i] = INSN_DATA + 0x400 + insn_below(&s->r, INSN_DATA_SIZE - 0x800);
        else if (kind < 70)
            gpr[i] = insn_below(&s->r, 64);
        else if (kind < 73)
            gpr[i] = s->c->start + insn_below(&s->r, MAX_STREAM);
    }
}

/* The stream's end is cut off by the end of a page, mostly of the last one. The jump at the end of a generated
   sequence leads somewhere else then, which is as good. */
static void move_to_page_end(struct stream *s)
{
    uint64_t end = INSN_CODE + INSN_CODE_SIZE;

    if (insn_chance(&s->r, 30))
        end = INSN_CODE + 4096 * (1 + insn_below(&s->r, INSN_CODE_SIZE / 4096 - 1));
    s->c->start = end - 1 - insn_below(&s->r, s->c->code_length);
    if (s->c->start + s->c->code_length > INSN_CODE + INSN_CODE_SIZE)
        s->c->code_length = (uint8_t)(INSN_CODE + INSN_CODE_SIZE - s->c->start);
}

void stream_make(struct insn_generator *g, struct insn_case *c, uint64_t seed, uint64_t index)
{
    struct stream s = {insn_generator_table(g), {seed * 0xbf58476d1ce4e5b9ull + index * 0xd1342543de82ef95ull}, c};
    unsigned kind = insn_below(&s.r, 100);

    if (kind < 45) {
        insn_generate(g, c, index, INSN_MAX_STEPS);
        spoil(&s);
    } else {
        clear(c, index);
        c->image = insn_below(&s.r, INSN_IMAGES);
        insn_segments_pick(&s.r, c->mode, true, c->in.seg);
        state_random(&s.r, c->mode, &c->in);
        choose_registers(&s);
        if (kind < 65)
            make_raw(&s);
        else
            make_mixed(&s);
        if (insn_chance(&s.r, 20))
            spoil(&s);
    }
    if (insn_chance(&s.r, 25))
        move_to_page_end(&s);
    c->length = c->code_length;
}
