"""Many people: walk through all of them, and learn from some what to expect of others.

One person's walk is a pure function of the person's samples and the prior. `walk_many` is one call
into Rust, which walks through the people on all cores; the results are those of one `walk` after
the other, bit for bit. On more than one machine the same function runs on any engine that maps a
function over people (``docs/population.md`` has a recipe).

`train_prior` is empirical Bayes. Each person's logistic weights are a draw from a Gaussian, whose
mean and variance are estimated by expectation-maximisation; the prior network is trained on the
samples of all people, who come with histories of all lengths; the initial weights of the experts
are those under which the mixture would have predicted these people best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inhabit import metrics
from inhabit._native import (
    EXPERTS,
    Model,
    ModelConfig,
    Network,
    Prior,
    TrainingConfig,
    WalkForward,
    train,
    walk_forward,
    walk_forward_many,
)
from inhabit.evaluation import replay
from inhabit.exceptions import ConfigError
from inhabit.features import DEFAULT_FEATURES
from inhabit.priors import HIDDEN_LAYERS, columns, model_config, prior_for

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from inhabit.checkpoints import Generation
    from inhabit.events import EventColumns
    from inhabit.features import FeatureSet
    from inhabit.moments import Schedule
    from inhabit.samples import Samples
    from inhabit.targets import Target

__all__ = [
    "GENERAL",
    "PersonScore",
    "PriorConfig",
    "score_person",
    "train_prior",
    "walk",
    "walk_many",
]

_OVERRELAXATION: Final = 1.8

_NEVER: Final = 2**31


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
    feature_set = _features_of(people)
    config = config or model_config(feature_set)
    columns = (samples.columns for samples in people)
    return walk_forward_many(columns, config, prior, workers=workers, progress=progress)


def _features_of(people: Sequence[Samples]) -> FeatureSet:
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


# --- learning a prior ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorConfig:
    """How a prior is trained.

    Parameters
    ----------
    caution : float
        How many people the starting point counts for, in every mean, variance and weight.
    caution_about_new : float
        The same for the weights of features that the prior to be refined does not know.
    rounds : int
        Rounds of expectation-maximisation.
    stages : tuple of (epochs, learning_rate)
        The network's training with Adam, one stage after the other.
    batch_size : int
    pull : float
        How strongly the network is pulled to zero, or to the network of the prior that is refined:
        the precision of its weights, divided by the number of samples in the loss.
    unseen : tuple of str
        Features that the network is not to see: those that tell one group of people from another
        more than one moment from another.
    folds : int
        The experts' weights are judged with networks that have not seen the person: in so many
        folds.
    networks : bool
        Whether to train a network; without, the prior is for models that have none.
    seed : int
        Of initial weights, shuffling and folds.
    """

    caution: float = 8.0
    caution_about_new: float = 1.0
    rounds: int = 15
    stages: tuple[tuple[int, float], ...] = ((20, 0.01), (10, 0.003), (10, 0.001))
    batch_size: int = 256
    pull: float = 1.0
    unseen: tuple[str, ...] = ()
    folds: int = 4
    networks: bool = True
    seed: int = 0


GENERAL: Final = PriorConfig(caution=1000, rounds=3, pull=100, unseen=("hour_of_day",))
"""For a prior for kinds of habit that it has not seen, such as the built-in one.

The fixed weights of a model without a prior count for many people, because those of other habits
are only loosely alike; and the network does not see the hour, which tells habits apart.
"""


def train_prior(
    people: Sequence[Samples],
    config: PriorConfig | None = None,
    *,
    start: Generation | None = None,
    groups: Sequence[Hashable] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Prior:
    """Learn from people what to expect of others like them.

    The same people in the same order, settings and seed give the same bits, on any number of
    threads.

    Parameters
    ----------
    people : sequence of Samples
        One person and subject each, all with the same features.
    config : PriorConfig, optional
    start : Generation, optional
        The file of a prior to begin with and to stay close to: what people in general do, to be
        refined by people with this habit. It may know fewer features. Without it, the fixed weights
        of a model that has no prior.
    groups : sequence, optional
        Who belongs together, one entry for each person: people of one group share a fold. By kind
        of habit, for a prior that is to serve kinds it has not seen. By default each person is a
        group.
    workers : int, optional
        Threads; by default as many as there are cores.
    progress : callable, optional
        Called with the steps done and all steps.

    Raises
    ------
    ConfigError
        If there are no people with labels, their features differ, or `groups` has another length.
    """
    config = config or PriorConfig()
    groups = range(len(people)) if groups is None else groups
    if len(groups) != len(people):
        raise ConfigError(
            f"groups: expected one entry for each of {len(people)} people, got {len(groups)}"
        )
    labelled = [(samples.matured_label >= 0).any() for samples in people]
    groups = [group for group, known in zip(groups, labelled, strict=True) if known]
    people = [samples for samples, known in zip(people, labelled, strict=True) if known]
    if not people:
        raise ConfigError("people: expected samples with labels of one person or more, got none")

    feature_set = _features_of(people)
    shape = model_config(feature_set, HIDDEN_LAYERS if config.networks else None)
    general = Prior(shape)
    caution = np.full(shape.n_weights, config.caution)
    if start is not None:
        general = prior_for(start, feature_set, networks=config.networks)
        caution[_new_weights(start, shape, feature_set)] = config.caution_about_new
    folds = _folds(groups, config) if config.networks else []
    steps = _Steps(progress, len(folds) + config.rounds + 1)
    fits = []
    for inside in folds:
        outside = [samples for k, samples in enumerate(people) if k not in inside]
        own = [samples for k, samples in enumerate(people) if k in inside]
        fits.append(_Fold(own, _network(outside, general, config)))
        steps.advance()
    mean, variance, experts = _expectation_maximisation(
        fits or [_Fold(people, None)], general, caution, config, workers=workers, steps=steps
    )
    network = _network(people, general, config) if config.networks else None
    steps.advance()
    return Prior(shape, network=network, mean=mean, variance=variance, experts=experts)


class _Steps:
    """Counts steps for whoever watches."""

    def __init__(self, progress: Callable[[int, int], object] | None, total: int) -> None:
        self._progress = progress
        self._done, self._total = 0, total

    def advance(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


# -- the logistic weights: a Gaussian over people --


@dataclass(frozen=True)
class _Fold:
    """People, and a network that has not seen them."""

    people: list[Samples]
    network: NDArray[np.float32] | None


def _expectation_maximisation(
    folds: Sequence[_Fold],
    general: Prior,
    caution: NDArray[np.float64],
    config: PriorConfig,
    *,
    workers: int | None,
    steps: _Steps,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance over people of the logistic weights, and the experts' weights.

    A round walks through every person from the current Gaussian, and takes mean and variance of
    the persons' posteriors (Gaussians themselves), the general prior counting as `caution` people.
    The mean goes further than that, because expectation-maximisation is slow where a person's own
    data say little (Salakhutdinov & Roweis 2003). The experts' weights come from the last walks.
    """
    feature_set = folds[0].people[0].feature_set
    layers = HIDDEN_LAYERS if config.networks else None
    shape = model_config(feature_set, layers, retrain_every=_NEVER)
    mean, variance = general.mean, general.variance
    expected = general.experts
    if config.networks and general.network is None:
        expected = _with_network(expected)
    for _ in range(config.rounds):
        judged: list[_Judged] = []
        models: list[Model] = []
        for fold in folds:
            prior = Prior(
                shape, network=fold.network, mean=mean, variance=variance, experts=expected
            )
            for samples, walked in zip(
                fold.people, walk_many(fold.people, prior, shape, workers=workers), strict=True
            ):
                models.append(walked.model)
                judged.append(_Judged.of(samples, walked))
        means = np.stack([model.mean for model in models])
        variances = np.stack([model.variance for model in models])
        n = len(means)
        maximised = (caution * general.mean + _sum(means)) / (caution + n)
        mean = mean + _OVERRELAXATION * (maximised - mean)
        spread = (means - mean) * (means - mean) + variances
        variance = (caution * general.variance + _sum(spread)) / (caution + n)
        steps.advance()
    return mean, variance, _expert_weights(judged, expected, shape.share, config)


def _new_weights(start: Generation, shape: ModelConfig, feature_set: FeatureSet) -> list[int]:
    """Return which logistic weights belong to features that a prior does not know."""
    first = shape.n_weights - len(feature_set)
    known = columns(start, feature_set)
    return [first + index for index in range(len(feature_set)) if index not in known]


def _sum(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over rows, one after the other: the same bits on every machine."""
    return np.asarray(np.add.accumulate(rows, axis=0)[-1])


# -- the network --


def _network(people: Sequence[Samples], general: Prior, config: PriorConfig) -> NDArray[np.float32]:
    """Return the parameters of a network trained on all labelled samples of some people.

    A person with n samples weighs as the square root of n.
    """
    feature_set = people[0].feature_set
    X, y, weight = _training_rows(people)
    unseen = np.isin(feature_set.names, config.unseen) | (X[0] == X).all(axis=0)
    X[:, unseen] = 0  # a column of zeros has no gradient
    shape = model_config(feature_set)
    assert shape.layers is not None
    assert shape.hidden is not None
    network = Network(shape.layers, hidden=shape.hidden, seed=config.seed)
    network.parameters = (
        _blinded(network.parameters, unseen) if general.network is None else general.network
    )
    for epochs, learning_rate in config.stages:
        training = TrainingConfig(
            optimizer="adam",
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=config.batch_size,
            l2=config.pull / len(y),
            anchor=general.network,
            seed=config.seed,
        )
        train(network, X, y, training, sample_weight=weight)
    return network.parameters


def _training_rows(
    people: Sequence[Samples],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return what the networks see of all labelled samples, the labels, and the weights."""
    model = Model(model_config(people[0].feature_set))
    known = [samples.matured_label >= 0 for samples in people]
    rows = [
        model.network_input(x)
        for samples, own in zip(people, known, strict=True)
        for x in samples.features[own]
    ]
    labels = [samples.matured_label[own] for samples, own in zip(people, known, strict=True)]
    weights = np.concatenate([np.full(len(own), 1 / np.sqrt(len(own))) for own in labels])
    weights *= len(weights) / np.add.accumulate(weights)[-1]
    return np.stack(rows), np.concatenate(labels).astype(np.float32), weights.astype(np.float32)


def _blinded(parameters: NDArray[np.float32], unseen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the parameters with weight 0 for the inputs that are not to be seen."""
    first = parameters[: HIDDEN_LAYERS[0] * len(unseen)].reshape(-1, len(unseen))
    first[:, unseen] = 0  # a view
    return parameters


def _folds(groups: Sequence[Hashable], config: PriorConfig) -> list[list[int]]:
    """Deal groups to folds; return the indices of the people in each."""
    names = list(dict.fromkeys(groups))
    n = min(config.folds, len(names))
    if n < 2:
        return []
    order = np.random.default_rng(config.seed).permutation(len(names))
    fold = {names[group]: place % n for place, group in enumerate(order)}
    return [[k for k, group in enumerate(groups) if fold[group] == f] for f in range(n)]


# -- the initial weights of the experts --


_WEIGHT_OF_NETWORK: Final = 0.2


def _with_network(experts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights that were made without a prior network, with room for one."""
    prior = np.array([name == "prior" for name in EXPERTS])
    return np.where(prior, _WEIGHT_OF_NETWORK, experts * (1 - _WEIGHT_OF_NETWORK))


@dataclass(frozen=True)
class _Judged:
    """What each expert gave to what then happened, [n, n_experts]."""

    likelihood: NDArray[np.float64]

    @classmethod
    def of(cls, samples: Samples, walked: WalkForward) -> _Judged:
        known = samples.matured_label >= 0
        said = walked.experts[known]
        happened = samples.matured_label[known, None] == 1
        return cls(np.where(happened, said, 1 - said))


def _expert_weights(
    judged: Sequence[_Judged],
    expected: NDArray[np.float64],
    share: float,
    config: PriorConfig,
) -> NDArray[np.float64]:
    """Return the initial weights under which the mixture predicts people best.

    The fixed-share mixture is a hidden Markov model: an expert is drawn by the initial weights, and
    drawn again before each later outcome with probability `share`. Expectation-maximisation counts
    the draws; `expected` counts as `caution` people.
    """
    if not judged:
        return expected
    lengths = np.array([len(one.likelihood) for one in judged])
    likelihood = np.ones((lengths.max(), len(judged), len(expected)))
    for person, one in enumerate(judged):
        likelihood[: len(one.likelihood), person] = one.likelihood
    weights = expected
    for _ in range(config.rounds):
        draws = config.caution * expected + _sum(_draws(likelihood, lengths, weights, share))
        weights = draws / _sum(draws)
    return weights


def _draws(
    likelihood: NDArray[np.float64],
    lengths: NDArray[np.intp],
    weights: NDArray[np.float64],
    share: float,
) -> NDArray[np.float64]:
    """Return how often each expert was drawn for each person, in expectation, [n_people, k].

    `likelihood` is [n, n_people, k], with ones after a person's last outcome.
    """
    n, n_people, k = likelihood.shape
    before = np.empty_like(likelihood)  # weights before each outcome
    before[0] = weights
    for t in range(n - 1):
        after = before[t] * likelihood[t]
        before[t + 1] = (1 - share) * (after / _total(after)) + share * weights
    draws = np.zeros((n_people, k))
    later = np.ones((n_people, k))  # likelihood of what is still to come, up to a factor
    for t in range(n - 1, -1, -1):
        now = likelihood[t] * later
        drawn = weights * now
        chance = np.where(t < lengths, share if t else 1.0, 0.0)[:, None]
        draws += chance * drawn / _total(before[t] * now)
        later = (1 - share) * now + share * _total(drawn)
        later /= later.max(axis=1, keepdims=True)
    return draws


def _total(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of each row, [n, 1], added from left to right."""
    return np.asarray(np.add.accumulate(columns, axis=1)[:, -1:])
