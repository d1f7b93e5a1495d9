/*
 * native.h - single x87, MMX, SSE, AVX and AVX-512 instructions, run on the host with the guest's operands.
 */
#ifndef NOVT_CPU_NATIVE_H
#define NOVT_CPU_NATIVE_H

#include "cpu/vcpu.h"

struct insn;

/* Executes a decoded instruction of these families, or gives #UD. */
enum cpu_status native_execute(struct vcpu *v, struct insn *i);

/*
 * For the host's signal handler: when the signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL) hit a stub of this vCPU, makes
 * the stub return with the exception noted, and returns true: the handler then just returns. Async-signal-safe.
 */
bool cpu_native_fixup(struct vcpu *v, int signo, void *ucontext);

/* Frees the stubs; vcpu_destroy calls it. */
void native_destroy(struct vcpu *v);

#endif
