/*
 * control.c - cases of near control flow: each jump may go to one of two places, which end at different exits.
 */
#include "tests/insn/build.h"

#include <string.h>

enum { TARGET_REL8, TARGET_REL32, TARGET_REGISTER, TARGET_MEMORY, TARGET_STACK };

struct control_form {
    const char *name;
    uint8_t head[4], length;
    uint8_t target;
    bool condition; /* low nibble of the last opcode byte is random */
    uint8_t immediate;
};

/* ModRM of the indirect forms is chosen below; 0x67 in front of JRCXZ makes it JECXZ. */
static const struct control_form table[] = {
    {"jcc", {0x70}, 1, TARGET_REL8, true, 0},
    {"jcc", {0x0f, 0x80}, 2, TARGET_REL32, true, 0},
    {"jmp", {0xeb}, 1, TARGET_REL8, false, 0},
    {"jmp", {0xe9}, 1, TARGET_REL32, false, 0},
    {"call", {0xe8}, 1, TARGET_REL32, false, 0},
    {"loopne", {0xe0}, 1, TARGET_REL8, false, 0},
    {"loope", {0xe1}, 1, TARGET_REL8, false, 0},
    {"loop", {0xe2}, 1, TARGET_REL8, false, 0},
    {"jrcxz", {0xe3}, 1, TARGET_REL8, false, 0},
    {"loopne32", {0x67, 0xe0}, 2, TARGET_REL8, false, 0},
    {"loope32", {0x67, 0xe1}, 2, TARGET_REL8, false, 0},
    {"loop32", {0x67, 0xe2}, 2, TARGET_REL8, false, 0},
    {"jecxz", {0x67, 0xe3}, 2, TARGET_REL8, false, 0},
    {"call r", {0xff, 2}, 1, TARGET_REGISTER, false, 0},
    {"jmp r", {0xff, 4}, 1, TARGET_REGISTER, false, 0},
    {"call m", {0xff, 2}, 1, TARGET_MEMORY, false, 0},
    {"jmp m", {0xff, 4}, 1, TARGET_MEMORY, false, 0},
    {"ret", {0xc3}, 1, TARGET_STACK, false, 0},
    {"ret n", {0xc2}, 1, TARGET_STACK, false, 2},
};

static void counts(struct builder *b)
{
    uint64_t count = insn_below(b->r, 4);

    if (insn_chance(b->r, 30))
        count |= insn_random(b->r) << 32;
    if (insn_chance(b->r, 70))
        build_set_register(b, R_CX, count);
}

/* Through a register or a memory operand based on one; sometimes to a non-canonical address. */
static void indirect(struct builder *b, const struct control_form *f, uint64_t target)
{
    unsigned reg = insn_below(b->r, 16);
    uint8_t rex = (uint8_t)(0x40 | (insn_random(b->r) & 0xc)), modrm;
    uint64_t place = INSN_DATA + 0x100 + insn_below(b->r, 0x3000);
    int32_t disp = (int32_t)insn_below(b->r, 0x1000);

    if (reg != R_SP && insn_chance(b->r, 3))
        target |= 1ull << 62;
    if (insn_chance(b->r, 5))
        build_append(b, "\xf2", 1); /* BND is ignored */
    if (reg >= 8 || insn_chance(b->r, 30)) {
        rex |= reg >> 3;
        build_append(b, &rex, 1);
    }
    build_append(b, f->head, 1);
    if (f->target == TARGET_REGISTER) {
        modrm = (uint8_t)(0xc0 | f->head[1] << 3 | (reg & 7));
        build_append(b, &modrm, 1);
        build_set_register(b, reg, target);
        return;
    }
    modrm = (uint8_t)(0x80 | f->head[1] << 3 | (reg & 7));
    build_append(b, &modrm, 1);
    if ((reg & 7) == 4)
        build_append(b, "\x24", 1);
    build_append(b, &disp, 4);
    build_set_register(b, reg, place - (uint64_t)disp);
    build_poke(b, place, target);
}

static void direct(struct builder *b, const struct control_form *f, unsigned gap)
{
    uint8_t head[4];
    int32_t rel = (int32_t)gap;

    memcpy(head, f->head, 4);
    if (f->condition)
        head[f->length - 1] |= insn_random(b->r) & 15;
    if (insn_chance(b->r, 8)) /* branch hints and other segment prefixes are ignored */
        build_append(b, insn_chance(b->r, 50) ? "\x2e" : "\x3e", 1);
    build_append(b, head, f->length);
    build_append(b, &rel, f->target == TARGET_REL8 ? 1 : 4);
}

void build_control(struct builder *b)
{
    const struct control_form *f = &table[insn_below(b->r, sizeof table / sizeof *table)];
    unsigned pad = insn_below(b->r, 20), i;
    uint8_t imm[2] = {(uint8_t)insn_random(b->r), 0};

    /* Layout: instruction, jump to exit 0, padding, target: jump to exit 1. The indirect ones need the target's
       address first: the instruction is at most 12 bytes. */
    uint64_t fixed_target = b->c->start + 12 + 5 + pad;

    if (f->head[0] == 0xe3 || (f->head[0] & 0xfc) == 0xe0 || f->head[0] == 0x67)
        counts(b);
    if (f->target == TARGET_REL8 || f->target == TARGET_REL32) {
        direct(b, f, pad + 5);
    } else if (f->target == TARGET_STACK) {
        build_append(b, f->head, 1);
        build_append(b, imm, f->immediate);
        build_poke(b, b->c->in.gpr[R_SP], insn_chance(b->r, 3) ? fixed_target | 1ull << 50 : fixed_target);
    } else {
        indirect(b, f, fixed_target);
    }
    b->c->length = b->c->code_length;
    /* The word below the stack may have been written by a CALL to an address that is not canonical. */
    b->c->partial = f->head[0] == 0xff;
    build_exit(b, 0);
    if (f->target == TARGET_REL8 || f->target == TARGET_REL32) {
        for (i = 0; i < pad; i++)
            build_append(b, "\xcc", 1);
    } else {
        while (build_here(b) < fixed_target)
            build_append(b, "\xcc", 1);
    }
    build_exit(b, 1);
}
