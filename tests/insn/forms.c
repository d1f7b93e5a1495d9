/*
 * forms.c - finds every instruction form there is by decoding every opcode of every map under every mandatory
 * prefix, width and ModRM class with Zydis, and keeps what a user may run and what means the same in the guest.
 */
#include "tests/insn/forms.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Left out: tested by tests/guest/bare (system state), or different by nature between host and guest. */
static const uint16_t refused[] = {
    ZYDIS_MNEMONIC_RDTSC,     ZYDIS_MNEMONIC_RDTSCP,  ZYDIS_MNEMONIC_RDPMC,    ZYDIS_MNEMONIC_CPUID,
    ZYDIS_MNEMONIC_XGETBV,    ZYDIS_MNEMONIC_RDRAND,  ZYDIS_MNEMONIC_RDSEED,   ZYDIS_MNEMONIC_RDPID,
    ZYDIS_MNEMONIC_SGDT,      ZYDIS_MNEMONIC_SIDT,    ZYDIS_MNEMONIC_SLDT,     ZYDIS_MNEMONIC_STR,
    ZYDIS_MNEMONIC_SMSW,      ZYDIS_MNEMONIC_LAR,     ZYDIS_MNEMONIC_LSL,      ZYDIS_MNEMONIC_VERR,
    ZYDIS_MNEMONIC_VERW,      ZYDIS_MNEMONIC_LSS,     ZYDIS_MNEMONIC_LFS,      ZYDIS_MNEMONIC_LGS,
    ZYDIS_MNEMONIC_INT,       ZYDIS_MNEMONIC_INT1,    ZYDIS_MNEMONIC_INTO,     ZYDIS_MNEMONIC_SYSCALL,
    ZYDIS_MNEMONIC_SYSENTER,  ZYDIS_MNEMONIC_SYSEXIT, ZYDIS_MNEMONIC_SYSRET,   ZYDIS_MNEMONIC_CLI,
    ZYDIS_MNEMONIC_STI,       ZYDIS_MNEMONIC_IN,      ZYDIS_MNEMONIC_OUT,      ZYDIS_MNEMONIC_INSB,
    ZYDIS_MNEMONIC_INSW,      ZYDIS_MNEMONIC_INSD,    ZYDIS_MNEMONIC_OUTSB,    ZYDIS_MNEMONIC_OUTSW,
    ZYDIS_MNEMONIC_OUTSD,     ZYDIS_MNEMONIC_FNSAVE,  ZYDIS_MNEMONIC_FNSTENV,  ZYDIS_MNEMONIC_SWAPGS,
    ZYDIS_MNEMONIC_MONITOR,   ZYDIS_MNEMONIC_MWAIT,   ZYDIS_MNEMONIC_MONITORX, ZYDIS_MNEMONIC_MWAITX,
    ZYDIS_MNEMONIC_SERIALIZE, ZYDIS_MNEMONIC_CLZERO,  ZYDIS_MNEMONIC_UMONITOR, ZYDIS_MNEMONIC_UMWAIT,
    ZYDIS_MNEMONIC_TPAUSE,    ZYDIS_MNEMONIC_PTWRITE, ZYDIS_MNEMONIC_RDPKRU,   ZYDIS_MNEMONIC_WRPKRU,
    ZYDIS_MNEMONIC_XBEGIN,    ZYDIS_MNEMONIC_XEND,    ZYDIS_MNEMONIC_XABORT,   ZYDIS_MNEMONIC_XTEST,
    ZYDIS_MNEMONIC_HLT,       ZYDIS_MNEMONIC_IRET,    ZYDIS_MNEMONIC_IRETD,    ZYDIS_MNEMONIC_IRETQ,
    ZYDIS_MNEMONIC_RDPRU,     ZYDIS_MNEMONIC_MCOMMIT, ZYDIS_MNEMONIC_INVLPGB,  ZYDIS_MNEMONIC_TLBSYNC,
    ZYDIS_MNEMONIC_PVALIDATE, ZYDIS_MNEMONIC_GETSEC,  ZYDIS_MNEMONIC_UD0,      ZYDIS_MNEMONIC_UD1,
};

static const uint8_t refused_ext[] = {
    ZYDIS_ISA_EXT_SSE4A,
    ZYDIS_ISA_EXT_AMD3DNOW,
    ZYDIS_ISA_EXT_XOP,
    ZYDIS_ISA_EXT_FMA4,
    ZYDIS_ISA_EXT_TBM,
    ZYDIS_ISA_EXT_VTX,
    ZYDIS_ISA_EXT_SVM,
    ZYDIS_ISA_EXT_SGX,
    ZYDIS_ISA_EXT_MPX,
    ZYDIS_ISA_EXT_RTM,
    ZYDIS_ISA_EXT_XSAVE,
    ZYDIS_ISA_EXT_XSAVEC,
    ZYDIS_ISA_EXT_XSAVEOPT,
    ZYDIS_ISA_EXT_XSAVES,
    ZYDIS_ISA_EXT_CET,
    ZYDIS_ISA_EXT_SNP,
    ZYDIS_ISA_EXT_PADLOCK,
    ZYDIS_ISA_EXT_UINTR,
    ZYDIS_ISA_EXT_TDX,
    ZYDIS_ISA_EXT_KEYLOCKER,
    ZYDIS_ISA_EXT_ENQCMD,
    ZYDIS_ISA_EXT_PCONFIG,
    ZYDIS_ISA_EXT_SMAP,
    ZYDIS_ISA_EXT_PKU,
    /* a host may have them, and no guest gets them */
    ZYDIS_ISA_EXT_MOVDIR,
    ZYDIS_ISA_EXT_TSX_LDTRK,
    ZYDIS_ISA_EXT_AMX_TILE,
    ZYDIS_ISA_EXT_AMX_INT8,
    ZYDIS_ISA_EXT_AMX_BF16,
    ZYDIS_ISA_EXT_HRESET,
};

/* Outside of 64-bit mode: what works on the selectors that host and guest share, and images of the x87 state. */
static const uint16_t accepted_narrow[] = {
    ZYDIS_MNEMONIC_LAR,    ZYDIS_MNEMONIC_LSL,     ZYDIS_MNEMONIC_VERR,    ZYDIS_MNEMONIC_VERW,
    ZYDIS_MNEMONIC_LDS,    ZYDIS_MNEMONIC_LES,     ZYDIS_MNEMONIC_LSS,     ZYDIS_MNEMONIC_LFS,
    ZYDIS_MNEMONIC_LGS,    ZYDIS_MNEMONIC_INTO,    ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FNSAVE,
    ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXRSTOR,
};

static bool is_listed(const uint16_t *list, unsigned count, uint16_t mnemonic)
{
    while (count--)
        if (list[count] == mnemonic)
            return true;
    return false;
}

static bool is_wide(const ZydisDecodedInstruction *i)
{
    return i->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
}

/* Virtual-8086 mode: no VEX, and nothing that shows or loads a selector or IOPL. */
static bool v86_refuses(const ZydisDecodedInstruction *i)
{
    static const uint16_t list[] = {
        ZYDIS_MNEMONIC_LAR,   ZYDIS_MNEMONIC_LSL,    ZYDIS_MNEMONIC_VERR, ZYDIS_MNEMONIC_VERW,
        ZYDIS_MNEMONIC_ARPL,  ZYDIS_MNEMONIC_LDS,    ZYDIS_MNEMONIC_LES,  ZYDIS_MNEMONIC_LSS,
        ZYDIS_MNEMONIC_LFS,   ZYDIS_MNEMONIC_LGS,    ZYDIS_MNEMONIC_POPF, ZYDIS_MNEMONIC_POPFD,
        ZYDIS_MNEMONIC_PUSHF, ZYDIS_MNEMONIC_PUSHFD,
    };
    bool moves = i->mnemonic == ZYDIS_MNEMONIC_MOV && (i->opcode & 0xfd) == 0x8c,
         pushes = (i->mnemonic == ZYDIS_MNEMONIC_PUSH || i->mnemonic == ZYDIS_MNEMONIC_POP) &&
                  (i->opcode < 0x20 || i->opcode_map == ZYDIS_OPCODE_MAP_0F);

    return i->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || moves || pushes ||
           is_listed(list, sizeof list / sizeof *list, (uint16_t)i->mnemonic);
}

bool insn_form_accepts(const struct insn_forms *f, const ZydisDecodedInstruction *i)
{
    unsigned n;

    if (f->v86 && v86_refuses(i))
        return false;

    if (!is_wide(i) &&
        is_listed(accepted_narrow, sizeof accepted_narrow / sizeof *accepted_narrow, (uint16_t)i->mnemonic))
        return true;
    if ((i->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) || i->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
        return false;
    if (i->mnemonic == ZYDIS_MNEMONIC_BSWAP && i->operand_width == 16)
        return false; /* undefined */
    if (i->mnemonic == ZYDIS_MNEMONIC_MOVSXD && i->operand_width == 16)
        return false; /* reads two bytes or four, by the maker */
    if (i->mnemonic == ZYDIS_MNEMONIC_PAUSE && i->raw.rex.B)
        return false; /* PAUSE (Intel) or XCHG R8 (AMD) */
    if (i->mnemonic == ZYDIS_MNEMONIC_MOV && i->opcode == 0x8e && is_wide(i))
        return false; /* to a segment register */
    if (i->mnemonic == ZYDIS_MNEMONIC_POP && i->opcode_map == ZYDIS_OPCODE_MAP_0F && is_wide(i))
        return false; /* POP FS, POP GS */
    if (is_listed(refused, sizeof refused / sizeof *refused, (uint16_t)i->mnemonic))
        return false;
    if (i->meta.isa_set >= ZYDIS_ISA_SET_AVX512_FP16_128 && i->meta.isa_set <= ZYDIS_ISA_SET_AVX512_FP16_SCALAR)
        return false; /* no guest gets it */
    for (n = 0; n < sizeof refused_ext; n++)
        if (i->meta.isa_ext == refused_ext[n])
            return false;
    return true;
}

static uint8_t class_of(const ZydisDecodedInstruction *i)
{
    switch (i->encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_EVEX:
        return CLASS_EVEX;
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
        return CLASS_VEX;
    default:
        break;
    }
    switch (i->meta.isa_ext) {
    case ZYDIS_ISA_EXT_X87:
        return CLASS_X87;
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_SSSE3:
    case ZYDIS_ISA_EXT_SSE4:
    case ZYDIS_ISA_EXT_AES:
    case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_GFNI:
        return CLASS_MMX_SSE;
    default:
        return CLASS_GENERAL;
    }
}

struct head {
    uint8_t rex, vvvv, aaa, z, v4; /* rex: WRXB bits 3-0 and 0x40 when wanted */
};

/* Prefix, opcode; without legacy prefixes that are not mandatory. Returns the length. */
static unsigned write_head(const struct insn_form *f, const struct head *h, uint8_t *p)
{
    static const uint8_t mandatory[6] = {0, 0x66, 0xf3, 0xf2, 0xf3, 0xf2};
    uint8_t *start = p, rex = h->rex;

    if (f->encoding == FORM_LEGACY) {
        if (f->pp > 3)
            *p++ = 0x66;
        if (f->pp)
            *p++ = mandatory[f->pp];
        if (rex || f->w)
            *p++ = (uint8_t)(0x40 | (rex & 7) | f->w << 3);
        if (f->map)
            *p++ = 0x0f;
        if (f->map > 1)
            *p++ = f->map == 2 ? 0x38 : 0x3a;
    } else if (f->encoding == FORM_VEX) {
        if (f->map == 1 && !f->w && !(rex & 3) && (h->z & 1)) {
            *p++ = 0xc5;
            *p++ = (uint8_t)((~rex & 4) << 5 | (~h->vvvv & 15) << 3 | f->l << 2 | f->pp);
        } else {
            *p++ = 0xc4;
            *p++ = (uint8_t)((~rex & 7) << 5 | f->map);
            *p++ = (uint8_t)(f->w << 7 | (~h->vvvv & 15) << 3 | f->l << 2 | f->pp);
        }
    } else {
        *p++ = 0x62;
        *p++ = (uint8_t)((~rex & 7) << 5 | (~rex >> 3 & 1) << 4 | f->map);
        *p++ = (uint8_t)(f->w << 7 | (~h->vvvv & 15) << 3 | 4 | f->pp);
        *p++ = (uint8_t)(h->z << 7 | f->l << 5 | f->b << 4 | (~h->v4 & 1) << 3 | h->aaa);
    }
    *p++ = f->opcode;
    return (unsigned)(p - start);
}

struct collector {
    struct insn_forms *f;
    const char *only;
    unsigned capacity;
};

static void add(struct collector *k, unsigned first, struct insn_form form, unsigned bit)
{
    struct insn_forms *f = k->f;
    unsigned i;

    for (i = first; i < f->count; i++) {
        if (f->form[i].mnemonic == form.mnemonic && f->form[i].memory == form.memory) {
            f->form[i].mask |= 1ull << bit;
            return;
        }
    }
    if (f->count == k->capacity) {
        k->capacity = k->capacity ? 2 * k->capacity : 4096;
        f->form = realloc(f->form, k->capacity * sizeof *f->form);
        if (!f->form)
            abort();
    }
    form.mask = 1ull << bit;
    f->form[f->count++] = form;
}

/* A mnemonic or a class. */
static bool wanted(const char *only, const ZydisDecodedInstruction *i)
{
    static const char *const class_name[CLASS_COUNT] = {"general", "x87", "sse", "vex", "evex"};

    return !only || strcasecmp(only, class_name[class_of(i)]) == 0 ||
           strcasecmp(only, ZydisMnemonicGetString(i->mnemonic)) == 0;
}

/* Tries one ModRM byte; false when the instruction has none, so that others need not be tried. */
static bool try_modrm(struct collector *k, unsigned first, struct insn_form form, unsigned reg, unsigned rm)
{
    struct head h = {0};
    uint8_t bytes[32] = {0};
    ZydisDecodedInstruction i;
    unsigned n;

    h.aaa = form.encoding == FORM_EVEX && (reg & 1);
    n = write_head(&form, &h, bytes);
    bytes[n] = (uint8_t)((form.memory ? 0 : 0xc0) | reg << 3 | rm);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&k->f->decoder, NULL, bytes, 16, &i))) {
        h.aaa = 1; /* gathers want a mask; their index must be another register than the destination */
        n = write_head(&form, &h, bytes);
        bytes[n] = (uint8_t)(reg << 3 | 4);
        bytes[n + 1] = (uint8_t)((reg ^ 3) << 3);
        if (!form.memory || form.encoding == FORM_LEGACY ||
            !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&k->f->decoder, NULL, bytes, 16, &i)))
            return true;
    }
    if (!insn_form_accepts(k->f, &i) || !wanted(k->only, &i))
        return i.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    form.mnemonic = (uint16_t)i.mnemonic;
    form.has_modrm = i.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    form.lockable = i.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK;
    form.class = class_of(&i);
    add(k, first, form, form.memory ? reg : reg * 8 + rm);
    return form.has_modrm;
}

/* These bytes begin VEX and EVEX: always in 64-bit mode, else when a register operand would follow. */
static bool is_vex_head(const struct insn_form *f)
{
    return !f->map && (f->opcode == 0xc4 || f->opcode == 0xc5 || f->opcode == 0x62);
}

static void try_form(struct collector *k, struct insn_form form)
{
    unsigned first = k->f->count, reg, rm;

    form.memory = form.encoding == FORM_LEGACY && is_vex_head(&form); /* LES, LDS, BOUND */
    for (;; form.memory = true) {
        for (reg = 0; reg < 8; reg++)
            for (rm = 0; rm < (form.memory ? 1u : 8u); rm++)
                if (!try_modrm(k, first, form, reg, rm))
                    return;
        if (form.memory)
            return;
    }
}

static bool is_prefix(const struct insn_form *f, bool wide)
{
    static const uint8_t prefix[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f};

    if (f->encoding != FORM_LEGACY || f->map)
        return f->encoding == FORM_LEGACY && f->map == 1 && (f->opcode == 0x38 || f->opcode == 0x3a);
    return memchr(prefix, f->opcode, sizeof prefix) || (wide && ((f->opcode & 0xf0) == 0x40 || is_vex_head(f)));
}

static void walk(struct collector *k, enum form_encoding encoding)
{
    static const unsigned ls[] = {1, 2, 4}, bs[] = {1, 1, 2};
    struct insn_form f = {.encoding = (uint8_t)encoding};
    bool wide = k->f->mode == INSN_64;
    unsigned map, pp, w, l, b, opcode, ws = encoding == FORM_LEGACY && !wide ? 1 : 2;

    for (map = encoding != FORM_LEGACY; map < 4; map++)
        for (pp = 0; pp < (map ? 4u : 6u); pp++)
            for (w = 0; w < ws; w++)
                for (l = 0; l < ls[encoding]; l++)
                    for (b = 0; b < bs[encoding]; b++)
                        for (opcode = 0; opcode < 256; opcode++) {
                            f.map = (uint8_t)map;
                            f.pp = (uint8_t)pp;
                            f.w = (uint8_t)w;
                            f.l = (uint8_t)l;
                            f.b = (uint8_t)b;
                            f.opcode = (uint8_t)opcode;
                            if (!is_prefix(&f, wide))
                                try_form(k, f);
                        }
}

static int by_class_and_mnemonic(const void *a, const void *b)
{
    const struct insn_form *x = a, *y = b;

    if (!x->mask != !y->mask)
        return x->mask ? -1 : 1;
    if (x->class != y->class)
        return x->class - y->class;
    if (x->mnemonic != y->mnemonic)
        return x->mnemonic - y->mnemonic;
    return memcmp(&x->encoding, &y->encoding, sizeof *x - offsetof(struct insn_form, encoding));
}

void insn_forms_index(struct insn_forms *f)
{
    unsigned i, groups = 0, class;

    qsort(f->form, f->count, sizeof *f->form, by_class_and_mnemonic);
    while (f->count && !f->form[f->count - 1].mask)
        f->count--;
    free(f->group);
    f->group = calloc(f->count + 1, sizeof *f->group);
    if (!f->group)
        abort();
    for (i = 0, class = 0; i < f->count; i++) {
        const struct insn_form *x = &f->form[i];

        while (class <= x->class)
            f->class_first[class ++] = groups;
        if (!i || x[-1].mnemonic != x->mnemonic || x[-1].class != x->class)
            f->group[groups++].first = i;
        f->group[groups - 1].count++;
        if (i + 1 == f->count || x[1].mnemonic != x->mnemonic || x[1].class != x->class)
            continue;
    }
    while (class <= CLASS_COUNT)
        f->class_first[class ++] = groups;
}

int insn_forms_build(struct insn_forms *f, const char *only, enum insn_mode mode, enum insn_machine machine)
{
    static const ZydisMachineMode modes[] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                                             ZYDIS_MACHINE_MODE_LONG_COMPAT_16};
    static const ZydisStackWidth stacks[] = {ZYDIS_STACK_WIDTH_64, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_16};
    struct collector k = {.f = f, .only = only};

    memset(f, 0, sizeof *f);
    f->mode = mode;
    f->long_mode = machine == INSN_LONG;
    f->v86 = machine == INSN_V86;
    ZydisDecoderInit(&f->decoder, modes[mode], stacks[mode]);
    walk(&k, FORM_LEGACY);
    walk(&k, FORM_VEX);
    walk(&k, FORM_EVEX);
    insn_forms_index(f);
    return 0;
}

void insn_forms_free(struct insn_forms *f)
{
    free(f->form);
    free(f->group);
}

const struct insn_form *insn_forms_pick(const struct insn_forms *f, struct insn_random *r)
{
    static const uint8_t weight[CLASS_COUNT] = {46, 12, 16, 14, 12};
    unsigned class, n, groups;

    if (!f->count)
        return NULL;
    do {
        n = insn_below(r, 100);
        for (class = 0; n >= weight[class]; class ++)
            n -= weight[class];
        groups = f->class_first[class + 1] - f->class_first[class];
    } while (!groups);
    n = f->class_first[class] + insn_below(r, groups);
    return &f->form[f->group[n].first + insn_below(r, f->group[n].count)];
}

static unsigned pick_bit(uint64_t mask, struct insn_random *r)
{
    unsigned n = insn_below(r, (unsigned)__builtin_popcountll(mask));

    while (n--)
        mask &= mask - 1;
    return (unsigned)__builtin_ctzll(mask);
}

static void random_head(const struct insn_form *f, struct insn_random *r, bool wide, struct head *h)
{
    uint64_t bits = insn_random(r);

    h->rex = f->encoding != FORM_LEGACY ? bits & 15 : bits & 0x300 ? (uint8_t)(0x40 | (bits & 7)) : 0;
    h->vvvv = bits & 0x1000 ? bits >> 16 & 15 : 0;
    h->z = bits >> 20 & 1;
    h->aaa = bits & 0x2000 ? bits >> 24 & 7 : 0;
    h->v4 = bits >> 28 & 1;
    if (!h->vvvv)
        h->v4 = 0;
    if (!h->aaa && f->encoding == FORM_EVEX)
        h->z = 0;
    if (!wide) { /* the bits that name registers 8 and up have other meanings */
        h->rex = h->v4 = 0;
        h->vvvv &= 7;
    }
}

/* [base + displacement] as wide as the address. False: 16-bit addresses have no such form. */
static bool write_based(uint8_t **p, unsigned reg, unsigned base, bool narrow)
{
    static const uint8_t rm16[8] = {0, 0, 0, 7, 0, 6, 4, 5};

    if (narrow && !rm16[base & 7])
        return false;
    *(*p)++ = (uint8_t)(0x80 | reg << 3 | (narrow ? rm16[base & 7] : base & 7));
    if (!narrow && (base & 7) == 4)
        *(*p)++ = 0x24;
    return true;
}

/* base: a register that a memory operand must use, or -1. */
unsigned insn_form_encode(const struct insn_forms *forms, const struct insn_form *f, struct insn_random *r,
                          uint8_t bytes[15], int base)
{
    static const uint8_t segment[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65};
    struct head h;
    uint8_t out[48], *p = out;
    bool wide = forms->mode == INSN_64, narrow = forms->mode == INSN_16;
    unsigned bit, i;

    random_head(f, r, wide, &h);
    if (insn_chance(r, wide ? 8 : 16))
        *p++ = segment[insn_below(r, sizeof segment)];
    if (insn_chance(r, wide ? 6 : 16)) {
        *p++ = 0x67;
        narrow = forms->mode == INSN_32;
    }
    if (f->lockable && f->memory && insn_chance(r, 20))
        *p++ = 0xf0;
    if (base >= 8 && f->memory)
        h.rex |= 1 | (f->encoding == FORM_LEGACY ? 0x40 : 0);
    else if (base >= 0 && f->memory)
        h.rex &= (uint8_t)~1;
    p += write_head(f, &h, p);
    if (f->has_modrm) {
        bit = pick_bit(f->mask, r);
        if (!f->memory) {
            *p++ = (uint8_t)(0xc0 | bit);
        } else if (base < 0 || !write_based(&p, bit, (unsigned)base, narrow)) {
            *p++ = (uint8_t)(insn_below(r, 3) << 6 | bit << 3 | insn_below(r, 8));
            *p++ = (uint8_t)insn_random(r);
        }
    }
    for (i = (unsigned)(p - out); i < 15; i++)
        out[i] = (uint8_t)insn_random(r);
    memcpy(bytes, out, 15);
    return (unsigned)(p - out);
}
