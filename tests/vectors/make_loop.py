"""Write loop.json: events of invented people, and what every language must make of them.

Run `python tests/vectors/make_loop.py`; `make test` fails if the file differs from what this makes.
The people are simulated with a fixed seed. Each case stresses one thing: daylight saving, travel,
habits after midnight, records that come late, missing answers, overlapping windows, habits that are
taken up later, a long log.
"""

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from inhabit.events import EventColumns, EventRow
from inhabit.features import DEFAULT_FEATURES
from inhabit.moments import Schedule
from inhabit.samples import Samples, Target, samples

FILE = Path(__file__).with_name("loop.json")
UTC = timezone.utc  # noqa: UP017
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BERLIN_SUMMER = datetime(2026, 3, 29, 1, tzinfo=UTC)
BERLIN_WINTER = datetime(2026, 10, 25, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One person's events, and the question asked of them."""

    name: str
    rows: list[EventRow]
    target: Target
    schedule: Schedule
    decided_us: int | None = None


def berlin(instant: datetime) -> timedelta:
    """Return the offset in Berlin in 2026."""
    return 2 * HOUR if BERLIN_SUMMER <= instant < BERLIN_WINTER else HOUR


def traveller(instant: datetime) -> timedelta:
    """Return the offset of somebody who flies east, west, and around the date line."""
    days = (instant - datetime(2026, 3, 1, tzinfo=UTC)) / timedelta(days=1)
    hours = (1, 9, -5, 1, -8, 13, 5.75, 1)
    return hours[min(int(days / 6.3), len(hours) - 1)] * HOUR


class Person:
    """Collects the events of one invented person."""

    def __init__(self, seed: int, offset_at) -> None:
        self.random = random.Random(seed)
        self.offset_at = offset_at
        self.rows: list[EventRow] = []

    def add(self, kind, instant, subject="meditate", late=timedelta(0), value=None) -> None:
        """Something happened, and was recorded that much later."""
        local = instant.astimezone(timezone(self.offset_at(instant)))
        row = EventRow.checked(kind, local, subject=subject, recorded_at=local + late, value=value)
        self.rows.append(row)

    def live(self, first: datetime, days: int, hours=(7, 21), late=0.0, skips=0.1) -> "Person":
        """Opens the app, gets reminded, does it more on weekdays and after a success."""
        done = True
        for day in range(days):
            midnight = first + timedelta(days=day)
            for hour in hours:
                at = midnight + timedelta(hours=hour, minutes=self.random.randrange(120))
                for _ in range(self.random.randrange(4)):
                    self.add("app_opened", at - timedelta(minutes=self.random.randrange(600)), "")
                if self.random.random() < 0.4:
                    self.add("reminder_tapped", at - timedelta(minutes=5))
                chance = 0.35 + 0.3 * done + (0.15 if midnight.weekday() < 5 else -0.15)
                done = self.random.random() < chance
                delay = timedelta(hours=self.random.randrange(1, 60))
                delay *= self.random.random() < late
                if done:
                    self.add("habit_completed", at, late=delay)
                elif self.random.random() < skips:
                    self.add("habit_skipped", at, late=delay)
        return self


def taken_up(person: Person, late=timedelta(0)) -> Person:
    """Somebody who opens the app and runs for weeks before the habit; its first record is late."""
    first = datetime(2026, 3, 18, tzinfo=UTC)
    for day in range(30):
        person.add("app_opened", first + day * DAY + person.random.randrange(600) * HOUR / 60, "")
        person.add("habit_completed", first + day * DAY + 6 * HOUR, "run")
    person.add("habit_completed", first + 18 * DAY + 9 * HOUR, late=2 * DAY)
    person.add("reminder_tapped", first + 20 * DAY + 5 * HOUR, late=late)
    return person.live(first + 20 * DAY, 12, late=0.2)


def microseconds(instant: datetime) -> int:
    """Return an instant in microseconds since 1970."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def cases() -> list[Case]:
    """Return all cases."""
    march, october = datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 10, 18, tzinfo=UTC)

    def target(window, **options):
        return Target(subject="meditate", window=window, **options)

    return [
        Case(
            "clocks go forward",
            Person(1, berlin).live(march, 18).rows,
            target("next-moment"),
            Schedule.parse("04:00,15:00"),
        ),
        Case(
            "clocks go back",
            Person(2, berlin).live(october, 16).rows,
            target("next-day"),
            Schedule.parse("04:00"),
        ),
        Case(
            "travel",
            Person(3, traveller).live(datetime(2026, 3, 1, tzinfo=UTC), 52).rows,
            target("rest-of-day"),
            Schedule.parse("08:00,12:00,18:00,22:00"),
        ),
        Case(
            "after midnight",
            Person(4, berlin).live(march, 20, hours=(23, 24)).rows,
            target("rest-of-day"),
            Schedule.parse("00:30,20:00"),
        ),
        Case(
            "recorded late",
            Person(5, berlin).live(march, 24, late=0.5, skips=0.6).rows,
            target("rest-of-day", grace=timedelta(hours=6)),
            Schedule.parse("06:00,18:00", day_start="03:00"),
        ),
        Case(
            "answers are missing",
            Person(6, traveller).live(march, 30, skips=0.4, late=0.1).rows,
            target("next-moment", missing="unknown"),
            Schedule.parse("04:00,15:00"),
        ),
        Case(
            "overlapping windows",
            Person(7, berlin).live(march, 12, hours=(8, 13, 19)).rows,
            target("36h"),
            Schedule.parse("05:00,11:00,17:00,23:00"),
        ),
        Case(
            "once a day",
            Person(9, traveller).live(march, 30, hours=(7, 11, 20), late=0.2).rows,
            target("rest-of-day", once=True),
            Schedule.parse("04:00,12:00,17:00,20:00"),
        ),
        Case(
            "taken up later",
            taken_up(Person(10, berlin)).rows,
            target("rest-of-day"),
            Schedule.parse("04:00,15:00"),
        ),
        Case(
            "decided before",
            taken_up(Person(11, berlin), late=4 * HOUR).rows,
            target("next-moment"),
            Schedule.parse("04:00,15:00"),
            decided_us=microseconds(march + 15 * DAY + 11 * HOUR),
        ),
        Case(
            "decided before anything",
            Person(12, traveller).live(march, 9).rows,
            target("20h"),
            Schedule.parse("06:00,18:00"),
            decided_us=microseconds(march - 5 * DAY),
        ),
        Case(
            "a long log",
            Person(8, berlin).live(datetime(2026, 2, 1, tzinfo=UTC), 150).rows,
            target("next-moment"),
            Schedule.parse("04:00,15:00"),
        ),
    ]


def described(case: Case) -> dict[str, object]:
    """Return a case and its expected values, as JSON."""
    events = EventColumns.from_rows(case.rows)
    table = samples(events, case.target, case.schedule, decided_us=case.decided_us)
    return {
        "name": case.name,
        "schedule": {
            "times": [time.isoformat("minutes") for time in case.schedule.times],
            "day_start": case.schedule.day_start.isoformat("minutes"),
        },
        "target": {
            "kind": case.target.kind,
            "subject": case.target.subject,
            "window": str(case.target.window),
            "missing": case.target.missing,
            "skip_kind": case.target.skip_kind,
            "grace_us": case.target.grace_us,
            "once": case.target.once,
        },
        "decided_us": case.decided_us,
        "events": sorted(map(list, events.rows()), key=lambda row: (row[5], row[3], row[0])),
        "moments": {
            name: getattr(table.moments, name).tolist()
            for name in table.moments.__dataclass_fields__
        },
        "samples": expected(table),
    }


def expected(table: Samples) -> dict[str, object]:
    """Return the columns of the samples; floats as the bits of their float32."""
    return {
        "label": table.label.tolist(),
        "matured": table.matured.tolist(),
        "learn_at": table.learn_at.tolist(),
        "repeats": table.repeats.tolist(),
        "feature_bits": table.features.view(np.uint32).tolist(),
    }


def document() -> str:
    """Return the text of loop.json."""
    content = {
        "about": "made by make_loop.py; the people are invented",
        "event_columns": list(EventRow._fields),
        "features": list(DEFAULT_FEATURES.names),
        "cases": [described(case) for case in cases()],
    }
    return json.dumps(content, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
