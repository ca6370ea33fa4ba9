"""The live path, from SQLite to probability, as the log grows: it should not be felt.

    python benches/live.py                   # logs of 10,000 to 1,000,000 events
    python benches/live.py 10000 100000      # of these

Two kinds of growth: the same person for longer (27 events a day, for 1 to 100 years), and ever more
events in one year. Times are medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inhabit.events import EventRow, us_from_datetime
from inhabit.personalizer import Personalizer
from inhabit.scheduling import DeviceState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (10_000, 100_000, 1_000_000)
PER_DAY = 27
DAY_US = 86_400_000_000
LAST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
SUBJECT = "meditate"
MOST_GROWTH = 1.5  # of a prediction, from the shortest log to the longest
MOST_MS = {  # of a prediction, at any length; a new process opens the log and the generation first
    "the open question": 1.0,
    "after an event": 1.0,
    "a new question": 1.0,
    "a new process": math.inf,
    "a new process, weeks after the training": math.inf,
}


class Clock:
    """A clock that the measurement moves; it also runs a millisecond at each look."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


def life(events: int, days: int) -> Iterator[EventRow]:
    """Yield the events of somebody who practises most days and opens the app all the time."""
    random = np.random.default_rng(7)
    first_us = us_from_datetime(LAST_DAY) - days * DAY_US
    for day in range(days):
        day_us = first_us + day * DAY_US
        in_summer = 86 <= (day - days) % 365 < 300
        offset_s = 7_200 if in_summer else 3_600  # any life ends in winter, where the clock is
        times = np.sort(random.integers(5 * DAY_US // 24, 22 * DAY_US // 24, events // days))
        for number, time_us in enumerate(times.tolist()):
            at_us = day_us + time_us
            about = (SUBJECT, "habit_completed") if number == 0 else ("", "app_opened")
            if number or random.random() < 0.6:
                yield EventRow(f"{day:08x}{number:024x}", *about, at_us, offset_s, at_us, None)


def open_home(home: Path, clock: Clock) -> Personalizer:
    """Open a home as an app does, but for the clock and the probing of the machine."""
    device = DeviceState(external_power=True)
    return Personalizer.open(SUBJECT, home, clock=clock, device=lambda: device)


def make_home(home: Path, events: int, days: int) -> Clock:
    """Fill a home and train; return a clock that stands in the evening of its last day."""
    clock = Clock(LAST_DAY.astimezone(timezone(timedelta(hours=1))) - timedelta(hours=3))
    with open_home(home, clock) as me:
        me.record_all(life(events, days))
        me.train()
    return clock


def steps(home: Path, clock: Clock, rounds: int) -> Iterator[tuple[str, float]]:
    """Yield what each step of the live path took, in seconds; the clock moves on by some weeks."""

    def timed(name: str, call: Callable[[], object]) -> tuple[str, float]:
        began = time.perf_counter()
        call()
        return name, time.perf_counter() - began

    def open_and_predict(name: str) -> tuple[str, float]:
        """Time the opening and the first look; closing empties the write-ahead log."""
        opened: list[Personalizer] = []

        def first_look() -> None:
            opened.append(open_home(home, clock))
            opened[0].predict()

        took = timed(name, first_look)
        opened[0].close()
        return took

    for _ in range(rounds):
        yield open_and_predict("a new process")
    with open_home(home, clock) as me:
        me.predict()
        for _ in range(rounds):
            clock.now += timedelta(hours=12)  # past 04:00
            yield timed("a new question", me.predict)
            yield timed("the open question", me.predict)
            yield timed("record an event", lambda: me.record("app_opened", subject=""))
            yield timed("after an event", me.predict)
            yield timed("decide", me.decide)
            yield timed("status", me.status)
            clock.now += timedelta(hours=12)
            me.record("habit_completed")
    for _ in range(rounds):
        yield open_and_predict("a new process, weeks after the training")


def measure(homes: list[tuple[Path, Clock]], rounds: int = 40) -> dict[str, list[float]]:
    """Return the median seconds of each step in each home; they take each step in any order."""
    times: dict[str, list[list[float]]] = {}
    lives = [steps(home, clock, rounds) for home, clock in homes]
    random = np.random.default_rng(0)
    while True:
        took = {home: next(lives[home], None) for home in random.permutation(len(homes)).tolist()}
        seconds = [step[1] for _, step in sorted(took.items()) if step is not None]
        if not seconds:
            break
        times.setdefault(took[0][0], []).append(seconds)
    return {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }


def judge(name: str, times: list[float]) -> str:
    """Return what a row is held to, and whether it holds."""
    if name not in MOST_MS:
        return ""
    most_ms = MOST_MS[name]
    holds = times[-1] <= MOST_GROWTH * times[0] and 1e3 * max(times) < most_ms
    words = f"at most {MOST_GROWTH:g} x" + (f", under {most_ms:g} ms" if most_ms < math.inf else "")
    return f"{words}: {'holds' if holds else 'MISSED'}"


def table(sizes: tuple[int, ...]) -> Iterator[str]:
    """Yield the lines of the table."""
    for kind, days_of in (
        (f"{PER_DAY} events a day", lambda events: events // PER_DAY),
        ("all in one year", lambda _: 365),
    ):
        with tempfile.TemporaryDirectory() as folder:
            homes = [Path(folder) / str(events) for events in sizes]
            clocks = [
                make_home(home, events, days_of(events))
                for home, events in zip(homes, sizes, strict=True)
            ]
            measured = measure(list(zip(homes, clocks, strict=True)))
        yield f"| {kind} | {' | '.join(f'{size:,}' for size in sizes)} | last : first | bar |"
        yield f"|---|{'---:|' * (len(sizes) + 1)}---|"
        for name, times in measured.items():
            cells = " | ".join(f"{1e3 * seconds:.2f}" for seconds in times)
            yield f"| {name} | {cells} | {times[-1] / times[0]:.2f} | {judge(name, times)} |"
        yield ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=int, nargs="*", default=SIZES, help="sizes of the logs")
    for line in table(tuple(parser.parse_args().events)):
        print(line, flush=True)
