/*
 * shadow_tables.h - the part of the experiment `shadow` that compares tables.
 */
#ifndef NOVT_LAB_SHADOW_TABLES_H
#define NOVT_LAB_SHADOW_TABLES_H

#include "lab/report.h"

/* Adds a table, a drawing and what was expected of them. name: of the engine, for people. shadow: which of novt's
   caches is drawn, "user" (the TLB) or "window". Errors: of lab_run_start.

   The drawing: {"title", "kind": "tables", "shadow", "pages": [{"linear", "frame", "bits": "PWUAD",
   "user" | "window" | "kernel": {"frame", "rights"} or null}...]}. Frames are numbers of pages. */
int lab_shadow_draw(struct json_object *report, const char *name, const char *engine, const char *shadow,
                    struct error *error);

#endif
