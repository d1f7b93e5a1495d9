/*
 * sensitive.h - which instructions a virtual machine monitor must not let a guest run as they are, and why.
 *
 * The terms are those of Popek and Goldberg (Formal requirements for virtualizable third generation architectures,
 * 1974): an instruction is control sensitive if it changes what the machine's resources are, or its mode;
 * behaviour sensitive if what it does depends on them; privileged if it traps in user mode. Robin and Irvine
 * (Analysis of the Intel Pentium's ability to support a secure virtual machine monitor, 2000) list the seventeen
 * instructions of the Pentium that are sensitive and not privileged, by the two requirements that they break.
 */
#ifndef NOVT_TRANSLATOR_SENSITIVE_H
#define NOVT_TRANSLATOR_SENSITIVE_H

#include <stdbool.h>

#define SENSITIVE_CONTROL 1u
#define SENSITIVE_BEHAVIOUR 2u

struct sensitive {
    bool privileged; /* in user mode it traps */
    unsigned kinds;  /* SENSITIVE_* */
    /* Of Robin and Irvine's list: "3B" (reference to a sensitive register), "3C" (reference to the protection
       system); NULL: it is not on it. */
    const char *robin;
    const char *reason; /* one sentence */
    const char *manual; /* where the Intel manual says so */
};

struct insn;
/* NULL: it is innocuous, or does not decode. The text is static. */
const struct sensitive *sensitive_find(const struct insn *in);

#endif
