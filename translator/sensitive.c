/*
 * sensitive.c - the table of sensitive instructions.
 *
 * Interface: sensitive.h. One row a reason; its mnemonics are in the rows of the second table, together with the
 * forms of the instruction that it is true of.
 */
#include "translator/sensitive.h"

#include "translator/segment.h"

#define CONTROL SENSITIVE_CONTROL
#define BEHAVIOUR SENSITIVE_BEHAVIOUR
#define BOTH (SENSITIVE_CONTROL | SENSITIVE_BEHAVIOUR)

static const struct sensitive table_register = {
    false, BEHAVIOUR, "3B",
    "It stores the address of the processor's own table at any privilege level, so a guest sees its monitor's.",
    "SDM vol. 2, SGDT and SIDT"};
static const struct sensitive local_table = {
    false, BEHAVIOUR, "3B",
    "It stores the selector of the processor's own local descriptor table at any privilege level.",
    "SDM vol. 2, SLDT"};
static const struct sensitive status_word = {
    false, BEHAVIOUR, "3B",
    "It stores the low half of CR0 at any privilege level, though MOV from CR0 is privileged.",
    "SDM vol. 2, SMSW"};
static const struct sensitive push_flags = {
    false, BEHAVIOUR, "3B",
    "It pushes the processor's own IF and IOPL, which are the monitor's and not those the guest has set.",
    "SDM vol. 2, PUSHF"};
static const struct sensitive pop_flags = {
    false, BOTH, "3B",
    "Without the privilege to change IF and IOPL it leaves them as they are and does not trap, so CLI by way of "
    "POPF is lost in silence.",
    "SDM vol. 2, POPF; vol. 1, 3.4.3"};
static const struct sensitive access_rights = {
    false, BEHAVIOUR, "3C",
    "Whether it succeeds depends on the processor's CPL, which is not the one that the guest believes to have.",
    "SDM vol. 2, LAR, LSL, VERR and VERW"};
static const struct sensitive task_register = {
    false, BEHAVIOUR, "3C",
    "It stores the selector of the processor's own task register, whose RPL shows the privilege level.",
    "SDM vol. 2, STR"};
static const struct sensitive read_selector = {
    false, BEHAVIOUR, "3C",
    "It stores the selector that is really loaded; that of CS and SS shows the CPL in its low bits.",
    "SDM vol. 3, 5.5"};
static const struct sensitive load_selector = {
    false, BOTH, "3C",
    "It reads a descriptor of the processor's own table and compares its DPL with the processor's CPL.",
    "SDM vol. 3, 5.6"};
static const struct sensitive load_pointer = {
    false, BOTH, NULL,
    "It loads a segment register, as MOV and POP do: a descriptor is read and its DPL compared with CPL.",
    "SDM vol. 2, LDS; vol. 3, 5.6"};
static const struct sensitive far_transfer = {
    false, BOTH, "3C",
    "It loads CS, perhaps by a gate to another privilege level, and compares the CPL with the descriptor's DPL.",
    "SDM vol. 3, 5.8"};
static const struct sensitive interrupt = {
    false, BOTH, "3C",
    "It goes through the processor's own IDT, and whether it may depends on CPL and the gate's DPL.",
    "SDM vol. 3, 6.12"};
static const struct sensitive interrupt_return = {
    false, BOTH, NULL,
    "It loads CS and RFLAGS: like POPF it leaves IF and IOPL alone in silence, like a far RET it compares CPL.",
    "SDM vol. 2, IRET"};
static const struct sensitive system_call = {
    false, CONTROL, NULL,
    "It enters the kernel that the processor's MSRs name, which is the host's and not the guest's.",
    "SDM vol. 2, SYSCALL and SYSENTER"};
static const struct sensitive identity = {
    false, BEHAVIOUR, NULL,
    "It tells about the processor that is really there, not the one that the guest is to have.",
    "SDM vol. 2, CPUID and XGETBV"};
static const struct sensitive time_stamp = {
    false, BEHAVIOUR, NULL, "It reads the processor's own time-stamp counter, and traps only if CR4.TSD is set.",
    "SDM vol. 2, RDTSC; vol. 3, 2.5"};
static const struct sensitive segment_base = {
    false, BOTH, NULL, "With CR4.FSGSBASE set it reaches the processor's own segment base at any privilege level.",
    "SDM vol. 2, RDFSBASE and WRFSBASE"};
static const struct sensitive interrupt_flag = {
    true, CONTROL, NULL, "It changes whether interrupts are taken, and traps where CPL is above IOPL.",
    "SDM vol. 2, CLI and STI"};
static const struct sensitive port = {
    true, CONTROL, NULL,
    "It reaches a device, and traps where CPL is above IOPL unless the task's I/O bitmap allows the port.",
    "SDM vol. 1, 19.5"};
static const struct sensitive control_register = {
    true, BOTH, NULL, "It reaches a control or debug register, which makes the machine's mode; CPL 0 alone may.",
    "SDM vol. 3, 5.9"};
static const struct sensitive model_register = {
    true, BOTH, NULL, "It reaches a model-specific register or counter; CPL 0 alone may.", "SDM vol. 3, 5.9"};
static const struct sensitive system_table = {
    true, CONTROL, NULL, "It loads a register that a system table is found by; CPL 0 alone may.",
    "SDM vol. 3, 5.9"};
static const struct sensitive halt = {
    true, CONTROL, NULL, "It stops the processor until an interrupt comes; CPL 0 alone may.", "SDM vol. 2, HLT"};
static const struct sensitive address_space = {
    true, CONTROL, NULL, "It changes what caches and TLBs hold of memory; CPL 0 alone may.", "SDM vol. 3, 5.9"};
static const struct sensitive kernel_exit = {true, CONTROL, NULL,
                                             "It returns from the kernel to CPL 3; CPL 0 alone may.",
                                             "SDM vol. 2, SYSRET and SYSEXIT"};
static const struct sensitive kernel_base = {
    true, CONTROL, NULL, "It exchanges the GS base with the kernel's; CPL 0 alone may.", "SDM vol. 2, SWAPGS"};
static const struct sensitive user_access = {
    true, CONTROL, NULL, "It changes whether the kernel may reach user pages; above CPL 0 it is undefined.",
    "SDM vol. 2, STAC and CLAC"};
static const struct sensitive any_privileged = {true, CONTROL, NULL, "CPL 0 alone may execute it.",
                                                "SDM vol. 3, 5.9"};

static bool is_class(const struct operand *op, ZydisRegisterClass class)
{
    return op->type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(op->reg.value) == class;
}

static bool to_segment(const struct insn *in)
{
    return selector_operand(&in->op[0]) >= 0;
}

static bool from_segment(const struct insn *in)
{
    return selector_operand(&in->op[in->mnemonic == ZYDIS_MNEMONIC_MOV]) >= 0;
}

static bool of_control(const struct insn *in)
{
    for (unsigned i = 0; i < 2; i++)
        if (is_class(&in->op[i], ZYDIS_REGCLASS_CONTROL) || is_class(&in->op[i], ZYDIS_REGCLASS_DEBUG))
            return true;
    return false;
}

static bool is_far(const struct insn *in)
{
    return in->branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

/* By mnemonic. `only` tells which forms the row is true of (NULL: all). */
static const struct {
    ZydisMnemonic mnemonic;
    const struct sensitive *what;
    bool (*only)(const struct insn *in);
} rows[] = {
    {ZYDIS_MNEMONIC_SGDT, &table_register, NULL},
    {ZYDIS_MNEMONIC_SIDT, &table_register, NULL},
    {ZYDIS_MNEMONIC_SLDT, &local_table, NULL},
    {ZYDIS_MNEMONIC_SMSW, &status_word, NULL},
    {ZYDIS_MNEMONIC_PUSHF, &push_flags, NULL},
    {ZYDIS_MNEMONIC_PUSHFD, &push_flags, NULL},
    {ZYDIS_MNEMONIC_PUSHFQ, &push_flags, NULL},
    {ZYDIS_MNEMONIC_POPF, &pop_flags, NULL},
    {ZYDIS_MNEMONIC_POPFD, &pop_flags, NULL},
    {ZYDIS_MNEMONIC_POPFQ, &pop_flags, NULL},
    {ZYDIS_MNEMONIC_LAR, &access_rights, NULL},
    {ZYDIS_MNEMONIC_LSL, &access_rights, NULL},
    {ZYDIS_MNEMONIC_VERR, &access_rights, NULL},
    {ZYDIS_MNEMONIC_VERW, &access_rights, NULL},
    {ZYDIS_MNEMONIC_STR, &task_register, NULL},
    {ZYDIS_MNEMONIC_PUSH, &read_selector, from_segment},
    {ZYDIS_MNEMONIC_POP, &load_selector, to_segment},
    {ZYDIS_MNEMONIC_MOV, &control_register, of_control},
    {ZYDIS_MNEMONIC_MOV, &load_selector, to_segment},
    {ZYDIS_MNEMONIC_MOV, &read_selector, from_segment},
    {ZYDIS_MNEMONIC_CALL, &far_transfer, is_far},
    {ZYDIS_MNEMONIC_JMP, &far_transfer, is_far},
    {ZYDIS_MNEMONIC_RET, &far_transfer, is_far},
    {ZYDIS_MNEMONIC_INT, &interrupt, NULL},
    {ZYDIS_MNEMONIC_INT3, &interrupt, NULL},
    {ZYDIS_MNEMONIC_INT1, &interrupt, NULL},
    {ZYDIS_MNEMONIC_INTO, &interrupt, NULL},
    {ZYDIS_MNEMONIC_IRET, &interrupt_return, NULL},
    {ZYDIS_MNEMONIC_IRETD, &interrupt_return, NULL},
    {ZYDIS_MNEMONIC_IRETQ, &interrupt_return, NULL},
    {ZYDIS_MNEMONIC_LDS, &load_pointer, NULL},
    {ZYDIS_MNEMONIC_LES, &load_pointer, NULL},
    {ZYDIS_MNEMONIC_LFS, &load_pointer, NULL},
    {ZYDIS_MNEMONIC_LGS, &load_pointer, NULL},
    {ZYDIS_MNEMONIC_LSS, &load_pointer, NULL},
    {ZYDIS_MNEMONIC_SYSCALL, &system_call, NULL},
    {ZYDIS_MNEMONIC_SYSENTER, &system_call, NULL},
    {ZYDIS_MNEMONIC_CPUID, &identity, NULL},
    {ZYDIS_MNEMONIC_XGETBV, &identity, NULL},
    {ZYDIS_MNEMONIC_RDTSC, &time_stamp, NULL},
    {ZYDIS_MNEMONIC_RDTSCP, &time_stamp, NULL},
    {ZYDIS_MNEMONIC_RDFSBASE, &segment_base, NULL},
    {ZYDIS_MNEMONIC_RDGSBASE, &segment_base, NULL},
    {ZYDIS_MNEMONIC_WRFSBASE, &segment_base, NULL},
    {ZYDIS_MNEMONIC_WRGSBASE, &segment_base, NULL},
    {ZYDIS_MNEMONIC_CLI, &interrupt_flag, NULL},
    {ZYDIS_MNEMONIC_STI, &interrupt_flag, NULL},
    {ZYDIS_MNEMONIC_IN, &port, NULL},
    {ZYDIS_MNEMONIC_OUT, &port, NULL},
    {ZYDIS_MNEMONIC_INSB, &port, NULL},
    {ZYDIS_MNEMONIC_INSW, &port, NULL},
    {ZYDIS_MNEMONIC_INSD, &port, NULL},
    {ZYDIS_MNEMONIC_OUTSB, &port, NULL},
    {ZYDIS_MNEMONIC_OUTSW, &port, NULL},
    {ZYDIS_MNEMONIC_OUTSD, &port, NULL},
    {ZYDIS_MNEMONIC_CLTS, &control_register, NULL},
    {ZYDIS_MNEMONIC_LMSW, &control_register, NULL},
    {ZYDIS_MNEMONIC_XSETBV, &control_register, NULL},
    {ZYDIS_MNEMONIC_RDMSR, &model_register, NULL},
    {ZYDIS_MNEMONIC_WRMSR, &model_register, NULL},
    {ZYDIS_MNEMONIC_RDPMC, &model_register, NULL},
    {ZYDIS_MNEMONIC_LGDT, &system_table, NULL},
    {ZYDIS_MNEMONIC_LIDT, &system_table, NULL},
    {ZYDIS_MNEMONIC_LLDT, &system_table, NULL},
    {ZYDIS_MNEMONIC_LTR, &system_table, NULL},
    {ZYDIS_MNEMONIC_HLT, &halt, NULL},
    {ZYDIS_MNEMONIC_INVLPG, &address_space, NULL},
    {ZYDIS_MNEMONIC_INVPCID, &address_space, NULL},
    {ZYDIS_MNEMONIC_INVD, &address_space, NULL},
    {ZYDIS_MNEMONIC_WBINVD, &address_space, NULL},
    {ZYDIS_MNEMONIC_SYSRET, &kernel_exit, NULL},
    {ZYDIS_MNEMONIC_SYSEXIT, &kernel_exit, NULL},
    {ZYDIS_MNEMONIC_SWAPGS, &kernel_base, NULL},
    {ZYDIS_MNEMONIC_STAC, &user_access, NULL},
    {ZYDIS_MNEMONIC_CLAC, &user_access, NULL},
};

const struct sensitive *sensitive_find(const struct insn *in)
{
    if (!in->valid)
        return NULL;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].mnemonic == in->mnemonic && (!rows[i].only || rows[i].only(in)))
            return rows[i].what;
    return in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ? &any_privileged : NULL;
}
