/*
 * debug.c - debug registers, breakpoints and single steps (SDM vol. 3, 17.2 and 17.3).
 *
 * Interface: system.h. Invariants: while TF or any breakpoint is on, MODE_SINGLE keeps the vCPU in the
 * interpreter, which asks here around every instruction. A data breakpoint that hits is kept in v->debug_pending
 * until the instruction is done; DR6 changes when #DB is delivered.
 */
#include "cpu/descriptor.h"
#include "cpu/system.h"

#define DR6_FIXED 0xffff0ff0u
#define DR6_WRITABLE 0xe00fu
#define DR6_BD (1u << 13)
#define DR6_BS (1u << 14)
#define DR7_FIXED 0x400u
#define DR7_WRITABLE 0xffff23ffu
#define DR7_GD (1u << 13)

enum breakpoint_kind { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_READ_WRITE };

static enum cpu_status raise_debug(struct vcpu *v, uint64_t bits, bool is_trap)
{
    cpu_raise(v, EXC_DB);
    v->fault.is_trap = is_trap;
    v->fault.address = bits;
    return CPU_FAULT;
}

/* Which register, and may it be touched at all: #UD for DR4 and DR5 under CR4.DE, #GP, #DB by DR7.GD. */
static enum cpu_status select_register(struct vcpu *v, unsigned *dr)
{
    if (*dr > 7 || ((*dr == 4 || *dr == 5) && v->cr4 & CR4_DE))
        return cpu_raise(v, EXC_UD);
    if (v->cpl)
        return cpu_raise_error(v, EXC_GP, 0);
    if (v->dr[7] & DR7_GD)
        return raise_debug(v, DR6_BD, false);
    if (*dr == 4 || *dr == 5)
        *dr += 2;
    return CPU_OK;
}

enum cpu_status cpu_read_dr(struct vcpu *v, unsigned dr, uint64_t *value)
{
    enum cpu_status status = select_register(v, &dr);

    if (status == CPU_OK)
        *value = v->dr[dr];
    return status;
}

enum cpu_status cpu_write_dr(struct vcpu *v, unsigned dr, uint64_t value)
{
    enum cpu_status status = select_register(v, &dr);

    if (status != CPU_OK)
        return status;
    if (dr < 4) {
        v->dr[dr] = value;
        return CPU_OK;
    }
    if (value >> 32)
        return cpu_raise_error(v, EXC_GP, 0);
    if (dr == 6) {
        v->dr[6] = (value & DR6_WRITABLE) | DR6_FIXED;
        return CPU_OK;
    }
    v->dr[7] = (value & DR7_WRITABLE) | DR7_FIXED;
    cpu_update_mode(v);
    return CPU_OK;
}

static bool is_enabled(const struct vcpu *v, unsigned i)
{
    return v->dr[7] >> (2 * i) & 3;
}

static enum breakpoint_kind kind_of(const struct vcpu *v, unsigned i)
{
    return v->dr[7] >> (16 + 4 * i) & 3;
}

/* LEN: 1, 2, 8 or 4 bytes; the address is aligned to it. */
static unsigned length_of(const struct vcpu *v, unsigned i)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};

    return lengths[v->dr[7] >> (18 + 4 * i) & 3];
}

/* DR6 bits of the breakpoints of the given kinds (a bit mask) that [address, address + size) meets. */
static uint64_t matches(const struct vcpu *v, uint64_t address, unsigned size, unsigned kinds)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned length = kind_of(v, i) == BREAK_EXECUTE ? 1 : length_of(v, i);
        uint64_t start = v->dr[i] & ~(uint64_t)(length - 1);

        if (is_enabled(v, i) && kinds & 1u << kind_of(v, i) && address < start + length && start < address + size)
            bits |= 1u << i;
    }
    return bits;
}

enum cpu_status cpu_debug_before(struct vcpu *v)
{
    uint64_t linear, bits;

    if (v->rflags & FLAG_RF) {
        v->rflags &= ~(uint64_t)FLAG_RF;
        return CPU_OK;
    }
    if (!(v->dr[7] & 0xff) || v->debug_shadow)
        return CPU_OK;
    linear = cpu_in_code64(v) ? v->rip : (uint32_t)(v->seg[SEG_CS].base + v->rip);
    bits = matches(v, linear, 1, 1u << BREAK_EXECUTE);
    return bits ? raise_debug(v, bits, false) : CPU_OK;
}

enum cpu_status cpu_debug_after(struct vcpu *v, bool tf_before)
{
    uint64_t bits = v->debug_pending | (tf_before ? DR6_BS : 0);

    if (!bits || v->debug_shadow) /* MOV SS, POP SS: held off until the next instruction is done */
        return CPU_OK;
    v->debug_pending = 0;
    return raise_debug(v, bits, true);
}

void cpu_debug_access(struct vcpu *v, gva_t linear, unsigned size, bool write)
{
    unsigned kinds = 1u << BREAK_READ_WRITE | (write ? 1u << BREAK_WRITE : 0);

    if (v->dr[7] & 0xff)
        v->debug_pending |= matches(v, linear, size, kinds);
}

void cpu_debug_io(struct vcpu *v, uint16_t port, unsigned size)
{
    if (v->dr[7] & 0xff && v->cr4 & CR4_DE)
        v->debug_pending |= matches(v, port, size, 1u << BREAK_IO);
}
