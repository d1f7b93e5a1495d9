/*
 * report.h - a vCPU's state in words, for a person who wants to know why it stopped.
 */
#ifndef NOVT_VMM_REPORT_H
#define NOVT_VMM_REPORT_H

#include <stddef.h>

#include "cpu/vcpu.h"

#define REPORT_SIZE 4096

/* Registers, segments, control registers and the code at RIP, as lines of text; cut at size. Returns the length.
   Reads memory without side effects and takes no lock, so that a crash handler may call it. */
size_t report_vcpu(const struct vcpu *v, char *text, size_t size);

#endif
