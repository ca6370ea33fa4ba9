"""Moments, labels and features against the oracle, and the promises of `inhabit.features`."""

import copy
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference_features as oracle
from histories import (
    START_US,
    columns,
    decided,
    decision,
    histories,
    rows,
    schedules,
    targets,
)
from inhabit.events import EventLog, EventRow
from inhabit.exceptions import ConfigError, NonFiniteError, ShapeError
from inhabit.features import (
    DEFAULT_FEATURES,
    HISTORY,
    AsOf,
    Feature,
    FeatureSet,
    LogSource,
    decay,
    feature,
    last_value,
    time_since,
    times_today,
    weighted_sum,
)
from inhabit.moments import Moments, Schedule, days_around, moment_at, moments_of_log
from inhabit.samples import UNKNOWN, Target, samples

CONTEXT = (
    DEFAULT_FEATURES
    + last_value("temperature", -10, 30, within=timedelta(days=2))
    + time_since("reminder_tapped", timedelta(hours=8), within=timedelta(days=3))
    + times_today("habit_completed", 1, name="done_today")
)


def as_tuples(moments: Moments):
    names = oracle.Moment.__annotations__
    return list(zip(*(getattr(moments, name).tolist() for name in names), strict=True))


def as_of(log, target, schedule, now_us, offset_s):
    """What a log tells about any instant."""
    source = LogSource(log, target, now_us)
    days = days_around(schedule, target.window, now_us, now_us)
    clock, windows, *_ = source.calendar(schedule, days, (now_us, offset_s))
    moment = moment_at(clock, schedule, target.window, now_us, offset_s)
    return AsOf.of_log(source, moment, windows)


def described(rows, target, schedule, feature_set=CONTEXT):
    """Moments of a finished log and their features."""
    events = columns(rows)
    moments = moments_of_log(events, schedule, target.window, subject=target.subject)
    return moments, feature_set.compute(AsOf.of_columns(events, target, schedule, moments))


# --- against the definitions --------------------------------------------------


@given(histories, targets(), schedules, decided)
def test_samples_are_those_of_the_oracle(rows, target, schedule, decided_us):
    table = samples(columns(rows), target, schedule, decided_us=decided_us)
    expected = oracle.replayed_moments(rows, schedule, target, decided_us)
    assert as_tuples(table.moments) == [tuple(vars(m).values()) for m in expected]
    assert table.label.tolist() == [oracle.label(rows, target, m) for m in expected]
    grid = oracle.all_moments(rows, schedule, target, decided_us or START_US)
    features = [oracle.default_features(rows, target, grid, m, decided_us) for m in expected]
    np.testing.assert_array_equal(table.features, np.reshape(features, (-1, 10)).astype(np.float32))


@given(histories, targets(), schedules)
def test_context_is_that_of_the_oracle(rows, target, schedule):
    moments, x = described(rows, target, schedule)
    about = oracle.concerning(rows, target)
    for i, now in enumerate(oracle.Moment(*row) for row in as_tuples(moments)):
        seen = [r for r in about if oracle.seen_us(r) < now.at_us]
        seen.sort(key=lambda r: (r.occurred_at_us, r.recorded_at_us, r.id))

        def latest(kind, within, seen=seen, now=now):
            since_us = now.at_us - within // timedelta(microseconds=1)
            return [r for r in seen if r.kind == kind and r.occurred_at_us >= since_us][-1:]

        warm = latest("temperature", timedelta(days=2))
        value = warm[0].value if warm and warm[0].value is not None else None
        assert x[i, 10] == np.float32(0.5 if value is None else (value + 10) / 40)

        tapped = latest("reminder_tapped", timedelta(days=3))
        age = [now.at_us - r.occurred_at_us for r in tapped]
        assert x[i, 11] == np.float32(age[0] / (age[0] + 8 * 3_600_000_000) if age else 1)

        done = oracle.count_today(rows, target, "habit_completed", now)
        assert x[i, 12] == np.float32(done / (done + 1))


# --- no look-ahead ------------------------------------------------------------


@given(histories, rows(), targets(), schedules)
def test_an_event_recorded_later_changes_no_bit(history, extra, target, schedule):
    if any(row.id == extra.id for row in history) or not oracle.begun(history, target):
        return
    before = oracle.seen_us(extra)
    moments, x = described(history, target, schedule)
    later_moments, later_x = described([*history, extra], target, schedule)
    known = {at: bits.tobytes() for at, bits in zip(later_moments.at_us, later_x, strict=True)}
    told = min(oracle.seen_us(row) for row in history)
    began = min(seen for _, seen in oracle.begun(history, target))
    # Before the first record there is no local time to go by: those moments may be elsewhere. A
    # flight may end the first window before anything began, or put off tomorrow's behind the end.
    for at, start, bits in zip(moments.at_us, moments.window_start_us, x, strict=True):
        if told < at <= before and (at in known or (began < at and start <= before)):
            assert known[at] == bits.tobytes()


@given(histories, targets(), schedules, st.integers(0, 13 * 24))
def test_truncating_the_log_changes_no_earlier_row(rows, target, schedule, hours):
    until = min(row.occurred_at_us for row in rows) + hours * 3_600_000_000
    kept = [row for row in rows if oracle.seen_us(row) < until]
    if not oracle.begun(kept, target):
        return
    moments, x = described(rows, target, schedule)
    earlier, earlier_x = described(kept, target, schedule)
    n = int(np.searchsorted(earlier.at_us, until, side="right"))
    assert n == min(len(earlier), int(np.searchsorted(moments.at_us, until, side="right")))
    np.testing.assert_array_equal(moments.at_us[:n], earlier.at_us[:n])
    assert x[:n].tobytes() == earlier_x[:n].tobytes()


# --- one moment = all moments -------------------------------------------------


@given(histories, targets(), schedules)
def test_one_at_a_time_gives_the_bits_of_all_at_once(rows, target, schedule):
    moments, x = described(rows, target, schedule)
    events = columns(rows)
    for i in range(len(moments)):
        alone = AsOf.of_columns(events, target, schedule, moments[i : i + 1])
        assert CONTEXT.compute(alone).tobytes() == x[i].tobytes()


@given(histories, targets(), schedules)
def test_a_log_on_disk_gives_the_bits_of_the_replay(rows, target, schedule):
    moments, x = described(rows, target, schedule)
    with EventLog(":memory:") as log:
        log.append_rows(rows)
        for i, (at_us, offset_s) in enumerate(
            zip(moments.at_us.tolist(), moments.utc_offset_s.tolist(), strict=True)
        ):
            live = as_of(log, target, schedule, at_us, offset_s)
            assert CONTEXT.compute(live).tobytes() == x[i].tobytes()
            expected = moments[i : i + 1]
            assert live.moments.slot == expected.slot
            assert live.moments.day == expected.day
            assert live.moments.window_start_us == expected.window_start_us or (
                live.moments.window_start_us > at_us  # travel may still move tomorrow
            )


@given(histories, targets(), schedules, st.integers(-60, 15 * 24 * 60), decided)
def test_a_log_on_disk_is_asked_at_any_instant(rows, target, schedule, minutes, decided_us):
    """Between the moments of the schedule, too: after a flight west, "today" may begin again."""
    now_us = START_US + minutes * 60_000_000
    clock = oracle.segments(rows)
    with EventLog(":memory:") as log:
        log.append_rows(rows)
        if decided_us is not None:
            log.add_decision(decision(decided_us))
        live = as_of(log, target, schedule, now_us, oracle.offset_at(clock, now_us))
        features = DEFAULT_FEATURES.compute(live)
    (now,) = (oracle.Moment(*row) for row in as_tuples(live.moments))
    grid = oracle.all_moments(rows, schedule, target, now_us, decided_us or now_us)
    expected = oracle.default_features(rows, target, grid, now, decided_us)
    assert features[0].tolist() == expected.tolist()


@given(histories, targets(), schedules)
def test_features_are_finite_and_between_0_and_1(rows, target, schedule):
    _, x = described(rows, target, schedule)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert ((x >= 0) & (x <= 1)).all()


def test_no_history_means_no_opinion():
    with EventLog(":memory:") as log:
        live = as_of(log, Target(), Schedule(), START_US, 3_600)
        x = dict(zip(DEFAULT_FEATURES.names, DEFAULT_FEATURES.compute(live)[0], strict=True))
    assert x["current_streak"] == 0
    assert all(x[f.name] == 0.5 for f in DEFAULT_FEATURES.features if f.rate)
    assert (live.labels == UNKNOWN).all()
    assert live.labels.shape == (1, HISTORY)


def test_a_window_that_closed_as_the_log_began_is_no_history():
    """The first event is at 04:00 sharp: the day before says nothing about this person."""
    start = datetime(2026, 3, 2, 4, tzinfo=UTC)
    done = [EventRow.checked("habit_completed", start + timedelta(days=d)) for d in (0, 1)]
    _, x = described(done, Target(), Schedule(), DEFAULT_FEATURES)
    assert x[:, 1].tolist() == [0.5, np.float32(2 / 3)]


def test_after_a_flight_west_the_windows_lived_through_stay_known():
    """From Tokyo to New York the clock shows the day before again, but no day is lived twice."""

    def event(kind, text):
        return EventRow.checked(kind, datetime.fromisoformat(text))

    now = datetime.fromisoformat("2026-03-03T03:30-05:00")  # by the clock, still the day of 2 March
    with EventLog(":memory:") as log:
        log.append_rows(
            [
                event("habit_completed", "2026-03-02T05:00+09:00"),
                event("habit_completed", "2026-03-03T05:00+09:00"),
                event("app_opened", "2026-03-03T16:00+09:00"),
                event("app_opened", "2026-03-03T03:00-05:00"),
            ]
        )
        now_us = int(now.timestamp()) * 1_000_000
        twice, target = Schedule.parse("04:00,15:00"), Target(window="next-moment")
        asof = as_of(log, target, twice, now_us, -18_000)
        labels = asof.labels[asof.known].tolist()
        days_ago = asof.days_ago[asof.known].tolist()
    assert labels == [1, 0, 1]
    assert days_ago == [0, 1, 1]


# --- own features -------------------------------------------------------------


def test_own_features_follow_the_default_ones():
    @feature(version=2, rate=True)
    def half(asof):
        return np.full(len(asof), 0.5)

    both = DEFAULT_FEATURES + half
    assert both.names[-1] == "half"
    assert both.rates[-1]
    assert len(both) == 11
    assert half.compute is not None


@feature()
def weekend_half(asof):
    """A feature of this module, as somebody writes one in theirs."""
    return asof.moments.window_weekend / 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_samples_travel_to_other_processes(copied):
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    rows = [EventRow.checked("habit_completed", start + timedelta(days=d)) for d in range(9)]
    mine = CONTEXT + weekend_half
    table = samples(columns(rows), Target(), feature_set=mine)
    there = copied(table)
    assert there.feature_set == mine
    assert there.feature_set.schema_hash == mine.schema_hash
    again = samples(columns(rows), Target(), feature_set=there.feature_set)
    assert again.features.tobytes() == table.features.tobytes() == there.features.tobytes()
    # Arrays have no single truth, so tables are compared by identity, as `EventColumns` are.
    assert len({table, again, table.moments, table.moments}) == 3
    assert table != again


@pytest.mark.parametrize(
    "changed",
    [
        DEFAULT_FEATURES + times_today("coffee", 2),
        FeatureSet(DEFAULT_FEATURES.features[::-1]),
        FeatureSet((*DEFAULT_FEATURES.features[:9], Feature("current_lapse", np.ones, version=2))),
        FeatureSet((*DEFAULT_FEATURES.features[:9], Feature("current_lapse", np.ones, rate=True))),
    ],
)
def test_schema_hash_tells_sets_apart(changed):
    assert changed.schema_hash != DEFAULT_FEATURES.schema_hash


def test_schema_hash_depends_on_parameters_only():
    assert (
        FeatureSet((times_today("coffee", 2),)).schema_hash
        == FeatureSet((times_today("coffee", 2),)).schema_hash
        != FeatureSet((times_today("coffee", 3),)).schema_hash
    )


@pytest.mark.parametrize(
    ("returned", "error", "words"),
    [
        (lambda asof: np.full(len(asof), np.nan), NonFiniteError, "NaN"),
        (lambda asof: np.full(len(asof), 1.5), ConfigError, "1.5"),
        (lambda asof: np.full(len(asof), -0.1), ConfigError, "-0.1"),
        (lambda asof: np.zeros((len(asof), 2)), ShapeError, "shape"),
        (lambda asof: 0.5, ShapeError, "shape"),
    ],
)
def test_a_feature_that_returns_something_else_is_named(returned, error, words):
    row = EventRow.checked("habit_completed", datetime(2026, 3, 1, 12, tzinfo=UTC))
    wrong = FeatureSet((Feature("wrong", returned),))
    with pytest.raises(error, match=rf"feature wrong: .*{words}"):
        described([row], Target(), Schedule(), wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FeatureSet(()),
        lambda: FeatureSet((times_today("a", 1), times_today("a", 2))),
        lambda: Feature("not a name", np.ones),
        lambda: times_today("a", 0),
        lambda: last_value("a", 1, 1),
        lambda: last_value("a", 0, 1, default=2),
        lambda: time_since("a", timedelta(0)),
    ],
)
def test_bad_definitions_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()


@given(st.integers(0, 40), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_weighted_sum_adds_in_order(n, lags, seed):
    random = np.random.default_rng(seed)
    weights, values = decay(0.8, lags), random.random((n, lags))
    expected = []
    for row in values.tolist():
        total = 0.0
        for weight, value in zip(weights.tolist(), row, strict=True):
            total += weight * value
        expected.append(total)
    assert weighted_sum(weights, values).tolist() == expected
