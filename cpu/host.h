/*
 * host.h - loads, stores and compare-and-exchange on guest RAM in host memory, of 1, 2, 4 or 8 bytes at any
 * alignment, each one host access. Private to cpu/.
 */
#ifndef NOVT_CPU_HOST_H
#define NOVT_CPU_HOST_H

#include <stdbool.h>
#include <stdint.h>

typedef volatile uint16_t __attribute__((aligned(1), may_alias)) host_u16;
typedef volatile uint32_t __attribute__((aligned(1), may_alias)) host_u32;
typedef volatile uint64_t __attribute__((aligned(1), may_alias)) host_u64;

static inline uint64_t host_load(const uint8_t *host, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)host;
    case 2:
        return *(const host_u16 *)host;
    case 4:
        return *(const host_u32 *)host;
    default:
        return *(const host_u64 *)host;
    }
}

static inline void host_store(uint8_t *host, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)host = (uint8_t)value;
        break;
    case 2:
        *(host_u16 *)host = (uint16_t)value;
        break;
    case 4:
        *(host_u32 *)host = (uint32_t)value;
        break;
    default:
        *(host_u64 *)host = value;
    }
}

/* Locked; *old becomes what was found when it differs. */
static inline bool host_exchange(uint8_t *host, unsigned size, uint64_t *old, uint64_t value)
{
    uint64_t a = *old;
    bool equal;

    switch (size) {
    case 1:
        __asm__ volatile("lock cmpxchgb %b3, %0" : "+m"(*host), "+a"(a), "=@ccz"(equal) : "r"(value) : "memory");
        break;
    case 2:
        __asm__ volatile("lock cmpxchgw %w3, %0"
                         : "+m"(*(host_u16 *)host), "+a"(a), "=@ccz"(equal)
                         : "r"(value)
                         : "memory");
        break;
    case 4:
        __asm__ volatile("lock cmpxchgl %k3, %0"
                         : "+m"(*(host_u32 *)host), "+a"(a), "=@ccz"(equal)
                         : "r"(value)
                         : "memory");
        break;
    default:
        __asm__ volatile("lock cmpxchgq %3, %0"
                         : "+m"(*(host_u64 *)host), "+a"(a), "=@ccz"(equal)
                         : "r"(value)
                         : "memory");
    }
    if (!equal)
        *old = a;
    return equal;
}

#endif
