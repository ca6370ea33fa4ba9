"""Questions: does the target occur in this window? One is open at any time.

The question belongs to the last scheduled moment, as long as its window is open: with the default
settings it is asked once a day, and is about the day. What was known at its moment is what its
answer is learnt from and predicted from; what has happened in the window since updates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inhabit.features import AsOf, FeatureSet, LogSource
from inhabit.moments import (
    MARGIN_DAYS,
    US_PER_DAY,
    US_PER_SECOND,
    Moments,
    Schedule,
    days_around,
    moment_at,
)
from inhabit.samples import Asked, Walked, asked_of_log
from inhabit.targets import NEVER_US, POSITIVE, UNKNOWN, Evidence, Target
from inhabit.timing import LOOK_BACK_DAYS, first_delays, share_to_come, still_to_come

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inhabit.events import EventLog
    from inhabit.features import Calendar
    from inhabit.samples import Samples

__all__ = ["SURE", "Question", "Questions"]

SURE: Final = 0.999
"""The probability of what has happened already; of what was skipped, the rest to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether the target occurs in a window.

    Attributes
    ----------
    moment : Moments
        When it was asked, a column of length one.
    until_us : int
        From this instant on another question is open.
    offset_s : int
        The local offset it was asked in; on a journey it is asked anew.
    x : ndarray of float32, shape (n_features,)
        The features as of its moment.
    delays_us : ndarray of int64
        When in such windows the target used to occur, see `inhabit.timing.first_delays`.
    """

    moment: Moments
    until_us: int
    offset_s: int
    x: NDArray[np.float32]
    delays_us: NDArray[np.int64]

    @property
    def slot(self) -> int:
        """Index of its moment in the schedule."""
        return int(self.moment.slot[0])

    @property
    def window(self) -> tuple[int, int]:
        """Begin and end of the window, in microseconds."""
        return int(self.moment.window_start_us[0]), int(self.moment.window_end_us[0])

    @property
    def draw(self) -> int:
        """A number of its own: one question, one draw."""
        return int(self.moment.day[0]) * 256 + self.slot

    def is_open(self, now_us: int, offset_s: int) -> bool:
        """Return whether it is the question of this instant."""
        return self.moment.at_us[0] <= now_us < self.until_us and offset_s == self.offset_s

    def updated(self, probability: float, known: int, now_us: int) -> float:
        """Return the probability now, from that at the moment and what is known of the window."""
        if known != UNKNOWN:
            return SURE if known == POSITIVE else 1.0 - SURE
        start_us, end_us = self.window
        share = share_to_come(self.delays_us, end_us - start_us, now_us - start_us)
        return min(max(still_to_come(probability, share), 1.0 - SURE), SURE)


class Questions:
    """The questions that a log and a schedule ask about a target.

    Parameters
    ----------
    log : EventLog
    target : Target
    schedule : Schedule
    feature_set : FeatureSet
    """

    def __init__(
        self, log: EventLog, target: Target, schedule: Schedule, feature_set: FeatureSet
    ) -> None:
        self.log = log
        self.target = target
        self.schedule = schedule
        self.feature_set = feature_set

    def asked(
        self, now_us: int, walked: Walked | None = None, calendar: Calendar | None = None
    ) -> Asked:
        """Return the earlier questions, and the one that is asked now, as samples.

        All of them, or those whose labels had not matured when a walk ended. `calendar` is as for
        `asked_of_log`.
        """
        about = self.target, self.schedule, self.feature_set
        return asked_of_log(self.log, *about, as_of_us=now_us + 1, walked=walked, calendar=calendar)

    def latest(self, now_us: int, moments: int) -> Samples:
        """Return (at least) the last questions, if there were so many; bounded as `asked` is.

        For their features; which of overlapping windows are learnt is another matter.
        """
        days = moments // len(self.schedule.times) + MARGIN_DAYS
        table = self.asked(now_us, Walked(now_us - days * US_PER_DAY, None)).samples
        return table if len(table) >= moments else self.asked(now_us).samples

    def open_at(self, now_us: int, offset_s: int, asked: Asked | None = None) -> Question:
        """Return the question that is open at an instant; `asked` may hold it already.

        What was known at its moment stays so, whatever is recorded later; so it can be kept.
        """
        if asked is not None and len(asked.samples) and offset_s == asked.utc_offset_s:
            moment = asked.samples.moments[-1:]
            until_us = min(int(moment.window_end_us[0]), asked.next_us)
            if moment.at_us[0] <= now_us < until_us:
                x = asked.samples.features[-1]
                return self._question(asked.asof, moment, until_us, offset_s, x)
        here, source = (now_us, offset_s), LogSource(self.log, self.target, now_us)
        days = days_around(self.schedule, self.target.window, now_us, now_us)
        clock, windows, *_ = source.calendar(self.schedule, days, here)
        following = int(np.searchsorted(windows.at_us, now_us, side="right"))
        moment = windows[following - 1 : following]
        until_us = int(min(moment.window_end_us[0], windows.at_us[following]))
        if until_us <= now_us:  # between two windows a question of its own is asked, now
            moment = moment_at(clock, self.schedule, self.target.window, *here)
        asof = AsOf.of_log(source, moment, windows)
        x = self.feature_set.compute(asof)[0]
        return self._question(asof, moment, until_us, offset_s, x)

    @staticmethod
    def _question(
        asof: AsOf, moment: Moments, until_us: int, offset_s: int, x: NDArray[np.float32]
    ) -> Question:
        """Return the question of a moment, with when the target used to occur, as known then."""
        start_us, end_us = int(moment.window_start_us[0]), int(moment.window_end_us[0])
        since_us = start_us - LOOK_BACK_DAYS * US_PER_DAY
        happened = asof.happened(since_us)
        known = happened.occurred_at_us >= since_us
        known &= happened.visible_from_us <= moment.at_us
        local_us = happened.occurred_at_us + happened.utc_offset_s * US_PER_SECOND
        start_local_us = start_us + offset_s * US_PER_SECOND
        return Question(
            moment=moment,
            until_us=until_us,
            offset_s=offset_s,
            x=x,
            delays_us=first_delays(local_us[known], start_local_us, end_us - start_us),
        )

    def known(self, question: Question, now_us: int) -> int:
        """Return whether it is answered already: `POSITIVE`, `NEGATIVE` (a skip) or `UNKNOWN`."""
        moment = question.moment
        start_us = moment.day_start_us if self.target.once else moment.window_start_us
        evidence = self._evidence(start_us, moment.window_end_us)
        return int(evidence.known_at(now_us + 1)[0])  # what is recorded now is known now

    def outcomes(
        self, start_us: NDArray[np.int64], end_us: NDArray[np.int64], now_us: int
    ) -> NDArray[np.int8]:
        """Return what came of windows that are closed."""
        return self._evidence(start_us, end_us).labels(now_us)

    def _evidence(self, start_us: NDArray[np.int64], end_us: NDArray[np.int64]) -> Evidence:
        """Return what the log tells about windows."""
        target, source = self.target, LogSource(self.log, self.target, NEVER_US)
        spans = np.sort(start_us), np.sort(end_us)  # together they cover what the windows do
        happened, skipped = (
            source.happenings(kind, (target.subject,), *spans)
            for kind in (target.kind, target.skip_kind)
        )
        return Evidence.gather(target, happened, skipped, start_us, end_us)
