/*
 * loader.h - -device loader: raw images and numbers put into guest memory before it runs.
 */
#ifndef NOVT_VMM_LOADER_H
#define NOVT_VMM_LOADER_H

#include "cpu/vcpu.h"
#include "memory/ram.h"
#include "vmm/file.h"

#define LOADER_MAX 16
#define LOADER_NAME 1024

/* One -device loader, as its properties say. */
struct loader_options {
    char file[LOADER_NAME]; /* "": data */
    uint64_t address, data;
    unsigned data_length; /* 0: none */
    bool has_address, has_data, big_endian, force_raw;
    bool start; /* cpu-num=0: the processor starts at the address */
};

struct loader {
    const struct loader_options *options;
    struct image_file file; /* fd -1: none */
};

/* value: what follows "loader," in -device. Errors: -EINVAL. */
int loader_parse(struct loader_options *options, const char *value, struct error *error);
/* Errors: those of image_file_open, -EINVAL. The options must outlive it; close with loader_close. */
int loader_open(struct loader *loader, const struct loader_options *options, uint64_t ram_size,
                struct error *error);
void loader_close(struct loader *loader);
/* Errors: -EFBIG (no RAM there). Again for a reset. */
int loader_load(const struct loader *loader, struct ram *ram, struct error *error);
/* After vcpu_reset: real mode at the address, CS 0 as for a boot sector, or the address's 64 KiB. */
void loader_start(const struct loader *loader, struct vcpu *v);

#endif
