"""Events, their columns, and the log against a plain-Python model of it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
import tempfile
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import strategies as some
from cost import sqlite_steps
from inhabit.events import (
    Event,
    EventColumns,
    EventLog,
    EventRow,
    StoredDecision,
    datetime_from_us,
    us_from_datetime,
)
from inhabit.exceptions import ConfigError, EventError, NonFiniteError, StorageError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        yield log


def order(row):
    return row.occurred_at_us, row.recorded_at_us, row.id


def decision(**changes):
    plain = StoredDecision(
        subject="meditate",
        at_us=some.START_US,
        utc_offset_s=3600,
        slot=0,
        window_start_us=some.START_US,
        window_end_us=some.START_US + 24 * some.HOUR_US,
        action="remind",
        probability=0.25,
        propensity=0.9,
        generation=3,
        reasons=("probability 25 % is below 40 %", "noch nicht erledigt ✓"),
        features=np.array([0.5, 0.25], "<f4").tobytes(),
        zone="low",
    )
    return dataclasses.replace(plain, **changes)


# --- one event ---------------------------------------------------------------


@given(some.aware())
def test_microseconds_and_back(time):
    us = us_from_datetime(time)
    offset_s = time.utcoffset() // timedelta(seconds=1)
    back = datetime_from_us(us, offset_s)
    assert back == time
    assert back.utcoffset() == time.utcoffset()


@given(some.events(some.wild_rows))
def test_event_and_row_are_the_same_thing(event):
    assert Event.from_row(event.row) == event
    assert Event.from_row(event.row).occurred_at.utcoffset() == event.occurred_at.utcoffset()


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (
            {"occurred_at": datetime(2026, 3, 1, 12)},
            EventError,
            "expected a time with a UTC offset",
        ),
        ({"recorded_at": datetime(2026, 3, 1, 12)}, EventError, "recorded_at: expected a time"),
        ({"recorded_at": NOON - timedelta(seconds=1)}, EventError, "before it happens"),
        (
            {"occurred_at": NOON.astimezone(timezone(timedelta(microseconds=1)))},
            EventError,
            "whole",
        ),
        ({"occurred_at": datetime.min.replace(tzinfo=UTC)}, EventError, "years 2 to 9998"),
        ({"occurred_at": "2026-03-01"}, EventError, "occurred_at: expected a datetime, got '2026"),
        ({"recorded_at": 5}, EventError, "recorded_at: expected a datetime, got 5"),
        (
            {"recorded_at": datetime.max.replace(tzinfo=UTC)},
            EventError,
            "recorded_at: expected the years",
        ),
        ({"value": float("nan")}, NonFiniteError, "finite"),
        ({"value": float("-inf")}, NonFiniteError, "finite"),
        ({"value": "much"}, EventError, "value: expected a number or none, got 'much'"),
        ({"value": "3"}, EventError, "value: expected a number or none, got '3'"),
        ({"value": 10**400}, EventError, "value: expected a number"),
        ({"kind": ""}, EventError, "kind: expected 1 to 256"),
        ({"kind": "a\nb"}, EventError, "control characters"),
        ({"kind": 5}, EventError, "kind: expected a string, got int"),
        ({"subject": "\ud800"}, EventError, "subject: expected"),
        ({"subject": "x" * 257}, EventError, "subject: expected"),
        ({"id": "\0"}, EventError, "id: expected"),
        ({"subject": None}, EventError, "subject: expected a string, got NoneType"),
        ({"subject": 0}, EventError, "subject: expected a string, got int"),
        ({"id": 0}, EventError, "id: expected a string, got int"),
    ],
)
def test_impossible_events_are_refused_and_named(log, wrong, error, words):
    event = {"kind": "app_opened", "occurred_at": NOON}
    with pytest.raises(error, match=words):
        Event(**event | wrong)
    with pytest.raises(error, match=words):
        log.record(**event | wrong)
    assert log.count() == 0


def test_the_message_about_a_naive_time_says_what_to_write():
    with pytest.raises(EventError, match=r"2026-03-01T12:00:00\+02:00"):
        Event(kind="x", occurred_at=datetime(2026, 3, 1, 12))


def test_without_an_id_the_content_is_the_identity():
    event = Event(kind="habit_completed", occurred_at=NOON, subject="run")
    elsewhere = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
    assert Event(kind="habit_completed", occurred_at=elsewhere, subject="run").id == event.id
    later = NOON + timedelta(days=1)
    told_later = Event(kind="habit_completed", occurred_at=NOON, subject="run", recorded_at=later)
    assert told_later.id == event.id
    assert dataclasses.replace(event, id="", subject="").id != event.id
    assert dataclasses.replace(event, id="", value=0.0).id != event.id
    # The digest is for good, since later imports depend on it:
    # printf 'run\nhabit_completed\n1772366400000000\n' | sha256sum | cut -c1-32
    assert event.id == "6290cbb3dc14b146387789083309e8e6"


@pytest.mark.parametrize("hour", [1, 2, 3])
def test_daylight_saving_keeps_its_offsets(log, hour):
    paris = ZoneInfo("Europe/Paris")
    for fold in (0, 1):
        log.record(
            "app_opened", occurred_at=datetime(2026, 10, 25, hour, 30, fold=fold, tzinfo=paris)
        )
    stored = [event.occurred_at.isoformat() for event in log.events()]
    twice = {1: ["+02:00"], 2: ["+02:00", "+01:00"], 3: ["+01:00"]}[hour]
    assert stored == [f"2026-10-25T0{hour}:30:00{offset}" for offset in twice]


# --- columns -------------------------------------------------------------------


@given(st.lists(some.wild_rows, max_size=20))
def test_columns_keep_every_row(rows):
    columns = EventColumns.from_rows(rows)
    unique = {row.id: row for row in reversed(rows)}
    assert list(columns.rows()) == sorted(unique.values(), key=order)
    assert columns.kinds == tuple(sorted({row.kind for row in unique.values()}))
    assert len(columns) == len(unique)


@given(st.lists(some.rows(), max_size=20))
def test_masks_and_selections(rows):
    columns = EventColumns.from_rows(rows)
    kept = columns.select(columns.is_kind("app_opened", "habit_completed", "never seen"))
    expected = [r for r in columns.rows() if r.kind in {"app_opened", "habit_completed"}]
    assert list(kept.rows()) == expected
    about = [row for row in columns.rows() if row.subject in {"", "run"}]
    assert list(columns.select(columns.is_subject("run", "")).rows()) == about


def test_no_events_are_columns_too(log):
    for columns in (log.columns(), EventColumns.from_rows([])):
        assert len(columns) == 0
        assert columns.kinds == columns.subjects == ()
        assert columns.occurred_at_us.dtype == np.int64
        assert columns.utc_offset_s.dtype == columns.kind.dtype == np.int32
        assert columns.value.dtype == np.float64
        assert not columns.is_kind("app_opened").any()


# --- the log against a model ---------------------------------------------------


class LogAgainstModel(RuleBasedStateMachine):
    """`EventLog` is a dict from id to row, whatever is done to it in whatever order."""

    @initialize()
    def create(self):
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "events.db"
        self.log = EventLog(self.path)
        self.model: dict[str, EventRow] = {}

    def teardown(self):
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.folder)

    @rule(rows=st.lists(some.rows(), max_size=8), twice=st.booleans())
    def append(self, rows, twice):
        new = len({row.id for row in rows} - self.model.keys())
        assert self.log.append_rows(rows + rows if twice else rows) == new
        for row in rows:
            self.model.setdefault(row.id, row)

    @rule(event=some.events())
    def record(self, event):
        recorded = self.log.record(
            event.kind,
            event.subject,
            occurred_at=event.occurred_at,
            recorded_at=event.recorded_at,
            value=event.value,
        )
        assert recorded == event
        self.model.setdefault(event.id, event.row)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), others=st.lists(some.rows(), max_size=3))
    def an_id_means_one_thing(self, data, others):
        taken = data.draw(st.sampled_from(sorted(self.model)))
        changed = self.model[taken]._replace(kind="something else")
        with pytest.raises(EventError, match="already stands for another event"):
            self.log.append_rows([*others, changed])
        added, refused = self.log.merge_rows([changed])
        assert (added, refused) == (0, [changed])

    @rule(rows=st.lists(some.rows(), min_size=1, max_size=5))
    def a_failed_transaction_never_was(self, rows):
        def fail():
            with self.log.transaction():
                self.log.append_rows(rows)
                with self.log.transaction():
                    self.log.record("inner", occurred_at=NOON)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()

    @rule(data=st.data())
    def forget_ids(self, data):
        known = st.sampled_from(sorted(self.model)) if self.model else st.nothing()
        ids = data.draw(st.lists(known | st.just("no such id"), max_size=4))
        gone = set(ids) & self.model.keys()
        assert self.log.forget(ids=ids).events == len(gone)
        for event_id in gone:
            del self.model[event_id]

    @rule(
        subject=st.none() | some.subjects,
        since=st.none() | some.instants_us,
        until=st.none() | some.instants_us,
    )
    def forget_range(self, subject, since, until):
        if subject is since is until is None:
            return
        doomed = {
            row.id
            for row in self.model.values()
            if (subject is None or row.subject == subject)
            and (since is None or row.occurred_at_us >= since)
            and (until is None or row.occurred_at_us < until)
        }
        forgotten = self.log.forget(
            subject=subject,
            since=None if since is None else datetime_from_us(since, 3600),
            until=None if until is None else datetime_from_us(until),
        )
        assert forgotten.events == len(doomed)
        self.model = {id_: row for id_, row in self.model.items() if id_ not in doomed}

    @rule()
    def forget_everything(self):
        assert self.log.forget(everything=True).events == len(self.model)
        self.model.clear()

    @rule()
    def reopen(self):
        self.log.close()
        self.log = EventLog(self.path)

    @rule()
    def release_locks(self):
        self.log.release_locks()
        assert {file.name for file in self.folder.iterdir()} == {"events.db"}

    @rule()
    def continue_from_a_backup(self):
        copy = self.folder / "copy.db"
        self.log.backup(copy)
        self.log.close()
        self.path.unlink()
        copy.rename(self.path)
        self.log = EventLog(self.path)

    @rule(
        subject=st.none() | some.subjects,
        kinds=st.none() | st.sets(some.kinds),
        since=st.none() | some.instants_us,
        until=st.none() | some.instants_us,
        before=st.none() | some.instants_us,
    )
    def query(self, subject, kinds, since, until, before):
        expected = [
            row
            for row in sorted(self.model.values(), key=order)
            if (subject is None or row.subject in {"", subject})
            and (kinds is None or row.kind in kinds)
            and (since is None or row.occurred_at_us >= since)
            and (until is None or row.occurred_at_us < until)
            and (before is None or row.recorded_at_us < before)
        ]
        columns = self.log.columns(subject, since, until, before, kinds=kinds)
        assert list(columns.rows()) == expected
        if kinds is since is until is None:
            if before is None:
                assert self.log.count(subject) == len(expected)
            first = self.log.first(subject, before)
            assert first == (Event.from_row(expected[0]) if expected else None)
            last = self.log.last(subject, before)
            assert last == (Event.from_row(expected[-1]) if expected else None)
            if subject is not None and before is not None:
                own = [row[3:6:2] for row in expected if row.subject == subject]
                assert self.log.beginning(subject, before) == (own[0] if own else None)

    @rule(
        kind=some.kinds,
        subjects=st.sets(some.subjects),
        bounds=st.lists(some.instants_us, min_size=4, max_size=4),
        before=some.instants_us,
    )
    def occurrences(self, kind, subjects, bounds, before):
        one, two, three, four = sorted(bounds)
        spans = [(one, two), (three, four)]
        expected = [
            (row.occurred_at_us, row.recorded_at_us, row.utc_offset_s, row.value)
            for row in sorted(self.model.values(), key=order)
            if row.kind == kind
            and row.subject in subjects
            and any(since <= row.occurred_at_us < until for since, until in spans)
            and row.recorded_at_us < before
        ]
        found = self.log.occurrences(kind, tuple(subjects), spans, before)
        for column, values in zip(found, zip(*expected, strict=True), strict=False):
            np.testing.assert_array_equal(column, np.array(values, dtype=column.dtype))
        assert {len(column) for column in found} == {len(expected)}

    @rule(since=some.instants_us, length=st.integers(0, 400))
    def offsets(self, since, length):
        until = since + length * some.HOUR_US
        changes = self.log.offset_changes(since, until)
        recorded = sorted(self.model.values(), key=lambda r: (r.recorded_at_us, *order(r)))
        instants = {since, until} | {r.recorded_at_us + late for r in recorded for late in (0, 1)}
        for instant in (t for t in instants if since <= t <= until):
            known = [row.utc_offset_s for row in recorded if row.recorded_at_us < instant]
            in_force = [offset for begin, offset in changes if begin < instant]
            assert in_force[-1:] == known[-1:]

    @invariant()
    def subjects(self):
        if hasattr(self, "log"):
            names = {row.subject for row in self.model.values()} - {""}
            assert self.log.subjects() == tuple(sorted(names))


TestLogAgainstModel = LogAgainstModel.TestCase


@given(st.lists(some.wild_rows, max_size=20))
def test_any_legal_row_survives_the_database(rows):
    with EventLog(":memory:") as log:
        log.append_rows(rows)
        assert list(log.columns().rows()) == list(EventColumns.from_rows(rows).rows())


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0, 60, 120])), max_size=12
    ),
    since=st.integers(0, 6),
    length=st.integers(0, 4),
)
def test_offset_changes_where_all_happens_at_once(rows, since, length):
    rows = [
        EventRow(str(n), "", "travelled", occurred_at_us, offset, occurred_at_us + delay, None)
        for n, (occurred_at_us, delay, offset) in enumerate(rows)
    ]
    with EventLog(":memory:") as log:
        log.append_rows(rows)
        changes = log.offset_changes(since, since + length)
    recorded = sorted(rows, key=lambda row: (row.recorded_at_us, *order(row)))
    for instant in range(since, since + length + 1):
        known = [row.utc_offset_s for row in recorded if row.recorded_at_us < instant]
        in_force = [offset for begin, offset in changes if begin < instant]
        assert in_force[-1:] == known[-1:]
    for (earlier, before), (later, after) in itertools.pairwise(changes):
        assert earlier < later
        assert before != after


# --- the log, by example ---------------------------------------------------------


def test_recording_is_now_by_default(log):
    before = datetime.now(UTC)
    event = log.record("app_opened")
    assert before <= event.occurred_at == event.recorded_at <= datetime.now(UTC)
    assert event.occurred_at.utcoffset() == datetime.now().astimezone().utcoffset()
    assert list(log.events()) == [event]


def test_recording_later_knows_when_it_was_told(log):
    event = log.record("habit_completed", "run", occurred_at=NOON)
    assert event.occurred_at == NOON < event.recorded_at


def test_a_clock_ahead_of_ours_is_believed(log):
    ahead = datetime.now(UTC) + timedelta(hours=1)
    assert log.record("app_opened", occurred_at=ahead).recorded_at == ahead


def test_append_is_all_or_nothing(log):
    first = Event(kind="a", occurred_at=NOON, id="1")
    assert log.append(first) == 1
    with pytest.raises(EventError, match="'1' already stands"):
        log.append(Event(kind="b", occurred_at=NOON, id="2"), dataclasses.replace(first, kind="c"))
    assert list(log.events()) == [first]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failed_inner_transaction_ends_the_outer_one(log, when):
    def fail_inside():
        with log.transaction():
            if when == "before":
                log.record("outer")
            with contextlib.suppress(ZeroDivisionError), log.transaction():
                raise ZeroDivisionError
            if when == "after":
                log.record("outer")

    with pytest.raises(StorageError, match="nothing of this transaction is kept"):
        fail_inside()
    assert log.count() == 0
    log.record("and now it works again")


def test_forgetting_inside_a_transaction_is_refused(log):
    log.record("app_opened")
    with pytest.raises(StorageError, match="inside a transaction"), log.transaction():
        log.forget(everything=True)
    assert log.count() == 1


def test_revision_tells_of_changes_by_anyone(log):
    revision = log.revision
    assert log.columns() is not None
    assert log.revision == revision
    log.record("app_opened")
    assert log.revision != revision
    revision = log.revision
    with EventLog(log.path) as other:
        other.record("app_opened")
    assert log.revision != revision
    revision = log.revision
    log.release_locks()
    assert log.revision != revision  # who knows what happened meanwhile


def test_many_threads_share_a_log(log):
    def work(name):
        for minute in range(20):
            log.record("app_opened", name, occurred_at=NOON + timedelta(minutes=minute))
            assert len(log.columns(subject=name)) == minute + 1

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.count() == 80


def test_a_closed_log_says_so(log):
    log.close()
    log.close()
    for call in (log.count, log.columns, log.release_locks, lambda: log.record("x")):
        if call == log.release_locks:
            call()
            continue
        with pytest.raises(StorageError, match="closed"):
            call()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ids": ["a"], "everything": True},
        {"ids": ["a"], "subject": "run"},
        {"everything": True, "since": NOON},
        {"ids": "abc"},
    ],
)
def test_forget_wants_exactly_one_wish(log, arguments):
    log.record("app_opened")
    with pytest.raises(ConfigError):
        log.forget(**arguments)
    assert log.count() == 1


def test_forget_wants_aware_times(log):
    with pytest.raises(EventError, match="since: expected a time with a UTC offset"):
        log.forget(since=datetime(2026, 3, 1))


def test_arguments_of_the_wrong_shape(log, tmp_path):
    with pytest.raises(ConfigError, match="kinds: expected a collection"):
        log.columns(kinds="app_opened")
    with pytest.raises(ConfigError, match="timeout_s"):
        EventLog(tmp_path / "other.db", timeout_s=-1)
    with pytest.raises(ConfigError, match="another file than the log itself"):
        log.backup(log.path)


# --- decisions and small facts -------------------------------------------------------


def test_decisions_come_back_as_they_were(log):
    early = decision(at_us=some.START_US - 5, probability=None, features=None, reasons=())
    numbers = [log.add_decision(decision()), log.add_decision(early)]
    stored = log.decisions()
    assert [dataclasses.replace(each, id=None) for each in stored] == [early, decision()]
    assert [each.id for each in stored] == numbers[::-1]
    assert log.decisions("run") == []
    assert log.decisions(since_us=some.START_US) == stored[1:]
    assert log.decisions("meditate", until_us=some.START_US) == stored[:1]


def test_an_outcome_is_joined_once(log):
    number = log.add_decision(decision())
    other = log.add_decision(decision(subject="run"))
    assert log.set_outcomes([(number, 1)]) == 1
    assert log.set_outcomes([(number, 0), (other, -1), (99, 1)]) == 1
    assert [each.outcome for each in log.decisions()] == [1, -1]
    assert log.decisions(open_only=True) == []
    with pytest.raises(EventError, match="expected 1, 0 or -1, got 2"):
        log.set_outcomes([(number, 2)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": 1.5},
        {"probability": float("nan"), "propensity": float("nan")},
        {"propensity": 0.0},
        {"generation": -1},
        {"window_end_us": 0},
        {"outcome": 7},
        {"slot": None},
    ],
)
def test_impossible_decisions_are_refused(log, wrong):
    with pytest.raises(EventError, match="cannot be stored"):
        log.add_decision(decision(**wrong))
    assert log.decisions() == []


def test_forgetting_reaches_the_decisions(log):
    hour = some.HOUR_US
    event = log.record("habit_completed", "meditate", occurred_at=datetime_from_us(some.START_US))
    event = log.record(
        "habit_skipped",
        "meditate",
        occurred_at=datetime_from_us(some.START_US),
        recorded_at=datetime_from_us(some.START_US + 2 * hour),
    )
    day_before = decision(at_us=some.START_US - 25 * hour, window_end_us=some.START_US, outcome=1)
    window = {"window_start_us": some.START_US - hour, "window_end_us": some.START_US + 30 * hour}
    before = decision(at_us=some.START_US + hour, outcome=1, **window)
    after = decision(at_us=some.START_US + 3 * hour, outcome=0, **window)
    elsewhere = dataclasses.replace(after, subject="run")
    for each in (day_before, before, after, elsewhere):
        log.add_decision(each)
    forgotten = log.forget(ids=[event.id])
    assert forgotten == (1, 1)
    stored = [dataclasses.replace(each, id=None) for each in log.decisions()]
    blank = {"probability": None, "features": None, "reasons": (), "outcome": None}
    assert stored == [
        dataclasses.replace(day_before, window_start_us=day_before.window_start_us),
        dataclasses.replace(before, outcome=None),
        dataclasses.replace(after, **blank),
        elsewhere,
    ]
    assert log.forget(subject="meditate") == (1, 3)
    assert [each.subject for each in log.decisions()] == ["run"]


def test_forgetting_an_event_of_no_subject_reaches_every_decision(log):
    event = log.record("app_opened", occurred_at=datetime_from_us(some.START_US - 1))
    for subject in ("run", "meditate"):
        log.add_decision(
            decision(subject=subject, outcome=1, at_us=us_from_datetime(event.recorded_at))
        )
    assert log.forget(ids=[event.id]) == (1, 2)
    assert {each.probability for each in log.decisions()} == {None}


def test_small_facts(log):
    assert log.get_meta("last_run") is None
    log.set_meta("last_run", "yesterday")
    log.set_meta("last_run", "2026-03-01T04:00:00+01:00")
    assert log.get_meta("last_run") == "2026-03-01T04:00:00+01:00"
    log.set_meta("last_run", None)
    assert log.get_meta("last_run") is None


def test_forgetting_everything_forgets_the_small_facts(log):
    log.set_meta("last_run", "yesterday")
    log.forget(everything=True)
    assert log.get_meta("last_run") is None


def test_a_subject_begins_with_an_event_about_it_or_a_decision():
    at = some.START_US
    with EventLog(":memory:") as log:
        log.add_decision(decision(subject="run", at_us=at))
        assert log.beginning("run", at + 100) is None  # nobody knows the local time
        log.append_rows(
            EventRow(f"{subject} {occurred}", subject, "done", occurred, 3600, recorded, None)
            for subject, occurred, recorded in (
                ("", at + 10, at + 10),
                ("read", at + 20, at + 40),
                ("read", at + 30, at + 30),
                ("write", at + 50, at + 50),
            )
        )
        for made in (at + 70, at + 5, at + 25, at + 60):
            log.add_decision(decision(subject="write", at_us=made))
        assert log.beginning("run", at + 10) is None
        assert log.beginning("run", at + 11) == (at + 10, at + 10)
        assert [log.beginning("read", at + us) for us in (20, 30, 31, 40, 41)] == [
            None, None, (at + 30, at + 30), (at + 30, at + 30), (at + 20, at + 40)
        ]  # fmt: skip
        assert log.beginning("write", at + 60) == (at + 10, at + 10)
        log.forget(subject="write", until=datetime_from_us(at + 25))
        assert log.beginning("write", at + 60) == (at + 25, at + 25)
        assert log.beginning("sing", at + 100) is None


# --- cost ------------------------------------------------------------------------


def test_a_look_back_reads_only_what_it_returns(tmp_path):
    """The number of steps of SQLite's machine does not grow with the age of the log."""

    def steps(years):
        with EventLog(tmp_path / f"{years}.db") as log:
            hours = range(0, years * 365 * 24, 6)
            kinds = itertools.cycle(some.KINDS)
            log.append_rows(
                EventRow.checked(kind, NOON - timedelta(hours=hour), subject="run")
                for hour, kind in zip(hours, kinds, strict=False)
            )
            for day in range(years * 365):
                at_us = us_from_datetime(NOON - timedelta(days=day))
                log.add_decision(decision(subject="run", at_us=at_us))
            since_us = us_from_datetime(NOON - timedelta(days=30))
            with sqlite_steps(log) as taken:
                columns = log.columns("run", since_us)
                log.last("run")
                log.first()
                log.beginning("run", us_from_datetime(NOON))
                log.offset_changes(since_us, us_from_datetime(NOON))
            assert len(columns) == 121
            return next(taken)

    young, old = steps(1), steps(20)
    assert old <= young
