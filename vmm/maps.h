/*
 * maps.h - what a vCPU's translation caches hold, for `--maps`.
 */
#ifndef NOVT_VMM_MAPS_H
#define NOVT_VMM_MAPS_H

#include <stdio.h>

struct vcpu;

/* A line for each page that is in the software TLB or in a window:
 *
 *   map tlb context=supervisor|supervisor-ac|user linear=0x... ram=0x... rights=r-|-w|rw
 *   map window context=user linear=0x... ram=0x... rights=r-|rw
 *   map kwindow context=supervisor linear=0x... ram=0x... pages=N rights=r-|rw
 *
 * linear: the guest's linear address. ram: the offset in guest RAM, which below 3 GiB is the guest-physical
 * address. Rights are those that the cache gives without asking again: a page that may be written but is not dirty
 * yet is "r-". The vCPU must not be running. */
void maps_print(const struct vcpu *v, FILE *to);

#endif
