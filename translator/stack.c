/*
 * stack.c - return prediction: a guest CALL is a host CALL, a guest RET a host RET, on a stack of our own.
 *
 * Interface: internal.h. A CALL leaves on the return stack the address of a few instructions behind it (its return
 * site), which compare where the guest really returns to with where the call came from: equal, and the block there
 * is entered; else the stack is dropped and the address looked up. So the stack is only a hint: whatever is on it,
 * a site goes on nowhere but at its own return address and in its own mode.
 *
 * Supervisor and user have a stack each. Invariants: the sites on a stack are of blocks of stack_mode, but for
 * SMAP's AC bit: code with AC set neither leaves sites nor comes to any. The guest's flags are in memory from RET
 * to the site. Pages may be mapped anew under a site: it goes on through a cell, which TLB flushes reset. In user
 * code with a window it may be in the middle of a block: then flushes, and the end of such code, drop the stack
 * (lookup.c); and none but RETs that have read the stack through the window come there, on which its missing probe
 * relies.
 */
#include "memory/host.h"
#include "translator/internal.h"

#include <sys/mman.h>

static uint64_t bottom(const struct return_stack *s)
{
    return (uintptr_t)&s->entry[RETURN_STACK_SIZE - 1];
}

bool stack_create(struct translator *t, struct translator_vcpu *tv)
{
    for (unsigned i = 0; i < 2; i++)
        if (host_protect(tv->stack[i].guard, sizeof tv->stack[i].guard, PROT_NONE))
            return false;
    stack_forget(t, tv);
    return true;
}

void stack_forget(struct translator *t, struct translator_vcpu *tv)
{
    for (unsigned i = 0; i < 2; i++) {
        tv->stack[i].entry[RETURN_STACK_SIZE - 1] = (uintptr_t)t->code.return_empty;
        tv->stack_at[i] = bottom(&tv->stack[i]);
    }
    tv->return_stack = tv->stack_at[tv->stack_used];
}

void stack_forget_user(struct translator_vcpu *tv)
{
    tv->stack_at[1] = bottom(&tv->stack[1]);
    if (tv->stack_used == 1)
        tv->return_stack = tv->stack_at[1];
}

bool stack_choose(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);
    uint32_t mode = translator_mode(v);
    unsigned wanted = v->cpl == 3, slot = tv->stack_slot[wanted];

    if (wanted != tv->stack_used) {
        tv->stack_at[tv->stack_used] = tv->return_stack;
        tv->stack_used = wanted;
        tv->return_stack = wanted ? tv->stack_at[wanted] : bottom(&tv->stack[wanted]);
    }
    if ((tv->stack_mode[wanted] ^ mode) & ~MODE_AC)
        tv->return_stack = bottom(&tv->stack[wanted]);
    tv->stack_mode[wanted] = mode;
    if (wanted)
        tv->sure_rsp = v->gpr[RSP];
    if (!tv->jump_mode[slot].used || tv->jump_mode[slot].mode != lookup_slot_mode(mode)) {
        slot = lookup_jump_slot(v, mode);
        if (slot == JUMP_MODES)
            return false;
        tv->stack_slot[wanted] = slot;
    }
    tv->jump_base = (uintptr_t)tv->jump_cache[slot];
    return true;
}

bool stack_fits(struct vcpu *v)
{
    return v->cpl < 3 || !((translator_of(v)->stack_mode[1] ^ translator_mode(v)) & MODE_WINDOW);
}

uint64_t stack_overflow(const struct translator_vcpu *tv, const void *address)
{
    for (unsigned i = 0; i < 2; i++)
        if ((uintptr_t)address - (uintptr_t)tv->stack[i].guard < sizeof tv->stack[i].guard)
            return bottom(&tv->stack[i]);
    return 0;
}
