/*
 * backend.h - the host's side of a serial line: what -serial and -debugcon name.
 */
#ifndef NOVT_VMM_BACKEND_H
#define NOVT_VMM_BACKEND_H

#include "devices/chardev.h"
#include "memory/error.h"
#include "vmm/loop.h"

/* The device's side. All are called with the machine's lock held. */
struct backend_front {
    unsigned (*can_receive)(void *opaque); /* bytes it takes now */
    void (*receive)(void *opaque, uint8_t byte);
    void (*receive_break)(void *opaque); /* may be NULL */
    void *opaque;
};

/* What backends need of the machine. */
struct backend_host {
    struct loop *loop;
    void (*quit)(void *opaque); /* Ctrl-A X */
    void *opaque;
};

struct backend;

/*
 * spec: stdio, mon:stdio, file:PATH, pty, unix:PATH[,server][,nowait], null, none. label: "serial0", for messages
 * and errors. With `server` and without `nowait` it waits for a client. *backend is NULL for "none" with status 0.
 * Errors: -EINVAL and those of the system. Free with backend_destroy.
 */
int backend_create(struct backend **backend, const char *option, const char *spec, const char *label,
                   const struct backend_host *host, struct error *error);
void backend_destroy(struct backend *backend);
/* Does this spec use stdin and stdout? */
bool backend_is_stdio(const char *spec);

/* What the device gets. */
struct chardev backend_chardev(struct backend *backend);
/* Input flows from now on, as far as the device takes it. */
void backend_attach(struct backend *backend, const struct backend_front *front);

#endif
