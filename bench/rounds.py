"""Rounds: everybody in each of them, in random order; what counts is the median of the ratios within a round."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.load import Load

Runs = Mapping[str, Sequence[Load]]


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    what: str
    shown: str
    """The medians that the ratio is of."""
    ratio: float
    low: float
    high: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def __str__(self) -> str:
        sign, verdict = "≤" if self.at_most else "≥", "ok" if self.met else "MISSED"
        spread = f"{self.low:.2f}-{self.high:.2f}"
        return f"{self.what:43} {self.shown:50} {self.ratio:8.2f}  {spread:>13}  {sign} {self.target:<6g} {verdict}"


HEAD = f"{'':43} {'median of each (processor time of one)':50} {'ratio':>8}  {'spread':>13}  target"


def play(contenders: Mapping[str, Callable[[], Load]], rounds: int) -> dict[str, list[Load]]:
    chance, found = random.Random(1), {name: list[Load]() for name in contenders}
    for _ in range(rounds):
        for name in chance.sample(list(contenders), len(contenders)):
            found[name].append(contenders[name]())
    return found


def faster(what: str, runs: Runs, one: str, other: str, target: float) -> Line:
    """How many times as many requests a second `one` answers as `other`."""
    ratios = [a.per_second / b.per_second for a, b in zip(runs[one], runs[other], strict=True)]
    rates = {name: statistics.median(r.per_second for r in runs[name]) for name in (one, other)}
    cpu = {name: statistics.median(r.cpu for r in runs[name]) for name in rates}
    shown = ", ".join(f"{name} {rate:,.0f}/s ({cpu[name]:.2f} ms)" for name, rate in rates.items())
    return Line(what, shown, statistics.median(ratios), min(ratios), max(ratios), target)


def slower(what: str, runs: Runs, one: str, other: str, target: float,
           time: Callable[[Load], float] = lambda load: load.p50) -> Line:  # fmt: skip
    """How many times as long `one` takes as `other`, at the median unless it is another time."""
    ratios = [time(a) / time(b) for a, b in zip(runs[one], runs[other], strict=True)]
    shown = ", ".join(f"{name} {statistics.median(map(time, runs[name])):.2f} ms" for name in (one, other))
    return Line(what, shown, statistics.median(ratios), min(ratios), max(ratios), target, at_most=True)
