"""Labels mature once and stay; learning never comes early."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import START_US, columns, decided, histories, rows, schedules, targets
from inhabit.events import EventRow
from inhabit.exceptions import ConfigError
from inhabit.moments import NEXT_DAY, NEXT_MOMENT, REST_OF_DAY, Schedule
from inhabit.samples import NEGATIVE, POSITIVE, UNKNOWN, Target, samples

TWICE = Schedule.parse("04:00,15:00")


def event(day, hour, kind="habit_completed", late=timedelta(0)):
    at = datetime(2026, 3, day, hour, tzinfo=UTC)
    return EventRow.checked(kind, at, subject="meditate", recorded_at=at + late)


def labels(events, window=NEXT_MOMENT, schedule=TWICE, **options):
    target = Target(subject="meditate", window=window, **options)
    return samples(columns(events), target, schedule).label.tolist()


# --- examples ------------------------------------------------------------------


def test_monday_tells_about_tuesday():
    """Features as of one day, the label of the next."""
    done = [event(2, 20), event(3, 20), event(5, 20)]
    table = samples(columns(done), Target(subject="meditate", window=NEXT_DAY))
    assert [date.fromordinal(day).day for day in table.moments.day.tolist()] == [1, 2, 3, 4]
    assert table.label.tolist() == [1, 1, 0, 1]
    assert table.learn_at.tolist() == [2, 3, 4, 4]


def test_missing_answers_are_negative_or_unknown():
    events = [event(2, 7), event(2, 20, "habit_skipped"), event(4, 7)]
    assert labels(events) == [1, 0, 0, 0, 1]
    assert labels(events, missing="unknown") == [1, 0, UNKNOWN, UNKNOWN, 1]


def test_doing_it_after_skipping_it_counts():
    assert labels([event(2, 7, "habit_skipped"), event(2, 9)], missing="unknown") == [1]


def test_rest_of_the_day_begins_at_the_moment():
    assert labels([event(2, 7), event(3, 20)], REST_OF_DAY) == [1, 0, 1, 1]


def test_once_a_day_is_enough():
    """After it, the day's later windows are no question; before it, they are."""
    four = Schedule.parse("06:00,10:00,14:00,18:00")
    done = [event(2, 7), event(2, 15), event(3, 15)]
    assert labels(done, REST_OF_DAY, four) == [1, 1, 1, 0, 1, 1, 1]
    unknown = [UNKNOWN] * 3
    assert labels(done, REST_OF_DAY, four, once=True) == [1, *unknown, 1, 1, 1]


def test_a_window_that_is_still_open_is_unknown():
    opened = event(3, 5, "app_opened")
    assert labels([event(2, 7), opened], missing="negative") == [1, 0, UNKNOWN]


def test_what_is_recorded_after_the_window_changes_nothing_but_the_future():
    late = event(2, 20, late=timedelta(days=1))
    assert labels([event(2, 7), late, event(4, 7)]) == [1, 0, 0, 0, 1]
    assert labels([event(2, 7), late, event(4, 7)], grace=timedelta(days=1)) == [
        *(1, 1),
        *(UNKNOWN, UNKNOWN),  # may still come
        1,
    ]


def test_other_subjects_are_other_habits():
    other = event(2, 20)._replace(subject="run", id="x")
    assert labels([event(2, 7), other, event(3, 7)]) == [1, 0, 1]


def test_live_samples_end_before_now():
    done = [event(2, 7), event(2, 20), event(3, 7)]
    target = Target(subject="meditate", window=NEXT_MOMENT)
    now = datetime(2026, 3, 3, 4, tzinfo=UTC)
    table = samples(columns(done), target, TWICE, as_of_us=int(now.timestamp()) * 1_000_000)
    assert table.label.tolist() == [1, 1]
    assert table.matured.tolist() == [True, True]
    assert table.learn_at.tolist() == [1, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": ""},
        {"kind": "habit_skipped"},
        {"missing": "maybe"},
        {"missing": []},
        {"kind": 5},
        {"subject": None},
        {"skip_kind": 5},
        {"grace": 5},
        {"grace": -timedelta(1)},
        {"window": "later"},
        {"window": "next-day", "once": True},
    ],
)
def test_bad_targets_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        Target(**options)


def test_a_habit_that_is_taken_up_later_begins_with_itself():
    """And not with the launches of an app that was there before."""
    run = Target(subject="run", window=NEXT_MOMENT)
    launches = [event(day, 8, "app_opened")._replace(subject="") for day in range(1, 27)]
    other = [event(day, 9) for day in range(1, 27)]
    ran = [event(day, 18)._replace(subject="run") for day in (20, 21, 24)]
    table = samples(columns([*launches, *other, *ran]), run)
    assert [date.fromordinal(day).day for day in table.moments.day.tolist()] == list(range(20, 27))
    assert table.label.tolist() == [1, 1, 0, 0, 1, 0, UNKNOWN]
    streak, rate = table.features[:, 0] * 30, table.features[:, 1]
    assert streak.round().tolist() == [0, 1, 2, 0, 0, 1, 0]
    assert rate[:3].tolist() == [np.float32(x) for x in (1 / 2, 2 / 3, 3 / 4)]


def test_what_is_recorded_late_reaches_back_from_then_on():
    """Who was told of today alone could not predict as of last week."""
    run = Target(subject="meditate", window=NEXT_MOMENT)
    back = [event(day, 18, late=timedelta(days=10 - day)) for day in (4, 6)]
    table = samples(columns([event(9, 18), *back, event(12, 18)]), run)
    assert [date.fromordinal(day).day for day in table.moments.day.tolist()] == [9, 10, 11, 12]
    # As of the 11th: done on the 4th, 6th and 9th of the seven days from the 4th on.
    assert table.features[:, 1].tolist() == [np.float32(x) for x in (1 / 2, 2 / 3, 4 / 9, 4 / 10)]


def test_a_decision_begins_a_habit_as_an_event_does():
    launches = [event(day, 8, "app_opened")._replace(subject="") for day in range(3, 12)]
    target = Target(subject="meditate")
    decided_us = event(6, 20).occurred_at_us

    def days(events, decided_us=decided_us, **options):
        moments = samples(columns(events), target, decided_us=decided_us, **options).moments
        return [date.fromordinal(day).day for day in moments.day.tolist()]

    assert days([*launches, event(9, 7)]) == [6, 7, 8, 9, 10, 11]
    assert days([*launches, event(5, 7)]) == [5, 6, 7, 8, 9, 10, 11]
    assert days(launches) == [6, 7, 8, 9, 10, 11]
    assert days(launches, as_of_us=decided_us) == []
    assert days([event(9, 7)]) == [9]  # before, nobody knew the local time
    assert days([]) == []


# --- laws ----------------------------------------------------------------------


@given(histories, histories, targets(), schedules, decided, st.integers(0, 13 * 24))
def test_what_concerns_all_subjects_changes_no_label(own, launches, target, schedule, at, hours):
    """Nor a moment, nor a feature but those that count it: whenever it came, and however often."""
    now_us = START_US + hours * 3_600_000_000
    alike = {"utc_offset_s": 3_600}  # another local time would move the moments
    own = [row._replace(subject=target.subject, **alike) for row in own]
    launches = [
        row._replace(subject="", kind="app_opened", value=None, id=f"all {row.id}", **alike)
        for row in launches
    ]
    at = at and max(at, min(row.recorded_at_us for row in own))
    alone = samples(columns(own), target, schedule, as_of_us=now_us, decided_us=at)
    among = samples(columns([*own, *launches]), target, schedule, as_of_us=now_us, decided_us=at)
    for name in alone.moments.__dataclass_fields__:
        assert getattr(among.moments, name).tolist() == getattr(alone.moments, name).tolist()
    assert among.label.tolist() == alone.label.tolist()
    assert among.learn_at.tolist() == alone.learn_at.tolist()
    counted = alone.feature_set.names.index("app_launches_today")
    others = np.delete(among.features, counted, axis=1)
    assert others.tobytes() == np.delete(alone.features, counted, axis=1).tobytes()


@given(histories, rows(), targets(), schedules)
def test_a_matured_label_never_changes(history, extra, target, schedule):
    if any(row.id == extra.id for row in history):
        return
    table = samples(columns(history), target, schedule)
    later = samples(columns([*history, extra]), target, schedule)
    label = dict(zip(later.moments.at_us.tolist(), later.label.tolist(), strict=True))
    began = min((row.recorded_at_us for row in history), default=0)
    matured_before = table.matured & (
        table.moments.window_end_us + target.grace_us <= extra.recorded_at_us
    )
    for row in np.flatnonzero(matured_before & (table.moments.at_us > began)):
        assert label[int(table.moments.at_us[row])] == table.label[row]


@given(histories, targets(), schedules)
def test_labels_are_learnt_when_mature_and_not_before(rows, target, schedule):
    table = samples(columns(rows), target, schedule)
    n = len(table)
    matures = table.moments.window_end_us + target.grace_us
    assert (table.learn_at > np.arange(n)).all()
    assert (table.learn_at <= n).all()
    for row, at in enumerate(table.learn_at.tolist()):
        assert at == n or table.moments.at_us[at] >= matures[row]
        assert at == row + 1 or table.moments.at_us[at - 1] < matures[row]
    assert (table.matured_label[~table.matured] == UNKNOWN).all()
    told = table.matured & ~table.repeats
    assert (table.matured_label[told] == table.label[told]).all()
    assert (table.matured_label[~told] == UNKNOWN).all()


@given(histories, targets(), schedules, st.integers(0, 13 * 24))
def test_overlapping_durations_are_learnt_once(rows, target, schedule, hours):
    """Row by row; named windows are all learnt, and a log that is cut short learns the same."""
    table = samples(columns(rows), target, schedule)
    over, learnt = -math.inf, []
    for row in np.flatnonzero(table.matured & (table.label != UNKNOWN)):
        if target.window.name != "duration" or table.moments.window_start_us[row] >= over:
            over = table.moments.window_end_us[row]
            learnt.append(int(row))
    assert np.flatnonzero(table.matured_label != UNKNOWN).tolist() == learnt
    if target.window.name != "duration":
        assert not table.repeats.any()
    now = min(row.occurred_at_us for row in rows) + hours * 3_600_000_000
    early = samples(columns(rows), target, schedule, as_of_us=now)
    late = samples(columns(rows), target, schedule, as_of_us=now + 72 * 3_600_000_000)
    n = min(len(early), len(late))
    if early.moments.at_us[:n].tolist() == late.moments.at_us[:n].tolist():
        both = early.matured[:n] & late.matured[:n]
        assert (early.matured_label[:n] == late.matured_label[:n])[both].all()


@given(histories, targets(), schedules, st.integers(0, 13 * 24))
def test_training_as_of_an_instant_sees_a_log_that_ends_there(rows, target, schedule, hours):
    """Rows, bits and labels are those of the events recorded by then; later ones do not exist."""
    now = min(row.occurred_at_us for row in rows) + hours * 3_600_000_000
    known = columns(row for row in rows if row.recorded_at_us < now)
    table = samples(columns(rows), target, schedule, as_of_us=now)
    again = samples(known, target, schedule, as_of_us=now)
    assert table.features.tobytes() == again.features.tobytes()
    assert table.label.tolist() == again.label.tolist()
    assert (table.moments.at_us < now).all()
    finished = samples(columns(rows), target, schedule)
    at = dict(zip(finished.moments.at_us.tolist(), range(len(finished)), strict=True))
    for i in np.flatnonzero(table.matured):
        j = at.get(int(table.moments.at_us[i]))
        if j is not None and table.moments.at_us[i] > min(r.recorded_at_us for r in rows):
            assert finished.label[j] == table.label[i] or not finished.matured[j]
            assert finished.features[j].tobytes() == table.features[i].tobytes()


@given(histories, targets(), schedules)
def test_without_a_skip_kind_only_silence_is_negative(rows, target, schedule):
    without = replace(target, skip_kind=None)
    table = samples(columns(rows), without, schedule)
    expected = {POSITIVE, UNKNOWN} | ({NEGATIVE} if target.missing == "negative" else set())
    assert set(table.label.tolist()) <= expected
