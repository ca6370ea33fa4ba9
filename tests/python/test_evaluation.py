"""Metrics against slow definitions and scikit-free formulas; the replay of invented people."""

import csv
import io
import math
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import columns, histories, schedules, targets
from inhabit import evaluation, metrics
from inhabit.evaluation import (
    BURN_IN,
    Summary,
    replay,
    running_base_rate,
    subjects_of,
    write_csv,
)
from inhabit.events import EventRow
from inhabit.exceptions import ConfigError
from inhabit.importers import Record, collect
from inhabit.moments import NEXT_MOMENT, Schedule
from inhabit.samples import UNKNOWN, Target, samples

sys.path.insert(0, str(Path(__file__).parents[1] / "vectors"))

import make_loop

TWICE = Schedule.parse("04:00,15:00")
TARGET = Target(window=NEXT_MOMENT)


def invented(seed, days=25):
    return columns(
        make_loop.Person(seed, make_loop.berlin).live(datetime(2026, 3, 1, tzinfo=UTC), days).rows
    )


@pytest.fixture(scope="module")
def people():
    return {f"user {seed}": invented(seed) for seed in range(4)}


@pytest.fixture(scope="module")
def predictions(people):
    return replay(people, TARGET, TWICE)


# --- metrics ---------------------------------------------------------------------


@st.composite
def scored(draw):
    n = draw(st.integers(1, 60))
    p = draw(st.lists(st.sampled_from((0.0, 0.2, 0.25, 0.5, 0.7, 1.0)), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    person = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return np.array(p), np.array(y, np.int8), np.array(person)


def slow_auc(p, y):
    pairs = [(a > b) + (a == b) / 2 for a in p[y == 1] for b in p[y == 0]]
    return sum(pairs) / len(pairs) if pairs else math.nan


@given(scored())
def test_metrics_are_their_definitions(rows):
    p, y, person = rows
    clipped = np.clip(p, 0.01, 0.99)
    losses = [-math.log(q if label else 1 - q) for q, label in zip(clipped, y, strict=True)]
    assert metrics.log_loss(p, y) == pytest.approx(sum(losses) / len(y))
    assert metrics.brier_score(p, y) == pytest.approx(sum((p - y) ** 2) / len(y))
    assert metrics.auc(p, y) == pytest.approx(slow_auc(p, y), nan_ok=True)
    each = [slow_auc(p[person == i], y[person == i]) for i in sorted(set(person.tolist()))]
    each = [value for value in each if not math.isnan(value)]
    within = sum(each) / len(each) if each else math.nan
    assert metrics.auc_within(p, y, person) == pytest.approx(within, nan_ok=True)
    assert 0 <= metrics.calibration_error(p, y) <= 1


def test_only_log_losses_are_of_clipped_probabilities():
    p, y = np.array([0.001, 0.002, 0.009, 0.995]), np.array([0, 1, 0, 1], np.int8)
    assert metrics.log_loss(p, y) == metrics.log_loss(np.clip(p, 0.01, 0.99), y)
    assert metrics.auc(p, y) == 0.75
    assert metrics.brier_score(p, y) == pytest.approx(((p - y) ** 2).mean(), rel=1e-15)
    assert metrics.reliability(p, y)[0].tolist() == p.tolist()


@given(scored())
def test_bins_hold_every_row_once_in_order(rows):
    p, y, _ = rows
    predicted, observed, size = metrics.reliability(p, y)
    assert size.sum() == len(y)
    assert size.max() - size.min() <= 1
    assert (np.diff(predicted) >= -1e-12).all()
    assert (observed * size).sum() == pytest.approx(y.sum())


def test_a_perfectly_calibrated_constant():
    y = np.tile(np.array([0, 1, 0, 0], np.int8), 250)
    assert metrics.calibration_error(np.full(1_000, 0.25), y) == pytest.approx(0)


@given(scored())
def test_bootstrap_holds_its_estimate(rows):
    p, y, person = rows
    a, b = metrics.log_losses(p, y), metrics.log_losses(np.full(len(y), 0.5), y)
    found = metrics.bootstrap_difference(a, b, person, draws=200)
    assert found.estimate == pytest.approx((a - b).mean())
    assert found.low <= found.high
    assert metrics.bootstrap_difference(a, b, person, draws=200) == found


def test_bootstrap_covers_the_truth():
    """Of 200 trials with 30 people, about 95 % of the intervals cover the true difference."""
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        person = np.repeat(np.arange(30), 5)
        values = random.normal(0.3, 1, 30)[person] + random.normal(0, 1, 150)
        interval = metrics.bootstrap_difference(
            values, np.zeros(150), person, draws=400, seed=trial
        )
        covered += interval.low <= 0.3 <= interval.high
    assert 175 <= covered <= 199


def test_people_with_few_rows_do_not_count_in_the_mean_over_people():
    values = np.array([1.0] * 10 + [5.0] * 9)
    person = np.array([0] * 10 + [1] * 9)
    assert metrics.mean_over_people(values, person) == 1
    assert math.isnan(metrics.mean_over_people(values[10:], person[10:]))


# --- base rate -------------------------------------------------------------------


@given(histories, targets(), schedules)
def test_running_base_rate_counts_what_may_be_known(rows, target, schedule):
    table = samples(columns(rows), target, schedule)
    rates = running_base_rate(table)
    assert rates.shape == (len(table),)
    for row, at_us in enumerate(table.moments.at_us):
        closed = table.moments.window_end_us + target.grace_us <= at_us
        known = table.label[closed & (table.label != UNKNOWN)]
        assert rates[row] == (known.sum() + 1) / (len(known) + 2)


# --- replay ----------------------------------------------------------------------


def test_replay_of_many_is_the_replay_of_each(people, predictions):
    for index, (user, events) in enumerate(people.items()):
        alone = replay({user: events}, TARGET, TWICE)
        own = predictions.select(predictions.user == index)
        assert alone.probability.tobytes() == own.probability.tobytes()
        assert alone.label.tolist() == own.label.tolist()


def test_the_order_of_people_in_a_file_changes_nothing(people, predictions):
    backwards = replay(dict(reversed(people.items())), TARGET, TWICE)
    assert backwards.users == predictions.users
    assert np.array_equal(backwards.probability, predictions.probability)
    assert np.array_equal(backwards.user, predictions.user)


def written(records, target, schedule):
    people, _ = collect(records)
    file = io.StringIO()
    write_csv(replay(people, target, schedule), file)
    return file.getvalue()


@given(histories, targets(), schedules, st.randoms(use_true_random=False))
def test_rows_told_twice_or_in_another_order_change_nothing(rows, target, schedule, random):
    """Many of the rows are of one instant: what comes first among them must not be the file's."""
    told = [Record(line, random.choice(("ann", "bob")), row) for line, row in enumerate(rows)]
    again = [*told, *random.choices(told, k=5)]
    random.shuffle(again)
    assert written(again, target, schedule) == written(told, target, schedule)


def test_truncating_the_log_changes_no_earlier_prediction(people, predictions):
    events = people["user 0"]
    whole = predictions.select(predictions.user == 0)
    random = np.random.default_rng(0)
    for until in random.integers(events.recorded_at_us[5], events.recorded_at_us[-1], 20):
        known = events.select(events.recorded_at_us < until)
        part = replay({"user 0": known}, TARGET, TWICE)
        rows = int(np.searchsorted(part.at_us, until, side="right"))
        assert rows == len(part)
        assert part.at_us.tolist() == whole.at_us[:rows].tolist()
        assert part.probability.tobytes() == whole.probability[:rows].tobytes()
        assert part.base_rate.tobytes() == whole.base_rate[:rows].tobytes()


def test_the_first_observations_are_not_scored(predictions):
    own = predictions.select(predictions.user == 1)
    known = np.flatnonzero(own.label != UNKNOWN)
    assert np.flatnonzero(own.scored).tolist() == known[BURN_IN:].tolist()
    assert own.earlier[known].tolist() == list(range(len(known)))


def test_csv_has_a_row_for_each_moment(predictions):
    file = io.StringIO()
    write_csv(predictions, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert file.getvalue().splitlines()[0] == (
        "user,subject,moment,window_end,probability,label,generation"
    )
    assert [float(row["probability"]) for row in rows] == predictions.probability.tolist()
    assert {row["subject"] for row in rows} == {"meditate"}
    labels = [int(row["label"]) if row["label"] else UNKNOWN for row in rows]
    assert labels == predictions.label.tolist()
    assert [int(row["generation"]) for row in rows] == predictions.promotions.tolist()
    first = datetime.fromisoformat(rows[0]["moment"])
    assert first.timestamp() * 1e6 == predictions.at_us[0]
    assert first.hour in {4, 15}
    assert [r["moment"] for r in rows[1:10]] == [r["window_end"] for r in rows[:9]]


def test_summary_is_scored_on_the_same_rows(predictions):
    summary = predictions.summary()
    scored = predictions.select(predictions.scored)
    assert summary.people == 4
    assert summary.rows == len(predictions)
    assert summary.scored == len(scored) == sum(part.rows for part in summary.by_history)
    assert summary.model.log_loss == metrics.log_loss(scored.probability, scored.label)
    assert summary.difference.estimate == pytest.approx(
        summary.model.log_loss - summary.base_rate.log_loss
    )
    assert sum(part.rows for part in summary.reliability) == summary.scored
    weighted = sum(part.rows * part.log_loss for part in summary.by_history)
    assert weighted / summary.scored == pytest.approx(summary.model.log_loss)


def test_a_summary_of_nothing_is_json(people):
    short = replay({"a": people["user 0"].select(slice(0, 3))}, TARGET, TWICE)
    summary = short.summary()
    assert summary.scored == 0
    assert msgspec.json.decode(msgspec.json.encode(summary))["model"]["log_loss"] is None
    assert isinstance(summary, Summary)


def test_subjects_are_those_the_target_is_about():
    def event(kind, subject):
        return EventRow.checked(kind, datetime(2026, 3, 1, 12, tzinfo=UTC), subject=subject)

    opened, done = event("app_opened", ""), event("habit_completed", "run")
    skipped, sent = event("habit_skipped", "read"), event("reminder_sent", "sleep")
    assert subjects_of(columns([opened, done, skipped, sent]), TARGET) == ["read", "run"]
    assert subjects_of(columns([opened, sent]), TARGET) == ["", "sleep"]


def test_no_events_is_an_error():
    with pytest.raises(ConfigError, match="people: expected events"):
        replay({"nobody": columns([])}, TARGET, TWICE)


def test_overlapping_windows_teach_an_outcome_once():
    """Of a fair coin flipped once a day and asked about five times, nothing can be known.

    A model that learns each outcome five times before it is judged by it ends at a log loss of .95.
    """

    def flips(seed):
        random = np.random.default_rng(seed)
        start = datetime(2026, 1, 1, 23, tzinfo=UTC)
        return columns(
            EventRow.checked(kind, start + timedelta(days=day))
            for day in range(120)
            for kind in ("habit_completed",) * int(random.random() < 0.5) + ("app_opened",)
        )

    five = Schedule.parse("04:00,08:00,12:00,16:00,20:00")
    people = {str(seed): flips(seed) for seed in range(8)}
    summary = replay(people, Target(window="24h"), five).summary()
    assert summary.scored > 4_000
    assert summary.model.log_loss < summary.base_rate.log_loss + 0.02


def test_people_walk_together_in_parts_and_progress_is_told_after_each(
    people, predictions, monkeypatch
):
    seen = []
    monkeypatch.setattr(evaluation, "_TOGETHER", 3)
    again = replay(people, TARGET, TWICE, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(3, 4), (4, 4)]
    assert again.probability.tobytes() == predictions.probability.tobytes()
    assert again.user.tobytes() == predictions.user.tobytes()
