"""What is read and learnt live is what a walk over the whole log would read and learn."""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cost import sqlite_steps
from histories import (
    MINUTE_US,
    START_US,
    columns,
    decided,
    decision,
    histories,
    schedules,
    targets,
    years,
)
from inhabit.events import EventLog, EventRow
from inhabit.features import DEFAULT_FEATURES, last_value, time_since
from inhabit.moments import Schedule, Window
from inhabit.questions import Questions
from inhabit.samples import UNKNOWN, Target, Walked, asked_of_log, samples
from inhabit.serving import Serving
from inhabit.training import Origin, train

FEATURES = (
    DEFAULT_FEATURES
    + last_value("temperature", -10, 30, within=timedelta(days=2))
    + time_since("reminder_tapped", timedelta(hours=8), within=timedelta(days=3))
)
ORIGIN = Origin.of("none", DEFAULT_FEATURES)
COLUMNS = ("features", "label", "matures_at_us", "learn_at", "matured", "repeats")
hours = st.integers(-2, 90 * 24).map(lambda hour: START_US + hour * 60 * MINUTE_US)
minutes = st.integers(0, 14 * 24 * 60).map(lambda minute: START_US + minute * MINUTE_US)


def whole_table(rows, target, schedule, features, now_us, decided_us=None):
    known = columns(row for row in rows if row.recorded_at_us <= now_us)
    return samples(known, target, schedule, features, as_of_us=now_us + 1, decided_us=decided_us)


@contextmanager
def a_log(rows, decided_us=None):
    with EventLog(":memory:") as log:
        log.append_rows(rows)
        if decided_us is not None:
            log.add_decision(decision(decided_us))
            log.add_decision(decision(decided_us + 1))  # the first one counts
        yield log


def assert_same_rows(part, whole, first=0):
    """The part is the whole from a row on, bit for bit."""
    assert len(part) == len(whole) - first
    for name in part.moments.__dataclass_fields__:
        ours, theirs = getattr(part.moments, name), getattr(whole.moments, name)[first:]
        assert ours.tobytes() == theirs.tobytes(), name
    for name in COLUMNS:
        theirs = getattr(whole, name)[first:]
        if name == "learn_at":
            theirs = (theirs - first).astype(theirs.dtype)
        assert getattr(part, name).tobytes() == theirs.tobytes(), name


# --- what is read --------------------------------------------------------------------------------


@given(histories | years(), targets(), schedules, hours | minutes, hours | minutes, decided)
def test_the_last_samples_are_read_without_the_others(
    rows, target, schedule, one, other, decided_us
):
    then_us, now_us = sorted((one, other))
    whole = whole_table(rows, target, schedule, FEATURES, now_us, decided_us)
    walked = whole_table(rows, target, schedule, FEATURES, then_us, decided_us).walked()
    with a_log(rows, decided_us) as log:
        asked = asked_of_log(log, target, schedule, FEATURES, as_of_us=now_us + 1)
        assert_same_rows(asked.samples, whole)
        since = asked_of_log(log, target, schedule, FEATURES, as_of_us=now_us + 1, walked=walked)
    first = 0 if walked is None else int((whole.matures_at_us <= walked.last_us).sum())
    assert_same_rows(since.samples, whole, first)
    assert (since.next_us, since.utc_offset_s) == (asked.next_us, asked.utc_offset_s)
    rows = [row for row in rows if row.recorded_at_us <= now_us]
    decided_us = None if decided_us is None or decided_us > now_us else decided_us
    in_days = now_us + 5 * 1_440 * MINUTE_US
    later = whole_table(rows, target, schedule, FEATURES, in_days, decided_us)
    following = later.moments.at_us[later.moments.at_us > now_us]
    assert not len(following) or asked.next_us == following[0]


@given(
    histories | years(),
    targets(),
    schedules,
    st.lists(hours | minutes, min_size=2, max_size=6),
    decided,
)
def test_a_calendar_serves_as_long_as_it_holds(rows, target, schedule, instants, decided_us):
    """Though the log tells of local times to come: somebody's clock was set back."""
    calendar = None
    with a_log(rows, decided_us) as log:
        for now_us in sorted(instants):
            about = log, target, schedule, FEATURES
            afresh = asked_of_log(*about, as_of_us=now_us + 1)
            asked = asked_of_log(*about, as_of_us=now_us + 1, calendar=calendar)
            assert_same_rows(asked.samples, afresh.samples)
            assert (asked.next_us, asked.utc_offset_s) == (afresh.next_us, afresh.utc_offset_s)
            calendar = asked.calendar


@given(histories | years(), targets(), schedules, hours | minutes, st.integers(1, 50), decided)
def test_the_latest_questions_are_those_of_the_whole_log(
    rows, target, schedule, now_us, moments, decided_us
):
    with a_log(rows, decided_us) as log:
        questions = Questions(log, target, schedule, DEFAULT_FEATURES)
        latest = questions.latest(now_us, moments).features[-moments:]
        whole = questions.asked(now_us).samples.features[-moments:]
        assert latest.tobytes() == whole.tobytes()


def test_an_old_log_is_read_as_fast_as_a_young_one(tmp_path):
    """In steps of SQLite's machine: a catch-up reads the rows it needs, by index."""
    target, schedule = Target(subject="run"), Schedule()
    day_us = 1_440 * MINUTE_US

    def steps(years):
        start = START_US - years * 365 * day_us
        rows = [
            EventRow(f"{n}", about, kind, at, 0, at, None)
            for n, at in enumerate(range(start, START_US, day_us // 4))
            for about, kind in ((("run", "habit_completed") if n % 4 == 0 else ("", "app_opened")),)
        ]
        walked, now_us = Walked(START_US - day_us, START_US - day_us), START_US + day_us
        with EventLog(tmp_path / f"{years}.sqlite3") as log:
            log.append_rows(rows)
            with sqlite_steps(log) as taken:
                asked_of_log(log, target, schedule, FEATURES, as_of_us=now_us, walked=walked)
                Questions(log, target, schedule, FEATURES).open_at(START_US + day_us // 2, 0)
        return next(taken)

    assert steps(20) <= 1.02 * steps(1)  # a level more in a tree of rows is a few steps


def test_hours_that_no_moment_looks_back_on_are_not_read(tmp_path):
    """Weeks are caught up as fast, however often the app was opened later in these days."""
    day_us = 1_440 * MINUTE_US
    target, schedule = Target(subject="run"), Schedule.parse("04:00,09:00")

    def steps(launches):
        """Catch up 20 days in which the app was opened that often from 12:00 on."""
        rows = [
            EventRow(f"{day}-{n}", "", "app_opened", at, 0, at, None)
            for day in range(200)
            for n in range(launches)
            for at in (START_US + day * day_us + (12 * 60 + n) * MINUTE_US,)
        ]
        walked = Walked(START_US + 180 * day_us, START_US + 180 * day_us)
        now_us = START_US + 200 * day_us
        with EventLog(tmp_path / f"{launches}.sqlite3") as log:
            log.append_rows(rows)
            with sqlite_steps(log) as taken:
                asked_of_log(log, target, schedule, FEATURES, as_of_us=now_us, walked=walked)
        return next(taken)

    assert steps(300) <= 1.02 * steps(10)


# --- what is learnt ------------------------------------------------------------------------------


class Listener:
    """A model that only listens."""

    def __init__(self):
        self.heard = []

    def learn_together(self, x, slot, label, late):
        self.heard.append((x.tobytes(), slot, label, late))


def groups(table, begin):
    """What a walk learns from row `begin` on, by the numbers of the rows."""
    known = table.matured_label != UNKNOWN
    for at in range(begin, len(table)):
        rows = np.flatnonzero(known & (table.learn_at == at))
        if len(rows):
            before = table.learn_at[known & (table.learn_at < at)].max(initial=0)
            yield (
                table.features[rows].tobytes(),
                table.slot[rows].tolist(),
                table.label[rows].tolist(),
                (before > rows).tolist(),
            )


def served(questions, trained_us):
    """A generation trained as of an instant, in service; nothing else in this process yet."""
    table = questions.asked(trained_us).samples
    generation = train(table, ORIGIN).generation if len(table) else None
    serving = Serving(generation, ORIGIN, questions)
    serving.model = Listener()
    return serving, len(table)


@given(
    histories | years(),
    targets(),
    schedules,
    st.lists(hours | minutes, min_size=2, max_size=6),
    decided,
)
def test_what_matures_is_learnt_as_in_one_walk(rows, target, schedule, instants, decided_us):
    """However often, and whenever it is caught up; while the log grows, in any order of events."""
    trained_us, *looks = sorted(instants)

    def decide_by(log, since_us, until_us):
        if decided_us is not None and since_us < decided_us <= until_us:
            log.add_decision(decision(decided_us))

    rows = sorted(rows, key=lambda row: row.recorded_at_us)
    with EventLog(":memory:") as log:
        questions = Questions(log, target, schedule, DEFAULT_FEATURES)
        log.append_rows(row for row in rows if row.recorded_at_us <= trained_us)
        decide_by(log, -math.inf, trained_us)
        serving, begin = served(questions, trained_us)
        serving.catch_up(trained_us)
        told_us = trained_us
        for now_us in looks:
            new = [row for row in rows if told_us < row.recorded_at_us <= now_us]
            log.append_rows(new)
            decide_by(log, told_us, now_us)
            serving.told(new)
            serving.catch_up(now_us)
            told_us = now_us
        whole = whole_table(rows, target, schedule, DEFAULT_FEATURES, told_us, decided_us)
        expected = list(groups(whole, begin))
        assert serving.model.heard == expected
        learnt = int(((whole.matured_label != UNKNOWN) & (whole.learn_at >= begin)).sum())
        assert serving.new_labels(told_us) == learnt


def test_a_long_window_is_caught_up_where_the_walk_stopped():
    """Of overlapping weeks one in seven is learnt, and not one more after the training."""
    start = datetime(2026, 3, 2, 5, tzinfo=UTC)
    done = [EventRow.checked("habit_completed", start + timedelta(days=d)) for d in range(60)]
    target, schedule = Target(window=Window.parse("7d")), Schedule()
    with EventLog(":memory:") as log:
        log.append_rows(done)
        questions = Questions(log, target, schedule, DEFAULT_FEATURES)
        now_us = done[40].occurred_at_us
        serving, begin = served(questions, now_us)
        for row in done[40:]:
            serving.catch_up(row.occurred_at_us)
        whole = questions.asked(done[-1].occurred_at_us).samples
        assert serving.model.heard == list(groups(whole, begin))
        assert len(serving.model.heard) == 3
        assert serving.walked == whole.walked()


def test_a_clock_that_is_set_back_teaches_nothing_twice():
    start = datetime(2026, 3, 2, 5, tzinfo=UTC)
    done = [EventRow.checked("habit_completed", start + timedelta(days=d)) for d in range(20)]
    with EventLog(":memory:") as log:
        log.append_rows(done)
        questions = Questions(log, Target(), Schedule(), DEFAULT_FEATURES)
        serving, _ = served(questions, done[10].occurred_at_us)
        serving.catch_up(done[-1].occurred_at_us)
        heard, walked = list(serving.model.heard), serving.walked
        serving.told([done[3]._replace(utc_offset_s=3_600)])  # have it look again
        serving.catch_up(done[12].occurred_at_us)
        serving.told([done[3]._replace(utc_offset_s=-3_600)])
        serving.catch_up(done[-1].occurred_at_us)
        assert (serving.model.heard, serving.walked) == (heard, walked)
