"""Timing in interleaved rounds, and tables with ratios, for `rivals.py`."""

from __future__ import annotations

import math
import statistics
import timeit
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_S = 0.02  # a longer statement is always interrupted by something; its median has to do
TRIES = 8  # at a shorter timing that nobody interrupted
UNITS = {"ns": 1e9, "us": 1e6, "ms": 1e3}


class Case(NamedTuple):
    """A statement to time.

    Where its names are given several times, with other copies of the same things, rounds take
    turns: then no figure depends on where in memory one of them happens to be.
    """

    name: str
    statement: str | Callable[[], object]
    names: dict | list[dict] | None = None
    scale: float = 1.0  # divides the time: people, rows


class Table(NamedTuple):
    """Cases that are measured together; ratios are to the first of them.

    A bar is the least ratio that a case is held to, by the beginning of its name.
    """

    title: str
    unit: str
    cases: list[Case]
    bars: dict[str, float]


def measure(cases: list[Case], rounds: int, at_least_s: float = 0.003) -> dict[str, float]:
    """Return the median seconds of each case over interleaved rounds."""
    timers = []
    for case in cases:
        places = case.names if isinstance(case.names, list) else [case.names]
        turns = [timeit.Timer(case.statement, globals=names) for names in places]
        turns[0].timeit(1)  # warm: compiles, caches
        once = turns[0].timeit(1)
        if once < LONG_S:
            once = min(once, turns[0].timeit(1))
        number = max(1, math.ceil(at_least_s / max(once, 1e-8)))
        timers.append((cycle(turns), number, TRIES if once < LONG_S else 1))
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case, (turns, number, tries) in zip(cases, timers, strict=True):
            timer = next(turns)
            for _ in range(tries):
                before = preemptions()
                seconds = timer.timeit(number)
                if preemptions() == before:
                    break
            times[case.name].append(seconds / number / case.scale)
    return {name: statistics.median(values) for name, values in times.items()}


def preemptions() -> int:
    """Return how often the scheduler took the processor from this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def verdict(holds: bool) -> str:
    return "holds" if holds else "MISSED"


class Report:
    """Prints lines of Markdown, and keeps them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str = "") -> None:
        print(text, flush=True)
        self.lines.append(text)

    def run(self, table: Table, rounds: int) -> None:
        """Measure a table and print it."""
        self.show(table.title, table.unit, measure(table.cases, rounds), table.bars)

    def show(self, title: str, unit: str, times: dict[str, float], bars: dict[str, float]) -> None:
        """Print times with their ratios to the first of them, and the bars."""
        first = next(iter(times))
        self.say(f"\n### {title}\n")
        self.say(f"| | {unit} | x {first} | bar |")
        self.say("|---|---:|---:|---|")
        for name, seconds in times.items():
            ratio = seconds / times[first]
            bar = next((f"{_bar(b, ratio)}" for key, b in bars.items() if name.startswith(key)), "")
            self.say(f"| {name} | {_figure(seconds * UNITS[unit])} | {ratio:,.2f} | {bar} |")


def _bar(least: float, ratio: float) -> str:
    holds = verdict(ratio >= least)
    if least >= 1:
        return f"at least {least:g} x, {holds}"
    return f"first row at most {1 / least:.3g} x this: {1 / ratio:.2f} x, {holds}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
