"""Moments: the instants predictions are made as of, their windows, and the person's local days.

A *local day* begins at a configurable hour (04:00 unless said otherwise), so that what is done at
01:00 belongs to the day the person is still awake in. Local time follows the person: it is UTC plus
the offset carried by the event that was *recorded last* before an instant. Daylight saving and
travel are changes of that offset and need no table of time zones:

- a time of day skipped by a jump forward falls on the instant of the jump;
- a time of day passed twice, after a jump backward, counts the first time only;
- of several moments skipped by one jump, the last one remains.

Everything here depends only on what was recorded before the instant in question, so nothing
recorded later can move a moment of the past.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from inhabit.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from inhabit.events import EventColumns

__all__ = [
    "NEXT_DAY",
    "NEXT_MOMENT",
    "REST_OF_DAY",
    "LocalClock",
    "Moments",
    "Schedule",
    "Window",
    "days_around",
    "isoformat",
    "moment_at",
    "moments_between",
    "moments_of_log",
]

US_PER_SECOND: Final = 1_000_000
US_PER_DAY: Final = 86_400 * US_PER_SECOND
MAX_SLOTS: Final = 24
MAX_WINDOW_US: Final = 366 * US_PER_DAY

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
# Offsets lie within +-24 h: three days on each side hold every local day an instant can touch.
MARGIN_DAYS: Final = 3
_FOREVER: Final = np.iinfo(np.int64).max // 2  # leaves room for adding an offset or a grace
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}

_Days = TypeVar("_Days", "NDArray[np.int64]", int)


@dataclass(frozen=True, slots=True)
class Window:
    """When, as seen from a moment, the target may happen. Windows are half open: [start, end).

    ========================  ==========================================================
    ``next-moment``           from the moment to the next moment of the schedule
    ``rest-of-day``           from the moment to the end of its local day
    ``next-day``              the whole local day after the moment's
    a duration (``"6h"``)     from the moment for that long
    ========================  ==========================================================

    Parameters
    ----------
    name : str
        One of the three names above, or ``"duration"``.
    duration_us : int, default 0
        Length in microseconds, up to 366 days; only for ``"duration"``.

    Raises
    ------
    ConfigError
        If the name is unknown, or the duration is not positive or longer than 366 days.
    """

    name: str
    duration_us: int = 0

    def __post_init__(self) -> None:
        if self.name not in {"next-moment", "rest-of-day", "next-day", "duration"}:
            raise ConfigError(
                "window: expected next-moment, rest-of-day, next-day or a duration such as 6h, "
                f"got {self.name!r}"
            )
        if (self.name == "duration") != (self.duration_us > 0):
            raise ConfigError(
                f"window: expected a positive length for a duration and none otherwise, "
                f"got {self.name!r} with {self.duration_us} us"
            )
        if self.duration_us > MAX_WINDOW_US:
            raise ConfigError(
                f"window: expected at most {MAX_WINDOW_US // US_PER_DAY}d, got {self}"
            )

    @classmethod
    def parse(cls, value: Window | timedelta | str) -> Window:
        """Return the window that a name, a text such as ``"90m"``, or a duration means.

        Examples
        --------
        >>> Window.parse("rest-of-day") == REST_OF_DAY
        True
        >>> str(Window.parse("90m"))
        '90m'
        """
        if isinstance(value, Window):
            return value
        if isinstance(value, timedelta):
            return cls("duration", value // timedelta(microseconds=1))
        if not isinstance(value, str):
            raise ConfigError(f"window: expected a text such as 90m, or a timedelta, got {value!r}")
        match = re.fullmatch(r"(\d{1,6})([mhd])", value.strip())
        if match and int(match[1]):
            return cls("duration", int(match[1]) * _UNITS[match[2]] * US_PER_SECOND)
        return cls(value.strip().replace("_", "-"))

    def __str__(self) -> str:
        if self.name != "duration":
            return self.name
        for unit, seconds in reversed(_UNITS.items()):
            if self.duration_us % (seconds * US_PER_SECOND) == 0:
                return f"{self.duration_us // (seconds * US_PER_SECOND)}{unit}"
        return f"{self.duration_us}us"


NEXT_MOMENT: Final = Window("next-moment")
REST_OF_DAY: Final = Window("rest-of-day")
NEXT_DAY: Final = Window("next-day")


@dataclass(frozen=True)
class Schedule:
    """The local times of day at which predictions are made, and the hour a local day begins.

    Parameters
    ----------
    times : sequence of datetime.time, default (04:00,)
        One to 24 different times without time zone. Kept in the order in which they come within a
        local day; the index in that order is the moment's ``slot``.
    day_start : datetime.time, default 04:00
        When the local day begins.

    Raises
    ------
    ConfigError
        If there are no times, more than 24, two that are equal, or one with a time zone.

    Examples
    --------
    >>> Schedule.parse("00:30,15:00").times  # 00:30 ends the day that began at 04:00
    (datetime.time(15, 0), datetime.time(0, 30))
    """

    times: tuple[time, ...] = (time(4),)
    day_start: time = time(4)

    def __post_init__(self) -> None:
        if not isinstance(self.times, tuple | list):
            raise ConfigError(
                f"times: expected times of day such as (time(4), time(15)), got {self.times!r}"
            )
        times = tuple(self.times)
        for value in (*times, self.day_start):
            if not isinstance(value, time) or value.tzinfo is not None:
                raise ConfigError(
                    f"schedule: expected local times of day without time zone, got {value!r}"
                )
        if not 1 <= len(times) <= MAX_SLOTS or len(set(times)) != len(times):
            raise ConfigError(
                f"times: expected 1 to {MAX_SLOTS} different times of day, "
                f"got {[t.isoformat('minutes') for t in times]}"
            )
        object.__setattr__(self, "times", tuple(sorted(times, key=self._since_day_start)))

    @classmethod
    def parse(cls, times: str, day_start: str = "04:00") -> Schedule:
        """Return the schedule written as comma-separated ISO times of day (``"04:00,15:00"``)."""
        try:
            parsed = tuple(time.fromisoformat(text.strip()) for text in times.split(","))
            start = time.fromisoformat(day_start.strip())
        except ValueError as error:
            raise ConfigError(
                f"moments: expected times of day such as 04:00,15:00, got {times!r} "
                f"(day start {day_start!r})"
            ) from error
        return cls(parsed, start)

    @cached_property
    def offsets_us(self) -> NDArray[np.int64]:
        """Microseconds from the start of the local day to each slot, ascending."""
        return np.array([self._since_day_start(t) for t in self.times], np.int64)

    @cached_property
    def bounds_us(self) -> NDArray[np.int64]:
        """`offsets_us` between the start of the local day and that of the next."""
        return np.array([0, *self.offsets_us, US_PER_DAY], np.int64)

    @cached_property
    def day_start_us(self) -> int:
        """Microseconds from local midnight to the start of the local day."""
        return _time_us(self.day_start)

    def _since_day_start(self, value: time) -> int:
        return (_time_us(value) - _time_us(self.day_start)) % US_PER_DAY

    def starts_us(self, day: _Days) -> _Days:
        """Return the local times, as if they were UTC, at which local days (ordinals) begin."""
        return (day - _EPOCH_ORDINAL) * US_PER_DAY + self.day_start_us

    def local_day(self, at_us: int, utc_offset_s: int) -> int:
        """Return the ordinal (``date.toordinal``) of the local day that holds an instant."""
        local_us = at_us + utc_offset_s * US_PER_SECOND
        return (local_us - self.day_start_us) // US_PER_DAY + _EPOCH_ORDINAL


@dataclass(frozen=True, eq=False)
class LocalClock:
    """A person's local time: the UTC offsets that were in force, as the log tells them.

    Parameters
    ----------
    changed_at_us : ndarray of int64, shape (n,)
        Ascending. Offset `i` holds at instants ``changed_at_us[i] < t <= changed_at_us[i + 1]``;
        the first offset also holds before.
    utc_offset_s : ndarray of int64, shape (n,)
        Offsets east of UTC, in seconds.
    """

    changed_at_us: NDArray[np.int64]
    utc_offset_s: NDArray[np.int64]

    @classmethod
    def of_events(cls, events: EventColumns) -> LocalClock:
        """Return the clock of a log: every event, once recorded, says what the offset is."""
        if not len(events):
            return cls.fixed()
        order = np.argsort(events.recorded_at_us, kind="stable")  # ties keep (occurred_at, id)
        recorded_at = events.recorded_at_us[order]
        offset = events.utc_offset_s[order].astype(np.int64)
        last_of_tie = np.append(recorded_at[1:] != recorded_at[:-1], True)
        recorded_at, offset = recorded_at[last_of_tie], offset[last_of_tie]
        changed = np.append(True, offset[1:] != offset[:-1])
        return cls(recorded_at[changed], offset[changed])

    @classmethod
    def of_changes(cls, changes: Sequence[tuple[int, int]]) -> LocalClock:
        """Return the clock of (changed_at_us, utc_offset_s), as `EventLog.offset_changes` says."""
        columns = np.array(changes, np.int64)
        return cls(columns[:, 0], columns[:, 1])

    @classmethod
    def fixed(cls, utc_offset_s: int = 0) -> LocalClock:
        """Return a clock that never changes."""
        return cls.of_changes([(0, utc_offset_s)])

    def with_now(self, now_us: int, utc_offset_s: int) -> LocalClock:
        """Return the clock up to an instant at which the device itself tells the offset."""
        known = int(np.searchsorted(self.changed_at_us, now_us, side="left"))
        if known and int(self.utc_offset_s[known - 1]) == utc_offset_s:
            return LocalClock(self.changed_at_us[:known], self.utc_offset_s[:known])
        return LocalClock(
            np.append(self.changed_at_us[:known], now_us - 1),
            np.append(self.utc_offset_s[:known], utc_offset_s),
        )

    def offset_at(self, at_us: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the offset in force at each instant, in seconds."""
        segment = self.changed_at_us.searchsorted(at_us, side="left") - 1
        return self.utc_offset_s[np.maximum(segment, 0)].astype(np.int32)

    def first_instant(self, local_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first UTC instants at which the local clock shows at least the given times.

        Parameters
        ----------
        local_us : ndarray of int64
            Local times, in microseconds since local 1970-01-01 00:00.

        Returns
        -------
        ndarray of int64
            ``min {t : t + offset(t) >= local_us}``, in microseconds since the epoch.
        """
        offset_us = self.utc_offset_s * US_PER_SECOND
        segment = self._furthest_local_us.searchsorted(local_us, side="left")
        begins_us = self.changed_at_us + 1
        begins_us[0] = -_FOREVER
        at_us: NDArray[np.int64] = np.maximum(local_us - offset_us[segment], begins_us[segment])
        return at_us

    @cached_property
    def _furthest_local_us(self) -> NDArray[np.int64]:
        """The latest local time shown by the end of each segment but the last."""
        ends = self.changed_at_us[1:] + self.utc_offset_s[:-1] * US_PER_SECOND
        return np.maximum.accumulate(ends)


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments as columns, in time order; all arrays have shape (n,).

    Parameters
    ----------
    at_us : ndarray of int64
        The instant the prediction is made as of: it sees what was recorded before.
    utc_offset_s : ndarray of int32
        Local time minus UTC.
    slot : ndarray of uint8
        Index of the time of day in the schedule.
    day : ndarray of int64
        Ordinal (``date.toordinal``) of the local day.
    day_start_us : ndarray of int64
        When that local day began.
    window_start_us, window_end_us : ndarray of int64
        The window [start, end) in which the target may happen.
    """

    at_us: NDArray[np.int64]
    utc_offset_s: NDArray[np.int32]
    slot: NDArray[np.uint8]
    day: NDArray[np.int64]
    day_start_us: NDArray[np.int64]
    window_start_us: NDArray[np.int64]
    window_end_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at_us)

    def __getitem__(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Moments:
        return Moments(*[column[rows] for column in _columns(self)])

    @property
    def weekday(self) -> NDArray[np.int64]:
        """Weekday of the local day; Monday is 0."""
        return (self.day + 6) % 7

    @property
    def window_weekday(self) -> NDArray[np.int64]:
        """Weekday of the local day in which the window begins; Monday is 0."""
        return (self.weekday + (self.window_start_us > self.at_us)) % 7

    @property
    def window_weekend(self) -> NDArray[np.bool_]:
        """Whether the window begins on a Saturday or Sunday."""
        weekend: NDArray[np.bool_] = self.window_weekday >= 5
        return weekend

    @property
    def time_of_day_us(self) -> NDArray[np.int64]:
        """Microseconds since local midnight."""
        return (self.at_us + self.utc_offset_s * np.int64(US_PER_SECOND)) % US_PER_DAY


_columns: Final = attrgetter(*(column.name for column in fields(Moments)))


def moments_between(
    clock: LocalClock, schedule: Schedule, window: Window, first_day: int, last_day: int
) -> Moments:
    """Return every moment of a range of local days (ordinals, both included).

    Of moments that one jump of the local clock skips together, the last one remains; it is left
    out, too, when the jump ends its local day.
    """
    # One day more than asked for, so that the last moment has a successor; its window needs two.
    first_us, after_us = schedule.starts_us(first_day), schedule.starts_us(last_day + 4)
    days = np.arange(first_us, after_us, US_PER_DAY, dtype=np.int64)
    bounds = clock.first_instant(days[:, None] + schedule.bounds_us)
    starts, at_us, following = bounds[:, 0], bounds[:-2, 1:-1], bounds[:-2, 2:]
    index, slot = (at_us < following).nonzero()
    at_us = at_us[index, slot]
    window_start_us, window_end_us = _windows(window, at_us, starts, index)
    moments = Moments(
        at_us=at_us,
        utc_offset_s=clock.offset_at(at_us),
        slot=slot.astype(np.uint8),
        day=first_day + index,
        day_start_us=starts[index],
        window_start_us=window_start_us,
        window_end_us=window_end_us,
    )
    return moments[: int(moments.day.searchsorted(last_day, side="right"))]


def days_around(schedule: Schedule, window: Window, first_us: int, last_us: int) -> tuple[int, int]:
    """Return a range of local days with every moment that lies in, or can reach, a range of time.

    Its last day begins after the range, wherever the person is.
    """
    reach = window.duration_us // US_PER_DAY + MARGIN_DAYS
    first_day, last_day = schedule.local_day(first_us, 0), schedule.local_day(last_us, 0)
    return first_day - reach, last_day + MARGIN_DAYS


def _windows(
    window: Window,
    at_us: NDArray[np.int64],
    day_starts_us: NDArray[np.int64],
    day_index: NDArray[np.intp],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the windows of consecutive moments begin and end."""
    match window.name:
        case "next-moment":
            return at_us, np.append(at_us[1:], day_starts_us[-1])
        case "rest-of-day":
            return at_us, day_starts_us[day_index + 1]
        case "next-day":
            return day_starts_us[day_index + 1], day_starts_us[day_index + 2]
        case _:
            return at_us, at_us + window.duration_us


def moments_of_log(
    events: EventColumns,
    schedule: Schedule,
    window: Window,
    *,
    subject: str | None = None,
    decided_us: int | None = None,
    as_of_us: int | None = None,
) -> Moments:
    """Return the moments of a log: from the first one whose window reaches its beginning.

    Parameters
    ----------
    events : EventColumns
        One person's events.
    schedule : Schedule
        Times of day.
    window : Window
        What the moments look ahead to.
    subject : str, optional
        The log begins with the first event about this subject: what concerns all subjects may be
        older than any. It ends with the last event about this subject or none. By default, all
        events count.
    decided_us : int, optional
        When a decision was made about the subject: it begins the log as an event about it does.
    as_of_us : int, optional
        Only moments before this instant. Without it the log is taken as finished: up to the last
        moment whose window begins no later than the last event.

    Returns
    -------
    Moments
        Empty if nothing begins it.

    Notes
    -----
    The first window reaches the beginning, so in a log of nothing but targets it is positive by
    construction, and so is the last one where it is labelled. At moments up to the beginning
    nothing was known yet: a record with another offset, between the two, may still move the end of
    their windows, and so add or remove the very first one.
    """
    own = about = np.maximum(events.occurred_at_us, events.recorded_at_us)
    if subject is not None:
        own, about = own[events.is_subject(subject)], own[events.is_subject(subject, "")]
    first_us = int(own.min(initial=_FOREVER if decided_us is None else decided_us))
    if first_us == _FOREVER:
        return moments_between(LocalClock.fixed(), schedule, window, 1, 1)[:0]
    clock = LocalClock.of_events(events)
    last_us = int(about.max(initial=first_us)) if as_of_us is None else as_of_us
    days = days_around(schedule, window, first_us, last_us)
    moments = moments_between(clock, schedule, window, *days)
    started = moments.window_end_us > first_us
    if as_of_us is None:
        return moments[started & (moments.window_start_us <= last_us)]
    return moments[started & (moments.at_us < as_of_us)]


def moment_at(
    clock: LocalClock, schedule: Schedule, window: Window, now_us: int, utc_offset_s: int
) -> Moments:
    """Return one moment at any instant, as a column of length one.

    Its day is the last local day begun, its slot the last one begun in that day; its window is the
    one a moment of the schedule would have at this instant.
    """
    clock = clock.with_now(now_us, utc_offset_s)
    day = schedule.local_day(now_us, utc_offset_s)
    # Every day is lived once: after a flight west, the one the clock shows may be over already.
    starts = clock.first_instant(schedule.starts_us(np.arange(day, day + MARGIN_DAYS + 3)))
    over = int(np.searchsorted(starts[1:], now_us, side="right"))
    day, starts = day + over, starts[over:]
    at_us = np.array([now_us], np.int64)
    slots = clock.first_instant(schedule.starts_us(day) + schedule.offsets_us)
    slot = max(int(np.searchsorted(slots, now_us, side="right")) - 1, 0)
    if window == NEXT_MOMENT:
        around = moments_between(clock, schedule, NEXT_MOMENT, day, day + 1)
        after = around.at_us[np.searchsorted(around.at_us, now_us, side="right")]
        start_us, end_us = at_us, np.array([after], np.int64)
    else:
        start_us, end_us = _windows(window, at_us, starts, np.zeros(1, np.intp))
    return Moments(
        at_us=at_us,
        utc_offset_s=np.array([utc_offset_s], np.int32),
        slot=np.array([slot], np.uint8),
        day=np.array([day], np.int64),
        day_start_us=starts[:1],
        window_start_us=start_us,
        window_end_us=end_us,
    )


def isoformat(at_us: int, utc_offset_s: int) -> str:
    """Return an instant as ISO 8601 local time with its offset.

    Examples
    --------
    >>> isoformat(1_772_157_600_000_000, 3_600)
    '2026-02-27T03:00:00+01:00'
    """
    zone = timezone(timedelta(seconds=utc_offset_s))
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return instant.astimezone(zone).isoformat()


def _time_us(value: time) -> int:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return seconds * US_PER_SECOND + value.microsecond
