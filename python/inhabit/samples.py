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
from typing import TYPE_CHECKING, Final

import numpy as np

from inhabit.features import DEFAULT_FEATURES, AsOf, FeatureSet
from inhabit.moments import Moments, Schedule, moments_of_log
from inhabit.targets import NEGATIVE, POSITIVE, UNKNOWN, Evidence, Happenings, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inhabit.events import EventColumns

__all__ = ["NEGATIVE", "POSITIVE", "UNKNOWN", "Samples", "Target", "samples"]

_DEFAULT_SCHEDULE: Final = Schedule()


@dataclass(frozen=True)
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


def samples(
    events: EventColumns,
    target: Target,
    schedule: Schedule = _DEFAULT_SCHEDULE,
    feature_set: FeatureSet = DEFAULT_FEATURES,
    *,
    as_of_us: int | None = None,
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
    moments = moments_of_log(
        events, schedule, target.window, subject=target.subject, as_of_us=as_of_us
    )
    if as_of_us is None:
        as_of_us = _end_us(events)
    evidence = evidence_of(events, target, moments)
    label = evidence.labels(as_of_us)
    matured = evidence.matures_at_us <= as_of_us
    return Samples(
        moments=moments,
        features=feature_set.compute(AsOf.of_columns(events, target, schedule, moments)),
        label=label,
        learn_at=np.searchsorted(moments.at_us, evidence.matures_at_us).astype(np.uint32),
        matured=matured,
        repeats=_repeats(target, moments, matured & (label != UNKNOWN)),
        feature_set=feature_set,
    )


def evidence_of(events: EventColumns, target: Target, moments: Moments) -> Evidence:
    """Return what events tell about the windows of moments."""
    about = (target.subject,)
    happened = Happenings.of_columns(events, target.kind, about)
    skipped = (
        Happenings.none()
        if target.skip_kind is None
        else Happenings.of_columns(events, target.skip_kind, about)
    )
    return Evidence.gather(
        target,
        happened,
        skipped,
        moments.window_start_us,
        moments.window_end_us,
        moments.day_start_us,
    )


def _repeats(target: Target, moments: Moments, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
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
    while row < len(rows):
        repeats[rows[row]] = False
        row = int(following[row])
    return repeats


def _end_us(events: EventColumns) -> int:
    """Return the first instant at which all events are known."""
    return int(np.maximum(events.occurred_at_us, events.recorded_at_us).max(initial=-1)) + 1
