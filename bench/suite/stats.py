"""Medians, and ratios pair by pair.

A figure of one run says little on a machine that others use as well.  Two
peers that ran one after the other had much the same machine, so what is
compared is always the two runs of one round, and then the median of that.
"""

import statistics
from dataclasses import dataclass
from typing import Optional


@dataclass
class Goal:
    """What is to be reached, and what was; value None is "not measured".
    Those in front go into the table of the project's front page."""

    what: str
    unit: str
    value: Optional[float]
    how: str
    bound: float
    front: bool = False

    @property
    def reached(self):
        if self.value is None:
            return None
        return self.value >= self.bound if self.how == ">=" \
            else self.value <= self.bound


def of(samples, suite, case, peer):
    """The samples that count, by round."""
    return {
        s["round"]: s
        for s in samples
        if s["counts"] and s["round"] > 0
        and (s["suite"], s["case"], s["peer"]) == (suite, case, peer)
    }


def spread(values):
    """(min, median, max), or None."""
    values = list(values)
    if not values:
        return None
    return min(values), statistics.median(values), max(values)


def figures(samples, suite, case, peer, metric):
    return spread(
        s[metric] for s in of(samples, suite, case, peer).values()
        if metric in s
    )


def pairs(samples, suite, case, metric, over, under):
    """The metric of peer over by that of peer under, in each round."""
    upper = of(samples, suite, case, over)
    lower = of(samples, suite, case, under)
    return [
        upper[r][metric] / lower[r][metric]
        for r in sorted(upper.keys() & lower.keys())
        if metric in upper[r] and lower[r].get(metric)
    ]


def ratios(samples, suite, case, metric, over, under):
    return spread(pairs(samples, suite, case, metric, over, under))


def median(samples, suite, case, peer, metric):
    found = figures(samples, suite, case, peer, metric)
    return found[1] if found else None
