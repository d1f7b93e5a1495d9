/*
 * report.h - a vCPU's state in words, for a person who wants to know why it stopped.
 */
#ifndef NOVT_VMM_REPORT_H
#define NOVT_VMM_REPORT_H

#include <stddef.h>

#include "cpu/vcpu.h"

#define REPORT_SIZE 8192

/* Registers, segments, control registers and the code at RIP, as lines of text; cut at size. Returns the length.
   Reads memory without side effects and takes no lock, so that a crash handler may call it. */
size_t report_vcpu(const struct vcpu *v, char *text, size_t size);
/* The same without the code. */
size_t report_registers(const struct vcpu *v, char *text, size_t size);
/* x87, XMM and YMM registers. They must have been saved (vcpu->simd_live). */
size_t report_vectors(const struct vcpu *v, char *text, size_t size);

#endif
