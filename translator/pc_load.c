/*
 * pc_load.c - 32-bit code that asks where it is: a call of a function that only loads its return address.
 *
 *     call thunk                      mov dword [esp - 4], next
 *   next:                 becomes     mov ebx, next
 *
 *   thunk: mov ebx, [esp]
 *          ret
 *
 * Interface: internal.h, lower.h. Each function of position-independent code for the i386 that looks at data
 * begins with one. The block depends on the thunk's bytes (block.second), where they are mapped (lookup.c) and
 * what they are (cache_written). Only where user code has a window: there the push happens, or faults with nothing
 * done.
 */
#include "translator/lower.h"
#include "translator/tier.h"

#define THUNK_SIZE 4u

/* mov reg, [esp]; ret. The guest register, or -1. */
static int loaded_register(const uint8_t *code)
{
    int reg = code[1] >> 3;

    return code[0] == 0x8b && (code[1] & 0xc7) == 4 && code[2] == 0x24 && code[3] == 0xc3 && reg != RSP ? reg : -1;
}

static bool may_skip(const struct translator *t, gva_t address)
{
    return !translator_breaks_at(t, address) && !lookup_is_seen(t, address);
}

static bool is_possible(const struct translator *t, uint32_t mode, const struct callee *callee,
                        const struct insn *in, gva_t target)
{
    return t->options.pc_load && in->row == lower_call && in->width == 32 && in->operand_width == 32 &&
           in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && translator_in_user_window(mode) &&
           !tier_is_unsuitable(translator_of(callee->v), callee->caller) && !t->options.single &&
           !t->options.lockstep && (target & ~PAGE_MASK) <= PAGE_SIZE - THUNK_SIZE && may_skip(t, target) &&
           may_skip(t, target + 3);
}

bool pc_load_find(const struct translator *t, uint32_t mode, struct callee *callee, struct insn *in)
{
    gva_t target = flow_target(in);
    struct block_part part = {.linear = target, .size = THUNK_SIZE};
    const uint8_t *page;
    int reg;

    if (!is_possible(t, mode, callee, in, target) ||
        (callee->part.gpa != CACHE_NO_PAGE && callee->part.linear != target) ||
        !callee->fetch(callee->v, target, &page, &part.gpa))
        return false;
    reg = loaded_register(page);
    if (reg < 0)
        return false;
    callee->part = part;
    in->row = lower_pc_load;
    in->writes = (uint16_t)(1u << reg);
    in->uses = (uint16_t)(1u << reg | 1u << RSP);
    return true;
}

void lower_pc_load(struct lower *l)
{
    unsigned reg = (unsigned)__builtin_ctz(l->in->writes);
    uint32_t next = (uint32_t)flow_next(l->in);

    access_emit(l, false, 0xc7, 0, access_stack(l, RSP, -(int32_t)l->word, true)); /* mov [p], imm32 */
    emit32(&l->e, next);
    emit_mov_imm(&l->e, host_register(reg), next);
}
