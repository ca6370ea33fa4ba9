"""Training: a walk through one person's history, in slices, from the prior to a generation.

A training is a left fold over the moments: learn the labels that have matured, let the network
train, predict; and so on to the present. Therefore

- every prediction on the way was made before its outcome was known, and judges the model;
- it can stop after any slice and go on later, in another process, with the same bytes;
- the next training goes on where the last one ended, as long as the past is unchanged; if an event
  was forgotten or an old file imported, it starts from the beginning: the result is always the one
  of a single walk over the events as they are.

The promotion of a newly trained network over the one in service is part of the fold (see
``rust/core/src/gate.rs``): it happens only on evidence that was collected before it could be known.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np

from inhabit import metrics, priors
from inhabit._native import Model, Prior
from inhabit.checkpoints import Generation, Manifest
from inhabit.exceptions import CheckpointError, InhabitError
from inhabit.samples import POSITIVE, UNKNOWN, Walked

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray

    from inhabit._native import ModelConfig
    from inhabit.features import FeatureSet
    from inhabit.samples import Samples

__all__ = [
    "Origin",
    "Progress",
    "TrainingRun",
    "metrics_of",
    "resume",
    "running_base_rate",
    "train",
    "walked_of",
]

Progress = Callable[[int, int], object]
"""Called after each slice with the rows done and all rows."""

SLICE: Final = 64
"""Rows between two looks at the clock: a fraction of a millisecond each."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a walk begins: a model for some features, and what is known from other people.

    Attributes
    ----------
    feature_set : FeatureSet
    config : ModelConfig
    prior : Prior
    parent : str or None
        Identity of the file of the prior; None without one.
    """

    feature_set: FeatureSet
    config: ModelConfig
    prior: Prior
    parent: str | None

    @classmethod
    def of(cls, name: str, feature_set: FeatureSet) -> Origin:
        """Return the origin that a name means: ``builtin``, ``none``, or the path of a file.

        Raises
        ------
        CheckpointError
            The file cannot be read, or is for other features.
        """
        config = priors.model_config(feature_set)
        if name == "none":
            return cls(feature_set, config, Prior(config), None)
        file = priors.read(name)
        return cls(feature_set, config, priors.prior_for(file, feature_set), file.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """What one call of `train` did.

    Attributes
    ----------
    status : {"finished", "expired", "cancelled"}
        Whether it walked to the present, ran out of time, or was told to stop.
    generation : Generation
        What is learnt so far; complete when finished, to be continued otherwise.
    rows, of : int
        Moments walked so far, and all of them.
    continued_from : int
        The row at which this run began: 0 from the prior.
    """

    status: Literal["finished", "expired", "cancelled"]
    generation: Generation
    rows: int
    of: int
    continued_from: int


def train(
    samples: Samples,
    origin: Origin,
    *,
    start: Generation | None = None,
    deadline: timedelta | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainingRun:
    """Walk through the samples from the prior, or from where an earlier walk stopped.

    Parameters
    ----------
    samples : Samples
        One person's samples of one subject, as of now.
    origin : Origin
        Where the walk begins.
    start : Generation, optional
        An earlier generation; continued when it came from the same origin and saw the same past,
        ignored otherwise.
    deadline : timedelta, optional
        Stop after the slice in which this much time is used up.
    progress : callable, optional
        Called with the rows done and all rows.
    cancelled : callable
        Asked after each slice; True stops.

    Returns
    -------
    TrainingRun
        With a generation whose bytes depend on samples and origin alone, not on how often it was
        interrupted, continued or timed.
    """
    ends = time.monotonic() + (float("inf") if deadline is None else deadline.total_seconds())
    model, forecast = _continue(samples, origin, start)
    begin = row = len(forecast)
    n = len(samples)
    # What matures after the last moment is learnt by whoever walks on.
    label = np.where(samples.learnt(n), samples.matured_label, np.int8(UNKNOWN))
    status: Literal["finished", "expired", "cancelled"] = "finished"
    parts = [forecast]
    while row < n:
        # At least one slice is walked, so that even a hurried device arrives in the end.
        if row > begin and cancelled():
            status = "cancelled"
            break
        if row > begin and time.monotonic() >= ends:
            status = "expired"
            break
        end = min(row + SLICE, n)
        walked = model.walk(samples.features, label, samples.slot, samples.learn_at, row, end)
        parts.append(walked.astype(np.float32))
        row = end
        if progress is not None:
            progress(row, n)
    generation = _generation(samples, model, np.concatenate(parts), origin.parent)
    return TrainingRun(status=status, generation=generation, rows=row, of=n, continued_from=begin)


def resume(generation: Generation | None, origin: Origin) -> Model:
    """Return the model of a generation, ready to predict and to learn on; the prior's without one.

    Raises
    ------
    CheckpointError
        The generation was made for other features.
    """
    if generation is None:
        return Model(origin.config, origin.prior)
    if generation.manifest.schema != origin.feature_set.schema_hash:
        raise CheckpointError(
            f"schema: expected features {origin.feature_set.names}, the generation was made for "
            f"{generation.manifest.features}; train again"
        )
    tensors = {
        name: tensor for name, tensor in generation.tensors.items() if name.startswith("model.")
    }
    return Model.from_tensors(cast("Any", tensors), origin.config, origin.prior)


def walked_of(generation: Generation) -> Walked | None:
    """Return how far the walk of a generation has come."""
    settings = generation.manifest.settings
    last_us = settings.get("last_moment_us")
    return None if last_us is None else Walked(last_us, settings.get("last_label_us"))


def running_base_rate(samples: Samples) -> NDArray[np.float64]:
    """Return ``(positives + 1) / (labels + 2)`` of what had matured before each moment."""
    n = len(samples)
    known = samples.matured & (samples.label != UNKNOWN)
    at = np.minimum(samples.learn_at[known], n)
    count = np.cumsum(np.bincount(at, minlength=n + 1))[:n]
    positive = np.bincount(at, weights=samples.label[known], minlength=n + 1)
    return np.asarray((np.cumsum(positive)[:n] + 1.0) / (count + 2.0))


def metrics_of(
    label: NDArray[np.int8], probability: NDArray[np.floating[Any]], base: NDArray[np.float64]
) -> dict[str, float]:
    """Return log loss and Brier score over the known labels, beside those of the base rate.

    Empty when no label is known. Rounded, because numpy's logarithm differs in the last bit between
    platforms, and generations must not.
    """
    known = label != UNKNOWN
    if not known.any():
        return {}
    served, label = probability[known].astype(np.float64), label[known]
    scores = {
        "log_loss": metrics.log_loss(served, label),
        "brier": metrics.brier_score(served, label),
        "base_rate_log_loss": metrics.log_loss(base[known], label),
        "base_rate_brier": metrics.brier_score(base[known], label),
    }
    return {name: round(score, 6) for name, score in scores.items()}


def _continue(
    samples: Samples, origin: Origin, start: Generation | None
) -> tuple[Model, NDArray[np.float32]]:
    """Return the model to walk on with, and its forecasts so far."""
    fresh = resume(None, origin), np.empty(0, dtype=np.float32)
    if start is None or start.manifest.parent != origin.parent:
        return fresh
    rows = start.manifest.counts.get("moments", 0)
    if rows > len(samples) or start.manifest.settings.get("past") != _past(samples, rows):
        return fresh
    try:
        return resume(start, origin), start.tensors["forecast"].astype(np.float32)
    except (InhabitError, KeyError):  # made by an older version; the events are all we need
        return fresh


def _past(samples: Samples, rows: int) -> str:
    """Digest of everything that a walk over the first ``rows`` moments has looked at."""
    learnt = samples.learn_at[:rows] < rows
    digest = hashlib.sha256(samples.feature_set.schema_hash.encode())
    for column in (
        samples.features[:rows],
        samples.slot[:rows],
        np.where(learnt, samples.learn_at[:rows], rows).astype("<u4"),
        np.where(learnt, samples.matured_label[:rows], np.int8(UNKNOWN)),
    ):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:32]


def _generation(
    samples: Samples, model: Model, forecast: NDArray[np.float32], parent: str | None
) -> Generation:
    """Return the generation of a walk that has come to row ``len(forecast)``."""
    rows = len(forecast)
    label = np.where(samples.learnt(rows), samples.matured_label, np.int8(UNKNOWN))[:rows]
    walked = samples.walked(rows)
    return Generation(
        tensors={
            **model.tensors(),
            "forecast": forecast,
            "features.mean": _mean(samples.features[:rows]),
        },
        manifest=Manifest(
            schema=samples.feature_set.schema_hash,
            features=samples.feature_set.names,
            parent=parent,
            counts={
                "moments": rows,
                "labels": int((label != UNKNOWN).sum()),
                "positives": int((label == POSITIVE).sum()),
                "promotions": model.promotions,
            },
            metrics=metrics_of(label, forecast, running_base_rate(samples)[:rows]),
            settings={
                "past": _past(samples, rows),
                "last_moment_us": walked.last_us if walked else None,
                "last_label_us": walked.learnt_us if walked else None,
            },
        ),
    )


def _mean(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each feature, where explanations start from; the middle without any row."""
    if not len(features):
        return np.full(features.shape[1], 0.5, dtype=np.float32)
    return np.asarray(features.mean(axis=0, dtype=np.float64)).astype(np.float32)
