/*
 * edit.h - line editing, history and completion for a session at a terminal.
 */
#ifndef NOVT_VMM_MONITOR_EDIT_H
#define NOVT_VMM_MONITOR_EDIT_H

#include <stddef.h>

#include "vmm/monitor/names.h"

/* The terminal. */
struct editor_io {
    int (*read)(void *opaque); /* the next byte, waiting for it; -1: no more */
    void (*write)(void *opaque, const char *text, size_t size);
    void (*complete)(const char *line, size_t length, struct completions *completions);
    void *opaque;
};

struct editor;

/* NULL: the system gives no pseudo-terminal or no memory. Free with editor_destroy. */
struct editor *editor_create(const struct editor_io *io, const char *prompt);
void editor_destroy(struct editor *editor);

/* The next line, with its end cut off; good until the next call. NULL: Ctrl-D on an empty line, or no more input.
 */
const char *editor_read_line(struct editor *editor);
/* From editor_io.read: shows the text, and the prompt and what has been typed below it. */
void editor_redraw(struct editor *editor, const char *text);

#endif
