/*
 * native.c - the oracle: runs a case on the host CPU itself.
 *
 * The whole register state is loaded, FS and GS bases included, and the code jumped to. It comes back through an
 * exit stub, or through a signal whose frame holds the state. Everything the entry and the stubs need lies in a
 * context page at a fixed low address, so that no register is needed to find it. The signal handler runs on its
 * own stack and restores the FS base before anything else.
 *
 * 16- and 32-bit code is entered and left by far jumps, between segments of the LDT or the kernel's own for 32-bit
 * programs, and 64-bit code.
 */
#include "tests/insn/insn.h"

#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CONTEXT 0x7ee30000ull /* no sum of pointers to the areas leads here */

struct context {
    _Alignas(64) uint8_t xsave[INSN_XSAVE_SIZE];
    uint64_t gpr[16]; /* 0x1000 */
    uint64_t rflags;  /* 0x1080 */
    uint32_t rip;     /* 0x1088: far pointer with the next */
    uint16_t cs, unused;
    uint64_t fs_base, gs_base;           /* 0x1090, 0x1098 */
    uint64_t host_rsp, host_fs, host_gs; /* 0x10a0, 0x10a8, 0x10b0 */
    uint64_t exit, leave;                /* 0x10b8, 0x10c0 */
    uint16_t seg[8];                     /* 0x10c8: ES, CS, SS, DS, FS, GS */
    uint64_t scratch[60];
    uint64_t flags; /* 0x12b8: pushed with the stack at 0x12c0 */
    uint64_t running;
    uint32_t vector, error;
    uint64_t cr2, stopped;
};

_Static_assert(offsetof(struct context, rflags) == 0x1080 && offsetof(struct context, leave) == 0x10c0 &&
                   offsetof(struct context, seg) == 0x10c8 && offsetof(struct context, cs) == 0x108c &&
                   offsetof(struct context, flags) == 0x12b8,
               "the assembly below knows these offsets");

void native_enter(void);
void native_leave(void);
void native_resume(void);

__asm__(".text\n"
        ".intel_syntax noprefix\n"
        ".globl native_enter, native_leave, native_resume\n"
        ".hidden native_enter, native_leave, native_resume\n"
        "native_enter:\n"
        "push rbp\npush rbx\npush r12\npush r13\npush r14\npush r15\n"
        "mov ds:[0x7ee310a0], rsp\n"
        "rdfsbase rax\nmov ds:[0x7ee310a8], rax\n"
        "rdgsbase rax\nmov ds:[0x7ee310b0], rax\n"
        "mov ax, ds:[0x7ee310c8]\nmov es, ax\n"
        "mov ax, ds:[0x7ee310ce]\nmov ds, ax\n"
        "mov ax, ds:[0x7ee310d0]\nmov fs, ax\n"
        "mov ax, ds:[0x7ee310d2]\nmov gs, ax\n"
        "test ax, ax\njnz 1f\n"
        "mov rax, ds:[0x7ee31098]\nwrgsbase rax\n"
        "1: cmp word ptr ds:[0x7ee310d0], 0\njnz 1f\n"
        "mov rax, ds:[0x7ee31090]\nwrfsbase rax\n"
        "1: mov eax, 0xe7\nxor edx, edx\n"
        "xrstor64 ds:[0x7ee30000]\n"
        "push qword ptr ds:[0x7ee31080]\npopfq\n"
        "mov ax, ds:[0x7ee310cc]\nmov ss, ax\n"
        "mov rax, ds:[0x7ee31000]\nmov rcx, ds:[0x7ee31008]\nmov rdx, ds:[0x7ee31010]\n"
        "mov rbx, ds:[0x7ee31018]\nmov rsp, ds:[0x7ee31020]\nmov rbp, ds:[0x7ee31028]\n"
        "mov rsi, ds:[0x7ee31030]\nmov rdi, ds:[0x7ee31038]\nmov r8, ds:[0x7ee31040]\n"
        "mov r9, ds:[0x7ee31048]\nmov r10, ds:[0x7ee31050]\nmov r11, ds:[0x7ee31058]\n"
        "mov r12, ds:[0x7ee31060]\nmov r13, ds:[0x7ee31068]\nmov r14, ds:[0x7ee31070]\n"
        "mov r15, ds:[0x7ee31078]\n"
        "jmp fword ptr ds:[0x7ee31088]\n"
        "native_leave:\n"
        "mov ds:[0x7ee31020], rsp\n"
        "mov esp, 0x7ee312c0\npushfq\n"
        "mov ds:[0x7ee31000], rax\nmov ds:[0x7ee31008], rcx\nmov ds:[0x7ee31010], rdx\n"
        "mov ds:[0x7ee31018], rbx\nmov ds:[0x7ee31028], rbp\n"
        "mov ds:[0x7ee31030], rsi\nmov ds:[0x7ee31038], rdi\nmov ds:[0x7ee31040], r8\n"
        "mov ds:[0x7ee31048], r9\nmov ds:[0x7ee31050], r10\nmov ds:[0x7ee31058], r11\n"
        "mov ds:[0x7ee31060], r12\nmov ds:[0x7ee31068], r13\nmov ds:[0x7ee31070], r14\n"
        "mov ds:[0x7ee31078], r15\n"
        "cld\n"
        "mov ds:[0x7ee310c8], es\nmov ds:[0x7ee310cc], ss\nmov ds:[0x7ee310ce], ds\n"
        "mov ds:[0x7ee310d0], fs\nmov ds:[0x7ee310d2], gs\n"
        "mov eax, 0xe7\nxor edx, edx\n"
        "xsave64 ds:[0x7ee30000]\n"
        "rdfsbase rax\nmov ds:[0x7ee31090], rax\n"
        "rdgsbase rax\nmov ds:[0x7ee31098], rax\n"
        "mov eax, 0x2b\nmov ss, eax\n"
        "xor eax, eax\nmov ds, eax\nmov es, eax\nmov fs, eax\nmov gs, eax\n"
        "mov rax, ds:[0x7ee310a8]\nwrfsbase rax\n"
        "mov rax, ds:[0x7ee310b0]\nwrgsbase rax\n"
        "mov rsp, ds:[0x7ee310a0]\n"
        "native_resume:\n"
        "push 0x202\npopfq\n"
        "fninit\n"
        "push 0x1f80\nldmxcsr [rsp]\nadd rsp, 8\n"
        "vzeroupper\n"
        "pop r15\npop r14\npop r13\npop r12\npop rbx\npop rbp\n"
        "ret\n"
        ".att_syntax\n");

static struct context *const context = (struct context *)CONTEXT;
static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
static struct sigaction old_action[5];
static stack_t old_stack;
static uint8_t *signal_stack;
#define SIGNAL_STACK_SIZE 65536u

static void die(const char *text)
{
    if (write(2, text, strlen(text)) < 0)
        _exit(3);
    _exit(3);
}

static void *map_at(uint64_t address, size_t size, int protection)
{
    void *p = mmap((void *)address, size, protection,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);

    return p == (void *)address ? p : NULL;
}

/* The signal frame's XSAVE image is in the standard format; its size is in the software-reserved bytes. */
static void take_frame_xstate(const void *frame)
{
    uint32_t size;

    memcpy(&size, (const uint8_t *)frame + 464 + 16, 4);
    if (size < insn_xsave_size())
        die("insn-test: unexpected signal frame\n");
    memcpy(context->xsave, frame, insn_xsave_size());
}

/* SS is in the frame; CS is what it was unless a far transfer has been made. */
static inline void take_selectors(void)
{
    uint16_t *seg = context->seg;

    __asm__ volatile("movw %%es, %0\nmovw %%ds, %1\nmovw %%fs, %2\nmovw %%gs, %3"
                     : "=m"(seg[S_ES]), "=m"(seg[S_DS]), "=m"(seg[S_FS]), "=m"(seg[S_GS]));
    __asm__ volatile("movw %w0, %%es\nmovw %w0, %%ds\nmovw %w0, %%fs\nmovw %w0, %%gs" : : "r"(0));
}

__attribute__((no_stack_protector, no_sanitize("address"))) static void on_signal(int number, siginfo_t *info,
                                                                                  void *opaque)
{
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    greg_t *r = ((ucontext_t *)opaque)->uc_mcontext.gregs;
    unsigned i;

    if (!context->running) {
        signal(number, SIG_DFL);
        return;
    }
    context->fs_base = __builtin_ia32_rdfsbase64();
    context->gs_base = __builtin_ia32_rdgsbase64();
    take_selectors();
    __builtin_ia32_wrfsbase64(context->host_fs);
    __builtin_ia32_wrgsbase64(context->host_gs);
    context->running = 0;
    for (i = 0; i < 16; i++)
        context->gpr[i] = (uint64_t)r[order[i]];
    context->stopped = (uint64_t)r[REG_RIP];
    context->seg[S_CS] = (uint16_t)r[REG_CSGSFS];
    context->seg[S_SS] = (uint16_t)(r[REG_CSGSFS] >> 48);
    context->flags = (uint64_t)r[REG_EFL];
    context->vector = (uint32_t)r[REG_TRAPNO];
    context->error = (uint32_t)r[REG_ERR];
    context->cr2 = (uint64_t)r[REG_CR2];
    take_frame_xstate(((ucontext_t *)opaque)->uc_mcontext.fpregs);
    r[REG_RIP] = (greg_t)(uintptr_t)native_resume;
    r[REG_RSP] = (greg_t)context->host_rsp;
    r[REG_EFL] = 0x202;
    r[REG_CSGSFS] = 0x33 | 0x2bll << 48;
}

static void write_exit_stubs(void)
{
    unsigned i;

    for (i = 0; i < INSN_EXITS; i++) {
        /* mov dword [context.exit], i; jmp [context.leave] */
        const uint8_t stub[] = {0xc7, 0x04, 0x25, 0xb8, 0x10, 0xe3, 0x7e, (uint8_t)i, 0,
                                0,    0,    0xff, 0x24, 0x25, 0xc0, 0x10, 0xe3,       0x7e};

        /* jmp 0x33:stub */
        const uint8_t jump[] = {0xea, (uint8_t)(32 * i), 0, 0x10, 0x20, 0x33, 0};

        memcpy((uint8_t *)INSN_EXIT + 32 * i, stub, sizeof stub);
        memcpy((uint8_t *)INSN_EXIT32 + 32 * i, jump, sizeof jump);
    }
}

static int write_ldt(void)
{
    const struct insn_segment *s;
    unsigned i;

    for (i = 0; (s = insn_ldt_entry(i)); i++) {
        struct user_desc d = {.entry_number = i,
                              .base_addr = s->base,
                              .limit = s->limit,
                              .seg_32bit = s->big,
                              .contents = s->code ? 2 : s->expand_down,
                              .read_exec_only = s->exec_only_or_read_only,
                              .limit_in_pages = s->pages,
                              .seg_not_present = s->absent,
                              .useable = 1};

        if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d) < 0)
            return -errno;
    }
    return 0;
}

/* An engine that confuses guest and host addresses must not find the oracle's memory where the guest's is; and a
   narrow window wants the lowest 4 GiB for itself. So between runs of the oracle its areas are elsewhere. */
#define AREAS 5u
static struct area {
    uint64_t at;
    size_t size;
    int protection;
    uint8_t *aside;
} areas[AREAS];
static bool is_aside;

static void find_areas(void)
{
    const struct area found[AREAS] = {
        {CONTEXT, (sizeof(struct context) + 4095) & ~4095ull, PROT_READ | PROT_WRITE, NULL},
        {INSN_DATA, INSN_DATA_SIZE, PROT_READ | PROT_WRITE, NULL},
        {INSN_DATA + INSN_DATA_SIZE, INSN_DATA_CONST, PROT_READ | PROT_WRITE, NULL},
        {INSN_CODE, INSN_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, NULL},
        {INSN_EXIT, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, NULL}};

    memcpy(areas, found, sizeof areas);
}

static void move(void *from, void *to, size_t size)
{
    if (mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
        die("insn-test: the oracle's memory cannot be moved\n");
}

/* Where it is not, the address space stays taken. */
static void move_areas(bool aside)
{
    unsigned i;

    for (i = 0; i < AREAS && aside != is_aside; i++) {
        struct area *a = &areas[i];

        if (aside) {
            move((void *)a->at, a->aside, a->size);
        } else {
            move(a->aside, (void *)a->at, a->size);
            mmap(a->aside, a->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        }
    }
    is_aside = aside;
}

int insn_native_open(void)
{
    unsigned i;

    find_areas();
    for (i = 0; i < AREAS; i++) {
        areas[i].aside = mmap(NULL, areas[i].size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (areas[i].aside == MAP_FAILED || !map_at(areas[i].at, areas[i].size, areas[i].protection))
            return -ENOMEM;
    }
    signal_stack = malloc(SIGNAL_STACK_SIZE);
    context->leave = (uint64_t)(uintptr_t)native_leave;
    memset((void *)INSN_CODE, 0xcc, INSN_CODE_SIZE);
    write_exit_stubs();
    mprotect((void *)INSN_EXIT, 4096, PROT_READ | PROT_EXEC);
    return signal_stack ? write_ldt() : -ENOMEM;
}

void insn_native_set_const(const uint8_t *page)
{
    uint8_t *p = (uint8_t *)INSN_DATA + INSN_DATA_SIZE;

    mprotect(p, INSN_DATA_CONST, PROT_READ | PROT_WRITE);
    memcpy(p, page, INSN_DATA_CONST);
    mprotect(p, INSN_DATA_CONST, PROT_READ);
}

void insn_native_begin(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_sp = signal_stack, .ss_size = SIGNAL_STACK_SIZE};
    unsigned i;

    sigfillset(&action.sa_mask);
    sigaltstack(&stack, &old_stack);
    for (i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, &old_action[i]);
    move_areas(false);
}

void insn_native_end(void)
{
    unsigned i;

    for (i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &old_action[i], NULL);
    sigaltstack(&old_stack, NULL);
    move_areas(true);
}

void insn_native_clear_code(void)
{
    memset((void *)INSN_CODE, 0xcc, INSN_CODE_SIZE);
}

void insn_native_place(const struct insn_case *c)
{
    uint8_t *slot = (uint8_t *)INSN_CODE + INSN_SLOT_AT(c->slot);

    memset(slot, 0xcc, INSN_SLOT);
    memcpy((void *)c->start, c->code, c->code_length);
}

void insn_native_run(struct insn_case *c, const uint8_t *image)
{
    struct insn_state *out = &c->expected;
    unsigned i;

    memcpy((void *)INSN_DATA, image, INSN_DATA_SIZE);
    for (i = 0; i < c->pokes; i++)
        memcpy((uint8_t *)INSN_DATA + c->poke[i].offset, &c->poke[i].value, 8);
    memcpy(context->xsave, c->in.xsave, insn_xsave_size());
    memcpy(context->gpr, c->in.gpr, sizeof context->gpr);
    context->rflags = c->in.rflags;
    context->rip = (uint32_t)c->start - insn_segment_base(c->in.seg[S_CS]);
    context->cs = c->in.seg[S_CS];
    memcpy(context->seg, c->in.seg, sizeof c->in.seg);
    context->fs_base = c->in.fs_base;
    context->gs_base = c->in.gs_base;
    context->vector = INSN_NO_FAULT;
    context->error = 0;
    context->cr2 = 0;
    context->exit = 0;
    context->running = 1;
    native_enter();
    context->running = 0;
    memcpy(out->gpr, context->gpr, sizeof out->gpr);
    out->vector = context->vector;
    out->exit = (uint32_t)context->exit;
    out->rip = out->vector == INSN_NO_FAULT ? INSN_EXIT + 32 * out->exit : context->stopped;
    out->rflags = context->flags;
    memcpy(out->seg, context->seg, sizeof out->seg);
    out->fs_base = context->fs_base;
    out->gs_base = context->gs_base;
    out->error = context->error;
    out->cr2 = context->cr2;
    out->hung = 0;
    memcpy(out->xsave, context->xsave, INSN_XSAVE_SIZE);
    insn_xstate_normalise(out->xsave);
    memcpy(c->expected_data, (void *)INSN_DATA, INSN_DATA_SIZE);
}
