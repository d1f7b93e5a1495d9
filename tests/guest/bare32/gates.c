/*
 * gates.c - call, interrupt and trap gates: checks and error codes, parameters, inner stacks and what is wrong
 * with them, the 16-bit forms, IRET to an outer level.
 */
#include "rt.h"

#define GATE FREE         /* the call gate */
#define TARGET (FREE + 8) /* its code segment */
#define INNER (FREE + 16) /* the stack segment in the TSS */
#define INNER_TOP 0x60000u
#define ENTRY 0x21000u /* code behind the gate */
#define VECTOR 0x30u

static void put_code(u32 at, const u8 *code, unsigned size)
{
    memcpy((void *)at, code, size);
}
#define PUT(at, ...) put_code(at, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void usual_gate(void)
{
    gdt[GATE / 8] = gate(KCS, ENTRY, 0xec, 0);
    gdt[TARGET / 8] = descriptor(0, 0xfffff, 0x9a, 12);
    gdt[INNER / 8] = descriptor(0, 0xfffff, 0x92, 12);
    tss.ss0 = INNER;
    tss.esp0 = INNER_TOP;
    PUT(ENTRY, 0xcc);
}

static void call_inwards(void)
{
    usual_gate();
    gdt[GATE / 8] = gate(KCS, ENTRY, 0xec, 2);
    /* mov eax, esp; mov esi, esp; mov edi, DATA; mov ecx, 6; rep movsd; retf 8 */
    PUT(ENTRY, 0x89, 0xe0, 0x89, 0xe6, 0xbf, LE32(DATA), 0xb9, LE32(6), 0xf3, 0xa5, 0xca, LE16(8));
    flat(3);
    in.es = UDS;
    RUN(0x68, LE32(0x11111111), 0x68, LE32(0x22222222), 0x9a, LE32(0), LE16(GATE | 3));
    ended(BP, DONT_CARE, "CALL through a gate to an inner level and back");
    equal(last.eax, INNER_TOP - 24, "  the inner stack holds six dwords");
    equal(r32(DATA), CODE + 17, "  EIP");
    equal(r32(DATA + 4), UCS, "  CS");
    equal(r32(DATA + 8), 0x22222222, "  the last parameter");
    equal(r32(DATA + 12), 0x11111111, "  the first parameter");
    equal(r32(DATA + 16), OUTER - 8, "  ESP");
    equal(r32(DATA + 20), UDS, "  SS");
    equal(last.esp, OUTER, "  RETF n releases both stacks");
    equal(last.cs, UCS, "  and is back at CPL 3");
    ok(gdt[INNER / 8] >> 40 & 1, "  the inner SS is marked accessed");
}

static void call_16(void)
{
    usual_gate();
    gdt[GATE / 8] = gate(TARGET, 0x1000, 0xe4, 1);
    gdt[TARGET / 8] = descriptor(CODE, 0xffff, 0x9a, 0);
    /* the same in 16-bit code at CODE + 1000h, with RETF 2 */
    PUT(ENTRY, 0x66, 0x89, 0xe0, 0x66, 0x89, 0xe6, 0x66, 0xbf, LE32(DATA), 0x66, 0xb9, LE32(6), 0x67, 0x66, 0xf3,
        0xa5, 0xca, LE16(2));
    flat(3);
    in.eip = 0;
    in.cs = FREE + 24 + 3;
    gdt[(FREE + 24) / 8] = descriptor(CODE, 0xffff, 0xfa, 0); /* 16-bit code at CPL 3 */
    RUN(0x68, LE16(0x3333), 0x9a, LE16(0), LE16(GATE | 3));
    ended(BP, DONT_CARE, "CALL through a 16-bit gate and back");
    equal(last.eax, INNER_TOP - 10, "  five words on the inner stack");
    equal(r16(DATA), 8, "  IP");
    equal(r16(DATA + 2), FREE + 24 + 3, "  CS");
    equal(r16(DATA + 4), 0x3333, "  the parameter");
    equal(r16(DATA + 6), (OUTER - 2) & 0xffff, "  SP");
    equal(r16(DATA + 8), UDS, "  SS");
    equal(last.esp & 0xffff, OUTER & 0xffff, "  RETF n releases both stacks");
}

struct gate_row {
    const char *name;
    unsigned cpl;
    u8 gate_access; /* of the gate at GATE */
    u16 target;
    u8 target_access;
    u16 rpl;
    bool jump;
    u8 vector;
    u32 error;
};

static const struct gate_row gates[] = {
    {"call gate: DPL below CPL", 3, 0x8c, KCS, 0x9a, 3, false, GP, GATE},
    {"call gate: DPL below RPL", 0, 0x8c, KCS, 0x9a, 3, false, GP, GATE},
    {"call gate: absent", 3, 0x6c, KCS, 0x9a, 3, false, NP, GATE},
    {"call gate: null target", 3, 0xec, 0, 0x9a, 3, false, GP, 0},
    {"call gate: target is data", 3, 0xec, TARGET, 0x92, 3, false, GP, TARGET},
    {"call gate: target is absent", 3, 0xec, TARGET, 0x1a, 3, false, NP, TARGET},
    {"call gate: target's DPL is above CPL", 0, 0xec, TARGET, 0xfa, 0, false, GP, TARGET},
    {"call gate: target behind the GDT", 3, 0xec, 0x500, 0x9a, 3, false, GP, 0x500},
    {"call gate: conforming target keeps CPL", 3, 0xec, TARGET, 0x9e, 3, false, BP, DONT_CARE},
    {"JMP through a gate to the same level", 0, 0x8c, TARGET, 0x9a, 0, true, BP, DONT_CARE},
    {"JMP through a gate to an inner level", 3, 0xec, TARGET, 0x9a, 3, true, GP, TARGET},
    {"JMP through a gate to conforming code", 3, 0xec, TARGET, 0x9e, 3, true, BP, DONT_CARE},
};

static void gate_faults(void)
{
    unsigned i;

    for (i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        const struct gate_row *r = &gates[i];

        usual_gate();
        gdt[GATE / 8] = gate(r->target, ENTRY, r->gate_access, 0);
        gdt[TARGET / 8] = descriptor(0, 0xfffff, r->target_access, 12);
        flat(r->cpl);
        RUN(0x90, r->jump ? 0xea : 0x9a, LE32(0), LE16(GATE | r->rpl));
        ended(r->vector, r->error, r->name);
        equal(last.cs & 3, r->cpl, "  at the level of before");
        equal(last.eip, r->vector == BP ? ENTRY + 1 : CODE + 1, "  at");
    }
}

struct stack_row {
    const char *name;
    u16 ss0;
    u8 access, flags;
    u32 limit, esp0;
    u8 vector;
    u32 error;
};

static const struct stack_row stacks[] = {
    {"inner SS: null", 0, 0x92, 12, 0xfffff, INNER_TOP, TS, 0},
    {"inner SS: RPL is not the new CPL", INNER | 1, 0x92, 12, 0xfffff, INNER_TOP, TS, INNER},
    {"inner SS: DPL is not the new CPL", INNER, 0xf2, 12, 0xfffff, INNER_TOP, TS, INNER},
    {"inner SS: read-only", INNER, 0x90, 12, 0xfffff, INNER_TOP, TS, INNER},
    {"inner SS: code", INNER, 0x9a, 12, 0xfffff, INNER_TOP, TS, INNER},
    {"inner SS: absent", INNER, 0x12, 12, 0xfffff, INNER_TOP, SS, INNER},
    {"inner SS: behind the GDT", 0x400, 0x92, 12, 0xfffff, INNER_TOP, TS, 0x400},
    {"inner SS: no room", INNER, 0x92, 4, 0xfff, 0x1004, SS, INNER},
    {"inner SS: expand-down, no room", INNER, 0x96, 4, 0xfff, 0x1008, SS, INNER},
};

/* The fault is handled on another stack: its vector has a task of its own here, or rather the fault comes through
   a conforming handler at CPL 3, which needs no inner stack. */
static void stack_faults(void)
{
    extern u8 trap_stubs[];
    unsigned i;

    usual_gate();
    gdt[TARGET / 8] = descriptor(0, 0xfffff, 0x9e, 12); /* conforming */
    for (i = 0; i < sizeof stacks / sizeof stacks[0]; i++) {
        const struct stack_row *r = &stacks[i];

        gdt[INNER / 8] = descriptor(0, r->limit, r->access, r->flags);
        tss.ss0 = r->ss0;
        tss.esp0 = r->esp0;
        /* the handler at CPL 3 notes the error code and switches back to a good stack */
        PUT(0x22000, 0x8f, 0x05, LE32(DATA), 0xc7, 0x05, LE32((u32)&tss.ss0), LE32(KDS), 0xc7, 0x05,
            LE32((u32)&tss.esp0), LE32((u32)trap_stack_top), 0x8b, 0x04, 0x24, 0xcc);
        idt[TS] = idt[SS] = gate(TARGET, 0x22000, 0x8e, 0);
        w32(DATA, 0xffffffff);
        flat(3);
        RUN(0x90, 0x9a, LE32(0), LE16(GATE | 3));
        ended(BP, DONT_CARE, r->name);
        equal(r32(DATA), r->error, "  error code");
        equal(last.eax, CODE + 1, "  at the instruction");
        set_idt(TS, 0x8e);
        set_idt(SS, 0x8e);
        /* the same by INT n: no EXT, for it is software */
        gdt[INNER / 8] = descriptor(0, r->limit, r->access, r->flags);
        tss.ss0 = r->ss0;
        tss.esp0 = r->esp0;
        idt[TS] = idt[SS] = gate(TARGET, 0x22000, 0x8e, 0);
        idt[VECTOR] = gate(KCS, ENTRY, 0xee, 0);
        w32(DATA, 0xffffffff);
        flat(3);
        RUN(0xcd, VECTOR);
        equal(r32(DATA), r->error, "  error code of INT n");
        set_idt(TS, 0x8e);
        set_idt(SS, 0x8e);
        (void)trap_stubs;
    }
    tss.ss0 = KDS;
    tss.esp0 = (u32)trap_stack_top;
}

static void interrupt_gates(void)
{
    usual_gate();
    tss.ss0 = KDS;
    PUT(ENTRY, 0x9c, 0x58, 0x89, 0xe3, 0xcc); /* pushfd; pop eax; mov ebx, esp */
    idt[VECTOR] = gate(KCS, ENTRY, 0xee, 0);
    flat(3);
    in.eflags = 2 | FL_IF | FL_IOPL3 | FL_NT;
    RUN(0xcd, VECTOR);
    ended(BP, DONT_CARE, "INT n through an interrupt gate");
    equal(last.eax & (FL_IF | FL_NT | FL_IOPL3), FL_IOPL3, "  clears IF and NT, not IOPL");
    equal(last.ebx, INNER_TOP - 20, "  five dwords on the inner stack");
    equal(r32(INNER_TOP - 20), CODE + 2, "  EIP behind INT");
    equal(r32(INNER_TOP - 16), UCS, "  CS");
    equal(r32(INNER_TOP - 12), 2 | FL_IF | FL_IOPL3 | FL_NT, "  EFLAGS");
    equal(r32(INNER_TOP - 8), OUTER, "  ESP");
    equal(r32(INNER_TOP - 4), UDS, "  SS");
    idt[VECTOR] = gate(KCS, ENTRY, 0xef, 0);
    flat(3);
    in.eflags = 2 | FL_IF;
    RUN(0xcd, VECTOR);
    equal(last.eax & FL_IF, FL_IF, "a trap gate leaves IF");
}

static void interrupt_gate_faults(void)
{
    idt[VECTOR] = gate(KCS, ENTRY, 0x8e, 0);
    flat(3);
    RUN(0xcd, VECTOR);
    ended(GP, VECTOR * 8 + 2, "INT n through a gate of DPL 0");
    flat(0);
    RUN(0xcd, VECTOR);
    ended(BP, DONT_CARE, "  is allowed at CPL 0");
    equal(last.ebx, STACK - 12, "  three dwords on the same stack");
    idt[VECTOR] = gate(KCS, ENTRY, 0x6e, 0);
    flat(3);
    RUN(0xcd, VECTOR);
    ended(NP, VECTOR * 8 + 2, "an absent gate");
    idt[VECTOR] = gate(KCS, ENTRY, 0xec, 0);
    flat(3);
    RUN(0xcd, VECTOR);
    ended(GP, VECTOR * 8 + 2, "a call gate in the IDT");
    idt[VECTOR] = gate(0, ENTRY, 0xee, 0);
    flat(3);
    RUN(0xcd, VECTOR);
    ended(GP, 0, "a gate to a null selector");
    idt[VECTOR] = gate(TARGET, ENTRY, 0xee, 0);
    gdt[TARGET / 8] = descriptor(0, 0xfffff, 0x1a, 12);
    flat(3);
    RUN(0xcd, VECTOR);
    ended(NP, TARGET, "a gate to absent code");
    gdt[TARGET / 8] = descriptor(0, 0xfffff, 0xfa, 12);
    flat(0);
    RUN(0xcd, VECTOR);
    ended(GP, TARGET, "a gate to an outer level");
    gdt[TARGET / 8] = descriptor(CODE, 0xfff, 0x9a, 4);
    flat(3);
    RUN(0xcd, VECTOR);
    ended(GP, 0, "a gate to an offset behind the limit");
}

static void narrow_interrupt_gate(void)
{
    /* 16-bit gate: words, and 16 bits of the offset */
    gdt[TARGET / 8] = descriptor(CODE, 0xffff, 0x9a, 4);
    idt[VECTOR] = gate(TARGET, 0xabcd1000, 0xe6, 0);
    flat(3);
    in.esp = OUTER - 4;
    RUN(0xcd, VECTOR);
    ended(BP, DONT_CARE, "a 16-bit interrupt gate");
    equal(last.ebx, INNER_TOP - 10, "  five words");
    equal(r16(INNER_TOP - 10), (CODE + 2) & 0xffff, "  IP");
    equal(r16(INNER_TOP - 4), (OUTER - 4) & 0xffff, "  SP");
    tss.esp0 = (u32)trap_stack_top;
}

/* An exception while one is delivered: #GP in #NP's place, EXT set since it is none of the program's doing. */
static void nested_faults(void)
{
    idt[UD] = gate(TARGET, ENTRY, 0x8e, 0);
    gdt[TARGET / 8] = descriptor(0, 0xfffff, 0x1a, 12);
    flat(3);
    RUN(0x0f, 0x0b);
    ended(NP, TARGET | 1, "the handler of #UD is absent: #NP with EXT");
    set_idt(UD, 0x8e);
    idt[GP] = gate(TARGET, ENTRY, 0x8e, 0);
    flat(3);
    RUN(0xcd, 0x31); /* DPL 0: #GP, whose handler is absent: #NP, contributory after contributory */
    ended(DF, 0, "#NP while delivering #GP is #DF");
    set_idt(GP, 0x8e);
}

static void irets(void)
{
    flat(0);
    RUN(0x6a, KDS, 0x68, LE32(OUTER), 0x68, LE32(2), 0x6a, UCS, 0x68, LE32(CODE), 0xcf);
    ended(GP, KDS, "IRET to CPL 3 with an inner SS");
    flat(0);
    RUN(0x6a, 0, 0x68, LE32(OUTER), 0x68, LE32(2), 0x6a, UCS, 0x68, LE32(CODE), 0xcf);
    ended(GP, 0, "IRET to CPL 3 with a null SS");
    flat(3);
    RUN(0x68, LE32(0x40202), 0x6a, KCS, 0x68, LE32(CODE), 0xcf);
    ended(GP, KCS, "IRET to an inner level");
    flat(3);
    RUN(0x68, LE32(0x203202 | FL_CF), 0x6a, UCS, 0x68, LE32(CODE + 13), 0xcf);
    ended(BP, DONT_CARE, "IRET within CPL 3");
    equal(last.eflags & 0x203201, 0x200001, "  takes ID and CF, neither IF nor IOPL");
    flat(3);
    in.eflags |= FL_IOPL3;
    RUN(0x68, LE32(0x202), 0x6a, UCS, 0x68, LE32(CODE + 13), 0xcf);
    equal(last.eflags & 0x3200, 0x3200, "  IF with IOPL 3, which stays");
    flat(0);
    RUN(0x68, LE32(FL_VM | 2), 0x6a, UCS, 0x68, LE32(CODE), 0x66, 0xcf);
    ended(GP, 0, "a 16-bit IRET pops words: CS is 0");
}

void test_main(void)
{
    call_inwards();
    call_16();
    gate_faults();
    interrupt_gates();
    interrupt_gate_faults();
    narrow_interrupt_gate();
    nested_faults();
    irets();
    stack_faults();
}
