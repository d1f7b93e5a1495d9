/*
 * experiments.h - all of them, in the order of a lecture. Each has a file of its name here, a guest of its name in
 * guest/, and a page of its name in docs/lab/.
 */
#ifndef NOVT_LAB_EXPERIMENTS_H
#define NOVT_LAB_EXPERIMENTS_H

#include "lab/report.h"

#define LAB_EXPERIMENTS 6u

extern const struct lab_experiment *const lab_experiments[LAB_EXPERIMENTS];
extern const struct lab_experiment lab_sensitive, lab_engines, lab_cache, lab_shadow, lab_io, lab_visible;

#endif
