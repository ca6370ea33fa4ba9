"""Samples: moments with their features and labels, made without looking ahead.

A label *matures* when its window has closed (and its grace is over): what was recorded by then is
the label, for good. Learning uses a label from the first moment at which it is mature, positives
and negatives alike: a positive is known earlier, but learning it earlier would make open windows
look like successes.

Windows of a duration may overlap and mature one after another; then a row would be learnt whose
outcome an earlier one has mostly told. So of overlapping durations one is learnt: going forward in
time, a row with a label is learnt if its window begins at or after the end of the window learnt
before. Of the named windows, next-moment ones do not overlap, and those of one day mature together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from inhabit.features import DEFAULT_FEATURES, AsOf, Calendar, FeatureSet, LogSource
from inhabit.moments import Moments, Schedule, days_around, moments_of_log
from inhabit.targets import NEGATIVE, POSITIVE, UNKNOWN, Evidence, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inhabit.events import EventColumns, EventLog

__all__ = [
    "NEGATIVE",
    "POSITIVE",
    "UNKNOWN",
    "Asked",
    "Samples",
    "Target",
    "Walked",
    "asked_of_log",
    "samples",
]

_DEFAULT_SCHEDULE: Final = Schedule()
_AHEAD_DAYS: Final = 7
"""For how many days a calendar is made in advance."""


class Walked(NamedTuple):
    """How far a walk over samples has come: what is learnt next depends on nothing else.

    Attributes
    ----------
    last_us : int
        The last moment walked.
    learnt_us : int or None
        When the label matured that was learnt last; None before the first.
    """

    last_us: int
    learnt_us: int | None


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one person and subject as columns, in time order: n moments.

    Attributes
    ----------
    moments : Moments
        When, and what the window is.
    features : ndarray of float32, shape (n, n_features), C-contiguous
        As of the moment, in [0, 1].
    label : ndarray of int8, shape (n,)
        1 positive, 0 negative, -1 unknown. Of a window that is still open: 1 or 0 if there is
        explicit evidence already, -1 otherwise.
    slot : ndarray of uint8, shape (n,)
        Index of the moment in the schedule.
    matures_at_us : ndarray of int64, shape (n,)
        When the label is final.
    learn_at : ndarray of uint32, shape (n,)
        The first row at whose prediction the label may already have been learnt, always later than
        the sample's own; n where the window closes after the last row.
    matured : ndarray of bool, shape (n,)
        Whether the label is final. Only final labels are to be learnt.
    repeats : ndarray of bool, shape (n,)
        Whether the window, a duration, overlaps that of an earlier row that is learnt; then it is
        predicted and scored, but not learnt.
    feature_set : FeatureSet
        What the columns of `features` are.
    """

    moments: Moments
    features: NDArray[np.float32]
    label: NDArray[np.int8]
    matures_at_us: NDArray[np.int64]
    learn_at: NDArray[np.uint32]
    matured: NDArray[np.bool_]
    repeats: NDArray[np.bool_]
    feature_set: FeatureSet

    def __len__(self) -> int:
        return len(self.label)

    @property
    def slot(self) -> NDArray[np.uint8]:
        """Index of each moment in the schedule."""
        return self.moments.slot

    @property
    def matured_label(self) -> NDArray[np.int8]:
        """The labels that may be learnt by the end of the log; -1 for all others."""
        return np.where(self.matured & ~self.repeats, self.label, np.int8(UNKNOWN))

    @property
    def columns(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.uint8], NDArray[np.uint32]]:
        """What a model walks through: features, labels that may be learnt, slots, `learn_at`."""
        return self.features, self.matured_label, self.slot, self.learn_at

    def learnt(self, rows: int) -> NDArray[np.bool_]:
        """Return which labels a walk has learnt after the first rows."""
        learnt: NDArray[np.bool_] = (self.matured_label != UNKNOWN) & (self.learn_at < rows)
        return learnt

    def walked(self, rows: int | None = None) -> Walked | None:
        """Return how far a walk has come after the first rows, by default all; None after none."""
        rows = len(self) if rows is None else rows
        if not rows:
            return None
        learnt = self.learnt(rows)
        learnt_us = int(self.matures_at_us[learnt].max()) if learnt.any() else None
        return Walked(int(self.moments.at_us[rows - 1]), learnt_us)


def samples(
    events: EventColumns,
    target: Target,
    schedule: Schedule = _DEFAULT_SCHEDULE,
    feature_set: FeatureSet = DEFAULT_FEATURES,
    *,
    as_of_us: int | None = None,
    decided_us: int | None = None,
) -> Samples:
    """Return the samples that one person's events make.

    Parameters
    ----------
    events : EventColumns
        All events of one person (other subjects tell the local time).
    target : Target
        What is predicted.
    schedule : Schedule, default 04:00 once a day
        When it is predicted.
    feature_set : FeatureSet, default `DEFAULT_FEATURES`
        What describes a moment.
    as_of_us : int, optional
        Now: what was recorded before makes samples of the moments before. Without it the log is
        taken as finished, and its moments go up to the last one whose window holds an event.
    decided_us : int, optional
        When the first decision about the subject was made. Moments begin with it, or with the first
        event about the subject; but not before any event has told the local time.

    Examples
    --------
    >>> from datetime import datetime, timezone
    >>> from inhabit.events import Event, EventColumns
    >>> day = lambda d: datetime(2026, 3, d, 20, tzinfo=timezone.utc)
    >>> done = [Event(kind="habit_completed", occurred_at=day(d)) for d in (1, 2, 5)]
    >>> table = samples(EventColumns.from_rows(event.row for event in done), Target())
    >>> table.label.tolist(), table.learn_at.tolist()
    ([1, 1, 0, 0, 1], [1, 2, 3, 4, 5])
    """
    if as_of_us is not None:
        events = events.select(np.maximum(events.occurred_at_us, events.recorded_at_us) < as_of_us)
        if decided_us is not None and decided_us >= as_of_us:
            decided_us = None
    if decided_us is not None:
        decided_us = max(decided_us, int(events.recorded_at_us.min())) if len(events) else None
    moments = moments_of_log(
        events,
        schedule,
        target.window,
        subject=target.subject,
        decided_us=decided_us,
        as_of_us=as_of_us,
    )
    asof = AsOf.of_columns(events, target, schedule, moments, decided_us)
    return _table(asof, feature_set, _end_us(events) if as_of_us is None else as_of_us)


class Asked(NamedTuple):
    """What the schedule has asked of a log.

    Attributes
    ----------
    samples : Samples
        The moments so far.
    asof : AsOf
        What the log tells about them.
    calendar : Calendar
        On which the log puts them, and some days to come.
    next_us : int
        When the next moment begins, as far as the log knows.
    """

    samples: Samples
    asof: AsOf
    calendar: Calendar
    next_us: int

    @property
    def utc_offset_s(self) -> int:
        """The offset of the log's local time now."""
        return int(self.calendar.clock.utc_offset_s[-1])


def asked_of_log(
    log: EventLog,
    target: Target,
    schedule: Schedule,
    feature_set: FeatureSet,
    *,
    as_of_us: int,
    walked: Walked | None = None,
    calendar: Calendar | None = None,
) -> Asked:
    """Return the samples that a log makes, or the last of them, reading no more than they look at.

    Parameters
    ----------
    log, target, schedule, feature_set
        As for `samples`.
    as_of_us : int
        What was recorded before makes samples of the moments before.
    walked : Walked, optional
        Leaves out the first samples, up to the last one whose label had matured by then. What is
        read grows with the time since, not with the age of the log; bit for bit, these are the last
        rows of the table that holds all samples.
    calendar : Calendar, optional
        One that was asked on earlier, if nothing recorded since tells of another local time.
    """
    source = LogSource(log, target, as_of_us, calendar.earliest if calendar else None)
    beginning = source.beginning
    since_us = as_of_us if beginning is None else beginning.occurred_at_us
    if walked is not None:
        since_us = max(since_us, walked.last_us - target.grace_us)
    days = days_around(schedule, target.window, since_us, as_of_us)
    if calendar is None or not calendar.holds(days, as_of_us):
        calendar = source.calendar(schedule, (days[0], days[1] + _AHEAD_DAYS))
    windows = calendar.windows
    following = int(windows.at_us.searchsorted(as_of_us))
    begin = int(windows.window_end_us.searchsorted(since_us, side="right"))
    moments = windows[min(begin, following) : following]
    if beginning is None:
        moments = moments[:0]
    elif len(moments) and moments.window_end_us[0] <= beginning.recorded_at_us:
        # Only near the beginning: it was recorded late, and something else may be known for longer.
        known_us = beginning.recorded_at_us
        while (earlier := source.beginning_before(known_us)) is not None:
            known_us = earlier.recorded_at_us
        moments = moments[moments.window_end_us > known_us]
    asof = AsOf.of_log(source, moments, windows)
    return Asked(
        samples=_table(asof, feature_set, as_of_us, walked),
        asof=asof,
        calendar=calendar,
        next_us=int(windows.at_us[following]),
    )


def _table(
    asof: AsOf, feature_set: FeatureSet, as_of_us: int, walked: Walked | None = None
) -> Samples:
    """Return the samples of the moments, which are some of the windows."""
    target, moments = asof.target, asof.moments
    rows = asof.windows.at_us.searchsorted(moments.at_us)
    evidence = Evidence(*(column[rows] for column in asof.evidence))
    label = evidence.labels(as_of_us)
    matured = evidence.matures_at_us <= as_of_us
    return Samples(
        moments=moments,
        features=feature_set.compute(asof),
        label=label,
        matures_at_us=evidence.matures_at_us,
        learn_at=moments.at_us.searchsorted(evidence.matures_at_us).astype(np.uint32),
        matured=matured,
        repeats=_repeats(target, moments, matured & (label != UNKNOWN), walked),
        feature_set=feature_set,
    )


def _repeats(
    target: Target, moments: Moments, known: NDArray[np.bool_], walked: Walked | None
) -> NDArray[np.bool_]:
    """Return which rows overlap an earlier one that is learnt; see the top of this module.

    Whether a row repeats another depends on the rows before it alone, which mature before it: what
    is recorded later changes nothing about it.
    """
    repeats = np.zeros(len(moments), np.bool_)
    if target.window.name != "duration":
        return repeats
    rows = np.flatnonzero(known)
    start_us, end_us = moments.window_start_us[rows], moments.window_end_us[rows]
    following = np.searchsorted(start_us, end_us)  # the first row that begins when this one is over
    repeats[rows] = True
    row = 0
    if walked is not None and walked.learnt_us is not None:
        row = int(np.searchsorted(start_us, walked.learnt_us - target.grace_us))
    while row < len(rows):
        repeats[rows[row]] = False
        row = int(following[row])
    return repeats


def _end_us(events: EventColumns) -> int:
    """Return the first instant at which all events are known."""
    return int(np.maximum(events.occurred_at_us, events.recorded_at_us).max(initial=-1)) + 1
