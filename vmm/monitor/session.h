/*
 * session.h - a session of the monitor: one client at a time, a thread that serves it.
 */
#ifndef NOVT_VMM_MONITOR_SESSION_H
#define NOVT_VMM_MONITOR_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/backend.h"

#define SESSION_RING 4096u
#define SESSION_NEWS 512u

struct editor;
struct machine;

struct session {
    struct machine *machine;
    struct backend *backend;
    bool has_line;         /* a line of its own, with clients that come and go; else behind Ctrl-A C */
    struct editor *editor; /* NULL: plain lines */
    pthread_t thread;
    bool started;
    /* under the machine's lock */
    pthread_cond_t changed;
    bool open, at_end, ending; /* there is a client; it sends no more; the machine goes */
    bool turned_to;            /* Ctrl-A C has been typed: show the prompt */
    bool away;                 /* and again: what is typed goes to the guest */
    uint8_t ring[SESSION_RING];
    unsigned head, count;
    char news[SESSION_NEWS]; /* to be shown */
};

/* On `backend`, which outlives it; NULL: it is never started. has_line: see above. */
void session_create(struct session *session, struct machine *machine, struct backend *backend, bool has_line);
/* Its thread, once; again is fine. false: the system gives none. */
bool session_start(struct session *session);
/* Without the machine's lock. */
void session_destroy(struct session *session);

#endif
