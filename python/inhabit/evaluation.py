"""Replay: what would have been predicted at each moment, and how good it would have been.

Every moment of a log is predicted from what was recorded before it, then learnt from once its label
has matured; nothing is split at random and nothing is seen twice. The running base rate stands
beside the model on the same rows, because it is what every model has to beat.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from inhabit import metrics
from inhabit._native import walk_forward_many
from inhabit.exceptions import ConfigError
from inhabit.features import DEFAULT_FEATURES, FeatureSet
from inhabit.moments import Schedule, isoformat
from inhabit.priors import model_config
from inhabit.samples import UNKNOWN, Samples, Target, samples
from inhabit.training import running_base_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO

    from numpy.typing import NDArray

    from inhabit._native import ModelConfig, Prior, WalkForward
    from inhabit.events import EventColumns

__all__ = [
    "Predictions",
    "Scores",
    "Summary",
    "replay",
    "running_base_rate",
    "subjects_of",
    "write_csv",
]

BURN_IN: Final = 7
"""The first observations of a person and subject are learnt from, not scored."""
_TOGETHER: Final = 32 * (os.cpu_count() or 1)
"""Walks in one call: enough to keep all cores busy, few enough to tell of progress."""
AMOUNTS: Final = ((7, 20), (21, 60), (61, 180), (181, None))
"""Ranges of own history (earlier observations) that are also scored one by one."""


# --- predicting --------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """Predictions as columns: people in turn, each in time order; arrays have shape (n,).

    Attributes
    ----------
    users, subjects : tuple of str
        Names that `user` and `subject` are indices into.
    user, subject : ndarray of int32
    at_us, window_end_us : ndarray of int64
        The moment, and when its window closes.
    utc_offset_s : ndarray of int32
    slot : ndarray of uint8
    probability : ndarray of float64
        What was served.
    base_rate : ndarray of float64
        ``(s + 1) / (n + 2)`` over the `n` labels known at the moment, `s` of them positive.
    experts : ndarray of float64, shape (n, n_experts)
        What each expert said; names in `inhabit._native.EXPERTS`.
    label : ndarray of int8
        1 positive, 0 negative, -1 unknown.
    earlier : ndarray of int64
        How many earlier moments of this person and subject have a label.
    promotions : ndarray of uint32
        Promotions of a personal network by then; 0 serves none.
    """

    users: tuple[str, ...]
    subjects: tuple[str, ...]
    user: NDArray[np.int32]
    subject: NDArray[np.int32]
    at_us: NDArray[np.int64]
    window_end_us: NDArray[np.int64]
    utc_offset_s: NDArray[np.int32]
    slot: NDArray[np.uint8]
    probability: NDArray[np.float64]
    base_rate: NDArray[np.float64]
    experts: NDArray[np.float64]
    label: NDArray[np.int8]
    earlier: NDArray[np.int64]
    promotions: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Rows that are scored: those with a label, after the first seven of each person.

        Explicit evidence is scored although the window is still open at the end of the log: at most
        the windows that hold its end. There a positive is known and a silence is not, so of a short
        log of nothing but targets a positive too many is counted, for the model and the base rate
        alike. Nothing is learnt from it: that waits until the window has closed.
        """
        scored: NDArray[np.bool_] = (self.label != UNKNOWN) & (self.earlier >= BURN_IN)
        return scored

    def select(self, rows: NDArray[np.bool_] | slice) -> Predictions:
        """Return some of the rows."""
        columns = {
            column.name: getattr(self, column.name)[rows]
            for column in fields(self)
            if column.name not in {"users", "subjects"}
        }
        return replace(self, **columns)

    def summary(self) -> Summary:
        """Return how good the predictions were."""
        return Summary.of(self)


def replay(
    people: Mapping[str, EventColumns],
    target: Target,
    schedule: Schedule,
    feature_set: FeatureSet = DEFAULT_FEATURES,
    *,
    prior: Prior | None = None,
    config: ModelConfig | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Predictions:
    """Predict every moment of each person and subject from what was recorded before it.

    Parameters
    ----------
    people : mapping of str to EventColumns
        The events of each person.
    target : Target
        What is predicted; its subject is set to each subject of a person in turn.
    schedule : Schedule
        When it is predicted.
    feature_set : FeatureSet, default `DEFAULT_FEATURES`
        What describes a moment.
    prior : Prior, optional
        What is known from other people.
    config : ModelConfig, optional
        By default the one for the features.
    progress : callable, optional
        Called now and then, and at the end, with the walks done and all walks: one for each subject
        of each person.

    Raises
    ------
    ConfigError
        If there are no events.
    """
    if not any(len(events) for events in people.values()):
        raise ConfigError("people: expected events of at least one person, got none")
    config = config or model_config(feature_set)
    people = dict(sorted(people.items()))  # whatever order the file had them in
    names = sorted({name for events in people.values() for name in events.subjects})
    logs = tuple(people.values())
    asked = [(k, name) for k, events in enumerate(logs) for name in subjects_of(events, target)]
    parts: list[dict[str, NDArray[Any]]] = []
    for first in range(0, len(asked), _TOGETHER):
        some = asked[first : first + _TOGETHER]
        tables = [
            samples(logs[user], replace(target, subject=name), schedule, feature_set)
            for user, name in some
        ]
        walks = walk_forward_many([table.columns for table in tables], config, prior)
        for (user, name), table, walked in zip(some, tables, walks, strict=True):
            parts.append(_columns(user, names.index(name), table, walked))
        if progress is not None:
            progress(len(parts), len(asked))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Predictions(users=tuple(people), subjects=tuple(names), **joined)


def subjects_of(events: EventColumns, target: Target) -> list[str]:
    """Return the subjects of which the target, or an explicit skip, ever occurs.

    Of a person with neither, all subjects: the log may show that it never happened. So the rows of
    a log that is cut off before the first target are about other subjects than later.
    """
    kinds = (target.kind,) if target.skip_kind is None else (target.kind, target.skip_kind)
    told = np.unique(events.subject[events.is_kind(*kinds)])
    if not len(told):
        told = np.unique(events.subject)
    return [events.subjects[code] for code in told]


def _columns(
    user: int, subject: int, table: Samples, walked: WalkForward
) -> dict[str, NDArray[Any]]:
    """Return the columns of the predictions about one person and subject."""
    observed = table.label != UNKNOWN
    return {
        "user": np.full(len(table), user, np.int32),
        "subject": np.full(len(table), subject, np.int32),
        "at_us": table.moments.at_us,
        "window_end_us": table.moments.window_end_us,
        "utc_offset_s": table.moments.utc_offset_s,
        "slot": table.slot,
        "probability": walked.probability,
        "base_rate": running_base_rate(table),
        "experts": walked.experts,
        "label": table.label,
        "earlier": np.cumsum(observed) - observed,
        "promotions": walked.promotions,
    }


# --- writing -----------------------------------------------------------------


def write_csv(predictions: Predictions, file: TextIO) -> None:
    """Write ``user,subject,moment,window_end,probability,label,generation``, a row a moment.

    Times are ISO 8601 in the person's local time; probabilities have all their digits; the label is
    1, 0, or empty where it is unknown; the generation is the personal network's, its promotions.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ("user", "subject", "moment", "window_end", "probability", "label", "generation")
    )
    writer.writerows(_csv_rows(predictions))


def _csv_rows(predictions: Predictions) -> Iterable[tuple[str | float | int, ...]]:
    columns = (
        predictions.user,
        predictions.subject,
        predictions.at_us,
        predictions.window_end_us,
        predictions.utc_offset_s,
        predictions.probability,
        predictions.label,
        predictions.promotions,
    )
    for user, subject, at_us, end_us, offset_s, probability, label, promotions in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        yield (
            predictions.users[user],
            predictions.subjects[subject],
            isoformat(at_us, offset_s),
            isoformat(end_us, offset_s),
            probability,
            "" if label == UNKNOWN else label,
            promotions,
        )


# --- scoring -----------------------------------------------------------------


class Scores(msgspec.Struct, frozen=True):
    """How good probabilities are, on the scored rows; NaN (JSON null) where not defined.

    Attributes
    ----------
    log_loss : float
        Mean over rows, of probabilities clipped to [0.01, 0.99]; all other scores are of the
        probabilities as they are.
    log_loss_people : float
        Mean over people with at least ten rows of each person's mean.
    brier : float
        Brier score.
    auc, auc_within : float
        Over all pairs; and the mean over people with both outcomes.
    calibration_error : float
        Expected calibration error, ten bins of equal mass.
    """

    log_loss: float
    log_loss_people: float
    brier: float
    auc: float
    auc_within: float
    calibration_error: float

    @classmethod
    def of(
        cls, probability: NDArray[np.float64], label: NDArray[np.int8], person: NDArray[np.intp]
    ) -> Scores:
        """Return the scores of probabilities of labels (1 or 0) of some people."""
        losses = metrics.log_losses(probability, label)
        return cls(
            log_loss=metrics.log_loss(probability, label),
            log_loss_people=metrics.mean_over_people(losses, person),
            brier=metrics.brier_score(probability, label),
            auc=metrics.auc(probability, label),
            auc_within=metrics.auc_within(probability, label, person),
            calibration_error=metrics.calibration_error(probability, label),
        )


class HistoryScore(msgspec.Struct, frozen=True):
    """Log losses of the rows with a certain amount of own history.

    Attributes
    ----------
    least, most : int, int or None
        Earlier observations, both included.
    rows : int
        How many rows there are.
    log_loss, base_rate_log_loss : float
        Of the model and of the running base rate.
    """

    least: int
    most: int | None
    rows: int
    log_loss: float
    base_rate_log_loss: float


class ReliabilityBin(msgspec.Struct, frozen=True):
    """One of ten bins of equal mass: what was predicted, and what happened."""

    predicted: float
    observed: float
    rows: int


class Summary(msgspec.Struct, frozen=True):
    """How good the predictions of a replay were, beside the running base rate.

    Attributes
    ----------
    people : int
        Pairs of user and subject with at least one moment.
    rows : int
        Moments.
    scored : int
        Moments with a label, after the first seven of each person and subject.
    positive_rate : float
        Share of positives among the scored.
    model, base_rate : Scores
        On the same rows.
    difference : metrics.Interval
        Log loss of the model minus that of the base rate; 95 % bootstrap interval over people.
    by_history : list of HistoryScore
        By how many earlier observations there were.
    reliability : list of ReliabilityBin
        Of the model.
    """

    people: int
    rows: int
    scored: int
    positive_rate: float
    model: Scores
    base_rate: Scores
    difference: metrics.Interval
    by_history: list[HistoryScore]
    reliability: list[ReliabilityBin]

    @classmethod
    def of(cls, predictions: Predictions) -> Summary:
        """Return the summary of predictions."""
        scored = predictions.select(predictions.scored)
        label, person = scored.label, _person(scored)
        losses = metrics.log_losses(scored.probability, label)
        base_losses = metrics.log_losses(scored.base_rate, label)
        bins = zip(*metrics.reliability(scored.probability, label), strict=True)
        return cls(
            people=len(np.unique(_person(predictions))),
            rows=len(predictions),
            scored=len(scored),
            positive_rate=float(label.mean()) if len(label) else float("nan"),
            model=Scores.of(scored.probability, label, person),
            base_rate=Scores.of(scored.base_rate, label, person),
            difference=metrics.bootstrap_difference(losses, base_losses, person),
            by_history=_by_history(scored.earlier, losses, base_losses),
            reliability=[ReliabilityBin(float(p), float(y), int(n)) for p, y, n in bins],
        )


def _person(predictions: Predictions) -> NDArray[np.intp]:
    """Return a number for each pair of user and subject."""
    subjects = max(len(predictions.subjects), 1)
    return predictions.user.astype(np.intp) * subjects + predictions.subject


def _by_history(
    earlier: NDArray[np.int64], losses: NDArray[np.float64], base_losses: NDArray[np.float64]
) -> list[HistoryScore]:
    scores = []
    for least, most in AMOUNTS:
        rows = (earlier >= least) & (earlier <= (most or np.inf))
        if count := int(np.count_nonzero(rows)):
            means = float(losses[rows].mean()), float(base_losses[rows].mean())
            scores.append(HistoryScore(least, most, count, *means))
    return scores
