"""How good are probabilities? The measures of `quality.py`, on rows that belong to people."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CLIP = (0.01, 0.99)
HISTORY = {"7-20": (0, 20), "21-60": (21, 60), "61-180": (61, 180), "181+": (181, 10**9)}
MIN_ROWS = 10  # of a person, for a mean over people


@dataclass(frozen=True)
class Rows:
    """Scored rows of one task. ``person`` is an index, ``history`` the number of earlier steps."""

    person: NDArray[np.int64]
    label: NDArray[np.int8]
    history: NDArray[np.int64]

    @property
    def n_people(self) -> int:
        return int(self.person.max()) + 1


def losses(p: Array, label: NDArray[np.int8]) -> Array:
    """Log loss of each row, probabilities clipped to [0.01, 0.99]."""
    p = np.clip(p, *CLIP)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def by_person(values: Array, rows: Rows) -> tuple[Array, Array]:
    """Sum and number of values of each person."""
    sums = np.bincount(rows.person, values, rows.n_people)
    return sums, np.bincount(rows.person, minlength=rows.n_people).astype(float)


def people_mean(values: Array, rows: Rows) -> float:
    """Mean over people with enough rows of each person's mean; nan if there are none."""
    sums, counts = by_person(values, rows)
    enough = counts >= MIN_ROWS
    return float((sums[enough] / counts[enough]).mean()) if enough.any() else float("nan")


def auc(p: Array, label: NDArray[np.int8]) -> float:
    """Area under the ROC curve by ranks (ties count half); nan with one class only."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = rank[label == 1].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def auc_within(p: Array, rows: Rows) -> float:
    """Mean AUC of the people who have both outcomes."""
    each = [auc(p[own], rows.label[own]) for own in _own_rows(rows)]
    defined = [value for value in each if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _own_rows(rows: Rows) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(rows.person == person) for person in range(rows.n_people)]


def reliability(p: Array, label: NDArray[np.int8], n_bins: int = 10) -> tuple[Array, Array, Array]:
    """Mean prediction, observed rate and size of bins of equal mass."""
    order = np.argsort(p, kind="stable")
    bins = [part for part in np.array_split(order, n_bins) if len(part)]
    means = [(p[part].mean(), label[part].mean(), len(part)) for part in bins]
    predicted, observed, size = np.array(means).T
    return predicted, observed, size


def ece(p: Array, label: NDArray[np.int8]) -> float:
    """Expected calibration error over 10 bins of equal mass."""
    predicted, observed, size = reliability(p, label)
    return float((size * np.abs(predicted - observed)).sum() / size.sum())


def ece_by_chance(p: Array, draws: int = 200, seed: int = 0) -> float:
    """Mean ECE of these probabilities if they were exactly right: what a finite sample costs."""
    random = np.random.default_rng(seed)
    outcomes = (random.random((draws, len(p))) < p).astype(np.int8)
    return float(np.mean([ece(p, drawn) for drawn in outcomes]))


def difference(
    a: Array, b: Array, rows: Rows, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over rows of loss ``a - b`` with a 95 % bootstrap interval over people."""
    sums, counts = by_person(a - b, rows)
    chosen = np.random.default_rng(seed).integers(0, rows.n_people, (draws, rows.n_people))
    means = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(sums.sum() / counts.sum()), float(low), float(high)


def summary(p: Array, rows: Rows) -> dict[str, float]:
    """Every measure of one predictor on one task, apart from comparisons."""
    p = np.clip(p, *CLIP)
    loss = losses(p, rows.label)
    measures = {
        "log_loss": float(loss.mean()),
        "log_loss_people": people_mean(loss, rows),
        "brier": float(((p - rows.label) ** 2).mean()),
        "auc": auc(p, rows.label),
        "auc_within": auc_within(p, rows),
        "ece": ece(p, rows.label),
        "ece_by_chance": ece_by_chance(p),
    }
    for name, (low, high) in HISTORY.items():
        part = (rows.history >= low) & (rows.history <= high)
        measures[f"log_loss[{name}]"] = float(loss[part].mean()) if part.any() else float("nan")
    return measures
