/*
 * native.c - placeholder until the SIMD families land.
 */
#include "cpu/native.h"
#include "cpu/interp_tables.h"

enum cpu_status native_execute(struct vcpu *v, struct insn *i)
{
    return raise_ud(v);
}

enum cpu_status interp_group15(struct vcpu *v, struct insn *i)
{
    unsigned sub = i->modrm >> 3 & 7;
    unsigned base = i->reg & 1 ? SEG_GS : SEG_FS;

    if (i->mod == 3 && i->rep == 0xf3 && sub < 4) {
        base = sub & 1 ? SEG_GS : SEG_FS;
        if (!(v->mode & MODE_FSGSBASE) || !insn_code64(v))
            return raise_ud(v);
        if (sub < 2) {
            set_gpr(v, i->rm, i->opsize, v->seg[base].base);
            return CPU_OK;
        }
        if (i->opsize == 8 && !cpu_is_canonical(v->gpr[i->rm]))
            return raise_gp(v);
        v->seg[base].base = get_gpr(v, i->rm, i->opsize == 8 ? 8 : 4);
        return CPU_OK;
    }
    return i->mod == 3 && sub > 4 ? CPU_OK : raise_ud(v);
}

bool cpu_native_fixup(struct vcpu *v, int signo, void *ucontext)
{
    return false;
}

void native_destroy(struct vcpu *v)
{
}
