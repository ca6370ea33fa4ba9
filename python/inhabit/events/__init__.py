"""Events: what a person did, kept for good on the person's own disk.

An `EventLog` is one SQLite file and holds one person's events, about any
number of subjects, together with the decisions that were taken for them.
Events are facts: they are appended and, at the person's wish, forgotten;
nothing ever changes one.

An event has two times. `Event.occurred_at` is when it happened, with the
person's UTC offset there and then; `Event.recorded_at` is when the log learnt
of it. A prediction made as of a moment may only use what was recorded before
that moment, so both are needed to replay history honestly.
"""

from inhabit.events.columns import EventColumns
from inhabit.events.decision import StoredDecision
from inhabit.events.event import (
    APP_OPENED,
    HABIT_COMPLETED,
    HABIT_SKIPPED,
    REMINDER_SENT,
    REMINDER_TAPPED,
    Beginning,
    Event,
    EventRow,
    datetime_from_us,
    recording_time,
    us_from_datetime,
)
from inhabit.events.forgetting import Forgotten
from inhabit.events.log import EventLog

__all__ = [
    "APP_OPENED",
    "HABIT_COMPLETED",
    "HABIT_SKIPPED",
    "REMINDER_SENT",
    "REMINDER_TAPPED",
    "Beginning",
    "Event",
    "EventColumns",
    "EventLog",
    "EventRow",
    "Forgotten",
    "StoredDecision",
    "datetime_from_us",
    "recording_time",
    "us_from_datetime",
]
