/*
 * tier.h - who has the window, and faults in it.
 */
#ifndef NOVT_TRANSLATOR_TIER_H
#define NOVT_TRANSLATOR_TIER_H

#include "translator/internal.h"

/* The vCPU has left translated code for a request: a timer's, as a rule. Promotes, demotes. */
void tier_tick(struct vcpu *v);
/* User code of another address space than before is about to run: is it to have the window? If so, it has to leave
   translated code for that, and tier_take_turn promotes. It also demotes those that are where novt itself is. */
bool tier_is_due(struct vcpu *v);
void tier_take_turn(struct vcpu *v);
/* -accel bt,tier=window: user code has the window at once. */
void tier_force(struct vcpu *v);

/* A probe has faulted at this host address. true: for want of a claim, which tier_catch_up will try; the
   supervisor's window can have it. */
bool tier_wants_claim(struct vcpu *v, const void *address);
/* User code in its wide window goes to this address without a probe. */
void tier_note_fixed(struct translator *t, gva_t linear);
/* Before translated code is looked up: a 64-bit kernel gets its window, and what that has been found to want. */
void tier_catch_up(struct vcpu *v);

enum tier_fault {
    TIER_MAPPED,      /* try the access again */
    TIER_GUEST_FAULT, /* the guest's tables do not allow it */
    TIER_CODE,        /* a store into a page with translated code */
    TIER_UNSUITABLE,  /* MMIO, a forbidden address of a kernel's */
    TIER_MISPLACED    /* where novt itself is, or in the other half of the address space */
};
/* TIER_MAPPED: the guest's tables allow it, and it is RAM that may be reached unseen. */
enum tier_fault tier_translate(struct vcpu *v, gva_t linear, bool write, uint8_t **host);
/* A fault at `linear` in user code that runs in the window. */
enum tier_fault tier_resolve(struct vcpu *v, gva_t linear, bool write);
/* The same in supervisor code. */
enum tier_fault tier_resolve_kernel(struct vcpu *v, gva_t linear, bool write);
/* An access has faulted for a base that is not sure (bases.c). TIER_MAPPED: the next one will not. */
enum tier_fault bases_resolve(struct vcpu *v);

/* Blocks that keep making unsuitable accesses are translated without the window. Counted by guest-physical
   address; stores into code, which may soon be no more, only when they come in quick succession. */
bool tier_is_unsuitable(const struct translator_vcpu *tv, gpa_t gpa);
void tier_note_unsuitable(struct vcpu *v, struct block *b, enum tier_fault fault);
void tier_forget(struct translator_vcpu *tv);

#endif
