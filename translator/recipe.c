/*
 * recipe.c - arithmetic flags computed again from registers that an instruction has left as they were.
 *
 * Interface: internal.h. While nothing but a fault can look at the flags, translated code does not save them: it
 * notes how to compute them, as a number in translator_vcpu.flags. Compiled without SIMD: runs inside callouts.
 * Invariant: a recipe is evaluated only while the registers it names hold what they held behind its instruction.
 */
#include "translator/internal.h"

#include "cpu/alu.h"

static uint64_t truncate(uint64_t value, unsigned size)
{
    return size == 3 ? value : value & ((1ull << (8u << size)) - 1);
}

static bool same(const struct flags_recipe *a, const struct flags_recipe *b)
{
    return a->kind == b->kind && a->size == b->size && a->result == b->result && a->other == b->other &&
           a->immediate == b->immediate;
}

uint32_t recipe_number(struct translator *t, const struct flags_recipe *recipe)
{
    uint32_t hash = recipe->kind * 31u + recipe->size * 7u + recipe->result * 131u + recipe->other * 1009u +
                    (uint32_t)recipe->immediate * 2654435761u;

    for (uint32_t i = hash >> 16 ^ hash;; i++) {
        uint16_t *slot = &t->recipe_slot[i % RECIPE_SLOTS];

        if (*slot && same(&t->recipe[*slot], recipe))
            return *slot;
        if (*slot)
            continue;
        if (t->recipe_count == RECIPE_MAX)
            return 0;
        *slot = (uint16_t)++t->recipe_count;
        t->recipe[*slot] = *recipe;
        return *slot;
    }
}

uint16_t recipe_registers(const struct translator *t, uint32_t number)
{
    const struct flags_recipe *r = &t->recipe[number];

    return (uint16_t)(1u << r->result | (r->other == RECIPE_IMMEDIATE ? 0 : 1u << r->other));
}

/* The flags that the recipe's instruction has left, in RFLAGS format. */
static uint64_t evaluate(const struct vcpu *v, const struct flags_recipe *r)
{
    uint64_t result = truncate(v->gpr[r->result], r->size), flags = 0;
    uint64_t other = r->other == RECIPE_IMMEDIATE ? (uint64_t)(int64_t)r->immediate : v->gpr[r->other];

    other = truncate(other, r->size);
    switch (r->kind) {
    case RECIPE_ADD:
        alu_arith[ALU_ADD][r->size](truncate(result - other, r->size), other, &flags);
        break;
    case RECIPE_SUB:
        alu_arith[ALU_SUB][r->size](truncate(result + other, r->size), other, &flags);
        break;
    case RECIPE_CMP:
        alu_arith[ALU_CMP][r->size](result, other, &flags);
        break;
    case RECIPE_NEG:
        alu_one[ALU_NEG][r->size](truncate(0 - result, r->size), &flags);
        break;
    case RECIPE_TEST:
        alu_test[r->size](result, other, &flags);
        break;
    }
    return flags & FLAGS_ARITH;
}

void flags_compose(struct vcpu *v)
{
    const struct translator_vcpu *tv = translator_of(v);
    uint32_t saved = tv->flags;

    v->rflags &= ~(uint64_t)FLAGS_ARITH;
    if (saved & FLAGS_WORD_PLAIN)
        v->rflags |= (saved >> 8 & (FLAGS_ARITH & 0xff)) | (saved & 1 ? FLAG_OF : 0);
    else
        v->rflags |= evaluate(v, &tv->translator->recipe[saved >> 16]);
}

void flags_decompose(struct vcpu *v)
{
    translator_of(v)->flags =
        (uint32_t)((v->rflags & 0xff) << 8) | FLAGS_WORD_PLAIN | (v->rflags & FLAG_OF ? 1 : 0);
}
