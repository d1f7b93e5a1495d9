/*
 * interp_0f.c - integer instructions of the 0F, 0F38 and VEX maps, and the 0F dispatch table.
 *
 * Interface: interp_two_byte, interp_0f38, interp_vex (interp.h). Invariants: as there. Instructions that the
 * guest's CPU model lacks give #UD.
 */
#include "cpu/alu.h"
#include "cpu/interp_tables.h"
#include "cpu/native.h"

/* CPUID.1:ECX, .7:EBX and .80000001:ECX bits */
#define F1_CX16 (1u << 13)
#define F1_MOVBE (1u << 22)
#define F1_POPCNT (1u << 23)
#define F1_SSE42 (1u << 20)
#define F1_CX8 (1u << 8) /* EDX */
#define F7_BMI1 (1u << 3)
#define F7_BMI2 (1u << 8)
#define F7_ADX (1u << 19)
#define FX_ABM (1u << 5)

static enum cpu_status ud(struct vcpu *v, struct insn *i)
{
    return raise_ud(v);
}

static enum cpu_status nop(struct vcpu *v, struct insn *i)
{
    return CPU_OK;
}

static enum cpu_status movnti(struct vcpu *v, struct insn *i)
{
    if (i->mod == 3 || i->opsize_prefix || i->rep)
        return raise_ud(v);
    return rm_write(v, i, i->rex & REX_W ? 8 : 4, v->gpr[i->reg]); /* there is no 16-bit form */
}

static enum cpu_status cmov(struct vcpu *v, struct insn *i)
{
    uint64_t value;

    TRY(rm_read(v, i, i->opsize, &value));
    if (!alu_condition(v->rflags, i->opcode & 15))
        value = v->gpr[i->reg];
    set_gpr(v, i->reg, i->opsize, value);
    return CPU_OK;
}

static enum cpu_status setcc(struct vcpu *v, struct insn *i)
{
    return rm_write(v, i, 1, alu_condition(v->rflags, i->opcode & 15));
}

static enum cpu_status extend(struct vcpu *v, struct insn *i)
{
    unsigned size = i->opcode & 1 ? 2 : 1;
    uint64_t value;

    TRY(rm_read(v, i, size, &value));
    set_gpr(v, i->reg, i->opsize, i->opcode & 8 ? sign_extend(value, size) : value);
    return CPU_OK;
}

static enum cpu_status imul2(struct vcpu *v, struct insn *i)
{
    uint64_t b;

    TRY(rm_read(v, i, i->opsize, &b));
    set_gpr(v, i->reg, i->opsize, alu_imul[size_index(i->opsize)](v->gpr[i->reg], b, &v->rflags));
    return CPU_OK;
}

static enum cpu_status bswap(struct vcpu *v, struct insn *i)
{
    unsigned n = (i->opcode & 7u) | (i->rex & REX_B ? 8u : 0u);
    uint64_t value = v->gpr[n];

    /* 16 bits: undefined, zero on all known processors */
    value = i->opsize == 8 ? __builtin_bswap64(value) : i->opsize == 4 ? __builtin_bswap32((uint32_t)value) : 0;
    set_gpr(v, n, i->opsize, value);
    return CPU_OK;
}

/* BT, BTS, BTR, BTC of one operand; `r` names it when it is in memory. */
static enum cpu_status bit_memory(struct vcpu *v, struct insn *i, unsigned op, uint64_t bit)
{
    unsigned size = i->opsize;
    uint64_t offset = effective_address(v, i), a, flags;
    struct rmw r;

    if (i->opcode != 0xba) /* the register is a signed offset into a bit string (SDM vol. 2, BT) */
        offset += (uint64_t)((int64_t)sign_extend(bit, size) >> (3 + size_index(size))) * size;
    if (i->addrsize < 8)
        offset &= size_mask(i->addrsize);
    if (op == ALU_BT) {
        TRY(mem_read(v, i->segment, offset, size, &a));
        alu_bit[op][size_index(size)](a, bit & (8 * size - 1), &v->rflags);
        return CPU_OK;
    }
    TRY(rmw_open_memory(v, i->segment, offset, size, i->lock, &r));
    do {
        flags = v->rflags;
        a = alu_bit[op][size_index(size)](r.old, bit & (8 * size - 1), &flags);
    } while (!rmw_close_memory(v, &r, a));
    v->rflags = flags;
    return CPU_OK;
}

static enum cpu_status bit_test(struct vcpu *v, struct insn *i)
{
    bool immediate = i->opcode == 0xba;
    unsigned op = immediate ? i->modrm >> 3 & 3 : i->opcode >> 3 & 3;
    uint64_t bit = immediate ? i->imm & 0xff : v->gpr[i->reg], a;

    if (immediate && !(i->modrm & 0x20))
        return raise_ud(v);
    if (i->mod != 3)
        return bit_memory(v, i, op, bit);
    a = alu_bit[op][size_index(i->opsize)](v->gpr[i->rm], bit & (8 * i->opsize - 1), &v->rflags);
    if (op != ALU_BT)
        set_gpr(v, i->rm, i->opsize, a);
    return CPU_OK;
}

static enum cpu_status shift_double(struct vcpu *v, struct insn *i)
{
    alu_double *alu = (i->opcode & 8 ? alu_shrd : alu_shld)[size_index(i->opsize)];
    uint8_t count = i->opcode & 1 ? (uint8_t)v->gpr[RCX] : (uint8_t)i->imm;
    uint64_t flags = v->rflags, a;
    struct rmw r;

    TRY(rmw_open(v, i, i->opsize, &r));
    a = alu(r.old, v->gpr[i->reg], count, &flags);
    rmw_close(v, i, &r, a);
    v->rflags = flags;
    return CPU_OK;
}

/* BC, BD, B8 with their F3 forms; without the feature F3 is ignored. */
static enum cpu_status bit_scan(struct vcpu *v, struct insn *i)
{
    bool f3 = i->rep == 0xf3;
    alu_binary *const *alu;
    uint64_t b;

    if (i->opcode == 0xb8) {
        if (!f3 || !(v->model->f1_ecx & F1_POPCNT))
            return raise_ud(v);
        alu = alu_popcnt;
    } else if (i->opcode == 0xbc) {
        alu = f3 && v->model->f7_ebx & F7_BMI1 ? alu_tzcnt : alu_bsf;
    } else {
        alu = f3 && v->model->f80000001_ecx & FX_ABM ? alu_lzcnt : alu_bsr;
    }
    TRY(rm_read(v, i, i->opsize, &b));
    /* the result is the whole register: a scan of zero keeps what the host keeps */
    v->gpr[i->reg] = alu[size_index(i->opsize)](v->gpr[i->reg], b, &v->rflags);
    return CPU_OK;
}

static enum cpu_status xadd(struct vcpu *v, struct insn *i)
{
    unsigned size = i->opcode & 1 ? i->opsize : 1;
    uint64_t b = get_reg(v, i, i->reg, size), flags, sum;
    struct rmw r;

    TRY(rmw_open(v, i, size, &r));
    if (r.is_reg)
        set_reg(v, i, i->reg, size, r.old); /* with one register for both the sum wins */
    do {
        flags = v->rflags;
        sum = alu_arith[ALU_ADD][size_index(size)](r.old, b, &flags);
    } while (!rmw_close(v, i, &r, sum));
    if (!r.is_reg)
        set_reg(v, i, i->reg, size, r.old);
    v->rflags = flags;
    return CPU_OK;
}

static enum cpu_status cmpxchg(struct vcpu *v, struct insn *i)
{
    unsigned size = i->opcode & 1 ? i->opsize : 1;
    uint64_t want = get_gpr(v, RAX, size), value = get_reg(v, i, i->reg, size), flags;
    struct rmw r;

    TRY(rmw_open(v, i, size, &r));
    do {
        flags = v->rflags;
        alu_arith[ALU_CMP][size_index(size)](want, r.old, &flags);
        /* memory gets a write cycle in any case; a register stays as it is, its upper half included */
        if (r.is_reg && !(flags & FLAG_ZF))
            break;
    } while (!rmw_close(v, i, &r, flags & FLAG_ZF ? value : r.old));
    v->rflags = flags;
    if (!(flags & FLAG_ZF))
        set_gpr(v, RAX, size, r.old);
    return CPU_OK;
}

static void finish_compare(struct vcpu *v, bool equal, unsigned half, uint64_t low, uint64_t high)
{
    v->rflags = (v->rflags & ~(uint64_t)FLAG_ZF) | (equal ? FLAG_ZF : 0);
    if (!equal) {
        set_gpr(v, RAX, half, low);
        set_gpr(v, RDX, half, high);
    }
}

static enum cpu_status cmpxchg8b(struct vcpu *v, struct insn *i)
{
    uint64_t want = get_gpr(v, RAX, 4) | v->gpr[RDX] << 32, value = get_gpr(v, RBX, 4) | v->gpr[RCX] << 32;
    struct rmw r;

    TRY(rmw_open(v, i, 8, &r));
    while (!rmw_close(v, i, &r, r.old == want ? value : r.old))
        ;
    finish_compare(v, r.old == want, 4, r.old, r.old >> 32);
    return CPU_OK;
}

static bool host_cmpxchg16b(uint8_t *host, uint64_t old[2], uint64_t b, uint64_t c)
{
    bool equal;

    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(equal), "+m"(*(unsigned __int128 *)(void *)host), "+a"(old[0]), "+d"(old[1])
                     : "b"(b), "c"(c)
                     : "memory");
    return equal;
}

static enum cpu_status cmpxchg16b(struct vcpu *v, struct insn *i)
{
    uint64_t offset = effective_address(v, i), old[2] = {v->gpr[RAX], v->gpr[RDX]};
    gva_t linear;
    uint8_t *host;
    bool equal;

    TRY(operand_linear(v, i->segment, offset, 16, true, &linear));
    if (linear & 15)
        return raise_gp(v);
    TRY(through_segment(v, i->segment, cpu_atomic_host(v, linear, 16, &host)));
    if (host) {
        if (v->write_log)
            v->write_log->before_write(v->write_log->opaque, host, 16);
        equal = host_cmpxchg16b(host, old, v->gpr[RBX], v->gpr[RCX]);
        cpu_atomic_done(v, host, 16);
    } else {
        uint64_t now[2], value[2] = {v->gpr[RBX], v->gpr[RCX]};

        TRY(cpu_read(v, linear, now, 16));
        equal = now[0] == old[0] && now[1] == old[1];
        TRY(cpu_write(v, linear, equal ? value : now, 16));
        memcpy(old, now, 16);
    }
    finish_compare(v, equal, 8, old[0], old[1]);
    return CPU_OK;
}

/* RDRAND, RDSEED on the host; `seed` */
static enum cpu_status random_number(struct vcpu *v, struct insn *i, bool seed)
{
    uint64_t value = 0;
    bool ok = false;

    for (unsigned tries = 0; tries < 10 && !ok; tries++) {
        if (seed)
            __asm__ volatile("rdseed %0" : "=r"(value), "=@ccc"(ok));
        else
            __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
    }
    set_gpr(v, i->rm, i->opsize, ok ? value : 0);
    v->rflags = (v->rflags & ~(uint64_t)FLAGS_ARITH) | (ok ? FLAG_CF : 0);
    return CPU_OK;
}

/* 0F C7 */
enum cpu_status interp_group9(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;
    const struct cpu_model *m = v->model;

    if (i->mod != 3) {
        if (sub == 1 && i->opsize == 8)
            return m->f1_ecx & F1_CX16 ? cmpxchg16b(v, i) : raise_ud(v);
        if (sub == 1)
            return m->f1_edx & F1_CX8 ? cmpxchg8b(v, i) : raise_ud(v);
        return sub == 4 ? interp_group15(v, i) : raise_ud(v); /* XSAVEC */
    }
    if (sub == 6 && i->rep == 0 && m->f1_ecx & 1u << 30)
        return random_number(v, i, false);
    if (sub == 7 && i->rep == 0 && m->f7_ebx & 1u << 18)
        return random_number(v, i, true);
    if (sub == 7 && i->rep == 0xf3 && m->f7_ecx & 1u << 22) { /* RDPID */
        v->gpr[i->rm] = (uint32_t)v->tsc_aux;
        return CPU_OK;
    }
    return raise_ud(v);
}

interp_handler *const interp_two_byte[256] = {
    [0x00] = interp_group6,
    [0x01] = interp_group7,
    [0x02 ... 0x03] = interp_lar_lsl,
    [0x04] = ud,
    [0x05] = interp_syscall,
    [0x06] = interp_clts,
    [0x07] = interp_sysret,
    [0x08 ... 0x09] = interp_cache_control,
    [0x0a ... 0x0c] = ud,
    [0x0d] = nop,
    [0x0e ... 0x0f] = ud,
    [0x18 ... 0x1f] = nop,
    [0x20] = interp_mov_cr,
    [0x21] = interp_mov_dr,
    [0x22] = interp_mov_cr,
    [0x23] = interp_mov_dr,
    [0x24 ... 0x27] = ud,
    [0x30] = interp_msr,
    [0x31] = interp_rdtsc,
    [0x32] = interp_msr,
    [0x33] = interp_rdpmc,
    [0x34] = interp_sysenter,
    [0x35] = interp_sysexit,
    [0x36 ... 0x37] = ud,
    [0x39] = ud,
    [0x3b ... 0x3f] = ud,
    [0x40 ... 0x4f] = cmov,
    [0x78 ... 0x79] = ud,
    [0x7a ... 0x7b] = ud,
    [0x80 ... 0x8f] = interp_jcc,
    [0x90 ... 0x9f] = setcc,
    [0xa0 ... 0xa1] = interp_segment_stack,
    [0xa2] = interp_cpuid,
    [0xa3] = bit_test,
    [0xa4 ... 0xa5] = shift_double,
    [0xa6 ... 0xa7] = ud,
    [0xa8 ... 0xa9] = interp_segment_stack,
    [0xaa] = ud,
    [0xab] = bit_test,
    [0xac ... 0xad] = shift_double,
    [0xae] = interp_group15,
    [0xaf] = imul2,
    [0xb0 ... 0xb1] = cmpxchg,
    [0xb2] = interp_load_far,
    [0xb3] = bit_test,
    [0xb4 ... 0xb5] = interp_load_far,
    [0xb6 ... 0xb7] = extend,
    [0xb8] = bit_scan,
    [0xb9] = ud,
    [0xba ... 0xbb] = bit_test,
    [0xbc ... 0xbd] = bit_scan,
    [0xbe ... 0xbf] = extend,
    [0xc0 ... 0xc1] = xadd,
    [0xc3] = movnti,
    [0xc7] = interp_group9,
    [0xc8 ... 0xcf] = bswap,
    [0xff] = ud,
};

static enum cpu_status movbe(struct vcpu *v, struct insn *i)
{
    unsigned shift = 64 - 8 * i->opsize;
    uint64_t value = v->gpr[i->reg];

    if (i->mod == 3 || !(v->model->f1_ecx & F1_MOVBE))
        return raise_ud(v);
    if (i->opcode & 1)
        return rm_write(v, i, i->opsize, __builtin_bswap64(value) >> shift);
    TRY(rm_read(v, i, i->opsize, &value));
    set_gpr(v, i->reg, i->opsize, __builtin_bswap64(value) >> shift);
    return CPU_OK;
}

static enum cpu_status crc32(struct vcpu *v, struct insn *i)
{
    unsigned size = i->opcode & 1 ? i->opsize : 1;
    uint64_t value;

    if (!(v->model->f1_ecx & F1_SSE42))
        return raise_ud(v);
    TRY(rm_read(v, i, size, &value));
    v->gpr[i->reg] = alu_crc32((uint32_t)v->gpr[i->reg], value, size);
    return CPU_OK;
}

/* VEX.W is ignored outside of 64-bit mode. */
static unsigned vex_size(const struct vcpu *v, const struct insn *i)
{
    return i->rex & REX_W && insn_code64(v) ? 8 : 4;
}

static enum cpu_status add_carry(struct vcpu *v, struct insn *i)
{
    unsigned size = vex_size(v, i);
    alu_binary *const *alu = i->rep == 0xf3 ? alu_adox : alu_adcx;
    uint64_t b;

    if (!(v->model->f7_ebx & F7_ADX))
        return raise_ud(v);
    TRY(rm_read(v, i, size, &b));
    set_gpr(v, i->reg, size, alu[size_index(size)](v->gpr[i->reg], b, &v->rflags));
    return CPU_OK;
}

static enum cpu_status invpcid(struct vcpu *v, struct insn *i)
{
    uint64_t descriptor[2], type = get_gpr(v, i->reg, insn_code64(v) ? 8 : 4);

    if (i->mod == 3 || !(v->model->f7_ebx & 1u << 10))
        return raise_ud(v);
    if (v->cpl)
        return raise_gp(v);
    TRY(mem_read_bytes(v, i->segment, effective_address(v, i), 16, descriptor));
    if (descriptor[0] >> 12)
        return raise_gp(v);
    return cpu_invpcid(v, type, descriptor[0], descriptor[1]);
}

enum cpu_status interp_0f38(struct vcpu *v, struct insn *i)
{
    if ((i->opcode & 0xfe) == 0xf0)
        return i->rep == 0xf2 ? crc32(v, i) : i->rep ? raise_ud(v) : movbe(v, i);
    if (i->opcode == 0xf6 && (i->rep == 0xf3 || (!i->rep && i->opsize_prefix)))
        return add_carry(v, i);
    if (i->opcode == 0x82 && i->opsize_prefix)
        return invpcid(v, i);
    return native_execute(v, i);
}

/* --- VEX: BMI1 and BMI2 --- */

/* dest = op(first, second) with one of them from memory */
static enum cpu_status bmi_binary(struct vcpu *v, struct insn *i, alu_binary *const *alu, bool rm_first)
{
    unsigned size = vex_size(v, i);
    uint64_t rm, other = get_gpr(v, i->vvvv, size);

    TRY(rm_read(v, i, size, &rm));
    set_gpr(v, i->reg, size, alu[size_index(size)](rm_first ? rm : other, rm_first ? other : rm, &v->rflags));
    return CPU_OK;
}

static enum cpu_status bmi_lowest(struct vcpu *v, struct insn *i)
{
    static alu_unary *const *const ops[4] = {NULL, alu_blsr, alu_blsmsk, alu_blsi};
    unsigned size = vex_size(v, i), sub = i->modrm >> 3 & 7;
    uint64_t a;

    if (sub < 1 || sub > 3)
        return raise_ud(v);
    TRY(rm_read(v, i, size, &a));
    set_gpr(v, i->vvvv, size, ops[sub][size_index(size)](a, &v->rflags));
    return CPU_OK;
}

/* SARX, SHLX, SHRX, RORX: no flags */
static enum cpu_status bmi_shift(struct vcpu *v, struct insn *i, unsigned op, uint64_t count)
{
    unsigned size = vex_size(v, i);
    uint64_t a, flags = 0;

    TRY(rm_read(v, i, size, &a));
    set_gpr(v, i->reg, size, alu_shift[op][size_index(size)](a, count & (8 * size - 1), &flags));
    return CPU_OK;
}

static enum cpu_status mulx(struct vcpu *v, struct insn *i)
{
    unsigned size = vex_size(v, i);
    uint64_t low = get_gpr(v, RDX, size), high = 0, b, flags = 0;

    TRY(rm_read(v, i, size, &b));
    alu_mul1[0][size_index(size)](&low, &high, b, &flags);
    set_gpr(v, i->vvvv, size, low);
    set_gpr(v, i->reg, size, high); /* with one register for both it gets the high half */
    return CPU_OK;
}

enum { SHIFT_ROR = 1, SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };

static enum cpu_status bmi_f7(struct vcpu *v, struct insn *i, bool bmi1, bool bmi2)
{
    uint64_t count = v->gpr[i->vvvv];

    switch (i->pp) {
    case 0:
        return bmi1 ? bmi_binary(v, i, alu_bextr, true) : raise_ud(v);
    case 0x66:
        return bmi2 ? bmi_shift(v, i, SHIFT_SHL, count) : raise_ud(v);
    case 0xf3:
        return bmi2 ? bmi_shift(v, i, SHIFT_SAR, count) : raise_ud(v);
    default:
        return bmi2 ? bmi_shift(v, i, SHIFT_SHR, count) : raise_ud(v);
    }
}

static enum cpu_status bmi_f5(struct vcpu *v, struct insn *i, bool bmi2)
{
    alu_binary *const *alu = i->pp == 0 ? alu_bzhi : i->pp == 0xf3 ? alu_pext : alu_pdep;

    if (!bmi2 || i->pp == 0x66)
        return raise_ud(v);
    return bmi_binary(v, i, alu, i->pp == 0);
}

enum cpu_status interp_vex(struct vcpu *v, struct insn *i)
{
    bool bmi1 = v->model->f7_ebx & F7_BMI1, bmi2 = v->model->f7_ebx & F7_BMI2;

    if (!(v->mode & MODE_PE) || v->mode & MODE_VM)
        return raise_ud(v);
    if (i->vex == 4 || i->vl)
        return native_execute(v, i);
    if (i->map == MAP_0F && i->opcode == 0xae)
        return interp_group15(v, i); /* VLDMXCSR, VSTMXCSR */
    if (i->map == MAP_0F3A && i->opcode == 0xf0)
        return bmi2 && i->pp == 0xf2 && i->vvvv == 0 ? bmi_shift(v, i, SHIFT_ROR, i->imm) : raise_ud(v);
    if (i->map != MAP_0F38 || i->opcode < 0xf0)
        return native_execute(v, i);
    switch (i->opcode) {
    case 0xf2:
        return bmi1 && i->pp == 0 ? bmi_binary(v, i, alu_andn, false) : raise_ud(v);
    case 0xf3:
        return bmi1 && i->pp == 0 ? bmi_lowest(v, i) : raise_ud(v);
    case 0xf5:
        return bmi_f5(v, i, bmi2);
    case 0xf6:
        return bmi2 && i->pp == 0xf2 ? mulx(v, i) : raise_ud(v);
    case 0xf7:
        return bmi_f7(v, i, bmi1, bmi2);
    default:
        return raise_ud(v);
    }
}
