"""Simulated people who walk on some days of the week more than on others."""

from datetime import UTC, datetime, timedelta

import numpy as np

from inhabit.events import Event, EventColumns
from inhabit.features import DEFAULT_FEATURES
from inhabit.samples import Target, samples

TARGET = Target(subject="walk")


def columns(seed, days=60, weekday=0.8, weekend=0.2):
    """Events of someone who walks on weekdays mostly."""
    random = np.random.default_rng(seed)
    start = datetime(2026, 1, 5, 18, tzinfo=UTC)  # a Monday
    rows = []
    for day in range(days):
        done = random.random() < (weekend if day % 7 >= 5 else weekday)
        rows.append(
            Event(
                kind="habit_completed" if done else "habit_skipped",
                subject="walk",
                occurred_at=start + timedelta(days=day),
            ).row
        )
    return EventColumns.from_rows(rows)


def person(seed, feature_set=DEFAULT_FEATURES, **habit):
    return samples(columns(seed, **habit), TARGET, feature_set=feature_set)
