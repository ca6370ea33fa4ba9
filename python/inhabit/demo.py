"""A person's year through the real loop, in seconds: real log, real training, real generations.

Only the clock is made up, and the device, which is charged most nights. The person is simulated,
and the report says so, unless real events are given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from inhabit.events import datetime_from_us
from inhabit.exceptions import ConfigError
from inhabit.moments import Schedule, moments_of_log
from inhabit.personalizer import Personalizer
from inhabit.report import Story
from inhabit.simulation import PARTS, SimulatedDay, SimulatedDevice, SimulatedPerson
from inhabit.training import metrics_of, running_base_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from inhabit.events import EventColumns, EventRow
    from inhabit.settings import Settings

__all__ = ["HEADER", "Life", "RecordedLife", "SimulatedLife", "Week", "live"]

_ACTIONS: Final = ("remind", "wait", "suppress")
_NIGHT: Final = time(3)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class Life(Protocol):
    """Somebody's moments, one after the other, and what happens between them."""

    subject: str
    note: str
    days: int

    def moments(self) -> Iterator[Moment]:
        """Yield the moments in time order; each is lived before the next is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of a life.

    Attributes
    ----------
    at : datetime
        When it is, in local time.
    truth : float or None
        The true probability, if anybody can know it.
    live : callable
        Takes whether a reminder is given; returns what is recorded until the next moment.
    """

    at: datetime
    truth: float | None
    live: Callable[[bool], list[EventRow]]


class SimulatedLife:
    """A `SimulatedPerson`, who reacts to reminders."""

    note = (
        "This person is simulated: nobody's data was used. The habit grows with practice, weekdays "
        "differ, there are a journey and a holiday in summer, and reminders wear out."
    )

    def __init__(self, days: int = 365, seed: int = 7) -> None:
        self._person = SimulatedPerson(seed=seed, days=days)
        self.subject = self._person.subject
        self.days = days

    def moments(self) -> Iterator[Moment]:
        """Yield the beginnings of the parts of each day."""
        for day in self._person.live():
            for part, at in enumerate(day.moments):
                yield Moment(at, day.truth(part), partial(_live_part, day, part))


def _live_part(day: SimulatedDay, part: int, reminded: bool) -> list[EventRow]:  # noqa: FBT001
    if reminded:
        day.remind(part)
    return [event.row for event in day.live(part)]


class RecordedLife:
    """Real events, told again as they were recorded; reminders change nothing any more."""

    note = "These are real events, replayed: decisions are what would have been decided."

    def __init__(self, events: EventColumns, subject: str, settings: Settings) -> None:
        target = settings.about(subject)
        if not np.any(events.is_kind(target.kind) & events.is_subject(subject)):
            raise ConfigError(f"there is no {target.kind} of {subject!r} to predict")
        self.subject = subject
        self._rows = sorted(events.rows(), key=lambda row: (row.recorded_at_us, row.id))
        asked = Schedule(times=PARTS, day_start=settings.day_start)
        self._moments = moments_of_log(events, asked, target.window, subject=subject)
        self.days = len(np.unique(self._moments.day))

    def moments(self) -> Iterator[Moment]:
        """Yield the scheduled moments; what was recorded between two comes with the first."""
        recorded_us = np.array([row.recorded_at_us for row in self._rows], dtype=np.int64)
        bounds = np.searchsorted(recorded_us, self._moments.at_us)
        ends = np.append(bounds[1:], len(self._rows))
        begin = 0  # what is older than the first moment comes with it
        for index, end in enumerate(ends.tolist()):
            at = datetime_from_us(
                int(self._moments.at_us[index]), int(self._moments.utc_offset_s[index])
            )
            rows = self._rows[begin:end]
            begin = end
            yield Moment(at, None, partial(_told, rows))


def _told(rows: list[EventRow], reminded: bool) -> list[EventRow]:  # noqa: FBT001
    del reminded  # what happened has happened
    return rows


# --- living it -------------------------------------------------------------------------------


def live(
    life: Life,
    home: Path,
    settings: Settings,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Story, list[Week]]:
    """Live a life through a `Personalizer`, and tell it.

    Parameters
    ----------
    life : Life
        Whose.
    home : Path
        An empty folder, where the log and the generations will be.
    settings : Settings
        Of the personalizer.
    progress : callable, optional
        Called with the days lived and all days.

    Returns
    -------
    story : Story
        For the report.
    weeks : list of Week
        For the table.
    """
    clock = _Clock()
    device = SimulatedDevice()
    trainings: list[np.datetime64] = []
    truth: list[float] = []
    known: list[bool] = []
    seconds = 0.0
    with Personalizer.open(
        life.subject, home, settings=settings, clock=clock, device=lambda: device(clock.now)
    ) as me:
        for number, (today, moments) in enumerate(groupby(life.moments(), _date)):
            with me.log.transaction():  # a simulated day is one write to the disk
                for moment in moments:
                    clock.now = moment.at
                    known.append(me.known() is not None)
                    decision = me.decide()
                    truth.append(np.nan if moment.truth is None else moment.truth)
                    me.record_all(moment.live(decision.action == "remind"))
            # The timer fires while people sleep.
            clock.now = datetime.combine(today, _NIGHT, clock.now.tzinfo) + timedelta(days=1)
            if trained := me.train_if_due():
                trainings.append(np.datetime64(today))
                seconds += trained.seconds
            if progress is not None:
                progress(min(number + 1, life.days), life.days)
        clock.now += timedelta(days=2)  # let the last windows close
        me.train()
        return _tell(
            life,
            me,
            truth=np.array(truth),
            known=np.array(known),
            trainings=np.array(trainings, "datetime64[D]"),
            seconds=seconds,
        )


def _date(moment: Moment) -> date:
    return moment.at.date()


class _Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime.fromtimestamp(0).astimezone()

    def __call__(self) -> datetime:
        return self.now


class Week(NamedTuple):
    """What a week came to.

    Attributes
    ----------
    start : date
    done, days : int
        Days on which it was done, and days.
    remind, wait, suppress : int
        Decisions.
    trainings : int
    log_loss, base_rate : float
        Mean log loss of the predictions, and of the running base rate; NaN without any label.
    """

    start: date
    done: int
    days: int
    remind: int
    wait: int
    suppress: int
    trainings: int
    log_loss: float
    base_rate: float

    def cells(self) -> list[str]:
        """Return the row of a table."""
        losses = ("" if np.isnan(x) else f"{x:.3f}" for x in (self.log_loss, self.base_rate))
        counts = (self.remind, self.wait, self.suppress, self.trainings)
        return [f"{self.start}", f"{self.done} of {self.days}", *map(str, counts), *losses]


HEADER: Final = [
    "week of", "done", "remind", "wait", "suppress", "trained", "log loss", "base",
]  # fmt: skip


def _tell(
    life: Life,
    me: Personalizer,
    *,
    truth: NDArray[np.float64],
    known: NDArray[np.bool_],
    trainings: NDArray[np.datetime64],
    seconds: float,
) -> tuple[Story, list[Week]]:
    """Put together what the log remembers."""
    decisions = me.log.decisions(me.subject)
    table = me.samples()
    at_us = np.array([decision.at_us for decision in decisions])
    row = np.searchsorted(table.moments.at_us, at_us, side="right") - 1
    outcome = np.array([-1 if d.outcome is None else d.outcome for d in decisions], dtype=np.int8)
    label = np.where(known, np.int8(-1), outcome)  # what was known at once was not predicted
    asked = np.flatnonzero(~known)
    first = asked[np.unique(row[asked], return_index=True)[1]]
    story = Story(
        title=f"{life.days} days of {me.subject}",
        subtitle=f"What inhabit predicted, what came, and what it would do: {me.question()}.",
        note=life.note,
        days=(table.moments.day[row] - _EPOCH_ORDINAL).astype("datetime64[D]"),
        probability=np.array([decision.probability for decision in decisions], dtype=np.float64),
        base_rate=running_base_rate(table)[row],
        label=label,
        scored=np.isin(np.arange(len(row)), first),
        truth=None if np.isnan(truth).all() else truth,
        actions=np.array([decision.action for decision in decisions]),
        thresholds=(me.settings.policy.remind_below, me.settings.policy.suppress_above),
        effects=me.effects(),
        weights={name: w for name, w in me.status().experts.items() if w >= 0.005},
    )
    weeks = _weeks(story, trainings)
    scores = _scores(story, story.scored)
    done = {day for day, one in zip(story.days, label, strict=True) if one == 1}
    figures = {
        "days": f"{len(np.unique(story.days))}",
        "done on": f"{100 * len(done) / max(len(np.unique(story.days)), 1):.0f} %",
        "log loss": f"{scores['log_loss']:.3f}" if scores else "none",
        "base rate's log loss": f"{scores['base_rate_log_loss']:.3f}" if scores else "none",
        "decisions": f"{len(decisions)}",
        "trainings": f"{len(trainings)}",
        "a training took": f"{1000 * seconds / max(len(trainings), 1):.0f} ms",
    }
    rows = [HEADER, *(week.cells() for week in weeks)]
    return replace(story, figures=figures, table=rows), weeks


def _scores(story: Story, rows: NDArray[np.bool_]) -> dict[str, float]:
    return metrics_of(story.label[rows], story.probability[rows], story.base_rate[rows])


def _weeks(story: Story, trainings: NDArray[np.datetime64]) -> list[Week]:
    """Sum up each week, from Monday to Sunday."""
    monday = np.busday_offset(story.days, 0, roll="backward", weekmask="1000000")
    trained = np.busday_offset(trainings, 0, roll="backward", weekmask="1000000")
    weeks = []
    for start in np.unique(monday):
        here = monday == start
        label, days = story.label[here], story.days[here]
        scores = _scores(story, here & story.scored)
        count = {action: int((story.actions[here] == action).sum()) for action in _ACTIONS}
        weeks.append(
            Week(
                start=start.item(),
                done=len(np.unique(days[label == 1])),
                days=len(np.unique(days)),
                **count,
                trainings=int((trained == start).sum()),
                log_loss=scores.get("log_loss", float("nan")),
                base_rate=scores.get("base_rate_log_loss", float("nan")),
            )
        )
    return weeks
