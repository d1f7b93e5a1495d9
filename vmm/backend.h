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
    /* Of a socket's clients, and of who turns to the monitor with Ctrl-A C; may be NULL. A front that wants to
       hear of a client's end has to hang up on it when it is through; before that no other one is let in. */
    void (*opened)(void *opaque);
    void (*closed)(void *opaque);
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

/* A second front, for the console with escape keys (else false): Ctrl-A C turns to it and back. What is typed then
   and not taken is lost, as all that is typed there. */
bool backend_attach_monitor(struct backend *backend, const struct backend_front *front);
/* Is there a person at a terminal, who wants to see what is typed? */
bool backend_is_interactive(const struct backend *backend);
/* Writes what goes out without waiting; how many bytes. All of them, to nowhere, if there is no reader. */
size_t backend_write_some(struct backend *backend, const void *data, size_t size);
/* The file that backend_write_some writes to, for waiting; -1: none. */
int backend_output(const struct backend *backend);
/* The front is through with this client. */
void backend_hang_up(struct backend *backend);

#endif
