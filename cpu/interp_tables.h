/*
 * interp_tables.h - the handlers that the opcode tables name and other files define. Private to cpu/.
 */
#ifndef NOVT_CPU_INTERP_TABLES_H
#define NOVT_CPU_INTERP_TABLES_H

#include "cpu/interp.h"

/* interp_integer.c */
interp_handler interp_alu_rm_reg, interp_alu_reg_rm, interp_alu_acc, interp_inc_dec;
/* interp_flow.c */
interp_handler interp_push_reg, interp_pop_reg, interp_push_imm, interp_pop_rm, interp_jcc, interp_ret,
    interp_loop;
interp_handler interp_call, interp_jmp, interp_group5, interp_enter, interp_leave, interp_far, interp_load_far;
interp_handler interp_interrupt, interp_iret, interp_segment_stack, interp_segment_move;
/* interp_legacy.c */
interp_handler interp_bcd, interp_bound, interp_pusha, interp_popa, interp_arpl;
/* interp_string.c */
interp_handler interp_string, interp_ins_outs, interp_io;
/* interp_system.c */
interp_handler interp_flags, interp_hlt, interp_group6, interp_group7, interp_lar_lsl, interp_mov_cr,
    interp_mov_dr;
interp_handler interp_msr, interp_rdtsc, interp_rdpmc, interp_cpuid, interp_clts, interp_cache_control;
interp_handler interp_syscall, interp_sysret, interp_sysenter, interp_sysexit;
/* interp_0f.c */
interp_handler interp_group9;
/* native_save.c: group 15, FXSAVE and XSAVE among it */
interp_handler interp_group15;

#endif
