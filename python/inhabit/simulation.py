"""A simulated person with a known truth: for the demo and for tests, never for claims of quality.

The person has a habit that grows with practice, weekdays that differ, a holiday, a journey to
another time zone and daylight saving. Reminders help, less and less the more of them there are.
Because everything follows from a seed and a known probability, a prediction can be compared with
the truth and not only with the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Final

import numpy as np

from inhabit.events import (
    APP_OPENED,
    HABIT_COMPLETED,
    HABIT_SKIPPED,
    REMINDER_SENT,
    REMINDER_TAPPED,
    Event,
)
from inhabit.scheduling import DeviceState

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PARTS", "SimulatedDevice", "SimulatedPerson"]

PARTS: Final = (time(4), time(12), time(17), time(20))
"""Where the parts of a day begin; the last one ends at 04:00."""

# Log-odds of doing it in each part of the day when nothing else speaks for or against it.
_PART: Final = np.array([-1.6, -2.6, -1.1, -0.7])
# Monday ... Sunday.
_WEEKDAY: Final = np.array([0.5, 0.4, 0.3, 0.2, -0.9, -1.3, -0.2])
_HOURS: Final = ((7.0, 11.5), (12.1, 16.5), (17.2, 19.8), (20.2, 25.5))


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of one day: where it lies and what had been decided by the dice in advance."""

    start: datetime
    minute: float  # after ``start``, if it is done in this part
    dice: float


class SimulatedPerson:
    """Somebody who wants to do something once a day, and lives through a year.

    Parameters
    ----------
    seed : int
        Same seed, same person, same dice.
    start : date
        First day.
    days : int
        How many days.
    subject : str
        What the habit is about.
    """

    def __init__(
        self,
        seed: int = 7,
        start: date = date(2025, 1, 6),
        days: int = 365,
        subject: str = "meditate",
    ) -> None:
        self.subject = subject
        self.days = days
        self._random = np.random.default_rng(seed)
        self._start = start
        self._strength = 0.0  # grows with practice, fades without
        self._dose = 0.0  # how many reminders lately
        self._away = set(range(200, 214))  # a holiday: other things matter
        self._abroad = set(range(120, 130))  # a journey, five hours further west

    def live(self) -> Iterator[SimulatedDay]:
        """Yield the days one after the other; each must be lived before the next is asked for."""
        for number in range(self.days):
            today = SimulatedDay(self, number)
            yield today
            today.end()

    def offset(self, day: date, number: int) -> timezone:
        """Return the local offset: Central Europe with daylight saving, the journey elsewhere."""
        summer = _last_sunday(day.year, 3) <= day < _last_sunday(day.year, 10)
        return timezone(timedelta(hours=1 + summer - (5 if number in self._abroad else 0)))

    def log_odds(self, number: int, part: int, *, reminded: bool) -> float:
        """Return the log-odds that it is done in one part of a day, if it was not before."""
        weekday = (self._start + timedelta(days=number)).weekday()
        season = 0.5 * np.cos(2.0 * np.pi * number / 365.0)
        away = -2.2 if number in self._away else 0.0
        help_ = 1.5 * np.exp(-0.25 * self._dose) if reminded else 0.0
        return float(
            _PART[part] + _WEEKDAY[weekday] + season + away + 2.2 * self._strength + help_ - 0.9
        )

    def practise(self, *, done: bool, reminders: int) -> None:
        """Let a day leave its traces: practice makes it easier, reminders wear out."""
        self._strength += 0.04 * ((1.0 if done else 0.0) - self._strength)
        self._dose = 0.8 * self._dose + reminders


class SimulatedDay:
    """One day: its moments, what happens between them, and the true probability at each."""

    def __init__(self, person: SimulatedPerson, number: int) -> None:
        self.person = person
        self.number = number
        self.date = person._start + timedelta(days=number)  # noqa: SLF001 - its own person
        self.done_at: datetime | None = None
        self._reminders: list[int] = []
        random = person._random  # noqa: SLF001
        zone = person.offset(self.date, number)
        midnight = datetime.combine(self.date, time(0), zone)
        self._parts = [
            _Part(
                midnight + timedelta(hours=begin.hour),
                float(random.uniform(low, high) - begin.hour) * 60.0,
                float(random.random()),
            )
            for begin, (low, high) in zip(PARTS, _HOURS, strict=True)
        ]
        self._late = float(random.exponential(4.0))  # minutes until it is entered
        self._opened = sorted(random.uniform(7.0, 23.5, size=random.poisson(3.0)))
        self._midnight = midnight
        self._tap, self._skip = random.random(2)

    @property
    def moments(self) -> list[datetime]:
        """When the parts of the day begin, in local time."""
        return [part.start for part in self._parts]

    def truth(self, part: int) -> float:
        """Return the true probability that it is (still) done today, without further reminders."""
        if self.done_at is not None:
            return 1.0
        missed = 1.0
        for later in range(part, len(PARTS)):
            missed *= 1.0 - self._chance(later)
        return 1.0 - missed

    def remind(self, part: int) -> None:
        """Give a reminder at the beginning of a part of the day."""
        self._reminders.append(part)

    def live(self, part: int) -> list[Event]:
        """Live through one part of the day and return what was recorded, in that order."""
        begin = self._parts[part].start
        end = self._parts[part + 1].start if part + 1 < len(PARTS) else begin + timedelta(hours=8)
        events = [
            self._event(APP_OPENED, at, "")
            for hour in self._opened
            if begin <= (at := self._midnight + timedelta(hours=float(hour))) < end
        ]
        if part in self._reminders:
            events.append(self._event(REMINDER_SENT, begin))
            if self._tap < 0.45:
                events.append(self._event(REMINDER_TAPPED, begin + timedelta(minutes=3)))
        if self.done_at is None and self._parts[part].dice < self._chance(part):
            self.done_at = begin + timedelta(minutes=self._parts[part].minute)
            entered = self.done_at + timedelta(minutes=self._late)
            events.append(self._event(HABIT_COMPLETED, self.done_at, recorded_at=min(entered, end)))
        if self.done_at is None and part == len(PARTS) - 1 and self._skip < 0.15:
            events.append(self._event(HABIT_SKIPPED, begin + timedelta(hours=2)))
        return sorted(events, key=lambda event: event.recorded_at)

    def end(self) -> None:
        """End the day."""
        self.person.practise(done=self.done_at is not None, reminders=len(self._reminders))

    def _chance(self, part: int) -> float:
        log_odds = self.person.log_odds(self.number, part, reminded=part in self._reminders)
        return 1.0 / (1.0 + float(np.exp(-log_odds)))

    def _event(
        self,
        kind: str,
        at: datetime,
        subject: str | None = None,
        recorded_at: datetime | None = None,
    ) -> Event:
        about = self.person.subject if subject is None else subject
        return Event(kind=kind, subject=about, occurred_at=at, recorded_at=recorded_at or at)


class SimulatedDevice:
    """A phone that is charged most nights: locked and idle then, in use and on battery by day."""

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed + 1)
        self._charged: dict[date, bool] = {}

    def __call__(self, now: datetime) -> DeviceState:
        """Return the facts at one instant."""
        night = not 7 <= now.hour < 23
        evening_of = (now - timedelta(hours=12)).date()
        charged = self._charged.setdefault(evening_of, bool(self._random.random() < 0.8))
        return DeviceState(
            external_power=night and charged,
            unmetered_network=night or now.hour > 18,
            device_idle=night,
            locked=night,
            battery_not_low=True,
            notes=("simulated",),
        )


def _last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)
