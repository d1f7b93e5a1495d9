/*
 * generate.c - makes cases: picks a form, completes it to bytes that decode, chooses the state.
 */
#include "tests/insn/build.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct insn_generator {
    uint64_t seed;
    struct insn_forms forms;
    bool control, only_control, only_loop;
    uint8_t image[INSN_IMAGES][INSN_DATA_SIZE];
    uint8_t const_page[INSN_DATA_CONST];
};

struct insn_generator *insn_generator_create(uint64_t seed, const char *only, enum insn_mode mode,
                                             enum insn_machine machine)
{
    struct insn_generator *g = calloc(1, sizeof *g);
    struct insn_random r = {seed ^ 0x1234567};
    unsigned i;

    if (!g)
        return NULL;
    g->seed = seed;
    g->only_control = only && strcasecmp(only, "control") == 0;
    g->only_loop = only && strcasecmp(only, "loop") == 0;
    g->control = !only || g->only_control;
    insn_forms_build(&g->forms, g->only_loop ? NULL : only, mode, machine);
    for (i = 0; i < INSN_IMAGES; i++)
        state_random_image(&r, g->image[i], INSN_DATA_SIZE);
    state_random_image(&r, g->const_page, INSN_DATA_CONST);
    return g;
}

void insn_generator_destroy(struct insn_generator *g)
{
    if (g)
        insn_forms_free(&g->forms);
    free(g);
}

const uint8_t *insn_image(const struct insn_generator *g, unsigned image)
{
    return g->image[image];
}

const uint8_t *insn_const_page(const struct insn_generator *g)
{
    return g->const_page;
}

unsigned insn_generator_forms(const struct insn_generator *g)
{
    return g->forms.count;
}

const struct insn_forms *insn_generator_table(const struct insn_generator *g)
{
    return &g->forms;
}

const char *insn_mnemonic_name(uint16_t mnemonic)
{
    return mnemonic ? ZydisMnemonicGetString((ZydisMnemonic)mnemonic) : "control";
}

uint64_t build_here(const struct builder *b)
{
    return b->c->start + b->c->code_length;
}

void build_append(struct builder *b, const void *bytes, unsigned size)
{
    memcpy(b->c->code + b->c->code_length, bytes, size);
    b->c->code_length += (uint8_t)size;
}

/* 16-bit segments do not reach the exits: a far jump to 64-bit code (32-bit code in protected mode). In
   virtual-8086 mode there is none: the case ends with #BP. */
void build_exit_mode(struct builder *b, unsigned exit, enum insn_mode mode)
{
    uint8_t jump[5] = {0xe9}, far[8] = {0x66, 0xea, 0, 0, 0, 0, 0x33, 0};
    uint32_t to = (uint32_t)(mode == INSN_32 ? INSN_EXIT32 : INSN_EXIT) + 32 * exit,
             rel = to - (uint32_t)(build_here(b) + 5);

    memcpy(jump + 1, &rel, 4);
    memcpy(far + 2, &to, 4);
    if (b->c->v86)
        build_append(b, "\xcc", 1);
    else if (mode == INSN_16)
        build_append(b, far, 8);
    else
        build_append(b, jump, 5);
}

void build_exit(struct builder *b, unsigned exit)
{
    build_exit_mode(b, exit, b->c->mode);
}

bool build_decode(struct builder *b)
{
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&b->forms->decoder, b->bytes, 15, &b->i, b->op)) &&
           insn_form_accepts(b->forms, &b->i);
}

bool build_is_piecewise(const ZydisDecodedInstruction *i)
{
    return i->meta.category == ZYDIS_CATEGORY_SCATTER || i->meta.category == ZYDIS_CATEGORY_GATHER ||
           i->meta.category == ZYDIS_CATEGORY_AVX2GATHER || i->mnemonic == ZYDIS_MNEMONIC_ENTER ||
           i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || i->mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH ||
           i->meta.isa_ext == ZYDIS_ISA_EXT_MMX || i->meta.isa_ext == ZYDIS_ISA_EXT_X87;
}

bool build_fills_registers(const ZydisDecodedInstruction *i)
{
    return i->mnemonic == ZYDIS_MNEMONIC_POPA || i->mnemonic == ZYDIS_MNEMONIC_POPAD;
}

/* A fault in REPE CMPS: the manual restores the flags of before the instruction (SDM vol. 2, REP), some processors
   leave those of the last iteration. */
uint32_t build_fault_flags(const ZydisDecodedInstruction *i)
{
    return i->attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE) ? FL_ARITH : 0;
}

bool build_faults_in_any_order(const ZydisDecodedInstruction *i)
{
    return i->meta.category == ZYDIS_CATEGORY_STRINGOP || i->mnemonic == ZYDIS_MNEMONIC_FLDENV ||
           i->mnemonic == ZYDIS_MNEMONIC_FRSTOR || i->mnemonic == ZYDIS_MNEMONIC_FXSAVE ||
           i->mnemonic == ZYDIS_MNEMONIC_FXSAVE64 || i->mnemonic == ZYDIS_MNEMONIC_FXRSTOR ||
           i->mnemonic == ZYDIS_MNEMONIC_FXRSTOR64 || i->mnemonic == ZYDIS_MNEMONIC_FNSAVE ||
           i->mnemonic == ZYDIS_MNEMONIC_FNSTENV || i->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
           i->mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU || i->meta.isa_ext == ZYDIS_ISA_EXT_SHA;
}

bool build_may_reach(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
    return i->mnemonic == ZYDIS_MNEMONIC_BOUND ||
           ((i->meta.isa_ext == ZYDIS_ISA_EXT_X87 || i->mnemonic == ZYDIS_MNEMONIC_FISTTP ||
             i->mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH) &&
            op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

static bool try_single(struct builder *b, const struct insn_form *form)
{
    insn_form_encode(b->forms, form, b->r, b->bytes, -1);
    if (!build_decode(b) || b->i.mnemonic != form->mnemonic)
        return false;
    b->fixed = 0;
    b->c->pokes = 0;
    b->c->hole_size = 0;
    b->c->vector = form->class != CLASS_GENERAL || form->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B;
    if (!build_operands(b))
        return false;
    b->c->mnemonic = (uint16_t)b->i.mnemonic;
    b->c->undefined = b->i.cpu_flags ? b->i.cpu_flags->undefined : 0;
    b->c->partial = build_is_piecewise(&b->i);
    b->c->partial_registers = build_fills_registers(&b->i);
    b->c->undefined_fault = build_fault_flags(&b->i);
    b->c->cr2_free = build_faults_in_any_order(&b->i);
    b->c->reaching_free = build_may_reach(&b->i, b->op);
    build_append(b, b->bytes, b->i.length);
    b->c->length = b->i.length;
    return true;
}

static void start_case(struct builder *b, uint64_t index, unsigned steps, bool plain)
{
    struct insn_case *c = b->c;
    bool last = index % INSN_BATCH == INSN_BATCH - 1; /* its start must lie in the first 64 KiB */

    c->mode = b->forms->mode;

    c->index = index;
    c->slot = (uint32_t)(index % INSN_BATCH);
    c->start = INSN_CODE + INSN_SLOT_AT(c->slot) + insn_below(b->r, last ? 64 : INSN_SLOT - 16 * steps - 64);
    c->code_length = 0;
    c->pokes = 0;
    c->hole_size = 0;
    c->undefined = 0;
    c->undefined_fault = 0;
    c->cr2_free = c->reaching_free = c->vector = false;
    c->partial = c->partial_registers = false;
    c->mnemonic = 0;
    c->steps = steps;
    c->image = insn_below(b->r, INSN_IMAGES);
    c->v86 = b->forms->v86;
    if (c->v86)
        insn_segments_pick_v86(b->r, c->in.seg);
    else
        insn_segments_pick(b->r, c->mode, plain, c->in.seg);
    memcpy(b->seg, c->in.seg, sizeof b->seg);
    state_random(b->r, c->mode, &c->in);
}

void insn_generate(struct insn_generator *g, struct insn_case *c, uint64_t index, unsigned max_steps)
{
    struct insn_random r = {g->seed * 0xbf58476d1ce4e5b9ull + index * 0xd1342543de82ef95ull};
    unsigned steps = max_steps > 1 ? 1 + insn_below(&r, max_steps) : 1;
    struct builder b = {.forms = &g->forms, .r = &r, .c = c};
    const struct insn_form *form = NULL;
    unsigned tries = 0;

    insn_random(&r);
    start_case(&b, index, steps, steps > 1);
    b.ip = c->start;
    if (steps > 1 && !g->only_control) {
        if (g->forms.mode != INSN_16 && (g->only_loop || insn_chance(&r, 25)))
            build_loop(&b, steps);
        else
            build_sequence(&b, steps);
        return;
    }
    if (g->control && (g->only_control || insn_chance(&r, 6))) {
        if (g->forms.mode == INSN_64)
            build_control(&b);
        else
            build_control_narrow(&b);
        return;
    }
    do {
        if (tries++ % 40 == 0)
            form = insn_forms_pick(&g->forms, &r);
    } while (form && tries < 4000 && !try_single(&b, form));
    build_exit(&b, 0);
}

void insn_generator_probe(struct insn_generator *g, bool (*usable)(struct insn_case *c))
{
    struct insn_case *c = aligned_alloc(64, sizeof *c);
    struct insn_random r = {99};
    struct builder b = {.forms = &g->forms, .r = &r, .c = c};
    unsigned i, tries;

    if (!c)
        abort();
    for (i = 0; i < g->forms.count; i++) {
        struct insn_form *form = &g->forms.form[i];

        for (tries = 0; tries < 200; tries++) {
            start_case(&b, i, 1, true);
            b.ip = c->start;
            if (try_single(&b, form))
                break;
        }
        build_exit(&b, 0);
        if (tries == 200 || (form->mnemonic != ZYDIS_MNEMONIC_UD2 && !usable(c)))
            form->mask = 0;
    }
    insn_forms_index(&g->forms);
    free(c);
}
