"""Medians, ratios and how sure they are."""
import random
from dataclasses import dataclass
from statistics import median

RESAMPLES = 4000
PAIRS_FOR_INTERVAL = 5  # with fewer, the range of what was seen is all that can be said


@dataclass
class Ratio:
    ours: float
    theirs: float
    value: float
    low: float
    high: float
    pairs: int

    @property
    def interval_name(self):
        return "95 %" if self.pairs >= PAIRS_FOR_INTERVAL else "range"


def ratio_of_pairs(ours, theirs):
    """Ratio ours/theirs of measurements that were taken in pairs: the median of the pairs' ratios where there are many
    (what disturbs both halves of a pair falls out), else the ratio of medians."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if b > 0]
    ratios = [a / b for a, b in pairs]
    if len(ratios) < PAIRS_FOR_INTERVAL:
        value = median(a for a, _ in pairs) / median(b for _, b in pairs)
        return Ratio(median(ours), median(theirs), value, min(ratios), max(ratios), len(ratios))
    low, high = bootstrap(ratios)
    return Ratio(median(ours), median(theirs), median(ratios), low, high, len(ratios))


def bootstrap(values):
    """95 % confidence interval of the median by resampling; the same dice each time."""
    dice = random.Random(1)
    medians = sorted(median(dice.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]


def percentile_of_histogram(buckets, share):
    """Value below which this share of a histogram {value: count} lies."""
    total = sum(buckets.values())
    seen = 0
    for value in sorted(buckets):
        seen += buckets[value]
        if seen >= share * total:
            return value
    return 0.0
