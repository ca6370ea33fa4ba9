"""Features: named numbers in [0, 1] that describe a moment, as columns over many moments at once.

A feature of the moment *t* sees only what occurred and was recorded before *t*. There is one
definition for live prediction, training and replay: a function of `AsOf`, which answers questions
about the past for many moments at once. One moment at a time gives the same bits as all at once,
because a definition only

- computes in float64 with ``+ - * /``, comparisons and integers, elementwise over the moments;
- adds along a moment's own history with `weighted_sum`, strictly from the latest to the oldest.

The result is rounded to float32 once, at the end. History is bounded to the last `HISTORY` windows,
so a live prediction reads as few rows from a log of ten years as from one of ten weeks.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from inhabit.events import APP_OPENED, REMINDER_TAPPED, Beginning
from inhabit.exceptions import ConfigError, NonFiniteError, ShapeError
from inhabit.moments import (
    MARGIN_DAYS,
    US_PER_DAY,
    LocalClock,
    Moments,
    Schedule,
    days_around,
    moments_between,
)
from inhabit.targets import NEVER_US, Evidence, Happenings, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inhabit.events import EventColumns, EventLog

__all__ = [
    "DEFAULT_FEATURES",
    "HISTORY",
    "AsOf",
    "Feature",
    "FeatureSet",
    "LogSource",
    "count",
    "decay",
    "feature",
    "last_value",
    "time_since",
    "times_today",
    "weighted_sum",
]

HISTORY: Final = 128
"""How many earlier windows a feature may look back on; at most 255."""

_MICROSECOND: Final = timedelta(microseconds=1)


# --- where events come from --------------------------------------------------


class Source(Protocol):
    """Where the events of a kind come from: columns in memory, or a log on disk."""

    def happenings(
        self,
        kind: str | None,
        subjects: tuple[str, ...],
        since_us: NDArray[np.int64],
        until_us: NDArray[np.int64],
    ) -> Happenings:
        """Return (at least) the events of a kind, about one of the subjects, in spans of time.

        Those that occurred from `since_us` to before `until_us`, both ascending. Of no kind, none.
        """
        ...


@dataclass(frozen=True)
class ColumnsSource:
    """Events in memory: one person's, all of them."""

    events: EventColumns

    def happenings(
        self,
        kind: str | None,
        subjects: tuple[str, ...],
        since_us: NDArray[np.int64],
        until_us: NDArray[np.int64],
    ) -> Happenings:
        """See `Source`."""
        del since_us, until_us  # everything is here
        if kind is None:
            return Happenings.none()
        events = self.events
        which = events.is_kind(kind) & events.is_subject(*subjects)
        return Happenings.seen(
            events.occurred_at_us[which],
            events.recorded_at_us[which],
            events.utc_offset_s[which].astype(np.int64),
            events.value[which],
        )


class Calendar(NamedTuple):
    """The moments of a schedule in some local days, and enough before them for their history.

    Attributes
    ----------
    clock : LocalClock
        In force from the first of these moments on.
    windows : Moments
    days : tuple of int
        The first and the last local day (ordinals).
    until_us : int
        As of which instant it still is the same, as far as the log tells.
    earliest : Beginning or None
        What was known of the subject before the first of these moments: what came first, none of
        them can tell. None near the subject's beginning.
    """

    clock: LocalClock
    windows: Moments
    days: tuple[int, int]
    until_us: int
    earliest: Beginning | None

    def holds(self, days: tuple[int, int], as_of_us: int) -> bool:
        """Return whether it is that of some local days as of a later instant, too."""
        return self.days[0] <= days[0] and days[1] <= self.days[1] and as_of_us <= self.until_us


@dataclass(frozen=True)
class LogSource:
    """A log on disk, as it was known just before an instant: no more is read than is asked for.

    Parameters
    ----------
    earliest : Beginning, optional
        What serves as the subject's beginning, see `Calendar`.
    """

    log: EventLog
    target: Target
    before_us: int
    earliest: Beginning | None = None

    def happenings(
        self,
        kind: str | None,
        subjects: tuple[str, ...],
        since_us: NDArray[np.int64],
        until_us: NDArray[np.int64],
    ) -> Happenings:
        """See `Source`."""
        spans: list[tuple[int, int]] = []  # what lies between them is not read
        for since, until in zip(since_us.tolist(), until_us.tolist(), strict=True):
            if spans and since <= spans[-1][1]:
                spans[-1] = spans[-1][0], until
            elif since < until:
                spans.append((since, until))
        if kind is None or not spans:
            return Happenings.none()
        return Happenings.seen(*self.log.occurrences(kind, subjects, spans, self.before_us))

    @cached_property
    def beginning(self) -> Beginning | None:
        """What the target's subject began with, as known just before the instant."""
        return self.earliest or self.beginning_before(self.before_us)

    def beginning_before(self, before_us: int) -> Beginning | None:
        """Return what the target's subject began with, as known just before an earlier instant."""
        return self.log.beginning(self.target.subject, before_us)

    def calendar(
        self, schedule: Schedule, days: tuple[int, int], here: tuple[int, int] | None = None
    ) -> Calendar:
        """Return the moments of local days, and `HISTORY` before them whose windows had closed.

        Parameters
        ----------
        days : tuple of int
            The first and the last local day (ordinals).
        here : tuple of (at_us, utc_offset_s), optional
            The device itself tells the offset at an instant.
        """
        target, (first_day, last_day) = self.target, days
        begins_us = schedule.starts_us(first_day) - US_PER_DAY  # nobody's day begins earlier
        reach = HISTORY // len(schedule.times) + 1
        reach += (target.window.duration_us + target.grace_us) // US_PER_DAY + MARGIN_DAYS
        while True:
            # No local time of a day can have come `MARGIN_DAYS` before it.
            since_us = schedule.starts_us(first_day - reach - MARGIN_DAYS)
            changes = self.log.offset_changes(since_us, NEVER_US)
            known = [change for change in changes if change[0] < self.before_us]
            if here is None:
                clock = LocalClock.of_changes(known or [(0, 0)])
            else:
                clock = LocalClock.of_changes(known or [(0, here[1])]).with_now(*here)
            windows = moments_between(clock, schedule, target.window, first_day - reach, last_day)
            closed = windows.window_end_us.searchsorted(begins_us - target.grace_us, side="right")
            if closed >= HISTORY:
                until_us = changes[len(known)][0] if len(known) < len(changes) else NEVER_US
                begun = self.beginning
                known_before = begun is not None and begun.recorded_at_us < windows.at_us[0]
                earliest = begun if known_before else None
                return Calendar(clock, windows, days, until_us, earliest)
            reach *= 2  # the clock jumped over so many moments


# --- what a feature may ask --------------------------------------------------


class AsOf:
    """What is known at each of n moments, for definitions of features to ask.

    All answers are arrays over the moments; the answer for a moment depends only on events that
    occurred and were recorded before it. The *history* of a moment are those of the last `HISTORY`
    windows of the schedule that are closed and have a known label; it runs along the second axis,
    the latest first.

    Attributes
    ----------
    moments : Moments
        The n moments, in time order.
    target : Target
        What is predicted.
    windows : Moments
        The moments of the schedule, whose windows make up the history.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        moments: Moments,
        windows: Moments,
        began_us: NDArray[np.int64],
    ) -> None:
        """Prefer `of_columns` and `of_log`.

        Parameters
        ----------
        source : Source
            Tells the events.
        windows : Moments
            The moments of the schedule, from `HISTORY` before the first of `moments` (or from the
            beginning of the log) at least to the last of them.
        began_us : ndarray of int64, shape (n,)
            When the subject began, as known at each moment; windows that ended by then are not
            part of the history.
        """
        self.moments = moments
        self.target = target
        self._source = source
        self.windows = windows
        self._began_us = began_us
        self._read_already: dict[tuple[str, bytes], Happenings] = {}
        self._happened, self._happened_since_us = Happenings.none(), NEVER_US

    @classmethod
    def of_columns(
        cls,
        events: EventColumns,
        target: Target,
        schedule: Schedule,
        moments: Moments,
        decided_us: int | None = None,
    ) -> AsOf:
        """Return what one person's events tell about moments, for training and replay.

        `decided_us` is as for `moments_of_log`.
        """
        own, at_us = events.is_subject(target.subject), moments.at_us
        decided = np.array([] if decided_us is None else [decided_us], np.int64)
        occurred_us = np.append(events.occurred_at_us[own], decided)
        recorded_us = np.append(events.recorded_at_us[own], decided)
        instants_us = np.append(occurred_us, at_us) if len(moments) else np.zeros(1, np.int64)
        days = days_around(schedule, target.window, int(instants_us.min()), int(instants_us.max()))
        clock = LocalClock.of_events(events)
        windows = moments_between(clock, schedule, target.window, *days)
        began_us = _began_us(occurred_us, recorded_us, at_us)
        return cls(ColumnsSource(events), target, moments, windows, began_us)

    @classmethod
    def of_log(cls, source: LogSource, moments: Moments, windows: Moments) -> AsOf:
        """Return what a log tells about moments; the windows are those of a `Calendar`."""
        began_us = _began_us_of_log(source, moments.at_us)
        return cls(source, source.target, moments, windows, began_us)

    def __len__(self) -> int:
        return len(self.moments)

    # -- the history of the target --

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """Labels (1, 0) of the history, shape (n, HISTORY); -1 beyond its end."""
        positive, known = self._history.answers.view(np.int8)
        labels: NDArray[np.int8] = positive + known - np.int8(1)
        return labels

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Which labels of the history are positive, shape (n, HISTORY)."""
        positive: NDArray[np.bool_] = self._history.answers[0]
        return positive

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which labels there are, shape (n, HISTORY): false beyond the end of the history."""
        known: NDArray[np.bool_] = self._history.answers[1]
        return known

    @cached_property
    def same_slot(self) -> NDArray[np.bool_]:
        """Which windows of the history belong to the moment's slot, shape (n, HISTORY)."""
        same: NDArray[np.bool_] = self._history.slot == self.moments.slot[:, None]
        return same

    @cached_property
    def same_weekday(self) -> NDArray[np.bool_]:
        """Which windows of the history opened on the moment's weekday, shape (n, HISTORY)."""
        days, week = self.days_ago, np.int32(7)
        same: NDArray[np.bool_] = days // week * week == days  # quicker than a remainder
        return same

    @cached_property
    def same_weekend(self) -> NDArray[np.bool_]:
        """Which windows of the history open at a weekend if the moment's does, (n, HISTORY)."""
        week = np.int32(7)
        next_day = self.moments.window_start_us > self.moments.at_us  # of all moments, or of none
        since_monday = self._history.day + np.int32(6) + next_day[:, None]
        since_monday -= since_monday // week * week
        same: NDArray[np.bool_] = (since_monday >= 5) == self.moments.window_weekend[:, None]
        return same

    @cached_property
    def days_ago(self) -> NDArray[np.int32]:
        """How many local days before the moment's the windows opened, shape (n, HISTORY)."""
        days: NDArray[np.int32] = self.moments.day[:, None].astype(np.int32) - self._history.day
        return days

    @cached_property
    def long_rate(self) -> NDArray[np.float64]:
        """``(s + 1) / (n + 2)``, `s` positive of the `n` labels of the history, shape (n,)."""
        positive, known = self.tally(self.known)
        rate: NDArray[np.float64] = (positive + 1) / (known + 2)
        return rate

    def tally(self, which: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many labels are positive, and how many there are, among some windows.

        Parameters
        ----------
        which : ndarray of bool, shape (n, HISTORY)
            Windows of the history.

        Returns
        -------
        positive, known : ndarray of int64, shape (n,)
        """
        positive, known = count(which & self._history.answers)
        return positive, known

    @property
    def lapse(self) -> NDArray[np.int64]:
        """How many windows were closed since the last positive one of the history, shape (n,).

        Those without a label count, too. Where none is positive, it is counted as if one had been
        just before the first label.
        """
        return self._history.lapse

    @cached_property
    def evidence(self) -> Evidence:
        """What is known about the windows of the schedule, and since when."""
        windows = self.windows
        opened_us = np.minimum(windows.window_start_us, windows.day_start_us)
        since_us = int(opened_us.min(initial=NEVER_US))
        return Evidence.gather(
            self.target,
            self.happened(since_us),
            self._own(self.target.skip_kind, since_us),
            windows.window_start_us,
            windows.window_end_us,
            windows.day_start_us,
        )

    def happened(self, since_us: int) -> Happenings:
        """Return (at least) the events of the target that occurred from an instant on."""
        if since_us < self._happened_since_us:
            self._happened_since_us = since_us
            self._happened = self._own(self.target.kind, since_us)
        return self._happened

    @cached_property
    def _history(self) -> _History:
        windows, evidence, at_us = self.windows, self.evidence, self.moments.at_us
        # Open windows stay out: what is known of them early is only ever "yes".
        closed = evidence.matures_at_us.searchsorted(at_us, side="right")
        begun = windows.window_end_us.searchsorted(self._began_us, side="right")
        # In terms of rows: from which moment on each answer is known.
        positive_from = at_us.searchsorted(evidence.positive_from_us)
        negative_from = at_us.searchsorted(evidence.negative_from_us)
        known_from = np.minimum(positive_from, negative_from)
        past = _before(closed, positive_from, known_from, windows.slot, windows.day)
        answers = past[:2] <= np.arange(len(self), dtype=np.int32)[:, None]
        answers &= (closed - begun)[:, None] >= _LAGS
        answers[0] &= answers[1]
        positive, known = answers
        since_first = np.where(known.any(axis=1), HISTORY - known[:, ::-1].argmax(axis=1), 0)
        lapse = np.where(positive.any(axis=1), positive.argmax(axis=1), since_first)
        return _History(lapse, answers, *past[2:]).compressed()

    # -- other events, about the target's subject or none --

    def count_today(self, kind: str) -> NDArray[np.int64]:
        """Return how many events of a kind occurred since the start of the local day."""
        return self._count_since(kind, self.moments.day_start_us)

    def count_within(self, kind: str, within: timedelta) -> NDArray[np.int64]:
        """Return how many events of a kind occurred in the time before each moment."""
        return self._count_since(kind, self.moments.at_us - within // _MICROSECOND)

    def latest(self, kind: str, within: timedelta) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return when the latest event of a kind occurred, and its value.

        Returns
        -------
        age_us : ndarray of int64, shape (n,)
            Microseconds since then; -1 if nothing of the kind occurred `within` that time.
        value : ndarray of float64, shape (n,)
            NaN if there is none.
        """
        at_us = self.moments.at_us
        since_us = at_us - within // _MICROSECOND
        events = self._about(kind, since_us)
        # In the order in which events become visible: the latest occurrence so far.
        order = np.argsort(events.visible_from_us, kind="stable")
        latest = np.append(-1, np.maximum.accumulate(order))
        index = latest[events.visible_from_us[order].searchsorted(at_us, side="right")]
        occurred_at_us = np.append(events.occurred_at_us, 0)[index]
        found = (index >= 0) & (occurred_at_us >= since_us)
        value = np.append(events.value, np.nan)[index]
        return np.where(found, at_us - occurred_at_us, -1), np.where(found, value, np.nan)

    def _count_since(self, kind: str, since_us: NDArray[np.int64]) -> NDArray[np.int64]:
        events = self._about(kind, since_us)
        if not len(events.occurred_at_us):
            return np.zeros(len(self), np.int64)
        # An event counts for the moments from its recording to the last that reaches back to it.
        first = self.moments.at_us.searchsorted(events.visible_from_us, side="left")
        after = since_us.searchsorted(events.occurred_at_us, side="right")
        size = len(self) + 1
        begins = np.bincount(first, minlength=size)
        ends = np.bincount(np.maximum(first, after), minlength=size)
        return np.add.accumulate(begins - ends)[:-1]

    # -- reading --

    def _about(self, kind: str, since_us: NDArray[np.int64]) -> Happenings:
        """Return (at least) what occurred between instants and the moments."""
        key = kind, since_us.tobytes()
        if key not in self._read_already:
            subjects = tuple(dict.fromkeys((self.target.subject, "")))
            at_us = self.moments.at_us
            self._read_already[key] = self._source.happenings(kind, subjects, since_us, at_us)
        return self._read_already[key]

    def _own(self, kind: str | None, since_us: int) -> Happenings:
        """Return (at least) what occurred from an instant on, about the target's subject alone."""
        since, until = np.array([[since_us], [NEVER_US]])
        return self._source.happenings(kind, (self.target.subject,), since, until)


class _History(NamedTuple):
    """The windows closed before each moment, the latest first.

    `lapse` counts those since the last positive one; `answers` are which labels are positive and
    which there are, shape (2, n, HISTORY).
    """

    lapse: NDArray[np.int64]
    answers: NDArray[np.bool_]
    slot: NDArray[np.int32]
    day: NDArray[np.int32]

    def compressed(self) -> _History:
        """Return the history without the windows that have no label: they do not age the others."""
        known = self.answers[1]
        if not (known[:, 1:] > known[:, :-1]).any():
            return self
        order = np.argsort(~known, axis=1, kind="stable")
        answers = np.take_along_axis(self.answers, order[None], axis=2)
        slot, day = (np.take_along_axis(column, order, axis=1) for column in (self.slot, self.day))
        return self._replace(answers=answers, slot=slot, day=day)


_LAGS: Final = np.arange(1, HISTORY + 1)


def _before(position: NDArray[np.intp], *columns: NDArray[Any]) -> NDArray[np.int32]:
    """Return the `HISTORY` elements before each position, the nearest first.

    Of each of k columns: shape (k, n, HISTORY).
    """
    size = len(columns[0])
    padded = np.zeros((len(columns), HISTORY + size), np.int32)
    for row, column in zip(padded, columns, strict=True):
        row[HISTORY:] = column
    # All runs of HISTORY elements, without copying them; then those that end at the positions.
    shape = len(columns), size + 1, HISTORY
    strides = *padded.strides, padded.itemsize
    runs: NDArray[np.int32] = np.ndarray(shape, np.int32, padded, strides=strides)
    return runs[:, position, ::-1]


def _began_us_of_log(source: LogSource, at_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the subject began, as known at each instant."""
    began_us = np.full(len(at_us), NEVER_US)
    end, beginning = len(at_us), source.beginning
    while end and beginning is not None:
        # Once recorded, it was the first thing known, up to the next instant looked at.
        row = int(at_us[:end].searchsorted(beginning.recorded_at_us, side="right"))
        began_us[row:end] = beginning.occurred_at_us
        end = row
        if end:
            beginning = source.beginning_before(int(at_us[end - 1]))
    return began_us


def _began_us(
    occurred_us: NDArray[np.int64], recorded_us: NDArray[np.int64], at_us: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return when the subject began, as known at each instant, from all that it may begin with."""
    seen_us = np.maximum(occurred_us, recorded_us)
    order = np.argsort(seen_us, kind="stable")
    earliest_us = np.minimum.accumulate(occurred_us[order])
    known = np.searchsorted(seen_us[order], at_us, side="left")
    return np.append(NEVER_US, earliest_us)[known]


def count(which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many are true along the history, shape (..., k) to (...)."""
    assert which.shape[-1] <= HISTORY  # fits the counter
    number: NDArray[np.uint8] = np.add.reduce(which.view(np.uint8), axis=-1, dtype=np.uint8)
    return number.astype(np.int64)


def weighted_sum(
    weights: NDArray[np.float64], values: NDArray[np.float64] | NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return ``sum_k weights[k] * values[:, k]``, added one after the other from k = 0.

    Unlike ``numpy.sum``, whose order depends on the shape, so that its bits do, too.

    Parameters
    ----------
    weights : ndarray of float64, shape (k,) or (n, k)
    values : ndarray, shape (n, k)

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    return np.add.accumulate(values * weights, axis=1)[:, -1]


def decay(rate: float, lags: int = HISTORY) -> NDArray[np.float64]:
    """Return 1, rate, rate * rate, ...: each weight is the one before times `rate`."""
    return np.multiply.accumulate(np.append(1.0, np.full(lags - 1, rate)))


# --- features ----------------------------------------------------------------

Compute = Callable[[AsOf], "NDArray[np.float64]"]


@dataclass(frozen=True)
class Feature:
    """One named feature.

    Parameters
    ----------
    name : str
        An identifier, unique in its set.
    compute : callable
        Takes an `AsOf` over n moments; returns float64, shape (n,), in [0, 1].
    version : int, default 1
        To be raised whenever the definition changes: networks trained on another version of a
        feature must not be used with this one.
    rate : bool, default False
        Whether it is itself an estimate of the target's probability; the model reads those as log
        odds.
    parameters : tuple of (name, value), default ()
        What a ready-made constructor was given; part of the schema.
    """

    name: str
    compute: Compute = field(compare=False)
    version: int = 1
    rate: bool = False
    parameters: tuple[tuple[str, str | float], ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigError(f"feature: expected an identifier as its name, got {self.name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle find a decorated feature by its name, which is no function's any more."""
        module = getattr(self.compute, "__module__", None)
        name = getattr(self.compute, "__qualname__", "")
        if module is not None and getattr(sys.modules.get(module), name, None) is self:
            return _named, (module, name)
        return Feature, (self.name, self.compute, self.version, self.rate, self.parameters)


def _named(module: str, name: str) -> Any:
    """Return what a module calls by a name."""
    return getattr(import_module(module), name)


def feature(
    *, name: str | None = None, version: int = 1, rate: bool = False
) -> Callable[[Compute], Feature]:
    """Make a feature of a function.

    Parameters
    ----------
    name : str, optional
        By default the name of the function.
    version : int, default 1
        To be raised whenever the function computes something else.
    rate : bool, default False
        Whether it estimates the target's probability.

    Examples
    --------
    >>> @feature()
    ... def weekend(asof: AsOf) -> NDArray[np.float64]:
    ...     return np.where(asof.moments.weekday >= 5, 1.0, 0.0)
    >>> weekend.name
    'weekend'
    """

    def make(compute: Compute) -> Feature:
        return Feature(name or compute.__name__, compute, version, rate)

    return make


def times_today(kind: str, half_at: float, *, name: str | None = None) -> Feature:
    """Return the feature ``c / (c + half_at)``, `c` events of a kind so far in the local day."""
    if not half_at > 0:
        raise ConfigError(f"half_at: expected a positive number, got {half_at}")

    compute = partial(_times_today, kind=kind, half_at=half_at)
    parameters = (("kind", kind), ("half_at", half_at))
    return Feature(name or f"{kind}_today", compute, parameters=parameters)


def _times_today(asof: AsOf, kind: str, half_at: float) -> NDArray[np.float64]:
    return saturating(asof.count_today(kind), half_at)


def last_value(
    kind: str,
    low: float,
    high: float,
    *,
    within: timedelta = timedelta(days=1),
    default: float = 0.5,
    name: str | None = None,
) -> Feature:
    """Return the feature ``(v - low) / (high - low)``, clipped, `v` the latest value of a kind.

    Parameters
    ----------
    kind : str
        The kind of event that carries the value.
    low, high : float
        What is mapped to 0 and to 1.
    within : timedelta, default 1 day
        How old the value may be.
    default : float, default 0.5
        The feature where there is no such event, or it has no value.
    """
    if not low < high:
        raise ConfigError(f"low, high: expected low < high, got {low} and {high}")
    if not 0 <= default <= 1:
        raise ConfigError(f"default: expected a number in [0, 1], got {default}")

    compute = partial(_last_value, kind=kind, low=low, high=high, within=within, default=default)
    parameters = (
        ("kind", kind),
        ("low", low),
        ("high", high),
        ("within_us", within // _MICROSECOND),
        ("default", default),
    )
    return Feature(name or f"last_{kind}", compute, parameters=parameters)


def _last_value(  # noqa: PLR0917 - those of `last_value`
    asof: AsOf, kind: str, low: float, high: float, within: timedelta, default: float
) -> NDArray[np.float64]:
    _, value = asof.latest(kind, within)
    scaled = (np.clip(value, low, high) - low) / (high - low)
    return np.where(np.isnan(value), default, scaled)


def time_since(
    kind: str,
    half_at: timedelta,
    *,
    within: timedelta = timedelta(days=30),
    name: str | None = None,
) -> Feature:
    """Return the feature ``a / (a + half_at)``, `a` the time since the latest event of a kind.

    It is 1 where there was none `within` that time.
    """
    if half_at <= timedelta(0):
        raise ConfigError(f"half_at: expected a positive duration, got {half_at}")
    half_us = half_at // _MICROSECOND

    compute = partial(_time_since, kind=kind, half_us=half_us, within=within)
    parameters = (
        ("kind", kind),
        ("half_at_us", half_us),
        ("within_us", within // _MICROSECOND),
    )
    return Feature(name or f"since_{kind}", compute, parameters=parameters)


def _time_since(asof: AsOf, kind: str, half_us: int, within: timedelta) -> NDArray[np.float64]:
    age_us, _ = asof.latest(kind, within)
    return np.where(age_us < 0, 1.0, saturating(np.maximum(age_us, 0), half_us))


def saturating(
    amount: NDArray[np.int64] | NDArray[np.float64], half_at: float
) -> NDArray[np.float64]:
    """Return ``amount / (amount + half_at)``: 0 at 0, 1/2 at `half_at`, towards 1."""
    return amount / (amount + half_at)


# --- the default set ---------------------------------------------------------


@feature()
def current_streak(asof: AsOf) -> NDArray[np.float64]:
    """``min(s, 30) / 30``: `s` positive windows in a row, up to the latest of the history."""
    latest = asof.positive[:, :30]
    return np.where(latest.all(axis=1), 30, latest.argmin(axis=1)) / 30


@feature(rate=True)
def completion_rate_30d(asof: AsOf) -> NDArray[np.float64]:
    """``(s + 1) / (n + 2)``: `s` positive of `n` windows of the last 30 local days and today."""
    positive, known = asof.tally(asof.days_ago <= 30)
    return (positive + 1) / (known + 2)


app_launches_today = times_today(APP_OPENED, 3, name="app_launches_today")
reminders_opened_today = times_today(REMINDER_TAPPED, 3, name="reminders_opened_today")


@feature()
def hour_of_day(asof: AsOf) -> NDArray[np.float64]:
    """Local time of day, in days since local midnight."""
    return asof.moments.time_of_day_us / US_PER_DAY


@feature(rate=True)
def same_slot_rate(asof: AsOf) -> NDArray[np.float64]:
    """``(s + 4 r) / (n + 4)``: `s` positive of `n` windows of the same slot, long rate `r`."""
    return _shrunk_rate(asof, asof.same_slot, 4, asof.long_rate)


@feature(rate=True)
def same_weekday_rate(asof: AsOf) -> NDArray[np.float64]:
    """``(s + 6 r) / (n + 6)``: `s` positive of `n` windows of the same weekday, long rate `r`."""
    return _shrunk_rate(asof, asof.same_weekday, 6, asof.long_rate)


@feature(rate=True)
def same_kind_of_day_rate(asof: AsOf) -> NDArray[np.float64]:
    """``(s + 4 q) / (n + 4)``, of the same slot and the same kind of day: `weekend` or not.

    `n` such windows, `s` of them positive, `q` the rate of the slot, `same_slot_rate`.
    """
    alike = asof.same_slot & asof.same_weekend
    return _shrunk_rate(asof, alike, 4, same_slot_rate.compute(asof))


@feature()
def weekend(asof: AsOf) -> NDArray[np.float64]:
    """1 where the window opens on a Saturday or Sunday, else 0."""
    return asof.moments.window_weekend.astype(np.float64)


@feature()
def current_lapse(asof: AsOf) -> NDArray[np.float64]:
    """``l / (l + 3)``: `l` windows in a row not positive or not known, up to the latest."""
    return saturating(asof.lapse, 3)


def _shrunk_rate(
    asof: AsOf, alike: NDArray[np.bool_], strength: float, towards: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the rate over the windows that are alike, as if `strength` more had another rate."""
    positive, known = asof.tally(alike)
    return (positive + strength * towards) / (known + strength)


# --- sets of features --------------------------------------------------------


@dataclass(frozen=True)
class FeatureSet:
    """An ordered set of features: the columns a network reads.

    Parameters
    ----------
    features : tuple of Feature
        At least one; names differ.

    Raises
    ------
    ConfigError
        If there is none, or two have one name.

    Examples
    --------
    >>> DEFAULT_FEATURES.names[:2]
    ('current_streak', 'completion_rate_30d')
    >>> len(DEFAULT_FEATURES + times_today("coffee", 2))
    11
    """

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        features = tuple(self.features)
        object.__setattr__(self, "features", features)
        if not features or len(set(self.names)) != len(features):
            raise ConfigError(
                f"features: expected one or more with different names, got {list(self.names)}"
            )

    def __len__(self) -> int:
        return len(self.features)

    def __add__(self, other: Feature | FeatureSet) -> FeatureSet:
        added = (other,) if isinstance(other, Feature) else other.features
        return FeatureSet(self.features + added)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def rates(self) -> tuple[bool, ...]:
        """Which columns estimate the target's probability."""
        return tuple(feature.rate for feature in self.features)

    @property
    def schema(self) -> dict[str, Any]:
        """What a network that reads these columns depends on; plain enough for JSON."""
        return {
            "history": HISTORY,
            "features": [[f.name, f.version, f.rate, dict(f.parameters)] for f in self.features],
        }

    @cached_property
    def schema_hash(self) -> str:
        """SHA-256 of the schema, in hex."""
        text = json.dumps(self.schema, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def compute(self, asof: AsOf) -> NDArray[np.float32]:
        """Return the features of moments.

        Returns
        -------
        ndarray of float32, shape (n, len(self)), C-contiguous
            All in [0, 1].

        Raises
        ------
        ShapeError
            If a feature does not return one number for each moment.
        NonFiniteError
            If a feature returns a NaN.
        ConfigError
            If a feature returns a number outside [0, 1].
        """
        n = len(asof)
        columns = np.empty((n, len(self)), np.float32)
        for index, described in enumerate(self.features):
            column = np.asarray(described.compute(asof))
            if column.shape != (n,):
                raise ShapeError(
                    f"feature {described.name}: expected one number for each of {n} "
                    f"moments, got shape {column.shape}"
                )
            columns[:, index] = column
        if not ((columns >= 0) & (columns <= 1)).all():
            self._refuse(columns)
        return columns

    def _refuse(self, columns: NDArray[np.float32]) -> None:
        row, index = np.argwhere(~((columns >= 0) & (columns <= 1)))[0]
        name, got = self.names[index], columns[row, index]
        if np.isnan(got):
            raise NonFiniteError(
                f"feature {name}: expected a number in [0, 1], got NaN (row {row})"
            )
        raise ConfigError(f"feature {name}: expected a number in [0, 1], got {got} (row {row})")


DEFAULT_FEATURES: Final = FeatureSet(
    (
        current_streak,
        completion_rate_30d,
        app_launches_today,
        reminders_opened_today,
        hour_of_day,
        same_slot_rate,
        same_weekday_rate,
        same_kind_of_day_rate,
        weekend,
        current_lapse,
    )
)
"""The ten default features: five of a first sketch and five chosen by ablation."""
