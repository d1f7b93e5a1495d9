/*
 * fw_cfg.h - QEMU's firmware configuration device: items by key, and named files among them, which firmware reads
 * at ports 0x510 and 0x511 or has copied to its memory through port 0x514 (QEMU's docs/specs/fw_cfg.rst).
 */
#ifndef NOVT_DEVICES_FW_CFG_H
#define NOVT_DEVICES_FW_CFG_H

#include <stdbool.h>

#include "devices/bus.h"

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_CPUS = 0x05,
    FW_CFG_KERNEL_ADDRESS = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDRESS = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_COMMAND_LINE_ADDRESS = 0x13,
    FW_CFG_COMMAND_LINE_SIZE = 0x14,
    FW_CFG_COMMAND_LINE_DATA = 0x15,
    FW_CFG_SETUP_ADDRESS = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_DIRECTORY = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002
};
#define FW_CFG_ITEMS 64
#define FW_CFG_NAME 56 /* bytes of a file's name, with its end */

/* Guest RAM, for the device's own accesses; false where there is none. */
struct fw_cfg_memory {
    bool (*read)(void *opaque, uint64_t address, void *to, uint32_t size);
    bool (*write)(void *opaque, uint64_t address, const void *from, uint32_t size);
    void *opaque;
};

struct fw_cfg_state {
    uint16_t key;
    uint32_t offset; /* in the selected item */
    uint32_t address_high;
};

struct fw_cfg;

/* NULL when out of memory or the ports are taken. */
struct fw_cfg *fw_cfg_create(struct bus *bus, const struct fw_cfg_memory *memory);
void fw_cfg_destroy(struct fw_cfg *fw_cfg);
void fw_cfg_reset(struct fw_cfg *fw_cfg);

/* The data stay the caller's and must outlive the device. Errors: -ENOSPC, -EEXIST, -EINVAL (name too long). */
int fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t size);
int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, uint32_t size);

void fw_cfg_save(const struct fw_cfg *fw_cfg, struct fw_cfg_state *state);
void fw_cfg_load(struct fw_cfg *fw_cfg, const struct fw_cfg_state *state);

#endif
