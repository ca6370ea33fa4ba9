"""Many people: walk through all of them, and score them.

One person's walk is a pure function of the person's samples and the prior. `walk_many` is one call
into Rust, which walks through the people on all cores; the results are those of one `walk` after
the other, bit for bit. On more than one machine the same function runs on any engine that maps a
function over people (``docs/population.md`` has a recipe).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inhabit import metrics
from inhabit._native import ModelConfig, Prior, WalkForward, walk_forward, walk_forward_many
from inhabit.evaluation import replay
from inhabit.exceptions import ConfigError
from inhabit.features import DEFAULT_FEATURES
from inhabit.priors import model_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inhabit.events import EventColumns
    from inhabit.features import FeatureSet
    from inhabit.moments import Schedule
    from inhabit.samples import Samples
    from inhabit.targets import Target

__all__ = ["PersonScore", "features_of", "score_person", "walk", "walk_many"]


def walk(
    samples: Samples, prior: Prior | None = None, config: ModelConfig | None = None
) -> WalkForward:
    """Predict each of one person's moments from what was known before it.

    Parameters
    ----------
    samples : Samples
    prior : Prior, optional
        What is known from other people.
    config : ModelConfig, optional
        By default the one for the samples' features.

    Returns
    -------
    WalkForward
        Probabilities of each moment, made before its outcome, and the model at the end.
    """
    return walk_forward(*samples.columns, config or model_config(samples.feature_set), prior)


def walk_many(
    people: Sequence[Samples],
    prior: Prior | None = None,
    config: ModelConfig | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[WalkForward]:
    """Walk through many people on all cores; the same bits as one `walk` after the other.

    Parameters
    ----------
    people : sequence of Samples
        One person and subject each, all with the same features.
    prior, config
        As for `walk`.
    workers : int, optional
        Threads; by default as many as there are cores.
    progress : callable, optional
        Called now and then, and at the end, with the people done and all people.

    Raises
    ------
    ConfigError
        If the features of the people differ.
    """
    if not people:
        return []
    feature_set = features_of(people)
    config = config or model_config(feature_set)
    columns = (samples.columns for samples in people)
    return walk_forward_many(columns, config, prior, workers=workers, progress=progress)


def features_of(people: Sequence[Samples]) -> FeatureSet:
    """Return the features that all people have."""
    if len({samples.feature_set.schema_hash for samples in people}) != 1:
        raise ConfigError("people: expected samples with the same features, got several schemas")
    return people[0].feature_set


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonScore:
    """How well one subject of one person was predicted: a row of a table of many.

    Attributes
    ----------
    user, subject : str
    moments, scored, positives : int
        All moments; those with a label after the first seven; the positive ones of these.
    log_loss, base_rate_log_loss, brier : float
        Of the scored moments; NaN if there are none.
    promotions : int
        Promotions of a personal network by the last moment; 0 serves none.
    """

    user: str
    subject: str
    moments: int
    scored: int
    positives: int
    log_loss: float
    base_rate_log_loss: float
    brier: float
    promotions: int


def score_person(
    user: str,
    events: EventColumns,
    target: Target,
    schedule: Schedule,
    feature_set: FeatureSet = DEFAULT_FEATURES,
    *,
    prior: Prior | None = None,
) -> list[PersonScore]:
    """Replay one person; return a row for each subject.

    A pure function of one person's events, for any engine that maps a function over people.
    """
    predictions = replay({user: events}, target, schedule, feature_set, prior=prior)
    rows = []
    for index, subject in enumerate(predictions.subjects):
        own = predictions.select(predictions.subject == index)
        scored = own.select(own.scored)
        if len(own):
            row = PersonScore(
                user=user,
                subject=subject,
                moments=len(own),
                scored=len(scored),
                positives=int((scored.label == 1).sum()),
                log_loss=metrics.log_loss(scored.probability, scored.label),
                base_rate_log_loss=metrics.log_loss(scored.base_rate, scored.label),
                brier=metrics.brier_score(scored.probability, scored.label),
                promotions=int(own.promotions[-1]),
            )
            rows.append(row)
    return rows
