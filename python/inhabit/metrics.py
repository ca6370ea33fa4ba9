"""Measures of probabilities against what happened.

Labels are 1 and 0; unknown ones have been left out. Log losses, and nothing else, are those of
probabilities clipped to [0.01, 0.99], so that one confident mistake does not decide the comparison.
A measure that is not defined (an AUC with one class only, a mean of nothing) is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]

__all__ = [
    "Interval",
    "auc",
    "auc_within",
    "bootstrap_difference",
    "brier_score",
    "calibration_error",
    "clipped",
    "log_loss",
    "log_losses",
    "mean_over_people",
    "reliability",
]

CLIP: Final = (0.01, 0.99)
N_BINS: Final = 10
MIN_ROWS: Final = 10
"""Rows a person needs to count in a mean over people."""


class Interval(NamedTuple):
    """An estimate with the bounds of its 95 % interval."""

    estimate: float
    low: float
    high: float


def clipped(probability: Floats) -> Floats:
    """Return the probabilities within [0.01, 0.99]."""
    return np.clip(probability, *CLIP)


def log_losses(probability: Floats, label: Labels) -> Floats:
    """Return ``-ln p`` where the label is 1 and ``-ln(1 - p)`` where it is 0, row by row.

    Of the probabilities within [0.01, 0.99].
    """
    p = clipped(probability)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def log_loss(probability: Floats, label: Labels) -> float:
    """Return the mean log loss, of the probabilities within [0.01, 0.99]."""
    return _mean(log_losses(probability, label))


def brier_score(probability: Floats, label: Labels) -> float:
    """Return the mean of ``(p - y)^2``."""
    return _mean((probability - label) ** 2)


def mean_over_people(values: Floats, person: NDArray[np.intp]) -> float:
    """Return the mean of each person's mean, over people with at least 10 rows."""
    sums, counts = np.bincount(person, values), np.bincount(person)
    enough = counts >= MIN_ROWS
    return _mean(sums[enough] / counts[enough])


def auc(probability: Floats, label: Labels) -> float:
    """Return the chance that a positive was given more than a negative; ties count half."""
    positives = int(np.count_nonzero(label == 1))
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, ties = np.unique(probability, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]  # from 1; the middle of a tie
    wins = float(rank[label == 1].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def auc_within(probability: Floats, label: Labels, person: NDArray[np.intp]) -> float:
    """Return the mean AUC of the people who have both outcomes."""
    order = np.argsort(person, kind="stable")
    own = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    each = np.array([auc(probability[rows], label[rows]) for rows in own])
    return _mean(each[~np.isnan(each)])


def reliability(probability: Floats, label: Labels) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return mean probability, observed rate and size of ten bins of equal mass, ascending."""
    order = np.argsort(probability, kind="stable")
    bins = [rows for rows in np.array_split(order, N_BINS) if len(rows)]
    predicted = np.array([probability[rows].mean() for rows in bins])
    observed = np.array([label[rows].mean() for rows in bins])
    return predicted, observed, np.array([len(rows) for rows in bins], np.intp)


def calibration_error(probability: Floats, label: Labels) -> float:
    """Return the expected calibration error: the mean gap of the bins, weighted by their size."""
    predicted, observed, size = reliability(probability, label)
    return float(np.average(np.abs(predicted - observed), weights=size)) if len(size) else np.nan


def bootstrap_difference(
    first: Floats, second: Floats, person: NDArray[np.intp], *, draws: int = 2_000, seed: int = 0
) -> Interval:
    """Return the mean of ``first - second`` over rows, with an interval over people.

    People, not rows, are drawn again and again, because the rows of one person are alike.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n,)
        Losses of two predictors on the same rows.
    person : ndarray of int, shape (n,)
        Whose rows they are.
    draws, seed : int
        Of the bootstrap.
    """
    if not len(person):
        return Interval(float("nan"), float("nan"), float("nan"))
    _, person = np.unique(person, return_inverse=True)
    sums, counts = np.bincount(person, first - second), np.bincount(person)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
