/*
 * backend_internal.h - a backend's insides, for the files backend*.c and their tests.
 */
#ifndef NOVT_VMM_BACKEND_INTERNAL_H
#define NOVT_VMM_BACKEND_INTERNAL_H

#include "vmm/backend.h"
#include "vmm/mux.h"

#define BACKEND_PENDING 256u

enum backend_state {
    INPUT_NONE, /* there is none, or it has ended */
    INPUT_IDLE, /* device and pending[] are full: waits for can_receive */
    INPUT_OPEN  /* the loop watches it */
};

struct backend {
    const char *option, *label;
    struct backend_host host;
    struct backend_front front;
    int in_fd, out_fd; /* -1: none. Closed by the backend if owns_fds */
    int slave_fd;      /* pty: kept open so that the master does not hang up */
    int listen_fd;     /* unix server */
    bool owns_fds, is_terminal, drops, has_mux, attached;
    struct backend_front monitor; /* behind Ctrl-A C */
    bool has_monitor, in_monitor;
    enum backend_state input;
    struct loop_source source; /* in_fd, or event_fd */
    int event_fd;              /* always readable; stands for a plain file, which epoll does not take */
    struct loop_source listen_source;
    char *socket_path; /* to unlink */
    struct mux mux;
    uint8_t pending[BACKEND_PENDING]; /* read and not yet taken by the device; a ring */
    unsigned pending_head, pending_count;
};

/* Kinds, by name. `rest`: what follows the name and its colon. */
int backend_open_stdio(struct backend *b, const char *rest, struct error *error);
int backend_open_mon(struct backend *b, const char *rest, struct error *error);
int backend_open_file(struct backend *b, const char *rest, struct error *error);
int backend_open_pty(struct backend *b, const char *rest, struct error *error);
int backend_open_null(struct backend *b, const char *rest, struct error *error);
int backend_open_unix(struct backend *b, const char *rest, struct error *error);

void backend_drop_client(struct backend *b); /* of a socket */
/* Starts and ends watching in_fd. */
void backend_start_input(struct backend *b);
void backend_end_input(struct backend *b);

#endif
