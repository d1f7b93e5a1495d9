/*
 * io.c - the same bytes through devices of different manners: one register access a byte, one instruction for
 * many, one request for all.
 *
 * An operation is a byte. Invariants: the serial port is the second, whose bytes go nowhere, as those of the debug
 * port do; what the ways of fw_cfg read is the same item (its signature, then zeros), so their sums must be equal.
 */
#include "lab/guest/lab.h"

#define COM2 0x2f8
#define LSR_THRE 0x20
#define DEBUG_PORT 0xe9
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_DMA 0x514
#define FW_CFG_SIGNATURE 0
#define DMA_READ 2u
#define DMA_SELECT 8u
#define ROOM 32768u

static uint8_t buffer[ROOM];

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint64_t serial_poll(uint64_t n)
{
    return GUEST_TIMED(n, while (!(inb(COM2 + 5) & LSR_THRE)); outb(COM2, '.'));
}

static uint64_t serial_blind(uint64_t n)
{
    return GUEST_TIMED(n, outb(COM2, '.'));
}

static uint64_t debug_out(uint64_t n)
{
    return GUEST_TIMED(n, outb(DEBUG_PORT, '.'));
}

static uint64_t debug_rep(uint64_t n)
{
    const uint8_t *from = buffer;
    uint64_t begin = guest_tsc();

    lab_check(n <= ROOM, "too-many-bytes");
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(DEBUG_PORT) : "memory");
    return guest_tsc() - begin;
}

/* Each byte weighs as much as its place, so that an exchange of two is seen. */
static void sum(const char *task, const uint8_t *bytes, uint64_t n)
{
    uint64_t total = 0, i;

    for (i = 0; i < n; i++)
        total += bytes[i] * (i + 1);
    lab_begin("sum");
    lab_word("task", task);
    lab_number("value", total);
    lab_end();
}

static uint64_t fwcfg_in(uint64_t n)
{
    uint64_t at = 0, cycles;

    outw(FW_CFG_SELECT, FW_CFG_SIGNATURE);
    cycles = GUEST_TIMED(n, buffer[at++ % ROOM] = inb(FW_CFG_DATA));
    sum("fwcfg-in", buffer, n);
    return cycles;
}

static uint64_t fwcfg_rep(uint64_t n)
{
    uint8_t *to = buffer;
    uint64_t left = n, begin;

    outw(FW_CFG_SELECT, FW_CFG_SIGNATURE);
    begin = guest_tsc();
    __asm__ volatile("rep insb" : "+D"(to), "+c"(left) : "d"(FW_CFG_DATA) : "memory");
    begin = guest_tsc() - begin;
    sum("fwcfg-rep", buffer, n);
    return begin;
}

/* QEMU's docs/specs/fw_cfg.rst: a structure in memory, big-endian, whose address is written to the device. */
static uint64_t fwcfg_dma(uint64_t n)
{
    static volatile struct {
        uint32_t control, length;
        uint64_t address;
    } request;
    uint64_t begin = guest_tsc();

    request.control = __builtin_bswap32(FW_CFG_SIGNATURE << 16 | DMA_SELECT | DMA_READ);
    request.length = __builtin_bswap32((uint32_t)n);
    request.address = __builtin_bswap64((uint64_t)buffer);
    outl(FW_CFG_DMA + 4, __builtin_bswap32((uint32_t)(uint64_t)&request));
    begin = guest_tsc() - begin;
    lab_check(!request.control, "the-copy-was-refused");
    sum("fwcfg-dma", buffer, n);
    return begin;
}

const struct lab_task lab_tasks[] = {
    {"serial-poll", serial_poll, lab_empty}, {"serial-blind", serial_blind, lab_empty},
    {"debug-out", debug_out, lab_empty},     {"debug-rep", debug_rep, NULL},
    {"fwcfg-in", fwcfg_in, lab_empty},       {"fwcfg-rep", fwcfg_rep, NULL},
    {"fwcfg-dma", fwcfg_dma, NULL},          {NULL},
};
