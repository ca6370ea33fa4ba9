"""Speed of the event log: `python -m pytest benches/test_event_log.py --benchmark-enable`.

Without that option every benchmark runs once, on a small log, as a test.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest

from inhabit import Personalizer, importers
from inhabit.events import EventColumns, EventLog, EventRow, database, us_from_datetime

NOW = datetime(2026, 3, 1, 5, tzinfo=UTC)
DAY_US = 86_400_000_000


def life(count):
    """Yield the last `count` events of a person: thirty a day, one of them the habit."""
    step = timedelta(minutes=48)
    for number in range(count, 0, -1):
        summer = (number // 30) % 365 > 180
        time = (NOW - number * step).astimezone(timezone(timedelta(hours=2 if summer else 1)))
        if number % 30 == 0:
            yield EventRow.checked("habit_completed", time, subject="meditate")
        else:
            yield EventRow.checked("reminder_sent" if number % 6 == 1 else "app_opened", time)


@pytest.fixture(scope="module")
def size(request):
    """How much a size is worth: all of it when speed is measured, little in a test."""
    tested = not request.config.getoption("benchmark_enable")
    return lambda count: min(count, 3_000) if tested else count


@pytest.fixture(scope="module")
def log_of(tmp_path_factory, size):
    """A log with so many events; each is made once."""
    folder = tmp_path_factory.mktemp("logs")
    logs = {}

    def log_of(count):
        if count not in logs:
            logs[count] = EventLog(folder / f"{count}.db")
            logs[count].append_rows(life(size(count)))
        return logs[count]

    yield log_of
    for log in logs.values():
        log.close()


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("csv") / "events.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        importers.write_csv(file, EventColumns.from_rows(life(size(100_000))))
    return path


# The look-backs that a prediction makes: flat in the age of the log.


@pytest.mark.parametrize("count", [10_000, 100_000, 1_000_000])
@pytest.mark.benchmark(group="today's events")
def test_columns_of_today(benchmark, log_of, count):
    log, since_us = log_of(count), us_from_datetime(NOW) - DAY_US
    assert len(benchmark(log.columns, "meditate", since_us)) == 30


@pytest.mark.parametrize("count", [10_000, 100_000, 1_000_000])
@pytest.mark.benchmark(group="the habit in 128 days")
def test_occurrences_of_the_habit(benchmark, log_of, size, count):
    log, now_us = log_of(count), us_from_datetime(NOW)
    found = benchmark(
        log.occurrences, "habit_completed", ("meditate",), [(now_us - 128 * DAY_US, now_us)], now_us
    )
    assert len(found[0]) == min(128, size(count) // 30)


@pytest.mark.parametrize("count", [10_000, 100_000, 1_000_000])
@pytest.mark.benchmark(group="where the person was in 128 days")
def test_offset_changes(benchmark, log_of, count):
    log, now_us = log_of(count), us_from_datetime(NOW)
    assert benchmark(log.offset_changes, now_us - 128 * DAY_US, now_us)


@pytest.fixture(scope="module")
def me(tmp_path_factory, size):
    clock = iter(range(10**9))
    with Personalizer.open(
        "meditate",
        tmp_path_factory.mktemp("home"),
        clock=lambda: NOW + timedelta(milliseconds=next(clock)),
    ) as me:
        me.log.append_rows(life(size(100_000)))
        me.predict()  # loads the model and catches up, once
        yield me


@pytest.mark.benchmark(group="predict, 100,000 events")
def test_predict_again(benchmark, me):
    """From the log to a probability, nothing having happened since the last one."""
    assert 0.0 < benchmark(me.predict) < 1.0


@pytest.mark.benchmark(group="predict, 100,000 events")
def test_predict_after_an_event(benchmark, me):
    """The same, just after something was recorded."""
    benchmark.pedantic(me.predict, setup=lambda: me.record("app_opened") and None, rounds=200)


@pytest.mark.benchmark(group="predict, 100,000 events")
def test_predict_as_of_another_instant(benchmark, me):
    """The same, each time as of another instant of the last month."""
    instants = iter(range(10**9))
    benchmark(lambda: me.predict(NOW - timedelta(minutes=7 * (next(instants) % 6_000))))


@pytest.mark.benchmark(group="record")
def test_record(benchmark, log_of):
    """One event, on the disk when the call returns."""
    log, times = log_of(100_000), iter(range(10**9))
    benchmark(lambda: log.record("tick", occurred_at=NOW + timedelta(microseconds=next(times))))


# An import beside what SQLite alone takes for the same rows, already parsed.


@pytest.mark.benchmark(group="import 100,000")
def test_import_csv(benchmark, tmp_path, csv_file, size):
    names = (tmp_path / f"{number}.db" for number in range(10**6))

    def run():
        with EventLog(next(names)) as log:
            return importers.import_records(log, importers.read_csv(csv_file))

    assert benchmark.pedantic(run, rounds=3).added == size(100_000)


@pytest.mark.benchmark(group="import 100,000")
def test_read_csv(benchmark, csv_file, size):
    records = benchmark.pedantic(lambda: list(importers.read_csv(csv_file)), rounds=3)
    assert len(records) == size(100_000)


@pytest.mark.benchmark(group="import 100,000")
def test_sqlite_alone(benchmark, tmp_path, size):
    kinds = {"app_opened": 1, "habit_completed": 2, "reminder_sent": 3}
    rows = [
        (row.id, 1 if row.subject else 2, kinds[row.kind], *row[3:]) for row in life(size(100_000))
    ]
    names = (tmp_path / f"{number}.db" for number in range(10**6))

    def run():
        EventLog(path := next(names)).close()
        connection = sqlite3.connect(path, isolation_level=None)
        for setting in database.SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        connection.executemany("INSERT INTO kinds (name) VALUES (?)", [(kind,) for kind in kinds])
        connection.executemany("INSERT INTO subjects (name) VALUES (?)", [("meditate",), ("",)])
        for begin in range(0, len(rows), 10_000):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO events (id, subject, kind, occurred_at_us, utc_offset_s,"
                " recorded_at_us, value) VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows[begin : begin + 10_000],
            )
            connection.execute("COMMIT")
        connection.close()

    benchmark.pedantic(run, rounds=3)
