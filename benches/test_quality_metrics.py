"""The measures of the quality benchmark, against hand calculation and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quality_metrics as metrics

LABELLED = st.lists(
    st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.8]), st.integers(0, 1)), min_size=1
)


def rows_of(label, person, history=None):
    label = np.array(label, np.int8)
    history = np.arange(len(label)) if history is None else np.array(history)
    return metrics.Rows(np.array(person), label, history)


def test_losses_are_clipped():
    got = metrics.losses(np.array([0.0, 1.0, 0.5]), np.array([1, 1, 0], np.int8))
    assert got == pytest.approx([-np.log(0.01), -np.log(0.99), np.log(2)])


@given(LABELLED)
def test_auc_counts_pairs(pairs):
    p, label = np.array([p for p, _ in pairs]), np.array([y for _, y in pairs], np.int8)
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, y in pairs
        for b, z in pairs
        if y == 1 and z == 0
    ]
    got = metrics.auc(p, label)
    assert got == pytest.approx(np.mean(wins)) if wins else np.isnan(got)


@given(LABELLED)
def test_reliability_splits_all_rows_into_ordered_bins(pairs):
    p, label = np.array([p for p, _ in pairs]), np.array([y for _, y in pairs], np.int8)
    predicted, observed, size = metrics.reliability(p, label)
    assert size.sum() == len(pairs)
    assert (np.diff(predicted) >= -1e-12).all()
    assert (size * observed).sum() == pytest.approx(label.sum())


def test_calibration_error_by_hand():
    label = np.array([0, 1] * 10, np.int8)
    assert metrics.ece(np.full(20, 0.5), label) == pytest.approx(0.0)
    assert metrics.ece(np.full(20, 0.8), label) == pytest.approx(0.3)


def test_calibration_error_by_chance_shrinks_with_the_sample():
    few, many = (metrics.ece_by_chance(np.full(n, 0.5)) for n in (100, 10_000))
    # bins of n / 10 rows: the mean of |N(0, 0.25 / (n / 10))|
    assert few == pytest.approx(0.8 * np.sqrt(0.25 / 10), rel=0.1)
    assert many == pytest.approx(0.8 * np.sqrt(0.25 / 1000), rel=0.1)


def test_people_with_few_rows_do_not_count_in_the_mean_over_people():
    rows = rows_of([0] * 23, [0] * 10 + [1] * 3 + [2] * 10)
    values = np.array([1.0] * 10 + [50.0] * 3 + [2.0] * 10)
    assert metrics.people_mean(values, rows) == pytest.approx(1.5)


def test_auc_within_ignores_differences_between_people():
    label = [1, 1, 1, 0, 0, 0, 0, 1]
    p = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1])
    rows = rows_of(label, [0, 0, 0, 0, 1, 1, 1, 1])
    assert metrics.auc_within(p, rows) == pytest.approx(0.5)
    assert metrics.auc(p, rows.label) == pytest.approx(0.75)


def test_difference_resamples_people():
    person = np.repeat(np.arange(20), 5)
    rows = rows_of([0] * 100, person)
    per_person = np.linspace(-1, 1, 20)[person] + 0.5
    mean, low, high = metrics.difference(per_person, np.zeros(100), rows)
    assert mean == pytest.approx(0.5)
    # the standard error of the mean of 20 people with this spread is 0.136
    assert low == pytest.approx(0.5 - 1.96 * 0.136, abs=0.03)
    assert high == pytest.approx(0.5 + 1.96 * 0.136, abs=0.03)
    assert (mean, low, high) == metrics.difference(per_person, np.zeros(100), rows)


def test_summary_by_history():
    rows = rows_of([0, 0, 0], [0, 0, 0], history=[7, 20, 21])
    summary = metrics.summary(np.array([0.5, 0.5, 0.9]), rows)
    assert summary["log_loss[7-20]"] == pytest.approx(np.log(2))
    assert summary["log_loss[21-60]"] == pytest.approx(-np.log(0.1))
    assert np.isnan(summary["log_loss[61-180]"])
    assert summary["brier"] == pytest.approx((0.25 + 0.25 + 0.81) / 3)
