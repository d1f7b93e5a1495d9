/*
 * chardev.h - where the bytes of serial lines and debug ports go.
 */
#ifndef NOVT_DEVICES_CHARDEV_H
#define NOVT_DEVICES_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

struct chardev {
    /* Guest to host. Takes everything (buffers or drops what the host does not take). NULL: drop. */
    void (*write)(void *opaque, const uint8_t *data, size_t size);
    /* The device has room again after it had none: the host side may offer input again. May be NULL. */
    void (*can_receive)(void *opaque);
    void *opaque;
};

static inline void chardev_write(const struct chardev *chardev, const uint8_t *data, size_t size)
{
    if (chardev->write)
        chardev->write(chardev->opaque, data, size);
}

#endif
