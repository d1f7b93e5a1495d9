"""figures - medians, intervals and ratios of measured times.

Interface: median, interval, paired_ratio, geometric_mean, differs. A sample is a list of positive numbers. An
interval is a bootstrap percentile interval of the median at 95 %; of fewer than three values it is their minimum
and maximum. Resampling is seeded: the same sample gives the same interval.
"""

import math
import random

RESAMPLES = 1000
TAIL = 0.025


def median(sample):
    if not sample:
        raise ValueError("median of no values")
    ordered = sorted(sample)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def interval(sample, statistic=median):
    """(low, high) around statistic(sample)."""
    if len(sample) < 3:
        return min(sample), max(sample)
    chance = random.Random(len(sample))
    values = sorted(statistic([chance.choice(sample) for _ in sample]) for _ in range(RESAMPLES))
    return values[int(TAIL * RESAMPLES)], values[int((1 - TAIL) * RESAMPLES) - 1]


def paired(sample, base):
    """Ratios of what was measured in the same round: both are {round: value}."""
    return [sample[r] / base[r] for r in sorted(sample) if base.get(r)]


def geometric_mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def spread(sample):
    """(maximum - minimum) / median."""
    return (max(sample) - min(sample)) / median(sample)


def differs(now, before):
    """Do two samples differ by more than their noise? Their intervals do not touch."""
    low, high = interval(now)
    low_before, high_before = interval(before)
    return low > high_before or high < low_before
