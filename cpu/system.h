/*
 * system.h - what both engines share of the privileged architecture: exceptions and interrupts, segments and
 * far transfers, system calls, control, debug and model-specific registers.
 *
 * Each function performs one whole architectural action or none of it. Where an `enum cpu_status` is returned,
 * CPU_FAULT leaves the exception in v->fault, undelivered; callers of the top level (cpu_step, the translator's
 * callouts) deliver it with cpu_deliver_fault. `next_rip` is the address behind the instruction.
 */
#ifndef NOVT_CPU_SYSTEM_H
#define NOVT_CPU_SYSTEM_H

#include "cpu/vcpu.h"

/* --- exceptions.c --- */

/* Delivers v->fault through the IDT, with double-fault and triple-fault escalation. CPU_OK: RIP is at the
   handler. CPU_EXIT: triple fault (EXIT_TRIPLE_FAULT). Never CPU_FAULT. v->rip is the faulting instruction (or,
   for a trap, the next one). */
enum cpu_status cpu_deliver_fault(struct vcpu *v);
/* An external interrupt, or NMI (vector 2). Same results. */
enum cpu_status cpu_deliver_interrupt(struct vcpu *v, uint8_t vector);
/* INT n (SDM vol. 2, INT). Privilege check against the gate's DPL. CPU_FAULT possible. */
enum cpu_status cpu_software_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip);
/* INT3, INTO: the same, but in virtual-8086 mode neither IOPL nor the redirection bitmap counts. */
enum cpu_status cpu_trap_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip);
/* At an instruction boundary: takes what is pending and allowed: NMI, INTR (with ops->interrupt_acknowledge).
   Nothing is taken while interrupt_shadow is set: whoever runs the next instruction clears it behind that.
   *taken tells whether something was delivered. Needs SIMD state saved. */
enum cpu_status cpu_take_interrupts(struct vcpu *v, bool *taken);
/* True if cpu_take_interrupts would deliver something now. */
bool cpu_interrupt_ready(const struct vcpu *v);

/* --- pause.c --- */
/* PAUSE has been executed: one in a long spin sleeps for some microseconds. */
void cpu_pause(struct vcpu *v);

/* --- transfer.c: far control transfers --- */
/* size: operand size in bytes, 2, 4 or 8. */
enum cpu_status cpu_iret(struct vcpu *v, unsigned size);
/* IRET of a nested task (NT): next_rip is where this task goes on when it is entered again. */
bool cpu_task_is_nested(const struct vcpu *v);
enum cpu_status cpu_return_task(struct vcpu *v, uint64_t next_rip);
enum cpu_status cpu_far_jump(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip);
enum cpu_status cpu_far_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned size, uint64_t next_rip);
enum cpu_status cpu_far_return(struct vcpu *v, unsigned size, uint16_t release);
enum cpu_status cpu_syscall(struct vcpu *v, uint64_t next_rip);
enum cpu_status cpu_sysret(struct vcpu *v, unsigned size); /* 4 or 8 */
enum cpu_status cpu_sysenter(struct vcpu *v);
enum cpu_status cpu_sysexit(struct vcpu *v, unsigned size);

/* --- segments.c --- */
/* MOV/POP to ES, SS, DS, FS, GS with every check. Does not set the interrupt shadow. */
enum cpu_status cpu_load_segment(struct vcpu *v, unsigned seg, uint16_t selector);
enum cpu_status cpu_load_ldt(struct vcpu *v, uint16_t selector);
enum cpu_status cpu_load_task(struct vcpu *v, uint16_t selector);
/* LAR, LSL, VERR, VERW: *ok is ZF. */
enum cpu_status cpu_lar(struct vcpu *v, uint16_t selector, uint32_t *access, bool *ok);
enum cpu_status cpu_lsl(struct vcpu *v, uint16_t selector, uint32_t *limit, bool *ok);
enum cpu_status cpu_verify(struct vcpu *v, uint16_t selector, bool write, bool *ok);
/* Reads a descriptor (8 bytes, 16 for system descriptors in long mode) of the GDT or LDT. #GP(selector) when it
   lies outside of the table. */
enum cpu_status cpu_read_descriptor(struct vcpu *v, uint16_t selector, uint64_t descriptor[2], bool wide);
/* Real-mode and virtual-8086 load: base = selector << 4. */
void cpu_load_segment_real(struct vcpu *v, unsigned seg, uint16_t selector);
/* Unpacks a descriptor into a descriptor cache. */
void cpu_unpack_descriptor(struct segment *s, uint16_t selector, const uint64_t descriptor[2], bool wide);

/* --- tasks.c: hardware task switch (SDM vol. 3, 7.3); #GP in long mode --- */
enum cpu_task_reason { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_INTERRUPT };
enum cpu_status cpu_switch_task(struct vcpu *v, uint16_t selector, enum cpu_task_reason reason, uint64_t next_rip,
                                const uint32_t *error_code);

/* --- control.c: control and debug registers, XCR0 --- */
enum cpu_status cpu_read_cr(struct vcpu *v, unsigned cr, uint64_t *value); /* CR8: CPU_NEED_FULL if simd_live */
enum cpu_status cpu_write_cr(struct vcpu *v, unsigned cr, uint64_t value);
enum cpu_status cpu_lmsw(struct vcpu *v, uint16_t value);
enum cpu_status cpu_read_dr(struct vcpu *v, unsigned dr, uint64_t *value);
enum cpu_status cpu_write_dr(struct vcpu *v, unsigned dr, uint64_t value);
enum cpu_status cpu_xsetbv(struct vcpu *v, uint32_t index, uint64_t value);
enum cpu_status cpu_invlpg(struct vcpu *v, gva_t linear);
enum cpu_status cpu_invpcid(struct vcpu *v, uint64_t type, uint64_t pcid, gva_t linear);
/* May the instruction touch this port (IOPL, I/O permission bitmap)? CPU_OK or #GP(0). */
enum cpu_status cpu_check_io(struct vcpu *v, uint16_t port, unsigned size);
/* New value of RFLAGS for POPF of `size` bytes at the current CPL and IOPL; VIF/VIP rules of VME and PVI included.
   Calls cpu_update_mode. */
enum cpu_status cpu_popf(struct vcpu *v, uint64_t value, unsigned size);
enum cpu_status cpu_cli(struct vcpu *v);
enum cpu_status cpu_sti(struct vcpu *v); /* sets the interrupt shadow if IF was clear */

/* --- msr.c --- */
enum cpu_status cpu_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
enum cpu_status cpu_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

/* --- debug.c: breakpoints of DR0-DR3 and TF --- */
/* Called by the interpreter behind an instruction when MODE_SINGLE is set: raises #DB where due. */
enum cpu_status cpu_debug_after(struct vcpu *v, bool tf_before);
/* Instruction breakpoints, before the instruction (respects and clears RF). */
enum cpu_status cpu_debug_before(struct vcpu *v);
/* Data and I/O breakpoints: note a match for cpu_debug_after. */
void cpu_debug_access(struct vcpu *v, gva_t linear, unsigned size, bool write);
void cpu_debug_io(struct vcpu *v, uint16_t port, unsigned size);

/* --- interp.c --- */
/*
 * Executes one instruction at CS:RIP (for REP string instructions at most a bounded number of iterations, RIP
 * then still at the instruction). Guest exceptions are delivered inside. Results: CPU_OK; CPU_NEED_FULL (nothing
 * done); CPU_EXIT (v->exit: EXIT_HLT, EXIT_TRIPLE_FAULT). Interrupts are not looked at; a shadow set by the
 * previous instruction is cleared, one set by this instruction stays.
 */
enum cpu_status cpu_step(struct vcpu *v);

#endif
