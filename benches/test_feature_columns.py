"""Features: of a whole year at once, as training does it, and of one moment read from the disk."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from inhabit.events import EventColumns, EventLog, EventRow
from inhabit.features import DEFAULT_FEATURES
from inhabit.moments import NEXT_MOMENT, Schedule
from inhabit.questions import Questions
from inhabit.samples import Target, samples

START = datetime(2025, 1, 1, tzinfo=UTC)
SCHEDULE = Schedule.parse("04:00,09:00,12:00,15:00,20:00")
TARGET = Target(subject="meditate", window=NEXT_MOMENT)


def lived(days: int, a_day: int, seed: int = 0) -> list[EventRow]:
    """Mostly app launches; three in a hundred events are the habit."""
    random = Random(seed)
    kinds = ["app_opened"] * 90 + ["reminder_tapped"] * 7 + ["habit_completed"] * 3
    rows = []
    for number in range(days * a_day):
        kind = random.choice(kinds)
        subject = "" if kind == "app_opened" else "meditate"
        at = START + timedelta(seconds=random.randrange(days * 86_400))
        rows.append(EventRow.checked(kind, at, subject=subject, id=str(number)))
    return rows


@pytest.mark.benchmark(group="features")
def test_samples_of_a_year_with_five_moments_a_day(benchmark):
    events = EventColumns.from_rows(lived(365, 20))
    table = benchmark(samples, events, TARGET, SCHEDULE)
    assert len(table) > 1_800


@pytest.mark.benchmark(group="features")
@pytest.mark.parametrize("n_events", [10_000, 100_000])
def test_features_of_now_from_a_log(benchmark, tmp_path, n_events):
    with EventLog(tmp_path / "events.sqlite3") as log:
        log.append_rows(lived(n_events // 100, 100))
        now_us = int((START + timedelta(days=n_events // 100)).timestamp()) * 1_000_000

        questions = Questions(log, TARGET, SCHEDULE, DEFAULT_FEATURES)
        assert benchmark(questions.open_at, now_us, 0).x.shape == (10,)
