/*
 * native.c - runs one SIMD or x87 instruction on the host.
 *
 * Interface: native.h, native_internal.h. The instruction is encoded anew: its memory operand becomes [RBX], a
 * bounce buffer, its general-register operand RAX. It runs from a small executable slot with the guest's SIMD
 * state loaded and its arithmetic flags in RFLAGS. Invariants: memory operands are read, or checked for writing,
 * before anything runs; the code in a slot contains nothing but white-listed instructions.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu/native_internal.h"
#include "memory/host.h"

/*
 * void native_call(struct native_frame *f): loads the registers, calls the slot, stores them. When the slot
 * faults, cpu_native_fixup returns from it as if it had come to its RET.
 */
void native_call(struct native_frame *f);

_Static_assert(offsetof(struct native_frame, rbx) == 24 && offsetof(struct native_frame, rflags) == 32 &&
                   offsetof(struct native_frame, stub) == 40,
               "native_call");

__asm__(".pushsection .text\n"
        ".globl native_call\n"
        ".hidden native_call\n"
        ".type native_call, @function\n"
        "native_call:\n"
        "    pushq %rbx\n"
        "    pushq %r15\n"
        "    movq %rdi, %r15\n"
        "    pushq 32(%r15)\n"
        "    movq 0(%r15), %rax\n"
        "    movq 8(%r15), %rcx\n"
        "    movq 16(%r15), %rdx\n"
        "    movq 24(%r15), %rbx\n"
        "    popfq\n"
        "    call *40(%r15)\n"
        "    movq %rax, 0(%r15)\n"
        "    movq %rcx, 8(%r15)\n"
        "    movq %rdx, 16(%r15)\n"
        "    pushfq\n"
        "    popq 32(%r15)\n"
        "    popq %r15\n"
        "    popq %rbx\n"
        "    ret\n"
        ".size native_call, . - native_call\n"
        ".popsection\n");

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *ebx)
{
    uint32_t a = leaf, b, c = subleaf, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    *ebx = b;
}

struct cpu_native *native_state(struct vcpu *v)
{
    struct cpu_native *n = v->native;

    if (n)
        return n;
    n = host_allocate(sizeof *n);
    if (!n)
        return NULL;
    if (host_protect(n->code, sizeof n->code, PROT_READ | PROT_WRITE | PROT_EXEC)) {
        host_unmap(n, sizeof *n);
        return NULL;
    }
    host_cpuid(0xd, 2, &n->avx_at);
    host_cpuid(0xd, 5, &n->opmask_at);
    host_cpuid(0xd, 6, &n->zmm_at);
    host_cpuid(0xd, 7, &n->hi16_at);
    v->native = n;
    return n;
}

void native_destroy(struct vcpu *v)
{
    if (v->native)
        host_unmap(v->native, sizeof *v->native);
    v->native = NULL;
}

/* The number of the slot with this code in it. */
static unsigned slot_for(struct cpu_native *n, const uint8_t *code, unsigned length)
{
    uint8_t key[16] = {0};
    uint64_t word[2], hash;
    unsigned index;
    uint8_t *slot;

    __builtin_memcpy(key, code, length < 15 ? length : 15);
    key[15] = (uint8_t)length;
    __builtin_memcpy(word, key, 16);
    hash = (word[0] ^ (word[1] << 7 | word[1] >> 57)) * 0x9e3779b97f4a7c15ull;
    index = (unsigned)(hash >> 53) % NATIVE_SLOTS;
    slot = n->code + index * NATIVE_SLOT;
    if (memcmp(n->key[index], key, 16)) { // NOLINT(clang-analyzer-core.NonNullParamChecker): n is never NULL
        memcpy(slot, code, length);
        slot[length] = 0xc3;
        memcpy(n->key[index], key, 16);
        n->defined[index] = false;
    }
    return index;
}

bool cpu_native_fixup(struct vcpu *v, int signo, void *ucontext)
{
    greg_t *r = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
    struct cpu_native *n = v ? v->native : NULL;
    uint64_t at, vector = signo == SIGILL ? EXC_UD : signo == SIGFPE ? EXC_MF : EXC_GP;
    struct native_frame *f;

    if (!n || (signo != SIGSEGV && signo != SIGBUS && signo != SIGFPE && signo != SIGILL))
        return false;
    at = (uint64_t)r[REG_RIP] - (uint64_t)(uintptr_t)n->code;
    if (at >= sizeof n->code)
        return false;
    f = (struct native_frame *)(uintptr_t)r[REG_R15];
    f->fault = 1 + vector;
    r[REG_RIP] = (greg_t) * (uint64_t *)(uintptr_t)r[REG_RSP];
    r[REG_RSP] += 8;
    return true;
}

static enum cpu_status raise_native(struct vcpu *v, unsigned vector, bool x87)
{
    if (vector == EXC_GP)
        return raise_gp(v);
    if (vector == EXC_MF && !x87)
        return cpu_raise(v, v->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
    return cpu_raise(v, vector);
}

enum cpu_status native_run(struct vcpu *v, const uint8_t *code, unsigned length, struct native_frame *f, bool x87)
{
    struct cpu_native *n = native_state(v);

    f->stub = n->code + slot_for(n, code, length) * NATIVE_SLOT;
    f->rbx = (uintptr_t)n->operand;
    f->rflags = (v->rflags & FLAGS_ARITH) | FLAG_FIXED | FLAG_IF;
    f->fault = 0;
    simd_load(v);
    native_call(f);
    simd_save(v);
    if (f->fault)
        return raise_native(v, (unsigned)f->fault - 1, x87);
    v->rflags = (v->rflags & ~(uint64_t)FLAGS_ARITH) | (f->rflags & FLAGS_ARITH);
    return CPU_OK;
}

/* Reserved fields give #UD before the memory operand is looked at (SDM vol. 3, 6.9): the first time, the host is
   asked, with nothing kept of what it does. */
static bool is_defined(struct vcpu *v, const uint8_t *code, unsigned length)
{
    struct cpu_native *n = v->native;
    unsigned slot = slot_for(n, code, length);
    struct native_frame f = {.rbx = (uintptr_t)n->bounce, .rflags = FLAG_FIXED | FLAG_IF};

    if (n->defined[slot])
        return true;
    f.stub = n->code + slot * NATIVE_SLOT;
    simd_load(v);
    native_call(&f);
    simd_discard(v);
    n->defined[slot] = f.fault != 1 + EXC_UD;
    return n->defined[slot];
}

enum cpu_status native_check_mode(struct vcpu *v, const struct native_row *row, const struct insn *i)
{
    bool ts = v->cr0 & CR0_TS, em = v->cr0 & CR0_EM;

    if (row->flags & N_X87)
        return ts || em ? cpu_raise(v, EXC_NM) : CPU_OK;
    if (i->vex) {
        uint64_t need = i->vex == 4 || row->feature == F_AVX512 ? 0xe6 : 6;

        if (!(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & need) != need)
            return raise_ud(v);
    } else if (em || (!(row->flags & N_MMX) && !(v->cr4 & CR4_OSFXSR))) {
        return raise_ud(v);
    }
    return ts ? cpu_raise(v, EXC_NM) : CPU_OK;
}

/* An unmasked x87 exception is pending: MMX instructions report it, too. */
static bool x87_pending(const struct vcpu *v)
{
    return v->xsave[512] & 1 && v->xsave[2] & 0x80;
}

/* #MF comes before the faults of a memory operand. FNSTCW, FNSTSW, FNSTENV and FNSAVE do not wait (SDM vol. 1,
   8.3.12); register forms are left to the host. CVTPI2PS and CVTPI2PD of memory do not touch x87 state. */
static bool waits_for_x87(const struct native_row *row, const struct insn *i)
{
    if (row->flags & N_MMX)
        return i->opcode != 0x2a || i->mod == 3;
    return row->flags & N_X87 && i->has_modrm && i->mod != 3 &&
           !((i->opcode == 0xd9 || i->opcode == 0xdd) && (i->modrm & 0x30) == 0x30);
}

/* --- encoding --- */

static bool rm_is_general(const struct native_row *row, const struct insn *i)
{
    return row->flags & N_GRM && i->mod == 3;
}

static unsigned encode_legacy(uint8_t *code, const struct native_row *row, const struct insn *i)
{
    unsigned n = 0, rex = i->rex & REX_W;

    if (!(row->flags & N_GREG))
        rex |= i->rex & REX_R;
    if (i->mod == 3 && !rm_is_general(row, i))
        rex |= i->rex & REX_B;
    if (row->flags & N_X87) {
        rex = 0;
        if (i->opsize == 2 && (row->size == N_ENV || row->size == N_SAVE))
            code[n++] = 0x66;
    } else {
        if (i->opsize_prefix)
            code[n++] = 0x66;
        if (i->rep)
            code[n++] = i->rep;
    }
    if (rex)
        code[n++] = (uint8_t)(0x40 | rex);
    if (i->map != MAP_1)
        code[n++] = 0x0f;
    if (i->map == MAP_0F38 || i->map == MAP_0F3A)
        code[n++] = i->map == MAP_0F38 ? 0x38 : 0x3a;
    return n;
}

static unsigned encode_vex(uint8_t *code, const struct native_row *row, const struct insn *i)
{
    static const uint8_t pp[] = {[0] = 0, [1] = 1, [2] = 3, [3] = 2};
    unsigned rex = i->rex & REX_W;

    if (!(row->flags & N_GREG))
        rex |= i->rex & REX_R;
    if (i->mod == 3 && !rm_is_general(row, i))
        rex |= i->rex & REX_B;
    code[0] = 0xc4;
    code[1] = (uint8_t)((rex & REX_R ? 0 : 0x80) | 0x40 | (rex & REX_B ? 0 : 0x20) | i->map);
    code[2] = (uint8_t)((rex & REX_W ? 0x80 : 0) | (~i->vvvv & 15) << 3 | i->vl << 2 |
                        pp[i->pp == 0      ? 0
                           : i->pp == 0x66 ? 1
                           : i->pp == 0xf2 ? 2
                                           : 3]);
    return 3;
}

static unsigned encode_evex(uint8_t *code, const struct native_row *row, const struct insn *i)
{
    code[0] = 0x62;
    code[1] = i->evex[0];
    code[2] = i->evex[1];
    code[3] = i->evex[2];
    if (row->flags & N_GREG)
        code[1] |= 0x80; /* R is stored inverted; what R' means for a general register is the processor's */
    if (i->mod != 3 || rm_is_general(row, i))
        code[1] |= 0x60; /* X and B */
    return 4;
}

static unsigned encode(uint8_t *code, const struct native_row *row, const struct insn *i)
{
    unsigned n = i->vex == 4 ? encode_evex(code, row, i)
                 : i->vex    ? encode_vex(code, row, i)
                             : encode_legacy(code, row, i);

    code[n++] = i->opcode;
    if (i->has_modrm) {
        unsigned reg = row->flags & N_GREG ? 0 : i->modrm >> 3 & 7;

        if (i->mod != 3)
            code[n++] = (uint8_t)(reg << 3 | RBX);
        else
            code[n++] = (uint8_t)(0xc0 | reg << 3 | (rm_is_general(row, i) ? 0 : i->modrm & 7));
    }
    if (row->flags & N_IMM)
        code[n++] = (uint8_t)i->imm;
    return n;
}

/* --- memory operand --- */

uint64_t native_address(const struct vcpu *v, struct insn *i, unsigned scale)
{
    struct insn scaled = *i;

    if (i->vex == 4 && i->mod == 1)
        scaled.disp *= scale;
    return effective_address(v, &scaled);
}

/* SDM vol. 1, 10.9 and vol. 2, 2.4: 16-byte operands of legacy instructions, and those that say "aligned". */
static bool must_align(struct vcpu *v, const struct native_row *row, const struct insn *i, unsigned size)
{
    if (size < 16 || row->flags & (N_MMX | N_X87 | N_ANY))
        return size == 16 && row->flags & N_MMX;
    if (i->vex == 4 && i->evex[2] & 7 &&
        !(native_get_mask(v, i->evex[2] & 7) & ~0ull >> (64 - size / native_element_size(row, i))))
        return false; /* nothing is accessed */
    return row->flags & N_ALIGNED || !i->vex;
}

static gva_t operand_at(const struct vcpu *v, const struct insn *i, uint64_t offset)
{
    return offset + (insn_code64(v) && i->segment < SEG_FS ? 0 : v->seg[i->segment].base);
}

/* VBROADCAST and VPBROADCAST of one or several elements */
static bool is_broadcast(const struct insn *i)
{
    return i->map == MAP_0F38 &&
           ((i->opcode >= 0x18 && i->opcode <= 0x1b) || (i->opcode >= 0x58 && i->opcode <= 0x5b) ||
            i->opcode == 0x78 || i->opcode == 0x79);
}

static unsigned elements_in_memory(const struct native_row *row, const struct insn *i, unsigned size,
                                   unsigned element)
{
    if (row->size == N_16 || row->size == N_32 || is_broadcast(i))
        return size / element;
    return row->size >= N_VEC && row->size != N_W ? (16u << i->vl) / element : 1;
}

/* Which elements an EVEX mask or a VMASKMOV lets through. False: there is no mask. */
static bool element_mask(struct vcpu *v, const struct native_row *row, const struct insn *i, unsigned size,
                         unsigned *count, uint64_t *mask)
{
    unsigned vector = 16u << i->vl, element = native_element_size(row, i), set;

    if (row->flags & N_MASKED) {
        element = i->opcode >= 0x8c ? (i->rex & REX_W ? 8 : 4) : i->opcode & 1 ? 8 : 4;
        *count = vector / element;
        *mask = native_sign_mask(v, i->vvvv, element);
        return true;
    }
    if (i->vex != 4 || !(i->evex[2] & 7))
        return false;
    *count = elements_in_memory(row, i, size, element);
    *mask = native_get_mask(v, i->evex[2] & 7);
    if (is_broadcast(i)) { /* each element in memory serves several */
        for (unsigned n = *count; n < vector / element; n++)
            *mask |= (*mask >> n & 1) << n % *count;
    }
    if (i->evex[2] & 0x10) { /* one element for all */
        *mask &= ~0ull >> (64 - vector / element);
        *mask = *mask != 0;
        *count = 1;
        return true;
    }
    *mask &= ~0ull >> (64 - *count);
    if (row->flags & N_PACK) {
        set = (unsigned)__builtin_popcountll(*mask);
        *mask = set ? ~0ull >> (64 - set) : 0;
    }
    return true;
}

/* Loads whose elements correspond to those of the destination: masked ones do not fault (SDM vol. 2, 2.8: the
   others are of class E4NF and fault whole). */
static bool suppresses_faults(const struct native_row *row, const struct insn *i)
{
    static const uint8_t shuffles_0f[] = {0x12, 0x14, 0x15, 0x16, 0x60, 0x61, 0x62, 0x63, 0x67, 0x68,
                                          0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x70, 0xc6, 0xf5, 0xf6};
    static const uint8_t shuffles_38[] = {0x00, 0x04, 0x0c, 0x0d, 0x16, 0x2b, 0x36, 0x75,
                                          0x76, 0x77, 0x7d, 0x7e, 0x7f, 0x83, 0x8d, 0xc4};
    static const uint8_t shuffles_3a[] = {0x00, 0x01, 0x03, 0x04, 0x05, 0x0f, 0x18, 0x1a,
                                          0x23, 0x38, 0x3a, 0x42, 0x43, 0xce, 0xcf};
    const uint8_t *list = i->map == MAP_0F ? shuffles_0f : i->map == MAP_0F38 ? shuffles_38 : shuffles_3a;
    unsigned count = i->map == MAP_0F     ? sizeof shuffles_0f
                     : i->map == MAP_0F38 ? sizeof shuffles_38
                                          : sizeof shuffles_3a;

    if ((row->size == N_16 || row->size == N_32) && !is_broadcast(i))
        return false;
    if (i->map == MAP_0F38 && i->opcode == 0x72 && i->pp == 0xf2) /* VCVTNE2PS2BF16 */
        return false;
    for (unsigned n = 0; n < count; n++)
        if (list[n] == i->opcode)
            return false;
    return true;
}

/* The parts of a vector that VEXTRACT* store fault whole. */
static bool faults_whole(const struct native_row *row)
{
    return row->size == N_16 || row->size == N_32;
}

static enum cpu_status check_masked(struct vcpu *v, struct insn *i, uint64_t offset, unsigned size, unsigned count,
                                    uint64_t mask)
{
    for (unsigned n = 0; n < count; n++)
        if (mask >> n & 1)
            TRY(mem_check_write(v, i->segment, offset + n * size, size));
    return CPU_OK;
}

static enum cpu_status load_operand(struct vcpu *v, const struct native_row *row, struct insn *i, uint64_t offset,
                                    unsigned size)
{
    uint8_t *bounce = v->native->operand;
    enum cpu_status status;
    uint8_t last;
    unsigned count;
    uint64_t mask;

    if (row->flags & N_STORE) {
        if (!faults_whole(row) && element_mask(v, row, i, size, &count, &mask))
            return check_masked(v, i, offset, size / count, count, mask);
        TRY(mem_check_write(v, i->segment, offset, size));
        if (!(row->flags & N_X87))
            return CPU_OK;
        /* an unmasked exception keeps the destination as it was */
        return mem_read_bytes(v, i->segment, offset, size, bounce);
    }
    if (row->flags & N_MASKED) {
        element_mask(v, row, i, size, &count, &mask);
        return native_read_masked(v, i, offset, size / count, count, mask);
    }
    if (row->size >= N_ENV) { /* the end is looked at early: which address #PF reports */
        TRY(mem_read_bytes(v, i->segment, offset, 1, &last));
        TRY(mem_read_bytes(v, i->segment, offset + size - 1, 1, &last));
    }
    status = mem_read_bytes(v, i->segment, offset, size, bounce);
    if (status != CPU_FAULT || !suppresses_faults(row, i) || !element_mask(v, row, i, size, &count, &mask))
        return status;
    return native_read_masked(v, i, offset, size / count, count, mask);
}

/* FIP, FCS, FDP, FDS and FOP would be those of the slot: they read as zero. */
static void hide_pointers(struct vcpu *v, const struct native_row *row, const struct insn *i)
{
    uint8_t *bounce = v->native->operand;

    if (!(row->flags & N_KEEP_FIP)) {
        memset(v->xsave + 6, 0, 2);
        memset(v->xsave + 8, 0, 16);
    }
    if (!(row->flags & N_STORE) || (row->size != N_ENV && row->size != N_SAVE))
        return;
    if (i->opsize == 2)
        memset(bounce + 6, 0, 8);
    else
        memset(bounce + 12, 0, 16);
}

/* Elements that a mask leaves out are not touched. That the others can be written has been checked. */
static enum cpu_status store_operand(struct vcpu *v, const struct native_row *row, struct insn *i, uint64_t offset,
                                     unsigned size)
{
    unsigned count;
    uint64_t mask;

    if (element_mask(v, row, i, size, &count, &mask))
        return native_write_masked(v, i, offset, size / count, count, mask);
    return mem_write_bytes(v, i->segment, offset, size, v->native->operand);
}

/* Outside of 64-bit mode VEX.W and EVEX.W do not choose the size of a general register, and bit 7 of an immediate
   that names a vector register is ignored (SDM vol. 2, 2.3.6 and the instructions). */
static void drop_wide_encoding(const struct native_row *row, struct insn *i)
{
    if (row->flags & (N_GREG | N_GRM) || (row->flags & N_STRING && i->opcode < 0x62)) {
        i->rex &= (uint8_t)~REX_W;
        i->evex[1] &= 0x7f;
    }
    if (i->map == MAP_0F3A && i->opcode >= 0x4a && i->opcode <= 0x4c)
        i->imm &= 0x7f;
}

static enum cpu_status execute_row(struct vcpu *v, const struct native_row *row, struct insn *i)
{
    unsigned size = native_operand_size(row, i), length;
    bool memory = i->has_modrm && i->mod != 3, x87 = row->flags & N_X87;
    struct native_frame f = {.rax = v->gpr[RAX], .rcx = v->gpr[RCX], .rdx = v->gpr[RDX]};
    uint64_t offset = 0;
    uint8_t code[16];

    v->native->operand = v->native->bounce;
    length = encode(code, row, i);
    if (memory) {
        if (!size || (i->vex && !is_defined(v, code, length)))
            return raise_ud(v);
        offset = native_address(v, i, row->flags & N_PACK ? native_element_size(row, i) : size);
        /* Placed as in the guest, so that the host checks the alignment where must_align leaves it to it. */
        v->native->operand = v->native->bounce + (operand_at(v, i, offset) & 63);
        if (must_align(v, row, i, size) && operand_at(v, i, offset) & (size - 1))
            return raise_gp(v);
        TRY(load_operand(v, row, i, offset, size));
    }
    if (rm_is_general(row, i) && !(row->flags & N_STORE))
        f.rax = v->gpr[i->rm];
    TRY(native_run(v, code, length, &f, x87));
    if (row->flags & N_X87)
        hide_pointers(v, row, i);
    if (memory && row->flags & N_STORE)
        return store_operand(v, row, i, offset, size);
    if (row->flags & N_GREG)
        v->gpr[i->reg] = f.rax;
    if (rm_is_general(row, i) && row->flags & N_STORE)
        v->gpr[i->rm] = f.rax;
    if (row->flags & N_RAX_OUT)
        v->gpr[RAX] = f.rax;
    if (row->flags & N_STRING)
        v->gpr[RCX] = f.rcx;
    return CPU_OK;
}

/* #MF, but #UD for what is not an instruction. */
static enum cpu_status raise_pending(struct vcpu *v, const struct native_row *row, const struct insn *i)
{
    uint8_t code[16];
    bool memory = i->has_modrm && i->mod != 3;
    bool defined = row->flags & N_MASKMOV
                       ? !memory
                       : (!memory || native_operand_size(row, i)) && is_defined(v, code, encode(code, row, i));

    return cpu_raise(v, defined ? EXC_MF : EXC_UD);
}

static const struct native_row *find_row(struct vcpu *v, const struct insn *i)
{
    if (i->map != MAP_1)
        return native_find(v, i);
    if (i->opcode == 0x9b || i->mod == 3)
        return &native_x87_register;
    return native_find_x87(i);
}

enum cpu_status native_execute(struct vcpu *v, struct insn *i)
{
    const struct native_row *row;

    if (v->simd_live)
        return CPU_NEED_FULL;
    if (i->map == MAP_1 && i->opcode != 0x9b && (i->opcode & 0xf8) != 0xd8)
        return raise_ud(v);
    if (!native_state(v))
        return raise_ud(v);
    row = find_row(v, i);
    if (!row || !native_has(v, row, i))
        return raise_ud(v);
    /* FWAIT waits on MP and TS together (SDM vol. 3, 2.5) */
    if (i->map == MAP_1 && i->opcode == 0x9b)
        TRY((v->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS) ? cpu_raise(v, EXC_NM) : CPU_OK);
    else
        TRY(native_check_mode(v, row, i));
    if (waits_for_x87(row, i) && x87_pending(v))
        return raise_pending(v, row, i);
    if (row->flags & N_GATHER)
        return native_gather(v, i);
    if (row->flags & N_SCATTER)
        return native_scatter(v, i);
    if (row->flags & N_MASKMOV)
        return native_maskmov(v, i);
    if (i->vex && !insn_code64(v)) {
        if (row->flags & N_ZERO)
            return native_zero_lower(v, i);
        drop_wide_encoding(row, i);
    }
    return execute_row(v, row, i);
}
