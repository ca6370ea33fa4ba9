"""Learning from people what to expect of others: empirical Bayes.

Each person's logistic weights are a draw from a Gaussian, whose mean and variance are estimated by
expectation-maximisation; the prior network is trained on the samples of all people, who come with
histories of all lengths; the initial weights of the experts are those under which the mixture would
have predicted these people best. All of it depends a little on a seed, so that a prior is the
average of several, whose networks stand side by side (Hansen & Salamon 1990). Where a prior is
refined, how far to go from it is decided by evidence: by how well people were predicted who took no
part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from inhabit._native import (
    EXPERTS,
    MAX_MEMBERS,
    Model,
    ModelConfig,
    Network,
    Prior,
    TrainingConfig,
    train,
)
from inhabit.evaluation import BURN_IN
from inhabit.exceptions import ConfigError
from inhabit.features import hour_of_day, same_kind_of_day_rate
from inhabit.population import features_of, walk_many
from inhabit.priors import HIDDEN_LAYERS, columns, model_config, prior_for
from inhabit.samples import POSITIVE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from inhabit.checkpoints import Generation
    from inhabit.features import FeatureSet
    from inhabit.samples import Samples

__all__ = ["GENERAL", "PriorConfig", "train_prior"]

_T = TypeVar("_T")

_OVERRELAXATION: Final = 1.8
"""How far the mean goes in a round, in parts of the way to the maximum."""

_NEVER: Final = 2**31
"""Outcomes between two trainings of the personal network: more than there are."""


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
    pulls : tuple of float
        How strongly the network is pulled to zero, or to the network of the prior that is refined:
        the precision of its weights, divided by the number of samples in the loss. Where a prior is
        refined, evidence decides between several; else the first is taken.
    unseen : tuple of str
        Features that the network is not to see: those that tell one group of people from another
        more than one moment from another. By default the rate that rests on the fewest windows.
    steps : tuple of float
        How far to go from the prior that is refined, in parts of the way to what these people say.
        Evidence weighs these against each other; the way that is gone is their average.
    judges : int
        Folds of people who judge the steps: each by what the people of all others say.
    folds : int
        The experts' weights are judged with networks that have not seen the person: in so many
        folds.
    networks : bool
        Whether to train a network; without, the prior is for models that have none.
    members : int
        Priors to be averaged, at most 16, each learnt with a seed of its own: of their networks it
        is the log odds that are averaged. If the prior to be refined has several, each begins at
        one of them, from the first.
    seed : int
        Of initial weights, shuffling and folds; the members take this one and those after it.

    Raises
    ------
    ConfigError
        If a setting is outside its range.
    """

    caution: float = 8.0
    caution_about_new: float = 1.0
    rounds: int = 15
    stages: tuple[tuple[int, float], ...] = ((40, 0.01), (20, 0.003), (20, 0.001))
    batch_size: int = 64
    pulls: tuple[float, ...] = (1.0, 10.0)
    unseen: tuple[str, ...] = (same_kind_of_day_rate.name,)
    steps: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    judges: int = 10
    folds: int = 4
    networks: bool = True
    members: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings outside their range."""
        if not self.steps or not all(0 <= step <= 1 for step in self.steps):
            raise ConfigError(f"steps: expected numbers from 0 to 1, got {self.steps}")
        if not self.pulls or not all(pull >= 0 for pull in self.pulls):
            raise ConfigError(f"pulls: expected numbers of at least 0, got {self.pulls}")
        if not 1 <= self.members <= MAX_MEMBERS:
            raise ConfigError(f"members: expected 1 to {MAX_MEMBERS}, got {self.members}")
        for name, least in (("rounds", 1), ("judges", 2), ("folds", 2)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}: expected at least {least}, got {value}")


GENERAL: Final = PriorConfig(
    caution=1000,
    rounds=3,
    stages=((20, 0.01), (10, 0.003), (10, 0.001)),
    batch_size=256,
    pulls=(100.0,),
    members=1,
    unseen=(hour_of_day.name, same_kind_of_day_rate.name),
)
"""For a prior for kinds of habit that it has not seen, such as the built-in one.

The fixed weights of a model without a prior count for many people, because those of other habits
are only loosely alike; and the network does not see the hour, either, which tells habits apart.
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
        The file of a prior to begin with: what people in general do, to be refined by people with
        this habit, as far as that helps to predict yet others of them. It may know fewer features.
        Without it, the fixed weights of a model that has no prior.
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
    labelled = [(samples.matured_label != UNKNOWN).any() for samples in people]
    groups = [group for group, known in zip(groups, labelled, strict=True) if known]
    people = [samples for samples, known in zip(people, labelled, strict=True) if known]
    if not people:
        raise ConfigError(
            "people: expected samples with labels of one person or more, got none; a label is "
            "known once its window has closed"
        )

    feature_set = features_of(people)
    shape = model_config(feature_set, HIDDEN_LAYERS if config.networks else None)
    general = Prior(shape)
    caution = np.full(shape.n_weights, config.caution)
    if start is not None:
        general = prior_for(start, feature_set, networks=config.networks)
        caution[_new_weights(start, shape, feature_set)] = config.caution_about_new
    learner = _Learner(general, caution, shape, config, workers, _Watch(progress))
    return learner.learn(people, groups) if start is None else learner.refine(people, groups)


class _Watch:
    """Counts what is done for whoever watches."""

    def __init__(self, progress: Callable[[int, int], object] | None) -> None:
        self._progress = progress
        self._done = 0
        self.total = 0

    def advance(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self.total)


@dataclass(frozen=True)
class _Learner:
    """Learns priors that start from the same one."""

    general: Prior
    caution: NDArray[np.float64]
    shape: ModelConfig
    config: PriorConfig
    workers: int | None
    watch: _Watch

    def learn(self, people: Sequence[Samples], groups: Sequence[Hashable]) -> Prior:
        """Return what people say."""
        self.watch.total += self._members * self._advances(groups)
        return self._average(people, groups, self.config.pulls[0])

    def refine(self, people: Sequence[Samples], groups: Sequence[Hashable]) -> Prior:
        """Return the start, moved towards what people say as far as it helps to predict others.

        Pulls and steps are weighed by Bayes' rule: by the probability that each gave to the
        outcomes of those who had no part in it, in the order in which they were predicted. A
        person's first outcomes do not count, as in every score. The likeliest pull is taken,
        because the weights of networks that were pulled differently cannot be averaged; and the
        average step.
        """
        folds = [
            (_pick(people, inside), _pick(people, outside), _pick(groups, outside))
            for inside, outside in _folds(groups, self.config.judges, self.config.seed)
        ]
        pulls = self.config.pulls if self.config.networks else self.config.pulls[:1]
        self.watch.total += self._members * self._advances(groups)
        self.watch.total += len(pulls) * sum(self._advances(theirs) for _, _, theirs in folds)

        steps = np.array(self.config.steps)
        weights = np.full(len(pulls) * len(steps), 1 / (len(pulls) * len(steps)))
        for own, others, theirs in folds:
            learnt = [self._learn(others, theirs, pull) for pull in pulls]
            tried = [self._towards(prior, step) for prior in learnt for step in steps]
            for given in np.column_stack([self._likelihood(own, prior) for prior in tried]):
                weights = weights * given
                weights /= _sum(weights)
        of_pull = weights.reshape(len(pulls), len(steps))
        likeliest = int(np.argmax(_sum(of_pull.T)))
        step = _sum(of_pull[likeliest] * steps) / _sum(of_pull[likeliest])
        return self._towards(self._average(people, groups, pulls[likeliest]), float(step))

    @property
    def _members(self) -> int:
        """Return how many priors are averaged: without networks they would be the same."""
        return self.config.members if self.config.networks else 1

    def _advances(self, groups: Sequence[Hashable]) -> int:
        """Return how often the watch advances in `_learn`."""
        networks = len(self._folds(groups)) + 1 if self.config.networks else 0
        return networks + self.config.rounds

    def _folds(
        self, groups: Sequence[Hashable], member: int = 0
    ) -> list[tuple[list[int], list[int]]]:
        """Return the folds for networks that have not seen a person."""
        config = self.config
        return _folds(groups, config.folds, config.seed + member) if config.networks else []

    def _average(self, people: Sequence[Samples], groups: Sequence[Hashable], pull: float) -> Prior:
        """Return the average of the priors that are learnt with one seed each."""
        members = [self._learn(people, groups, pull, member) for member in range(self._members)]
        networks = [prior.network for prior in members if prior.network is not None]
        return Prior(
            self.shape,
            network=np.concatenate(networks) if networks else None,
            mean=_mean([prior.mean for prior in members]),
            variance=_mean([prior.variance for prior in members]),
            experts=_mean([prior.experts for prior in members]),
        )

    def _learn(
        self,
        people: Sequence[Samples],
        groups: Sequence[Hashable],
        pull: float,
        member: int = 0,
    ) -> Prior:
        fits = [
            _Fold(_pick(people, inside), self._network(_pick(people, outside), pull, member))
            for inside, outside in self._folds(groups, member)
        ]
        mean, variance, experts = _expectation_maximisation(
            fits or [_Fold(people, None)],
            self.general,
            self.caution,
            self.config,
            workers=self.workers,
            watch=self.watch,
        )
        network = self._network(people, pull, member) if self.config.networks else None
        return Prior(self.shape, network=network, mean=mean, variance=variance, experts=experts)

    def _network(self, people: Sequence[Samples], pull: float, member: int) -> NDArray[np.float32]:
        start = self.general.network
        if start is not None:
            starts = start.reshape(-1, self.shape.n_parameters)
            start = starts[member % len(starts)]
        config = self.config
        network = _network(people, start, config, pull=pull, seed=config.seed + member)
        self.watch.advance()
        return network

    def _towards(self, learnt: Prior, step: float) -> Prior:
        """Return the prior on the line from the start, step 0, to what was learnt, step 1."""
        general, stay = self.general, 1 - step
        network = learnt.network
        if network is not None and general.network is not None:
            start = np.resize(general.network, network.shape)  # repeats its members, if too few
            network = (stay * start + step * network).astype(np.float32)
        return Prior(
            self.shape,
            network=network,
            mean=stay * general.mean + step * learnt.mean,
            variance=stay * general.variance + step * learnt.variance,
            experts=stay * general.experts + step * learnt.experts,
        )

    def _likelihood(self, people: Sequence[Samples], prior: Prior) -> NDArray[np.float64]:
        """Return the probability that was given to each outcome that counts."""
        walks = walk_many(people, prior, self.shape, workers=self.workers)
        given = [
            _given(walked.probability, samples)[BURN_IN:]
            for samples, walked in zip(people, walks, strict=True)
        ]
        return np.concatenate(given)


def _pick(sequence: Sequence[_T], indices: Sequence[int]) -> list[_T]:
    return [sequence[index] for index in indices]


def _given(said: NDArray[np.float64], samples: Samples) -> NDArray[np.float64]:
    """Return the probability that was given, by one or by each expert, to each known outcome."""
    label = samples.matured_label
    known = label != UNKNOWN
    said = said[known].T
    return np.where(label[known] == POSITIVE, said, 1 - said).T


# -- the logistic weights: a Gaussian over people --


@dataclass(frozen=True)
class _Fold:
    """People, and a network that has not seen them."""

    people: Sequence[Samples]
    network: NDArray[np.float32] | None


def _expectation_maximisation(
    folds: Sequence[_Fold],
    general: Prior,
    caution: NDArray[np.float64],
    config: PriorConfig,
    *,
    workers: int | None,
    watch: _Watch,
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
        judged: list[NDArray[np.float64]] = []
        models: list[Model] = []
        for fold in folds:
            prior = Prior(
                shape, network=fold.network, mean=mean, variance=variance, experts=expected
            )
            for samples, walked in zip(
                fold.people, walk_many(fold.people, prior, shape, workers=workers), strict=True
            ):
                models.append(walked.model)
                judged.append(_given(walked.experts, samples))
        means = np.stack([model.mean for model in models])
        variances = np.stack([model.variance for model in models])
        n = len(means)
        maximised = (caution * general.mean + _sum(means)) / (caution + n)
        mean = mean + _OVERRELAXATION * (maximised - mean)
        spread = (means - mean) * (means - mean) + variances
        variance = (caution * general.variance + _sum(spread)) / (caution + n)
        watch.advance()
    return mean, variance, _expert_weights(judged, expected, shape.share, config)


def _new_weights(start: Generation, shape: ModelConfig, feature_set: FeatureSet) -> list[int]:
    """Return which logistic weights belong to features that a prior does not know."""
    first = shape.n_weights - len(feature_set)
    known = columns(start, feature_set)
    return [first + index for index in range(len(feature_set)) if index not in known]


def _sum(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over rows, one after the other: the same bits on every machine."""
    return np.asarray(np.add.accumulate(rows, axis=0)[-1])


def _mean(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return _sum(np.stack(rows)) / len(rows)


# -- the network --


def _network(
    people: Sequence[Samples],
    start: NDArray[np.float32] | None,
    config: PriorConfig,
    *,
    pull: float,
    seed: int,
) -> NDArray[np.float32]:
    """Return the parameters of a network trained on all labelled samples of some people.

    It begins at `start`, and is pulled to it. A person with n samples weighs as the square root
    of n.
    """
    feature_set = people[0].feature_set
    X, y, weight = _training_rows(people)
    unseen = np.isin(feature_set.names, config.unseen) | (X[0] == X).all(axis=0)
    X[:, unseen] = 0  # a column of zeros has no gradient
    shape = model_config(feature_set)
    assert shape.layers is not None
    assert shape.hidden is not None
    network = Network(shape.layers, hidden=shape.hidden, seed=seed)
    network.parameters = _blinded(network.parameters, unseen) if start is None else start
    for epochs, learning_rate in config.stages:
        training = TrainingConfig(
            optimizer="adam",
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=config.batch_size,
            l2=pull / len(y),
            anchor=start,
            seed=seed,
        )
        train(network, X, y, training, sample_weight=weight)
    return network.parameters


def _training_rows(
    people: Sequence[Samples],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return what the networks see of all labelled samples, the labels, and the weights."""
    model = Model(model_config(people[0].feature_set))
    known = [samples.matured_label != UNKNOWN for samples in people]
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


def _folds(groups: Sequence[Hashable], n: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Deal groups to at most n folds; return who is in each and who is outside, as indices."""
    names = list(dict.fromkeys(groups))
    n = min(n, len(names))
    if n < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[group]: place % n for place, group in enumerate(order)}
    of_person = [fold[group] for group in groups]
    return [
        (
            [k for k, own in enumerate(of_person) if own == place],
            [k for k, own in enumerate(of_person) if own != place],
        )
        for place in range(n)
    ]


# -- the initial weights of the experts --


_WEIGHT_OF_NETWORK: Final = 0.2


def _with_network(experts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights that were made without a prior network, with room for one."""
    prior = np.array([name == "prior" for name in EXPERTS])
    return np.where(prior, _WEIGHT_OF_NETWORK, experts * (1 - _WEIGHT_OF_NETWORK))


def _expert_weights(
    judged: Sequence[NDArray[np.float64]],
    expected: NDArray[np.float64],
    share: float,
    config: PriorConfig,
) -> NDArray[np.float64]:
    """Return the initial weights under which the mixture predicts people best.

    `judged` is what each expert gave to a person's outcomes, [n, n_experts], for each person.
    The mixture is a hidden Markov model: an expert is drawn by the initial weights, and drawn again
    before outcome t = 1, 2, ... with the probability that falls as the mixture's share does, from
    `share`. Expectation-maximisation counts the draws; `expected` counts as `caution` people.
    """
    lengths = np.array([len(given) for given in judged])
    likelihood = np.ones((lengths.max(), len(judged), len(expected)))
    for person, given in enumerate(judged):
        likelihood[: len(given), person] = given
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
    anew = share / (1 + share * (np.arange(n) - 1.0))  # chance of a draw before each outcome
    anew[0] = 1.0
    before = np.empty_like(likelihood)  # weights before each outcome
    before[0] = weights
    for t in range(1, n):
        after = before[t - 1] * likelihood[t - 1]
        before[t] = (1 - anew[t]) * (after / _total(after)) + anew[t] * weights
    draws = np.zeros((n_people, k))
    later = np.ones((n_people, k))  # likelihood of what is still to come, up to a factor
    for t in range(n - 1, -1, -1):
        now = likelihood[t] * later
        drawn = weights * now
        chance = np.where(t < lengths, anew[t], 0.0)[:, None]
        draws += chance * drawn / _total(before[t] * now)
        later = (1 - anew[t]) * now + anew[t] * _total(drawn)
        later /= later.max(axis=1, keepdims=True)
    return draws


def _total(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of each row, [n, 1], added from left to right."""
    return np.asarray(np.add.accumulate(columns, axis=1)[:, -1:])
