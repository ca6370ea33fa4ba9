"""One event: what happened, to what, when, and when it was known."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from typing import Final, NamedTuple

from inhabit.exceptions import EventError, NonFiniteError

APP_OPENED: Final = "app_opened"
REMINDER_SENT: Final = "reminder_sent"
REMINDER_TAPPED: Final = "reminder_tapped"
HABIT_COMPLETED: Final = "habit_completed"
HABIT_SKIPPED: Final = "habit_skipped"

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  (naive: UTC is meant)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOT_IN_A_NAME: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def us_from_datetime(time: datetime, name: str = "time") -> int:
    """Microseconds from 1970-01-01T00:00Z to `time`, exactly.

    Raises
    ------
    EventError
        If `time` is no datetime, naive, or in the first or last year that Python knows;
        `name` is what the message calls it.
    """
    return _us_and_offset(time, name)[0]


def recording_time(now: datetime, occurred_at: datetime | None) -> datetime:
    """Return when an event is recorded: now, or when it occurred, if a clock puts that later."""
    if occurred_at is None:
        return now
    us_from_datetime(occurred_at, "occurred_at")  # refuses what names no instant
    # Python compares two times of one zone by the wall clock, which is set back.
    return max(now, occurred_at, key=us_from_datetime)


def _us_and_offset(time: datetime, name: str) -> tuple[int, timedelta]:
    try:
        offset = time.utcoffset()
    except AttributeError:
        raise EventError(f"{name}: expected a datetime, got {time!r:.60}") from None
    if offset is None:
        raise EventError(
            f"{name}: expected a time with a UTC offset, got {time.isoformat()}, which names no "
            f"instant. Write {time.isoformat()}+02:00, or datetime.now().astimezone() for now"
        )
    if not 2 <= time.year <= 9998:
        raise EventError(f"{name}: expected the years 2 to 9998, got {time.isoformat()}")
    return (time.replace(tzinfo=None) - _EPOCH - offset) // _MICROSECOND, offset


def datetime_from_us(time_us: int, utc_offset_s: int = 0) -> datetime:
    """Offset-aware local time of the instant `time_us`; the inverse of `us_from_datetime`."""
    offset = timedelta(seconds=int(utc_offset_s))
    local = _EPOCH + timedelta(microseconds=int(time_us)) + offset
    return local.replace(tzinfo=timezone(offset) if offset else UTC)


class EventRow(NamedTuple):
    """An event as it is stored: checked, with integers for times.

    Importers produce these, because a hundred thousand of them cost nothing.
    Build them with `EventRow.checked`; the plain constructor checks nothing.
    """

    id: str
    subject: str
    kind: str
    occurred_at_us: int
    utc_offset_s: int
    recorded_at_us: int
    value: float | None

    @classmethod
    def checked(
        cls,
        kind: str,
        occurred_at: datetime,
        *,
        subject: str = "",
        recorded_at: datetime | None = None,
        value: float | None = None,
        id: str | None = None,  # noqa: A002
    ) -> EventRow:
        """Return the row of an event, or raise `EventError` saying what is wrong with it."""
        occurred_at_us, offset = _us_and_offset(occurred_at, "occurred_at")
        if offset.microseconds:
            raise EventError(f"occurred_at: expected a UTC offset of whole seconds, got {offset}")
        if recorded_at is None:
            recorded_at_us = occurred_at_us
        else:
            recorded_at_us = us_from_datetime(recorded_at, "recorded_at")
            if recorded_at_us < occurred_at_us:
                raise EventError(
                    f"recorded_at: expected {occurred_at.isoformat()} (occurred_at) or later, got "
                    f"{recorded_at.isoformat()}: no event is known before it happens"
                )
        if value is not None:
            try:
                is_finite = isfinite(value)  # takes no text, as `float` would
            except (TypeError, OverflowError):
                raise EventError(f"value: expected a number or none, got {value!r:.60}") from None
            if not is_finite:
                raise NonFiniteError(f"value: expected a finite number or none, got {value}")
            value = float(value) + 0.0  # turns -0.0 into 0.0, as SQLite does
        _check_name("kind", kind)
        if subject != "":
            _check_name("subject", subject)
        if id is None:
            id = content_id(subject, kind, occurred_at_us, value)  # noqa: A001
        else:
            _check_name("id", id)
        offset_s = offset.days * 86_400 + offset.seconds
        return cls(id, subject, kind, occurred_at_us, offset_s, recorded_at_us, value)

    @property
    def content(self) -> tuple[str, str, int, float | None]:
        """What an id stands for; two rows of one id must agree in it."""
        return self.subject, self.kind, self.occurred_at_us, self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one person.

    Parameters
    ----------
    kind : str
        What happened. `APP_OPENED`, `REMINDER_SENT`, `REMINDER_TAPPED`,
        `HABIT_COMPLETED` and `HABIT_SKIPPED` mean something to the default
        features; any other name is welcome.
    occurred_at : datetime
        When it happened, with the person's UTC offset. Naive times are refused.
    subject : str, default ""
        What it is about, such as ``"meditate"``. An event without a subject
        (an app launch, say) concerns them all.
    recorded_at : datetime, optional
        When the log learnt of it; by default as it happened. Never earlier.
    value : float, optional
        A finite amount, if the kind has one.
    id : str, optional
        Identity: appending an id that is already there adds nothing. By
        default a digest of subject, kind, instant and value, so the same fact
        told twice is one event.
    """

    kind: str
    occurred_at: datetime
    subject: str = ""
    recorded_at: datetime = field(default=None)  # type: ignore[assignment]  # set below
    value: float | None = None
    id: str = ""

    def __post_init__(self) -> None:
        row = EventRow.checked(
            self.kind,
            self.occurred_at,
            subject=self.subject,
            recorded_at=self.recorded_at,
            value=self.value,
            id=None if self.id == "" else self.id,
        )
        object.__setattr__(self, "id", row.id)
        object.__setattr__(self, "value", row.value)
        if self.recorded_at is None:
            object.__setattr__(self, "recorded_at", self.occurred_at)

    @property
    def row(self) -> EventRow:
        """The event as it is stored."""
        return EventRow.checked(
            self.kind,
            self.occurred_at,
            subject=self.subject,
            recorded_at=self.recorded_at,
            value=self.value,
            id=self.id,
        )

    @classmethod
    def from_row(cls, row: EventRow) -> Event:
        """Return the event of a stored row, both times in the offset of the event."""
        return cls(
            kind=row.kind,
            occurred_at=datetime_from_us(row.occurred_at_us, row.utc_offset_s),
            subject=row.subject,
            recorded_at=datetime_from_us(row.recorded_at_us, row.utc_offset_s),
            value=row.value,
            id=row.id,
        )


class Beginning(NamedTuple):
    """The first thing that is known of a subject: an event about it, or a decision.

    Attributes
    ----------
    occurred_at_us : int
        When the event occurred, or the decision was made.
    recorded_at_us : int
        When the log learnt of it.
    """

    occurred_at_us: int
    recorded_at_us: int


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str):
        raise EventError(f"{what}: expected a string, got {type(name).__name__}")
    if not _is_name(name):
        raise EventError(
            f"{what}: expected 1 to 256 characters without control characters, got {name[:60]!r}"
        )


@lru_cache(maxsize=256)  # a log has few names and many rows
def _is_name(name: str) -> bool:
    return 1 <= len(name) <= 256 and not _NOT_IN_A_NAME.search(name)


def content_id(subject: str, kind: str, occurred_at_us: int, value: float | None) -> str:
    """Identity of an event that came without one: SHA-256 of its content, 128 bits in hex.

    The offset and the time of recording are not part of it: the same fact
    told again later, or written in another time zone, is the same event.
    """
    amount = "" if value is None else repr(value)
    content = f"{subject}\n{kind}\n{occurred_at_us}\n{amount}"  # names have no line breaks
    return sha256(content.encode()).hexdigest()[:32]
